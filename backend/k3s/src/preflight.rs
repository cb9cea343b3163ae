//! What a host is like before anything is done to it: a constant script that only looks, and the typed
//! facts in what it prints. And whether hosts reach each other.
//!
//! The script prints sections: `@section NAME`, content lines each behind a `|`, `@end`. A tool that is
//! missing makes a fact unknown (`None`), never the probe fail.

mod facts;
mod leftovers;
mod parse;
mod ports;
mod reach;
mod script;

pub use facts::{
    Architecture, ConfigFile, DatastoreKind, DiskSpace, Firewall, HostFacts, OsRelease,
    SystemdState, UnitState,
};
pub use leftovers::{Leftover, LeftoverKind, LeftoverPlace};
pub use parse::{ProbeError, parse_probe};
pub use ports::{ListeningPort, Protocol, SERVER_PORTS};
pub use reach::{REACH_SCRIPT, Reach, ReachError, Reachability, parse_reach};
pub use script::PROBE_SCRIPT;
