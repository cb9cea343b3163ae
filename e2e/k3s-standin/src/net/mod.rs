//! HTTP over TLS, both sides' building blocks.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod tls;
