//! A look at the certificates that k3s keeps on a node, and at the old ones it has put aside.

use coxswain_engine::step::StepFailure;
use coxswain_k3s::rotation::{Serials, serials};
use coxswain_wire::HostId;

use super::failure;
use super::sections::sections;
use crate::world::{RemoteCommand, Script, World};

/// Prints each certificate file with its path below k3s's data. No keys: only the certificates in a file.
pub(crate) const LOOK: Script = Script {
    name: "look-at-certificates",
    text: r#"cd /var/lib/rancher/k3s 2>/dev/null || exit 0
{
    [ ! -d server/tls ] || find server/tls -type f -name '*.crt'
    [ ! -d agent ] || find agent -maxdepth 1 -type f -name '*.crt'
} | sort | while IFS= read -r file; do
    printf -- '--- %s\n' "$file"
    sed -n '/^-----BEGIN CERTIFICATE-----/,/^-----END CERTIFICATE-----/p' "$file"
done
exit 0
"#,
};

/// Prints the directories that `certificate rotate` and a restore have put aside, each with its size in KiB.
pub(crate) const BACKUPS: Script = Script {
    name: "list-certificate-backups",
    text: r#"for dir in /var/lib/rancher/k3s/server/tls-* /var/lib/rancher/k3s/agent/tls-*; do
    [ -d "$dir" ] && [ ! -L "$dir" ] || continue
    case ${dir##*/tls-} in ''|*[!0-9]*) continue ;; esac
    du -sk -- "$dir" | sed 's/[[:space:]]/ /'
done
exit 0
"#,
};

/// The serial numbers on a node.
pub(crate) async fn on_node(world: &dyn World, host: HostId) -> Result<Serials, StepFailure> {
    let answer = world
        .run(host, RemoteCommand::script(LOOK).sudo())
        .await
        .and_then(|o| o.ok(LOOK.name))
        .map_err(failure::world)?;
    let text = answer.text();
    let found = sections(&text);
    Ok(serials(
        found.iter().map(|(path, pem)| (*path, pem.as_str())),
    ))
}

/// Directories with old certificates: path and size in KiB, sorted.
pub(crate) async fn backups(
    world: &dyn World,
    host: HostId,
) -> Result<Vec<(String, u64)>, StepFailure> {
    let answer = world
        .run(host, RemoteCommand::script(BACKUPS).sudo())
        .await
        .and_then(|o| o.ok(BACKUPS.name))
        .map_err(failure::world)?;
    let text = answer.text();
    let mut found: Vec<(String, u64)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(size, path)| Some((path.to_owned(), size.parse().ok()?)))
        .collect();
    found.sort();
    Ok(found)
}
