//! Is a machine dead? What answers is alive, whatever the cluster thinks of it. Silence alone proves nothing:
//! a machine that is only cut off goes on running its pods, so a person has to say that it is off.

use std::time::Duration;

use coxswain_engine::step::StepFailure;
use tokio::time::Instant;

use super::failure;
use super::kube::{ApiHost, fresh_lease};
use crate::world::{Kube, UnreachableKind, World, WorldError};

/// Two renewals of a lease are seen in this time, if there are any.
const LEASE: Duration = Duration::from_secs(25);

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
pub(crate) async fn machine(world: &dyn World, node: &ApiHost) -> Machine {
    match world.boot_id(node.host).await {
        Ok(_) => Machine::Answers("answers over SSH".to_owned()),
        Err(error) => of_error(error),
    }
}

fn of_error(error: WorldError) -> Machine {
    match &error {
        WorldError::Unreachable { kind, .. } => match kind {
            UnreachableKind::TimedOut | UnreachableKind::Closed => {
                Machine::Silent(error.to_string())
            }
            UnreachableKind::Refused => Machine::Answers(error.to_string()),
            UnreachableKind::Dns => Machine::Unknown(error),
        },
        WorldError::TimedOut { .. } => Machine::Silent(error.to_string()),
        WorldError::HostKeyChanged { .. }
        | WorldError::AuthenticationFailed { .. }
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

/// How the cluster sees that a node lives, in words; none if it does not.
///
/// # Errors
/// The API does not answer, or there is no such node.
pub(crate) async fn seen_alive(kube: &dyn Kube, node: &str) -> Result<Option<String>, StepFailure> {
    if super::drain_node::find(kube, node).await?.ready {
        return Ok(Some("the node is Ready".to_owned()));
    }
    let renewed = fresh_lease(kube, node, Instant::now() + LEASE).await;
    Ok(renewed
        .is_ok()
        .then(|| "its kubelet renews its lease".to_owned()))
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
    match machine(world, node).await {
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
    use coxswain_wire::HostId;

    use super::*;

    fn unreachable(kind: UnreachableKind) -> WorldError {
        WorldError::Unreachable {
            target: "node3".to_owned(),
            kind,
            detail: String::new(),
        }
    }

    /// Whoever refuses, or shows another key, is on.
    #[test]
    fn only_silence_is_no_sign_of_life() {
        for kind in [UnreachableKind::TimedOut, UnreachableKind::Closed] {
            assert!(matches!(of_error(unreachable(kind)), Machine::Silent(_)));
        }
        let changed = WorldError::HostKeyChanged {
            host: "node3".to_owned(),
            pinned: Vec::new(),
            shown: Vec::new(),
        };
        for error in [unreachable(UnreachableKind::Refused), changed] {
            assert!(matches!(of_error(error), Machine::Answers(_)));
        }
        for error in [
            unreachable(UnreachableKind::Dns),
            WorldError::UnknownHost(HostId(3)),
        ] {
            assert!(matches!(of_error(error), Machine::Unknown(_)));
        }
    }
}
