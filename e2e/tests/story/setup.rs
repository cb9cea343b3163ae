//! First start: the one-time link makes the first administrator.

use anyhow::{Result, ensure};

use super::Story;

/// Sign-in name of the administrator.
pub(crate) const ADMIN: &str = "ada";
/// Their password, good for this panel only.
pub(crate) const PASSWORD: &str = "lab password of ada";

pub(crate) async fn first_administrator(story: &Story) -> Result<()> {
    let browser = &story.browser;
    let link = story.panel.setup_link().await?;
    browser.open(&link).await?;
    browser.see("setup-form").await?;
    ensure!(
        !browser.address().await?.contains('#'),
        "the secret stays in the address"
    );
    browser.fill("field-name", ADMIN).await?;
    browser.fill("field-password", PASSWORD).await?;
    browser.fill("field-repeat", PASSWORD).await?;
    browser.shot("01-setup").await?;
    browser.click("setup-submit").await?;
    browser.see("nav-clusters").await?;
    browser.shot("02-first-steps").await?;
    browser.no_faults().await
}
