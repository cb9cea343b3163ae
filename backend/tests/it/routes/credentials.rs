//! SSH credentials.

use coxswain::world::keys::generate_key;
use coxswain_wire::Credential;
use serde_json::json;

use crate::support::{Panel, credential, host};

#[tokio::test]
async fn generated_or_pasted_and_never_shown_again() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let made: Credential = admin
        .post("/credentials", json!({"name": "made here"}))
        .await
        .is(201);
    assert!(
        made.public_key.starts_with("ssh-ed25519 "),
        "{}",
        made.public_key
    );

    let pair = generate_key("test").unwrap();
    let private = String::from_utf8(pair.private_key.expose().to_vec()).unwrap();
    let reply = admin
        .post(
            "/credentials",
            json!({"name": "pasted", "private_key": private}),
        )
        .await;
    let pasted: Credential = reply.is(201);
    let body = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(body(&pasted.public_key), body(&pair.public_key));

    let inner = private.lines().nth(2).unwrap();
    for path in ["/credentials", "/audit", "/hosts"] {
        assert!(!admin.get(path).await.text().contains(inner), "{path}");
    }
    crate::vault::assert_not_on_disk(&panel, &[inner.as_bytes()]);
}

#[tokio::test]
async fn bad_input_names_the_field_and_stores_nothing() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    credential(&panel, "taken").await;
    for (body, field) in [
        (json!({"name": "taken"}), "name"),
        (json!({"name": "  "}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": "key\u{202e}eslaf"}), "name"),
        (json!({"name": "ta\u{200b}ken"}), "name"),
        (
            json!({"name": "k", "private_key": "nonsense"}),
            "private_key",
        ),
        (
            json!({"name": "k", "private_key": "ssh-ed25519 AAAA public"}),
            "private_key",
        ),
        (json!({"name": "k", "private_key": 5}), "private_key"),
        (json!({"name": "k", "passphrase": "x"}), "passphrase"),
        (json!({}), "name"),
    ] {
        let error = admin.post("/credentials", body.clone()).await.refused(422);
        assert_eq!(error.field.as_deref(), Some(field), "{body}");
    }
    let all: Vec<Credential> = admin.get("/credentials").await.is(200);
    assert_eq!(all.len(), 1);
    let secrets = panel.app.db.secrets().await.unwrap();
    assert_eq!(secrets.len(), 2, "the check of the vault and one key");
}

#[tokio::test]
async fn one_in_use_stays() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let host = host(&panel, 1).await;
    let path = format!("/credentials/{}", host.credential);
    let error = admin.delete(&path).await.refused(409);
    assert!(error.message.contains("node1"), "{}", error.message);
    assert_eq!(
        admin.delete(&format!("/hosts/{}", host.id)).await.status,
        204
    );
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.delete(&path).await.status, 404);
    assert_eq!(
        panel.app.db.secrets().await.unwrap().len(),
        1,
        "the private key went with it"
    );
}
