use super::*;
use proptest::prelude::*;

const UNIT: &str = include_str!("../../tests/recorded/k3s.service");
const PATH: &str = "/etc/systemd/system/k3s.service";
const PLAIN: &str = "[Service]\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\n";

fn file(path: &str, text: &str) -> HostFile {
    HostFile {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn files(unit: &str, configs: &[(&str, &str)]) -> ServerFiles {
    let configs = configs.iter().map(|(p, t)| file(p, t)).collect();
    ServerFiles::new(vec![file(PATH, unit)], configs, &EnvFile::default()).unwrap()
}

fn change(add: &[&str], remove: &[&str]) -> SanChange {
    let sans = |names: &[&str]| names.iter().map(|n| n.parse().unwrap()).collect();
    SanChange {
        add: sans(add),
        remove: sans(remove),
    }
}

/// The one edit's text.
fn edited(files: &ServerFiles, wanted: &SanChange) -> String {
    let edits = files.edits(wanted).unwrap();
    assert_eq!(edits.len(), 1);
    edits[0].after.clone()
}

/// Transcripts 05 and 15: the same lines come and go.
#[test]
fn the_installers_unit_gains_and_loses_two_lines() {
    let before = files(UNIT, &[]);
    let line = "\t'--tls-san' \\\n\t'new.cluster.lab' \\\n";
    let after = edited(&before, &change(&["new.cluster.lab"], &[]));
    assert_eq!(after.replace(line, ""), UNIT);
    assert!(after.contains(&format!("'cluster.lab' \\\n{line}")));
    assert_eq!(
        edited(&files(&after, &[]), &change(&[], &["NEW.cluster.lab"])),
        UNIT
    );
    assert!(before.place().ends_with(PATH));
}

#[test]
fn words_of_every_shape_are_changed() {
    let args = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    let changed = |line: &str, add: &[&str], remove: &[&str]| {
        changed_args(&args(line), &change(add, remove)).join(" ")
    };
    assert_eq!(
        changed("--tls-san=a,b --debug", &["c"], &["a"]),
        "--tls-san b --tls-san c --debug"
    );
    assert_eq!(changed("--debug", &["c"], &[]), "--debug --tls-san c");
    assert_eq!(changed("--tls-san a --x", &[], &["a"]), "--x");
    assert_eq!(
        changed("--tls-san FD00:0::1 --x", &["fd00::1"], &[]),
        "--tls-san FD00:0::1 --x"
    );
}

#[test]
fn words_of_other_flags_keep_their_bytes() {
    let unit = "[Service]\nExecStart=/usr/local/bin/k3s server --node-name %H --node-ip ${IP} --tls-san a --tls-san b,%n\n";
    let before = files(unit, &[]);
    assert_eq!(
        edited(&before, &change(&["c"], &["a"])),
        unit.replace("--tls-san a ", "")
            .replace("%n", "%n '--tls-san' 'c'")
    );
    assert!(matches!(
        before.edits(&change(&[], &["b"])),
        Err(SanError::Form { .. })
    ));
}

#[test]
fn beside_flags_names_are_added_there_and_taken_out_everywhere() {
    let files = files(
        UNIT,
        &[(CONFIG_FILE, "tls-san:\n- only.in.file\n- cluster.lab\n")],
    );
    assert_eq!(files.hidden().unwrap().values, ["only.in.file"]);
    let edits = files.edits(&change(&["new.lab"], &[])).unwrap();
    assert_eq!(edits.len(), 1);
    assert_eq!(edits[0].path, PATH);
    let wanted = change(&[], &["cluster.lab", "only.in.file"]);
    assert!(!files.say(&wanted));
    let edits = files.edits(&wanted).unwrap();
    let paths: Vec<&str> = edits.iter().map(|edit| edit.path.as_str()).collect();
    assert_eq!(paths, [PATH, CONFIG_FILE]);
    assert!(!edits[0].after.contains("'cluster.lab'"));
    assert_eq!(edits[1].after, "");
    let after = self::files(&edits[0].after, &[(CONFIG_FILE, &edits[1].after)]);
    assert!(after.say(&wanted));
    // Only there: the flags stay.
    let edits = files.edits(&change(&[], &["only.in.file"])).unwrap();
    let paths: Vec<&str> = edits.iter().map(|edit| edit.path.as_str()).collect();
    assert_eq!(paths, [CONFIG_FILE]);
    assert_eq!(edits[0].after, "tls-san:\n- cluster.lab\n");
}

#[test]
fn lists_in_the_file_keep_their_form() {
    let text = "# ours\ntls-san:\n  - a.lab  # first\n\n  # the second\n  - 'b.lab'\nnode-label:\n- zone=a\n";
    let with =
        |text: &str, wanted: &SanChange| edited(&files(PLAIN, &[(CONFIG_FILE, text)]), wanted);
    assert_eq!(
        with(text, &change(&["c.lab"], &["a.lab"])),
        "# ours\ntls-san:\n\n  # the second\n  - 'b.lab'\n  - c.lab\nnode-label:\n- zone=a\n"
    );
    assert_eq!(
        with(
            "tls-san: [a.lab, b.lab]\ntoken: x\n",
            &change(&["fd00::1"], &["a.lab"])
        ),
        "tls-san:\n  - b.lab\n  - fd00::1\ntoken: x\n"
    );
    assert_eq!(
        with("tls-san: a.lab", &change(&["1e3"], &[])),
        "tls-san:\n  - a.lab\n  - \"1e3\"\n"
    );
    assert_eq!(
        with("tls-san:\n- a.lab\ndebug: true\n", &change(&[], &["a.lab"])),
        "debug: true\n"
    );
    assert_eq!(
        with("debug: true", &change(&["a.lab"], &[])),
        "debug: true\ntls-san:\n  - a.lab\n"
    );
}

#[test]
fn drop_ins_are_changed_where_they_count() {
    let dir = "/etc/rancher/k3s/config.yaml.d/";
    let (one, two) = (format!("{dir}10.yaml"), format!("{dir}20.yaml"));
    let spread = files(
        PLAIN,
        &[
            (CONFIG_FILE, "tls-san: [hidden.lab]\n"),
            (&one, "tls-san:\n- a.lab\n"),
            (&two, "tls-san+:\n- b.lab\n"),
        ],
    );
    let edits = spread.edits(&change(&["c.lab"], &["a.lab"])).unwrap();
    let texts: Vec<(&str, &str)> = edits
        .iter()
        .map(|e| (e.path.as_str(), e.after.as_str()))
        .collect();
    // Without its key the first file's list would come back.
    assert_eq!(
        texts,
        [
            (one.as_str(), "tls-san: []\n"),
            (two.as_str(), "tls-san+:\n- b.lab\n- c.lab\n")
        ]
    );
}

#[test]
fn what_is_not_understood_is_not_touched() {
    let anchored = files(
        PLAIN,
        &[(CONFIG_FILE, "tls-san: &names [a.lab]\nnode-label: *names\n")],
    );
    assert!(matches!(
        anchored.edits(&change(&["b.lab"], &[])),
        Err(SanError::Form { .. })
    ));
    let elsewhere = ServerFiles::new(
        vec![file(PATH, UNIT)],
        Vec::new(),
        &EnvFile::parse("K3S_CONFIG_FILE=/opt/k3s.yaml\n"),
    );
    assert!(matches!(
        elsewhere,
        Err(SanError::Elsewhere { flag: "config", .. })
    ));
    assert!(
        files(UNIT, &[])
            .edits(&change(&["cluster.lab"], &["x.lab"]))
            .unwrap()
            .is_empty()
    );
}

proptest! {
    #[test]
    fn never_changes_anything_else(text in "(tls-san\\+?:|- [a-c]\\.lab|  - [a-c]|\\[a, b\\]|debug: true|#x| |\n){0,12}") {
        let config = [file(CONFIG_FILE, &text)];
        if merge(&config).is_ok() {
            let files = files(PLAIN, &[(CONFIG_FILE, &text)]);
            let wanted = change(&["new.lab"], &["a.lab"]);
            if let Ok(edits) = files.edits(&wanted) {
                for edit in edits {
                    if edit.path == CONFIG_FILE {
                        let again = self::files(PLAIN, &[(CONFIG_FILE, &edit.after)]);
                        prop_assert!(again.say(&wanted));
                    }
                }
            }
        }
    }
}
