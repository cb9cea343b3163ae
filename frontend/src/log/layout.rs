//! Where rows lie when long lines are broken: every row is a whole number of visual lines high, so only
//! those in sight need to exist.

/// Visual lines before each row, for a given width.
#[derive(Debug)]
pub(crate) struct Layout {
    /// `starts[i]` is the visual line at which row `i` begins; the last entry is the height.
    starts: Vec<u32>,
    columns: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Layout {
    /// An empty layout of so many characters a line.
    pub(crate) fn new(columns: usize) -> Self {
        Self {
            starts: vec![0],
            columns: columns.max(8),
        }
    }

    /// Adds a row of so many characters.
    pub(crate) fn push(&mut self, characters: usize) {
        let lines = u32::try_from(characters.div_ceil(self.columns).max(1)).unwrap_or(1);
        self.starts.push(self.height().saturating_add(lines));
    }

    /// Forgets all rows from a position on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.starts.truncate(rows + 1);
    }

    /// Rows laid out so far.
    pub(crate) fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Height in visual lines.
    pub(crate) fn height(&self) -> u32 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Visual line at which a row begins.
    pub(crate) fn start(&self, row: usize) -> u32 {
        self.starts
            .get(row)
            .copied()
            .unwrap_or_else(|| self.height())
    }

    /// Height of a row.
    pub(crate) fn lines(&self, row: usize) -> u32 {
        self.start(row + 1).saturating_sub(self.start(row)).max(1)
    }

    /// The row at a visual line.
    pub(crate) fn row_at(&self, line: u32) -> usize {
        self.starts
            .partition_point(|&start| start <= line)
            .saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_again() {
        let mut layout = Layout::new(10);
        for characters in [0, 10, 11, 35] {
            layout.push(characters);
        }
        assert_eq!((layout.rows(), layout.height()), (4, 8));
        assert_eq!(
            (layout.start(2), layout.lines(2), layout.lines(3)),
            (2, 2, 4)
        );
        assert_eq!(
            [0, 1, 2, 3, 4, 7].map(|l| layout.row_at(l)),
            [0, 1, 2, 2, 3, 3]
        );
    }
}
