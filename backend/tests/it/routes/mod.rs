//! One file a resource, and what holds for every route.

mod audit;
mod clusters;
mod credentials;
mod every_route;
mod hosts;
mod kubeconfigs;
mod openapi;
mod page;
mod reports;
mod roles;
mod runs;
mod session;
mod snapshots;
mod stream;
mod tail;
mod users;
