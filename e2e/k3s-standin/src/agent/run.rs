//! The kubelet's life: register, renew the Lease, post the status, look after pods.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::api::ApiClient;
use super::bootstrap::{self, KnownServers, Upstream};
use super::node::{self, Role};
use super::pods::Pods;
use crate::api::resources;
use crate::fsutil::read;
use crate::server::listener::{self, Port};
use crate::server::options::NodeOptions;
use crate::server::serving::server_config;
use crate::settings::Settings;
use crate::token::Token;
use crate::version::release;
use crate::{logging, notify};

/// The Lease is renewed this often.
const RENEW: Duration = Duration::from_secs(10);
/// The status is posted at least this often.
const STATUS: Duration = Duration::from_secs(300);
/// Pods are looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// `k3s agent`: joins through `upstream` and runs until the process ends.
///
/// # Errors
/// When the agent's files cannot be written or its port is taken.
pub(crate) async fn run_command(
    settings: &Settings,
    node: NodeOptions,
    token: Token,
    url: String,
) -> anyhow::Result<()> {
    logging::info(format!(
        "Starting k3s agent {} ({})",
        release().name,
        release().short_commit()
    ));
    let upstream = Arc::new(Upstream::new(url.clone()));
    if let Some(known) = KnownServers::load(&settings.paths, &url) {
        upstream.learn(known.urls());
    }
    run(settings, node, token, upstream, Role::Agent(url), true).await
}

/// Runs the node's part until the process ends.
///
/// # Errors
/// When the agent's files cannot be written or its port is taken.
pub(crate) async fn run(
    settings: &Settings,
    node: NodeOptions,
    token: Token,
    upstream: Arc<Upstream>,
    role: Role,
    announce: bool,
) -> anyhow::Result<()> {
    let identity = bootstrap::identity(settings, &node, &token, &upstream).await?;
    import_images(settings);
    let paths = &settings.paths;
    let serving = server_config(
        &read(&paths.agent("serving-kubelet.crt"))?,
        &read(&paths.agent("serving-kubelet.key"))?,
        &read(&paths.agent("client-ca.crt"))?,
    )?;
    listener::serve(
        SocketAddr::new(settings.bind, 10250),
        Port::Kubelet(serving),
        None,
    )
    .await?;
    let kubelet = Kubelet {
        api: ApiClient::new(&identity, upstream)?,
        node,
        role,
        settings: settings.clone(),
    };
    if announce {
        notify::ready();
    }
    kubelet.live().await;
    Ok(())
}

/// k3s imports archives from `agent/images`; here they are only named.
fn import_images(settings: &Settings) {
    let directory = settings.paths.agent("images");
    let Ok(entries) = std::fs::read_dir(&directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = settings.paths.shown(&entry.path());
        logging::info(format!("Importing images from {path}"));
        logging::info(format!("Imported images from {path} in 0.1s"));
    }
}

struct Kubelet {
    api: ApiClient,
    node: NodeOptions,
    role: Role,
    settings: Settings,
}

impl Kubelet {
    async fn live(&self) {
        let mut registered: Option<Value> = None;
        let mut pods = Pods::default();
        let (mut renewed, mut posted) = (None::<Instant>, None::<Instant>);
        let due = |last: Option<Instant>, every: Duration| {
            last.is_none_or(|at| at.elapsed() >= self.settings.scaled(every))
        };
        loop {
            let round = async {
                if registered.is_none() {
                    registered = Some(self.register().await?);
                    posted = Some(Instant::now());
                }
                if due(renewed, RENEW) {
                    let node = registered.as_ref().context("registered")?;
                    self.renew(node).await?;
                    renewed = Some(Instant::now());
                    self.learn_servers().await?;
                }
                if due(posted, STATUS) || self.marked_unknown().await? {
                    self.post_status().await?;
                    posted = Some(Instant::now());
                }
                pods.look(&self.api, &self.node.name, |real| {
                    self.settings.scaled(real)
                })
                .await
            };
            if let Err(error) = round.await {
                logging::klog(
                    'E',
                    "kubelet.go:2412",
                    format!("\"Error getting node\" err=\"{error:#}\""),
                );
            }
            tokio::time::sleep(self.settings.scaled(LOOK)).await;
        }
    }

    fn path(&self) -> String {
        resources::nodes().path(None, Some(&self.node.name))
    }

    async fn register(&self) -> anyhow::Result<Value> {
        let nodes = resources::nodes().path(None, None);
        if let Some(created) = self
            .api
            .create(&nodes, &node::object(&self.node, &self.role))
            .await?
        {
            logging::klog(
                'I',
                "kubelet_node_status.go:74",
                format!(
                    "\"Successfully registered node\" node=\"{}\"",
                    self.node.name
                ),
            );
            return Ok(created);
        }
        self.api
            .patch(&self.path(), &node::patch(&self.node, &self.role))
            .await?;
        self.post_status().await?;
        self.api
            .get(&self.path())
            .await?
            .context("node vanished while registering")
    }

    async fn post_status(&self) -> anyhow::Result<()> {
        if let Some(present) = self.api.get(&self.path()).await? {
            let patch = node::status_patch(&self.node, &present);
            self.api.patch(&(self.path() + "/status"), &patch).await?;
        }
        Ok(())
    }

    /// Whether the node controller has given us up meanwhile.
    async fn marked_unknown(&self) -> anyhow::Result<bool> {
        let Some(present) = self.api.get(&self.path()).await? else {
            return Ok(false);
        };
        Ok(present["status"]["conditions"]
            .as_array()
            .is_some_and(|list| {
                list.iter()
                    .any(|c| c["type"] == "Ready" && c["status"] != "True")
            }))
    }

    async fn renew(&self, node: &Value) -> anyhow::Result<()> {
        let leases = resources::leases();
        let path = leases.path(Some("kube-node-lease"), Some(&self.node.name));
        let patch =
            json!({"spec": {"renewTime": node::micro_now(), "holderIdentity": self.node.name}});
        if self.api.patch(&path, &patch).await?.is_none() {
            let lease = node::lease(node, &self.node.name);
            self.api
                .create(&leases.path(Some("kube-node-lease"), None), &lease)
                .await?;
        }
        Ok(())
    }

    /// An agent goes on through another server when its first one dies.
    async fn learn_servers(&self) -> anyhow::Result<()> {
        let Role::Agent(url) = &self.role else {
            return Ok(());
        };
        let path = resources::endpoints().path(Some("default"), Some("kubernetes"));
        let Some(endpoints) = self.api.get(&path).await? else {
            return Ok(());
        };
        let addresses = endpoints["subsets"][0]["addresses"]
            .as_array()
            .into_iter()
            .flatten();
        let mut known: Vec<String> = addresses
            .filter_map(|address| Some(format!("{}:6443", address["ip"].as_str()?)))
            .collect();
        known.sort();
        let known = KnownServers {
            server_url: url.clone(),
            server_addresses: known,
        };
        known.save(&self.settings.paths)?;
        self.api.upstream().learn(known.urls());
        Ok(())
    }
}
