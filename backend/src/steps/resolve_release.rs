//! Step kind `resolve_release`: which version a channel means now, or the k3s that lies on the hosts is. Looks
//! only; later steps install exactly that one.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::install::{Release, Source, protocols};
use coxswain_k3s::names::{AbsPath, Channel, HttpUrl, K3sVersion};
use coxswain_k3s::upgrade::named_release;
use coxswain_wire::HostId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::sections::value;
use super::{Services, check, failure};
use crate::world::{RemoteCommand, Script, World};

/// Stored name.
pub const KIND: &str = "resolve_release";
/// Name of the output.
pub const VERSION: &str = "version";

/// `$1` the address of a channel. Prints where it led to, and how its text begins.
pub(crate) const CHANNEL: Script = Script {
    name: "resolve-channel",
    text: r#"work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
case $1 in
https://*) proto='=https' ;;
*) proto='=https,http' ;;
esac
if command -v curl >/dev/null 2>&1; then
    url=$(curl -sSfL --proto "$proto" --connect-timeout 5 --max-time 20 -w '%{url_effective}' -o "$work/body" "$1") || exit $?
elif command -v wget >/dev/null 2>&1; then
    if ! wget -S --timeout=10 --tries=1 -O "$work/body" "$1" 2>"$work/log"; then
        tail -n 3 "$work/log" >&2
        exit 1
    fi
    if [ "$proto" = '=https' ] &&
        grep -i '^ *location: *[a-z][a-z0-9+.-]*:' "$work/log" | grep -qiv 'location: *https:'; then
        echo "it leads on to an address without https" >&2
        exit 1
    fi
    url=$(sed -n 's/^ *[Ll]ocation: *\([^ ]*\).*/\1/p' "$work/log" | tail -n 1)
else
    echo 'neither curl nor wget is installed' >&2
    exit 127
fi
printf 'url=%s\n' "$url"
printf 'text=%s\n' "$(head -c 100 "$work/body" | tr -d '\000' | head -n 1)"
"#,
};

/// `$1` a k3s binary. Prints what it says of itself, also where it may not be executed yet. Whoever named the file
/// has not been approved yet: it must be a program, not a script, and runs as nobody, who can gain nothing.
pub(crate) const BINARY: Script = Script {
    name: "binary-version",
    text: r#"[ -f "$1" ] || exit 0
[ "$(head -c 4 -- "$1" | od -An -tx1 | tr -d ' \n')" = 7f454c46 ] || exit 0
# k3s runs what lies below /var/lib, too; /tmp may be mounted without that.
work=$(mktemp -d /var/lib/coxswain-version.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work" && cp -- "$1" "$work/k3s" && chmod 0755 "$work/k3s" && cd "$work" || exit 1
timeout 20 setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
    env -i PATH="$PATH" HOME="$work" K3S_CONFIG_FILE=/dev/null "$work/k3s" --version 2>/dev/null </dev/null | head -n 1
exit 0
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Where k3s comes from.
    pub source: Source,
    /// Where channels are named, each below its own name.
    pub channels: HttpUrl,
    /// The hosts that get k3s.
    pub nodes: Vec<ApiHost>,
}

/// The version. `Err` inside: why there is none, in words.
///
/// # Errors
/// A host cannot be asked.
pub(crate) async fn resolve(
    world: &dyn World,
    params: &Params,
) -> Result<Result<K3sVersion, String>, StepFailure> {
    match &params.source {
        Source::Online {
            release: Release::Version(version),
            ..
        } => Ok(Ok(version.clone())),
        Source::Online {
            release: Release::Channel(channel),
            ..
        } => {
            let first = params.nodes.first();
            let first = first.ok_or_else(|| StepFailure::fatal("the step names no host"))?;
            of_channel(world, first, &params.channels, channel).await
        }
        Source::AirGap { binary_path, .. } => of_binaries(world, &params.nodes, binary_path).await,
    }
}

/// Where a channel is named.
fn address(channels: &HttpUrl, channel: &Channel) -> String {
    format!("{}/{channel}", channels.as_str().trim_end_matches('/'))
}

/// What asks it, with curl and where there is none with wget; for the plan.
pub(crate) fn lines(channels: &HttpUrl, channel: &Channel) -> [String; 2] {
    let (address, protocols) = (address(channels, channel), protocols(channels));
    [
        format!(
            "curl -sSfL --proto '{protocols}' --connect-timeout 5 --max-time 20 -w '%{{url_effective}}' -o body {address}"
        ),
        format!("# without curl: wget -S --timeout=10 --tries=1 -O body {address}"),
    ]
}

async fn of_channel(
    world: &dyn World,
    node: &ApiHost,
    channels: &HttpUrl,
    channel: &Channel,
) -> Result<Result<K3sVersion, String>, StepFailure> {
    let address = address(channels, channel);
    let command = RemoteCommand::script(CHANNEL).arg(&address);
    let answer = world
        .run(node.host, command)
        .await
        .map_err(failure::world)?;
    if !answer.success() {
        let said = answer.error_text();
        return Ok(Err(format!(
            "{} cannot fetch {address}: {}",
            node.name,
            said.trim()
        )));
    }
    let said = answer.text();
    let get = |key| value(&said, key).unwrap_or_default();
    Ok(named_release(get("url"), get("text"))
        .ok_or_else(|| format!("{address} names no release of k3s")))
}

async fn of_binaries(
    world: &dyn World,
    nodes: &[ApiHost],
    path: &AbsPath,
) -> Result<Result<K3sVersion, String>, StepFailure> {
    let mut found = BTreeSet::new();
    for node in nodes {
        match binary(world, node.host, path.as_str()).await? {
            Some(version) => drop(found.insert(version)),
            None => return Ok(Err(format!("{path} on {} is no k3s that runs", node.name))),
        }
    }
    let versions: Vec<String> = found.iter().map(K3sVersion::to_string).collect();
    Ok(match (found.pop_first(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(format!(
            "{path} is not the same on all hosts: {}",
            versions.join(", ")
        )),
        (None, _) => Err("no host is to be upgraded".to_owned()),
    })
}

/// What a k3s binary on a host is; none if it is not there or does not run.
pub(crate) async fn binary(
    world: &dyn World,
    host: HostId,
    path: &str,
) -> Result<Option<K3sVersion>, StepFailure> {
    let command = RemoteCommand::script(BINARY).arg(path).sudo();
    let answer = world
        .run(host, command)
        .await
        .and_then(|o| o.ok(BINARY.name))
        .map_err(failure::world)?;
    Ok(K3sVersion::from_version_output(&answer.text()).ok())
}

/// The step kind.
pub struct ResolveRelease(pub Services);

#[async_trait]
impl StepKind for ResolveRelease {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        match resolve(&*self.0.world, &params).await? {
            Err(why) => Err(failure::fatal(
                why,
                "Nothing was changed. Correct it, then retry; or start again with a version of your choice.",
            )),
            Ok(version) => Ok(Probe::Done {
                observed: format!("it is k3s {version}"),
                outputs: BTreeMap::from([(
                    VERSION.to_owned(),
                    Output::Value {
                        value: Value::from(version.to_string()),
                    },
                )]),
            }),
        }
    }

    /// The probe has it, or fails.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_script_is_not_run_to_see_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let (script, mark) = (folder.path().join("k3s"), folder.path().join("ran"));
        std::fs::write(&script, format!("#!/bin/sh\n: >{}\n", mark.display())).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let answer = std::process::Command::new("sh")
            .args(["-c", BINARY.text, "sh"])
            .arg(&script)
            .output()
            .unwrap();
        assert!(answer.status.success());
        assert_eq!(String::from_utf8_lossy(&answer.stdout), "");
        assert!(!mark.exists());
    }
    /// Runs it where curl or wget is this script; gives its status, what it says, and what it was asked.
    fn ask(loader: &str, body: &str, address: &str) -> (Option<i32>, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let asked = folder.path().join("asked");
        let tools = ["sh", "mktemp", "rm", "head", "tail", "grep", "sed", "tr"];
        for tool in tools {
            let found = std::process::Command::new("sh")
                .args(["-c", "command -v \"$1\"", "sh", tool])
                .output()
                .unwrap();
            let path = String::from_utf8(found.stdout).unwrap();
            std::os::unix::fs::symlink(path.trim(), folder.path().join(tool)).unwrap();
        }
        let program = folder.path().join(loader);
        std::fs::write(&program, format!("#!/bin/sh\n{body}")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let answer = std::process::Command::new("sh")
            .args(["-c", CHANNEL.text, "sh", address])
            .env("PATH", folder.path())
            .env("ASKED", &asked)
            .output()
            .unwrap();
        let said = String::from_utf8([answer.stdout, answer.stderr].concat()).unwrap();
        let asked = std::fs::read_to_string(asked).unwrap_or_default();
        (answer.status.code(), said, asked)
    }

    /// Remembers its arguments and writes to where the last but one says.
    const LOADER: &str =
        "echo \"${0##*/} $*\" >\"$ASKED\"\nwhile [ $# -gt 2 ]; do shift; done\necho text >\"$1\"\n";

    #[test]
    fn what_the_plan_shows_is_what_asks_for_a_channel() {
        for channels in ["https://update.example/channels/", "http://mirror.lan:8080"] {
            let (channels, channel) = (channels.parse().unwrap(), "stable".parse().unwrap());
            let [curl, wget] = lines(&channels, &channel);
            let wget = wget.strip_prefix("# without curl: ").unwrap().to_owned();
            for (program, shown) in [("curl", curl), ("wget", wget)] {
                let (status, said, asked) = ask(program, LOADER, &address(&channels, &channel));
                assert_eq!(status, Some(0), "{said}");
                let words = asked.split_whitespace().map(|word| match word {
                    // In the script it lies in a folder of its own.
                    word if word.ends_with("/body") => "body",
                    word => word,
                });
                let asked = words.collect::<Vec<_>>().join(" ");
                assert_eq!(asked, shown.replace('\'', ""));
            }
        }
    }

    #[test]
    fn wget_is_not_led_away_from_tls() {
        for (to, status) in [
            ("https://github.com/k3s-io/k3s/releases/tag/v1.33.5+k3s1", 0),
            ("http://github.com/k3s-io/k3s/releases/tag/v1.33.5+k3s1", 1),
        ] {
            let led = format!("{LOADER}echo '  Location: {to}' >&2\n");
            let (code, said, _) = ask("wget", &led, "https://update.example/stable");
            assert_eq!(code, Some(status), "{said}");
            assert_eq!(said.contains(&format!("url={to}\n")), status == 0, "{said}");
        }
    }
}
