//! Changing the list of one key in a configuration file, everything else kept byte for byte. Whoever
//! calls this reads the result again and compares: a form that is not understood here cannot do harm.

use std::ops::Range;

use super::FLAG;
use crate::config_yaml::{CONFIG_FILE, Config, split_values};
use crate::names::San;

/// What becomes of a list without names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Emptied {
    /// The key goes too.
    Gone,
    /// It stays, with an empty list.
    EmptyList,
}

/// The text without the names that `keep` refuses, and with `add` behind the last list (at the end if
/// there is none). `None`: not understood.
pub(super) fn rewrite(
    text: &str,
    keep: &dyn Fn(&str) -> bool,
    add: &[San],
    emptied: Emptied,
) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let blocks = blocks(&lines);
    let mut after = String::new();
    let mut at = 0;
    for (index, block) in blocks.iter().enumerate() {
        after.extend(lines[at..block.start].iter().copied());
        let add = if index + 1 == blocks.len() { add } else { &[] };
        after.push_str(&changed(&lines[block.clone()], keep, add, emptied)?);
        at = block.end;
    }
    after.extend(lines[at..].iter().copied());
    if blocks.is_empty() && !add.is_empty() {
        end_line(&mut after);
        after.push_str(&format!("{FLAG}:\n"));
        after.extend(add.iter().map(|san| item("  ", san)));
    }
    Some(after)
}

/// Lines of each top-level `tls-san:` or `tls-san+:` with its value; blanks and comments behind it are
/// not its own.
fn blocks(lines: &[&str]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if key(lines[at]).is_none() {
            at += 1;
            continue;
        }
        let more = lines[at + 1..]
            .iter()
            .take_while(|line| belongs(line))
            .count();
        let mut end = at + 1 + more;
        while end > at + 1 && is_blank(lines[end - 1]) {
            end -= 1;
        }
        found.push(at..end);
        at = end;
    }
    found
}

/// The key with its colon, if the line begins with it.
fn key(line: &str) -> Option<&str> {
    let quote = line.chars().next().filter(|c| matches!(c, '"' | '\''));
    let rest = quote.map_or(line, |q| line.strip_prefix(q).unwrap_or(line));
    let rest = rest.strip_prefix(FLAG)?;
    let rest = rest.strip_prefix('+').unwrap_or(rest);
    let rest = match quote {
        Some(q) => rest.strip_prefix(q)?,
        None => rest,
    };
    let rest = rest.trim_start_matches([' ', '\t']).strip_prefix(':')?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
        .then(|| &line[..line.len() - rest.len()])
}

/// The line goes on with the value of the key above it.
fn belongs(line: &str) -> bool {
    is_blank(line) || line.starts_with([' ', '\t']) || line.starts_with("- ") || line.trim() == "-"
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn changed(
    lines: &[&str],
    keep: &dyn Fn(&str) -> bool,
    add: &[San],
    emptied: Emptied,
) -> Option<String> {
    let (head, items) = lines.split_first()?;
    let key = key(head)?;
    let old = values(&lines.concat())?;
    if add.is_empty() && old.iter().all(|name| keep(name)) {
        return Some(lines.concat());
    }
    let inline = !is_blank(&head[key.len()..]);
    let mut kept = String::new();
    let mut indent = "  ".to_owned();
    if inline {
        // A list in brackets or a single name becomes a plain list.
        for name in old.iter().filter(|name| keep(name)) {
            kept.push_str(&item(&indent, &name.parse::<San>().ok()?));
        }
    } else {
        for line in items {
            let Some(dash) = line.find('-').filter(|at| line[..*at].trim().is_empty()) else {
                // A comment between the names.
                if is_blank(line) {
                    kept.push_str(line);
                    continue;
                }
                return None;
            };
            line[..dash].clone_into(&mut indent);
            let names = values(&format!("{FLAG}:\n{line}"))?;
            let stay: Vec<&String> = names.iter().filter(|name| keep(name)).collect();
            if stay.len() == names.len() {
                kept.push_str(line);
                continue;
            }
            for name in stay {
                kept.push_str(&item(&indent, &name.parse::<San>().ok()?));
            }
        }
    }
    if old.iter().all(|name| !keep(name)) && add.is_empty() {
        return Some(match emptied {
            Emptied::Gone => kept,
            Emptied::EmptyList => format!("{key} []\n{kept}"),
        });
    }
    let mut after = if inline {
        format!("{key}\n")
    } else {
        (*head).to_owned()
    };
    after.push_str(&kept);
    end_line(&mut after);
    after.extend(add.iter().map(|san| item(&indent, san)));
    Some(after)
}

/// The names of a piece of YAML that holds nothing else.
fn values(block: &str) -> Option<Vec<String>> {
    let config = Config::merge([(CONFIG_FILE, block)]).ok()?;
    let entry = config.get(FLAG)?;
    Some(split_values(FLAG, &entry.values))
}

/// A line of the list; in quotes only where YAML would read something else.
fn item(indent: &str, san: &San) -> String {
    let plain = format!("{indent}- {san}\n");
    if values(&format!("{FLAG}:\n{plain}")).as_deref() == Some(&[san.to_string()]) {
        plain
    } else {
        format!("{indent}- \"{san}\"\n")
    }
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}
