//! The certificate on :6443, asked for every wanted name on every way to the API, and again without a
//! name. Asking is what makes k3s issue it for a new name (facts A, TLS SANs).

use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::San;
use futures::StreamExt as _;
use futures::stream;

use super::Params;
use crate::steps::kube::{API_PORT, ApiHost};
use crate::steps::serving::how;
use crate::world::{Ask, ServedChain, TlsTarget, World};

/// Handshakes at a time.
const AT_ONCE: usize = 8;

/// What is wrong with the certificate, in words.
pub(super) async fn wrong(world: &dyn World, params: &Params, ca: &[u8]) -> Option<String> {
    let sans = &params.sans;
    let servers: Vec<&ApiHost> = params.servers.iter().collect();
    let ways: Vec<&ApiHost> = params
        .load_balancers
        .iter()
        .chain(&params.servers)
        .collect();
    // A load balancer's own address need not be in it.
    for (ways, asks) in [
        (ways, sans.iter().map(how).collect()),
        (servers, vec![Ask::Plain]),
    ] {
        let targets: Vec<(String, TlsTarget)> = ways
            .iter()
            .flat_map(|way| {
                let target = TlsTarget::new(&way.address, API_PORT).ca(ca);
                asks.iter()
                    .map(move |ask| (way.name.clone(), target.clone().ask(ask.clone())))
            })
            .collect();
        let found: Vec<Option<String>> = stream::iter(targets)
            .map(|(name, target)| async move {
                let said = match world.handshake(&target).await {
                    Ok(served) => refused(&served, sans, &target.ask),
                    Err(e) => Some(e.to_string()),
                };
                said.map(|why| format!("{name}: {why}"))
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        if let Some(why) = found.into_iter().flatten().next() {
            return Some(why);
        }
    }
    None
}

fn refused(served: &ServedChain, sans: &[San], ask: &Ask) -> Option<String> {
    let asked = match ask {
        Ask::Plain => "without a name".to_owned(),
        Ask::Sni(name) | Ask::Host(name) => format!("for {name}"),
    };
    match &served.verified {
        Some(Ok(())) => {}
        Some(Err(why)) => {
            return Some(format!(
                "the certificate served {asked} does not verify: {why}"
            ));
        }
        None => return Some("the certificate was not verified".to_owned()),
    }
    // Asked for nobody, the whole list must be there; before, it still grows with every name.
    if *ask != Ask::Plain {
        return None;
    }
    let names: Vec<AltName> = served
        .leaf
        .certificate
        .sans
        .iter()
        .map(|name| AltName::from_text(name))
        .collect();
    let missing: Vec<&str> = sans
        .iter()
        .filter(|san| !names.contains(&AltName::from(*san)))
        .map(San::as_str)
        .collect();
    (!missing.is_empty()).then(|| format!("the certificate does not name {}", missing.join(", ")))
}
