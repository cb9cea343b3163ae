//! Identifiers and points in time.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id! {
    /// A user of the panel.
    UserId,
    /// A machine of the inventory.
    HostId,
    /// A cluster of the inventory.
    ClusterId,
    /// An SSH credential (key pair).
    CredentialId,
    /// A secret in the vault; the value itself never travels.
    SecretId,
    /// One execution of a plan.
    RunId,
    /// An etcd snapshot that the panel has taken.
    SnapshotId,
    /// A point in time, Unix milliseconds UTC.
    Timestamp,
}
