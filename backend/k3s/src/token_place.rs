//! The files of a node with another token in the place where k3s takes it from. A token on the command line
//! goes into the environment file, which is 0600.

use std::fmt;

use crate::config_yaml::{Config, ConfigError};
use crate::env_file::{self, EnvFile, EnvFileError};
use crate::flags;
use crate::unit_file::{UnitEnvironment, UnitError, UnitFile};
use crate::unit_token::{MoveError, move_secrets};

/// The variable that carries it.
const VARIABLE: &str = "K3S_TOKEN";

/// What a node has. Secret.
pub struct Files<'a> {
    /// Path of the unit file.
    pub unit_path: &'a str,
    /// Its text.
    pub unit: &'a str,
    /// Path of the environment file.
    pub env_path: &'a str,
    /// Its text; empty if there is none.
    pub env: &'a str,
    /// Unit file and drop-ins as systemd reads them, one behind the other.
    pub in_force: &'a str,
    /// Every environment file that there is, path and text; the one above among them.
    pub environments: Vec<(&'a str, &'a str)>,
    /// config.yaml and its drop-ins, path and text.
    pub configs: Vec<(&'a str, &'a str)>,
}

/// Files to be written, path and text, in this order. Secret: `Debug` shows paths only.
#[derive(Clone, PartialEq, Eq)]
pub struct Retold {
    /// Path and text.
    pub files: Vec<(String, String)>,
}

impl fmt::Debug for Retold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.files.iter().map(|(path, _)| path))
            .finish()
    }
}

/// Why it cannot be put there. Never contains a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The unit file cannot be read.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A token on the command line cannot be moved.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The environment file cannot be written.
    #[error(transparent)]
    Env(#[from] EnvFileError),
    /// A configuration file is none.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The token is read from a file that the flag names.
    #[error("k3s reads its token from a file of its own (token-file)")]
    TokenFile,
    /// k3s reads another configuration file than the one that is rewritten.
    #[error("k3s reads its configuration elsewhere ({0})")]
    OtherConfig(&'static str),
    /// The unit does not read the environment file.
    #[error("the unit does not read the environment file {0}")]
    NotRead(String),
    /// Other places would win, or are not rewritten.
    #[error("the token stands in {0}, which is not rewritten here")]
    Place(String),
}

/// The files with another token, so that the next start takes it.
///
/// # Errors
/// When the token stands where it is not rewritten.
pub fn retold(files: &Files<'_>, token: &str) -> Result<Retold, PlaceError> {
    let config = Config::merge(files.configs.iter().copied())?;
    let unit = UnitFile::parse(files.unit)?;
    let command = unit.command()?;
    let named = |name: &str| command.flags().iter().any(|flag| flag.name == name);
    let told = environment(files);
    let in_environment = |flag: &str| {
        let variable = flags::lookup(flag).and_then(|flag| flag.env);
        let set = |name: &str| Some(name) == variable;
        told.values.iter().any(|(name, _)| set(name))
            || told
                .files
                .iter()
                .filter_map(|path| files.environment(path))
                .any(|env| env.iter().any(|(name, _)| set(name)))
    };
    if named("config") {
        return Err(PlaceError::OtherConfig("--config"));
    }
    if in_environment("config") {
        return Err(PlaceError::OtherConfig("K3S_CONFIG_FILE"));
    }
    let by_file = "token-file";
    if named(by_file) || config.get(by_file).is_some() || in_environment(by_file) {
        return Err(PlaceError::TokenFile);
    }
    if UnitFile::parse(files.in_force)?.command()? != command {
        return Err(PlaceError::Place("a drop-in (ExecStart)".to_owned()));
    }
    if told.values.iter().any(|(name, _)| name == VARIABLE) {
        return Err(PlaceError::Place("the unit (Environment)".to_owned()));
    }
    let mut written = Vec::new();
    // config.yaml wins over the environment; the command line wins over both.
    if let Some(entry) = config.get("token").filter(|_| !named("token")) {
        let [path] = entry.files.as_slice() else {
            return Err(PlaceError::Place(entry.files.join(" and ")));
        };
        let text = files.configs.iter().find(|(p, _)| p == path);
        let text = text.map_or("", |(_, text)| text);
        let changed = in_yaml(text, token).ok_or_else(|| PlaceError::Place(path.clone()))?;
        let others = files.configs.iter().filter(|(p, _)| p != path).copied();
        let now = Config::merge(others.chain([(path.as_str(), changed.as_str())]))
            .map_err(|_| PlaceError::Place(path.clone()))?;
        if now.get("token").map(|e| e.values.as_slice()) != Some(&[token.to_owned()]) {
            return Err(PlaceError::Place(path.clone()));
        }
        written.push((path.clone(), changed));
        return Ok(Retold { files: written });
    }
    if named("token") && config.get("token").is_some() {
        return Err(PlaceError::Place(
            "the unit file and config.yaml both".to_owned(),
        ));
    }
    counts(files, &told)?;
    let moved = move_secrets(&unit, files.env_path, files.env)?;
    let before = moved.as_ref().map_or(files.env, |moved| &moved.env);
    written.push((files.env_path.to_owned(), in_env(before, token)?));
    if let Some(moved) = &moved {
        written.push((files.unit_path.to_owned(), moved.unit.text().to_owned()));
    }
    Ok(Retold { files: written })
}

impl Files<'_> {
    fn environment(&self, path: &str) -> Option<EnvFile> {
        let found = self.environments.iter().find(|(at, _)| *at == path);
        found.map(|(_, text)| EnvFile::parse(text))
    }
}

/// What the unit with its drop-ins says of the environment.
fn environment(files: &Files<'_>) -> UnitEnvironment {
    let name = files.unit_path.rsplit('/').next().unwrap_or_default();
    UnitEnvironment::parse(files.in_force, name)
}

/// A token in the environment file is the one that k3s gets: the unit reads the file, and nothing that counts
/// more sets another one. A later file wins over an earlier one.
fn counts(files: &Files<'_>, told: &UnitEnvironment) -> Result<(), PlaceError> {
    let Some(at) = told.files.iter().rposition(|path| path == files.env_path) else {
        return Err(PlaceError::NotRead(files.env_path.to_owned()));
    };
    let later = told.files[at + 1..].iter().find(|path| {
        let env = files.environment(path);
        env.is_some_and(|env| env.get(VARIABLE).is_some())
    });
    match later {
        Some(path) => Err(PlaceError::Place(path.clone())),
        None => Ok(()),
    }
}

/// The environment file without its lines of the variable, and with one of the new value. What is not a plain
/// line is kept; the last one of a name counts.
fn in_env(text: &str, token: &str) -> Result<String, EnvFileError> {
    let own = |line: &&str| {
        let name = line.trim_start().split('=').next().unwrap_or_default();
        name.trim_end() != VARIABLE
    };
    let mut kept: String = text
        .lines()
        .filter(own)
        .map(|line| format!("{line}\n"))
        .collect();
    // A value over several lines was cut: then nothing is taken out.
    let others = |text: &str| {
        let parsed = EnvFile::parse(text);
        let pairs = parsed.iter().filter(|(name, _)| *name != VARIABLE);
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    };
    if others(&kept) != others(text) {
        text.clone_into(&mut kept);
        if !kept.is_empty() && !kept.ends_with('\n') {
            kept.push('\n');
        }
    }
    kept.push_str(&env_file::render([(VARIABLE, token)])?);
    Ok(kept)
}

/// A configuration file with another value in its one line `token: …`.
fn in_yaml(text: &str, token: &str) -> Option<String> {
    let is_own = |line: &str| {
        let key = line.split(':').next().unwrap_or_default();
        line.contains(':') && matches!(key.trim_end().trim_matches(['"', '\'']), "token" | "t")
    };
    if text.lines().filter(|line| is_own(line)).count() != 1 {
        return None;
    }
    let quoted = serde_json::to_string(token).ok()?;
    let lines = text.split_inclusive('\n').map(|line| {
        let end = if line.ends_with('\n') { "\n" } else { "" };
        if is_own(line) {
            format!("token: {quoted}{end}")
        } else {
            line.to_owned()
        }
    });
    Some(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "/etc/systemd/system/k3s.service";
    const ENV: &str = "/etc/systemd/system/k3s.service.env";
    const CONFIG: &str = "/etc/rancher/k3s/config.yaml";

    fn unit(args: &str) -> String {
        format!(
            "[Service]\nEnvironmentFile=-{ENV}\nExecStart=/usr/local/bin/k3s \\\n    server \\\n{args}\n"
        )
    }

    fn with(unit: &str, env: &str, config: &str) -> Result<Vec<(String, String)>, PlaceError> {
        let files = Files {
            unit_path: UNIT,
            unit,
            env_path: ENV,
            env,
            in_force: unit,
            environments: vec![(ENV, env)],
            configs: if config.is_empty() {
                Vec::new()
            } else {
                vec![(CONFIG, config)]
            },
        };
        retold(&files, "K10ab::server:new").map(|told| told.files)
    }

    fn wrote(path: &str, text: &str) -> (String, String) {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn the_environment_file_gets_it() {
        let plain = unit("\t'--tls-san=a' \\\n");
        let now = "K3S_URL='https://a:6443'\nK3S_TOKEN=K10ab::server:new\n";
        let env = "K3S_TOKEN=old\nK3S_URL='https://a:6443'\n";
        assert_eq!(with(&plain, env, ""), Ok(vec![wrote(ENV, now)]));
        let alone = "K3S_TOKEN=K10ab::server:new\n";
        assert_eq!(with(&plain, "", ""), Ok(vec![wrote(ENV, alone)]));
    }

    #[test]
    fn the_command_line_loses_it() {
        let old = unit("\t'--token=old' \\\n\t'--tls-san=a' \\\n");
        let told = with(&old, "", "").unwrap();
        assert_eq!(told[0], wrote(ENV, "K3S_TOKEN=K10ab::server:new\n"));
        assert_eq!(told[1], wrote(UNIT, &unit("\t'--tls-san=a' \\\n")));
        let again = with(&told[1].1, &told[0].1, "").unwrap();
        assert_eq!(again, [told[0].clone()]);
    }

    #[test]
    fn the_configuration_keeps_it() {
        let plain = unit("");
        let config = "# mine\ntoken: 'old'\ntls-san:\n- a\n";
        let now = "# mine\ntoken: \"K10ab::server:new\"\ntls-san:\n- a\n";
        assert_eq!(
            with(&plain, "K3S_TOKEN=x\n", config),
            Ok(vec![wrote(CONFIG, now)])
        );
    }

    /// What wins over the environment file, or keeps k3s from reading it.
    #[test]
    fn a_token_that_would_not_count_is_refused() {
        const MORE: &str = "/etc/k3s.more";
        let refused = |unit: &str, drop_in: &str, more: &str| {
            let in_force = format!("{unit}\n{drop_in}");
            let files = Files {
                unit_path: UNIT,
                unit,
                env_path: ENV,
                env: "",
                in_force: &in_force,
                environments: vec![(ENV, ""), (MORE, more)],
                configs: Vec::new(),
            };
            retold(&files, "K10ab::server:new").err()
        };
        let plain = unit("");
        let later = format!("[Service]\nEnvironmentFile={MORE}\n");
        assert_eq!(refused(&plain, &later, "HTTP_PROXY=x\n"), None);
        assert_eq!(
            refused(&plain, &later, "K3S_TOKEN=hunter2\n"),
            Some(PlaceError::Place(MORE.to_owned()))
        );
        assert_eq!(
            refused(&plain, &later, "K3S_TOKEN_FILE=/x\n"),
            Some(PlaceError::TokenFile)
        );
        // A file that comes first loses against ours.
        let first = plain.replace("[Service]\n", &later);
        assert_eq!(refused(&first, "", "K3S_TOKEN=old\n"), None);
        let beside = "[Service]\nEnvironment=K3S_TOKEN=old\n";
        let beside = refused(&plain, beside, "").map(|e| e.to_string());
        assert!(beside.is_some_and(|e| e.contains("(Environment)")));
        let command = "[Service]\nExecStart=\nExecStart=/usr/local/bin/k3s server --debug\n";
        let command = refused(&plain, command, "").map(|e| e.to_string());
        assert!(command.is_some_and(|e| e.contains("(ExecStart)")));

        let unread = Some(PlaceError::NotRead(ENV.to_owned()));
        let emptied = "[Service]\nEnvironmentFile=\n";
        assert_eq!(refused(&plain, emptied, ""), unread);
        let without = plain.replace(&format!("EnvironmentFile=-{ENV}\n"), "");
        assert_eq!(refused(&without, "", ""), unread);

        let elsewhere = unit("\t'--config=/srv/k3s.yaml' \\\n");
        assert_eq!(
            refused(&elsewhere, "", ""),
            Some(PlaceError::OtherConfig("--config"))
        );
        let by_variable = "[Service]\nEnvironment=K3S_CONFIG_FILE=/srv/k3s.yaml\n";
        assert_eq!(
            refused(&plain, by_variable, ""),
            Some(PlaceError::OtherConfig("K3S_CONFIG_FILE"))
        );
        assert_eq!(
            refused(&plain, &later, "K3S_CONFIG_FILE=/srv/k3s.yaml\n"),
            Some(PlaceError::OtherConfig("K3S_CONFIG_FILE"))
        );
    }

    #[test]
    fn other_places_are_refused_without_values() {
        let refused = |unit: &str, env: &str, config: &str| {
            let error = with(unit, env, config).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
            error
        };
        let plain = unit("");
        assert!(refused(&plain, "K3S_TOKEN_FILE=/x\n", "").contains("token-file"));
        assert!(refused(&plain, "", "token-file: /x\n").contains("token-file"));
        assert!(refused(&plain, "", "token:\n  hunter2\n").contains("config.yaml"));
        let both = unit("\t'--token=hunter2' \\\n");
        assert!(refused(&both, "", "token: hunter2\n").contains("both"));
    }
}
