//! Command-line flags as urfave/cli reads them: one or two dashes, `=` or a word of its own, stop at the first word.

use std::collections::BTreeMap;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing, or `=true` / `=false`.
    Switch,
    /// One value, the last one counts.
    Value,
    /// A whole number, the last one counts.
    Number,
    /// Values that add up.
    List,
}

/// A flag of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// Long name without dashes.
    pub(crate) name: &'static str,
    /// One-letter name, or empty.
    pub(crate) short: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Variables that give its default.
    pub(crate) env: &'static [&'static str],
    /// Help text, with k3s's category in front.
    pub(crate) usage: &'static str,
    /// Not shown by `--help`.
    pub(crate) hidden: bool,
}

impl Flag {
    fn answers_to(&self, name: &str) -> bool {
        name == self.name || (!self.short.is_empty() && name == self.short)
    }
}

/// Where a value comes from; later ones beat earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Environment,
    ConfigFile,
    CommandLine,
}

/// Values by flag name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    values: BTreeMap<&'static str, (Origin, Vec<String>)>,
    /// Words after the flags.
    pub(crate) words: Vec<String>,
    /// `--help` was asked for.
    pub(crate) help: bool,
}

/// A value from config files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigValue {
    /// Flag name.
    pub(crate) key: String,
    /// Its values, already merged over all files.
    pub(crate) values: Vec<String>,
}

impl Flags {
    /// Parses `arguments` against `table`.
    ///
    /// # Errors
    /// urfave's texts: `flag provided but not defined: -x`, `flag needs an argument: -x`, `invalid value …`.
    pub(crate) fn parse(table: &[Flag], arguments: &[String]) -> Result<Self, String> {
        let mut flags = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(name) = argument
                .strip_prefix("--")
                .or_else(|| argument.strip_prefix('-'))
            else {
                flags.words.push(argument.clone());
                flags.words.extend(rest.cloned());
                break;
            };
            if argument == "--" {
                flags.words.extend(rest.cloned());
                break;
            }
            let (name, inline) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            let Some(flag) = table.iter().find(|flag| flag.answers_to(name)) else {
                if name == "help" || name == "h" {
                    flags.help = true;
                    continue;
                }
                return Err(format!("flag provided but not defined: -{name}"));
            };
            let value = match (flag.kind, inline) {
                (Kind::Switch, None) => "true".to_owned(),
                (_, Some(value)) => value,
                (Kind::Value | Kind::Number | Kind::List, None) => rest
                    .next()
                    .cloned()
                    .ok_or_else(|| format!("flag needs an argument: -{name}"))?,
            };
            flags.check(flag, name, &value)?;
            flags.add(flag, Origin::CommandLine, value);
        }
        Ok(flags)
    }

    fn check(&self, flag: &Flag, name: &str, value: &str) -> Result<(), String> {
        let parses = match flag.kind {
            Kind::Switch => matches!(value, "true" | "false" | "1" | "0" | "t" | "f"),
            Kind::Number => value.parse::<i64>().is_ok(),
            Kind::Value | Kind::List => true,
        };
        let what = match flag.kind {
            Kind::Switch => "boolean value",
            Kind::Number | Kind::Value | Kind::List => "value",
        };
        if parses {
            Ok(())
        } else {
            Err(format!(
                "invalid {what} \"{value}\" for flag -{name}: parse error"
            ))
        }
    }

    fn add(&mut self, flag: &Flag, origin: Origin, value: String) {
        let slot = self
            .values
            .entry(flag.name)
            .or_insert_with(|| (origin, Vec::new()));
        if slot.0 != origin || flag.kind != Kind::List {
            *slot = (origin, Vec::new());
        }
        slot.1.push(value);
    }

    /// Adds values of config files as k3s does, which puts them in front of the command line's: a single value on
    /// the command line wins, a list has both (`pkg/configfilearg/parser.go`, `Parse`).
    /// Returns the keys that are no flags of this command.
    pub(crate) fn add_config(&mut self, table: &[Flag], config: &[ConfigValue]) -> Vec<String> {
        let mut unknown = Vec::new();
        for ConfigValue { key, values } in config {
            let Some(flag) = table.iter().find(|flag| flag.answers_to(key)) else {
                unknown.push(key.clone());
                continue;
            };
            match self.values.get_mut(flag.name) {
                Some((Origin::CommandLine, told)) => {
                    if flag.kind == Kind::List {
                        told.splice(..0, values.iter().cloned());
                    }
                }
                Some(_) | None => {
                    for value in values {
                        self.add(flag, Origin::ConfigFile, value.clone());
                    }
                }
            }
        }
        unknown
    }

    /// Adds defaults from the environment where nothing else was given.
    pub(crate) fn add_environment(
        &mut self,
        table: &[Flag],
        variable: impl Fn(&str) -> Option<String>,
    ) {
        for flag in table {
            if self.values.contains_key(flag.name) {
                continue;
            }
            if let Some(value) = flag
                .env
                .iter()
                .filter_map(|name| variable(name))
                .find(|value| !value.is_empty())
            {
                self.add(flag, Origin::Environment, value);
            }
        }
    }

    /// The value of a flag, if given anywhere.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .and_then(|(_, values)| values.last())
            .map(String::as_str)
    }

    /// Whether a switch is on.
    pub(crate) fn switch(&self, name: &str) -> bool {
        self.value(name)
            .is_some_and(|value| matches!(value, "true" | "1" | "t"))
    }

    /// All values of a list, split at commas.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.values
            .get(name)
            .map(|(_, values)| {
                values
                    .iter()
                    .flat_map(|value| value.split(','))
                    .filter(|value| !value.is_empty())
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [Flag; 3] = [
        Flag {
            name: "tls-san",
            short: "",
            kind: Kind::List,
            env: &[],
            usage: "",
            hidden: false,
        },
        Flag {
            name: "token",
            short: "t",
            kind: Kind::Value,
            env: &["K3S_TOKEN"],
            usage: "",
            hidden: false,
        },
        Flag {
            name: "cluster-init",
            short: "",
            kind: Kind::Switch,
            env: &[],
            usage: "",
            hidden: false,
        },
    ];

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn forms_of_flags() {
        let flags = Flags::parse(
            &TABLE,
            &words("--tls-san a -tls-san=b,c --cluster-init -t x rest"),
        )
        .unwrap();
        assert_eq!(flags.list("tls-san"), ["a", "b", "c"]);
        assert!(flags.switch("cluster-init"));
        assert_eq!(flags.value("token"), Some("x"));
        assert_eq!(flags.words, ["rest"]);
        assert_eq!(
            Flags::parse(&TABLE, &words("--nope")).unwrap_err(),
            "flag provided but not defined: -nope"
        );
        assert_eq!(
            Flags::parse(&TABLE, &words("--token")).unwrap_err(),
            "flag needs an argument: -token"
        );
    }

    #[test]
    fn lists_of_the_config_file_stand_before_the_command_lines() {
        let config = [
            ConfigValue {
                key: "tls-san".into(),
                values: vec!["x".into()],
            },
            ConfigValue {
                key: "token".into(),
                values: vec!["from-file".into()],
            },
            ConfigValue {
                key: "strange".into(),
                values: vec!["1".into()],
            },
        ];
        let mut flags = Flags::parse(&TABLE, &words("--tls-san a")).unwrap();
        assert_eq!(flags.add_config(&TABLE, &config), ["strange"]);
        flags.add_environment(&TABLE, |_| Some("from-env".into()));
        assert_eq!(flags.list("tls-san"), ["x", "a"]);
        assert_eq!(flags.value("token"), Some("from-file"));
    }
}
