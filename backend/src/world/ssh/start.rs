//! Where a command's own output begins: the login shell's start-up files (`~/.bashrc`) may have said something before.

/// What the loader says first, on standard output and on standard error.
pub(super) const MARK: &str = "coxswain-starts";
/// Most that start-up files may say.
pub(super) const NOISE: usize = 64 * 1024;

/// Takes off what stands before the mark, and the mark. Without one nothing was run: what was said is the reason.
pub(super) fn own(said: &mut Vec<u8>) {
    let mark = format!("{MARK}\n");
    let within = said.len().min(NOISE + mark.len());
    let place = said[..within]
        .windows(mark.len())
        .position(|part| part == mark.as_bytes());
    if let Some(place) = place {
        said.drain(..place + mark.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(said: &str) -> String {
        let mut said = said.as_bytes().to_vec();
        own(&mut said);
        String::from_utf8(said).unwrap()
    }

    #[test]
    fn only_the_first_mark_counts_wherever_it_stands() {
        assert_eq!(of("coxswain-starts\nout\n"), "out\n");
        assert_eq!(of("Welcome!\ncoxswain-starts\nout"), "out");
        assert_eq!(of("Welcome! coxswain-starts\n"), "");
        assert_eq!(
            of("coxswain-starts\na\ncoxswain-starts\nb"),
            "a\ncoxswain-starts\nb"
        );
    }

    #[test]
    fn without_a_mark_everything_is_kept() {
        assert_eq!(
            of("sudo: a password is required\n"),
            "sudo: a password is required\n"
        );
        assert_eq!(of("coxswain-starts"), "coxswain-starts");
        assert_eq!(of(""), "");
    }
}
