//! `k3s server --cluster-reset [--cluster-reset-restore-path=FILE]` (transcript 14, facts B.4): makes one member out of
//! what is on disk, or out of a snapshot, and ends.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::bootstrap_data;
use super::datastore::{self, OnDisk, Plan};
use super::options::{Reset, ServerOptions};
use super::prepare::{leaf_inputs, open_files, password, remove_leaves, write_secrets};
use super::run::{STOP, open_public_port};
use crate::etcd::Etcd;
use crate::fsutil::{copy_dir, read, write};
use crate::logging;
use crate::pki::files;
use crate::token::Token;
use crate::version::release;

/// A database of its own for a look at the old one takes this long to elect itself.
const RECONCILE: Duration = Duration::from_secs(5);
/// The outcome is looked at this often.
const TICK: Duration = Duration::from_secs(5);
/// Longest wait for the new database.
const DATABASE: Duration = Duration::from_secs(60);

/// The recorded end without an agent part: the work is done, and the process dies of it.
#[derive(Debug)]
pub(crate) struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("panic: runtime error: invalid memory address or nil pointer dereference")
    }
}

impl std::error::Error for Panicked {}

/// Runs the reset to its end.
///
/// # Errors
/// With k3s's messages; [`Panicked`] although the reset is done.
pub(super) async fn run(options: &ServerOptions, reset: &Reset) -> anyhow::Result<()> {
    let password = before(options)
        .await
        .context("preparing server")
        .context("starting kubernetes")?;
    // Whoever has the port keeps it: a running server is not reset.
    let port = open_public_port(options, &password)
        .await
        .context("init cluster datastore and https")
        .context("preparing server")
        .context("starting kubernetes")?;
    let (process, etcd) = start(options, reset)
        .context("start managed database")
        .context("preparing server")
        .context("starting kubernetes")?;
    let outcome = tokio::select! {
        outcome = finish(options, &etcd, &password) => outcome,
        _ = process.ended() => Err(anyhow::anyhow!("etcd stopped")),
    };
    process.stop(STOP).await;
    drop(port);
    outcome?;
    if options.disable_agent {
        return Err(Panicked.into());
    }
    logging::info(
        "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes",
    );
    Ok(())
}

/// Everything up to the database; returns the server token's password.
async fn before(options: &ServerOptions) -> anyhow::Result<String> {
    let paths = &options.settings.paths;
    files::make_directories(paths)?;
    let found = datastore::on_disk(options);
    let password = password(options, found)?;
    let has_files = paths.tls("server-ca.crt").exists();
    open_files(options)?;
    match found {
        OnDisk::Etcd if release().rotates_tokens() => {
            logging::info("Managed etcd cluster bootstrap already complete and initialized");
        }
        OnDisk::Etcd => {
            logging::info("Managed etcd cluster bootstrap already complete and initialized");
            // The old database is that of the last start, whose token is on disk.
            let last = read(&paths.server("token")).ok();
            let last = last.and_then(|text| Token::parse(&text).ok());
            if last.is_some_and(|last| last.password != password) {
                bail!("bootstrap data already found and encrypted with different token");
            }
            logging::info("Starting local etcd to reconcile with datastore");
            logging::info("Reconciling bootstrap data between datastore and disk");
            tokio::time::sleep(options.settings.scaled(RECONCILE)).await;
        }
        OnDisk::None | OnDisk::Tombstone | OnDisk::Sqlite => {
            logging::info("Managed etcd cluster initializing");
        }
    }
    if has_files {
        let backup = paths.server(&format!("tls-{}", jiff::Timestamp::now().as_second()));
        logging::info(format!(
            "Cluster reset: backing up certificates directory to {}",
            paths.shown(&backup)
        ));
        copy_dir(&paths.tls(""), &backup)?;
    }
    Ok(password)
}

fn start(
    options: &ServerOptions,
    reset: &Reset,
) -> anyhow::Result<(crate::etcd::process::Process, Etcd)> {
    let flag = options.settings.paths.server("db/reset-flag");
    match reset {
        Reset::Members if flag.exists() => bail!(
            "cluster-reset was successfully performed, please remove the cluster-reset flag and start k3s normally, if you need to perform another cluster reset, you must first manually delete the {} file",
            options.settings.paths.shown(&flag)
        ),
        Reset::Members => {}
        Reset::Restore(file) => restore(options, file)?,
    }
    datastore::renew_member_name(options)?;
    write(&flag, 0o600, "")?;
    datastore::start(options, &Plan::Reset)
}

/// Puts the old database aside and makes one out of the snapshot.
fn restore(options: &ServerOptions, file: &Path) -> anyhow::Result<()> {
    let (settings, shown) = (&options.settings, options.settings.paths.shown(file));
    match fs::metadata(file) {
        Ok(metadata) if metadata.is_dir() => {
            bail!("etcd: snapshot path must be a file, not a directory: {shown}")
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("etcd: snapshot path does not exist: {shown}")
        }
        Err(error) => return Err(error).with_context(|| format!("stat {shown}")),
    }
    let (name, peer) = (
        datastore::member_name(options)?,
        datastore::peer_url(options),
    );
    let etcd = settings.paths.etcd_dir();
    let aside = etcd.with_file_name(format!("etcd-old-{}", jiff::Timestamp::now().as_second()));
    fs::rename(&etcd, &aside).context("move etcd data")?;
    logging::info(format!(
        "Pre-restore etcd database moved to {}",
        settings.paths.shown(&aside)
    ));
    let output = Command::new(&settings.etcdctl)
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "restore"])
        .arg(file)
        .args(["--name", &name])
        .arg("--data-dir")
        .arg(&etcd)
        .arg(format!("--initial-cluster={name}={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .output()
        .with_context(|| {
            format!(
                "cannot run {} (Debian: etcd-client)",
                settings.etcdctl.display()
            )
        })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last().unwrap_or_default();
        bail!("{}", last.trim_start_matches("Error: "));
    }
    datastore::close_directory(options)
}

/// Waits for the one member; the shared files and the leaves are then those of the database.
async fn finish(options: &ServerOptions, etcd: &Etcd, password: &str) -> anyhow::Result<()> {
    datastore::wait_until_healthy(etcd, options.settings.scaled(DATABASE)).await?;
    let paths = &options.settings.paths;
    if bootstrap_data::restore(etcd, paths, password).await? {
        remove_leaves(paths)?;
    }
    files::issue_leaves(paths, &leaf_inputs(options))?;
    write_secrets(paths, password)?;
    let name = datastore::member_name(options)?;
    loop {
        tokio::time::sleep(options.settings.scaled(TICK)).await;
        let members = etcd.members().await?;
        match members.as_slice() {
            [only] if only.name == name => {
                // The backup of another machine had another address.
                let url = datastore::peer_url(options);
                if !only.peers.contains(&url) {
                    etcd.update_member(&only.id, &url).await?;
                }
                return Ok(());
            }
            _ => logging::warn("failed to update peer url: etcd still has more than one member"),
        }
    }
}
