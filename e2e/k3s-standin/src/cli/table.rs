//! The flags of `server`, `agent` and `etcd-snapshot` as v1.22.4 knows them, and the few
//! of later releases that matter here. What a release does not have is refused, as there.

use super::flags::{Flag, Kind};
use crate::version::release;
use Kind::{List, Number, Switch, Value};

const fn flag(name: &'static str, kind: Kind, usage: &'static str) -> Flag {
    Flag {
        name,
        short: "",
        kind,
        env: &[],
        usage,
        hidden: false,
    }
}

impl Flag {
    const fn short(self, short: &'static str) -> Self {
        Self { short, ..self }
    }

    const fn env(self, env: &'static [&'static str]) -> Self {
        Self { env, ..self }
    }

    const fn hidden(self) -> Self {
        Self {
            hidden: true,
            ..self
        }
    }
}

/// Flags both `server` and `agent` take for the node's agent part.
const NODE: [Flag; 22] = [
    flag("node-name", Value, "(agent/node) Node name").env(&["K3S_NODE_NAME"]),
    flag(
        "with-node-id",
        Switch,
        "(agent/node) Append id to node name",
    ),
    flag(
        "node-label",
        List,
        "(agent/node) Registering and starting kubelet with set of labels",
    ),
    flag(
        "node-taint",
        List,
        "(agent/node) Registering kubelet with set of taints",
    ),
    flag(
        "image-credential-provider-bin-dir",
        Value,
        "(agent/node) The path to the directory where credential provider plugin binaries are located",
    ),
    flag(
        "image-credential-provider-config",
        Value,
        "(agent/node) The path to the credential provider plugin config file",
    ),
    flag(
        "docker",
        Switch,
        "(agent/runtime) Use docker instead of containerd",
    ),
    flag(
        "container-runtime-endpoint",
        Value,
        "(agent/runtime) Disable embedded containerd and use alternative CRI implementation",
    ),
    flag(
        "pause-image",
        Value,
        "(agent/runtime) Customized pause image for containerd or docker sandbox",
    ),
    flag(
        "snapshotter",
        Value,
        "(agent/runtime) Override default containerd snapshotter",
    ),
    flag(
        "private-registry",
        Value,
        "(agent/runtime) Private registry configuration file",
    ),
    flag(
        "node-ip",
        List,
        "(agent/networking) IPv4/IPv6 addresses to advertise for node",
    )
    .short("i"),
    flag(
        "node-external-ip",
        List,
        "(agent/networking) IPv4/IPv6 external IP addresses to advertise for node",
    ),
    flag(
        "resolv-conf",
        Value,
        "(agent/networking) Kubelet resolv.conf file",
    )
    .env(&["K3S_RESOLV_CONF"]),
    flag(
        "flannel-iface",
        Value,
        "(agent/networking) Override default flannel interface",
    ),
    flag(
        "flannel-conf",
        Value,
        "(agent/networking) Override default flannel config file",
    ),
    flag(
        "kubelet-arg",
        List,
        "(agent/flags) Customized flag for kubelet process",
    ),
    flag(
        "kube-proxy-arg",
        List,
        "(agent/flags) Customized flag for kube-proxy process",
    ),
    flag(
        "protect-kernel-defaults",
        Switch,
        "(agent/node) Kernel tuning behavior. If set, error if kernel tunables are different than kubelet defaults.",
    ),
    flag("rootless", Switch, "(experimental) Run rootless"),
    flag(
        "selinux",
        Switch,
        "(agent/node) Enable SELinux in containerd",
    )
    .env(&["K3S_SELINUX"]),
    flag(
        "lb-server-port",
        Number,
        "(agent/node) Local port for supervisor client load-balancer",
    )
    .env(&["K3S_LB_SERVER_PORT"]),
];

/// Flags of every long-running command.
const COMMON: [Flag; 7] = [
    flag("config", Value, "(config) Load configuration from FILE").short("c").env(&["K3S_CONFIG_FILE"]),
    flag("debug", Switch, "(logging) Turn on debug logs").env(&["K3S_DEBUG"]),
    flag("v", Number, "(logging) Number for the log level verbosity"),
    flag("vmodule", Value, "(logging) Comma-separated list of pattern=N settings for file-filtered logging"),
    flag("log", Value, "(logging) Log to file").short("l"),
    flag("alsologtostderr", Switch, "(logging) Log to standard error as well as file (if set)"),
    flag("data-dir", Value, "(data) Folder to hold state default /var/lib/rancher/k3s or ${HOME}/.rancher/k3s if not root").short("d"),
];

const SERVER: [Flag; 56] = [
    flag("bind-address", Value, "(listener) k3s bind address"),
    flag("https-listen-port", Number, "(listener) HTTPS listen port"),
    flag(
        "advertise-address",
        Value,
        "(listener) IPv4 address that apiserver uses to advertise to members of the cluster",
    ),
    flag(
        "advertise-port",
        Number,
        "(listener) Port that apiserver uses to advertise to members of the cluster",
    ),
    flag(
        "tls-san",
        List,
        "(listener) Add additional hostnames or IPv4/IPv6 addresses as Subject Alternative Names on the server TLS cert",
    ),
    flag(
        "cluster-cidr",
        List,
        "(networking) IPv4/IPv6 network CIDRs to use for pod IPs",
    ),
    flag(
        "service-cidr",
        List,
        "(networking) IPv4/IPv6 network CIDRs to use for service IPs",
    ),
    flag(
        "service-node-port-range",
        Value,
        "(networking) Port range to reserve for services with NodePort visibility",
    ),
    flag(
        "cluster-dns",
        List,
        "(networking) IPv4 Cluster IP for coredns service. Should be in your service-cidr range",
    ),
    flag("cluster-domain", Value, "(networking) Cluster Domain"),
    flag(
        "flannel-backend",
        Value,
        "(networking) One of 'none', 'vxlan', 'ipsec', 'host-gw', or 'wireguard'",
    ),
    flag(
        "token",
        Value,
        "(cluster) Shared secret used to join a server or agent to a cluster",
    )
    .short("t")
    .env(&["K3S_TOKEN"]),
    flag(
        "token-file",
        Value,
        "(cluster) File containing the cluster-secret/token",
    )
    .env(&["K3S_TOKEN_FILE"]),
    flag(
        "write-kubeconfig",
        Value,
        "(client) Write kubeconfig for admin client to this file",
    )
    .short("o")
    .env(&["K3S_KUBECONFIG_OUTPUT"]),
    flag(
        "write-kubeconfig-mode",
        Value,
        "(client) Write kubeconfig with this mode",
    )
    .env(&["K3S_KUBECONFIG_MODE"]),
    flag("etcd-arg", List, "(flags) Customized flag for etcd process"),
    flag(
        "kube-apiserver-arg",
        List,
        "(flags) Customized flag for kube-apiserver process",
    ),
    flag(
        "kube-scheduler-arg",
        List,
        "(flags) Customized flag for kube-scheduler process",
    ),
    flag(
        "kube-controller-manager-arg",
        List,
        "(flags) Customized flag for kube-controller-manager process",
    ),
    flag(
        "kube-cloud-controller-manager-arg",
        List,
        "(flags) Customized flag for kube-cloud-controller-manager process",
    ),
    flag(
        "datastore-endpoint",
        Value,
        "(db) Specify etcd, Mysql, Postgres, or Sqlite (default) data source name",
    )
    .env(&["K3S_DATASTORE_ENDPOINT"]),
    flag(
        "datastore-cafile",
        Value,
        "(db) TLS Certificate Authority file used to secure datastore backend communication",
    )
    .env(&["K3S_DATASTORE_CAFILE"]),
    flag(
        "datastore-certfile",
        Value,
        "(db) TLS certification file used to secure datastore backend communication",
    )
    .env(&["K3S_DATASTORE_CERTFILE"]),
    flag(
        "datastore-keyfile",
        Value,
        "(db) TLS key file used to secure datastore backend communication",
    )
    .env(&["K3S_DATASTORE_KEYFILE"]),
    flag(
        "etcd-expose-metrics",
        Switch,
        "(db) Expose etcd metrics to client interface.",
    ),
    flag(
        "etcd-disable-snapshots",
        Switch,
        "(db) Disable automatic etcd snapshots",
    ),
    flag(
        "etcd-snapshot-name",
        Value,
        "(db) Set the base name of etcd snapshots",
    ),
    flag(
        "etcd-snapshot-schedule-cron",
        Value,
        "(db) Snapshot interval time in cron spec",
    ),
    flag(
        "etcd-snapshot-retention",
        Number,
        "(db) Number of snapshots to retain",
    ),
    flag(
        "etcd-snapshot-dir",
        Value,
        "(db) Directory to save db snapshots",
    ),
    flag(
        "default-local-storage-path",
        Value,
        "(storage) Default local storage path for local provisioner storage class",
    ),
    flag(
        "disable",
        List,
        "(components) Do not deploy packaged components and delete any deployed components",
    ),
    flag(
        "disable-scheduler",
        Switch,
        "(components) Disable Kubernetes default scheduler",
    ),
    flag(
        "disable-cloud-controller",
        Switch,
        "(components) Disable k3s default cloud controller manager",
    ),
    flag(
        "disable-kube-proxy",
        Switch,
        "(components) Disable running kube-proxy",
    ),
    flag(
        "disable-network-policy",
        Switch,
        "(components) Disable k3s default network policy controller",
    ),
    flag(
        "disable-helm-controller",
        Switch,
        "(components) Disable Helm controller",
    ),
    flag(
        "agent-token",
        Value,
        "(cluster) Shared secret used to join agents to the cluster, but not servers",
    )
    .env(&["K3S_AGENT_TOKEN"]),
    flag(
        "agent-token-file",
        Value,
        "(cluster) File containing the agent secret",
    )
    .env(&["K3S_AGENT_TOKEN_FILE"]),
    flag(
        "server",
        Value,
        "(cluster) Server to connect to, used to join a cluster",
    )
    .short("s")
    .env(&["K3S_URL"]),
    flag(
        "cluster-init",
        Switch,
        "(cluster) Initialize a new cluster using embedded Etcd",
    )
    .env(&["K3S_CLUSTER_INIT"]),
    flag(
        "cluster-reset",
        Switch,
        "(cluster) Forget all peers and become sole member of a new cluster",
    )
    .env(&["K3S_CLUSTER_RESET"]),
    flag(
        "cluster-reset-restore-path",
        Value,
        "(db) Path to snapshot file to be restored",
    ),
    flag(
        "secrets-encryption",
        Switch,
        "(experimental) Enable Secret encryption at rest",
    ),
    flag(
        "system-default-registry",
        Value,
        "(image) Private registry to be used for all system images",
    )
    .env(&["K3S_SYSTEM_DEFAULT_REGISTRY"]),
    flag(
        "disable-agent",
        Switch,
        "Do not run a local agent and register a local kubelet",
    )
    .hidden(),
    flag("disable-apiserver", Switch, "Disable running api server").hidden(),
    flag(
        "disable-controller-manager",
        Switch,
        "Disable running kube-controller-manager",
    )
    .hidden(),
    flag("disable-etcd", Switch, "Disable running etcd").hidden(),
    flag("kube-controller-arg", List, "Deprecated").hidden(),
    flag("kube-cloud-controller-arg", List, "Deprecated").hidden(),
    flag("no-flannel", Switch, "Deprecated").hidden(),
    flag("no-deploy", List, "Deprecated").hidden(),
    flag("cluster-secret", Value, "Deprecated")
        .hidden()
        .env(&["K3S_CLUSTER_SECRET"]),
    flag("storage-backend", Value, "Deprecated").hidden(),
    flag("enable-pprof", Switch, "Deprecated").hidden(),
];

const AGENT: [Flag; 3] = [
    flag("token", Value, "(cluster) Token to use for authentication")
        .short("t")
        .env(&["K3S_TOKEN"]),
    flag(
        "token-file",
        Value,
        "(cluster) Token file to use for authentication",
    )
    .env(&["K3S_TOKEN_FILE"]),
    flag("server", Value, "(cluster) Server to connect to")
        .short("s")
        .env(&["K3S_URL"]),
];

const SNAPSHOT: [Flag; 9] = [
    flag("debug", Switch, "(logging) Turn on debug logs").env(&["K3S_DEBUG"]),
    flag("config", Value, "(config) Load configuration from FILE")
        .short("c")
        .env(&["K3S_CONFIG_FILE"]),
    flag("log", Value, "(logging) Log to file").short("l"),
    flag("data-dir", Value, "(data) Folder to hold state").short("d"),
    flag(
        "name",
        Value,
        "(db) Set the base name of the etcd on-demand snapshot (appended with UNIX timestamp)",
    ),
    flag(
        "dir",
        Value,
        "(db) Directory to save etcd on-demand snapshot. (default: ${data-dir}/db/snapshots)",
    ),
    flag(
        "etcd-snapshot-dir",
        Value,
        "(db) Directory to save db snapshots",
    )
    .hidden(),
    flag(
        "snapshot-retention",
        Number,
        "(db) Number of snapshots to retain.",
    ),
    flag("node-name", Value, "(agent/node) Node name").env(&["K3S_NODE_NAME"]),
];

const CERTIFICATE: [Flag; 6] = [
    flag("debug", Switch, "(logging) Turn on debug logs").env(&["K3S_DEBUG"]),
    flag("config", Value, "(config) Load configuration from FILE")
        .short("c")
        .env(&["K3S_CONFIG_FILE"]),
    flag("log", Value, "(logging) Log to file").short("l"),
    flag(
        "alsologtostderr",
        Switch,
        "(logging) Log to standard error as well as file (if set)",
    ),
    flag("data-dir", Value, "(data) Folder to hold state").short("d"),
    flag(
        "service",
        List,
        "List of services to rotate certificates for. Options include (admin, api-server, controller-manager, scheduler, k3s-controller, k3s-server, cloud-controller, etcd, auth-proxy, kubelet, kube-proxy)",
    )
    .short("s"),
];

const TOKEN: [Flag; 5] = [
    flag("debug", Switch, "(logging) Turn on debug logs").env(&["K3S_DEBUG"]),
    flag("data-dir", Value, "(data) Folder to hold state").short("d"),
    flag(
        "token",
        Value,
        "Existing token used to join a server or agent to a cluster",
    )
    .short("t")
    .env(&["K3S_TOKEN"]),
    flag(
        "server",
        Value,
        "(cluster) Server to connect to (default: \"https://127.0.0.1:6443\")",
    )
    .short("s")
    .env(&["K3S_URL"]),
    flag("new-token", Value, "New token that replaces existing token"),
];

const OUTPUT: Flag = flag(
    "output",
    Value,
    "Format output. Options: text, table, json, yaml (default: \"text\")",
)
.short("o");

const SAN_SECURITY: Flag = flag(
    "tls-san-security",
    Switch,
    "(listener) Protect the server TLS cert by refusing to add Subject Alternative Names not associated with the kubernetes apiserver service, server nodes, or values of the tls-san option",
);

/// Flags of `k3s server`.
pub(crate) fn server() -> Vec<Flag> {
    let mut flags = [&COMMON[..], &SERVER, &NODE].concat();
    flags.extend(release().san_security().map(|_| SAN_SECURITY));
    flags
}

/// Flags of `k3s token rotate`.
pub(crate) fn token() -> Vec<Flag> {
    TOKEN.to_vec()
}

/// Flags of `k3s certificate <verb>`.
pub(crate) fn certificate(verb: &str) -> Vec<Flag> {
    let mut flags = CERTIFICATE.to_vec();
    if verb == "check" && release().formats_certificates() {
        flags.push(OUTPUT);
    }
    flags
}

/// Flags of `k3s agent`.
pub(crate) fn agent() -> Vec<Flag> {
    [&COMMON[..], &AGENT, &NODE].concat()
}

/// Flags of `k3s etcd-snapshot` and its subcommands.
pub(crate) fn snapshot() -> Vec<Flag> {
    SNAPSHOT.to_vec()
}
