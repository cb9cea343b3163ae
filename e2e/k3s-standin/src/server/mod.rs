//! The server: datastore, join, supervisor and API on :6443, controllers.

mod bootstrap_data;
pub(crate) mod datastore;
pub(crate) mod dynamic;
pub(crate) mod join;
pub(crate) mod kubeconfig;
pub(crate) mod listener;
pub(crate) mod objects;
pub(crate) mod options;
mod prepare;
pub(crate) mod reset;
pub(crate) mod run;
pub(crate) mod serving;
pub(crate) mod supervisor;
