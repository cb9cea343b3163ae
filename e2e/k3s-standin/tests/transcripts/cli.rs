//! Words and exit statuses of the command line.

use std::process::Output;

use crate::cluster::Cluster;
use crate::recorded::block;

fn text(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn version_and_unknown_words() {
    let cluster = Cluster::new();
    let (version, _) = text(&cluster.run(1, &["--version"]));
    assert_eq!(
        version,
        "k3s version v1.22.4+k3s1 (00226be6)\ngo version go1.16.10\n"
    );
    let recorded = block("08-cert-rotate.txt", "certificate check");
    let output = cluster.run(1, &["certificate", "check"]);
    assert_eq!(output.status.code(), Some(recorded.exit));
    assert_eq!(text(&output).0, recorded.output);
    let output = cluster.run(1, &["token", "rotate"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output).0, "No help topic for 'token'\n");
}

#[test]
fn flags_the_version_does_not_have_are_refused() {
    let cluster = Cluster::new();
    for flag in [
        "--nope",
        "--tls-san-security",
        "--egress-selector-mode=agent",
    ] {
        let output = cluster.run(1, &["server", flag]);
        let (out, err) = text(&output);
        let name = flag.trim_start_matches('-').split('=').next().unwrap();
        let message = format!("flag provided but not defined: -{name}");
        assert_eq!(output.status.code(), Some(1));
        assert!(
            out.starts_with(&format!("Incorrect Usage: {message}\n\nNAME:\n")),
            "{out}"
        );
        assert!(
            err.contains(&format!("level=fatal msg=\"{message}\"")),
            "{err}"
        );
    }
    let (help, _) = text(&cluster.run(1, &["server", "--help"]));
    assert!(
        help.contains("   --tls-san value") && help.contains("[$K3S_TOKEN]"),
        "{help}"
    );
    assert!(
        !help.contains("--disable-agent"),
        "hidden flags stay hidden"
    );
}

#[test]
fn config_files_are_read_and_flags_win() {
    let cluster = Cluster::new();
    let write = |path: &str, content: &str| {
        let file = cluster.file(1, path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    };
    write(
        "/etc/rancher/k3s/config.yaml",
        "server: http://plain\ntoken: x\nstrange: 1\n",
    );
    let (_, err) = text(&cluster.run(1, &["server"]));
    assert!(
        err.contains("Unknown flag --strange found in config.yaml, skipping"),
        "{err}"
    );
    assert!(
        err.contains("level=fatal") && err.contains("http://plain"),
        "{err}"
    );
    write(
        "/etc/rancher/k3s/config.yaml.d/10.yaml",
        "server: http://later\n",
    );
    let (_, err) = text(&cluster.run(1, &["server"]));
    assert!(err.contains("http://later"), "{err}");
    let (_, err) = text(&cluster.run(1, &["server", "--server", "http://flag"]));
    assert!(err.contains("http://flag"), "{err}");
}

#[test]
fn copies_are_other_releases() {
    let cluster = Cluster::new().of_release("v1.23.17+k3s1");
    let output = cluster.run(1, &["--version"]);
    assert!(
        text(&output).0.starts_with("k3s version v1.23.17+k3s1 ("),
        "{output:?}"
    );
    let output = cluster.run(1, &["certificate", "check"]);
    assert_eq!(output.status.code(), Some(3));
    let refused = cluster.run(1, &["standin-release", "latest", "/nowhere"]);
    assert_eq!(refused.status.code(), Some(1));
    // A copy of a copy carries one name.
    let file = cluster.file(1, "/k3s");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let file = file.to_str().unwrap();
    let written = cluster.run(1, &["standin-release", "v1.33.4+k3s1", file]);
    assert!(written.status.success(), "{written:?}");
    let output = std::process::Command::new(file).arg("--version").output();
    assert!(
        text(&output.unwrap())
            .0
            .starts_with("k3s version v1.33.4+k3s1 (")
    );
}

/// Facts B.1 and B.2, and what the issues say of agents.
#[test]
fn newer_releases_check_certificates_and_rotate_those_of_agents() {
    let cluster = Cluster::new().of_release("v1.33.4+k3s1");
    let tls = cluster.file(1, "/var/lib/rancher/k3s/server/tls");
    std::fs::create_dir_all(&tls).unwrap();
    let output = cluster.run(1, &["certificate", "check", "--output", "json"]);
    assert!(output.status.success());
    assert_eq!(text(&output).0, "{\"Certificates\":[]}\n");
    let output = cluster.run(1, &["certificate", "check", "-o", "xml"]);
    assert_eq!(output.status.code(), Some(1));
    let root = cluster.file(1, "/var/lib/rancher/k3s");
    std::fs::remove_dir_all(root.join("server")).unwrap();
    std::fs::create_dir_all(root.join("agent")).unwrap();
    let output = cluster.run(1, &["certificate", "rotate"]);
    let log = text(&output).1;
    assert!(output.status.success(), "{log}");
    assert!(
        log.contains("Agent detected, rotating agent certificates"),
        "{log}"
    );
    assert!(log.contains("to /var/lib/rancher/k3s/agent/tls-"), "{log}");
}
