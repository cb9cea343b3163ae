//! The others: `ssh` in a shell loop, pyinfra, Ansible. Each is set up as its users are told to for speed, with
//! the lab's own key, and must show of every host as many successful looks as were asked for.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coxswain_e2e::exec;
use coxswain_e2e::lab::Lab;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::{LOOKS, SERVERS};

/// For one round of the slowest.
const PATIENCE: Duration = Duration::from_secs(300);
const READ: &str = "cat /etc/hostname";
/// `$1` is ssh's configuration, the rest are hosts.
const LOOP: &str =
    "config=$1; shift; for host do ssh -F \"$config\" \"$host\" cat /etc/hostname </dev/null; done";
/// `$1` is ssh's configuration, `$2` how often, the rest are hosts.
const LOOPS: &str = "config=$1 looks=$2; shift 2; hosts=$#; at=0; for host do \
    ( n=$at; while [ $n -lt $looks ]; do \
    ssh -F \"$config\" \"$host\" cat /etc/hostname </dev/null; n=$((n + hosts)); done ) & \
    at=$((at + 1)); done; wait";

/// Their programs and files.
pub(crate) struct Peers {
    /// `bin` of the environment that they are installed in
    programs: PathBuf,
    folder: TempDir,
}

impl Peers {
    /// Writes their files and opens the loop's connections.
    pub(crate) async fn prepare(lab: &Lab, programs: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("coxswain-bench-")
            .tempdir()?;
        let peers = Self {
            programs: programs.to_owned(),
            folder,
        };
        std::fs::write(
            peers.file("ssh_config"),
            ssh_config(lab, peers.folder.path())?,
        )?;
        let inventory = ansible_inventory(lab, peers.folder.path())?;
        std::fs::write(peers.file("hosts.json"), inventory.to_string())?;
        std::fs::write(peers.file("looks.json"), a_task_a_look().to_string())?;
        std::fs::write(peers.file("grouped.json"), grouped().to_string())?;
        std::fs::write(peers.file("inventory.py"), pyinfra_inventory(lab, &peers)?)?;
        Ok(peers)
    }

    /// Ends the connections that are kept open.
    pub(crate) async fn close(self) -> Result<()> {
        for entry in std::fs::read_dir(self.folder.path())? {
            let socket = entry?.path();
            if socket.extension().is_some_and(|end| end == "socket") {
                let mut command = Command::new("ssh");
                command.args(["-F", "none", "-O", "exit", "-S"]);
                command.arg(&socket).arg("peer");
                exec::run(command, "", PATIENCE).await?;
            }
        }
        Ok(())
    }

    /// The looks one after the other, over warm connections.
    pub(crate) async fn one_loop(&self) -> Result<Duration> {
        let mut command = Command::new("sh");
        command
            .args(["-c", LOOP, "sh"])
            .arg(self.file("ssh_config"));
        command.args((0..LOOKS).map(|look| SERVERS[look % SERVERS.len()]));
        self.timed(command, |name| format!("{name}\n")).await
    }

    /// A loop for each host, side by side.
    pub(crate) async fn a_loop_a_host(&self) -> Result<Duration> {
        let mut command = Command::new("sh");
        command
            .args(["-c", LOOPS, "sh"])
            .arg(self.file("ssh_config"));
        command.arg(LOOKS.to_string()).args(SERVERS);
        self.timed(command, |name| format!("{name}\n")).await
    }

    /// A deploy in which each look goes to all hosts at a time.
    pub(crate) async fn pyinfra(&self) -> Result<Duration> {
        let mut command = Command::new(self.programs.join("pyinfra"));
        command
            .arg("-y")
            .arg(self.file("inventory.py"))
            .arg(peer_file("pyinfra_looks.py"))
            .env("LOOKS", LOOKS.to_string())
            .current_dir(self.folder.path());
        self.timed(command, |name| format!("[{name}] Success"))
            .await
    }

    /// A playbook with a task for each look, in the loop's order.
    pub(crate) async fn ansible(&self) -> Result<Duration> {
        self.playbook("looks.json").await
    }

    /// A playbook whose tasks go to all hosts at a time.
    pub(crate) async fn ansible_grouped(&self) -> Result<Duration> {
        self.playbook("grouped.json").await
    }

    async fn playbook(&self, name: &str) -> Result<Duration> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(
            std::iter::once(self.programs.clone()).chain(std::env::split_paths(&path)),
        )?;
        let mut command = Command::new(self.programs.join("ansible-playbook"));
        command
            .args(["-v", "--inventory"])
            .arg(self.file("hosts.json"))
            .arg(self.file(name))
            .env("ANSIBLE_CONFIG", peer_file("ansible.cfg"))
            .env("ANSIBLE_HOME", self.file("ansible"))
            .env("ANSIBLE_NOCOLOR", "1")
            .env("PATH", path);
        self.timed(command, |name| format!("\"stdout\": \"{name}\""))
            .await
    }

    /// Runs it and counts what it shows of each host; `sign` is what one look at a host of this name leaves.
    async fn timed(&self, command: Command, sign: impl Fn(&str) -> String) -> Result<Duration> {
        let start = Instant::now();
        let output = exec::run(command, "", PATIENCE).await?;
        let passed = start.elapsed();
        let said = format!("{}{}", output.stdout, output.stderr);
        ensure!(output.code == Some(0), "status {:?}: {said}", output.code);
        for (place, name) in SERVERS.iter().enumerate() {
            let looked = said.matches(&sign(name)).count();
            let wanted = looks_at(place);
            ensure!(
                looked == wanted,
                "{looked} looks at {name} in place of {wanted}: {said}"
            );
        }
        Ok(passed)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// How many of the looks go to the host at this place.
fn looks_at(place: usize) -> usize {
    (place..LOOKS).step_by(SERVERS.len()).count()
}

fn peer_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/peers")
        .join(name)
}

/// Connections of a user of their own, kept open.
fn ssh_config(lab: &Lab, folder: &Path) -> Result<String> {
    let mut config = String::new();
    for name in SERVERS {
        let host = lab.host(name)?;
        config += &format!(
            "Host {name}\n  HostName {}\n  Port {}\n",
            host.address, host.ssh_port
        );
    }
    Ok(format!(
        "{config}Host *\n  User {}\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
         UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n  \
         LogLevel ERROR\n  ControlMaster auto\n  ControlPersist 300\n  ControlPath {}/%n.socket\n",
        lab.user,
        lab.private_key.display(),
        lab.known_hosts.display(),
        folder.display()
    ))
}

fn ansible_inventory(lab: &Lab, folder: &Path) -> Result<Value> {
    let mut hosts = serde_json::Map::new();
    for name in SERVERS {
        let host = lab.host(name)?;
        let address = json!({ "ansible_host": host.address, "ansible_port": host.ssh_port });
        hosts.insert(name.to_owned(), address);
    }
    let arguments = format!(
        "-F none -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes \
         -o ControlMaster=auto -o ControlPersist=300 -o ControlPath={}/ansible-%h.socket",
        lab.known_hosts.display(),
        folder.display()
    );
    Ok(json!({ "all": {
        "hosts": hosts,
        "vars": {
            "ansible_user": lab.user,
            "ansible_ssh_private_key_file": lab.private_key,
            "ansible_ssh_args": arguments,
            // Nothing is looked for.
            "ansible_python_interpreter": "/usr/bin/python3",
        },
    } }))
}

fn task(title: String) -> Value {
    json!({ "name": title, "ansible.builtin.command": READ })
}

fn a_task_a_look() -> Value {
    let tasks: Vec<Value> = (0..LOOKS)
        .map(|look| {
            let mut task = task(format!("look {look}"));
            task["run_once"] = json!(true);
            task["delegate_to"] = json!(SERVERS[look % SERVERS.len()]);
            task
        })
        .collect();
    json!([{ "hosts": "all", "gather_facts": false, "tasks": tasks }])
}

fn grouped() -> Value {
    let on_all = LOOKS / SERVERS.len();
    let tasks: Vec<Value> = (0..on_all)
        .map(|look| task(format!("look {look}")))
        .collect();
    let rest: Vec<&str> = SERVERS[..LOOKS % SERVERS.len()].to_vec();
    json!([
        { "hosts": "all", "gather_facts": false, "tasks": tasks },
        { "hosts": rest, "gather_facts": false, "tasks": [task("the rest".to_owned())] },
    ])
}

fn pyinfra_inventory(lab: &Lab, peers: &Peers) -> Result<String> {
    let mut hosts = Vec::new();
    for name in SERVERS {
        let host = lab.host(name)?;
        hosts.push(json!([name, {
            "ssh_hostname": host.address,
            "ssh_port": host.ssh_port,
            "ssh_user": lab.user,
            "ssh_key": lab.private_key,
            "ssh_known_hosts_file": lab.known_hosts,
            "ssh_strict_host_key_checking": "yes",
            "ssh_config_file": peers.file("none"),
        }]));
    }
    let json = serde_json::to_string(&hosts).context("the inventory")?;
    // JSON of texts and numbers reads as Python, but for pairs, which pyinfra wants as tuples.
    Ok(format!("lab = [tuple(pair) for pair in {json}]\n"))
}
