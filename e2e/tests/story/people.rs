//! A viewer signs in by keyboard, sees everything and can change nothing.

use anyhow::{Result, ensure};
use fantoccini::key::Key;

use super::gate::Run;
use super::{CLUSTER, Story};

const VIEWER: &str = "vera";
const PASSWORD: &str = "lab password of vera";

/// What only people who may change something see.
const CHANGES: [&str; 8] = [
    "cluster-new",
    "cluster-edit",
    "cluster-delete",
    "host-add",
    "host-save",
    "gate-approve",
    "run-abandon",
    "user-add",
];

pub(crate) async fn viewer(story: &Story, run: &Run) -> Result<()> {
    let browser = &story.browser;
    browser.click("nav-settings").await?;
    browser.click("user-add").await?;
    browser.fill("field-name", VIEWER).await?;
    browser.fill("field-password", PASSWORD).await?;
    browser.choose("field-role", "viewer").await?;
    browser.click("user-save").await?;
    browser.see(&format!("user-row-{VIEWER}")).await?;
    browser.click("sign-out").await?;
    browser.see("sign-in-form").await?;
    browser.no_faults().await?;

    ensure!(
        browser.focused().await?.as_deref() == Some("field-name"),
        "sign-in does not begin in the name"
    );
    browser.press(&format!("{VIEWER}{}", &*Key::Tab)).await?;
    ensure!(
        browser.focused().await?.as_deref() == Some("field-password"),
        "Tab does not lead to the password"
    );
    browser
        .press(&format!("{PASSWORD}{}", &*Key::Enter))
        .await?;
    browser.see("nav-clusters").await?;

    for page in [
        "clusters",
        "hosts",
        "runs",
        "approvals",
        "audit",
        "settings",
    ] {
        browser.click(&format!("nav-{page}")).await?;
        browser.settled().await?;
        nothing_to_change(story).await?;
        browser.shot(&format!("30-viewer-{page}")).await?;
    }
    browser
        .open(&story.panel.url(&format!("/runs/{}", run.id)))
        .await?;
    browser.see("run-status").await?;
    browser.settled().await?;
    nothing_to_change(story).await?;
    browser.no_faults().await?;
    refused(story, run).await
}

async fn nothing_to_change(story: &Story) -> Result<()> {
    for testid in CHANGES {
        ensure!(
            !story.browser.is_shown(testid).await?,
            "a viewer sees `{testid}` on {}",
            story.browser.address().await?
        );
    }
    Ok(())
}

/// The server refuses too, whatever the page shows.
async fn refused(story: &Story, run: &Run) -> Result<()> {
    let script = r#"
        const [path, body] = arguments;
        return fetch('/api/v1/boot').then(r => r.json()).then(boot => fetch(path, {
            method: 'POST',
            headers: { 'content-type': 'application/json', 'x-coxswain-csrf': boot.session.csrf },
            body,
        })).then(r => r.status)"#;
    let attempts = [
        (
            "/api/v1/credentials".to_owned(),
            r#"{"name":"mine"}"#.to_owned(),
        ),
        (
            "/api/v1/clusters".to_owned(),
            format!(r#"{{"name":"{CLUSTER}2","members":[]}}"#),
        ),
        (
            format!("/api/v1/runs/{}/commands", run.id),
            r#"{"command":"refresh"}"#.to_owned(),
        ),
        (
            "/api/v1/users".to_owned(),
            format!(r#"{{"name":"x","password":"{PASSWORD}","role":"admin"}}"#),
        ),
    ];
    for (path, body) in attempts {
        let status = story
            .browser
            .script(script, vec![path.clone().into(), body.into()])
            .await?;
        ensure!(
            status == 403,
            "a viewer's POST {path} is answered with {status}"
        );
    }
    // The browser notes each refusal in its console: they were wanted.
    story.browser.console().await.map(drop)
}
