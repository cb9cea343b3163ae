//! Host keys as sshd shows them to a stranger, by ssh-keyscan.

use std::process::Stdio;
use std::time::Duration;

use coxswain_wire::HostKey;
use tokio::process::Command;
use tokio::time::timeout;

use super::super::{HostConnection, Result, ScannedKey, UnreachableKind, WorldError, keys, net};
use super::config;

/// For one connection of ssh-keyscan, which makes one for each algorithm.
const KEYSCAN_SECONDS: &str = "5";
/// For all of it.
const TIMEOUT: Duration = Duration::from_secs(20);
/// For the look whether anything answers at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// All host keys, sorted by algorithm.
pub(super) async fn host_keys(host: &HostConnection) -> Result<Vec<ScannedKey>> {
    config::check(host)?;
    // ssh-keyscan's own messages say less about why nothing answers.
    let addresses = net::resolve(&host.name, &host.address, host.port).await?;
    drop(net::connect(&host.name, &addresses, CONNECT_TIMEOUT).await?);
    let local = |detail: String| WorldError::Local {
        what: "ssh-keyscan".to_owned(),
        detail,
    };
    let output = Command::new("ssh-keyscan")
        .args([
            "-T",
            KEYSCAN_SECONDS,
            "-t",
            "ed25519,ecdsa,rsa",
            "-p",
            &host.port.to_string(),
            "--",
            &host.address,
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match timeout(TIMEOUT, output).await {
        Ok(Ok(output)) => output,
        Ok(Err(e)) => return Err(local(e.to_string())),
        Err(_) => return Err(silent(host)),
    };
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let mut words = line.split_ascii_whitespace().skip(1);
        if let (Some(algorithm), Some(key)) = (words.next(), words.next()) {
            let public_key = format!("{algorithm} {key}");
            let key = HostKey {
                algorithm: algorithm.to_owned(),
                fingerprint: keys::fingerprint(&public_key)?,
            };
            found.push(ScannedKey { key, public_key });
        }
    }
    if found.is_empty() {
        return Err(silent(host));
    }
    found.sort_by(|a, b| a.public_key.cmp(&b.public_key));
    found.dedup();
    Ok(found)
}

fn silent(host: &HostConnection) -> WorldError {
    WorldError::Unreachable {
        target: host.name.clone(),
        kind: UnreachableKind::Closed,
        detail: format!(
            "something listens on port {}, but it shows no SSH host key",
            host.port
        ),
    }
}
