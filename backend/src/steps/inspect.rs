//! A host's facts, by the constant probe that preflight and clean-up share. Reads only.

use std::time::Duration;

use coxswain_k3s::preflight::{HostFacts, Leftover, LeftoverKind, PROBE_SCRIPT, parse_probe};
use coxswain_wire::HostId;

use crate::world::{RemoteCommand, Result, Script, World, WorldError};

/// Looks at a host and changes nothing.
pub(crate) const INSPECT: Script = Script {
    name: "inspect-host",
    text: PROBE_SCRIPT,
};

/// Directories that may be file systems of their own: what is in them goes, they stay.
const MOUNT_POINTS: [&str; 3] = [
    "/var/lib/kubelet",
    "/var/lib/rancher",
    "/var/lib/rancher/k3s",
];

/// Collects the facts.
///
/// # Errors
/// As [`World::run`], or an answer that is not the probe's.
pub(crate) async fn inspect(world: &dyn World, host: HostId) -> Result<HostFacts> {
    let command = RemoteCommand::script(INSPECT)
        .sudo()
        .timeout(Duration::from_secs(60));
    let answer = world.run(host, command).await?.ok(INSPECT.name)?;
    parse_probe(&answer.text()).map_err(|e| WorldError::Unexpected {
        what: INSPECT.name.to_owned(),
        detail: e.to_string(),
    })
}

/// What is really left of k3s, without `kept` paths and what lies in them. Empty directories and mount
/// points are nothing.
pub(crate) fn remains<'a>(leftovers: &'a [Leftover], kept: &[String]) -> Vec<&'a Leftover> {
    let is_kept = |path: &str| {
        kept.iter().any(|kept| {
            path.strip_prefix(kept.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    leftovers
        .iter()
        .filter(|left| match left.kind {
            LeftoverKind::EmptyDirectory => false,
            LeftoverKind::Mount => !MOUNT_POINTS.contains(&left.path.as_str()),
            LeftoverKind::File
            | LeftoverKind::Link
            | LeftoverKind::Directory
            | LeftoverKind::Interface => true,
        })
        .filter(|left| !is_kept(&left.path))
        .collect()
}

/// Paths as a list in words, cut after a few.
pub(crate) fn paths(leftovers: &[&Leftover]) -> String {
    const SHOWN: usize = 12;
    let mut words: Vec<&str> = leftovers
        .iter()
        .take(SHOWN)
        .map(|l| l.path.as_str())
        .collect();
    let more = format!("and {} more", leftovers.len().saturating_sub(SHOWN));
    if leftovers.len() > SHOWN {
        words.push(&more);
    }
    words.join(", ")
}
