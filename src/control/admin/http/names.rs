//! What clients may call the server, and which pages may ask.
//!
//! Any web page reaches a port of loopback through the browser of whoever looks at it, so that `Host` and `Origin` are
//! looked at before anything is answered.

use std::net::IpAddr;

/// What clients may call the server.
pub(super) enum OwnNames {
    /// Whoever can open the socket is no browser.
    Any,
    Known {
        address: IpAddr,
        hosts: Vec<String>,
    },
}

impl OwnNames {
    /// Whether this is one of its names, with a port or without.
    pub(super) fn contain(&self, host: &str) -> bool {
        let OwnNames::Known { address, hosts } = self else { return true };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let is_own = |literal: IpAddr| literal == *address || address.is_unspecified();
        literal.parse().is_ok_and(is_own)
            || name.eq_ignore_ascii_case("localhost")
            || hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Whether a page of this origin (RFC 6454 §7) came from the host that it asks. Who secures the connection in front of this
/// server is not known here, so both schemes will do.
pub(super) fn is_same_origin(origin: &str, host: &str) -> bool {
    let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    page.is_some_and(|page| page.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_has_its_address_and_its_names() {
        let hosts = vec!["edge.example".to_owned()];
        let names = OwnNames::Known { address: [127, 0, 0, 1].into(), hosts };
        for (host, is_known) in [
            ("127.0.0.1", true),
            ("127.0.0.1:9180", true),
            ("localhost:9180", true),
            ("EDGE.example", true),
            ("edge.example:80", true),
            ("127.0.0.2", false),
            ("[::1]:9180", false),
            ("rebound.example", false),
            ("127.0.0.1.rebound.example", false),
            ("", false),
        ] {
            assert_eq!(names.contain(host), is_known, "{host}");
        }
        let names = OwnNames::Known { address: std::net::Ipv6Addr::LOCALHOST.into(), hosts: Vec::new() };
        assert!(names.contain("[::1]:9180") && names.contain("[::1]"));
        // Whoever listens at all addresses does not know by which it is reached, but a name is no address.
        let names = OwnNames::Known { address: [0, 0, 0, 0].into(), hosts: Vec::new() };
        assert!(names.contain("192.0.2.7:9180") && !names.contain("rebound.example"));
    }

    #[test]
    fn only_pages_of_the_very_host_may_ask() {
        for (origin, is_same) in [
            ("http://localhost:9180", true),
            ("https://LOCALHOST:9180", true),
            ("http://localhost", false),
            ("http://localhost:1", false),
            ("foo://localhost:9180", false),
            ("null", false),
        ] {
            assert_eq!(is_same_origin(origin, "localhost:9180"), is_same, "{origin}");
        }
    }
}
