//! `coxswain serve`: wires everything, listens, and goes down in order.

mod lock;
mod memory;
mod network;
mod restored;
mod sweep;
mod tls;
mod trail;

use std::fs::{DirBuilder, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use coxswain_engine::engine::{Engine, Timing};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::app::{App, Scans};
use crate::audit::head::{HeadFile, KEY_PURPOSE};
use crate::auth::{Auth, Passwords, Throttle};
use crate::config::Config;
use crate::http;
use crate::observe::Observer;
use crate::steps::{Services, registry};
use crate::store::{Db, RunStore};
use crate::time::now;
use crate::vault::{Known, Vault};
use crate::wiring::{Panel, Workflows};
use crate::workflows::Preflights;
use crate::world::{RealWorld, WorldSettings};

pub use lock::{LockError, PanelLock};
pub use memory::keep_memory_private;
pub use restored::{count_start, park_unfinished};
pub use trail::TrailKeeper;

/// A Unix socket's path has 107 bytes; ssh needs some of them below this folder.
const LONGEST_RUNTIME_DIR: usize = 60;

/// Runs the panel until it is told to stop. Jobs on hosts go on; runs go on at the next start.
///
/// # Errors
/// It cannot start: what is missing or wrong.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    make_private(&config.data_dir)?;
    let _lock = PanelLock::take(&config.data_dir)?;
    let listener = network::bind(config.listen)?;
    let address = listener
        .local_addr()
        .context("cannot read the address that was bound")?;

    let db = Db::open(&config.database())
        .await
        .with_context(|| config.database().display().to_string())?;
    db.first_start(now()).await?;
    let restored = count_start(&db, &config.data_dir).await?;
    let known = Arc::new(Known::default());
    let vault = Arc::new(Vault::open(db.clone(), &config.vault_key, known.clone()).await?);
    let sealed = HeadFile::new(&config.data_dir, vault.derived_key(KEY_PURPOSE));
    let trail = TrailKeeper::start(db.clone(), sealed, db.starts().await? == 1).await?;
    let panel = Arc::new(Panel::new(db.clone(), vault.clone()));

    let runtime = RuntimeDir::choose(&config.data_dir)?;
    let settings = WorldSettings::new(runtime.path());
    let world = Arc::new(RealWorld::new(panel.clone(), settings).await?);
    let services = Services {
        world: world.clone(),
        secrets: panel.clone(),
        book: panel.clone(),
        snapshots: panel.clone(),
        drills: panel.clone(),
        now,
    };
    let runs = Arc::new(RunStore::new(db.clone(), known));
    let engine = Engine::new(
        runs.clone(),
        registry(&services),
        Arc::new(Preflights::new(services.clone())),
        now,
        Timing::default(),
    );
    let observer = Observer::start(services, panel);
    let auth = Auth::new(db.clone(), Passwords::new()?, Throttle::default());
    let setup = auth.new_setup_secret().await?;

    let (stop, stopping) = watch::channel(false);
    let app = Arc::new(App {
        planner: Arc::new(Workflows::new(db.clone(), observer.observed())),
        observed: observer.observed(),
        scans: Scans::default(),
        streams: Arc::default(),
        downloads: App::download_limit(),
        config,
        db,
        vault,
        auth,
        runs,
        engine,
        world,
        stopping,
    });
    if restored {
        tracing::warn!("the database was restored from a backup; unfinished runs are parked");
        park_unfinished(&app.runs).await?;
    }
    app.engine.recover().await?;
    let _sweeper = sweep::Sweeper::start(app.db.clone(), app.runs.clone(), app.world.clone());

    let certificate = tls::prepare(&app.config)?;
    let scheme = if certificate.is_some() {
        "https"
    } else {
        "http"
    };
    let base = network::base_url(scheme, address);
    let mut lines = format!(
        "Coxswain {} listens on {base}/\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(fingerprint) = certificate.as_ref().and_then(|c| c.fingerprint.as_ref()) {
        lines += &format!("Its own certificate has the SHA-256 fingerprint {fingerprint}\n");
    }
    if let Some(secret) = setup {
        lines += &format!(
            "Set-up link, valid once: {base}/setup#{}\n",
            secret.expose()
        );
    }
    say(&lines)?;

    let served = network::serve(
        listener,
        certificate.map(|c| c.config),
        http::router(app),
        stop,
    )
    .await;
    trail.stop().await;
    served
}

/// The only things the panel says on standard output.
fn say(lines: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

fn make_private(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the data folder {}", folder.display()))
}

/// For sockets: below the data folder, or, where its name is too long for them, a folder of a random name that
/// nobody else has made. That one goes when it is dropped.
enum RuntimeDir {
    OfData(PathBuf),
    Own(TempDir),
}

impl RuntimeDir {
    fn choose(data_dir: &Path) -> anyhow::Result<Self> {
        match std::path::absolute(data_dir.join("run")) {
            Ok(path) if path.as_os_str().len() <= LONGEST_RUNTIME_DIR => Ok(Self::OfData(path)),
            Ok(_) | Err(_) => Self::own(),
        }
    }

    /// Where systemd keeps what is ours alone; else with other temporary files. Not in the session's folder: that
    /// one goes when its user has signed out, and may be another user's under sudo.
    fn own() -> anyhow::Result<Self> {
        let given = std::env::var("RUNTIME_DIRECTORY").unwrap_or_default();
        let base = given
            .split(':')
            .map(PathBuf::from)
            .find(|path| path.is_absolute() && path.as_os_str().len() < LONGEST_RUNTIME_DIR - 20)
            .unwrap_or_else(std::env::temp_dir);
        let made = tempfile::Builder::new()
            .prefix("coxswain-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&base);
        let made = made.with_context(|| format!("cannot make a folder in {}", base.display()))?;
        Ok(Self::Own(made))
    }

    fn path(&self) -> &Path {
        match self {
            Self::OfData(path) => path,
            Self::Own(folder) => folder.path(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_long_name_gets_a_folder_that_nobody_could_have_made() {
        let short = RuntimeDir::choose(Path::new("/var/lib/coxswain")).unwrap();
        assert_eq!(short.path(), Path::new("/var/lib/coxswain/run"));
        let long = Path::new("/var/lib").join("x".repeat(60));
        let [one, other] = [(); 2].map(|()| RuntimeDir::choose(&long).unwrap());
        assert_ne!(one.path(), other.path());
        let mode = std::fs::metadata(one.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
    }
}
