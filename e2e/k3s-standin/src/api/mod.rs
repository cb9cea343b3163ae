//! A small Kubernetes API over etcd.

mod apply;
pub(crate) mod auth;
mod columns;
mod discovery;
mod eviction;
mod handler;
mod health;
mod object;
pub(crate) mod patch;
mod query;
mod request;
pub(crate) mod resources;
mod scale;
pub(crate) mod selector;
pub(crate) mod status;
pub(crate) mod store;
mod table;
mod watch;

pub(crate) use eviction::{Coverage, DeleteOptions, delete};
pub(crate) use handler::Api;
pub(crate) use object::suffix;
