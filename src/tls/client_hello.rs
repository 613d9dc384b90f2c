//! What the first message of a client offers (RFC 8446 §4.1.2), as far as a server must know it before rustls
//! does. It judges nothing: what is malformed is left for rustls to refuse.

use std::borrow::Cow;

use crate::tls::framing::RECORD_HEADER_BYTES;
use crate::tls::framing::record_length;

/// Bytes of a ClientHello that is looked into, and records that it may come in. Those of browsers have less
/// than 3 KiB in one record; some that want to slip past a filter cut it into a handful.
const MAX_HELLO_BYTES: usize = 16 * 1024;
/// Records that the first message of a client may come in.
const MAX_HELLO_RECORDS: usize = 16;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Type and length of a handshake message.
const MESSAGE_HEADER_BYTES: usize = 4;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const ALPN: u16 = 16;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

const TLS13: u16 = 0x0304;

/// What stands at the front of what a client sent.
pub(super) enum First<'i> {
    /// The beginning of a ClientHello, in whole records and perhaps a part of one.
    Part,
    /// A ClientHello without its header.
    Hello(Cow<'i, [u8]>),
    /// Anything else, or a ClientHello that nobody would send.
    Other,
}

impl First<'_> {
    pub(super) fn of(incoming: &[u8]) -> First<'_> {
        let mut rest = incoming;
        let mut message = Cow::Borrowed(&[][..]);
        for _ in 0..MAX_HELLO_RECORDS {
            let Some(length) = record_length(rest) else { return First::Part };
            let Some((record, behind)) = rest.split_at_checked(RECORD_HEADER_BYTES + length) else {
                return if message.len() + length > MAX_HELLO_BYTES { First::Other } else { First::Part };
            };
            let content = record.get(RECORD_HEADER_BYTES..).unwrap_or_default();
            if record.first() != Some(&HANDSHAKE) || message.len() + length > MAX_HELLO_BYTES {
                return First::Other;
            }
            if message.is_empty() {
                message = Cow::Borrowed(content);
            } else {
                message.to_mut().extend_from_slice(content);
            }
            let first = match message {
                Cow::Borrowed(message) => First::of_message(message),
                Cow::Owned(ref message) => First::of_message(message).into_owned(),
            };
            if !matches!(first, First::Part) {
                return first;
            }
            rest = behind;
        }
        First::Other
    }

    /// The same, of what is in no records (RFC 9001 §4.1.3).
    pub(super) fn of_message(message: &[u8]) -> First<'_> {
        match hello_length(message) {
            Some(length @ ..=MAX_HELLO_BYTES) => {
                let hello = message.get(MESSAGE_HEADER_BYTES..MESSAGE_HEADER_BYTES + length);
                hello.map_or(First::Part, |hello| First::Hello(Cow::Borrowed(hello)))
            }
            Some(_) => First::Other,
            None if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) => First::Other,
            None => First::Part,
        }
    }

    fn into_owned(self) -> First<'static> {
        match self {
            First::Part => First::Part,
            First::Hello(hello) => First::Hello(Cow::Owned(hello.into_owned())),
            First::Other => First::Other,
        }
    }
}

/// The length that the header of a ClientHello announces; None before it is there.
fn hello_length(message: &[u8]) -> Option<usize> {
    match message {
        [CLIENT_HELLO, high, middle, low, ..] => {
            Some(usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low))
        }
        _ => None,
    }
}

/// The names in a ClientHello, by which a connection can be sent on without being opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelloNames {
    /// In lower case. None: the client asks for no name (RFC 6066 §3). With Encrypted Client Hello, it is the outer one.
    pub server_name: Option<Box<str>>,
    /// The protocols that are offered, each behind a byte that tells its length (RFC 7301 §3.1). Empty: none.
    pub alpn: Box<[u8]>,
}

/// What stands at the front of what a client sent, to one who does not open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloPeek {
    /// The beginning of a ClientHello.
    Incomplete,
    Complete(HelloNames),
    /// No ClientHello, or one that cannot be read; the word says which.
    Refused(&'static str),
}

/// The longest host there is (RFC 1035 §2.3.4).
const MAX_NAME_BYTES: usize = 255;

/// Looks for the ClientHello at the front of what a client sent, in at most 16 records.
pub fn peek(incoming: &[u8]) -> HelloPeek {
    let is_record = |header: &[u8]| match header {
        [kind, rest @ ..] => *kind == HANDSHAKE && rest.first().is_none_or(|major| *major == 3),
        [] => true,
    };
    if !is_record(incoming) {
        return HelloPeek::Refused("not_tls");
    }
    let announced = incoming.get(RECORD_HEADER_BYTES..).and_then(hello_length);
    let is_too_long =
        announced.is_some_and(|length| length > MAX_HELLO_BYTES) || incoming.len() > MAX_HELLO_BYTES;
    match First::of(incoming) {
        First::Part if is_too_long => HelloPeek::Refused("client_hello_too_long"),
        First::Part => HelloPeek::Incomplete,
        First::Hello(hello) => {
            names(&hello).map_or(HelloPeek::Refused("client_hello_malformed"), HelloPeek::Complete)
        }
        First::Other if is_too_long => HelloPeek::Refused("client_hello_too_long"),
        First::Other => HelloPeek::Refused("client_hello_malformed"),
    }
}

/// None for what cannot be read.
fn names(hello: &[u8]) -> Option<HelloNames> {
    let mut fields = HelloFields(hello);
    // legacy_version, random
    fields.take(2 + 32)?;
    fields.short_vector()?;
    fields.vector()?;
    // legacy_compression_methods
    fields.short_vector()?;
    let mut names = HelloNames::default();
    if fields.0.is_empty() {
        // Extensions are optional in TLS 1.2.
        return Some(names);
    }
    let mut extensions = HelloFields(fields.vector()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.vector()?;
        match kind {
            SERVER_NAME => names.server_name = server_name(content)?,
            ALPN => names.alpn = protocols(content)?.into(),
            _ => {}
        }
    }
    Some(names)
}

/// The host name in the list of an extension; the outer None for what cannot be read.
fn server_name(content: &[u8]) -> Option<Option<Box<str>>> {
    const HOST_NAME: u8 = 0;
    let mut list = HelloFields(HelloFields(content).vector()?);
    let mut found = None;
    while let Some(kind) = list.take(1) {
        let name = list.vector()?;
        if kind == [HOST_NAME] && found.is_none() {
            let is_plain =
                (1..=MAX_NAME_BYTES).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
            let name = std::str::from_utf8(name).ok().filter(|_| is_plain)?;
            // One dot at the end is the root's.
            found = Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into());
        }
    }
    Some(found)
}

/// The list of protocols in an extension, each of them whole.
fn protocols(content: &[u8]) -> Option<&[u8]> {
    let list = HelloFields(content).vector()?;
    let mut rest = HelloFields(list);
    while !rest.0.is_empty() {
        rest.short_vector().filter(|protocol| !protocol.is_empty())?;
    }
    Some(list)
}

/// What a client offers. Numbers are two bytes each, as on the wire.
#[derive(Clone, Copy, Default)]
pub(super) struct ClientOffer<'h> {
    pub(super) tls13: bool,
    /// It may send content before it has heard of the server.
    pub(super) early_data: bool,
    suites: &'h [u8],
    groups: &'h [u8],
    shares: &'h [u8],
    binders: &'h [u8],
}

impl<'h> ClientOffer<'h> {
    /// None for what cannot be read.
    pub(super) fn of(hello: &'h [u8]) -> Option<ClientOffer<'h>> {
        let mut fields = HelloFields(hello);
        // legacy_version, random
        fields.take(2 + 32)?;
        fields.short_vector()?;
        let mut offered = ClientOffer { suites: fields.vector()?, ..ClientOffer::default() };
        // legacy_compression_methods
        fields.short_vector()?;
        let mut extensions = HelloFields(fields.vector()?);
        while !extensions.0.is_empty() {
            let kind = extensions.number()?;
            let mut content = HelloFields(extensions.vector()?);
            match kind {
                SUPPORTED_VERSIONS => offered.tls13 = numbers(content.short_vector()?).any(|it| it == TLS13),
                SUPPORTED_GROUPS => offered.groups = content.vector()?,
                KEY_SHARE => offered.shares = content.vector()?,
                EARLY_DATA => offered.early_data = true,
                PRE_SHARED_KEY => {
                    // identities
                    content.vector()?;
                    offered.binders = content.vector()?;
                }
                _ => {}
            }
        }
        Some(offered)
    }

    pub(super) fn suites(&self) -> impl Iterator<Item = u16> + 'h {
        numbers(self.suites)
    }

    /// The groups for key exchange, in the order of the client's preference.
    pub(super) fn groups(&self) -> impl Iterator<Item = u16> + 'h {
        numbers(self.groups)
    }

    pub(super) fn has_share_of(&self, group: u16) -> bool {
        let mut shares = HelloFields(self.shares);
        while let Some((found, _)) = shares.number().zip(shares.vector()) {
            if found == group {
                return true;
            }
        }
        false
    }

    /// The bytes of the hash that each session is bound to which it offers to resume.
    pub(super) fn session_hashes(&self) -> impl Iterator<Item = usize> + 'h {
        let mut binders = HelloFields(self.binders);
        std::iter::from_fn(move || binders.short_vector().map(<[u8]>::len))
    }
}

pub(super) fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair))
}

/// Bytes that are still to be read.
pub(super) struct HelloFields<'h>(pub(super) &'h [u8]);

impl<'h> HelloFields<'h> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'h [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn number(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    /// What its length precedes, in two bytes.
    pub(super) fn vector(&mut self) -> Option<&'h [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }

    /// What its length precedes, in one byte.
    pub(super) fn short_vector(&mut self) -> Option<&'h [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(content: &[u8]) -> Vec<u8> {
        [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(content)].concat()
    }

    fn hello() -> Vec<u8> {
        let sessions =
            [vector(b"identity and age"), vector(&[&[48][..], &[7; 48], &[32], &[7; 32]].concat())];
        let extensions = [
            extension(SUPPORTED_GROUPS, &vector(&[0, 29, 0, 23])),
            extension(SUPPORTED_VERSIONS, &[4, 3, 4, 3, 3]),
            extension(KEY_SHARE, &vector(&[&[0, 23][..], &vector(&[1; 65])].concat())),
            extension(EARLY_DATA, b""),
            extension(PRE_SHARED_KEY, &sessions.concat()),
        ];
        let begin = [&[3, 3][..], &[9; 32], &[0], &vector(&[0x13, 2, 0x13, 1]), &[1, 0]].concat();
        [begin, vector(&extensions.concat())].concat()
    }

    fn message(hello: &[u8]) -> Vec<u8> {
        let [.., high, low] = hello.len().to_be_bytes();
        [&[CLIENT_HELLO, 0, high, low], hello].concat()
    }

    fn record(content: &[u8]) -> Vec<u8> {
        [&[HANDSHAKE, 3, 1][..], &vector(content)].concat()
    }

    #[test]
    fn everything_that_matters_is_read() {
        let hello = hello();
        let offered = ClientOffer::of(&hello).unwrap();
        assert!(offered.tls13 && offered.early_data);
        assert_eq!(offered.suites().collect::<Vec<_>>(), [0x1302, 0x1301]);
        assert_eq!(offered.groups().collect::<Vec<_>>(), [29, 23]);
        assert!(offered.has_share_of(23) && !offered.has_share_of(29));
        assert_eq!(offered.session_hashes().collect::<Vec<_>>(), [48, 32]);
        for length in 0..hello.len() {
            assert!(ClientOffer::of(&hello[..length]).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_hello_in_any_pieces_is_found_once_it_is_whole() {
        let (hello, whole) = (hello(), message(&hello()));
        for size in [20, 50, 100, 1000] {
            let records: Vec<u8> = whole.chunks(size).flat_map(record).collect();
            for length in 0..records.len() {
                assert!(matches!(First::of(&records[..length]), First::Part), "{length} of {size}");
            }
            let behind = [&records[..], b"more"].concat();
            let First::Hello(found) = First::of(&behind) else { panic!("{size}") };
            assert_eq!(*found, *hello, "{size}");
        }
    }

    #[test]
    fn nothing_else_is_waited_for() {
        let whole = message(&hello());
        let tiny: Vec<u8> = whole.chunks(1).flat_map(record).collect();
        let long = record(&[CLIENT_HELLO, 0, 0x50, 0]);
        let alert = [21, 3, 3, 0, 2, 1, 0];
        let other = record(&[2, 0, 0, 1, 0]);
        let huge = [HANDSHAKE, 3, 1, 0x48, 0];
        let mixed = [&record(&whole[..9])[..], &alert].concat();
        for bytes in [&tiny[..], &long, &alert, &other, &huge, &mixed] {
            assert!(matches!(First::of(bytes), First::Other), "{bytes:?}");
        }
    }

    /// A ClientHello with these extensions.
    fn hello_with(extensions: &[Vec<u8>]) -> Vec<u8> {
        let begin = [&[3, 3][..], &[9; 32], &[0], &vector(&[0x13, 1]), &[1, 0]].concat();
        [begin, vector(&extensions.concat())].concat()
    }

    fn server_name_of(kind: u8, name: &[u8]) -> Vec<u8> {
        extension(SERVER_NAME, &vector(&[&[kind][..], &vector(name)].concat()))
    }

    #[test]
    fn names_are_read_wherever_a_hello_is_cut() {
        let alpn = b"\x02h2\x08http/1.1";
        let hello = hello_with(&[
            extension(SUPPORTED_GROUPS, &vector(&[0; 3000])),
            server_name_of(0, b"Shop.Example."),
            extension(ALPN, &vector(alpn)),
        ]);
        let names = HelloNames { server_name: Some("shop.example".into()), alpn: alpn.as_slice().into() };
        for size in [1000, 5000] {
            let records: Vec<u8> = message(&hello).chunks(size).flat_map(record).collect();
            for length in 0..records.len() {
                assert_eq!(peek(&records[..length]), HelloPeek::Incomplete, "{length} of {size}");
            }
            assert_eq!(peek(&records), HelloPeek::Complete(names.clone()), "{size}");
        }
        let without = hello_with(&[]);
        assert_eq!(peek(&record(&message(&without))), HelloPeek::Complete(HelloNames::default()));
    }

    #[test]
    fn hostile_lengths_and_names_are_refused() {
        let peek_of = |hello: &[u8]| peek(&record(&message(hello)));
        let long_name = [b'a'; 256];
        for extension in [
            server_name_of(0, b""),
            server_name_of(0, b"a b"),
            server_name_of(0, "\u{e9}.example".as_bytes()),
            server_name_of(0, &long_name),
            extension(SERVER_NAME, &[0, 9, 0, 0, 1]),
            extension(SERVER_NAME, &[0xff, 0xff]),
            extension(ALPN, &vector(&[0])),
            extension(ALPN, &vector(&[5, b'h', b'2'])),
            extension(ALPN, b""),
            vec![0, 0, 0xff, 0xff, 0],
        ] {
            let refused = HelloPeek::Refused("client_hello_malformed");
            assert_eq!(peek_of(&hello_with(std::slice::from_ref(&extension))), refused, "{extension:?}");
        }
        // A name of another kind is passed over.
        let other = peek_of(&hello_with(&[server_name_of(1, b"other")]));
        assert_eq!(other, HelloPeek::Complete(HelloNames::default()));
        for (bytes, word) in [
            (&b"G"[..], "not_tls"),
            (&[HANDSHAKE, 2], "not_tls"),
            (&[HANDSHAKE, 3, 1, 0xff, 0xff], "client_hello_malformed"),
            (&record(&[CLIENT_HELLO, 0, 0x50, 0]), "client_hello_too_long"),
            (&vec![HANDSHAKE; MAX_HELLO_BYTES + 2], "not_tls"),
        ] {
            assert_eq!(peek(bytes), HelloPeek::Refused(word), "{:?}", bytes.get(..9));
        }
    }
}
