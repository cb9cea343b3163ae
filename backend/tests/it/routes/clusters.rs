//! Clusters of the inventory.

use coxswain_wire::{Cluster, ClusterPhase, MemberRole};
use serde_json::{Value, json};

use crate::support::{Panel, host};

fn member(host: i64, role: &str) -> Value {
    json!({"host": host, "role": role})
}

#[tokio::test]
async fn bad_input_names_the_field_and_stores_nothing() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    for n in 1..=3 {
        host(&panel, n).await;
    }
    let other = json!({"name": "other", "members": [member(3, "server")]});
    let other: Cluster = admin.post("/clusters", other).await.is(201);
    let server = || member(1, "server");
    for (body, field) in [
        (json!({"name": "", "members": [server()]}), "name"),
        (json!({"name": "Prod", "members": [server()]}), "name"),
        (json!({"name": "other", "members": [server()]}), "name"),
        (json!({"name": "prod", "members": []}), "members"),
        (
            json!({"name": "prod", "members": [member(1, "agent")]}),
            "members",
        ),
        (
            json!({"name": "prod", "members": [server(), member(99, "server")]}),
            "members[1].host",
        ),
        (
            json!({"name": "prod", "members": [server(), member(1, "agent")]}),
            "members[1].host",
        ),
        (
            json!({"name": "prod", "members": [server(), member(3, "server")]}),
            "members[1].host",
        ),
        (
            json!({"name": "prod", "members": [member(1, "boss")]}),
            "members[0].role",
        ),
        (
            json!({"name": "prod", "members": [{"host": 1, "role": "server", "x": 1}]}),
            "members[0].x",
        ),
        (
            json!({"name": "prod", "members": [server()], "endpoint": "https://a"}),
            "endpoint",
        ),
        (
            json!({"name": "prod", "members": [server()], "endpoint": "-a"}),
            "endpoint",
        ),
        (
            json!({"name": "prod", "members": [server()], "endpoint": "a:6443"}),
            "endpoint",
        ),
        (
            json!({"name": "prod", "members": [server()], "endpoint": "169.254.1.1"}),
            "endpoint",
        ),
        (
            json!({"name": "pro\u{2060}d", "members": [server()]}),
            "name",
        ),
        (json!({"name": "prod"}), "members"),
        (
            json!({"name": "prod", "members": [server()], "phase": "running"}),
            "phase",
        ),
    ] {
        let error = admin.post("/clusters", body.clone()).await.refused(422);
        assert_eq!(
            error.field.as_deref(),
            Some(field),
            "{body}: {}",
            error.message
        );
    }
    let all: Vec<Cluster> = admin.get("/clusters").await.is(200);
    assert_eq!(all, [other], "nothing was stored");
}

#[tokio::test]
async fn members_and_endpoint() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    for n in 1..=4 {
        host(&panel, n).await;
    }
    let members = json!([
        member(4, "load_balancer"),
        member(2, "server"),
        member(1, "server")
    ]);
    let made: Cluster = admin
        .post("/clusters", json!({"name": "prod", "members": members}))
        .await
        .is(201);
    assert_eq!(made.endpoint, "10.0.0.4", "the load balancer's");
    assert_eq!(made.phase, ClusterPhase::Planned);
    let order: Vec<(i64, MemberRole)> = made.members.iter().map(|m| (m.host.0, m.role)).collect();
    assert_eq!(
        order,
        [
            (2, MemberRole::Server),
            (1, MemberRole::Server),
            (4, MemberRole::LoadBalancer)
        ]
    );

    let path = format!("/clusters/{}", made.id);
    let body = json!({"name": "prod", "members": [member(2, "server"), member(3, "agent")]});
    let changed: Cluster = admin.put(&path, body).await.is(200);
    assert_eq!(changed.endpoint, "10.0.0.2", "the first server's");
    let body =
        json!({"name": "prod2", "endpoint": "API.example", "members": [member(2, "server")]});
    let named: Cluster = admin.put(&path, body).await.is(200);
    assert_eq!(
        (named.name.as_str(), named.endpoint.as_str()),
        ("prod2", "api.example")
    );
    assert_eq!(admin.get(&path).await.is::<Cluster>(200), named);

    let error = admin.delete("/hosts/2").await.refused(409);
    assert!(error.message.contains("prod2"), "{}", error.message);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.status, 404);
    assert_eq!(admin.delete("/hosts/2").await.status, 204);
}

#[tokio::test]
async fn what_a_run_has_locked_stays_as_it_is() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    host(&panel, 1).await;
    let body = json!({"name": "prod", "members": [member(1, "server")]});
    let cluster: Cluster = admin.post("/clusters", body.clone()).await.is(201);
    let run = crate::support::waiting_run(&panel, "x").await;
    let mut tx = panel.app.db.write().await.unwrap();
    sqlx::query("INSERT INTO lock (resource, run, taken_at) VALUES ('cluster:1', ?, 0)")
        .bind(run.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let path = format!("/clusters/{}", cluster.id);
    assert_eq!(
        admin.get(&path).await.is::<Cluster>(200).locked_by,
        Some(run)
    );
    assert_eq!(admin.put(&path, body).await.status, 409);
    assert_eq!(admin.delete(&path).await.status, 409);
}
