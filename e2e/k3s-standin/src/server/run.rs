//! `k3s server` from start to end, in k3s's order: files, database, :6443, API, READY, controllers, node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::datastore::{self, Plan};
use super::dynamic::Factory;
use super::join::{self, Access};
use super::listener::{self, Port};
use super::options::ServerOptions;
use super::prepare::{Prepared, Start, prepare, write_secrets};
use super::serving::{ServingCertificate, server_config};
use super::supervisor::Supervisor;
use super::{bootstrap_data, kubeconfig, objects, reset};
use crate::agent::{self, Role, Upstream, identity};
use crate::api::Api;
use crate::api::store::Store;
use crate::certificate::take_trigger;
use crate::controllers::{Controllers, Setup};
use crate::etcd::Etcd;
use crate::etcd::process::{Ended, Process};
use crate::fsutil::{make_dir, read, remove_if_there, write};
use crate::pki::files;
use crate::snapshot;
use crate::token::Token;
use crate::version::release;
use crate::{logging, notify};

/// Longest wait for the database at a start; then k3s exits and systemd tries again.
const DATABASE: Duration = Duration::from_secs(60);
/// The same with quick timers.
const SHORTEST_WAIT: Duration = Duration::from_secs(30);
/// How long a renewed certificate of :6443 is shown before the Secret's is back: recorded were more than two and less
/// than ten seconds after the start (transcript 15).
const RENEWED: Duration = Duration::from_secs(8);
/// Longest wait for etcd to stop.
pub(super) const STOP: Duration = Duration::from_secs(5);
/// Messages that end the server; the first one counts.
const FATALS: usize = 4;

/// Runs the server; `Ok` after a signal.
///
/// # Errors
/// The fatal message.
pub(crate) async fn run(options: ServerOptions) -> anyhow::Result<()> {
    logging::info(format!(
        "Starting k3s {} ({})",
        release().name,
        release().short_commit()
    ));
    let mut terminate = signal(SignalKind::terminate()).context("signal")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signal")?;
    let mut running = None;
    // `live` ends only by failing; what it has started stays in `running` and is stopped in order either way.
    let reset = options.reset.clone();
    if let Some(reset) = reset {
        return tokio::select! {
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            result = reset::run(&options, &reset) => result,
        };
    }
    let result = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        error = live(options, &mut running) => Err(error),
    };
    if let Some(server) = running {
        server.stop().await;
    }
    result
}

/// What of a running server must be stopped in order.
struct Running {
    process: Process,
    controllers: Option<Controllers>,
}

impl Running {
    async fn stop(self) {
        if let Some(controllers) = self.controllers {
            controllers.stop().await;
        }
        self.process.stop(STOP).await;
    }
}

/// Lives until something fatal happens, and returns it.
async fn live(options: ServerOptions, running: &mut Option<Running>) -> anyhow::Error {
    match start(options, running).await {
        Ok(message) => anyhow::anyhow!(message),
        Err(error) => error,
    }
}

async fn start(options: ServerOptions, running: &mut Option<Running>) -> anyhow::Result<String> {
    let Prepared { start, password } = prepare(&options)
        .await
        .context("preparing server")
        .context("starting kubernetes")?;
    let (plan, access) = match start {
        Start::New => (Plan::NewCluster, None),
        Start::Continue => (Plan::Continue, None),
        Start::Single => (Plan::Single, None),
        Start::Join(access) => {
            let cluster = join::add_member(&options, &access)
                .await
                .context("ETCD join failed")?;
            logging::info(format!(
                "Starting etcd to join cluster with members [{cluster}]"
            ));
            (Plan::Join(cluster), Some(access))
        }
    };
    let (process, etcd) = datastore::start(&options, &plan)?;
    let server = running.insert(Running {
        process,
        controllers: None,
    });

    let (serving, supervisor) = open_public_port(&options, &password).await?;
    let store = Store::new(etcd.clone());
    tokio::select! {
        result = database(&options, access.as_deref(), &etcd) => result?,
        how = server.process.ended() => {
            after_end(&options, &how)?;
            bail!("etcd stopped");
        }
    }
    bootstrap_data::check(&etcd, &options.settings.paths, &password)
        .await
        .context("preparing server")
        .context("starting kubernetes")?;
    write_secrets(&options.settings.paths, &password)?;
    supervisor.database_up(store.clone());
    after_reset(&options, &store).await?;
    open_api(&options, &store, &supervisor).await?;
    notify::ready();

    let (fatal, mut fatals) = mpsc::channel(FATALS);
    let setup = Setup {
        store,
        settings: options.settings.clone(),
        node: options.node.name.clone(),
        address: options.advertise,
        cluster_cidr: options.critical.pod_network().to_owned(),
    };
    server.controllers = Some(Controllers::start(setup, serving, fatal.clone()));
    if let (Some(snapshots), true) = (&options.snapshots, plan != Plan::Single) {
        let (settings, node) = (options.settings.clone(), options.node.name.clone());
        tokio::spawn(snapshot::run_schedule(settings, node, snapshots.clone()));
    }
    if !options.disable_agent {
        start_node(&options, &plan, &password, fatal.clone())?;
    }
    let how = tokio::select! {
        message = fatals.recv() => return Ok(message.unwrap_or_default()),
        how = server.process.ended() => how,
    };
    after_end(&options, &how)?;
    match how {
        Ended::Stopped => bail!("etcd stopped"),
        // The server stays without a database until it is restarted or misses its election.
        Ended::Removed => Ok(fatals.recv().await.unwrap_or_default()),
    }
}

/// :6443 opens before the database is up; until then the API answers 503.
pub(super) async fn open_public_port(
    options: &ServerOptions,
    password: &str,
) -> anyhow::Result<(Arc<ServingCertificate>, Arc<Supervisor>)> {
    let paths = &options.settings.paths;
    let factory = Factory::new(
        files::authority(paths, "server-ca")?,
        options.sans(),
        options.san_security,
    );
    // Restored files may be of another CA.
    if paths.server("db/reset-flag").exists() {
        remove_if_there(&paths.tls("dynamic-cert.json"))?;
    }
    let renewed = take_trigger(paths)?.then(|| options.settings.scaled(RENEWED));
    let serving = Arc::new(ServingCertificate::load(
        factory,
        paths.tls("dynamic-cert.json"),
        read(&paths.tls("client-ca.crt"))?,
        renewed,
    )?);
    let ca_pem = read(&paths.tls("server-ca.crt"))?;
    let supervisor = Arc::new(Supervisor::new(
        options.clone(),
        ca_pem,
        password.to_owned(),
    ));
    let address = SocketAddr::new(options.settings.bind, 6443);
    listener::serve(
        address,
        Port::Public(serving.clone()),
        Some(supervisor.clone()),
    )
    .await?;
    Ok((serving, supervisor))
}

async fn database(
    options: &ServerOptions,
    access: Option<&Access>,
    etcd: &Etcd,
) -> anyhow::Result<()> {
    if let Some(access) = access {
        join::wait_for_vote(options, access).await?;
    }
    let patience = options.settings.scaled_at_least(DATABASE, SHORTEST_WAIT);
    datastore::wait_until_healthy(etcd, patience)
        .await
        .context("apiserver exited")
}

async fn open_api(
    options: &ServerOptions,
    store: &Store,
    supervisor: &Arc<Supervisor>,
) -> anyhow::Result<()> {
    let paths = &options.settings.paths;
    let ca_pem = read(&paths.tls("server-ca.crt"))?;
    objects::create_defaults(store, options, &ca_pem)
        .await
        .context("apiserver exited")?;
    supervisor.api_up(Api::new(store.clone(), options.advertise), store.clone());
    let own = server_config(
        &read(&paths.tls("serving-kube-apiserver.crt"))?,
        &read(&paths.tls("serving-kube-apiserver.key"))?,
        &read(&paths.tls("client-ca.crt"))?,
    )?;
    let local = SocketAddr::new(options.settings.loopback, 6444);
    listener::serve(local, Port::Api(own), Some(supervisor.clone())).await?;
    for name in objects::CRDS {
        logging::info(format!("Applying CRD {name}"));
    }
    let kubeconfig = kubeconfig::admin(
        &format!(
            "https://{}",
            SocketAddr::new(options.settings.loopback, 6443)
        ),
        &ca_pem,
        &read(&paths.tls("client-admin.crt"))?,
        &read(&paths.tls("client-admin.key"))?,
    );
    if let Some(parent) = options.kubeconfig.parent() {
        make_dir(parent, 0o755)?;
    }
    write(&options.kubeconfig, options.kubeconfig_mode, kubeconfig)?;
    logging::info("Node token is available at /var/lib/rancher/k3s/server/token");
    logging::info(format!(
        "To join node to cluster: k3s agent -s https://{}:6443 -t ${{NODE_TOKEN}}",
        options.advertise
    ));
    logging::info(format!(
        "Wrote kubeconfig {}",
        paths.shown(&options.kubeconfig)
    ));
    logging::info("Run: k3s kubectl");
    logging::info("k3s is up and running");
    Ok(())
}

fn start_node(
    options: &ServerOptions,
    plan: &Plan,
    password: &str,
    fatal: mpsc::Sender<String>,
) -> anyhow::Result<()> {
    let member = match plan {
        Plan::Single => None,
        Plan::NewCluster | Plan::Join(_) | Plan::Continue | Plan::Reset => {
            Some(datastore::member_name(options)?)
        }
    };
    let token = Token {
        ca_hash: None,
        user: None,
        password: password.to_owned(),
    };
    let own = SocketAddr::new(options.settings.loopback, 6443);
    let upstream = Arc::new(Upstream::new(format!("https://{own}")));
    let (settings, node) = (options.settings.clone(), options.node.clone());
    tokio::spawn(async move {
        let role = Role::Server(member);
        if let Err(error) = agent::run(&settings, node, token, upstream, role, false).await {
            // The receiver lives as long as the server.
            drop(fatal.send(format!("{error:#}")).await);
        }
    });
    Ok(())
}

/// The first normal start after a reset: another one is possible again, and the node's password of the snapshot's time
/// may not be the one on disk.
async fn after_reset(options: &ServerOptions, store: &Store) -> anyhow::Result<()> {
    if remove_if_there(&options.settings.paths.server("db/reset-flag"))? {
        identity::forget(store, &options.node.name)
            .await
            .context("node password")?;
    }
    Ok(())
}

/// What is left to do when etcd has ended.
fn after_end(options: &ServerOptions, how: &Ended) -> anyhow::Result<()> {
    match how {
        Ended::Stopped => Ok(()),
        Ended::Removed => {
            datastore::mark_removed(options)?;
            logging::info(
                "this node has been removed from the cluster please restart k3s to rejoin the cluster",
            );
            Ok(())
        }
    }
}
