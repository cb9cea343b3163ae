//! Hosts, their enrolment, and SSH credentials.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, CredentialId, HostId, Timestamp};

/// An SSH key pair. The private key lives in the vault and has no way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Credential {
    /// Identifier.
    pub id: CredentialId,
    /// A name people choose it by; unique.
    pub name: String,
    /// Public half in OpenSSH's one-line format, to put into `authorized_keys`.
    pub public_key: String,
    /// When it was made or pasted.
    pub created_at: Timestamp,
}

/// `POST /credentials`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    /// Unique name.
    pub name: String,
    /// An OpenSSH private key without passphrase; when absent the panel generates an Ed25519 pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
}

/// A machine reachable over SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Host {
    /// Identifier.
    pub id: HostId,
    /// Host name, unique; becomes the Kubernetes node name.
    pub name: String,
    /// Where SSH is reached: DNS name or IP address.
    pub ssh_address: String,
    /// TCP port of sshd.
    pub ssh_port: u16,
    /// Login user: root, or a user with `sudo -n`.
    pub ssh_user: String,
    /// IP address that k3s uses between nodes.
    pub node_address: String,
    /// Key pair to sign in with.
    pub credential: CredentialId,
    /// Whether its host keys are pinned.
    pub enrolment: Enrolment,
    /// The cluster it belongs to, if any.
    pub cluster: Option<ClusterId>,
    /// Result of the latest connection test.
    pub last_test: Option<ConnectionTest>,
    /// How its power is switched, if the panel can do that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerControl>,
    /// Set while it must be cleaned before it is used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclean: Option<Unclean>,
}

/// A cluster gave the host up while its machine was lost: old data of that cluster may lie on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unclean {
    /// Since when.
    pub since: Timestamp,
    /// The cluster it was lost from.
    pub from: ClusterId,
}

/// How another host switches a host's power. Each command is a program and its arguments, run as root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PowerControl {
    /// The enrolled host that runs the commands; never the host itself.
    pub via: HostId,
    /// Switches the power on.
    pub on: Vec<String>,
    /// Switches it off, as if the plug was pulled.
    pub off: Vec<String>,
    /// Prints what it is: a line with the word `on` or `off`, as ipmitool does, or `running` or `shut off`, as virsh does.
    pub status: Vec<String>,
}

/// How far a host is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Enrolment {
    /// Nobody has confirmed its host keys: the panel opens no session to it.
    Unconfirmed,
    /// These keys and no others are accepted.
    Pinned {
        /// The pinned keys.
        keys: Vec<HostKey>,
        /// When a person confirmed them.
        confirmed_at: Timestamp,
    },
}

/// A public host key as sshd shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostKey {
    /// e.g. `ssh-ed25519`.
    pub algorithm: String,
    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fingerprint: String,
}

/// `POST /hosts` and `PUT /hosts/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewHost {
    /// Host name, unique.
    pub name: String,
    /// DNS name or IP address.
    pub ssh_address: String,
    /// TCP port of sshd.
    #[serde(default = "default_ssh_port")]
    pub ssh_port: u16,
    /// Login user.
    pub ssh_user: String,
    /// IP address that k3s uses; when absent, `ssh_address` must be an IP and is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_address: Option<String>,
    /// Key pair to sign in with.
    pub credential: CredentialId,
    /// How its power is switched; absent: not by the panel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerControl>,
}

fn default_ssh_port() -> u16 {
    22
}

/// `POST /hosts/{id}/confirm`: a person has compared these fingerprints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmHostKeys {
    /// Exactly the fingerprints that `POST /hosts/{id}/scan` showed.
    pub fingerprints: Vec<String>,
}

/// `POST /hosts/{id}/test`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionTest {
    /// When.
    pub at: Timestamp,
    /// In order; the first that failed is the last in the list.
    pub checks: Vec<ConnectionCheck>,
}

impl ConnectionTest {
    /// True if every check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|c| c.ok)
    }
}

/// One thing that must hold for the panel to work on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionCheck {
    /// What was tried.
    pub stage: ConnectionStage,
    /// Whether it worked.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What to do next, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// In the order they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConnectionStage {
    /// The name resolves.
    Resolve,
    /// TCP to sshd opens.
    Connect,
    /// sshd shows a pinned key.
    HostKey,
    /// The user's key is accepted.
    Authenticate,
    /// `sudo -n` works, or the user is root.
    Sudo,
}
