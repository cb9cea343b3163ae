//! The `READY=1` message of a systemd service of `Type=notify`.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::Context as _;

/// Tells systemd that start-up is complete; does nothing outside a notify service. A failure is only logged, as in k3s:
/// systemd then ends the start by its own deadline.
pub(crate) fn ready() {
    if let Err(error) = send() {
        crate::logging::error(format!("{error:#}"));
    }
}

fn send() -> anyhow::Result<()> {
    let Ok(name) = std::env::var("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match name.strip_prefix('@') {
        Some(rest) => SocketAddr::from_abstract_name(rest.as_bytes()),
        None => SocketAddr::from_pathname(&name),
    }
    .context("NOTIFY_SOCKET")?;
    let socket = UnixDatagram::unbound().context("notify socket")?;
    socket
        .send_to_addr(b"READY=1\n", &address)
        .context("notify systemd")?;
    Ok(())
}
