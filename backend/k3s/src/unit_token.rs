//! Secrets in a unit file, where everybody may read them (facts A: a token passed as `--token` lands in the
//! world-readable unit file), on its command line or in its `Environment=`, moved into the unit's environment file of
//! mode 0600.

use std::collections::BTreeMap;
use std::fmt;

use crate::env_file::{self, EnvFile, EnvFileError};
use crate::flags::{self, Flag};
use crate::unit_file::{UnitError, UnitFile};

/// Both files as they would be.
#[derive(Clone, PartialEq, Eq)]
pub struct Moved {
    /// The unit file without the secrets.
    pub unit: UnitFile,
    /// The environment file with them. Secret.
    pub env: String,
    /// The variables that it sets now.
    pub variables: Vec<&'static str>,
}

impl fmt::Debug for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moved")
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

/// Why they cannot be moved. Never contains a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// The unit file cannot be read or written.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The environment file cannot be written.
    #[error(transparent)]
    Env(#[from] EnvFileError),
    /// Only systemd knows what such a value means.
    #[error(
        "a secret in the unit file holds a single % or $, which systemd may fill in: what k3s is told cannot be known"
    )]
    Specifier,
    /// The unit does not read the environment file.
    #[error("the unit does not read the environment file {0}")]
    NotRead(String),
}

/// Moves every secret that k3s takes from a variable of its own as well; none if there is none. `path` is
/// the environment file, `env` its text.
///
/// # Errors
/// When the unit is not one that this may be done to.
pub fn move_secrets(unit: &UnitFile, path: &str, env: &str) -> Result<Option<Moved>, MoveError> {
    let command = unit.command()?;
    let movable: Vec<(Flag, &'static str)> = command
        .flags()
        .into_iter()
        .filter_map(|flag| {
            let variable = variable(&flag.name)?;
            Some((flag, variable))
        })
        .collect();
    let values = unit.variables();
    let given = secret_variables(&values);
    if movable.is_empty() && given.is_empty() {
        return Ok(None);
    }
    let filled = |value: &str| value.contains(['%', '$']);
    if movable.iter().any(|(flag, _)| command.fills(flag)) || given.values().copied().any(filled) {
        return Err(MoveError::Specifier);
    }
    if !reads(unit.text(), path) {
        return Err(MoveError::NotRead(path.to_owned()));
    }
    let mut text = env.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let mut variables: Vec<&'static str> = Vec::new();
    // What the file sets already wins over `Environment=` (systemd.exec(5)), and a flag wins over both.
    let first = EnvFile::parse(&text);
    for (variable, value) in &given {
        variables.push(*variable);
        if first.get(variable).is_none() {
            text.push_str(&env_file::render([(*variable, *value)])?);
        }
    }
    for (flag, variable) in &movable {
        // The last one counts, on the command line and in the file alike.
        let value = flag.value.as_deref().unwrap_or_default();
        if EnvFile::parse(&text).get(variable) != Some(value) {
            text.push_str(&env_file::render([(*variable, value)])?);
        }
        if !variables.contains(variable) {
            variables.push(*variable);
        }
    }
    let stays = |at: usize| {
        !movable
            .iter()
            .any(|(flag, _)| (flag.at..flag.at + flag.words).contains(&at))
    };
    let args: Vec<String> = command
        .args
        .iter()
        .enumerate()
        .filter(|(at, _)| stays(*at))
        .map(|(_, word)| word.clone())
        .collect();
    let names: Vec<&str> = given.keys().copied().collect();
    Ok(Some(Moved {
        unit: unit.without_variables(&names)?.with_args(&args)?,
        env: text,
        variables,
    }))
}

/// A token stands in the file itself, on the command line or in `Environment=`.
#[must_use]
pub fn holds_token(unit: &UnitFile) -> bool {
    unit.command().is_ok_and(|command| command.has_token())
        || unit
            .variables()
            .iter()
            .any(|(name, _)| named(name).is_some())
}

/// The variables among these that [`move_secrets`] moves, each with its last value.
#[must_use]
pub fn secret_variables(values: &[(String, String)]) -> BTreeMap<&'static str, &str> {
    let known = values
        .iter()
        .map(|(name, value)| (named(name), value.as_str()));
    known
        .filter_map(|(name, value)| Some((name?, value)))
        .collect()
}

/// The variable that stands for a secret flag. Others (those of AWS) are read by more than k3s.
fn variable(flag: &str) -> Option<&'static str> {
    let info = flags::lookup(flag).filter(|info| info.secret)?;
    info.env.filter(|name| name.starts_with("K3S_"))
}

/// The name of a variable that only k3s reads, and that holds a secret.
fn named(name: &str) -> Option<&'static str> {
    let mut known = flags::FLAGS.iter().filter(|flag| flag.secret);
    let variable = known.find_map(|flag| flag.env.filter(|env| *env == name))?;
    variable.starts_with("K3S_").then_some(variable)
}

fn reads(unit: &str, path: &str) -> bool {
    unit.lines()
        .filter_map(|line| line.trim().strip_prefix("EnvironmentFile="))
        .any(|file| file.trim().trim_start_matches('-') == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOINED: &str = include_str!("../tests/samples/k3s-joined-with-token.service");
    const ENV: &str = "/etc/systemd/system/k3s.service.env";

    fn moved(unit: &str, env: &str) -> Result<Option<Moved>, MoveError> {
        move_secrets(&UnitFile::parse(unit).unwrap(), ENV, env)
    }

    fn unit(args: &str) -> String {
        format!(
            "[Unit]\nDescription=x\n\n[Service]\nEnvironmentFile=-{ENV}\nExecStart=/usr/local/bin/k3s \\\n    server \\\n{args}\n\n[Install]\n"
        )
    }

    #[test]
    fn the_installers_unit_loses_its_token() {
        let before = UnitFile::parse(JOINED).unwrap().command().unwrap();
        assert!(before.has_token());
        let after = moved(JOINED, "K3S_URL='https://a:6443'\n")
            .unwrap()
            .unwrap();
        let command = after.unit.command().unwrap();
        assert!(!command.has_token());
        assert_eq!(command.args.len() + 2, before.args.len());
        assert_eq!(after.variables, ["K3S_TOKEN"]);
        let env = EnvFile::parse(&after.env);
        assert_eq!(env.get("K3S_URL"), Some("https://a:6443"));
        assert_eq!(env.secrets(), before.secrets());
        assert!(!format!("{after:?}").contains(env.get("K3S_TOKEN").unwrap()));
        // Everything but the command is the same, byte for byte.
        let outside = |text: &str| text.split("ExecStart=").next().unwrap().to_owned();
        assert_eq!(outside(after.unit.text()), outside(JOINED));
        assert_eq!(moved(after.unit.text(), &after.env), Ok(None));
    }

    #[test]
    fn the_last_value_counts_and_every_form_of_the_flag() {
        let text = unit(
            "\t'-t' \\\n\t'first' \\\n\t'--token=last one' \\\n\t'--agent-token' \\\n\t'other' \\\n\t'--tls-san' \\\n\t'a' \\\n",
        );
        let after = moved(&text, "K3S_TOKEN=old").unwrap().unwrap();
        let env = EnvFile::parse(&after.env);
        assert_eq!(env.get("K3S_TOKEN"), Some("last one"));
        assert_eq!(env.get("K3S_AGENT_TOKEN"), Some("other"));
        assert_eq!(after.unit.command().unwrap().args, ["--tls-san", "a"]);
    }

    #[test]
    fn variables_in_the_unit_move_too() {
        let text = unit("\t'--tls-san=a' \\\n").replace(
            "ExecStart=",
            "Environment=A=1 'K3S_TOKEN=first' B=2\nEnvironment=K3S_TOKEN=last\nEnvironment=\"K3S_AGENT_TOKEN=x y\"\nExecStart=",
        );
        let after = moved(&text, "").unwrap().unwrap();
        assert_eq!(after.variables, ["K3S_AGENT_TOKEN", "K3S_TOKEN"]);
        let env = EnvFile::parse(&after.env);
        assert_eq!(env.get("K3S_TOKEN"), Some("last"));
        assert_eq!(env.get("K3S_AGENT_TOKEN"), Some("x y"));
        let wanted =
            unit("\t'--tls-san=a' \\\n").replace("ExecStart=", "Environment=A=1 B=2\nExecStart=");
        assert_eq!(after.unit.text(), wanted);
        assert_eq!(moved(after.unit.text(), &after.env), Ok(None));

        // The file wins over the unit, the command line over both.
        let after = moved(&text, "K3S_TOKEN=counts\n").unwrap().unwrap();
        assert_eq!(EnvFile::parse(&after.env).get("K3S_TOKEN"), Some("counts"));
        let told = text.replace("--tls-san=a", "--token=flag");
        let after = moved(&told, "").unwrap().unwrap();
        assert_eq!(EnvFile::parse(&after.env).get("K3S_TOKEN"), Some("flag"));
        for filled in ["a%n", "a$b"] {
            let text = text.replace("K3S_TOKEN=last", &format!("K3S_TOKEN={filled}"));
            assert_eq!(moved(&text, ""), Err(MoveError::Specifier));
        }
    }

    #[test]
    fn a_secret_is_moved_as_systemd_reads_it_or_not_at_all() {
        for (args, token) in [
            (r#"'--token=pa$$$$w"rd'"#, Some(r#"pa$$w"rd"#)),
            (r"'--token' 'a%%b\\c'", Some(r"a%b\c")),
            (r"'--token=it'\''s  so'", Some("it's  so")),
            // Without braces a variable is a word of its own.
            ("'--token=pa$word'", Some("pa$word")),
            ("'--token' '$word'", None),
            ("'--token=pa${word}'", None),
            ("'--token=a%n'", None),
            (r"'--token=a\x25n'", None),
        ] {
            let moved = moved(&unit(&format!("\t{args} \\\n")), "");
            let found = moved.map(|moved| {
                let env = EnvFile::parse(&moved.unwrap().env);
                env.get("K3S_TOKEN").map(str::to_owned)
            });
            let wanted = token.map(|token| Some(token.to_owned()));
            assert_eq!(found, wanted.ok_or(MoveError::Specifier), "{args}");
        }
    }

    #[test]
    fn what_cannot_be_moved_is_refused() {
        assert_eq!(moved(&unit("\t'--tls-san=a' \\\n"), ""), Ok(None));
        let specifier = unit("\t'--token=a%n' \\\n");
        assert_eq!(moved(&specifier, ""), Err(MoveError::Specifier));
        let other = unit("\t'--token=a' \\\n\t'--node-name=%H' \\\n");
        let after = moved(&other, "").unwrap().unwrap();
        assert_eq!(after.unit.text(), unit("\t'--node-name=%H' \\\n"));
        let unread = unit("\t'--token=a' \\\n").replace("EnvironmentFile", "X-File");
        assert_eq!(moved(&unread, ""), Err(MoveError::NotRead(ENV.to_owned())));
        let odd = move_secrets(&UnitFile::parse("[Service]\n").unwrap(), ENV, "");
        assert_eq!(odd, Err(MoveError::Unit(UnitError::NoCommand)));
    }
}
