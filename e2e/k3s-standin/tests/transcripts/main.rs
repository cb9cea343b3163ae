//! The stand-in against what was recorded on a real k3s. Runs the real program as an ordinary process on loopback
//! addresses, over a real etcd; needs the program `etcd` (Debian: etcd-server) and nothing else.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod address;
mod api;
mod certificates;
mod cli;
mod cluster;
mod files;
mod installer;
mod joining;
mod lifecycle;
mod membership;
mod names;
mod recorded;
mod restore;
mod snapshots;
mod tokens;
mod wire;
mod workloads;
