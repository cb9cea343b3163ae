//! What jobs have done at their end: k3s installed, removed, a snapshot saved.

use std::time::Duration;

use coxswain_k3s::env_file;
use coxswain_k3s::rotation::{Service, UnknownService};
use coxswain_k3s::serving::CACHE_FILE;
use coxswain_wire::HostId;
use tokio::time::Instant;

use super::host::below;
use super::k3s::{Fate, K3s, VERSION, sha256};
use super::{FakeHost, State, restore};
use crate::world::{JobId, JobSpec, Script, Secret};

/// Everything that k3s-uninstall.sh and the removal after it delete.
const PATHS: [&str; 11] = [
    "/usr/local/bin",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/etc/default/k3s",
    "/etc/default/k3s-agent",
    "/etc/rancher",
    "/var/lib/rancher",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/run/k3s",
    "/run/flannel",
];

impl State {
    /// A job has run its time: its effect.
    pub(super) fn end_job(&mut self, host: HostId, id: JobId, at: Instant) {
        let Some(spec) = self
            .hosts
            .get(&host)
            .and_then(|h| h.jobs.get(&id))
            .map(|job| job.spec.clone())
        else {
            return;
        };
        let result = match spec.script.name {
            "install-k3s-online" | "install-k3s-air-gap" => self.install(host, &spec, at),
            "place-k3s-online" | "place-k3s-air-gap" => self.place(host, &spec),
            "rotate-token" => self.rotate_token(host),
            "put-back-k3s" => self.put_back(host, &spec),
            "remove-k3s" => self.remove(host, &spec),
            "save-snapshot" => self.save_snapshot(host, &spec),
            "stop-k3s" => self.stop_unit(host, &spec),
            "start-k3s" => self.start_unit(host, &spec, at),
            "cluster-reset" => self.cluster_reset(host, &spec, at),
            "rejoin-k3s" => self.rejoin(host, &spec, at),
            "delete-snapshots" => self.delete_snapshots(host, &spec),
            "restart-k3s" => self.restart(host, &spec, at, &[]),
            "rotate-certificates" => self.rotate_and_restart(host, &spec, at),
            "renew-serving" => {
                let forgotten: Vec<String> = spec.args.get(2).cloned().into_iter().collect();
                self.restart(host, &spec, at, &forgotten)
            }
            _ => Ok(()),
        };
        if let Some(job) = self.hosts.get_mut(&host).and_then(|h| h.jobs.get_mut(&id)) {
            match result {
                Ok(()) => job.exit(at, 0, ""),
                Err(why) => job.exit(at, 1, &format!("{why}\n")),
            }
        }
    }

    /// k3s is there and up, as if it had been installed long ago. Joiners join the first cluster there is.
    pub(super) fn set_up(&mut self, id: HostId, unit: &str, words: &str) -> Result<(), String> {
        let script = Script {
            name: "install-k3s-online",
            text: "",
        };
        let mut spec = JobSpec::new(script, Duration::ZERO)
            .arg(unit)
            .arg("/run/coxswain/set-up")
            .arg("/nowhere");
        spec = spec.env("INSTALL_K3S_EXEC", words);
        if let Some(cluster) = self.clusters.values().next() {
            let token = format!("K10{}::server:{}", sha256(&cluster.ca), cluster.password);
            spec = spec.secret_env("K3S_TOKEN", Secret::new(token));
        }
        let now = Instant::now();
        self.install(id, &spec, now)?;
        match self
            .hosts
            .get_mut(&id)
            .and_then(|h| h.k3s.as_mut())
            .map(|k3s| &mut k3s.fate)
        {
            Some(Fate::Starts { up_at }) => *up_at = now,
            Some(Fate::Fails { message, .. }) => return Err(message.clone()),
            Some(Fate::Up { .. } | Fate::Stopped) | None => return Err("did not start".to_owned()),
        }
        self.come_up(id);
        self.settle();
        Ok(())
    }

    /// The servers have followed every change of their Secret.
    fn settle(&mut self) {
        let clusters: Vec<u64> = self.clusters.keys().copied().collect();
        for cluster in clusters {
            self.follow(cluster);
        }
    }

    /// See [`super::FakeWorld::restart_servers`].
    pub(super) fn restart_servers(&mut self, words: &str, config: Option<&str>) {
        let servers: Vec<HostId> = self
            .hosts
            .values()
            .filter(|host| host.k3s.as_ref().is_some_and(|k3s| !k3s.agent()))
            .map(|host| host.id)
            .collect();
        for cluster in self.clusters.values_mut() {
            cluster.shared = None;
        }
        for id in servers {
            let Some(host) = self.hosts.get_mut(&id) else {
                continue;
            };
            let Some(k3s) = host.k3s.as_mut() else {
                continue;
            };
            let mut kept: Vec<&str> = Vec::new();
            let mut old = k3s.words.iter();
            while let Some(word) = old.next() {
                if word == "--tls-san" {
                    old.next();
                } else {
                    kept.push(word);
                }
            }
            let line = format!("{}{words}", kept.join(" "));
            let unit = format!("/etc/systemd/system/{}", k3s.unit);
            let text = unit_text(&unit, line.split(' '));
            host.files.insert(unit, text);
            if let Some(config) = config {
                let path = "/etc/rancher/k3s/config.yaml";
                host.files.insert(path.to_owned(), config.to_owned());
            }
            host.files.remove(CACHE_FILE);
            host.reload();
            let now = Instant::now();
            self.start(id, now, true);
            if let Some(k3s) = self.hosts.get_mut(&id).and_then(|h| h.k3s.as_mut()) {
                k3s.fate = Fate::Starts { up_at: now };
            }
            self.come_up(id);
        }
        self.settle();
    }

    fn install(&mut self, id: HostId, spec: &JobSpec, at: Instant) -> Result<(), String> {
        let (invocation, cluster) = (self.unique(), self.unique());
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let [unit, mark, keep] = spec
            .args
            .get(..3)
            .and_then(|a| <[String; 3]>::try_from(a.to_vec()).ok())
            .ok_or("arguments")?;
        let env = |name: &str| {
            spec.env
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let words: Vec<String> = env("INSTALL_K3S_EXEC")
            .ok_or("INSTALL_K3S_EXEC")?
            .split(' ')
            .map(str::to_owned)
            .collect();
        let token = spec.secret_env.iter().find(|(key, _)| key == "K3S_TOKEN");
        let token = token.map(|(_, value)| String::from_utf8_lossy(value.expose()).into_owned());

        let version = installed(host, spec, 3);
        let unit_file = format!("/etc/systemd/system/{unit}");
        let binary = "/usr/local/bin/k3s";
        if let (Some(old), false) = (
            host.files.get(binary).cloned(),
            host.files.contains_key(&unit_file),
        ) {
            host.files.insert(format!("{keep}{binary}"), old);
        }
        let unit_text = unit_text(&unit_file, words.iter().map(String::as_str));
        let env_text = token
            .as_ref()
            .map_or(Ok(String::new()), |token| {
                env_file::render([("K3S_TOKEN", token.as_str())])
            })
            .map_err(|e| e.to_string())?;
        let script = if unit == "k3s-agent.service" {
            "k3s-agent-uninstall.sh"
        } else {
            "k3s-uninstall.sh"
        };
        for (path, text) in [
            (binary.to_owned(), format!("k3s {version}")),
            (
                "/usr/local/bin/k3s-killall.sh".to_owned(),
                "#!/bin/sh".to_owned(),
            ),
            (format!("/usr/local/bin/{script}"), "#!/bin/sh".to_owned()),
            (format!("{unit_file}.env"), env_text),
            (unit_file, unit_text.clone()),
            (mark, "cursor".to_owned()),
        ] {
            host.files.insert(path, text);
        }
        let has_data = host
            .k3s
            .as_ref()
            .map(|k3s| k3s.cluster)
            .filter(|_| host.has_database());
        let k3s = K3s {
            unit,
            enabled: true,
            words,
            cluster: has_data.unwrap_or(cluster),
            invocation,
            fate: Fate::Stopped,
            sans: Vec::new(),
            serving: None,
            loaded: unit_text,
            version,
            accepts: String::new(),
        };
        host.k3s = Some(k3s);
        self.start(id, at, has_data.is_some());
        Ok(())
    }

    /// Only the binary is another one afterwards; unit and environment file are put back.
    fn place(&mut self, id: HostId, spec: &JobSpec) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let [unit, keep] = spec
            .args
            .get(..2)
            .and_then(|a| <[String; 2]>::try_from(a.to_vec()).ok())
            .ok_or("arguments")?;
        let words = host.k3s.as_ref().filter(|k3s| k3s.unit == unit);
        let command = words.ok_or("no such unit")?.words.first();
        let given = |name: &str| spec.env.iter().find(|(key, _)| key == name);
        if given("INSTALL_K3S_EXEC").map(|(_, value)| value) != command {
            return Err("the installer would write another unit".to_owned());
        }
        if given("INSTALL_K3S_SKIP_ENABLE").is_none() {
            return Err("k3s would start with the installer's unit".to_owned());
        }
        let version = installed(host, spec, 2);
        let binary = "/usr/local/bin/k3s".to_owned();
        let old = host.files.insert(binary, format!("k3s {version}"));
        let old = old.ok_or("no k3s to replace")?;
        host.files.entry(format!("{keep}/k3s")).or_insert(old);
        Ok(())
    }

    fn put_back(&mut self, id: HostId, spec: &JobSpec) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let keep = spec.args.get(1).ok_or("arguments")?;
        if let Some(old) = host.files.remove(&format!("{keep}/k3s")) {
            host.files.insert("/usr/local/bin/k3s".to_owned(), old);
        }
        Ok(())
    }

    /// See [`super::FakeWorld::run_version`].
    pub(super) fn run_version(&mut self, id: HostId, version: &str) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let binary = "/usr/local/bin/k3s".to_owned();
        host.files.insert(binary, format!("k3s {version}"));
        if let Some(k3s) = host.k3s.as_mut() {
            version.clone_into(&mut k3s.version);
        }
        let nodes = self
            .clusters
            .values_mut()
            .flat_map(|c| c.nodes.values_mut());
        for node in nodes.filter(|node| node.host == id) {
            version.clone_into(&mut node.version);
        }
    }

    fn unit(&mut self, id: HostId, spec: &JobSpec) -> Result<&mut K3s, String> {
        let unit = spec.args.first().ok_or("arguments")?;
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let k3s = host.k3s.as_mut().filter(|k3s| k3s.unit == *unit);
        k3s.ok_or_else(|| format!("Failed to disable unit: Unit file {unit} does not exist."))
    }

    fn stop_unit(&mut self, id: HostId, spec: &JobSpec) -> Result<(), String> {
        let k3s = self.unit(id, spec)?;
        k3s.enabled = false;
        k3s.fate = Fate::Stopped;
        Ok(())
    }

    fn start_unit(&mut self, id: HostId, spec: &JobSpec, at: Instant) -> Result<(), String> {
        let (invocation, has_data) = (self.unique(), self.hosts[&id].has_database());
        let k3s = self.unit(id, spec)?;
        k3s.enabled |= spec.args.get(1).is_some_and(|word| word == "enable");
        if let Fate::Stopped = k3s.fate {
            k3s.invocation = invocation;
            self.start(id, at, has_data);
        }
        Ok(())
    }

    fn rotate_and_restart(
        &mut self,
        id: HostId,
        spec: &JobSpec,
        at: Instant,
    ) -> Result<(), String> {
        let (_, words) = spec.args.split_at_checked(5).ok_or("arguments")?;
        let services: Vec<Service> = words
            .iter()
            .map(|word| word.parse().map_err(|e: UnknownService| e.to_string()))
            .collect::<Result<_, _>>()?;
        self.rotate(id, &services)?;
        let copy = spec.args[3].clone();
        self.restart(id, spec, at, &[copy])
    }

    /// Stops k3s, removes files, and starts it again with the unit file as it is now.
    fn restart(
        &mut self,
        id: HostId,
        spec: &JobSpec,
        at: Instant,
        forgotten: &[String],
    ) -> Result<(), String> {
        let invocation = self.unique();
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let (unit, mark) = match spec.args.get(..2) {
            Some([unit, mark]) => (unit.clone(), mark.clone()),
            Some(_) | None => return Err("arguments".to_owned()),
        };
        let has_data = host.has_database();
        host.reload();
        let k3s = host.k3s.as_mut().filter(|k3s| k3s.unit == unit);
        let k3s = k3s.ok_or_else(|| format!("Failed to stop {unit}: Unit {unit} not loaded."))?;
        k3s.invocation = invocation;
        host.stale_units = false;
        k3s.serving = None;
        host.files.insert(mark, "cursor".to_owned());
        for file in forgotten {
            host.files.remove(file);
        }
        self.start(id, at, has_data);
        Ok(())
    }

    fn remove(&mut self, id: HostId, spec: &JobSpec) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let (keep, paths) = spec.args.split_first().ok_or("arguments")?;
        let stays = |file: &str| {
            paths.iter().any(|path| below(file, path))
                || !PATHS.iter().any(|path| below(file, path))
        };
        host.files.retain(|file, _| stays(file));
        for path in paths {
            if let Some(old) = host.files.remove(&format!("{keep}{path}")) {
                host.files.insert(path.clone(), old);
            }
        }
        host.remove_below(&[keep]);
        host.k3s = None;
        // With the last database the cluster is gone.
        let hosts = &self.hosts;
        self.clusters.retain(|number, _| {
            hosts.values().any(|h| {
                h.k3s
                    .as_ref()
                    .is_some_and(|k3s| !k3s.agent() && k3s.cluster == *number)
            })
        });
        Ok(())
    }

    fn save_snapshot(&mut self, id: HostId, spec: &JobSpec) -> Result<(), String> {
        if self.api_on(id).is_none() {
            return Err(
                "level=fatal msg=\"failed to register CRDs: connection refused\"".to_owned(),
            );
        }
        let second = self.unique();
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let name = spec.args.first().ok_or("arguments")?;
        let path = format!(
            "/var/lib/rancher/k3s/server/db/snapshots/{name}-{}-{}",
            host.name,
            1_795_326_133 + second
        );
        let number = host.k3s.as_ref().map(|k3s| k3s.cluster);
        let content = number
            .and_then(|number| self.clusters.get(&number))
            .map(restore::content)
            .ok_or("no cluster")?;
        host.files.insert(path, content);
        Ok(())
    }

    fn delete_snapshots(&mut self, id: HostId, spec: &JobSpec) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        for path in &spec.args {
            host.files.remove(path);
        }
        Ok(())
    }
}

/// The version that an installer leaves behind. Its own arguments begin at `from`.
fn installed(host: &FakeHost, spec: &JobSpec, from: usize) -> String {
    let named = spec
        .env
        .iter()
        .find(|(key, _)| key == "INSTALL_K3S_VERSION");
    let lies = || host.k3s_in(spec.args.get(from + 1)?);
    named
        .map(|(_, version)| version.clone())
        .or_else(lies)
        .unwrap_or_else(|| VERSION.to_owned())
}

/// A unit file in the installer's layout.
fn unit_text<'a>(unit_file: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words = words.into_iter();
    let subcommand = words.next().unwrap_or_default();
    let quoted: String = words.map(|word| format!("\t'{word}' \\\n")).collect();
    format!(
        "[Service]\nType=notify\nEnvironmentFile=-{unit_file}.env\nExecStart=/usr/local/bin/k3s \\\n    {subcommand} \\\n{quoted}\n"
    )
}
