//! Hosts and their enrolment.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use coxswain_k3s::names::{Address, NameError};
use coxswain_wire::{
    ConfirmHostKeys, ConnectionTest, Host, HostId, HostKey, NewHost, PowerControl,
};

use super::errors::{Answer, Failure};
use super::guard::Caller;
use super::input::{Id, Input, visible};
use crate::app::App;
use crate::audit::Draft;
use crate::store::HostInput;
use crate::time::now;

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<Host>>> {
    Ok(Json(app.db.hosts().await?))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Input(request): Input<NewHost>,
) -> Answer<(StatusCode, Json<Host>)> {
    let id = app
        .db
        .create_host(&caller.who(), now(), &check(&request)?)
        .await?;
    Ok((StatusCode::CREATED, Json(host(&app, id).await?)))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<HostId>,
    Input(request): Input<NewHost>,
) -> Answer<Json<Host>> {
    app.db
        .update_host(&caller.who(), now(), id, &check(&request)?)
        .await?;
    Ok(Json(host(&app, id).await?))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<HostId>,
) -> Answer<StatusCode> {
    app.db.delete_host(&caller.who(), now(), id).await?;
    app.scans.forget(id);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn scan(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<HostId>,
) -> Answer<Json<Vec<HostKey>>> {
    let access = app
        .db
        .host_access(id)
        .await?
        .ok_or_else(|| Failure::not_found(format!("host {id}")))?;
    let keys = app.world.scan_host_keys(id).await?;
    let shown: Vec<HostKey> = keys.iter().map(|k| k.key.clone()).collect();
    app.scans.keep(id, access.generation, keys);
    let prints: Vec<&str> = shown.iter().map(|k| k.fingerprint.as_str()).collect();
    let draft = Draft::new(
        &caller.who(),
        "host.keys_scanned",
        format!("host {}", access.host.name),
        prints.join(" "),
    );
    app.db.audit(now(), draft).await?;
    Ok(Json(shown))
}

pub(super) async fn confirm(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<HostId>,
    Input(request): Input<ConfirmHostKeys>,
) -> Answer<Json<Host>> {
    host(&app, id).await?;
    let (generation, keys) = app.scans.latest(id).ok_or_else(|| {
        Failure::conflict(
            "Nobody has scanned this host's keys since the panel started; scan first.",
        )
    })?;
    let shown: BTreeSet<&str> = keys.iter().map(|k| k.key.fingerprint.as_str()).collect();
    let confirmed: BTreeSet<&str> = request.fingerprints.iter().map(String::as_str).collect();
    if shown != confirmed || shown.is_empty() {
        let message =
            "These are not the fingerprints of the latest scan. Scan again and compare them.";
        return Err(Failure::field("fingerprints", message));
    }
    let pinned: Vec<_> = keys.into_iter().map(|k| (k.key, k.public_key)).collect();
    app.db
        .pin_host_keys(&caller.who(), now(), id, generation, &pinned)
        .await?;
    app.scans.forget(id);
    Ok(Json(host(&app, id).await?))
}

pub(super) async fn test(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<HostId>,
) -> Answer<Json<ConnectionTest>> {
    host(&app, id).await?;
    let result = app.world.test_connection(id).await;
    app.db
        .set_connection_test(&caller.who(), id, &result)
        .await?;
    Ok(Json(result))
}

async fn host(app: &App, id: HostId) -> Answer<Host> {
    app.db
        .host(id)
        .await?
        .ok_or_else(|| Failure::not_found(format!("host {id}")))
}

fn parse<T: FromStr<Err = NameError>>(field: &str, text: &str) -> Answer<T> {
    text.trim()
        .parse()
        .map_err(|e: NameError| Failure::field(field, format!("{e}.")))
}

/// Refuses what is the address of no machine, or of another one on each network.
pub(super) fn a_machines(field: &str, ip: IpAddr) -> Answer<()> {
    let is = match ip.to_canonical() {
        ip if ip.is_unspecified() => "no address at all",
        ip if ip.is_multicast() => "a group's address (multicast)",
        IpAddr::V4(v4) if v4.is_broadcast() => "everybody's address (broadcast)",
        IpAddr::V4(v4) if v4.octets()[0] == 0 => "no address at all",
        IpAddr::V4(v4) if v4.is_link_local() => {
            "good on its own network segment only (link-local), and given anew at each start"
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            "good on its own network segment only (link-local)"
        }
        IpAddr::V4(_) | IpAddr::V6(_) => return Ok(()),
    };
    let message = format!("{ip} is {is}: give the machine's own address.");
    Err(Failure::field(field, message))
}

fn check(host: &NewHost) -> Answer<HostInput> {
    let NewHost {
        name,
        ssh_address,
        ssh_port,
        ssh_user,
        node_address,
        credential,
        power,
    } = host;
    let ssh_address: Address = parse("ssh_address", ssh_address)?;
    if let Some(ip) = ssh_address.ip() {
        a_machines("ssh_address", ip)?;
    }
    let node_address = match (node_address, ssh_address.ip()) {
        (Some(text), _) => ip("node_address", text)?,
        (None, Some(address)) => address.to_canonical(),
        (None, None) => {
            let message =
                "The SSH address is a name, so the IP address that k3s will use must be given.";
            return Err(Failure::field("node_address", message));
        }
    };
    a_machines("node_address", node_address)?;
    if node_address.is_loopback() {
        let message = format!(
            "{node_address} is every machine's own; other nodes cannot reach this one there."
        );
        return Err(Failure::field("node_address", message));
    }
    Ok(HostInput {
        name: parse("name", name)?,
        ssh_address,
        ssh_port: NonZeroU16::new(*ssh_port)
            .ok_or_else(|| Failure::field("ssh_port", "A port is a number from 1 to 65535."))?,
        ssh_user: parse("ssh_user", ssh_user)?,
        node_address,
        credential: *credential,
        power: power.as_ref().map(power_control).transpose()?,
    })
}

/// Words of a command, and bytes of each, that anybody would type.
const LONGEST: (usize, usize) = (32, 256);

fn power_control(control: &PowerControl) -> Answer<PowerControl> {
    let PowerControl {
        via: _,
        on,
        off,
        status,
    } = control;
    for (field, words) in [
        ("power.on", on),
        ("power.off", off),
        ("power.status", status),
    ] {
        let Some(program) = words.first() else {
            let message = "A program is needed here, with its arguments.";
            return Err(Failure::field(field, message));
        };
        if program.is_empty() || program.starts_with('-') {
            let message = "The first word is a program's name or path.";
            return Err(Failure::field(field, message));
        }
        // The page shows the words with spaces between them, and takes them apart there again.
        if words
            .iter()
            .any(|w| w.is_empty() || w.contains(char::is_whitespace))
        {
            let message = "No argument may be empty or hold a space: put such a command into a script on that host, and name the script here.";
            return Err(Failure::field(field, message));
        }
        for word in words {
            visible(field, word)?;
        }
        if tells_password(words) {
            let message = "A password here could be read by everybody: on this page, in the audit, and in the host's list of processes. Put it into a file on that host (ipmitool: -f FILE), or put the command into a script there.";
            return Err(Failure::field(field, message));
        }
        let odd = |word: &String| word.len() > LONGEST.1 || word.chars().any(char::is_control);
        if words.len() > LONGEST.0 || words.iter().any(odd) {
            let message = format!(
                "At most {} words of {} bytes each, without control characters.",
                LONGEST.0, LONGEST.1
            );
            return Err(Failure::field(field, message));
        }
    }
    Ok(control.clone())
}

/// Whether a command line has a password in it, as ipmitool, the fence agents, curl and URLs have it.
fn tells_password(words: &[String]) -> bool {
    let program = words
        .first()
        .map_or("", |path| path.rsplit('/').next().unwrap_or(path));
    let short = match program {
        "ipmitool" => Some("-P"),
        "curl" => Some("-u"),
        "racadm" | "upscmd" => Some("-p"),
        fence if fence.starts_with("fence_") => Some("-p"),
        _ => None,
    };
    words.iter().skip(1).any(|word| {
        let long = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        let url = word
            .split_once("://")
            .and_then(|(_, rest)| rest.split('/').next());
        let user = url.and_then(|authority| authority.rsplit_once('@'));
        short.is_some_and(|option| word.starts_with(option))
            || (program == "curl" && long == "--user")
            || matches!(long, "--password" | "--passwd" | "--pass")
            || user.is_some_and(|(user, _)| user.contains(':'))
    })
}

fn ip(field: &str, text: &str) -> Answer<IpAddr> {
    let address: Address = parse(field, text)?;
    let ip = address.ip().ok_or_else(|| {
        Failure::field(
            field,
            format!("{address} is a name; an IP address is needed."),
        )
    })?;
    Ok(ip.to_canonical())
}
