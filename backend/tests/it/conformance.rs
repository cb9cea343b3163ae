//! The SQLite store does what every store must do.

use std::sync::Arc;

use coxswain_engine::testing::store_checks;

use crate::support::Panel;

macro_rules! conforms {
    ($($check:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $check() {
            let panel = Panel::new().await;
            store_checks::$check(&*panel.app.runs).await.unwrap();
        }
    )*};
}

conforms!(
    guards_the_log,
    keeps_locks,
    lists_unfinished,
    resumes_output
);

/// Another panel's process finds output where the first one has stored it, half a line and all.
#[tokio::test]
async fn output_goes_on_in_another_process() {
    use coxswain_engine::store::Store;
    let panel = Panel::new().await;
    let run = crate::support::waiting_run(&panel, "x").await;
    let output = panel.app.runs.output(run, 0, 1).await.unwrap();
    output
        .append(0, b"first\nsecond, without an e")
        .await
        .unwrap();
    drop(output);

    let panel = Panel::in_folder(panel.stopped().await).await.unwrap();
    let output = panel.app.runs.output(run, 0, 1).await.unwrap();
    assert_eq!(
        output.position().await,
        6,
        "a line that has not ended is not stored"
    );
    output.append(6, b"second, without an end").await.unwrap();
    output.finish().await.unwrap();
    let chunks = panel.app.db.output_after(run, 0, 100).await.unwrap();
    let text: String = chunks.iter().map(|c| c.text.as_str()).collect();
    assert_eq!(text, "first\nsecond, without an end");
    let ids: Vec<u64> = chunks.iter().map(|c| c.id).collect();
    assert_eq!(ids, [1, 2]);
}

/// A caller that gives up in the middle of a write leaves nothing half done.
#[tokio::test]
async fn an_abandoned_write_is_no_trap() {
    use coxswain_engine::store::Store;
    use futures::FutureExt;
    let panel = Panel::new().await;
    let run = crate::support::waiting_run(&panel, "x").await;
    let output = panel.app.runs.output(run, 0, 1).await.unwrap();
    let all = b"one\ntwo\nthree\nfour\n";
    // Polled once: the write is on its way when it is dropped.
    assert!(output.append(0, &all[..8]).now_or_never().is_none());
    loop {
        let from = output.position().await;
        if output
            .append(from, &all[usize::try_from(from).unwrap()..])
            .await
            .is_ok()
        {
            break;
        }
    }
    output.finish().await.unwrap();
    let chunks = panel.app.db.output_after(run, 0, 100).await.unwrap();
    let text: String = chunks.iter().map(|c| c.text.as_str()).collect();
    assert_eq!(text.as_bytes(), all);
}

/// What durability and integrity hang on.
#[tokio::test]
async fn the_connection_is_set_up_as_it_must_be() {
    let panel = Panel::new().await;
    let mut tx = panel.app.db.write().await.unwrap();
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(journal, "wal");
    for (sql, expected) in [
        ("PRAGMA synchronous", 2),
        ("PRAGMA foreign_keys", 1),
        ("PRAGMA recursive_triggers", 1),
    ] {
        let value: i64 = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(value, expected, "{sql}");
    }
}

/// Many steps print at once: no byte is lost or doubled, numbers rise.
#[tokio::test(flavor = "multi_thread")]
async fn outputs_side_by_side() {
    use coxswain_engine::store::Store;
    let panel = Panel::new().await;
    let run = crate::support::waiting_run(&panel, "x").await;
    let writers = (0..6u32).map(|step| {
        let runs = Arc::clone(&panel.app.runs);
        tokio::spawn(async move {
            let output = runs.output(run, step, 1).await.unwrap();
            let mut from = 0;
            for n in 0..50 {
                let line = format!("step {step} line {n}\n");
                output.append(from, line.as_bytes()).await.unwrap();
                from += line.len() as u64;
            }
            output.finish().await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let chunks = panel.app.db.output_after(run, 0, 10_000).await.unwrap();
    assert!(chunks.windows(2).all(|pair| pair[0].id < pair[1].id));
    for step in 0..6 {
        let text: String = chunks
            .iter()
            .filter(|c| c.step == step)
            .map(|c| c.text.as_str())
            .collect();
        let expected: String = (0..50).map(|n| format!("step {step} line {n}\n")).collect();
        assert_eq!(text, expected);
    }
}
