//! What holds for every route: headers, the error envelope, CSRF.

use axum::http::Method;
use coxswain::http::{API, CONTENT_SECURITY_POLICY, routes};
use coxswain_wire::{ApiError, Role};
use serde_json::json;

use crate::support::Panel;

fn path(template: &str) -> String {
    format!("{API}{}", template.replace("{id}", "1"))
}

#[tokio::test]
async fn security_headers_on_every_answer() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let mut paths: Vec<(Method, String)> = routes()
        .iter()
        .map(|r| (r.method.clone(), path(r.path)))
        .collect();
    for other in [
        "/",
        "/clusters/1",
        "/missing.js",
        "/api/v1/none",
        "/api/v2/boot",
        "/api/v1/hosts/x",
    ] {
        paths.push((Method::GET, other.to_owned()));
    }
    paths.push((Method::PATCH, format!("{API}/hosts")));
    for (method, path) in paths {
        let answer = admin
            .send(method.clone(), &path, Some(b"{}".to_vec()))
            .await;
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|v| v.to_str().unwrap().to_owned())
        };
        let at = format!("{method} {path}");
        assert_eq!(
            header("content-security-policy").as_deref(),
            Some(CONTENT_SECURITY_POLICY),
            "{at}"
        );
        assert_eq!(
            header("x-content-type-options").as_deref(),
            Some("nosniff"),
            "{at}"
        );
        assert_eq!(
            header("referrer-policy").as_deref(),
            Some("no-referrer"),
            "{at}"
        );
        assert_eq!(
            header("cross-origin-opener-policy").as_deref(),
            Some("same-origin"),
            "{at}"
        );
        assert!(header("x-request-id").is_some(), "{at}");
        if path.starts_with("/api/") {
            assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{at}");
        }
    }
}

#[tokio::test]
async fn every_error_has_the_envelope() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let code = |reply: crate::support::Reply, status: u16| {
        let error: ApiError = reply.refused(status);
        let id = reply.headers["x-request-id"].to_str().unwrap();
        assert_eq!(error.request_id, id);
        error.code
    };
    assert_eq!(code(admin.get("/nothing").await, 404), "not_found");
    assert_eq!(code(admin.get("//api/v2/boot").await, 404), "not_found");
    assert_eq!(
        code(admin.get("/hosts/1/scan").await, 405),
        "method_not_allowed"
    );
    assert_eq!(code(admin.get("/runs/77").await, 404), "not_found");
    assert_eq!(code(admin.get("/runs/abc").await, 404), "not_found");
    assert_eq!(
        code(admin.raw(Method::POST, "/hosts", "{").await, 400),
        "malformed_json"
    );
    let text = admin.clone().with("content-type", "text/plain");
    assert_eq!(
        code(text.raw(Method::POST, "/hosts", "{}").await, 415),
        "not_json"
    );
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(300 * 1024));
    assert_eq!(
        code(admin.raw(Method::POST, "/hosts", &large).await, 413),
        "bad_body"
    );
    assert_eq!(
        code(admin.get("/audit?before=x").await, 422),
        "invalid_query"
    );
    assert_eq!(code(panel.nobody().get("/hosts").await, 401), "signed_out");
}

#[tokio::test]
async fn no_change_without_the_csrf_header() {
    let panel = Panel::new().await;
    let admin = panel.admin().await;
    let other = panel.role(Role::Operator).await;
    let boot: coxswain_wire::Boot = other.get("/boot").await.is(200);
    let of_other = boot.session.unwrap().csrf;
    for route in routes().into_iter().filter(|r| r.method != Method::GET) {
        let path = path(route.path).replace(API, "");
        let at = format!("{} {path}", route.method);
        let call = |client: crate::support::Client| {
            let (method, path) = (route.method.clone(), path.clone());
            async move {
                client
                    .call(method, &path, Some(json!({})))
                    .await
                    .refused(403)
                    .code
            }
        };
        assert_eq!(call(admin.clone().with_csrf(None)).await, "csrf", "{at}");
        if route.access != coxswain::http::Access::Open {
            assert_eq!(
                call(admin.clone().with_csrf(Some("guess"))).await,
                "csrf",
                "{at}"
            );
            assert_eq!(
                call(admin.clone().with_csrf(Some(&of_other))).await,
                "csrf",
                "{at}"
            );
        }
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            assert_eq!(
                call(admin.clone().with(name, value)).await,
                "cross_site",
                "{at} {name}: {value}"
            );
        }
    }
    // The session is still there: nothing went through, not even signing out.
    let own = admin
        .with("sec-fetch-site", "same-origin")
        .with("origin", "http://127.0.0.1:8080");
    assert_eq!(own.delete("/session").await.status, 204);
}
