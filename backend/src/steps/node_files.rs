//! What tells a node's k3s what to do: unit file with drop-ins, environment and configuration, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use coxswain_engine::step::StepFailure;
use coxswain_k3s::unit_file::UnitFile;
use coxswain_k3s::unit_token::holds_token;
use coxswain_wire::HostId;
use serde::{Deserialize, Serialize};

use super::failure;
use super::restart::NodeRole;
use super::sections::{sections, value};
use super::server_files::{list, read_text};
use crate::world::World;

/// The files of one node by path. Holds secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeFiles {
    files: BTreeMap<String, NodeFile>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NodeFile {
    /// Octal, or `link`.
    mode: String,
    text: String,
}

impl NodeFiles {
    /// Reads them.
    ///
    /// # Errors
    /// The host cannot be asked, or has no such unit.
    pub(crate) async fn take(
        world: &dyn World,
        host: HostId,
        role: NodeRole,
    ) -> Result<Self, StepFailure> {
        let text = list(world, host, role.unit()).await?;
        let found = sections(&text);
        let body = |name: &str| found.get(name).map(String::as_str).unwrap_or_default();
        if value(body("unit"), "LoadState") != Some("loaded") {
            return Err(failure::fatal(
                format!("there is no {} on the host", role.unit()),
                "Correct the host's role in the inventory, or join it first.",
            ));
        }
        let mut files = BTreeMap::new();
        let listed = ["units", "configs", "environments"].map(body);
        for (mode, path) in listed
            .iter()
            .flat_map(|lines| lines.lines())
            .filter_map(|line| line.split_once(' '))
        {
            if let Some(text) = read_text(world, host, path).await? {
                let mode = mode.to_owned();
                files.insert(path.to_owned(), NodeFile { mode, text });
            }
        }
        Ok(Self { files })
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|file| file.text.as_str())
    }

    /// A token stands in the unit file, where everybody on the host may read it.
    pub(crate) fn token_in_unit(&self, role: NodeRole) -> bool {
        let unit = self.text(&unit_path(role)).unwrap_or_default();
        UnitFile::parse(unit).is_ok_and(|unit| holds_token(&unit))
    }

    /// Path and text of those whose path begins so.
    pub(crate) fn below<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(start))
            .map(|(path, file)| (path.as_str(), file.text.as_str()))
    }

    /// Path, text and mode of each plain file.
    pub(crate) fn plain(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        self.files
            .iter()
            .filter_map(|(path, file)| Some((path.as_str(), file.text.as_str(), self.mode(path)?)))
    }

    /// The mode of a plain file; none if there is none, or it is a link.
    pub(crate) fn mode(&self, path: &str) -> Option<u32> {
        u32::from_str_radix(&self.files.get(path)?.mode, 8).ok()
    }

    /// There is such a file, or a link of that name.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Paths in words.
    pub(crate) fn names(&self) -> String {
        let paths: Vec<&str> = self.files.keys().map(String::as_str).collect();
        paths.join(", ")
    }

    /// Files that are not the same in both, in words; none if all are.
    pub(crate) fn differences(&self, now: &Self) -> Option<String> {
        let paths = self.files.keys().chain(now.files.keys());
        let other: BTreeSet<&str> = paths
            .filter(|path| self.files.get(*path) != now.files.get(*path))
            .map(String::as_str)
            .collect();
        let other: Vec<&str> = other.into_iter().collect();
        (!other.is_empty()).then(|| other.join(", "))
    }
}

/// The unit file that the installer writes.
pub(crate) fn unit_path(role: NodeRole) -> String {
    format!("/etc/systemd/system/{}", role.unit())
}

/// The environment file that it writes.
pub(crate) fn env_path(role: NodeRole) -> String {
    format!("{}.env", unit_path(role))
}
