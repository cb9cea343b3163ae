//! Step kind `copy_snapshot`: a snapshot onto another host's disk, through the panel, checked there.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::HostId;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::sleep;

use super::kube::ApiHost;
use super::snapshots::{look, sha256};
use super::{Services, check, failure, memo};
use crate::world::{RemoteCommand, Script, World, WorldError};

/// Stored name.
pub const KIND: &str = "copy_snapshot";
/// Name of the output: the copy's path.
pub const FILE: &str = "file";
/// Where copies lie: outside of what k3s cleans up or a person deletes with it.
pub const DIRECTORY: &str = "/var/lib/coxswain/snapshots";

/// No etcd database is larger.
const LARGEST: u64 = 16 * 1024 * 1024 * 1024;
/// Bytes sent at once.
const CHUNK: usize = 4 * 1024 * 1024;
/// A chunk over a slow line.
const CHUNK_TAKES: Duration = Duration::from_secs(120);
/// A chunk is sent again so often, with growing waits.
const TRIES: u32 = 5;

/// `$1` the file, `$2` how many bytes of it are right already; what follows on standard input.
pub(crate) const APPEND: Script = Script {
    name: "append-to-copy",
    text: r#"umask 077
if [ "$2" = 0 ]; then
    mkdir -p "${1%/*}" || exit 1
    chmod 0700 "${1%/*}" || exit 1
    : >"$1" || exit 1
fi
if [ "$(wc -c <"$1")" -lt "$2" ]; then
    echo "$1 is shorter than the $2 bytes that were sent" >&2
    exit 1
fi
truncate -s "$2" "$1" && exec cat >>"$1"
"#,
};

/// `$1` the file under way, `$2` its name once it is whole.
pub(crate) const FINISH: Script = Script {
    name: "finish-copy",
    text: "[ -e \"$1\" ] || exit 0\nsync \"$1\" && mv \"$1\" \"$2\" && sync \"${2%/*}\"\n",
};

/// `$1…` files.
pub(crate) const REMOVE: Script = Script {
    name: "remove-copy",
    text: "rm -f -- \"$@\"\n",
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Whose disk it lies on.
    pub from: ApiHost,
    /// Absolute path there.
    pub path: String,
    /// Whose disk it is copied to: another one.
    pub to: ApiHost,
    /// The checksum that was noted; none if the panel has not taken it.
    pub sha256: Option<String>,
}

impl Params {
    fn copy(&self) -> String {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        format!("{DIRECTORY}/{name}")
    }

    fn part(&self) -> String {
        format!("{}.part", self.copy())
    }
}

/// What the copy must be.
#[derive(Serialize, Deserialize)]
struct Memo {
    sha256: String,
}

/// The step kind.
pub struct CopySnapshot(pub Services);

impl CopySnapshot {
    async fn is_there(&self, params: &Params) -> Result<bool, StepFailure> {
        let copy = params.copy();
        let found = look(&*self.0.world, params.to.host, &[DIRECTORY.to_owned()])
            .await
            .map_err(failure::world)?;
        Ok(found.iter().any(|file| file.path == copy))
    }

    async fn send(&self, params: &Params, from: u64, bytes: Vec<u8>) -> Result<(), StepFailure> {
        let command = RemoteCommand::script(APPEND)
            .arg(params.part())
            .arg(from.to_string())
            .stdin(bytes)
            .sudo()
            .timeout(CHUNK_TAKES);
        patiently(&*self.0.world, params.to.host, command).await
    }
}

/// Runs what may be repeated until it is confirmed.
async fn patiently(
    world: &dyn World,
    host: HostId,
    command: RemoteCommand,
) -> Result<(), StepFailure> {
    let mut tries = 0;
    loop {
        let name = command.name().to_owned();
        tries += 1;
        match world
            .run(host, command.clone())
            .await
            .and_then(|o| o.ok(&name))
        {
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() && tries < TRIES => {
                sleep(Duration::from_secs(1) * 2u32.pow(tries)).await;
            }
            Err(error) => return Err(broken(error)),
        }
    }
}

/// A copy that broke off is begun anew by the next attempt, not waited for.
fn broken(error: WorldError) -> StepFailure {
    let advice = error
        .advice()
        .unwrap_or_else(|| "Retry: the copy is begun anew.".to_owned());
    failure::fatal(format!("the copy broke off: {error}"), advice)
}

#[async_trait]
impl StepKind for CopySnapshot {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let copy = params.copy();
        if context.memo.is_null() || !self.is_there(&params).await? {
            return Ok(Probe::NotDone {
                why: format!("{copy} is not on {} yet", params.to.name),
            });
        }
        let wanted = memo::<Memo>(context)?.sha256;
        let found = sha256(&*self.0.world, params.to.host, &copy)
            .await
            .map_err(failure::world)?;
        Ok(if found == wanted {
            Probe::Done {
                observed: format!("{copy} on {}, SHA-256 {found}", params.to.name),
                outputs: BTreeMap::from([(
                    FILE.to_owned(),
                    Output::Value {
                        value: Value::from(copy),
                    },
                )]),
            }
        } else {
            Probe::NotDone {
                why: format!("{copy} on {} has another checksum", params.to.name),
            }
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let now = sha256(&*self.0.world, params.from.host, &params.path)
            .await
            .map_err(failure::world)?;
        if params.sha256.as_ref().is_some_and(|noted| *noted != now) {
            return Err(failure::fatal(
                format!(
                    "{} on {} is not what it was when it was taken",
                    params.path, params.from.name
                ),
                "Nothing was changed. Choose another snapshot.",
            ));
        }
        serde_json::to_value(Memo { sha256: now }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        let source = world
            .stream_file(params.from.host, &params.path, LARGEST)
            .await
            .map_err(broken)?;
        let Some(mut source) = source else {
            return Err(StepFailure::fatal(format!(
                "{} is not on {} any more",
                params.path, params.from.name
            )));
        };
        let (mut sent, mut waiting) = (0u64, Vec::new());
        while let Some(piece) = source.pieces.next().await {
            waiting.extend_from_slice(&piece.map_err(broken)?);
            if waiting.len() >= CHUNK {
                let chunk = std::mem::take(&mut waiting);
                let next = sent + chunk.len() as u64;
                self.send(&params, sent, chunk).await?;
                sent = next;
            }
        }
        self.send(&params, sent, waiting).await?;
        let finish = RemoteCommand::script(FINISH)
            .arg(params.part())
            .arg(params.copy())
            .sudo()
            .timeout(CHUNK_TAKES);
        patiently(world, params.to.host, finish).await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        Ok(if self.is_there(&params).await? {
            Probe::NotDone {
                why: format!("{} is still on {}", params.copy(), params.to.name),
            }
        } else {
            Probe::Done {
                observed: format!("no copy is on {}", params.to.name),
                outputs: BTreeMap::new(),
            }
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let command = RemoteCommand::script(REMOVE)
            .arg(params.part())
            .arg(params.copy())
            .sudo();
        patiently(&*self.0.world, params.to.host, command).await
    }
}
