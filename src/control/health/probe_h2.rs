//! A probe's request over HTTP/2: one stream on a connection of its own. With gRPC it is a call with an empty
//! message, and its response a message and a status.

use crate::control::health::outcome::MAX_INTERIM_RESPONSES;
use crate::control::health::outcome::ProbeError;
use crate::control::health::outcome::failed;
use crate::control::health::resources::ProbeResources;
use crate::http::headers::Headers;
use crate::net::buffer::Buffer;
use crate::net::timer::TICK;
use crate::proto::fields::list::Fields;
use crate::proto::h2::connection::Connection as Codec;
use crate::proto::h2::connection::Event;
use crate::proto::h2::settings::Local;
use crate::proto::h2::stream::StreamId;
use crate::proto::token_bucket::Millis;
use crate::snapshot::backend::CheckFailure;
use crate::tls::transport::Transport;

/// What a probe asks for.
pub(super) struct ProbeRequest {
    pub(super) method: &'static str,
    pub(super) scheme: &'static str,
    pub(super) path: String,
    pub(super) host: String,
    pub(super) is_grpc: bool,
}

/// What was answered.
#[derive(Default)]
pub(super) struct ProbeResponse {
    /// The status of HTTP; 0 until it comes.
    pub(super) status: u16,
    /// The status of gRPC.
    pub(super) code: Option<u16>,
    /// What came of the message, up to [`MESSAGE_BYTES`].
    pub(super) message: Vec<u8>,
    /// Heads of 1xx.
    interim: u32,
    is_complete: bool,
}

/// A message without content: not compressed, of length 0 (PROTOCOL-HTTP2, "Length-Prefixed-Message").
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// More of a message than is looked at.
const MESSAGE_BYTES: usize = 64;

/// Sends the request and waits for the response, of which HTTP needs only the head.
pub(super) async fn exchange(
    request: &ProbeRequest,
    transport: &Transport,
    resources: &ProbeResources,
) -> Result<ProbeResponse, ProbeError> {
    let mut codec = Codec::client(Local::default());
    let now = || resources.timers.ticks() * TICK.as_millis() as Millis;
    let stream = begin(request, &mut codec, now());
    let mut response = ProbeResponse::default();
    let mut input = resources.buffers.small();
    let mut output = resources.buffers.small();
    loop {
        output.clear();
        codec.poll_output(output.tail());
        let (sent, returned) = transport.send(output).await;
        output = returned;
        sent.map_err(|_| failed(CheckFailure::SendRequestFailed))?;
        if response.is_complete {
            return Ok(response);
        }
        if codec.output_bytes() == 0 {
            input.make_room(1024);
            let (received, returned) = transport.receive(input).await;
            input = returned;
            if !matches!(received, Ok(1..)) {
                return Err(failed(CheckFailure::RecvResponseFailed));
            }
        }
        response.take_in(&mut input, &mut codec, (stream, request.is_grpc, now()))?;
    }
}

/// Writes the request and returns its stream.
fn begin(request: &ProbeRequest, codec: &mut Codec, now: Millis) -> Option<StreamId> {
    let pseudo: [(&[u8], &[u8]); 5] = [
        (b":method", request.method.as_bytes()),
        (b":scheme", request.scheme.as_bytes()),
        (b":path", request.path.as_bytes()),
        (b":authority", request.host.as_bytes()),
        (b"user-agent", b"ringway-health-check"),
    ];
    let of_grpc: &[(&[u8], &[u8])] = &[(b"te", b"trailers"), (b"content-type", b"application/grpc")];
    let of_http: &[(&[u8], &[u8])] = &[(b"accept", b"*/*")];
    let more = if request.is_grpc { of_grpc } else { of_http };
    let fields = pseudo.into_iter().chain(more.iter().copied());
    // A new connection takes a stream, and 5 bytes fit into its windows.
    let stream = codec.open(fields, !request.is_grpc).ok()?;
    if request.is_grpc {
        let _ = codec.send_content(stream, &EMPTY_MESSAGE, true, now);
    }
    Some(stream)
}

impl ProbeResponse {
    /// Takes in what was received.
    fn take_in(
        &mut self,
        input: &mut Buffer,
        codec: &mut Codec,
        (stream, is_grpc, now): (Option<StreamId>, bool, Millis),
    ) -> Result<(), ProbeError> {
        loop {
            let received = codec.handle_bytes(input.filled(), now);
            let Some(event) = received.event else {
                input.consume(received.consumed);
                return Ok(());
            };
            match event {
                Event::Head { end, .. } => {
                    let mut headers = Headers::new();
                    self.status = codec.response(&mut headers).status;
                    self.code = headers.iter().find_map(|field| code(field.name, field.value));
                    self.is_complete = end || !is_grpc;
                }
                Event::Interim { .. } => {
                    self.interim += 1;
                    if self.interim > MAX_INTERIM_RESPONSES {
                        return Err(failed(CheckFailure::ResponseFormatError));
                    }
                }
                Event::Content { stream, content, end } => {
                    let room = MESSAGE_BYTES.saturating_sub(self.message.len());
                    let bytes = input.filled().get(content).unwrap_or_default();
                    self.message.extend(bytes.iter().take(room));
                    codec.release(stream, bytes.len() as u32);
                    self.is_complete |= end;
                }
                Event::Trailers { .. } => {
                    self.code = self.code.or_else(|| code_of(codec.fields()));
                    self.is_complete = true;
                }
                Event::GoAway { last, .. } if last >= stream => {}
                Event::GoAway { .. } | Event::Reset { .. } if !self.is_complete => {
                    return Err(failed(CheckFailure::RecvResponseFailed));
                }
                Event::Failed(_) if !self.is_complete => {
                    return Err(failed(CheckFailure::ResponseFormatError));
                }
                _ => {}
            }
            input.consume(received.consumed);
        }
    }

    /// Whether the message of a health check says SERVING: `status`, the first field of HealthCheckResponse, is 1.
    pub(super) fn says_serving(&self) -> bool {
        self.message.get(EMPTY_MESSAGE.len()..).is_some_and(|message| message.starts_with(&[0x08, 0x01]))
    }
}

fn code_of(fields: &Fields) -> Option<u16> {
    fields.iter().find_map(|decoded| code(decoded.name, decoded.value))
}

fn code(name: &[u8], value: &[u8]) -> Option<u16> {
    if name != b"grpc-status" {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::buffer::Buffers;

    #[test]
    fn interim_responses_do_not_go_on_for_ever() {
        for (count, expected) in [(8, Ok(200)), (9, Err(failed(CheckFailure::ResponseFormatError)))] {
            let request = ProbeRequest {
                method: "GET",
                scheme: "http",
                path: "/".into(),
                host: "a".into(),
                is_grpc: false,
            };
            let mut codec = Codec::client(Local::default());
            let stream = begin(&request, &mut codec, 0);
            let mut input = Buffers::default().small();
            input.tail().extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
            for _ in 0..count {
                // The index of :status in the static table, and a value that is not indexed.
                input.tail().extend_from_slice(b"\0\0\x05\x01\x04\0\0\0\x01\x08\x03103");
            }
            input.tail().extend_from_slice(b"\0\0\x01\x01\x05\0\0\0\x01\x88");
            let mut response = ProbeResponse::default();
            let taken = response.take_in(&mut input, &mut codec, (stream, false, 0));
            assert_eq!(taken.map(|()| response.status), expected, "{count}");
        }
    }
}
