//! Durable, approval-gated runs.
//!
//! Truth is the event log of a run; everything else is a cache of it. The core is pure:
//! [`fold`] is the only transition table, [`decide`](decide::decide) says what
//! comes next and serves normal running and recovery alike, and [`handle`](handle::handle) turns what a
//! person wants into events or a refusal. [`runner`] is the only writer of a run's log, [`drive`] does
//! one step (probe, apply, probe). The crate knows no HTTP, SQL, SSH or Kubernetes: those stand behind
//! [`Store`](store::Store), [`StepKind`](step::StepKind) and [`Preflight`](evidence::Preflight).

mod activity;
mod batch;
pub mod decide;
mod drive;
pub mod engine;
pub mod event;
pub mod evidence;
pub mod fold;
pub mod handle;
pub mod plan;
mod runner;
pub mod state;
pub mod step;
pub mod store;
mod taking;
mod undo;
pub mod unwind;
pub mod view;

pub mod testing;
