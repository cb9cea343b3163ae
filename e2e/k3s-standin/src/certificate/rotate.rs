//! `k3s certificate rotate`: the old files go into a backup, new ones come with the next start. Whether the service
//! runs meanwhile makes no difference.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::services::{self, Chosen, LISTENER, Service};
use crate::cli::flags::Flags;
use crate::fsutil::{copy_dir, make_dir, remove_if_there, write};
use crate::logging;
use crate::paths::Paths;
use crate::settings::Settings;
use crate::version::release;

/// Tells the next start to renew the certificate of :6443.
const TRIGGER: &str = "dynamic-cert-regenerate";

/// Runs it.
///
/// # Errors
/// An unknown service, or what the file system says.
pub(super) fn run(settings: &Settings, flags: &Flags) -> anyhow::Result<()> {
    let paths = &settings.paths;
    let chosen = services::choose(paths, flags)?;
    let newer = release().checks_certificates();
    // Older releases expect a server's files on every machine (k3s issues 5111 and 9785).
    if !newer && !paths.tls("").exists() {
        let tls = paths.shown(&paths.tls(""));
        bail!(
            "stat {}: no such file or directory",
            tls.trim_end_matches('/')
        );
    }
    match &chosen {
        Chosen::Named(_) => {}
        Chosen::Agent(_) => logging::info("Agent detected, rotating agent certificates"),
        Chosen::Server(_) if newer => {
            logging::info("Server detected, rotating agent and server certificates");
        }
        Chosen::Server(_) => logging::info("Server detected, rotating server certificates"),
    }
    let backup = back_up(paths, chosen.services())?;
    for service in chosen.services() {
        remove(paths, service, newer)?;
    }
    let backup = paths.shown(&backup);
    logging::info(if newer {
        format!(
            "Successfully backed up certificates to {backup}, please restart k3s server or agent to rotate certificates"
        )
    } else {
        format!(
            "Successfully backed up certificates for all services to path {backup}, please restart k3s server or agent to rotate certificates"
        )
    });
    Ok(())
}

/// Copies what there is to `server/tls-<unix seconds>`, on an agent to `agent/tls-<unix seconds>`.
fn back_up(paths: &Paths, services: &[&Service]) -> anyhow::Result<PathBuf> {
    let name = format!("tls-{}", jiff::Timestamp::now().as_second());
    let backup = if paths.tls("").exists() {
        let backup = paths.server(&name);
        copy_dir(&paths.tls(""), &backup)?;
        backup
    } else {
        let backup = paths.agent(&name);
        make_dir(&backup, 0o700)?;
        backup
    };
    for file in services
        .iter()
        .flat_map(|service| service.agent_files(paths))
        .filter(|file| file.exists())
    {
        let copy = backup.join(file.file_name().unwrap_or_default());
        fs::copy(&file, copy).with_context(|| format!("copy {}", file.display()))?;
    }
    Ok(backup)
}

fn remove(paths: &Paths, service: &Service, newer: bool) -> anyhow::Result<()> {
    let word = if newer { "" } else { " service" };
    logging::info(format!("Rotating certificates for {}{word}", service.name));
    if service.name == LISTENER {
        write(&paths.tls(TRIGGER), 0o600, "")?;
        logging::info("Rotating dynamic listener certificate");
    }
    for file in service.files(paths) {
        remove_if_there(&file)?;
    }
    Ok(())
}

/// Whether the certificate of :6443 is to be renewed; asked once, at a start.
///
/// # Errors
/// What the file system says.
pub(crate) fn take_trigger(paths: &Paths) -> anyhow::Result<bool> {
    remove_if_there(&paths.tls(TRIGGER))
}
