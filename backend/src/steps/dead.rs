//! Is a machine dead? What answers is alive, whatever the cluster thinks of it. Silence alone proves nothing:
//! a machine that is only cut off goes on running its pods, so a person has to say that it is off.

use std::time::Duration;

use coxswain_engine::step::StepFailure;
use coxswain_wire::HostId;
use tokio::time::{Instant, sleep};

use super::failure;
use super::kube::ApiHost;
use crate::world::{Kube, UnreachableKind, World, WorldError};

/// How long a node's lease lasts: a kubelet that lives renews it within this time, however slow it is.
const LEASE: Duration = Duration::from_secs(40);
/// Between two looks at it.
const LOOK: Duration = Duration::from_secs(1);

/// What a machine says for itself.
pub(crate) enum Machine {
    /// Nothing at all.
    Silent(String),
    /// Something answers at its address.
    Answers(String),
    /// It cannot be asked.
    Unknown(WorldError),
}

/// Tries to sign in.
pub(crate) async fn machine(world: &dyn World, host: HostId) -> Machine {
    match world.boot_id(host).await {
        Ok(_) => signed_in(),
        Err(error) => after(world, host, error).await,
    }
}

/// What a look over SSH tells of the machine that ended with this error. A connection that broke under it may have
/// been dead for long: a new one tells.
pub(crate) async fn after(world: &dyn World, host: HostId, error: WorldError) -> Machine {
    if !matches!(error, WorldError::Unconfirmed { .. }) {
        return of_error(error);
    }
    match world.boot_id(host).await {
        Ok(_) => signed_in(),
        Err(error) => of_error(error),
    }
}

fn signed_in() -> Machine {
    Machine::Answers("answers over SSH".to_owned())
}

/// What an error tells of the machine.
pub(crate) fn of_error(error: WorldError) -> Machine {
    match &error {
        WorldError::Unreachable { kind, .. } => match kind {
            UnreachableKind::TimedOut | UnreachableKind::NoRoute => {
                Machine::Silent(error.to_string())
            }
            UnreachableKind::Refused | UnreachableKind::Closed => {
                Machine::Answers(error.to_string())
            }
            UnreachableKind::Dns => Machine::Unknown(error),
        },
        WorldError::TimedOut { .. } => Machine::Silent(error.to_string()),
        WorldError::HostKeyChanged { .. }
        | WorldError::AuthenticationFailed { .. }
        | WorldError::OtherUser { .. }
        | WorldError::SudoFailed { .. }
        | WorldError::Unconfirmed { .. }
        | WorldError::Command { .. }
        | WorldError::TooLarge { .. }
        | WorldError::Unexpected { .. } => Machine::Answers(error.to_string()),
        WorldError::UnknownHost(_)
        | WorldError::NotEnrolled { .. }
        | WorldError::InvalidInput { .. }
        | WorldError::Local { .. }
        | WorldError::Tls { .. }
        | WorldError::Kube { .. } => Machine::Unknown(error),
    }
}

/// How the cluster sees that a node lives, in words; none if it does not: the node is not Ready, and its lease was
/// not renewed once in the time it lasts.
///
/// # Errors
/// The API does not answer, or there is no such node: that says nothing about the node.
pub(crate) async fn seen_alive(kube: &dyn Kube, node: &str) -> Result<Option<String>, StepFailure> {
    if super::drain_node::find(kube, node).await?.ready {
        return Ok(Some("the node is Ready".to_owned()));
    }
    let renews = renews(kube, node).await?;
    Ok(renews.then(|| "its kubelet renews its lease".to_owned()))
}

/// Whether a node's lease is renewed in the time it lasts. Takes that long if it is not.
///
/// # Errors
/// The API does not answer: that says nothing about the node.
pub(crate) async fn renews(kube: &dyn Kube, node: &str) -> Result<bool, StepFailure> {
    let first = renewed(kube, node).await?;
    let until = Instant::now() + LEASE;
    loop {
        // The last look is not before the time is over.
        let last = Instant::now() >= until;
        if renewed(kube, node).await? != first {
            return Ok(true);
        }
        if last {
            return Ok(false);
        }
        sleep(LOOK).await;
    }
}

/// When a node's lease was renewed last, by the node's clock; none if never.
async fn renewed(kube: &dyn Kube, node: &str) -> Result<Option<i64>, StepFailure> {
    let lease = kube.lease(node).await.map_err(failure::world)?;
    Ok(lease.and_then(|lease| lease.renewed_at_us))
}

/// Refuses unless everything is silent.
///
/// # Errors
/// Fatal, with what is alive.
pub(crate) async fn guard(
    world: &dyn World,
    kube: &dyn Kube,
    node: &ApiHost,
) -> Result<(), StepFailure> {
    const ADVICE: &str = "Nothing was deleted. A kubelet that is back ends these pods itself: wait a minute, and look at the cluster's page.";
    let alive = |what: String| failure::fatal(format!("{} is not dead: {what}", node.name), ADVICE);
    match machine(world, node.host).await {
        Machine::Silent(_) => {}
        Machine::Answers(what) => return Err(alive(what)),
        Machine::Unknown(error) => return Err(failure::world(error)),
    }
    match seen_alive(kube, &node.name).await? {
        Some(what) => Err(alive(what)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::fake::{FakeHost, FakeWorld};

    fn unreachable(kind: UnreachableKind) -> WorldError {
        WorldError::Unreachable {
            target: "node3".to_owned(),
            kind,
            detail: String::new(),
        }
    }

    /// Whoever refuses, hangs up, or shows another key, is on.
    #[test]
    fn only_silence_is_no_sign_of_life() {
        for kind in [UnreachableKind::TimedOut, UnreachableKind::NoRoute] {
            assert!(matches!(of_error(unreachable(kind)), Machine::Silent(_)));
        }
        let changed = WorldError::HostKeyChanged {
            host: "node3".to_owned(),
            pinned: Vec::new(),
            shown: Vec::new(),
        };
        for error in [
            unreachable(UnreachableKind::Refused),
            unreachable(UnreachableKind::Closed),
            changed,
        ] {
            assert!(matches!(of_error(error), Machine::Answers(_)));
        }
        for error in [
            unreachable(UnreachableKind::Dns),
            WorldError::UnknownHost(HostId(3)),
        ] {
            assert!(matches!(of_error(error), Machine::Unknown(_)));
        }
    }

    /// A connection that broke is no sign of life: the machine is asked again.
    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_no_sign_of_life() {
        let node3 = HostId(3);
        let world = FakeWorld::new([FakeHost::new(3, "node3", "10.0.0.3")]);
        let broken = || WorldError::Unconfirmed {
            what: "inspect on node3".to_owned(),
            detail: "the master ended".to_owned(),
        };
        let seen = after(&world, node3, broken()).await;
        assert!(matches!(seen, Machine::Answers(_)));
        world.power_off(node3);
        let seen = after(&world, node3, broken()).await;
        assert!(matches!(seen, Machine::Silent(_)));
    }
}
