use super::*;
use proptest::prelude::*;

const FIRST: &str = include_str!("../../tests/recorded/k3s.service");
const JOINED: &str = include_str!("../../tests/samples/k3s-joined-with-token.service");

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|w| (*w).to_owned()).collect()
}

#[test]
fn reads_the_installers_layout() {
    let unit = UnitFile::parse(FIRST).unwrap();
    let command = unit.command().unwrap();
    assert_eq!(
        (command.program.as_str(), command.subcommand.as_str()),
        ("/usr/local/bin/k3s", "server")
    );
    assert_eq!(
        command.args[..3],
        words(&["--cluster-init", "--tls-san", "172.30.55.45"])
    );
    let sans: Vec<_> = command
        .flags()
        .into_iter()
        .filter(|f| f.name == "tls-san")
        .collect();
    assert_eq!(sans.len(), 2);
    assert!(!command.has_token());
    assert_eq!(unit.text(), FIRST);
}

#[test]
fn rendering_is_the_installers_own_layout() {
    let unit = UnitFile::parse(FIRST).unwrap();
    let args = unit.command().unwrap().args;
    let mut more = args.clone();
    more.extend(words(&["--tls-san", "new.cluster.lab"]));
    let changed = unit.with_args(&more).unwrap();
    assert_eq!(changed.command().unwrap().args, more);
    let line = "\t'--tls-san' \\\n\t'new.cluster.lab' \\\n";
    assert_eq!(changed.text().replace(line, ""), FIRST);
    assert_eq!(changed.with_args(&args).unwrap().text(), FIRST);
}

#[test]
fn sees_a_token_on_the_command_line() {
    let command = UnitFile::parse(JOINED).unwrap().command().unwrap();
    assert!(command.has_token());
    assert_eq!(command.secrets().len(), 1);
    assert!(!format!("{command:?}").contains("::server:"));
}

#[test]
fn other_shapes_systemd_allows() {
    let unit = |exec: &str| UnitFile::parse(&format!("[Service]\n{exec}\nType=notify\n"));
    let args = |exec: &str| unit(exec).unwrap().command().unwrap().args;
    assert_eq!(
        args("ExecStart=/usr/local/bin/k3s server --tls-san=a"),
        words(&["--tls-san=a"])
    );
    assert_eq!(
        args(
            "ExecStart = -/opt/bin/k3s server \"--a b\" \\\n# a comment\n  --x='c d'e 'it'\\''s' 5%% $$x \\x41\\ntab"
        ),
        words(&["--a b", "--x=c de", "it's", "5%", "$x", "A\ntab"])
    );
    assert!(matches!(
        unit("ExecStart=/usr/local/bin/k3s server 'a"),
        Err(UnitError::Command { line: 2, .. })
    ));
    assert!(matches!(
        unit("ExecStart=/bin/true").unwrap().command(),
        Err(UnitError::NotK3s(_))
    ));
    assert!(matches!(
        unit("Restart=no").unwrap().command(),
        Err(UnitError::NoCommand)
    ));
    // Not in [Service], commented out, another key.
    let text = "[Unit]\nExecStart=/x\n[Service]\n#ExecStart=/y\nExecStartPre=/z\n";
    assert_eq!(
        UnitFile::parse(text).unwrap().command(),
        Err(UnitError::NoCommand)
    );
}

#[test]
fn drop_ins_take_back_and_replace() {
    let unit = UnitFile::parse(FIRST).unwrap();
    let drop_in =
        UnitFile::parse("[Service]\nExecStart=\nExecStart=/usr/local/bin/k3s server --debug\n")
            .unwrap();
    let other = UnitFile::parse("[Service]\nLimitNOFILE=1\n").unwrap();
    let command = effective_command(&[&unit, &other, &drop_in]).unwrap();
    assert_eq!(command.args, words(&["--debug"]));
    let none = UnitFile::parse("[Service]\nExecStart=\n").unwrap();
    assert_eq!(
        effective_command(&[&unit, &none]),
        Err(UnitError::NoCommand)
    );
}

proptest! {
    #[test]
    fn any_words_round_trip(args in proptest::collection::vec("[ -~ä]{0,20}", 0..6)) {
        let unit = UnitFile::parse(FIRST).unwrap();
        let changed = unit.with_args(&args).unwrap();
        prop_assert_eq!(changed.command().unwrap().args, args);
        let head = FIRST.find("ExecStart=").unwrap();
        prop_assert!(changed.text().starts_with(&FIRST[..head]));
    }

    #[test]
    fn never_panics(text in "[ -~\n\\\\'\"\\[\\]]{0,120}") {
        let _ = UnitFile::parse(&text);
        if let Ok(unit) = UnitFile::parse(&format!("[Service]\nExecStart={text}\n")) {
            let _ = unit.command().map(|c| c.flags());
        }
    }
}
