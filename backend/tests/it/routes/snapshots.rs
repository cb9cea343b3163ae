//! Snapshots and their files.

use coxswain::store::NewSnapshot;
use coxswain::time::now;
use coxswain::world::Secret;
use coxswain_engine::plan::hex;
use coxswain_wire::{AuditPage, Cluster, HostId, Role, RunId, Snapshot, Timestamp};
use http_body_util::BodyExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::{Panel, host};

const CONTENT: &[u8] = b"every Secret of the cluster";

/// A cluster of one server with a snapshot of this content on its disk.
async fn taken(panel: &Panel) -> Snapshot {
    let server = host(panel, 1).await.id;
    let operator = panel.role(Role::Operator).await;
    let members = json!([{ "host": server, "role": "server" }]);
    let cluster: Cluster = operator
        .post("/clusters", json!({ "name": "prod", "members": members }))
        .await
        .is(201);
    let token = Secret::new("K10aaaa::server:bbbb");
    let token = panel.app.vault.put("server_token", &token).await.unwrap();
    let new = NewSnapshot {
        host: server,
        path: "/var/lib/rancher/k3s/server/db/snapshots/coxswain-1-0-node1-7".to_owned(),
        size: CONTENT.len() as u64,
        sha256: hex(&Sha256::digest(CONTENT)),
        taken_at: Timestamp(7000),
        version: Some("v1.33.5+k3s1".to_owned()),
        token,
        run: RunId(1),
    };
    // Noted twice, as a step that is repeated does.
    for _ in 0..2 {
        panel
            .app
            .db
            .note_snapshot(now(), cluster.id, &new)
            .await
            .unwrap();
    }
    let listed: Vec<Snapshot> = panel
        .role(Role::Viewer)
        .await
        .get(&format!("/clusters/{}/snapshots", cluster.id))
        .await
        .is(200);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name(), "coxswain-1-0-node1-7");
    assert_eq!(
        (listed[0].server.as_str(), listed[0].token),
        ("node1", token)
    );
    listed[0].clone()
}

#[tokio::test]
async fn only_an_administrator_gets_the_file_and_it_is_audited() {
    let panel = Panel::new().await;
    let snapshot = taken(&panel).await;
    panel.machines.hold_file(CONTENT);
    let path = format!("/snapshots/{}/file", snapshot.id);
    for role in [Role::Viewer, Role::Operator, Role::Approver] {
        assert_eq!(panel.role(role).await.get(&path).await.status, 403);
    }
    let admin = panel.admin().await;
    let reply = admin.get(&path).await;
    assert_eq!(
        (reply.status.as_u16(), reply.body.as_slice()),
        (200, CONTENT)
    );
    assert_eq!(
        reply.headers["content-disposition"],
        "attachment; filename=\"coxswain-1-0-node1-7\""
    );
    assert_eq!(reply.headers["content-length"], CONTENT.len().to_string());
    let audit: AuditPage = admin.get("/audit").await.is(200);
    let entry = &audit.entries[0];
    assert_eq!(entry.action, "snapshot.downloaded");
    assert_eq!(
        (entry.actor.as_str(), entry.subject.as_str()),
        ("admin", "snapshot coxswain-1-0-node1-7")
    );
}

#[tokio::test]
async fn a_file_that_is_not_the_noted_one_is_not_handed_out_as_whole() {
    let panel = Panel::new().await;
    let snapshot = taken(&panel).await;
    let admin = panel.admin().await;
    let path = format!("/snapshots/{}/file", snapshot.id);
    assert_eq!(admin.get(&path).await.refused(409).code, "conflict");
    panel.machines.hold_file(b"shorter");
    assert_eq!(admin.get(&path).await.refused(409).code, "conflict");
    let changed: Vec<u8> = CONTENT.iter().rev().copied().collect();
    panel.machines.hold_file(&changed);
    let body = admin.stream(&path).await.into_body();
    assert!(body.collect().await.is_err(), "it breaks off");
}

#[tokio::test]
async fn a_forgotten_snapshot_is_gone() {
    let panel = Panel::new().await;
    let snapshot = taken(&panel).await;
    let db = &panel.app.db;
    db.forget_snapshot(now(), HostId(77), &snapshot.path)
        .await
        .unwrap();
    assert_eq!(db.snapshots().await.unwrap().len(), 1);
    for _ in 0..2 {
        db.forget_snapshot(now(), snapshot.host, &snapshot.path)
            .await
            .unwrap();
    }
    assert_eq!(db.snapshots().await.unwrap(), []);
    let admin = panel.admin().await;
    let file = format!("/snapshots/{}/file", snapshot.id);
    assert_eq!(admin.get(&file).await.status, 404);
    assert_eq!(admin.get("/clusters/77/snapshots").await.status, 404);
    let audit: AuditPage = admin.get("/audit").await.is(200);
    let deleted: Vec<&str> = audit
        .entries
        .iter()
        .filter(|entry| entry.action == "snapshot.deleted")
        .map(|entry| entry.subject.as_str())
        .collect();
    assert_eq!(deleted, ["cluster prod"]);
    assert_eq!(audit.flaw, None);
}
