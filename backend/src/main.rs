//! Command line of the panel.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use coxswain::audit::Flaw;
use coxswain::audit::head::{HeadFile, KEY_PURPOSE};
use coxswain::config::{Config, Options, Proxies};
use coxswain::serve::{keep_memory_private, serve};
use coxswain::store::verify_file;
use coxswain::vault::derived_key;
use tracing_subscriber::EnvFilter;

/// Exit status of a verification without the vault key that has found nothing wrong.
const END_UNCHECKED: u8 = 2;

/// Control panel for k3s high-availability clusters.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the panel.
    Serve(Serve),
    /// Works with the audit trail.
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Args)]
struct DataDir {
    /// Folder of the database; made at the first start.
    #[arg(long, env = "COXSWAIN_DATA_DIR", default_value = "coxswain-data")]
    data_dir: PathBuf,
}

#[derive(Args)]
struct VaultKey {
    /// The vault's key: 64 hex digits, mode 0600, made at the first start. [default: `vault.key` in the data
    /// folder, or systemd's credential `coxswain-vault-key`]
    #[arg(long, env = "COXSWAIN_VAULT_KEY_FILE")]
    vault_key_file: Option<PathBuf>,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    data: DataDir,
    /// Address and port to listen on. Any but loopback needs TLS or a trusted proxy.
    #[arg(long, env = "COXSWAIN_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Folder with the page's files. [default: `dist` beside the program, else in the current folder]
    #[arg(long, env = "COXSWAIN_WEB_DIR")]
    web_dir: Option<PathBuf>,
    #[command(flatten)]
    key: VaultKey,
    /// Certificate chain for HTTPS, PEM.
    #[arg(long, env = "COXSWAIN_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, env = "COXSWAIN_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// HTTPS with a certificate that the panel makes, keeps in the data folder, and whose fingerprint it prints.
    #[arg(long, env = "COXSWAIN_TLS_SELF_SIGNED")]
    tls_self_signed: bool,
    /// Address (10.0.0.7) or network (10.42.0.0/16) that a proxy which does HTTPS connects from; its X-Forwarded-For
    /// is believed, and nobody else is answered. Of a network, every machine is believed. May be given several
    /// times.
    #[arg(
        long,
        env = "COXSWAIN_TRUSTED_PROXY",
        value_delimiter = ',',
        value_name = "ADDRESS_OR_NETWORK"
    )]
    trusted_proxy: Vec<Proxies>,
}

#[derive(Subcommand)]
enum Audit {
    /// Checks the whole trail, with or without a running panel: its hash chain, its end (sealed with the vault's
    /// key outside the database), and the logs of runs. Names the first thing that does not fit.
    Verify {
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        key: VaultKey,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("COXSWAIN_LOG").unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            // The error with all its causes, for the person who started it.
            let mut stderr = std::io::stderr().lock();
            writeln!(stderr, "coxswain: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    keep_memory_private().context("cannot keep the memory from others")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads to work with")?;
    let code = match command {
        Command::Serve(options) => {
            let config = Config::try_from(options.into_options())?;
            runtime.block_on(serve(config)).map(|()| ExitCode::SUCCESS)
        }
        Command::Audit(Audit::Verify { data, key }) => runtime.block_on(verify(data, key)),
    };
    // Runners stop wherever they are: what they do is made for that.
    runtime.shutdown_timeout(Duration::from_millis(500));
    code
}

async fn verify(data: DataDir, key: VaultKey) -> anyhow::Result<ExitCode> {
    let config = Config::try_from(Options {
        data_dir: data.data_dir,
        vault_key_file: key.vault_key_file,
        credentials_directory: credentials_directory(),
        ..Options::default()
    })?;
    let key = derived_key(&config.vault_key, KEY_PURPOSE)?;
    let with_key = key.is_some();
    // Before the trail is read: what is sealed is there.
    let sealed = match key {
        Some(key) => HeadFile::new(&config.data_dir, key).read()?,
        None => None,
    };
    let file = config.database();
    let report = verify_file(&file, sealed.as_ref())
        .await
        .with_context(|| file.display().to_string())?;
    let flaw = report.flaw.or_else(|| {
        (with_key && sealed.is_none()).then(|| Flaw::Unsealed {
            why: "there is no file audit.head beside the database".to_owned(),
            last: report.entries,
        })
    });
    let mut out = std::io::stdout().lock();
    for seq in report.ends_lost {
        writeln!(
            out,
            "Read entry {seq}: what the trail's end was before it, no seal vouches for"
        )?;
    }
    match flaw {
        None => {
            writeln!(
                out,
                "The audit trail holds: {} entries, the last with hash {}",
                report.entries, report.head
            )?;
            if with_key {
                return Ok(ExitCode::SUCCESS);
            }
            writeln!(
                out,
                "Whether entries are missing at its end was not checked: the end is sealed with the vault key, and there is none at {}. Give --vault-key-file",
                config.vault_key
            )?;
            Ok(ExitCode::from(END_UNCHECKED))
        }
        Some(flaw) => {
            writeln!(out, "The audit trail is broken at {flaw}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn credentials_directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

impl Serve {
    fn into_options(self) -> Options {
        let Serve {
            data,
            listen,
            web_dir,
            key,
            tls_cert,
            tls_key,
            tls_self_signed,
            trusted_proxy,
        } = self;
        Options {
            data_dir: data.data_dir,
            listen: Some(listen),
            web_dir,
            vault_key_file: key.vault_key_file,
            credentials_directory: credentials_directory(),
            tls_cert,
            tls_key,
            tls_self_signed,
            trusted_proxy,
        }
    }
}
