//! Step kind `keep_names`: notes which names the certificate of :6443 has. Its undo asks for those that are
//! wanted again, and sees that all servers serve one certificate that has them. The last of all also sees
//! that it has no others; an earlier one comes before new names are taken out: a server that meets a name for
//! the first time issues all that it served with it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::San;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::serve_names::{looks, origins};
use super::server_files::FilesLook;
use super::serving::{self, agreed, served};
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "keep_names";
/// Name of the output: the names.
pub const NAMES: &str = "names";
/// Name of the output: the serial numbers that the servers show.
pub const SERIALS: &str = "serials";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// All servers.
    pub servers: Vec<ApiHost>,
    /// Its undo is content with new names in the certificate: a later one sees them gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
}

#[derive(Serialize, Deserialize)]
struct Memo {
    names: BTreeSet<AltName>,
    serials: BTreeSet<String>,
}

/// The step kind.
pub struct KeepNames(pub Services);

/// The `tls-san` of a server that the certificate had.
fn flags(look: &FilesLook, names: &BTreeSet<AltName>) -> Vec<San> {
    let sans = look.files.settings().sans().iter();
    sans.filter_map(|name| name.parse::<San>().ok())
        .filter(|san| names.contains(&AltName::from(san)))
        .collect()
}

#[async_trait]
impl StepKind for KeepNames {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        if context.memo.is_null() {
            return Ok(Probe::NotDone {
                why: "the names are not noted yet".to_owned(),
            });
        }
        let memo: Memo = super::memo(context)?;
        let value = |value: Result<Value, serde_json::Error>| {
            value
                .map(|value| Output::Value { value })
                .map_err(|e| StepFailure::fatal(e.to_string()))
        };
        let outputs = BTreeMap::from([
            (NAMES.to_owned(), value(serde_json::to_value(&memo.names))?),
            (
                SERIALS.to_owned(),
                value(serde_json::to_value(&memo.serials))?,
            ),
        ]);
        let serials: Vec<&str> = memo.serials.iter().map(String::as_str).collect();
        Ok(Probe::Done {
            observed: format!(
                "certificate {} has {}",
                serials.join(", "),
                serving::words(&memo.names)
            ),
            outputs,
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let (mut names, mut serials) = (BTreeSet::new(), BTreeSet::new());
        for server in &params.servers {
            let seen = served(&*self.0.world, server).await;
            let seen = seen.map_err(StepFailure::fatal)?;
            names.extend(seen.names);
            serials.insert(seen.serial);
        }
        serde_json::to_value(Memo { names, serials }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    /// Preparing has noted everything.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let world = &*self.0.world;
        let ways: Vec<&ApiHost> = params.servers.iter().collect();
        let now = match agreed(world, &ways).await {
            Ok(now) => now,
            Err(why) => return Ok(Probe::NotDone { why }),
        };
        let looks = looks(world, &params.servers).await?;
        let known = origins(looks.iter().map(|(server, look)| (*server, look)));
        let new = now.names.difference(&memo.names);
        let new: Vec<&AltName> = new.filter(|name| !known.comes_untold(name)).collect();
        if !new.is_empty() && !params.lenient {
            return Ok(Probe::NotDone {
                why: format!("still in the certificate: {}", serving::words(new)),
            });
        }
        for (_, look) in &looks {
            let flags = flags(look, &memo.names);
            let missing = flags
                .iter()
                .find(|san| !now.names.contains(&AltName::from(*san)));
            if let Some(missing) = missing {
                return Ok(Probe::NotDone {
                    why: format!("{missing} is not in the certificate yet"),
                });
            }
        }
        if params.lenient {
            let observed = format!("all servers serve {} with what is wanted", now.serial);
            return Ok(Probe::Done {
                observed,
                outputs: BTreeMap::new(),
            });
        }
        let gone: Vec<&AltName> = memo.names.difference(&now.names).collect();
        let observed = if gone.is_empty() {
            format!("all servers serve {} with the names as before", now.serial)
        } else {
            format!(
                "all servers serve {} with the names as before, but for {}, which no flag asks for",
                now.serial,
                serving::words(gone)
            )
        };
        Ok(Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let world = &*self.0.world;
        for (server, look) in looks(world, &params.servers).await? {
            for name in flags(&look, &memo.names) {
                serving::ask_for(world, server, &name)
                    .await
                    .map_err(StepFailure::fatal)?;
            }
        }
        Ok(())
    }
}
