//! The evidence for deleting snapshots: what goes, and whether what stays is really there.

use std::collections::BTreeMap;

use coxswain_engine::plan::Plan;
use coxswain_wire::{Fact, HostId, Snapshot, StageIndex};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::{at_once, checks_of, fail, pass, shown, unknown, warn};
use crate::steps::snapshots::look;

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    gone: Vec<File>,
    kept: Vec<File>,
}

/// A snapshot as it was noted.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    host: HostId,
    server: String,
    path: String,
    size: u64,
}

impl File {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            host: snapshot.host,
            server: snapshot.server.clone(),
            path: snapshot.path.clone(),
            size: snapshot.size,
        }
    }

    fn folder(&self) -> String {
        let folder = self.path.rsplit_once('/').map(|(folder, _)| folder);
        folder.unwrap_or_default().to_owned()
    }
}

impl Checks {
    pub(super) fn of(gone: &[Snapshot], kept: &[Snapshot]) -> Self {
        Self {
            gone: gone.iter().map(File::of).collect(),
            kept: kept.iter().map(File::of).collect(),
        }
    }
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
) -> Vec<Fact> {
    match checks_of::<Checks>(plan, stage) {
        Ok(checks) => facts(context, &plan.cluster_name, &checks).await,
        Err(facts) => facts,
    }
}

async fn facts(context: &PreflightContext, cluster: &str, checks: &Checks) -> Vec<Fact> {
    let mut servers: BTreeMap<&str, (HostId, Vec<String>)> = BTreeMap::new();
    for file in checks.gone.iter().chain(&checks.kept) {
        let (_, folders) = servers
            .entry(&file.server)
            .or_insert((file.host, Vec::new()));
        if !folders.contains(&file.folder()) {
            folders.push(file.folder());
        }
    }
    let world = &*context.services.world;
    let looks = servers
        .iter()
        .map(|(name, (host, folders))| async move { (*name, look(world, *host, folders).await) });
    let looks = at_once(looks.collect()).await;
    let mut facts = Vec::new();
    let mut there: Vec<&File> = Vec::new();
    for (server, answer) in &looks {
        let found = match answer {
            Ok(found) => found,
            Err(error) => {
                let loses = checks.gone.iter().any(|file| file.server == *server);
                // Where only kept ones lie, the others may do: that is judged below.
                facts.push(if loses {
                    unknown(server, "Connection", error)
                } else {
                    warn(
                        server,
                        "Connection",
                        error.to_string(),
                        "Whether its snapshots are there is not known.",
                    )
                });
                continue;
            }
        };
        let is_there = |file: &&File| {
            found
                .iter()
                .any(|f| f.path == file.path && f.size == file.size)
        };
        let of_server = |files: &'_ [File]| -> Vec<File> {
            files
                .iter()
                .filter(|file| file.server == *server)
                .cloned()
                .collect()
        };
        for file in of_server(&checks.gone) {
            let seen = if is_there(&&file) {
                format!("{}, {} bytes", file.path, file.size)
            } else {
                format!("{}, gone or changed already", file.path)
            };
            facts.push(shown(server, &format!("Is deleted: {}", name(&file)), seen));
        }
        there.extend(
            checks
                .kept
                .iter()
                .filter(|file| file.server == *server)
                .filter(is_there),
        );
    }
    facts.push(kept(cluster, &checks.kept, &there));
    facts
}

fn name(file: &File) -> &str {
    file.path.rsplit('/').next().unwrap_or(&file.path)
}

fn kept(cluster: &str, kept: &[File], there: &[&File]) -> Fact {
    let names: Vec<String> = there
        .iter()
        .map(|file| format!("{} on {}", name(file), file.server))
        .collect();
    let value = if names.is_empty() {
        "none of those that would stay is there".to_owned()
    } else {
        names.join(", ")
    };
    if there.is_empty() {
        fail(
            cluster,
            "Snapshots that stay",
            value,
            "The last snapshot is not deleted: save a new one first.",
        )
    } else if there.len() < kept.len() {
        warn(
            cluster,
            "Snapshots that stay",
            format!("{} of {}: {value}", there.len(), kept.len()),
            "The others are not where they were, or their server does not answer: list all snapshots.",
        )
    } else {
        pass(cluster, "Snapshots that stay", value)
    }
}
