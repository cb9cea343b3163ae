//! Step kind `verify_token`: every server refuses the old token and accepts the new one, seen by the request
//! that a joining server makes first.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::token::Token;
use coxswain_wire::{HostId, SecretId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::restart::NodeRole;
use super::{Services, check, failure};
use crate::world::{RemoteCommand, Script, World};

/// Stored name.
pub const KIND: &str = "verify_token";

/// `$1` what is asked for, below `/v1-k3s/`. Standard input: `user:password`, or `bearer` and a token. Prints the HTTP
/// status. The answer, which holds keys of the cluster, is
/// thrown away. k3s writes its own address into its kubeconfig: the loopback, or its `bind-address`. printf is part of the shell, so that no process has the password among its arguments.
pub(crate) const TRY: Script = Script {
    name: "try-token",
    text: r#"IFS= read -r login
ca=/var/lib/rancher/k3s/server/tls/server-ca.crt
own=$(sed -n 's/^ *server: *//p' /etc/rancher/k3s/k3s.yaml 2>/dev/null | head -n 1)
url=${own:-https://127.0.0.1:6443}/v1-k3s/$1
if command -v curl >/dev/null 2>&1; then
    case $login in
        'bearer '*) printf 'header = "Authorization: Bearer %s"\n' "${login#bearer }" ;;
        *) printf 'user = "%s"\n' "$(printf '%s\n' "$login" | sed 's/[\\"]/\\&/g')" ;;
    esac |
        curl -s -K - --cacert "$ca" --noproxy '*' --max-time 10 -o /dev/null -w '%{http_code}\n' "$url"
elif command -v wget >/dev/null 2>&1; then
    umask 077
    rc=$(mktemp) || exit 1
    trap 'rm -f "$rc"' EXIT
    case $login in
        'bearer '*) printf 'header = Authorization: Bearer %s\n' "${login#bearer }" ;;
        *) printf 'user=%s\npassword=%s\n' "${login%%:*}" "${login#*:}" ;;
    esac >"$rc"
    WGETRC=$rc wget --auth-no-challenge --no-proxy --tries=1 --timeout=10 --ca-certificate="$ca" -S -O /dev/null "$url" 2>&1 |
        sed -n 's|^ *HTTP/[0-9.]* \([0-9]*\).*|\1|p' | tail -n 1
else
    echo 'neither curl nor wget is installed' >&2
    exit 127
fi
exit 0
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// All servers.
    pub servers: Vec<ApiHost>,
    /// The token that must be refused.
    pub old: Param<SecretId>,
    /// The token that must be accepted.
    pub new: Param<SecretId>,
}

/// The step kind.
pub struct VerifyToken(pub Services);

/// What a server made of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the cluster's.
    Accepted,
    /// It is not, or not any more.
    Refused,
    /// Nothing, or something else, was heard from it.
    NoAnswer,
}

/// Tries a token on a server, at the address that it serves to itself, with the first request of a node in this role.
pub(crate) async fn try_token(
    world: &dyn World,
    server: HostId,
    role: NodeRole,
    token: &Token,
) -> Result<Verdict, StepFailure> {
    let (asked, login) = match (role, token.bootstrap()) {
        (NodeRole::Server, _) => ("server-bootstrap", format!("server:{}", token.password())),
        (NodeRole::Agent, None) => ("config", format!("node:{}", token.password())),
        (NodeRole::Agent, Some(own)) => ("config", format!("bearer {own}")),
    };
    let ask = RemoteCommand::script(TRY)
        .arg(asked)
        .sudo()
        .stdin(format!("{login}\n"));
    let answer = world
        .run(server, ask)
        .await
        .and_then(|o| o.ok(TRY.name))
        .map_err(failure::world)?;
    Ok(match answer.text().trim() {
        "200" => Verdict::Accepted,
        "401" | "403" => Verdict::Refused,
        _ => Verdict::NoAnswer,
    })
}

impl VerifyToken {
    async fn token(
        &self,
        context: &StepContext,
        id: &Param<SecretId>,
    ) -> Result<Token, StepFailure> {
        let id = id.resolve(&context.outputs).map_err(StepFailure::fatal)?;
        let secret = self.0.secrets.get(id).await.map_err(failure::service)?;
        String::from_utf8_lossy(secret.expose())
            .parse()
            .map_err(|_| StepFailure::fatal("the token in the vault is none"))
    }

    async fn ask(&self, server: &ApiHost, token: &Token) -> Result<Verdict, StepFailure> {
        try_token(&*self.0.world, server.host, NodeRole::Server, token).await
    }
}

#[async_trait]
impl StepKind for VerifyToken {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let old = self.token(context, &params.old).await?;
        let new = self.token(context, &params.new).await?;
        for server in &params.servers {
            let name = &server.name;
            let seen = (self.ask(server, &new).await?, self.ask(server, &old).await?);
            let why = match seen {
                (Verdict::Accepted, Verdict::Refused) => continue,
                (Verdict::Accepted, Verdict::Accepted) => {
                    format!("{name} still accepts the old token")
                }
                (Verdict::Refused, _) => format!("{name} refuses the new token"),
                (Verdict::NoAnswer, _) | (_, Verdict::NoAnswer) => {
                    format!("{name} does not answer on :6443")
                }
            };
            return Ok(Probe::NotDone { why });
        }
        let names: Vec<&str> = params.servers.iter().map(|s| s.name.as_str()).collect();
        Ok(Probe::Done {
            observed: format!(
                "{} refuse the old token and accept the new one",
                names.join(", ")
            ),
            outputs: BTreeMap::new(),
        })
    }

    /// Nothing to do but to look again.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// What curl is told on a server with this kubeconfig.
    fn asked(kubeconfig: &str, login: &str) -> String {
        let work = tempfile::tempdir().unwrap();
        let (curl, config) = (work.path().join("curl"), work.path().join("k3s.yaml"));
        std::fs::write(
            &curl,
            "#!/bin/sh\ncat\nfor url; do :; done\necho \"$url\"\n",
        )
        .unwrap();
        std::fs::set_permissions(&curl, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(&config, kubeconfig).unwrap();
        let script = TRY
            .text
            .replace("/etc/rancher/k3s/k3s.yaml", config.to_str().unwrap());
        let mut shell = Command::new("sh")
            .args(["-c", &script, "try", "server-bootstrap"])
            .env("PATH", format!("{}:/usr/bin:/bin", work.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        stdin.write_all(login.as_bytes()).unwrap();
        drop(stdin);
        let output = shell.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn curl_gets_the_password_as_it_is() {
        // In its configuration a backslash and a quote are escaped, nothing else.
        assert_eq!(
            asked("", "server:pa$$w\"rd\\  it's `id`\n"),
            "user = \"server:pa$$w\\\"rd\\\\  it's `id`\"\nhttps://127.0.0.1:6443/v1-k3s/server-bootstrap\n"
        );
    }

    #[test]
    fn a_server_with_an_address_of_its_own_is_asked_there() {
        let config = "clusters:\n- cluster:\n    certificate-authority-data: eA==\n    server: https://10.0.0.7:7443\n  name: default\n";
        let asked = asked(config, "server:x\n");
        assert!(
            asked.ends_with("\nhttps://10.0.0.7:7443/v1-k3s/server-bootstrap\n"),
            "{asked}"
        );
    }
}
