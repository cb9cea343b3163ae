//! The guard of every step that stops a server: the healthy voting members besides it must be a majority.

use coxswain_engine::step::StepFailure;
use coxswain_k3s::etcd::{Member, Quorum, quorum};

use super::etcd::{EtcdLook, is_of, name_of};
use super::failure;
use super::kube::ApiHost;
use crate::world::World;

/// The quorum while one server is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Without {
    /// Counted without that server.
    pub(crate) quorum: Quorum,
    /// Voting members that are down or cannot be asked, besides it, in words.
    pub(crate) missing: Vec<String>,
}

/// Counts the members besides `target`, each asked for its own health. A member that no server of
/// `others` stands for cannot be asked: it counts as down. A learner has no vote. `Err` inside: no server
/// gives a member list, in words.
///
/// # Errors
/// None of its own: a server that cannot be asked is down.
pub(crate) async fn without(
    world: &dyn World,
    target: &ApiHost,
    others: &[ApiHost],
) -> Result<Without, String> {
    let looks = futures::future::join_all(
        others
            .iter()
            .map(|server| async move { (server, EtcdLook::take(world, server.host).await) }),
    )
    .await;
    let listed = looks.iter().find_map(|(_, look)| match look {
        Ok(Ok(etcd)) => Some(&etcd.members),
        Ok(Err(_)) | Err(_) => None,
    });
    let Some(listed) = listed else {
        let why: Vec<String> = looks
            .iter()
            .map(|(server, look)| match look {
                Ok(Ok(_)) => format!("{}: lists no members", server.name),
                Ok(Err(why)) => format!("{}: {why}", server.name),
                Err(failure) => {
                    format!("{}: {}", server.name, failure.clone().into_error().message)
                }
            })
            .collect();
        return Err(if why.is_empty() {
            "there is no other server".to_owned()
        } else {
            why.join("; ")
        });
    };
    let healthy = |member: &Member| {
        looks.iter().any(|(server, look)| {
            is_of(member, server)
                && match look {
                    Ok(Ok(etcd)) => etcd.healthy,
                    Ok(Err(_)) | Err(_) => false,
                }
        })
    };
    let voters = || listed.members.iter().filter(|m| m.votes());
    let (up, down): (Vec<&Member>, Vec<&Member>) = voters()
        .filter(|m| !is_of(m, target))
        .partition(|m| healthy(m));
    let missing = down.iter().map(|m| name_of(m, others.iter()).to_owned());
    Ok(Without {
        quorum: quorum(voters().count(), up.len()),
        missing: missing.collect(),
    })
}

/// Refuses to take a server down when the rest would be no majority.
///
/// # Errors
/// Fatal, with the numbers.
pub(crate) async fn guard(
    world: &dyn World,
    target: &ApiHost,
    others: &[ApiHost],
) -> Result<(), StepFailure> {
    const ADVICE: &str = "Nothing was stopped. Bring the other servers back first, then retry.";
    let without = without(world, target, others).await.map_err(|why| {
        failure::fatal(
            format!(
                "{} is not stopped: the quorum cannot be told: {why}",
                target.name
            ),
            ADVICE,
        )
    })?;
    if without.quorum.holds() {
        return Ok(());
    }
    let Quorum {
        members,
        healthy,
        needed,
        tolerated: _,
    } = without.quorum;
    let mut message = format!(
        "{} is not stopped: without it {healthy} of {members} etcd members are healthy, {needed} are needed",
        target.name
    );
    if !without.missing.is_empty() {
        message.push_str(&format!(" (down: {})", without.missing.join(", ")));
    }
    Err(failure::fatal(message, ADVICE))
}
