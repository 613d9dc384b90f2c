//! tls_versions
