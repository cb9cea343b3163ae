//! What HAProxy itself says of the servers behind it.

use coxswain_engine::step::StepFailure;
use coxswain_k3s::haproxy::{ServerStat, ServerState, parse_stat};
use coxswain_k3s::names::ClusterName;
use coxswain_wire::HostId;

use super::failure;
use crate::world::{RemoteCommand, Script, World};

/// `$1` the statistics socket. Debian always has perl, RHEL 8 a python of its own; the others are tried first.
/// Status 4: nothing there can read it.
pub(crate) const STAT: Script = Script {
    name: "haproxy-stat",
    text: r#"[ -S "$1" ] || exit 3
if command -v socat >/dev/null 2>&1; then
    echo 'show stat' | socat -t 5 - "UNIX-CONNECT:$1"
elif python=$(command -v python3 || command -v /usr/libexec/platform-python); then
    "$python" -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect(sys.argv[1])
s.sendall(b"show stat\n")
while True:
    data = s.recv(65536)
    if not data:
        break
    sys.stdout.buffer.write(data)' "$1"
elif ! command -v perl >/dev/null 2>&1; then
    exit 4
else
    perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new($ARGV[0]) or die "$!\n"; print $s "show stat\n"; $s->flush; print while <$s>;' "$1"
fi
"#,
};

/// What one of these tools reads.
pub(crate) const READERS: [&str; 4] = ["socat", "python3", "platform-python", "perl"];

/// Status of [`STAT`] without a reader.
const NO_READER: i32 = 4;

/// What HAProxy said.
pub(crate) enum Statistics {
    /// The cluster's servers as HAProxy sees them.
    Listed(Vec<ServerStat>),
    /// The host has no tool to read the socket with.
    NoReader,
    /// There are none, in words.
    Unread(String),
}

/// Asks HAProxy.
pub(crate) async fn stats(
    world: &dyn World,
    host: HostId,
    socket: &str,
    cluster: &ClusterName,
) -> Result<Statistics, StepFailure> {
    let answer = world
        .run(host, RemoteCommand::script(STAT).arg(socket).sudo())
        .await
        .map_err(failure::world)?;
    if answer.status == NO_READER {
        return Ok(Statistics::NoReader);
    }
    if !answer.success() {
        let said = answer.error_text();
        return Ok(Statistics::Unread(format!(
            "HAProxy's statistics cannot be read at {socket}: {}",
            said.trim()
        )));
    }
    Ok(match parse_stat(&answer.text(), Some(cluster)) {
        Ok(listed) => Statistics::Listed(listed),
        Err(e) => Statistics::Unread(e.to_string()),
    })
}

/// Servers of `wanted` that HAProxy does not send traffic to, by their own health check.
pub(crate) fn not_up<'a>(
    stats: &[ServerStat],
    wanted: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    wanted
        .filter_map(|name| match stats.iter().find(|s| s.server == name) {
            None => Some(format!("{name} is not in HAProxy's statistics")),
            Some(stat) => match stat.state {
                ServerState::Up if stat.check.starts_with("L7OK") => None,
                ServerState::Up
                | ServerState::Down
                | ServerState::Maintenance
                | ServerState::NoCheck => Some(format!(
                    "{name} is {:?} in HAProxy ({})",
                    stat.state, stat.check
                )),
            },
        })
        .collect()
}
