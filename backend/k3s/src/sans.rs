//! The names wanted in the API's certificate (`tls-san`): where a server's files say them, and changing
//! them there. Beside flags, a list in a configuration file perhaps counts and perhaps
//! does not (see [`crate::settings`]): new names go where they count for certain, others are taken out everywhere.

mod yaml;

use std::collections::BTreeSet;

use crate::certs::AltName;
use crate::config_yaml::{CONFIG_FILE, Config, ConfigError, split_values};
use crate::env_file::EnvFile;
use crate::flags;
use crate::names::{San, is_served};
use crate::settings::{Hidden, Settings, Source};
use crate::unit_file::{CommandLine, UnitError, UnitFile, effective_command};

/// The flag.
const FLAG: &str = "tls-san";

/// A file as it is on a host. May hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Path.
    pub path: String,
    /// Content.
    pub text: String,
}

/// What a server's files tell k3s, with the files.
pub struct ServerFiles {
    /// The unit file, then its drop-ins in systemd's order.
    units: Vec<HostFile>,
    /// Configuration files in any order.
    configs: Vec<HostFile>,
    command: CommandLine,
    config: Config,
    settings: Settings,
}

/// Names to add and to take out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SanChange {
    /// To add.
    pub add: Vec<San>,
    /// To take out.
    pub remove: Vec<San>,
}

/// One file to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Edit {
    /// Path.
    pub path: String,
    /// Content now.
    pub before: String,
    /// Content wanted.
    pub after: String,
}

/// Why a server's names cannot be read or changed. Never contains values of other settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SanError {
    /// The unit cannot be read.
    #[error("k3s.service: {0}")]
    Unit(#[from] UnitError),
    /// A configuration file cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Configuration or data lie elsewhere.
    #[error("k3s is told to use {value} by --{flag}: this procedure knows only the usual place")]
    Elsewhere {
        /// `config` or `data-dir`.
        flag: &'static str,
        /// Its value.
        value: String,
    },
    /// The list is written in a way that cannot be changed without risk.
    #[error(
        "{file} holds the names in a form that cannot be changed safely: write {FLAG} as a plain list, one name a line"
    )]
    Form {
        /// The file.
        file: String,
    },
}

impl SanChange {
    /// Whether a list is as it must be after the change.
    fn is_done(&self, names: &[String]) -> bool {
        let has = |san: &San| names.iter().any(|name| same(name, san));
        self.add.iter().all(has) && !self.remove.iter().any(has)
    }

    /// A list after the change.
    #[must_use]
    pub fn apply(&self, names: &[String]) -> Vec<String> {
        let kept = names.iter().filter(|name| !self.removes(name)).cloned();
        let mut after: Vec<String> = kept.collect();
        for san in &self.add {
            if !after.iter().any(|name| same(name, san)) {
                after.push(san.to_string());
            }
        }
        after
    }

    fn removes(&self, name: &str) -> bool {
        self.remove.iter().any(|san| same(name, san))
    }
}

/// Host names and addresses are written in more than one way.
fn same(name: &str, san: &San) -> bool {
    AltName::from_text(name) == AltName::from(san)
}

impl ServerFiles {
    /// Puts the files together.
    ///
    /// # Errors
    /// When k3s could not use them either, or reads others.
    pub fn new(
        units: Vec<HostFile>,
        configs: Vec<HostFile>,
        env: &EnvFile,
    ) -> Result<Self, SanError> {
        let parsed: Vec<UnitFile> = units
            .iter()
            .map(|file| UnitFile::parse(&file.text))
            .collect::<Result<_, _>>()?;
        let command = effective_command(&parsed.iter().collect::<Vec<_>>())?;
        let config = merge(&configs)?;
        let settings = Settings::effective(&command.args, &config, env);
        for (flag, usual) in [
            ("config", CONFIG_FILE),
            ("data-dir", "/var/lib/rancher/k3s"),
        ] {
            if let Some(value) = settings.values(flag).first()
                && value.trim_end_matches('/') != usual
            {
                return Err(SanError::Elsewhere {
                    flag,
                    value: value.clone(),
                });
            }
        }
        Ok(Self {
            units,
            configs,
            command,
            config,
            settings,
        })
    }

    /// Everything k3s is told.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Secret values in any of the files: what a redactor has to know before one is shown.
    #[must_use]
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let mut all = self.command.secrets();
        all.extend(self.config.secrets());
        all
    }

    /// The files say what they must after a change, in every place.
    #[must_use]
    pub fn say(&self, change: &SanChange) -> bool {
        change.is_done(self.settings.sans()) && !self.beside_removes(change)
    }

    /// A file beside flags holds a name that is to go.
    fn beside_removes(&self, change: &SanChange) -> bool {
        let entry = self.config.get(FLAG);
        let names = entry.map(|entry| split_values(FLAG, &entry.values));
        names.unwrap_or_default().iter().any(|n| change.removes(n))
    }

    /// Names that k3s is told and leaves out of its certificate: they are neither host names nor addresses.
    #[must_use]
    pub fn unserved(&self) -> Vec<&str> {
        let told = self.settings.sans().iter();
        let all = told.chain(self.settings.perhaps_sans());
        all.map(String::as_str)
            .filter(|name| !is_served(name))
            .collect()
    }

    /// Names in configuration files beside flags.
    #[must_use]
    pub fn hidden(&self) -> Option<&Hidden> {
        self.settings.hidden().iter().find(|h| h.name == FLAG)
    }

    /// Where the list in force stands, in words.
    #[must_use]
    pub fn place(&self) -> String {
        match self.settings.get(FLAG).map(|s| &s.source) {
            Some(Source::CommandLine) => {
                format!(
                    "the command line in {}",
                    self.unit().map_or("k3s.service", |f| f.path.as_str())
                )
            }
            Some(Source::Config(files)) => files.join(", "),
            Some(Source::Environment(_)) | None => "nowhere yet".to_owned(),
        }
    }

    /// The files to write, so that the change is in force at the next start. None if it is already.
    ///
    /// # Errors
    /// When a file's form stands in the way.
    pub fn edits(&self, change: &SanChange) -> Result<Vec<Edit>, SanError> {
        if self.say(change) {
            return Ok(Vec::new());
        }
        match self.settings.get(FLAG).map(|s| &s.source) {
            Some(Source::CommandLine) => self.edits_beside_flags(change),
            Some(Source::Config(files)) => self.config_edits(change, files),
            None if self.config_file(CONFIG_FILE).is_some() => {
                self.config_edits(change, &[CONFIG_FILE.to_owned()])
            }
            Some(Source::Environment(_)) | None => self.unit_edit(change),
        }
    }

    fn config_file(&self, path: &str) -> Option<&HostFile> {
        self.configs.iter().find(|file| file.path == path)
    }

    /// The file whose command line is in force: the last one that has one.
    fn unit(&self) -> Option<&HostFile> {
        self.units.iter().rev().find(|file| {
            UnitFile::parse(&file.text)
                .and_then(|unit| unit.command())
                .is_ok()
        })
    }

    /// Of the command line, and of the files that hold a list beside it.
    fn edits_beside_flags(&self, change: &SanChange) -> Result<Vec<Edit>, SanError> {
        let mut edits = Vec::new();
        if !change.is_done(self.settings.sans()) {
            edits = self.unit_edit(change)?;
        }
        if self.beside_removes(change) {
            let holding = self.config.get(FLAG).map(|entry| entry.files.as_slice());
            let removal = SanChange {
                add: Vec::new(),
                remove: change.remove.clone(),
            };
            edits.extend(self.config_edits(&removal, holding.unwrap_or_default())?);
        }
        Ok(edits)
    }

    fn unit_edit(&self, change: &SanChange) -> Result<Vec<Edit>, SanError> {
        let file = self.unit().ok_or(UnitError::NoCommand)?;
        let wanted = changed_args(&self.command.args, change);
        // What systemd fills in stays as it is in words that stay, and cannot be written into new ones.
        let filled = |word: &&String| word.contains(['%', '$']);
        let new = |word: &&String| !self.command.args.contains(word);
        if wanted.iter().filter(filled).any(|word| new(&word)) {
            return Err(SanError::Form {
                file: file.path.clone(),
            });
        }
        let after = UnitFile::parse(&file.text)?.with_args(&wanted)?;
        Ok(vec![Edit {
            path: file.path.clone(),
            before: file.text.clone(),
            after: after.text().to_owned(),
        }])
    }

    fn config_edits(&self, change: &SanChange, holding: &[String]) -> Result<Vec<Edit>, SanError> {
        let last = holding.last().cloned().unwrap_or_default();
        let form = || SanError::Form { file: last.clone() };
        // An empty list where the key would be missing: without the key a list in an earlier file counts.
        for emptied in [yaml::Emptied::Gone, yaml::Emptied::EmptyList] {
            let mut edits = Vec::new();
            let mut files = self.configs.clone();
            for file in files.iter_mut().filter(|f| holding.contains(&f.path)) {
                let add: &[San] = if file.path == last { &change.add } else { &[] };
                let missing: Vec<San> = add
                    .iter()
                    .filter(|san| !self.settings.sans().iter().any(|name| same(name, san)))
                    .cloned()
                    .collect();
                let after =
                    yaml::rewrite(&file.text, &|name| !change.removes(name), &missing, emptied)
                        .ok_or_else(form)?;
                if after != file.text {
                    let before = std::mem::replace(&mut file.text, after.clone());
                    edits.push(Edit {
                        path: file.path.clone(),
                        before,
                        after,
                    });
                }
            }
            if self.only_names_differ(&files, change) {
                return Ok(edits);
            }
        }
        Err(form())
    }

    /// The new files say the wanted names, and everything else as before.
    fn only_names_differ(&self, files: &[HostFile], change: &SanChange) -> bool {
        let Ok(config) = merge(files) else {
            return false;
        };
        let others = |config: &Config| -> Vec<(String, Vec<String>)> {
            config
                .iter()
                .filter(|(name, _)| *name != FLAG)
                .map(|(name, entry)| (name.to_owned(), entry.values.clone()))
                .collect()
        };
        let names = |names: &[String]| -> BTreeSet<AltName> {
            names.iter().map(|n| AltName::from_text(n)).collect()
        };
        let now = config
            .get(FLAG)
            .map(|entry| split_values(FLAG, &entry.values))
            .unwrap_or_default();
        let before = self.config.get(FLAG);
        let before = before.map(|entry| split_values(FLAG, &entry.values));
        others(&config) == others(&self.config)
            && names(&now) == names(&change.apply(&before.unwrap_or_default()))
    }
}

fn merge(files: &[HostFile]) -> Result<Config, ConfigError> {
    Config::merge(files.iter().map(|f| (f.path.as_str(), f.text.as_str())))
}

/// Arguments after the change; words of other flags stay as they are.
fn changed_args(args: &[String], change: &SanChange) -> Vec<String> {
    let found: Vec<flags::Flag> = flags::parse_args(args)
        .into_iter()
        .filter(|flag| flag.name == FLAG)
        .collect();
    let mut after = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut end = None;
    let mut at = 0;
    while at < args.len() {
        let Some(flag) = found.iter().find(|flag| flag.at == at) else {
            after.push(args[at].clone());
            at += 1;
            continue;
        };
        let words = &args[at..(at + flag.words).min(args.len())];
        let old = split_values(FLAG, flag.value.as_slice());
        let kept: Vec<String> = old.iter().filter(|n| !change.removes(n)).cloned().collect();
        if kept.len() == old.len() {
            after.extend(words.iter().cloned());
        } else if !kept.is_empty() {
            after.extend([format!("--{FLAG}"), kept.join(",")]);
        }
        names.extend(kept);
        end = Some(after.len());
        at += words.len();
    }
    let added = change
        .add
        .iter()
        .filter(|san| !names.iter().any(|name| same(name, san)))
        .flat_map(|san| [format!("--{FLAG}"), san.to_string()]);
    let end = end.unwrap_or(after.len());
    after.splice(end..end, added);
    after
}

#[cfg(test)]
mod tests;
