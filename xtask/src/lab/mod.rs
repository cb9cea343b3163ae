//! The lab: up, down, and who may log in. Its services stand in the top `docker-compose.yml`.

mod base;
mod files;
pub(crate) mod image;
mod saved;
mod spec;
mod time_scale;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use spec::Spec;
use spec::{HOSTS, Host, SERVICES, USER};
pub(crate) use time_scale::TimeScale;

use crate::cmd::{Cmd, cmd, wait_for};
use crate::paths;

/// The first three numbers of the default network.
pub(crate) const DEFAULT_NET: &str = "172.30.77";

/// Without these a container is no machine; other units may fail for what the machine below has or lacks.
const NEEDED_UNITS: [&str; 4] = [
    "ssh.service",
    "dbus.service",
    "systemd-journald.service",
    "haproxy.service",
];

/// One lab by its compose project name and network.
pub(crate) struct Lab {
    project: String,
    net: String,
    dir: PathBuf,
}

impl Lab {
    /// Names a lab; nothing is started.
    ///
    /// # Errors
    /// A project name that compose would refuse, or a network that is not three numbers of a private range.
    pub(crate) fn new(project: &str, net: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if project.is_empty() || project.starts_with('-') || !project.chars().all(plain) {
            bail!("--project: small letters, digits and dashes only, not `{project}`");
        }
        let address: std::net::Ipv4Addr = format!("{net}.0")
            .parse()
            .with_context(|| format!("--net: three numbers, not `{net}`"))?;
        if !address.is_private() {
            bail!("--net: {net} is not in a private range");
        }
        Ok(Self {
            project: project.to_owned(),
            net: net.to_owned(),
            dir: paths::lab(project),
        })
    }

    /// A lab on the first network from the given one upwards that the engine has no other use for.
    ///
    /// # Errors
    /// The engine does not tell its networks, or none is free.
    pub(crate) fn on_free_net(project: &str, preferred: &str) -> Result<Self> {
        let ids = cmd("docker").words("network ls --quiet").read()?;
        let taken = cmd("docker")
            .words("network inspect --format")
            .arg("{{.Name}} {{range .IPAM.Config}}{{.Subnet}} {{end}}")
            .args(ids.split_whitespace())
            .read()?;
        let own = format!("{project}_");
        let (front, last) = preferred.rsplit_once('.').context("three numbers")?;
        let first: u8 = last.parse().context("a number")?;
        let net = (first..=u8::MAX)
            .map(|number| format!("{front}.{number}"))
            .find(|net| {
                let subnet = format!(" {net}.0/");
                !taken
                    .lines()
                    .any(|line| line.contains(&subnet) && !line.starts_with(&own))
            })
            .with_context(|| format!("no network from {preferred} upwards is free"))?;
        Self::new(project, &net)
    }

    /// Project and network in one word, for tests that start it.
    pub(crate) fn place(&self) -> String {
        format!("{}@{}", self.project, self.net)
    }

    /// Brings everything up and waits until each host runs and answers; writes `lab.json`.
    ///
    /// # Errors
    /// No engine, an image or the stand-in does not build, or a host does not come up.
    pub(crate) fn up(&self, k3s: Option<&Path>, scale: TimeScale) -> Result<Spec> {
        self.prepare(k3s)?;
        scale.write(&self.dir)?;
        self.compose()
            .args(["up", "--detach", "--no-build"])
            .args(HOSTS.map(|host| host.name))
            .args(SERVICES)
            .timeout(180)
            .quiet()?;
        self.ready(k3s)
    }

    /// Makes what hosts are started from: images, and the files that they install from.
    ///
    /// # Errors
    /// No engine, or an image or the stand-in does not build.
    pub(crate) fn prepare(&self, k3s: Option<&Path>) -> Result<()> {
        image::build_all()?;
        files::prepare(&self.dir.join("files"), &self.files(), k3s)
    }

    /// Where the file server is reached.
    fn files(&self) -> String {
        format!("http://{}.30", self.net)
    }

    /// Waits until each host runs and answers; writes `lab.json`.
    fn ready(&self, k3s: Option<&Path>) -> Result<Spec> {
        let files = self.files();
        let public_key = self.key_pair()?;
        let mut hosts = Vec::new();
        for host in HOSTS {
            self.wait_for_boot(host.name)?;
            self.add_key(host.name, &public_key)?;
            hosts.push(Host {
                name: host.name.to_owned(),
                role: host.role,
                address: format!("{}.{}", self.net, host.last),
                ssh_port: 22,
                container: self.container(host.name),
                host_key: self
                    .exec(host.name, &["cat", "/etc/ssh/ssh_host_ed25519_key.pub"])?
                    .split_whitespace()
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" "),
            });
        }
        let spec = Spec {
            project: self.project.clone(),
            network: format!("{}.0/24", self.net),
            user: USER.to_owned(),
            private_key: self.key_file(),
            known_hosts: self.dir.join("known_hosts"),
            k3s: if k3s.is_some() {
                spec::K3s::Real
            } else {
                spec::K3s::Standin
            },
            installer_url: format!("{files}/install.sh"),
            k3s_url: format!("{files}/k3s"),
            hosts,
        };
        spec.wait_for_ssh()?;
        spec.write(&self.dir)?;
        Ok(spec)
    }

    /// Removes containers, network, volumes and the lab's folder.
    ///
    /// # Errors
    /// The engine refuses.
    pub(crate) fn down(&self) -> Result<()> {
        self.compose()
            .args(["down", "--volumes", "--remove-orphans", "--timeout", "1"])
            .timeout(120)
            .even_if_interrupted()
            .quiet()?;
        if self.dir.exists() {
            std::fs::remove_dir_all(&self.dir)?;
        }
        println!("lab {} is down", self.project);
        Ok(())
    }

    /// Writes every host's journal of this boot into a folder, for whoever has to find out what went wrong.
    ///
    /// # Errors
    /// The folder cannot be written. A host that cannot be asked has the reason in its file.
    pub(crate) fn keep_journals(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for host in HOSTS {
            let journal = cmd("docker")
                .arg("exec")
                .arg(self.container(host.name))
                .words("journalctl --boot --no-pager --lines 5000")
                .even_if_interrupted()
                .read()
                .unwrap_or_else(|error| format!("{error:#}"));
            std::fs::write(folder.join(format!("{}.journal", host.name)), journal)?;
        }
        println!("the hosts' journals are in {}", folder.display());
        Ok(())
    }

    /// The labs that are up on this machine, by their folders.
    ///
    /// # Errors
    /// The folder of labs cannot be read.
    pub(crate) fn all_up() -> Result<Vec<Self>> {
        let mut labs = Vec::new();
        let Ok(folders) = std::fs::read_dir(paths::lab("")) else {
            return Ok(labs);
        };
        for folder in folders {
            let folder = folder?;
            if folder.path().join("lab.json").exists() {
                labs.push(Self::new(
                    &folder.file_name().to_string_lossy(),
                    DEFAULT_NET,
                )?);
            }
        }
        Ok(labs)
    }

    /// Adds a public key to the user's `authorized_keys` on every host (once).
    ///
    /// # Errors
    /// Not a public key, or the lab is not up.
    pub(crate) fn authorize(&self, public_key: &str) -> Result<()> {
        let key = public_key.trim();
        if key.lines().count() != 1 || !key.starts_with("ssh-") && !key.starts_with("ecdsa-") {
            bail!("expected the one line of a `.pub` file, such as `ssh-ed25519 AAAA… name`");
        }
        for host in HOSTS {
            self.add_key(host.name, key)?;
        }
        println!(
            "authorised on {} of {}",
            HOSTS.map(|host| host.name).join(", "),
            self.project
        );
        Ok(())
    }

    /// Installs a Debian package on every node, for as long as the lab lives.
    ///
    /// # Errors
    /// apt fails there.
    pub(crate) fn install_on_nodes(&self, package: &str) -> Result<()> {
        let script = "apt-get update --quiet && exec apt-get install --quiet --yes --no-install-recommends \"$1\"";
        for host in HOSTS.iter().filter(|host| host.role == spec::Role::Node) {
            cmd("docker")
                .words("exec --env DEBIAN_FRONTEND=noninteractive")
                .arg(self.container(host.name))
                .args(["sh", "-c", script, "sh", package])
                .timeout(300)
                .quiet()?;
        }
        Ok(())
    }

    fn add_key(&self, service: &str, key: &str) -> Result<()> {
        let script = "cd ~ && touch .ssh/authorized_keys && chmod 0600 .ssh/authorized_keys \
            && read -r key && { grep -qxF \"$key\" .ssh/authorized_keys || printf '%s\\n' \"$key\" >> .ssh/authorized_keys; }";
        cmd("docker")
            .words("exec --interactive --env HOME=/home/ops --user")
            .arg(USER)
            .arg(self.container(service))
            .args(["sh", "-c", script])
            .input(format!("{key}\n"))
            .quiet()
    }

    /// systemd says `running`; where it says otherwise the error names the units that failed.
    fn wait_for_boot(&self, service: &str) -> Result<()> {
        let state = wait_for(&format!("systemd on {service}"), 90, || {
            let container = self.container(service);
            // Exit status 1 belongs to every state but `running`: the word counts.
            let state = cmd("docker")
                .args([
                    "exec",
                    &container,
                    "sh",
                    "-c",
                    "systemctl is-system-running --wait || true",
                ])
                .timeout(90)
                .read()?;
            Ok(matches!(state.as_str(), "running" | "degraded" | "maintenance").then_some(state))
        })?;
        if state == "running" {
            return Ok(());
        }
        let list = ["systemctl", "--failed", "--no-legend", "--plain"];
        let failed = self.exec(service, &list)?;
        let mut units = failed
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        if state == "maintenance" || units.any(|unit| NEEDED_UNITS.contains(&unit)) {
            bail!("{service} is {state}:\n{failed}");
        }
        println!("{service} goes on without:\n{failed}");
        Ok(())
    }

    fn exec(&self, service: &str, command: &[&str]) -> Result<String> {
        cmd("docker")
            .arg("exec")
            .arg(self.container(service))
            .args(command)
            .read()
    }

    /// As compose names it.
    fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project)
    }

    fn key_file(&self) -> PathBuf {
        self.dir.join("id_ed25519")
    }

    /// The lab's own key pair, for tests that look at hosts past the panel. Returns the public half.
    fn key_pair(&self) -> Result<String> {
        let private = self.key_file();
        if !private.exists() {
            cmd("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", &self.project, "-f"])
                .arg(&private)
                .quiet()?;
        }
        Ok(std::fs::read_to_string(private.with_extension("pub"))?
            .trim()
            .to_owned())
    }

    fn compose(&self) -> Cmd {
        cmd("docker")
            .words("compose --progress plain --project-name")
            .arg(&self.project)
            .arg("--project-directory")
            .arg(paths::root())
            .args(["--profile", "lab"])
            .env("LAB_NET", &self.net)
            .env("LAB_DIR", &self.dir)
            .dir(paths::root())
    }
}
