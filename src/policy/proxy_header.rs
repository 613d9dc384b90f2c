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
