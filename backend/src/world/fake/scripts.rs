//! Short scripts in memory, by name.

use std::collections::BTreeSet;

use coxswain_k3s::names::K3sVersion;
use coxswain_k3s::token::Token;
use coxswain_wire::HostId;
use data_encoding::BASE64;
use tokio::time::Instant;

use super::host::below;
use super::k3s::{VERSION, sha256};
use super::{FakeHost, State, certificates, net, probe, restore};
use crate::world::{Output, RemoteCommand, Result, WorldError};

/// What a script prints on a host.
pub(super) fn run(state: &mut State, id: HostId, command: &RemoteCommand) -> Result<Output> {
    let args: Vec<&str> = command.arguments().iter().map(String::as_str).collect();
    let arg = |at: usize| args.get(at).copied().unwrap_or_default();
    Ok(match command.name() {
        "inspect-host" => said(probe::print(state, id)),
        "look-at-unit" => said(unit(state, id, arg(0), args.get(1).copied())),
        "list-old-databases" => {
            let server = "/var/lib/rancher/k3s/server/";
            let files = state.host(id)?.files.keys();
            let beside = files.filter_map(|path| path.strip_prefix(server)?.split('/').next());
            let moved: BTreeSet<&str> = beside
                .filter(|top| top.starts_with("db.coxswain-"))
                .collect();
            said(
                moved
                    .iter()
                    .map(|top| format!("{server}{top}\n"))
                    .collect::<String>(),
            )
        }
        "list-server-files" => said(server_files(state, id, arg(0))),
        "can-rotate" => said("yes\n"),
        "can-rotate-token" => {
            let k3s = state.host(id)?.k3s.as_ref();
            let version = k3s.and_then(|k3s| k3s.version.parse::<K3sVersion>().ok());
            said(
                match version.is_some_and(|version| rotates_tokens(&version)) {
                    true => "yes\n",
                    false => "no\n",
                },
            )
        }
        "try-token" => said(try_token(state, id, command)),
        "look-at-certificates" => said(certificates::listed(state.host(id)?)),
        "list-certificate-backups" => said(certificates::backups(state.host(id)?)),
        "remove-certificate-backups" => {
            state.host(id)?.remove_below(&args);
            said("")
        }
        "look-at-etcd" if arg(0) == "bootstrap" => said(bootstrap_keys(state, id)),
        "look-at-etcd" => said(etcd(state, id)),
        "systemd-run" => said("systemd 252 (252.39-1)\n"),
        "drill-stop" => {
            state.host(id)?.stop_k3s();
            said("")
        }
        "drill-kill" => {
            state.kill(id);
            said("")
        }
        "drill-start" => {
            state.start_stopped(id, Instant::now());
            said("")
        }
        "drill-cut" => {
            state.cut(id, args.iter().skip(1).map(ToString::to_string).collect());
            said("")
        }
        "drill-mend" => {
            state.mend(id);
            said("")
        }
        "drill-rules" => {
            let host = state.host(id)?;
            let cut = if host.cut { "yes" } else { "no" };
            said(format!("tool={}\ncut={cut}\n", host.firewall_tool))
        }
        "drill-arm" => {
            let seconds = arg(1).parse().unwrap_or_default();
            state.arm(id, arg(0), seconds, arg(3));
            said("")
        }
        "drill-timer" => said(state.timer(id, arg(0))),
        "drill-disarm" => {
            state.disarm(id, arg(0));
            said("")
        }
        "lab-power" => power(state, arg(0), arg(1)),
        "remove-etcd-member" => {
            for cluster in state.clusters.values_mut() {
                cluster.members.retain(|m| m.id.to_string() != arg(0));
            }
            said("")
        }
        "forget-mark" => {
            state.host(id)?.files.remove(arg(0));
            said("")
        }
        "look-at-snapshots" => {
            let files = state.host(id)?.files.iter().filter(|(path, _)| {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                args.contains(&folder)
            });
            said(
                files
                    .map(|(path, text)| format!("{} 1795326133 {path}\n", text.len()))
                    .collect::<String>(),
            )
        }
        "snapshots-left" => {
            let files = &state.host(id)?.files;
            let left = args.iter().filter(|path| files.contains_key(**path));
            said(left.map(|path| format!("{path}\n")).collect::<String>())
        }
        "halt-unit" => {
            let host = state.host(id)?;
            if arg(1) == "disable" {
                host.enable_k3s(false);
            }
            host.stop_k3s();
            said("")
        }
        "hold-unit" => {
            let host = state.host(id)?;
            let text = "[Service]\nRestart=no\n".to_owned();
            host.files.insert(arg(1).to_owned(), text);
            host.enable_k3s(false);
            said("")
        }
        "give-back-unit" => {
            state.host(id)?.files.remove(arg(1));
            if arg(2) == "enable" {
                state.host(id)?.enable_k3s(true);
            }
            if arg(3) == "start" {
                state.start_stopped(id, Instant::now());
            }
            said("")
        }
        "release-unit" => {
            if arg(1) == "enable" {
                state.host(id)?.enable_k3s(true);
            }
            if arg(2) == "start" {
                let has_data = state.host(id)?.has_database();
                state.start(id, Instant::now(), has_data);
            }
            said("")
        }
        "settle-k3s" => {
            let host = state.host(id)?;
            for path in args.iter().skip(1) {
                host.files.remove(*path);
            }
            host.enable_k3s(true);
            said("")
        }
        "look-at-keys" => {
            let keys = state.host(id)?.files.get(restore::PASSWORDS);
            said(keys.map_or(String::new(), |text| {
                format!("{}  cred/passwd\n", sha256(text))
            }))
        }
        "append-to-copy" => {
            let from: usize = arg(1).parse().unwrap_or_default();
            let more = String::from_utf8_lossy(command.stdin.as_deref().unwrap_or_default());
            let file = state.host(id)?.files.entry(arg(0).to_owned()).or_default();
            if file.len() < from {
                return Ok(failed(1, "shorter than what was sent"));
            }
            file.truncate(from);
            file.push_str(&more);
            said("")
        }
        "finish-copy" => {
            let host = state.host(id)?;
            if let Some(file) = host.files.remove(arg(0)) {
                host.files.insert(arg(1).to_owned(), file);
            }
            said("")
        }
        "remove-copy" => {
            let host = state.host(id)?;
            for path in &args {
                host.files.remove(*path);
            }
            said("")
        }
        "hash-snapshot" => match state.host(id)?.files.get(arg(0)) {
            Some(text) => said(format!("{}  -\n", sha256(text))),
            None => failed(1, "No such file or directory"),
        },
        "room-for-snapshot" => {
            let free = state.host(id)?.free_kib;
            said(format!("free={free} 1024\ndatabase=1089568\n"))
        }
        "look" => look(state, id, &args),
        "survey-files" => said(survey_files(state.host(id)?, arg(0))),
        "unit-places" => {
            let host = state.host(id)?;
            let fresh = if host.stale_units { "yes" } else { "no" };
            said(format!(
                "FragmentPath=/etc/systemd/system/{}\nNeedDaemonReload={fresh}\nMode=644\n",
                arg(0)
            ))
        }
        "reload-units" => {
            let host = state.host(id)?;
            host.files.remove(arg(0));
            host.reload();
            said("")
        }
        "haproxy-version" => said(
            state
                .host(id)?
                .haproxy
                .as_ref()
                .map_or("", |_| "HAProxy version 2.6.12\n"),
        ),
        "haproxy-state" => {
            let active = state.host(id)?.haproxy.as_ref().is_some_and(|h| h.active);
            said(if active { "active\n" } else { "inactive\n" })
        }
        "haproxy-take-over" => take_over(state, id, arg(0), arg(1), arg(3))?,
        "haproxy-stat" => stat(state, id)?,
        "reach" => said(reach(state, &args)),
        "resolve" => {
            let named = state
                .hosts
                .values()
                .filter(|h| h.name == arg(0))
                .map(|h| format!("{}\n", h.address));
            said(named.collect::<String>())
        }
        "try-installer" => said(""),
        "look-at-files" => {
            let host = state.host(id)?;
            let line = |file: &&str| match host.files.get(*file) {
                None => format!("missing {file}\n"),
                Some(text) => {
                    let sum = sha256(text);
                    let loose = host.loose.contains(*file);
                    let loose = if loose {
                        format!("loose {file}\n")
                    } else {
                        String::new()
                    };
                    format!("sha256 {sum} {file}\n{loose}")
                }
            };
            said(args.iter().map(line).collect::<String>())
        }
        "binary-version" => {
            let found = state.host(id)?.k3s_in(arg(0));
            said(found.map_or(String::new(), |v| format!("k3s version {v} (0)\n")))
        }
        "resolve-channel" => match channel(arg(0)) {
            Some(version) => said(format!("url={}\ntext={version}\n", arg(0))),
            None => failed(
                22,
                "curl: (22) The requested URL returned error: 404 Not Found",
            ),
        },
        "look-for-kept-k3s" => {
            let files = &state.host(id)?.files;
            let kept = files.keys().any(|file| below(file, arg(0)));
            said(if kept { "kept\n" } else { "" })
        }
        "forget-kept-k3s" => {
            state.host(id)?.remove_below(&args);
            said("")
        }
        other => {
            return Err(WorldError::Unexpected {
                what: other.to_owned(),
                detail: "the world in memory does not know this command".to_owned(),
            });
        }
    })
}

/// The releases of October 2023 brought it.
fn rotates_tokens(version: &K3sVersion) -> bool {
    let first = match version.minor() {
        ..=24 => return false,
        25 => "v1.25.15+k3s1",
        26 => "v1.26.10+k3s1",
        27 => "v1.27.7+k3s1",
        28 => "v1.28.3+k3s1",
        29.. => return true,
    };
    first.parse().is_ok_and(|first| *version >= first)
}

fn said(text: impl Into<String>) -> Output {
    Output {
        status: 0,
        stdout: text.into().into_bytes(),
        stderr: Vec::new(),
        truncated: 0,
    }
}

/// What a server makes of a joiner's login.
fn try_token(state: &State, id: HostId, command: &RemoteCommand) -> &'static str {
    let login = String::from_utf8_lossy(command.stdin.as_deref().unwrap_or_default()).into_owned();
    let k3s = state.hosts.get(&id).and_then(|host| host.k3s.as_ref());
    let user = match command.arguments().first().map(String::as_str) {
        Some("config") => "node",
        Some(_) | None => "server",
    };
    match k3s.filter(|_| state.api_on(id).is_some()) {
        None => "000\n",
        Some(k3s) if login.trim() == format!("{user}:{}", k3s.accepts) => "200\n",
        Some(_) => "401\n",
    }
}

/// The release that a channel names: the one of the installer, and `v1.N.9+k3s1` of a minor.
fn channel(address: &str) -> Option<String> {
    match address.rsplit('/').next()? {
        "stable" => Some(VERSION.to_owned()),
        minor if minor.starts_with("v1.") => Some(format!("{minor}.9+k3s1")),
        _ => None,
    }
}

fn failed(status: i32, why: &str) -> Output {
    Output {
        status,
        stdout: Vec::new(),
        stderr: why.as_bytes().to_vec(),
        truncated: 0,
    }
}

fn unit(state: &State, id: HostId, name: &str, mark: Option<&str>) -> String {
    let host = &state.hosts[&id];
    let Some(k3s) = host.k3s.as_ref().filter(|k3s| k3s.unit == name) else {
        return "--- unit\nLoadState=not-found\nActiveState=inactive\nInvocationID=\n--- files\n--- journal\n".to_owned();
    };
    let file = host
        .files
        .get(&format!("/etc/systemd/system/{name}"))
        .cloned()
        .unwrap_or_default();
    let journal = if mark.is_some() {
        k3s.journal().join("\n")
    } else {
        String::new()
    };
    let restarts = k3s.ended();
    let last = if mark.is_some() && restarts >= 3 {
        "--- last\nk3s.service: Main process exited, code=dumped, status=11/SEGV\n"
    } else {
        ""
    };
    format!(
        "--- unit\nLoadState=loaded\nUnitFileState={}\nActiveState={}\nSubState=x\nInvocationID={:032x}\nNRestarts={restarts}\nResult=core-dump\nExecMainStatus=11\n--- files\n{file}\n--- journal\n{journal}\n{last}",
        if k3s.enabled { "enabled" } else { "disabled" },
        k3s.state(),
        k3s.invocation
    )
}

/// The installer's modes.
fn survey_files(host: &FakeHost, unit: &str) -> String {
    let of_unit = format!("/etc/systemd/system/{unit}");
    let modes = host.files.keys().filter_map(|path| {
        if *path == of_unit || path.starts_with("/etc/rancher/k3s/config.yaml") {
            Some(format!("644 {path}\n"))
        } else {
            (*path == format!("{of_unit}.env")).then(|| format!("600 {path}\n"))
        }
    });
    format!("--- modes\n{}--- rancher\n", modes.collect::<String>())
}

/// What k3s prints of itself.
fn look(state: &State, id: HostId, args: &[&str]) -> Output {
    let host = &state.hosts[&id];
    let installed = host.k3s.is_some();
    match args {
        ["nodes" | "pods"] => match state.api_on(id).and_then(|n| state.clusters.get(&n)) {
            // kubectl says so on standard error, which the script sends after standard output.
            None => Output {
                status: 1,
                ..said(
                    "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\n",
                )
            },
            Some(cluster) => {
                let rows = cluster.nodes.iter();
                let rows = rows.map(|(name, node)| format!("{name}   Ready   {}\n", node.version));
                said(format!(
                    "NAME    STATUS   VERSION\n{}",
                    rows.collect::<String>()
                ))
            }
        },
        ["snapshots"] if state.api_on(id).is_some() => said("Name Location Size Created\n"),
        ["log", unit, lines] if host.k3s.as_ref().is_some_and(|k3s| k3s.unit == *unit) => {
            said(format!("{lines} lines of {unit}\n"))
        }
        // journalctl knows no unit of this name, and does not mind.
        ["log", _, _] => said(""),
        ["certificates"] if installed => said("FILENAME SUBJECT USAGES EXPIRES RESIDUAL STATUS\n"),
        ["snapshots"] if installed => Output {
            status: 1,
            ..said(
                "level=fatal msg=\"Error: dial tcp 127.0.0.1:6443: connect: connection refused\"\n",
            )
        },
        _ => Output {
            status: 127,
            ..said("sh: 1: k3s: not found\n")
        },
    }
}

fn server_files(state: &State, id: HostId, unit: &str) -> String {
    let host = &state.hosts[&id];
    let file = format!("/etc/systemd/system/{unit}");
    let k3s = host.k3s.as_ref().filter(|k3s| k3s.unit == unit);
    let loaded = k3s.map_or("not-found", |_| "loaded");
    let stale = k3s.is_some_and(|k3s| host.files.get(&file) != Some(&k3s.loaded));
    let reload = if stale { "yes" } else { "no" };
    let list = |prefix: &str, mode: &str| -> String {
        let files = host.files.keys().filter(|path| path.starts_with(prefix));
        files.map(|path| format!("{mode} {path}\n")).collect()
    };
    let environment = format!("{file}.env");
    let units = list(&file, "644");
    let units: String = units
        .lines()
        .filter(|line| !line.ends_with(&environment))
        .map(|line| format!("{line}\n"))
        .collect();
    format!(
        "--- unit\nLoadState={loaded}\nNeedDaemonReload={reload}\n--- units\n{units}--- configs\n{}--- environments\n{}",
        list("/etc/rancher/k3s/config.yaml", "600"),
        list(&environment, "600"),
    )
}

/// The key of the one token that the database belongs to.
fn bootstrap_keys(state: &State, id: HostId) -> String {
    let cluster = state
        .api_on(id)
        .and_then(|number| state.clusters.get(&number));
    let key = cluster.and_then(|cluster| cluster.password.parse::<Token>().ok());
    let answer = key.map(|token| {
        let key = BASE64.encode(token.bootstrap_key().as_bytes());
        format!(r#"{{"header":{{}},"kvs":[{{"key":"{key}"}}],"count":"1"}}"#)
    });
    format!("--- bootstrap\n{}\n", answer.unwrap_or_default())
}

fn etcd(state: &State, id: HostId) -> String {
    let number = state.hosts[&id]
        .k3s
        .as_ref()
        .filter(|k3s| !k3s.agent() && state.runs(id))
        .map(|k3s| k3s.cluster);
    let Some((cluster, number)) = number.and_then(|n| Some((state.clusters.get(&n)?, n))) else {
        return "--- health\n--- members\n".to_owned();
    };
    let members: Vec<String> = cluster
        .members
        .iter()
        .map(|m| {
            let address = &state.hosts[&m.host].address;
            format!(r#"{{"ID":"{}","name":"{}","peerURLs":["https://{address}:2380"],"clientURLs":["https://{address}:2379"]}}"#, m.id, m.name)
        })
        .collect();
    let k3s = state.hosts[&id].k3s.as_ref();
    format!(
        "--- health\n{{\"health\":\"{}\"}}\n--- members\n{{\"members\":[{}]}}\n--- status\n{{\"header\":{{}},\"version\":\"{}\",\"leader\":\"{}\"}}\n",
        state.quorum(number) && state.takes_part(id, number),
        members.join(","),
        k3s.map_or("", |k3s| etcd_in(&k3s.version)),
        cluster.leader.unwrap_or_default(),
    )
}

/// The etcd in a release of k3s.
fn etcd_in(version: &str) -> &'static str {
    let at_least = |first: &str| {
        let (version, first) = (version.parse::<K3sVersion>(), first.parse());
        version.is_ok_and(|version| first.is_ok_and(|first| version >= first))
    };
    if at_least("v1.33.13+k3s1") {
        "3.6.12"
    } else if at_least("v1.33.7+k3s3") {
        "3.5.26"
    } else {
        "3.5.21"
    }
}

/// What `lab-power` does on the lab's load balancer.
fn power(state: &mut State, verb: &str, name: &str) -> Output {
    let Some(id) = state.hosts.values().find(|h| h.name == name).map(|h| h.id) else {
        return failed(22, "no such host");
    };
    let off = state.hosts.get(&id).is_some_and(|h| h.off);
    match verb {
        // As virsh, which starts nothing that runs and destroys nothing that does not.
        "on" if !off => return failed(1, "error: Domain is already active"),
        "off" if off => return failed(1, "error: domain is not running"),
        "on" => state.power(id, true),
        "off" => state.power(id, false),
        "status" => {}
        _ => return failed(2, "usage: lab-power on|off|status HOST"),
    }
    let off = state.hosts.get(&id).is_some_and(|h| h.off);
    said(if off { "off\n" } else { "on\n" })
}

fn take_over(state: &mut State, id: HostId, new: &str, file: &str, after: &str) -> Result<Output> {
    let host = state.host(id)?;
    let Some(text) = host.files.remove(new) else {
        return Ok(failed(1, "no such file"));
    };
    let Some(haproxy) = host.haproxy.as_mut() else {
        return Ok(failed(127, "haproxy: not found"));
    };
    if text.contains("unknown keyword") {
        return Ok(failed(1, "[ALERT] parsing: unknown keyword"));
    }
    if host.confined && !matches!(after, "" | "stop") {
        let said = "nothing of HAProxy listens on port 6443";
        return Ok(failed(1, said));
    }
    haproxy.active = after != "stop";
    haproxy.loaded.clone_from(&text);
    host.files.insert(file.to_owned(), text);
    Ok(said(""))
}

fn stat(state: &mut State, id: HostId) -> Result<Output> {
    let host = state.host(id)?;
    let readers = ["socat", "python3", "platform-python", "perl"];
    if !readers.iter().any(|tool| host.tools.contains(tool)) {
        return Ok(failed(4, ""));
    }
    let Some(loaded) = host
        .haproxy
        .as_ref()
        .filter(|h| h.active)
        .map(|h| h.loaded.clone())
    else {
        return Ok(failed(3, "no socket"));
    };
    let mut text = "# pxname,svname,status,check_status,lastchg,\n".to_owned();
    let mut backend = "";
    for line in loaded.lines() {
        if let Some(name) = line.strip_prefix("backend ") {
            backend = name;
        }
        if let Some((name, address)) = net::servers(line).next() {
            let up = net::behind(state, address).is_some();
            let (status, check) = if up {
                ("UP", "L7OK")
            } else {
                ("DOWN", "L4CON")
            };
            text.push_str(&format!("{backend},{name},{status},{check},1,\n"));
        }
    }
    Ok(said(text))
}

fn reach(state: &State, targets: &[&str]) -> String {
    let mut text = String::new();
    for target in targets {
        let address = target
            .rsplit_once(':')
            .map_or(*target, |(address, _)| address);
        let host = state
            .hosts
            .values()
            .find(|h| h.address == address && h.reachable && !h.filtered);
        let result = match host {
            None => "timeout",
            Some(host) if state.runs(host.id) => "open",
            Some(_) => "refused",
        };
        text.push_str(&format!("@reach {target} {result}\n"));
    }
    text.push_str("@done\n");
    text
}
