//! Machines of which only host keys and connection tests exist.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use coxswain::time::now;
use coxswain::world::{
    ClockReading, FileStream, HttpAnswer, JobId, JobRead, JobSpec, JobStart, JobStatus, Kube,
    KubeAccess, Output, RemoteCommand, Result, ScannedKey, ServedChain, TlsTarget, World,
    WorldError,
};
use coxswain_wire::{ConnectionCheck, ConnectionStage, ConnectionTest, HostId, HostKey};
use futures::{StreamExt as _, stream};

/// What the machines show.
#[derive(Default)]
pub(crate) struct Machines {
    keys: Mutex<Vec<ScannedKey>>,
    file: Mutex<Option<Vec<u8>>>,
}

impl Machines {
    /// Every file has this content from now on.
    pub(crate) fn hold_file(&self, content: &[u8]) {
        *self.file.lock().unwrap() = Some(content.to_vec());
    }

    /// Every sshd shows these keys from now on.
    pub(crate) fn show_keys(&self, names: &[&str]) {
        *self.keys.lock().unwrap() = names
            .iter()
            .map(|name| ScannedKey {
                key: HostKey {
                    algorithm: "ssh-ed25519".to_owned(),
                    fingerprint: format!("SHA256:{name}"),
                },
                public_key: format!("ssh-ed25519 AAAA{name}"),
            })
            .collect();
    }
}

fn nothing<T>() -> Result<T> {
    Err(WorldError::Local {
        what: "machines of a test".to_owned(),
        detail: "there are none".to_owned(),
    })
}

#[async_trait]
impl World for Machines {
    async fn run(&self, _: HostId, _: RemoteCommand) -> Result<Output> {
        nothing()
    }

    async fn read_file(&self, _: HostId, _: &str, _: usize) -> Result<Option<Vec<u8>>> {
        nothing()
    }

    async fn stream_file(&self, _: HostId, _: &str, max: u64) -> Result<Option<FileStream>> {
        let content = self.file.lock().unwrap().clone();
        Ok(content.map(|content| FileStream {
            size: max.min(content.len() as u64),
            pieces: stream::iter(
                content
                    .chunks(3)
                    .map(|c| Ok(c.to_vec()))
                    .collect::<Vec<_>>(),
            )
            .boxed(),
        }))
    }

    async fn write_file(&self, _: HostId, _: &str, _: &[u8], _: u32) -> Result<()> {
        nothing()
    }

    async fn job_start(&self, _: HostId, _: JobId, _: &JobSpec) -> Result<JobStart> {
        nothing()
    }

    async fn job_status(&self, _: HostId, _: JobId) -> Result<JobStatus> {
        nothing()
    }

    async fn job_read(
        &self,
        _: HostId,
        _: JobId,
        _: u64,
        _: usize,
        _: Duration,
    ) -> Result<JobRead> {
        nothing()
    }

    async fn job_stop(&self, _: HostId, _: JobId) -> Result<()> {
        nothing()
    }

    async fn job_remove(&self, _: HostId, _: JobId) -> Result<()> {
        nothing()
    }

    async fn jobs(&self, _: HostId) -> Result<Vec<(JobId, JobStatus)>> {
        nothing()
    }

    async fn boot_id(&self, _: HostId) -> Result<String> {
        nothing()
    }

    async fn clock(&self, _: HostId) -> Result<ClockReading> {
        nothing()
    }

    async fn test_connection(&self, _: HostId) -> ConnectionTest {
        let check = ConnectionCheck {
            stage: ConnectionStage::Resolve,
            ok: false,
            detail: "there are no machines".to_owned(),
            advice: None,
        };
        ConnectionTest {
            at: now(),
            checks: vec![check],
        }
    }

    async fn scan_host_keys(&self, _: HostId) -> Result<Vec<ScannedKey>> {
        let keys = self.keys.lock().unwrap().clone();
        if keys.is_empty() { nothing() } else { Ok(keys) }
    }

    async fn handshake(&self, _: &TlsTarget) -> Result<ServedChain> {
        nothing()
    }

    async fn http_get(&self, _: &TlsTarget, _: &str) -> Result<HttpAnswer> {
        nothing()
    }

    async fn kube(&self, _: &KubeAccess) -> Result<Arc<dyn Kube>> {
        nothing()
    }
}
