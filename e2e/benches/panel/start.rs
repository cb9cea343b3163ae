//! From the start of the process to the last byte of the first page. The program's file is in the page cache
//! then, as after any upgrade; the process is not.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coxswain_e2e::environment::Environment;
use coxswain_e2e::panel::Panel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

const ROUNDS: usize = 11;
/// Between two tries to connect; a part of what is measured.
const PAUSE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// Milliseconds.
pub(crate) struct Starts {
    /// On an empty folder: database, vault key and set-up link are made
    pub(crate) first: Vec<f64>,
    /// On the data of a panel that was killed
    pub(crate) again: Vec<f64>,
}

/// Starts the panel again and again; the given one must not run.
pub(crate) async fn measure(environment: &Environment, panel: &Panel) -> Result<Starts> {
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        first.push(once(environment, &folder.path().join("data")).await?);
        again.push(once(environment, &panel.data()).await?);
    }
    Ok(Starts { first, again })
}

async fn once(environment: &Environment, data: &std::path::Path) -> Result<f64> {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port();
    let mut command = Command::new(&environment.programs.panel);
    command
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--data-dir",
        ])
        .arg(data)
        .arg("--web-dir")
        .arg(&environment.programs.web)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let start = Instant::now();
    let mut child = command.spawn().context("start the panel")?;
    let page = timeout(PATIENCE, first_page(port)).await;
    let passed = start.elapsed();
    child.kill().await?;
    let page = page.context("no page in time")??;
    ensure!(
        page.starts_with(b"HTTP/1.1 200 ") && page.ends_with(b"</html>\n"),
        "not the page: {}",
        String::from_utf8_lossy(&page)
    );
    Ok(passed.as_secs_f64() * 1000.0)
}

async fn first_page(port: u16) -> Result<Vec<u8>> {
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => break stream,
            Err(_) => sleep(PAUSE).await,
        }
    };
    let request = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page).await?;
    Ok(page)
}
