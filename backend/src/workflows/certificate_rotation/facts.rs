//! The evidence for a rotation of certificates. Reads only.

use std::collections::BTreeSet;

use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::San;
use coxswain_k3s::rotation::Service;
use coxswain_k3s::settings::Source;
use coxswain_k3s::token::Token;
use coxswain_wire::{Fact, StageIndex};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::files;
use super::super::facts::living::{self, Living};
use super::super::facts::{at_once, checks_of, fail, pass, shown, warn};
use super::clean_up::{self, Listed};
use crate::steps::ApiHost;
use crate::steps::certificates::{backups, on_node};
use crate::steps::restart::{NodeRole, Target};
use crate::steps::rotate_certificates::{self, CAN, Chosen};
use crate::steps::serve_names::origins;
use crate::steps::serving::{agreed, words};
use crate::steps::told_token::ToldToken;
use crate::steps::verify_token::{Verdict, try_token};
use crate::world::{RemoteCommand, World};

/// What a gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Checks {
    /// Before the rotation.
    Start {
        /// The cluster.
        living: Box<Living>,
        /// Load balancers.
        load_balancers: Vec<ApiHost>,
        /// Where clients reach the API.
        needed: Vec<San>,
        /// Nodes to be rotated.
        targets: Vec<Target>,
        /// Which certificates.
        services: Chosen,
    },
    /// Before old certificates are deleted.
    CleanUp(Listed),
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
    state: &RunState,
) -> Vec<Fact> {
    let cluster = plan.cluster_name.as_str();
    match checks_of::<Checks>(plan, stage) {
        Err(facts) => facts,
        Ok(Checks::Start {
            living,
            load_balancers,
            needed,
            targets,
            services,
        }) => {
            let living = living.with_begun(plan, state, &[rotate_certificates::KIND]);
            let mut facts = living::facts(context, cluster, &living).await;
            let each = targets
                .iter()
                .map(|target| of_node(context, target, &services));
            facts.extend(at_once(each.collect()).await.into_iter().flatten());
            // Only without the kubelet's certificate does an agent show its token.
            let shows = services.of(NodeRole::Agent).contains(&Service::Kubelet);
            let agents = targets
                .iter()
                .filter(|t| t.role == NodeRole::Agent && shows);
            let tokens = agents.map(|target| token(context, &living.servers, target));
            facts.extend(at_once(tokens.collect()).await);
            let up = living.servers.iter().filter(|s| living.is_up(s));
            let ways: Vec<&ApiHost> = up.chain(&load_balancers).collect();
            match served(context, cluster, &ways, &needed).await {
                Err(found) => facts.extend(found),
                Ok((found, names)) => {
                    facts.extend(found);
                    if services.serving() {
                        let servers = &living.servers;
                        // Nodes that joined through a load balancer ask for its address at every start.
                        let joined = load_balancers
                            .iter()
                            .filter_map(|lb| lb.address.parse().ok());
                        let needed: Vec<San> = needed.iter().cloned().chain(joined).collect();
                        facts.extend(forgotten(context, cluster, servers, &needed, &names).await);
                    }
                }
            }
            facts
        }
        Ok(Checks::CleanUp(listed)) => clean_up::facts(context, state, &listed).await,
    }
}

/// What a node has, and whether its k3s can rotate.
async fn of_node(context: &PreflightContext, target: &Target, services: &Chosen) -> Vec<Fact> {
    let world = &*context.services.world;
    let (name, host) = (target.node.name.as_str(), target.node.host);
    let unread =
        |what: &str, why: String| fail(name, what, why, "Check the connection to this host.");
    let mut facts = Vec::new();
    let can = world
        .run(host, RemoteCommand::script(CAN).sudo())
        .await
        .and_then(|o| o.ok(CAN.name));
    facts.push(match can {
        Err(error) => unread("Rotation", error.to_string()),
        Ok(answer) if answer.text().trim() == "yes" => {
            pass(name, "Rotation", "this k3s has certificate rotate")
        }
        Ok(_) => fail(
            name,
            "Rotation",
            "this k3s has no certificate rotate",
            "Upgrade the cluster first: v1.22 is the oldest that has it.",
        ),
    });
    facts.push(match on_node(world, host).await {
        Err(failure) => unread("Certificates", failure.into_error().message),
        Ok(found) if found.is_empty() => fail(
            name,
            "Certificates",
            "none found in /var/lib/rancher/k3s",
            "This procedure knows only the usual place.",
        ),
        Ok(found) if !services.has_any(target.role, &found) => fail(
            name,
            "Certificates",
            "none of the services that were chosen",
            "Choose all certificates, or services that this node has.",
        ),
        Ok(found) => {
            let each: Vec<String> = found
                .iter()
                .map(|(path, serial)| format!("{path} {serial}"))
                .collect();
            shown(name, "Certificates", each.join("\n"))
        }
    });
    match backups(world, host).await {
        Err(failure) => facts.push(unread("Old certificates", failure.into_error().message)),
        Ok(found) if found.is_empty() => {}
        Ok(found) => facts.push(warn(
            name,
            "Old certificates",
            listed(&found),
            "They hold the private keys of the cluster's CAs. This run lists them in the end, or deletes them if its form says so.",
        )),
    }
    facts
}

/// An agent whose certificates are gone gets new ones with the token that it is told: one that has expired or was
/// replaced since it joined leaves it down.
async fn token(context: &PreflightContext, servers: &[ApiHost], target: &Target) -> Fact {
    const NAME: &str = "Token";
    let world = &*context.services.world;
    let (name, host) = (target.node.name.as_str(), target.node.host);
    let unknown = |why: String| {
        warn(
            name,
            NAME,
            why,
            "Without a token that the servers accept this agent does not come back. See that it is told the present one.",
        )
    };
    let told = match ToldToken::take(world, host, target.role).await {
        Ok(told) => told,
        Err(failure) => return unknown(failure.into_error().message),
    };
    let Some(text) = told.token else {
        return unknown("k3s is told no token but perhaps by a file: it was not tried".to_owned());
    };
    let token = match text.parse::<Token>() {
        Ok(token) => token,
        Err(e) => return unknown(format!("what k3s is told was not tried: {e}")),
    };
    for server in servers {
        match try_token(world, server.host, target.role, &token).await {
            Ok(Verdict::Accepted) => {
                return pass(name, NAME, "the servers accept it");
            }
            Ok(Verdict::Refused) => {
                return fail(
                    name,
                    NAME,
                    format!(
                        "{} refuses the token that k3s is told here: it has expired or was replaced, and without its old certificates this agent would not come back",
                        server.name
                    ),
                    format!(
                        "Put the cluster's present token (on a server: {}) {}, then look again.",
                        present(world, server).await,
                        place(told.place.as_ref(), target.role)
                    ),
                );
            }
            // Another one may know.
            Ok(Verdict::NoAnswer) | Err(_) => {}
        }
    }
    unknown("no server could be asked about it".to_owned())
}

/// The file of a server with the token that agents join with.
async fn present(world: &dyn World, server: &ApiHost) -> &'static str {
    match ToldToken::take(world, server.host, NodeRole::Server).await {
        Ok(told) if told.of_agents => "/var/lib/rancher/k3s/server/agent-token",
        Ok(_) | Err(_) => "/var/lib/rancher/k3s/server/node-token",
    }
}

/// Where k3s takes its token from: in another place a new one would not count.
fn place(source: Option<&Source>, role: NodeRole) -> String {
    match source {
        Some(Source::CommandLine) => format!("into --token in {}", role.unit()),
        Some(Source::Config(files)) => format!("into token in {}", files.join(", ")),
        Some(Source::Environment(name)) => format!("into {name} in {}.env", role.unit()),
        None => format!("into K3S_TOKEN in {}.env", role.unit()),
    }
}

fn listed(found: &[(String, u64)]) -> String {
    let each: Vec<String> = found
        .iter()
        .map(|(path, kib)| format!("{path} ({kib} KiB)"))
        .collect();
    each.join("\n")
}

/// One certificate everywhere, valid where clients reach the API: the end of the run wants as much. Its names, too.
async fn served(
    context: &PreflightContext,
    cluster: &str,
    ways: &[&ApiHost],
    needed: &[San],
) -> Result<(Vec<Fact>, BTreeSet<AltName>), Vec<Fact>> {
    let now = match agreed(&*context.services.world, ways).await {
        Ok(now) => now,
        Err(why) => {
            return Err(vec![fail(
                cluster,
                "Certificate of :6443",
                why,
                "All servers and load balancers must answer, with one certificate, before it is renewed.",
            )]);
        }
    };
    let wanted: BTreeSet<AltName> = needed.iter().map(AltName::from).collect();
    let missing: Vec<&AltName> = wanted.difference(&now.names).collect();
    let facts = vec![
        shown(cluster, "Certificate of :6443", now.serial),
        if missing.is_empty() {
            pass(cluster, "Endpoint", format!("valid for {}", words(&wanted)))
        } else {
            fail(
                cluster,
                "Endpoint",
                format!(
                    "clients reach the API at {}, which is not in the certificate",
                    words(missing)
                ),
                "Add the name first, by changing the API's names.",
            )
        },
    ];
    Ok((facts, now.names))
}

/// Names that the new certificate will not have: k3s makes it from what the servers are told, and what it has
/// only learned from clients goes with the old one.
async fn forgotten(
    context: &PreflightContext,
    cluster: &str,
    servers: &[ApiHost],
    needed: &[San],
    served: &BTreeSet<AltName>,
) -> Vec<Fact> {
    let (mut facts, mut told) = (Vec::new(), Vec::new());
    for (server, look) in files::of_servers(context, servers).await {
        match look {
            Ok(look) => told.push((server, look)),
            Err(fact) => facts.push(fact),
        }
    }
    if !facts.is_empty() {
        return facts;
    }
    let known = origins(told.iter().map(|(server, look)| (*server, look)));
    let needed: BTreeSet<AltName> = needed.iter().map(AltName::from).collect();
    let uncertain = |name: &&AltName| needed.contains(name) && !known.is_certain(name);
    let lost: Vec<&AltName> = served.iter().filter(uncertain).collect();
    let others = known.history(served).filter(|name| !needed.contains(name));
    let others: Vec<&AltName> = others.collect();
    if !lost.is_empty() {
        facts.push(fail(
            cluster,
            "Endpoint afterwards",
            format!(
                "no server is told of {}, where clients reach the API: the new certificate would not have it",
                words(lost.iter().copied())
            ),
            "Add the name first, by changing the API's names.",
        ));
    }
    let doubtful: Vec<&AltName> = needed.iter().filter(|n| known.is_doubtful(n)).collect();
    if lost.is_empty() && !doubtful.is_empty() {
        facts.push(warn(
            cluster,
            "Endpoint afterwards",
            format!(
                "{} stands only in configuration files beside names on the command line, where it perhaps does not count",
                words(doubtful.iter().copied())
            ),
            "Add the name first, by changing the API's names: it goes to the command line.",
        ));
    }
    if !others.is_empty() {
        facts.push(warn(
            cluster,
            "Names that go",
            words(others),
            "No server is told of them. If clients use one, add it first, by changing the API's names.",
        ));
    }
    facts
}
