//! Saving a snapshot: needs the API server, then takes etcd's own snapshot.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyper::Method;
use serde_json::{Value, json};

use super::Job;
use crate::api::resources;
use crate::cli::runtime;
use crate::etcd::Etcd;
use crate::fsutil::{has_entries, make_dir, read};
use crate::logging;
use crate::net::client::{Call, Client};
use crate::net::tls;
use crate::server::objects::CRDS;

/// Deadline of one request.
const REQUEST: Duration = Duration::from_secs(15);
/// ConfigMap in which k3s lists the snapshots of all servers.
pub(super) const CONFIG_MAP: &str = "k3s-etcd-snapshots";

/// Runs `save`.
pub(super) fn run(job: &Job) -> anyhow::Result<()> {
    if !has_entries(&job.settings.paths.etcd_dir().join("member")) {
        bail!("etcd database not found");
    }
    logging::info("Managed etcd cluster bootstrap already complete and initialized");
    let runtime = runtime()?;
    let outcome = runtime.block_on(save(job));
    runtime.shutdown_background();
    outcome
}

async fn save(job: &Job) -> anyhow::Result<()> {
    let api = api(job)?;
    register(&api).await?;
    take(job).await?;
    reconcile(job, &api).await
}

/// Takes a snapshot into the job's directory.
///
/// # Errors
/// When the database does not give it, or what the file system says.
pub(super) async fn take(job: &Job) -> anyhow::Result<()> {
    let seconds = jiff::Timestamp::now().as_second();
    let name = format!("{}-{}-{seconds}", job.name, job.node);
    make_dir(&job.directory, 0o700)?;
    let file = job.directory.join(&name);
    let part = job.directory.join(format!("{name}.part"));
    let shown = job.settings.paths.shown(&file);
    note(&[
        ("msg", "created temporary db file"),
        ("path", &format!("{shown}.part")),
    ]);
    logging::info(format!("Saving etcd snapshot to {shown}"));
    note(&[
        ("logger", "client"),
        ("msg", "opened snapshot stream; downloading"),
    ]);
    let endpoint = std::net::SocketAddr::new(job.settings.loopback, 2379).to_string();
    let url = format!("https://{endpoint}");
    note(&[("msg", "fetching snapshot"), ("endpoint", &url)]);
    let etcd = Etcd::connect(&job.settings.paths, &endpoint, REQUEST)?;
    let size = match fetch(&etcd, &part).await {
        Ok(size) => size,
        Err(error) => {
            // Nothing half-written stays behind; the first failure is the one to report.
            drop(fs::remove_file(&part));
            return Err(error.context("failed to save snapshot"));
        }
    };
    fs::rename(&part, &file).with_context(|| format!("rename {}", part.display()))?;
    note(&[
        ("logger", "client"),
        ("msg", "completed snapshot read; closing"),
    ]);
    note(&[
        ("msg", "fetched snapshot"),
        ("endpoint", &url),
        ("size", &human(size)),
        ("took", "now"),
    ]);
    note(&[("msg", "saved"), ("path", &shown)]);
    Ok(())
}

/// A line of etcd's client library, its fields in this order.
fn note(fields: &[(&str, &str)]) {
    let rest: String = fields
        .iter()
        .map(|(key, value)| format!(",{}:{}", json!(key), json!(value)))
        .collect();
    logging::raw(&format!("{{\"level\":\"info\"{rest}}}"));
}

async fn fetch(etcd: &Etcd, part: &Path) -> anyhow::Result<u64> {
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)
        .with_context(|| format!("open {}", part.display()))?;
    let mut blobs = etcd.snapshot().await?;
    let mut size = 0;
    let mut complete = false;
    while let Some(blob) = blobs.recv().await {
        let blob = blob?;
        complete = blob.remaining == 0;
        size += blob.bytes.len() as u64;
        out.write_all(&blob.bytes).context("write snapshot")?;
    }
    if !complete {
        bail!("snapshot stream ended early");
    }
    out.sync_all().context("write snapshot")?;
    Ok(size)
}

fn human(bytes: u64) -> String {
    if bytes < 1_000_000 {
        format!("{} kB", bytes / 1000)
    } else {
        format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
    }
}

/// A client of the API server's own port with the administrator's certificate.
pub(super) fn api(job: &Job) -> anyhow::Result<Client> {
    let paths = &job.settings.paths;
    let tls = tls::client(
        &read(&paths.tls("server-ca.crt"))?,
        Some((
            &read(&paths.tls("client-admin.crt"))?,
            &read(&paths.tls("client-admin.key"))?,
        )),
    )?;
    let authority = std::net::SocketAddr::new(job.settings.loopback, 6444).to_string();
    Client::new(&authority, tls)
}

/// Without an API server nothing is saved (transcript 11).
///
/// # Errors
/// When it does not answer.
pub(super) async fn register(api: &Client) -> anyhow::Result<()> {
    let path = resources::crds().path(None, None);
    let answer = api
        .send(Call::get(&path, REQUEST))
        .await
        .map_err(|failure| {
            anyhow::anyhow!(
                "failed to register CRDs: Get \"https://{}{path}\": {failure}",
                api.authority()
            )
        })?;
    if !answer.status.is_success() {
        bail!("failed to register CRDs: {}", answer.status);
    }
    for name in CRDS {
        logging::info(format!("Applying CRD {name}"));
    }
    Ok(())
}

/// Brings this node's rows of the ConfigMap in line with its directory.
pub(super) async fn reconcile(job: &Job, api: &Client) -> anyhow::Result<()> {
    logging::info(format!(
        "Reconciling etcd snapshot data in {CONFIG_MAP} ConfigMap"
    ));
    let maps = resources::configmaps();
    let path = maps.path(Some("kube-system"), Some(CONFIG_MAP));
    let present = api.send(Call::get(&path, REQUEST)).await?;
    let map: Value = serde_json::from_slice(&present.body).context("ConfigMap")?;
    let prefix = format!("local-{}-", job.node);
    let mut data = serde_json::Map::new();
    for key in map["data"]
        .as_object()
        .into_iter()
        .flat_map(|data| data.keys())
    {
        if key.starts_with(&prefix) {
            data.insert(key.clone(), Value::Null);
        }
    }
    for snapshot in super::manage::snapshots(job)? {
        let row = json!({
            "name": snapshot.name, "location": snapshot.location, "nodeName": job.node,
            "createdAt": snapshot.created, "size": snapshot.size, "status": "successful",
        });
        data.insert(format!("{prefix}{}", snapshot.name), json!(row.to_string()));
    }
    let object =
        json!({"metadata": {"name": CONFIG_MAP, "namespace": "kube-system"}, "data": data});
    let (method, path, kind) = if present.status.is_success() {
        (Method::PATCH, path, "application/merge-patch+json")
    } else {
        (
            Method::POST,
            maps.path(Some("kube-system"), None),
            "application/json",
        )
    };
    let mut call = Call::post(path, object.to_string().into_bytes(), REQUEST);
    call.method = method;
    call.body = call.body.map(|(_, body)| (kind, body));
    let answer = api.send(call).await?;
    if !answer.status.is_success() {
        bail!("failed to reconcile snapshot ConfigMap: {}", answer.status);
    }
    logging::info(format!(
        "Reconciliation of snapshot data in {CONFIG_MAP} ConfigMap complete"
    ));
    Ok(())
}
