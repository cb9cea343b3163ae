//! Step kind `list_backups`: notes which old certificates k3s has put aside on nodes, and reports them. What is
//! deleted later in the run is exactly what it has noted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::{ClusterId, FieldValue, HostId, NextRun, Report, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::{Services, certificates, check};

/// Stored name.
pub const KIND: &str = "list_backups";
/// Name of the output: the report.
const LIST: &str = "list";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster.
    pub cluster: ClusterId,
    /// Where to look.
    pub nodes: Vec<Place>,
    /// Whether the report offers to delete what it lists.
    pub offer: bool,
}

/// A node, and what is of no interest there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The node.
    pub node: ApiHost,
    /// Directories that are left out.
    pub except: Param<Vec<String>>,
}

/// Name of the output with a node's directories.
#[must_use]
pub fn on(host: HostId) -> String {
    format!("on_host_{host}")
}

#[derive(Serialize, Deserialize)]
struct Memo {
    found: Vec<Found>,
}

#[derive(Serialize, Deserialize)]
struct Found {
    host: HostId,
    /// Path and size in KiB.
    folders: Vec<(String, u64)>,
}

/// What the step has noted on a host, by its memo; none if it has noted nothing yet.
pub(crate) fn noted(memo: &Value, host: HostId) -> Option<Vec<String>> {
    let memo: Memo = serde_json::from_value(memo.clone()).ok()?;
    let found = memo.found.into_iter().find(|found| found.host == host)?;
    Some(found.folders.into_iter().map(|(path, _)| path).collect())
}

/// The step kind.
pub struct ListBackups(pub Services);

/// k3s names a directory after the second in which it was made.
fn made(path: &str) -> String {
    let second = path.rsplit_once("/tls-").map(|(_, second)| second);
    second
        .and_then(|second| second.parse().ok())
        .and_then(|second| jiff::Timestamp::from_second(second).ok())
        .map_or_else(|| "not known".to_owned(), |at| at.to_string())
}

fn report(params: &Params, memo: &Memo) -> Report {
    let mut rows = Vec::new();
    for Found { host, folders } in &memo.found {
        let place = params.nodes.iter().find(|place| place.node.host == *host);
        let name = place.map_or_else(|| format!("host {host}"), |place| place.node.name.clone());
        let row = |(path, kib): &(String, u64)| {
            vec![name.clone(), path.clone(), format!("{kib} KiB"), made(path)]
        };
        rows.extend(folders.iter().map(row));
    }
    let next = if params.offer && !rows.is_empty() {
        vec![offer(params.cluster, memo)]
    } else {
        Vec::new()
    };
    let table = Table {
        title: "Old certificates that k3s keeps".to_owned(),
        columns: ["Node", "Folder", "Size", "Put aside"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    };
    Report {
        tables: vec![table],
        next,
        ..Report::default()
    }
}

/// The form that deletes them, filled in.
fn offer(cluster: ClusterId, memo: &Memo) -> NextRun {
    let hosts = memo.found.iter().filter(|found| !found.folders.is_empty());
    let inputs = [
        ("cluster", FieldValue::Id(cluster.0)),
        ("what", FieldValue::Text("clean_up".to_owned())),
        (
            "hosts",
            FieldValue::Ids(hosts.map(|found| found.host.0).collect()),
        ),
    ];
    NextRun {
        title: "Delete old certificates".to_owned(),
        why: "These folders hold the private keys of the cluster's CAs, and nothing uses them. The gate names each one before it is deleted.".to_owned(),
        workflow: "certificate_rotation".to_owned(),
        inputs: inputs.map(|(name, value)| (name.to_owned(), value)).into(),
    }
}

#[async_trait]
impl StepKind for ListBackups {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        if context.memo.is_null() {
            return Ok(Probe::NotDone {
                why: "the folders are not noted yet".to_owned(),
            });
        }
        let params: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let mut outputs =
            BTreeMap::from([(LIST.to_owned(), Output::Report(report(&params, &memo)))]);
        let mut count = 0;
        for found in &memo.found {
            let paths: Vec<&String> = found.folders.iter().map(|(path, _)| path).collect();
            count += paths.len();
            let value =
                serde_json::to_value(paths).map_err(|e| StepFailure::fatal(e.to_string()))?;
            outputs.insert(on(found.host), Output::Value { value });
        }
        let observed = match count {
            0 => "no old certificates".to_owned(),
            1 => "1 folder with old certificates".to_owned(),
            many => format!("{many} folders with old certificates"),
        };
        Ok(Probe::Done { observed, outputs })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let looks = params.nodes.iter().map(|place| async {
            let except = place
                .except
                .resolve(&context.outputs)
                .map_err(StepFailure::fatal)?;
            let mut folders = certificates::backups(&*self.0.world, place.node.host).await?;
            folders.retain(|(path, _)| !except.contains(path));
            Ok(Found {
                host: place.node.host,
                folders,
            })
        });
        let found = futures::future::try_join_all(looks).await?;
        serde_json::to_value(Memo { found }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    /// Preparing has noted everything.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::made;

    #[test]
    fn the_name_says_when() {
        let path = "/var/lib/rancher/k3s/server/tls-1795326330";
        assert_eq!(made(path), "2026-11-22T05:45:30Z");
        assert_eq!(
            made("/var/lib/rancher/k3s/server/tls-99999999999999999999"),
            "not known"
        );
    }
}
