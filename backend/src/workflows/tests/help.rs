//! What people read before they start something: every form's help, and the README's table.

use super::super::all;

const README: &str = include_str!("../../../../README.md");

/// What it risks, how long it takes, what to do if it fails.
const PARTS: [&[&str]; 3] = [&["risk"], &["second", "minute"], &["fails"]];

#[test]
fn every_form_says_what_it_risks_how_long_it_takes_and_what_to_do() {
    for workflow in all() {
        let help = workflow.info().help.join("\n");
        for words in PARTS {
            assert!(
                words.iter().any(|word| help.contains(word)),
                "the help of {} says nothing about {words:?}",
                workflow.name()
            );
        }
    }
}

/// A line a workflow: what is observed at its end, and its undo.
#[test]
fn the_readme_lists_every_workflow() {
    for workflow in all() {
        let start = format!("| `{}` |", workflow.name());
        let line = README.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no line begins with {start}"));
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        assert!(
            cells.len() == 3 && cells.iter().all(|cell| !cell.trim().is_empty()),
            "{line}"
        );
    }
}
