//! The only SQL. One file a table group; every change writes its audit entry in its own transaction.
//!
//! [`Db`] is the database, [`RunStore`] is the engine's view of it.

mod audit;
mod audit_check;
mod cluster_book;
mod clusters;
mod credentials;
mod db;
mod drills;
mod error;
mod host_rows;
mod host_use;
mod hosts;
mod meta;
mod output;
mod output_lines;
mod output_writer;
mod power;
mod run_list;
mod run_rows;
mod runs;
mod secrets;
mod sessions;
mod snapshots;
mod users;

pub use audit_check::{ChainReport, END_LOST, verify_file};
pub use cluster_book::{ClusterSecret, ClusterSecrets};
pub use clusters::ClusterInput;
pub use db::{Db, Tx};
pub use drills::EarlierRun;
pub use error::{ChangeError, DbError};
pub use hosts::{HostAccess, HostInput};
pub use output::MAX_CHUNK;
pub use output_lines::LineCounts;
pub use runs::RunStore;
pub use secrets::SealedSecret;
pub use sessions::SessionRow;
pub use snapshots::NewSnapshot;
pub use users::UserRow;
