//! Just enough of HTTP/2 to make one request on a connection and to keep it open.

use crate::client::Stream;
use ringway_bench::site::NAME;
use std::io::{self, Read, Write};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// One GET of `/` on stream 1, whose answer must be 200 and is read to its end.
pub(crate) fn request(stream: &mut Stream) -> Result<(), String> {
    // `GET`, `https` and `/` of the static table, and `:authority` as a literal.
    let block = [&[0x82, 0x87, 0x84, 0x01, NAME.len() as u8][..], NAME.as_bytes()].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let ask = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    let ask = [&preface[..], &frame(SETTINGS, 0, 0, b""), &ask].concat();
    stream.write_all(&ask).map_err(|e| e.to_string())?;
    loop {
        let (kind, flags, payload) = read_frame(stream).map_err(|e| e.to_string())?;
        match kind {
            SETTINGS if flags & ACK == 0 => {
                stream.write_all(&frame(SETTINGS, ACK, 0, b"")).map_err(|e| e.to_string())?;
            }
            HEADERS if !is_good(&payload) => return Err("the answer is not 200".to_owned()),
            DATA if flags & END_STREAM != 0 => return Ok(()),
            GOAWAY => return Err("GOAWAY instead of an answer".to_owned()),
            _ => {}
        }
    }
}

/// Whether a header block begins with `:status: 200`, behind updates of the table's size.
fn is_good(block: &[u8]) -> bool {
    const STATUS_200: u8 = 0x88;
    block.iter().take(5).any(|&byte| byte == STATUS_200)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn read_frame(stream: &mut Stream) -> io::Result<(u8, u8, Vec<u8>)> {
    let mut header = [0; 9];
    stream.read_exact(&mut header)?;
    let [a, b, c, kind, flags, ..] = header;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload)?;
    Ok((kind, flags, payload))
}
