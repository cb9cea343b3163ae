//! A database from a backup.

use coxswain::serve::{count_start, park_unfinished};
use coxswain_wire::RunStatus;

use crate::support::{Panel, waiting_run};

#[tokio::test]
async fn ordinary_starts_are_no_restore() {
    let panel = Panel::new().await;
    for _ in 0..3 {
        assert!(!count_start(&panel.app.db, panel.folder()).await.unwrap());
    }
    // A crash between the two notes leaves the database ahead.
    panel.app.db.set_starts(4).await.unwrap();
    assert!(!count_start(&panel.app.db, panel.folder()).await.unwrap());
}

#[tokio::test]
async fn unfinished_runs_of_a_restored_database_are_parked() {
    let panel = Panel::new().await;
    for _ in 0..3 {
        count_start(&panel.app.db, panel.folder()).await.unwrap();
    }
    let run = waiting_run(&panel, "x").await;
    panel.app.db.set_starts(2).await.unwrap();
    assert!(count_start(&panel.app.db, panel.folder()).await.unwrap());
    park_unfinished(&panel.app.runs).await.unwrap();
    park_unfinished(&panel.app.runs).await.unwrap();
    let view = panel.app.engine.view(run).await.unwrap();
    assert_eq!(view.summary.status, RunStatus::Parked);
    assert!(
        view.notice
            .unwrap()
            .message
            .contains("restored from a backup")
    );
    assert_eq!(
        panel.app.db.runs(9).await.unwrap()[0].status,
        RunStatus::Parked
    );
    assert!(
        !count_start(&panel.app.db, panel.folder()).await.unwrap(),
        "said once"
    );
}

#[tokio::test]
async fn a_database_alone_in_a_new_folder_is_restored() {
    let panel = Panel::new().await;
    count_start(&panel.app.db, panel.folder()).await.unwrap();
    std::fs::remove_file(panel.folder().join("starts")).unwrap();
    assert!(count_start(&panel.app.db, panel.folder()).await.unwrap());
}
