//! Where a node's k3s is told its token, and the same files with another one.

use coxswain_engine::step::StepFailure;
use coxswain_k3s::settings::Source;
use coxswain_k3s::token::Token;
use coxswain_k3s::token_place::{Files, Retold, retold};
use coxswain_wire::HostId;

use super::configured::Configured;
use super::node_files::{NodeFiles, env_path, unit_path};
use super::restart::NodeRole;
use crate::world::World;

/// A node's files, and the token in force.
pub(crate) struct ToldToken {
    /// As they are.
    pub(crate) files: NodeFiles,
    /// The token that the next start takes; none if k3s keeps it by itself (servers only). Secret.
    pub(crate) token: Option<String>,
    /// Where it stands.
    pub(crate) place: Option<Source>,
    /// Unit file and drop-ins, one behind the other. Secret.
    in_force: String,
    /// The unit's environment files that are there, path and text.
    env_files: Vec<(String, String)>,
    /// Agents join with a token of their own.
    pub(crate) of_agents: bool,
}

impl ToldToken {
    /// Looks.
    ///
    /// # Errors
    /// The host cannot be asked, or a configuration file is none.
    pub(crate) async fn take(
        world: &dyn World,
        host: HostId,
        role: NodeRole,
    ) -> Result<Self, StepFailure> {
        let found = Configured::take(world, host, role.unit()).await?;
        let set = |name: &str| found.settings.values(name).last().cloned();
        Ok(Self {
            files: NodeFiles::take(world, host, role).await?,
            token: set("token"),
            place: found.settings.get("token").map(|set| set.source.clone()),
            in_force: found.look.files.clone(),
            env_files: found.env_files.clone(),
            of_agents: set("agent-token").is_some() || set("agent-token-file").is_some(),
        })
    }

    /// An agent that is told a token made for joining alone: the cluster's would let it do more than it may.
    pub(crate) fn joined_with_its_own(&self, role: NodeRole) -> bool {
        let token = self.token.as_deref().map(str::parse::<Token>);
        role == NodeRole::Agent
            && token.is_some_and(|token| token.is_ok_and(|token| token.bootstrap().is_some()))
    }

    /// The files that must be written for another token, by path; why it cannot be done, in words.
    pub(crate) fn with(&self, role: NodeRole, token: &str) -> Result<Retold, String> {
        let (unit, env) = (unit_path(role), env_path(role));
        let text = |path: &str| self.files.text(path);
        let unit_text = text(&unit).ok_or_else(|| format!("there is no {unit}"))?;
        let files = Files {
            unit_path: &unit,
            unit: unit_text,
            env_path: &env,
            env: text(&env).unwrap_or_default(),
            in_force: &self.in_force,
            environments: self
                .env_files
                .iter()
                .map(|(path, text)| (path.as_str(), text.as_str()))
                .collect(),
            configs: self.files.below("/etc/rancher/k3s/config.yaml").collect(),
        };
        let retold = retold(&files, token).map_err(|e| e.to_string())?;
        // Written over, a link would leave the file that it points to with the old token.
        let mut written = retold.files.iter().map(|(path, _)| path);
        match written.find(|path| self.files.has(path) && self.files.mode(path).is_none()) {
            Some(path) => Err(format!("{path} is a symbolic link")),
            None => Ok(retold),
        }
    }
}
