//! How a command travels: one constant text for the remote shell, everything variable over standard input.
//!
//! The remote command line is always the same few plain words around [`LOADER`], which holds no quote, no
//! backslash, no exclamation mark and no line break, so that whatever login shell the user has reads it the same
//! way. It first says that it is there ([`MARK`](super::start::MARK)), on both outputs. Then it takes a header of lines
//! from standard input: the number of arguments, the script, the arguments.
//! POSIX obliges `read` not to read past the line's end on a pipe, so what follows the header is the command's own
//! standard input, byte for byte. A header that breaks off runs nothing (status 125).
//!
//! A header line is `p` and the text as it is, or, when it holds a line break, `e` and the text in the notation of
//! `printf %b`.

use std::fmt::Write as _;

use super::super::{Result, WorldError};

/// Reads the header, then becomes the script with the arguments as positional parameters.
pub(super) const LOADER: &str = "LC_ALL=C; export LC_ALL; \
echo coxswain-starts; echo coxswain-starts >&2; \
IFS= read -r n || exit 125; IFS= read -r s || exit 125; s=$(printf %b_ \"${s#e}\"); \
while [ \"$n\" -gt 0 ]; do IFS= read -r a || exit 125; \
case $a in p*) a=${a#p};; *) a=$(printf %b_ \"${a#e}\"); a=${a%_};; esac; \
set -- \"$@\" \"$a\"; n=$((n-1)); done; \
a=; eval \"${s%_}\"";

/// The script that stands for a program: `$1` and the rest are program and arguments.
pub(super) const EXEC: &str = "exec \"$@\"";

/// Status of the loader when the header was incomplete.
pub(super) const INCOMPLETE: i32 = 125;

/// The header for a script and its arguments.
pub(super) fn header<S: AsRef<str>>(script: &str, args: &[S]) -> Result<Vec<u8>> {
    let mut text = String::with_capacity(script.len() + 64);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}", args.len());
    text.push('e');
    escape(&mut text, script);
    text.push('\n');
    for arg in args {
        line(&mut text, arg.as_ref())?;
    }
    Ok(text.into_bytes())
}

/// One header line.
pub(super) fn line(text: &mut String, value: &str) -> Result<()> {
    if value.contains('\0') {
        return Err(WorldError::InvalidInput {
            what: "command argument".to_owned(),
            detail: "it holds a NUL byte".to_owned(),
        });
    }
    if value.contains('\n') {
        text.push('e');
        escape(text, value);
    } else {
        text.push('p');
        text.push_str(value);
    }
    text.push('\n');
    Ok(())
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::super::start::{MARK, own};
    use super::*;

    #[test]
    fn loader_means_the_same_to_every_login_shell() {
        assert!(!LOADER.contains(['\'', '\\', '!', '\n', '`']));
        assert_eq!(LOADER.matches(MARK).count(), 2);
    }

    #[test]
    fn nul_is_refused() {
        assert!(header("true", &["a\0b"]).is_err());
    }

    #[test]
    fn header_has_one_line_for_each_part() {
        let header = header("a\n\\b", &["x y", "1\n2"]).unwrap();
        assert_eq!(
            String::from_utf8(header).unwrap(),
            "2\nea\\n\\\\b\npx y\ne1\\n2\n"
        );
    }

    fn run_by(shell: &[&str], input: &[u8]) -> Option<(Option<i32>, Vec<u8>)> {
        let mut child = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", LOADER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        child.stdin.take().unwrap().write_all(input).unwrap();
        let mut output = child.wait_with_output().unwrap();
        own(&mut output.stdout);
        Some((output.status.code(), output.stdout))
    }

    #[test]
    fn every_shell_that_is_here_gets_the_same() {
        let args = [
            "",
            " ",
            "-n",
            "\t a\n\n",
            "'\"\\",
            "$(id)`id`*!",
            "\\0101\\c%s",
            "\u{81}\u{88}é\n\u{ff}",
            "\r\n",
        ];
        let mut input = header("printf '%s\\0' \"$@\"\ncat\nexit 3", &args).unwrap();
        input.extend_from_slice(b"\x00rest\xff\n\n");
        let mut expected: Vec<u8> = args.iter().flat_map(|a| a.bytes().chain([0])).collect();
        expected.extend_from_slice(b"\x00rest\xff\n\n");
        let mut seen = 0;
        for shell in [
            &["sh"][..],
            &["bash", "--posix"],
            &["dash"],
            &["busybox", "sh"],
            &["ksh"],
        ] {
            if let Some((status, stdout)) = run_by(shell, &input) {
                seen += 1;
                assert_eq!(
                    (status, String::from_utf8_lossy(&stdout)),
                    (Some(3), String::from_utf8_lossy(&expected))
                );
                assert!(stdout == expected, "{shell:?}");
            }
        }
        assert!(seen > 0);
    }

    #[test]
    fn a_header_that_breaks_off_anywhere_runs_nothing() {
        let whole = header("echo ran", &["a\nb", "c"]).unwrap();
        for end in 0..whole.len() {
            let (status, stdout) = run_by(&["sh"], &whole[..end]).unwrap();
            assert_eq!((status, stdout), (Some(INCOMPLETE), vec![]), "cut at {end}");
        }
    }
}
