//! What a browser fetches for the first page, and what of it goes over the wire in brotli.

use anyhow::{Context, Result, ensure};
use coxswain_e2e::browser::Browser;
use coxswain_e2e::environment::Environment;
use coxswain_e2e::panel::Panel;
use http::header;

use super::api::Api;

/// One file as sent; its headers are not counted.
pub(crate) struct Asset {
    /// Path on the panel
    pub(crate) path: String,
    /// Bytes of the body as sent
    pub(crate) sent: usize,
    /// In brotli
    pub(crate) brotli: bool,
}

/// Lets Chromium open the sign-in page, asks it what it fetched, and weighs each of these.
pub(crate) async fn measure(
    environment: &Environment,
    panel: &Panel,
    api: &Api,
) -> Result<Vec<Asset>> {
    let browser = Browser::start(environment.shots.clone()).await?;
    let fetched = fetched(&browser, panel).await;
    browser.close().await?;
    let mut assets = Vec::new();
    for path in fetched? {
        let answer = api.file(&path).await?;
        let brotli = answer
            .headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|encoding| encoding == "br");
        assets.push(Asset {
            path,
            sent: answer.body.len(),
            brotli,
        });
    }
    Ok(assets)
}

/// Paths in the order of their requests, the page itself first.
async fn fetched(browser: &Browser, panel: &Panel) -> Result<Vec<String>> {
    let base = panel.url("");
    browser.open(&panel.url("/")).await?;
    browser.see("sign-in-form").await?;
    let script = "return performance.getEntriesByType('resource').map(entry => entry.name)";
    let entries = browser.script(script, Vec::new()).await?;
    let mut paths = vec!["/".to_owned()];
    for entry in entries.as_array().context("a list")? {
        let address = entry.as_str().context("an address")?;
        let path = address.strip_prefix(&base);
        let path = path.with_context(|| format!("the page fetches {address}"))?;
        // Preloaded and then used: fetched once.
        if !paths.iter().any(|known| known == path) {
            paths.push(path.to_owned());
        }
    }
    let program = paths.iter().any(|path| path.ends_with(".wasm"));
    ensure!(program, "the browser did not fetch the program: {paths:?}");
    Ok(paths)
}
