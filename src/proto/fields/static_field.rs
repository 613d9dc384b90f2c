//! Fields that both sides know from the start (RFC 7541 Appendix A, RFC 9204 Appendix A).

use crate::http::headers::KnownName;

/// An entry of a static table.
pub(in crate::proto) struct StaticField {
    pub(in crate::proto) name: &'static [u8],
    pub(in crate::proto) value: &'static [u8],
    /// What [`KnownName::of`] makes of the name.
    pub(in crate::proto) known: KnownName,
}
