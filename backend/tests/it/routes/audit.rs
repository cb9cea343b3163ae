//! The audit trail over HTTP.

use coxswain_wire::{AuditEntry, AuditPage, Role};
use serde_json::json;

use crate::support::{PASSWORD, Panel, credential, host};

#[tokio::test]
async fn every_change_makes_an_entry_with_actor_and_address() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let host = host(&panel, 1).await;
    panel.machines.show_keys(&["one"]);
    let at = format!("/hosts/{}", host.id);
    admin.post(&format!("{at}/scan"), json!({})).await;
    admin
        .post(
            &format!("{at}/confirm"),
            json!({"fingerprints": ["SHA256:one"]}),
        )
        .await;
    admin.post(&format!("{at}/test"), json!({})).await;
    let body = json!({"name": "prod", "members": [{"host": host.id, "role": "server"}]});
    admin.post("/clusters", body.clone()).await;
    admin.put("/clusters/1", body).await;
    admin.delete("/clusters/1").await;
    admin.delete(&at).await;
    admin
        .delete(&format!("/credentials/{}", host.credential))
        .await;
    admin
        .post(
            "/users",
            json!({"name": "ben", "password": PASSWORD, "role": "viewer"}),
        )
        .await;
    panel
        .nobody()
        .post(
            "/session",
            json!({"name": "ben", "password": "wrong password"}),
        )
        .await;
    panel
        .nobody()
        .post(
            "/session",
            json!({"name": "my password", "password": "ben"}),
        )
        .await;
    panel
        .nobody()
        .post(
            "/setup",
            json!({"secret": "guess", "name": "eve", "password": PASSWORD}),
        )
        .await;
    panel
        .role(Role::Viewer)
        .await
        .post("/users", json!({}))
        .await;
    admin.delete("/session").await;

    let page: AuditPage = panel.fresh(Role::Admin).await.get("/audit").await.is(200);
    assert_eq!(page.flaw, None);
    let actions: Vec<&str> = page.entries.iter().map(|e| e.action.as_str()).collect();
    for action in [
        "vault.created",
        "credential.created",
        "credential.deleted",
        "host.created",
        "host.keys_scanned",
        "host.keys_confirmed",
        "host.tested",
        "host.deleted",
        "cluster.created",
        "cluster.changed",
        "cluster.deleted",
        "user.created",
        "session.started",
        "session.refused",
        "session.ended",
        "setup.refused",
        "request.forbidden",
    ] {
        assert!(actions.contains(&action), "{action} is not in {actions:?}");
    }
    let find = |action: &str| page.entries.iter().find(|e| e.action == action).unwrap();
    let created: &AuditEntry = find("cluster.created");
    assert_eq!(
        (created.actor.as_str(), created.address.as_str()),
        ("admin", "127.0.0.1")
    );
    assert_eq!(created.subject, "cluster prod");
    // A password typed as a name is not kept.
    assert!(
        page.entries
            .iter()
            .all(|e| !format!("{e:?}").contains("my password"))
    );
}

#[tokio::test]
async fn pages_reach_back_to_the_first_entry() {
    let panel = Panel::new().await;
    for n in 0..110 {
        credential(&panel, &format!("key {n}")).await;
    }
    let viewer = panel.role(Role::Viewer).await;
    let first: AuditPage = viewer.get("/audit").await.is(200);
    assert_eq!(first.entries.len(), 100);
    assert!(
        first
            .entries
            .windows(2)
            .all(|pair| pair[0].seq == pair[1].seq + 1)
    );
    let mut before = first.next_before;
    let mut last = first.entries;
    while let Some(seq) = before {
        let page: AuditPage = viewer.get(&format!("/audit?before={seq}")).await.is(200);
        assert_eq!(page.entries[0].seq, seq - 1);
        before = page.next_before;
        last = page.entries;
    }
    assert_eq!(last.last().unwrap().seq, 1);
}
