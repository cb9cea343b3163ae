//! The transcripts: whole ones beside the clone (`../shared/k3s/transcripts`), else the excerpts in `tests/recorded`,
//! which `K3S_STANDIN_TEST_EXCERPTS=1` forces.

use std::fs;
use std::path::{Path, PathBuf};

/// One command of a transcript with what it printed.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The command line.
    pub(crate) command: String,
    /// Its output.
    pub(crate) output: String,
    /// Its exit status.
    pub(crate) exit: i32,
}

fn file(name: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let whole = package.join("../../../shared/k3s/transcripts").join(name);
    let excerpts = std::env::var_os("K3S_STANDIN_TEST_EXCERPTS").is_some();
    if whole.exists() && !excerpts {
        whole
    } else {
        package.join("tests/recorded").join(name)
    }
}

/// All commands of a transcript.
pub(crate) fn blocks(name: &str) -> Vec<Block> {
    let path = file(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ [") {
            let command = command
                .split_once("] ")
                .map_or(command, |(_, command)| command);
            open = Some(Block {
                command: command.to_owned(),
                output: String::new(),
                exit: 0,
            });
        } else if let Some(block) = open.as_mut() {
            match line.rsplit_once("[exit ") {
                Some((before, status)) if status.ends_with(']') => {
                    block.output.push_str(before);
                    block.exit = status.trim_end_matches(']').parse().unwrap();
                    blocks.extend(open.take());
                }
                _ => {
                    block.output.push_str(line);
                    block.output.push('\n');
                }
            }
        }
    }
    assert!(!blocks.is_empty(), "{} holds no command", path.display());
    blocks
}

/// The first command of a transcript that contains `part`.
pub(crate) fn block(name: &str, part: &str) -> Block {
    let all = blocks(name);
    all.iter()
        .find(|block| block.command.contains(part))
        .unwrap_or_else(|| panic!("{name} has no command with {part:?}"))
        .clone()
}

/// Text with what differs between two runs replaced: times, digits of names, sizes.
pub(crate) fn normalized(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            // Short numbers (versions, ports, node numbers) count; long ones are times, sizes and hashes.
            out.push_str(if digits.len() >= 6 { "#" } else { &digits });
            digits.clear();
        }
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

/// A logrus line without its time.
pub(crate) fn without_time(line: &str) -> String {
    match line.strip_prefix("time=\"") {
        Some(rest) => rest
            .split_once("\" ")
            .map_or(line, |(_, rest)| rest)
            .to_owned(),
        None => line.to_owned(),
    }
}

#[test]
fn the_parser_reads_exit_statuses_and_commands() {
    let block = block("08-cert-rotate.txt", "certificate check");
    assert_eq!(
        (block.exit, block.output.as_str()),
        (3, "No help topic for 'check'\n")
    );
}
