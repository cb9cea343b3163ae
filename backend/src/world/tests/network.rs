//! Addresses that do not answer, each in its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coxswain_wire::ConnectionStage;
use tokio::net::{TcpSocket, TcpStream};

use super::sshd::{HOST, Sshd, world, world_waiting};
use crate::world::{HostConnection, RemoteCommand, UnreachableKind, World, WorldError, keys};

fn nobody(port: u16) -> HostConnection {
    HostConnection {
        id: HOST,
        name: "node1".to_owned(),
        address: "127.0.0.1".to_owned(),
        port,
        user: "root".to_owned(),
        pinned: vec![keys::generate_key("").unwrap().public_key],
        private_key: keys::generate_key("").unwrap().private_key,
        generation: 1,
    }
}

async fn kind(host: HostConnection, stage: ConnectionStage) -> UnreachableKind {
    let t = world_waiting(host, Duration::from_secs(2)).await;
    // Left alone, ssh and the kernel would try for longer than two minutes.
    let run = t.world.run(HOST, RemoteCommand::program("true"));
    let run = tokio::time::timeout(Duration::from_secs(60), run).await;
    let error = run.expect("it gives up").unwrap_err();
    assert!(error.is_transient() && !error.effect_unknown());
    assert!(error.advice().is_some());
    let test = t.world.test_connection(HOST).await;
    let last = test.checks.last().unwrap();
    assert_eq!((last.stage, last.ok), (stage, false), "{test:?}");
    let WorldError::Unreachable { kind, .. } = error else {
        panic!("{error:?}")
    };
    kind
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    assert_eq!(
        kind(nobody(port), ConnectionStage::Connect).await,
        UnreachableKind::Refused
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answers() {
    // A listener that accepts nothing and whose queue is full drops what comes, as a firewall does.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        held.push(stream);
        assert!(held.len() < 100);
    }
    assert_eq!(
        kind(nobody(address.port()), ConnectionStage::Connect).await,
        UnreachableKind::TimedOut
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    assert_eq!(
        kind(nobody(port), ConnectionStage::HostKey).await,
        UnreachableKind::Closed
    );
    let t = world(nobody(port)).await;
    assert!(
        t.world
            .scan_host_keys(HOST)
            .await
            .unwrap_err()
            .to_string()
            .contains("no SSH host key")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_such_name() {
    let mut host = nobody(22);
    host.address = "no-such-host.invalid".to_owned();
    assert_eq!(
        kind(host, ConnectionStage::Resolve).await,
        UnreachableKind::Dns
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_not_tried_again_at_once() {
    // Hangs up at once, and counts.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    std::thread::spawn(move || {
        for call in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(call);
        }
    });
    let t = world(nobody(port)).await;
    let run = || t.world.run(HOST, RemoteCommand::program("true"));
    let first = run().await.unwrap_err();
    let tried = calls.load(Ordering::SeqCst);
    assert!(tried > 0, "{first:?}");
    assert_eq!(run().await.unwrap_err(), first);
    assert_eq!(calls.load(Ordering::SeqCst), tried, "called again at once");
    // The host comes up: found within the back-off's limit.
    let sshd = Sshd::start("");
    let connection = sshd.connection();
    t.book.change(|host| {
        *host = HostConnection {
            generation: host.generation,
            ..connection
        }
    });
    t.world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap();
}
