//! What a host is: user, system, clock, space, tools.

use coxswain_k3s::preflight::{Architecture, Firewall, HostFacts, SystemdState};
use coxswain_wire::{Fact, Verdict};

use super::{bound, fail, pass, shown, unknown, warn};
use crate::steps::ApiHost;
use crate::world::World;

const GIB: u64 = 1024 * 1024;

/// Facts of one host that answers.
pub(super) async fn facts(world: &dyn World, node: &ApiHost, found: &HostFacts) -> Vec<Fact> {
    let name = node.name.as_str();
    let mut facts = vec![
        if found.is_root {
            pass(name, "Connection", "signed in over SSH, root by sudo")
        } else {
            fail(
                name,
                "Connection",
                "signed in, but not as root",
                "Let the user run sudo without a password, or sign in as root.",
            )
        },
        system(name, found),
        systemd(name, found),
        architecture(name, found),
        host_name(name, found),
        address(node, found),
        clock(world, node).await,
    ];
    facts.extend(space(name, found));
    facts.push(memory(name, found));
    facts.push(tools(name, found));
    facts.push(firewall(name, found));
    facts
}

fn system(name: &str, found: &HostFacts) -> Fact {
    match &found.os {
        Some(os) => pass(
            name,
            "Operating system",
            format!("{}, kernel {}", os.pretty_name, found.kernel),
        ),
        None => warn(
            name,
            "Operating system",
            format!("unknown, kernel {}", found.kernel),
            "k3s is tested on common distributions only.",
        ),
    }
}

fn systemd(name: &str, found: &HostFacts) -> Fact {
    match &found.systemd {
        SystemdState::Present(state) if matches!(state.as_str(), "running" | "degraded") => {
            pass(name, "systemd", "runs")
        }
        SystemdState::Present(state) => warn(
            name,
            "systemd",
            format!("is {state}"),
            "Wait until the machine has finished starting, then look again.",
        ),
        SystemdState::Absent { init } => fail(
            name,
            "systemd",
            format!("process 1 is {init}"),
            "k3s is installed as a systemd service: choose a host that runs systemd.",
        ),
    }
}

fn architecture(name: &str, found: &HostFacts) -> Fact {
    match &found.architecture {
        Architecture::Amd64 => pass(name, "Architecture", "amd64"),
        Architecture::Arm64 => pass(name, "Architecture", "arm64"),
        Architecture::S390x => pass(name, "Architecture", "s390x"),
        Architecture::Arm => warn(
            name,
            "Architecture",
            "32-bit ARM",
            "Newer versions of k3s are not built for it.",
        ),
        Architecture::Unsupported(machine) => fail(
            name,
            "Architecture",
            machine,
            "k3s is not built for this machine.",
        ),
    }
}

fn host_name(name: &str, found: &HostFacts) -> Fact {
    let short = found.hostname.split('.').next().unwrap_or_default();
    if found.hostname == name || short == name {
        pass(name, "Host name", &found.hostname)
    } else {
        warn(
            name,
            "Host name",
            format!("the machine calls itself {}", found.hostname),
            "The node will be named as in the inventory. Make sure that this is the machine you mean.",
        )
    }
}

fn address(node: &ApiHost, found: &HostFacts) -> Fact {
    let has = node
        .address
        .parse()
        .ok()
        .and_then(|ip| found.has_address(ip));
    match has {
        Some(true) => pass(&node.name, "Node address", &node.address),
        Some(false) => fail(
            &node.name,
            "Node address",
            format!("no interface has {}", node.address),
            "Correct the node address in the inventory: the one by which the nodes reach each other.",
        ),
        None => warn(
            &node.name,
            "Node address",
            format!("{}; the interfaces cannot be listed", node.address),
            "Check it on the host.",
        ),
    }
}

async fn clock(world: &dyn World, node: &ApiHost) -> Fact {
    match world.clock(node.host).await {
        Err(error) => unknown(&node.name, "Clock", &error),
        Ok(reading) => {
            let doubt = i64::try_from(reading.round_trip.as_millis() / 2).unwrap_or(i64::MAX);
            let offset = reading.offset_ms.saturating_abs().saturating_sub(doubt);
            let verdict = match offset {
                ..5_000 => Verdict::Pass,
                5_000..60_000 => Verdict::Warn,
                _ => Verdict::Fail,
            };
            let words = match reading.offset_ms {
                0.. => "ahead of the panel's",
                ..0 => "behind the panel's",
            };
            let value = format!(
                "{}.{:03} s {words}",
                reading.offset_ms.abs() / 1000,
                reading.offset_ms.abs() % 1000
            );
            bound(
                &node.name,
                "Clock",
                value,
                verdict,
                "Set the clock by a time service (timedatectl set-ntp true): certificates and tokens depend on it.",
            )
        }
    }
}

pub(in crate::workflows) fn space(name: &str, found: &HostFacts) -> Vec<Fact> {
    [
        ("/var/lib/rancher", 4 * GIB, GIB),
        ("/usr/local/bin", GIB / 2, GIB / 5),
    ]
    .into_iter()
    .map(|(path, enough, least)| {
        let label = format!("Space for {path}");
        match found.free_kib(path) {
            None => warn(name, &label, "unknown", "Check it on the host: df."),
            Some(free) => {
                let verdict = match free {
                    free if free >= enough => Verdict::Pass,
                    free if free >= least => Verdict::Warn,
                    _ => Verdict::Fail,
                };
                bound(
                    name,
                    &label,
                    format!("{} free", size(free)),
                    verdict,
                    "Free space, or choose a host with more.",
                )
            }
        }
    })
    .collect()
}

fn memory(name: &str, found: &HostFacts) -> Fact {
    let Some(total) = found.memory_kib else {
        return warn(name, "Memory", "unknown", "A server wants 2 GiB.");
    };
    if found.memory_cgroup == Some(false) {
        return warn(
            name,
            "Memory",
            format!("{}; the memory cgroup is off", size(total)),
            "k3s needs it: add cgroup_enable=memory to the kernel's command line.",
        );
    }
    let verdict = match total {
        total if total >= 2 * GIB * 9 / 10 => Verdict::Pass,
        total if total >= GIB / 2 => Verdict::Warn,
        _ => Verdict::Fail,
    };
    bound(
        name,
        "Memory",
        size(total),
        verdict,
        "A server wants 2 GiB, an agent 512 MiB.",
    )
}

/// curl or wget is how the installer downloads, and how the panel asks etcd.
fn tools(name: &str, found: &HostFacts) -> Fact {
    match ["curl", "wget"]
        .into_iter()
        .find(|tool| found.has_tool(tool))
    {
        Some(tool) => pass(name, "Tools", format!("{tool} is there")),
        None => fail(
            name,
            "Tools",
            "neither curl nor wget is there",
            "Install one of them: the installer downloads with it, and etcd is asked with it.",
        ),
    }
}

fn firewall(name: &str, found: &HostFacts) -> Fact {
    match &found.firewall {
        None => shown(name, "Firewall", "unknown"),
        Some(Firewall::None | Firewall::Rules(0)) => shown(name, "Firewall", "none is active"),
        Some(Firewall::Active(which)) => warn(
            name,
            "Firewall",
            format!("{which} is active"),
            "Open the ports between the nodes, and the networks of pods and services (10.42.0.0/16, 10.43.0.0/16).",
        ),
        Some(Firewall::Rules(count)) => shown(
            name,
            "Firewall",
            format!("{count} rules that drop or reject"),
        ),
    }
}

fn size(kib: u64) -> String {
    format!("{}.{} GiB", kib / GIB, kib % GIB * 10 / GIB)
}
