//! What the world must know about a host to reach it, and what it reports about one.

use std::time::Duration;

use async_trait::async_trait;
use coxswain_wire::{HostId, HostKey};

use super::{Result, Secret};

/// Where the world learns about hosts: the inventory.
#[async_trait]
pub trait HostBook: Send + Sync {
    /// A host as it is now, none if the inventory has no such host.
    ///
    /// # Errors
    /// [`super::WorldError::Local`] if the inventory cannot be read.
    async fn host(&self, id: HostId) -> Result<Option<HostConnection>>;
}

/// How to reach a host over SSH.
#[derive(Clone, Debug)]
pub struct HostConnection {
    /// Identifier.
    pub id: HostId,
    /// Host name, for messages.
    pub name: String,
    /// Where sshd is reached: DNS name or IP address.
    pub address: String,
    /// TCP port of sshd.
    pub port: u16,
    /// Login user: root, or a user with `sudo -n`.
    pub user: String,
    /// The pinned host keys, each `<algorithm> <base64>`. Empty: not enrolled, no session is opened.
    pub pinned: Vec<String>,
    /// Private key in OpenSSH's format, not passphrase-protected.
    pub private_key: Secret,
    /// Differs after every change of the fields above: open connections of another generation are dropped.
    pub generation: u64,
}

/// A host key that sshd showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedKey {
    /// For people.
    pub key: HostKey,
    /// For the inventory once confirmed: `<algorithm> <base64>`, see [`HostConnection::pinned`].
    pub public_key: String,
}

/// A look at a host's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Host minus panel, milliseconds, the middle of the round trip taken as the moment of reading.
    pub offset_ms: i64,
    /// The offset is off by at most half of this.
    pub round_trip: Duration,
}
