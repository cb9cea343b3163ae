use super::*;
use crate::preflight::{LeftoverPlace, PROBE_SCRIPT};
use proptest::prelude::*;

const FRESH: &str = include_str!("../../../tests/samples/probe-fresh.txt");
const USED: &str = include_str!("../../../tests/samples/probe-used.txt");

#[test]
fn a_fresh_host() {
    let facts = parse_probe(FRESH).unwrap();
    assert!(facts.is_root);
    assert_eq!(facts.os.as_ref().unwrap().id, "debian");
    assert_eq!(facts.architecture, Architecture::Amd64);
    assert_eq!(facts.hostname, "node1");
    assert_eq!(facts.systemd, SystemdState::Present("running".into()));
    assert_eq!(facts.swap_kib, Some(0));
    assert_eq!(facts.datastore, DatastoreKind::None);
    assert!(facts.free_kib("/var/lib/rancher").unwrap() > 1_000_000);
    assert_eq!(
        facts.has_address("172.30.55.11".parse().unwrap()),
        Some(true)
    );
    assert_eq!(facts.ntp_synchronized, Some(true));
    assert_eq!(facts.firewall, Some(Firewall::None));
    assert!(facts.ports_taken().is_empty());
    assert_eq!(facts.listener(22).unwrap().process.as_deref(), Some("sshd"));
    assert!(facts.leftovers.is_empty() && facts.config_files.is_empty());
    assert!(facts.has_tool("curl") && !facts.has_tool("nc"));
    assert_eq!(facts.clock_ahead_ms(1_795_326_133_000), Some(123));
}

#[test]
fn a_used_host() {
    let facts = parse_probe(USED).unwrap();
    assert_eq!(facts.datastore, DatastoreKind::Etcd);
    assert!(facts.reset_flag);
    assert_eq!(
        facts.k3s_version.as_ref().unwrap().to_string(),
        "v1.22.4+k3s1"
    );
    assert!(facts.k3s_unit.is_alive() && !facts.agent_unit.is_alive());
    let taken: Vec<u16> = facts.ports_taken().iter().map(|p| p.port).collect();
    assert_eq!(taken, [6443, 2380]);
    let places: Vec<LeftoverPlace> = facts.leftovers.iter().map(|l| l.place()).collect();
    assert!(places.contains(&LeftoverPlace::Unit) && places.contains(&LeftoverPlace::Network));
    let paths: Vec<&str> = facts.config_files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/etc/rancher/k3s/config.yaml",
            "/etc/rancher/k3s/config.yaml.d/10-a.yaml"
        ]
    );
    assert_eq!(
        facts.config_files[0].text,
        "token: hunter2hunter2\ntls-san:\n  - a\n"
    );
    assert_eq!(
        facts.config_files[0].redacted(),
        "token: ‹redacted›\ntls-san:\n  - a\n"
    );
    assert!(!format!("{facts:?}").contains("hunter2"));
    assert_eq!(facts.jobs, ["r1-3-1"]);
    assert!(facts.job_units[0].is_alive());
}

#[test]
fn a_broken_answer_is_told_from_a_bare_host() {
    assert_eq!(
        parse_probe("sudo: a password is required"),
        Err(ProbeError::NotAProbe)
    );
    let cut = &FRESH[..FRESH.find("@section disks").unwrap()];
    assert_eq!(parse_probe(cut), Err(ProbeError::CutShort("cgroup".into())));
    let bare = "@coxswain-probe 1\n@section user\n|0\n@end\n@section uname\n|6.1\n|riscv64\n|h\n@end\n@done\n";
    let facts = parse_probe(bare).unwrap();
    assert_eq!(facts.listening, None);
    assert_eq!(
        facts.architecture,
        Architecture::Unsupported("riscv64".into())
    );
    assert_eq!(
        facts.systemd,
        SystemdState::Absent {
            init: "unknown".into()
        }
    );
}

#[test]
fn content_cannot_forge_markers() {
    let forged = FRESH.replace(
        "@section tools",
        "@section config-file /etc/rancher/k3s/config.yaml\n|a: b\n|@section user\n|@done\n\n@end\n@section tools",
    );
    let facts = parse_probe(&forged).unwrap();
    assert_eq!(facts.config_files[0].text, "a: b\n@section user\n@done\n");
    assert!(facts.has_tool("curl"));
}

#[test]
fn the_script_runs_in_every_shell_and_parses() {
    for shell in ["sh", "dash", "bash", "busybox"] {
        let mut command = std::process::Command::new(shell);
        if shell == "busybox" {
            command.arg("sh");
        }
        // A shell complains of a locale that is not there, and bash runs what BASH_ENV names.
        command.env("LC_ALL", "C").env_remove("BASH_ENV");
        // Not every machine has every shell.
        let Ok(output) = command.args(["-c", PROBE_SCRIPT]).output() else {
            continue;
        };
        assert!(output.status.success(), "{shell}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors, "", "{shell}");
        let facts = parse_probe(&String::from_utf8_lossy(&output.stdout)).unwrap();
        assert!(
            !facts.hostname.is_empty() && facts.unix_ms.is_some(),
            "{shell}"
        );
        assert!(
            !facts.disks.is_empty() && facts.listening.is_some(),
            "{shell}"
        );
    }
}

/// Their settings count in the next installation, and may be secrets: the name is told, never the content.
#[test]
fn environment_files_of_the_unit_are_left_over() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["etc/default", "etc/sysconfig"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let files = ["/etc/default/k3s", "/etc/sysconfig/k3s-agent"];
    for file in files {
        std::fs::write(root.path().join(&file[1..]), "K3S_TOKEN=hunter2").unwrap();
    }
    let proxy = root.path().join("etc/default/k3s-agent");
    std::fs::write(proxy, "HTTP_PROXY=http://p\n").unwrap();
    let facts = probed(root.path(), &[]);
    let found: Vec<&str> = facts.leftovers.iter().map(|l| l.path.as_str()).collect();
    assert_eq!(found, files);
    assert!(
        facts
            .leftovers
            .iter()
            .all(|left| left.in_the_way() && left.place() == LeftoverPlace::Unit)
    );
    assert!(!format!("{facts:?}").contains("hunter2"));
}

/// k3s's installer was given INSTALL_K3S_NAME. What only has such a name, or runs another command of k3s, is no
/// installation.
#[test]
fn a_k3s_under_another_name_is_seen_by_what_its_unit_starts() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("etc/systemd/system");
    std::fs::create_dir_all(folder.join("k3s-dir.service")).unwrap();
    let installed =
        "[Service]\nExecStartPre=-/sbin/modprobe overlay\nExecStart=/usr/local/bin/k3s \\\n";
    for (unit, text) in [
        ("k3s", format!("{installed}    server \\\n\n")),
        ("k3s-agent", format!("{installed}    agent \\\n\n")),
        (
            "k3s-prod",
            format!("{installed}    server \\\n\t'--tls-san' \\\n\n"),
        ),
        (
            "k3s-edge",
            "[Service]\nExecStart = -/opt/bin/k3s --debug agent".to_owned(),
        ),
        (
            "k3s-killall",
            "[Service]\nExecStart=/usr/local/bin/k3s-killall.sh\n".to_owned(),
        ),
        (
            "k3s-backup",
            format!("{installed}    etcd-snapshot save --name server\n"),
        ),
        (
            "k3s-old",
            "[Service]\n#ExecStart=/usr/local/bin/k3s server\nExecStart=/bin/true\n".to_owned(),
        ),
        ("other", format!("{installed}    server \\\n\n")),
    ] {
        std::fs::write(folder.join(format!("{unit}.service")), text).unwrap();
    }
    for shell in [&["sh"][..], &["dash"], &["bash"], &["busybox", "sh"]] {
        let Some(facts) = probed_by(shell, root.path(), &[]) else {
            continue;
        };
        let units: Vec<&str> = facts.named_units.iter().map(|u| u.unit.as_str()).collect();
        assert_eq!(units, ["k3s-edge.service", "k3s-prod.service"], "{shell:?}");
        assert_eq!(facts.k3s_unit.unit, "k3s.service");
    }
}

/// What the probe sees on a host below a directory, where these are mounted.
fn probed(root: &std::path::Path, mounts: &[&str]) -> HostFacts {
    probed_by(&["sh"], root, mounts).expect("every machine has sh")
}

/// The same in one of the shells; `None`: this machine has not got it.
fn probed_by(shell: &[&str], root: &std::path::Path, mounts: &[&str]) -> Option<HostFacts> {
    let at = root.display().to_string();
    let table = |path: &&str| format!("dev {at}{path} ext4 rw 0 0\n");
    std::fs::write(
        root.join("mounts"),
        mounts.iter().map(table).collect::<String>(),
    )
    .unwrap();
    let mut script = PROBE_SCRIPT.replace("/proc/self/mounts", "@mounts");
    for tree in ["/var/lib/", "/etc/", "/run/", "/usr/local/bin/"] {
        script = script.replace(tree, &format!("{at}{tree}"));
    }
    let script = script.replace("@mounts", &format!("{at}/mounts"));
    let (program, more) = shell.split_first()?;
    let ran = std::process::Command::new(program)
        .args(more)
        .args(["-c", &script])
        .output()
        .ok()?;
    let answer = String::from_utf8(ran.stdout).unwrap();
    Some(parse_probe(&answer.replace(&at, "")).unwrap())
}

#[test]
fn an_emptied_disk_is_nothing_and_a_full_one_is_told() {
    let root = tempfile::tempdir().unwrap();
    let disk = "/var/lib/rancher/k3s/server/db";
    let folder = root.path().join(&disk[1..]);
    std::fs::create_dir_all(folder.join("lost+found")).unwrap();
    let server = |facts: &HostFacts| facts.leftovers[0].clone();
    let mounts = [disk, "/var/lib/kubelet/pods/1/volumes/v", "/srv"];
    let facts = probed(root.path(), &mounts);
    assert_eq!(facts.mounts, [disk]);
    assert_eq!(facts.datastore, DatastoreKind::None);
    assert_eq!(server(&facts).path, "/var/lib/rancher/k3s/server");
    assert!(!server(&facts).in_the_way());
    assert!(server(&probed(root.path(), &[])).in_the_way());
    std::fs::write(folder.join("state.db"), "x").unwrap();
    let facts = probed(root.path(), &mounts);
    assert!(server(&facts).in_the_way());
    assert_eq!(facts.datastore, DatastoreKind::Sqlite);
}

proptest! {
    #[test]
    fn never_panics(text in "[ -~\n|@]{0,300}") {
        let _ = parse_probe(&text);
        let _ = parse_probe(&format!("@coxswain-probe 1\n@section uname\n|a\n|b\n|c\n@section user\n|0\n@section disks\n|{text}\n@done\n"));
    }
}
