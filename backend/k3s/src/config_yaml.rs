//! k3s's configuration files: `/etc/rancher/k3s/config.yaml`, then `config.yaml.d/*.yaml` in the order of
//! their names. The last value of a key wins, within a file, too; `key+:` appends (facts B.6; k3s
//! `pkg/configfilearg`).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::flags::{self, FlagKind};

/// The main configuration file.
pub const CONFIG_FILE: &str = "/etc/rancher/k3s/config.yaml";
/// Where its drop-ins lie.
pub const CONFIG_DIR: &str = "/etc/rancher/k3s/config.yaml.d";

/// A configuration is a few kilobytes; this bounds the parser's work.
const MAX_BYTES: usize = 256 * 1024;

/// The merged configuration. `Debug` hides secret values.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Config {
    entries: BTreeMap<String, Entry>,
}

/// The values of one key.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// One value, or the items of a list, as k3s turns them into `--key=value`.
    pub values: Vec<String>,
    /// The files they come from, in order, without doubles.
    pub files: Vec<String>,
}

/// A file that k3s could not use. Never contains values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Larger than any configuration.
    #[error("{file} is larger than 256 KiB")]
    TooLarge {
        /// Path of the file.
        file: String,
    },
    /// Not a YAML mapping.
    #[error("{file} is not a YAML mapping")]
    Yaml {
        /// Path of the file.
        file: String,
    },
    /// A value is a mapping, or a list in a list.
    #[error("{file}: {key} must be a value or a list of values")]
    Value {
        /// Path of the file.
        file: String,
        /// The key.
        key: String,
    },
}

impl Config {
    /// Merges files given as (path, text) in any order; other paths than [`CONFIG_FILE`] count as drop-ins
    /// if they end in `.yaml` or `.yml`, else they are ignored, as k3s does.
    ///
    /// # Errors
    /// When a file is not a configuration. k3s would not start with it.
    pub fn merge<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ConfigError> {
        let mut files: Vec<(&str, &str)> = files
            .into_iter()
            .filter(|(path, _)| {
                let lower = path.to_ascii_lowercase();
                lower.ends_with(".yaml") || lower.ends_with(".yml")
            })
            .collect();
        files.sort_by_key(|(path, _)| (*path != CONFIG_FILE, *path));
        let mut config = Config::default();
        for (path, text) in files {
            config.add(path, text)?;
        }
        Ok(config)
    }

    fn add(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        if text.len() > MAX_BYTES {
            return Err(ConfigError::TooLarge {
                file: file.to_owned(),
            });
        }
        if is_blank(text) {
            return Ok(());
        }
        // k3s takes the pairs one by one, and a key may come twice.
        let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
        // The parser's own message may quote the text, and with it a secret.
        let parsed = serde_saphyr::from_str_with_options(text, options);
        let Pairs(pairs) = parsed.map_err(|_| ConfigError::Yaml {
            file: file.to_owned(),
        })?;
        for (key, value) in pairs {
            let wrong = || ConfigError::Value {
                file: file.to_owned(),
                key: key.clone(),
            };
            let items = match value {
                Value::Array(items) => items,
                one @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_)) => vec![one],
            };
            let values: Vec<String> = items
                .into_iter()
                .map(scalar)
                .collect::<Option<_>>()
                .ok_or_else(wrong)?;
            let (name, append) = match key.strip_suffix('+') {
                Some(name) => (name, true),
                None => (key.as_str(), false),
            };
            let name = flags::lookup(name).map_or(name, |flag| flag.name);
            let entry = self.entries.entry(name.to_owned()).or_insert(Entry {
                values: Vec::new(),
                files: Vec::new(),
            });
            if !append {
                entry.values.clear();
                entry.files.clear();
            }
            entry.values.extend(values);
            if !entry.files.iter().any(|f| f == file) {
                entry.files.push(file.to_owned());
            }
        }
        Ok(())
    }

    /// The values of a key, by the flag's long name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All keys, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(name, entry)| (name.as_str(), entry))
    }

    /// Secret values: what a redactor has to know, and what goes into the vault before any diff.
    #[must_use]
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        self.iter()
            .filter(|(name, _)| flags::is_secret(name))
            .flat_map(|(_, entry)| entry.values.iter().map(|v| v.as_bytes().to_vec()))
            .collect()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, entry)| {
                let hidden = vec!["‹secret›".to_owned()];
                let values = if flags::is_secret(name) {
                    hidden
                } else {
                    entry.values.clone()
                };
                (name, values)
            }))
            .finish()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An entry does not know whether its key is a secret one.
        f.debug_struct("Entry")
            .field("values", &self.values.len())
            .field("files", &self.files)
            .finish()
    }
}

/// The values of a key as k3s understands them: lists of names are split at commas.
pub(crate) fn split_values(name: &str, values: &[String]) -> Vec<String> {
    match flags::lookup(name).map(|flag| flag.kind) {
        Some(FlagKind::CommaList) => values
            .iter()
            .flat_map(|value| value.split(','))
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect(),
        Some(FlagKind::Switch | FlagKind::Value | FlagKind::List) | None => values.to_vec(),
    }
}

/// Nothing but comments, blanks and document markers.
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---" || line == "..."
    })
}

/// A scalar as k3s turns it into text; `None` for lists and mappings.
fn scalar(value: Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        Value::String(s) => Some(s),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A mapping's pairs in the order of the text: `key` and `key+` in one file depend on it.
struct Pairs(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(config: &Config, name: &str) -> Vec<String> {
        config
            .get(name)
            .map(|e| e.values.clone())
            .unwrap_or_default()
    }

    #[test]
    fn merges_as_k3s_does() {
        let config = Config::merge([
            ("/etc/rancher/k3s/config.yaml.d/20-b.yml", "tls-san+:\n- d\nnode-label+: x=y\n"),
            ("/etc/rancher/k3s/config.yaml.d/10-a.yaml", "tls-san: [c]\nflannel-backend: none\n"),
            ("/etc/rancher/k3s/config.yaml.d/30.txt", "tls-san: ignored\n"),
            (CONFIG_FILE, "# a comment\ntls-san:\n  - a\n  - b\nflannel-backend: vxlan\ncluster-init: true\nt: secret0\netcd-snapshot-retention: 7\n"),
        ])
        .unwrap();
        assert_eq!(values(&config, "tls-san"), ["c", "d"]);
        assert_eq!(values(&config, "flannel-backend"), ["none"]);
        assert_eq!(values(&config, "cluster-init"), ["true"]);
        assert_eq!(values(&config, "node-label"), ["x=y"]);
        assert_eq!(values(&config, "etcd-snapshot-retention"), ["7"]);
        assert_eq!(values(&config, "token"), ["secret0"]);
        assert_eq!(config.get("tls-san").unwrap().files.len(), 2);
        assert_eq!(config.secrets(), [b"secret0".to_vec()]);
        assert!(!format!("{config:?}").contains("secret0"));
    }

    #[test]
    fn appending_within_one_file() {
        let config = Config::merge([(CONFIG_FILE, "tls-san: a\ntls-san+: [b]\n")]).unwrap();
        assert_eq!(values(&config, "tls-san"), ["a", "b"]);
    }

    /// `readConfigFile` sets the key's value anew at every turn, be it a list or not.
    #[test]
    fn of_a_repeated_key_the_last_counts() {
        let text = "tls-san: [a, b]\nflannel-backend: vxlan\ntls-san:\n- c\nflannel-backend: none\nnode-label+: x=y\nnode-label+: z=w\n";
        let config = Config::merge([(CONFIG_FILE, text)]).unwrap();
        assert_eq!(values(&config, "tls-san"), ["c"]);
        assert_eq!(values(&config, "flannel-backend"), ["none"]);
        assert_eq!(values(&config, "node-label"), ["x=y", "z=w"]);
    }

    #[test]
    fn refuses_what_k3s_could_not_read_without_quoting_it() {
        let merge = |text: &str| {
            Config::merge([(CONFIG_FILE, text)])
                .unwrap_err()
                .to_string()
        };
        assert!(merge("token: [hunter2").contains("not a YAML mapping"));
        assert!(!merge("token: [hunter2").contains("hunter2"));
        assert!(merge("- a\n").contains("not a YAML mapping"));
        assert!(merge("tls-san: {a: b}\n").contains("tls-san must be"));
        assert_eq!(
            Config::merge([(CONFIG_FILE, "# nothing\n---\n")]).unwrap(),
            Config::default()
        );
    }

    #[test]
    fn aliases_do_not_explode() {
        let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for (this, last) in "bcdefghij".chars().zip("abcdefghi".chars()) {
            text.push_str(&format!("{this}: &{this} [*{last},*{last},*{last},*{last},*{last},*{last},*{last},*{last},*{last}]\n"));
        }
        assert!(Config::merge([(CONFIG_FILE, text.as_str())]).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ -~\n]{0,120}") {
            let _ = Config::merge([(CONFIG_FILE, text.as_str())]);
        }
    }
}
