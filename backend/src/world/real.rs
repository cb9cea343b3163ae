//! [`World`] over the real thing: binds the SSH, TLS and Kubernetes parts together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_wire::{ConnectionTest, HostId};

use super::kube::KubeClient;
use super::ssh::Ssh;
use super::{
    ClockReading, FileStream, HostBook, HttpAnswer, JobId, JobRead, JobSpec, JobStart, JobStatus,
    Kube, KubeAccess, Output, RemoteCommand, Result, ScannedKey, ServedChain, TlsTarget, World,
    tls,
};

/// What the world needs to know about the panel's own machine.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    /// A folder of the panel's own for sockets and ssh's files; made 0700 and emptied at start. At most 60
    /// bytes long: the path of a Unix socket has a limit of 107.
    pub runtime_dir: PathBuf,
    /// Commands at a time on one host. sshd's default for `MaxSessions` is 10.
    pub sessions_per_host: usize,
    /// For opening a connection.
    pub connect_timeout: Duration,
}

impl WorldSettings {
    /// 8 sessions a host, 10 s to connect.
    pub fn new(runtime_dir: impl Into<PathBuf>) -> Self {
        Self {
            runtime_dir: runtime_dir.into(),
            sessions_per_host: 8,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// The machines themselves.
pub struct RealWorld {
    ssh: Ssh,
}

impl RealWorld {
    /// Prepares the runtime folder; connects to nothing.
    ///
    /// # Errors
    /// [`super::WorldError::Local`] if the folder cannot be made or is not private.
    pub async fn new(book: Arc<dyn HostBook>, settings: WorldSettings) -> Result<Self> {
        Ok(Self {
            ssh: Ssh::new(book, settings).await?,
        })
    }

    /// Closes every connection and ends the agent; a later call would open them again. Dropping the world does
    /// the same.
    pub async fn close(&self) {
        self.ssh.close().await;
    }
}

#[async_trait]
impl World for RealWorld {
    async fn run(&self, host: HostId, command: RemoteCommand) -> Result<Output> {
        self.ssh.run(host, command).await
    }

    async fn read_file(&self, host: HostId, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        self.ssh.read_file(host, path, max).await
    }

    async fn stream_file(&self, host: HostId, path: &str, max: u64) -> Result<Option<FileStream>> {
        self.ssh.stream_file(host, path, max).await
    }

    async fn write_file(&self, host: HostId, path: &str, content: &[u8], mode: u32) -> Result<()> {
        self.ssh.write_file(host, path, content, mode).await
    }

    async fn job_start(&self, host: HostId, job: JobId, spec: &JobSpec) -> Result<JobStart> {
        self.ssh.job_start(host, job, spec).await
    }

    async fn job_status(&self, host: HostId, job: JobId) -> Result<JobStatus> {
        self.ssh.job_status(host, job).await
    }

    async fn job_read(
        &self,
        host: HostId,
        job: JobId,
        offset: u64,
        max: usize,
        wait: Duration,
    ) -> Result<JobRead> {
        self.ssh.job_read(host, job, offset, max, wait).await
    }

    async fn job_stop(&self, host: HostId, job: JobId) -> Result<()> {
        self.ssh.job_stop(host, job).await
    }

    async fn job_remove(&self, host: HostId, job: JobId) -> Result<()> {
        self.ssh.job_remove(host, job).await
    }

    async fn jobs(&self, host: HostId) -> Result<Vec<(JobId, JobStatus)>> {
        self.ssh.jobs(host).await
    }

    async fn boot_id(&self, host: HostId) -> Result<String> {
        self.ssh.boot_id(host).await
    }

    async fn clock(&self, host: HostId) -> Result<ClockReading> {
        self.ssh.clock(host).await
    }

    async fn test_connection(&self, host: HostId) -> ConnectionTest {
        self.ssh.test_connection(host).await
    }

    async fn scan_host_keys(&self, host: HostId) -> Result<Vec<ScannedKey>> {
        self.ssh.scan_host_keys(host).await
    }

    async fn handshake(&self, target: &TlsTarget) -> Result<ServedChain> {
        tls::handshake(target).await
    }

    async fn http_get(&self, target: &TlsTarget, path: &str) -> Result<HttpAnswer> {
        tls::get(target, path).await
    }

    async fn kube(&self, access: &KubeAccess) -> Result<Arc<dyn Kube>> {
        Ok(Arc::new(KubeClient::new(access)?))
    }
}
