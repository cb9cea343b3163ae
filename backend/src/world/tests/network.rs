//! Addresses that do not answer, each in its way.

use std::time::{Duration, Instant};

use coxswain_wire::ConnectionStage;
use tokio::net::{TcpSocket, TcpStream};

use super::sshd::{HOST, Sshd, world};
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
    let t = world(host).await;
    let start = Instant::now();
    let error = t
        .world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(8));
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
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let t = world(nobody(port)).await;
    let first = t
        .world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap_err();
    let start = Instant::now();
    let second = t
        .world
        .run(HOST, RemoteCommand::program("true"))
        .await
        .unwrap_err();
    assert_eq!(first, second);
    assert!(start.elapsed() < Duration::from_millis(50));
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
