//! Every path of the page, in one place.

use coxswain_wire::{ClusterId, FieldValue, Inputs, RunId, StepIndex, step_number};

pub(crate) const CLUSTERS: &str = "/clusters";
pub(crate) const NEW_CLUSTER: &str = "/clusters/new";
pub(crate) const RUNS: &str = "/runs";
pub(crate) const NEW_RUN: &str = "/runs/new";
pub(crate) const APPROVALS: &str = "/approvals";
pub(crate) const HOSTS: &str = "/hosts";
/// The hosts page with its form open.
pub(crate) const ADD_HOST: &str = "/hosts?add=1";
pub(crate) const AUDIT: &str = "/audit";
pub(crate) const SETTINGS: &str = "/settings";
pub(crate) const SETUP: &str = "/setup";

pub(crate) fn cluster(id: ClusterId) -> String {
    format!("{CLUSTERS}/{id}")
}

pub(crate) fn edit_cluster(id: ClusterId) -> String {
    format!("{CLUSTERS}/{id}/edit")
}

pub(crate) fn run(id: RunId) -> String {
    format!("{RUNS}/{id}")
}

/// A run with a step chosen. Addresses count steps as people do, from 1.
pub(crate) fn run_step(id: RunId, step: StepIndex) -> String {
    format!("{RUNS}/{id}?step={}", step_number(step))
}

/// The step that an address names.
pub(crate) fn step_of(number: &str) -> Option<StepIndex> {
    number.parse::<StepIndex>().ok()?.checked_sub(1)
}

/// A run's log, down to a line of a step.
pub(crate) fn run_line(id: RunId, step: StepIndex, line: u32) -> String {
    format!("{}#L{line}", run_step(id, step))
}

/// The lines that an address names, first and last: `#L12` or `#L12-L20`.
pub(crate) fn lines_of(hash: &str) -> Option<(u32, u32)> {
    let (from, to) = match hash.trim_start_matches('#').split_once('-') {
        Some((from, to)) => (from, to),
        None => (hash.trim_start_matches('#'), hash.trim_start_matches('#')),
    };
    let number = |text: &str| text.strip_prefix('L')?.parse().ok();
    let (from, to) = (number(from)?, number(to)?);
    Some((u32::min(from, to), u32::max(from, to)))
}

/// The form of a workflow, with the cluster filled in.
pub(crate) fn new_run(workflow: &str, cluster: Option<ClusterId>) -> String {
    match cluster {
        Some(cluster) => format!("{NEW_RUN}?workflow={workflow}&cluster={cluster}"),
        None => format!("{NEW_RUN}?workflow={workflow}"),
    }
}

/// The form of a workflow, filled in as far as an address can.
pub(crate) fn filled_run(workflow: &str, inputs: &Inputs) -> String {
    let mut path = new_run(workflow, None);
    for (name, value) in inputs {
        let words = match value {
            FieldValue::Bool(on) => on.to_string(),
            FieldValue::Id(id) => id.to_string(),
            FieldValue::Ids(ids) => {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                ids.join(",")
            }
            FieldValue::Text(text) => escaped(text),
            FieldValue::List(texts) => escaped(&texts.join("\n")),
        };
        path.push_str(&format!("&{name}={words}"));
    }
    path
}

/// Text in an address, byte by byte where it is no plain letter or digit.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Every page behind the sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// An address from before the sign-in; leads to the clusters.
    Start,
    Clusters,
    NewCluster,
    Cluster(ClusterId),
    EditCluster(ClusterId),
    Runs,
    NewRun,
    Run(RunId),
    Approvals,
    Hosts,
    Audit,
    Settings,
    Unknown,
}

impl Page {
    /// The page of a path.
    pub(crate) fn of(path: &str) -> Self {
        let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        let number = |text: &str| text.parse::<i64>().ok();
        match parts.as_slice() {
            [] | ["setup"] => Page::Start,
            ["clusters"] => Page::Clusters,
            ["clusters", "new"] => Page::NewCluster,
            ["clusters", id] => number(id).map_or(Page::Unknown, |id| Page::Cluster(ClusterId(id))),
            ["clusters", id, "edit"] => {
                number(id).map_or(Page::Unknown, |id| Page::EditCluster(ClusterId(id)))
            }
            ["runs"] => Page::Runs,
            ["runs", "new"] => Page::NewRun,
            ["runs", id] => number(id).map_or(Page::Unknown, |id| Page::Run(RunId(id))),
            ["approvals"] => Page::Approvals,
            ["hosts"] => Page::Hosts,
            ["audit"] => Page::Audit,
            ["settings"] => Page::Settings,
            _ => Page::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_filled_in_by_its_address() {
        let inputs = [
            ("cluster", FieldValue::Id(3)),
            ("node", FieldValue::Id(7)),
            ("note", FieldValue::Text("a&b c".to_owned())),
        ];
        let inputs = inputs.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(
            filled_run("stuck_pods", &inputs),
            "/runs/new?workflow=stuck_pods&cluster=3&node=7&note=a%26b%20c"
        );
    }

    #[test]
    fn own_paths_lead_to_their_pages() {
        assert_eq!(
            Page::of(&cluster(ClusterId(3))),
            Page::Cluster(ClusterId(3))
        );
        assert_eq!(
            Page::of(&edit_cluster(ClusterId(3))),
            Page::EditCluster(ClusterId(3))
        );
        assert_eq!(Page::of(&run(RunId(42))), Page::Run(RunId(42)));
        assert_eq!(Page::of(NEW_RUN), Page::NewRun);
        assert_eq!(Page::of("/runs/x"), Page::Unknown);
        assert_eq!(Page::of("/"), Page::Start);
        assert_eq!(Page::of(SETUP), Page::Start);
    }

    #[test]
    fn links_name_lines() {
        assert_eq!(lines_of("#L12"), Some((12, 12)));
        assert_eq!(lines_of("#L20-L12"), Some((12, 20)));
        assert_eq!(lines_of("#main"), None);
        assert_eq!(lines_of(""), None);
    }

    #[test]
    fn addresses_count_steps_from_one() {
        assert_eq!(run_line(RunId(42), 6, 120), "/runs/42?step=7#L120");
        assert_eq!(step_of("7"), Some(6));
        assert_eq!(step_of("0"), None);
        assert_eq!(step_of("-1"), None);
    }
}
