//! The ordered header list: find, set, remove, and which fields belong to one hop only.

use arrayvec::ArrayVec;

use crate::http::any_case::is_in_any_case;

/// The most fields a head may have, whatever `max_headers` says: the list lives on the stack.
pub const MAX_FIELDS: usize = 256;

/// One field line. `name` keeps the sender's spelling; `value` has no surrounding whitespace.
#[derive(Clone, Copy, Debug)]
pub struct Field<'b> {
    pub name: &'b [u8],
    pub value: &'b [u8],
    pub known: KnownName,
    /// The sender wants no hop to index it (RFC 7541 §7.1.3).
    pub is_sensitive: bool,
}

impl<'b> Field<'b> {
    pub fn new(name: &'b [u8], value: &'b [u8]) -> Field<'b> {
        Field { name, value, known: KnownName::of(name), is_sensitive: false }
    }
}

/// One field line on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLine<'b> {
    /// In any case.
    pub name: &'b [u8],
    pub value: &'b [u8],
    /// No hop may index it (RFC 7541 §7.1.3).
    pub is_sensitive: bool,
}

impl<'b> From<(&'b [u8], &'b [u8])> for FieldLine<'b> {
    fn from((name, value): (&'b [u8], &'b [u8])) -> FieldLine<'b> {
        FieldLine { name, value, is_sensitive: false }
    }
}

/// The fields of one head, in the order received.
///
/// A name may stand more than once. Removing keeps the order of the rest.
#[derive(Default)]
pub struct Headers<'b> {
    fields: ArrayVec<Field<'b>, MAX_FIELDS>,
    /// A bit for every [`KnownName`] pushed since the list was empty. Removing leaves it set: a
    /// clear bit proves absence, so that looking for an absent name costs no walk.
    pushed: u64,
}

/// The list already holds [`MAX_FIELDS`] fields.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyFields;

impl<'b> Headers<'b> {
    pub fn new() -> Headers<'b> {
        Headers { fields: ArrayVec::new(), pushed: 0 }
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn clear(&mut self) {
        self.fields.clear();
        self.pushed = 0;
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Field<'b>> + Clone {
        self.fields.iter()
    }

    pub fn push(&mut self, field: Field<'b>) -> Result<(), TooManyFields> {
        self.pushed |= field.known.bit();
        self.fields.try_push(field).map_err(|_| TooManyFields)
    }

    /// The first field of this name.
    pub fn find(&self, name: KnownName) -> Option<&Field<'b>> {
        debug_assert!(name != KnownName::Other);
        self.find_all(name).next()
    }

    /// Every field of this name, in order.
    pub fn find_all(&self, name: KnownName) -> impl Iterator<Item = &Field<'b>> {
        debug_assert!(name != KnownName::Other);
        let fields = if self.pushed & name.bit() == 0 { &[] } else { self.fields.as_slice() };
        fields.iter().filter(move |field| field.known == name)
    }

    /// Removes every field of this name.
    pub fn remove(&mut self, name: KnownName) {
        debug_assert!(name != KnownName::Other);
        if self.pushed & name.bit() != 0 {
            self.fields.retain(|field| field.known != name);
        }
    }

    /// Keeps the fields for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&Field<'b>) -> bool) {
        self.fields.retain(|field| keep(field));
    }

    /// Leaves exactly one field of this name, with this value: at the place and in the spelling of
    /// the first one that is there, else at the end as `name`.
    pub fn set(&mut self, name: &'b [u8], value: &'b [u8]) -> Result<(), TooManyFields> {
        let known = KnownName::of(name);
        let same = |field: &Field<'b>| {
            field.known == known && (known != KnownName::Other || field.name.eq_ignore_ascii_case(name))
        };
        let Some(first) = self.fields.iter().position(same) else {
            return self.push(Field { name, value, known, is_sensitive: false });
        };
        self.fields[first].value = value;
        let mut index = 0;
        self.fields.retain(|field| {
            let keep = index <= first || !same(field);
            index += 1;
            keep
        });
        Ok(())
    }
}

/// The elements of a field that is a list, without empty ones: "a recipient MUST parse and ignore a reasonable number of
/// empty list elements" (RFC 9110 §5.6.1.2).
pub fn list_elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

#[cfg(test)]
impl<'b> Headers<'b> {
    /// A list of these names and values, for tests.
    pub(crate) fn of(fields: &[(&'b str, &'b str)]) -> Headers<'b> {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.push(Field::new(name.as_bytes(), value.as_bytes())).unwrap();
        }
        headers
    }
}

/// The names that Ringway itself acts on. Everything else is [`KnownName::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownName {
    Other,
    Connection,
    ContentLength,
    Cookie,
    Date,
    Expect,
    Host,
    KeepAlive,
    MaxForwards,
    ProxyConnection,
    Referer,
    Server,
    SetCookie,
    SlbId,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XForwardedClientSrcport,
    XForwardedElbId,
    XForwardedElbIp,
    XForwardedFor,
    XForwardedForPort,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XRealIp,
    XRequestId,
    /// `X-Forwarded-Clientcert*`, `X-Forwarded-TLS-*`, `Client-Cert` and `Client-Cert-Chain` (RFC 9440): only
    /// Ringway may state who a client is.
    ClientIdentity,
}

impl KnownName {
    /// The name's meaning, in any case. Names that backends read as the same one because they turn
    /// `_` into `-` count as the same here, where a forged copy would do harm.
    #[expect(clippy::cognitive_complexity, reason = "a table of names")]
    pub fn of(name: &[u8]) -> KnownName {
        let is = |known: &str| is_in_any_case(name, known.as_bytes());
        match name.len() {
            2 if is("te") => KnownName::Te,
            4 if is("host") => KnownName::Host,
            4 if is("date") => KnownName::Date,
            6 if is("cookie") => KnownName::Cookie,
            6 if is("expect") => KnownName::Expect,
            6 if is("server") => KnownName::Server,
            6 if same_for_backends(name, b"slb-id") => KnownName::SlbId,
            7 if is("upgrade") => KnownName::Upgrade,
            7 if is("trailer") => KnownName::Trailer,
            7 if is("referer") => KnownName::Referer,
            10 if is("set-cookie") => KnownName::SetCookie,
            10 if is("connection") => KnownName::Connection,
            10 if is("keep-alive") => KnownName::KeepAlive,
            10 if is("user-agent") => KnownName::UserAgent,
            11 if same_for_backends(name, b"client-cert") => KnownName::ClientIdentity,
            12 if is("max-forwards") => KnownName::MaxForwards,
            14 if is("content-length") => KnownName::ContentLength,
            16 if is("proxy-connection") => KnownName::ProxyConnection,
            17 if is("transfer-encoding") => KnownName::TransferEncoding,
            17 if same_for_backends(name, b"client-cert-chain") => KnownName::ClientIdentity,
            _ if name.first().is_some_and(|first| first | 0x20 == b'x') => KnownName::of_x(name),
            _ => KnownName::Other,
        }
    }

    /// Whether the field speaks to the next hop only, by its name (RFC 9110 §7.6.1).
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            KnownName::Connection
                | KnownName::KeepAlive
                | KnownName::ProxyConnection
                | KnownName::Te
                | KnownName::TransferEncoding
                | KnownName::Upgrade
        )
    }

    /// Whether a Connection field that names it takes it away (RFC 9110 §7.6.1). Not so what delimits
    /// the message, or tells a backend what it is asked for and by whom.
    pub fn can_be_nominated(self) -> bool {
        matches!(
            self,
            KnownName::Other
                | KnownName::Cookie
                | KnownName::Date
                | KnownName::MaxForwards
                | KnownName::Referer
                | KnownName::Server
                | KnownName::SetCookie
                | KnownName::Trailer
                | KnownName::UserAgent
                | KnownName::XRequestId
        )
    }

    fn bit(self) -> u64 {
        const { assert!((KnownName::ClientIdentity as u32) < u64::BITS, "every name has a bit of its own") };
        1 << self as u32
    }

    fn of_x(name: &[u8]) -> KnownName {
        const EXACT: [(&[u8], KnownName); 10] = [
            (b"x-forwarded-for", KnownName::XForwardedFor),
            (b"x-forwarded-proto", KnownName::XForwardedProto),
            (b"x-forwarded-port", KnownName::XForwardedPort),
            (b"x-forwarded-host", KnownName::XForwardedHost),
            (b"x-forwarded-client-srcport", KnownName::XForwardedClientSrcport),
            (b"x-forwarded-for-port", KnownName::XForwardedForPort),
            (b"x-forwarded-elb-ip", KnownName::XForwardedElbIp),
            (b"x-forwarded-elb-id", KnownName::XForwardedElbId),
            (b"x-real-ip", KnownName::XRealIp),
            (b"x-request-id", KnownName::XRequestId),
        ];
        const FORGEABLE: [&[u8]; 2] = [b"x-forwarded-clientcert", b"x-forwarded-tls-"];
        let starts_with =
            |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|start| same_for_backends(start, prefix));
        if FORGEABLE.iter().any(starts_with) {
            return KnownName::ClientIdentity;
        }
        let exact = EXACT.iter().find(|(known, _)| same_for_backends(name, known));
        exact.map_or(KnownName::Other, |&(_, known)| known)
    }
}

/// Whether a backend that maps names to environment variables (RFC 3875 §4.1.18) sees these as one.
pub fn same_for_backends(name: &[u8], known: &[u8]) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == known.len() && name.iter().zip(known).all(|(&byte, &known)| fold(byte) == fold(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'b>(headers: &Headers<'b>) -> Vec<(&'b str, &'b str)> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        headers.iter().map(|field| (text(field.name), text(field.value))).collect()
    }

    #[test]
    fn set_replaces_every_copy_and_keeps_the_first_spelling() {
        let mut headers = Headers::new();
        for (name, value) in [("A", "1"), ("x-Real-IP", "6.6.6.6"), ("B", "2"), ("X_REAL_IP", "7.7.7.7")] {
            headers.push(Field::new(name.as_bytes(), value.as_bytes())).unwrap();
        }
        headers.set(b"X-Real-IP", b"10.0.0.1").unwrap();
        headers.set(b"SLB-ID", b"edge").unwrap();
        assert_eq!(names(&headers), [("A", "1"), ("x-Real-IP", "10.0.0.1"), ("B", "2"), ("SLB-ID", "edge")]);
    }

    #[test]
    fn set_compares_unknown_names_without_case() {
        let mut headers = Headers::new();
        headers.push(Field::new(b"x-a", b"1")).unwrap();
        headers.push(Field::new(b"x-b", b"2")).unwrap();
        headers.set(b"X-B", b"3").unwrap();
        assert_eq!(names(&headers), [("x-a", "1"), ("x-b", "3")]);
    }

    #[test]
    fn names_are_known_in_any_case() {
        for (name, known) in [
            ("HOST", KnownName::Host),
            ("Transfer-Encoding", KnownName::TransferEncoding),
            ("transfer_encoding", KnownName::Other),
            ("X-FORWARDED-FOR", KnownName::XForwardedFor),
            ("x_forwarded_for", KnownName::XForwardedFor),
            ("X-Request_Id", KnownName::XRequestId),
            ("X-Forwarded-Clientcert-subjectdn", KnownName::ClientIdentity),
            ("x_forwarded_tls_sni", KnownName::ClientIdentity),
            ("CLIENT_CERT", KnownName::ClientIdentity),
            ("Client-Cert-Chain", KnownName::ClientIdentity),
            ("x-forwarded-tl", KnownName::Other),
            ("", KnownName::Other),
        ] {
            assert_eq!(KnownName::of(name.as_bytes()), known, "{name}");
        }
    }

    #[test]
    fn an_absent_name_is_not_found() {
        let mut headers = Headers::new();
        headers.push(Field::new(b"Host", b"a")).unwrap();
        assert!(headers.find(KnownName::Host).is_some());
        assert!(headers.find(KnownName::Expect).is_none());
        headers.remove(KnownName::Host);
        assert!(headers.find(KnownName::Host).is_none());
        headers.set(b"host", b"b").unwrap();
        assert_eq!(headers.find(KnownName::Host).map(|field| field.value), Some(&b"b"[..]));
        headers.clear();
        assert!(headers.find(KnownName::Host).is_none());
    }

    #[test]
    fn the_list_is_bounded() {
        let mut headers = Headers::new();
        for _ in 0..MAX_FIELDS {
            headers.push(Field::new(b"a", b"b")).unwrap();
        }
        assert_eq!(headers.push(Field::new(b"a", b"b")), Err(TooManyFields));
    }
}
