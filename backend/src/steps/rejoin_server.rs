//! Step kind `rejoin_server`: a server whose database is of the time before a restore joins the restored cluster.
//! The old database is moved aside, never deleted, and so are certificates and keys that are not those of the restored
//! server: k3s would not overwrite younger ones. Cannot be undone.
//!
//! Whatever the unit says about where to join (nothing, on the first server; a server that may be gone, on
//! others): for this one start a drop-in under `/run` names the restored server. With a database on its disk k3s
//! ignores `--server`, so the drop-in goes when the server is healthy, and only then k3s comes back with each boot.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::env_file::render;
use coxswain_k3s::install::K3S_TOKEN;
use coxswain_k3s::restore::rejoin_args;
use coxswain_k3s::token::SERVER_TOKEN_FILE;
use coxswain_k3s::unit_file::UnitFile;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::sleep;

use super::configured::Configured;
use super::jobs::{Job, host};
use super::kube::{API_PORT, ApiHost};
use super::restart::{self, NodeRole, Target};
use super::unit::UnitLook;
use super::{Services, check, failure, leave, memo};
use crate::world::{JobSpec, JobStatus, RemoteCommand, Script, Secret};

/// Stored name.
pub const KIND: &str = "rejoin_server";
/// Recommended deadline, seconds.
pub const DEADLINE_S: u32 = 600;

const UNIT: &str = "k3s.service";
pub(crate) const DATABASE: &str = "/var/lib/rancher/k3s/server/db";
const RUNTIME: Duration = Duration::from_secs(240);
/// For this one start; sorted behind every other.
const DROP_IN: &str = "/run/systemd/system/k3s.service.d/zz-coxswain-rejoin.conf";
const ENV_FILE: &str = "/run/coxswain/rejoin.env";
const TOKEN_FILE_MAX: usize = 4096;

/// `$1` the unit, `$2` the file for the journal's cursor, `$3` where the old database goes, `$4` the drop-in, `$5`
/// its environment file, `$6` `renew` to move certificates and keys aside, too; the content of both in the
/// environment. A database that is there although the old one
/// was moved already is of an earlier attempt to join: it may be a member by now, so it stays. A disk that is
/// mounted there cannot be moved: then the old database moves into a folder beside it, snapshots stay.
pub(crate) const REJOIN: Script = Script {
    name: "rejoin-k3s",
    text: r#"unit=$1 mark=$2 aside=$3 dropin=$4 file=$5 keys=${6-}
db=/var/lib/rancher/k3s/server/db
echo "coxswain: stopping $unit"
systemctl stop "$unit" || exit 1
old=$aside
if grep -qs " $db[ /]" /proc/self/mounts; then old=$db/${aside##*/}; fi
if [ -d "$db" ] && [ ! -e "$old" ]; then
    echo "coxswain: moving $db to $old"
    if [ "$old" = "$aside" ]; then
        mv "$db" "$aside" || exit 1
    else
        (umask 077 && mkdir -p "$old.part") || exit 1
        for path in "$db"/* "$db"/.[!.]*; do
            case ${path##*/} in snapshots | lost+found | "${db##*/}".coxswain-*) continue ;; esac
            if [ -e "$path" ] || [ -L "$path" ]; then mv "$path" "$old.part/" || exit 1; fi
        done
        mv "$old.part" "$old" || exit 1
    fi
fi
if [ "$keys" = renew ]; then
    for part in tls cred; do
        [ -d "${db%/*}/$part" ] && [ ! -e "$aside-$part" ] || continue
        echo "coxswain: moving ${db%/*}/$part to $aside-$part"
        mv "${db%/*}/$part" "$aside-$part" || exit 1
    done
fi
if [ -d "$aside/snapshots" ] && [ ! -e "$db/snapshots" ]; then
    (umask 077 && mkdir -p "$db") || exit 1
    mv "$aside/snapshots" "$db/snapshots" || exit 1
fi
sync
mkdir -p "${dropin%/*}" || exit 1
(umask 077 && mkdir -p "${file%/*}" "${mark%/*}") || exit 1
(umask 077 && printf '%s' "$COXSWAIN_ENVIRONMENT" >"$file") || exit 1
(umask 077 && printf '%s' "$COXSWAIN_DROP_IN" >"$dropin") || exit 1
systemctl daemon-reload || exit 1
journalctl --sync >/dev/null 2>&1
(umask 077 && journalctl -q --no-pager -o cat -n 1 --show-cursor | sed -n 's/^-- cursor: //p' >"$mark")
systemctl reset-failed "$unit" 2>/dev/null
echo "coxswain: starting $unit"
systemctl start --no-block "$unit"
"#,
};

/// The places of databases that were moved aside before, also of those that are on a disk of their own.
pub(crate) const ASIDE: Script = Script {
    name: "list-old-databases",
    text: r#"db=/var/lib/rancher/k3s/server/db
for old in "$db".coxswain-* "$db/${db##*/}".coxswain-*; do
    if [ -e "$old" ]; then echo "${db%/*}/${old##*/}"; fi
done
exit 0
"#,
};

/// What k3s keeps in the database and on each server's disk (its bootstrap data). Younger files on the disk that differ
/// keep it from starting.
pub(crate) const KEYS: Script = Script {
    name: "look-at-keys",
    text: r#"cd /var/lib/rancher/k3s/server || exit 0
sha256sum tls/server-ca.crt tls/server-ca.key tls/client-ca.crt tls/client-ca.key tls/request-header-ca.crt tls/request-header-ca.key tls/service.key tls/etcd/server-ca.crt tls/etcd/server-ca.key tls/etcd/peer-ca.crt tls/etcd/peer-ca.key cred/passwd cred/ipsec.psk cred/encryption-config.json cred/encryption-state.json 2>/dev/null
exit 0
"#,
};

/// `$1` the unit, `$2…` files that were for one start only.
pub(crate) const SETTLE: Script = Script {
    name: "settle-k3s",
    text: r#"unit=$1
shift
rm -f -- "$@" || exit 1
rmdir "${1%/*}" 2>/dev/null
systemctl enable "$unit" && systemctl daemon-reload
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The server.
    pub node: ApiHost,
    /// The restored server.
    pub via: ApiHost,
}

impl Params {
    fn target(&self) -> Target {
        Target {
            node: self.node.clone(),
            role: NodeRole::Server,
            servers: vec![self.via.clone()],
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Memo {
    /// InvocationID of k3s before.
    invocation: String,
    /// Where the old database goes; none in runs of earlier versions, where the run's number was enough.
    #[serde(default)]
    aside: Option<String>,
}

/// The step kind.
pub struct RejoinServer(pub Services);

impl RejoinServer {
    /// The server's health, seen from itself and from the restored one; `Err` inside: not yet, in words.
    async fn healthy(&self, context: &StepContext) -> Result<Result<String, String>, StepFailure> {
        let params: Params = context.params()?;
        let before = memo::<Memo>(context)?.invocation;
        let target = params.target();
        let seen = restart::restarted(&*self.0.world, context, &target, &before, None).await?;
        Ok(seen.map(|healthy| healthy.words))
    }

    /// The drop-in and its environment file are gone, and k3s comes back with each boot.
    async fn is_settled(&self, node: &ApiHost) -> Result<bool, StepFailure> {
        let world = &*self.0.world;
        let drop_in = world
            .read_file(node.host, DROP_IN, 256 * 1024)
            .await
            .map_err(failure::world)?;
        let look = UnitLook::take(world, node.host, UNIT, None).await?;
        Ok(drop_in.is_none() && look.enabled)
    }

    /// The server's health where no job of ours has started it: somebody else may have let it join.
    async fn joined(&self, context: &StepContext) -> Result<Result<String, String>, StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        let look = UnitLook::take(world, params.node.host, UNIT, None).await?;
        if !look.active() {
            return Ok(Err(format!(
                "{} has not joined the restored cluster",
                params.node.name
            )));
        }
        let seen = restart::as_wanted(world, context, &params.target(), None).await?;
        Ok(seen.map(|healthy| healthy.words))
    }

    /// Refuses to move a database aside that the restored cluster counts on. One that is only about to join has no
    /// vote yet.
    async fn has_no_vote(&self, params: &Params) -> Result<(), StepFailure> {
        let Params { node, via } = params;
        if !leave::votes(&*self.0.world, via, node).await? {
            return Ok(());
        }
        Err(failure::fatal(
            format!(
                "{} is a voting member of the restored cluster already: its database stays where it is",
                node.name
            ),
            format!(
                "Somebody has let it join. Does k3s run on it? Then let it come back with each boot (systemctl enable k3s), see that it is healthy, and retry: nothing is done anew. If it cannot be made healthy, take it out of the cluster on {} (kubectl delete node {}), see that the others still have their quorum, and retry.",
                via.name, node.name
            ),
        ))
    }

    /// The places of databases that were moved aside.
    async fn places(&self, params: &Params) -> Result<String, StepFailure> {
        let list = RemoteCommand::script(ASIDE).sudo();
        let ran = self.0.world.run(params.node.host, list).await;
        let answer = ran.and_then(|o| o.ok(ASIDE.name)).map_err(failure::world)?;
        Ok(answer.text())
    }

    /// What identifies a server's keys.
    async fn keys(&self, server: &ApiHost) -> Result<String, StepFailure> {
        let look = RemoteCommand::script(KEYS).sudo();
        let ran = self.0.world.run(server.host, look).await;
        let answer = ran.and_then(|o| o.ok(KEYS.name)).map_err(failure::world)?;
        Ok(answer.text())
    }

    async fn job(
        &self,
        context: &StepContext,
        params: &Params,
        place: String,
    ) -> Result<JobSpec, StepFailure> {
        let world = &*self.0.world;
        let told = Configured::take(world, params.node.host, UNIT).await?;
        let token = world
            .read_file(params.via.host, SERVER_TOKEN_FILE, TOKEN_FILE_MAX)
            .await
            .map_err(failure::world)?
            .ok_or_else(|| {
                StepFailure::fatal(format!(
                    "there is no {SERVER_TOKEN_FILE} on {}",
                    params.via.name
                ))
            })?;
        let token = String::from_utf8_lossy(&token).trim().to_owned();
        let environment =
            render([(K3S_TOKEN, token.as_str())]).map_err(|e| StepFailure::fatal(e.to_string()))?;
        let renew = self.keys(&params.node).await? != self.keys(&params.via).await?;
        let mut spec = JobSpec::new(REJOIN, RUNTIME)
            .arg(UNIT)
            .arg(restart::mark(context))
            .arg(place)
            .arg(DROP_IN)
            .arg(ENV_FILE)
            .secret_env("COXSWAIN_ENVIRONMENT", Secret::new(environment))
            .secret_env(
                "COXSWAIN_DROP_IN",
                Secret::new(drop_in(&told, &params.via)?),
            );
        if renew {
            spec = spec.arg("renew");
        }
        Ok(spec)
    }
}

/// Where the old database goes, as noted.
fn place(context: &StepContext) -> Result<String, StepFailure> {
    let noted = memo::<Memo>(context)?.aside;
    Ok(noted.unwrap_or_else(|| aside(context, "")))
}

/// Where the old database goes: a place that no run before has filled, nor one of another panel with this number.
fn aside(context: &StepContext, taken: &str) -> String {
    let first = format!("{DATABASE}.coxswain-{}", context.run);
    let later = (2..).map(|n| format!("{first}-{n}"));
    let mut places = std::iter::once(first.clone()).chain(later);
    let free = |place: &String| !taken.lines().any(|line| line == place);
    places.find(free).unwrap_or(first)
}

/// The drop-in: the unit's own command, joining the restored server.
fn drop_in(told: &Configured, via: &ApiHost) -> Result<String, StepFailure> {
    let wrong = |e: coxswain_k3s::unit_file::UnitError| {
        failure::fatal(
            e.to_string(),
            "Correct the unit file of k3s on this host, then retry.",
        )
    };
    let address = if via.address.contains(':') {
        format!("[{}]", via.address)
    } else {
        via.address.clone()
    };
    let args = rejoin_args(&told.args, &format!("https://{address}:{API_PORT}"));
    let unit = UnitFile::parse(&told.look.files).map_err(wrong)?;
    let changed = unit.with_args(&args).map_err(wrong)?;
    // As the unit writes it: systemd's specifiers in it mean the same in a drop-in.
    let command = changed.command_text().unwrap_or_default().trim_end();
    Ok(format!(
        "[Service]\nEnvironmentFile={ENV_FILE}\nExecStart=\nExecStart={command}\n\n"
    ))
}

#[async_trait]
impl StepKind for RejoinServer {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let seen = if context.memo.is_null() {
            self.joined(context).await?
        } else {
            self.healthy(context).await?
        };
        let observed = match seen {
            Ok(observed) => observed,
            Err(why) => return Ok(Probe::NotDone { why }),
        };
        Ok(if self.is_settled(&params.node).await? {
            Probe::Done {
                observed,
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: format!(
                    "{UNIT} on {} does not come back with a boot yet",
                    params.node.name
                ),
            }
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        self.has_no_vote(&params).await?;
        let taken = self.places(&params).await?;
        let memo = Memo {
            invocation: restart::invocation(&*self.0.world, &params.target()).await?,
            aside: Some(aside(context, &taken)),
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        // A crash may have come between the start and the rest.
        if self.healthy(context).await?.is_err() {
            let place = place(context)?;
            let moved = self.places(&params).await?;
            // After our own move, what is there is what an earlier attempt has let join.
            if !moved.lines().any(|line| line == place) {
                self.has_no_vote(&params).await?;
            }
            let spec = self.job(context, &params, place).await?;
            Job::of(world, context)?
                .run(&spec, context.output.as_ref())
                .await?;
            // Bounded by the step's deadline.
            while self.healthy(context).await?.is_err() {
                sleep(Duration::from_secs(1)).await;
            }
        }
        let settle = RemoteCommand::script(SETTLE)
            .arg(UNIT)
            .arg(DROP_IN)
            .arg(ENV_FILE)
            .sudo();
        world
            .run(host(context)?, settle)
            .await
            .and_then(|o| o.ok(SETTLE.name))
            .map_err(failure::world)?;
        Ok(())
    }

    /// A k3s that the job has started is waited for: started a second time it would join later.
    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        let job = Job::of(&*self.0.world, context)?;
        let attached = job.reattach(context).await?;
        if context.applied && job.status().await? == (JobStatus::Exited { code: 0 }) {
            while let Ok(Err(_)) = self.healthy(context).await {
                sleep(Duration::from_secs(1)).await;
            }
        }
        Ok(attached)
    }

    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.stop().await
    }

    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        restart::forget(&*self.0.world, context).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    /// Runs a script on a host below `root`, where its database is a disk of its own or not.
    fn run(root: &Path, script: &Script, disk: &str, words: &[String]) -> Output {
        let at = root.display().to_string();
        fs::write(root.join("mounts"), format!("dev {at}{disk} ext4 rw 0 0\n")).unwrap();
        let text = script
            .text
            .replace("/proc/self/mounts", &format!("{at}/mounts"));
        let text = text.replace("/var/lib/", &format!("{at}/var/lib/"));
        let fakes = "systemctl() { :; }\njournalctl() { :; }\n";
        Command::new("sh")
            .args(["-c", &format!("{fakes}{text}"), "sh"])
            .args(words)
            .envs([("COXSWAIN_ENVIRONMENT", "e"), ("COXSWAIN_DROP_IN", "d")])
            .output()
            .unwrap()
    }

    /// Where the old database is after a rejoin, and what the next run knows of it.
    fn moved(disk: &str) -> (String, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let db = root.join(DATABASE.trim_start_matches('/'));
        for file in ["etcd/wal", "snapshots/s"] {
            let file = db.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        let at = |path: &str| format!("{}{path}", root.display());
        let aside = at(&format!("{DATABASE}.coxswain-7"));
        let words = [
            UNIT.to_owned(),
            at("/m/mark"),
            aside,
            at("/d/drop"),
            at("/e/env"),
        ];
        for _ in 0..2 {
            let ran = run(root, &REJOIN, disk, &words);
            assert!(ran.status.success(), "{ran:?}");
        }
        assert!(db.join("snapshots/s").exists() && !db.join("etcd").exists());
        let known = run(root, &ASIDE, disk, &[]);
        let known = String::from_utf8(known.stdout).unwrap();
        let found = Command::new("find")
            .arg(root)
            .args(["-name", "wal"])
            .output();
        let found = String::from_utf8(found.unwrap().stdout).unwrap();
        let here = root.display().to_string();
        let found = found.trim().replace(&here, "");
        (found, known.lines().map(|l| l.replace(&here, "")).collect())
    }

    #[test]
    fn the_old_database_moves_aside_or_into_a_folder_on_its_disk() {
        let aside = format!("{DATABASE}.coxswain-7");
        let (found, known) = moved("/srv");
        assert_eq!(found, format!("{aside}/etcd/wal"));
        assert_eq!(known, [aside.as_str()]);
        for disk in [DATABASE.to_owned(), format!("{DATABASE}/snapshots")] {
            let (found, known) = moved(&disk);
            assert_eq!(found, format!("{DATABASE}/db.coxswain-7/etcd/wal"));
            assert_eq!(known, [aside.as_str()]);
        }
    }
}
