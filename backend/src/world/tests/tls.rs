//! Handshakes and requests against a server made here.

use std::sync::Arc;

use super::tls_server::{Ca, TlsServer};
use crate::world::tls::{get, handshake};
use crate::world::{Ask, TlsTarget, WorldError};

async fn server(ca: &Ca) -> TlsServer {
    let answer = Arc::new(|_: &_| (200, "pong".to_owned()));
    TlsServer::start(ca, &["k3s.test", "127.0.0.1", "kubernetes"], answer).await
}

fn target(server: &TlsServer) -> TlsTarget {
    TlsTarget::new("127.0.0.1", server.address.port())
}

#[tokio::test]
async fn the_served_certificate_is_told() {
    let ca = Ca::new();
    let server = server(&ca).await;
    let plain = handshake(&target(&server)).await.unwrap();
    assert_eq!(plain.verified, None);
    assert_eq!(
        plain.leaf.certificate.sans,
        ["127.0.0.1", "k3s.test", "kubernetes"]
    );
    assert!(
        plain
            .leaf
            .certificate
            .serial
            .chars()
            .all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
    );

    let verified = handshake(&target(&server).ca(ca.pem())).await.unwrap();
    assert_eq!(verified.verified, Some(Ok(())));
    let stranger = handshake(&target(&server).ca(Ca::new().pem()))
        .await
        .unwrap();
    assert!(matches!(stranger.verified, Some(Err(_))));
    let other = Ask::Sni("other.test".to_owned());
    let other = handshake(&target(&server).ask(other).ca(ca.pem()))
        .await
        .unwrap();
    assert!(
        matches!(other.verified, Some(Err(_))),
        "a name the certificate does not have"
    );
    assert!(
        handshake(&target(&server).ca("no certificate"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn sni_and_host_are_sent_as_asked() {
    let ca = Ca::new();
    let server = server(&ca).await;
    let port = server.address.port();
    get(&target(&server), "/ping").await.unwrap();
    get(
        &target(&server).ask(Ask::Sni("k3s.test".to_owned())),
        "/ping",
    )
    .await
    .unwrap();
    handshake(&target(&server).ask(Ask::Host("10.1.2.3".to_owned())))
        .await
        .unwrap();
    let seen = server.seen.lock().unwrap().clone();
    assert_eq!(
        seen,
        [
            (None, format!("127.0.0.1:{port}"), "/ping".to_owned()),
            (
                Some("k3s.test".to_owned()),
                format!("k3s.test:{port}"),
                "/ping".to_owned()
            ),
            (None, format!("10.1.2.3:{port}"), "/ping".to_owned()),
        ]
    );
}

#[tokio::test]
async fn an_answer_over_an_unverified_connection_is_not_taken_for_one() {
    let ca = Ca::new();
    let server = server(&ca).await;
    let good = get(&target(&server).ca(ca.pem()), "/cacerts")
        .await
        .unwrap();
    assert_eq!((good.status, good.body), (200, b"pong".to_vec()));
    let error = get(&target(&server).ca(Ca::new().pem()), "/cacerts")
        .await
        .unwrap_err();
    assert!(matches!(error, WorldError::Tls { .. }), "{error:?}");
}
