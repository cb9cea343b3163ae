//! What a k3s process is really told: command line over configuration files over environment. Of a single value
//! the command line's counts. Of a list, k3s's documentation says the same (facts B.6), while its source puts the
//! file's values in front of the command line's (`pkg/configfilearg/parser.go`): values that stand in a file alone
//! beside a flag are perhaps told, and nothing may rest on either.

use std::collections::BTreeMap;
use std::fmt;

use crate::config_yaml::{Config, split_values};
use crate::env_file::EnvFile;
use crate::flags::{self, Flag, FlagKind};
use crate::names::K3sVersion;

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The unit file's command line.
    CommandLine,
    /// These configuration files.
    Config(Vec<String>),
    /// An environment variable.
    Environment(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::CommandLine => f.write_str("command line"),
            Source::Config(files) => f.write_str(&files.join(", ")),
            Source::Environment(variable) => write!(f, "variable {variable}"),
        }
    }
}

/// The value in force of one flag. `Debug` hides the values.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// Values; lists of names are split at commas. A switch is `true` or `false`.
    pub values: Vec<String>,
    /// Where they come from.
    pub source: Source,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// All settings in force, by the flag's long name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    settings: BTreeMap<String, Setting>,
    hidden: Vec<Hidden>,
}

/// Values in configuration files beside the same flag on the command line: without effect, or, in a list, perhaps
/// in force as well.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden {
    /// The flag.
    pub name: String,
    /// Values that the command line does not have.
    pub values: Vec<String>,
    /// The files they stand in.
    pub files: Vec<String>,
}

impl Hidden {
    /// k3s may use them all the same.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        match flags::lookup(&self.name).map(|flag| flag.kind) {
            Some(FlagKind::Switch | FlagKind::Value) => false,
            Some(FlagKind::List | FlagKind::CommaList) | None => true,
        }
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hidden")
            .field("name", &self.name)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Puts together what `args` (the words after `k3s server`), `config` and `env` say.
    #[must_use]
    pub fn effective(args: &[String], config: &Config, env: &EnvFile) -> Self {
        let mut settings = BTreeMap::new();
        for info in flags::FLAGS {
            let from_env = info.env.and_then(|name| Some((name, env.get(name)?)));
            if let Some((variable, value)) = from_env.filter(|(_, value)| !value.is_empty()) {
                let values = normal(info.name, &[value.to_owned()]);
                settings.insert(
                    info.name.to_owned(),
                    Setting {
                        values,
                        source: Source::Environment(variable),
                    },
                );
            }
        }
        for (name, entry) in config.iter() {
            settings.insert(
                name.to_owned(),
                Setting {
                    values: normal(name, &entry.values),
                    source: Source::Config(entry.files.clone()),
                },
            );
        }
        let mut hidden = Vec::new();
        for (name, values) in by_name(&flags::parse_args(args)) {
            let values = normal(&name, &values);
            if let Some(entry) = config.get(&name) {
                let lost: Vec<String> = normal(&name, &entry.values)
                    .into_iter()
                    .filter(|value| !values.contains(value))
                    .collect();
                if !lost.is_empty() {
                    hidden.push(Hidden {
                        name: name.clone(),
                        values: lost,
                        files: entry.files.clone(),
                    });
                }
            }
            settings.insert(
                name,
                Setting {
                    values,
                    source: Source::CommandLine,
                },
            );
        }
        Settings { settings, hidden }
    }

    /// Those of a node's last start, by its annotation `k3s.io/node-args`: the command line with config.yaml worked
    /// in, the subcommand first, as a JSON list. Secrets are masked. None if it is not that.
    #[must_use]
    pub fn recorded(node_args: &str) -> Option<Self> {
        let words: Vec<String> = serde_json::from_str(node_args).ok()?;
        let args = words.get(1..).unwrap_or_default();
        Some(Self::effective(
            args,
            &Config::default(),
            &EnvFile::default(),
        ))
    }

    /// The setting in force, by the flag's long name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// The values in force; none if the flag is not set.
    #[must_use]
    pub fn values(&self, name: &str) -> &[String] {
        self.get(name)
            .map(|s| s.values.as_slice())
            .unwrap_or_default()
    }

    /// A switch is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.values(name)
            .last()
            .is_some_and(|value| value == "true")
    }

    /// The names wanted in the API's certificate.
    #[must_use]
    pub fn sans(&self) -> &[String] {
        self.values("tls-san")
    }

    /// Names that are perhaps wanted there, too: they stand in a file beside flags.
    #[must_use]
    pub fn perhaps_sans(&self) -> &[String] {
        let hidden = self.hidden.iter().find(|hidden| hidden.name == "tls-san");
        hidden.map(|h| h.values.as_slice()).unwrap_or_default()
    }

    /// A server of this version adds a name to the API's certificate when anybody asks for it. Since v1.28 it does so
    /// only if told to (facts B.6); v1.22 was seen not to (facts A, TLS SANs).
    #[must_use]
    pub fn learns_names(&self, version: Option<&K3sVersion>) -> bool {
        const SECURITY: &str = "tls-san-security";
        match self.get(SECURITY) {
            Some(_) => !self.is_on(SECURITY),
            None => version.is_some_and(|v| v.major() == 1 && (23..=27).contains(&v.minor())),
        }
    }

    /// Values in configuration files beside the same flag on the command line.
    #[must_use]
    pub fn hidden(&self) -> &[Hidden] {
        &self.hidden
    }

    /// k3s brings the network of pods itself; with `--flannel-backend=none` somebody else has to, and until then no
    /// node is Ready.
    #[must_use]
    pub fn brings_network(&self) -> bool {
        self.values("flannel-backend")
            .last()
            .is_none_or(|backend| backend != "none")
    }

    /// All settings, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(name, s)| (name.as_str(), s))
    }
}

fn by_name(flags: &[Flag]) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for flag in flags {
        let value = flag.value.clone().unwrap_or_else(|| "true".to_owned());
        all.entry(flag.name.clone()).or_default().push(value);
    }
    all
}

/// The last value of a single-valued flag, all values of a list.
fn normal(name: &str, values: &[String]) -> Vec<String> {
    match flags::lookup(name).map(|flag| flag.kind) {
        Some(FlagKind::Switch) => {
            let on = values.last().is_some_and(|value| {
                matches!(
                    value.to_ascii_lowercase().as_str(),
                    "true" | "t" | "1" | "yes" | "y" | "on"
                )
            });
            vec![on.to_string()]
        }
        Some(FlagKind::Value) => values.last().cloned().into_iter().collect(),
        Some(FlagKind::List | FlagKind::CommaList) | None => split_values(name, values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_yaml::CONFIG_FILE;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn beside_the_command_line_single_values_do_not_count_and_lists_are_in_doubt() {
        let config = Config::merge([(
            CONFIG_FILE,
            "tls-san: [a, b]\nflannel-backend: none\ndisable: traefik\nsecrets-encryption: yes\n",
        )])
        .unwrap();
        let env = EnvFile::parse("K3S_TOKEN=hunter2hunter2\nK3S_URL=https://x:6443\n");
        let args = words(
            "--tls-san b,c --flannel-backend=host-gw --disable-kube-proxy --server https://y:6443",
        );
        let settings = Settings::effective(&args, &config, &env);
        assert_eq!(settings.sans(), ["b", "c"]);
        assert_eq!(settings.values("flannel-backend"), ["host-gw"]);
        assert_eq!(settings.values("disable"), ["traefik"]);
        assert_eq!(settings.values("server"), ["https://y:6443"]);
        assert!(settings.is_on("disable-kube-proxy") && settings.is_on("secrets-encryption"));
        assert_eq!(
            settings.get("token").unwrap().source,
            Source::Environment("K3S_TOKEN")
        );
        let hidden: Vec<_> = settings
            .hidden()
            .iter()
            .map(|h| (h.name.as_str(), h.values.clone()))
            .collect();
        assert_eq!(
            hidden,
            [
                ("flannel-backend", vec!["none".to_owned()]),
                ("tls-san", vec!["a".to_owned()])
            ]
        );
        let doubtful: Vec<bool> = settings.hidden().iter().map(Hidden::is_doubtful).collect();
        assert_eq!(doubtful, [false, true]);
        assert_eq!(settings.perhaps_sans(), ["a"]);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn configuration_wins_over_environment() {
        let config = Config::merge([(CONFIG_FILE, "node-name: a\n")]).unwrap();
        let env = EnvFile::parse("K3S_NODE_NAME=b\n");
        let settings = Settings::effective(&[], &config, &env);
        assert_eq!(settings.values("node-name"), ["a"]);
        assert!(!settings.is_on("cluster-init"));
    }
    #[test]
    fn what_teaches_k3s_names_is_the_flag_then_the_release() {
        let told = |line: &str, config: &str| {
            let config = Config::merge([(CONFIG_FILE, config)]).unwrap();
            Settings::effective(&words(line), &config, &EnvFile::default())
        };
        let release = |text: &str| text.parse::<K3sVersion>().unwrap();
        let untold = told("--tls-san a", "");
        for (version, learns) in [
            ("v1.22.4+k3s1", false),
            ("v1.24.17+k3s1", true),
            ("v1.27.16+k3s1", true),
            ("v1.28.1+k3s1", false),
            ("v1.34.1+k3s1", false),
        ] {
            let version = release(version);
            assert_eq!(untold.learns_names(Some(&version)), learns, "{version}");
        }
        assert!(!untold.learns_names(None));
        let new = release("v1.33.5+k3s1");
        assert!(told("--tls-san-security=false", "").learns_names(Some(&new)));
        assert!(told("", "tls-san-security: false\n").learns_names(None));
        let old = release("v1.26.9+k3s1");
        assert!(!told("--tls-san-security", "").learns_names(Some(&old)));
        // The command line wins.
        assert!(!told("--tls-san-security=true", "tls-san-security: false\n").learns_names(None));
    }
}
