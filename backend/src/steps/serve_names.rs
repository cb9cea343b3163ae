//! Step kind `serve_names`: every server and load balancer serves one certificate with exactly the wanted
//! names. Asking is what makes k3s issue it (facts A, 06 and 07); a name to be gone is never asked for.

use std::collections::BTreeSet;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::San;
use coxswain_k3s::san_origin::{Origins, Told as Server};
use coxswain_k3s::sans::SanChange;
use coxswain_wire::{ClusterId, FieldValue, NextRun, Report};
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
/// Name of the output: what may be next, where names are left that nothing asks for.
const REPORT: &str = "report";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Whose certificate it is, if a run is to be offered that takes out what nothing asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<ClusterId>,
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

/// A run that takes names out that nothing asks for.
fn without(cluster: ClusterId, history: &BTreeSet<&AltName>) -> NextRun {
    let names = history.iter().map(ToString::to_string).collect();
    NextRun {
        title: "Take the names out that nothing asks for".to_owned(),
        why: "They stand in the certificate from before. The form can be changed before anything is planned.".to_owned(),
        workflow: "san_change".to_owned(),
        inputs: [
            ("cluster".to_owned(), FieldValue::Id(cluster.0)),
            ("remove".to_owned(), FieldValue::List(names)),
        ]
        .into(),
    }
}

/// What the servers' files say.
struct Told {
    known: Origins,
    /// A server whose files do not say what they must.
    behind: Option<String>,
    /// By server.
    flags: Vec<(ApiHost, Vec<San>)>,
}

async fn told(world: &dyn World, params: &Params) -> Result<Told, StepFailure> {
    let mut behind = None;
    let looks = looks(world, &params.servers).await?;
    for (server, look) in &looks {
        if !look.files.say(&params.change) {
            behind = Some(server.name.clone());
        }
    }
    let flags = looks.iter().map(|(server, look)| {
        let sans = look.files.settings().sans().iter();
        let names = sans.filter_map(|name| name.parse().ok()).collect();
        ((*server).clone(), names)
    });
    Ok(Told {
        behind,
        flags: flags.collect(),
        known: origins(looks.iter().map(|(server, look)| (*server, look))),
    })
}

/// The files of these servers.
pub(crate) async fn looks<'a>(
    world: &dyn World,
    servers: &'a [ApiHost],
) -> Result<Vec<(&'a ApiHost, FilesLook)>, StepFailure> {
    let mut looks = Vec::new();
    for server in servers {
        let look = FilesLook::take(world, server.host).await?;
        looks.push((server, look.map_err(|e| refused(&e))?));
    }
    Ok(looks)
}

/// Where names come from with these files on the servers.
pub(crate) fn origins<'a>(
    servers: impl IntoIterator<Item = (&'a ApiHost, &'a FilesLook)>,
) -> Origins {
    let told: Vec<Server<'_>> = servers
        .into_iter()
        .map(|(server, look)| Server {
            node: &server.name,
            address: &server.address,
            interfaces: &look.interfaces,
            settings: look.files.settings(),
        })
        .collect();
    Origins::of(&told)
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
        let wanted: BTreeSet<&AltName> = told.known.flags().collect();
        let missing: Vec<&AltName> = wanted
            .iter()
            .filter(|name| !now.names.contains(**name))
            .copied()
            .collect();
        if !missing.is_empty() {
            return not_done(format!(
                "not in the certificate: {}",
                serving::words(missing)
            ));
        }
        let removed: BTreeSet<AltName> = params.change.remove.iter().map(AltName::from).collect();
        let left: Vec<&AltName> = now.names.intersection(&removed).collect();
        if !left.is_empty() {
            // The way of facts A 15 lies behind this step: asking again takes nothing out.
            return not_done(format!(
                "still in the certificate: {}. A client has asked for it since: let it use another name, then unwind or abandon this run and start a new one",
                serving::words(left)
            ));
        }
        let history: BTreeSet<&AltName> = told.known.history(&now.names).collect();
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
            serving::words(wanted),
        );
        let next = params.offered.filter(|_| !history.is_empty());
        let report = next.map(|cluster| Report {
            next: vec![without(cluster, &history)],
            ..Report::default()
        });
        if !history.is_empty() {
            observed.push_str(&format!(
                "; left from before, asked for by no flag: {}",
                serving::words(history)
            ));
        }
        Ok(Probe::Done {
            observed,
            outputs: report
                .map(|report| (REPORT.to_owned(), Output::Report(report)))
                .into_iter()
                .collect(),
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
