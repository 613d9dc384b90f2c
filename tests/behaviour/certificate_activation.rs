//! certificate_activation
