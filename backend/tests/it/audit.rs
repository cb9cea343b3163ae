//! The audit trail's chain in the database.

use coxswain::audit::Flaw;
use coxswain::audit::head::{Head, HeadFile, KEY_PURPOSE};
use coxswain::serve::TrailKeeper;
use coxswain::store::{ChainReport, verify_file};
use coxswain_wire::AuditPage;

use crate::support::{Panel, credential};

async fn change(panel: &Panel, sql: impl sqlx::SqlSafeStr) -> Result<(), sqlx::Error> {
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
    assert!(panel.app.db.audit_check(None).await.unwrap().flaw.is_none());
}

async fn verify(panel: &Panel, sealed: Option<&Head>) -> ChainReport {
    verify_file(&panel.database(), sealed).await.unwrap()
}

fn entry_of(flaw: Option<Flaw>) -> Option<i64> {
    match flaw {
        Some(Flaw::Entry { seq, .. }) => Some(seq),
        Some(_) | None => None,
    }
}

#[tokio::test]
async fn a_changed_entry_is_named() {
    let panel = Panel::new().await;
    for name in ["a", "b", "c"] {
        credential(&panel, name).await;
    }
    let good = verify(&panel, None).await;
    assert!(good.flaw.is_none() && good.entries > 5, "{good:?}");
    change(
        &panel,
        "DROP TRIGGER audit_no_update; UPDATE audit SET detail = detail || 'x' WHERE seq = 4",
    )
    .await
    .unwrap();
    let bad = verify(&panel, None).await;
    assert_eq!((entry_of(bad.flaw), bad.entries), (Some(4), 3));
    let page: AuditPage = panel.admin().await.get("/audit").await.is(200);
    assert!(page.flaw.unwrap().starts_with("entry 4: "));
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
    assert_eq!(entry_of(verify(&panel, None).await.flaw), Some(2));
}

/// A page is checked by itself; what is broken elsewhere does not make it slow, and is found by the check of all.
#[tokio::test]
async fn a_page_is_checked_by_what_it_shows() {
    let panel = Panel::new().await;
    for n in 0..130 {
        credential(&panel, &format!("key {n}")).await;
    }
    let admin = panel.admin().await;
    let spoil = "DROP TRIGGER audit_no_update; UPDATE audit SET detail = 'x' WHERE seq = 7";
    change(&panel, spoil).await.unwrap();
    let newest: AuditPage = admin.get("/audit").await.is(200);
    assert_eq!(newest.flaw, None);
    let next = newest.next_before.unwrap();
    let oldest: AuditPage = admin.get(&format!("/audit?before={next}")).await.is(200);
    assert!(oldest.flaw.unwrap().starts_with("entry 7: "));
    let flaw = panel.app.db.audit_check(None).await.unwrap().flaw.unwrap();
    panel.app.db.set_audit_flaw(flaw);
    let newest: AuditPage = admin.get("/audit").await.is(200);
    assert!(newest.flaw.unwrap().starts_with("entry 7: "));
}

#[tokio::test]
async fn a_cut_or_remade_end_is_seen() {
    let panel = Panel::new().await;
    for name in ["a", "b", "c"] {
        credential(&panel, name).await;
    }
    let sealed = panel.app.db.audit_head().await.unwrap();
    credential(&panel, "came after the seal").await;
    assert_eq!(verify(&panel, Some(&sealed)).await.flaw, None);

    let cut = format!(
        "DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE seq >= {}",
        sealed.seq
    );
    change(&panel, sqlx::AssertSqlSafe(cut)).await.unwrap();
    let report = verify(&panel, Some(&sealed)).await;
    let last = sealed.seq - 1;
    let expected = Flaw::CutOff {
        sealed: sealed.seq,
        last,
    };
    assert_eq!(report.flaw, Some(expected), "the chain alone still holds");
    // Another end is put on: every hash fits.
    for name in ["d", "e"] {
        credential(&panel, name).await;
    }
    assert_eq!(verify(&panel, None).await.flaw, None);
    let expected = Flaw::MadeAnew { sealed: sealed.seq };
    assert_eq!(verify(&panel, Some(&sealed)).await.flaw, Some(expected));
}

#[tokio::test]
async fn the_log_of_a_run_is_bound_to_the_trail() {
    for (spoil, words) in [
        (
            "DROP TRIGGER run_event_no_update; UPDATE run_event SET event = replace(event, 'fine', 'foul')",
            "event 1 of its log is not the one",
        ),
        (
            "DROP TRIGGER run_event_no_update; UPDATE run_event SET at = at + 1 WHERE seq = 0",
            "event 0 of its log is not the one",
        ),
        (
            "DROP TRIGGER run_event_no_delete; DELETE FROM run_event WHERE seq = 1",
            "is not in its log",
        ),
        (
            "DROP TRIGGER run_event_no_delete; DELETE FROM run_event",
            "is not in its log",
        ),
        (
            "INSERT INTO run_event (run, seq, at, event) VALUES (1, 2, 3, '{\"event\":\"completed\"}')",
            "event 2 of its log is recorded nowhere",
        ),
        (
            "UPDATE run SET plan_json = replace(plan_json, 'Note it', 'Do more')",
            "its plan is not the one",
        ),
    ] {
        let panel = Panel::new().await;
        let run = crate::support::waiting_run(&panel, "x").await;
        assert_eq!(verify(&panel, None).await.flaw, None);
        change(&panel, spoil).await.unwrap();
        let flaw = verify(&panel, None).await.flaw;
        let Some(Flaw::Run { run: named, why }) = flaw else {
            panic!("{spoil}: {flaw:?}")
        };
        assert!(named == run && why.contains(words), "{spoil}: {why}");
    }
}

#[tokio::test]
async fn the_panel_seals_the_end_and_tells_when_it_was_lost() {
    let panel = Panel::new().await;
    let file = || HeadFile::new(panel.folder(), panel.app.vault.derived_key(KEY_PURPOSE));
    let keeper = |first| TrailKeeper::start(panel.app.db.clone(), file(), first);
    let first = keeper(true).await.unwrap();
    credential(&panel, "a").await;
    first.stop().await;
    let sealed = file().read().unwrap().unwrap();
    assert_eq!(sealed, panel.app.db.audit_head().await.unwrap());
    // A restart finds what it left, and more that was committed since.
    credential(&panel, "b").await;
    keeper(false).await.unwrap().stop().await;
    assert_eq!(panel.app.db.audit_flaw(), None);

    let sealed = file().read().unwrap().unwrap();
    let cut = format!(
        "DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE seq = {}",
        sealed.seq
    );
    change(&panel, sqlx::AssertSqlSafe(cut)).await.unwrap();
    keeper(false).await.unwrap().stop().await;
    let page: AuditPage = panel.admin().await.get("/audit").await.is(200);
    assert!(page.flaw.unwrap().contains("was sealed as the last one"));
    let told = |page: &[coxswain_wire::AuditEntry]| {
        page.iter().filter(|e| e.action == "audit.end_lost").count()
    };
    assert_eq!(told(&page.entries), 1);
    let sealed = file().read().unwrap().unwrap();
    let report = verify(&panel, Some(&sealed)).await;
    assert_eq!((report.flaw, report.ends_lost.len()), (None, 1));

    std::fs::remove_file(panel.folder().join("audit.head")).unwrap();
    keeper(false).await.unwrap().stop().await;
    let report = verify(&panel, None).await;
    assert_eq!(
        report.ends_lost.len(),
        2,
        "who takes the seal away is told, too"
    );
}
