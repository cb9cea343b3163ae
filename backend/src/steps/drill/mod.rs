//! What the steps of a failover drill share: the faults, the timer that ends them without the panel, what is seen
//! meanwhile, and the report made of it.

pub(crate) mod dates;
pub(crate) mod fault;
mod hypothesis;
pub(crate) mod points;
pub(crate) mod power;
mod probe;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod score;
pub(crate) mod scripts;
pub(crate) mod survivors;
pub(crate) mod timer;
pub(crate) mod track;
pub(crate) mod watch;

pub use fault::Fault;
pub use watch::Watched;
