//! The evidence for a change of names: a living cluster, what each server's files say and would say, and
//! the certificate that is served. Reads only, and asks for no name.

use std::collections::BTreeSet;

use coxswain_engine::plan::Plan;
use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::{K3sVersion, San, ServerUrl};
use coxswain_k3s::redact::Redactor;
use coxswain_k3s::san_origin::Origins;
use coxswain_k3s::sans::{Edit, SanChange, ServerFiles};
use coxswain_wire::{Fact, StageIndex};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::diff::diff;
use super::super::facts::files;
use super::super::facts::living::{self, Living};
use super::super::facts::{at_once, checks_of, fail, pass, shown, warn};
use crate::steps::ApiHost;
use crate::steps::configured::Configured;
use crate::steps::edit_sans::words as listed;
use crate::steps::kube::of_first;
use crate::steps::restart::NodeRole;
use crate::steps::serve_names::origins;
use crate::steps::server_files::FilesLook;
use crate::steps::serving::{agreed, words};

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    /// The cluster.
    pub(super) living: Living,
    /// Load balancers.
    pub(super) load_balancers: Vec<ApiHost>,
    /// Where clients reach the API.
    pub(super) needed: Vec<San>,
    /// What is to change.
    pub(super) change: SanChange,
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
) -> Vec<Fact> {
    let checks = match checks_of::<Checks>(plan, stage) {
        Ok(checks) => checks,
        Err(facts) => return facts,
    };
    let cluster = plan.cluster_name.as_str();
    let mut facts = living::facts(context, cluster, &checks.living).await;
    let looks = files::of_servers(context, &checks.living.servers).await;
    let mut found = Vec::new();
    for (server, look) in looks {
        match look {
            Err(fact) => facts.push(fact),
            Ok(look) => {
                facts.extend(of_server(&server.name, &look.files, &checks.change));
                found.push(look);
            }
        }
    }
    let agents = checks.living.agents.iter();
    let asking = agents.map(|agent| of_agent(context, agent, &checks.change));
    facts.extend(at_once(asking.collect()).await.into_iter().flatten());
    facts.push(version(context, cluster, &checks).await);
    if found.len() == checks.living.servers.len() {
        facts.extend(of_names(context, cluster, &checks, &found).await);
    }
    facts
}

/// Where the names stand, and what becomes of the file.
fn of_server(name: &str, files: &ServerFiles, change: &SanChange) -> Vec<Fact> {
    let now = files.settings().sans();
    let mut facts = Vec::new();
    facts.extend(joins_through(name, files, change));
    facts.push(pass(
        name,
        "Names",
        format!(
            "{} in {} \u{2192} {}",
            listed(now),
            files.place(),
            listed(&change.apply(now))
        ),
    ));
    if let Some(hidden) = files.hidden() {
        facts.push(warn(
            name,
            "Names in doubt",
            format!(
                "{} in {} stand beside names on the command line: k3s's documentation says that the command line replaces them, its source adds both",
                hidden.values.join(", "),
                hidden.files.join(", ")
            ),
            "New names go to the command line, and those taken out go in both places. Keep all names in one place to be sure.",
        ));
    }
    let unserved = files.unserved();
    if !unserved.is_empty() {
        facts.push(warn(
            name,
            "Names k3s leaves out",
            unserved.join(", "),
            "They are neither host names nor addresses, and do not come into the certificate. Correct them on this server.",
        ));
    }
    match files.edits(change) {
        Err(error) => facts.push(fail(
            name,
            "Change",
            error.to_string(),
            "Correct the file on this server, then look again.",
        )),
        Ok(edits) if edits.is_empty() => {
            facts.push(pass(name, "Change", "none: the files say so already"));
        }
        Ok(edits) => facts.extend(edits.iter().map(|edit| changed(name, files, edit))),
    }
    facts
}

/// A server asks the one it joined through at every start. By a name that is taken out it would bring that name
/// back into the certificate, or, where k3s has learned to refuse it, not come up.
fn joins_through(name: &str, files: &ServerFiles, change: &SanChange) -> Option<Fact> {
    let url: ServerUrl = files.settings().values("server").first()?.parse().ok()?;
    let asked = url.address().to_san();
    change.remove.contains(&asked).then(|| {
        fail(
            name,
            "Joins through",
            format!("k3s asks {url} at every start, by a name that is to go"),
            "Let it ask another address first: change server in config.yaml, or K3S_URL or --server of its service.",
        )
    })
}

/// An agent asks the server that it joined through at every start, too. Its own load balancer leads it to the others
/// by their addresses afterwards; without that it asks by this name for good.
async fn of_agent(context: &PreflightContext, agent: &ApiHost, change: &SanChange) -> Option<Fact> {
    const NAME: &str = "Joins through";
    if change.remove.is_empty() {
        return None;
    }
    let world = &*context.services.world;
    let told = match Configured::take(world, agent.host, NodeRole::Agent.unit()).await {
        Ok(told) => told.settings,
        Err(failure) => {
            return Some(fail(
                &agent.name,
                NAME,
                failure.into_error().message,
                "Check the connection to this host, and k3s's configuration there.",
            ));
        }
    };
    let url: ServerUrl = told.values("server").first()?.parse().ok()?;
    if !change.remove.contains(&url.address().to_san()) {
        return None;
    }
    let why = format!("k3s asks {url} at every start, by a name that is to go");
    let advice = "Let it ask another address first: change server in config.yaml, or K3S_URL or --server of its service.";
    Some(if told.is_on("disable-apiserver-lb") {
        let why = format!("{why}; with disable-apiserver-lb it has no other way");
        fail(&agent.name, NAME, why, advice)
    } else {
        warn(&agent.name, NAME, why, advice)
    })
}

fn changed(name: &str, files: &ServerFiles, edit: &Edit) -> Fact {
    let text = diff(&edit.before, &edit.after);
    let safe = Redactor::new(files.secrets()).redact_all(text.as_bytes());
    Fact {
        diff: Some(String::from_utf8_lossy(&safe).into_owned()),
        ..pass(name, &edit.path, "is changed, all else in it stays")
    }
}

async fn version(context: &PreflightContext, cluster: &str, checks: &Checks) -> Fact {
    const NAME: &str = "Supported";
    let asked = async {
        let kube = of_first(&*context.services.world, &checks.living.servers)
            .await
            .map_err(|failure| failure.into_error().message)?;
        let version = kube.version().await.map_err(|e| e.to_string())?;
        let parsed: K3sVersion = version
            .parse()
            .map_err(|e| format!("{version} is no release of k3s: {e}"))?;
        if parsed.is_supported() {
            Ok(version)
        } else {
            Err(format!("{version} is older than this procedure knows"))
        }
    };
    match asked.await {
        Ok(version) => pass(cluster, NAME, version),
        Err(why) => fail(cluster, NAME, why, "Upgrade the cluster first."),
    }
}

/// The certificate now, and whether the change makes sense with it.
async fn of_names(
    context: &PreflightContext,
    cluster: &str,
    checks: &Checks,
    looks: &[FilesLook],
) -> Vec<Fact> {
    let mut facts = Vec::new();
    let servers = &checks.living.servers;
    let lists: BTreeSet<Vec<AltName>> = looks
        .iter()
        .map(|look| {
            let mut names: Vec<AltName> = look
                .files
                .settings()
                .sans()
                .iter()
                .map(|n| AltName::from_text(n))
                .collect();
            names.sort();
            names
        })
        .collect();
    if lists.len() > 1 {
        facts.push(warn(
            cluster,
            "Same names",
            "the servers are told different names",
            "A server renews the certificate only for names that it is told of. Add the missing ones in this run, too.",
        ));
    }
    let known = origins(servers.iter().zip(looks)).after(&checks.change);
    facts.push(reachable(cluster, checks, &known));
    let ways: Vec<&ApiHost> = servers.iter().chain(&checks.load_balancers).collect();
    match agreed(&*context.services.world, &ways).await {
        Err(why) => facts.push(fail(
            cluster,
            "Certificate",
            why,
            "All servers and load balancers must answer, with one certificate, before it is changed.",
        )),
        Ok(now) => {
            facts.push(shown(cluster, "Serial number", now.serial));
            facts.push(pass(cluster, "Certificate", words(&now.names)));
            facts.extend(removals(cluster, checks, looks, &known, &now.names));
        }
    }
    facts
}

/// Clients find the API at names that the certificate will have.
fn reachable(cluster: &str, checks: &Checks, known: &Origins) -> Fact {
    let missing: Vec<&San> = checks
        .needed
        .iter()
        .filter(|san| !known.is_certain(&AltName::from(*san)))
        .collect();
    let names = |sans: &[&San]| {
        let names: Vec<&str> = sans.iter().map(|san| san.as_str()).collect();
        names.join(", ")
    };
    let doubtful: Vec<&San> = checks
        .needed
        .iter()
        .filter(|san| known.is_doubtful(&AltName::from(*san)))
        .collect();
    if missing.is_empty() && !doubtful.is_empty() {
        warn(
            cluster,
            "Endpoint",
            format!(
                "{} stands only in configuration files beside names on the command line, where it perhaps does not count",
                names(&doubtful)
            ),
            "Add it in this run: it goes to the command line.",
        )
    } else if missing.is_empty() {
        let all: Vec<&San> = checks.needed.iter().collect();
        pass(
            cluster,
            "Endpoint",
            format!("the certificate will be valid for {}", names(&all)),
        )
    } else {
        fail(
            cluster,
            "Endpoint",
            format!(
                "no server is told of {}, where clients reach the API",
                names(&missing)
            ),
            "Add it in this run, or correct the endpoint in the inventory.",
        )
    }
}

fn removals(
    cluster: &str,
    checks: &Checks,
    looks: &[FilesLook],
    known: &Origins,
    served: &BTreeSet<AltName>,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    let told = |name: &AltName| {
        looks.iter().any(|look| {
            let settings = look.files.settings();
            let mut sans = settings.sans().iter().chain(settings.perhaps_sans());
            sans.any(|san| AltName::from_text(san) == *name)
        })
    };
    let removed: Vec<AltName> = checks.change.remove.iter().map(AltName::from).collect();
    for name in &removed {
        if known.is_own(name) {
            facts.push(fail(
                cluster,
                &format!("Take out {name}"),
                "k3s has it in the certificate by itself",
                "Start a new run without it.",
            ));
        } else if let Some(node) = known.on_interface(name) {
            let fact = if told(name) { warn } else { fail };
            facts.push(fact(
                cluster,
                &format!("Take out {name}"),
                format!("{node} has it on an interface and is told no node-ip: k3s adds it by itself if it is an address of the default route"),
                "Start a new run without it, or take it from the interface first.",
            ));
        } else if !told(name) && !served.contains(name) {
            facts.push(fail(
                cluster,
                &format!("Take out {name}"),
                "no server is told of it, and it is not in the certificate",
                "Check how it is written, and start a new run.",
            ));
        }
    }
    let there: Vec<&San> = checks
        .change
        .add
        .iter()
        .filter(|san| served.contains(&AltName::from(*san)))
        .collect();
    for name in there {
        facts.push(warn(
            cluster,
            &format!("Add {name}"),
            "it is in the certificate already",
            "The run sees to it that every server is told of it.",
        ));
    }
    let history: Vec<&AltName> = known
        .history(served)
        .filter(|name| !removed.contains(name))
        .collect();
    if !history.is_empty() {
        let what = if removed.is_empty() {
            "They stay."
        } else {
            "The certificate is issued anew: they go, unless this version of k3s adds them by itself."
        };
        facts.push(warn(
            cluster,
            "History",
            format!(
                "in the certificate, and no flag asks for it: {}",
                words(history)
            ),
            what,
        ));
    }
    facts
}
