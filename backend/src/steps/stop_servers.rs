//! Step kind `stop_servers`: k3s off on all servers of a cluster, for a restore. An intended outage.
//!
//! All at once and in one step, because they come back only together: a server that starts alone waits for the
//! others.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::HostId;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::unit::UnitLook;
use super::{Services, check, failure, memo};
use crate::world::{RemoteCommand, Script, World};

/// Stored name.
pub const KIND: &str = "stop_servers";

const UNIT: &str = "k3s.service";
/// systemd only takes the order.
const ORDER: Duration = Duration::from_secs(30);

/// `$1` the unit, `$2` `disable` if it must not come back with the next boot. Does not wait for the end.
pub(crate) const HALT: Script = Script {
    name: "halt-unit",
    text: r#"if [ "$2" = disable ]; then systemctl disable "$1" || exit 1; fi
systemctl stop --no-block "$1"
"#,
};

/// `$1` the unit, `$2` `enable` if it comes back with each boot, `$3` `start` if it runs.
pub(crate) const RELEASE: Script = Script {
    name: "release-unit",
    text: r#"if [ "$2" = enable ]; then systemctl enable "$1" || exit 1; fi
if [ "$3" = start ]; then systemctl start --no-block "$1"; fi
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The server that will be reset: stopped last, and not disabled.
    pub chosen: ApiHost,
    /// The others: stopped, and disabled until they join again.
    pub others: Vec<ApiHost>,
}

impl Params {
    /// The others first.
    fn all(&self) -> impl Iterator<Item = &ApiHost> {
        self.others.iter().chain([&self.chosen])
    }

    fn is_chosen(&self, server: &ApiHost) -> bool {
        server.host == self.chosen.host
    }
}

/// One server's unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UnitState {
    host: HostId,
    /// systemd's `ActiveState`.
    active: String,
    /// Comes back with each boot.
    enabled: bool,
}

impl UnitState {
    fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading")
    }

    fn is_off(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// Why it is not stopped, in words.
    fn at_work(&self, server: &ApiHost) -> Option<String> {
        (!self.is_off()).then(|| format!("{UNIT} on {} is {}", server.name, self.active))
    }

    /// Why it does not stay so, in words.
    fn returns(&self, server: &ApiHost) -> Option<String> {
        self.enabled
            .then(|| format!("{UNIT} on {} would come back with a boot", server.name))
    }
}

async fn state(world: &dyn World, server: &ApiHost) -> Result<UnitState, StepFailure> {
    let look = UnitLook::take(world, server.host, UNIT, None).await?;
    if !look.loaded {
        return Err(failure::fatal(
            format!("{} has no {UNIT}", server.name),
            "Correct the host's role in the inventory.",
        ));
    }
    Ok(UnitState {
        host: server.host,
        active: look.state,
        enabled: look.enabled,
    })
}

/// Why servers that were stopped and disabled are not so any more, in words.
///
/// # Errors
/// One of them cannot be asked.
pub(crate) async fn back(
    world: &dyn World,
    servers: &[ApiHost],
) -> Result<Vec<String>, StepFailure> {
    let looks = servers.iter().map(async |server| {
        let now = state(world, server).await?;
        Ok(now.at_work(server).or_else(|| now.returns(server)))
    });
    let found: Result<Vec<_>, StepFailure> = join_all(looks).await.into_iter().collect();
    Ok(found?.into_iter().flatten().collect())
}

/// The units as they were.
#[derive(Serialize, Deserialize)]
struct Memo {
    before: Vec<UnitState>,
}

/// The step kind.
pub struct StopServers(pub Services);

impl StopServers {
    async fn state(&self, server: &ApiHost) -> Result<UnitState, StepFailure> {
        state(&*self.0.world, server).await
    }

    async fn order(
        &self,
        server: &ApiHost,
        script: Script,
        words: [&str; 2],
    ) -> Result<(), StepFailure> {
        let command = RemoteCommand::script(script)
            .arg(UNIT)
            .args(words)
            .sudo()
            .timeout(ORDER);
        self.0
            .world
            .run(server.host, command)
            .await
            .and_then(|o| o.ok(script.name))
            .map_err(failure::world)?;
        Ok(())
    }
}

/// The first failure, after all have been tried: one server that does not answer keeps no other waiting.
fn all_of(results: Vec<Result<(), StepFailure>>) -> Result<(), StepFailure> {
    results.into_iter().collect()
}

#[async_trait]
impl StepKind for StopServers {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        for server in params.all() {
            let now = self.state(server).await?;
            let returns = || now.returns(server).filter(|_| !params.is_chosen(server));
            if let Some(why) = now.at_work(server).or_else(returns) {
                return Ok(Probe::NotDone { why });
            }
        }
        Ok(Probe::Done {
            observed: format!(
                "{UNIT} is off on all servers, and disabled on all but {}",
                params.chosen.name
            ),
            outputs: BTreeMap::new(),
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let mut before = Vec::new();
        for server in params.all() {
            before.push(self.state(server).await?);
        }
        serde_json::to_value(Memo { before }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let others = params
            .others
            .iter()
            .map(|server| self.order(server, HALT, ["disable", ""]));
        all_of(join_all(others).await)?;
        self.order(&params.chosen, HALT, ["", ""]).await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = memo(context)?;
        for server in params.all() {
            let Some(before) = memo.before.iter().find(|b| b.host == server.host) else {
                continue;
            };
            let now = self.state(server).await?;
            // One that was on its way without end may be so again.
            let as_before = if before.active == "active" {
                now.active == "active"
            } else {
                before.runs() == now.runs()
            };
            if !as_before || now.enabled != before.enabled {
                return Ok(Probe::NotDone {
                    why: format!(
                        "{UNIT} on {} is {}, it was {}",
                        server.name, now.active, before.active
                    ),
                });
            }
        }
        Ok(Probe::Done {
            observed: format!("{UNIT} is as it was on all servers"),
            outputs: BTreeMap::new(),
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = memo(context)?;
        let orders = params.all().filter_map(|server| {
            let before = memo.before.iter().find(|b| b.host == server.host)?;
            let enable = if before.enabled { "enable" } else { "" };
            let start = if before.runs() { "start" } else { "" };
            Some(self.order(server, RELEASE, [enable, start]))
        });
        all_of(join_all(orders).await)
    }
}
