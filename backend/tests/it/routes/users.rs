//! Users.

use coxswain_wire::{Role, Session, User};
use serde_json::json;

use crate::support::{PASSWORD, Panel};

#[tokio::test]
async fn made_and_removed() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let body = json!({"name": "ben", "password": PASSWORD, "role": "approver"});
    let ben: User = admin.post("/users", body.clone()).await.is(201);
    assert_eq!(ben.role, Role::Approver);
    let again = json!({"name": "BEN", "password": PASSWORD, "role": "viewer"});
    assert_eq!(
        admin
            .post("/users", again)
            .await
            .refused(422)
            .field
            .as_deref(),
        Some("name")
    );
    let session: Session = panel
        .nobody()
        .post("/session", json!({"name": "ben", "password": PASSWORD}))
        .await
        .is(200);
    assert_eq!(session.user, ben.id);
    assert_eq!(
        admin.delete(&format!("/users/{}", ben.id)).await.status,
        204
    );
    assert_eq!(
        admin.delete(&format!("/users/{}", ben.id)).await.status,
        404
    );
}

#[tokio::test]
async fn nobody_removes_themselves_and_an_admin_stays() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let users: Vec<User> = admin.get("/users").await.is(200);
    assert_eq!(
        admin
            .delete(&format!("/users/{}", users[0].id))
            .await
            .refused(409)
            .code,
        "conflict"
    );
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    for (body, field) in [
        (
            json!({"name": "", "password": PASSWORD, "role": "viewer"}),
            "name",
        ),
        (
            json!({"name": "a/b", "password": PASSWORD, "role": "viewer"}),
            "name",
        ),
        (
            json!({"name": "engine", "password": PASSWORD, "role": "viewer"}),
            "name",
        ),
        (
            json!({"name": "b", "password": "eleven chr.", "role": "viewer"}),
            "password",
        ),
        (
            json!({"name": "b", "password": PASSWORD, "role": "boss"}),
            "role",
        ),
        (json!({"name": "b", "password": PASSWORD}), "role"),
        (
            json!({"name": "b", "password": PASSWORD, "role": "viewer", "admin": true}),
            "admin",
        ),
    ] {
        assert_eq!(
            admin
                .post("/users", body.clone())
                .await
                .refused(422)
                .field
                .as_deref(),
            Some(field),
            "{body}"
        );
    }
    let users: Vec<User> = admin.get("/users").await.is(200);
    assert_eq!(users.len(), 1, "nothing was stored");
}
