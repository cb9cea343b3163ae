//! etcd snapshots: the table `k3s etcd-snapshot ls` prints, and how files are named (facts A, 02).

use serde::{Deserialize, Serialize};

use crate::names::NodeName;
use crate::settings::Settings;

/// Where snapshots lie on the node that took them, unless it is told otherwise (directory 0700, files 0600).
pub const SNAPSHOT_DIR: &str = "/var/lib/rancher/k3s/server/db/snapshots";

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// File name, `<asked name>-<node>-<unix seconds>`, with `.zip` when compressed.
    pub name: String,
    /// `file://…` or `s3://…`.
    pub location: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was made, RFC 3339, as k3s prints it.
    pub created: String,
}

impl Snapshot {
    /// The path on the node; `None` if it does not lie there.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.location.strip_prefix("file://")
    }

    /// Seconds since 1970 UTC from the name.
    #[must_use]
    pub fn unix_seconds(&self) -> Option<i64> {
        unix_seconds(&self.name)
    }

    /// It was made by `save --name asked` on `node`.
    #[must_use]
    pub fn is_named(&self, asked: &str, node: &NodeName) -> bool {
        self.unix_seconds().is_some()
            && self
                .name
                .strip_prefix(asked)
                .and_then(|rest| rest.strip_prefix('-'))
                .and_then(|rest| rest.strip_prefix(node.as_str()))
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|seconds| !seconds.contains('-'))
    }
}

/// A snapshot as it lies on a node's disk. Seen without k3s's help: also when no API answers, and on
/// versions whose `ls` asks the running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Absolute path.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the file, seconds since 1970 UTC by the node's clock.
    pub modified: i64,
}

impl SnapshotFile {
    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// When it was made, seconds since 1970 UTC: as k3s wrote into the name, else the file's last change.
    #[must_use]
    pub fn made(&self) -> i64 {
        unix_seconds(self.name()).unwrap_or(self.modified)
    }
}

/// Reads lines of size, last change and path, as `stat -c '%s %Y %n'` prints them. Other lines, and files
/// that k3s is still writing (`.part`), are skipped.
#[must_use]
pub fn parse_files(text: &str) -> Vec<SnapshotFile> {
    let file = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (size, modified, path) = (words.next()?, words.next()?, words.next()?);
        let (size, modified) = (size.parse().ok()?, modified.parse().ok()?);
        let whole = path.starts_with('/') && !path.ends_with(".part");
        whole.then(|| SnapshotFile {
            path: path.to_owned(),
            size,
            modified,
        })
    };
    text.lines().filter_map(file).collect()
}

/// Where the snapshots of a server with these settings lie. The default comes last where another
/// directory is set: versions differ in whether `save` knows of a flag of the running server.
#[must_use]
pub fn directories(settings: &Settings) -> Vec<String> {
    let set = settings.values("etcd-snapshot-dir").last();
    let mut found: Vec<String> = set
        .map(|dir| dir.trim_end_matches('/').to_owned())
        .filter(|dir| dir.starts_with('/') && dir != SNAPSHOT_DIR)
        .into_iter()
        .collect();
    found.push(SNAPSHOT_DIR.to_owned());
    found
}

fn unix_seconds(name: &str) -> Option<i64> {
    let name = name.strip_suffix(".zip").unwrap_or(name);
    let (_, seconds) = name.rsplit_once('-')?;
    let digits = !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit());
    if digits { seconds.parse().ok() } else { None }
}

/// Why the text is not the table. Each says what was found instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// No line with the column names.
    #[error("the list of snapshots has no header")]
    Header,
    /// A line does not fit the columns.
    #[error("the list of snapshots has an odd line: {0:?}")]
    Line(String),
}

/// Reads the table. Log lines before the header (k3s writes them to stderr) are skipped.
///
/// # Errors
/// When there is no header, or a line does not fit it.
pub fn parse_list(table: &str) -> Result<Vec<Snapshot>, SnapshotError> {
    let mut lines = table.lines();
    let columns: Vec<&str> = lines
        .by_ref()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.first() == Some(&"Name") && words.contains(&"Location"))
        .ok_or(SnapshotError::Header)?;
    let column = |name: &str| columns.iter().position(|c| *c == name);
    let (Some(name), Some(location), Some(size), Some(created)) = (
        column("Name"),
        column("Location"),
        column("Size"),
        column("Created"),
    ) else {
        return Err(SnapshotError::Header);
    };
    let mut snapshots = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let odd = || SnapshotError::Line(line.chars().take(200).collect());
        let word = |at: usize| words.get(at).copied().ok_or_else(odd);
        if words.len() != columns.len() {
            return Err(odd());
        }
        snapshots.push(Snapshot {
            name: word(name)?.to_owned(),
            location: word(location)?.to_owned(),
            size: word(size)?.parse().map_err(|_| odd())?,
            created: word(created)?.to_owned(),
        });
    }
    Ok(snapshots)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = include_str!("../tests/recorded/snapshot-ls.txt");

    #[test]
    fn reads_the_recorded_table() {
        let list = parse_list(TABLE).unwrap();
        assert_eq!(list.len(), 1);
        let one = &list[0];
        assert_eq!(one.size, 1_089_568);
        assert_eq!(
            one.path(),
            Some(format!("{SNAPSHOT_DIR}/{}", one.name).as_str())
        );
        assert_eq!(one.unix_seconds(), Some(1_795_326_133));
        let node: NodeName = "node10".parse().unwrap();
        assert!(one.is_named("pre-tls-san-change", &node));
        assert!(!one.is_named("pre-tls-san", &node));
        assert!(!one.is_named("pre-tls-san-change", &"node1".parse().unwrap()));
    }

    #[test]
    fn an_empty_list_is_not_a_broken_one() {
        assert_eq!(parse_list("Name Location Size Created\n"), Ok(vec![]));
        assert_eq!(
            parse_list("time=… level=fatal msg=…\n"),
            Err(SnapshotError::Header)
        );
        assert!(matches!(
            parse_list("Name Location Size Created\na b\n"),
            Err(SnapshotError::Line(_))
        ));
    }

    #[test]
    fn names_are_told_apart() {
        let named = |name: &str| Snapshot {
            name: name.to_owned(),
            location: String::new(),
            size: 0,
            created: String::new(),
        };
        let node: NodeName = "a-1".parse().unwrap();
        assert!(named("x-a-1-1795326133.zip").is_named("x", &node));
        assert!(!named("x-a-1-2-1795326133").is_named("x", &node));
        assert!(!named("x-a-1-").is_named("x", &node));
    }

    #[test]
    fn reads_files_of_the_disk() {
        let found = parse_files(
            "1089568 1795326134 /var/lib/rancher/k3s/server/db/snapshots/pre-tls-san-change-node10-1795326133\n7 8 /x/a b\n5 6 /x/c.part\nnoise\n",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name(), "pre-tls-san-change-node10-1795326133");
        assert_eq!((found[0].size, found[0].made()), (1_089_568, 1_795_326_133));
        assert_eq!((found[1].name(), found[1].made()), ("a b", 8));
    }

    #[test]
    fn a_directory_that_is_set_comes_first() {
        use crate::config_yaml::Config;
        use crate::env_file::EnvFile;
        let with = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
            directories(&Settings::effective(
                &args,
                &Config::default(),
                &EnvFile::parse(""),
            ))
        };
        assert_eq!(with(&[]), [SNAPSHOT_DIR]);
        assert_eq!(
            with(&["--etcd-snapshot-dir=/backup/"]),
            ["/backup", SNAPSHOT_DIR]
        );
        assert_eq!(with(&["--etcd-snapshot-dir", SNAPSHOT_DIR]), [SNAPSHOT_DIR]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[ -~\n]{0,150}") {
            let _ = parse_list(&text);
            let _ = parse_files(&text);
            let _ = parse_list(&format!("Name Location Size Created\n{text}"));
        }
    }
}
