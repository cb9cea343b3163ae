//! Which further arguments a person may give to k3s, and how words get through the installer unharmed.
//!
//! The installer does `eval set -- $(escape "$INSTALL_K3S_EXEC")`: it puts a backslash before most
//! punctuation (inside quotes too, where it would stay), splits at white space, then evaluates. So
//! punctuation must stand unquoted, and only quotes, spaces and `~` are quoted, one by one.

use crate::flags::{self, FlagKind};
use crate::redact;

/// An argument that is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("argument {argument:?}: {reason}")]
pub struct ArgumentError {
    /// The argument's name; its value only where it is certainly no secret.
    pub argument: String,
    /// What is wrong, and what to do instead.
    pub reason: String,
}

impl ArgumentError {
    fn new(argument: &str, reason: impl Into<String>) -> Self {
        ArgumentError {
            argument: argument.chars().take(80).collect(),
            reason: reason.into(),
        }
    }
}

/// Why a flag may not be given, if so.
fn refusal(name: &str) -> Option<&'static str> {
    Some(match name {
        "token" | "cluster-secret" => {
            "the token is kept in the vault and given to the installer in its environment"
        }
        "agent-token" | "token-file" | "agent-token-file" => {
            "a token of your own is not supported; the panel makes and keeps the token"
        }
        "server" => "the server to join is set by the workflow",
        "cluster-init" => "the workflow starts the cluster on the first server",
        "cluster-reset" | "cluster-reset-restore-path" => {
            "resetting a cluster is not part of an installation"
        }
        "tls-san" => "give names for the certificate in their own field",
        "node-name" | "with-node-id" => "the node's name is set by the workflow",
        "node-ip" => "the node's address is taken from the host",
        "data-dir" => "only the default data directory /var/lib/rancher/k3s is supported",
        "config" => "only the default /etc/rancher/k3s/config.yaml is supported",
        "write-kubeconfig" => "the kubeconfig is read from its default place",
        "https-listen-port" | "supervisor-port" => "only the default port 6443 is supported",
        "log" => "the panel reads k3s's log from the journal",
        "datastore-endpoint" | "datastore-cafile" | "datastore-certfile" | "datastore-keyfile" => {
            "only embedded etcd is supported, and an endpoint may carry a password"
        }
        "etcd-s3-access-key" | "etcd-s3-secret-key" | "etcd-s3-session-token" | "vpn-auth" => {
            "it is a secret and would stand in the world-readable unit file; put it into config.yaml \
             (mode 0600) on the host"
        }
        "disable-etcd"
        | "disable-apiserver"
        | "disable-controller-manager"
        | "disable-scheduler"
        | "disable-agent" => {
            "every server is control plane and etcd member; split roles are not supported"
        }
        "etcd-snapshot-dir" => "only the default snapshot directory is supported",
        "rootless" => "running without root is not supported",
        _ => return None,
    })
}

/// Checks further arguments of `k3s server` or (`agent`) `k3s agent`, one word each. The first problem is
/// reported.
///
/// # Errors
/// When a word could not be passed on unharmed, is set by the workflow, is not supported, is a secret, or
/// belongs to no flag.
pub fn check_extra_args(words: &[String], agent: bool) -> Result<(), ArgumentError> {
    for word in words {
        check_word(word)?;
    }
    let flags = flags::parse_args(words);
    let mut next = 0;
    for flag in &flags {
        let shown = format!("--{}", flag.name);
        if flag.at != next {
            break;
        }
        next = flag.at + flag.words;
        if let Some(reason) = refusal(&flag.name) {
            return Err(ArgumentError::new(&shown, reason));
        }
        let Some(info) = flags::lookup(&flag.name) else {
            continue;
        };
        if agent && !info.agent {
            return Err(ArgumentError::new(&shown, "k3s agent has no such flag"));
        }
        if info.kind != FlagKind::Switch && flag.value.as_deref().is_none_or(str::is_empty) {
            return Err(ArgumentError::new(&shown, "it needs a value"));
        }
    }
    if words.iter().any(|word| redact::redact_text(word) != *word) {
        return Err(ArgumentError::new(
            "(hidden)",
            "it looks like a secret, and arguments stand in the world-readable unit file",
        ));
    }
    match words.get(next) {
        Some(word) => Err(ArgumentError::new(
            word,
            "it belongs to no flag; write every flag as '--name value' or '--name=value'",
        )),
        None => Ok(()),
    }
}

/// A word must get unchanged through the installer's shell, and through systemd's reading of the unit
/// file, which expands `%` and `$` and undoes backslashes even inside quotes.
fn check_word(word: &str) -> Result<(), ArgumentError> {
    let name = word.split('=').next().unwrap_or_default();
    if word.is_empty() {
        return Err(ArgumentError::new(word, "it is empty"));
    }
    if word.len() > 4096 {
        return Err(ArgumentError::new(
            name,
            "it is longer than 4096 characters",
        ));
    }
    if let Some(c) = word
        .chars()
        .find(|c| c.is_control() || "%$\\`".contains(*c))
    {
        return Err(ArgumentError::new(
            name,
            format!(
                "{c:?} cannot pass through the installer and systemd unharmed; use config.yaml"
            ),
        ));
    }
    if word == ";" {
        return Err(ArgumentError::new(
            word,
            "systemd reads it as the end of the command",
        ));
    }
    Ok(())
}

/// The words as one `INSTALL_K3S_EXEC`.
pub(super) fn exec_string(words: &[String]) -> Result<String, ArgumentError> {
    let mut text = String::new();
    for word in words {
        check_word(word)?;
        if !text.is_empty() {
            text.push(' ');
        }
        for c in word.chars() {
            match c {
                ' ' => text.push_str("' '"),
                '~' => text.push_str("'~'"),
                '"' => text.push_str("'\"'"),
                '\'' => text.push_str("\"'\""),
                other => text.push(other),
            }
        }
    }
    Ok(text)
}

/// A value quoted for a shell, as shown to people.
pub(super) fn show(value: &str) -> String {
    let plain = !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./:,=@+".contains(c));
    if plain {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn takes_the_recorded_arguments() {
        let args = words(&[
            "--snapshotter",
            "native",
            "--container-runtime-endpoint",
            "/run/containerd/containerd.sock",
            "--flannel-backend",
            "none",
            "--disable",
            "traefik,servicelb,metrics-server,local-storage,coredns",
            "--disable-network-policy",
            "--disable-kube-proxy",
            "--kubelet-arg=max-pods=200",
        ]);
        assert_eq!(check_extra_args(&args, false), Ok(()));
    }

    #[test]
    fn names_what_it_refuses() {
        let refused = |line: &[&str]| check_extra_args(&words(line), false).unwrap_err();
        assert_eq!(refused(&["--token", "x"]).argument, "--token");
        assert_eq!(refused(&["-t=x"]).argument, "--token");
        assert_eq!(
            refused(&["--debug", "--data-dir=/x"]).argument,
            "--data-dir"
        );
        assert_eq!(refused(&["--debug", "stray", "--debug"]).argument, "stray");
        assert_eq!(refused(&["server"]).argument, "server");
        assert_eq!(refused(&["--flannel-backend"]).reason, "it needs a value");
        assert!(
            refused(&["--kubelet-arg=a=$HOME"])
                .reason
                .contains("unharmed")
        );
        let secret = refused(&["--kubelet-arg=x=postgres://u:hunter22@db/x"]);
        assert!(!secret.to_string().contains("hunter22"));
        let endpoint = refused(&["--datastore-endpoint=mysql"]);
        assert_eq!(endpoint.argument, "--datastore-endpoint");
        assert!(check_extra_args(&words(&["--disable", "traefik"]), true).is_err());
        assert!(check_extra_args(&words(&["--node-label", "a=b"]), true).is_ok());
    }

    /// The two lines of the real installer that read `INSTALL_K3S_EXEC`, with the same result.
    const READ_BACK: &str = r#"set -o noglob
escape() { printf '%s' "$@" | sed -e 's/\([][!#$%&()*;<=>?\_`{|}]\)/\\\1/g;'; }
eval set -- $(escape "${INSTALL_K3S_EXEC}")
for word; do printf '%s\n' "$word"; done"#;

    fn through_the_installer(words: &[String]) -> Vec<String> {
        let output = Command::new("sh")
            .args(["-c", READ_BACK])
            .env("INSTALL_K3S_EXEC", exec_string(words).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn words_get_through_the_installer_unharmed() {
        let all = words(&[
            "server",
            "--etcd-snapshot-schedule-cron",
            "0 */12  * * *",
            "--kubelet-arg=a={\"b\":'c'}",
            "~",
            "a;b&c|d<e>f(g)h!i#j[k]l?m_n",
            "^",
            "--node-label",
            "x=~/y",
            "ä",
        ]);
        assert_eq!(through_the_installer(&all), all);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_accepted_word_gets_through(word in "[ -~]{1,20}") {
            let all = vec!["server".to_owned(), word];
            if check_word(&all[1]).is_ok() {
                prop_assert_eq!(through_the_installer(&all), all);
            }
        }
    }
}
