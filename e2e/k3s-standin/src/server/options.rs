//! What a server was told: flags, config files and environment, checked and typed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cli::flags::Flags;
use crate::settings::Settings;
use crate::snapshot;
use crate::system;
use crate::token::{Token, hex};
use crate::version::release;

/// Flags that must be equal on all servers (facts B.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Critical {
    cluster_cidr: Vec<String>,
    service_cidr: Vec<String>,
    cluster_dns: Vec<String>,
    cluster_domain: String,
    disable_cloud_controller: bool,
    disable_helm_controller: bool,
    disable_network_policy: bool,
    disable_service_lb: bool,
    flannel_backend: String,
    secrets_encryption: bool,
    /// SHA-256 of the agent token, so that the answer to a joiner holds no secret.
    agent_token: Option<String>,
}

impl Critical {
    /// The first pod network.
    pub(crate) fn pod_network(&self) -> &str {
        self.cluster_cidr
            .first()
            .map_or("10.42.0.0/16", String::as_str)
    }
}

/// Flags of k3s that change what this program would have to do, and that it does not.
const UNSUPPORTED: [&str; 9] = [
    "datastore-endpoint",
    "cluster-secret",
    "disable-apiserver",
    "disable-controller-manager",
    "disable-etcd",
    "rootless",
    "docker",
    "with-node-id",
    "advertise-port",
];

/// Refuses what is not supported instead of ignoring it.
fn refuse_unsupported(flags: &Flags) -> anyhow::Result<()> {
    for name in UNSUPPORTED {
        if flags.value(name).is_some_and(|value| value != "false") {
            bail!("the stand-in does not support --{name}");
        }
    }
    if flags
        .value("https-listen-port")
        .is_some_and(|port| port != "6443")
    {
        bail!("the stand-in listens on 6443 only");
    }
    Ok(())
}

/// Options of the node's agent part, shared by `server` and `agent`.
#[derive(Clone, Debug)]
pub(crate) struct NodeOptions {
    /// Name of the Node object.
    pub(crate) name: String,
    /// Its InternalIP.
    pub(crate) address: IpAddr,
    /// Its ExternalIP, if any.
    pub(crate) external: Option<IpAddr>,
    /// Extra labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Taints as `key=value:effect`.
    pub(crate) taints: Vec<String>,
    /// Command and flags as given, for the annotation `k3s.io/node-args`.
    pub(crate) arguments: Vec<String>,
}

/// What `--cluster-reset` is to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// The database on disk.
    Members,
    /// This snapshot.
    Restore(PathBuf),
}

impl Reset {
    fn new(settings: &Settings, flags: &Flags) -> anyhow::Result<Option<Self>> {
        match (
            flags.switch("cluster-reset"),
            flags.value("cluster-reset-restore-path"),
        ) {
            (false, None) => return Ok(None),
            (false, Some(_)) => bail!(
                "invalid flag use; --cluster-reset required with --cluster-reset-restore-path"
            ),
            (true, _) => {}
        }
        if release().rotates_tokens() && flags.value("server").is_some() {
            bail!(
                "cannot perform cluster-reset while server URL is set - remove server from configuration before resetting"
            );
        }
        let Some(file) = flags.value("cluster-reset-restore-path") else {
            return Ok(Some(Self::Members));
        };
        let token = settings.paths.server("token");
        if flags.value("token").is_none() && flags.value("token-file").is_none() && !token.exists()
        {
            bail!(
                "{} does not exist, please pass --token to complete the restoration",
                settings.paths.shown(&token)
            );
        }
        Ok(Some(Self::Restore(settings.paths.at(file))))
    }
}

/// Everything a server was told.
#[derive(Clone, Debug)]
pub(crate) struct ServerOptions {
    /// Stand-in settings.
    pub(crate) settings: Settings,
    /// The node's own part.
    pub(crate) node: NodeOptions,
    /// Given token, if any.
    pub(crate) token: Option<Token>,
    /// Token for agents only, if any.
    pub(crate) agent_token: Option<String>,
    /// `--server`, if any.
    pub(crate) join: Option<String>,
    /// `--cluster-init`.
    pub(crate) cluster_init: bool,
    /// `--cluster-reset`, if given.
    pub(crate) reset: Option<Reset>,
    /// Address other members and clients are told.
    pub(crate) advertise: IpAddr,
    /// `--tls-san` values.
    pub(crate) tls_sans: Vec<String>,
    /// Whether only names of the cluster and of `--tls-san` get into the certificate of :6443.
    pub(crate) san_security: bool,
    /// Flags compared at a join.
    pub(crate) critical: Critical,
    /// Run no kubelet here.
    pub(crate) disable_agent: bool,
    /// Where the administrator's kubeconfig goes.
    pub(crate) kubeconfig: PathBuf,
    /// And its mode.
    pub(crate) kubeconfig_mode: u32,
    /// First address of the service network.
    pub(crate) service_ip: IpAddr,
    /// Cluster domain.
    pub(crate) domain: String,
    /// Snapshots to take by itself, if any.
    pub(crate) snapshots: Option<snapshot::Plan>,
    /// Further flags for etcd, `name=value`.
    pub(crate) etcd_arguments: Vec<String>,
}

impl ServerOptions {
    /// Types and checks the flags of `k3s server`.
    ///
    /// # Errors
    /// With k3s's text where it has one.
    pub(crate) fn new(
        settings: Settings,
        flags: &Flags,
        arguments: Vec<String>,
    ) -> anyhow::Result<Self> {
        let node = NodeOptions::new(&settings, flags, arguments)?;
        let token = match secret(flags, "token", "token-file")? {
            Some(text) => Some(Token::parse(&text).map_err(anyhow::Error::msg)?),
            None => None,
        };
        let agent_token = secret(flags, "agent-token", "agent-token-file")?;
        let or = |values: Vec<String>, default: &str| {
            if values.is_empty() {
                vec![default.to_owned()]
            } else {
                values
            }
        };
        let service_cidr = or(flags.list("service-cidr"), "10.43.0.0/16");
        let service_ip = nth_address(&service_cidr[0], 1)?;
        let domain = flags
            .value("cluster-domain")
            .unwrap_or("cluster.local")
            .to_owned();
        let disabled = flags.list("disable");
        let critical = Critical {
            cluster_cidr: or(flags.list("cluster-cidr"), "10.42.0.0/16"),
            cluster_dns: or(
                flags.list("cluster-dns"),
                &nth_address(&service_cidr[0], 10)?.to_string(),
            ),
            service_cidr,
            cluster_domain: domain.clone(),
            disable_cloud_controller: flags.switch("disable-cloud-controller"),
            disable_helm_controller: flags.switch("disable-helm-controller"),
            disable_network_policy: flags.switch("disable-network-policy"),
            disable_service_lb: disabled.iter().any(|name| name == "servicelb"),
            flannel_backend: flags.value("flannel-backend").unwrap_or("vxlan").to_owned(),
            secrets_encryption: flags.switch("secrets-encryption"),
            agent_token: agent_token
                .as_ref()
                .map(|token| hex(&Sha256::digest(token.as_bytes()))),
        };
        let join = flags
            .value("server")
            .map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = &join
            && !url.starts_with("https://")
        {
            bail!("only https:// URLs are supported, invalid scheme: {url}");
        }
        if join.is_some() && token.is_none() {
            bail!("--token is required to join a cluster");
        }
        let advertise = match flags.value("advertise-address") {
            None => node.address,
            Some(text) => text
                .parse()
                .with_context(|| format!("invalid advertise-address: {text}"))?,
        };
        let mut settings = settings;
        if let Some(text) = flags.value("bind-address") {
            settings.bind = text
                .parse()
                .with_context(|| format!("invalid bind-address: {text}"))?;
        }
        let mode = flags.value("write-kubeconfig-mode").unwrap_or("600");
        Ok(Self {
            kubeconfig: match flags.value("write-kubeconfig") {
                Some(path) => settings.paths.at(path),
                None => settings.paths.kubeconfig(),
            },
            kubeconfig_mode: u32::from_str_radix(mode, 8)
                .with_context(|| format!("invalid --write-kubeconfig-mode {mode}"))?,
            node,
            advertise,
            token,
            agent_token,
            join,
            cluster_init: flags.switch("cluster-init"),
            reset: Reset::new(&settings, flags)?,
            tls_sans: flags.list("tls-san"),
            san_security: match flags.value("tls-san-security") {
                Some(_) => flags.switch("tls-san-security"),
                // Releases without the flag did not learn names of strangers as recorded.
                None => release().san_security().unwrap_or(true),
            },
            critical,
            disable_agent: flags.switch("disable-agent"),
            service_ip,
            domain,
            snapshots: snapshot::Plan::new(&settings, flags)?,
            etcd_arguments: flags.list("etcd-arg"),
            settings,
        })
    }

    /// Names the certificate of :6443 carries from the start: standard ones, this node's, `--tls-san`.
    pub(crate) fn sans(&self) -> Vec<String> {
        let mut names: Vec<String> = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
            .map(str::to_owned)
            .into();
        names.push(format!("kubernetes.default.svc.{}", self.domain));
        names.extend(["localhost".to_owned(), self.node.name.clone()]);
        names.extend(self.tls_sans.iter().cloned());
        names.extend([
            self.service_ip.to_string(),
            "127.0.0.1".to_owned(),
            self.settings.loopback.to_string(),
            self.node.address.to_string(),
            self.advertise.to_string(),
        ]);
        names.extend(self.node.external.map(|address| address.to_string()));
        names.sort();
        names.dedup();
        names
    }
}

impl NodeOptions {
    /// Types and checks the flags of the agent part.
    ///
    /// # Errors
    /// When the node has no usable name or address.
    pub(crate) fn new(
        settings: &Settings,
        flags: &Flags,
        arguments: Vec<String>,
    ) -> anyhow::Result<Self> {
        if let Some(directory) = flags.value("data-dir")
            && directory != "/var/lib/rancher/k3s"
        {
            bail!("the stand-in keeps its data in /var/lib/rancher/k3s only, not in {directory}");
        }
        refuse_unsupported(flags)?;
        let external = match flags.list("node-external-ip").first() {
            None => None,
            Some(text) => {
                let address = text.parse();
                Some(address.with_context(|| format!("invalid node-external-ip: {text}"))?)
            }
        };
        let name = match flags.value("node-name") {
            Some(name) => name.to_lowercase(),
            None => system::hostname()?,
        };
        let address = match flags.list("node-ip").first() {
            Some(text) => text
                .parse()
                .with_context(|| format!("invalid node-ip: {text}"))?,
            None if settings.loopback.is_loopback() && settings.bind == settings.loopback => {
                settings.loopback
            }
            None => system::primary_address()?,
        };
        let mut labels = BTreeMap::new();
        for label in flags.list("node-label") {
            let (key, value) = label.split_once('=').unwrap_or((label.as_str(), ""));
            labels.insert(key.to_owned(), value.to_owned());
        }
        Ok(Self {
            name,
            address,
            external,
            labels,
            taints: flags.list("node-taint"),
            arguments,
        })
    }
}

/// A secret given directly or in a file.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn secret(flags: &Flags, name: &str, file: &str) -> anyhow::Result<Option<String>> {
    if let Some(value) = flags.value(name) {
        return Ok(Some(value.trim().to_owned()));
    }
    match flags.value(file) {
        None => Ok(None),
        Some(path) => Ok(Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("open {path}"))?
                .trim()
                .to_owned(),
        )),
    }
}

/// The `n`th address of a network in CIDR notation.
fn nth_address(cidr: &str, n: u8) -> anyhow::Result<IpAddr> {
    let (base, _) = cidr
        .split_once('/')
        .with_context(|| format!("invalid CIDR address: {cidr}"))?;
    let base: IpAddr = base
        .parse()
        .with_context(|| format!("invalid CIDR address: {cidr}"))?;
    Ok(match base {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) + u32::from(n)).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) + u128::from(n)).into()),
    })
}
