//! The node's part: certificates from a server, the Node object, its Lease, its pods.

mod api;
mod bootstrap;
pub(crate) mod identity;
mod node;
mod pods;
mod run;

pub(crate) use bootstrap::Upstream;
pub(crate) use node::{Role, micro_now};
pub(crate) use run::{run, run_command};
