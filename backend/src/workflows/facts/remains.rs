//! What earlier installations and runs left on a host.

use coxswain_k3s::config_yaml::Config;
use coxswain_k3s::preflight::{DatastoreKind, HostFacts, Leftover, LeftoverPlace};
use coxswain_wire::{Fact, RunId, Verdict};

use super::super::PreflightContext;
use super::{bound, fail, pass, shown, unknown, warn};
use crate::steps::ApiHost;
use crate::steps::inspect::{named_units, paths, remains};
use crate::world::{JobStatus, World};

const CLEAN_UP: &str =
    "Start again with \u{201c}Remove an old k3s first\u{201d}, or choose another host.";
const WILL_GO: &str = "It is deleted behind this gate.";

/// Settings that contradict what the workflow gives k3s.
const CONTRADICTING: [&str; 8] = [
    "token",
    "token-file",
    "server",
    "cluster-init",
    "cluster-reset",
    "data-dir",
    "datastore-endpoint",
    "node-name",
];

/// Facts about what is left of k3s.
pub(super) fn facts(node: &ApiHost, found: &HostFacts, cleaning: bool) -> Vec<Fact> {
    let name = node.name.as_str();
    // Found behind a clean-up gate it is shown, otherwise it stands in the way.
    let obstacle = |what: &str, value: String| {
        if cleaning {
            warn(name, what, value, WILL_GO)
        } else {
            fail(name, what, value, CLEAN_UP)
        }
    };
    let mut facts = vec![match found.datastore {
        DatastoreKind::None => pass(name, "Datastore", "none"),
        DatastoreKind::Sqlite => obstacle(
            "Datastore",
            "SQLite: a single-node installation, which cannot be made highly available".to_owned(),
        ),
        DatastoreKind::Etcd => obstacle(
            "Datastore",
            "etcd: with it on disk k3s would ignore --cluster-init and --server and start the old cluster".to_owned(),
        ),
        DatastoreKind::Remains => obstacle("Datastore", "no database, but files of an old one".to_owned()),
    }];
    let unit = [&found.k3s_unit, &found.agent_unit]
        .into_iter()
        .find(|unit| unit.is_alive());
    let version = found
        .k3s_version
        .as_ref()
        .map(|v| format!(", {v}"))
        .unwrap_or_default();
    facts.push(match unit {
        Some(unit) => obstacle("k3s", format!("{} is {}{version}", unit.unit, unit.state)),
        None => pass(
            name,
            "k3s",
            format!("neither k3s.service nor k3s-agent.service runs{version}"),
        ),
    });
    facts.extend(named(name, found));
    // A clean-up takes everything but what a person wrote.
    let goes = |left: &Leftover| {
        if cleaning {
            left.place() != LeftoverPlace::Config
        } else {
            left.in_the_way()
        }
    };
    let (left, stays): (Vec<&Leftover>, Vec<&Leftover>) = remains(&found.leftovers, &[])
        .into_iter()
        .partition(|left| goes(left));
    facts.push(match (left.is_empty(), cleaning) {
        (true, _) => pass(name, "Leftovers", "none in the way"),
        // While the old k3s runs, its files come and go.
        (false, true) => bound(name, "Leftovers", paths(&left), Verdict::Warn, WILL_GO),
        (false, false) => fail(name, "Leftovers", paths(&left), CLEAN_UP),
    });
    if !stays.is_empty() {
        facts.push(shown(name, "Files that stay", paths(&stays)));
    }
    facts.extend(disks(name, found).filter(|_| cleaning));
    facts.extend(configuration(name, found));
    facts
}

/// A k3s installed with `INSTALL_K3S_NAME`. It has the same ports and folders, and a clean-up does not know its unit:
/// afterwards systemd would start it again.
fn named(name: &str, found: &HostFacts) -> Option<Fact> {
    let units = named_units(found)?;
    let scripts = found.named_units.iter().map(|unit| {
        let unit = unit.unit.trim_end_matches(".service");
        format!("{unit}-uninstall.sh")
    });
    let scripts: Vec<String> = scripts.collect();
    Some(fail(
        name,
        "k3s of another name",
        units,
        format!(
            "Run its own uninstall script on the host: {} (in /usr/local/bin, unless it was installed elsewhere). It stops every k3s there and deletes the data.",
            scripts.join(", ")
        ),
    ))
}

/// Disks that a person has mounted where k3s keeps its data, if a removal empties some.
pub(in crate::workflows) fn disks(name: &str, found: &HostFacts) -> Option<Fact> {
    (!found.mounts.is_empty()).then(|| {
        warn(
            name,
            "Disks mounted there",
            found.mounts.join(", "),
            "They are emptied, and stay mounted. Unmount what must be kept, and collect the evidence again.",
        )
    })
}

/// A configuration a person wrote: shown, kept, and refused where it contradicts.
fn configuration(name: &str, found: &HostFacts) -> Vec<Fact> {
    let files = || {
        found
            .config_files
            .iter()
            .map(|f| (f.path.as_str(), f.text.as_str()))
    };
    let mut facts: Vec<Fact> = found
        .config_files
        .iter()
        .map(|file| pass(name, &file.path, format!("kept:\n{}", file.redacted())))
        .collect();
    match Config::merge(files()) {
        Err(e) => facts.push(fail(
            name,
            "Configuration",
            e.to_string(),
            "k3s would not start with it: correct the file.",
        )),
        Ok(config) => {
            let bad: Vec<&str> = CONTRADICTING
                .into_iter()
                .filter(|key| config.get(key).is_some())
                .collect();
            if !bad.is_empty() {
                facts.push(fail(
                    name,
                    "Configuration",
                    format!("config.yaml sets {}", bad.join(", ")),
                    "The workflow sets these itself: remove them from config.yaml.",
                ));
            }
        }
    }
    facts
}

/// A host that a cluster gave up while it was lost, if it is one.
pub(super) async fn mark(
    context: &PreflightContext,
    node: &ApiHost,
    found: &HostFacts,
    cleaning: bool,
) -> Option<Fact> {
    const NAME: &str = "Clean before reuse";
    let name = node.name.as_str();
    let cluster = match context.services.book.unclean(node.host).await {
        Ok(None) => return None,
        Ok(Some(cluster)) => cluster,
        Err(e) => {
            return Some(fail(
                name,
                NAME,
                e.to_string(),
                "Look into the panel's log.",
            ));
        }
    };
    let running = found.k3s_unit.is_alive() || found.agent_unit.is_alive();
    let clean = !running
        && found.datastore == DatastoreKind::None
        && !remains(&found.leftovers, &[])
            .iter()
            .any(|left| left.in_the_way());
    Some(if clean {
        let value = format!("was lost from cluster {cluster}; nothing of it is left here");
        pass(name, NAME, value)
    } else if cleaning {
        warn(
            name,
            NAME,
            format!("was lost from cluster {cluster}, and has its old data"),
            WILL_GO,
        )
    } else {
        fail(
            name,
            NAME,
            format!("was lost from cluster {cluster}, and has its old data"),
            "Remove k3s from it first: \u{201c}Uninstall k3s\u{201d} of that cluster takes this host, too.",
        )
    })
}

/// Jobs of ours on the host. Those of this run are no news.
pub(in crate::workflows) async fn jobs(world: &dyn World, node: &ApiHost, run: RunId) -> Vec<Fact> {
    let jobs = match world.jobs(node.host).await {
        Ok(jobs) => jobs,
        Err(error) => return vec![unknown(&node.name, "Jobs of other runs", &error)],
    };
    let (alive, over): (Vec<_>, Vec<_>) = jobs
        .into_iter()
        .filter(|(job, _)| job.run != run)
        .partition(|(_, status)| *status == JobStatus::Running);
    let list = |jobs: &[(crate::world::JobId, JobStatus)]| {
        jobs.iter()
            .map(|(job, _)| job.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !alive.is_empty() {
        let advice =
            "Another run is still at work on this host: wait for it, or stop it on its page.";
        return vec![fail(
            &node.name,
            "Jobs of other runs",
            format!("running: {}", list(&alive)),
            advice,
        )];
    }
    if over.is_empty() {
        Vec::new()
    } else {
        vec![shown(
            &node.name,
            "Jobs of other runs",
            format!("ended: {}", list(&over)),
        )]
    }
}
