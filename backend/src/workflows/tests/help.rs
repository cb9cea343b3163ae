//! What people read before they start something: every form's help, and the README's table.

use coxswain_wire::{FieldValue, HostId, Verdict};

use super::super::{all, described};
use super::evidence::facts;
use super::lab::{self, inputs};

const README: &str = include_str!("../../../../README.md");

/// What it risks, how long it takes, what to do if it fails.
const PARTS: [&[&str]; 3] = [&["risk"], &["seconds", "minute"], &["fails"]];

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

/// Each says which k3s it is for, and the gate of one that changes a living cluster refuses an older one by name.
#[tokio::test(start_paused = true)]
async fn an_old_k3s_is_refused_by_name() {
    for info in described() {
        let last = info.help.last().unwrap();
        assert!(
            last.starts_with("v1.21 is the oldest"),
            "{}: {last}",
            info.name
        );
    }
    let lab = lab::running_lab();
    lab.balance();
    for host in 1..=4 {
        lab.world.run_version(HostId(host), "v1.20.15+k3s1");
    }
    let given = inputs(&[("cluster", FieldValue::Id(1))]);
    let running = lab::running_inventory();
    for workflow in ["certificate_rotation", "token_rotation"] {
        let found = facts(&lab, workflow, &given, &running).await;
        let version = found.iter().find(|fact| fact.name == "Version").unwrap();
        assert_eq!(version.verdict, Verdict::Fail, "{workflow}: {version:?}");
        assert!(
            version.value.contains("v1.20.15+k3s1: v1.21 is"),
            "{version:?}"
        );
    }
}
