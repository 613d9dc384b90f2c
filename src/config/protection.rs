//! Who may change a table by the API. Files are not bound by it.

/// `deletion_protection` and `modification_protection`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// It is not deleted.
    pub deletion: bool,
    /// Why it is not changed; None: it may be.
    pub modification: Option<String>,
}
