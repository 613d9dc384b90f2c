//! One scenario for every version of HTTP on both sides: a client and a backend that speak any.

use super::backend::Backend;
use super::client::Client;
use super::either_backend::{Exchange, Http1Exchange, Http2Exchange};
use super::h2::Http2;
use super::h2_stream::Message;
use super::h3::Http3;
use super::ringway::Ringway;
use super::scenario::Scenario;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// What a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    Http1,
    Http2,
    Http3,
}

/// What a backend speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BackendVersion {
    Http1,
    Http2,
}

/// What the client speaks and what the backend speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    pub(crate) client: Version,
    pub(crate) backend: BackendVersion,
}

/// A request to begin; its content follows.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) fields: &'a [(&'a str, &'a str)],
    pub(crate) content: Content,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    None,
    /// Announced by Content-Length.
    Sized(usize),
    /// Its end shows when it comes.
    Open,
}

/// A whole response, with names in lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) interim: Vec<u16>,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

pub(crate) enum EitherClient {
    Http1(Client),
    Http2(Box<Http2>),
    Http3(Box<Http3>),
}

/// A request on its way.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    stream: u64,
    is_chunked: bool,
    is_head: bool,
}

impl Pair {
    pub(crate) const ALL: [Pair; 6] = [
        Pair { client: Version::Http1, backend: BackendVersion::Http1 },
        Pair { client: Version::Http1, backend: BackendVersion::Http2 },
        Pair { client: Version::Http2, backend: BackendVersion::Http1 },
        Pair { client: Version::Http2, backend: BackendVersion::Http2 },
        Pair { client: Version::Http3, backend: BackendVersion::Http1 },
        Pair { client: Version::Http3, backend: BackendVersion::Http2 },
    ];

    /// The pairs whose clients have several requests at a time on a connection.
    pub(crate) fn multiplexed() -> impl Iterator<Item = Pair> {
        Pair::ALL.into_iter().filter(|pair| pair.client.is_multiplexed())
    }

    /// The pairs whose clients come by TCP.
    pub(crate) fn over_tcp() -> impl Iterator<Item = Pair> {
        Pair::ALL.into_iter().filter(|pair| pair.client != Version::Http3)
    }

    /// Runs a scenario for each pair, and says for which one it failed.
    pub(crate) fn each(run: impl Fn(Pair)) {
        Pair::each_of(Pair::ALL, run);
    }

    /// The same for some pairs.
    pub(crate) fn each_of(pairs: impl IntoIterator<Item = Pair>, run: impl Fn(Pair)) {
        for pair in pairs {
            let failed = OnPanic(pair);
            run(pair);
            std::mem::forget(failed);
        }
    }

    /// A backend that speaks the pair's version.
    pub(crate) fn backend(
        self,
        script: impl Fn(&mut dyn Exchange) -> io::Result<()> + Send + Sync + 'static,
    ) -> Backend {
        match self.backend {
            BackendVersion::Http1 => Backend::script(move |peer| {
                while let Some(mut exchange) = Http1Exchange::next(peer)? {
                    script(&mut exchange)?;
                    exchange.finish()?;
                }
                Ok(())
            }),
            BackendVersion::Http2 => Backend::http2(move |end| {
                while let Some(stream) = end.next_request()? {
                    match script(&mut Http2Exchange::new(end, stream)) {
                        // It was about one stream.
                        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                        result => result?,
                    }
                }
                Ok(())
            }),
        }
    }

    /// A listener and a group that speak the pair's versions.
    pub(crate) fn scenario(self, backend: &Backend) -> Scenario {
        let scenario = Scenario::of(backend);
        let scenario = match self.client {
            Version::Http1 => scenario,
            Version::Http2 => scenario.secured(),
            Version::Http3 => scenario.http3(),
        };
        match self.backend {
            BackendVersion::Http1 => scenario,
            BackendVersion::Http2 => scenario.group_protocol("h2c"),
        }
    }

    pub(crate) fn start(self, backend: &Backend) -> Ringway {
        self.scenario(backend).start()
    }

    pub(crate) fn connect(self, address: SocketAddr) -> EitherClient {
        EitherClient::connect(self.client, address)
    }
}

impl Version {
    pub(crate) const WITH_STREAMS: [Version; 2] = [Version::Http2, Version::Http3];

    /// Whether a connection has several requests at a time, and outlives any of them.
    pub(crate) fn is_multiplexed(self) -> bool {
        self != Version::Http1
    }
}

struct OnPanic(Pair);

impl Drop for OnPanic {
    fn drop(&mut self) {
        eprintln!("client and backend were {:?} and {:?}", self.0.client, self.0.backend);
    }
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: &'a str) -> Ask<'a> {
        Ask { method: "GET", path, fields: &[], content: Content::None }
    }

    pub(crate) fn post(path: &'a str, content: Content) -> Ask<'a> {
        Ask { method: "POST", path, fields: &[], content }
    }

    pub(crate) fn method(self, method: &'a str) -> Ask<'a> {
        Ask { method, ..self }
    }

    pub(crate) fn fields(self, fields: &'a [(&'a str, &'a str)]) -> Ask<'a> {
        Ask { fields, ..self }
    }
}

impl EitherClient {
    /// Clients whose connections have several requests at a time, for a listener that speaks HTTP/2 and HTTP/3.
    pub(crate) fn with_streams(address: SocketAddr) -> [EitherClient; 2] {
        Version::WITH_STREAMS.map(|version| EitherClient::connect(version, address))
    }

    pub(crate) fn connect(version: Version, address: SocketAddr) -> EitherClient {
        match version {
            Version::Http1 => EitherClient::Http1(Client::connect(address)),
            Version::Http2 => EitherClient::Http2(Box::new(Http2::connect(address))),
            Version::Http3 => EitherClient::Http3(Box::new(Http3::connect(address))),
        }
    }

    /// Sends the head of a request.
    pub(crate) fn begin(&mut self, ask: Ask<'_>) -> Call {
        let length = match ask.content {
            Content::Sized(length) => length.to_string(),
            _ => String::new(),
        };
        let mut fields = ask.fields.to_vec();
        if !length.is_empty() {
            fields.push(("content-length", &length));
        }
        let mut call =
            Call { stream: 0, is_chunked: ask.content == Content::Open, is_head: ask.method == "HEAD" };
        match self {
            EitherClient::Http1(client) => {
                let mut head = format!("{} {} HTTP/1.1\r\nHost: test.example\r\n", ask.method, ask.path);
                fields.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
                head += if call.is_chunked { "Transfer-Encoding: chunked\r\n\r\n" } else { "\r\n" };
                client.send(head);
            }
            EitherClient::Http2(end) => {
                let stream = end.request(ask.method, ask.path, &fields, ask.content == Content::None);
                call.stream = stream.into();
            }
            EitherClient::Http3(end) => {
                let names: Vec<_> = fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
                let fields: Vec<_> =
                    names.iter().zip(&fields).map(|(name, (_, value))| (name.as_str(), *value)).collect();
                call.stream = end.request(ask.method, ask.path, &fields, ask.content == Content::None);
            }
        }
        call
    }

    /// Sends some of the content.
    pub(crate) fn write(&mut self, call: Call, content: &[u8]) -> io::Result<()> {
        match self {
            EitherClient::Http1(_) if content.is_empty() => Ok(()),
            EitherClient::Http1(client) if call.is_chunked => client.try_send(chunk(content)),
            EitherClient::Http1(client) => client.try_send(content),
            EitherClient::Http2(end) => end.send_content(call.http2_stream(), content, false),
            EitherClient::Http3(end) => end.send_content(call.stream, content, false),
        }
    }

    /// Ends the content; trailers only where no length was announced.
    pub(crate) fn end(&mut self, call: Call, trailers: &[(&str, &str)]) -> io::Result<()> {
        match self {
            EitherClient::Http1(client) if call.is_chunked => client.try_send(last_chunk(trailers)),
            EitherClient::Http1(_) => Ok(()),
            EitherClient::Http2(end) if trailers.is_empty() => {
                end.send_content(call.http2_stream(), b"", true)
            }
            EitherClient::Http2(end) => end.send_fields(call.http2_stream(), trailers, true),
            EitherClient::Http3(end) if trailers.is_empty() => end.finish(call.stream),
            EitherClient::Http3(end) => end.send_fields(call.stream, trailers, true),
        }
    }

    /// Waits for one interim response and gives its status.
    pub(crate) fn interim(&mut self, call: Call) -> u16 {
        match self {
            EitherClient::Http1(client) => client.read_response().status,
            EitherClient::Http2(end) => {
                let head = end.receive_until(|end| end.take_interim(call.http2_stream()));
                let head = head.expect("an interim response arrives").expect("the connection is open");
                status_in(&head)
            }
            EitherClient::Http3(end) => {
                let head = end.receive_until(|end| end.take_interim(call.stream));
                let head = head.expect("an interim response arrives").expect("the connection is open");
                status_in(&head)
            }
        }
    }

    /// Waits until so much content of a response has come. Only streams show what is not whole.
    pub(crate) fn await_content(&mut self, call: Call, length: usize) -> io::Result<()> {
        let arrived = match self {
            EitherClient::Http1(_) => panic!("the client has no streams"),
            EitherClient::Http2(end) => end.receive_until(|end| {
                let its = end.stream(call.http2_stream());
                (its.body.len() >= length || its.reset.is_some()).then(|| its.reset.map(u64::from))
            }),
            EitherClient::Http3(end) => end.receive_until(|end| {
                let its = end.stream(call.stream);
                (its.body.len() >= length || its.reset.is_some()).then_some(its.reset)
            }),
        };
        match arrived? {
            Some(None) => Ok(()),
            Some(Some(code)) => {
                Err(io::Error::new(ErrorKind::ConnectionReset, format!("reset with code {code:#x}")))
            }
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The whole response, or why there is none.
    pub(crate) fn try_response(&mut self, call: Call) -> io::Result<Answer> {
        match self {
            EitherClient::Http1(client) => {
                let mut interim = Vec::new();
                loop {
                    let response = client.try_read_response_to(if call.is_head { "HEAD" } else { "GET" })?;
                    if (100..200).contains(&response.status) && response.status != 101 {
                        interim.push(response.status);
                        continue;
                    }
                    let fields = lower(&response.head.fields);
                    let trailers = lower(&response.trailers);
                    let (status, body) = (response.status, response.body);
                    return Ok(Answer { status, interim, fields, body, trailers });
                }
            }
            EitherClient::Http2(end) => end.message(call.http2_stream()).map(Answer::from),
            EitherClient::Http3(end) => end.message(call.stream).map(Answer::from),
        }
    }

    pub(crate) fn response(&mut self, call: Call) -> Answer {
        self.try_response(call).unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// A request without content, and its response.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let call = self.begin(Ask::get(path));
        self.response(call)
    }

    /// Gives a request up: the stream, or with HTTP/1 the connection.
    pub(crate) fn abort(self, call: Call) -> Option<EitherClient> {
        const CANCEL: u32 = 8;
        match self {
            EitherClient::Http1(client) => {
                let socket = socket2::SockRef::from(client.stream());
                socket.set_linger(Some(Duration::ZERO)).expect("it can");
                None
            }
            EitherClient::Http2(mut end) => {
                end.reset(call.http2_stream(), CANCEL).expect("the connection is open");
                Some(EitherClient::Http2(end))
            }
            EitherClient::Http3(mut end) => {
                end.cancel(call.stream);
                Some(EitherClient::Http3(end))
            }
        }
    }
}

impl Call {
    fn http2_stream(self) -> u32 {
        u32::try_from(self.stream).expect("streams of HTTP/2 have numbers below 2^31")
    }
}

impl From<Message> for Answer {
    fn from(message: Message) -> Answer {
        let interim = message.interim.iter().map(|head| status_in(head)).collect();
        let (status, body, trailers) = (message.status, message.body, message.trailers);
        let fields = message.fields.into_iter().filter(|(name, _)| !name.starts_with(':')).collect();
        Answer { status, interim, fields, body, trailers }
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The values of all fields of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of this name, if there is one.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut same = self.fields.iter().filter(|(its_name, _)| its_name == name);
        let first = same.next();
        assert!(same.next().is_none(), "{name} comes more than once in {:?}", self.fields);
        first.map(|(_, value)| value.as_str())
    }
}

pub(super) fn chunk(content: &[u8]) -> Vec<u8> {
    let size = format!("{:x}\r\n", content.len());
    [size.as_bytes(), content, b"\r\n"].concat()
}

pub(super) fn last_chunk(trailers: &[(&str, &str)]) -> Vec<u8> {
    let lines: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("0\r\n{lines}\r\n").into_bytes()
}

pub(super) fn lower(fields: &[(String, String)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

fn status_in(head: &[(String, String)]) -> u16 {
    let status = head.iter().find(|(name, _)| name == ":status");
    status.and_then(|(_, status)| status.parse().ok()).expect("a head has a status")
}
