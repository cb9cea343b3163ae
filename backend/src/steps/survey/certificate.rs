//! The certificate of the API: who asks for each name in it, and whether it is good for the endpoint.

use coxswain_k3s::certs::AltName;
use coxswain_k3s::san_origin::{Origin, Origins, Told};
use coxswain_wire::{Fact, ServedCertificate};

use super::host::Read;
use super::{Expected, NodeRole, World, fail, pass, warn};
use crate::steps::kube::{API_PORT, ApiHost};
use crate::world::TlsTarget;

pub(super) async fn facts(
    world: &dyn World,
    cluster: &str,
    expected: &Expected,
    hosts: &[Read<'_>],
) -> Vec<Fact> {
    const NAME: &str = "Certificate";
    let mut served: Vec<(&ApiHost, ServedCertificate)> = Vec::new();
    let mut facts = Vec::new();
    for server in &expected.servers {
        let target = TlsTarget::new(&server.address, API_PORT);
        match world.handshake(&target).await {
            Ok(chain) => served.push((server, chain.leaf.certificate)),
            Err(e) => facts.push(warn(
                &server.name,
                NAME,
                e.to_string(),
                "The panel must reach :6443 of every server at its node address.",
            )),
        }
    }
    let Some((first, certificate)) = served.first() else {
        let advice = "Let the panel reach :6443 of the servers, then collect the evidence again.";
        facts.push(fail(cluster, NAME, "no server showed one", advice));
        return facts;
    };
    for (server, other) in served.iter().skip(1) {
        if other.serial != certificate.serial {
            let value = format!("not the one of {}", first.name);
            let advice = "All servers should serve one certificate: it may be renewed just now.";
            facts.push(warn(&server.name, NAME, value, advice));
        }
    }
    let told: Vec<Told<'_>> = hosts
        .iter()
        .filter(|h| h.role == NodeRole::Server)
        .filter_map(|h| {
            Some(Told {
                node: &h.node.name,
                address: &h.node.address,
                interfaces: &h.interfaces,
                settings: h.told.as_ref()?,
            })
        })
        .collect();
    facts.push(names(cluster, certificate, &told));
    facts.push(endpoint(cluster, expected, certificate, &told));
    let unnamed = |lb: &&ApiHost| !named(&lb.address, certificate, &told);
    let unnamed = expected.load_balancers.iter().filter(unnamed);
    facts.extend(unnamed.map(|lb| {
        warn(
            &lb.name,
            "Address in the certificate",
            format!("{} is not in the certificate", lb.address),
            "Nodes join through it: add it with \u{201c}Change the API's names\u{201d} before one does.",
        )
    }));
    facts.extend(drift(&told));
    facts
}

/// Each name with its origin.
fn names(cluster: &str, certificate: &ServedCertificate, told: &[Told<'_>]) -> Fact {
    const NAME: &str = "Names in the certificate";
    let known = Origins::of(told);
    let found: Vec<(String, Origin)> = certificate
        .sans
        .iter()
        .map(|san| (san.clone(), known.origin(&AltName::from_text(san))))
        .collect();
    let lines: Vec<String> = found
        .iter()
        .map(|(san, origin)| format!("{san}: {origin}"))
        .collect();
    if found.iter().any(|(_, origin)| *origin == Origin::History) {
        let advice = "Names that nothing asks for stay until they are removed on purpose.";
        return warn(cluster, NAME, lines.join("\n"), advice);
    }
    pass(cluster, NAME, lines.join("\n"))
}

/// A name is in the certificate, or asked for by a flag.
fn named(name: &str, certificate: &ServedCertificate, told: &[Told<'_>]) -> bool {
    let wanted = AltName::from_text(name);
    let asked = told.iter().flat_map(|server| server.settings.sans());
    certificate
        .sans
        .iter()
        .chain(asked)
        .any(|name| AltName::from_text(name) == wanted)
}

/// Clients verify the endpoint's name: it is there, or k3s issues it when asked.
fn endpoint(
    cluster: &str,
    expected: &Expected,
    certificate: &ServedCertificate,
    told: &[Told<'_>],
) -> Fact {
    const NAME: &str = "Endpoint";
    let wanted = AltName::from_text(expected.endpoint.as_ref());
    let is = |name: &String| AltName::from_text(name) == wanted;
    if certificate.sans.iter().any(is) {
        return pass(
            cluster,
            NAME,
            format!("{} is in the certificate", expected.endpoint),
        );
    }
    if told
        .iter()
        .any(|server| server.settings.sans().iter().any(is))
    {
        let value = format!(
            "{} is asked for by a flag: k3s issues it when a client comes",
            expected.endpoint
        );
        return pass(cluster, NAME, value);
    }
    if Origins::of(told).is_doubtful(&wanted) {
        let value = format!(
            "{} stands only in configuration files beside names on the command line, where it perhaps does not count",
            expected.endpoint
        );
        let advice =
            "Put it on the command line, too, so that clients accept the certificate for certain.";
        return warn(cluster, NAME, value, advice);
    }
    fail(
        cluster,
        NAME,
        format!(
            "{} is not in the certificate: clients would refuse it",
            expected.endpoint
        ),
        "Edit the cluster and set the endpoint to a name or address in the certificate. A new name can be added once the cluster is taken over.",
    )
}

/// A server that is not told the names of the others issues without them.
fn drift(told: &[Told<'_>]) -> Vec<Fact> {
    let wanted = |of: &Told<'_>| -> Vec<AltName> {
        of.settings
            .sans()
            .iter()
            .map(|san| AltName::from_text(san))
            .collect()
    };
    let mut all: Vec<AltName> = told.iter().flat_map(wanted).collect();
    all.sort();
    all.dedup();
    told.iter()
        .filter_map(|server| {
            let own = wanted(server);
            let missing: Vec<String> = all
                .iter()
                .filter(|name| !own.contains(name))
                .map(ToString::to_string)
                .collect();
            (!missing.is_empty()).then(|| {
                let advice = "Give every server the same names, so that each issues the certificate with all of them.";
                warn(server.node, "Names asked for", format!("not told here: {}", missing.join(", ")), advice)
            })
        })
        .collect()
}
