//! The evidence for a join: the new host as at a bootstrap, and the cluster it would join.

use std::collections::BTreeSet;

use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_k3s::config_yaml::Config;
use coxswain_k3s::critical::{apart, differences, disabled};
use coxswain_k3s::env_file::EnvFile;
use coxswain_k3s::etcd::{Member, quorum};
use coxswain_k3s::install::{InstallRequest, Release, Role, Source};
use coxswain_k3s::preflight::HostFacts;
use coxswain_k3s::settings::Settings;
use coxswain_k3s::token::Token;
use coxswain_wire::{ClusterId, Fact, FieldValue, NextRun, StageIndex, Verdict};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::balancer::Foreign;
use super::super::facts::{
    self, Checks, bound, checks_of, fail, no_network, pass, served, unknown, warn,
};
use crate::steps::ApiHost;
use crate::steps::configured::{Configured, brings_network};
use crate::steps::etcd::{EtcdLook, is_of};
use crate::steps::forget_password::{NAMESPACE, secret_of};
use crate::steps::inspect::inspect;
use crate::steps::kube::{API_PORT, of_server};
use crate::steps::resolve_release::binary;
use crate::steps::unit::UnitLook;
use crate::world::{Kube, KubeNode, TlsTarget};

/// What the gate looks at; stored in the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::workflows) struct JoinChecks {
    /// The host, and the ways between it and the cluster.
    pub(in crate::workflows) checks: Checks,
    /// What will be installed.
    pub(super) install: InstallRequest,
    /// Where.
    pub(super) node: ApiHost,
    /// The cluster.
    pub(super) cluster: ClusterId,
    /// A node that leaves before it joins: neither its member counts, nor its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::workflows) leaving: Option<ApiHost>,
    /// Lost nodes that leave with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::workflows) also_lost: Vec<ApiHost>,
}

impl JoinChecks {
    /// Nodes that leave before it joins.
    fn gone(&self) -> impl Iterator<Item = &ApiHost> {
        self.leaving.iter().chain(&self.also_lost)
    }
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
    state: &RunState,
) -> Vec<Fact> {
    let join = match checks_of::<JoinChecks>(plan, stage) {
        Ok(join) => join,
        Err(facts) => return facts,
    };
    of_checks(context, &plan.cluster_name, &join, stage, state).await
}

/// The facts of these checks.
pub(in crate::workflows) async fn of_checks(
    context: &PreflightContext,
    cluster: &str,
    join: &JoinChecks,
    stage: StageIndex,
    state: &RunState,
) -> Vec<Fact> {
    let gone: Vec<ApiHost> = join.gone().cloned().collect();
    let foreign = Foreign::Kept { leaving: &gone };
    let mut facts = facts::of_checks(context, cluster, &join.checks, foreign).await;
    // k3s tries again for ever: once its cause is gone, a join that failed succeeds without us.
    let newcomer = (!state.untouched(&join.node.name, stage)).then_some(&join.node);
    facts.extend(of_cluster(context, cluster, join, newcomer).await);
    facts
}

/// `newcomer` is the host that joins, if this run has begun to install there: its member is ours, not the cluster's.
async fn of_cluster(
    context: &PreflightContext,
    cluster: &str,
    join: &JoinChecks,
    newcomer: Option<&ApiHost>,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(etcd(context, cluster, join, newcomer).await);
    facts.push(names(context, cluster, join).await);
    facts.extend(door(context, cluster, join).await);
    if let Some(first) = join.checks.peers.first() {
        // One that cannot be asked has facts of its own.
        if let Ok(false) = brings_network(&*context.services.world, first.host).await {
            facts.push(no_network(cluster));
        }
        facts.push(token(context, cluster, join, first).await);
        facts.extend(families(context, join, first).await);
        match of_server(&*context.services.world, first).await {
            Ok(Some(kube)) => facts.extend(api(context, cluster, join, &*kube).await),
            Ok(None) => facts.push(fail(
                cluster,
                "API",
                format!("{} has no kubeconfig", first.name),
                "Check k3s on this server.",
            )),
            Err(failure) => facts.push(fail(
                cluster,
                "API",
                failure.into_error().message,
                "Check the connection to this server.",
            )),
        }
    }
    match join.install.role {
        Role::JoinServer { .. } | Role::FirstServer => facts.extend(flags(context, join).await),
        Role::Agent { .. } => {}
    }
    facts
}

/// Where the host joins, and where the cluster is looked at afterwards.
async fn names(context: &PreflightContext, cluster: &str, join: &JoinChecks) -> Fact {
    let mut wanted = vec![join.checks.endpoint.to_san()];
    match &join.install.role {
        Role::JoinServer { server_url } | Role::Agent { server_url } => {
            let joined = server_url.address().to_san();
            if !wanted.contains(&joined) {
                wanted.push(joined);
            }
        }
        Role::FirstServer => {}
    }
    let world = &*context.services.world;
    served::names(world, cluster, &join.checks.peers, &wanted, true).await
}

/// Whether k3s answers where the host joins: a server that hears nothing there gives up, an agent tries for ever.
async fn door(context: &PreflightContext, cluster: &str, join: &JoinChecks) -> Option<Fact> {
    const NAME: &str = "Joins at";
    let url = match &join.install.role {
        Role::JoinServer { server_url } | Role::Agent { server_url } => server_url,
        Role::FirstServer => return None,
    };
    let world = &*context.services.world;
    let address = url.address().to_string();
    let fact = match world
        .http_get(&TlsTarget::new(&address, API_PORT), "/cacerts")
        .await
    {
        Ok(answer) if answer.status == 200 => return Some(pass(cluster, NAME, url.to_string())),
        Ok(answer) => format!("{url} answers {} to /cacerts", answer.status),
        Err(error) => format!("{url}: {error}"),
    };
    if join.checks.load_balancers.is_empty() {
        let advice = "Check k3s on this server, and that the panel reaches it there.";
        return Some(fail(cluster, NAME, fact, advice));
    }
    let inputs = [("cluster".to_owned(), FieldValue::Id(join.cluster.0))].into();
    Some(Fact {
        next: Some(NextRun {
            title: "Set up the load balancer".to_owned(),
            why: "Nodes join through it.".to_owned(),
            workflow: "load_balancer".to_owned(),
            inputs,
        }),
        ..fail(
            cluster,
            NAME,
            fact,
            "No k3s answers there. Start HAProxy on the load balancer, or let it be set up first; where somebody else keeps it, correct it by hand.",
        )
    })
}

/// Flags that say which node it is and where it joins, or that are told by a fact of their own.
const NOT_INHERITED: [&str; 10] = [
    "agent-token",
    "cluster-init",
    "node-external-ip",
    "node-ip",
    "node-name",
    "server",
    "tls-san",
    "token",
    "token-file",
    "advertise-address",
];

/// What the node that leaves was started with and its replacement will not be, as the cluster remembers it: the
/// machine may be gone.
async fn inheritance(
    context: &PreflightContext,
    join: &JoinChecks,
    nodes: &[KubeNode],
) -> Option<Fact> {
    const NAME: &str = "Its arguments";
    let old = join.leaving.as_ref()?;
    let name = old.name.as_str();
    let args = nodes.iter().find(|node| node.name == old.name);
    let Some(before) = args.and_then(|node| Settings::recorded(node.node_args.as_deref()?)) else {
        return Some(warn(
            name,
            NAME,
            "not recorded in the cluster",
            "Its replacement gets the arguments of this form, and no others.",
        ));
    };
    let world = &*context.services.world;
    // Without the machine's own files only what the form gives counts.
    let found = inspect(world, join.node.host).await.ok();
    let words = join.install.k3s_args().ok()?;
    let after = match &found {
        Some(found) => settings(&words, found).ok()?,
        None => Settings::effective(
            words.get(1..).unwrap_or_default(),
            &Config::default(),
            &EnvFile::default(),
        ),
    };
    let lost: Vec<String> = before
        .iter()
        .filter(|(flag, setting)| {
            !NOT_INHERITED.contains(flag) && after.values(flag) != setting.values
        })
        .map(|(flag, setting)| {
            let values: Vec<String> = setting
                .values
                .iter()
                .map(|v| format!("--{flag}={v}"))
                .collect();
            values.join(" ")
        })
        .collect();
    Some(if lost.is_empty() {
        pass(name, NAME, "its replacement gets the same")
    } else {
        warn(
            name,
            NAME,
            format!("not given to its replacement: {}", lost.join(" ")),
            "The new node does not inherit them. Give those that it needs in the form, in a new run; a role, label or taint that is missing moves pods.",
        )
    })
}

/// Members and their health, seen from each server.
async fn etcd(
    context: &PreflightContext,
    cluster: &str,
    join: &JoinChecks,
    newcomer: Option<&ApiHost>,
) -> Vec<Fact> {
    let counts = |member: &&Member| {
        let mut ignored = newcomer.into_iter().chain(join.gone());
        !ignored.any(|host| is_of(member, host))
    };
    let mut facts = Vec::new();
    let (mut healthy, mut members) = (0, 0);
    for peer in &join.checks.peers {
        match EtcdLook::take(&*context.services.world, peer.host).await {
            Ok(Ok(look)) => {
                let others: Vec<&Member> = look.members.members.iter().filter(counts).collect();
                members = members.max(others.len());
                if look.healthy {
                    healthy += 1;
                }
                if others.iter().any(|member| !member.votes()) {
                    facts.push(fail(
                        &peer.name,
                        "etcd",
                        "a member is still a learner",
                        "Wait until it votes, or remove it: only one node may join at a time.",
                    ));
                }
            }
            Ok(Err(why)) => facts.push(fail(
                &peer.name,
                "etcd",
                why,
                "Bring this server back first: with a member down a join can cost quorum.",
            )),
            Err(failure) => facts.push(fail(
                &peer.name,
                "etcd",
                failure.into_error().message,
                "Check the connection to this server.",
            )),
        }
    }
    let now = quorum(members, healthy);
    let value = format!(
        "{healthy} of {members} members healthy, {} needed",
        now.needed
    );
    facts.push(if now.holds() && healthy == members {
        pass(cluster, "etcd", value)
    } else {
        fail(
            cluster,
            "etcd",
            value,
            "All members must be healthy before one more joins.",
        )
    });
    facts
}

/// The stored token against the CA that the cluster shows.
async fn token(
    context: &PreflightContext,
    cluster: &str,
    join: &JoinChecks,
    first: &ApiHost,
) -> Fact {
    const NAME: &str = "Token";
    // Reading it is a step of the run, which may be retried after it.
    let good = |value: &str| bound(cluster, NAME, value.to_owned(), Verdict::Pass, "");
    let services = &context.services;
    let stored = match services.book.token(join.cluster).await {
        Ok(Some(id)) => services.secrets.get(id).await,
        Ok(None) => {
            return good("not in the vault: it will be read from the first server");
        }
        Err(e) => Err(e),
    };
    let token = match stored.map(|secret| String::from_utf8_lossy(secret.expose()).parse::<Token>())
    {
        Ok(Ok(token)) => token,
        Ok(Err(e)) => {
            return fail(
                cluster,
                NAME,
                e.to_string(),
                "Start a new run: the token is read again.",
            );
        }
        Err(e) => return fail(cluster, NAME, e.to_string(), "Look into the panel's log."),
    };
    match services
        .world
        .http_get(&TlsTarget::new(&first.address, 6443), "/cacerts")
        .await
    {
        Err(e) => fail(
            cluster,
            NAME,
            e.to_string(),
            "Check that k3s runs on the first server.",
        ),
        Ok(answer) if token.matches_ca(&answer.body) == Some(true) => {
            good("its CA hash is that of the cluster's CA")
        }
        Ok(_) => fail(
            cluster,
            NAME,
            "its CA hash is not that of the CA shown",
            "Something else answers at this address, or the CA was replaced.",
        ),
    }
}

/// Versions and node names, as the API tells them.
async fn api(
    context: &PreflightContext,
    cluster: &str,
    join: &JoinChecks,
    kube: &dyn Kube,
) -> Vec<Fact> {
    let nodes = match kube.nodes().await {
        Ok(nodes) => nodes,
        Err(e) => {
            return vec![fail(
                cluster,
                "API",
                e.to_string(),
                "Check that the cluster runs.",
            )];
        }
    };
    let mut facts = Vec::new();
    let leaves = |name: &str| join.leaving.as_ref().is_some_and(|old| old.name == name);
    let goes = |node: &KubeNode| join.gone().any(|old| old.name == node.name);
    // Agents may be behind the servers: a node that joins is as the servers are.
    let is_server = |node: &&KubeNode| join.checks.peers.iter().any(|peer| peer.name == node.name);
    let staying = nodes.iter().filter(|node| !goes(node));
    let (servers, others): (Vec<&KubeNode>, Vec<&KubeNode>) = staying.partition(is_server);
    let versions: BTreeSet<&str> = servers.iter().map(|n| n.version.as_str()).collect();
    let running = versions.iter().copied().collect::<Vec<_>>().join(", ");
    facts.push(match coming(context, join).await {
        Some(version) if versions.iter().eq([&version.as_str()]) => {
            pass(cluster, "Same version", version)
        }
        Some(version) => fail(
            cluster,
            "Same version",
            format!("the servers run {running}, the new node would run {version}"),
            "Give the servers' version.",
        ),
        None => fail(
            cluster,
            "Same version",
            format!("the servers run {running}; what would be installed is not known"),
            "See the facts of the host.",
        ),
    });
    let behind = others
        .iter()
        .filter(|node| !versions.contains(node.version.as_str()));
    let behind: Vec<String> = behind
        .map(|n| format!("{}: {}", n.name, n.version))
        .collect();
    if !behind.is_empty() {
        facts.push(warn(
            cluster,
            "Other versions",
            behind.join(", "),
            "Not what the servers run. Upgrade these nodes when it suits.",
        ));
    }
    facts.extend(inheritance(context, join, &nodes).await);
    let name = &join.node.name;
    let password = secret_of(name);
    facts.push(if leaves(name) {
        pass(name, "Node name", "is that of the node that leaves; the password kept for it goes, too")
    } else if nodes.iter().any(|n| n.name == *name) {
        fail(name, "Node name", "the cluster has a node of this name", "Delete that node first, or give the host another name.")
    } else {
        match kube.secret_names(NAMESPACE).await {
            Err(e) => fail(cluster, "API", e.to_string(), "Check that the cluster runs."),
            Ok(secrets) if secrets.contains(&password) => fail(
                name,
                "Node name",
                "a node of this name was registered before: its password is kept, and k3s would refuse the new one",
                format!("Delete the Secret {NAMESPACE}/{password}, or give the host another name."),
            ),
            Ok(_) => pass(name, "Node name", "is new to the cluster"),
        }
    });
    facts
}

/// The version that would be installed.
async fn coming(context: &PreflightContext, join: &JoinChecks) -> Option<String> {
    match &join.install.source {
        Source::Online {
            release: Release::Version(version),
            ..
        } => Some(version.to_string()),
        Source::Online {
            release: Release::Channel(_),
            ..
        } => None,
        Source::AirGap { binary_path, .. } => {
            let world = &*context.services.world;
            let found = binary(world, join.node.host, binary_path.as_str()).await;
            found.ok().flatten().map(|version| version.to_string())
        }
    }
}

/// A node has addresses of the families that its cluster's pods have. None where they have one, which the node's address
/// is of; or where the server cannot be asked, which is told by facts of its own.
async fn families(context: &PreflightContext, join: &JoinChecks, first: &ApiHost) -> Option<Fact> {
    const NAME: &str = "Address families";
    let world = &*context.services.world;
    let told = Configured::take(world, first.host, "k3s.service")
        .await
        .ok()?;
    let networks = told.settings.values("cluster-cidr").join(",");
    if !(networks.contains(':') && networks.contains('.')) {
        return None;
    }
    let name = &join.node.name;
    Some(match join.install.second_ip {
        Some(second) => pass(name, NAME, format!("{second} beside its node address")),
        None => fail(
            name,
            NAME,
            format!("pods have addresses of {networks}, the node would have one family"),
            "k3s does not start so. Give the host's second address in the form.",
        ),
    })
}

/// Critical flags of every server against those of the new one.
async fn flags(context: &PreflightContext, join: &JoinChecks) -> Vec<Fact> {
    const NAME: &str = "Critical flags";
    let world = &*context.services.world;
    let new = match inspect(world, join.node.host).await {
        Ok(found) => found,
        Err(error) => return vec![unknown(&join.node.name, NAME, &error)],
    };
    let new = match join
        .install
        .k3s_args()
        .map_err(|e| e.to_string())
        .and_then(|words| settings(&words, &new))
    {
        Ok(new) => new,
        Err(why) => {
            return vec![fail(
                &join.node.name,
                NAME,
                why,
                "Correct the arguments, or config.yaml on the host.",
            )];
        }
    };
    let (mut facts, mut told) = (Vec::new(), Vec::new());
    for peer in &join.checks.peers {
        let found = match inspect(world, peer.host).await {
            Ok(found) => found,
            Err(error) => {
                facts.push(unknown(&peer.name, NAME, &error));
                continue;
            }
        };
        let words = match UnitLook::take(world, peer.host, "k3s.service", None).await {
            Ok(look) => look.words(),
            Err(failure) => {
                facts.push(fail(
                    &peer.name,
                    NAME,
                    failure.into_error().message,
                    "Check the connection to this server.",
                ));
                continue;
            }
        };
        let there = words
            .ok_or_else(|| "k3s.service does not start k3s".to_owned())
            .and_then(|words| settings(&words, &found));
        facts.extend(match there {
            Err(why) => vec![fail(&peer.name, NAME, why, "Check k3s on this server.")],
            Ok(there) => {
                let facts = compared(&peer.name, &there, &new);
                told.push((peer.name.as_str(), there));
                facts
            }
        });
    }
    facts.extend(components(&join.node.name, &told, &new));
    facts
}

/// Components that k3s brings along: each server deploys them for the whole cluster, or takes them away.
fn components(name: &str, peers: &[(&str, Settings)], new: &Settings) -> Option<Fact> {
    const NAME: &str = "Components";
    let words = |settings: &Settings| {
        let disabled = disabled(settings);
        if disabled.is_empty() {
            return "nothing is disabled".to_owned();
        }
        let names: Vec<&str> = disabled.into_iter().collect();
        format!("{} disabled", names.join(", "))
    };
    let (first, others) = peers.split_first()?;
    let same = |there: &Settings| disabled(there) == disabled(new);
    if peers.iter().all(|(_, there)| same(there)) {
        return Some(pass(name, NAME, words(new)));
    }
    let here = words(new);
    if others
        .iter()
        .all(|(_, there)| disabled(there) == disabled(&first.1))
    {
        return Some(fail(
            name,
            NAME,
            format!("{here}; on the other servers {}", words(&first.1)),
            "A server that is told otherwise deploys what the others leave out, or removes what they deploy. Give the same --disable.",
        ));
    }
    let there = peers
        .iter()
        .map(|(peer, there)| format!("on {peer} {}", words(there)));
    let there: Vec<String> = there.collect();
    Some(warn(
        name,
        NAME,
        format!("{here}; {}", there.join("; ")),
        "The servers are not of one mind: what is deployed depends on which of them started last. Give all the same --disable.",
    ))
}

fn compared(peer: &str, there: &Settings, new: &Settings) -> Vec<Fact> {
    let differences: Vec<String> = differences(there, new)
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut facts = vec![if differences.is_empty() {
        pass(peer, "Critical flags", "equal to those of the new server")
    } else {
        let advice = "\u{201c}Here\u{201d} is this server, \u{201c}there\u{201d} the new one. k3s refuses to join with these: give the same arguments.";
        fail(peer, "Critical flags", differences.join("; "), advice)
    }];
    let apart = apart(there, new);
    if !apart.is_empty() {
        facts.push(warn(
            peer,
            "Cluster-wide flags",
            format!("not as for the new server: {}", apart.join(", ")),
            "k3s does not compare them, but each server acts on its own for the whole cluster. Give the same arguments.",
        ));
    }
    let missing: Vec<&str> = there
        .sans()
        .iter()
        .filter(|san| !new.sans().contains(san))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        facts.push(warn(
            peer,
            "Names for the certificate",
            format!("not given for the new server: {}", missing.join(", ")),
            "Give the same names, so that every server renews the certificate with all of them.",
        ));
    }
    facts
}

/// What a server is told: arguments, config.yaml. The environment holds only token and address.
fn settings(words: &[String], found: &HostFacts) -> Result<Settings, String> {
    let files = found
        .config_files
        .iter()
        .map(|f| (f.path.as_str(), f.text.as_str()));
    let config = Config::merge(files).map_err(|e| e.to_string())?;
    Ok(Settings::effective(
        words.get(1..).unwrap_or_default(),
        &config,
        &EnvFile::default(),
    ))
}
