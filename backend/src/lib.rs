//! The panel: a self-hosted control panel for k3s high-availability clusters.
//!
//! `http -> {engine, store, auth, observe}`, `workflows -> steps -> world`, `store -> engine`; `app` and
//! `main` wire all, nothing imports `http`.

pub mod app;
pub mod audit;
pub mod auth;
pub mod config;
mod drill_tables;
mod drill_timeline;
pub mod http;
pub mod observe;
pub mod places;
pub mod planner;
pub mod serve;
pub mod steps;
pub mod store;
pub mod time;
pub mod vault;
pub mod wiring;
pub mod workflows;
pub mod world;
