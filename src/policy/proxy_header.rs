//! Whether backends are told of their clients by the PROXY protocol, and of what.

/// The terms of a server group whose connections begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeaderTerms {
    pub version: ProxyVersion,
    /// What the header of a trusted hop in front of us tells besides addresses goes into ours. Version 2 only.
    pub passes_tlvs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    V2,
}

impl ProxyVersion {
    /// The header of a connection that serves no client, such as that of a health check: "the receiver must accept this
    /// connection as valid and must use the real connection endpoints" (`doc/proxy-protocol.txt` §2.2; §2.1 for version 1).
    pub fn header_of_nobody(self) -> &'static [u8] {
        match self {
            ProxyVersion::V1 => b"PROXY UNKNOWN\r\n",
            ProxyVersion::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        }
    }
}
