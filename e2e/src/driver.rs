//! chromedriver as a process of ours, and the session with a fresh headless Chromium behind it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Time chromedriver and the browser have to come up.
const START: Duration = Duration::from_secs(60);

/// The window, in pixels: a laptop's.
const WINDOW: (u32, u32) = (1440, 1000);

/// The process and the browser's profile; both go when this is dropped.
#[derive(Debug)]
pub(crate) struct Driver {
    process: Child,
    profile: TempDir,
}

impl Driver {
    /// Starts both.
    pub(crate) async fn start() -> Result<(Self, Client)> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("start chromedriver (package chromium-driver)")?;
        let stdout = process.stdout.take().context("chromedriver's output")?;
        let port = timeout(START, port(stdout))
            .await
            .context("chromedriver does not say its port")??;
        let profile = tempfile::Builder::new()
            .prefix("coxswain-chromium-")
            .tempdir()?;
        let capabilities = capabilities(&profile);
        let client = timeout(
            START,
            ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities)
                .connect(&format!("http://127.0.0.1:{port}")),
        )
        .await
        .context("Chromium did not start in time")?
        .context("start Chromium")?;
        Ok((Self { process, profile }, client))
    }

    /// Where the browser saves files.
    pub(crate) fn downloads(&self) -> PathBuf {
        downloads(&self.profile)
    }

    /// Ends chromedriver; the session must be closed before, or the browser stays.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.process.kill().await.context("end chromedriver")
    }
}

/// Reads on after the port came, so that chromedriver never writes into a closed pipe.
async fn port(stdout: tokio::process::ChildStdout) -> Result<u16> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        let said = line.strip_prefix("ChromeDriver was started successfully on port ");
        if let Some(port) = said.and_then(|rest| rest.trim_end_matches('.').parse().ok()) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(port);
        }
    }
    anyhow::bail!("chromedriver ended before it listened")
}

fn downloads(profile: &TempDir) -> PathBuf {
    profile.path().join("downloads")
}

fn capabilities(profile: &TempDir) -> Map<String, Value> {
    let arguments = [
        "--headless".to_owned(),
        // Chromium's sandbox refuses root.
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-quic".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        // Containers often have a tiny /dev/shm.
        "--disable-dev-shm-usage".to_owned(),
        format!("--window-size={},{}", WINDOW.0, WINDOW.1),
        format!("--user-data-dir={}", profile.path().display()),
    ];
    let wanted = json!({
        "goog:chromeOptions": {
            "args": arguments,
            "prefs": {
                "download.default_directory": downloads(profile),
                "download.prompt_for_download": false,
            },
        },
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "pageLoad": 60_000, "script": 60_000 },
    });
    match wanted {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
