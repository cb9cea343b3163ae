//! Commands and files through a real sshd.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coxswain_wire::ConnectionStage;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::sshd::{HOST, Sshd, world};
use crate::world::{RemoteCommand, Script, World, WorldError};

const ECHO: Script = Script {
    name: "echo",
    text: "printf '%s\\0' \"$#\" \"$@\"; cat",
};

#[tokio::test(flavor = "multi_thread")]
async fn any_argument_and_any_input_comes_back_equal() {
    let sshd = Sshd::start("");
    let t = world(sshd.connection()).await;
    let nasty = prop_oneof![
        any::<String>(),
        "[ -~\\n\\t\\r'\"\\\\!$`*?~#;&|<>(){}\\[\\]-]{0,40}",
        Just(String::new()),
        Just("-n".to_owned()),
        Just("\u{81}\u{88}\u{ff}\\c\\0101%s%b\n".to_owned()),
    ]
    .prop_map(|s| s.replace('\0', ""));
    let cases = proptest::collection::vec(nasty, 0..12);
    let input = proptest::collection::vec(any::<u8>(), 0..20_000);
    let mut runner = TestRunner::deterministic();
    for round in 0..40 {
        let args = cases.new_tree(&mut runner).unwrap().current();
        let stdin = input.new_tree(&mut runner).unwrap().current();
        let command = if round % 2 == 0 {
            RemoteCommand::script(ECHO).args(args.clone())
        } else {
            let program = ["-c", ECHO.text, "sh"].map(str::to_owned);
            RemoteCommand::program("sh")
                .args(program)
                .args(args.clone())
        };
        let output = t
            .world
            .run(HOST, command.stdin(stdin.clone()))
            .await
            .unwrap();
        let mut expected = format!("{}\0", args.len()).into_bytes();
        for arg in &args {
            expected.extend_from_slice(arg.as_bytes());
            expected.push(0);
        }
        expected.extend_from_slice(&stdin);
        assert!(
            output.stdout == expected,
            "args {args:?}: {:?}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert_eq!((output.status, output.stderr), (0, vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_output_and_limits() {
    let sshd = Sshd::start("");
    let t = world(sshd.connection()).await;
    let run = |command| t.world.run(HOST, command);
    let exit = Script {
        name: "exit",
        text: "echo out; echo err >&2; exit \"$1\"",
    };
    for status in [0, 1, 125, 126, 127, 255] {
        let output = run(RemoteCommand::script(exit).arg(status.to_string()))
            .await
            .unwrap();
        assert_eq!(
            (output.status, output.text(), output.error_text()),
            (status, "out\n".into(), "err\n".into())
        );
    }
    let missing = run(RemoteCommand::program("no-such-program"))
        .await
        .unwrap();
    assert_eq!(missing.status, 127);
    assert!(
        missing
            .ok("x")
            .unwrap_err()
            .to_string()
            .contains("not found")
    );

    let much = run(RemoteCommand::program("head")
        .args(["-c", "300000", "/dev/zero"])
        .max_output(1000))
    .await
    .unwrap();
    assert_eq!((much.stdout.len(), much.truncated), (1000, 299_000));

    let start = Instant::now();
    let late = run(RemoteCommand::program("sleep")
        .arg("30")
        .timeout(Duration::from_millis(500)))
    .await;
    assert!(matches!(late, Err(WorldError::TimedOut { .. })), "{late:?}");
    assert!(late.unwrap_err().effect_unknown());
    // Not waited for, on however slow a machine.
    assert!(start.elapsed() < Duration::from_secs(25));

    // A program that reads nothing does not hold up one that sends much.
    let deaf = run(RemoteCommand::program("true").stdin(vec![b'x'; 4_000_000]))
        .await
        .unwrap();
    assert_eq!(deaf.status, 0);
    let root = run(RemoteCommand::program("id").arg("-u").sudo())
        .await
        .unwrap();
    assert_eq!(root.text(), "0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_start_up_files_say_is_not_the_command_s() {
    let sshd = Sshd::start("");
    sshd.start_up("printf 'Welcome back!'; echo 'disk is 81% full' >&2; : >\"$HOME/greeted\"");
    let t = world(sshd.connection()).await;
    let script = Script {
        name: "both",
        text: "printf 0123456789; echo err >&2",
    };
    let output = t
        .world
        .run(HOST, RemoteCommand::script(script).sudo().max_output(8))
        .await
        .unwrap();
    assert_eq!(
        (output.text(), output.error_text(), output.truncated),
        ("01234567".into(), "err\n".into(), 2)
    );
    let greeted = sshd.dir.path().join("greeted").exists();
    assert!(greeted, "the login shell has read no start-up file");

    let path = sshd.dir.path().join("file");
    let path = path.to_str().unwrap();
    t.world.write_file(HOST, path, b"x", 0o600).await.unwrap();
    assert_eq!(
        t.world.read_file(HOST, path, 1).await.unwrap(),
        Some(b"x".to_vec())
    );
    let file = t.world.stream_file(HOST, path, 9).await.unwrap().unwrap();
    assert_eq!(file.size, 1);
    let tested = t.world.test_connection(HOST).await;
    assert!(tested.checks.iter().all(|check| check.ok), "{tested:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_replaced_whole() {
    let sshd = Sshd::start("");
    let t = world(sshd.connection()).await;
    let path = sshd
        .dir
        .path()
        .join("a 'file'")
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(t.world.read_file(HOST, &path, 10).await.unwrap(), None);
    let content: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    t.world
        .write_file(HOST, &path, &content, 0o640)
        .await
        .unwrap();
    assert_eq!(
        t.world
            .read_file(HOST, &path, 100_000)
            .await
            .unwrap()
            .unwrap(),
        content
    );
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o640
    );
    t.world.write_file(HOST, &path, b"", 0o600).await.unwrap();
    assert_eq!(
        t.world.read_file(HOST, &path, 0).await.unwrap(),
        Some(vec![])
    );
    t.world
        .write_file(HOST, &path, b"12345", 0o600)
        .await
        .unwrap();
    let large = t.world.read_file(HOST, &path, 4).await;
    assert!(
        matches!(large, Err(WorldError::TooLarge { max: 4, .. })),
        "{large:?}"
    );
    let nowhere = t
        .world
        .write_file(HOST, "/no/such/folder/f", b"x", 0o600)
        .await
        .unwrap_err();
    assert!(nowhere.to_string().contains("No such file"), "{nowhere}");
    assert!(t.world.read_file(HOST, "relative", 4).await.is_err());
    let left: Vec<_> = std::fs::read_dir(sshd.dir.path())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("coxswain")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_stands_in_a_command_line() {
    let sshd = Sshd::start("");
    let t = world(sshd.connection()).await;
    let wait = Script {
        name: "wait",
        text: "cat >/dev/null; echo seen; sleep 1",
    };
    let canary = format!("canary-{}", sshd.port);
    let command = RemoteCommand::script(wait)
        .arg(format!("{canary}-arg"))
        .stdin(format!("{canary}-stdin"))
        .sudo();
    let look = async {
        for _ in 0..15 {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                assert!(
                    !String::from_utf8_lossy(&line).contains(&canary),
                    "{line:?}"
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (output, ()) = tokio::join!(t.world.run(HOST, command), look);
    assert_eq!(output.unwrap().text(), "seen\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_commands_than_sessions_wait_for_each_other() {
    let sshd = Sshd::start("MaxSessions 8");
    let t = Arc::new(world(sshd.connection()).await);
    let all = (0..30).map(|n| {
        let t = Arc::clone(&t);
        async move {
            let script = Script {
                name: "slow_echo",
                text: "sleep 0.1; echo \"$1\"",
            };
            t.world
                .run(HOST, RemoteCommand::script(script).arg(n.to_string()))
                .await
                .unwrap()
                .text()
        }
    });
    let answers = futures::future::join_all(all).await;
    assert_eq!(
        answers,
        (0..30).map(|n| format!("{n}\n")).collect::<Vec<_>>()
    );
    let signed_in = sshd.log().matches("Accepted publickey").count();
    assert_eq!(signed_in, 1, "all over one connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_named_and_opened_again() {
    let sshd = Sshd::start("");
    let t = world(sshd.connection()).await;
    t.world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap();
    // No other process sleeps for just so long.
    let long = format!("20.{:09}", std::process::id());
    let cut = async {
        until_running(&format!("sleep\0{long}\0")).await;
        sshd.cut_connections();
    };
    let (during, ()) = tokio::join!(
        t.world
            .run(HOST, RemoteCommand::program("sleep").arg(long.clone())),
        cut
    );
    assert!(
        matches!(during, Err(WorldError::Unconfirmed { .. })),
        "{during:?}"
    );
    let after = t
        .world
        .run(HOST, RemoteCommand::program("echo").arg("again"))
        .await
        .unwrap();
    assert_eq!(after.text(), "again\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_and_boot_id() {
    let sshd = Sshd::start("");
    let t = world(sshd.connection()).await;
    let clock = t.world.clock(HOST).await.unwrap();
    assert!(clock.offset_ms.abs() < 1000, "{clock:?}");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(t.world.boot_id(HOST).await.unwrap(), boot.trim());
}

/// Waits until a process has this command line, words ended by NUL.
async fn until_running(command_line: &str) {
    let end = tokio::time::Instant::now() + Duration::from_secs(15);
    let runs = || {
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .any(|process| {
                let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                line == command_line.as_bytes()
            })
    };
    while !runs() {
        assert!(tokio::time::Instant::now() < end, "never ran");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_comes_piece_by_piece() {
    use futures::StreamExt as _;

    let sshd = Sshd::start("");
    let t = world(sshd.connection()).await;
    let path = sshd.dir.path().join("large file");
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let path = path.to_str().unwrap();
    let file = t
        .world
        .stream_file(HOST, path, 1 << 30)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(file.size, content.len() as u64);
    let pieces: Vec<Vec<u8>> = file.pieces.map(Result::unwrap).collect().await;
    assert!(pieces.len() > 10, "{}", pieces.len());
    assert!(pieces.concat() == content);

    // Dropped in the middle: the session is free again, ten times over.
    for _ in 0..10 {
        let mut file = t
            .world
            .stream_file(HOST, path, 1 << 30)
            .await
            .unwrap()
            .unwrap();
        file.pieces.next().await.unwrap().unwrap();
    }
    let whole = t.world.read_file(HOST, path, 1 << 30).await.unwrap();
    assert_eq!(whole.map(|w| w.len()), Some(content.len()));

    let missing = t.world.stream_file(HOST, "/nowhere", 1).await.unwrap();
    assert!(missing.is_none());
    assert!(matches!(
        t.world.stream_file(HOST, path, 100).await,
        Err(WorldError::TooLarge { max: 100, .. })
    ));
    assert!(matches!(
        t.world.stream_file(HOST, "/", 100).await,
        Err(WorldError::Command { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_become_root_is_told_in_the_connection_test_and_by_every_command() {
    let sshd = Sshd::start("");
    for (tool, text) in [
        ("id", "#!/bin/sh\necho 1000\n"),
        (
            "sudo",
            "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n",
        ),
    ] {
        sshd.tool(tool, text);
    }
    sshd.start_up(&format!("PATH={}/bin:$PATH", sshd.dir.path().display()));
    let t = world(sshd.connection()).await;
    let test = t.world.test_connection(HOST).await;
    let last = test.checks.last().unwrap();
    assert_eq!((last.stage, last.ok), (ConnectionStage::Sudo, false));
    assert!(last.detail.contains("sudo wants a password"), "{test:?}");
    assert!(last.advice.is_some(), "{test:?}");
    let error = t
        .world
        .run(HOST, RemoteCommand::program("true").sudo())
        .await
        .unwrap_err();
    assert!(matches!(error, WorldError::SudoFailed { .. }), "{error:?}");
    assert!(!error.is_transient() && !error.effect_unknown());
    let plain = t.world.run(HOST, RemoteCommand::program("true")).await;
    assert_eq!(plain.unwrap().status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_images_root_tells_whom_to_sign_in_as() {
    let sshd = Sshd::start(
        r#"ForceCommand echo 'Please login as the user "ubuntu" rather than the user "root".'; exit 142"#,
    );
    let t = world(sshd.connection()).await;
    let test = t.world.test_connection(HOST).await;
    let last = test.checks.last().unwrap();
    assert_eq!((last.stage, last.ok), (ConnectionStage::Sudo, false));
    assert!(last.detail.contains("user ubuntu"), "{test:?}");
    let advice = last.advice.as_deref().unwrap_or_default();
    assert!(advice.contains("user to ubuntu"), "{test:?}");
    let command = RemoteCommand::program("true").sudo();
    let error = t.world.run(HOST, command).await.unwrap_err();
    assert!(matches!(error, WorldError::OtherUser { .. }), "{error:?}");
    assert!(!error.is_transient() && !error.effect_unknown());
}
