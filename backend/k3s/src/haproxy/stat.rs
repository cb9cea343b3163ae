//! HAProxy's `show stat`: CSV whose first line names the columns. Columns are found by name: every
//! version adds some.

use std::collections::HashMap;

use super::backend_name;
use crate::names::ClusterName;

/// What HAProxy thinks of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Takes traffic. Also while checks begin to fail ("UP 1/2").
    Up,
    /// Takes none. Also while checks begin to succeed ("DOWN 1/2").
    Down,
    /// Taken out by a person, or draining.
    Maintenance,
    /// Has no health check: not ours.
    NoCheck,
}

/// One server of one backend.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ServerStat {
    /// Backend name.
    pub backend: String,
    /// Server name; ours are node names.
    pub server: String,
    /// State.
    pub state: ServerState,
    /// Result of the last check, e.g. `L7OK`, `L4CON`; empty before the first.
    pub check: String,
    /// Seconds since the state last changed.
    pub since_seconds: Option<u64>,
}

/// Reads the answer to `show stat`, servers only; with `cluster` only those of its backend.
///
/// # Errors
/// When the columns needed are not there.
pub fn parse_stat(csv: &str, cluster: Option<&ClusterName>) -> Result<Vec<ServerStat>, StatError> {
    let mut lines = csv.lines().filter(|line| !line.trim().is_empty());
    let header = lines
        .next()
        .and_then(|line| line.strip_prefix("# "))
        .ok_or(StatError::Header)?;
    let columns: HashMap<String, usize> = fields(header)
        .into_iter()
        .enumerate()
        .map(|(at, name)| (name, at))
        .collect();
    let column = |name: &'static str| columns.get(name).copied().ok_or(StatError::Column(name));
    let (proxy, server, status) = (column("pxname")?, column("svname")?, column("status")?);
    let backend = cluster.map(backend_name);
    let mut servers = Vec::new();
    for line in lines {
        let values = fields(line);
        let value = |at: usize| values.get(at).map(String::as_str).unwrap_or_default();
        let optional = |name: &str| columns.get(name).map(|at| value(*at)).unwrap_or_default();
        let ours = backend
            .as_deref()
            .is_none_or(|wanted| wanted == value(proxy));
        if !ours || matches!(value(server), "FRONTEND" | "BACKEND" | "") {
            continue;
        }
        servers.push(ServerStat {
            backend: value(proxy).to_owned(),
            server: value(server).to_owned(),
            state: state(value(status)),
            // A star marks a check under way.
            check: optional("check_status").trim_start_matches("* ").to_owned(),
            since_seconds: optional("lastchg").parse().ok(),
        });
    }
    Ok(servers)
}

/// Why an answer is not `show stat`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatError {
    /// The first line does not name columns.
    #[error("HAProxy's statistics do not begin with the names of their columns")]
    Header,
    /// A column is missing.
    #[error("HAProxy's statistics have no column {0}")]
    Column(&'static str),
}

fn state(text: &str) -> ServerState {
    match text.split(' ').next().unwrap_or_default() {
        "UP" => ServerState::Up,
        "MAINT" | "DRAIN" | "NOLB" => ServerState::Maintenance,
        "no" => ServerState::NoCheck,
        // DOWN, and anything a later version may say: not known to take traffic.
        _ => ServerState::Down,
    }
}

/// Splits a CSV line; a field may be in double quotes, in which a double quote is doubled.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields[last].push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields[last].push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "# pxname,svname,qcur,status,lastchg,check_status,desc,\n\
        coxswain-lab-api,FRONTEND,,OPEN,,,,\n\
        coxswain-lab-servers,node1,0,UP,12,L7OK,\"a, \"\"b\"\"\",\n\
        coxswain-lab-servers,node2,0,DOWN 1/2,3,* L4CON,,\n\
        coxswain-lab-servers,node3,0,MAINT (via x/y),,,,\n\
        coxswain-lab-servers,BACKEND,0,UP,12,,,\n\
        other,x,0,no check,,,,\n\n";

    #[test]
    fn reads_servers_by_column_name() {
        let all = parse_stat(CSV, Some(&"lab".parse().unwrap())).unwrap();
        let states: Vec<_> = all.iter().map(|s| (s.server.as_str(), s.state)).collect();
        assert_eq!(
            states,
            [
                ("node1", ServerState::Up),
                ("node2", ServerState::Down),
                ("node3", ServerState::Maintenance)
            ]
        );
        assert_eq!(
            (all[1].check.as_str(), all[1].since_seconds),
            ("L4CON", Some(3))
        );
        assert_eq!(
            parse_stat(CSV, None).unwrap()[3].state,
            ServerState::NoCheck
        );
        assert_eq!(parse_stat("", None), Err(StatError::Header));
        assert_eq!(
            parse_stat("# a,b\n", None),
            Err(StatError::Column("pxname"))
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[ -~\n]{0,200}") {
            let _ = parse_stat(&text, None);
            let _ = parse_stat(&format!("# pxname,svname,status\n{text}"), None);
        }
    }
}
