//! What can go wrong between the panel and a machine, told apart by what a caller or a person does next.

use std::time::Duration;

use coxswain_wire::HostId;
use thiserror::Error;

/// Longest piece of a program's standard error in an error.
const STDERR_KEPT: usize = 4096;

/// How an address did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnreachableKind {
    /// The name does not resolve.
    Dns,
    /// The machine answers that nothing listens there.
    Refused,
    /// Nothing answers in time: down, filtered, or a wrong address.
    TimedOut,
    /// The network says that there is no way to it: off, or cut off.
    NoRoute,
    /// Something took the connection and closed it before anything was done over it.
    Closed,
}

/// An error of the world. Its text is for people and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorldError {
    /// The inventory has no such host.
    #[error("host {0} is not in the inventory")]
    UnknownHost(HostId),
    /// No person has confirmed its host keys.
    #[error("the host keys of {host} are not confirmed")]
    NotEnrolled {
        /// Host name.
        host: String,
    },
    /// No connection. Nothing was done.
    #[error("{target} cannot be reached: {detail}")]
    Unreachable {
        /// Host name or address.
        target: String,
        /// How.
        kind: UnreachableKind,
        /// What was seen.
        detail: String,
    },
    /// sshd showed a key that is not pinned. Nothing was sent to it.
    #[error("the host key of {host} has changed: pinned {}, shown {}", pinned.join(", "), if shown.is_empty() { "none that could be read".to_owned() } else { shown.join(", ") })]
    HostKeyChanged {
        /// Host name.
        host: String,
        /// Fingerprints that were confirmed.
        pinned: Vec<String>,
        /// Fingerprints shown now.
        shown: Vec<String>,
    },
    /// sshd did not accept the credential. Nothing was done.
    #[error("{host} does not accept the key for user {user}")]
    AuthenticationFailed {
        /// Host name.
        host: String,
        /// Login user.
        user: String,
    },
    /// The key may not be used for this user: a forced command answers instead. Nothing was done.
    #[error("{host} lets nobody sign in as this user; it says: login as the user {wanted}")]
    OtherUser {
        /// Host name.
        host: String,
        /// The user that it names.
        wanted: String,
    },
    /// Signed in, but not root. Nothing was done.
    #[error("no root on {host}: {detail}")]
    SudoFailed {
        /// Host name.
        host: String,
        /// What sudo said.
        detail: String,
    },
    /// No answer in time. An effect may have happened.
    #[error("{what}: no answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// What was asked.
        what: String,
        /// The limit.
        after: Duration,
    },
    /// The connection broke after the command was sent. An effect may have happened.
    #[error("{what}: the connection broke before the answer came ({detail})")]
    Unconfirmed {
        /// What was asked.
        what: String,
        /// What was seen.
        detail: String,
    },
    /// A command that had to succeed did not.
    #[error("{name} ended with status {status}{}{stderr}", if stderr.is_empty() { "" } else { ": " })]
    Command {
        /// Program or script.
        name: String,
        /// Exit status.
        status: i32,
        /// The last of its standard error.
        stderr: String,
    },
    /// More than the caller wants to take.
    #[error("{what} is larger than {max} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The limit.
        max: usize,
    },
    /// A host answered something that makes no sense.
    #[error("{what}: unexpected answer: {detail}")]
    Unexpected {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A value cannot be used: a key, a certificate, an argument with a NUL byte.
    #[error("{what}: {detail}")]
    InvalidInput {
        /// Which value.
        what: String,
        /// Why not.
        detail: String,
    },
    /// Something on the panel's own machine.
    #[error("{what}: {detail}")]
    Local {
        /// What was tried.
        what: String,
        /// What went wrong.
        detail: String,
    },
    /// TCP opened but no TLS connection, or no HTTP answer over it.
    #[error("TLS with {endpoint}: {detail}")]
    Tls {
        /// `address:port`.
        endpoint: String,
        /// What was seen.
        detail: String,
    },
    /// The Kubernetes API said no.
    #[error("Kubernetes API ({endpoint}): {detail}{}", status.map(|s| format!(" ({s})")).unwrap_or_default())]
    Kube {
        /// Name of the endpoint that answered; all of them if none did.
        endpoint: String,
        /// HTTP status; none if there was no answer.
        status: Option<u16>,
        /// What was seen.
        detail: String,
    },
}

impl WorldError {
    /// From a command's exit status and standard error, of which the end is kept.
    #[must_use]
    pub fn command(name: &str, status: i32, stderr: &[u8]) -> Self {
        let tail = &stderr[stderr.len().saturating_sub(STDERR_KEPT)..];
        Self::Command {
            name: name.to_owned(),
            status,
            stderr: String::from_utf8_lossy(tail).trim().to_owned(),
        }
    }

    /// Trying the same again later may help without anybody's doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            WorldError::Unreachable { .. }
            | WorldError::TimedOut { .. }
            | WorldError::Unconfirmed { .. }
            | WorldError::Tls { .. } => true,
            WorldError::Kube { status, .. } => match status {
                None => true,
                Some(code) => *code == 429 || *code >= 500,
            },
            WorldError::UnknownHost(_)
            | WorldError::NotEnrolled { .. }
            | WorldError::HostKeyChanged { .. }
            | WorldError::AuthenticationFailed { .. }
            | WorldError::OtherUser { .. }
            | WorldError::SudoFailed { .. }
            | WorldError::Command { .. }
            | WorldError::TooLarge { .. }
            | WorldError::Unexpected { .. }
            | WorldError::InvalidInput { .. }
            | WorldError::Local { .. } => false,
        }
    }

    /// True if an effect may have happened although no answer was seen.
    #[must_use]
    pub fn effect_unknown(&self) -> bool {
        match self {
            WorldError::TimedOut { .. } | WorldError::Unconfirmed { .. } => true,
            WorldError::UnknownHost(_)
            | WorldError::NotEnrolled { .. }
            | WorldError::Unreachable { .. }
            | WorldError::HostKeyChanged { .. }
            | WorldError::AuthenticationFailed { .. }
            | WorldError::OtherUser { .. }
            | WorldError::SudoFailed { .. }
            | WorldError::Command { .. }
            | WorldError::TooLarge { .. }
            | WorldError::Unexpected { .. }
            | WorldError::InvalidInput { .. }
            | WorldError::Local { .. }
            | WorldError::Tls { .. }
            | WorldError::Kube { .. } => false,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            WorldError::UnknownHost(_)
            | WorldError::Command { .. }
            | WorldError::TooLarge { .. }
            | WorldError::Unexpected { .. }
            | WorldError::InvalidInput { .. }
            | WorldError::Local { .. } => return None,
            WorldError::NotEnrolled { .. } => {
                "Scan its host keys, compare the fingerprints with those on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), and confirm them."
            }
            WorldError::Unreachable { kind, .. } => match kind {
                UnreachableKind::Dns => {
                    "Check the spelling of the address and the panel's DNS server, or enter an IP address."
                }
                UnreachableKind::Refused => {
                    "The machine answers but nothing listens on that port: check the port, and that sshd runs (systemctl status ssh)."
                }
                UnreachableKind::TimedOut => {
                    "Nothing answers: check that the machine is on, the address is right, and no firewall between the panel and it drops the port."
                }
                UnreachableKind::NoRoute => {
                    "No network leads to it: check that the machine is on, the address is right, and the routes of the panel's own machine (ip route get ADDRESS)."
                }
                UnreachableKind::Closed => {
                    "Check the network between the panel and the machine, and that an SSH server is behind this port (sshd's log says why it closes a connection)."
                }
            },
            WorldError::HostKeyChanged { .. } => {
                "Stop. Either the machine was installed anew, or somebody stands between it and the panel. Compare the fingerprint on its console; only if it is the machine's own, scan and confirm again."
            }
            WorldError::AuthenticationFailed { .. } => {
                "Put the credential's public key into the user's ~/.ssh/authorized_keys (folder 0700, file 0600), and check the user name."
            }
            WorldError::OtherUser { wanted, .. } => {
                return Some(format!(
                    "A cloud image's root only tells whom to sign in as. Change this host's user to {wanted} (Hosts, Edit), who has the same key there and sudo without a password."
                ));
            }
            WorldError::SudoFailed { .. } => {
                "Install sudo and allow the user to use it without a password: a file in /etc/sudoers.d with `USER ALL=(ALL) NOPASSWD:ALL`. Or sign in as root."
            }
            WorldError::TimedOut { .. } | WorldError::Unconfirmed { .. } => {
                "Check the network and the load of the machine, then look at what was done there before repeating it."
            }
            WorldError::Tls { .. } => {
                "Check that k3s (or the load balancer) is what listens on this port."
            }
            WorldError::Kube { status, .. } => match status {
                None => {
                    "No API server answers: check that k3s runs on the servers, and the load balancer."
                }
                Some(401 | 403) => {
                    "The stored kubeconfig is not accepted: fetch it again from a server."
                }
                Some(_) => return None,
            },
        };
        Some(text.to_owned())
    }
}

/// A library's error with its sources, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        // Many libraries repeat the source in their own text.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = inner.source();
    }
    text
}
