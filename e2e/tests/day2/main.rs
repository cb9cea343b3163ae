//! Every procedure of day 2 on a running cluster: each once through, and with its most telling failure.
//!
//! `cargo xtask test --only day-2` runs them, with `--matching join::` only those of `join`. Each test gets a lab as it was right after a bootstrap, in seconds,
//! with a panel that knows it: three servers behind `lb`, and `node4`, enrolled and bare. What a test did to
//! hosts or panel, also a host without power, is gone for the next one.
//!
//! To add one:
//!
//! 1. A file here, named after its workflow, with `mod` below; each test is `on_the_lab(async |day| …)`.
//! 2. Act through `day.operator` (`complete`, or `start`, `approve`, `reach`, `command`): the panel's own API.
//! 3. Look through `day.lab` and `coxswain_e2e::cluster`, over the lab's SSH: never believe the panel.
//! 4. Break things by `day.lab` (`ssh`, `power_off`, `power_on`), `day.panel` (`kill`, `launch`), or hold an
//!    installer (`coxswain_e2e::held`).
//! 5. The telling failure: `refused`, `failing(evidence)` or `failure(run)` has k3s's own words in it.
//! 6. No sleeps: `until`, with a deadline. One minute a test is plenty.
//! 7. The stand-in's timers run at [`day::SCALE`]. A test that needs them real is `in_real_time`, marked
//!    `#[ignore = "takes minutes: cargo xtask test --full"]`.
//! 8. Failed? Journals and the panel's log lie in `target/e2e/day2/<test>`.

mod certificate_rotation;
mod command;
mod day;
mod failover_drill;
mod import;
mod join;
mod load_balancer;
mod power;
mod remove_node;
mod replace_node;
mod san_change;
mod snapshot;
mod stuck_pods;
mod token_rotation;
mod uninstall;
mod upgrade;
