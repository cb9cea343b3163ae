//! The panel as a whole: the real router over a private database, with machines that exist only in memory.
//! `routes/` follows the URLs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod audit;
mod conformance;
mod layering;
mod process;
mod restored;
mod routes;
mod support;
mod vault;
