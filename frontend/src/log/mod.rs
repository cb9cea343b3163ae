//! Output of a run as numbered lines. Pure: no page, no clock.
//!
//! Chunks come in the order of their numbers and may end in the middle of a line. Lines are counted per
//! step over all its attempts, from 1, so that a link to a line stays right when more comes. A log may begin in the
//! middle of the output; what is before is put in front on demand.

mod layout;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use coxswain_wire::{LinesBefore, OutputChunk, OutputTail, StepIndex, Stripper, Timestamp};

pub(crate) use layout::Layout;

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

/// Position of a row over the whole run; does not change when old rows go or earlier ones come.
pub(crate) type RowId = u64;

/// Of the first row of a log: there is room for what is before.
const FIRST_ROW: RowId = 1 << 40;

#[derive(Debug, Default)]
struct StepLog {
    rows: VecDeque<RowId>,
    lines: u32,
    attempt: u32,
    /// The row that goes on with the next chunk.
    open: Option<RowId>,
    /// The line that goes on with the next chunk began before this log.
    cut: bool,
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
#[derive(Debug)]
pub(crate) struct Log {
    rows: VecDeque<Row>,
    /// Id of the first row that is kept.
    first: RowId,
    /// By index.
    steps: Vec<StepLog>,
    /// Latest chunk, 0 before the first.
    last: u64,
    /// What was printed before the first chunk.
    before: Vec<LinesBefore>,
    /// What the rows are made of, so that earlier output can be put in front; given up when old rows go.
    chunks: Vec<OutputChunk>,
    /// Old rows went.
    forgot: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            rows: VecDeque::new(),
            first: FIRST_ROW,
            steps: Vec::new(),
            last: 0,
            before: Vec::new(),
            chunks: Vec::new(),
            forgot: false,
        }
    }
}

impl From<OutputTail> for Log {
    fn from(tail: OutputTail) -> Self {
        let mut log = Self::default();
        for before in &tail.before {
            if let Some(step) = log.step(before.step) {
                step.lines = before.lines;
                step.attempt = before.attempt;
                step.cut = before.open;
            }
        }
        log.before = tail.before;
        for chunk in tail.chunks {
            log.push(chunk);
        }
        log
    }
}

impl Log {
    /// What is known of a step; none if no plan can have it.
    fn step(&mut self, step: StepIndex) -> Option<&mut StepLog> {
        let at = at(step);
        if at >= MAX_STEPS {
            return None;
        }
        while self.steps.len() <= at {
            self.steps.push(StepLog::default());
        }
        self.steps.get_mut(at)
    }

    /// Takes a chunk; false if it was known already.
    pub(crate) fn push(&mut self, chunk: OutputChunk) -> bool {
        if chunk.id <= self.last {
            return false;
        }
        self.last = chunk.id;
        let Some(step) = self.step(chunk.step) else {
            return false;
        };
        let step = std::mem::take(step);
        let step = self.write_chunk(step, &chunk);
        self.steps[at(chunk.step)] = step;
        if !self.forgot {
            self.chunks.push(chunk);
        }
        self.forget_old();
        true
    }

    /// Puts what was printed before in front. Rows that were here keep their ids, but for those that now join the
    /// line whose end they were.
    pub(crate) fn prepend(&mut self, tail: OutputTail) {
        let joins = tail
            .chunks
            .last()
            .is_some_and(|last| self.first_chunk() == Some(last.id + 1));
        if !joins || self.forgot {
            return;
        }
        let mut whole = Self::from(tail);
        for chunk in std::mem::take(&mut self.chunks) {
            whole.push(chunk);
        }
        let (from, to) = (whole.end(), self.end());
        whole.first = whole.first + to - from;
        for step in &mut whole.steps {
            for id in step.rows.iter_mut().chain(step.open.as_mut()) {
                *id = *id + to - from;
            }
        }
        *self = whole;
    }

    /// Latest chunk that is here, 0 if there is none.
    pub(crate) fn last_chunk(&self) -> u64 {
        self.last
    }

    /// First chunk that is here.
    pub(crate) fn first_chunk(&self) -> Option<u64> {
        self.chunks.first().map(|chunk| chunk.id)
    }

    /// Lines of a step, or of all, that were printed before this log begins and can be had.
    pub(crate) fn hidden(&self, step: Option<StepIndex>) -> u64 {
        if self.forgot {
            return 0;
        }
        self.before
            .iter()
            .filter(|before| step.is_none_or(|step| step == before.step))
            .map(|before| u64::from(before.lines) - u64::from(before.open && before.lines > 0))
            .sum()
    }

    /// True if a step's line, or any line of the step, is before this log begins.
    pub(crate) fn misses(&self, step: StepIndex, line: Option<u32>) -> bool {
        let hidden = self.hidden(Some(step));
        match line {
            Some(line) => u64::from(line) <= hidden,
            None => hidden > 0 && self.len(Some(step)) == 0,
        }
    }

    fn write_chunk(&mut self, mut step: StepLog, chunk: &OutputChunk) -> StepLog {
        if step.attempt != chunk.attempt {
            step.open = None;
            step.cut = false;
            step.returned = false;
            step.stripper = Stripper::default();
            // The first attempt needs no heading.
            if chunk.attempt > 1 {
                self.add(&mut step, chunk, RowKind::Attempt(chunk.attempt));
            }
            step.attempt = chunk.attempt;
        }
        self.write(&mut step, chunk);
        step
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
        if !std::mem::take(&mut step.cut) {
            step.lines += 1;
        }
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
            if !self.forgot {
                self.forgot = true;
                self.chunks = Vec::new();
            }
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
        self.forgot
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

    /// Position of the row of this id, or of the next, among those of a step, or of all.
    pub(crate) fn position_of(&self, step: Option<StepIndex>, id: RowId) -> usize {
        match step {
            Some(step) => self
                .steps
                .get(at(step))
                .map_or(0, |s| s.rows.partition_point(|&row| row < id)),
            None => usize::try_from(id.saturating_sub(self.first)).unwrap_or(usize::MAX),
        }
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
