//! What k3s is, as pure functions: text in, typed values out, and back. No I/O: no process, no file,
//! no clock, no randomness. Facts are cited as in the project's facts on k3s (part A recorded, B read).
//!
//! One module is one kind of text: what a host prints ([`preflight`]), what the installer takes
//! ([`install`]), what k3s writes ([`journal`], [`kubeconfig`], [`certs`], [`token`]) and so on.

pub mod certs;
pub mod config_yaml;
pub mod critical;
pub mod env_file;
pub mod etcd;
pub mod flags;
pub mod haproxy;
pub mod install;
pub mod journal;
pub mod kubeconfig;
pub mod names;
pub mod preflight;
pub mod redact;
pub mod restore;
pub mod rotation;
pub mod san_origin;
pub mod sans;
pub mod serving;
pub mod settings;
pub mod snapshot;
pub mod token;
pub mod token_place;
pub mod unit_file;
pub mod unit_token;
pub mod upgrade;
