//! Frames of HTTP/2 made by hand.

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
/// HEADERS that are a whole message.
pub(crate) const END: u8 = END_STREAM | END_HEADERS;

/// `GET https://a/`, all out of the static table but the authority.
pub(crate) const GET: &[u8] = &[0x82, 0x87, 0x84, 0x01, 1, b'a'];
/// `:status: 200`.
pub(crate) const OK: &[u8] = &[0x88];

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A whole request without content.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END, stream, GET)
}

/// The head of a request whose content follows.
pub(crate) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x87, 0x84, 0x01, 1, b'a'];
    for (name, value) in more {
        block.extend(literal(name, value));
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// A field without index and Huffman code.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, name.len() as u8];
    field.extend(name.bytes());
    field.push(value.len() as u8);
    field.extend(value.bytes());
    field
}

pub(crate) fn setting(identifier: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&identifier.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn rst_stream(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}
