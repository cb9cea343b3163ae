//! The database underneath: Debian's `etcd` as a child process, spoken to over its JSON gateway.

mod gateway;
mod kv;
mod members;
pub(crate) mod process;
mod snapshot;
mod watch;

pub(crate) use gateway::{Etcd, EtcdError};
pub(crate) use kv::{Entry, Saved};
pub(crate) use members::Member;
pub(crate) use watch::{WatchEvent, WatchItem};
