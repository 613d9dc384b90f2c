//! tls_truncation
