//! Workflows in the world in memory: forms, plans, evidence, and the checks that every workflow gets.

mod certificate_rotation;
mod command;
mod conformance;
mod drain;
mod drill;
mod evidence;
mod foreign_balancer;
mod forget_password;
mod forms;
mod help;
mod join;
mod lab;
mod move_token;
mod panel;
mod quorum;
mod remove_node;
mod replace_node;
mod restart;
mod run;
mod san_change;
mod served_names;
mod snapshot_restore;
mod stuck_pods;
mod token_rotation;
mod uninstall;
mod upgrade;
