//! The command lines of a restore from a snapshot (facts A 14, B.4).

use crate::flags;
use crate::settings::{Setting, Settings};

/// Flags that a reset must not be given: k3s refuses it while a server to join is set, and makes a cluster of
/// its own anyhow.
const NOT_FOR_RESET: [&str; 4] = [
    "server",
    "cluster-init",
    "cluster-reset",
    "cluster-reset-restore-path",
];
/// Flags that say which cluster a server belongs to.
const WHERE_TO_JOIN: [&str; 2] = ["server", "cluster-init"];

/// The variable that names a server to join; as good as the flag.
pub const K3S_URL: &str = "K3S_URL";

/// The arguments after `k3s server` that restore `file`, from those of the unit.
///
/// `--server` in a configuration file cannot be taken out, so it is overridden. S3, where it is set, would make
/// k3s look for the file there.
#[must_use]
pub fn reset_args(args: &[String], settings: &Settings, file: &str) -> Vec<String> {
    let mut reset = without(args, &NOT_FOR_RESET);
    if settings.get("server").is_some_and(is_set) {
        reset.push("--server=".to_owned());
    }
    if settings.is_on("etcd-s3") {
        reset.push("--etcd-s3=false".to_owned());
    }
    reset.push("--cluster-reset".to_owned());
    reset.push(format!("--cluster-reset-restore-path={file}"));
    reset
}

/// The arguments after `k3s server` that join the server at `url`, whichever one the unit names.
#[must_use]
pub fn rejoin_args(args: &[String], url: &str) -> Vec<String> {
    let mut joining = without(args, &WHERE_TO_JOIN);
    joining.extend(["--server".to_owned(), url.to_owned()]);
    joining
}

fn is_set(setting: &Setting) -> bool {
    setting.values.last().is_some_and(|value| !value.is_empty())
}

/// The words without these flags and their values.
fn without(args: &[String], names: &[&str]) -> Vec<String> {
    let mut gone = vec![false; args.len()];
    for flag in flags::parse_args(args) {
        if names.contains(&flag.name.as_str()) {
            gone[flag.at..flag.at + flag.words].fill(true);
        }
    }
    args.iter()
        .zip(gone)
        .filter(|(_, gone)| !gone)
        .map(|(word, _)| word.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_yaml::{CONFIG_FILE, Config};
    use crate::env_file::EnvFile;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn settings(args: &str, yaml: &str) -> Settings {
        let config = Config::merge([(CONFIG_FILE, yaml)]).unwrap();
        Settings::effective(&words(args), &config, &EnvFile::parse(""))
    }

    fn reset(args: &str, yaml: &str) -> Vec<String> {
        reset_args(&words(args), &settings(args, yaml), "/s/x-1")
    }

    const RESET: [&str; 2] = ["--cluster-reset", "--cluster-reset-restore-path=/s/x-1"];

    #[test]
    fn the_recorded_reset_is_made_of_the_units_own_arguments() {
        let unit = include_str!("../tests/recorded/k3s.service");
        let command = crate::unit_file::UnitFile::parse(unit)
            .unwrap()
            .command()
            .unwrap();
        let none = Settings::default();
        let args = reset_args(&command.args, &none, "/s/x-1");
        assert!(!args.contains(&"--cluster-init".to_owned()), "{args:?}");
        assert!(args.ends_with(&RESET.map(str::to_owned)), "{args:?}");
        let kept = |args: &[String]| args.iter().filter(|a| *a == "--tls-san").count();
        assert_eq!(kept(&args), kept(&command.args));
    }

    #[test]
    fn no_server_to_join_is_left_wherever_it_stands() {
        let flannel = "--flannel-backend none";
        let with = |more: &[&str]| {
            let mut all = words(flannel);
            all.extend(more.iter().map(|w| (*w).to_owned()));
            all
        };
        assert_eq!(
            reset("--server https://a:6443 --flannel-backend none", ""),
            with(&["--server=", RESET[0], RESET[1]])
        );
        assert_eq!(
            reset("-s=https://a:6443 --flannel-backend none", "")[..2],
            words(flannel)
        );
        assert_eq!(
            reset(flannel, "server: https://a:6443\n"),
            with(&["--server=", RESET[0], RESET[1]])
        );
        assert_eq!(reset(flannel, ""), with(&RESET));
    }

    #[test]
    fn a_local_file_is_not_looked_for_in_s3() {
        assert_eq!(
            reset("--etcd-s3 --etcd-s3-bucket b", "")[3..],
            ["--etcd-s3=false", RESET[0], RESET[1]].map(str::to_owned)
        );
        assert!(reset("", "etcd-s3: true\n").contains(&"--etcd-s3=false".to_owned()));
        assert!(!reset("--etcd-s3=false", "").contains(&"--etcd-s3=true".to_owned()));
    }

    #[test]
    fn the_first_server_joins_too() {
        assert_eq!(
            rejoin_args(
                &words("--cluster-init --node-name n1 --server=https://old:6443 --debug"),
                "https://10.0.0.2:6443"
            ),
            words("--node-name n1 --debug --server https://10.0.0.2:6443")
        );
    }
}
