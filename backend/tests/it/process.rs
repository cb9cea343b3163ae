//! The program itself: what it prints, refuses and survives.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

struct Running {
    child: Child,
    lines: Vec<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coxswain"));
    // Nothing of the person's own who runs the tests.
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_string_lossy().starts_with("COXSWAIN_"))
        .for_each(|name| {
            command.env_remove(name);
        });
    command
        .env_remove("CREDENTIALS_DIRECTORY")
        .stdin(Stdio::null());
    command
}

fn serve(folder: &Path, more: &[&str]) -> Command {
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder)
        .args(more);
    command
}

/// Starts the panel and reads what it prints until it listens.
fn start(folder: &Path, more: &[&str], lines: usize) -> Running {
    let mut child = serve(folder, more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines = out.lines().take(lines).map(Result::unwrap).collect();
    Running { child, lines }
}

#[test]
fn first_start_prints_a_link_and_a_second_panel_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = start(folder.path(), &[], 2);
    assert!(
        first.lines[0].contains("listens on http://127.0.0.1:"),
        "{:?}",
        first.lines
    );
    let (link, secret) = first.lines[1].split_once('#').unwrap();
    assert!(link.contains("/setup"), "{link}");
    assert_eq!(secret.len(), 64);

    // Its memory never becomes a file.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", first.child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let numbers: Vec<&str> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"]);

    let second = serve(folder.path(), &[]).output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another panel is working"), "{said}");

    let status = Command::new("kill")
        .arg(first.child.id().to_string())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(
        first.child.wait().unwrap().success(),
        "goes down in order when told"
    );

    // No user yet: another link, and the one before is void.
    let again = start(folder.path(), &[], 2);
    assert!(again.lines[1].contains("/setup#") && !again.lines[1].contains(secret));
}

#[test]
fn another_address_needs_tls() {
    let folder = tempfile::tempdir().unwrap();
    let refused = program()
        .args(["serve", "--listen", "0.0.0.0:0", "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("--tls-self-signed") && said.contains("in the clear"),
        "{said}"
    );

    let own = start(folder.path(), &["--tls-self-signed"], 3);
    assert!(
        own.lines[0].contains("https://127.0.0.1:"),
        "{:?}",
        own.lines
    );
    assert!(
        own.lines[1].contains("SHA-256 fingerprint"),
        "{:?}",
        own.lines
    );
    let address = own.lines[0].trim_end_matches('/');
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let answer = https_get(&folder.path().join("tls.crt"), port, "/api/v1/boot");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("strict-transport-security: max-age="),
        "{answer}"
    );
    assert!(answer.contains("\"setup_needed\":true"), "{answer}");
}

/// Over TLS, trusting this certificate and no other.
#[test]
fn a_proxy_that_is_none_is_refused_by_the_name_of_its_option() {
    let folder = tempfile::tempdir().unwrap();
    for (proxy, says) in [
        ("proxy.lan", "give an address (10.0.0.7) or a network"),
        ("10.0.0.7/24", "or 10.0.0.0/24 for the whole network"),
        ("10.0.0.1,0.0.0.0/0", "every address there is"),
    ] {
        let refused = serve(folder.path(), &["--trusted-proxy", proxy])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{proxy}");
        assert!(
            said.contains("--trusted-proxy") && said.contains(says),
            "{proxy}: {said}"
        );
    }
}

fn https_get(certificate: &Path, port: u16, path: &str) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn the_trail_is_checked_without_the_panel() {
    let folder = tempfile::tempdir().unwrap();
    drop(start(folder.path(), &[], 2));
    let verify = || {
        program()
            .args(["audit", "verify", "--data-dir"])
            .arg(folder.path())
            .output()
            .unwrap()
    };
    let good = verify();
    assert!(
        good.status.success(),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );
    assert!(String::from_utf8_lossy(&good.stdout).contains("The audit trail holds: 1 entries"));

    // The end is sealed with the vault key: without it nobody knows whether it is one.
    let (key, away) = ["vault.key", "away"]
        .map(|name| folder.path().join(name))
        .into();
    std::fs::rename(&key, &away).unwrap();
    let unchecked = verify();
    assert_eq!(unchecked.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unchecked.stdout);
    assert!(said.contains("--vault-key-file"), "{said}");
    std::fs::rename(&away, &key).unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("coxswain.db"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql("DROP TRIGGER audit_no_update; UPDATE audit SET actor = 'eve'")
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
    });
    let bad = verify();
    assert!(!bad.status.success());
    let said = String::from_utf8_lossy(&bad.stdout);
    assert!(said.contains("broken at entry 1"), "{said}");

    // An auditor without the key sees this, too.
    std::fs::remove_file(&key).unwrap();
    let said = verify();
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("broken at entry 1"), "{said}");
}
