//! Whom the world trusts, and whom it does not.

use coxswain_wire::{ConnectionStage, HostId};

use super::sshd::{HOST, Sshd, world};
use crate::world::{RemoteCommand, World, WorldError, keys};

fn touch(sshd: &Sshd) -> (RemoteCommand, std::path::PathBuf) {
    let path = sshd.dir.path().join("touched");
    (
        RemoteCommand::program("touch").arg(path.to_str().unwrap()),
        path,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_is_a_hard_stop() {
    let sshd = Sshd::start("");
    let other = keys::generate_key("other").unwrap();
    let mut host = sshd.connection();
    host.pinned = vec![other.public_key.clone()];
    let t = world(host).await;
    let (command, touched) = touch(&sshd);
    let error = t.world.run(HOST, command).await.unwrap_err();
    let WorldError::HostKeyChanged { pinned, shown, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(pinned, &[keys::fingerprint(&other.public_key).unwrap()]);
    assert_eq!(
        shown,
        &[keys::fingerprint(&sshd.host_key.public_key).unwrap()]
    );
    assert!(!error.is_transient() && !touched.exists());
    assert!(error.advice().unwrap().starts_with("Stop."));

    let test = t.world.test_connection(HOST).await;
    let last = test.checks.last().unwrap();
    assert_eq!((last.stage, last.ok), (ConnectionStage::HostKey, false));
    assert!(last.detail.contains(&pinned[0]) && last.detail.contains(&shown[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_key_of_another_kind_is_a_hard_stop_too() {
    let sshd = Sshd::start("");
    let mut host = sshd.connection();
    // A valid ECDSA key, which this sshd does not have.
    host.pinned = vec![
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc="
            .to_owned(),
    ];
    let t = world(host).await;
    let error = t
        .world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap_err();
    let WorldError::HostKeyChanged { shown, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        shown,
        &[keys::fingerprint(&sshd.host_key.public_key).unwrap()]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_connection_ends_with_the_pin() {
    let sshd = Sshd::start("");
    let t = world(sshd.connection()).await;
    t.world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap();
    t.book.change(|host| host.pinned.clear());
    let error = t
        .world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap_err();
    assert!(matches!(error, WorldError::NotEnrolled { .. }), "{error:?}");
    let unknown = t
        .world
        .run(HostId(9), RemoteCommand::program("true"))
        .await
        .unwrap_err();
    assert_eq!(unknown, WorldError::UnknownHost(HostId(9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_user_key_is_told_apart() {
    let sshd = Sshd::start("");
    let mut host = sshd.connection();
    host.private_key = keys::generate_key("stranger").unwrap().private_key;
    let t = world(host).await;
    let error = t
        .world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, WorldError::AuthenticationFailed { .. }),
        "{error:?}"
    );
    let test = t.world.test_connection(HOST).await;
    let stages: Vec<_> = test.checks.iter().map(|c| (c.stage, c.ok)).collect();
    assert_eq!(
        stages,
        [
            (ConnectionStage::Resolve, true),
            (ConnectionStage::Connect, true),
            (ConnectionStage::HostKey, true),
            (ConnectionStage::Authenticate, false),
        ]
    );
    // The right key in the inventory: no waiting for a back-off to end.
    t.book
        .change(|host| host.private_key = sshd.user_key.private_key.clone());
    t.world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_in_the_agent_offer_only_the_right_one() {
    let sshd = Sshd::start("MaxAuthTries 2");
    let t = world(sshd.connection()).await;
    for _ in 0..5 {
        t.book
            .change(|host| host.private_key = keys::generate_key("other").unwrap().private_key);
        assert!(
            t.world
                .run(HOST, RemoteCommand::program("true"))
                .await
                .is_err()
        );
    }
    t.book
        .change(|host| host.private_key = sshd.user_key.private_key.clone());
    t.world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_shows_what_sshd_has() {
    let sshd = Sshd::start("");
    let t = world(sshd.connection()).await;
    let scanned = t.world.scan_host_keys(HOST).await.unwrap();
    let expected: Vec<&str> = sshd.host_key.public_key.split(' ').take(2).collect();
    assert_eq!(scanned.len(), 1);
    assert_eq!(scanned[0].public_key, expected.join(" "));
    assert_eq!(
        scanned[0].key.fingerprint,
        keys::fingerprint(&sshd.host_key.public_key).unwrap()
    );
    // What was scanned is what can be pinned.
    t.book
        .change(|host| host.pinned = vec![scanned[0].public_key.clone()]);
    let test = t.world.test_connection(HOST).await;
    assert!(test.passed() && test.checks.len() == 5, "{test:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_inventory_values_never_reach_ssh() {
    let sshd = Sshd::start("");
    for address in ["-oProxyCommand=touch", "a b", "x\nProxyCommand y", "%h", ""] {
        let mut host = sshd.connection();
        host.address = address.to_owned();
        let error = world(host)
            .await
            .world
            .run(HOST, RemoteCommand::program("true"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, WorldError::InvalidInput { .. }),
            "{address:?}: {error:?}"
        );
    }
    let mut host = sshd.connection();
    host.user = "-l".to_owned();
    assert!(
        world(host)
            .await
            .world
            .run(HOST, RemoteCommand::program("true"))
            .await
            .is_err()
    );
}
