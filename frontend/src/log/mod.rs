//! Output of a run as numbered lines. Pure: no page, no clock.
//!
//! Chunks come in the order of their numbers and may end in the middle of a line. Lines are counted per
//! step over all its attempts, from 1, so that a link to a line stays right when more comes.

mod ansi;
mod layout;

use std::collections::VecDeque;

use coxswain_wire::{OutputChunk, StepIndex, Timestamp};

pub(crate) use layout::Layout;

use ansi::Stripper;

/// Rows kept; the oldest go first. The download has everything.
const MAX_ROWS: usize = 200_000;
/// Characters kept of one line.
const MAX_LINE: usize = 4_000;

/// Steps a plan can have.
const MAX_STEPS: usize = 100_000;

fn at(step: StepIndex) -> usize {
    usize::try_from(step).unwrap_or(usize::MAX)
}

/// One row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The step that printed it.
    pub(crate) step: StepIndex,
    /// When its first part was stored.
    pub(crate) at: Timestamp,
    pub(crate) kind: RowKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowKind {
    /// A line with its number in the step.
    Line { number: u32, text: String },
    /// Another attempt begins here.
    Attempt(u32),
}

/// Position of a row over the whole run; does not change when old rows go.
pub(crate) type RowId = u64;

#[derive(Debug, Default)]
struct StepLog {
    rows: VecDeque<RowId>,
    lines: u32,
    attempt: u32,
    /// The row that goes on with the next chunk.
    open: Option<RowId>,
    /// A carriage return came last: a line feed ends the line, anything else overwrites it.
    returned: bool,
    stripper: Stripper,
}

/// Byte position of the first `needle` in `text`, ASCII letters of either case.
pub(crate) fn find(text: &str, needle: &str) -> Option<usize> {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    // UTF-8: a match of whole characters can only begin at a character.
    text.windows(needle.len().max(1))
        .position(|part| part.eq_ignore_ascii_case(needle))
}

/// All output seen so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    rows: VecDeque<Row>,
    /// Id of the first row that is kept.
    first: RowId,
    /// By index.
    steps: Vec<StepLog>,
    last_chunk: Option<u64>,
}

impl Log {
    /// Takes a chunk; false if it was known already.
    pub(crate) fn push(&mut self, chunk: &OutputChunk) -> bool {
        if self.last_chunk.is_some_and(|last| chunk.id <= last) {
            return false;
        }
        self.last_chunk = Some(chunk.id);
        let at = at(chunk.step);
        if at >= MAX_STEPS {
            return false;
        }
        while self.steps.len() <= at {
            self.steps.push(StepLog::default());
        }
        let mut step = std::mem::take(&mut self.steps[at]);
        if step.attempt != chunk.attempt {
            step.open = None;
            step.returned = false;
            step.stripper = Stripper::default();
            // The first attempt needs no heading.
            if chunk.attempt > 1 {
                self.add(&mut step, chunk, RowKind::Attempt(chunk.attempt));
            }
            step.attempt = chunk.attempt;
        }
        self.write(&mut step, chunk);
        self.steps[at] = step;
        self.forget_old();
        true
    }

    fn write(&mut self, step: &mut StepLog, chunk: &OutputChunk) {
        let mut plain = String::with_capacity(chunk.text.len());
        step.stripper.strip(&chunk.text, &mut plain);
        for c in plain.chars() {
            match c {
                '\n' => {
                    if step.open.is_none() {
                        self.start_line(step, chunk);
                    }
                    step.open = None;
                    step.returned = false;
                }
                '\r' => step.returned = true,
                c => {
                    let overwrite = std::mem::take(&mut step.returned);
                    let id = match step.open {
                        Some(id) => id,
                        None => self.start_line(step, chunk),
                    };
                    self.put(id, c, overwrite);
                }
            }
        }
    }

    fn put(&mut self, id: RowId, c: char, overwrite: bool) {
        let Some(row) = id
            .checked_sub(self.first)
            .and_then(|i| self.rows.get_mut(usize::try_from(i).ok()?))
        else {
            return;
        };
        if let RowKind::Line { text, .. } = &mut row.kind {
            if overwrite {
                text.clear();
            }
            match c {
                '\t' => text.push_str("    "),
                c if text.len() < MAX_LINE => text.push(c),
                _ => {}
            }
        }
    }

    fn start_line(&mut self, step: &mut StepLog, chunk: &OutputChunk) -> RowId {
        step.lines += 1;
        let id = self.add(
            step,
            chunk,
            RowKind::Line {
                number: step.lines,
                text: String::new(),
            },
        );
        step.open = Some(id);
        id
    }

    fn add(&mut self, step: &mut StepLog, chunk: &OutputChunk, kind: RowKind) -> RowId {
        let id = self.end();
        self.rows.push_back(Row {
            step: chunk.step,
            at: chunk.at,
            kind,
        });
        step.rows.push_back(id);
        id
    }

    fn forget_old(&mut self) {
        while self.rows.len() > MAX_ROWS {
            let Some(row) = self.rows.pop_front() else {
                return;
            };
            self.first += 1;
            if let Some(step) = self.steps.get_mut(at(row.step)) {
                step.rows.pop_front();
            }
        }
    }

    /// Id that the next row will have.
    pub(crate) fn end(&self) -> RowId {
        self.first + self.rows.len() as u64
    }

    /// True if the beginning is no longer kept here.
    pub(crate) fn is_cut(&self) -> bool {
        self.first > 0
    }

    /// Number of rows of a step, or of all.
    pub(crate) fn len(&self, step: Option<StepIndex>) -> usize {
        match step {
            Some(step) => self.steps.get(at(step)).map_or(0, |s| s.rows.len()),
            None => self.rows.len(),
        }
    }

    /// Number of rows of a step, or of all, from an id on.
    pub(crate) fn since(&self, step: Option<StepIndex>, id: RowId) -> usize {
        match step {
            Some(step) => self.steps.get(at(step)).map_or(0, |s| {
                s.rows.len() - s.rows.partition_point(|&row| row < id)
            }),
            None => {
                usize::try_from(self.end().saturating_sub(id.max(self.first))).unwrap_or(usize::MAX)
            }
        }
    }

    /// The row at a position among those of a step, or of all.
    pub(crate) fn row(&self, step: Option<StepIndex>, position: usize) -> Option<(RowId, &Row)> {
        let id = match step {
            Some(step) => *self.steps.get(at(step))?.rows.get(position)?,
            None => self.first + position as u64,
        };
        let row = self
            .rows
            .get(usize::try_from(id.checked_sub(self.first)?).ok()?)?;
        Some((id, row))
    }

    /// Position of a numbered line among the rows of its step.
    pub(crate) fn position(&self, step: StepIndex, number: u32) -> Option<usize> {
        (0..self.len(Some(step))).find(|&i| {
            self.row(Some(step), i).is_some_and(
                |(_, row)| matches!(row.kind, RowKind::Line { number: n, .. } if n == number),
            )
        })
    }

    /// Positions whose text holds `needle`, letters of either case; at most `max`.
    pub(crate) fn search(&self, step: Option<StepIndex>, needle: &str, max: usize) -> Vec<usize> {
        if needle.is_empty() {
            return Vec::new();
        }
        (0..self.len(step))
            .filter(|&i| match self.row(step, i) {
                Some((
                    _,
                    Row {
                        kind: RowKind::Line { text, .. },
                        ..
                    },
                )) => find(text, needle).is_some(),
                Some((
                    _,
                    Row {
                        kind: RowKind::Attempt(_),
                        ..
                    },
                ))
                | None => false,
            })
            .take(max)
            .collect()
    }

    /// All kept text of a step, or of all.
    pub(crate) fn text(&self, step: Option<StepIndex>) -> String {
        let mut all = String::new();
        for i in 0..self.len(step) {
            if let Some((
                _,
                Row {
                    kind: RowKind::Line { text, .. },
                    ..
                },
            )) = self.row(step, i)
            {
                all.push_str(text);
                all.push('\n');
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
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
        log.push(&chunk(1, 0, 1, "hel"));
        log.push(&chunk(2, 1, 1, "other\n"));
        log.push(&chunk(3, 0, 1, "lo\r\nworld"));
        assert_eq!(lines(&log, Some(0)), ["hello", "world"]);
        assert_eq!(lines(&log, None), ["hello", "other", "world"]);
    }

    #[test]
    fn a_known_chunk_is_dropped() {
        let mut log = Log::default();
        assert!(log.push(&chunk(7, 0, 1, "a\n")));
        assert!(!log.push(&chunk(7, 0, 1, "a\n")));
        assert!(!log.push(&chunk(6, 0, 1, "b\n")));
        assert_eq!(lines(&log, None), ["a"]);
    }

    #[test]
    fn attempts_are_parted_and_numbers_go_on() {
        let mut log = Log::default();
        log.push(&chunk(1, 0, 1, "one\nhalf"));
        log.push(&chunk(2, 0, 2, "two\n"));
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
        log.push(&chunk(1, 0, 1, "10%\r20%\r"));
        log.push(&chunk(2, 0, 1, "30%\r\ndone\n"));
        assert_eq!(lines(&log, None), ["30%", "done"]);
    }

    #[test]
    fn empty_lines_count() {
        let mut log = Log::default();
        log.push(&chunk(1, 0, 1, "a\n\nb\n"));
        assert_eq!(log.position(0, 3), Some(2));
    }

    #[test]
    fn old_rows_go_and_numbers_stay() {
        let mut log = Log::default();
        log.push(&chunk(1, 0, 1, &"x\n".repeat(MAX_ROWS + 10)));
        assert_eq!(log.len(None), MAX_ROWS);
        assert!(log.is_cut());
        assert!(matches!(
            log.row(Some(0), 0),
            Some((
                10,
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
        log.push(&chunk(1, 0, 1, "a\nb\n"));
        let seen = log.end();
        log.push(&chunk(2, 1, 1, "c\n"));
        log.push(&chunk(3, 0, 1, "d\ne\n"));
        let new = [None, Some(0), Some(1), Some(2)].map(|step| log.since(step, seen));
        assert_eq!(new, [3, 2, 1, 0]);
    }

    #[test]
    fn search_finds_either_case() {
        let mut log = Log::default();
        log.push(&chunk(1, 0, 1, "Error: x\nfine\nan error\n"));
        assert_eq!(log.search(None, "ERROR", 10), [0, 2]);
    }
}
