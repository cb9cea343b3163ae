//! What of the log is in sight: scrolling, following, and which rows that means.

use coxswain_wire::StepIndex;
use leptos::html;
use leptos::prelude::*;

use super::Run;
use crate::log::{Layout, RowId, RowKind};

/// Height of a visual line; the style sheet says the same.
pub(super) const LINE_PX: i32 = 20;
/// Rows drawn above and below what is in sight.
const SPARE: usize = 12;
/// Rows laid out again each time, since their lines may have grown.
const TAIL: usize = 256;

/// The scrolled box.
#[derive(Clone, Copy)]
pub(super) struct Viewport {
    pub(super) node: NodeRef<html::Div>,
    pub(super) top: RwSignal<i32>,
    pub(super) height: RwSignal<i32>,
    /// Characters that fit beside number, time and host.
    pub(super) columns: RwSignal<usize>,
    pub(super) wrap: RwSignal<bool>,
    /// Stays at the end while output comes.
    pub(super) follow: RwSignal<bool>,
    layout: StoredValue<Layout>,
    laid: StoredValue<Laid>,
}

/// What a layout was made for: step, columns, whether old rows go, first chunk.
type Laid = (Option<StepIndex>, usize, bool, Option<u64>);

/// A row, and how far below its top the box begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    id: RowId,
    below_px: i32,
}

/// Rows in sight.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Where the first one lies.
    pub(super) offset_px: i32,
    /// Height of all.
    pub(super) total_px: i32,
}

impl Viewport {
    pub(super) fn new(wrap: bool, follow: bool) -> Self {
        Self {
            node: NodeRef::new(),
            top: RwSignal::new(0),
            height: RwSignal::new(600),
            columns: RwSignal::new(120),
            wrap: RwSignal::new(wrap),
            follow: RwSignal::new(follow),
            layout: StoredValue::new(Layout::default()),
            laid: StoredValue::new(Laid::default()),
        }
    }

    /// Which rows are in sight now. Tracks everything that moves them.
    pub(super) fn sight(self, run: Run) -> Sight {
        run.log_turn.track();
        let step = run.step.get();
        let (top, height) = (self.top.get().max(0), self.height.get());
        let rows = run.log.with_value(|log| log.len(step));
        if !self.wrap.get() {
            let from = lines(top).saturating_sub(SPARE).min(rows);
            let to = (lines(top + height) + 1 + SPARE).min(rows);
            return Sight {
                from,
                to,
                offset_px: px(from),
                total_px: px(rows),
            };
        }
        self.lay_out(run, step, rows);
        self.layout.with_value(|layout| {
            let from = layout.row_at(line_at(top)).saturating_sub(SPARE).min(rows);
            let to = (layout.row_at(line_at(top + height)) + 1 + SPARE).min(rows);
            Sight {
                from,
                to,
                offset_px: px_of(layout.start(from)),
                total_px: px_of(layout.height()),
            }
        })
    }

    /// Visual lines of a row.
    pub(super) fn row_lines(self, position: usize) -> u32 {
        if self.wrap.get_untracked() {
            self.layout.with_value(|l| l.lines(position))
        } else {
            1
        }
    }

    fn lay_out(self, run: Run, step: Option<StepIndex>, rows: usize) {
        let columns = self.columns.get();
        let (cut, first) = run.log.with_value(|log| (log.is_cut(), log.first_chunk()));
        let laid = (step, columns, cut, first);
        let same = self.laid.get_value() == laid;
        self.laid.set_value(laid);
        self.layout.update_value(|layout| {
            // Once old rows go or earlier ones come, positions shift: then all is laid out again.
            if !same || cut || layout.rows() > rows {
                *layout = Layout::new(columns);
            }
            layout.truncate(layout.rows().saturating_sub(TAIL));
            run.log.with_value(|log| {
                for position in layout.rows()..rows {
                    let characters = match log.row(step, position).map(|(_, row)| &row.kind) {
                        Some(RowKind::Line { text, .. }) => text.chars().count(),
                        Some(RowKind::Attempt(_)) | None => 1,
                    };
                    layout.push(characters);
                }
            });
        });
    }

    fn top_of(self, position: usize) -> i32 {
        if self.wrap.get_untracked() {
            self.layout.with_value(|l| px_of(l.start(position)))
        } else {
            px(position)
        }
    }

    /// Scrolls so that a row stands in the upper third.
    pub(super) fn reveal(self, position: usize) {
        let top = self.top_of(position);
        self.scroll_to((top - self.height.get_untracked() / 3).max(0));
    }

    /// The row that stands at the upper edge now.
    pub(super) fn anchor(self, run: Run) -> Option<Anchor> {
        let top = self.top.get_untracked().max(0);
        let position = if self.wrap.get_untracked() {
            self.layout.with_value(|l| l.row_at(line_at(top)))
        } else {
            lines(top)
        };
        let step = run.step.get_untracked();
        let id = run
            .log
            .with_value(|log| log.row(step, position).map(|(id, _)| id))?;
        Some(Anchor {
            id,
            below_px: top - self.top_of(position),
        })
    }

    /// Scrolls so that a row stands where it stood, however many came before it.
    pub(super) fn hold(self, run: Run, anchor: Anchor) {
        let step = run.step.get_untracked();
        let position = run.log.with_value(|log| log.position_of(step, anchor.id));
        self.scroll_to(self.top_of(position) + anchor.below_px);
    }

    /// Scrolls to the end.
    pub(super) fn to_end(self) {
        if let Some(node) = self.node.get_untracked() {
            self.scroll_to(node.scroll_height());
        }
    }

    fn scroll_to(self, top: i32) {
        if let Some(node) = self.node.get_untracked() {
            node.set_scroll_top(top);
        }
    }

    /// Takes over where the box was scrolled to. Going up stops following, reaching the end starts it.
    pub(super) fn scrolled(self) {
        let Some(node) = self.node.get_untracked() else {
            return;
        };
        let top = node.scroll_top();
        let before = self.top.get_untracked();
        let at_end = top + node.client_height() >= node.scroll_height() - LINE_PX;
        if at_end {
            self.follow.set(true);
        } else if top < before {
            self.follow.set(false);
        }
        self.top.set(top);
    }
}

/// Pixels of so many lines. Boxes end at two thousand million of them in every browser.
fn px_of(lines: u32) -> i32 {
    i32::try_from(lines)
        .unwrap_or(i32::MAX)
        .saturating_mul(LINE_PX)
}

fn px(rows: usize) -> i32 {
    px_of(u32::try_from(rows).unwrap_or(u32::MAX))
}

/// The visual line at so many pixels.
fn line_at(px: i32) -> u32 {
    u32::try_from(px / LINE_PX).unwrap_or(0)
}

fn lines(px: i32) -> usize {
    usize::try_from(px / LINE_PX).unwrap_or(0)
}
