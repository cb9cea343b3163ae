//! Step kind `serve_names`: every server and load balancer serves one certificate with exactly the wanted
//! names. Asking is what makes k3s issue it (facts A, 06 and 07); a name to be gone is never asked for.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::San;
use coxswain_k3s::sans::{SanChange, own_names};
use coxswain_k3s::serving::{Known, Origin};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::edit_sans::refused;
use super::kube::ApiHost;
use super::server_files::FilesLook;
use super::serving::{self, agreed};
use super::{Services, check};
use crate::world::World;

/// Stored name.
pub const KIND: &str = "serve_names";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// All servers.
    pub servers: Vec<ApiHost>,
    /// Load balancers in front of them.
    pub load_balancers: Vec<ApiHost>,
    /// What was changed.
    pub change: SanChange,
    /// Names of the certificate before. What nothing asks for today may stay, but nothing may come.
    pub before: Param<BTreeSet<AltName>>,
}

/// The step kind.
pub struct ServeNames(pub Services);

/// What the servers' files say.
struct Told {
    known: Known,
    /// A server whose files do not say what they must.
    behind: Option<String>,
    /// By server.
    flags: Vec<(ApiHost, Vec<San>)>,
}

async fn told(world: &dyn World, params: &Params) -> Result<Told, StepFailure> {
    let mut told = Told {
        known: known_nodes(&params.servers),
        behind: None,
        flags: Vec::new(),
    };
    for server in &params.servers {
        let look = FilesLook::take(world, server.host)
            .await?
            .map_err(|e| refused(&e))?;
        let settings = look.files.settings();
        if !params.change.is_done(settings.sans()) {
            told.behind = Some(server.name.clone());
        }
        told.known.standard.extend(own_names(settings));
        let sans = settings.sans();
        told.known
            .flags
            .extend(sans.iter().map(|name| AltName::from_text(name)));
        let flags = sans.iter().filter_map(|name| name.parse().ok()).collect();
        told.flags.push((server.clone(), flags));
    }
    Ok(told)
}

/// Names and addresses of the servers.
pub(crate) fn known_nodes(servers: &[ApiHost]) -> Known {
    let all = |text: fn(&ApiHost) -> &str| {
        servers
            .iter()
            .map(|server| AltName::from_text(text(server)))
            .collect()
    };
    Known {
        host_names: all(|s| &s.name),
        addresses: all(|s| &s.address),
        ..Known::default()
    }
}

#[async_trait]
impl StepKind for ServeNames {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let before = params
            .before
            .resolve(&context.outputs)
            .map_err(StepFailure::fatal)?;
        let not_done = |why: String| Ok(Probe::NotDone { why });
        let told = told(&*self.0.world, &params).await?;
        if let Some(server) = told.behind {
            return not_done(format!("the files of {server} do not name what is wanted"));
        }
        let ways: Vec<&ApiHost> = params
            .servers
            .iter()
            .chain(&params.load_balancers)
            .collect();
        let now = match agreed(&*self.0.world, &ways).await {
            Ok(now) => now,
            Err(why) => return not_done(why),
        };
        let missing: Vec<&AltName> = told.known.flags.difference(&now.names).collect();
        if !missing.is_empty() {
            return not_done(format!(
                "not in the certificate: {}",
                serving::words(missing)
            ));
        }
        let removed: BTreeSet<AltName> = params.change.remove.iter().map(AltName::from).collect();
        let left: Vec<&AltName> = now.names.intersection(&removed).collect();
        if !left.is_empty() {
            return not_done(format!(
                "still in the certificate: {}",
                serving::words(left)
            ));
        }
        let history: BTreeSet<&AltName> = told.known.of(&now.names, Origin::History).collect();
        let strangers: Vec<&AltName> = history
            .iter()
            .filter(|name| !before.contains(**name))
            .copied()
            .collect();
        if !strangers.is_empty() {
            return not_done(format!(
                "came into the certificate unasked: {}",
                serving::words(strangers)
            ));
        }
        let mut observed = format!(
            "{} serve one certificate, {}, for {}",
            ways.iter()
                .map(|w| w.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            now.serial,
            serving::words(told.known.of(&now.names, Origin::Flag)),
        );
        if !history.is_empty() {
            observed.push_str(&format!(
                "; left from before, asked for by no flag: {}",
                serving::words(history)
            ));
        }
        Ok(Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let told = told(&*self.0.world, &params).await?;
        for (server, flags) in told.flags {
            for name in flags
                .iter()
                .filter(|name| !params.change.remove.contains(name))
            {
                serving::ask_for(&*self.0.world, &server, name)
                    .await
                    .map_err(StepFailure::fatal)?;
            }
        }
        Ok(())
    }
}
