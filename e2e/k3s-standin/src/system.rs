//! What a node tells about its machine: name, address, memory, operating system.

use std::fs;
use std::net::{IpAddr, UdpSocket};

use anyhow::Context as _;

/// The host's name in lower case, as the kubelet uses it.
///
/// # Errors
/// When the kernel's name is not text.
pub(crate) fn hostname() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname().context("hostname")?;
    let name = name
        .into_string()
        .map_err(|_| anyhow::anyhow!("hostname is not UTF-8"))?;
    Ok(name.to_lowercase())
}

/// The address of the default route, else the first one that is not loopback.
///
/// # Errors
/// When the machine has loopback only.
pub(crate) fn primary_address() -> anyhow::Result<IpAddr> {
    let by_route = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // A documentation address: no packet leaves, the kernel only picks the route.
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    if let Ok(address) = by_route
        && !address.ip().is_unspecified()
        && !address.ip().is_loopback()
    {
        return Ok(address.ip());
    }
    nix::ifaddrs::getifaddrs()
        .context("interfaces")?
        .filter_map(|interface| {
            interface
                .address?
                .as_sockaddr_in()
                .map(|ip| IpAddr::V4(ip.ip()))
        })
        .find(|ip| !ip.is_loopback())
        .context("no default routes found in \"/proc/net/route\" or \"/proc/net/ipv6_route\"")
}

/// Total memory in KiB.
pub(crate) fn memory_kib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

/// Number of processors.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `PRETTY_NAME` of the distribution.
pub(crate) fn os_image() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(
            || "Linux".to_owned(),
            |name| name.trim_matches('"').to_owned(),
        )
}

/// The kernel's release.
pub(crate) fn kernel() -> String {
    first_line("/proc/sys/kernel/osrelease")
}

/// Changes with every boot of the machine.
pub(crate) fn boot_id() -> String {
    first_line("/proc/sys/kernel/random/boot_id")
}

/// systemd's machine id.
pub(crate) fn machine_id() -> String {
    first_line("/etc/machine-id")
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path)
        .ok()
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_default()
}
