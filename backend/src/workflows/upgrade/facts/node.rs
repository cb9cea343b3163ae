//! One node before its upgrade: does the installer replace what runs there, and is there room?

use coxswain_k3s::install::Source;
use coxswain_wire::{ClusterId, Fact};

use super::super::super::PreflightContext;
use super::super::super::facts::{fail, pass, room, source, unknown, warn};
use super::super::super::move_token;
use crate::steps::ApiHost;
use crate::steps::inspect::inspect;
use crate::steps::node_files::NodeFiles;
use crate::steps::place_k3s::{ADVICE, replaceable};
use crate::steps::restart::{NodeRole, Target};

/// The facts of a node that is to be changed.
pub(super) async fn facts(
    context: &PreflightContext,
    cluster: Option<ClusterId>,
    target: &Target,
    from: &Source,
) -> Vec<Fact> {
    let world = &*context.services.world;
    let (name, host) = (target.node.name.as_str(), target.node.host);
    let mut facts = match inspect(world, host).await {
        Ok(found) => room(name, &found),
        Err(error) => return vec![unknown(name, "Space", &error)],
    };
    facts.extend(source::on_host(world, &target.node, from).await);
    match NodeFiles::take(world, host, target.role).await {
        Err(failure) => facts.push(fail(
            name,
            "Arguments",
            failure.into_error().message,
            "Check the connection to this host.",
        )),
        Ok(files) => facts.extend(told(cluster, &target.node, target.role, &files)),
    }
    facts
}

fn told(
    cluster: Option<ClusterId>,
    node: &ApiHost,
    role: NodeRole,
    files: &NodeFiles,
) -> Vec<Fact> {
    let name = node.name.as_str();
    let mut facts = vec![match replaceable(files, role) {
        Ok(()) => pass(
            name,
            "Arguments",
            format!("stay as they are: {}", files.names()),
        ),
        Err(why) => fail(name, "Arguments", why, ADVICE),
    }];
    if files.token_in_unit(role) {
        let fact = warn(
            name,
            "Token",
            "stands in the unit file, where everybody on the host may read it",
            "It stays there in this run. It can be moved into the environment file, before or after.",
        );
        facts.push(Fact {
            next: cluster.map(|cluster| move_token::offer(cluster, node.host)),
            ..fact
        });
    }
    facts
}
