//! Step kind `delete_snapshots`: snapshot files off a server's disk. Cannot be undone.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::{Job, host};
use super::{Services, check, failure};
use crate::world::{JobSpec, RemoteCommand, Script};

/// Stored name.
pub const KIND: &str = "delete_snapshots";

const RUNTIME: Duration = Duration::from_secs(240);

/// `$1…` paths. k3s forgets its own record of the snapshot, where it keeps one and its API answers; its exit
/// status is not trusted, so the file is removed in any case.
pub(crate) const DELETE: Script = Script {
    name: "delete-snapshots",
    text: r#"for file; do
    if [ -e "$file" ]; then timeout 60 /usr/local/bin/k3s etcd-snapshot delete "${file##*/}" 2>&1; fi
    rm -f -- "$file"
    echo "coxswain: deleted $file"
done
exit 0
"#,
};

/// `$1…` paths. Prints those that are there.
pub(crate) const LEFT: Script = Script {
    name: "snapshots-left",
    text: "for file; do if [ -e \"$file\" ]; then printf '%s\\n' \"$file\"; fi; done\nexit 0\n",
};

/// Parameters: the server is the step's host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Absolute paths of the files.
    pub paths: Vec<String>,
}

/// The step kind.
pub struct DeleteSnapshots(pub Services);

#[async_trait]
impl StepKind for DeleteSnapshots {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let on = host(context)?;
        let command = RemoteCommand::script(LEFT).args(&params.paths).sudo();
        let left = self
            .0
            .world
            .run(on, command)
            .await
            .and_then(|o| o.ok(LEFT.name))
            .map_err(failure::world)?
            .text();
        if let Some(first) = left.lines().next() {
            return Ok(Probe::NotDone {
                why: format!("{first} is still there"),
            });
        }
        let cluster = self
            .0
            .snapshots
            .cluster_of(on)
            .await
            .map_err(failure::service)?;
        if let Some(cluster) = cluster {
            let noted = self
                .0
                .snapshots
                .snapshots(cluster)
                .await
                .map_err(failure::service)?;
            if let Some(noted) = noted
                .iter()
                .find(|s| s.host == on && params.paths.contains(&s.path))
            {
                return Ok(Probe::NotDone {
                    why: format!("{} is still noted", noted.path),
                });
            }
        }
        Ok(Probe::Done {
            observed: format!("gone: {}", params.paths.join(", ")),
            outputs: BTreeMap::new(),
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let on = host(context)?;
        let spec = params
            .paths
            .iter()
            .fold(JobSpec::new(DELETE, RUNTIME), JobSpec::arg);
        Job::of(&*self.0.world, context)?
            .run(&spec, context.output.as_ref())
            .await?;
        for path in &params.paths {
            self.0
                .snapshots
                .forget_snapshot(on, path)
                .await
                .map_err(failure::service)?;
        }
        Ok(())
    }

    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        Job::of(&*self.0.world, context)?.reattach(context).await
    }

    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.stop().await
    }

    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.remove().await
    }
}
