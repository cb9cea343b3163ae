//! Before the database starts: what to start, the token, the certificates, the files around them.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context as _, bail};

use super::datastore::{self, OnDisk};
use super::join::{self, Access};
use super::kubeconfig;
use super::options::ServerOptions;
use crate::fsutil::{read, write};
use crate::logging;
use crate::paths::Paths;
use crate::pki::files::{self, LeafInputs};
use crate::token::Token;

/// How the database is to start.
pub(super) enum Start {
    /// A new cluster.
    New,
    /// What is on disk goes on.
    Continue,
    /// Without etcd to the outside.
    Single,
    /// As a further member, through this server.
    Join(Box<Access>),
}

/// Result of the preparation.
pub(super) struct Prepared {
    /// How the database is to start.
    pub(super) start: Start,
    /// Password of the server token.
    pub(super) password: String,
}

/// Decides, and lays down all files a server has before its database runs.
///
/// # Errors
/// With k3s's messages.
pub(super) async fn prepare(options: &ServerOptions) -> anyhow::Result<Prepared> {
    let paths = &options.settings.paths;
    files::make_directories(paths)?;
    if datastore::on_disk(options) == OnDisk::Tombstone {
        datastore::bury(options)?;
    }
    let found = datastore::on_disk(options);
    let (start, password) = match (found, &options.join) {
        (OnDisk::Etcd | OnDisk::Sqlite, _) => {
            let password = password(options, found)?;
            let start = if found == OnDisk::Etcd {
                logging::info("Managed etcd cluster bootstrap already complete and initialized");
                Start::Continue
            } else {
                Start::Single
            };
            (start, password)
        }
        (OnDisk::None | OnDisk::Tombstone, Some(url)) => {
            let token = options.token.as_ref().context("--token is required")?;
            logging::info("Managed etcd cluster not yet initialized");
            let access = Access::open(url, token, "server").await?;
            let old_ca = read(&paths.tls("server-ca.crt")).ok();
            join::prepare(options, &access).await?;
            if old_ca.is_some_and(|old| old != access.ca_pem) {
                remove_leaves(paths)?;
            }
            (Start::Join(Box::new(access)), token.password.clone())
        }
        (OnDisk::None | OnDisk::Tombstone, None) => {
            let start = if options.cluster_init {
                logging::info("Managed etcd cluster initializing");
                Start::New
            } else {
                Start::Single
            };
            (start, password(options, found)?)
        }
    };
    open_files(options)?;
    Ok(Prepared { start, password })
}

/// Lays down what of a server's files is missing.
///
/// # Errors
/// When signing or writing fails.
pub(super) fn open_files(options: &ServerOptions) -> anyhow::Result<()> {
    let paths = &options.settings.paths;
    files::create_shared(paths)?;
    files::issue_leaves(paths, &leaf_inputs(options))
}

/// Writes the server token's files, once it is known to be the cluster's.
///
/// # Errors
/// What the file system says.
pub(super) fn write_secrets(paths: &Paths, password: &str) -> anyhow::Result<()> {
    write_token(paths, password)?;
    write_credentials(paths, password)
}

/// The server token's password: as given, of the last start, or new. The database says whether it is right.
///
/// # Errors
/// When there is a database and none is known.
pub(super) fn password(options: &ServerOptions, found: OnDisk) -> anyhow::Result<String> {
    let stored = read(&options.settings.paths.server("token")).ok();
    let stored = stored
        .and_then(|text| Token::parse(&text).ok())
        .map(|token| token.password);
    let given = options.token.as_ref().map(|token| token.password.clone());
    match (given.or(stored), found) {
        (Some(password), _) => Ok(password),
        (None, OnDisk::None | OnDisk::Tombstone) => Ok(Token::random_password()),
        (None, OnDisk::Etcd | OnDisk::Sqlite) => {
            bail!("no token for the existing database: server/token is missing")
        }
    }
}

pub(super) fn leaf_inputs(options: &ServerOptions) -> LeafInputs {
    LeafInputs {
        node: options.node.name.clone(),
        address: options.node.address,
        loopback: options.settings.loopback,
        service_ip: options.service_ip,
        domain: options.domain.clone(),
    }
}

/// Certificates of another cluster's CA are worthless.
///
/// # Errors
/// What the file system says.
pub(super) fn remove_leaves(paths: &Paths) -> anyhow::Result<()> {
    for directory in ["", "etcd"] {
        for entry in fs::read_dir(paths.tls(directory)).context("read server/tls")? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let leaf = name.ends_with(".crt") && !name.ends_with("-ca.crt");
            if leaf || name == "dynamic-cert.json" {
                fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
    }
    Ok(())
}

fn write_token(paths: &Paths, password: &str) -> anyhow::Result<()> {
    let ca_pem = read(&paths.tls("server-ca.crt"))?;
    let token = paths.server("token");
    write(&token, 0o600, Token::file(&ca_pem, password))?;
    let link = paths.server("node-token");
    if link.symlink_metadata().is_err() {
        symlink(&token, &link).context("link node-token")?;
    }
    Ok(())
}

fn write_credentials(paths: &Paths, password: &str) -> anyhow::Result<()> {
    let rows = format!("{password},node,node,k3s:agent\n{password},server,server,k3s:server\n");
    write(&paths.server("cred/passwd"), 0o600, rows)?;
    let shown = |name: &str| paths.shown(&paths.tls(name));
    for (file, stem) in [
        ("admin", "client-admin"),
        ("controller", "client-controller"),
        ("scheduler", "client-scheduler"),
        ("api-server", "client-kube-apiserver"),
        ("cloud-controller", "client-k3s-cloud-controller"),
    ] {
        let text = kubeconfig::component(
            "https://127.0.0.1:6444",
            &shown("server-ca.crt"),
            &shown(&format!("{stem}.crt")),
            &shown(&format!("{stem}.key")),
        );
        write(
            &paths.server(&format!("cred/{file}.kubeconfig")),
            0o600,
            text,
        )?;
    }
    Ok(())
}
