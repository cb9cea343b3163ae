//! What listens on :6443 in memory, and what it answers.

use coxswain_wire::{HostId, ServedCertificate, Timestamp};

use super::k3s::sha256;
use super::serving::Serving;
use super::{FakeHost, State};
use crate::world::{
    Ask, HttpAnswer, Result, ServedChain, ServedLeaf, TlsTarget, UnreachableKind, WorldError,
};

/// The server that answers at an address on :6443, directly or behind HAProxy.
pub(super) fn behind(state: &State, address: &str) -> Option<HostId> {
    let host = state
        .hosts
        .values()
        .find(|h| h.address == address || h.name == address)?;
    if state.api_on(host.id).is_some() {
        return Some(host.id);
    }
    let haproxy = host.haproxy.as_ref().filter(|h| h.active)?;
    servers(&haproxy.loaded).find_map(|(_, address)| {
        let server = state.hosts.values().find(|h| h.address == address)?;
        state.api_on(server.id).map(|_| server.id)
    })
}

/// Names and addresses of the servers in a HAProxy configuration.
pub(super) fn servers(config: &str) -> impl Iterator<Item = (&str, &str)> {
    config.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "server").then_some(())?;
        let name = words.next()?;
        let (address, _) = words.next()?.rsplit_once(':')?;
        Some((name, address))
    })
}

pub(super) fn handshake(state: &mut State, target: &TlsTarget) -> Result<ServedChain> {
    let server = find(state, target)?;
    let number = state.api_on(server).ok_or_else(|| refused(target))?;
    let asked = match &target.ask {
        Ask::Plain => target.address.clone(),
        Ask::Sni(name) | Ask::Host(name) => {
            state.asked(server, number, name);
            name.clone()
        }
    };
    let serving = state.serving(server).cloned();
    let Serving { serial, names } = serving.ok_or_else(|| refused(target))?;
    let verified = target.ca.as_ref().map(|ca| {
        if *ca != state.clusters[&number].ca.as_bytes() {
            Err("unknown issuer".to_owned())
        } else if names.contains(&asked) {
            Ok(())
        } else {
            Err(format!("not valid for {asked}"))
        }
    });
    let leaf = ServedLeaf {
        sha256: sha256(&serial),
        certificate: ServedCertificate {
            serial,
            not_after: Timestamp(4_102_444_800_000),
            sans: names.into_iter().collect(),
        },
        subject: "O=k3s, CN=k3s".to_owned(),
        issuer: "CN=k3s-server-ca".to_owned(),
    };
    Ok(ServedChain {
        leaf,
        chain: Vec::new(),
        verified,
    })
}

pub(super) fn get(state: &mut State, target: &TlsTarget, path: &str) -> Result<HttpAnswer> {
    let chain = handshake(state, target)?;
    let server = find(state, target)?;
    let cluster = state
        .api_on(server)
        .and_then(|number| state.clusters.get(&number));
    let Some(cluster) = cluster else {
        return Err(refused(target));
    };
    let (status, body) = match path {
        "/ping" => (200, b"pong".to_vec()),
        "/cacerts" => (200, cluster.ca.clone().into_bytes()),
        _ => (401, b"Unauthorized".to_vec()),
    };
    Ok(HttpAnswer {
        status,
        body,
        chain,
    })
}

fn find(state: &State, target: &TlsTarget) -> Result<HostId> {
    let at = |host: &&FakeHost| host.address == target.address || host.name == target.address;
    if state
        .hosts
        .values()
        .find(at)
        .is_some_and(|host| host.filtered || host.off)
    {
        return Err(WorldError::Unreachable {
            target: target.endpoint(),
            kind: UnreachableKind::TimedOut,
            detail: "no answer within 10 s".to_owned(),
        });
    }
    behind(state, &target.address)
        .filter(|_| target.port == 6443)
        .ok_or_else(|| refused(target))
}

fn refused(target: &TlsTarget) -> WorldError {
    WorldError::Unreachable {
        target: target.endpoint(),
        kind: UnreachableKind::Refused,
        detail: "connection refused".to_owned(),
    }
}
