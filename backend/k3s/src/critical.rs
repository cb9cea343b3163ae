//! Settings that must be equal on all servers of a cluster: a joiner that differs dies of "critical
//! configuration value mismatch" (facts A, joining; B.5). Compared before a join.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::flags;
use crate::settings::Settings;

/// The settings, with k3s's defaults. `disable` counts only for `servicelb`.
pub const CRITICAL: &[(&str, &[&str])] = &[
    ("agent-token", &[]),
    ("cluster-cidr", &["10.42.0.0/16"]),
    ("service-cidr", &["10.43.0.0/16"]),
    ("cluster-dns", &["10.43.0.10"]),
    ("cluster-domain", &["cluster.local"]),
    ("disable-cloud-controller", &["false"]),
    ("disable-helm-controller", &["false"]),
    ("disable-network-policy", &["false"]),
    ("disable", &[]),
    ("egress-selector-mode", &["agent"]),
    ("embedded-registry", &["false"]),
    ("flannel-backend", &["vxlan"]),
    ("flannel-external-ip", &["false"]),
    ("flannel-ipv6-masq", &["false"]),
    ("secrets-encryption", &["false"]),
    ("secrets-encryption-provider", &[]),
    ("supervisor-metrics", &["false"]),
];

/// What every server does for the whole cluster by its own settings: one that is told otherwise undoes what the others
/// are told (k3s: pkg/deploy, pkg/daemons/control). k3s does not compare them.
pub const CLUSTER_WIDE: &[&str] = &[
    "default-local-storage-path",
    "helm-job-image",
    "kube-apiserver-arg",
    "kube-cloud-controller-manager-arg",
    "kube-controller-manager-arg",
    "kube-scheduler-arg",
    "servicelb-namespace",
    "system-default-registry",
];

/// The packaged components that a server is told to leave out. A server without one of them deploys it, one with it
/// removes it again.
#[must_use]
pub fn disabled(settings: &Settings) -> BTreeSet<&str> {
    settings
        .values("disable")
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Settings of [`CLUSTER_WIDE`] that differ between two servers.
#[must_use]
pub fn apart(first: &Settings, second: &Settings) -> Vec<&'static str> {
    let values = |settings: &Settings, name: &str| -> BTreeSet<String> {
        settings.values(name).iter().cloned().collect()
    };
    CLUSTER_WIDE
        .iter()
        .filter(|name| values(first, name) != values(second, name))
        .copied()
        .collect()
}

/// A critical setting that differs between two servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The flag's long name.
    pub name: String,
    /// Value on the first server, defaults filled in; masked if it is a secret.
    pub first: String,
    /// Value on the other.
    pub second: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "--{}: {} here, {} there",
            self.name, self.first, self.second
        )
    }
}

/// The critical settings that differ between two servers; empty: the other may join.
#[must_use]
pub fn differences(first: &Settings, second: &Settings) -> Vec<Difference> {
    CRITICAL
        .iter()
        .filter_map(|(name, default)| {
            let (a, b) = (value(first, name, default), value(second, name, default));
            (a != b).then(|| Difference {
                name: (*name).to_owned(),
                first: shown(name, &a, "‹secret›"),
                second: shown(name, &b, "‹another secret›"),
            })
        })
        .collect()
}

fn value(settings: &Settings, name: &str, default: &[&str]) -> Vec<String> {
    let set = settings.values(name);
    if name == "disable" {
        return set
            .iter()
            .filter(|item| *item == "servicelb")
            .take(1)
            .cloned()
            .collect();
    }
    if set.is_empty() || set == [""] {
        return default.iter().map(|item| (*item).to_owned()).collect();
    }
    set.to_vec()
}

fn shown(name: &str, values: &[String], mask: &str) -> String {
    if values.is_empty() {
        "not set".to_owned()
    } else if flags::is_secret(name) {
        mask.to_owned()
    } else {
        values.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_yaml::{CONFIG_FILE, Config};
    use crate::env_file::EnvFile;

    fn settings(args: &str, yaml: &str) -> Settings {
        let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        let config = Config::merge([(CONFIG_FILE, yaml)]).unwrap();
        Settings::effective(&args, &config, &EnvFile::default())
    }

    #[test]
    fn the_recorded_mismatch() {
        // Transcript 10: the joiner lacked all of the first server's flags.
        let first = settings(
            "--flannel-backend none --disable traefik,servicelb --disable-network-policy --disable-kube-proxy",
            "",
        );
        let names: Vec<String> = differences(&first, &settings("", ""))
            .into_iter()
            .map(|d| d.name)
            .collect();
        assert_eq!(
            names,
            ["disable-network-policy", "disable", "flannel-backend"]
        );
    }

    #[test]
    fn what_a_server_does_for_all_is_told_apart() {
        let first = settings("--disable traefik,servicelb --kube-apiserver-arg=a=1", "");
        let same = settings(
            "",
            "disable: [servicelb, traefik]\nkube-apiserver-arg: a=1\n",
        );
        assert_eq!(disabled(&first), disabled(&same));
        assert_eq!(apart(&first, &same), [""; 0]);
        let other = settings("--disable servicelb --kube-apiserver-arg=a=2", "");
        assert_ne!(disabled(&first), disabled(&other));
        assert_eq!(apart(&first, &other), ["kube-apiserver-arg"]);
    }

    #[test]
    fn the_same_by_other_means_is_equal() {
        let a = settings(
            "--cluster-cidr 10.42.0.0/16 --disable servicelb --disable-helm-controller=false",
            "",
        );
        let b = settings("", "disable:\n- traefik\n- servicelb\n");
        assert_eq!(differences(&a, &b), []);
    }

    #[test]
    fn the_supervisors_metrics_are_off_unless_told() {
        let on = settings("--supervisor-metrics", "");
        let told = settings("", "supervisor-metrics: false\n");
        let found = differences(&on, &settings("", ""));
        assert_eq!(
            found[0].to_string(),
            "--supervisor-metrics: true here, false there"
        );
        assert_eq!(differences(&told, &settings("", "")), []);
    }

    #[test]
    fn secrets_are_compared_not_shown() {
        let a = settings("", "agent-token: hunter2\n");
        let b = settings("", "agent-token: hunter3\n");
        let found = differences(&a, &b);
        assert_eq!(
            found[0].to_string(),
            "--agent-token: ‹secret› here, ‹another secret› there"
        );
        assert_eq!(differences(&a, &a), []);
    }
}
