//! Servers as child processes, each under a root directory of its own.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::address::Network;
use crate::wire::{Ask, Certificate};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_k3s-standin");
/// Longest wait for anything a server does.
const PATIENCE: Duration = Duration::from_secs(90);

/// Flags the recorded cluster was installed with.
pub(crate) const RECORDED_FLAGS: [&str; 12] = [
    "--tls-san",
    "cluster.lab",
    "--snapshotter",
    "native",
    "--container-runtime-endpoint",
    "/run/containerd/containerd.sock",
    "--flannel-backend",
    "none",
    "--disable",
    "traefik,servicelb,metrics-server,local-storage,coredns",
    "--disable-network-policy",
    "--disable-kube-proxy",
];

/// Machines that have a network and nothing running yet.
pub(crate) struct Cluster {
    directory: TempDir,
    pub(crate) network: Network,
    time_scale: String,
    program: PathBuf,
    running: Vec<(u8, Child)>,
}

impl Cluster {
    /// Machines whose k3s runs in real time.
    pub(crate) fn new() -> Self {
        Self::scaled("1.0")
    }

    /// Machines whose k3s runs with scaled timers.
    pub(crate) fn scaled(time_scale: &str) -> Self {
        let found = Command::new("etcd").arg("--version").output();
        assert!(
            found.is_ok(),
            "the program etcd is missing: install Debian's etcd-server"
        );
        Self {
            directory: tempfile::tempdir().unwrap(),
            network: Network::unused(),
            time_scale: time_scale.to_owned(),
            program: PathBuf::from(PROGRAM),
            running: Vec::new(),
        }
    }

    /// The same machines with the program as another release.
    pub(crate) fn of_release(mut self, release: &str) -> Self {
        let copy = self.directory.path().join("k3s");
        let written = Command::new(PROGRAM)
            .arg("standin-release")
            .arg(release)
            .arg(&copy)
            .status()
            .unwrap();
        assert!(written.success());
        self.program = copy;
        self
    }

    /// The address of machine `n`.
    pub(crate) fn address(&self, n: u8) -> Ipv4Addr {
        self.network.host(n)
    }

    /// `/` of machine `n`.
    pub(crate) fn root(&self, n: u8) -> PathBuf {
        self.directory.path().join(format!("node{n}"))
    }

    /// A file of machine `n`.
    pub(crate) fn file(&self, n: u8, path: &str) -> PathBuf {
        self.root(n).join(path.trim_start_matches('/'))
    }

    /// The program on machine `n`.
    pub(crate) fn k3s(&self, n: u8) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("K3S_")) {
            command.env_remove(name);
        }
        command
            .env_remove("KUBECONFIG")
            .env_remove("NOTIFY_SOCKET")
            .env("K3S_STANDIN_ROOT", self.root(n))
            .env("K3S_STANDIN_LOOPBACK", self.address(n).to_string())
            .env("K3S_STANDIN_TIME_SCALE", &self.time_scale)
            .env("K3S_NODE_NAME", format!("node{n}"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, n: u8, arguments: &[&str]) -> Output {
        self.k3s(n).args(arguments).output().unwrap()
    }

    /// Runs kubectl, which must succeed, and returns what it printed.
    pub(crate) fn kubectl(&self, n: u8, arguments: &[&str]) -> String {
        let output = self.run(n, &[&["kubectl"], arguments].concat());
        let both = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "kubectl {arguments:?}: {both}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The server token of machine `n`.
    pub(crate) fn token(&self, n: u8) -> String {
        let text = fs::read_to_string(self.file(n, "/var/lib/rancher/k3s/server/token")).unwrap();
        text.trim().to_owned()
    }

    /// What the server on machine `n` has logged.
    pub(crate) fn log(&self, n: u8) -> String {
        fs::read_to_string(self.directory.path().join(format!("node{n}.log"))).unwrap_or_default()
    }

    /// Starts a server and returns at once.
    pub(crate) fn launch(&mut self, n: u8, token: Option<&str>, arguments: &[&str]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(format!("node{n}.log")))
            .unwrap();
        let mut command = self.k3s(n);
        command
            .arg("server")
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(token) = token {
            command.env("K3S_TOKEN", token);
        }
        let socket = self.notify_socket(n);
        drop(fs::remove_file(&socket));
        self.running
            .push((n, command.env("NOTIFY_SOCKET", socket).spawn().unwrap()));
    }

    fn notify_socket(&self, n: u8) -> PathBuf {
        self.directory.path().join(format!("node{n}.notify"))
    }

    /// Starts a server and waits for its `READY=1`, as systemd does.
    pub(crate) fn start(&mut self, n: u8, token: Option<&str>, arguments: &[&str]) {
        self.launch(n, token, arguments);
        self.wait_for_ready(n);
    }

    fn wait_for_ready(&self, n: u8) {
        let socket = UnixDatagram::bind(self.notify_socket(n)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 64];
        let length = loop {
            match socket.recv(&mut buffer) {
                Ok(length) => break length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("node{n} is not ready ({error}):\n{}", self.log(n)),
            }
        };
        assert_eq!(&buffer[..length], b"READY=1\n");
    }

    /// Three servers, all nodes ready.
    pub(crate) fn three(&mut self) {
        self.start(
            1,
            Some("a-short-token"),
            &[&["--cluster-init"], &RECORDED_FLAGS[..]].concat(),
        );
        for n in [2, 3] {
            self.join(n);
        }
        self.wait_for_nodes(1, &["node1", "node2", "node3"]);
    }

    /// Joins machine `n` through machine 1.
    pub(crate) fn join(&mut self, n: u8) {
        let url = format!("https://{}:6443", self.address(1));
        let token = self.token(1);
        self.start(
            n,
            Some(&token),
            &[&["--server", &url], &RECORDED_FLAGS[..]].concat(),
        );
    }

    /// Waits until exactly these nodes exist and are ready.
    pub(crate) fn wait_for_nodes(&self, n: u8, names: &[&str]) {
        eventually(&format!("nodes {names:?} ready"), || {
            let output = self.run(n, &["kubectl", "get", "nodes", "--no-headers"]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let ready: Vec<&str> = text
                .lines()
                .filter(|line| line.split_whitespace().nth(1) == Some("Ready"))
                .filter_map(|line| line.split_whitespace().next())
                .collect();
            ready == names && text.lines().count() == names.len()
        });
    }

    fn child(&mut self, n: u8) -> Child {
        let at = self
            .running
            .iter()
            .position(|(m, _)| *m == n)
            .expect("not running");
        self.running.remove(at).1
    }

    /// Power off: SIGKILL.
    pub(crate) fn kill(&mut self, n: u8) {
        let mut child = self.child(n);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// `systemctl stop`: SIGTERM, must end with status 0.
    pub(crate) fn stop(&mut self, n: u8) {
        let mut child = self.child(n);
        let killed = Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        let status = child.wait().unwrap();
        assert!(status.success(), "node{n}: {status}\n{}", self.log(n));
    }

    /// Waits for a server to end by itself; its exit status.
    pub(crate) fn wait_for_end(&mut self, n: u8) -> i32 {
        let mut child = self.child(n);
        let end = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
        let ended = child.try_wait().unwrap().is_some();
        if !ended {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        assert!(ended, "node{n} did not end");
        status.code().unwrap()
    }

    /// Certificate of :6443 on machine `n`.
    pub(crate) fn certificate(&self, n: u8) -> Certificate {
        Ask::get(self.address(n), "/").handshake()
    }

    /// The administrator's certificate and key.
    pub(crate) fn admin(&self, n: u8) -> Option<(String, String)> {
        let read = |name: &str| {
            fs::read_to_string(self.file(n, &format!("/var/lib/rancher/k3s/server/tls/{name}")))
        };
        Some((
            read("client-admin.crt").unwrap(),
            read("client-admin.key").unwrap(),
        ))
    }

    /// One request to etcd's gateway on machine `n` with the documented certificate.
    pub(crate) fn etcd(&self, n: u8, path: &str, body: Option<&str>) -> String {
        let read = |name: &str| {
            let file = format!("/var/lib/rancher/k3s/server/tls/etcd/{name}");
            fs::read_to_string(self.file(n, &file)).unwrap()
        };
        let ask = Ask {
            port: 2379,
            identity: Some((read("client.crt"), read("client.key"))),
            body: body.map(str::to_owned),
            ..Ask::get(self.address(n), path)
        };
        ask.answer().body
    }

    /// Names of the etcd members, sorted.
    pub(crate) fn members(&self, n: u8) -> Vec<String> {
        let answer = self.etcd(n, "/v3/cluster/member/list", Some("{}"));
        let mut names: Vec<String> = answer
            .split("\"name\":\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            // It may have ended meanwhile.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Waits until `check` holds.
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Name, mode and kind of everything in a directory, as `ls -la` shows it: `-rw------- name`, `lrwxrwxrwx a -> b`.
pub(crate) fn listing(directory: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut rows = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bits = metadata.permissions().mode();
        let letters: String = (0..9)
            .map(|at| {
                if bits & (0o400 >> at) == 0 {
                    '-'
                } else {
                    ['r', 'w', 'x'][at % 3]
                }
            })
            .collect();
        rows.push(if metadata.is_symlink() {
            format!("l{letters} {name}")
        } else if metadata.is_dir() {
            format!("d{letters} {name}")
        } else {
            format!("-{letters} {name}")
        });
    }
    rows.sort();
    rows
}
