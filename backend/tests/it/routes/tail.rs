//! The part of the output that a page opens with.

use coxswain_engine::store::Store;
use coxswain_wire::{LinesBefore, OutputChunk, OutputTail, Role, RunId};

use super::stream::open_after;
use crate::support::{Client, Panel, waiting_run};

/// Chunks of the first step, then of the second, each of one line of 1 KiB.
const FIRST: u64 = 300;
const SECOND: u64 = 200;

async fn printed() -> (Panel, Client, RunId) {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    for (step, lines) in [(0, FIRST), (1, SECOND)] {
        let output = panel.app.runs.output(run, step, 1).await.unwrap();
        let mut from = 0;
        for n in 1..=lines {
            let line = format!("{:1023}\n", format!("step {step} line {n}"));
            output.append(from, line.as_bytes()).await.unwrap();
            from += line.len() as u64;
        }
        output.finish().await.unwrap();
    }
    let viewer = panel.role(Role::Viewer).await;
    (panel, viewer, run)
}

async fn tail(client: &Client, run: RunId, query: &str) -> OutputTail {
    client
        .get(&format!("/runs/{run}/tail{query}"))
        .await
        .is(200)
}

fn ids(chunks: &[OutputChunk]) -> Vec<u64> {
    chunks.iter().map(|chunk| chunk.id).collect()
}

/// Lines of a step that are not in the part.
fn lines_before(tail: &OutputTail, step: u32) -> u32 {
    tail.before
        .iter()
        .find(|before| before.step == step)
        .map_or(0, |before| before.lines)
}

#[tokio::test]
async fn the_last_part_with_what_was_before_it() {
    let (_panel, viewer, run) = printed().await;
    let part = tail(&viewer, run, "").await;
    let first = FIRST + SECOND - 128 + 1;
    assert_eq!(
        ids(&part.chunks),
        (first..=FIRST + SECOND).collect::<Vec<_>>()
    );
    assert_eq!(
        part.before,
        [
            LinesBefore {
                step: 0,
                attempt: 1,
                lines: 300,
                open: false
            },
            LinesBefore {
                step: 1,
                attempt: 1,
                lines: 72,
                open: false
            },
        ]
    );
}

#[tokio::test]
async fn part_before_part_until_the_start() {
    let (_panel, viewer, run) = printed().await;
    let mut part = tail(&viewer, run, "").await;
    let mut all = part.chunks.clone();
    while let Some(first) = all.first().filter(|first| first.id > 1) {
        part = tail(&viewer, run, &format!("?before={}", first.id)).await;
        assert!(part.chunks.len() <= 128);
        all = [part.chunks, all].concat();
    }
    assert_eq!(ids(&all), (1..=FIRST + SECOND).collect::<Vec<_>>());
    assert!(part.before.is_empty());
    assert_eq!(tail(&viewer, run, "?before=1").await, OutputTail::default());
}

#[tokio::test]
async fn a_link_to_a_step_or_a_line_finds_it() {
    let (_panel, viewer, run) = printed().await;
    let of_step = tail(&viewer, run, "?step=0").await;
    assert_eq!(of_step.chunks[0].id, FIRST - 128 + 1);
    assert_eq!(lines_before(&of_step, 0), 172);

    let of_line = tail(&viewer, run, "?step=0&line=20").await;
    assert_eq!(of_line.chunks[0].id, 4);
    assert_eq!(lines_before(&of_line, 0), 3);
    assert!(
        of_line
            .chunks
            .iter()
            .any(|c| c.text.starts_with("step 0 line 20 "))
    );
    // Bounded, though everything after the line follows.
    let bytes: usize = of_line.chunks.iter().map(|chunk| chunk.text.len()).sum();
    assert!(bytes <= 256 * 1024);

    // No such line (yet): the last part.
    let last = tail(&viewer, run, "").await;
    assert_eq!(tail(&viewer, run, "?step=0&line=301").await, last);
    assert_eq!(tail(&viewer, run, "?step=7").await, last);
}

/// Lines are counted when they are stored: what is long before the part is not read again.
#[tokio::test]
async fn nobody_reads_it_all_for_the_end_of_it() {
    let (panel, viewer, run) = printed().await;
    let questions = ["", "?before=400", "?step=0&line=290", "?step=1&line=150"];
    let mut whole = Vec::new();
    for question in questions {
        whole.push(tail(&viewer, run, question).await);
    }
    let mut tx = panel.app.db.write().await.unwrap();
    sqlx::raw_sql("DROP TRIGGER step_output_no_update; UPDATE step_output SET bytes = x'0a0a0a' WHERE id <= 128")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    for (question, whole) in questions.into_iter().zip(whole) {
        assert_eq!(tail(&viewer, run, question).await, whole, "{question}");
    }
}

#[tokio::test]
async fn the_stream_goes_on_behind_it() {
    let (panel, viewer, run) = printed().await;
    let part = tail(&viewer, run, "?step=0&line=20").await;
    let last = part.chunks.last().unwrap().id;
    let mut reader = open_after(&viewer, run, last).await;
    let mut seen = Vec::new();
    while seen.last() != Some(&(FIRST + SECOND)) {
        let event = reader.next().await.unwrap();
        if event.name == "output" {
            let chunk: OutputChunk = serde_json::from_str(&event.data).unwrap();
            seen.push(chunk.id);
        }
    }
    assert_eq!(seen, (last + 1..=FIRST + SECOND).collect::<Vec<_>>());
    // From another time of the database.
    let mut reader = open_after(&viewer, run, 9_999).await;
    let first = loop {
        let event = reader.next().await.unwrap();
        if event.name == "output" {
            break serde_json::from_str::<OutputChunk>(&event.data).unwrap();
        }
    };
    assert_eq!(first.id, 1);
    drop(panel);
}

#[tokio::test]
async fn nothing_printed_and_bad_questions() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    let viewer = panel.role(Role::Viewer).await;
    assert_eq!(tail(&viewer, run, "").await, OutputTail::default());
    assert_eq!(
        tail(&viewer, run, "?step=0&line=1").await,
        OutputTail::default()
    );
    let line_of_nothing = viewer.get(&format!("/runs/{run}/tail?line=3")).await;
    assert_eq!(line_of_nothing.refused(422).field.as_deref(), Some("step"));
    for bad in ["?step=-1", "?before=x", "?lines=3"] {
        let refused = viewer.get(&format!("/runs/{run}/tail{bad}")).await;
        assert_eq!(refused.refused(422).code, "invalid_query", "{bad}");
    }
    viewer.get("/runs/99/tail").await.refused(404);
}
