//! What the installer must be given again, so that a node stays what it is: the arguments in its unit file
//! and the variables in its environment file. Without them the installer would write both anew and empty
//! (facts B.6).

use std::fmt;

use super::args::{self, ArgumentError};
use crate::env_file::EnvFile;
use crate::unit_file::{UnitError, UnitFile};

/// Where the installer puts the binary if nothing is said.
const PROGRAM: &str = "/usr/local/bin/k3s";

/// The proxy's variables in the lower case that most programs read.
pub const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "no_proxy"];

/// The installer's environment. Holds secrets: `Debug` shows names only.
#[derive(Clone, PartialEq, Eq)]
pub struct Again {
    /// Names and values.
    pub env: Vec<(String, String)>,
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.env.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Why the installer cannot be given it. Never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgainError {
    /// The unit file cannot be read.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// An argument would not get through unharmed.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The unit starts another program than the installer replaces.
    #[error("ExecStart starts {0} instead of {PROGRAM}")]
    Program(String),
    /// A variable's name cannot be given to a job.
    #[error("the name of {0} in the environment file has an unusual form")]
    Name(String),
    /// A variable would not get through unharmed.
    #[error("the value of {0} in the environment file contains a control character")]
    Variable(String),
}

impl Again {
    /// Reads a unit file, without its drop-ins, and its environment file.
    ///
    /// # Errors
    /// When the installer could not be given the same.
    pub fn read(unit: &str, env: &str) -> Result<Self, AgainError> {
        let command = UnitFile::parse(unit)?.command()?;
        if command.program != PROGRAM {
            return Err(AgainError::Program(command.program));
        }
        let secrets = command.secrets();
        let words: Vec<String> = std::iter::once(command.subcommand)
            .chain(command.args)
            .collect();
        let exec = args::exec_string(&words).map_err(|mut e| {
            if secrets.iter().any(|s| s == e.argument.as_bytes()) {
                "(hidden)".clone_into(&mut e.argument);
            }
            e
        })?;
        let mut found = vec![("INSTALL_K3S_EXEC".to_owned(), exec)];
        for (name, value) in EnvFile::parse(env).iter().filter(|(name, _)| kept(name)) {
            if !plain(name) {
                return Err(AgainError::Name(name.to_owned()));
            }
            if value.chars().any(char::is_control) {
                return Err(AgainError::Variable(name.to_owned()));
            }
            // A later one of the same name wins.
            found.retain(|(known, _)| known != name);
            found.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { env: found })
    }
}

/// The installer takes these over into the environment file; it looks at how a name begins only.
fn kept(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let proxy = ["NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY"];
    proxy.iter().any(|proxy| upper.starts_with(proxy))
        || name.starts_with("K3S_")
        || name.starts_with("CONTAINERD_")
}

/// The panel gives a job only names of this form, and the proxy's variables in lower case.
fn plain(name: &str) -> bool {
    let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    PROXIES.contains(&name) || name.chars().all(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOINED: &str = include_str!("../../tests/samples/k3s-joined-with-token.service");

    #[test]
    fn arguments_and_variables_come_back() {
        let again = Again::read(
            JOINED,
            "K3S_TOKEN=old\nK3S_URL='https://a:6443'\nHTTPS_PROXY=\"http://p:3128\"\nno_proxy=a\nPATH=/x\nK3S_TOKEN='new one'\n",
        )
        .unwrap();
        let names: Vec<&str> = again.env.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "INSTALL_K3S_EXEC",
                "K3S_URL",
                "HTTPS_PROXY",
                "no_proxy",
                "K3S_TOKEN"
            ]
        );
        assert!(again.env[0].1.starts_with("server "));
        assert_eq!(again.env[4].1, "new one");
        let token = UnitFile::parse(JOINED).unwrap().command().unwrap();
        let shown = format!("{again:?}");
        for secret in token.secrets() {
            assert!(!shown.contains(std::str::from_utf8(&secret).unwrap()));
        }
        assert!(!shown.contains("new one"));
    }

    #[test]
    fn what_would_not_get_through_is_refused() {
        let unit = |line: &str| format!("[Service]\nExecStart={line}\n");
        let read = |line: &str, env: &str| Again::read(&unit(line), env).unwrap_err();
        assert_eq!(
            read("/opt/bin/k3s server", ""),
            AgainError::Program("/opt/bin/k3s".to_owned())
        );
        assert!(matches!(
            read("/usr/local/bin/k3s server --node-name %H", ""),
            AgainError::Argument(_)
        ));
        let secret = read("/usr/local/bin/k3s server --token 'hunter2$hunter2$'", "");
        assert!(!secret.to_string().contains("hunter2"), "{secret}");
        assert!(matches!(
            read("/usr/local/bin/k3s kubectl", ""),
            AgainError::Unit(_)
        ));
        assert_eq!(
            read("/usr/local/bin/k3s server", "K3S_TOKEN=\"a\nb\"\n"),
            AgainError::Variable("K3S_TOKEN".to_owned())
        );
        assert_eq!(
            read("/usr/local/bin/k3s server", "Http_Proxy=a\n"),
            AgainError::Name("Http_Proxy".to_owned())
        );
    }
}
