//! The evidence for a restore: is it called for, can it work, and what will be lost.

use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_k3s::etcd::quorum;
use coxswain_k3s::haproxy::Section;
use coxswain_k3s::names::K3sVersion;
use coxswain_k3s::preflight::HostFacts;
use coxswain_k3s::snapshot::SnapshotFile;
use coxswain_k3s::token::{SERVER_TOKEN_FILE, Token};
use coxswain_wire::{Fact, FactKind, StageIndex, Verdict};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::balancer::{self, Foreign};
use super::super::facts::{
    at_once, checks_of, connection, fail, jobs, pass, shown, token_place, unknown, warn,
};
use super::super::nodes::Node;
use super::super::remove_node::unasked;
use super::room::wanted;
use super::{Noted, Request, Situation, Source};
use crate::steps::ApiHost;
use crate::steps::configured::Configured;
use crate::steps::copy_snapshot::DIRECTORY;
use crate::steps::etcd::EtcdLook;
use crate::steps::inspect::inspect;
use crate::steps::rejoin_server::DATABASE;
use crate::steps::reset_cluster;
use crate::steps::restart::NodeRole;
use crate::steps::snapshots::{look, room, sha256};
use crate::steps::unit::UnitLook;

/// What a person with one lost server is told.
pub(super) const REPLACE: &str = "One server is lost and the others work: no data is lost, and a restore would throw away everything since the snapshot. Replace that server instead: by the procedure replace_node, or by remove_node and then join.";

const UNIT: &str = "k3s.service";
/// What must stay free beside the restored database, bytes.
const SPARE: u64 = 100 * 1024 * 1024;
const TOKEN_FILE_MAX: usize = 4096;

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    situation: Situation,
    source: Source,
    from: ApiHost,
    chosen: ApiHost,
    others: Vec<ApiHost>,
    agents: Vec<ApiHost>,
    lost: Vec<ApiHost>,
    /// Who gets a copy to fall back on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second: Option<ApiHost>,
    /// Load balancers that lose a server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    load_balancers: Vec<ApiHost>,
    /// What they have afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    section: Option<Section>,
    /// The nodes are told the token of the snapshot's time.
    #[serde(default)]
    retold: bool,
}

impl Checks {
    pub(super) fn of(request: &Request) -> Self {
        let all = |nodes: &[Node]| nodes.iter().map(Node::api).collect();
        Self {
            situation: request.situation,
            source: request.source.clone(),
            from: request.from.api(),
            chosen: request.chosen.api(),
            others: all(&request.others),
            agents: all(&request.agents),
            lost: all(&request.lost),
            second: (request.from == request.chosen)
                .then(|| request.second_machine().map(Node::api))
                .flatten(),
            load_balancers: request.balancers().map(Node::api).collect(),
            section: request
                .balancers()
                .next()
                .map(|_| request.nodes.section(&request.servers())),
            retold: request.old_token.is_some(),
        }
    }

    fn servers(&self) -> impl Iterator<Item = &ApiHost> {
        std::iter::once(&self.chosen).chain(&self.others)
    }
}

/// Name of the fact about etcd's quorum.
const QUORUM: &str = "Quorum";

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
    state: &RunState,
) -> Vec<Fact> {
    let checks = match checks_of::<Checks>(plan, stage) {
        Ok(checks) => checks,
        Err(facts) => return facts,
    };
    let mut facts = facts(context, &checks).await;
    facts.push(match quorum_before(plan, stage, state) {
        Some(approved) => approved,
        None => of_quorum(context, &plan.cluster_name, &checks).await,
    });
    facts
}

/// What was approved, once the reset has begun: a quorum that is held since is the run's own work.
fn quorum_before(plan: &Plan, stage: StageIndex, state: &RunState) -> Option<Fact> {
    let mut steps = plan.steps();
    let begun = steps.any(|(index, _, step)| {
        step.kind == reset_cluster::KIND && state.steps[index as usize].attempt > 0
    });
    let evidence = state.stages[stage as usize].evidence.as_ref()?;
    let mut facts = evidence.facts.iter();
    facts.find(|fact| begun && fact.name == QUORUM).cloned()
}

async fn facts(context: &PreflightContext, checks: &Checks) -> Vec<Fact> {
    let hosts = checks
        .servers()
        .map(|node| (node, NodeRole::Server))
        .chain(checks.agents.iter().map(|node| (node, NodeRole::Agent)))
        .map(|(node, role)| of_host(context, node, role, checks.retold));
    let mut facts: Vec<Fact> = at_once(hosts.collect())
        .await
        .into_iter()
        .flatten()
        .collect();
    let others = checks.others.iter().map(|node| aside(context, node));
    facts.extend(at_once(others.collect()).await.into_iter().flatten());
    let lost = checks.lost.iter().map(|node| of_lost(context, node));
    facts.extend(at_once(lost.collect()).await.into_iter().flatten());
    facts.extend(of_snapshot(context, checks).await);
    if let Some(second) = &checks.second {
        facts.push(room_for_copy(context, checks, second).await);
    }
    facts.extend(of_chosen(context, checks).await);
    facts.extend(of_balancers(context, checks).await);
    facts
}

/// What the load balancers lose. Nothing about them is in the way of a restore, nor binds its approval: they are the last
/// to be touched, and how a dead one is silent differs from look to look.
async fn of_balancers(context: &PreflightContext, checks: &Checks) -> Vec<Fact> {
    let Some(section) = &checks.section else {
        return Vec::new();
    };
    let world = &*context.services.world;
    let foreign = Foreign::Kept {
        leaving: &checks.lost,
    };
    let (mut facts, _) = balancer::facts(world, &checks.load_balancers, section, foreign).await;
    for fact in &mut facts {
        fact.kind = FactKind::Shown;
        if fact.verdict == Verdict::Fail {
            fact.verdict = Verdict::Warn;
            let before = fact.advice.take().unwrap_or_default();
            fact.advice = Some(format!(
                "The cluster comes back without it; only the last step needs it. {before}"
            ));
        }
    }
    facts
}

/// Connection, unit, a place for the token if it is told another one, and jobs of ours.
async fn of_host(
    context: &PreflightContext,
    node: &ApiHost,
    role: NodeRole,
    retold: bool,
) -> Vec<Fact> {
    let world = &*context.services.world;
    const ADVICE: &str = "Correct the host's role in the inventory, or declare it lost.";
    let name = node.name.as_str();
    match world.boot_id(node.host).await {
        Ok(_) => {}
        Err(error) => {
            let mut fact = connection(name, &error);
            fact.advice = Some(
                "Bring it back, or declare it lost in the inputs of a new run: then nothing is done on it."
                    .to_owned(),
            );
            return vec![fact];
        }
    }
    let mut facts = vec![pass(name, "Connection", "signed in over SSH, root by sudo")];
    let unit = role.unit();
    facts.push(match UnitLook::take(world, node.host, unit, None).await {
        Ok(look) if look.loaded => pass(name, "k3s", format!("{unit} is installed")),
        Ok(_) => fail(name, "k3s", format!("{unit} is not installed"), ADVICE),
        Err(failure) => fail(name, "k3s", failure.into_error().message, ADVICE),
    });
    if retold {
        facts.extend(token_place::facts(context, node, role).await);
    }
    facts.extend(jobs(world, node, context.run).await);
    facts
}

/// Where the old database of a server goes that has disks of its own for it.
async fn aside(context: &PreflightContext, node: &ApiHost) -> Option<Fact> {
    const NAME: &str = "Old database";
    // Its own facts say so if it does not answer.
    let found = inspect(&*context.services.world, node.host).await.ok()?;
    let inside = |at: &&String| {
        let rest = at.strip_prefix(DATABASE);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let disks: Vec<&str> = found
        .mounts
        .iter()
        .filter(inside)
        .map(String::as_str)
        .collect();
    let snapshots = format!("{DATABASE}/snapshots");
    let in_the_way = disks
        .iter()
        .find(|at| **at != DATABASE && **at != snapshots);
    match in_the_way {
        Some(at) => Some(fail(
            &node.name,
            NAME,
            format!("a disk is mounted at {at}: it cannot be moved aside"),
            format!(
                "Copy what is on it to the disk below, take it out of /etc/fstab and unmount it, or mount it at {DATABASE}; then collect the evidence again."
            ),
        )),
        None if disks.is_empty() => None,
        None => Some(pass(
            &node.name,
            NAME,
            format!(
                "kept in a folder in {DATABASE}, because of the disk at {}",
                disks.join(", ")
            ),
        )),
    }
}

/// A host that is said to be lost must not be at work.
async fn of_lost(context: &PreflightContext, node: &ApiHost) -> Vec<Fact> {
    const NAME: &str = "Lost";
    let name = node.name.as_str();
    let world = &*context.services.world;
    vec![match inspect(world, node.host).await {
        Err(error) => return unasked(world, node, error).await,
        Ok(found) if found.k3s_unit.is_alive() || found.agent_unit.is_alive() => fail(
            name,
            NAME,
            "it answers, and k3s runs on it",
            "It is not lost: take it out of the list, or stop and disable k3s on it.",
        ),
        Ok(_) => warn(
            name,
            NAME,
            "it answers, but k3s does not run on it",
            "Do not start k3s on it: it has the old database.",
        ),
    }]
}

/// The machine that gets a copy can take it.
async fn room_for_copy(context: &PreflightContext, checks: &Checks, to: &ApiHost) -> Fact {
    const NAME: &str = "Room for the copy";
    const ADVICE: &str =
        "Make room there, or download the snapshot and start again without a second copy of it.";
    let world = &*context.services.world;
    let name = to.name.as_str();
    let folder = checks
        .source
        .path
        .rsplit_once('/')
        .map(|(folder, _)| folder);
    let found = look(
        world,
        checks.from.host,
        &[folder.unwrap_or_default().to_owned()],
    )
    .await;
    // Its own facts say so if it cannot be seen, or is not there.
    let size = found.ok().and_then(|found| {
        let file = found
            .into_iter()
            .find(|file| file.path == checks.source.path);
        file.map(|file| file.size)
    });
    let wanted = size.unwrap_or_default().saturating_add(SPARE);
    match room(world, to.host, DIRECTORY).await {
        Ok((free, _)) if free >= wanted => pass(name, NAME, format!("enough in {DIRECTORY}")),
        Ok((free, _)) => fail(
            name,
            NAME,
            format!(
                "{} MiB are free for {DIRECTORY}, {} MiB are wanted",
                free >> 20,
                wanted >> 20
            ),
            ADVICE,
        ),
        Err(error) => unknown(name, NAME, &error),
    }
}

async fn of_snapshot(context: &PreflightContext, checks: &Checks) -> Vec<Fact> {
    const NAME: &str = "Snapshot";
    const OTHER: &str = "Choose another snapshot: list all of them with the procedure Snapshots.";
    let world = &*context.services.world;
    let (name, path) = (checks.from.name.as_str(), &checks.source.path);
    let folder = path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let found = match look(world, checks.from.host, &[folder.unwrap_or_default()]).await {
        Ok(found) => found,
        Err(error) => return vec![unknown(name, NAME, &error)],
    };
    let Some(file) = found.into_iter().find(|file| file.path == *path) else {
        return vec![fail(name, NAME, format!("{path} is not there"), OTHER)];
    };
    let now = match sha256(world, checks.from.host, path).await {
        Ok(now) => now,
        Err(error) => return vec![unknown(name, NAME, &error)],
    };
    let value = format!("{path}, {} bytes, SHA-256 {now}", file.size);
    let fact = match &checks.source.noted {
        Some(noted) if noted.sha256 == now && noted.size == file.size => {
            pass(name, NAME, format!("{value}, as noted"))
        }
        Some(noted) => fail(
            name,
            NAME,
            format!(
                "{value}; noted were {} bytes, SHA-256 {}",
                noted.size, noted.sha256
            ),
            OTHER,
        ),
        None => warn(
            name,
            NAME,
            value,
            "The panel has not taken it: whether it is whole is not known.",
        ),
    };
    vec![fact, age(context, checks, &file).await]
}

/// What will be lost.
async fn age(context: &PreflightContext, checks: &Checks, file: &SnapshotFile) -> Fact {
    const NAME: &str = "Will be lost";
    let at_ms = match &checks.source.noted {
        Some(noted) => noted.taken_at.0,
        None => file.made().saturating_mul(1000),
    };
    let at = jiff::Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| "an unknown time".to_owned(), |at| at.to_string());
    // By the clock of the server that has made the file.
    let facts = inspect(&*context.services.world, checks.from.host).await;
    let age = facts.ok().and_then(|f| f.unix_ms).map(|now| now - at_ms);
    let age = age.map_or_else(String::new, |age| format!(", {} ago", span(age)));
    shown(
        &checks.from.name,
        NAME,
        format!("everything that was written since {at}{age}"),
    )
}

/// Milliseconds as `3 days`, `5 h`, `12 min`.
fn span(ms: i64) -> String {
    match ms.max(0) / 60_000 {
        minutes @ 0..120 => format!("{minutes} min"),
        minutes @ 120..2880 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

/// The server that is reset: version, token, room, earlier attempts.
async fn of_chosen(context: &PreflightContext, checks: &Checks) -> Vec<Fact> {
    let world = &*context.services.world;
    let name = checks.chosen.name.as_str();
    let told = match Configured::take(world, checks.chosen.host, UNIT).await {
        Ok(told) => told,
        Err(failure) => {
            let advice = "Correct this first: k3s must be able to start here.";
            return vec![fail(
                name,
                "Configuration",
                failure.into_error().message,
                advice,
            )];
        }
    };
    let noted = checks.source.noted.as_ref();
    let mut facts = vec![
        version(name, &told.facts, noted),
        token(context, checks, noted).await,
    ];
    if told.facts.reset_flag {
        facts.push(warn(
            name,
            "Earlier reset",
            "there is a reset-flag of an earlier attempt",
            "It would block the reset; it is kept aside. Make sure that nobody else is restoring this cluster.",
        ));
    }
    if told.settings.is_on("etcd-s3") {
        facts.push(shown(
            name,
            "S3",
            "set: the reset gets --etcd-s3=false, so that the local file is taken",
        ));
    }
    facts.push(room_for_database(context, checks).await);
    facts
}

/// Of a file that the panel has not noted the size of today's database is what there is to go by.
async fn room_for_database(context: &PreflightContext, checks: &Checks) -> Fact {
    const NAME: &str = "Room";
    let name = checks.chosen.name.as_str();
    let (free, database) = match room(&*context.services.world, checks.chosen.host, DATABASE).await
    {
        Ok(found) => found,
        Err(error) => return unknown(name, NAME, &error),
    };
    let wanted = match &checks.source.noted {
        Some(noted) => wanted(&checks.source.path, noted.size),
        None => wanted("", database.unwrap_or(0)),
    };
    let wanted = wanted.div_ceil(1 << 20);
    if free >> 20 >= wanted {
        let value = format!("at least the {wanted} MiB that the restored database wants");
        return pass(name, NAME, value);
    }
    fail(
        name,
        NAME,
        format!("{} MiB are free, {wanted} MiB are wanted", free >> 20),
        "Make room first: the old database is kept beside the new one.",
    )
}

fn version(name: &str, facts: &HostFacts, noted: Option<&Noted>) -> Fact {
    const NAME: &str = "Version";
    let Some(here) = &facts.k3s_version else {
        let advice = "Put the k3s program back: the snapshot's version or a newer one.";
        return fail(name, NAME, "k3s does not say its version", advice);
    };
    let taken = noted
        .and_then(|n| n.version.as_deref())
        .and_then(|v| v.parse::<K3sVersion>().ok());
    let Some(taken) = taken else {
        return warn(
            name,
            NAME,
            format!("{here}; that of the snapshot is not known"),
            "k3s restores snapshots of its own minor version and of older ones.",
        );
    };
    let value = format!("{here}; the snapshot was taken by {taken}");
    if (here.major(), here.minor()) < (taken.major(), taken.minor()) {
        fail(
            name,
            NAME,
            value,
            "k3s restores no snapshot of a newer minor version: install that version first.",
        )
    } else {
        pass(name, NAME, value)
    }
}

/// A snapshot opens only with the server token of its time.
async fn token(context: &PreflightContext, checks: &Checks, noted: Option<&Noted>) -> Fact {
    const NAME: &str = "Server token";
    let name = checks.chosen.name.as_str();
    let file = context
        .services
        .world
        .read_file(checks.chosen.host, SERVER_TOKEN_FILE, TOKEN_FILE_MAX)
        .await;
    let here: Token = match file {
        Err(error) => return unknown(name, NAME, &error),
        Ok(file) => match file.map(|bytes| String::from_utf8_lossy(&bytes).parse()) {
            Some(Ok(token)) => token,
            Some(Err(e)) => {
                return fail(
                    name,
                    NAME,
                    format!("{SERVER_TOKEN_FILE}: {e}"),
                    "Restore on a server whose token the panel can handle.",
                );
            }
            None => {
                return fail(
                    name,
                    NAME,
                    format!("there is none in {SERVER_TOKEN_FILE}"),
                    "Restore on a server that has been one when the snapshot was taken.",
                );
            }
        },
    };
    let Some(noted) = noted else {
        return warn(
            name,
            NAME,
            "whether it is that of the snapshot's time is not known",
            "If the token was changed since, the reset fails and the old database has to be put back by hand.",
        );
    };
    match context.services.secrets.get(noted.token).await {
        Err(e) => fail(name, NAME, e.to_string(), "Look into the panel's log."),
        Ok(of_its_time) if of_its_time.expose() == here.expose().as_bytes() => {
            pass(name, NAME, "that of the snapshot's time")
        }
        Ok(_) if checks.retold => warn(
            name,
            NAME,
            "it was changed since: every node is told the one of the snapshot's time again",
            "Rotate the token afterwards: whoever knows the old one can join again.",
        ),
        Ok(_) => fail(
            name,
            NAME,
            format!(
                "it was changed since, and the panel did not know: the snapshot needs secret {} of the vault",
                noted.token
            ),
            "Take a snapshot with the panel, which reads the new token, then start this again: the plan then puts the old token back.",
        ),
    }
}

/// A restore with the quorum at work is called for only when the data is wrong.
async fn of_quorum(context: &PreflightContext, cluster: &str, checks: &Checks) -> Fact {
    const NAME: &str = QUORUM;
    let world = &*context.services.world;
    let looks = checks
        .servers()
        .map(|server| async move { (server, EtcdLook::take(world, server.host).await) });
    let looks = at_once(looks.collect()).await;
    let answers: Vec<(&ApiHost, &EtcdLook)> = looks
        .iter()
        .filter_map(|(server, look)| match look {
            Ok(Ok(look)) => Some((*server, look)),
            Ok(Err(_)) | Err(_) => None,
        })
        .collect();
    let healthy = answers
        .iter()
        .filter(|(server, look)| look.healthy && look.votes(server))
        .count();
    let members = answers.first().map(|(_, look)| look.members.voters());
    let held = members
        .map(|members| quorum(members, healthy))
        .filter(|q| q.holds());
    match (checks.situation, held) {
        (Situation::QuorumLost, Some(held)) => fail(
            cluster,
            NAME,
            format!(
                "held: {} of {} etcd members are healthy",
                held.healthy, held.members
            ),
            REPLACE,
        ),
        (Situation::QuorumLost, None) => pass(cluster, NAME, "lost"),
        (Situation::DataWrong, Some(_)) => pass(cluster, NAME, "held: only the data is replaced"),
        (Situation::DataWrong, None) => warn(
            cluster,
            NAME,
            "lost",
            "That alone is a reason for a restore.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        assert_eq!(span(90 * 60_000), "90 min");
        assert_eq!(span(5 * 3_600_000), "5 h");
        assert_eq!(span(3 * 86_400_000), "3 days");
    }
}
