//! Step kind `remove_backups`: old certificates that k3s has put aside on a node are gone, as far as they were
//! listed before. They hold the private keys of the cluster's CAs.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::{Services, certificates, check, failure};
use crate::world::{RemoteCommand, Script};

/// Stored name.
pub const KIND: &str = "remove_backups";

/// `$1…` directories. Nothing but what k3s itself has put aside is deleted.
pub(crate) const REMOVE: Script = Script {
    name: "remove-certificate-backups",
    text: r#"for dir; do
    case $dir in
        /var/lib/rancher/k3s/server/tls-*|/var/lib/rancher/k3s/agent/tls-*) ;;
        *) echo "$dir is not a backup of certificates" >&2; exit 1 ;;
    esac
    case ${dir##*/tls-} in
        ''|*[!0-9]*) echo "$dir is not a backup of certificates" >&2; exit 1 ;;
    esac
    rm -rf -- "$dir" || exit 1
done
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The node.
    pub node: ApiHost,
    /// Directories that go.
    pub folders: Param<Vec<String>>,
}

/// The step kind.
pub struct RemoveBackups(pub Services);

impl RemoveBackups {
    /// What of it is still there.
    async fn left(
        &self,
        context: &StepContext,
        params: &Params,
    ) -> Result<Vec<String>, StepFailure> {
        let folders = params
            .folders
            .resolve(&context.outputs)
            .map_err(StepFailure::fatal)?;
        let found = certificates::backups(&*self.0.world, params.node.host).await?;
        let paths = found.into_iter().map(|(path, _)| path);
        Ok(paths.filter(|path| folders.contains(path)).collect())
    }
}

#[async_trait]
impl StepKind for RemoveBackups {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let left = self.left(context, &params).await?;
        Ok(if left.is_empty() {
            Probe::Done {
                observed: format!("nothing of what was listed is left on {}", params.node.name),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: format!("still there: {}", left.join(", ")),
            }
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let left = self.left(context, &params).await?;
        let command = RemoteCommand::script(REMOVE).args(left).sudo();
        self.0
            .world
            .run(params.node.host, command)
            .await
            .and_then(|o| o.ok(REMOVE.name))
            .map_err(failure::world)?;
        Ok(())
    }
}
