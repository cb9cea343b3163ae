//! The parsers against everything that was recorded on a real cluster. The recordings lie beside the
//! repository; where they are not there, the excerpts under `tests/recorded` (used by the unit tests)
//! have to do. What lies under `tests/samples` was written by hand in the shape of recorded files.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its recording has failed"
)]

use std::fs;
use std::path::PathBuf;

use coxswain_k3s::journal::{JoinFailure, fatal_sign, parse_line};
use coxswain_k3s::redact::{MASK, redact_text};
use coxswain_k3s::snapshot::parse_list;
use coxswain_k3s::unit_file::UnitFile;

fn transcripts() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/k3s/transcripts");
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut all: Vec<(String, String)> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    all.sort();
    all
}

fn transcript(prefix: &str) -> Option<String> {
    transcripts()
        .into_iter()
        .find(|(name, _)| name.starts_with(prefix))
        .map(|(_, text)| text)
}

#[test]
fn every_log_line_is_read() {
    for (name, text) in transcripts() {
        for line in text.lines() {
            if line.starts_with("time=\"") {
                let parsed = parse_line(line).unwrap_or_else(|| panic!("{name}: {line}"));
                assert!(!parsed.message.is_empty(), "{name}: {line}");
            }
        }
    }
}

#[test]
fn the_join_failures_are_told_apart() {
    let Some(text) = transcript("10-") else {
        return;
    };
    let kinds: Vec<JoinFailure> = text
        .lines()
        .filter_map(|l| fatal_sign(l).map(|s| s.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            JoinFailure::WrongToken,
            JoinFailure::CaHashMismatch,
            JoinFailure::Unreachable,
            JoinFailure::CriticalFlags
        ]
    );
}

#[test]
fn the_unit_file_is_read_and_kept() {
    let Some(text) = transcript("01-") else {
        return;
    };
    let start = text.find("[Unit]").unwrap();
    let unit = &text[start..start + text[start..].find("[exit 0]").unwrap()];
    let parsed = UnitFile::parse(unit).unwrap();
    assert_eq!(parsed.text(), unit);
    let args = parsed.command().unwrap().args;
    assert_eq!(args.len(), 15);
    // Written anew by way of other arguments, it is the installer's text again.
    let bare = parsed.with_args(&[]).unwrap();
    assert_eq!(bare.with_args(&args).unwrap().text(), unit);
}

#[test]
fn the_snapshot_lists_are_read() {
    let Some(text) = transcript("02-") else {
        return;
    };
    let lists: Vec<usize> = text
        .split("$ [")
        .filter(|part| part.contains("etcd-snapshot ls"))
        .map(|part| {
            let body = part.split_once('\n').unwrap().1;
            parse_list(body.split("[exit").next().unwrap())
                .unwrap()
                .len()
        })
        .collect();
    assert_eq!(lists, [1, 0]);
}

#[test]
fn redaction_touches_nothing_but_secrets() {
    for (name, text) in transcripts() {
        for (line, masked) in text.lines().zip(redact_text(&text).lines()) {
            if line != masked {
                let secret = [
                    "token",
                    "TOKEN",
                    "-data: <base64>",
                    "tls.key",
                    "'K10",
                    "server:wrong",
                ];
                assert!(
                    secret.iter().any(|s| line.contains(s)),
                    "{name}\n{line}\n{masked}"
                );
                assert!(masked.contains(MASK), "{name}: {masked}");
            }
        }
    }
}
