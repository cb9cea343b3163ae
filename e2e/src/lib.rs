//! What the end-to-end tests are made of: the lab's hosts as a person sees them past the panel ([`lab`]),
//! the panel as a process that can be killed ([`panel`]), and a real browser ([`browser`]).
//!
//! Nothing here shares code with the panel: what it says is compared with what the hosts say themselves.

pub mod browser;
pub mod console;
mod driver;
pub mod environment;
pub mod exec;
pub mod lab;
pub mod panel;
pub mod wait;
