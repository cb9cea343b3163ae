//! Whether the certificate of :6443 is good for the names that a run will ask for. Asks for none of them: some
//! versions of k3s learn what they are asked for.

use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::San;
use coxswain_wire::Fact;

use super::{at_once, fail, pass};
use crate::steps::ApiHost;
use crate::steps::configured::Configured;
use crate::steps::serving::{served, words};
use crate::world::World;

const NAME: &str = "Names in the certificate";
const UNIT: &str = "k3s.service";

/// The fact: a name is in the certificate of one of the servers, or each of them issues it when asked.
pub(in crate::workflows) async fn names(
    world: &dyn World,
    cluster: &str,
    servers: &[ApiHost],
    wanted: &[San],
) -> Fact {
    let looks = at_once(servers.iter().map(|s| served(world, s)).collect()).await;
    let now = match looks.into_iter().reduce(Result::or) {
        Some(Ok(now)) => now.names,
        Some(Err(why)) => {
            let advice = "Let the panel reach :6443 of the servers.";
            return fail(cluster, NAME, why, advice);
        }
        None => return fail(cluster, NAME, "there is no server", "Join one first."),
    };
    let wanted: Vec<AltName> = wanted.iter().map(AltName::from).collect();
    let mut missing: Vec<&AltName> = wanted.iter().filter(|name| !now.contains(name)).collect();
    if !missing.is_empty() {
        for told in at_once(servers.iter().map(|s| told(world, s)).collect()).await {
            missing.retain(|name| !told.contains(name));
        }
    }
    if missing.is_empty() {
        return pass(cluster, NAME, format!("good for {}", words(&wanted)));
    }
    fail(
        cluster,
        NAME,
        format!("not good for {}", words(missing)),
        "k3s and the panel would refuse it there. Add it first, with \u{201c}Change the API's names\u{201d}.",
    )
}

/// What a server is told to have in its certificate. One that cannot be asked has facts of its own.
async fn told(world: &dyn World, server: &ApiHost) -> Vec<AltName> {
    match Configured::take(world, server.host, UNIT).await {
        Err(_) => Vec::new(),
        Ok(told) => {
            let sans = told.settings.sans().iter();
            sans.map(|san| AltName::from_text(san)).collect()
        }
    }
}
