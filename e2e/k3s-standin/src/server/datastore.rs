//! The server's database on disk and its etcd process: what is there, and how it is started.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rand::Rng as _;
use serde_json::{Value, json};

use super::options::ServerOptions;
use crate::etcd::Etcd;
use crate::etcd::process::{Process, Spec};
use crate::fsutil::{has_entries, make_dir, read, remove_if_there, write};
use crate::logging;
use crate::token::hex;

/// What lies in `server/db`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDisk {
    /// Nothing.
    None,
    /// An etcd member's data.
    Etcd,
    /// etcd data of a member that the cluster removed.
    Tombstone,
    /// A single server's SQLite database.
    Sqlite,
}

/// How the database runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// First member of a new cluster.
    NewCluster,
    /// Joins with these members, `name=peer-url` separated by commas.
    Join(String),
    /// Goes on with what is on disk.
    Continue,
    /// Makes a cluster of one member out of what is on disk.
    Reset,
    /// No etcd to the outside: what k3s does with SQLite.
    Single,
}

/// Wait for one answer of the database while starting.
const PROBE: Duration = Duration::from_secs(2);
/// Deadline of the API's requests: etcd gives up first and says so.
const REQUEST: Duration = Duration::from_secs(30);

/// Looks at the disk.
pub(crate) fn on_disk(options: &ServerOptions) -> OnDisk {
    let etcd = options.settings.paths.etcd_dir();
    if etcd.join("tombstone").exists() {
        OnDisk::Tombstone
    } else if has_entries(&etcd.join("member")) {
        OnDisk::Etcd
    } else if options.settings.paths.server("db/state.db").exists() {
        OnDisk::Sqlite
    } else {
        OnDisk::None
    }
}

/// Puts the data of a removed member aside, so that the server can join anew.
///
/// # Errors
/// What the file system says.
pub(crate) fn bury(options: &ServerOptions) -> anyhow::Result<()> {
    let etcd = options.settings.paths.etcd_dir();
    let aside = etcd.with_file_name(format!("etcd-old-{}", jiff::Timestamp::now().as_second()));
    logging::info(format!(
        "Etcd member was removed, data moved to {}",
        aside.display()
    ));
    fs::rename(&etcd, &aside).context("move removed etcd data")
}

/// Marks the data as that of a removed member.
///
/// # Errors
/// What the file system says.
pub(crate) fn mark_removed(options: &ServerOptions) -> anyhow::Result<()> {
    write(
        &options.settings.paths.etcd_dir().join("tombstone"),
        0o600,
        "",
    )
}

/// This member's name, made up at first use: `<node>-<8 hex>`.
///
/// # Errors
/// What the file system says.
pub(crate) fn member_name(options: &ServerOptions) -> anyhow::Result<String> {
    let file = options.settings.paths.etcd_dir().join("name");
    if let Ok(name) = read(&file) {
        return Ok(name.trim().to_owned());
    }
    make_dir(&options.settings.paths.etcd_dir(), 0o700)?;
    let name = format!(
        "{}-{}",
        options.node.name,
        hex(&rand::rng().random::<[u8; 4]>())
    );
    write(&file, 0o600, &name)?;
    Ok(name)
}

/// Makes up a new member name, as a reset does.
///
/// # Errors
/// What the file system says.
pub(crate) fn renew_member_name(options: &ServerOptions) -> anyhow::Result<()> {
    remove_if_there(&options.settings.paths.etcd_dir().join("name"))?;
    member_name(options).map(drop)
}

/// Gives etcd's directory the mode it has under k3s.
///
/// # Errors
/// What the file system says.
pub(crate) fn close_directory(options: &ServerOptions) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(
        options.settings.paths.etcd_dir(),
        fs::Permissions::from_mode(0o700),
    )
    .context("mode of etcd's directory")
}

/// Forgets the member name, as k3s does when another member has this node's name.
///
/// # Errors
/// What the file system says.
pub(crate) fn forget_member_name(options: &ServerOptions) -> anyhow::Result<()> {
    fs::remove_file(options.settings.paths.etcd_dir().join("name")).context("etcd name file")
}

/// `https://<node address>:2380`.
pub(crate) fn peer_url(options: &ServerOptions) -> String {
    format!(
        "https://{}",
        std::net::SocketAddr::new(options.node.address, 2380)
    )
}

/// Starts etcd and returns it with a client for it.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn start(options: &ServerOptions, plan: &Plan) -> anyhow::Result<(Process, Etcd)> {
    let paths = &options.settings.paths;
    let (config, port) = match plan {
        Plan::Single => {
            make_dir(&paths.server("db/kine"), 0o700)?;
            // The mark by which a single server's database is told from etcd's.
            let mut header = b"SQLite format 3\0".to_vec();
            header.resize(4096, 0);
            crate::fsutil::write_new(&paths.server("db/state.db"), 0o644, header)?;
            (paths.server("db/kine/config"), 2399)
        }
        Plan::NewCluster | Plan::Join(_) | Plan::Continue | Plan::Reset => {
            (paths.etcd_dir().join("config"), 2379)
        }
    };
    let text = serde_yaml_ng::to_string(&configuration(options, plan)?).context("etcd config")?;
    write(&config, 0o600, text)?;
    let process = Process::start(&Spec {
        program: options.settings.etcd.clone(),
        arguments: vec![format!("--config-file={}", config.display())],
    })?;
    let authority = std::net::SocketAddr::new(options.settings.loopback, port).to_string();
    Ok((process, Etcd::connect(paths, &authority, REQUEST)?))
}

fn configuration(options: &ServerOptions, plan: &Plan) -> anyhow::Result<Value> {
    let settings = &options.settings;
    let tls = |stem: &str, ca: &str| {
        let file = |name: String| settings.paths.tls(&name).display().to_string();
        json!({
            "cert-file": file(format!("etcd/{stem}.crt")),
            "key-file": file(format!("etcd/{stem}.key")),
            "trusted-ca-file": file(format!("etcd/{ca}.crt")),
            "client-cert-auth": true,
        })
    };
    let url = |scheme: &str, address, port| {
        format!("{scheme}://{}", std::net::SocketAddr::new(address, port))
    };
    let milliseconds = |real: u64, least: u64| {
        let (whole, least) = (Duration::from_millis(real), Duration::from_millis(least));
        let scaled = settings.scaled_at_least(whole, least).as_millis();
        u64::try_from(scaled).unwrap_or(real)
    };
    let local = settings.loopback;
    let single = *plan == Plan::Single;
    let (name, directory): (String, PathBuf) = if single {
        ("kine".to_owned(), settings.paths.server("db/kine"))
    } else {
        (member_name(options)?, settings.paths.etcd_dir())
    };
    let peer = if single {
        url("https", local, 2398)
    } else {
        peer_url(options)
    };
    let (clients, advertised) = if single {
        (url("https", local, 2399), url("https", local, 2399))
    } else {
        let own = url("https", options.node.address, 2379);
        let mut urls = vec![url("https", local, 2379), own.clone()];
        urls.dedup();
        (urls.join(","), own)
    };
    let own = format!("{name}={peer}");
    let (state, cluster) = match plan {
        Plan::NewCluster | Plan::Single | Plan::Reset => ("new", own),
        Plan::Join(members) => ("existing", members.clone()),
        Plan::Continue => ("existing", own),
    };
    let mut config = json!({
        "name": name,
        "data-dir": directory.display().to_string(),
        "listen-client-urls": clients,
        "advertise-client-urls": advertised,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": cluster,
        "initial-cluster-state": state,
        "force-new-cluster": *plan == Plan::Reset,
        "client-transport-security": tls("server-client", "server-ca"),
        "peer-transport-security": tls("peer-server-client", "peer-ca"),
        // On by default in k3s's etcd 3.5: a member that was cut off does not unseat the leader when it is back.
        "pre-vote": true,
        // k3s's values.
        "heartbeat-interval": milliseconds(500, 100),
        "election-timeout": milliseconds(5000, 1000),
        "snapshot-count": 10_000,
        "experimental-initial-corrupt-check": true,
        // On by default for flags, off for a configuration file.
        "enable-grpc-gateway": true,
        "logger": "zap",
        "log-outputs": ["stderr"],
        // The API server compacts every five minutes; here etcd does it itself.
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "10m",
    });
    if !single {
        config["listen-metrics-urls"] = json!(url("http", local, 2381));
    }
    for argument in &options.etcd_arguments {
        if let Some((key, value)) = argument.split_once('=') {
            config[key.trim_start_matches('-')] =
                serde_json::from_str(value).unwrap_or(json!(value));
        }
    }
    Ok(config)
}

/// Waits until the database commits, for at most `patience`.
///
/// # Errors
/// `context deadline exceeded`.
pub(crate) async fn wait_until_healthy(etcd: &Etcd, patience: Duration) -> anyhow::Result<()> {
    let probe = etcd.with_timeout(PROBE);
    let wait = async {
        while !probe.healthy().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(patience, wait)
        .await
        .map_err(|_| anyhow::anyhow!("context deadline exceeded"))
}
