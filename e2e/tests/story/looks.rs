//! Pictures of every page in both themes, for people to look at; the console must stay silent.

use anyhow::Result;

use super::gate::Run;
use super::{CLUSTER, Story};

pub(crate) async fn pages(story: &Story, run: &Run) -> Result<()> {
    let browser = &story.browser;
    let id = run.id;
    browser.click("nav-clusters").await?;
    browser.click(&format!("cluster-card-{CLUSTER}")).await?;
    browser.see("cluster-quorum").await?;
    let cluster = browser.address().await?;
    for theme in ["light", "dark"] {
        browser
            .script(
                "localStorage.setItem(arguments[0], arguments[1])",
                vec![THEME.into(), theme.into()],
            )
            .await?;
        let pages = [
            ("clusters", story.panel.url("/clusters")),
            ("cluster", cluster.clone()),
            ("hosts", story.panel.url("/hosts")),
            ("new-run", story.panel.url("/runs/new")),
            ("form", story.panel.url("/runs/new?workflow=bootstrap")),
            ("runs", story.panel.url("/runs")),
            ("run", story.panel.url(&format!("/runs/{id}"))),
            (
                "run-timeline",
                story.panel.url(&format!("/runs/{id}?tab=timeline")),
            ),
            ("run-plan", story.panel.url(&format!("/runs/{id}?tab=plan"))),
            (
                "run-history",
                story.panel.url(&format!("/runs/{id}?tab=history")),
            ),
            ("approvals", story.panel.url("/approvals")),
            ("audit", story.panel.url("/audit")),
            ("settings", story.panel.url("/settings")),
        ];
        for (name, url) in pages {
            browser.open(&url).await?;
            browser.settled().await?;
            browser.shot(&format!("20-{theme}-{name}")).await?;
            browser.no_faults().await?;
        }
    }
    Ok(())
}

/// Pictures of what is on screen now in both themes: `<name>-light`, `<name>-dark`.
pub(crate) async fn both_themes(story: &Story, name: &str) -> Result<()> {
    let browser = &story.browser;
    let theme = "const root = document.documentElement, before = root.dataset.theme; \
         if (arguments[0]) root.dataset.theme = arguments[0]; else delete root.dataset.theme; \
         getComputedStyle(root).color; \
         document.getAnimations().filter(a => a instanceof CSSTransition).forEach(a => a.finish()); \
         return before ?? null";
    let before = browser.script(theme, vec!["light".into()]).await?;
    browser.shot(&format!("{name}-light")).await?;
    browser.script(theme, vec!["dark".into()]).await?;
    browser.shot(&format!("{name}-dark")).await?;
    browser.script(theme, vec![before]).await.map(drop)
}

/// Where the page keeps the chosen theme.
const THEME: &str = "coxswain-theme";
