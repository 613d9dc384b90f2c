//! https_backends
