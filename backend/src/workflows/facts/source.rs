//! Whether k3s can be had: the installer's address from each host, or the files on it.

use std::time::Duration;

use coxswain_k3s::install::{Release, Source};
use coxswain_k3s::names::K3sVersion;
use coxswain_wire::Fact;

use super::{at_once, fail, pass, shown, unknown, warn};
use crate::steps::ApiHost;
use crate::steps::resolve_release::BINARY;
use crate::world::{RemoteCommand, Script, World};

/// `$1` an address. Fetches it as the installation does, and throws it away.
pub(crate) const FETCH: Script = Script {
    name: "try-installer",
    text: r#"case $1 in
https://*) proto='=https' ;;
*) proto='=https,http' ;;
esac
if command -v curl >/dev/null 2>&1; then
    exec curl -sSfL --proto "$proto" --connect-timeout 5 --max-time 20 -o /dev/null "$1"
elif command -v wget >/dev/null 2>&1; then
    status=0
    log=$(wget -S --timeout=10 --tries=1 -O /dev/null "$1" 2>&1) || status=$?
    if [ "$status" -ne 0 ]; then
        printf '%s\n' "$log" | tail -n 3 >&2
        exit "$status"
    fi
    if [ "$proto" = '=https' ] && printf '%s\n' "$log" |
        grep -i '^ *location: *[a-z][a-z0-9+.-]*:' | grep -qiv 'location: *https:'; then
        echo 'it leads on to an address without https' >&2
        exit 1
    fi
    exit 0
fi
echo 'neither curl nor wget is installed' >&2
exit 127
"#,
};

/// For each argument prints `missing PATH`, or the file's SHA-256 and path. Then `loose PATH` if others than root may
/// put something else in its place.
pub(crate) const FILES: Script = Script {
    name: "look-at-files",
    text: r#"for file; do
    if ! [ -f "$file" ] || ! [ -r "$file" ] || ! [ -s "$file" ]; then
        echo "missing $file"
        continue
    fi
    sum=$(sha256sum <"$file") || exit 1
    echo "sha256 ${sum%% *} $file"
    folder=${file%/*}
    kept=$(find "$file" -prune -type f -user 0 ! -perm -0020 ! -perm -0002 -print)
    in=$(find "${folder:-/}/." -prune -user 0 ! -perm -0020 ! -perm -0002 -print)
    if [ -z "$kept" ] || [ -z "$in" ]; then echo "loose $file"; fi
done
exit 0
"#,
};

/// Reading all of an images archive takes a while.
const READING: Duration = Duration::from_secs(120);

/// Facts about the source on every host that answers.
pub(super) async fn facts(
    world: &dyn World,
    cluster: &str,
    nodes: &[&ApiHost],
    source: &Source,
) -> Vec<Fact> {
    let looks = nodes.iter().map(|node| on_host(world, node, source));
    let mut facts = at_once(looks.collect()).await.concat();
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
            let files = facts.iter().filter(|f| f.name == FILES_FACT);
            let mut versions: Vec<&str> = files.map(|f| f.value.as_str()).collect();
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
) -> Vec<Fact> {
    let name = node.name.as_str();
    match source {
        Source::Online { installer_url, .. } => {
            let fetch = RemoteCommand::script(FETCH).arg(installer_url.as_str());
            vec![match world.run(node.host, fetch).await {
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
            }]
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
                .sudo()
                .timeout(READING);
            let version = RemoteCommand::script(BINARY)
                .arg(binary_path.as_str())
                .sudo();
            let both = async {
                let found = world.run(node.host, look).await?.ok(FILES.name)?.text();
                Ok(found + &world.run(node.host, version).await?.text())
            };
            match both.await {
                Err(error) => vec![unknown(name, FILES_FACT, &error)],
                Ok(answer) => files(name, &answer),
            }
        }
    }
}

const FILES_FACT: &str = "Files";

fn files(name: &str, answer: &str) -> Vec<Fact> {
    let told = |word: &str| -> Vec<&str> {
        let lines = answer.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(str::trim_start).collect()
    };
    let (missing, loose) = (told("missing "), told("loose "));
    if !missing.is_empty() {
        return vec![fail(
            name,
            FILES_FACT,
            format!("not there: {}", missing.join(", ")),
            "Copy the files to the host, then look again.",
        )];
    }
    let mut facts = vec![
        binary(name, answer),
        // What was approved is what runs: another content is another approval.
        pass(name, "Checksums", told("sha256 ").join(", ")),
    ];
    if !loose.is_empty() {
        facts.push(warn(
            name,
            "Owner of the files",
            format!("others than root may replace {}", loose.join(", ")),
            "Anything put there after this look would run as root. Let each be a plain file that belongs to root and that nobody else may write, in a folder of the same kind.",
        ));
    }
    facts
}

fn binary(name: &str, answer: &str) -> Fact {
    match answer.lines().last().map(K3sVersion::from_version_output) {
        Some(Ok(version)) if version.is_supported() => pass(
            name,
            FILES_FACT,
            format!("all there; the binary is k3s {version}"),
        ),
        Some(Ok(version)) => fail(
            name,
            FILES_FACT,
            format!("the binary is k3s {version}"),
            "This version is too old.",
        ),
        Some(Err(_)) | None => fail(
            name,
            FILES_FACT,
            "the binary does not run or is not k3s",
            "Check that it is the k3s binary for this machine's architecture.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn look(files: &[&Path]) -> String {
        let script = ["-c", FILES.text, "sh"];
        let output = Command::new("sh")
            .args(script)
            .args(files)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Run as root the first file is root's; as anybody else, no file is.
    #[test]
    fn what_others_may_replace_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("install.sh");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(folder.path(), 0o755);
        fs::write(&file, "#!/bin/sh\n").unwrap();
        mode(&file, 0o644);
        let own = |said: &str| said.contains("loose ");
        let root = fs::metadata(&file)
            .map(|m| std::os::unix::fs::MetadataExt::uid(&m))
            .unwrap()
            == 0;
        let said = look(&[&file]);
        let sum = "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf";
        assert!(
            said.starts_with(&format!("sha256 {sum} {}", file.display())),
            "{said}"
        );
        assert_eq!(own(&said), !root, "{said}");
        for (path, bad, good) in [
            (&*file, 0o666, 0o644),
            (&*file, 0o664, 0o644),
            (folder.path(), 0o777, 0o755),
        ] {
            mode(path, bad);
            assert!(own(&look(&[&file])));
            mode(path, good);
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(own(&look(&[&link])), "it may point elsewhere tomorrow");
        let gone = folder.path().join("gone");
        assert_eq!(look(&[&gone]), format!("missing {}\n", gone.display()));
    }
}
