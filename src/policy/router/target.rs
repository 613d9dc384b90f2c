//! Hosts and targets of requests, in the form in which rules compare them.

use arrayvec::ArrayVec;

use crate::policy::router::MAX_HOST_BYTES;

/// Path and query; the query is empty without.
pub fn split_target(target: &[u8]) -> (&[u8], &[u8]) {
    let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    (target.get(..end).unwrap_or_default(), target.get(end + 1..).unwrap_or_default())
}

/// A host as rules compare it: in lower case, without its port, and without the dot at its end that names the root of all
/// domains (RFC 1034 §3.1): servers take `www.example.com.` for `www.example.com`. Empty if it is longer than any.
pub fn host_name(host: &[u8]) -> ArrayVec<u8, MAX_HOST_BYTES> {
    let end = match host.iter().rposition(|&byte| byte == b':') {
        // The colons of an IPv6 address stand in brackets.
        Some(colon) if !host.get(colon..).unwrap_or_default().contains(&b']') => colon,
        _ => host.len(),
    };
    let host = host.get(..end).unwrap_or_default();
    let mut name = ArrayVec::new();
    if name.try_extend_from_slice(host.strip_suffix(b".").unwrap_or(host)).is_ok() {
        name.make_ascii_lowercase();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_rules_compare_them() {
        for (host, expected) in [
            ("www.Example.com", "www.example.com"),
            ("a.b:8080", "a.b"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("www.example.com.", "www.example.com"),
            ("WWW.example.com.:80", "www.example.com"),
            ("", ""),
        ] {
            assert_eq!(&host_name(host.as_bytes())[..], expected.as_bytes());
        }
        assert!(host_name(&[b'a'; 256]).is_empty());
    }
}
