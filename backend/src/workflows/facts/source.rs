//! Whether k3s can be had: the installer's address from each host, or the files on it.

use coxswain_k3s::install::{Release, Source};
use coxswain_k3s::names::K3sVersion;
use coxswain_wire::Fact;

use super::super::install_form::is_supported;
use super::{at_once, fail, pass, shown, unknown};
use crate::steps::ApiHost;
use crate::steps::resolve_release::BINARY;
use crate::world::{RemoteCommand, Script, World};

/// `$1` an address. Fetches it and throws it away.
pub(crate) const FETCH: Script = Script {
    name: "try-installer",
    text: r#"if command -v curl >/dev/null 2>&1; then
    exec curl -sSfL --connect-timeout 5 --max-time 20 -o /dev/null "$1"
elif command -v wget >/dev/null 2>&1; then
    exec wget -nv --timeout=10 --tries=1 -O /dev/null "$1"
fi
echo 'neither curl nor wget is installed' >&2
exit 127
"#,
};

/// Prints `missing PATH` for each argument that is not a readable file with something in it.
pub(crate) const FILES: Script = Script {
    name: "look-at-files",
    text: r#"for file; do
    if ! [ -f "$file" ] || ! [ -r "$file" ] || ! [ -s "$file" ]; then echo "missing $file"; fi
done
exit 0
"#,
};

/// Facts about the source on every host that answers.
pub(super) async fn facts(
    world: &dyn World,
    cluster: &str,
    nodes: &[&ApiHost],
    source: &Source,
) -> Vec<Fact> {
    let mut facts: Vec<Fact> = at_once(
        nodes
            .iter()
            .map(|node| on_host(world, node, source))
            .collect(),
    )
    .await;
    match source {
        Source::Online {
            release: Release::Version(version),
            ..
        } => facts.push(pass(cluster, "Version", version.to_string())),
        Source::Online {
            release: Release::Channel(channel),
            ..
        } => {
            facts.push(shown(
                cluster,
                "Version",
                format!("the newest of channel {channel} when the installer runs"),
            ));
        }
        Source::AirGap { .. } => {
            let mut versions: Vec<&str> = facts.iter().map(|f| f.value.as_str()).collect();
            versions.sort_unstable();
            versions.dedup();
            if versions.len() > 1 {
                let value = "the hosts do not have the same files".to_owned();
                facts.push(fail(
                    cluster,
                    "Version",
                    value,
                    "Put the same k3s binary on every host.",
                ));
            }
        }
    }
    facts
}

/// The source as one host sees it.
pub(in crate::workflows) async fn on_host(
    world: &dyn World,
    node: &ApiHost,
    source: &Source,
) -> Fact {
    let name = node.name.as_str();
    match source {
        Source::Online { installer_url, .. } => {
            let fetch = RemoteCommand::script(FETCH).arg(installer_url.as_str());
            match world.run(node.host, fetch).await {
                Err(error) => unknown(name, "Installer", &error),
                Ok(answer) if answer.success() => {
                    pass(name, "Installer", format!("{installer_url} can be fetched"))
                }
                Ok(answer) => fail(
                    name,
                    "Installer",
                    format!(
                        "{installer_url} cannot be fetched: {}",
                        answer.error_text().trim()
                    ),
                    "Check the address, name resolution and proxy of the host, or install air-gapped.",
                ),
            }
        }
        Source::AirGap {
            script_path,
            binary_path,
            images_archive,
        } => {
            let others = std::iter::once(script_path).chain(images_archive);
            let look = RemoteCommand::script(FILES)
                .arg(binary_path.as_str())
                .args(others.map(|p| p.as_str()))
                .sudo();
            let version = RemoteCommand::script(BINARY)
                .arg(binary_path.as_str())
                .sudo();
            let both = async {
                let found = world.run(node.host, look).await?.text();
                Ok(found + &world.run(node.host, version).await?.text())
            };
            match both.await {
                Err(error) => unknown(name, "Files", &error),
                Ok(answer) => files(name, &answer),
            }
        }
    }
}

fn files(name: &str, answer: &str) -> Fact {
    let missing: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("missing "))
        .collect();
    if !missing.is_empty() {
        return fail(
            name,
            "Files",
            format!("not there: {}", missing.join(", ")),
            "Copy the files to the host, then look again.",
        );
    }
    match answer.lines().last().map(K3sVersion::from_version_output) {
        Some(Ok(version)) if is_supported(&version) => pass(
            name,
            "Files",
            format!("all there; the binary is k3s {version}"),
        ),
        Some(Ok(version)) => fail(
            name,
            "Files",
            format!("the binary is k3s {version}"),
            "This version is too old.",
        ),
        Some(Err(_)) | None => fail(
            name,
            "Files",
            "the binary does not run or is not k3s",
            "Check that it is the k3s binary for this machine's architecture.",
        ),
    }
}
