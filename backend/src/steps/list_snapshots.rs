//! Step kind `list_snapshots`: a look at the snapshots on all servers of a cluster, as a table in the
//! step's output. Changes nothing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::snapshot::SnapshotFile;
use coxswain_wire::{ClusterId, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::snapshots::{look, made, place, sha256};
use super::{Services, check, failure};

/// Stored name.
pub const KIND: &str = "list_snapshots";

const HEADINGS: [&str; 6] = ["SERVER", "NAME", "SIZE", "CREATED", "SHA-256", "TOKEN"];
const NONE: &str = "-";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster.
    pub cluster: ClusterId,
    /// All its servers.
    pub servers: Vec<ApiHost>,
    /// Read every file for its checksum.
    pub checksums: bool,
}

/// The step kind.
pub struct ListSnapshots(pub Services);

impl ListSnapshots {
    /// The snapshots of one server as lines of the table, or why they are not known.
    async fn of_server(
        &self,
        server: &ApiHost,
        checksums: bool,
        known: &[Snapshot],
    ) -> Result<Vec<[String; 6]>, String> {
        let world = &*self.0.world;
        let place = place(world, server.host)
            .await
            .map_err(|failure| failure.into_error().message)?;
        let mut files = look(world, server.host, &place.directories)
            .await
            .map_err(|e| e.to_string())?;
        files.sort_by_key(|file| std::cmp::Reverse(file.made()));
        let mut lines = Vec::new();
        for file in files {
            let noted = known
                .iter()
                .find(|s| s.host == server.host && s.path == file.path);
            let hash = if checksums {
                match (sha256(world, server.host, &file.path).await, noted) {
                    (Err(e), _) => e.to_string(),
                    (Ok(now), Some(noted)) if now != noted.sha256 => {
                        format!("{now} NOT AS NOTED: {}", noted.sha256)
                    }
                    (Ok(now), Some(_) | None) => now,
                }
            } else {
                NONE.to_owned()
            };
            lines.push(line(server, &file, hash, noted));
        }
        Ok(lines)
    }

    async fn table(&self, params: &Params) -> Result<String, StepFailure> {
        let known = self
            .0
            .snapshots
            .snapshots(params.cluster)
            .await
            .map_err(failure::service)?;
        let asked = params
            .servers
            .iter()
            .map(|server| self.of_server(server, params.checksums, &known));
        let answers = futures::future::join_all(asked).await;
        let mut lines = vec![HEADINGS.map(str::to_owned)];
        let mut remarks = Vec::new();
        for (server, answer) in params.servers.iter().zip(answers) {
            match answer {
                Ok(found) if found.is_empty() => {
                    remarks.push(format!("{} has no snapshots", server.name));
                }
                Ok(found) => lines.extend(found),
                Err(why) => remarks.push(format!("{} could not be asked: {why}", server.name)),
            }
        }
        Ok(rendered(&lines, &remarks))
    }
}

fn line(
    server: &ApiHost,
    file: &SnapshotFile,
    hash: String,
    noted: Option<&Snapshot>,
) -> [String; 6] {
    let created = jiff::Timestamp::from_millisecond(made(file).0)
        .map_or_else(|_| NONE.to_owned(), |at| at.to_string());
    let token = match noted {
        Some(noted) => format!("in the vault, secret {}", noted.token),
        None => "not known to the panel".to_owned(),
    };
    [
        server.name.clone(),
        file.name().to_owned(),
        file.size.to_string(),
        created,
        hash,
        token,
    ]
}

fn rendered(lines: &[[String; 6]], remarks: &[String]) -> String {
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    for remark in remarks {
        text.push_str(remark);
        text.push('\n');
    }
    text
}

#[async_trait]
impl StepKind for ListSnapshots {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let listed = match &context.output {
            Some(output) if context.applied => output.position().await > 0,
            Some(_) | None => false,
        };
        Ok(if listed {
            Probe::Done {
                observed: "the list is in the output of this step".to_owned(),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: "not listed yet".to_owned(),
            }
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let table = self.table(&params).await?;
        let Some(output) = &context.output else {
            return Err(StepFailure::fatal("the step's output cannot be stored"));
        };
        if output.position().await > 0 {
            return Ok(());
        }
        let stored = match output.append(0, table.as_bytes()).await {
            Ok(()) => output.finish().await,
            Err(e) => Err(e),
        };
        stored.map_err(|e| StepFailure::fatal(format!("the step's output cannot be stored: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let row = |name: &str| {
            [
                "node1".to_owned(),
                name.to_owned(),
                "7".to_owned(),
                NONE.to_owned(),
                NONE.to_owned(),
                "x".to_owned(),
            ]
        };
        let text = rendered(
            &[HEADINGS.map(str::to_owned), row("a-longer-name"), row("b")],
            &["node2 has no snapshots".to_owned()],
        );
        let size_at = text.lines().next().and_then(|l| l.find("SIZE"));
        assert!(text.lines().skip(1).take(2).all(|l| l.find('7') == size_at));
        assert!(text.ends_with("node2 has no snapshots\n"));
    }
}
