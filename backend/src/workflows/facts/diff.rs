//! What a gate shows of a file that will change.

/// Changed lines with two around them: the lines before the first and behind the last difference are
/// the same.
pub(in crate::workflows) fn diff(before: &str, after: &str) -> String {
    const AROUND: usize = 2;
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same;
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(rest)
        .take_while(|(a, b)| a == b)
        .count();
    let from = same.saturating_sub(AROUND);
    let to = (old.len() - tail + AROUND).min(old.len());
    let lines = |sign: char, lines: &[&str]| -> String {
        lines.iter().map(|line| format!("{sign}{line}\n")).collect()
    };
    [
        lines(' ', &old[from..same]),
        lines('-', &old[same..old.len() - tail]),
        lines('+', &new[same..new.len() - tail]),
        lines(' ', &old[old.len() - tail..to]),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn shows_what_changes_with_two_lines_around() {
        assert_eq!(
            diff("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nx\nd\ne\nf\n"),
            " b\n c\n+x\n d\n e\n"
        );
        assert_eq!(diff("a\nb\n", "a\n"), " a\n-b\n");
        assert_eq!(diff("", "a\n"), "+a\n");
    }
}
