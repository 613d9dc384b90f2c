//! HTTP/3 between a client that writes and our codec, over streams that are cut anywhere and come in any order.

use ringway::http::headers::Headers;
use ringway::proto::h3::connection::Connection;
use ringway::proto::h3::event::RequestEvent;
use ringway::proto::h3::event::UnidirectionalEvent;
use ringway::proto::h3::fault::Fault;
use ringway::proto::h3::frame::write_data_head;
use ringway::proto::h3::request::RequestReader;
use ringway::proto::h3::settings::Local;
use ringway::proto::h3::unidirectional::UnidirectionalReader;

use crate::wire::deliver;

const REQUESTS: usize = 12;
const RUNS: u64 = 200;

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Request {
    path: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    content: Vec<u8>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
    has_ended: bool,
}

impl Request {
    /// One that differs from the others in everything.
    fn sample(number: usize) -> Request {
        let content = (0..number * 37).map(|at| (at * number) as u8).collect();
        let trailers = (0..number % 3).map(|at| (format!("t-{at}").into(), format!("{number}").into()));
        let path = format!("/requests/{number}?a=b");
        let fields = [("host", "a.example".to_owned()), ("x-number", "n".repeat(number * 11))];
        Request {
            path: path.into_bytes(),
            fields: fields.into_iter().map(|(name, value)| (name.into(), value.into_bytes())).collect(),
            content,
            trailers: trailers.collect(),
            has_ended: true,
        }
    }

    /// Its stream, with frames of unknown types in between.
    fn write(&self, client: &mut Connection) -> Vec<u8> {
        let mut out = b"\x21\x03abc".to_vec();
        let pseudo: [(&[u8], &[u8]); 4] = [
            (b":method", b"PUT"),
            (b":scheme", b"https"),
            (b":path", &self.path),
            (b":authority", b"a.example"),
        ];
        let fields = self.fields.iter().skip(1).map(|(name, value)| (name.as_slice(), value.as_slice()));
        client.write_headers(&mut out, pseudo.into_iter().chain(fields));
        for piece in self.content.chunks(61) {
            write_data_head(&mut out, piece.len() as u64);
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\x40\x40\x01z");
        }
        if !self.trailers.is_empty() {
            let trailers = self.trailers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
            client.write_headers(&mut out, trailers);
        }
        out
    }
}

/// A request stream at our end.
struct Stream {
    reader: RequestReader,
    request: Request,
}

impl Stream {
    fn new() -> Stream {
        Stream { reader: RequestReader::new(), request: Request::default() }
    }

    /// What has come of it is read before another stream is looked at.
    fn receive(&mut self, piece: &[u8], connection: &mut Connection) -> Result<(), Fault> {
        let mut rest = piece;
        loop {
            let received = self.reader.handle_bytes(rest, connection, 0)?;
            match received.event {
                None => return Ok(()),
                Some(RequestEvent::Content(range)) => self.request.content.extend_from_slice(&rest[range]),
                Some(RequestEvent::Head) => {
                    let mut headers = Headers::new();
                    let request = connection.request(&mut headers);
                    self.request.path = request.head.target.path_and_query.to_vec();
                    let fields = request.head.headers.iter();
                    self.request.fields =
                        fields.map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
                }
                Some(RequestEvent::Trailers) => {
                    let fields = connection.fields().iter();
                    self.request.trailers =
                        fields.map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
                }
                Some(RequestEvent::HeadTooLarge) => panic!("it is within the limits"),
            }
            rest = &rest[received.consumed..];
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.reader.handle_end()?;
        self.request.has_ended = true;
        Ok(())
    }
}

#[test]
fn a_request_is_the_same_however_it_is_cut() {
    for number in [0, 1, 2, 5] {
        let sample = Request::sample(number);
        let bytes = sample.write(&mut Connection::new(Local::default()));
        let received = deliver(&bytes, |pieces| {
            let (mut connection, mut stream) = (Connection::new(Local::default()), Stream::new());
            pieces.iter().try_for_each(|piece| stream.receive(piece, &mut connection))?;
            stream.end().map(|()| stream.request)
        });
        assert_eq!(received, Ok(sample));
    }
}

#[test]
fn a_control_stream_is_the_same_however_it_is_cut() {
    let bytes =
        b"\x00\x04\x05\x06\x52\x34\x21\x00\x0d\x01\x07\x80\x0f\x07\x00\x06\x04u=1,i\x21\x02ab\x07\x01\x08";
    let events = deliver(bytes, |pieces| {
        let (mut connection, mut reader) = (Connection::new(Local::default()), UnidirectionalReader::new());
        let mut events = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let received = reader.handle_bytes(rest, &mut connection, 0)?
                && let Some(event) = received.event
            {
                events.push(event);
                rest = &rest[received.consumed..];
            }
        }
        Ok::<_, Fault>((events, connection.peer().and_then(|peer| peer.max_header_bytes)))
    });
    let (events, limit) = events.expect("nothing is wrong with it");
    assert!(
        matches!(
            events[..],
            [
                UnidirectionalEvent::Settings,
                UnidirectionalEvent::Priority { stream: 4, .. },
                UnidirectionalEvent::GoAway
            ]
        ),
        "{events:?}"
    );
    assert_eq!(limit, Some(0x1234));
}

#[test]
fn requests_beside_each_other_do_not_mix() {
    let mut client = Connection::new(Local::default());
    let samples: Vec<_> = (0..REQUESTS).map(Request::sample).collect();
    let sent: Vec<_> = samples.iter().map(|sample| sample.write(&mut client)).collect();
    for seed in 1..=RUNS {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = |limit: usize| {
            // Marsaglia's xorshift64.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as usize % limit
        };
        let mut connection = Connection::new(Local::default());
        let mut streams: Vec<_> = samples.iter().map(|_| Stream::new()).collect();
        let mut unsent: Vec<_> = sent.iter().map(Vec::as_slice).enumerate().collect();
        while !unsent.is_empty() {
            let place = below(unsent.len());
            let (number, rest) = unsent[place];
            let (piece, after) = rest.split_at(below(200).min(rest.len()));
            streams[number].receive(piece, &mut connection).unwrap();
            if after.is_empty() {
                streams[number].end().unwrap();
                unsent.swap_remove(place);
            } else {
                unsent[place].1 = after;
            }
        }
        let received: Vec<_> = streams.into_iter().map(|stream| stream.request).collect();
        assert_eq!(received, samples, "seed {seed}");
    }
}
