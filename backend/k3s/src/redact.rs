//! Masking of secrets in output before anything is stored, hashed or sent: exact values the vault knows,
//! and texts that are secret by their shape (design, security).
//!
//! [`Redactor`] works on a stream. It cuts the stream into *frames*: whole lines, and more than one line
//! only where a secret may cross the line end (an open private key, a known secret with line breaks, a
//! flag whose value stands on the next line). Where a frame ends depends on the bytes alone, never on how
//! they arrived, and nothing of a frame is given out before its end; so no split of the input can leak a
//! part of a secret, and a fresh redactor started at a frame's end continues exactly as the old one would.

mod exact;
mod patterns;

use std::sync::Arc;

use exact::Exact;
use patterns::KeyBegin;

pub use exact::MIN_SECRET;

/// What stands in a secret's place.
pub const MASK: &str = "‹redacted›";

/// An unfinished line, or an open private key, is held back up to this many bytes.
const MAX_HELD: usize = 64 * 1024;

/// A longer line is cut at a space or comma that has at least this much text after it, so that a secret
/// beginning near the cut is seen.
const LOOK_AHEAD: usize = 4 * 1024;

/// Masks a whole text by shape alone.
#[must_use]
pub fn redact_text(text: &str) -> String {
    String::from_utf8_lossy(&Redactor::new(Vec::new()).redact_all(text.as_bytes())).into_owned()
}

/// What a redactor gives out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Redacted bytes, safe to store and send.
    pub safe: Vec<u8>,
    /// How many raw bytes since the start `safe` and everything before it stand for. Nothing before this
    /// offset is held back: a fresh redactor may continue here.
    pub raw_to: u64,
}

/// Exact values to look for, made ready once for many redactors. Clones share them.
#[derive(Clone)]
pub struct Needles(Arc<Exact>);

impl Needles {
    /// These values, also in base64 and JSON-escaped. Values under [`MIN_SECRET`] bytes are ignored: masking
    /// them would only reveal where they occur.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Needles(Arc::new(Exact::new(secrets)))
    }

    /// Both are the same preparation, not only the same values.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Masks secrets in a stream.
pub struct Redactor {
    exact: Needles,
    /// Bytes of the frame not yet finished.
    held: Vec<u8>,
    /// Up to here `held` is known to contain no frame end.
    scanned: usize,
    /// Where in the frame a private key begins that has not ended by `scanned`.
    open_key: Option<usize>,
    /// Raw offset of the first held byte.
    raw_to: u64,
    /// Bytes of an endless line that were dropped; they go on until the next line end.
    dropping: Option<u64>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("held", &self.held.len())
            .field("raw_to", &self.raw_to)
            .finish_non_exhaustive()
    }
}

impl Redactor {
    /// A redactor that knows these exact values besides everything that is secret by shape; for many
    /// redactors with the same values see [`Redactor::with`].
    #[must_use]
    pub fn new(exact_secrets: Vec<Vec<u8>>) -> Self {
        Self::with(&Needles::new(exact_secrets.iter().map(Vec::as_slice)))
    }

    /// The same with values that were made ready before.
    #[must_use]
    pub fn with(needles: &Needles) -> Self {
        Redactor {
            exact: needles.clone(),
            held: Vec::new(),
            scanned: 0,
            open_key: None,
            raw_to: 0,
            dropping: None,
        }
    }

    /// Takes the next raw bytes, gives out what is safe by now.
    pub fn push(&mut self, bytes: &[u8]) -> Released {
        self.held.extend_from_slice(bytes);
        let mut safe = Vec::new();
        let mut start = 0;
        loop {
            if let Some(dropped) = self.dropping {
                let rest = &self.held[start..];
                let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                    self.dropping = Some(dropped + rest.len() as u64);
                    start = self.held.len();
                    break;
                };
                let dropped = dropped + end as u64;
                safe.extend_from_slice(too_long(dropped).as_bytes());
                safe.push(b'\n');
                start += end + 1;
                self.raw_to += dropped + 1;
                self.dropping = None;
            }
            match self.next_frame(start) {
                Frame::Ends(end) => {
                    let frame = &self.held[start..start + end];
                    mask(frame, self.ranges(frame), &mut safe);
                    start += end;
                    self.raw_to += end as u64;
                    self.scanned = 0;
                    self.open_key = None;
                }
                Frame::Endless => {
                    // With the line goes what stands before it in the frame: it was not safe by itself.
                    self.dropping = Some(self.scanned as u64);
                    start += self.scanned;
                    self.scanned = 0;
                    self.open_key = None;
                }
                Frame::Open => break,
            }
        }
        self.held.drain(..start);
        Released {
            safe,
            raw_to: self.raw_to,
        }
    }

    /// The stream has ended: gives out the rest.
    #[must_use]
    pub fn finish(mut self) -> Released {
        let mut safe = Vec::new();
        if let Some(dropped) = self.dropping {
            let dropped = dropped + self.held.len() as u64;
            safe.extend_from_slice(too_long(dropped).as_bytes());
            self.raw_to += dropped;
        } else {
            let end = self.held.len();
            // The stream may have been cut inside a known secret.
            let tail = self.exact.0.open_tail(&self.held);
            let mut ranges = self.ranges(&self.held);
            if tail >= MIN_SECRET {
                ranges.push(end - tail..end);
            }
            mask(&self.held, ranges, &mut safe);
            self.raw_to += end as u64;
        }
        Released {
            safe,
            raw_to: self.raw_to,
        }
    }

    /// Raw offset up to which everything was given out: see [`Released::raw_to`].
    #[must_use]
    pub fn consumed_raw(&self) -> u64 {
        self.raw_to
    }

    /// Masks a text that is all there.
    #[must_use]
    pub fn redact_all(mut self, bytes: &[u8]) -> Vec<u8> {
        let mut safe = self.push(bytes).safe;
        safe.extend(self.finish().safe);
        safe
    }

    /// Finds where the frame that begins at `start` ends. Depends on the bytes of the frame only.
    fn next_frame(&mut self, start: usize) -> Frame {
        loop {
            let held = &self.held[start..];
            let line = &held[self.scanned..];
            let line = &line[..line.len().min(MAX_HELD)];
            let Some(line_end) = line.iter().position(|b| *b == b'\n') else {
                return self.unfinished_line(held);
            };
            let end = self.scanned + line_end + 1;
            // Only this line: what was before it in the frame was looked at when it came.
            let line = &held[self.scanned..end];
            self.open_key = patterns::open_private_key(line, self.open_key.is_some()).map(
                |begin| match begin {
                    KeyBegin::Before => self.open_key.unwrap_or(0),
                    KeyBegin::At(at) => self.scanned + at,
                },
            );
            let goes_on = match self.open_key {
                // Over the limit it is no key; the block is masked all the same.
                Some(begin) => end - begin <= MAX_HELD,
                None => {
                    end <= 2 * MAX_HELD
                        && (patterns::open_flag(line) || self.exact.0.open_line(&held[..end]))
                }
            };
            if !goes_on {
                return Frame::Ends(end);
            }
            self.scanned = end;
        }
    }

    /// No line end within [`MAX_HELD`] bytes: cut at a safe place, or give up on the line.
    fn unfinished_line(&self, held: &[u8]) -> Frame {
        let window_end = self.scanned + MAX_HELD;
        if held.len() < window_end {
            return Frame::Open;
        }
        let window = &held[..window_end];
        let ranges = self.ranges(window);
        let earliest = self.scanned + MAX_HELD / 2;
        let cut = (earliest..window_end - LOOK_AHEAD).rev().find(|at| {
            let after = at + 1;
            matches!(window[*at], b' ' | b',')
                // An open private key is one of the ranges.
                && !ranges.iter().any(|r| r.start <= after && *at <= r.end)
                && self.exact.0.open_tail(&window[..after]) == 0
        });
        match cut {
            Some(at) => Frame::Ends(at + 1),
            None => Frame::Endless,
        }
    }

    fn ranges(&self, frame: &[u8]) -> Vec<std::ops::Range<usize>> {
        let mut ranges = patterns::ranges(frame);
        ranges.extend(self.exact.0.ranges(frame));
        ranges
    }
}

enum Frame {
    /// The frame is `held[..n]`.
    Ends(usize),
    /// More bytes are needed.
    Open,
    /// A line without an end and without a safe place to cut.
    Endless,
}

fn too_long(bytes: u64) -> String {
    format!("‹{bytes} bytes without a break withheld›")
}

/// Copies `frame` with every range, merged where they touch, replaced by [`MASK`]. Line ends at the end
/// of a masked range stay, so that lines stay lines.
fn mask(frame: &[u8], mut ranges: Vec<std::ops::Range<usize>>, out: &mut Vec<u8>) {
    ranges.retain(|r| !r.is_empty());
    ranges.sort_by_key(|r| (r.start, r.end));
    let mut at = 0;
    let mut ranges = ranges.into_iter().peekable();
    while let Some(mut range) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start <= range.end) {
            range.end = range.end.max(next.end);
        }
        out.extend_from_slice(&frame[at..range.start]);
        out.extend_from_slice(MASK.as_bytes());
        at = range.end;
        if frame[..at].ends_with(b"\n") {
            out.push(b'\n');
        }
    }
    out.extend_from_slice(&frame[at..]);
}

#[cfg(test)]
mod tests;
