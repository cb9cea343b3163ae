//! Help texts in urfave/cli's layout.

use super::flags::{Flag, Kind};
use crate::version::release;

/// Commands of `k3s` with their one-line descriptions.
const COMMANDS: [(&str, &str); 8] = [
    ("server", "Run management server"),
    ("agent", "Run node agent"),
    ("kubectl", "Run kubectl"),
    ("crictl", "Run crictl"),
    ("ctr", "Run ctr"),
    ("etcd-snapshot", "Trigger an immediate etcd snapshot"),
    ("certificate", "Certificates management"),
    (
        "help, h",
        "Shows a list of commands or help for one command",
    ),
];

/// What `k3s --help` prints.
pub(crate) fn root() -> String {
    let (version, commit) = (&release().name, release().short_commit());
    let token = release()
        .rotates_tokens()
        .then_some(("token", "Manage tokens"));
    let commands: String = COMMANDS
        .iter()
        .copied()
        .chain(token)
        .map(|(name, usage)| format!("   {name:<15}{usage}\n"))
        .collect();
    format!(
        "NAME:\n   k3s - Kubernetes, but small and simple\n\nUSAGE:\n   k3s [global options] command [command options] [arguments...]\n\n\
         VERSION:\n   {version} ({commit})\n\nCOMMANDS:\n{commands}\nGLOBAL OPTIONS:\n   \
         --debug                     (logging) Turn on debug logs [$K3S_DEBUG]\n   \
         --data-dir value, -d value  (data) Folder to hold state default /var/lib/rancher/k3s or ${{HOME}}/.rancher/k3s if not root\n   \
         --help, -h                  show help\n   \
         --version, -v               print the version\n"
    )
}

/// What a subcommand of `certificate` is for.
pub(crate) fn certificate_usage(verb: &str) -> &'static str {
    match verb {
        "check" => "Check k3s component certificates on disk",
        _ => "Certificate rotation",
    }
}

/// What `k3s certificate --help` prints.
pub(crate) fn certificate() -> String {
    let verbs: &[&str] = if release().checks_certificates() {
        &["check", "rotate"]
    } else {
        &["rotate"]
    };
    let rows = verbs.iter().map(|verb| (*verb, certificate_usage(verb)));
    group("certificate", "Certificates management", rows)
}

/// What `k3s token --help` prints.
pub(crate) fn token(rotate: &str) -> String {
    group("token", "Manage tokens", [("rotate", rotate)].into_iter())
}

/// Help of a command that has commands.
fn group<'a>(name: &str, usage: &str, rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let commands: String = rows
        .map(|(verb, usage)| format!("   {verb:<10}{usage}\n"))
        .collect();
    format!(
        "NAME:\n   k3s {name} - {usage}\n\nUSAGE:\n   k3s {name} command [command options] [arguments...]\n\n\
         COMMANDS:\n{commands}\nOPTIONS:\n   --help, -h  show help\n"
    )
}

/// What `k3s <command> --help` prints.
pub(crate) fn command(name: &str, usage: &str, table: &[Flag]) -> String {
    let rows: Vec<(String, String)> = table
        .iter()
        .filter(|flag| !flag.hidden)
        .map(|flag| (left(flag), right(flag)))
        .chain([("--help, -h".to_owned(), "show help".to_owned())])
        .collect();
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let options: String = rows
        .iter()
        .map(|(left, right)| format!("   {left:<width$}  {right}\n"))
        .collect();
    format!(
        "NAME:\n   k3s {name} - {usage}\n\nUSAGE:\n   k3s {name} [OPTIONS]\n\nOPTIONS:\n{options}"
    )
}

fn left(flag: &Flag) -> String {
    let value = match flag.kind {
        Kind::Switch => "",
        Kind::Value | Kind::Number | Kind::List => " value",
    };
    let dashes = if flag.name.len() == 1 { "-" } else { "--" };
    let mut text = format!("{dashes}{}{value}", flag.name);
    if !flag.short.is_empty() {
        text.push_str(&format!(", -{}{value}", flag.short));
    }
    text
}

fn right(flag: &Flag) -> String {
    flag.env.iter().fold(flag.usage.to_owned(), |text, name| {
        format!("{text} [${name}]")
    })
}
