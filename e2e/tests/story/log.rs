//! The log as the browser shows it: every line once, and the same lines as the panel's download has.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::wait::until;
use serde_json::Value;

use super::Story;
use super::gate::Run;

/// Scrolls through the log, in which only rows in sight exist. Gives step, number and text of each line,
/// and the lines that stood there twice.
const COLLECT: &str = r#"
const box = document.querySelector('[data-testid=log]');
const frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
const seen = new Map(), doubled = [];
const take = () => {
    const here = new Set();
    for (const row of box.querySelectorAll('[data-testid=log-line]')) {
        const key = row.dataset.step + ':' + row.dataset.line;
        if (here.has(key)) doubled.push(key);
        here.add(key);
        seen.set(key, [Number(row.dataset.step), Number(row.dataset.line), row.querySelector('.log-text').textContent]);
    }
};
return (async () => {
    box.scrollTop = 0;
    for (;;) {
        await frame();
        take();
        const before = box.scrollTop;
        box.scrollTop += Math.max(20, box.clientHeight - 60);
        await frame();
        take();
        if (box.scrollTop === before) break;
    }
    return { lines: [...seen.values()], doubled };
})();
"#;

/// Lines by step, in the order of their numbers.
type Lines = BTreeMap<u64, Vec<String>>;

async fn shown(story: &Story) -> Result<Lines> {
    let answer = story.browser.script(COLLECT, Vec::new()).await?;
    ensure!(
        answer["doubled"] == Value::Array(Vec::new()),
        "lines stand twice: {}",
        answer["doubled"]
    );
    let found: Vec<(u64, usize, String)> = serde_json::from_value(answer["lines"].clone())?;
    let mut steps: BTreeMap<u64, BTreeMap<usize, String>> = BTreeMap::new();
    for (step, number, text) in found {
        steps.entry(step).or_default().insert(number, text);
    }
    let mut lines = Lines::new();
    for (step, numbered) in steps {
        for (index, number) in numbered.keys().enumerate() {
            ensure!(
                *number == index + 1,
                "step {}: after line {index} comes line {number}",
                step + 1
            );
        }
        lines.insert(step, numbered.into_values().collect());
    }
    Ok(lines)
}

/// The lines of one step.
pub(crate) async fn of_step(story: &Story, step: u64) -> Result<Vec<String>> {
    Ok(shown(story).await?.remove(&step).unwrap_or_default())
}

/// Compares with the panel's download, and with a page that was loaded anew.
pub(crate) async fn every_line_once(story: &Story, run: &Run) -> Result<()> {
    let browser = &story.browser;
    let wanted = downloaded(
        &browser
            .get(&format!("/api/v1/runs/{}/output", run.id))
            .await?,
    )?;
    ensure!(!wanted.is_empty(), "the run has no output");
    same(
        "the page that lived through two crashes",
        &shown(story).await?,
        &wanted,
    )?;

    let count: usize = wanted.values().map(Vec::len).sum();
    browser
        .open(&story.panel.url(&format!("/runs/{}", run.id)))
        .await?;
    browser.see("log").await?;
    // A page opens with the last part of a long output.
    until(
        "the whole output on a fresh page",
        Duration::from_secs(20),
        async || {
            if !browser.is_shown("log-earlier").await? {
                return Ok(Some(()));
            }
            browser.click("log-earlier").await?;
            Ok(None)
        },
    )
    .await?;
    browser
        .expect(
            "log-count",
            "data-count",
            &count.to_string(),
            Duration::from_secs(20),
        )
        .await?;
    until(
        "all lines on a fresh page",
        Duration::from_secs(20),
        async || same("a fresh page", &shown(story).await?, &wanted).map(Some),
    )
    .await?;
    browser.no_faults().await
}

fn same(place: &str, shown: &Lines, wanted: &Lines) -> Result<()> {
    for step in wanted.keys().chain(shown.keys()) {
        let (here, there) = (shown.get(step), wanted.get(step));
        ensure!(
            here == there,
            "{place}, step {}: shows {here:#?}, the download has {there:#?}",
            step + 1
        );
    }
    Ok(())
}

/// The download by step: each part begins with a line that names step and attempt.
fn downloaded(text: &str) -> Result<Lines> {
    let mut steps: BTreeMap<u64, String> = BTreeMap::new();
    let mut step = None;
    for line in text.split_inclusive('\n') {
        let named = line
            .strip_prefix("=== step ")
            .and_then(|rest| rest.split_once(", attempt "));
        match named.and_then(|(number, _)| number.parse::<u64>().ok()) {
            // People count from 1.
            Some(number) => step = Some(number.checked_sub(1).context("steps are counted from 1")?),
            None => {
                let step = step.context("output before its first heading")?;
                steps.entry(step).or_default().push_str(line);
            }
        }
    }
    let lines = |text: &str| {
        text.lines()
            .map(|line| line.replace('\t', "    "))
            .collect()
    };
    Ok(steps
        .iter()
        .map(|(step, text)| (*step, lines(text)))
        .collect())
}
