//! Step kind `save_snapshot`: an etcd snapshot on a server, noted with its checksum and the server token of
//! its time.

mod script;

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::snapshot::SnapshotFile;
use coxswain_k3s::token::{SERVER_TOKEN_FILE, Token};
use coxswain_wire::{ClusterId, HostId, SecretId, step_number};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::etcd::EtcdLook;
use super::jobs::{Job, host};
use super::services::{SecretKind, TakenSnapshot};
use super::snapshots::{look, made, place, room, sha256};
use super::{Services, check, failure};
use crate::world::Secret;

#[cfg(test)]
pub(crate) use script::SAVE;

/// Stored name.
pub const KIND: &str = "save_snapshot";
/// Name of the output: the file's path on the server.
pub const FILE: &str = "file";

/// Longest token file that is read.
const TOKEN_FILE_MAX: usize = 4096;
/// What must stay free beside the snapshot, bytes: a full disk stops etcd.
const SPARE: u64 = 100 * 1024 * 1024;

/// Parameters: the server is the step's host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {}

/// What was so before the snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memo {
    /// The cluster of the server.
    cluster: ClusterId,
    /// Where its snapshots lie.
    directories: Vec<String>,
    /// The server token.
    token: SecretId,
    /// Version of k3s.
    version: Option<String>,
    /// k3s copies its snapshots to S3.
    #[serde(default)]
    copied: bool,
    /// Files of this name that another panel, or this one before its database was put back, has left.
    #[serde(default)]
    older: Vec<String>,
}

/// The step kind.
pub struct SaveSnapshot(pub Services);

fn name(context: &StepContext) -> String {
    format!("coxswain-{}-{}", context.run, step_number(context.step))
}

impl SaveSnapshot {
    /// All snapshots of this step's name.
    async fn named(
        &self,
        context: &StepContext,
        directories: &[String],
    ) -> Result<Vec<SnapshotFile>, StepFailure> {
        let start = format!("{}-", name(context));
        let mut found = look(&*self.0.world, host(context)?, directories)
            .await
            .map_err(failure::world)?;
        found.retain(|file| file.name().starts_with(&start));
        Ok(found)
    }

    /// The newest snapshot of this step.
    async fn find(
        &self,
        context: &StepContext,
        memo: &Memo,
    ) -> Result<Option<SnapshotFile>, StepFailure> {
        let found = self.named(context, &memo.directories).await?;
        let ours = found
            .into_iter()
            .filter(|file| file.size > 0 && !memo.older.contains(&file.path));
        Ok(ours.max_by_key(SnapshotFile::made))
    }

    /// The number of the server's token in the vault; stored there first if it is new.
    async fn token(&self, cluster: ClusterId, on: HostId) -> Result<SecretId, StepFailure> {
        let file = self
            .0
            .world
            .read_file(on, SERVER_TOKEN_FILE, TOKEN_FILE_MAX)
            .await
            .map_err(failure::world)?;
        let token: Token = match file.map(|bytes| String::from_utf8_lossy(&bytes).parse()) {
            Some(Ok(token)) => token,
            Some(Err(e)) => {
                return Err(failure::fatal(
                    format!("{SERVER_TOKEN_FILE}: {e}"),
                    "Without its token a snapshot cannot be used. Give the cluster another token first (k3s token rotate).",
                ));
            }
            None => {
                return Err(failure::fatal(
                    format!("there is no server token in {SERVER_TOKEN_FILE}"),
                    "Without its token a snapshot cannot be used. Check that this host is a server of the cluster.",
                ));
            }
        };
        let (book, secrets) = (&*self.0.book, &*self.0.secrets);
        let taken = self
            .0
            .snapshots
            .snapshots(cluster)
            .await
            .map_err(failure::service)?;
        let mut known: Vec<SecretId> = taken.iter().map(|s| s.token).collect();
        known.extend(book.token(cluster).await.map_err(failure::service)?);
        known.sort_unstable();
        known.dedup();
        for id in known {
            let stored = secrets.get(id).await.map_err(failure::service)?;
            if stored.expose() == token.expose().as_bytes() {
                return Ok(id);
            }
        }
        secrets
            .put(SecretKind::ServerToken, Secret::new(token.expose()))
            .await
            .map_err(failure::service)
    }

    /// Nothing of this server stands in the way of a snapshot.
    async fn ready(&self, on: HostId, directory: &str) -> Result<(), StepFailure> {
        const ADVICE: &str = "Nothing was changed. Take the snapshot on a server whose etcd member is healthy; without a quorum none can be taken.";
        let world = &*self.0.world;
        match EtcdLook::take(world, on).await? {
            Ok(etcd) if etcd.healthy => {}
            Ok(_) => return Err(failure::fatal("etcd on this server is not healthy", ADVICE)),
            Err(why) => return Err(failure::fatal(why, ADVICE)),
        }
        let (free, database) = room(world, on, directory).await.map_err(failure::world)?;
        // Twice: a compressed snapshot lies beside the plain one for a while.
        let wanted = database
            .unwrap_or(0)
            .saturating_mul(2)
            .saturating_add(SPARE);
        if free < wanted {
            return Err(failure::fatal(
                format!(
                    "{} MiB are free for {directory}, {} MiB are wanted",
                    free >> 20,
                    wanted >> 20
                ),
                "Nothing was changed. A full disk stops etcd: delete old snapshots first, or make room.",
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl StepKind for SaveSnapshot {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let missing = || {
            Ok(Probe::NotDone {
                why: "there is no snapshot of this step yet".to_owned(),
            })
        };
        if context.memo.is_null() {
            return missing();
        }
        let memo = super::memo::<Memo>(context)?;
        let Some(file) = self.find(context, &memo).await? else {
            return missing();
        };
        let on = host(context)?;
        let noted = self
            .0
            .snapshots
            .snapshots(memo.cluster)
            .await
            .map_err(failure::service)?;
        let noted = noted
            .into_iter()
            .find(|s| s.host == on && s.path == file.path && s.size == file.size);
        Ok(match noted {
            None => Probe::NotDone {
                why: format!("{} is not noted yet", file.path),
            },
            Some(noted) => Probe::Done {
                observed: format!(
                    "{}, {} bytes, SHA-256 {}; its server token is secret {}",
                    noted.path, noted.size, noted.sha256, noted.token
                ),
                outputs: BTreeMap::from([(
                    FILE.to_owned(),
                    Output::Value {
                        value: Value::from(noted.path),
                    },
                )]),
            },
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let on = host(context)?;
        let cluster = self
            .0
            .snapshots
            .cluster_of(on)
            .await
            .map_err(failure::service)?;
        let cluster = cluster
            .ok_or_else(|| StepFailure::fatal("the host belongs to no cluster of the inventory"))?;
        let place = place(&*self.0.world, on).await?;
        if let Some(directory) = place.directories.first() {
            self.ready(on, directory).await?;
        }
        let older = self.named(context, &place.directories).await?;
        let memo = Memo {
            cluster,
            token: self.token(cluster, on).await?,
            older: older.into_iter().map(|file| file.path).collect(),
            directories: place.directories,
            copied: place.copied,
            version: place.facts.k3s_version.map(|v| v.to_string()),
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let (world, on) = (&*self.0.world, host(context)?);
        let memo = super::memo::<Memo>(context)?;
        let job = Job::of(world, context)?;
        let mut ended = Ok(());
        let mut found = self.find(context, &memo).await?;
        if found.is_none() {
            let spec = script::save(name(context), memo.copied, &memo.directories);
            ended = job.run(&spec, context.output.as_ref()).await;
            if let Err(unreachable @ StepFailure::Unreachable(_)) = ended {
                return Err(unreachable);
            }
            found = self.find(context, &memo).await?;
        }
        let Some(file) = found else {
            if let Err(failed) = ended {
                return Err(job.explained(failed).await?);
            }
            return Err(failure::fatal(
                format!(
                    "k3s reported success, but no snapshot of this name lies in {}",
                    memo.directories.join(" or ")
                ),
                "Read the step's output: it says where k3s saved it. Check etcd-snapshot-dir in the unit file and in config.yaml.",
            ));
        };
        // Whatever k3s complained of (an upload, say): the file is there and whole, and is worth noting.
        let taken = TakenSnapshot {
            host: on,
            sha256: sha256(world, on, &file.path)
                .await
                .map_err(failure::world)?,
            taken_at: made(&file),
            size: file.size,
            path: file.path,
            version: memo.version,
            token: memo.token,
            run: context.run,
        };
        self.0
            .snapshots
            .note_snapshot(memo.cluster, taken)
            .await
            .map_err(failure::service)
    }

    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        Job::of(&*self.0.world, context)?.reattach(context).await
    }

    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.stop().await
    }

    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.remove().await
    }
}
