//! Whether the certificate of :6443 is good for the names that a run will ask for. Asks for none of them: some
//! versions of k3s learn what they are asked for.

use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::San;
use coxswain_wire::Fact;

use super::{at_once, fail, pass, warn};
use crate::steps::ApiHost;
use crate::steps::configured::Configured;
use crate::steps::place_k3s::PROGRAM;
use crate::steps::resolve_release::binary;
use crate::steps::serving::{served, words};
use crate::world::World;

const NAME: &str = "Names in the certificate";
const UNIT: &str = "k3s.service";

/// The fact: a name is in the certificate of one of the servers, or one of them is told to have it and issues it when
/// asked. Where all servers learn names from strangers, one that is missing is worth a warning, if what is learned now
/// counts (`learning`).
pub(in crate::workflows) async fn names(
    world: &dyn World,
    cluster: &str,
    servers: &[ApiHost],
    wanted: &[San],
    learning: bool,
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
    let mut learned = false;
    if !missing.is_empty() {
        let told: Vec<Told> = at_once(servers.iter().map(|s| told(world, s)).collect())
            .await
            .into_iter()
            .flatten()
            .collect();
        missing.retain(|name| !told.iter().any(|server| server.names.contains(name)));
        learned = learning && !told.is_empty() && told.iter().all(|server| server.learns);
    }
    if missing.is_empty() {
        return pass(cluster, NAME, format!("good for {}", words(&wanted)));
    }
    let value = format!("not good for {}", words(missing));
    if learned {
        return warn(
            cluster,
            NAME,
            value,
            "This k3s adds a name by itself when somebody asks for it, so this should work. From v1.28 on it does so only with --tls-san-security=false. To be sure, add the name with \u{201c}Change the API's names\u{201d}.",
        );
    }
    fail(
        cluster,
        NAME,
        value,
        "k3s and the panel would refuse it there. Add it first, with \u{201c}Change the API's names\u{201d}.",
    )
}

/// What a server makes of names.
struct Told {
    /// Told to have them in its certificate.
    names: Vec<AltName>,
    /// Adds whatever it is asked for.
    learns: bool,
}

/// None if the server cannot be asked: it has facts of its own.
async fn told(world: &dyn World, server: &ApiHost) -> Option<Told> {
    let told = Configured::take(world, server.host, UNIT).await.ok()?;
    let version = binary(world, server.host, PROGRAM).await.ok()?;
    let sans = told.settings.sans().iter();
    Some(Told {
        names: sans.map(|san| AltName::from_text(san)).collect(),
        learns: told.settings.learns_names(version.as_ref()),
    })
}
