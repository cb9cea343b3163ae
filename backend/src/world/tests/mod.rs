//! The real world against a real sshd, and TLS and API servers made here, all on loopback.

mod commands;
mod kube;
mod network;
mod sshd;
mod tls;
mod tls_server;
mod trust;
