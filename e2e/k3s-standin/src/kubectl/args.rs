//! kubectl's command line: flags anywhere among the words.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Complaint;

/// Flags that take a value, with their one-letter forms.
const VALUES: [(&str, &str); 20] = [
    ("namespace", "n"),
    ("output", "o"),
    ("selector", "l"),
    ("filename", "f"),
    ("field-selector", ""),
    ("kubeconfig", ""),
    ("server", "s"),
    ("context", ""),
    ("request-timeout", ""),
    ("timeout", ""),
    ("raw", ""),
    ("grace-period", ""),
    ("cascade", ""),
    ("image", ""),
    ("replicas", ""),
    ("from-literal", ""),
    ("sort-by", ""),
    ("type", ""),
    ("v", "v"),
    ("chunk-size", ""),
];
/// Flags without a value.
const SWITCHES: [(&str, &str); 13] = [
    ("all-namespaces", "A"),
    ("no-headers", ""),
    ("ignore-not-found", ""),
    ("force", ""),
    ("now", ""),
    ("all", ""),
    ("wait", ""),
    ("client", ""),
    ("short", ""),
    ("overwrite", ""),
    ("show-labels", ""),
    ("validate", ""),
    ("insecure-skip-tls-verify", ""),
];

/// Words and flags of a command.
#[derive(Clone, Debug, Default)]
pub(super) struct Args {
    /// Words after the verb.
    pub(super) words: Vec<String>,
    values: BTreeMap<&'static str, Vec<String>>,
}

/// A command line.
#[derive(Clone, Debug)]
pub(super) struct Parsed {
    /// The first word.
    pub(super) verb: Option<String>,
    /// The rest.
    pub(super) args: Args,
}

/// Takes a command line apart.
///
/// # Errors
/// kubectl's text for unknown flags and missing values.
pub(super) fn parse(arguments: &[String]) -> Result<Parsed, Complaint> {
    let mut args = Args::default();
    let mut verb: Option<String> = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "-" || !argument.starts_with('-') {
            match &verb {
                None => verb = Some(argument.clone()),
                Some(_) => args.words.push(argument.clone()),
            }
            continue;
        }
        let usage = |text: String| {
            let verb = verb
                .as_deref()
                .map_or(String::new(), |verb| format!(" {verb}"));
            Complaint::new(format!(
                "Error: {text}\nSee 'kubectl{verb} --help' for usage."
            ))
        };
        let bare = argument.trim_start_matches('-');
        let (name, inline) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None if !argument.starts_with("--") && bare.len() > 1 => {
                // `-nkube-system`, `-owide`
                (&bare[..1], Some(bare[1..].to_owned()))
            }
            None => (bare, None),
        };
        let is = |pair: &&(&str, &str)| pair.0 == name || (!pair.1.is_empty() && pair.1 == name);
        if let Some((name, _)) = VALUES.iter().find(is) {
            let value = match inline {
                Some(value) => value,
                None => rest
                    .next()
                    .cloned()
                    .ok_or_else(|| usage(format!("flag needs an argument: --{name}")))?,
            };
            args.values.entry(name).or_default().push(value);
        } else if let Some((name, _)) = SWITCHES.iter().find(is) {
            args.values
                .entry(name)
                .or_default()
                .push(inline.unwrap_or_else(|| "true".to_owned()));
        } else {
            return Err(usage(format!("unknown flag: --{name}")));
        }
    }
    Ok(Parsed { verb, args })
}

impl Args {
    /// The last value of a flag.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .and_then(|values| values.last())
            .map(String::as_str)
    }

    /// All values of a flag.
    pub(super) fn values(&self, name: &str) -> &[String] {
        self.values.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a switch is on.
    pub(super) fn switch(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// The namespace to work in.
    pub(super) fn namespace(&self) -> &str {
        self.value("namespace").unwrap_or("default")
    }

    /// A duration like `10s`, `1m`, `500ms`; zero and absence mean none.
    ///
    /// # Errors
    /// When it does not parse.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, Complaint> {
        let Some(text) = self.value(name) else {
            return Ok(None);
        };
        let number = text.trim_end_matches(char::is_alphabetic);
        let unit = &text[number.len()..];
        let factor = match unit {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(Complaint::new(format!("error: invalid duration {text}"))),
        };
        let number: f64 = number
            .parse()
            .map_err(|_| Complaint::new(format!("error: invalid duration {text}")))?;
        Ok(Some(Duration::from_secs_f64(number.max(0.0) * factor)).filter(|d| !d.is_zero()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_anywhere() {
        let line = "--request-timeout=10s get nodes -owide -n kube-system --no-headers";
        let line: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let Parsed { verb, args } = parse(&line).unwrap();
        assert_eq!(verb.as_deref(), Some("get"));
        assert_eq!(args.words, ["nodes"]);
        assert_eq!(
            (args.value("output"), args.namespace()),
            (Some("wide"), "kube-system")
        );
        assert_eq!(
            args.duration("request-timeout").unwrap(),
            Some(Duration::from_secs(10))
        );
        assert!(args.switch("no-headers"));
        assert!(parse(&["get".into(), "--nope".into()]).is_err());
    }
}
