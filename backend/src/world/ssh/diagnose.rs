//! The connection test: everything the panel needs on a host, one thing after the other, with advice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coxswain_wire::{ConnectionCheck, ConnectionStage, ConnectionTest, HostId, Timestamp};

use super::super::{HostConnection, WorldError, net};
use super::link::Root;
use super::{Ssh, known_hosts};

/// For TCP to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

type Checks = Vec<ConnectionCheck>;

fn passed(checks: &mut Checks, stage: ConnectionStage, detail: String) {
    checks.push(ConnectionCheck {
        stage,
        ok: true,
        detail,
        advice: None,
    });
}

fn failed(checks: &mut Checks, stage: ConnectionStage, error: &WorldError) {
    checks.push(ConnectionCheck {
        stage,
        ok: false,
        detail: error.to_string(),
        advice: error.advice(),
    });
}

impl Ssh {
    /// Over a new connection: a warm one would hide what has changed since.
    pub(in super::super) async fn test_connection(&self, id: HostId) -> ConnectionTest {
        let mut checks = Checks::new();
        match self.pool.host(id).await {
            Ok(host) => self.check_host(&host, &mut checks).await,
            Err(error) => failed(&mut checks, ConnectionStage::Resolve, &error),
        }
        ConnectionTest { at: now(), checks }
    }

    async fn check_host(&self, host: &HostConnection, checks: &mut Checks) {
        let addresses = match net::resolve(&host.name, &host.address, host.port).await {
            Ok(addresses) => addresses,
            Err(error) => return failed(checks, ConnectionStage::Resolve, &error),
        };
        let list: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
        passed(
            checks,
            ConnectionStage::Resolve,
            format!("{} is {}", host.address, list.join(", ")),
        );

        match net::connect(&host.name, &addresses, CONNECT_TIMEOUT).await {
            Ok(stream) => drop(stream),
            Err(error) => return failed(checks, ConnectionStage::Connect, &error),
        }
        passed(
            checks,
            ConnectionStage::Connect,
            format!("port {} is open", host.port),
        );

        let key_ok = |checks: &mut Checks| {
            let pinned = known_hosts::fingerprints(host).join(", ");
            passed(
                checks,
                ConnectionStage::HostKey,
                format!("shows a pinned key ({pinned})"),
            );
        };
        let link = match self.pool.open_fresh(host).await {
            Ok(link) => link,
            Err(error @ WorldError::AuthenticationFailed { .. }) => {
                key_ok(checks);
                return failed(checks, ConnectionStage::Authenticate, &error);
            }
            Err(error) => return failed(checks, ConnectionStage::HostKey, &error),
        };
        key_ok(checks);
        passed(
            checks,
            ConnectionStage::Authenticate,
            format!("signed in as {}", host.user),
        );

        match link.root().await {
            Ok(Root::Already) => passed(
                checks,
                ConnectionStage::Sudo,
                format!("{} is root", host.user),
            ),
            Ok(Root::Sudo) => passed(
                checks,
                ConnectionStage::Sudo,
                "sudo works without a password".to_owned(),
            ),
            Err(error) => failed(checks, ConnectionStage::Sudo, &error),
        }
        super::pool::discard(link);
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
