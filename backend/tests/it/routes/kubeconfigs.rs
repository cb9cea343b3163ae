//! Kubeconfigs leave the panel: who gets one, what is in it, and that it is noted.

use coxswain::store::ClusterSecret;
use coxswain::time::now;
use coxswain::world::Secret;
use coxswain_k3s::kubeconfig::Kubeconfig;
use coxswain_wire::{AuditPage, Boot, Cluster, Role, User};
use serde_json::json;

use crate::support::{Panel, host};

/// As k3s writes it, with a certificate that ends in the year 4096.
fn k3s_yaml() -> String {
    let encode = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let made = rcgen::generate_simple_self_signed(["admin".to_owned()]).unwrap();
    let (pem, key) = (encode(&made.cert.pem()), encode("the key of the admin"));
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {pem}\n    server: https://127.0.0.1:6443\n  name: default\n\
         contexts:\n- context:\n    cluster: default\n    user: default\n  name: default\ncurrent-context: default\nkind: Config\n\
         users:\n- name: default\n  user:\n    client-certificate-data: {pem}\n    client-key-data: {key}\n"
    )
}

/// A cluster `<name>` on host `n`, with a kubeconfig in the vault.
async fn cluster(panel: &Panel, name: &str, n: u8) -> Cluster {
    let machine = host(panel, n).await;
    let body = json!({"name": name, "members": [{"host": machine.id, "role": "server"}]});
    let made: Cluster = panel.admin().await.post("/clusters", body).await.is(201);
    let secret = Secret::new(k3s_yaml());
    let id = panel.app.vault.put("kubeconfig", &secret).await.unwrap();
    let db = &panel.app.db;
    db.set_cluster_secret(now(), made.id, ClusterSecret::Kubeconfig, Some(id))
        .await
        .unwrap();
    made
}

async fn downloads(panel: &Panel) -> Vec<(String, String, String)> {
    let page: AuditPage = panel.admin().await.get("/audit").await.is(200);
    let ours = page
        .entries
        .into_iter()
        .filter(|e| e.action == "kubeconfig.downloaded");
    ours.map(|e| (e.actor, e.subject, e.detail)).collect()
}

#[tokio::test]
async fn one_several_and_into_a_pasted_one() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let prod = cluster(&panel, "prod", 1).await;
    let test = cluster(&panel, "test", 2).await;

    let one = admin
        .post("/kubeconfigs", json!({"clusters": [prod.id]}))
        .await;
    assert_eq!(one.status, 200, "{}", one.text());
    assert_eq!(one.headers["cache-control"], "no-store");
    assert_eq!(
        one.headers["content-disposition"],
        "attachment; filename=\"prod.yaml\""
    );
    assert!(
        one.text().starts_with("# prod: full admin rights."),
        "{}",
        one.text()
    );
    let config = Kubeconfig::parse(&one.text()).unwrap();
    assert_eq!(
        (config.name(), config.server()),
        ("prod", "https://10.0.0.1:6443")
    );
    assert_eq!(config.client_key_pem(), b"the key of the admin");

    let both = admin
        .post("/kubeconfigs", json!({"clusters": [test.id, prod.id]}))
        .await;
    assert_eq!(
        both.headers["content-disposition"],
        "attachment; filename=\"kubeconfig.yaml\""
    );
    assert_eq!(Kubeconfig::parse(&both.text()).unwrap().name(), "test");
    assert!(both.text().contains("https://10.0.0.1:6443"));

    let mine = "contexts:\n- {name: prod, context: {cluster: mine, user: me}}\ncurrent-context: prod\npreferences: {colors: true}\n";
    let body = json!({"clusters": [prod.id], "into": mine});
    let merged = admin.post("/kubeconfigs", body).await.text();
    assert!(
        merged.contains("prod-2") && merged.contains("colors"),
        "{merged}"
    );
    assert!(merged.starts_with("# The name prod was taken"), "{merged}");

    // The inventory's endpoint of today counts.
    let body = json!({"name": "prod", "endpoint": "api.example.org", "members": prod.members});
    let _: Cluster = admin
        .put(&format!("/clusters/{}", prod.id), body)
        .await
        .is(200);
    let moved = admin
        .post("/kubeconfigs", json!({"clusters": [prod.id]}))
        .await
        .text();
    assert_eq!(
        Kubeconfig::parse(&moved).unwrap().server(),
        "https://api.example.org:6443"
    );

    let noted =
        |subject: &str, detail: &str| ("admin".to_owned(), subject.to_owned(), detail.to_owned());
    assert_eq!(
        downloads(&panel).await,
        [
            noted("cluster prod", ""),
            noted("cluster prod", "merged into a pasted one"),
            noted("clusters test, prod", ""),
            noted("cluster prod", ""),
        ]
    );
}

#[tokio::test]
async fn bad_input_names_the_field_and_nothing_leaves() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let prod = cluster(&panel, "prod", 1).await.id;
    let bare = host(&panel, 2).await;
    let body = json!({"name": "bare", "members": [{"host": bare.id, "role": "server"}]});
    let bare = admin.post("/clusters", body).await.is::<Cluster>(201).id;
    for (body, field) in [
        (json!({}), "clusters"),
        (json!({"clusters": []}), "clusters"),
        (json!({"clusters": vec![prod; 101]}), "clusters"),
        (json!({"clusters": [prod, 99]}), "clusters[1]"),
        (json!({"clusters": [prod, prod]}), "clusters[1]"),
        (json!({"clusters": [bare]}), "clusters[0]"),
        (json!({"clusters": [prod], "into": " \n"}), "into"),
        (json!({"clusters": [prod], "into": "kind: Pod"}), "into"),
        (
            json!({"clusters": [prod], "into": "password: [hunter2"}),
            "into",
        ),
        (json!({"clusters": [prod], "out": ""}), "out"),
    ] {
        let error = admin.post("/kubeconfigs", body.clone()).await.refused(422);
        assert_eq!(
            error.field.as_deref(),
            Some(field),
            "{body}: {}",
            error.message
        );
        assert!(!error.message.contains("hunter2"), "{}", error.message);
    }
    assert_eq!(downloads(&panel).await, []);
}

#[tokio::test]
async fn only_who_was_granted_gets_one() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let prod = cluster(&panel, "prod", 1).await;
    let body = json!({"clusters": [prod.id]});
    for role in [Role::Viewer, Role::Operator, Role::Approver] {
        let client = panel.role(role).await;
        assert_eq!(
            client
                .post("/kubeconfigs", body.clone())
                .await
                .refused(403)
                .code,
            "forbidden"
        );
        let boot: Boot = client.get("/boot").await.is(200);
        let path = format!("/users/{}", boot.session.unwrap().user);
        let grant = |granted: bool| admin.put(&path, json!({"kubeconfig": granted}));
        if role == Role::Viewer {
            assert_eq!(
                grant(true).await.refused(422).field.as_deref(),
                Some("kubeconfig")
            );
            continue;
        }
        assert!(grant(true).await.is::<User>(200).kubeconfig);
        assert_eq!(client.post("/kubeconfigs", body.clone()).await.status, 200);
        assert!(!grant(false).await.is::<User>(200).kubeconfig);
        assert_eq!(client.post("/kubeconfigs", body.clone()).await.status, 403);
    }
    assert_eq!(downloads(&panel).await.len(), 2);
    let page: AuditPage = admin.get("/audit").await.is(200);
    let changes = page
        .entries
        .iter()
        .filter(|e| e.action == "user.changed")
        .count();
    assert_eq!(changes, 4);
    assert_eq!(
        admin
            .put("/users/99", json!({"kubeconfig": true}))
            .await
            .status,
        404
    );
    let refused = admin
        .put("/users/1", json!({"admin": true}))
        .await
        .refused(422);
    assert_eq!(refused.field.as_deref(), Some("admin"));
}
