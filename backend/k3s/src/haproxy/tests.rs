use super::*;
use proptest::prelude::*;

const DEBIAN: &str = "global\n\tlog /dev/log\tlocal0\n\tstats socket /run/haproxy/admin.sock mode 660 level admin\n\ndefaults\n\tmode\thttp\n\ttimeout client  50000\n";

fn section() -> Section {
    let backend = |n: u8| Backend {
        name: format!("node{n}").parse().unwrap(),
        address: format!("172.30.55.1{n}").parse().unwrap(),
    };
    Section {
        cluster: "lab".parse().unwrap(),
        port: 6443,
        servers: vec![backend(1), backend(2), backend(3)],
    }
}

#[test]
fn adds_updates_and_removes_its_section_only() {
    let added = section().apply(DEBIAN).unwrap();
    assert!(added.starts_with(DEBIAN));
    assert!(added.contains("\n    server node2 172.30.55.12:6443 check check-ssl verify none\n"));
    assert_eq!(section().apply(&added).unwrap(), added, "twice is once");
    let foreign = format!("{added}\nfrontend web\n\tbind *:80\n");
    let mut smaller = section();
    smaller.servers.pop();
    let updated = smaller.apply(&foreign).unwrap();
    assert!(updated.ends_with("\nfrontend web\n\tbind *:80\n"));
    assert!(!updated.contains("node3"));
    assert_eq!(remove(&added, &"lab".parse().unwrap()).unwrap(), DEBIAN);
    assert_eq!(remove(DEBIAN, &"lab".parse().unwrap()).unwrap(), DEBIAN);
}

#[test]
fn puts_a_removed_section_back_also_beside_what_came_meanwhile() {
    let lab = section().cluster;
    let before = format!(
        "{}\nfrontend web\n\tbind *:80\n",
        section().apply(DEBIAN).unwrap()
    );
    let without = remove(&before, &lab).unwrap();
    assert_eq!(section_in(&without, &lab).unwrap(), None);
    assert_eq!(restore(&without, &before, &lab).unwrap(), before);
    assert_eq!(
        restore(&before, &before, &lab).unwrap(),
        before,
        "twice is once"
    );
    assert_eq!(restore(DEBIAN, DEBIAN, &lab).unwrap(), DEBIAN);
    let changed = without.replace("*:80", "*:81");
    let back = restore(&changed, &before, &lab).unwrap();
    assert!(back.starts_with(&changed));
    assert!(back.ends_with(section_in(&before, &lab).unwrap().unwrap()));
}

#[test]
fn two_clusters_share_a_file() {
    let first = section().apply(DEBIAN).unwrap();
    let mut other = section();
    other.cluster = "lab2".parse().unwrap();
    assert!(matches!(
        other.apply(&first),
        Err(HaproxyError::PortTaken { port: 6443, .. })
    ));
    other.port = 6444;
    let both = other.apply(&first).unwrap();
    assert_eq!(section().apply(&both).unwrap(), both);
    assert_eq!(remove(&both, &other.cluster).unwrap(), first);
}

#[test]
fn sees_who_has_the_port() {
    for line in [
        "bind *:6443",
        "  bind :6443 ssl",
        "bind 10.0.0.1:80,10.0.0.1:6443",
        "bind ipv6@:6443",
        "bind :6000-7000",
        "listen old :6443",
        "bind [::]:6443 v4v6",
    ] {
        let config = format!("{DEBIAN}frontend x\n{line}\n");
        let error = section().apply(&config).unwrap_err();
        assert!(
            matches!(error, HaproxyError::PortTaken { line: 9, .. }),
            "{line}: {error}"
        );
    }
    for line in [
        "bind :64430",
        "# bind :6443",
        "bind /run/x:6443",
        "server a 10.0.0.1:6443",
    ] {
        assert!(
            section().apply(&format!("{DEBIAN}{line}\n")).is_ok(),
            "{line}"
        );
    }
    let named = format!("{DEBIAN}backend coxswain-lab-servers\n");
    assert!(matches!(
        section().apply(&named),
        Err(HaproxyError::NameTaken { line: 8, .. })
    ));
}

#[test]
fn knows_what_somebody_else_wrote() {
    let foreign = format!(
        "{DEBIAN}listen kube\n\tbind :6443\n\tserver a 172.30.55.11:6443 check\n\tserver b ipv4@172.30.55.12:16443\n\tserver c [fd00::1]:6443\n\tserver d fd00::2\n"
    );
    let line = section().kept_by_hand(&foreign).unwrap();
    assert_eq!(line.to_string(), "line 9: bind :6443");
    let found = |address: &str| -> Vec<usize> {
        let lines = server_lines(&foreign, &address.parse().unwrap());
        lines.into_iter().map(|line| line.number).collect()
    };
    assert_eq!(found("172.30.55.11"), [10]);
    assert_eq!(found("172.30.55.12"), [11]);
    assert_eq!(found("fd00::1"), [12]);
    assert_eq!(found("fd00::2"), [13]);
    assert_eq!(found("172.30.55.1"), [0; 0]);
    // Beside a section of ours it is a clash, and not somebody else's to keep.
    let mine = section().apply(DEBIAN).unwrap();
    let both = format!("{mine}frontend x\n\tbind :6443\n");
    assert_eq!(section().kept_by_hand(&both), None);
    assert_eq!(section().kept_by_hand(&mine), None);
}

#[test]
fn damaged_markers_are_refused() {
    for config in [
        "# BEGIN coxswain lab\n",
        "# END coxswain lab\n",
        "# BEGIN coxswain lab\n# BEGIN coxswain lab\n# END coxswain lab\n",
    ] {
        assert!(
            matches!(section().apply(config), Err(HaproxyError::Markers(_))),
            "{config}"
        );
    }
    let mut empty = section();
    empty.servers.clear();
    assert_eq!(empty.apply(DEBIAN), Err(HaproxyError::NoServers));
}

#[test]
fn finds_the_statistics_socket() {
    assert_eq!(stats_socket(DEBIAN), Some("/run/haproxy/admin.sock"));
    assert_eq!(
        stats_socket("global\n stats socket ipv4@127.0.0.1:9999\n"),
        None
    );
}

#[test]
fn servers_with_ipv6_are_reached_over_both() {
    assert!(section().render().contains("\n    bind :6443\n"));
    let mut section = section();
    section.servers[1].address = "fd00::12".parse().unwrap();
    let text = section.render();
    assert!(text.contains("\n    bind :::6443 v4v6\n"), "{text}");
    assert!(text.contains("server node2 [fd00::12]:6443 "), "{text}");
}

#[test]
fn haproxy_itself_accepts_it() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let config = format!("{DEBIAN}\ttimeout connect 5000\n\ttimeout server 50000\n");
    let config = section().apply(&config).unwrap();
    let child = Command::new("haproxy")
        .args(["-c", "-f", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    // Not every machine has HAProxy; the lab's has.
    let Ok(mut child) = child else { return };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(config.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(
        !said.contains("coxswain"),
        "a warning about our section: {said}"
    );
}

proptest! {
    #[test]
    fn foreign_bytes_stay(config in "([ -~]{0,30}\n){0,6}[ -~]{0,10}") {
        if let Ok(applied) = section().apply(&config) {
            prop_assert!(applied.starts_with(&config));
            let removed = remove(&applied, &section().cluster).unwrap();
            prop_assert_eq!(removed.trim_end_matches('\n'), config.trim_end_matches('\n'));
        }
    }
}

#[test]
fn knows_the_passwords_of_a_configuration() {
    let config = "userlist staff\n  user ann insecure-password swordfish\n  user bob password $5$abc groups ops\n\
                  listen stats\n  # stats auth old:hunter1\n  stats auth admin:hunter:2\n  stats realm auth\n";
    let words: Vec<String> = passwords(config)
        .into_iter()
        .map(|word| String::from_utf8(word).unwrap())
        .collect();
    assert_eq!(words, ["swordfish", "$5$abc", "hunter1", "hunter:2"]);
}
