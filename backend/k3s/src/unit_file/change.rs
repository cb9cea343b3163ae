//! Changing some words of a command line in its text.

use super::words::{Word, WordError, quote};

/// Program and subcommand, which are no arguments.
const HEAD: usize = 2;

/// A value of `ExecStart=` with other arguments: what both have in common, in order, keeps its bytes.
pub(super) fn arguments(value: &str, old: &[Word], new: &[String]) -> Result<String, WordError> {
    let stays = common(&old[HEAD.min(old.len())..], new);
    let mut text = value.to_owned();
    let mut end = new.len();
    // From the back, so that the places in front stay where they are.
    for at in (HEAD.saturating_sub(1)..old.len()).rev() {
        let kept = at.checked_sub(HEAD).map_or(Some(None), |arg| {
            stays.iter().find(|(o, _)| *o == arg).map(|(_, n)| Some(*n))
        });
        let Some(kept) = kept else {
            take_out(&mut text, &old[at]);
            continue;
        };
        let from = kept.map_or(0, |n| n + 1);
        put_in(&mut text, &old[at], &new[from..end])?;
        end = kept.unwrap_or(0);
    }
    Ok(text)
}

/// The longest list of pairs of equal words, by their places in both, in order.
fn common(old: &[Word], new: &[String]) -> Vec<(usize, usize)> {
    let mut best = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for o in (0..old.len()).rev() {
        for n in (0..new.len()).rev() {
            best[o][n] = if old[o].text == new[n] {
                best[o + 1][n + 1] + 1
            } else {
                best[o + 1][n].max(best[o][n + 1])
            };
        }
    }
    let (mut o, mut n) = (0, 0);
    let mut pairs = Vec::new();
    while o < old.len() && n < new.len() {
        if old[o].text == new[n] {
            pairs.push((o, n));
            o += 1;
            n += 1;
        } else if best[o + 1][n] >= best[o][n + 1] {
            o += 1;
        } else {
            n += 1;
        }
    }
    pairs
}

/// With its whole line if nothing else stands there, else with the blanks in front of it.
fn take_out(text: &mut String, word: &Word) {
    let front = text[..word.span.start].trim_end_matches([' ', '\t']).len();
    match line_end(&text[word.span.end..]) {
        Some(rest) if text[..front].ends_with('\n') => {
            text.replace_range(front..word.span.end + rest, "");
        }
        _ => text.replace_range(front..word.span.end, ""),
    }
}

/// Behind a word: lines of their own where it ends its line, as the installer writes them.
fn put_in(text: &mut String, behind: &Word, words: &[String]) -> Result<(), WordError> {
    let (at, front, back) = match line_end(&text[behind.span.end..]) {
        Some(rest) => (behind.span.end + rest, "\t", " \\\n"),
        None => (behind.span.end, " ", ""),
    };
    let mut added = String::new();
    for word in words {
        added.push_str(front);
        added.push_str(&quote(word)?);
        added.push_str(back);
    }
    text.insert_str(at, &added);
    Ok(())
}

/// Bytes up to the end of a line that goes on in the next and holds nothing else.
fn line_end(rest: &str) -> Option<usize> {
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let end = rest[blanks..].strip_prefix('\\')?;
    let end = end.strip_prefix('\r').unwrap_or(end).strip_prefix('\n')?;
    Some(rest.len() - end.len())
}

#[cfg(test)]
mod tests {
    use super::super::UnitFile;

    fn changed(command: &str, args: &[&str]) -> String {
        let head = "[Service]\nExecStart=/usr/local/bin/k3s ";
        let unit = UnitFile::parse(&format!("{head}{command}\nRestart=no\n")).unwrap();
        let args: Vec<String> = args.iter().map(|word| (*word).to_owned()).collect();
        let text = unit.with_args(&args).unwrap().text().to_owned();
        let text = text.strip_prefix(head).unwrap();
        text.strip_suffix("\nRestart=no\n").unwrap().to_owned()
    }

    #[test]
    fn what_only_systemd_understands_keeps_its_bytes() {
        assert_eq!(
            changed(
                "server --node-name %H --node-ip ${IP} --tls-san a --node-label x=50%% \\\n# ours\n  --debug",
                &[
                    "--node-name",
                    "%H",
                    "--node-ip",
                    "${IP}",
                    "--node-label",
                    "x=50%",
                    "--debug",
                    "--tls-san",
                    "b"
                ],
            ),
            "server --node-name %H --node-ip ${IP} --node-label x=50%% \\\n# ours\n  --debug '--tls-san' 'b'"
        );
        assert_eq!(
            changed(
                "server \\\n  \"--x=%n\" \\\n\t'--tls-san' \\\n\t'a' \\\n",
                &["--x=%n", "--tls-san", "b$"]
            ),
            "server \\\n  \"--x=%n\" \\\n\t'--tls-san' \\\n\t'b$$' \\\n"
        );
    }

    #[test]
    fn words_come_first_last_and_in_between() {
        assert_eq!(changed("server", &["--a"]), "server '--a'");
        assert_eq!(
            changed("server --b", &["--a", "--b", "--c"]),
            "server '--a' --b '--c'"
        );
        assert_eq!(changed("server --a --b --c", &["--b"]), "server --b");
        assert_eq!(changed("server 'a\\x41' b", &["b"]), "server b");
        assert_eq!(
            changed("server \\\n\t--a \\\n\t--b\n", &[]),
            "server \\\n\n"
        );
    }
}
