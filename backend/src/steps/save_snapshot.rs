//! Step kind `save_snapshot`: an etcd snapshot on a server, before a living cluster is changed.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::step_number;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::{Job, host};
use super::{Services, check, failure};
use crate::world::{JobSpec, RemoteCommand, Script};

/// Stored name.
pub const KIND: &str = "save_snapshot";
/// Name of the output: the file's path on the server.
pub const FILE: &str = "file";

const RUNTIME: Duration = Duration::from_secs(240);

/// `$1` the snapshot's name; k3s appends node and time.
pub(crate) const SAVE: Script = Script {
    name: "save-snapshot",
    text: "exec /usr/local/bin/k3s etcd-snapshot save --name \"$1\"\n",
};

/// `$1` the snapshot's name. Prints path and size of what was saved under it.
pub(crate) const FIND: Script = Script {
    name: "find-snapshot",
    text: r#"for file in /var/lib/rancher/k3s/server/db/snapshots/"$1"-*; do
    case $file in *.part) continue ;; esac
    if [ -s "$file" ]; then stat -c '%s %n' "$file"; fi
done
exit 0
"#,
};

/// Parameters: the server is the step's host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {}

/// The step kind.
pub struct SaveSnapshot(pub Services);

fn name(context: &StepContext) -> String {
    format!("coxswain-{}-{}", context.run, step_number(context.step))
}

#[async_trait]
impl StepKind for SaveSnapshot {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let find = RemoteCommand::script(FIND).arg(name(context)).sudo();
        let found = self
            .0
            .world
            .run(host(context)?, find)
            .await
            .and_then(|o| o.ok(FIND.name))
            .map_err(failure::world)?;
        let text = found.text();
        // Newest last: k3s appends the time.
        Ok(
            match text
                .lines()
                .filter_map(|line| line.split_once(' '))
                .next_back()
            {
                None => Probe::NotDone {
                    why: "there is no snapshot of this step yet".to_owned(),
                },
                Some((size, path)) => Probe::Done {
                    observed: format!("{path}, {size} bytes"),
                    outputs: BTreeMap::from([(
                        FILE.to_owned(),
                        Output::Value {
                            value: Value::from(path),
                        },
                    )]),
                },
            },
        )
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let spec = JobSpec::new(SAVE, RUNTIME).arg(name(context));
        Job::of(&*self.0.world, context)?
            .run(&spec, context.output.as_ref())
            .await
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
