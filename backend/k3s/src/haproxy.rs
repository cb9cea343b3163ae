//! HAProxy in front of the API: our own marked section in `haproxy.cfg` (TCP pass-through on :6443 with a
//! TLS health check), and HAProxy's statistics. Everything outside our section stays as it is, byte for
//! byte. For HAProxy 2.2 and later.

mod stat;

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::names::{Address, ClusterName, NodeName};

pub use stat::{ServerStat, ServerState, parse_stat};

/// The configuration file on Debian, RHEL and SUSE.
pub const CONFIG_FILE: &str = "/etc/haproxy/haproxy.cfg";

/// A server behind the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Node name; HAProxy's server name too.
    pub name: NodeName,
    /// Node address.
    pub address: Address,
}

/// What the load balancer does for a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Whose API.
    pub cluster: ClusterName,
    /// TCP port it listens on, on all addresses; 6443 unless several clusters share one load balancer.
    pub port: u16,
    /// All servers of the cluster; they listen on 6443.
    pub servers: Vec<Backend>,
}

/// A line that somebody else wrote into a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// It, without the space around it.
    pub text: String,
}

impl std::fmt::Display for Line {
    /// `line 12: bind :6443`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.number, self.text)
    }
}

/// Why a configuration could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HaproxyError {
    /// A marker without its partner, or twice.
    #[error(
        "the section of cluster {0} in haproxy.cfg is damaged: its BEGIN and END lines do not pair"
    )]
    Markers(ClusterName),
    /// Somebody else listens on the port already.
    #[error("haproxy.cfg already binds port {port} in line {line}: {text}")]
    PortTaken {
        /// The port.
        port: u16,
        /// Line number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// The names of our frontend or backend are used outside our section.
    #[error("haproxy.cfg already has a section named {name} in line {line}")]
    NameTaken {
        /// The name.
        name: String,
        /// Line number, from 1.
        line: usize,
    },
    /// No server to balance to.
    #[error("a load balancer needs at least one server")]
    NoServers,
}

impl Section {
    /// Name of the backend, as in the statistics.
    #[must_use]
    pub fn backend_name(&self) -> String {
        backend_name(&self.cluster)
    }

    /// The section's text, from its BEGIN to its END line.
    #[must_use]
    pub fn render(&self) -> String {
        let Section {
            cluster,
            port,
            servers,
        } = self;
        let backend = self.backend_name();
        // Without an address HAProxy binds IPv4 alone.
        let bind = if servers
            .iter()
            .any(|s| matches!(s.address.ip(), Some(IpAddr::V6(_))))
        {
            format!(":::{port} v4v6")
        } else {
            format!(":{port}")
        };
        let mut text = format!(
            "{begin}
# Written by Coxswain. Changes between BEGIN and END are overwritten.
frontend {frontend}
    bind {bind}
    mode tcp
    # Watches and logs are quiet for long; the client decides when they end.
    timeout client 1h
    option clitcpka
    default_backend {backend}

backend {backend}
    mode tcp
    balance leastconn
    timeout connect 5s
    timeout server 1h
    option srvtcpka
    # Without credentials a living API server answers 401; a supervisor whose API server is gone does not.
    option httpchk GET /readyz
    http-check expect rstatus ^(200|401)$
    timeout check 5s
    default-server inter 2s fastinter 1s downinter 2s fall 2 rise 2 on-marked-down shutdown-sessions
",
            begin = begin(cluster),
            frontend = frontend_name(cluster),
        );
        for server in servers {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "    server {} {} check check-ssl verify none",
                server.name,
                server.address.with_port(6443)
            );
        }
        text.push_str(&end(cluster));
        text.push('\n');
        text
    }

    /// `config` with this section in it: in place of an older one of the same cluster, else at the end.
    ///
    /// # Errors
    /// When somebody else binds the port or uses our names, or the markers are damaged.
    pub fn apply(&self, config: &str) -> Result<String, HaproxyError> {
        if self.servers.is_empty() {
            return Err(HaproxyError::NoServers);
        }
        let found = find(config, &self.cluster)?;
        let outside = |line: usize| found.is_none_or(|f| line < f.first || f.last < line);
        let names = [frontend_name(&self.cluster), self.backend_name()];
        for (index, text) in config.lines().enumerate() {
            let line = index + 1;
            if !outside(line) {
                continue;
            }
            if binds(text, self.port) {
                return Err(HaproxyError::PortTaken {
                    port: self.port,
                    line,
                    text: text.trim().to_owned(),
                });
            }
            let mut words = text.split_whitespace();
            if matches!(words.next(), Some("frontend" | "backend" | "listen"))
                && let Some(name) = words.next()
                && names.iter().any(|ours| ours == name)
            {
                return Err(HaproxyError::NameTaken {
                    name: name.to_owned(),
                    line,
                });
            }
        }
        Ok(match found {
            Some(f) => format!(
                "{}{}{}",
                &config[..f.start],
                self.render(),
                &config[f.end..]
            ),
            None => appended(config, &self.render()),
        })
    }
}

impl Section {
    /// The line that binds the port where somebody else balances this cluster's API, and this panel has no section
    /// of its own.
    #[must_use]
    pub fn kept_by_hand(&self, config: &str) -> Option<Line> {
        match (find(config, &self.cluster), self.apply(config)) {
            (Ok(None), Err(HaproxyError::PortTaken { line, text, .. })) => {
                Some(Line { number: line, text })
            }
            _ => None,
        }
    }
}

/// The `server` lines of a configuration that send traffic to an address.
#[must_use]
pub fn server_lines(config: &str, address: &Address) -> Vec<Line> {
    let goes_there = |to: &str| {
        let to = to.rsplit_once('@').map_or(to, |(_, to)| to);
        let host = to.rsplit_once(':').map_or(to, |(host, _)| host);
        [to, host].iter().any(|host| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<Address>().is_ok_and(|host| host == *address)
        })
    };
    let lines = (1..).zip(config.lines());
    lines
        .filter(|(_, line)| {
            let mut words = line.split_whitespace();
            words.next() == Some("server") && words.nth(1).is_some_and(goes_there)
        })
        .map(|(number, line)| Line {
            number,
            text: line.trim().to_owned(),
        })
        .collect()
}

/// `config` without the cluster's section, and without the empty line [`Section::apply`] put before it.
///
/// # Errors
/// When the markers are damaged.
pub fn remove(config: &str, cluster: &ClusterName) -> Result<String, HaproxyError> {
    Ok(match find(config, cluster)? {
        None => config.to_owned(),
        Some(f) => {
            let before = &config[..f.start];
            let before = if before.ends_with("\n\n") {
                &before[..before.len() - 1]
            } else {
                before
            };
            format!("{before}{}", &config[f.end..])
        }
    })
}

/// The cluster's section as it stands in `config`, from its BEGIN to its END line.
///
/// # Errors
/// When the markers are damaged.
pub fn section_in<'a>(
    config: &'a str,
    cluster: &ClusterName,
) -> Result<Option<&'a str>, HaproxyError> {
    Ok(find(config, cluster)?.map(|f| &config[f.start..f.end]))
}

/// `config` with the cluster's section as it stands in `before`: `before` itself if nothing else has changed
/// since, else the section at the end. As it is if it has a section, or `before` has none.
///
/// # Errors
/// When the markers are damaged.
pub fn restore(config: &str, before: &str, cluster: &ClusterName) -> Result<String, HaproxyError> {
    let Some(section) = section_in(before, cluster)? else {
        return Ok(config.to_owned());
    };
    if find(config, cluster)?.is_some() {
        return Ok(config.to_owned());
    }
    if remove(before, cluster)? == config {
        return Ok(before.to_owned());
    }
    Ok(appended(config, section))
}

/// `config` with a section at its end, an empty line before it.
fn appended(config: &str, section: &str) -> String {
    if config.is_empty() {
        return section.to_owned();
    }
    let gap = if config.ends_with('\n') { "\n" } else { "\n\n" };
    format!("{config}{gap}{section}")
}

/// Name of a cluster's backend, as in the statistics.
#[must_use]
pub fn backend_name(cluster: &ClusterName) -> String {
    format!("coxswain-{cluster}-servers")
}

/// The path of the first UNIX statistics socket in a configuration. Debian's default has
/// `stats socket /run/haproxy/admin.sock mode 660 level admin`.
#[must_use]
pub fn stats_socket(config: &str) -> Option<&str> {
    config.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("stats"), Some("socket"), Some(at)) => {
                let path = at.strip_prefix("unix@").unwrap_or(at);
                path.starts_with('/').then_some(path)
            }
            _ => None,
        }
    })
}

/// The passwords in a configuration: of the statistics page (`stats auth name:password`) and of user lists, those
/// in comments too. They must not be shown.
#[must_use]
pub fn passwords(config: &str) -> Vec<Vec<u8>> {
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.windows(2).find_map(|pair| match *pair {
            ["auth", login] => login
                .split_once(':')
                .map(|(_, password)| password.to_owned()),
            ["password" | "insecure-password", password] => Some(password.to_owned()),
            _ => None,
        })
    };
    config
        .lines()
        .filter_map(of_line)
        .map(String::into_bytes)
        .collect()
}

fn frontend_name(cluster: &ClusterName) -> String {
    format!("coxswain-{cluster}-api")
}

fn begin(cluster: &ClusterName) -> String {
    format!("# BEGIN coxswain {cluster}")
}

fn end(cluster: &ClusterName) -> String {
    format!("# END coxswain {cluster}")
}

#[derive(Clone, Copy)]
struct Found {
    /// Byte range, with the line end of END.
    start: usize,
    end: usize,
    /// Line numbers, from 1.
    first: usize,
    last: usize,
}

fn find(config: &str, cluster: &ClusterName) -> Result<Option<Found>, HaproxyError> {
    let (begin, end) = (begin(cluster), end(cluster));
    let damaged = || HaproxyError::Markers(cluster.clone());
    let mut opened = None;
    let mut found = None;
    let mut at = 0;
    for (index, line) in config.split_inclusive('\n').enumerate() {
        let text = line.trim_end();
        if text == begin {
            if opened.is_some() || found.is_some() {
                return Err(damaged());
            }
            opened = Some((at, index + 1));
        } else if text == end {
            let (start, first) = opened.take().ok_or_else(damaged)?;
            found = Some(Found {
                start,
                end: at + line.len(),
                first,
                last: index + 1,
            });
        }
        at += line.len();
    }
    if opened.is_some() {
        return Err(damaged());
    }
    Ok(found)
}

/// A line that binds `port`: `bind [addr]:port[-range][,…]`, or the address on a `listen`/`frontend` line.
fn binds(line: &str, port: u16) -> bool {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let addresses = match words.next() {
        Some("bind") => words.next(),
        Some("listen" | "frontend") => words.nth(1),
        _ => None,
    };
    addresses
        .into_iter()
        .flat_map(|list| list.split(','))
        .filter(|address| !address.starts_with('/') && !address.starts_with("unix@"))
        .filter_map(|address| address.rsplit_once(':'))
        .any(|(_, ports)| {
            let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
            match (from.parse::<u16>(), to.parse::<u16>()) {
                (Ok(from), Ok(to)) => (from..=to).contains(&port),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests;
