//! The files that tell a server's k3s what to do: unit file with drop-ins, configuration, environment.

use std::collections::BTreeMap;
use std::net::IpAddr;

use coxswain_engine::step::StepFailure;
use coxswain_k3s::env_file::EnvFile;
use coxswain_k3s::sans::{HostFile, SanError, ServerFiles};
use coxswain_wire::HostId;

use super::failure;
use super::inspect::inspect;
use super::restart::NodeRole;
use super::sections::{sections, value};
use crate::world::{RemoteCommand, Script, World};

/// Largest file that is read.
const MAX: usize = 256 * 1024;

/// `$1` the unit. Prints mode and path of each file; `link` stands for the mode of a symbolic link.
pub(crate) const LIST: Script = Script {
    name: "list-server-files",
    text: r#"unit=$1
list() {
    for file; do
        if [ -L "$file" ]; then
            printf 'link %s\n' "$file"
        elif [ -f "$file" ]; then
            stat -c '%a %n' -- "$file"
        fi
    done
}
echo '--- unit'
systemctl show "$unit" -p LoadState -p NeedDaemonReload
echo '--- units'
fragment=$(systemctl show "$unit" -p FragmentPath | sed 's/^FragmentPath=//')
dropins=$(systemctl show "$unit" -p DropInPaths | sed 's/^DropInPaths=//')
list "$fragment" $dropins
echo '--- configs'
list /etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/*
echo '--- environments'
list /etc/default/"${unit%.service}" /etc/sysconfig/"${unit%.service}" "$fragment.env"
exit 0
"#,
};

/// `$1` a file to delete, or nothing. Then systemd reads its unit files again.
pub(crate) const RELOAD: Script = Script {
    name: "reload-units",
    text: "[ -z \"$1\" ] || rm -f -- \"$1\" || exit 1\nexec systemctl daemon-reload\n",
};

/// What a unit is told by, as [`LIST`] prints it in sections.
///
/// # Errors
/// The host cannot be asked.
pub(crate) async fn list(
    world: &dyn World,
    host: HostId,
    unit: &str,
) -> Result<String, StepFailure> {
    let command = RemoteCommand::script(LIST).arg(unit).sudo();
    let answer = world.run(host, command).await;
    let answer = answer.and_then(|o| o.ok(LIST.name));
    Ok(answer.map_err(failure::world)?.text())
}

/// Deletes a file, if one is named; then systemd reads its unit files again.
///
/// # Errors
/// The host cannot be asked, or cannot do it.
pub(crate) async fn reload(
    world: &dyn World,
    host: HostId,
    deleted: Option<&str>,
) -> Result<(), StepFailure> {
    let command = RemoteCommand::script(RELOAD)
        .arg(deleted.unwrap_or_default())
        .sudo();
    let answer = world.run(host, command).await;
    answer
        .and_then(|o| o.ok(RELOAD.name))
        .map(drop)
        .map_err(failure::world)
}

/// What was read.
pub(crate) struct FilesLook {
    /// The files.
    pub(crate) files: ServerFiles,
    /// The unit file was changed since systemd read it.
    pub(crate) needs_reload: bool,
    /// Addresses of the host's interfaces.
    pub(crate) interfaces: Vec<IpAddr>,
    modes: BTreeMap<String, String>,
}

impl FilesLook {
    /// Reads a server's files. `Err` inside: k3s could not use them either, or they lie elsewhere.
    pub(crate) async fn take(
        world: &dyn World,
        host: HostId,
    ) -> Result<Result<Self, SanError>, StepFailure> {
        let unit = NodeRole::Server.unit();
        let text = list(world, host, unit).await?;
        let found = sections(&text);
        let body = |name: &str| found.get(name).map(String::as_str).unwrap_or_default();
        if value(body("unit"), "LoadState") != Some("loaded") {
            return Err(failure::fatal(
                format!("there is no {unit} on the host"),
                "Correct the host's role in the inventory, or join it first.",
            ));
        }
        let mut modes = BTreeMap::new();
        let units = read(world, host, body("units"), &mut modes).await?;
        let configs = read(world, host, body("configs"), &mut modes).await?;
        let environments = read(world, host, body("environments"), &mut BTreeMap::new()).await?;
        let env: String = environments
            .iter()
            .map(|file| format!("{}\n", file.text))
            .collect();
        let needs_reload = value(body("unit"), "NeedDaemonReload") == Some("yes");
        let host = inspect(world, host).await.map_err(failure::world)?;
        let files = ServerFiles::new(units, configs, &EnvFile::parse(&env));
        Ok(files.map(|files| Self {
            files,
            needs_reload,
            interfaces: host.addresses,
            modes,
        }))
    }

    /// A file's mode, for writing it again.
    pub(crate) fn mode(&self, path: &str) -> Result<u32, StepFailure> {
        let mode = self.modes.get(path).map_or("", String::as_str);
        u32::from_str_radix(mode, 8).map_err(|_| {
            failure::fatal(
                format!("{path} is a symbolic link"),
                "Change the file that it points to where it is managed, or put a plain file in its place.",
            )
        })
    }
}

async fn read(
    world: &dyn World,
    host: HostId,
    listed: &str,
    modes: &mut BTreeMap<String, String>,
) -> Result<Vec<HostFile>, StepFailure> {
    let mut files = Vec::new();
    for (mode, path) in listed.lines().filter_map(|line| line.split_once(' ')) {
        if let Some(text) = read_text(world, host, path).await? {
            modes.insert(path.to_owned(), mode.to_owned());
            files.push(HostFile {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

/// A text file, none if there is none.
pub(crate) async fn read_text(
    world: &dyn World,
    host: HostId,
    path: &str,
) -> Result<Option<String>, StepFailure> {
    let bytes = world
        .read_file(host, path, MAX)
        .await
        .map_err(failure::world)?;
    bytes
        .map(|bytes| {
            String::from_utf8(bytes)
                .map_err(|_| StepFailure::fatal(format!("{path} is not UTF-8 text")))
        })
        .transpose()
}
