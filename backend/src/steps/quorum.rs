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
    /// The server is a member, as the others see it.
    pub(crate) member: bool,
}

/// A server with its look at etcd.
type Seen<'a> = (&'a ApiHost, EtcdLook);

/// Counts the members besides `target`, each asked for its own health. A member that no server of
/// `others` stands for cannot be asked: it counts as down. A learner has no vote. `Err` inside: no server
/// gives a member list, or healthy ones give different lists, in words.
///
/// # Errors
/// None of its own: a server that cannot be asked is down.
pub(crate) async fn without(
    world: &dyn World,
    target: &ApiHost,
    others: &[ApiHost],
) -> Result<Without, String> {
    let (looks, silent) = looks(world, others).await;
    let hosts = || others.iter().chain([target]);
    let seen = looks.iter().map(|(server, etcd)| (*server, etcd));
    let listed = list(seen, hosts())?.ok_or_else(|| {
        if silent.is_empty() {
            "there is no other server".to_owned()
        } else {
            silent.join("; ")
        }
    })?;
    let healthy = |member: &Member| {
        let mut looks = looks.iter();
        looks.any(|(server, etcd)| is_of(member, server) && etcd.healthy)
    };
    let voters = || listed.members.members.iter().filter(|m| m.votes());
    let (up, down): (Vec<&Member>, Vec<&Member>) = voters()
        .filter(|m| !is_of(m, target))
        .partition(|m| healthy(m));
    let missing = down.iter().map(|m| name_of(m, others.iter()).to_owned());
    Ok(Without {
        quorum: quorum(voters().count(), up.len()),
        missing: missing.collect(),
        member: !listed.of_host(target).is_empty(),
    })
}

/// The looks of those that give one, and in words why others do not.
pub(crate) async fn looks<'a>(
    world: &dyn World,
    servers: &'a [ApiHost],
) -> (Vec<Seen<'a>>, Vec<String>) {
    let each = servers.iter().map(async |server| {
        let why = match EtcdLook::take(world, server.host).await {
            Ok(Ok(look)) => return Ok((server, look)),
            Ok(Err(why)) => why,
            Err(failure) => failure.into_error().message,
        };
        Err(format!("{}: {why}", server.name))
    });
    let (mut looks, mut silent) = (Vec::new(), Vec::new());
    for answer in futures::future::join_all(each).await {
        match answer {
            Ok(seen) => looks.push(seen),
            Err(why) => silent.push(why),
        }
    }
    (looks, silent)
}

/// The list that counts: a healthy server's, for one without a quorum may have an old copy, or a cluster of its own.
/// With no healthy server there is no quorum, whichever list is taken. `Err` inside: the healthy ones disagree.
pub(crate) fn list<'a>(
    looks: impl Iterator<Item = (&'a ApiHost, &'a EtcdLook)> + Clone,
    hosts: impl Iterator<Item = &'a ApiHost> + Clone,
) -> Result<Option<&'a EtcdLook>, String> {
    let mut healthy = looks.clone().filter(|(_, etcd)| etcd.healthy);
    let Some(first) = healthy.next() else {
        return Ok(looks.map(|(_, etcd)| etcd).next());
    };
    let Some(other) = healthy.find(|(_, etcd)| etcd.ids() != first.1.ids()) else {
        return Ok(Some(first.1));
    };
    let [one, two] = [first, other].map(|(server, etcd)| {
        let names = etcd.names(hosts.clone()).join(", ");
        format!("{} lists {names}", server.name)
    });
    Err(format!("the etcd members differ: {one}; {two}"))
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
    let unknown = |why: String| {
        failure::fatal(
            format!(
                "{} is not stopped: the quorum cannot be told: {why}",
                target.name
            ),
            ADVICE,
        )
    };
    let without = without(world, target, others).await.map_err(unknown)?;
    if !without.member {
        return Err(failure::fatal(
            format!("{} is not stopped: {}", target.name, not_listed(target)),
            "Nothing was stopped. See what k3s does there: it may be a cluster of its own. Stop it by hand if it is of no use (systemctl disable --now k3s), then retry.",
        ));
    }
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

/// Said where the others know nothing of a server's member: it may be one of another cluster.
pub(crate) fn not_listed(target: &ApiHost) -> String {
    format!(
        "the other servers do not list {} as an etcd member",
        target.name
    )
}
