//! The browser helpers themselves: what they find, and that they notice the faults which the story relies on
//! them to notice.

use anyhow::{Result, ensure};
use coxswain_e2e::browser::Browser;
use coxswain_e2e::environment;
use coxswain_e2e::wait::until;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PAGE: &str = "<!doctype html><input data-testid='name'><button data-testid='go' disabled>Go</button>\
     <p data-testid='hidden' hidden>there</p><script src='/page.js'></script>";
const SCRIPT: &str = "const at = id => document.querySelector(`[data-testid=${id}]`);\
     at('name').oninput = () => setTimeout(() => at('go').disabled = false, 300);\
     at('go').onclick = () => at('hidden').hidden = false;";

/// Serves the page under the panel's kind of policy; `/bad` has a script that the policy forbids.
async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await?;
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let (kind, body) = match request.split_whitespace().nth(1) {
            Some("/page.js") => ("text/javascript", SCRIPT.to_owned()),
            Some("/bad") => ("text/html", format!("{PAGE}<script>alert(1)</script>")),
            Some("/error") => (
                "text/html",
                format!("{PAGE}<script src='/error.js'></script>"),
            ),
            Some("/error.js") => (
                "text/javascript",
                "throw new Error('as a panic')".to_owned(),
            ),
            _ => ("text/html", format!("{PAGE}<link rel=icon href='data:,'>")),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\
             content-security-policy: default-src 'self'; img-src data:\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
    }
}

#[tokio::test]
async fn a_browser_acts_like_a_person_and_notices_faults() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = tokio::spawn(serve(listener));
    let browser = Browser::start(environment::shots()?).await?;
    let result = look(&browser, &url).await;
    browser.close().await?;
    server.abort();
    result
}

async fn look(browser: &Browser, url: &str) -> Result<()> {
    browser.open(url).await?;
    ensure!(
        !browser.is_shown("hidden").await?,
        "what is hidden counts as shown"
    );
    browser.fill("name", "Ada").await?;
    // The button opens later: a person waits for it.
    browser.click("go").await?;
    ensure!(browser.text("hidden").await? == "there");
    browser.no_faults().await?;

    for (path, sign) in [
        ("/bad", "Content Security Policy"),
        ("/error", "as a panic"),
    ] {
        browser.open(&format!("{url}{path}")).await?;
        until("the fault is noticed", Duration::from_secs(5), async || {
            let faults = browser.console().await?;
            Ok(faults
                .iter()
                .any(|entry| entry.is_fault() && entry.message.contains(sign))
                .then_some(()))
        })
        .await?;
    }
    Ok(())
}
