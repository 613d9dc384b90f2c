//! What the protocols of listeners and groups have in common.

/// Listeners whose connections or datagrams are relayed without a look into them.
pub(in crate::control::elb) fn is_relayed(protocol: &str) -> bool {
    matches!(protocol, "TCP" | "TLS" | "UDP")
}

/// Those that speak TLS with their clients, and so have certificates.
pub(in crate::control::elb) fn is_secured(protocol: &str) -> bool {
    matches!(protocol, "HTTPS" | "TLS" | "QUIC")
}

/// Those at ports of UDP, which are apart from those of TCP.
pub(in crate::control::elb) fn is_of_datagrams(protocol: &str) -> bool {
    matches!(protocol, "UDP" | "QUIC")
}

/// Groups that are used in the same way by listeners of TCP, TLS and UDP.
pub(in crate::control::elb) fn is_relayed_group(protocol: &str) -> bool {
    matches!(protocol, "TCP" | "TLS" | "UDP" | "QUIC")
}
