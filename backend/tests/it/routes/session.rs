//! First start, sign-in, sessions.

use coxswain_wire::{Boot, Role, Session};
use serde_json::json;

use crate::support::{PASSWORD, Panel, Reply};

fn cookie(reply: &Reply) -> String {
    reply.headers["set-cookie"].to_str().unwrap().to_owned()
}

fn token(cookie: &str) -> &str {
    cookie
        .strip_prefix("__Host-coxswain=")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
}

#[tokio::test]
async fn set_up_once_with_the_printed_secret() {
    let panel = Panel::new().await;
    let nobody = panel.nobody();
    let boot: Boot = nobody.get("/boot").await.is(200);
    assert!(boot.setup_needed && boot.session.is_none());

    let old = panel.app.auth.new_setup_secret().await.unwrap().unwrap();
    let secret = panel.app.auth.new_setup_secret().await.unwrap().unwrap();
    let body = |secret: &str| json!({"secret": secret, "name": "ann", "password": PASSWORD});
    // A new start voids the link before.
    assert_eq!(
        nobody
            .post("/setup", body(old.expose()))
            .await
            .refused(403)
            .code,
        "setup_refused"
    );
    let short = json!({"secret": secret.expose(), "name": "ann", "password": "short"});
    assert_eq!(
        nobody
            .post("/setup", short)
            .await
            .refused(422)
            .field
            .as_deref(),
        Some("password")
    );
    let odd = json!({"secret": secret.expose(), "name": "a b", "password": PASSWORD});
    assert_eq!(
        nobody
            .post("/setup", odd)
            .await
            .refused(422)
            .field
            .as_deref(),
        Some("name")
    );

    let done = nobody.post("/setup", body(secret.expose())).await;
    let session: Session = done.is(201);
    assert_eq!((session.name.as_str(), session.role), ("ann", Role::Admin));
    assert_eq!(
        nobody.post("/setup", body(secret.expose())).await.status,
        403
    );
    assert!(panel.app.auth.new_setup_secret().await.unwrap().is_none());

    let ann = nobody.with_session(token(&cookie(&done)), &session.csrf);
    let boot: Boot = ann.get("/boot").await.is(200);
    assert!(!boot.setup_needed);
    assert_eq!(boot.session, Some(session));
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
    let panel = Panel::new().await;
    panel.admin().await;
    let body = json!({"name": "Admin", "password": PASSWORD});
    let cookie = cookie(&panel.nobody().post("/session", body).await);
    let mut parts: Vec<&str> = cookie.split("; ").collect();
    assert_eq!(token(parts.remove(0)).len(), 64);
    parts.sort_unstable();
    assert_eq!(parts, ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]);
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    assert_eq!(admin.get("/hosts").await.status, 200);
    let out = admin.delete("/session").await;
    assert_eq!(out.status, 204);
    assert!(cookie(&out).contains("Max-Age=0"));
    assert_eq!(admin.get("/hosts").await.status, 401);
}

#[tokio::test]
async fn only_hashes_of_tokens_are_stored() {
    let panel = Panel::new().await;
    panel.admin().await;
    let body = json!({"name": "admin", "password": PASSWORD});
    let cookie = cookie(&panel.nobody().post("/session", body).await);
    crate::vault::assert_not_on_disk(&panel, &[token(&cookie).as_bytes(), PASSWORD.as_bytes()]);
}

#[tokio::test]
async fn a_session_ends_by_idleness_and_by_age() {
    for (column, hours, alive) in [
        ("last_used_at", 7, true),
        ("last_used_at", 9, false),
        ("created_at", 23, true),
        ("created_at", 25, false),
    ] {
        let panel = Panel::new().await;
        let admin = panel.admin().await;
        let ago = hours * 3_600_000i64;
        let sql = match column {
            "last_used_at" => {
                "UPDATE session SET created_at = created_at - ?1, last_used_at = last_used_at - ?1"
            }
            _ => "UPDATE session SET created_at = created_at - ?1",
        };
        let mut tx = panel.app.db.write().await.unwrap();
        sqlx::query(sql).bind(ago).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let status = admin.get("/hosts").await.status;
        assert_eq!(
            status,
            if alive { 200 } else { 401 },
            "{column} {hours} h ago"
        );
    }
}

#[tokio::test]
async fn a_wrong_password_says_nothing_and_is_slowed() {
    let panel = Panel::new().await;
    panel.admin().await;
    let nobody = panel.nobody();
    let try_as = |name: &'static str| {
        let nobody = nobody.clone();
        async move {
            nobody
                .post(
                    "/session",
                    json!({"name": name, "password": "not the password"}),
                )
                .await
        }
    };
    let known = try_as("admin").await.refused(401);
    let unknown = try_as("nobody-here").await.refused(401);
    assert_eq!((known.code, known.message), (unknown.code, unknown.message));
    for _ in 0..4 {
        assert_eq!(try_as("admin").await.status, 401);
    }
    let slowed = try_as("admin").await;
    assert_eq!(slowed.refused(429).code, "too_many_tries");
    let wait: u64 = slowed.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    // Others are not locked out, and neither is the same name elsewhere.
    assert_eq!(try_as("ben").await.status, 401);
    let elsewhere = "10.0.0.9".parse().unwrap();
    let password = zeroize::Zeroizing::new(PASSWORD.to_owned());
    assert!(
        panel
            .app
            .auth
            .sign_in("admin", password, elsewhere)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn losing_the_account_or_the_role_counts_at_once() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let operator = panel.role(Role::Operator).await;
    let mut tx = panel.app.db.write().await.unwrap();
    sqlx::query("UPDATE user SET role = 'viewer' WHERE name = 'operator'")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        operator
            .post("/credentials", json!({"name": "k"}))
            .await
            .status,
        403
    );
    assert_eq!(operator.get("/hosts").await.status, 200);
    let users: Vec<coxswain_wire::User> = admin.get("/users").await.is(200);
    let id = users.iter().find(|u| u.name == "operator").unwrap().id;
    assert_eq!(admin.delete(&format!("/users/{id}")).await.status, 204);
    assert_eq!(operator.get("/hosts").await.status, 401);
}

#[tokio::test]
async fn guesses_do_not_fill_the_trail() {
    let panel = Panel::new().await;
    let nobody = panel.nobody();
    for n in 0..15 {
        let body = json!({"name": format!("guess{n}"), "password": "not the password"});
        assert_eq!(nobody.post("/session", body).await.status, 401);
    }
    let viewer = panel.role(Role::Viewer).await;
    for _ in 0..30 {
        assert_eq!(viewer.post("/users", json!({})).await.status, 403);
    }
    let page: coxswain_wire::AuditPage = panel.admin().await.get("/audit").await.is(200);
    let of = |action: &str| -> Vec<&str> {
        let found = page.entries.iter().filter(|e| e.action == action);
        found.map(|e| e.detail.as_str()).collect()
    };
    let refused = of("session.refused");
    assert_eq!(
        (refused.len(), refused[0]),
        (11, "5 more, which were only counted")
    );
    let forbidden = of("request.forbidden");
    assert_eq!(
        (forbidden.len(), forbidden[0]),
        (11, "20 more, which were only counted")
    );
}

#[tokio::test]
async fn behind_a_proxy_nobody_else_is_answered() {
    let behind = |proxy: &str| coxswain::config::Options {
        trusted_proxy: vec![proxy.parse().unwrap()],
        ..Default::default()
    };
    let folder = || tempfile::tempdir().unwrap();
    // Clients of these tests connect from 127.0.0.1.
    let panel = Panel::told(folder(), behind("10.0.0.7")).await.unwrap();
    let client = panel
        .nobody()
        .with("x-forwarded-for", "10.0.0.7")
        .with("x-forwarded-proto", "https");
    let body = json!({"name": "admin", "password": PASSWORD});
    for refused in [
        client.get("/boot").await,
        client.post("/session", body).await,
        client.get("/no-such-thing").await,
    ] {
        let error = refused.refused(403);
        assert_eq!(error.code, "not_the_proxy");
        assert!(error.message.contains("proxy"), "{}", error.message);
    }
    let page = client.get("//").await;
    assert!(
        page.status == 403 && page.text().contains("proxy"),
        "{page:?}"
    );

    for holding in ["127.0.0.1", "127.0.0.0/8"] {
        let panel = Panel::told(folder(), behind(holding)).await.unwrap();
        assert_eq!(panel.nobody().get("/boot").await.status, 200, "{holding}");
    }
}
