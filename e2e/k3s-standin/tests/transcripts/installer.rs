//! `install.sh` against transcripts 01, 12 and 13, with a systemctl that only writes down what it is asked.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::cluster::{PROGRAM, listing};
use crate::recorded::block;

struct Machine {
    directory: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        for name in ["bin", "units", "tools"] {
            fs::create_dir(machine.path(name)).unwrap();
        }
        machine.tool("systemctl", "echo \"$@\" >> \"$(dirname \"$0\")/../calls\"");
        machine.tool("sudo", "exec \"$@\"");
        machine.tool("chown", "exit 0");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn tool(&self, name: &str, body: &str) {
        let file = self.path(&format!("tools/{name}"));
        fs::write(&file, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn place_k3s(&self) {
        std::os::unix::fs::symlink(PROGRAM, self.path("bin/k3s")).unwrap();
    }

    fn install(&self, environment: &[(&str, &str)]) -> Output {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("install.sh");
        let mut command = Command::new("sh");
        command
            .arg(script)
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("tools").display()),
            )
            .env("INSTALL_K3S_BIN_DIR", self.path("bin"))
            .env("INSTALL_K3S_SYSTEMD_DIR", self.path("units"))
            .envs(environment.iter().copied());
        command.output().unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A file with this machine's directories named as on a real one.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name))
            .unwrap()
            .replace(
                &self.path("units").display().to_string(),
                "/etc/systemd/system",
            )
            .replace(&self.path("bin").display().to_string(), "/usr/local/bin")
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const FLAGS: &str = "server --cluster-init --tls-san 172.30.55.45 --tls-san cluster.lab --snapshotter native --container-runtime-endpoint /run/containerd/containerd.sock --flannel-backend none --disable traefik,servicelb,metrics-server,local-storage,coredns --disable-network-policy --disable-kube-proxy";

#[test]
fn unit_and_environment_files_are_byte_for_byte_as_recorded() {
    let machine = Machine::new();
    machine.place_k3s();
    let environment = [
        ("INSTALL_K3S_SKIP_DOWNLOAD", "true"),
        ("INSTALL_K3S_EXEC", FLAGS),
        ("K3S_TOKEN", "it's secret"),
        ("K3S_NODE_NAME", "n1"),
        ("UNRELATED", "x"),
    ];
    let output = machine.install(&environment);
    assert!(output.status.success(), "{output:?}");
    let recorded = block("01-files.txt", "systemctl cat k3s").output;
    let recorded = recorded
        .strip_prefix("# /etc/systemd/system/k3s.service\n")
        .unwrap();
    assert_eq!(machine.read("units/k3s.service"), recorded);
    assert_eq!(
        listing(&machine.path("units")),
        ["-rw------- k3s.service.env", "-rw-r--r-- k3s.service"]
    );
    let env = machine.read("units/k3s.service.env");
    let mut lines: Vec<&str> = env.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("K3S_NODE_NAME=") && lines[1].starts_with("K3S_TOKEN="),
        "{env}"
    );
    // Nothing secret anywhere else.
    assert!(!machine.read("units/k3s.service").contains("secret"));
    let text = stdout(&output);
    // Transcript 13.
    for line in [
        "[INFO]  systemd: Enabling k3s unit",
        "[INFO]  systemd: Starting k3s",
    ] {
        assert!(text.lines().any(|ours| ours == line), "{text}");
    }
    let calls = machine.calls();
    assert_eq!(calls[0], "disable k3s");
    assert!(calls[1].starts_with("enable ") && calls[2] == "daemon-reload");
    assert_eq!(calls[3..], ["restart k3s"]);
    let again = machine.install(&environment);
    assert!(stdout(&again).contains("[INFO]  No change detected so skipping service start"));
}

#[test]
fn nothing_starts_when_told_not_to_and_agents_have_their_own_names() {
    let machine = Machine::new();
    machine.place_k3s();
    let skip = ("INSTALL_K3S_SKIP_DOWNLOAD", "true");
    machine.install(&[skip, ("INSTALL_K3S_SKIP_START", "true")]);
    assert!(!machine.calls().iter().any(|call| call.contains("restart")));
    let unit = machine.read("units/k3s.service");
    assert!(
        unit.ends_with("ExecStart=/usr/local/bin/k3s \\\n    server \\\n\n"),
        "{unit}"
    );

    let machine = Machine::new();
    machine.place_k3s();
    let url = ("K3S_URL", "https://10.0.0.1:6443");
    let refused = machine.install(&[skip, url]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr)
            .contains("[ERROR]  Defaulted k3s exec command to 'agent'")
    );
    let output = machine.install(&[
        skip,
        url,
        ("K3S_TOKEN", "x"),
        ("INSTALL_K3S_SKIP_ENABLE", "true"),
    ]);
    assert!(output.status.success());
    assert_eq!(machine.calls(), ["disable k3s-agent"]);
    let unit = machine.read("units/k3s-agent.service");
    assert!(
        unit.contains("ExecStart=/usr/local/bin/k3s \\\n    agent \\\n"),
        "{unit}"
    );
    let scripts = listing(&machine.path("bin"));
    for name in ["k3s-agent-uninstall.sh", "k3s-killall.sh"] {
        assert!(
            scripts.contains(&format!("-rwxr-xr-x {name}")),
            "{scripts:?}"
        );
    }
}

/// Every deletion the recorded uninstall traced is in the script, in the same order.
#[test]
fn the_uninstall_script_removes_what_the_recorded_one_did() {
    let machine = Machine::new();
    machine.place_k3s();
    machine.install(&[
        ("INSTALL_K3S_SKIP_DOWNLOAD", "true"),
        ("INSTALL_K3S_SKIP_ENABLE", "true"),
    ]);
    let script = format!(
        "{}\n{}",
        machine.read("bin/k3s-killall.sh"),
        machine.read("bin/k3s-uninstall.sh")
    );
    let recorded = block("12-uninstall-remove.txt", "k3s-uninstall.sh").output;
    let mut rest = script.as_str();
    for line in recorded.lines() {
        let Some(command) = line.strip_prefix("+ ") else {
            continue;
        };
        let relevant = ["rm ", "systemctl ", "ip link delete"]
            .iter()
            .any(|start| command.starts_with(start));
        // Removed by a loop over links, and by the trap at the very end.
        let looped = ["kubectl", "crictl", "k3s-uninstall.sh"]
            .iter()
            .any(|name| command.ends_with(name));
        if relevant && !looped {
            let at = rest
                .find(command)
                .unwrap_or_else(|| panic!("missing or out of order: {command}"));
            rest = &rest[at..];
        }
    }
    assert!(script.contains("rm -f /usr/local/bin/$cmd"));
}

/// Serves `files` (path, content) until the test ends; the base address.
fn file_server(files: Vec<(String, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap_or(0);
            let head = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let found = files.iter().find(|(name, _)| *name == path);
            let (status, body) = match found {
                Some((_, body)) => ("200 OK", body.as_slice()),
                None => ("404 Not Found", &b"no"[..]),
            };
            let head = format!(
                "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            // A client that hangs up early is the client's business.
            drop(
                stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(body)),
            );
        }
    });
    base
}

/// What a program that says it is `version` needs on a file server.
fn release(version: &str) -> Vec<(String, Vec<u8>)> {
    use sha2::Digest as _;
    let program = format!("#!/bin/sh\necho 'k3s version {version} (00226be6)'\n").into_bytes();
    let sum: String = sha2::Sha256::digest(&program)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (arch, suffix) = if cfg!(target_arch = "aarch64") {
        ("arm64", "-arm64")
    } else {
        ("amd64", "")
    };
    let folder = format!("/download/{version}");
    vec![
        (format!("{folder}/k3s{suffix}"), program),
        (
            format!("{folder}/sha256sum-{arch}.txt"),
            format!("{sum}  k3s{suffix}\n").into_bytes(),
        ),
    ]
}

fn version(machine: &Machine) -> String {
    let output = Command::new(machine.path("bin/k3s")).output().unwrap();
    let text = stdout(&output);
    text.split(' ').nth(2).unwrap().to_owned()
}

#[test]
fn releases_and_channels_are_downloaded_and_checked() {
    let mut files = release("v1.22.4+k3s1");
    files.extend(release("v1.23.17+k3s1"));
    files.push(("/channels/stable".to_owned(), b"v1.22.4+k3s1\n".to_vec()));
    files.push(("/channels/latest".to_owned(), b"v1.23.17+k3s1\n".to_vec()));
    let mut broken = release("v1.22.4+k3s1");
    broken[0].1.push(b'#');
    let (good, bad) = (file_server(files), file_server(broken));
    let quiet = ("INSTALL_K3S_SKIP_ENABLE", "true");
    let channels = format!("{good}/channels");
    let from = [
        quiet,
        ("GITHUB_URL", good.as_str()),
        ("INSTALL_K3S_CHANNEL_URL", channels.as_str()),
    ];

    let machine = Machine::new();
    let output = machine.install(&from);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    for line in [
        "[INFO]  Finding release for channel stable",
        "[INFO]  Using v1.22.4+k3s1 as release",
        "[INFO]  Verifying binary download",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(version(&machine), "v1.22.4+k3s1");
    let again = machine.install(&from);
    assert!(
        stdout(&again).contains("[INFO]  Skipping binary downloaded, installed k3s matches hash")
    );
    // An upgrade replaces the program; flags and variables that are not passed again are lost.
    let flags = [
        ("INSTALL_K3S_EXEC", "server --tls-san a"),
        ("K3S_TOKEN", "x"),
    ];
    machine.install(&[&from[..], &flags].concat());
    assert!(machine.read("units/k3s.service").contains("--tls-san"));
    let newer = ("INSTALL_K3S_VERSION", "v1.23.17+k3s1");
    let output = machine.install(&[&from[..], &[newer]].concat());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(version(&machine), "v1.23.17+k3s1");
    assert!(!machine.read("units/k3s.service").contains("--tls-san"));
    assert_eq!(machine.read("units/k3s.service.env"), "");
    let channel = ("INSTALL_K3S_CHANNEL", "latest");
    let output = machine.install(&[&from[..], &[channel]].concat());
    assert!(stdout(&output).contains("[INFO]  Using v1.23.17+k3s1 as release"));

    let old = ("INSTALL_K3S_VERSION", "v1.22.4+k3s1");
    for (environment, message) in [
        (
            vec![("GITHUB_URL", bad.as_str()), old],
            "Download sha256 does not match",
        ),
        (
            vec![from[1], ("INSTALL_K3S_VERSION", "v9.9.9+k3s1")],
            "Download failed",
        ),
        (
            vec![from[1], from[2], ("INSTALL_K3S_CHANNEL", "nosuch")],
            "Download failed",
        ),
        (vec![], "No address to download from"),
    ] {
        let machine = Machine::new();
        let output = machine.install(&[&[quiet], &environment[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(message),
            "{output:?}"
        );
        assert!(!machine.path("bin/k3s").exists());
    }
}
