//! Secrets at rest and on their way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use coxswain::vault::{KeyError, VaultError};
use coxswain::world::Secret;
use coxswain_engine::store::Store;
use coxswain_wire::{RunStatus, SecretId};

use crate::support::{Panel, approve, reaches, waiting_run};

fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .collect()
}

/// None of these values stands in any file of the data folder: database, write-ahead log, index.
pub(crate) fn assert_not_on_disk(panel: &Panel, values: &[&[u8]]) {
    let files = files(panel.folder());
    assert!(
        files.iter().any(|f| f.to_string_lossy().ends_with("-wal")),
        "{files:?}"
    );
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for value in values {
            let found = bytes.windows(value.len()).any(|window| window == *value);
            assert!(
                !found,
                "{} holds {}",
                file.display(),
                String::from_utf8_lossy(value)
            );
        }
    }
}

const CANARY: &str = "canary-9f8e7d6c5b4a39281706";

#[tokio::test]
async fn a_canary_is_nowhere() {
    let panel = Panel::new().await;
    let id = panel
        .app
        .vault
        .put("server_token", &Secret::new(CANARY))
        .await
        .unwrap();
    assert_eq!(
        panel.app.vault.get(id).await.unwrap().expose(),
        CANARY.as_bytes()
    );

    // A step prints it, whole, in base64 and in JSON.
    let base64 = "Y2FuYXJ5LTlmOGU3ZDZjNWI0YTM5MjgxNzA2";
    let text = format!("token is {CANARY}\n{base64}\n{{\"t\":\"{CANARY}\"}}\nand so on\n");
    let run = waiting_run(&panel, "nothing").await;
    let output = panel.app.runs.output(run, 0, 9).await.unwrap();
    for (at, piece) in text.as_bytes().chunks(7).enumerate() {
        output.append(at as u64 * 7, piece).await.unwrap();
    }
    output.finish().await.unwrap();
    let redacted = panel
        .app
        .runs
        .redact(&format!("failed: {CANARY}"))
        .await
        .unwrap();
    assert!(
        !redacted.contains(CANARY) && redacted.starts_with("failed: "),
        "{redacted}"
    );

    // A person pastes it into a comment.
    let body = serde_json::json!({"command": "reject", "comment": format!("no, {CANARY}")});
    let approver = panel.role(coxswain_wire::Role::Approver).await;
    let reply = approver.post(&format!("/runs/{run}/commands"), body).await;
    assert_eq!(reply.status, 200);

    assert_not_on_disk(&panel, &[CANARY.as_bytes(), base64.as_bytes()]);
    let admin = panel.admin().await;
    let shown = admin.get(&format!("/runs/{run}/output")).await.text();
    assert!(
        shown.contains("and so on") && !shown.contains(CANARY) && !shown.contains(base64),
        "{shown}"
    );
}

#[tokio::test]
async fn no_key_or_the_wrong_key_is_no_start() {
    let panel = Panel::new().await;
    let id = panel
        .app
        .vault
        .put("server_token", &Secret::new("some secret"))
        .await
        .unwrap();
    let folder = panel.stopped().await;
    let key = folder.path().join("vault.key");
    let good = fs::read(&key).unwrap();

    fs::remove_file(&key).unwrap();
    let folder = refused(folder, |e| matches!(e, VaultError::NoKey { .. })).await;
    assert!(!key.exists(), "no new key is made for old secrets");

    write_key(&key, &[b'0'; 64], 0o600);
    let folder = refused(folder, |e| matches!(e, VaultError::WrongKey { .. })).await;
    write_key(&key, &good, 0o644);
    let folder = refused(folder, |e| {
        matches!(e, VaultError::Key(KeyError::Open { .. }))
    })
    .await;

    write_key(&key, &good, 0o600);
    let panel = Panel::in_folder(folder).await.unwrap();
    assert_eq!(
        panel.app.vault.get(id).await.unwrap().expose(),
        b"some secret"
    );
    // Known again after a restart.
    assert!(
        !panel
            .app
            .runs
            .redact("x some secret x")
            .await
            .unwrap()
            .contains("some secret")
    );
}

fn write_key(path: &PathBuf, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The panel must not start in this folder; gives the folder back.
async fn refused(
    folder: tempfile::TempDir,
    why: impl Fn(&VaultError) -> bool,
) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files(folder.path()) {
        fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    match Panel::in_folder(copy).await {
        Ok(_) => panic!("the panel started"),
        Err(error) => assert!(why(&error), "{error}"),
    }
    folder
}

#[tokio::test]
async fn rows_cannot_be_swapped_or_read_in_plain() {
    let panel = Panel::new().await;
    let vault = &panel.app.vault;
    let one = vault
        .put("server_token", &Secret::new("secret number one"))
        .await
        .unwrap();
    let two = vault
        .put("server_token", &Secret::new("secret number two"))
        .await
        .unwrap();
    let rows = panel.app.db.secrets().await.unwrap();
    assert!(
        rows.iter()
            .all(|row| !row.ciphertext.windows(6).any(|w| w == b"secret"))
    );
    let mut tx = panel.app.db.write().await.unwrap();
    sqlx::query(
        "UPDATE secret SET (wrapped_key, ciphertext) = (SELECT wrapped_key, ciphertext FROM secret WHERE id = ?) WHERE id = ?",
    )
    .bind(one.0)
    .bind(two.0)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(vault.get(two).await, Err(VaultError::Damaged(id)) if id == two));
    assert!(matches!(
        vault.get(SecretId(99)).await,
        Err(VaultError::NotFound(_))
    ));
    let folder = panel.stopped().await;
    refused(folder, |e| matches!(e, VaultError::Damaged(_))).await;
}

/// A secret that a running step puts into the vault is masked in what it prints afterwards.
#[tokio::test]
async fn a_secret_learnt_on_the_way_is_masked_from_then_on() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    let output = panel.app.runs.output(run, 0, 9).await.unwrap();
    output.append(0, b"before\n").await.unwrap();
    panel
        .app
        .vault
        .put("server_token", &Secret::new(CANARY))
        .await
        .unwrap();
    output
        .append(7, format!("it is {CANARY}\n").as_bytes())
        .await
        .unwrap();
    output.finish().await.unwrap();
    approve(&panel, run).await;
    reaches(&panel, run, RunStatus::Completed).await;
    assert_not_on_disk(&panel, &[CANARY.as_bytes()]);
}
