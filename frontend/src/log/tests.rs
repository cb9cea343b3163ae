//! Lines out of chunks that end anywhere, and the log that begins in the middle.

use coxswain_wire::LineCount;

use super::*;

fn chunk(id: u64, step: StepIndex, attempt: u32, text: &str) -> OutputChunk {
    OutputChunk {
        id,
        step,
        attempt,
        at: Timestamp(0),
        text: text.into(),
    }
}

fn lines(log: &Log, step: Option<StepIndex>) -> Vec<String> {
    log.text(step).lines().map(str::to_owned).collect()
}

#[test]
fn parts_of_a_line_join_over_other_steps() {
    let mut log = Log::default();
    log.push(chunk(1, 0, 1, "hel"));
    log.push(chunk(2, 1, 1, "other\n"));
    log.push(chunk(3, 0, 1, "lo\r\nworld"));
    assert_eq!(lines(&log, Some(0)), ["hello", "world"]);
    assert_eq!(lines(&log, None), ["hello", "other", "world"]);
}

#[test]
fn a_known_chunk_is_dropped() {
    let mut log = Log::default();
    assert!(log.push(chunk(7, 0, 1, "a\n")));
    assert!(!log.push(chunk(7, 0, 1, "a\n")));
    assert!(!log.push(chunk(6, 0, 1, "b\n")));
    assert_eq!(lines(&log, None), ["a"]);
}

#[test]
fn attempts_are_parted_and_numbers_go_on() {
    let mut log = Log::default();
    log.push(chunk(1, 0, 1, "one\nhalf"));
    log.push(chunk(2, 0, 2, "two\n"));
    assert_eq!(
        log.row(Some(0), 2).map(|(_, r)| r.kind.clone()),
        Some(RowKind::Attempt(2))
    );
    assert_eq!(log.position(0, 3), Some(3));
    assert_eq!(lines(&log, Some(0)), ["one", "half", "two"]);
}

#[test]
fn a_carriage_return_overwrites() {
    let mut log = Log::default();
    log.push(chunk(1, 0, 1, "10%\r20%\r"));
    log.push(chunk(2, 0, 1, "30%\r\ndone\n"));
    assert_eq!(lines(&log, None), ["30%", "done"]);
}

#[test]
fn empty_lines_count() {
    let mut log = Log::default();
    log.push(chunk(1, 0, 1, "a\n\nb\n"));
    assert_eq!(log.position(0, 3), Some(2));
}

#[test]
fn old_rows_go_and_numbers_stay() {
    let mut log = Log::default();
    log.push(chunk(1, 0, 1, &"x\n".repeat(MAX_ROWS + 10)));
    assert_eq!(log.len(None), MAX_ROWS);
    assert!(log.is_cut());
    assert!(matches!(
        log.row(Some(0), 0),
        Some((
            _,
            Row {
                kind: RowKind::Line { number: 11, .. },
                ..
            }
        ))
    ));
}

#[test]
fn what_came_since_is_counted_by_step() {
    let mut log = Log::default();
    log.push(chunk(1, 0, 1, "a\nb\n"));
    let seen = log.end();
    log.push(chunk(2, 1, 1, "c\n"));
    log.push(chunk(3, 0, 1, "d\ne\n"));
    let new = [None, Some(0), Some(1), Some(2)].map(|step| log.since(step, seen));
    assert_eq!(new, [3, 2, 1, 0]);
}

#[test]
fn search_finds_either_case() {
    let mut log = Log::default();
    log.push(chunk(1, 0, 1, "Error: x\nfine\nan error\n"));
    assert_eq!(log.search(None, "ERROR", 10), [0, 2]);
}

/// What the panel would answer for the chunks from one on, up to another.
fn tail(all: &[OutputChunk], from: usize, to: usize) -> OutputTail {
    let mut counts = vec![LineCount::default(); 3];
    for chunk in &all[..from] {
        counts[at(chunk.step)].take(chunk);
    }
    OutputTail {
        before: (0..)
            .zip(counts)
            .filter(|(_, count)| count.attempt > 0)
            .map(|(step, count)| LinesBefore {
                step,
                attempt: count.attempt,
                lines: count.lines,
                open: count.open,
            })
            .collect(),
        chunks: all[from..to].to_vec(),
    }
}

fn rows(log: &Log) -> Vec<(RowId, Row)> {
    (0..log.len(None))
        .filter_map(|i| log.row(None, i))
        .map(|(id, row)| (id, row.clone()))
        .collect()
}

fn bare(rows: &[(RowId, Row)]) -> Vec<Row> {
    rows.iter().map(|(_, row)| row.clone()).collect()
}

/// Lines cut by chunks, steps side by side, attempts, returns, sequences.
fn mixed() -> Vec<OutputChunk> {
    [
        (0, 1, "one\ntw"),
        (1, 1, "\x1b[1mother\x1b[0"),
        (0, 1, "o\n\n10%\r"),
        (1, 1, "m line\nhalf"),
        (0, 1, "20%\r\nend"),
        (0, 2, "again\n"),
        (1, 1, " of it"),
        (2, 1, "\n"),
        (1, 2, "x\n"),
        (0, 2, "last\nopen"),
    ]
    .into_iter()
    .zip(1..)
    .map(|((step, attempt, text), id)| chunk(id, step, attempt, text))
    .collect()
}

#[test]
fn wherever_it_begins_numbers_are_the_same() {
    let all = mixed();
    let whole = Log::from(tail(&all, 0, all.len()));
    for from in 0..=all.len() {
        let part = Log::from(tail(&all, from, all.len()));
        for step in 0..3 {
            let hidden = usize::try_from(part.hidden(Some(step))).unwrap();
            let number = |log: &Log, i| match log.row(Some(step), i).map(|(_, r)| &r.kind) {
                Some(RowKind::Line { number, .. }) => Some(*number),
                Some(RowKind::Attempt(_)) | None => None,
            };
            let numbers: Vec<u32> = (0..part.len(Some(step)))
                .filter_map(|i| number(&part, i))
                .collect();
            let wanted: Vec<u32> = (0..whole.len(Some(step)))
                .filter_map(|i| number(&whole, i))
                .collect();
            if !numbers.is_empty() {
                assert_eq!(
                    numbers,
                    wanted[wanted.len() - numbers.len()..],
                    "{from}, {step}"
                );
                assert!(hidden <= wanted.len() - numbers.len(), "{from}, {step}");
            }
        }
    }
}

#[test]
fn what_is_put_in_front_makes_it_whole() {
    let all = mixed();
    let whole = Log::from(tail(&all, 0, all.len()));
    for from in 1..all.len() {
        for first in 0..from {
            let mut log = Log::from(tail(&all, from, all.len()));
            let end = log.end();
            log.prepend(tail(&all, first, from));
            if first > 0 {
                log.prepend(tail(&all, 0, first));
            }
            assert_eq!(bare(&rows(&log)), bare(&rows(&whole)), "{first}, {from}");
            assert_eq!(log.end(), end, "ids of the latest rows stay");
            assert_eq!((log.hidden(None), log.first_chunk()), (0, Some(1)));
            // It goes on as if it had begun there.
            assert!(!log.push(all[from].clone()));
            assert!(log.push(chunk(11, 0, 2, " line\n")));
            assert_eq!(lines(&log, Some(0)).last().unwrap(), "open line");
        }
    }
}

#[test]
fn rows_that_were_there_keep_their_ids() {
    let all: Vec<_> = (1..=6)
        .map(|id| chunk(id, 0, 1, &format!("line {id}\n")))
        .collect();
    let mut log = Log::from(tail(&all, 3, 6));
    let before = rows(&log);
    log.prepend(tail(&all, 1, 3));
    assert_eq!(rows(&log)[2..], before[..]);
    assert_eq!(log.position_of(None, before[0].0), 2);
    assert_eq!(log.position_of(Some(0), before[0].0), 2);
    // What does not join is not taken.
    log.prepend(tail(&all, 0, 3));
    assert_eq!(log.len(None), 5);
}

#[test]
fn it_knows_what_is_before_it() {
    let all = mixed();
    let log = Log::from(tail(&all, 7, all.len()));
    assert!(log.misses(0, Some(1)) && !log.misses(0, Some(1_000)));
    assert!(!log.misses(0, None), "its end is here");
    assert!(!log.misses(2, None), "it printed nothing before");
    let late = Log::from(tail(&all, 9, all.len()));
    assert!(late.misses(1, None));
}
