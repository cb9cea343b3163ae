//! The audit trail's chain in the database.

use coxswain::store::verify_file;

use crate::support::{Panel, credential};

async fn change(panel: &Panel, sql: &'static str) -> Result<(), sqlx::Error> {
    let mut tx = panel.app.db.write().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut *tx).await?;
    tx.commit().await
}

#[tokio::test]
async fn entries_and_events_can_only_be_added() {
    let panel = Panel::new().await;
    crate::support::waiting_run(&panel, "x").await;
    for sql in [
        "UPDATE audit SET actor = 'eve' WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 1",
        "INSERT OR REPLACE INTO audit SELECT seq, at, 'eve', address, action, subject, detail, run, hash FROM audit WHERE seq = 1",
        "UPDATE run_event SET at = 0",
        "DELETE FROM run_event",
        "UPDATE step_output SET at = 0 WHERE 0 = 0",
        "UPDATE run SET status = 'completed'",
        "UPDATE run SET finished_at = 1",
    ] {
        let outcome = change(&panel, sql).await;
        // An update of an empty table has nothing to refuse.
        assert!(outcome.is_err() || sql.contains("step_output"), "{sql}");
    }
    assert!(panel.app.db.audit_check().await.unwrap().broken.is_none());
}

#[tokio::test]
async fn a_changed_entry_is_named() {
    let panel = Panel::new().await;
    for name in ["a", "b", "c"] {
        credential(&panel, name).await;
    }
    let good = verify_file(&panel.database()).await.unwrap();
    assert!(good.broken.is_none() && good.entries > 5, "{good:?}");
    change(
        &panel,
        "DROP TRIGGER audit_no_update; UPDATE audit SET detail = detail || 'x' WHERE seq = 4",
    )
    .await
    .unwrap();
    let bad = verify_file(&panel.database()).await.unwrap();
    assert_eq!(bad.broken.unwrap().seq, 4);
    assert_eq!(bad.entries, 3);
    let page: coxswain_wire::AuditPage = panel.admin().await.get("/audit").await.is(200);
    assert!(!page.intact);
}

#[tokio::test]
async fn a_removed_entry_is_named() {
    let panel = Panel::new().await;
    credential(&panel, "a").await;
    change(
        &panel,
        "DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE seq = 2",
    )
    .await
    .unwrap();
    assert_eq!(
        verify_file(&panel.database())
            .await
            .unwrap()
            .broken
            .unwrap()
            .seq,
        2
    );
}
