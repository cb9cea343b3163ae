//! One open connection to a host: an ssh master and what was learned over it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::super::error::chain;
use super::super::{HostConnection, RemoteCommand, Result, Script, UnreachableKind, WorldError};
use super::config::RuntimeDir;
use super::{classify, exec, known_hosts};

/// A master nobody uses ends after this many seconds, so that a killed panel leaves none for ever.
const IDLE_SECONDS: NonZeroUsize = NonZeroUsize::new(600).expect("not zero");
/// For asking the local master whether it lives.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How the login user becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// It is root.
    Already,
    /// By `sudo -n`.
    Sudo,
}

const ROOT_PROBE: Script = Script {
    name: "root_probe",
    text: "if [ \"$(id -u)\" = 0 ]; then echo already; else sudo -n true </dev/null && echo sudo; fi",
};

/// An open connection.
pub(super) struct Link {
    session: Session,
    /// Host name, for messages.
    pub(super) name: String,
    /// See [`HostConnection::generation`].
    pub(super) generation: u64,
    root: OnceCell<Root>,
}

impl Link {
    /// Opens a master. The key must be in the agent, the configuration written.
    pub(super) async fn open(
        host: &HostConnection,
        dir: &RuntimeDir,
        config: &Path,
        connect_timeout: Duration,
    ) -> Result<Self> {
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .control_directory(dir.control())
            .control_persist(ControlPersist::IdleFor(IDLE_SECONDS))
            .config_file(config)
            .connect_timeout(connect_timeout);
        // ssh bounds the TCP connection and the key exchange by its own timeout; authentication by none.
        let limit = connect_timeout * 2;
        let alias = known_hosts::alias(host);
        let session = match timeout(limit, builder.connect_mux(&alias)).await {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => return Err(connect_error(host, &error)),
            Err(_) => {
                return Err(WorldError::Unreachable {
                    target: host.name.clone(),
                    kind: UnreachableKind::TimedOut,
                    detail: format!("no session within {} s", limit.as_secs()),
                });
            }
        };
        Ok(Self {
            session,
            name: host.name.clone(),
            generation: host.generation,
            root: OnceCell::new(),
        })
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The master lives. One that lost its host ends within 15 s (`ServerAliveInterval`).
    pub(super) async fn alive(&self) -> bool {
        matches!(
            timeout(CHECK_TIMEOUT, self.session.check()).await,
            Ok(Ok(()))
        )
    }

    /// Asks once how to become root.
    pub(super) async fn root(&self) -> Result<Root> {
        self.root
            .get_or_try_init(|| async {
                let output = exec::execute(self, &RemoteCommand::script(ROOT_PROBE), None).await?;
                match output.text().trim() {
                    "already" => Ok(Root::Already),
                    "sudo" => Ok(Root::Sudo),
                    said => Err(match other_user(said) {
                        Some(wanted) => WorldError::OtherUser {
                            host: self.name.clone(),
                            wanted: wanted.to_owned(),
                        },
                        None => WorldError::SudoFailed {
                            host: self.name.clone(),
                            detail: sudo_detail(&output.error_text()),
                        },
                    }),
                }
            })
            .await
            .copied()
    }
}

/// Cloud images put a forced command before root's keys (cloud-init's `disable_root_opts`): whatever is asked, it
/// answers which user to sign in as.
fn other_user(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("Please login as the user \"")?;
    let (user, _) = rest.split_once('"')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!user.is_empty() && user.len() <= 32 && user.chars().all(plain)).then_some(user)
}

fn sudo_detail(stderr: &str) -> String {
    let said = stderr
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or_default();
    if said.contains("not found") {
        "sudo is not installed".to_owned()
    } else if said.contains("password is required") || said.contains("no tty present") {
        "sudo wants a password".to_owned()
    } else if said.is_empty() {
        "sudo -n true failed".to_owned()
    } else {
        format!("sudo said: {said}")
    }
}

fn connect_error(host: &HostConnection, error: &openssh::Error) -> WorldError {
    if let openssh::Error::Connect(e) = error
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return classify::connect_failure(host, &e.to_string());
    }
    // No ssh program, no room for the socket: on this side of the connection.
    WorldError::Local {
        what: format!("ssh to {}", host.name),
        detail: chain(error),
    }
}
