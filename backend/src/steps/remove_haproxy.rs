//! Step kind `remove_haproxy`: a cluster's section out of a load balancer's `haproxy.cfg`; everything else in
//! the file stays, and HAProxy runs on if it ran.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::haproxy::{HaproxyError, remove, restore, section_in, stats_socket};
use coxswain_k3s::names::ClusterName;
use coxswain_wire::SecretId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::haproxy::{Haproxy, Then};
use super::kube::ApiHost;
use super::stats::{self, Statistics};
use super::{Services, check, failure, memo};

/// Stored name.
pub const KIND: &str = "remove_haproxy";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Whose section.
    pub cluster: ClusterName,
    /// The load balancer.
    pub load_balancer: ApiHost,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memo {
    /// The file before; none if there was none.
    before: Option<SecretId>,
    /// HAProxy ran before.
    active: bool,
}

/// The step kind.
pub struct RemoveHaproxy(pub Services);

impl RemoveHaproxy {
    fn haproxy(&self, params: &Params) -> Haproxy<'_> {
        Haproxy::on(&self.0, params.load_balancer.host)
    }

    /// The file that undo wants, from the file as it is.
    async fn reverted(
        &self,
        params: &Params,
        memo: &Memo,
        now: &str,
    ) -> Result<String, StepFailure> {
        let Some(kept) = memo.before else {
            return Ok(now.to_owned());
        };
        let before = self.haproxy(params).kept(kept).await?;
        restore(now, &before, &params.cluster).map_err(damaged)
    }
}

fn damaged(error: HaproxyError) -> StepFailure {
    failure::fatal(
        error.to_string(),
        "Correct haproxy.cfg on the load balancer, then retry.",
    )
}

fn done(observed: String) -> Probe {
    Probe::Done {
        observed,
        outputs: BTreeMap::new(),
    }
}

#[async_trait]
impl StepKind for RemoveHaproxy {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let cluster = &params.cluster;
        let Some(now) = self.haproxy(&params).read().await? else {
            return Ok(done("there is no haproxy.cfg".to_owned()));
        };
        if section_in(&now, cluster).map_err(damaged)?.is_some() {
            return Ok(Probe::NotDone {
                why: format!("haproxy.cfg has the section of {cluster}"),
            });
        }
        let gone = format!("haproxy.cfg has no section of {cluster}");
        if !self.haproxy(&params).active().await? {
            return Ok(done(format!("{gone}; HAProxy does not run")));
        }
        // The file is not what HAProxy works with before it was reloaded.
        let Some(socket) = stats_socket(&now) else {
            return Ok(done(format!("{gone}; HAProxy runs")));
        };
        let host = params.load_balancer.host;
        match stats::stats(&*self.0.world, host, socket, cluster).await? {
            Statistics::Listed(listed) if listed.is_empty() => Ok(done(format!(
                "{gone}; HAProxy runs, and its statistics list no server of {cluster}"
            ))),
            Statistics::Listed(_) => Ok(Probe::NotDone {
                why: "HAProxy still works with the section".to_owned(),
            }),
            Statistics::NoReader => Ok(done(format!("{gone}; HAProxy runs"))),
            Statistics::Unread(why) => Ok(Probe::NotDone { why }),
        }
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let haproxy = self.haproxy(&params);
        let before = match haproxy.read().await? {
            None => None,
            Some(text) => Some(haproxy.keep(text).await?),
        };
        let memo = Memo {
            before,
            active: haproxy.active().await?,
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = memo(context)?;
        let haproxy = self.haproxy(&params);
        let Some(now) = haproxy.read().await? else {
            return Ok(());
        };
        let without = remove(&now, &params.cluster).map_err(damaged)?;
        haproxy
            .take_over(context, &without, Then::as_before(memo.active))
            .await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = memo(context)?;
        let haproxy = self.haproxy(&params);
        let now = haproxy.read().await?.unwrap_or_default();
        let as_before = self.reverted(&params, &memo, &now).await? == now;
        Ok(if as_before && haproxy.active().await? == memo.active {
            done("haproxy.cfg and HAProxy are as before".to_owned())
        } else {
            Probe::NotDone {
                why: "haproxy.cfg or HAProxy's state is not as before".to_owned(),
            }
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = memo(context)?;
        let haproxy = self.haproxy(&params);
        let now = haproxy.read().await?.unwrap_or_default();
        let text = self.reverted(&params, &memo, &now).await?;
        haproxy
            .take_over(context, &text, Then::as_before(memo.active))
            .await
    }
}
