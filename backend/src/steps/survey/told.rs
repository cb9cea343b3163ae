//! What k3s is told on a host and by which file, and whether a secret stands where everybody can read it.

use std::collections::BTreeMap;

use coxswain_k3s::env_file::is_secret_variable;
use coxswain_k3s::flags::is_secret;
use coxswain_k3s::redact::{MIN_SECRET, redact_text};
use coxswain_k3s::settings::{Settings, Source};
use coxswain_k3s::unit_file::UnitFile;
use coxswain_wire::Fact;

use super::{pass, warn};
use crate::steps::sections::sections;

/// Files that tell k3s what to do.
#[derive(Default)]
pub(super) struct Files {
    /// Permission bits by path.
    modes: BTreeMap<String, u32>,
    pub(super) rancher: bool,
}

impl Files {
    pub(super) fn parse(text: &str) -> Self {
        let found = sections(text);
        let lines = |name: &str| {
            found
                .get(name)
                .map(String::as_str)
                .unwrap_or_default()
                .lines()
        };
        let modes = lines("modes").filter_map(|line| {
            let (mode, path) = line.split_once(' ')?;
            Some((path.to_owned(), u32::from_str_radix(mode, 8).ok()?))
        });
        Self {
            modes: modes.collect(),
            rancher: lines("rancher").any(|line| line == "yes"),
        }
    }

    /// Everybody on the host may read it.
    fn public(&self, path: &str) -> bool {
        self.modes.get(path).is_some_and(|mode| mode & 0o004 != 0)
    }
}

/// Files with variables for a unit, in the order in which systemd reads them: a later one wins.
pub(super) fn env_files(unit: &str) -> [String; 3] {
    let name = unit.trim_end_matches(".service");
    [
        format!("/etc/default/{name}"),
        format!("/etc/sysconfig/{name}"),
        format!("/etc/systemd/system/{unit}.env"),
    ]
}

/// The facts about it. `unit` is the unit file with its drop-ins.
pub(super) fn facts(name: &str, settings: &Settings, unit: &str, files: &Files) -> Vec<Fact> {
    let mut facts = vec![pass(name, "Settings", shown(settings))];
    let hidden = |doubtful: bool| -> Vec<String> {
        let some = settings.hidden().iter();
        some.filter(|h| h.is_doubtful() == doubtful)
            .map(|h| {
                let values = if is_secret(&h.name) {
                    "a secret".to_owned()
                } else {
                    h.values.join(", ")
                };
                format!("{} in {}: {values}", h.name, h.files.join(", "))
            })
            .collect()
    };
    for (fact, found, advice) in [
        (
            "Without effect",
            hidden(false),
            "The same flag on the command line counts.",
        ),
        (
            "In doubt",
            hidden(true),
            "The same flag on the command line has values of its own: k3s's documentation says that they replace these, its source adds them. Keep the list in one place.",
        ),
    ] {
        if !found.is_empty() {
            facts.push(warn(name, fact, found.join("; "), advice));
        }
    }
    facts.push(secrets(name, settings, unit, files));
    facts.extend(short(name, settings));
    facts
}

/// A secret so short cannot be masked: hiding it wherever it occurs would only show where that is.
fn short(name: &str, settings: &Settings) -> Option<Fact> {
    let short = |values: &[String]| values.iter().any(|value| value.len() < MIN_SECRET);
    let keys: Vec<&str> = settings
        .iter()
        .filter(|(key, setting)| is_secret(key) && short(&setting.values))
        .map(|(key, _)| key)
        .collect();
    (!keys.is_empty()).then(|| {
        let value = format!("{}: of fewer than {MIN_SECRET} characters", keys.join(", "));
        let advice = "It is guessed in no time, and the panel cannot mask it in what it shows: give k3s a long one first.";
        warn(name, "Short secret", value, advice)
    })
}

fn shown(settings: &Settings) -> String {
    let all: Vec<String> = settings
        .iter()
        .map(|(name, setting)| {
            let values = if is_secret(name) {
                "\u{2039}secret\u{203a}".to_owned()
            } else {
                setting.values.join(", ")
            };
            format!("{name}: {values} ({})", setting.source)
        })
        .collect();
    if all.is_empty() {
        return "none: all of k3s's defaults".to_owned();
    }
    // Arguments for other programs may hold secrets that no flag of k3s names.
    redact_text(&all.join("\n"))
}

/// Secrets in files that everybody on the host may read.
fn secrets(name: &str, settings: &Settings, unit: &str, files: &Files) -> Fact {
    const NAME: &str = "Secrets";
    let mut open: Vec<String> = Vec::new();
    let on_command_line = UnitFile::parse(unit)
        .and_then(|unit| unit.command())
        .is_ok_and(|command| !command.secrets().is_empty());
    if on_command_line {
        open.push("on the command line, in the unit file and the list of processes".to_owned());
    }
    if variable_in(unit) {
        open.push("in an Environment= line of the unit".to_owned());
    }
    for (setting, source) in settings.iter().map(|(key, s)| (key, &s.source)) {
        let Source::Config(paths) = source else {
            continue;
        };
        let public = paths.iter().filter(|path| files.public(path));
        if is_secret(setting) {
            open.extend(public.map(|path| format!("{setting} in {path}")));
        }
    }
    let env = files.modes.keys().filter(|path| path.ends_with(".env"));
    let holds = settings
        .iter()
        .any(|(key, s)| is_secret(key) && matches!(s.source, Source::Environment(_)));
    if holds {
        open.extend(
            env.filter(|path| files.public(path))
                .map(|path| format!("in {path}")),
        );
    }
    if open.is_empty() {
        return pass(name, NAME, "in no file that everybody may read");
    }
    let advice = "Everybody with a login on this host can read it. A token in the unit file can be moved into the 0600 environment file by this run if its form says so, or later by \u{201c}Move tokens out of unit files\u{201d}. Other files: chmod 600.";
    warn(name, NAME, open.join("; "), advice)
}

/// `Environment=` of the unit sets a secret variable.
fn variable_in(unit: &str) -> bool {
    unit.lines()
        .filter_map(|line| line.trim_start().strip_prefix("Environment="))
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || c == '"' || c == '\''))
        .filter_map(|word| word.split_once('='))
        .any(|(variable, value)| !value.is_empty() && is_secret_variable(variable))
}

#[cfg(test)]
mod tests {
    use coxswain_k3s::config_yaml::{CONFIG_FILE, Config};
    use coxswain_k3s::env_file::EnvFile;
    use coxswain_wire::Verdict;

    use super::*;

    const UNIT: &str = "[Service]\nEnvironment=A=b\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--token' \\\n\t'hunter2hunter2' \\\n\n";

    fn settings(args: &[&str], yaml: &str, env: &str) -> Settings {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        let config = Config::merge([(CONFIG_FILE, yaml)]).unwrap();
        Settings::effective(&args, &config, &EnvFile::parse(env))
    }

    #[test]
    fn a_token_that_everybody_may_read_is_told_without_its_value() {
        let told = settings(&["--token", "hunter2hunter2"], "", "");
        let facts = facts("node1", &told, UNIT, &Files::default());
        let secrets = facts.iter().find(|f| f.name == "Secrets").unwrap();
        assert_eq!(secrets.verdict, Verdict::Warn);
        assert!(secrets.value.contains("command line"), "{secrets:?}");
        assert!(!format!("{facts:?}").contains("hunter2"), "{facts:?}");
    }

    #[test]
    fn a_secret_that_cannot_be_masked_is_told() {
        let short = |token: &str| {
            let told = settings(&["--token", token], "", "");
            let facts = facts("node1", &told, UNIT, &Files::default());
            facts.into_iter().find(|f| f.name == "Short secret")
        };
        let told = short("abcde").unwrap();
        assert!(told.value.starts_with("token: "), "{told:?}");
        assert!(!format!("{told:?}").contains("abcde"), "{told:?}");
        assert!(short("hunter2hunter2").is_none());
    }

    #[test]
    fn the_mode_of_a_file_counts() {
        let yaml = "agent-token: hunter2hunter2\n";
        let secrets = |modes: &str| {
            let files = Files::parse(&format!("--- modes\n{modes}\n--- rancher\n"));
            let told = settings(&[], yaml, "K3S_TOKEN=hunter3hunter3");
            super::secrets("node1", &told, "", &files)
        };
        let env = "/etc/systemd/system/k3s.service.env";
        let good = secrets(&format!("600 {CONFIG_FILE}\n600 {env}"));
        assert_eq!(good.verdict, Verdict::Pass);
        let bad = secrets(&format!("644 {CONFIG_FILE}\n644 {env}"));
        assert!(
            bad.value.contains(CONFIG_FILE) && bad.value.contains(env),
            "{bad:?}"
        );
    }

    #[test]
    fn a_variable_in_the_unit_counts_too() {
        assert!(variable_in("Environment=\"K3S_TOKEN=abc\" X=y\n"));
        assert!(!variable_in(
            "Environment=K3S_URL=https://a\nEnvironment=K3S_TOKEN=\n"
        ));
    }
}
