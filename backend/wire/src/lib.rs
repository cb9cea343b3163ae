//! JSON types of the panel's API (`/api/v1`), shared by the panel and the page in the browser.
//!
//! Depends on serde alone and builds for wasm. A type here is a promise to every client: fields are
//! added, never renamed or reused.

mod audit;
mod cluster;
mod drill;
mod error;
mod evidence;
mod form;
mod host;
mod id;
mod lines;
mod plan;
mod report;
mod run;
mod session;
mod snapshot;
mod stream;

pub use audit::*;
pub use cluster::*;
pub use drill::*;
pub use error::*;
pub use evidence::*;
pub use form::*;
pub use host::*;
pub use id::*;
pub use lines::*;
pub use plan::*;
pub use report::*;
pub use run::*;
pub use session::*;
pub use snapshot::*;
pub use stream::*;

/// Name of the request header that every POST, PUT and DELETE must carry: the session's
/// [`Session::csrf`], or any value on the two calls that come before a session (set-up, sign-in).
pub const CSRF_HEADER: &str = "x-coxswain-csrf";
