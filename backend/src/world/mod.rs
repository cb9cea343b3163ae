//! The only code that touches machines: SSH, remote jobs, TLS handshakes and the Kubernetes API.
//!
//! Everything else speaks to [`World`] and [`Kube`], whose types are plain, so that a world in memory can
//! take the place of [`RealWorld`] in the tests of steps, engine and routes.

mod command;
mod error;
pub mod fake;
mod file_stream;
mod hosts;
mod job;
pub mod keys;
mod kube;
mod net;
mod real;
mod secret;
mod ssh;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_wire::{ConnectionTest, HostId};

pub use command::{Invocation, Output, RemoteCommand, Script};
pub use error::{UnreachableKind, WorldError};
pub use file_stream::FileStream;
pub use hosts::{ClockReading, HostBook, HostConnection, ScannedKey};
pub use job::{DeathCause, JobId, JobRead, JobSpec, JobStart, JobStatus, NotAJobName};
pub use kube::{
    DeploymentCounts, Eviction, Kube, KubeAccess, KubeBudget, KubeEndpoint, KubeLease, KubeNode,
    KubePod, KubeSecret, KubeWatch, NodeEvent, PodId, PodOwner, Readiness,
};
pub use real::{RealWorld, WorldSettings};
pub use secret::Secret;
pub use tls::{Ask, HttpAnswer, ServedChain, ServedLeaf, TlsTarget};

/// Result of anything that reaches out to a machine.
pub type Result<T> = std::result::Result<T, WorldError>;

/// Hosts as the panel can touch them. Hosts are named by their inventory identifier only: the inventory is
/// the only list of addresses the panel ever connects to.
///
/// Every call is bounded in time and answers with a classified [`WorldError`]; none retries an effect. A call whose
/// future is dropped may still have its effect: what was sent runs to its end, within its time limit.
#[async_trait]
pub trait World: Send + Sync {
    /// Runs a short command and waits for its end. A non-zero exit status is an [`Output`], not an error.
    /// What may take longer than a moment belongs into a job ([`World::job_start`]).
    ///
    /// # Errors
    /// [`WorldError::Unconfirmed`] or [`WorldError::TimedOut`] when it may have run without our seeing the end.
    async fn run(&self, host: HostId, command: RemoteCommand) -> Result<Output>;

    /// A file's content read as root, none if there is no such file.
    ///
    /// # Errors
    /// [`WorldError::TooLarge`] if it is longer than `max` bytes: never a part of a file.
    async fn read_file(&self, host: HostId, path: &str, max: usize) -> Result<Option<Vec<u8>>>;

    /// A file's content read as root, piece by piece, for files that do not fit into memory. None if there is no
    /// such file. The pieces end after the last byte or with an error, never early without one; dropping them
    /// ends the reading.
    ///
    /// # Errors
    /// As [`World::run`]; [`WorldError::TooLarge`] if it is longer than `max` bytes.
    async fn stream_file(&self, host: HostId, path: &str, max: u64) -> Result<Option<FileStream>>;

    /// Replaces a file as root: written beside its place, synced, then renamed, so that readers see the old
    /// content or the new and a repeated call does no harm. The folder must exist; owner becomes root.
    ///
    /// # Errors
    /// As [`World::run`]; [`WorldError::Command`] with the host's own words if it could not be written.
    async fn write_file(&self, host: HostId, path: &str, content: &[u8], mode: u32) -> Result<()>;

    /// Starts a remote job, once: a second start of the same [`JobId`] is [`JobStart::AlreadyClaimed`] whatever
    /// became of the first, also after a reboot of the host.
    ///
    /// # Errors
    /// [`WorldError::Unconfirmed`] when the connection broke: ask [`World::job_status`].
    async fn job_start(&self, host: HostId, job: JobId, spec: &JobSpec) -> Result<JobStart>;

    /// What became of a job.
    ///
    /// # Errors
    /// As [`World::run`].
    async fn job_status(&self, host: HostId, job: JobId) -> Result<JobStatus>;

    /// Output of a job from byte `offset` on, at most `max` bytes, with the status it had when read. With
    /// nothing new while the job runs, waits up to `wait` for some; it may answer earlier with nothing.
    ///
    /// # Errors
    /// As [`World::run`]. Reading changes nothing and can be repeated.
    async fn job_read(
        &self,
        host: HostId,
        job: JobId,
        offset: u64,
        max: usize,
        wait: Duration,
    ) -> Result<JobRead>;

    /// Ends a job that runs and returns when nothing of it is alive. No effect on one that has ended.
    ///
    /// # Errors
    /// As [`World::run`].
    async fn job_stop(&self, host: HostId, job: JobId) -> Result<()>;

    /// Forgets a job that has ended, with its output. Only after its outcome is committed.
    ///
    /// # Errors
    /// [`WorldError::Command`] if it still runs.
    async fn job_remove(&self, host: HostId, job: JobId) -> Result<()>;

    /// Every job of ours on a host, alive or left over.
    ///
    /// # Errors
    /// As [`World::run`].
    async fn jobs(&self, host: HostId) -> Result<Vec<(JobId, JobStatus)>>;

    /// The kernel's boot id: changes with every boot.
    ///
    /// # Errors
    /// As [`World::run`].
    async fn boot_id(&self, host: HostId) -> Result<String>;

    /// The host's clock against the panel's.
    ///
    /// # Errors
    /// As [`World::run`].
    async fn clock(&self, host: HostId) -> Result<ClockReading>;

    /// Tries everything the panel needs on a host, over a new connection, and says in words what is wrong.
    async fn test_connection(&self, host: HostId) -> ConnectionTest;

    /// The host keys that sshd shows, for a person to compare. Pins nothing.
    ///
    /// # Errors
    /// [`WorldError::Unreachable`].
    async fn scan_host_keys(&self, host: HostId) -> Result<Vec<ScannedKey>>;

    /// The certificate that is served at an address, after an [`Ask`]. A certificate that does not verify is a
    /// result, not an error.
    ///
    /// # Errors
    /// [`WorldError::Unreachable`] or [`WorldError::Tls`] when no handshake came about.
    async fn handshake(&self, target: &TlsTarget) -> Result<ServedChain>;

    /// `GET path` over HTTPS without credentials (`/ping`, `/cacerts`, `/readyz`). With `target.ca` the served
    /// chain must verify; without, any certificate is taken and the answer must not be trusted as such.
    ///
    /// # Errors
    /// [`WorldError::Unreachable`], [`WorldError::Tls`].
    async fn http_get(&self, target: &TlsTarget, path: &str) -> Result<HttpAnswer>;

    /// A Kubernetes client that tries the endpoints in order, each call anew. Connects to nothing yet.
    ///
    /// # Errors
    /// [`WorldError::InvalidInput`] if certificates or key cannot be read.
    async fn kube(&self, access: &KubeAccess) -> Result<Arc<dyn Kube>>;
}

#[cfg(test)]
mod tests;
