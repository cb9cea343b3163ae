//! Step kind `remove_k3s`: k3s and everything it left off a host. Cannot be undone.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::step_number;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::inspect::{inspect, paths, remains};
use super::jobs::{Job, host};
use super::kube::ApiHost;
use super::{Services, check, failure, leave, leave_cluster, quorum};
use crate::world::{JobSpec, Script};

/// Stored name.
pub const KIND: &str = "remove_k3s";

/// Time the removal may take, waiting for unmounts included.
pub(crate) const RUNTIME: Duration = Duration::from_secs(300);

/// Below this lies what a removal puts back at its end, under the full old path.
pub(crate) const KEEP_ROOT: &str = "/var/lib/coxswain/kept";

/// `$1` a directory for what is kept, `$2…` the paths to keep. The uninstall script's exit status is not
/// trusted (facts A, removing): what it leaves is removed here. What pods and their containers mounted is unmounted,
/// as k3s-killall.sh does; a disk that a person mounted is emptied and stays.
pub(crate) const REMOVE: Script = Script {
    name: "remove-k3s",
    text: r#"set -u
umask 022
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
keep=$1
shift
exists() { [ -e "$1" ] || [ -L "$1" ]; }
folder() { case $1 in /var/*) (umask 077 && mkdir -p "${1%/*}") ;; *) mkdir -p "${1%/*}" ;; esac; }
for path; do
    kept=$keep$path
    if exists "$path" && ! exists "$kept"; then
        (umask 077 && mkdir -p "${kept%/*}") || exit 1
        rm -rf "$kept.part"
        mv "$path" "$kept.part" || exit 1
    fi
    if exists "$kept.part"; then mv "$kept.part" "$kept" || exit 1; fi
    if exists "$kept"; then echo "coxswain: keeping $path"; fi
done

mounted() {
    while read -r _ at _; do
        case $at in
        /run/k3s/* | /var/lib/rancher/k3s/agent/containerd/*/* | /var/lib/kubelet/pods/* | /var/lib/kubelet/plugins/* | /run/netns/cni-*) by=pods ;;
        /var/lib/rancher/k3s | /var/lib/rancher/k3s/* | /var/lib/kubelet | /var/lib/kubelet/*) by=people ;;
        *) continue ;;
        esac
        if [ "$by" = "$1" ]; then printf '%b\n' "$at"; fi
    done </proc/self/mounts | sort -r
}
# A disk that is in use is not unmounted by the uninstall scripts of old versions.
users=$(mounted people | while read -r at; do (cd "$at" && exec sleep 600) >/dev/null 2>&1 & echo $!; done)

for script in /usr/local/bin/k3s-uninstall.sh /usr/local/bin/k3s-agent-uninstall.sh; do
    if [ -x "$script" ]; then
        echo "coxswain: running $script"
        sh "$script" </dev/null
        echo "coxswain: $script ended with status $?"
    fi
done

echo "coxswain: removing what is left"
for unit in k3s.service k3s-agent.service; do
    systemctl disable --now "$unit" >/dev/null 2>&1
    systemctl reset-failed "$unit" >/dev/null 2>&1
done
for cmdline in /proc/[0-9]*/cmdline; do
    if tr '\0' ' ' <"$cmdline" 2>/dev/null | grep -q -e '^/var/lib/rancher/k3s/data/' -e 'containerd-shim.*/run/k3s/containerd'; then
        pid=${cmdline#/proc/}
        kill -9 "${pid%/cmdline}" 2>/dev/null
    fi
done
for pid in $users; do kill "$pid" 2>/dev/null; done
mounted pods | while read -r at; do umount "$at" || umount -l "$at"; done
# Unmounted, a disk would bring its old data back with the next boot.
mounted people | while read -r at; do
    echo "coxswain: emptying $at, which stays mounted"
    find "$at" -xdev -mindepth 1 -delete
done
for link in cni0 flannel.1 flannel-v6.1 flannel-wg flannel-wg-v6 kube-ipvs0; do
    if [ -e "/sys/class/net/$link" ]; then ip link delete "$link"; fi
done
for net in /run/netns/cni-*; do if [ -e "$net" ]; then ip netns delete "${net##*/}" || rm -f "$net"; fi; done
for program in kubectl crictl ctr; do
    if [ "$(readlink "/usr/local/bin/$program" 2>/dev/null)" = k3s ]; then rm -f "/usr/local/bin/$program"; fi
done
for path in /etc/systemd/system/k3s.service /etc/systemd/system/k3s.service.env /etc/systemd/system/k3s.service.d \
    /etc/systemd/system/k3s-agent.service /etc/systemd/system/k3s-agent.service.env \
    /etc/systemd/system/k3s-agent.service.d /run/systemd/system/k3s.service.d \
    /run/systemd/system/k3s-agent.service.d /usr/local/bin/k3s /usr/local/bin/k3s-killall.sh \
    /usr/local/bin/k3s-uninstall.sh /usr/local/bin/k3s-agent-uninstall.sh \
    /etc/rancher/k3s /etc/rancher/node /var/lib/rancher/k3s /run/k3s /run/flannel /var/lib/cni /var/lib/kubelet; do
    if exists "$path"; then
        # A mount point stays, emptied.
        if ! rm -rf --one-file-system "$path" 2>/dev/null && [ -d "$path" ]; then
            find "$path" -xdev -mindepth 1 -delete
        fi
    fi
done
for path in /etc/default/k3s /etc/default/k3s-agent /etc/sysconfig/k3s /etc/sysconfig/k3s-agent; do
    # One for a proxy alone may be there on purpose.
    if grep -qsE '^[[:space:]]*K3S_' "$path"; then rm -f "$path"; fi
done
rmdir /etc/rancher /var/lib/rancher 2>/dev/null
systemctl daemon-reload

for path; do
    kept=$keep$path
    if exists "$kept"; then
        folder "$path" || exit 1
        rm -rf "$path"
        mv "$kept" "$path" || exit 1
        echo "coxswain: put back $path"
    fi
done
rm -rf "$keep"
rmdir /var/lib/coxswain/kept 2>/dev/null
echo "coxswain: done"
exit 0
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Absolute paths that stay: configuration a person wrote, files placed for an installation.
    pub keep: Vec<String>,
    /// The host is no etcd member of its cluster, which goes on: as one it would take the quorum with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<leave_cluster::Params>,
    /// Servers that are asked so, too: one that is down must not be all that counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<ApiHost>,
    /// It was lost before: the cluster may be gone itself, and nobody has to be able to tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

/// The job of a removal. `context` names the place where kept files wait.
pub(crate) fn spec(context: &StepContext, keep: &[String]) -> JobSpec {
    let spec = JobSpec::new(REMOVE, RUNTIME).arg(keep_dir(context));
    keep.iter().fold(spec, JobSpec::arg)
}

/// Where a step keeps files of the host aside.
pub(crate) fn keep_dir(context: &StepContext) -> String {
    format!("{KEEP_ROOT}/{}-{}", context.run, step_number(context.step))
}

/// The step kind.
pub struct RemoveK3s(pub Services);

impl RemoveK3s {
    /// Refuses a host that a server lists as etcd member, or of which nobody can tell; one that was lost only where the
    /// others have no quorum without it.
    async fn is_no_member(&self, params: &Params) -> Result<(), StepFailure> {
        let Some(leave_cluster::Params { node, via }) = &params.left else {
            return Ok(());
        };
        let (mut none, mut unknown) = (false, None);
        for server in std::iter::once(via).chain(&params.others) {
            match leave::is_member(&*self.0.world, server, node).await {
                // It has joined again: its member leaves afterwards, with its Node.
                Ok(true) if params.lost => {
                    let servers: Vec<ApiHost> = std::iter::once(via)
                        .chain(&params.others)
                        .cloned()
                        .collect();
                    return quorum::guard(&*self.0.world, node, &servers).await;
                }
                Ok(true) => {
                    return Err(failure::fatal(
                        format!("{} is an etcd member, seen from {}", node.name, server.name),
                        "Nothing was removed: it would take the quorum with it. See who started k3s there, end this run, and let the member leave: \u{201c}Remove a node\u{201d} does so.",
                    ));
                }
                Ok(false) => none = true,
                Err(failure) => unknown = Some(failure),
            }
        }
        match unknown {
            Some(failure) if !none && !params.lost => Err(failure),
            Some(_) | None => Ok(()),
        }
    }
}

#[async_trait]
impl StepKind for RemoveK3s {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let facts = inspect(&*self.0.world, host(context)?)
            .await
            .map_err(failure::world)?;
        let left = remains(&facts.leftovers, &params.keep);
        Ok(if left.is_empty() {
            Probe::Done {
                observed: "nothing of k3s is left".to_owned(),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: format!("there still is: {}", paths(&left)),
            }
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        self.is_no_member(&params).await?;
        Job::of(&*self.0.world, context)?
            .run(&spec(context, &params.keep), context.output.as_ref())
            .await
    }

    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        Job::of(&*self.0.world, context)?.reattach(context).await
    }

    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.stop().await
    }

    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.remove().await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Runs the removal on a host below `root`, where these are mounted; gives its output and what it unmounted.
    fn remove(root: &Path, mounts: &[&str]) -> (String, String) {
        let at = root.display().to_string();
        let table: String = mounts
            .iter()
            .map(|path| format!("dev {at}{path} ext4 rw 0 0\n"))
            .collect();
        fs::write(root.join("mounts"), table).unwrap();
        fs::write(root.join("unmounted"), "").unwrap();
        let mut text = REMOVE.text.replace("/proc/self/mounts", "@mounts");
        for tree in ["/etc/", "/run/", "/var/", "/usr/local/bin/", "/sys/"] {
            text = text.replace(tree, &format!("{at}{tree}"));
        }
        let text = text.replace("@mounts", &format!("{at}/mounts"));
        let fakes = format!("systemctl() {{ :; }}\numount() {{ echo \"$1\" >>{at}/unmounted; }}\n");
        // Not as an argument: it looks for processes by theirs.
        let script = root.join("remove.sh");
        fs::write(&script, fakes + &text).unwrap();
        let ran = Command::new("sh")
            .arg(script)
            .arg(format!("{at}/kept"))
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        let unmounted = fs::read_to_string(root.join("unmounted")).unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        (said.replace(&at, ""), unmounted.replace(&at, ""))
    }

    fn file(root: &Path, path: &str) {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn a_disk_of_a_person_is_emptied_and_a_mount_of_a_pod_is_unmounted() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let pods = [
            "/var/lib/kubelet/pods/1/volumes/v",
            "/var/lib/rancher/k3s/agent/containerd/io.x/snapshots/1",
            "/run/k3s/containerd/1/rootfs",
        ];
        let people = [
            "/var/lib/rancher/k3s/server/db",
            "/var/lib/rancher/k3s/my\\040disk",
            "/var/lib/kubelet",
        ];
        file(root, "/var/lib/rancher/k3s/server/db/etcd/member/wal");
        file(root, "/var/lib/rancher/k3s/my disk/x");
        let (said, unmounted) = remove(root, &[&pods[..], &people, &["/srv"]].concat());
        let mut unmounted: Vec<&str> = unmounted.lines().collect();
        unmounted.sort_unstable();
        assert_eq!(unmounted, [pods[2], pods[0], pods[1]]);
        for disk in ["server/db", "my disk"] {
            let emptied = format!("emptying /var/lib/rancher/k3s/{disk}, which stays mounted");
            assert!(said.contains(&emptied), "{said}");
        }
        assert!(!said.contains("/srv"), "{said}");
        assert!(!root.join("var/lib/rancher/k3s/server").exists());
    }

    /// k3s' unit reads them: a later installation would take what they set of k3s.
    #[test]
    fn environment_files_of_the_unit_go() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let ours = ["/etc/default/k3s", "/etc/sysconfig/k3s-agent"];
        let others = ["/etc/default/grub", "/etc/sysconfig/k3s"];
        for path in ours.iter().chain(&others) {
            file(root, path);
        }
        for path in ours {
            fs::write(root.join(&path[1..]), "HTTP_PROXY=http://p\nK3S_TOKEN=x\n").unwrap();
        }
        remove(root, &[]);
        let there = |path: &&str| root.join(path.trim_start_matches('/')).exists();
        assert!(!ours.iter().any(there));
        assert!(others.iter().all(there));
    }

    /// k3s-killall.sh of old versions unmounts everything below the data directory that is not in use.
    #[test]
    fn a_disk_of_a_person_is_in_use_while_the_uninstall_script_runs() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let disk = "/var/lib/rancher/k3s/server/db";
        file(root, &format!("{disk}/state.db"));
        let script = root.join("usr/local/bin/k3s-uninstall.sh");
        fs::create_dir_all(script.parent().unwrap()).unwrap();
        let look = format!(
            "sleep 0.3; for cwd in /proc/[0-9]*/cwd; do [ \"$(readlink $cwd)\" != {0}{disk} ] || echo used by someone; done\n",
            root.display()
        );
        fs::write(&script, look).unwrap();
        let chmod = Command::new("chmod").arg("+x").arg(&script).status();
        assert!(chmod.unwrap().success());
        let (said, _) = remove(root, &[disk]);
        assert!(said.contains("used by someone"), "{said}");
        let mut cwds = fs::read_dir("/proc").unwrap().flatten();
        let held = cwds
            .any(|p| fs::read_link(p.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(root)));
        assert!(!held, "somebody still uses the disk");
    }
}
