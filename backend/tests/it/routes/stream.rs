//! Server-sent events: complete, in order, once, also over reconnects.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::response::Response;
use coxswain_engine::store::Store;
use coxswain_wire::{OutputChunk, Overview, Role, RunId, RunStatus, RunView};
use futures::StreamExt;
use serde_json::json;

use crate::support::{Client, Panel, approve, reaches, waiting_run};

/// A client's end of a stream.
pub(super) struct Reader {
    body: BodyDataStream,
    text: String,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) name: String,
    id: String,
    pub(super) data: String,
}

impl Reader {
    fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event; none when the stream ends.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|l| l.strip_prefix(name))
                        .map(|v| v.trim_start().to_owned())
                        .unwrap_or_default()
                };
                if block.starts_with(':') {
                    continue;
                }
                return Some(Event {
                    name: field("event:"),
                    id: field("id:"),
                    data: field("data:"),
                });
            }
            let bytes = tokio::time::timeout(Duration::from_secs(20), self.body.next())
                .await
                .expect("an event in time")?;
            self.text
                .push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        }
    }
}

async fn open(client: &Client, run: RunId, after: Option<&str>) -> Reader {
    let client = match after {
        Some(id) => client.clone().with("last-event-id", id),
        None => client.clone(),
    };
    Reader::new(client.stream(&format!("/runs/{run}/stream")).await)
}

/// The stream of a reader that has the output up to a chunk.
pub(super) async fn open_after(client: &Client, run: RunId, chunk: u64) -> Reader {
    Reader::new(
        client
            .stream(&format!("/runs/{run}/stream?after={chunk}"))
            .await,
    )
}

#[tokio::test]
async fn a_run_live_from_gate_to_end() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "hello\n").await;
    let viewer = panel.role(Role::Viewer).await;
    let mut reader = open(&viewer, run, None).await;
    let first = reader.next().await.unwrap();
    assert_eq!(first.name, "run");
    let view: RunView = serde_json::from_str(&first.data).unwrap();
    assert_eq!(view.summary.status, RunStatus::Waiting);
    assert_eq!(first.id, format!("{}-0", view.seq));

    approve(&panel, run).await;
    let (mut output, mut seq) = (String::new(), view.seq);
    loop {
        let event = reader.next().await.unwrap();
        match event.name.as_str() {
            "run" => {
                let view: RunView = serde_json::from_str(&event.data).unwrap();
                assert!(view.seq > seq, "no state is sent twice");
                seq = view.seq;
                if view.summary.status == RunStatus::Completed {
                    break;
                }
            }
            _ => output.push_str(
                &serde_json::from_str::<OutputChunk>(&event.data)
                    .unwrap()
                    .text,
            ),
        }
    }
    assert_eq!(output, "hello\n");
}

/// Whoever leaves at the end has seen everything, however much was printed.
#[tokio::test]
async fn the_end_comes_after_all_output() {
    const CHUNKS: u64 = 150;
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "last\n").await;
    let output = panel.app.runs.output(run, 1, 1).await.unwrap();
    let mut from = 0;
    for n in 0..CHUNKS {
        let line = format!("line {n}\n");
        output.append(from, line.as_bytes()).await.unwrap();
        from += line.len() as u64;
    }
    output.finish().await.unwrap();
    approve(&panel, run).await;
    reaches(&panel, run, RunStatus::Completed).await;
    let viewer = panel.role(Role::Viewer).await;
    let mut reader = open(&viewer, run, None).await;
    let mut seen = String::new();
    let end = loop {
        let event = reader.next().await.unwrap();
        if event.name == "run" {
            break event;
        }
        seen.push_str(
            &serde_json::from_str::<OutputChunk>(&event.data)
                .unwrap()
                .text,
        );
    };
    assert!(
        seen.starts_with("line 0\n") && seen.ends_with("line 149\nlast\n"),
        "{} bytes",
        seen.len()
    );
    // A reader that was cut off before the end gets the rest, and the end once.
    let last: u64 = end.id.split_once('-').unwrap().1.parse().unwrap();
    let mut again = open(&viewer, run, Some(&format!("-{}", last - 1))).await;
    assert_eq!(again.next().await.unwrap().name, "output");
    assert_eq!(again.next().await.unwrap().id, end.id);
}

/// Lines are printed while a reader loses its connection again and again at odd moments.
#[tokio::test(flavor = "multi_thread")]
async fn reconnects_lose_and_double_nothing() {
    const LINES: u64 = 400;
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    let viewer = panel.role(Role::Viewer).await;
    let output = panel.app.runs.output(run, 0, 1).await.unwrap();
    let printer = tokio::spawn(async move {
        let mut from = 0;
        for n in 0..LINES {
            let line = format!("line {n}\n");
            output.append(from, line.as_bytes()).await.unwrap();
            from += line.len() as u64;
        }
        output.finish().await.unwrap();
    });
    let (mut seen, mut last, mut connections) = (String::new(), None::<String>, 0);
    let expected: String = (0..LINES).map(|n| format!("line {n}\n")).collect();
    while seen.len() < expected.len() {
        connections += 1;
        let mut reader = open(&viewer, run, last.as_deref()).await;
        // The connection breaks after a number of events that is never the same.
        for _ in 0..(connections * 7) % 23 + 1 {
            if seen.len() >= expected.len() {
                break;
            }
            let event = reader.next().await.unwrap();
            if event.name == "output" {
                seen.push_str(
                    &serde_json::from_str::<OutputChunk>(&event.data)
                        .unwrap()
                        .text,
                );
            } else {
                assert!(
                    last.is_none(),
                    "the state has not changed since the first connection"
                );
            }
            last = Some(event.id);
        }
    }
    printer.await.unwrap();
    assert_eq!(seen, expected);
    assert!(connections > 5, "{connections}");
}

#[tokio::test]
async fn the_overview_follows_runs_and_inventory() {
    let panel = Panel::new().await;
    let viewer = panel.role(Role::Viewer).await;
    let mut reader = Reader::new(viewer.stream("/stream").await);
    let mut next = async || {
        let event = reader.next().await.unwrap();
        assert_eq!(event.name, "overview");
        serde_json::from_str::<Overview>(&event.data).unwrap()
    };
    let empty = next().await;
    assert!(empty.clusters.is_empty() && empty.runs.is_empty());
    let host = crate::support::host(&panel, 1).await;
    let body = json!({"name": "prod", "members": [{"host": host.id, "role": "server"}]});
    panel.admin().await.post("/clusters", body).await;
    while next().await.clusters.is_empty() {}
    let run = waiting_run(&panel, "x").await;
    while next().await.runs.first().map(|r| r.status) != Some(RunStatus::Waiting) {}
    approve(&panel, run).await;
    while next().await.runs[0].status != RunStatus::Completed {}
}

#[tokio::test]
async fn a_stream_ends_with_the_panel() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    let viewer = panel.role(Role::Viewer).await;
    let mut of_run = open(&viewer, run, None).await;
    let mut overview = Reader::new(viewer.stream("/stream").await);
    of_run.next().await.unwrap();
    overview.next().await.unwrap();
    panel.stop.send_replace(true);
    assert!(of_run.next().await.is_none());
    assert!(overview.next().await.is_none());
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    let viewer = panel.fresh(Role::Viewer).await;
    let mut reader = open(&viewer, run, None).await;
    reader.next().await.unwrap();
    viewer.delete("/session").await;
    approve(&panel, run).await;
    reaches(&panel, run, RunStatus::Completed).await;
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn there_is_a_bound() {
    let panel = Panel::new().await;
    let viewer = panel.role(Role::Viewer).await;
    let mut open = Vec::new();
    let busy = loop {
        let response = viewer.stream("/stream").await;
        if response.status() != 200 {
            break response;
        }
        open.push(response);
        assert!(open.len() <= 1000);
    };
    assert_eq!((busy.status().as_u16(), open.len()), (429, 32));
    // Nobody else is kept out.
    let other = panel.role(Role::Operator).await.stream("/stream").await;
    assert_eq!(other.status(), 200);
    drop(open);
    assert_eq!(viewer.stream("/stream").await.status(), 200);
}

/// The browser knows more than the store: the database was put back from a backup.
#[tokio::test]
async fn a_cursor_from_another_time_starts_over() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    let viewer = panel.role(Role::Viewer).await;
    let mut reader = open(&viewer, run, Some("999-999")).await;
    let event = reader.next().await.unwrap();
    assert_eq!(event.name, "run");
    assert!(event.id.ends_with("-0"), "{}", event.id);
}
