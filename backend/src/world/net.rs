//! Opening TCP connections, with failures told apart.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{Result, UnreachableKind, WorldError};

/// For a name server's answer.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

fn unreachable(target: &str, kind: UnreachableKind, detail: String) -> WorldError {
    WorldError::Unreachable {
        target: target.to_owned(),
        kind,
        detail,
    }
}

/// Addresses of a name (or the address itself).
pub(super) async fn resolve(target: &str, address: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let dns = |detail: String| unreachable(target, UnreachableKind::Dns, detail);
    let found = match timeout(RESOLVE_TIMEOUT, lookup_host((address, port))).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(e)) => return Err(dns(format!("{address} does not resolve: {e}"))),
        Err(_) => {
            return Err(dns(format!(
                "no name server answered for {address} within {} s",
                RESOLVE_TIMEOUT.as_secs()
            )));
        }
    };
    if found.is_empty() {
        Err(dns(format!("{address} has no address")))
    } else {
        Ok(found)
    }
}

/// Connects to the first address that answers; the last failure otherwise. `limit` is for each address.
pub(super) async fn connect(
    target: &str,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream> {
    let mut last = unreachable(target, UnreachableKind::Dns, "no address".to_owned());
    for address in addresses {
        last = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => unreachable(target, kind_of(&e), format!("{address}: {e}")),
            Err(_) => unreachable(
                target,
                UnreachableKind::TimedOut,
                format!("{address}: no answer within {} s", limit.as_secs_f32()),
            ),
        };
    }
    Err(last)
}

fn kind_of(e: &std::io::Error) -> UnreachableKind {
    use std::io::ErrorKind::{
        ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut,
    };
    let kind = e.kind();
    if kind == ConnectionRefused {
        UnreachableKind::Refused
    } else if kind == TimedOut {
        UnreachableKind::TimedOut
    } else if [HostUnreachable, NetworkUnreachable, NetworkDown].contains(&kind) {
        UnreachableKind::NoRoute
    } else {
        UnreachableKind::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux says of a machine that does not answer for its address, and of one that hangs up.
    #[test]
    fn no_route_is_no_answer() {
        const EHOSTUNREACH: i32 = 113;
        const ENETUNREACH: i32 = 101;
        const ECONNREFUSED: i32 = 111;
        const ECONNRESET: i32 = 104;
        for (code, kind) in [
            (EHOSTUNREACH, UnreachableKind::NoRoute),
            (ENETUNREACH, UnreachableKind::NoRoute),
            (ECONNREFUSED, UnreachableKind::Refused),
            (ECONNRESET, UnreachableKind::Closed),
        ] {
            let error = std::io::Error::from_raw_os_error(code);
            assert_eq!(kind_of(&error), kind, "{error}");
        }
    }
}
