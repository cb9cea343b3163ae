//! The way that clients take to the API: the load balancers, or the cluster's endpoint where it is none of them.

use coxswain_k3s::names::Address;
use coxswain_wire::Fact;
use serde::{Deserialize, Serialize};

use super::super::facts::reach::addresses;
use super::super::facts::{fail, pass, warn};
use super::super::nodes::{Node, Nodes};
use crate::steps::ApiHost;
use crate::steps::way::Way;
use crate::world::World;

const NAME: &str = "Endpoint";

/// Where clients ask; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clients {
    endpoint: Address,
    load_balancers: Vec<ApiHost>,
    /// The drill watches the endpoint, not the load balancers.
    own_way: bool,
}

impl Clients {
    pub(super) fn of(nodes: &Nodes) -> Self {
        Self {
            endpoint: nodes.endpoint.clone(),
            load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
            own_way: own_way(nodes).is_some(),
        }
    }
}

/// The endpoint, where it is a way of its own: without load balancers, or at an address that none of them has. A name is
/// taken to lead to the load balancers that there are: the panel's machine need not know it.
pub(super) fn own_way(nodes: &Nodes) -> Option<Address> {
    let balancers = &nodes.load_balancers;
    let own = match nodes.endpoint.ip() {
        Some(ip) => balancers.iter().all(|lb| lb.address != ip),
        None => balancers.is_empty(),
    };
    own.then(|| nodes.endpoint.clone())
}

/// Where the endpoint leads, and what that means while the victim is away.
pub(super) async fn fact(
    world: &dyn World,
    cluster: &str,
    clients: &Clients,
    victim: &ApiHost,
    others: &[ApiHost],
) -> Option<Fact> {
    let Clients {
        endpoint,
        load_balancers,
        own_way,
    } = clients;
    let asked = others.first()?;
    let found = match addresses(world, cluster, asked, endpoint).await {
        Ok(found) => found,
        Err(fact) => return Some(*fact),
    };
    if *own_way && let Err(why) = Way::endpoint(endpoint).answers(world).await {
        return Some(fail(
            cluster,
            NAME,
            why,
            "The drill watches the API there, as clients do: let the panel's machine reach it.",
        ));
    }
    let known = || load_balancers.iter().chain(others).chain([victim]);
    let host = |address: &str| known().find(|h| h.address == address);
    let leads = found
        .iter()
        .map(|at| host(at).map_or(at.as_str(), |host| &host.name));
    let leads: Vec<&str> = leads.collect();
    let value = if leads.is_empty() {
        format!("{endpoint} does not resolve on {}", asked.name)
    } else if leads == [endpoint.as_str()] && endpoint.ip().is_some() {
        format!("{endpoint}, which is no server's own address")
    } else {
        format!("{endpoint} leads to {}", leads.join(", "))
    };
    let name = &victim.name;
    let of_victim = found.iter().filter(|a| **a == victim.address).count();
    let balanced = |address: &String| load_balancers.iter().any(|lb| lb.address == *address);
    Some(if of_victim > 0 && of_victim == found.len() {
        let advice = format!(
            "Clients have no way to the API while {name} is away, and the drill ends when that has lasted for as long as the form allows. A load balancer, or an address that moves to another server, gives them one."
        );
        warn(cluster, NAME, value, advice)
    } else if of_victim > 0 {
        let advice =
            format!("Clients that take the address of {name} wait or fail while it is away.");
        warn(cluster, NAME, value, advice)
    } else if !own_way && (found.is_empty() || !found.iter().all(balanced)) {
        warn(
            cluster,
            NAME,
            value,
            "The drill watches the load balancers: what clients have who come another way it does not see.",
        )
    } else {
        pass(cluster, NAME, value)
    })
}
