//! What a backend learns of the client: `X-Forwarded-For` and its companions, and who the client is
//! when trusted proxies stand in between.

use std::io::Write;
use std::net::IpAddr;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::http::headers::list_elements;
use crate::policy::identity::Identity;
use crate::policy::trace::Trace;

/// What becomes of the client's `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedFor {
    /// Our peer's address is added at the end.
    Append,
    /// The field is taken out.
    Remove,
    /// The field stays as the client sent it.
    Preserve,
}

/// Which fields a listener adds to the requests it forwards.
///
/// A field that is on replaces whatever the client sent under its name; one that is off passes. What a trusted proxy
/// says of protocol, port and host stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedFields {
    pub x_forwarded_for: ForwardedFor,
    pub x_forwarded_proto: bool,
    pub x_forwarded_port: bool,
    pub x_forwarded_host: bool,
    pub x_forwarded_client_srcport: bool,
    pub x_forwarded_for_port: bool,
    pub x_real_ip: bool,
    /// A request gets an identity, or keeps that of a trusted proxy.
    pub x_request_id: bool,
    pub slb_id: bool,
}

/// What a listener adds to the requests it forwards.
#[derive(Clone, Debug)]
pub struct Forwarded {
    pub fields: ForwardedFields,
    /// The name of this load balancer: the value of `SLB-ID`.
    pub slb_id: String,
    /// The value of `X-Forwarded-ELB-IP`. None: it is not told.
    pub elb_ip: Option<String>,
    /// The value of `X-Forwarded-ELB-ID`. None: it is not told.
    pub elb_id: Option<String>,
    /// What is told of TLS and certificates.
    pub identity: Identity,
}

/// What is known of a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The TCP peer.
    pub peer: SocketAddr,
    /// The client, looking through trusted proxies.
    pub address: IpAddr,
    /// The peer is a trusted proxy: what it says of the client's own connection is believed.
    pub is_trusted: bool,
    pub listener_port: u16,
    pub scheme: &'static str,
    /// The host that the client asked for.
    pub host: &'a [u8],
    /// The identity of its request; empty where `X-Request-ID` is off.
    pub request_id: &'a [u8],
    /// The trace that it belongs to. None: requests are not traced.
    pub trace: Option<&'a Trace>,
}

impl Client<'_> {
    /// Whether the client asks by https, be it of us or of a trusted proxy.
    pub fn asks_by_https(&self, headers: &Headers<'_>) -> bool {
        let told = self.told(KnownName::XForwardedProto, headers);
        told.unwrap_or(self.scheme.as_bytes()).eq_ignore_ascii_case(b"https")
    }

    /// What a trusted proxy says under this name. Among several fields it is the last one, which is the peer's own. A name with
    /// underscores is another one to many proxies, which pass it as their clients sent it.
    fn told<'b>(&self, name: KnownName, headers: &Headers<'b>) -> Option<&'b [u8]> {
        if !self.is_trusted {
            return None;
        }
        let fields = headers.find_all(name).filter(|field| !field.name.contains(&b'_'));
        fields.map(|field| field.value).filter(|value| !value.is_empty()).last()
    }
}

/// The names in the order in which they are written, with their usual spelling.
static ADDED: [(KnownName, &[u8]); 11] = [
    (KnownName::XForwardedFor, b"X-Forwarded-For"),
    (KnownName::XForwardedProto, b"X-Forwarded-Proto"),
    (KnownName::XForwardedPort, b"X-Forwarded-Port"),
    (KnownName::XForwardedHost, b"X-Forwarded-Host"),
    (KnownName::XForwardedClientSrcport, b"X-Forwarded-Client-srcport"),
    (KnownName::XForwardedForPort, b"X-Forwarded-For-Port"),
    (KnownName::XForwardedElbIp, b"X-Forwarded-ELB-IP"),
    (KnownName::XForwardedElbId, b"X-Forwarded-ELB-ID"),
    (KnownName::XRealIp, b"X-Real-IP"),
    (KnownName::XRequestId, b"X-Request-ID"),
    (KnownName::SlbId, b"SLB-ID"),
];

impl Forwarded {
    /// Whether this field of the client's own must not pass.
    pub fn withholds(&self, field: &Field<'_>) -> bool {
        match field.known {
            // Only Ringway may state what a client's certificate said.
            KnownName::ClientIdentity => true,
            KnownName::XForwardedFor => self.fields.x_forwarded_for != ForwardedFor::Preserve,
            KnownName::Other => self.identity.withholds(field.name),
            known => self.adds(known),
        }
    }

    /// What a Connection field of the client must not take away, besides what it never can: through a proxy that
    /// passes Connection on, a client could undo what that proxy says of it.
    pub fn protected(&self) -> Option<KnownName> {
        self.fields.x_request_id.then_some(KnownName::XRequestId)
    }

    /// The lines of the client's trailer section, or none of them if one could be taken for a field that is added. For
    /// so rare a case it may take the others along (RFC 9112 §7.1.2).
    pub fn passing_trailers<'t>(&self, lines: &'t [u8]) -> &'t [u8] {
        let is_forged = |line: &[u8]| {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            KnownName::of(name) == KnownName::XRequestId
        };
        let is_suspect = self.fields.x_request_id && lines.split(|&byte| byte == b'\n').any(is_forged);
        if is_suspect { b"" } else { lines }
    }

    /// Calls `write` with each field to add. `value` is memory for building values in.
    pub fn for_each_added(
        &self,
        headers: &Headers<'_>,
        client: &Client<'_>,
        value: &mut Vec<u8>,
        mut write: impl FnMut(&[u8], &[u8]),
    ) {
        for &(known, usual_spelling) in &ADDED {
            if !self.adds(known) {
                continue;
            }
            value.clear();
            self.build_value(known, headers, client, value);
            // A field keeps the client's spelling, but the list of addresses is always canonical, and
            // so is what was spelt with underscores: a backend would not find it.
            let spelling = match headers.find(known) {
                Some(Field { name, .. })
                    if known != KnownName::XForwardedFor && name.eq_ignore_ascii_case(usual_spelling) =>
                {
                    *name
                }
                _ => usual_spelling,
            };
            write(spelling, value);
        }
    }

    fn adds(&self, name: KnownName) -> bool {
        match name {
            KnownName::XForwardedFor => self.fields.x_forwarded_for == ForwardedFor::Append,
            KnownName::XForwardedProto => self.fields.x_forwarded_proto,
            KnownName::XForwardedPort => self.fields.x_forwarded_port,
            KnownName::XForwardedHost => self.fields.x_forwarded_host,
            KnownName::XForwardedClientSrcport => self.fields.x_forwarded_client_srcport,
            KnownName::XForwardedForPort => self.fields.x_forwarded_for_port,
            KnownName::XForwardedElbIp => self.elb_ip.is_some(),
            KnownName::XForwardedElbId => self.elb_id.is_some(),
            KnownName::XRealIp => self.fields.x_real_ip,
            KnownName::XRequestId => self.fields.x_request_id,
            KnownName::SlbId => self.fields.slb_id,
            _ => false,
        }
    }

    fn build_value(&self, name: KnownName, headers: &Headers<'_>, client: &Client<'_>, value: &mut Vec<u8>) {
        match name {
            KnownName::XForwardedFor => {
                let fields = headers.find_all(KnownName::XForwardedFor);
                for element in fields.flat_map(|field| list_elements(field.value)) {
                    value.extend_from_slice(element);
                    value.extend_from_slice(b", ");
                }
                push_ip(value, client.peer.ip());
            }
            KnownName::XForwardedProto | KnownName::XForwardedPort | KnownName::XForwardedHost => {
                match client.told(name, headers) {
                    Some(told) => value.extend_from_slice(told),
                    None if name == KnownName::XForwardedProto => {
                        value.extend_from_slice(client.scheme.as_bytes());
                    }
                    None if name == KnownName::XForwardedPort => push_number(value, client.listener_port),
                    None => value.extend_from_slice(client.host),
                }
            }
            KnownName::XForwardedClientSrcport | KnownName::XForwardedForPort => {
                push_number(value, client.peer.port());
            }
            KnownName::XForwardedElbIp => {
                value.extend_from_slice(self.elb_ip.as_deref().unwrap_or_default().as_bytes())
            }
            KnownName::XForwardedElbId => {
                value.extend_from_slice(self.elb_id.as_deref().unwrap_or_default().as_bytes())
            }
            KnownName::XRealIp => push_ip(value, client.address),
            KnownName::XRequestId => value.extend_from_slice(client.request_id),
            KnownName::SlbId => value.extend_from_slice(self.slb_id.as_bytes()),
            _ => unreachable!("only the names of ADDED are built"),
        }
    }
}

/// The addresses that may say on whose behalf they speak.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    /// One entry covers every address: the leftmost element is believed.
    everyone: bool,
    /// In lower case: a field that tells who the client is before `X-Forwarded-For` does.
    real_ip_header: Option<String>,
}

impl TrustedProxies {
    pub fn new(networks: Vec<IpNet>, real_ip_header: Option<String>) -> TrustedProxies {
        let everyone = networks.iter().any(|network| network.prefix_len() == 0);
        TrustedProxies { networks, everyone, real_ip_header }
    }

    /// Who the client is: from the right of `X-Forwarded-For`, the first address that is not
    /// trusted; the leftmost if all are; the peer if it is not trusted itself. An element that is no
    /// address ends the search at the last good one. A request with the header for real addresses is searched for it
    /// in that one instead.
    pub fn client(&self, peer: IpAddr, headers: &Headers<'_>) -> IpAddr {
        if self.networks.is_empty() || !self.trusts(peer) {
            return peer;
        }
        if let Some(name) = &self.real_ip_header {
            let is_named = |field: &Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
            if headers.iter().any(is_named) {
                return self.search(peer, headers, is_named);
            }
        }
        self.search(peer, headers, |field| field.known == KnownName::XForwardedFor)
    }

    /// Searches the list of addresses in the fields that `is_list` chooses.
    fn search(&self, peer: IpAddr, headers: &Headers<'_>, is_list: impl Fn(&Field<'_>) -> bool) -> IpAddr {
        if self.everyone {
            let first = headers.iter().find(|field| is_list(field));
            let leftmost = first.and_then(|field| list_elements(field.value).next());
            return leftmost.and_then(parse_element).unwrap_or(peer);
        }
        let mut client = peer;
        // The list may be spread over several fields, and an ArrayVec iterates from both ends.
        for field in headers.iter().rev().filter(|field| is_list(field)) {
            for element in list_elements(field.value).rev() {
                let Some(address) = parse_element(element) else { return client };
                client = address;
                if !self.trusts(address) {
                    return client;
                }
            }
        }
        client
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        self.everyone || self.networks.iter().any(|network| network.contains(&address))
    }
}

/// An address as proxies write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`.
fn parse_element(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element.trim_ascii()).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

/// Every octet of an IPv4 address in decimal with a dot behind it, and how long that is.
static OCTETS: [([u8; 4], u8); 256] = {
    let mut table = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let mut at = if octet >= 100 {
            0
        } else if octet >= 10 {
            1
        } else {
            2
        };
        while at < 3 {
            let (shown, count) = &mut table[octet];
            shown[*count as usize] = b'0' + digits[at] as u8;
            *count += 1;
            at += 1;
        }
        table[octet].1 += 1;
        octet += 1;
    }
    table
};

fn push_ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            // As much is written each time as any octet may need: its digits, and the dot.
            let mut digits = [0; "255.255.255.255.".len()];
            let mut length = 0;
            for octet in v4.octets() {
                let (shown, count) = OCTETS[usize::from(octet)];
                digits[length..length + 4].copy_from_slice(&shown);
                length += usize::from(count);
            }
            let start = out.len();
            out.extend_from_slice(&digits);
            out.truncate(start + length - 1);
        }
        // Writing to a vector cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Decimal digits without the machinery of formatting: this runs for every request.
fn push_number(out: &mut Vec<u8>, number: u16) {
    let digit = |value: u16| b'0' + (value % 10) as u8;
    let digits = [
        digit(number / 10_000),
        digit(number / 1000),
        digit(number / 100),
        digit(number / 10),
        digit(number),
    ];
    let first = match number {
        0..10 => 4,
        10..100 => 3,
        100..1000 => 2,
        1000..10_000 => 1,
        10_000.. => 0,
    };
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::identity::Fact;

    fn everything() -> Forwarded {
        Forwarded {
            fields: ForwardedFields {
                x_forwarded_for: ForwardedFor::Append,
                x_forwarded_proto: true,
                x_forwarded_port: true,
                x_forwarded_host: true,
                x_forwarded_client_srcport: true,
                x_forwarded_for_port: true,
                x_real_ip: true,
                x_request_id: true,
                slb_id: true,
            },
            slb_id: "edge-1".to_owned(),
            elb_ip: Some("192.0.2.1".to_owned()),
            elb_id: Some("lb-1".to_owned()),
            identity: Identity::default(),
        }
    }

    fn withholds(forwarded: &Forwarded, name: &str) -> bool {
        forwarded.withholds(&Field::new(name.as_bytes(), b""))
    }

    fn added(forwarded: &Forwarded, headers: &Headers<'_>) -> Vec<String> {
        added_for(forwarded, headers, false)
    }

    fn added_for(forwarded: &Forwarded, headers: &Headers<'_>, is_trusted: bool) -> Vec<String> {
        let client = Client {
            peer: "10.0.0.5:50123".parse().unwrap(),
            address: "192.0.2.9".parse().unwrap(),
            is_trusted,
            listener_port: 8080,
            scheme: "http",
            host: b"example.com",
            request_id: b"7f3b",
            trace: None,
        };
        let mut lines = Vec::new();
        forwarded.for_each_added(headers, &client, &mut Vec::new(), |name, value| {
            lines.push(String::from_utf8([name, b": ", value].concat()).unwrap());
        });
        lines
    }

    #[test]
    fn every_field_in_its_usual_spelling() {
        assert_eq!(
            added(&everything(), &Headers::of(&[])),
            [
                "X-Forwarded-For: 10.0.0.5",
                "X-Forwarded-Proto: http",
                "X-Forwarded-Port: 8080",
                "X-Forwarded-Host: example.com",
                "X-Forwarded-Client-srcport: 50123",
                "X-Forwarded-For-Port: 50123",
                "X-Forwarded-ELB-IP: 192.0.2.1",
                "X-Forwarded-ELB-ID: lb-1",
                "X-Real-IP: 192.0.2.9",
                "X-Request-ID: 7f3b",
                "SLB-ID: edge-1",
            ]
        );
    }

    #[test]
    fn a_clients_copy_gives_its_spelling_but_never_its_value() {
        let sent = Headers::of(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
        ]);
        let lines = added(&everything(), &sent);
        assert_eq!(lines[0], "X-Forwarded-For: 6.6.6.6, 7.7.7.7, 10.0.0.5");
        assert!(lines.contains(&"x-real-ip: 192.0.2.9".to_owned()));
        assert!(withholds(&everything(), "X-Real-IP"));
        assert!(withholds(&everything(), "x_request_id"));
    }

    #[test]
    fn what_a_trusted_proxy_says_of_the_clients_connection_stays() {
        let sent = Headers::of(&[
            ("X-Forwarded-Proto", "http"),
            ("x-forwarded-proto", "https"),
            ("X_Forwarded_Proto", "gopher"),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Host", "shop.example"),
            ("X-Real-IP", "6.6.6.6"),
        ]);
        let lines = added_for(&everything(), &sent, true);
        for line in [
            "X-Forwarded-Proto: https",
            "X-Forwarded-Port: 443",
            "X-Forwarded-Host: shop.example",
            "X-Real-IP: 192.0.2.9",
        ] {
            assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
        }
        let replaced = ["X-Forwarded-Proto: http", "X-Forwarded-Port: 8080", "X-Forwarded-Host: example.com"];
        for (sent, is_trusted) in [
            (sent, false),
            (Headers::of(&[]), true),
            (Headers::of(&[("X-Forwarded-Proto", ""), ("X-Forwarded-Port", "")]), true),
        ] {
            let lines = added_for(&everything(), &sent, is_trusted);
            assert!(replaced.iter().all(|line| lines.contains(&(*line).to_owned())), "{lines:?}");
        }
    }

    #[test]
    fn what_is_off_passes_except_claims_about_certificates() {
        let off = Forwarded {
            fields: ForwardedFields {
                x_forwarded_for: ForwardedFor::Preserve,
                x_forwarded_proto: false,
                x_forwarded_port: false,
                x_forwarded_host: false,
                x_forwarded_client_srcport: false,
                x_forwarded_for_port: false,
                x_real_ip: false,
                x_request_id: false,
                slb_id: false,
            },
            slb_id: String::new(),
            elb_ip: None,
            elb_id: None,
            identity: Identity::default(),
        };
        assert_eq!(added(&off, &Headers::of(&[])), Vec::<String>::new());
        assert!(!withholds(&off, "X-Forwarded-For"));
        assert!(!withholds(&off, "Host"));
        assert!(!withholds(&off, "X-Request-ID"));
        assert_eq!(off.protected(), None);
        assert!(withholds(&off, "x_forwarded_clientcert"));
        assert!(withholds(&off, "Client-Cert"));
        assert!(!withholds(&off, "X-Subject"));
        let subject = (Fact::SubjectDn, Some("x-subject".to_owned()));
        let told = Forwarded { identity: Identity::new(vec![subject]), ..off.clone() };
        assert!(withholds(&told, "X_Subject"));
        let removing = Forwarded {
            fields: ForwardedFields { x_forwarded_for: ForwardedFor::Remove, ..off.fields },
            ..off
        };
        assert!(withholds(&removing, "X-Forwarded-For"));
        assert_eq!(added(&removing, &Headers::of(&[])), Vec::<String>::new());
    }

    #[test]
    fn trailers_forge_no_identity() {
        let on = everything();
        let off = Forwarded { fields: ForwardedFields { x_request_id: false, ..on.fields }, ..everything() };
        for (lines, passes) in [
            (&b""[..], true),
            (b"a: x-request-id\r\nx-request-ids:1\r\n", true),
            (b"a: 1\r\nX_Request_ID: forged\r\n", false),
            (b"x-request-id:forged\r\na: 1\r\n", false),
        ] {
            assert_eq!(on.passing_trailers(lines), if passes { lines } else { b"" });
            assert_eq!(off.passing_trailers(lines), lines);
        }
    }

    #[test]
    fn the_client_behind_trusted_proxies() {
        let inner = ["10.0.0.0/8", "fd00::/8"];
        for (trusted, peer, lists, client) in [
            (&inner[..], "10.0.0.5", &["6.6.6.6, 192.0.2.9, 10.1.1.1"][..], "192.0.2.9"),
            (&inner, "10.0.0.5", &["6.6.6.6", "192.0.2.9, 10.1.1.1"], "192.0.2.9"),
            (&inner, "203.0.113.1", &["192.0.2.9"], "203.0.113.1"),
            (&inner, "10.0.0.5", &["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            (&inner, "10.0.0.5", &["192.0.2.9, unknown, 10.1.1.1"], "10.1.1.1"),
            (&inner, "10.0.0.5", &["192.0.2.9:4711"], "192.0.2.9"),
            (&inner, "fd00::1", &["[2001:db8::1]:80"], "2001:db8::1"),
            (&inner, "fd00::1", &["[2001:db8::1]"], "2001:db8::1"),
            (&inner, "10.0.0.5", &[""], "10.0.0.5"),
            (&inner, "10.0.0.5", &[], "10.0.0.5"),
            (&[], "10.0.0.5", &["192.0.2.9"], "10.0.0.5"),
            (&["0.0.0.0/0"], "203.0.113.1", &["6.6.6.6, 192.0.2.9"], "6.6.6.6"),
            (&["0.0.0.0/0"], "203.0.113.1", &["junk, 192.0.2.9"], "203.0.113.1"),
        ] {
            let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
            let fields: Vec<_> = lists.iter().map(|list| ("X-Forwarded-For", *list)).collect();
            let found =
                TrustedProxies::new(trusted, None).client(peer.parse().unwrap(), &Headers::of(&fields));
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {lists:?}");
        }
    }

    #[test]
    fn a_cdn_names_the_client_in_a_field_of_its_own() {
        let trusted = || vec!["10.0.0.0/8".parse().unwrap()];
        let proxies = TrustedProxies::new(trusted(), Some("cf-connecting-ip".to_owned()));
        let of = |name: &'static str, value: &'static str| [("X-Forwarded-For", "6.6.6.6"), (name, value)];
        for (peer, fields, client) in [
            ("10.0.0.5", of("CF-Connecting-IP", "192.0.2.9"), "192.0.2.9"),
            ("10.0.0.5", of("cf-connecting-ip", "192.0.2.9, 10.1.1.1"), "192.0.2.9"),
            ("10.0.0.5", of("CF-Connecting-IP", "nobody"), "10.0.0.5"),
            ("10.0.0.5", of("X-Other", "192.0.2.9"), "6.6.6.6"),
            ("203.0.113.1", of("CF-Connecting-IP", "192.0.2.9"), "203.0.113.1"),
        ] {
            let found = proxies.client(peer.parse().unwrap(), &Headers::of(&fields));
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {fields:?}");
        }
        let everyone = vec!["0.0.0.0/0".parse().unwrap()];
        let proxies = TrustedProxies::new(everyone, Some("true-client-ip".to_owned()));
        let headers = Headers::of(&[("True-Client-IP", "2001:db8::1")]);
        let found = proxies.client("203.0.113.1".parse().unwrap(), &headers);
        assert_eq!(found, "2001:db8::1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn addresses_without_formatting() {
        for text in ["0.0.0.0", "1.20.255.9", "255.255.255.255", "10.0.100.199", "2001:db8::1"] {
            let mut out = Vec::new();
            push_ip(&mut out, text.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn numbers_without_formatting() {
        for number in [0, 1, 9, 10, 99, 100, 255, 1000, 65535] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
