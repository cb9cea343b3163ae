//! The installer's run as data: a constant script, its arguments and environment. No value is ever
//! formatted into shell text; the token travels only in the environment ([`K3S_TOKEN`]), because as
//! `--token` it would land in the world-readable unit file and the process list (facts A, install).

mod args;
mod proxy;
mod script;

pub use args::{ArgumentError, check_extra_args};
pub use proxy::{PROXIES, proxies};
pub use script::{AIR_GAP_SCRIPT, IMAGES_DIR, ONLINE_SCRIPT, download_lines, protocols};

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::names::{AbsPath, Channel, HttpUrl, K3sVersion, NodeName, San, ServerUrl};

/// The environment variable that carries the token to the installer and on to k3s's 0600 `.env` file.
pub const K3S_TOKEN: &str = "K3S_TOKEN";

/// Which k3s the installer fetches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// Exactly this one.
    Version(K3sVersion),
    /// The newest of a channel at the time of the run.
    Channel(Channel),
}

/// Where script and binary come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// The host downloads both.
    Online {
        /// Address of the installer script.
        installer_url: HttpUrl,
        /// Which k3s it fetches.
        release: Release,
    },
    /// Both lie on the host already; nothing is downloaded.
    AirGap {
        /// The installer script on the host.
        script_path: AbsPath,
        /// The k3s binary on the host; copied to `/usr/local/bin/k3s` if it is not there.
        binary_path: AbsPath,
        /// The images archive on the host; copied to [`IMAGES_DIR`] under its own name.
        images_archive: Option<AbsPath>,
    },
}

/// How a host gets at script and binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// POSIX shell, constant.
    pub script: &'static str,
    /// Positional parameters of the script.
    pub args: Vec<String>,
    /// The variable that says which k3s.
    pub env: (String, String),
}

impl Source {
    /// How a host gets at script and binary.
    #[must_use]
    pub fn fetch(&self) -> Fetch {
        match self {
            Source::Online {
                installer_url,
                release,
            } => Fetch {
                script: ONLINE_SCRIPT,
                args: vec![installer_url.to_string()],
                env: match release {
                    Release::Version(v) => ("INSTALL_K3S_VERSION".to_owned(), v.to_string()),
                    Release::Channel(c) => ("INSTALL_K3S_CHANNEL".to_owned(), c.to_string()),
                },
            },
            Source::AirGap {
                script_path,
                binary_path,
                images_archive,
            } => {
                let paths = [
                    Some(script_path),
                    Some(binary_path),
                    images_archive.as_ref(),
                ];
                Fetch {
                    script: AIR_GAP_SCRIPT,
                    args: paths
                        .into_iter()
                        .flatten()
                        .map(ToString::to_string)
                        .collect(),
                    env: ("INSTALL_K3S_SKIP_DOWNLOAD".to_owned(), "true".to_owned()),
                }
            }
        }
    }

    /// The same with exactly this version where it is downloaded; files on the host are what they are.
    #[must_use]
    pub fn pinned(&self, version: &K3sVersion) -> Self {
        match self {
            Source::Online { installer_url, .. } => Source::Online {
                installer_url: installer_url.clone(),
                release: Release::Version(version.clone()),
            },
            Source::AirGap { .. } => self.clone(),
        }
    }
}

/// What the host becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Role {
    /// The first server, which starts a new etcd cluster.
    FirstServer,
    /// A further server: control plane and etcd member.
    JoinServer {
        /// A server or the load balancer.
        server_url: ServerUrl,
    },
    /// A worker.
    Agent {
        /// A server or the load balancer.
        server_url: ServerUrl,
    },
}

impl Role {
    /// The systemd unit the installer makes.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Role::FirstServer | Role::JoinServer { .. } => "k3s.service",
            Role::Agent { .. } => "k3s-agent.service",
        }
    }

    fn is_agent(&self) -> bool {
        match self {
            Role::Agent { .. } => true,
            Role::FirstServer | Role::JoinServer { .. } => false,
        }
    }
}

/// Everything the installer needs to know, but the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallRequest {
    /// Where script and binary come from.
    pub source: Source,
    /// What the host becomes.
    pub role: Role,
    /// The node's name in the cluster; `None` lets k3s take the host name.
    #[serde(default)]
    pub node_name: Option<NodeName>,
    /// The address k3s uses among nodes; `None` lets k3s choose.
    #[serde(default)]
    pub node_ip: Option<IpAddr>,
    /// Its address of the other family, for a cluster whose pods have both: k3s refuses a node with only one
    /// (`pkg/agent/run.go`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_ip: Option<IpAddr>,
    /// Names and addresses for the API's certificate. Not for agents.
    #[serde(default)]
    pub sans: Vec<San>,
    /// Further arguments of k3s, one word each; see [`check_extra_args`].
    #[serde(default)]
    pub extra_args: Vec<String>,
}

/// The installer's run: pass `script` over stdin into a file, run it with `sh FILE args…` and `env` plus
/// the secret keys in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// POSIX shell, constant.
    pub script: &'static str,
    /// Positional parameters of the script. No secrets.
    pub args: Vec<String>,
    /// Environment without secrets.
    pub env: Vec<(String, String)>,
    /// Variables the caller adds from the vault.
    pub secret_env_keys: &'static [&'static str],
}

impl InstallRequest {
    /// The words after `k3s`: subcommand and flags, as they will stand in the unit file.
    ///
    /// # Errors
    /// When an extra argument is refused.
    pub fn k3s_args(&self) -> Result<Vec<String>, ArgumentError> {
        check_extra_args(&self.extra_args, self.role.is_agent())?;
        let mut words = Vec::new();
        let mut flag = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        match &self.role {
            Role::FirstServer => {}
            Role::JoinServer { server_url } | Role::Agent { server_url } => {
                flag("--server", &server_url.to_string());
            }
        }
        if let Some(name) = &self.node_name {
            flag("--node-name", name.as_str());
        }
        let addresses = self.node_ip.iter().chain(&self.second_ip);
        let addresses: Vec<String> = addresses.map(IpAddr::to_string).collect();
        if !addresses.is_empty() {
            flag("--node-ip", &addresses.join(","));
        }
        if !self.role.is_agent() {
            for san in &self.sans {
                flag("--tls-san", san.as_str());
            }
        }
        let head: &[&str] = match &self.role {
            Role::FirstServer => &["server", "--cluster-init"],
            Role::JoinServer { .. } => &["server"],
            Role::Agent { .. } => &["agent"],
        };
        Ok(head
            .iter()
            .map(|word| (*word).to_owned())
            .chain(words)
            .chain(self.extra_args.iter().cloned())
            .collect())
    }

    /// The installer's run.
    ///
    /// # Errors
    /// When an extra argument is refused.
    pub fn install(&self) -> Result<Install, ArgumentError> {
        let words = self.k3s_args()?;
        let Fetch {
            script,
            args,
            env: fetched,
        } = self.source.fetch();
        let exec = ("INSTALL_K3S_EXEC".to_owned(), args::exec_string(&words)?);
        let env = vec![exec, fetched];
        Ok(Install {
            script,
            args,
            env,
            secret_env_keys: &[K3S_TOKEN],
        })
    }

    /// What a person would type, line by line, for the plan. `token` is shown in the token's place, e.g.
    /// `‹token from step 3›`.
    ///
    /// # Errors
    /// When an extra argument is refused.
    pub fn display(&self, token: &str) -> Result<Vec<String>, ArgumentError> {
        let install = self.install()?;
        let mut lines = Vec::new();
        let script = match &self.source {
            Source::Online { installer_url, .. } => {
                lines.extend(download_lines(installer_url));
                "install.sh".to_owned()
            }
            Source::AirGap {
                script_path,
                binary_path,
                images_archive,
            } => {
                lines.push(format!(
                    "install -m 0755 {} /usr/local/bin/k3s",
                    args::show(binary_path.as_str())
                ));
                if let Some(images) = images_archive {
                    lines.push(format!("mkdir -p {IMAGES_DIR}"));
                    lines.push(format!("cp {} {IMAGES_DIR}/", args::show(images.as_str())));
                }
                args::show(script_path.as_str())
            }
        };
        let env: Vec<String> = install
            .env
            .iter()
            .map(|(key, value)| format!("{key}={}", args::show(value)))
            .chain([format!("{K3S_TOKEN}={token}")])
            .collect();
        lines.push(format!("{} sh {script}", env.join(" ")));
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn online(role: Role) -> InstallRequest {
        InstallRequest {
            source: Source::Online {
                installer_url: "https://get.example/install.sh".parse().unwrap(),
                release: Release::Version("v1.31.4+k3s1".parse().unwrap()),
            },
            role,
            node_name: Some("node10".parse().unwrap()),
            node_ip: Some("172.30.55.10".parse().unwrap()),
            second_ip: None,
            sans: vec![
                "172.30.55.45".parse().unwrap(),
                "cluster.lab".parse().unwrap(),
            ],
            extra_args: vec!["--disable".into(), "traefik,servicelb".into()],
        }
    }

    #[test]
    fn first_server() {
        let install = online(Role::FirstServer).install().unwrap();
        assert_eq!(install.args, ["https://get.example/install.sh"]);
        assert_eq!(
            install.env[0].1,
            "server --cluster-init --node-name node10 --node-ip 172.30.55.10 --tls-san 172.30.55.45 --tls-san cluster.lab --disable traefik,servicelb"
        );
        assert_eq!(
            install.env[1],
            ("INSTALL_K3S_VERSION".into(), "v1.31.4+k3s1".into())
        );
        assert_eq!(install.secret_env_keys, ["K3S_TOKEN"]);
    }

    #[test]
    fn a_node_of_two_families_names_both_addresses() {
        let mut request = online(Role::FirstServer);
        request.second_ip = Some("fd00::10".parse().unwrap());
        let words = request.k3s_args().unwrap();
        let at = words.iter().position(|word| word == "--node-ip").unwrap();
        assert_eq!(words[at + 1], "172.30.55.10,fd00::10");
    }

    #[test]
    fn joiners_name_the_server() {
        let server_url: ServerUrl = "https://172.30.55.10:6443".parse().unwrap();
        let args = online(Role::JoinServer {
            server_url: server_url.clone(),
        })
        .k3s_args()
        .unwrap();
        assert_eq!(
            args[..3],
            ["server", "--server", "https://172.30.55.10:6443"]
        );
        assert!(!args.contains(&"--cluster-init".to_owned()));
        let mut agent = online(Role::Agent { server_url });
        agent.extra_args.clear();
        let args = agent.k3s_args().unwrap();
        assert_eq!(args[..2], ["agent", "--server"]);
        assert!(!args.contains(&"--tls-san".to_owned()));
        assert_eq!(agent.role.unit(), "k3s-agent.service");
    }

    #[test]
    fn air_gap_downloads_nothing() {
        let mut request = online(Role::FirstServer);
        request.source = Source::AirGap {
            script_path: "/opt/k3s/install.sh".parse().unwrap(),
            binary_path: "/opt/k3s/k3s".parse().unwrap(),
            images_archive: Some("/opt/k3s/k3s-airgap-images-amd64.tar.zst".parse().unwrap()),
        };
        let install = request.install().unwrap();
        assert_eq!(install.args.len(), 3);
        assert!(
            install
                .env
                .contains(&("INSTALL_K3S_SKIP_DOWNLOAD".into(), "true".into()))
        );
        assert!(!install.script.contains("curl"));
        let lines = request.display("‹token from step 3›").unwrap();
        assert!(
            lines[3].ends_with("K3S_TOKEN=‹token from step 3› sh /opt/k3s/install.sh"),
            "{lines:?}"
        );
    }

    #[test]
    fn display_is_what_a_person_types() {
        let lines = online(Role::FirstServer)
            .display("‹token from step 3›")
            .unwrap();
        let url = "https://get.example/install.sh".parse().unwrap();
        assert_eq!(lines[..2], download_lines(&url));
        assert!(lines[2].starts_with("INSTALL_K3S_EXEC='server --cluster-init "));
    }

    #[test]
    fn json_refuses_unknown_fields() {
        let json = serde_json::to_value(online(Role::FirstServer)).unwrap();
        assert_eq!(
            serde_json::from_value::<InstallRequest>(json.clone()).unwrap(),
            online(Role::FirstServer)
        );
        let mut more = json;
        more["tokne"] = "x".into();
        assert!(serde_json::from_value::<InstallRequest>(more).is_err());
    }
}
