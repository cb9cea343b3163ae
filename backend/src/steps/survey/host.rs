//! One host: what runs there, what it is told, where its data and its token lie.

use std::net::IpAddr;

use coxswain_k3s::config_yaml::Config;
use coxswain_k3s::env_file::EnvFile;
use coxswain_k3s::preflight::{DatastoreKind, HostFacts};
use coxswain_k3s::settings::Settings;
use coxswain_wire::Fact;

use super::told;
use super::{NodeRole, Script, World, fail, pass, warn};
use crate::steps::inspect::{inspect, named_units};
use crate::steps::kube::{ApiHost, read_kubeconfig};
use crate::steps::unit::UnitLook;
use crate::world::{RemoteCommand, WorldError};

/// Longest environment file that is read.
const MAX_ENV: usize = 64 * 1024;
/// Longest certificate file that is read.
const MAX_CA: usize = 64 * 1024;
/// The CA of the cluster, as an agent keeps it.
const AGENT_CA: &str = "/var/lib/rancher/k3s/agent/server-ca.crt";

/// `$1` the unit. Modes of the files that tell k3s what to do, and whether Rancher's agent is there.
pub(crate) const FILES: Script = Script {
    name: "survey-files",
    text: r#"unit=$1
mode() { [ -f "$1" ] && stat -L -c '%a %n' "$1"; }
echo '--- modes'
systemctl show "$unit" -p FragmentPath -p DropInPaths | sed 's/^[A-Za-z]*=//' | tr ' ' '\n' |
    while IFS= read -r file; do mode "$file"; done
for file in "/etc/systemd/system/$unit.env" "/etc/default/${unit%.service}" "/etc/sysconfig/${unit%.service}" \
    /etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/*; do mode "$file"; done
echo '--- rancher'
[ ! -e /etc/systemd/system/rancher-system-agent.service ] || echo yes
exit 0
"#,
};

/// What was read of a host. Without `told`, a fact says why it could not be.
pub(super) struct Read<'a> {
    pub(super) node: &'a ApiHost,
    pub(super) role: NodeRole,
    pub(super) told: Option<Settings>,
    /// PEM of the CA that k3s there trusts.
    pub(super) ca: Option<Vec<u8>>,
    pub(super) datastore: DatastoreKind,
    /// Addresses of the host.
    pub(super) interfaces: Vec<IpAddr>,
    /// Rancher's agent is on the host.
    pub(super) rancher: bool,
    pub(super) facts: Vec<Fact>,
}

/// Reads a host.
pub(super) async fn read<'a>(world: &dyn World, node: &'a ApiHost, role: NodeRole) -> Read<'a> {
    let mut read = Read {
        node,
        role,
        told: None,
        ca: None,
        datastore: DatastoreKind::None,
        interfaces: Vec::new(),
        rancher: false,
        facts: Vec::new(),
    };
    match inspect(world, node.host).await {
        Err(error) => read.facts.push(unreachable(&node.name, &error)),
        Ok(found) => {
            let connected = "signed in over SSH, root by sudo";
            read.facts.push(pass(&node.name, "Connection", connected));
            read.datastore = found.datastore;
            read.interfaces.clone_from(&found.addresses);
            let role = role_fact(&node.name, role, &found);
            let there = role.advice.is_none();
            read.facts.push(role);
            read.facts.extend(named(&node.name, &found));
            if there && let Err(why) = read.k3s(world, &found).await {
                let advice = "Correct this on the host, then collect the evidence again.";
                read.facts.push(fail(&node.name, "k3s", why, advice));
            }
        }
    }
    read
}

pub(super) fn unreachable(name: &str, error: &WorldError) -> Fact {
    let advice = error
        .advice()
        .unwrap_or_else(|| "Test the connection on the host's page.".to_owned());
    fail(name, "Connection", error.to_string(), advice)
}

impl Read<'_> {
    /// What k3s is told there, its CA, its data.
    async fn k3s(&mut self, world: &dyn World, found: &HostFacts) -> Result<(), String> {
        let (host, unit) = (self.node.host, self.role.unit());
        let failed = |failure: coxswain_engine::step::StepFailure| failure.into_error().message;
        let look = UnitLook::take(world, host, unit, None)
            .await
            .map_err(failed)?;
        let words = look
            .words()
            .ok_or_else(|| format!("{unit} does not start k3s in a way that is understood"))?;
        let asked = world
            .run(host, RemoteCommand::script(FILES).arg(unit).sudo())
            .await
            .and_then(|o| o.ok(FILES.name))
            .map_err(|e| e.to_string())?;
        let files = told::Files::parse(&asked.text());
        let mut variables = String::new();
        for path in told::env_files(unit) {
            let text = world.read_file(host, &path, MAX_ENV).await;
            if let Some(bytes) = text.map_err(|e| e.to_string())? {
                variables.push_str(&String::from_utf8_lossy(&bytes));
                variables.push('\n');
            }
        }
        let env = EnvFile::parse(&variables);
        let config = found
            .config_files
            .iter()
            .map(|f| (f.path.as_str(), f.text.as_str()));
        let config = Config::merge(config).map_err(|e| e.to_string())?;
        let settings = Settings::effective(words.get(1..).unwrap_or_default(), &config, &env);

        self.rancher = files.rancher;
        let name = self.node.name.as_str();
        let mut facts = told::facts(name, &settings, &look.files, &files);
        if self.role == NodeRole::Server {
            facts.push(datastore(name, &settings, found.datastore));
        }
        facts.extend(unsupported(name, &settings));
        self.facts.extend(facts);
        self.told = Some(settings);
        self.ca = match self.role {
            NodeRole::Server => {
                let config = read_kubeconfig(world, host).await.map_err(failed)?;
                let config = config.ok_or("it has no usable /etc/rancher/k3s/k3s.yaml")?;
                Some(config.ca_pem().to_vec())
            }
            NodeRole::Agent => world
                .read_file(host, AGENT_CA, MAX_CA)
                .await
                .map_err(|e| e.to_string())?,
        };
        Ok(())
    }
}

/// A k3s installed with `INSTALL_K3S_NAME`, which nothing here acts on.
fn named(name: &str, found: &HostFacts) -> Option<Fact> {
    // No word of an uninstall script: it would stop the living cluster's k3s as well.
    named_units(found).map(|units| {
        warn(
            name,
            "k3s of another name",
            units,
            "This panel acts on k3s.service and k3s-agent.service alone. If the cluster runs by this unit, leave it out; if it is a remainder, disable the unit and delete its file.",
        )
    })
}

/// The unit that the inventory expects runs, and the other one does not.
fn role_fact(name: &str, role: NodeRole, found: &HostFacts) -> Fact {
    const NAME: &str = "Role";
    let (own, other, word, instead) = match role {
        NodeRole::Server => (&found.k3s_unit, &found.agent_unit, "server", "agent"),
        NodeRole::Agent => (&found.agent_unit, &found.k3s_unit, "agent", "server"),
    };
    let says = format!("the inventory says {word}");
    match (own.is_alive(), other.is_alive()) {
        (true, false) if own.state == "active" => {
            pass(name, NAME, format!("{word}: {} is active", own.unit))
        }
        (true, false) => fail(
            name,
            NAME,
            format!("{} is {}", own.unit, own.state),
            format!("Bring k3s up there first: journalctl -u {}.", own.unit),
        ),
        (false, true) => fail(
            name,
            NAME,
            format!("{says}, but {} is {}", other.unit, other.state),
            format!("Edit the cluster and make this host its {instead}."),
        ),
        (true, true) => fail(
            name,
            NAME,
            format!("both {} and {} run", own.unit, other.unit),
            "Stop and disable the one that does not belong there.",
        ),
        (false, false) => fail(
            name,
            NAME,
            format!("{says}, but k3s does not run"),
            "Take the host out of the cluster in the inventory, or start k3s there.",
        ),
    }
}

fn datastore(name: &str, settings: &Settings, kind: DatastoreKind) -> Fact {
    const NAME: &str = "Datastore";
    if let Some(endpoint) = settings.values("datastore-endpoint").first() {
        // What stands behind the scheme holds a password.
        let scheme = endpoint.split_once("://").map(|(scheme, _)| scheme);
        let value = match scheme {
            Some(scheme) => format!("external: {scheme}"),
            None => "external".to_owned(),
        };
        let advice = "This panel runs clusters with embedded etcd; an external datastore is not supported. Leave this cluster out.";
        return fail(name, NAME, value, advice);
    }
    match kind {
        DatastoreKind::Etcd => pass(name, NAME, "embedded etcd"),
        DatastoreKind::Sqlite => warn(
            name,
            NAME,
            "SQLite: one server, not highly available",
            "Its loss is an outage. No other server can join, and there is no quorum and no etcd snapshot: procedures that need them refuse. k3s turns it into etcd when it is started once with --cluster-init.",
        ),
        DatastoreKind::None | DatastoreKind::Remains => fail(
            name,
            NAME,
            "there is no database in /var/lib/rancher/k3s/server/db",
            "Look at k3s on this host: it has not come up as a server.",
        ),
    }
}

/// Settings that the procedures of the panel do not know how to live with.
fn unsupported(name: &str, settings: &Settings) -> Vec<Fact> {
    const NAME: &str = "Supported";
    let mut why = Vec::new();
    for (flag, usual) in [
        ("data-dir", "/var/lib/rancher/k3s"),
        ("https-listen-port", "6443"),
        ("write-kubeconfig", "/etc/rancher/k3s/k3s.yaml"),
        ("config", "/etc/rancher/k3s/config.yaml"),
    ] {
        if let Some(value) = settings.values(flag).last()
            && value.trim_end_matches('/') != usual
        {
            why.push(format!("--{flag} is {value} instead of {usual}"));
        }
    }
    for switch in [
        "disable-etcd",
        "disable-apiserver",
        "disable-controller-manager",
        "disable-scheduler",
        "disable-agent",
        "rootless",
    ] {
        if settings.is_on(switch) {
            why.push(format!("--{switch} is set"));
        }
    }
    if why.is_empty() {
        return Vec::new();
    }
    let advice = "The procedures of this panel expect servers that are control plane, etcd member and node at once, in k3s's usual places. Leave this cluster out, or change it first.";
    vec![fail(name, NAME, why.join("; "), advice)]
}
