//! identity_headers
