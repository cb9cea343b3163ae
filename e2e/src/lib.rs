//! What the end-to-end tests are made of: the lab's hosts as a person sees them past the panel ([`lab`],
//! [`cluster`]), the panel as a process that can be killed ([`panel`]), a client of its API ([`operator`],
//! [`runs`]), and a real browser ([`browser`]).
//!
//! Nothing here shares code with the panel but the types of its API: what it says is compared with what the hosts
//! say themselves.

pub mod api;
pub mod browser;
pub mod cluster;
pub mod console;
mod driver;
pub mod environment;
pub mod exec;
pub mod held;
pub mod lab;
pub mod operator;
pub mod panel;
pub mod runs;
pub mod saved;
pub mod wait;
