//! Restarting k3s on a node and seeing it healthy again. Shared by every step that ends in a restart.
//!
//! k3s is `Type=notify` without a time-out, so the start is not waited for: the journal since the start
//! tells why it cannot come up, and [`healthy`] tells when it has.

use std::time::Duration;

use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::HostId;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::healthy::{Healthy, Part, Wanted, healthy};
use super::jobs::{self, Job, host};
use super::kube::ApiHost;
use super::unit::UnitLook;
use super::{failure, quorum};
use crate::world::{JobSpec, JobStatus, RemoteCommand, Script, World};

/// Time the job may take: it only asks systemd.
const RUNTIME: Duration = Duration::from_secs(150);
/// Recommended deadline of a step that restarts k3s, seconds.
pub(crate) const DEADLINE_S: u32 = 420;
/// How long an undo waits until the other servers are a majority again.
const OTHERS: Duration = Duration::from_secs(150);
/// Pause between two looks at them.
const POLL: Duration = Duration::from_secs(1);
/// So close to the deadline, waiting is over.
const LAST_CALL: Duration = Duration::from_secs(5);

/// `$1` the unit, `$2` the file for the journal's cursor, taken right before the start, so that the last
/// words of the old process cannot be taken for those of the new one.
pub(crate) const RESTART: Script = Script {
    name: "restart-k3s",
    text: r#"unit=$1 mark=$2
systemctl daemon-reload || exit 1
echo "coxswain: stopping $unit"
systemctl stop "$unit" || exit 1
(umask 077 && mkdir -p "${mark%/*}") || exit 1
journalctl --sync >/dev/null 2>&1
(umask 077 && journalctl -q --no-pager -o cat -n 1 --show-cursor | sed -n 's/^-- cursor: //p' >"$mark")
systemctl reset-failed "$unit" 2>/dev/null
echo "coxswain: starting $unit"
systemctl start --no-block "$unit"
"#,
};

/// `$1` a file to forget.
pub(crate) const FORGET: Script = Script {
    name: "forget-mark",
    text: "rm -f -- \"$1\"\n",
};

/// A node whose k3s is restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The node.
    pub node: ApiHost,
    /// Server or agent.
    pub role: NodeRole,
    /// The other servers; for an agent, all servers.
    pub servers: Vec<ApiHost>,
}

/// What a node is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Control plane and etcd member.
    Server,
    /// Worker.
    Agent,
}

impl NodeRole {
    /// Its systemd unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            NodeRole::Server => "k3s.service",
            NodeRole::Agent => "k3s-agent.service",
        }
    }

    /// What k3s runs as: its subcommand.
    #[must_use]
    pub fn subcommand(self) -> &'static str {
        match self {
            NodeRole::Server => "server",
            NodeRole::Agent => "agent",
        }
    }
}

/// Refuses to stop a server whose loss would cost the quorum. An agent has no vote.
///
/// # Errors
/// Fatal, with the numbers.
pub(crate) async fn guard(world: &dyn World, target: &Target) -> Result<(), StepFailure> {
    match target.role {
        NodeRole::Server => quorum::guard(world, &target.node, &target.servers).await,
        NodeRole::Agent => Ok(()),
    }
}

/// The guard of an undo, with patience: a server that this run has just started may still be on its way.
///
/// # Errors
/// As [`guard`], at the end of the patience.
async fn wait_for_others(
    world: &dyn World,
    target: &Target,
    deadline: Instant,
) -> Result<(), StepFailure> {
    let until = deadline.min(Instant::now() + OTHERS);
    loop {
        match guard(world, target).await {
            Err(_) if Instant::now() + POLL < until => sleep(POLL).await,
            answered => return answered,
        }
    }
}

/// Has the undo of a step stopped k3s? Then whatever runs now has read the files as they are put back.
///
/// # Errors
/// The host cannot be asked.
pub(crate) async fn undo_began(
    world: &dyn World,
    context: &StepContext,
    target: &Target,
) -> Result<bool, StepFailure> {
    let mark = mark(&jobs::as_undo(context));
    let found = world.read_file(target.node.host, &mark, 4096).await;
    Ok(found.map_err(failure::world)?.is_some())
}

/// Starts k3s anew as the undo of a step, once: what a try before a crash has started is waited for, unless it
/// cannot come up. `first` is done right before it is stopped.
///
/// # Errors
/// The others are no majority, or the job failed.
pub(crate) async fn undo(
    world: &dyn World,
    context: &StepContext,
    target: &Target,
    spec: &JobSpec,
    first: impl AsyncFnOnce() -> Result<(), StepFailure>,
) -> Result<(), StepFailure> {
    let job = Job::of_undo(world, context)?;
    // After a crash the job may be at work: its mark is the proof of it.
    if job.status().await? != JobStatus::Running {
        if undo_began(world, context, target).await? {
            let mark = mark(&jobs::as_undo(context));
            let unit = target.role.unit();
            let look = UnitLook::take(world, target.node.host, unit, Some(&mark)).await?;
            if !look.stopped() && look.fatal().is_none() {
                return Ok(());
            }
        }
        wait_for_others(world, target, context.deadline).await?;
        first().await?;
        forget_mark(world, target.node.host, &mark(&jobs::as_undo(context))).await?;
    }
    job.run_again(spec).await
}

async fn forget_mark(world: &dyn World, host: HostId, mark: &str) -> Result<(), StepFailure> {
    let forget = RemoteCommand::script(FORGET).arg(mark).sudo();
    let ran = world.run(host, forget).await;
    ran.and_then(|o| o.ok(FORGET.name))
        .map(drop)
        .map_err(failure::world)
}

/// The InvocationID of k3s now: the start that a step causes has another one.
pub(crate) async fn invocation(world: &dyn World, target: &Target) -> Result<String, StepFailure> {
    let look = UnitLook::take(world, target.node.host, target.role.unit(), None).await?;
    if !look.loaded {
        return Err(failure::fatal(
            format!("{} has no {}", target.node.name, target.role.unit()),
            "Nothing was changed. Correct the host's role in the inventory, or join it first.",
        ));
    }
    Ok(look.invocation)
}

/// The job that restarts k3s.
pub(crate) fn spec(context: &StepContext, target: &Target) -> JobSpec {
    JobSpec::new(RESTART, RUNTIME)
        .arg(target.role.unit())
        .arg(mark(context))
}

/// Has k3s been started since `before`, and is it healthy, and of this version if one is named? `Err` inside:
/// not yet, in words.
///
/// # Errors
/// The journal since our start shows that k3s will not come up, or the job failed.
pub(crate) async fn restarted(
    world: &dyn World,
    context: &StepContext,
    target: &Target,
    before: &str,
    version: Option<&str>,
) -> Result<Result<Healthy, String>, StepFailure> {
    let unit = target.role.unit();
    let mark = context.applied.then(|| mark(context));
    let look = UnitLook::take(world, target.node.host, unit, mark.as_deref()).await?;
    let mut started = false;
    if context.applied {
        let status = Job::of(world, context)?.status().await?;
        if let Some(failed) = jobs::failed(&status, "the restart") {
            return Err(failed);
        }
        // Before the job's end the signs would be those of an earlier attempt.
        started = status == (JobStatus::Exited { code: 0 });
        if started && let Some(failed) = look.failure() {
            return Err(failed);
        }
    }
    let seen = if !look.active() {
        Err(format!("{unit} is {}", look.state))
    } else if look.invocation == before {
        Err(format!("{unit} has not been started again"))
    } else {
        as_wanted(world, context, target, version).await?
    };
    match seen {
        // The job did its part: doing it again would not help, so the attempt ends here.
        Err(why) if started && Instant::now() + LAST_CALL >= context.deadline => {
            Err(failure::fatal(
                format!("not healthy in time: {why}"),
                format!("Read the journal of k3s on the host (journalctl -u {unit}), then retry."),
            ))
        }
        seen => Ok(seen),
    }
}

/// Waits for a k3s that a job has started before a crash: a probe right after the job's end would see
/// nothing yet, and the job would be run a second time.
pub(crate) async fn settle<K: StepKind + ?Sized>(
    kind: &K,
    world: &dyn World,
    context: &StepContext,
) -> Result<Attached, StepFailure> {
    let job = Job::of(world, context)?;
    let attached = job.reattach(context).await?;
    if context.applied && job.status().await? == (JobStatus::Exited { code: 0 }) {
        while let Ok(Probe::NotDone { .. }) = kind.probe(context).await {
            sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(attached)
}

/// Is a node whose unit is active healthy, and of this version if one is named? `Err` inside: what is missing.
///
/// # Errors
/// It cannot be asked.
pub(crate) async fn as_wanted(
    world: &dyn World,
    context: &StepContext,
    target: &Target,
    version: Option<&str>,
) -> Result<Result<Healthy, String>, StepFailure> {
    let part = match target.role {
        NodeRole::Server => Part::Server {
            via: target.servers.first(),
        },
        NodeRole::Agent => Part::Agent {
            via: target
                .servers
                .first()
                .ok_or_else(|| StepFailure::fatal("the step names no server for the agent"))?,
        },
    };
    let wanted = Wanted {
        node: &target.node,
        part,
        version,
        deadline: context.deadline,
    };
    healthy(world, wanted).await
}

/// Removes what an attempt left: the journal's cursor and the job.
pub(crate) async fn forget(world: &dyn World, context: &StepContext) -> Result<(), StepFailure> {
    forget_mark(world, host(context)?, &mark(context)).await?;
    Job::of(world, context)?.remove().await
}

/// The file with the journal's cursor at the start of the attempt's k3s. Gone after a boot.
pub(crate) fn mark(context: &StepContext) -> String {
    format!(
        "/run/coxswain/journal-{}-{}-{}",
        context.run, context.step, context.attempt
    )
}
