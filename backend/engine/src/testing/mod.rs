//! For tests of the engine and of workflows: runs in memory, a switch that kills the panel at a chosen
//! point, and the checks that every workflow gets for nothing ([`checks`]).

pub mod checks;
mod kill;
mod store;
pub mod store_checks;
mod wrap;

pub use kill::KillSwitch;
pub use store::MemoryStore;
pub use wrap::{
    Applied, Count, FailAt, FailFirst, HoldAt, KillAround, Layer, NoProbe, NoProbeUndone, NoUndo,
    NoUndoOfFailed, Twice, UnsureAt, When, layer,
};
