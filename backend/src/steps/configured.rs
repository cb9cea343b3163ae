//! What k3s on a host is told: command line, configuration files and environment of its unit.

use coxswain_engine::step::StepFailure;
use coxswain_k3s::config_yaml::Config;
use coxswain_k3s::env_file::{EnvFile, render};
use coxswain_k3s::preflight::HostFacts;
use coxswain_k3s::settings::Settings;
use coxswain_k3s::unit_file::UnitEnvironment;
use coxswain_wire::HostId;

use super::failure;
use super::inspect::inspect;
use super::unit::UnitLook;
use crate::world::{KubeNode, World};

/// Longest environment file that is read.
const ENV_FILE_MAX: usize = 64 * 1024;

/// A host's k3s as it is configured. May hold secrets.
pub(crate) struct Configured {
    /// The unit.
    pub(crate) look: UnitLook,
    /// The words after the subcommand; none if the unit does not start k3s.
    pub(crate) args: Vec<String>,
    /// The environment files of the unit that are there, path and text, in its order.
    pub(crate) env_files: Vec<(String, String)>,
    /// The environment that systemd gives it, a later variable of the same name wins.
    pub(crate) environment: EnvFile,
    /// The settings in force.
    pub(crate) settings: Settings,
    /// What else was seen of the host.
    pub(crate) facts: HostFacts,
}

impl Configured {
    /// Looks.
    ///
    /// # Errors
    /// The host cannot be asked, or a configuration file is none.
    pub(crate) async fn take(
        world: &dyn World,
        host: HostId,
        unit: &str,
    ) -> Result<Self, StepFailure> {
        let facts = inspect(world, host).await.map_err(failure::world)?;
        let look = UnitLook::take(world, host, unit, None).await?;
        let files = facts
            .config_files
            .iter()
            .map(|file| (file.path.as_str(), file.text.as_str()));
        let config = Config::merge(files).map_err(|e| {
            failure::fatal(
                e.to_string(),
                "k3s does not start with this file: correct it.",
            )
        })?;
        let told = UnitEnvironment::parse(&look.files, unit);
        let env_files = env_files(world, host, &told).await?;
        let environment = environment(&told, &env_files);
        let words = look.words().unwrap_or_default();
        let args = words.get(1..).unwrap_or_default().to_vec();
        Ok(Self {
            settings: Settings::effective(&args, &config, &environment),
            look,
            args,
            env_files,
            environment,
            facts,
        })
    }
}

/// Nodes that cannot be Ready before somebody installs a network plugin, as the k3s of the server brings none.
///
/// # Errors
/// The server cannot be asked.
pub(crate) async fn waiting_for_network(
    world: &dyn World,
    server: HostId,
    nodes: &[KubeNode],
) -> Result<Vec<String>, StepFailure> {
    let lacking = lacking_plugin(nodes);
    if lacking.is_empty() {
        return Ok(lacking);
    }
    Ok(if brings_network(world, server).await? {
        Vec::new()
    } else {
        lacking
    })
}

/// Whether the k3s of a server brings the network of pods. Where it does not, nodes wait for a network plugin.
///
/// # Errors
/// As above.
pub(crate) async fn brings_network(world: &dyn World, server: HostId) -> Result<bool, StepFailure> {
    let told = Configured::take(world, server, "k3s.service").await?;
    Ok(told.settings.brings_network())
}

/// Where one node is Ready, there is a plugin: it is broken on the others.
fn lacking_plugin(nodes: &[KubeNode]) -> Vec<String> {
    if nodes.iter().any(|n| n.ready) {
        return Vec::new();
    }
    let lacking = nodes.iter().filter(|n| n.lacks_network);
    lacking.map(|n| n.name.clone()).collect()
}

async fn env_files(
    world: &dyn World,
    host: HostId,
    told: &UnitEnvironment,
) -> Result<Vec<(String, String)>, StepFailure> {
    let mut found = Vec::new();
    for path in &told.files {
        let file = world
            .read_file(host, path, ENV_FILE_MAX)
            .await
            .map_err(failure::world)?;
        if let Some(bytes) = file {
            found.push((path.clone(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Ok(found)
}

fn environment(told: &UnitEnvironment, files: &[(String, String)]) -> EnvFile {
    let pairs = told
        .values
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    // What systemd would not take either is left out as a whole: files come after it anyhow.
    let mut text = render(pairs).unwrap_or_default();
    for (_, file) in files {
        text.push('\n');
        text.push_str(file);
    }
    EnvFile::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_broke_is_not_waited_for() {
        let node = |name: &str, ready: bool| KubeNode {
            name: name.to_owned(),
            ready,
            lacks_network: !ready,
            ..KubeNode::default()
        };
        let new = [node("node1", false), node("node2", false)];
        assert_eq!(lacking_plugin(&new), ["node1", "node2"]);
        let broken = [node("node1", false), node("node2", true)];
        assert_eq!(lacking_plugin(&broken), [""; 0]);
    }
}
