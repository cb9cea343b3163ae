//! Serving the page.

use std::fs;

use crate::support::Panel;

async fn panel() -> Panel {
    let panel = Panel::new().await;
    let web = panel.folder().join("web");
    fs::create_dir_all(web.join("assets")).unwrap();
    fs::write(
        web.join("index.html"),
        "<!doctype html><title>Coxswain</title>",
    )
    .unwrap();
    fs::write(web.join("assets/app-0123456789ab.js"), "script").unwrap();
    fs::write(web.join("assets/app-0123456789ab.js.br"), "brotli").unwrap();
    fs::write(web.join("assets/app-0123456789ab.js.gz"), "gzip").unwrap();
    // Parts of the program refer to each other by name: the hash is their folder's.
    let program = web.join("assets/0123456789abcdef");
    fs::create_dir(&program).unwrap();
    for file in ["app.js", "app_bg.wasm", "split_inside.wasm"] {
        fs::write(program.join(file), "plain").unwrap();
        fs::write(program.join(format!("{file}.br")), "brotli").unwrap();
        fs::write(program.join(format!("{file}.gz")), "gzip").unwrap();
    }
    fs::write(web.join("favicon.svg"), "<svg/>").unwrap();
    panel
}

#[tokio::test]
async fn every_place_in_the_page_is_index_html() {
    let panel = panel().await;
    for path in ["///", "//clusters", "//runs/7", "//setup"] {
        let reply = panel.nobody().get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.text().contains("<title>Coxswain"), "{path}");
        assert_eq!(reply.headers["cache-control"], "no-cache", "{path}");
        assert_eq!(reply.headers["content-type"], "text/html", "{path}");
    }
}

#[tokio::test]
async fn hashed_files_are_kept_and_come_compressed() {
    let panel = panel().await;
    let script = "//assets/app-0123456789ab.js";
    let get = |encoding: &str| panel.nobody().with("accept-encoding", encoding);
    for (accepted, body, encoding) in [
        ("gzip, deflate, br, zstd", "brotli", Some("br")),
        ("gzip", "gzip", Some("gzip")),
        ("identity", "script", None),
    ] {
        let reply = get(accepted).get(script).await;
        assert_eq!(reply.text(), body, "{accepted}");
        assert_eq!(
            reply
                .headers
                .get("content-encoding")
                .map(|v| v.to_str().unwrap()),
            encoding,
            "{accepted}"
        );
        assert_eq!(
            reply.headers["cache-control"],
            "public, max-age=31536000, immutable"
        );
        assert_eq!(reply.headers["content-type"], "text/javascript");
    }
    for (file, kind) in [
        ("app.js", "text/javascript"),
        ("app_bg.wasm", "application/wasm"),
        ("split_inside.wasm", "application/wasm"),
    ] {
        for (accepted, body) in [("br", "brotli"), ("gzip", "gzip"), ("identity", "plain")] {
            let path = format!("//assets/0123456789abcdef/{file}");
            let part = get(accepted).get(&path).await;
            assert_eq!(part.text(), body, "{file}");
            assert_eq!(part.headers["content-type"], kind, "{file}");
            assert_eq!(
                part.headers["cache-control"],
                "public, max-age=31536000, immutable"
            );
        }
    }
    // Of an older panel: the page that asks for it must not keep the answer.
    let gone = panel
        .nobody()
        .get("//assets/fedcba9876543210/split_inside.wasm")
        .await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.headers["cache-control"], "no-cache");
    let icon = panel.nobody().get("//favicon.svg").await;
    assert_eq!(icon.headers["cache-control"], "no-cache");
}

#[tokio::test]
async fn nothing_outside_the_folder() {
    let panel = panel().await;
    for path in [
        "//missing.js",
        "//../vault.key",
        "//%2e%2e/vault.key",
        "//assets/..%2f..%2fvault.key",
        "//coxswain.db",
    ] {
        let reply = panel.nobody().get(path).await;
        assert!(
            reply.status == 404 || reply.status == 400,
            "{path}: {} {}",
            reply.status,
            reply.text()
        );
    }
    assert_eq!(
        panel
            .nobody()
            .post("//clusters", serde_json::json!({}))
            .await
            .status,
        405
    );
}
