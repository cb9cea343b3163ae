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
            LeftoverKind::EmptyDirectory | LeftoverKind::Mount => false,
            LeftoverKind::File
            | LeftoverKind::Link
            | LeftoverKind::Directory
            | LeftoverKind::Interface => true,
        })
        .filter(|left| !is_kept(&left.path))
        .collect()
}

/// In words, the units of other names that start a k3s on the host, if there are some.
pub(crate) fn named_units(found: &HostFacts) -> Option<String> {
    let units = found.named_units.iter();
    let words: Vec<String> = units
        .map(|unit| format!("{} is {}", unit.unit, unit.state))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Trees whose content is told by its number.
const TREES: [&str; 4] = [
    "/var/lib/rancher/k3s",
    "/etc/rancher",
    "/usr/local/bin",
    "/etc/systemd/system",
];

/// Paths in words: one by one, or a tree with the number of things in it.
pub(crate) fn paths(leftovers: &[&Leftover]) -> String {
    let mut words: Vec<String> = Vec::new();
    for tree in TREES {
        let inside = |left: &&&Leftover| tree_of(&left.path) == Some(tree);
        match leftovers.iter().filter(inside).collect::<Vec<_>>()[..] {
            [] => {}
            [one] => words.push(one.path.clone()),
            ref many => words.push(format!("{} things in {tree}", many.len())),
        }
    }
    let others = leftovers
        .iter()
        .filter(|left| tree_of(&left.path).is_none());
    words.extend(others.map(|left| left.path.clone()));
    words.join(", ")
}

fn tree_of(path: &str) -> Option<&'static str> {
    TREES.into_iter().find(|tree| {
        path.strip_prefix(tree)
            .is_some_and(|rest| rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(path: &str, kind: LeftoverKind) -> Leftover {
        Leftover {
            path: path.to_owned(),
            kind,
        }
    }

    #[test]
    fn kept_files_and_empty_places_do_not_remain() {
        let found = [
            left("/etc/rancher/k3s/config.yaml", LeftoverKind::File),
            left("/etc/rancher/k3s/config.yaml.bak", LeftoverKind::File),
            left("/var/lib/kubelet", LeftoverKind::Mount),
            left("/var/lib/rancher", LeftoverKind::EmptyDirectory),
            left("/var/lib/rancher/k3s/storage", LeftoverKind::Mount),
            left("/var/lib/rancher/k3s/server", LeftoverKind::Directory),
            left("/var/lib/rancher/k3s/data", LeftoverKind::Directory),
            left("cni0", LeftoverKind::Interface),
        ];
        let kept = ["/etc/rancher/k3s/config.yaml".to_owned()];
        let words = paths(&remains(&found, &kept));
        assert_eq!(
            words,
            "2 things in /var/lib/rancher/k3s, /etc/rancher/k3s/config.yaml.bak, cni0"
        );
    }
}
