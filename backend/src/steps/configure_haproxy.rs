//! Step kind `configure_haproxy`: the cluster's section in a load balancer's `haproxy.cfg`, checked by
//! HAProxy before it takes its place, and seen at work.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::haproxy::{CONFIG_FILE, Line, Section, remove, stats_socket};
use coxswain_k3s::names::NodeName;
use coxswain_wire::SecretId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::haproxy::{Haproxy, Then};
use super::kube::ApiHost;
use super::stats::{self, Statistics};
use super::{Services, check, failure};
use crate::world::TlsTarget;

/// Stored name.
pub const KIND: &str = "configure_haproxy";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The section.
    pub section: Section,
    /// The load balancer.
    pub load_balancer: ApiHost,
    /// Servers that must be up when the step is done; the others have no k3s yet.
    pub up: Vec<NodeName>,
    /// What becomes of a file in which somebody else balances the API.
    #[serde(default, skip_serializing_if = "ByHand::is_default")]
    pub by_hand: ByHand,
}

/// What becomes of a configuration in which somebody else balances the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByHand {
    /// The step fails: the load balancer is to be this panel's.
    #[default]
    Refused,
    /// It stays as it is: whoever wrote it keeps it up to date.
    Kept,
}

impl ByHand {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands a reference over"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memo {
    /// The file before; none if there was none.
    before: Option<SecretId>,
    /// HAProxy ran before.
    active: bool,
}

/// The step kind.
pub struct ConfigureHaproxy(pub Services);

impl ConfigureHaproxy {
    fn haproxy(&self, params: &Params) -> Haproxy<'_> {
        Haproxy::on(&self.0, params.load_balancer.host)
    }

    /// The line that makes the file somebody else's, where such a file stays as it is.
    fn kept(params: &Params, now: &str) -> Option<Line> {
        match params.by_hand {
            ByHand::Refused => None,
            ByHand::Kept => params.section.kept_by_hand(now),
        }
    }

    /// Whether k3s answers through the load balancer; `Err` inside: not, in words.
    async fn answers(&self, params: &Params) -> Result<String, String> {
        let target = TlsTarget::new(&params.load_balancer.address, params.section.port);
        match self.0.world.http_get(&target, "/ping").await {
            Ok(answer) if answer.status == 200 => {
                Ok(format!("k3s answers through {}", target.endpoint()))
            }
            Ok(answer) => Err(format!("{} answers {}", target.endpoint(), answer.status)),
            Err(e) => Err(e.to_string()),
        }
    }

    /// The wanted file, from the file as it is.
    fn rendered(params: &Params, now: &str) -> Result<String, StepFailure> {
        params.section.apply(now).map_err(|e| {
            failure::fatal(
                e.to_string(),
                "Change haproxy.cfg on the load balancer, or choose another one.",
            )
        })
    }

    /// The file undo wants, from the file as it is; none: no file, as before.
    async fn reverted(
        &self,
        params: &Params,
        memo: &Memo,
        now: &str,
    ) -> Result<Option<String>, StepFailure> {
        if Self::kept(params, now).is_some() {
            return Ok(Some(now.to_owned()));
        }
        let before = match memo.before {
            None => None,
            Some(id) => Some(self.haproxy(params).kept(id).await?),
        };
        let base = before.as_deref().unwrap_or_default();
        if Some(now) == before.as_deref() || Self::rendered(params, base)? == now {
            return Ok(before);
        }
        // Somebody changed the rest meanwhile: only our section goes.
        remove(now, &params.section.cluster)
            .map(Some)
            .map_err(|e| StepFailure::fatal(e.to_string()))
    }
}

#[async_trait]
impl StepKind for ConfigureHaproxy {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let not_done = |why: String| Ok(Probe::NotDone { why });
        let Some(now) = self.haproxy(&params).read().await? else {
            return not_done(format!("there is no {CONFIG_FILE}"));
        };
        if let Some(line) = Self::kept(&params, &now) {
            return match self.answers(&params).await {
                Ok(answers) => Ok(Probe::Done {
                    observed: format!(
                        "haproxy.cfg is somebody else\u{2019}s and stays as it is ({line}); {answers}"
                    ),
                    outputs: BTreeMap::new(),
                }),
                Err(why) => not_done(why),
            };
        }
        if Self::rendered(&params, &now)? != now {
            return not_done("the cluster's section is not in haproxy.cfg".to_owned());
        }
        if !self.haproxy(&params).active().await? {
            return not_done("HAProxy does not run".to_owned());
        }
        let lb = &params.load_balancer;
        let wanted = params.up.iter().map(NodeName::as_str);
        let mut seen = "the section is in place".to_owned();
        // Without a socket, or a tool to read it, the answer through it must do.
        if let Some(socket) = stats_socket(&now) {
            match stats::stats(&*self.0.world, lb.host, socket, &params.section.cluster).await? {
                Statistics::Listed(listed) => {
                    if listed.len() != params.section.servers.len() {
                        return not_done("HAProxy has not loaded the section yet".to_owned());
                    }
                    let down = stats::not_up(&listed, wanted);
                    if !down.is_empty() {
                        return not_done(down.join("; "));
                    }
                    seen = format!(
                        "{seen}; HAProxy's statistics list {} servers, up: {}",
                        listed.len(),
                        names(&params.up)
                    );
                }
                Statistics::NoReader => {}
                Statistics::Unread(why) => return not_done(why),
            }
        }
        match self.answers(&params).await {
            Ok(answers) => Ok(Probe::Done {
                observed: format!("{seen}; {answers}"),
                outputs: BTreeMap::new(),
            }),
            Err(why) => not_done(why),
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
        let now = self.haproxy(&params).read().await?.unwrap_or_default();
        if Self::kept(&params, &now).is_some() {
            return Ok(());
        }
        self.haproxy(&params)
            .take_over(
                context,
                &Self::rendered(&params, &now)?,
                Then::Listens(params.section.port),
            )
            .await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let memo = super::memo::<Memo>(context)?;
        let now = self.haproxy(&params).read().await?;
        let wanted = self
            .reverted(&params, &memo, now.as_deref().unwrap_or_default())
            .await?;
        let as_before = now == wanted || (wanted.is_none() && now.is_none());
        Ok(
            if as_before && self.haproxy(&params).active().await? == memo.active {
                Probe::Done {
                    observed: "haproxy.cfg and HAProxy are as before".to_owned(),
                    outputs: BTreeMap::new(),
                }
            } else {
                Probe::NotDone {
                    why: "haproxy.cfg or HAProxy's state is not as before".to_owned(),
                }
            },
        )
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo = super::memo::<Memo>(context)?;
        let now = self.haproxy(&params).read().await?.unwrap_or_default();
        match self.reverted(&params, &memo, &now).await? {
            Some(text) => {
                self.haproxy(&params)
                    .take_over(context, &text, Then::as_before(memo.active))
                    .await
            }
            None => Err(StepFailure::fatal(
                "there was no haproxy.cfg before: remove it by hand, then retry",
            )),
        }
    }
}

fn names(names: &[NodeName]) -> String {
    names
        .iter()
        .map(NodeName::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
