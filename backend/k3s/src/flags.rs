//! The flags of `k3s server` and `k3s agent`: names, aliases, kinds, the environment variable that
//! stands for them; and reading a command line with them. Source: k3s `pkg/cli/cmds`.

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagKind {
    /// Nothing, or `=true`/`=false`.
    Switch,
    /// One value; the last one wins.
    Value,
    /// A value each time; may be repeated.
    List,
    /// As `List`, and each value may hold several, separated by commas.
    CommaList,
}

/// A flag of k3s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagInfo {
    /// Long name without dashes.
    pub name: &'static str,
    /// One-letter alias.
    pub alias: Option<char>,
    /// What follows it.
    pub kind: FlagKind,
    /// Environment variable that sets it when neither command line nor config.yaml do.
    pub env: Option<&'static str>,
    /// Its value is a secret (design, security: secrets by key).
    pub secret: bool,
    /// `k3s agent` knows it too.
    pub agent: bool,
}

const fn flag(name: &'static str, kind: FlagKind) -> FlagInfo {
    FlagInfo {
        name,
        alias: None,
        kind,
        env: None,
        secret: false,
        agent: false,
    }
}

impl FlagInfo {
    const fn short(mut self, alias: char) -> Self {
        self.alias = Some(alias);
        self
    }
    const fn env(mut self, env: &'static str) -> Self {
        self.env = Some(env);
        self
    }
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
    const fn agent(mut self) -> Self {
        self.agent = true;
        self
    }
}

use FlagKind::{CommaList, List, Switch, Value};

/// The flags this crate knows. Flags of later versions are read by [`parse_args`] all the same.
pub const FLAGS: &[FlagInfo] = &[
    flag("config", Value)
        .short('c')
        .env("K3S_CONFIG_FILE")
        .agent(),
    flag("debug", Switch).env("K3S_DEBUG").agent(),
    flag("v", Value).agent(),
    flag("vmodule", Value).agent(),
    flag("log", Value).short('l').agent(),
    flag("alsologtostderr", Switch).agent(),
    flag("bind-address", Value),
    flag("https-listen-port", Value),
    flag("supervisor-port", Value),
    flag("advertise-address", Value),
    flag("advertise-port", Value),
    flag("tls-san", CommaList),
    flag("tls-san-security", Switch),
    flag("data-dir", Value)
        .short('d')
        .env("K3S_DATA_DIR")
        .agent(),
    flag("cluster-cidr", CommaList),
    flag("service-cidr", CommaList),
    flag("service-node-port-range", Value),
    flag("cluster-dns", CommaList),
    flag("cluster-domain", Value),
    flag("flannel-backend", Value),
    flag("flannel-ipv6-masq", Switch),
    flag("flannel-external-ip", Switch),
    flag("egress-selector-mode", Value),
    flag("servicelb-namespace", Value),
    flag("write-kubeconfig", Value)
        .short('o')
        .env("K3S_KUBECONFIG_OUTPUT"),
    flag("write-kubeconfig-mode", Value).env("K3S_KUBECONFIG_MODE"),
    flag("write-kubeconfig-group", Value).env("K3S_KUBECONFIG_GROUP"),
    flag("helm-job-image", Value),
    flag("token", Value)
        .short('t')
        .env("K3S_TOKEN")
        .secret()
        .agent(),
    flag("token-file", Value).env("K3S_TOKEN_FILE").agent(),
    flag("agent-token", Value).env("K3S_AGENT_TOKEN").secret(),
    flag("agent-token-file", Value).env("K3S_AGENT_TOKEN_FILE"),
    flag("cluster-secret", Value)
        .env("K3S_CLUSTER_SECRET")
        .secret()
        .agent(),
    flag("server", Value).short('s').env("K3S_URL").agent(),
    flag("disable-apiserver-lb", Switch).agent(),
    flag("cluster-init", Switch).env("K3S_CLUSTER_INIT"),
    flag("cluster-reset", Switch).env("K3S_CLUSTER_RESET"),
    flag("cluster-reset-restore-path", Value),
    flag("kube-apiserver-arg", List),
    flag("etcd-arg", List),
    flag("kube-controller-manager-arg", List),
    flag("kube-scheduler-arg", List),
    flag("kube-cloud-controller-manager-arg", List),
    flag("kube-controller-arg", List),
    flag("kube-cloud-controller-arg", List),
    flag("kine-tls", Switch),
    flag("datastore-endpoint", Value)
        .env("K3S_DATASTORE_ENDPOINT")
        .secret(),
    flag("datastore-cafile", Value).env("K3S_DATASTORE_CAFILE"),
    flag("datastore-certfile", Value).env("K3S_DATASTORE_CERTFILE"),
    flag("datastore-keyfile", Value).env("K3S_DATASTORE_KEYFILE"),
    flag("etcd-expose-metrics", Switch),
    flag("etcd-disable-snapshots", Switch),
    flag("etcd-snapshot-name", Value),
    flag("etcd-snapshot-schedule-cron", Value),
    flag("etcd-snapshot-reconcile-interval", Value),
    flag("etcd-snapshot-retention", Value),
    flag("etcd-snapshot-dir", Value),
    flag("etcd-snapshot-compress", Switch),
    flag("etcd-s3", Switch),
    flag("etcd-s3-endpoint", Value),
    flag("etcd-s3-endpoint-ca", Value),
    flag("etcd-s3-skip-ssl-verify", Switch),
    flag("etcd-s3-access-key", Value)
        .env("AWS_ACCESS_KEY_ID")
        .secret(),
    flag("etcd-s3-secret-key", Value)
        .env("AWS_SECRET_ACCESS_KEY")
        .secret(),
    flag("etcd-s3-session-token", Value)
        .env("AWS_SESSION_TOKEN")
        .secret(),
    flag("etcd-s3-bucket", Value),
    flag("etcd-s3-bucket-lookup-type", Value),
    flag("etcd-s3-region", Value),
    flag("etcd-s3-folder", Value),
    flag("etcd-s3-retention", Value),
    flag("etcd-s3-proxy", Value),
    flag("etcd-s3-config-secret", Value),
    flag("etcd-s3-insecure", Switch),
    flag("etcd-s3-timeout", Value),
    flag("default-local-storage-path", Value),
    flag("disable", CommaList),
    flag("disable-scheduler", Switch),
    flag("disable-cloud-controller", Switch),
    flag("disable-kube-proxy", Switch),
    flag("disable-network-policy", Switch),
    flag("disable-helm-controller", Switch),
    flag("disable-apiserver", Switch),
    flag("disable-controller-manager", Switch),
    flag("disable-etcd", Switch),
    flag("embedded-registry", Switch),
    flag("supervisor-metrics", Switch),
    flag("node-name", Value).env("K3S_NODE_NAME").agent(),
    flag("with-node-id", Switch).agent(),
    flag("node-label", List).agent(),
    flag("node-taint", List).agent(),
    flag("image-credential-provider-bin-dir", Value).agent(),
    flag("image-credential-provider-config", Value).agent(),
    flag("docker", Switch).agent(),
    flag("container-runtime-endpoint", Value).agent(),
    flag("default-runtime", Value).agent(),
    flag("image-service-endpoint", Value).agent(),
    flag("disable-default-registry-endpoint", Switch).agent(),
    flag("nonroot-devices", Switch).agent(),
    flag("pause-image", Value).agent(),
    flag("snapshotter", Value).agent(),
    flag("private-registry", Value).agent(),
    flag("system-default-registry", Value).env("K3S_SYSTEM_DEFAULT_REGISTRY"),
    flag("airgap-extra-registry", List).agent(),
    flag("node-ip", CommaList).short('i').agent(),
    flag("node-external-ip", CommaList).agent(),
    flag("node-internal-dns", CommaList).agent(),
    flag("node-external-dns", CommaList).agent(),
    flag("resolv-conf", Value).env("K3S_RESOLV_CONF").agent(),
    flag("flannel-iface", Value).agent(),
    flag("flannel-conf", Value).agent(),
    flag("flannel-cni-conf", Value).agent(),
    flag("vpn-auth", Value).env("K3S_VPN_AUTH").secret().agent(),
    flag("vpn-auth-file", Value)
        .env("K3S_VPN_AUTH_FILE")
        .agent(),
    flag("kubelet-arg", List).agent(),
    flag("kube-proxy-arg", List).agent(),
    flag("protect-kernel-defaults", Switch).agent(),
    flag("secrets-encryption", Switch),
    flag("secrets-encryption-provider", Value),
    flag("enable-pprof", Switch).agent(),
    flag("rootless", Switch).agent(),
    flag("prefer-bundled-bin", Switch).agent(),
    flag("selinux", Switch).env("K3S_SELINUX").agent(),
    flag("disable-selinux", Switch).agent(),
    flag("lb-server-port", Value)
        .env("K3S_LB_SERVER_PORT")
        .agent(),
    flag("disable-agent", Switch),
    flag("no-flannel", Switch).agent(),
    flag("no-deploy", CommaList),
];

/// Looks a flag up by long name or alias, without dashes.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static FlagInfo> {
    let mut chars = name.chars();
    let single = chars.next().filter(|_| chars.next().is_none());
    FLAGS
        .iter()
        .find(|flag| flag.name == name || (single.is_some() && flag.alias == single))
}

/// Whether the value of this flag or config.yaml key is a secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    lookup(name).is_some_and(|flag| flag.secret)
}

/// One flag on a command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Flag {
    /// Long name without dashes (aliases resolved).
    pub name: String,
    /// Its value; `None` for a bare switch.
    pub value: Option<String>,
    /// Index of its first word.
    pub at: usize,
    /// Number of words it takes: 1, or 2 with a separate value.
    pub words: usize,
}

impl std::fmt::Debug for Flag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value: Option<&str> = match &self.value {
            Some(_) if is_secret(&self.name) => Some("‹secret›"),
            other => other.as_deref(),
        };
        f.debug_struct("Flag")
            .field("name", &self.name)
            .field("value", &value)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Reads the words after `k3s server`: `--flag value`, `--flag=value`, `-x value` and switches. A flag
/// unknown here takes the next word unless that starts with a dash. Words that belong to no flag are
/// left out.
#[must_use]
pub fn parse_args(words: &[String]) -> Vec<Flag> {
    let mut flags = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let body = word.trim_start_matches('-');
        let dashes = word.len() - body.len();
        if !(1..=2).contains(&dashes) || body.is_empty() {
            at += 1;
            continue;
        }
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let info = lookup(name);
        let takes_next = inline.is_none()
            && match info.map(|flag| flag.kind) {
                Some(FlagKind::Switch) => false,
                Some(FlagKind::Value | FlagKind::List | FlagKind::CommaList) => {
                    words.get(at + 1).is_some()
                }
                None => words.get(at + 1).is_some_and(|next| !next.starts_with('-')),
            };
        let next = takes_next.then(|| words[at + 1].clone());
        let words_taken = if takes_next { 2 } else { 1 };
        flags.push(Flag {
            name: info.map_or(name, |flag| flag.name).to_owned(),
            value: inline.or(next),
            at,
            words: words_taken,
        });
        at += words_taken;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn reads_every_shape() {
        let flags = parse_args(&words(
            "server --cluster-init --tls-san a --tls-san=b -t secret --disable-kube-proxy --new x --other --node-ip 10.0.0.1",
        ));
        let shown: Vec<(&str, Option<&str>)> = flags
            .iter()
            .map(|f| (f.name.as_str(), f.value.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("cluster-init", None),
                ("tls-san", Some("a")),
                ("tls-san", Some("b")),
                ("token", Some("secret")),
                ("disable-kube-proxy", None),
                ("new", Some("x")),
                ("other", None),
                ("node-ip", Some("10.0.0.1")),
            ]
        );
        assert!(!format!("{flags:?}").contains("secret\""));
    }

    #[test]
    fn the_table_has_no_doubles() {
        for (i, flag) in FLAGS.iter().enumerate() {
            assert!(
                FLAGS[i + 1..].iter().all(|f| f.name != flag.name),
                "{}",
                flag.name
            );
            if flag.alias.is_some() {
                assert!(
                    FLAGS[i + 1..].iter().all(|f| f.alias != flag.alias),
                    "{}",
                    flag.name
                );
            }
        }
    }
}
