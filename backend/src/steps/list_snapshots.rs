//! Step kind `list_snapshots`: a look at the snapshots on all servers of a cluster, reported as a table.
//! Changes nothing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::snapshot::SnapshotFile;
use coxswain_wire::{ClusterId, Report, Snapshot, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::snapshots::{look, made, place, sha256};
use super::{Services, check, failure};

/// Stored name.
pub const KIND: &str = "list_snapshots";
/// Name of the output: the table.
pub const LIST: &str = "list";

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
    /// The snapshots of one server as rows of the table, or why they are not known.
    async fn of_server(
        &self,
        server: &ApiHost,
        checksums: bool,
        known: &[Snapshot],
    ) -> Result<Vec<Vec<String>>, String> {
        let world = &*self.0.world;
        let place = place(world, server.host)
            .await
            .map_err(|failure| failure.into_error().message)?;
        let mut files = look(world, server.host, &place.directories)
            .await
            .map_err(|e| e.to_string())?;
        files.sort_by_key(|file| std::cmp::Reverse(file.made()));
        let mut rows = Vec::new();
        for file in files {
            let noted = known
                .iter()
                .find(|s| s.host == server.host && s.path == file.path);
            let hash = if checksums {
                match (sha256(world, server.host, &file.path).await, noted) {
                    (Err(e), _) => e.to_string(),
                    (Ok(now), Some(noted)) if now != noted.sha256 => {
                        format!("{now}, not as noted: {}", noted.sha256)
                    }
                    (Ok(now), Some(_) | None) => now,
                }
            } else {
                NONE.to_owned()
            };
            rows.push(row(server, &file, hash, noted));
        }
        Ok(rows)
    }
}

fn row(
    server: &ApiHost,
    file: &SnapshotFile,
    hash: String,
    noted: Option<&Snapshot>,
) -> Vec<String> {
    let created = jiff::Timestamp::from_millisecond(made(file).0)
        .map_or_else(|_| NONE.to_owned(), |at| at.to_string());
    let token = match noted {
        Some(noted) => format!("in the vault, secret {}", noted.token),
        None => "not known to the panel".to_owned(),
    };
    vec![
        server.name.clone(),
        file.name().to_owned(),
        file.size.to_string(),
        created,
        hash,
        token,
    ]
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
        let params: Params = context.params()?;
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
        let mut rows = Vec::new();
        let mut silent = Vec::new();
        for (server, answer) in params.servers.iter().zip(answers) {
            match answer {
                Ok(found) => rows.extend(found),
                Err(why) => silent.push(format!("{} could not be asked: {why}", server.name)),
            }
        }
        let mut observed = vec![format!(
            "{} snapshots on {} servers",
            rows.len(),
            params.servers.len() - silent.len()
        )];
        observed.extend(silent);
        let columns = [
            "Server",
            "Name",
            "Bytes",
            "Created",
            "SHA-256",
            "Server token",
        ];
        let table = Table {
            title: "Snapshots".to_owned(),
            columns: columns.map(str::to_owned).to_vec(),
            rows,
        };
        let report = Output::Report(Report {
            tables: vec![table],
            ..Report::default()
        });
        Ok(Probe::Done {
            observed: observed.join("; "),
            outputs: BTreeMap::from([(LIST.to_owned(), report)]),
        })
    }

    /// Never called: the look is the whole step.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }
}
