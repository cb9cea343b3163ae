//! Step kind `rotate_certificates`: new certificates and keys on one node, which is healthy with them.
//! Seen by serial numbers: the dates of the new ones are the CA's (facts 08).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::rotation::{Renewal, Serials, Service};
use coxswain_k3s::serving::CACHE_FILE;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::Job;
use super::kube::ApiHost;
use super::restart::{self, NodeRole, Target};
use super::{Services, certificates, check, failure};
use crate::world::{JobSpec, Script};

/// Stored name.
pub const KIND: &str = "rotate_certificates";
/// Name of the output: the directories of old certificates that were there before.
pub const OLDER: &str = "older_backups";
/// Time the job may take: stopping, rotating, and asking systemd to start.
const RUNTIME: Duration = Duration::from_secs(210);

/// `$1` the unit, `$2` the file for the journal's cursor, `$3` `server` or `agent`, `$4` the copy of the
/// certificate of :6443 to forget or nothing, `$5` `all` or `some`, `$6…` the services. k3s is started
/// again whatever happens.
pub(crate) const ROTATE: Script = Script {
    name: "rotate-certificates",
    text: r#"unit=$1 mark=$2 role=$3 copy=$4 extent=$5
shift 5
data=/var/lib/rancher/k3s
aside() {
    # Releases before April 2024 look for a server's files on an agent, and fail (k3s issue 9785). The agent
    # gets new certificates from a server when its own are gone.
    backup=$data/agent/tls-$(date +%s)
    (umask 077 && mkdir -p "$backup") || return 1
    for service; do
        case $service in
            kubelet) set -- client-kubelet serving-kubelet ;;
            kube-proxy) set -- client-kube-proxy ;;
            k3s-controller) set -- client-k3s-controller ;;
            *) continue ;;
        esac
        for name; do
            for end in crt key; do
                [ ! -e "$data/agent/$name.$end" ] || mv -f -- "$data/agent/$name.$end" "$backup/" || return 1
            done
        done
    done
    echo "coxswain: moved the agent's certificates to $backup"
}
systemctl daemon-reload || exit 1
echo "coxswain: stopping $unit"
systemctl stop "$unit" || exit 1
result=0
services="$*"
if [ "$extent" = some ]; then
    count=$#
    while [ "$count" -gt 0 ]; do
        set -- "$@" --service "$1"
        shift
        count=$((count - 1))
    done
else
    set --
fi
/usr/local/bin/k3s certificate rotate "$@" || result=$?
if [ "$result" -ne 0 ] && [ "$role" = agent ]; then
    result=0
    aside $services || result=$?
fi
if [ "$result" -eq 0 ] && [ "$role" = server ] && [ "$extent" = all ]; then
    # Made by these two for themselves; not rotated, and made again where they are missing.
    for name in kube-scheduler kube-controller-manager; do
        rm -f -- "$data/server/tls/$name/$name.crt" "$data/server/tls/$name/$name.key" || result=$?
    done
fi
if [ "$result" -eq 0 ] && [ -n "$copy" ]; then
    rm -f -- "$copy" || result=$?
fi
(umask 077 && mkdir -p "${mark%/*}") || result=$?
journalctl --sync >/dev/null 2>&1
(umask 077 && journalctl -q --no-pager -o cat -n 1 --show-cursor | sed -n 's/^-- cursor: //p' >"$mark")
systemctl reset-failed "$unit" 2>/dev/null
echo "coxswain: starting $unit"
systemctl start --no-block "$unit" || result=$?
exit "$result"
"#,
};

/// Whether k3s has the command: releases before v1.22 have not.
pub(crate) const CAN: Script = Script {
    name: "can-rotate",
    text: r#"if /usr/local/bin/k3s certificate rotate --help >/dev/null 2>&1; then
    echo yes
else
    echo no
fi
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The node.
    pub target: Target,
    /// Which certificates; all of the node's if it says so.
    pub services: Chosen,
    /// For an agent: the servers, whose certificates older releases hand to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ApiHost>,
}

/// Which certificates are rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// All that there are.
    All,
    /// Those of these services.
    Only(Vec<Service>),
}

impl Chosen {
    /// The services of a node in this role.
    #[must_use]
    pub fn of(&self, role: NodeRole) -> Vec<Service> {
        let all = match self {
            Chosen::All => Service::ALL.to_vec(),
            Chosen::Only(some) => some.clone(),
        };
        match role {
            NodeRole::Server => all,
            NodeRole::Agent => all.into_iter().filter(|s| s.on_agents()).collect(),
        }
    }

    /// Whether a node with these certificates has any that is chosen.
    pub(crate) fn has_any(&self, role: NodeRole, there: &Serials) -> bool {
        match self {
            Chosen::All => !there.is_empty(),
            Chosen::Only(_) => self.of(role).iter().any(|service| {
                // The one of :6443 is in no file.
                *service == Service::K3sServer
                    || service.files().iter().any(|file| there.contains_key(*file))
            }),
        }
    }

    /// The certificate of :6443 is among them.
    #[must_use]
    pub fn serving(&self) -> bool {
        self.of(NodeRole::Server).contains(&Service::K3sServer)
    }
}

#[derive(Serialize, Deserialize)]
struct Memo {
    invocation: String,
    serials: Serials,
    backups: Vec<String>,
}

/// The step kind.
pub struct RotateCertificates(pub Services);

fn spec(context: &StepContext, params: &Params) -> JobSpec {
    let (role, copy) = match params.target.role {
        NodeRole::Server if params.services.serving() => ("server", CACHE_FILE),
        NodeRole::Server => ("server", ""),
        NodeRole::Agent => ("agent", ""),
    };
    let extent = match params.services {
        Chosen::All => "all",
        Chosen::Only(_) => "some",
    };
    let spec = JobSpec::new(ROTATE, RUNTIME)
        .arg(params.target.role.unit())
        .arg(restart::mark(context))
        .arg(role)
        .arg(copy)
        .arg(extent);
    let services = params.services.of(params.target.role);
    services
        .iter()
        .fold(spec, |spec, service| spec.arg(service.name()))
}

/// The comparison in words.
fn words(found: &Renewal) -> String {
    let renewed: Vec<String> = found
        .renewed
        .iter()
        .map(|(path, before, after)| format!("{path} {before} \u{2192} {after}"))
        .collect();
    let mut text = format!(
        "{} certificates have new serial numbers: {}",
        renewed.len(),
        renewed.join(", ")
    );
    if !found.copies.is_empty() {
        let copies = found.copies.join(", ");
        text.push_str(&format!("; new since the servers' turn: {copies}"));
    }
    if !found.kept.is_empty() {
        text.push_str(&format!("; not renewed: {}", found.kept.join(", ")));
    }
    if !found.gone.is_empty() {
        text.push_str(&format!("; no longer there: {}", found.gone.join(", ")));
    }
    text
}

#[async_trait]
impl StepKind for RotateCertificates {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let target = &params.target;
        if context.memo.is_null() {
            let why = format!("{} has its old certificates", target.node.name);
            return Ok(Probe::NotDone { why });
        }
        let memo: Memo = super::memo(context)?;
        let world = &*self.0.world;
        let seen = restart::restarted(world, context, target, &memo.invocation, None).await?;
        let healthy = match seen {
            Err(why) => return Ok(Probe::NotDone { why }),
            Ok(healthy) => healthy,
        };
        let now = certificates::on_node(world, target.node.host).await?;
        let mut found = Renewal::between(&memo.serials, &now, &params.services.of(target.role));
        if !found.stale.is_empty() {
            let mut theirs = Vec::new();
            for server in &params.servers {
                theirs.push(certificates::on_node(world, server.host).await?);
            }
            found.allow_copies(&now, &theirs);
        }
        // The certificate of :6443 is seen when all servers have had their turn.
        let only_serving = params.services == Chosen::Only(vec![Service::K3sServer]);
        let nothing = found.renewed.is_empty() && found.copies.is_empty();
        if !found.stale.is_empty() || (nothing && !only_serving) {
            return Ok(Probe::NotDone {
                why: format!(
                    "the old serial numbers are still there: {}",
                    found.stale.join(", ")
                ),
            });
        }
        let older =
            serde_json::to_value(&memo.backups).map_err(|e| StepFailure::fatal(e.to_string()))?;
        Ok(Probe::Done {
            observed: format!("{}; {}", healthy.words, words(&found)),
            outputs: BTreeMap::from([(OLDER.to_owned(), Output::Value { value: older })]),
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        let node = &params.target.node;
        restart::guard(world, &params.target).await?;
        let serials = certificates::on_node(world, node.host).await?;
        if serials.is_empty() {
            return Err(failure::fatal(
                format!("there are no certificates of k3s on {}", node.name),
                "Nothing was stopped. Look for them on the host: their place may have been moved.",
            ));
        }
        let backups = certificates::backups(world, node.host).await?;
        let memo = Memo {
            invocation: restart::invocation(world, &params.target).await?,
            serials,
            backups: backups.into_iter().map(|(path, _)| path).collect(),
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        restart::guard(world, &params.target).await?;
        Job::of(world, context)?
            .run(&spec(context, &params), context.output.as_ref())
            .await
    }

    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        restart::settle(self, &*self.0.world, context).await
    }

    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.stop().await
    }

    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        restart::forget(&*self.0.world, context).await
    }
}
