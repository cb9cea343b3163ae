//! Step kind `record_cluster`: the panel's own book says what was observed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::{ClusterId, ClusterPhase, HostId, Member};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Services, check, failure};

/// Stored name.
pub const KIND: &str = "record_cluster";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster.
    pub cluster: ClusterId,
    /// What is written down.
    pub entry: Entry,
}

/// What is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// k3s runs.
    Running,
    /// k3s is gone, token and kubeconfig with it.
    Planned,
    /// A host is a member.
    Joined(Member),
    /// A host is none any more.
    Left(HostId),
    /// A host is none any more, and what was on it may still be there.
    Lost(HostId),
    /// Nothing of k3s is on a host any more that was lost before.
    Cleaned(HostId),
}

/// The step kind.
pub struct RecordCluster(pub Services);

impl RecordCluster {
    async fn unclean(&self, host: HostId) -> Result<Option<ClusterId>, StepFailure> {
        self.0.book.unclean(host).await.map_err(failure::service)
    }

    async fn missing(&self, params: &Params) -> Result<Option<String>, StepFailure> {
        let (book, cluster) = (&*self.0.book, params.cluster);
        let phase = || async { book.phase(cluster).await.map_err(failure::service) };
        let members = || async { book.members(cluster).await.map_err(failure::service) };
        Ok(match &params.entry {
            Entry::Running => (phase().await? != ClusterPhase::Running)
                .then(|| "it is not recorded as running".to_owned()),
            Entry::Planned => {
                let token = book.token(cluster).await.map_err(failure::service)?;
                let kubeconfig = book.kubeconfig(cluster).await.map_err(failure::service)?;
                let gone = token.is_none()
                    && kubeconfig.is_none()
                    && phase().await? == ClusterPhase::Planned;
                (!gone)
                    .then(|| "it is still recorded as running, or its secrets are kept".to_owned())
            }
            Entry::Joined(member) => (!members().await?.contains(member))
                .then(|| "the host is not recorded as a member".to_owned()),
            Entry::Left(host) => members()
                .await?
                .iter()
                .any(|m| m.host == *host)
                .then(|| "the host is still a member".to_owned()),
            Entry::Lost(host) => {
                let member = members().await?.iter().any(|m| m.host == *host);
                let marked = self.unclean(*host).await?.is_some();
                (member || !marked)
                    .then(|| "the host is still a member, or not marked as lost".to_owned())
            }
            Entry::Cleaned(host) => self
                .unclean(*host)
                .await?
                .map(|_| "the host is still marked as lost".to_owned()),
        })
    }
}

#[async_trait]
impl StepKind for RecordCluster {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        Ok(match self.missing(&params).await? {
            Some(why) => Probe::NotDone { why },
            None => Probe::Done {
                observed: "recorded".to_owned(),
                outputs: BTreeMap::new(),
            },
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let (book, cluster) = (&*self.0.book, params.cluster);
        match params.entry {
            Entry::Running => book.set_phase(cluster, ClusterPhase::Running).await,
            Entry::Planned => {
                book.set_phase(cluster, ClusterPhase::Planned)
                    .await
                    .map_err(failure::service)?;
                book.set_token(cluster, None)
                    .await
                    .map_err(failure::service)?;
                book.set_kubeconfig(cluster, None).await
            }
            Entry::Joined(member) => book.add_member(cluster, member).await,
            Entry::Left(host) => book.remove_member(cluster, host).await,
            Entry::Lost(host) => {
                book.set_unclean(host, Some(cluster))
                    .await
                    .map_err(failure::service)?;
                book.remove_member(cluster, host).await
            }
            Entry::Cleaned(host) => book.set_unclean(host, None).await,
        }
        .map_err(failure::service)
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        Ok(match (&params.entry, self.missing(&params).await?) {
            (Entry::Running | Entry::Joined(_), Some(_)) => Probe::Done {
                observed: "no longer recorded".to_owned(),
                outputs: BTreeMap::new(),
            },
            (Entry::Running | Entry::Joined(_), None) => Probe::NotDone {
                why: "it is still recorded".to_owned(),
            },
            (Entry::Planned | Entry::Left(_) | Entry::Lost(_) | Entry::Cleaned(_), _) => {
                Probe::Unsure {
                    why: "this record is not taken back".to_owned(),
                }
            }
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        match params.entry {
            Entry::Running => {
                self.0
                    .book
                    .set_phase(params.cluster, ClusterPhase::Planned)
                    .await
            }
            Entry::Joined(member) => self.0.book.remove_member(params.cluster, member.host).await,
            Entry::Planned | Entry::Left(_) | Entry::Lost(_) | Entry::Cleaned(_) => {
                return Err(StepFailure::fatal("this record is not taken back"));
            }
        }
        .map_err(failure::service)
    }
}
