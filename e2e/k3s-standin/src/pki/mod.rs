//! Certificates: authorities, leaves, and the files k3s lays down (transcript 01).

mod authority;
mod ec_key;
pub(crate) mod files;
mod inspect;

pub(crate) use authority::{Authority, LeafSpec, Usage};
pub(crate) use ec_key::Key;
#[cfg(test)]
pub(crate) use inspect::certificate_names;
pub(crate) use inspect::{Detail, der_chain, details, sha1_fingerprint, subject};
