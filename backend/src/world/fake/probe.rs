//! What the host probe prints on a machine in memory.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use coxswain_wire::HostId;

use super::State;
use super::host::below;

/// Files that are listed one by one.
const FILES: [&str; 6] = [
    "/etc/default/k3s",
    "/run/systemd/system/k3s",
    "/usr/local/bin/k3s",
    "/etc/systemd/system/k3s.service",
    "/etc/systemd/system/k3s-agent.service",
    "/etc/rancher/",
];

pub(super) fn print(state: &State, id: HostId) -> String {
    let host = &state.hosts[&id];
    let mut text = "@coxswain-probe 1\n".to_owned();
    let mut section = |name: &str, lines: &[String]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "@section {name}");
        for line in lines {
            let _ = writeln!(text, "|{line}");
        }
        let _ = writeln!(text, "\n@end");
    };
    let lines = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
    section("user", &lines(&["0"]));
    section(
        "os-release",
        &lines(&[
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"",
            "ID=debian",
            "VERSION_ID=\"12\"",
        ]),
    );
    section("uname", &lines(&["6.1.0", "x86_64", &host.hostname]));
    section("boot-id", &[host.boot_id()]);
    let runs_systemd = host.init == "systemd";
    section(
        "init",
        &if runs_systemd {
            lines(&["systemd", "running"])
        } else {
            lines(&[&host.init])
        },
    );
    section("cpus", &lines(&["2"]));
    section(
        "memory",
        &lines(&[
            "MemTotal: 4000000 kB",
            "MemAvailable: 3000000 kB",
            "SwapTotal: 0 kB",
        ]),
    );
    section("cgroup", &lines(&["memory"]));
    let disks = ["/var/lib/rancher", "/usr/local/bin"]
        .map(|path| format!("{path} /dev/vda1 99999999 1 {} 1% /", host.free_kib));
    section("disks", &disks);
    let addresses = std::iter::once(format!(
        "2: eth0 inet {}/24 scope global eth0",
        host.address
    ));
    let more = host.more_addresses.iter().map(|address| {
        let family = if address.is_ipv4() { "inet" } else { "inet6" };
        format!("2: eth0 {family} {address}/64 scope global eth0")
    });
    section("addresses", &addresses.chain(more).collect::<Vec<_>>());
    section("sockets", &sockets(state, id));
    section("clock", &lines(&["1795326133123", "NTPSynchronized=yes"]));
    section("firewall", &lines(&["rules 0"]));
    let database: BTreeSet<String> = host
        .files
        .keys()
        .filter_map(|file| file.strip_prefix("/var/lib/rancher/k3s/server/db/"))
        .map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
        .collect();
    section("datastore", &database.into_iter().collect::<Vec<_>>());
    let version = host
        .k3s_in("/usr/local/bin/k3s")
        .map(|version| format!("k3s version {version} (0)"));
    section("k3s-version", &version.into_iter().collect::<Vec<_>>());
    let unit = |name: &str| {
        let k3s = host.k3s.as_ref().filter(|k3s| k3s.unit == name);
        format!("{name} {}", k3s.map_or("inactive", |k3s| k3s.state()))
    };
    let mut units = vec![unit("k3s.service"), unit("k3s-agent.service")];
    units.extend(host.files.keys().filter_map(|file| named(file)));
    section("units", &units);
    section("mounts", &lines(&host.mounts));
    section("leftovers", &leftovers(host.files.keys()));
    for (path, content) in host
        .files
        .iter()
        .filter(|(path, _)| path.starts_with("/etc/rancher/k3s/config.yaml"))
    {
        section(
            &format!("config-file {path}"),
            &content.lines().map(str::to_owned).collect::<Vec<_>>(),
        );
    }
    section("tools", &lines(&host.tools));
    let confined = host.confined.then_some("haproxy_connect_any --> off");
    section("selinux", &lines(confined.as_slice()));
    section(
        "jobs",
        &host
            .jobs
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
    );
    text.push_str("@done\n");
    text
}

/// The unit of a k3s with a name of its own.
fn named(file: &str) -> Option<String> {
    let unit = file.strip_prefix("/etc/systemd/system/")?;
    let other = unit.starts_with("k3s-") && unit.ends_with(".service");
    (other && unit != "k3s-agent.service").then(|| format!("{unit} active"))
}

fn sockets(state: &State, id: HostId) -> Vec<String> {
    let host = &state.hosts[&id];
    let line = |port: u16, process: &str| {
        format!("tcp LISTEN 0 4096 *:{port} *:* users:((\"{process}\",pid=1,fd=3))")
    };
    let mut lines = vec!["ss".to_owned(), line(22, "sshd")];
    lines.extend(
        host.port_taken_by
            .as_deref()
            .map(|process| line(6443, process)),
    );
    if state.runs(id) {
        lines.extend([6443, 2379, 2380, 10250].map(|port| line(port, "k3s-server")));
    }
    lines
}

fn leftovers<'a>(files: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for file in files {
        if FILES.iter().any(|start| file.starts_with(start)) {
            found.insert(format!("file {file}"));
        } else if let Some(rest) = file.strip_prefix("/var/lib/rancher/k3s/") {
            let depth = if rest.starts_with("agent/") { 2 } else { 1 };
            let top: Vec<&str> = rest.split('/').take(depth).collect();
            found.insert(format!("dir /var/lib/rancher/k3s/{}", top.join("/")));
        } else if below(file, "/var/lib/kubelet") {
            found.insert("dir /var/lib/kubelet".to_owned());
        }
    }
    found.into_iter().collect()
}
