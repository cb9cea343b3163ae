//! Every route with every role, from the table that the router is made of.

use coxswain::http::{Access, may_command, routes};
use coxswain_wire::{Boot, Permission, Role, RunCommand, Session, User};
use serde_json::{Value, json};

use crate::support::Panel;

#[tokio::test]
async fn every_route_with_every_role() {
    let panel = Panel::new().await;
    let granted = [(Role::Operator, true), (Role::Approver, true)];
    let callers = Role::ALL
        .map(|role| (role, false))
        .into_iter()
        .chain(granted);
    for (role, kubeconfig) in callers {
        let session = session(&panel, role, kubeconfig).await;
        for route in routes() {
            // Signing out in one line of the table must not spoil the next.
            let client = if route.method == "DELETE" && route.path == "/session" {
                panel.fresh(role).await
            } else {
                panel.role(role).await
            };
            let path = format!(
                "{}{}",
                coxswain::http::API,
                route.path.replace("{id}", "99")
            );
            let status = client
                .send(route.method.clone(), &path, Some(b"{}".to_vec()))
                .await
                .status()
                .as_u16();
            let at = format!(
                "{role:?}, kubeconfig {kubeconfig}: {} {path} answered {status}",
                route.method
            );
            assert_ne!(status, 500, "{at}");
            assert_ne!(status, 405, "{at}");
            match route.access {
                Access::Open => {}
                access if access.admits(&session) => {
                    assert!(status != 401 && status != 403, "{at}")
                }
                Access::Needs(_) | Access::Command => assert_eq!(status, 403, "{at}"),
            }
        }
    }
}

/// The session of a role's caller, with the permission for kubeconfigs granted or not.
async fn session(panel: &Panel, role: Role, kubeconfig: bool) -> Session {
    let client = panel.role(role).await;
    let boot: Boot = client.get("/boot").await.is(200);
    let user = boot.session.unwrap().user;
    if kubeconfig {
        let body = json!({ "kubeconfig": true });
        let path = format!("/users/{user}");
        let _: User = panel.admin().await.put(&path, body).await.is(200);
    }
    let boot: Boot = client.get("/boot").await.is(200);
    boot.session.unwrap()
}

#[tokio::test]
async fn nobody_gets_in_anywhere() {
    let panel = Panel::new().await;
    panel.admin().await;
    let forged = "0".repeat(64);
    let strangers = [
        panel.nobody(),
        panel.nobody().with_session(&forged, "1"),
        panel.nobody().with_session("", ""),
        panel.nobody().with_session("not a token", "1"),
    ];
    for stranger in strangers {
        for route in routes().into_iter().filter(|r| r.access != Access::Open) {
            let path = format!("{}{}", coxswain::http::API, route.path.replace("{id}", "1"));
            let answer = stranger
                .send(route.method.clone(), &path, Some(b"{}".to_vec()))
                .await;
            assert_eq!(answer.status(), 401, "{} {path}", route.method);
        }
    }
}

/// The table itself, so that a changed line is a decision and not an accident.
#[test]
fn who_may_do_what() {
    let open: Vec<String> = routes()
        .iter()
        .filter(|r| r.access == Access::Open)
        .map(|r| format!("{} {}", r.method, r.path))
        .collect();
    assert_eq!(open, ["GET /boot", "POST /setup", "POST /session"]);
    for route in routes() {
        let at = format!("{} {}", route.method, route.path);
        let reads = route.method == "GET";
        match route.access {
            Access::Open => {}
            Access::Needs(Permission::View) => assert!(reads || at == "DELETE /session", "{at}"),
            Access::Needs(Permission::Administer) => {
                assert!(
                    route.path.starts_with("/users") || at == "GET /snapshots/{id}/file",
                    "{at}"
                )
            }
            Access::Needs(Permission::Operate) => assert!(!reads, "{at}"),
            Access::Needs(Permission::Kubeconfig) => assert_eq!(at, "POST /kubeconfigs"),
            Access::Needs(Permission::Approve) => panic!("{at}: decisions are commands"),
            Access::Command => assert_eq!(route.path, "/runs/{id}/commands"),
        }
    }
}

fn commands() -> Vec<Value> {
    vec![
        json!({"command": "approve", "plan_sha256": "p", "evidence_sha256": "e", "comment": "c"}),
        json!({"command": "reject", "comment": "c"}),
        json!({"command": "refresh"}),
        json!({"command": "pause"}),
        json!({"command": "resume"}),
        json!({"command": "stop"}),
        json!({"command": "kill"}),
        json!({"command": "retry"}),
        json!({"command": "unwind", "plan_sha256": "p"}),
        json!({"command": "abandon", "comment": "c"}),
    ]
}

#[tokio::test]
async fn every_command_with_every_role() {
    let panel = Panel::new().await;
    for role in Role::ALL {
        let client = panel.role(role).await;
        for body in commands() {
            let kind = serde_json::from_value::<RunCommand>(body.clone())
                .unwrap()
                .kind();
            let status = client.post("/runs/99/commands", body).await.status;
            // There is no such run; who may not command does not even learn that.
            let expected = if may_command(role, kind) { 404 } else { 403 };
            assert_eq!(status, expected, "{role:?} {kind:?}");
        }
    }
}
