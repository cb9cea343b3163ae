//! Step kind `reset_cluster`: a server's database is replaced by a snapshot, and it comes back as a cluster of
//! one. Cannot be undone; k3s keeps the old database beside it.
//!
//! The reset's own exit status means nothing (facts A 14), and its flag file is there before it is over: k3s may still
//! give up after that, which it says. It is over when k3s, started normally, lists one member: itself.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::restore::{K3S_URL, reset_args};
use coxswain_wire::step_number;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::configured::Configured;
use super::copy_snapshot::DIRECTORY;
use super::etcd::EtcdLook;
use super::jobs::{self, Job};
use super::kube::{ApiHost, last_line, of_server};
use super::unit::UnitLook;
use super::{Services, check, failure, memo, restart, stop_servers};
use crate::world::{JobSpec, JobStatus, Script, Secret};

/// Stored name.
pub const KIND: &str = "reset_cluster";
/// Recommended deadline, seconds.
pub const DEADLINE_S: u32 = 1200;

const UNIT: &str = "k3s.service";
/// Time k3s itself gets for the reset: reading and writing a large database.
const RESET_TAKES: Duration = Duration::from_secs(600);
/// Time the whole job may take: stopping what still runs comes first.
const RUNTIME: Duration = Duration::from_secs(800);
/// So close to the deadline, waiting is over.
const LAST_CALL: Duration = Duration::from_secs(5);
/// Names the host sets for a job itself.
const NOT_OURS: [&str; 6] = ["HOME", "IFS", "LC_ALL", "PATH", "ENV", "PS4"];

/// `$1` the unit, `$2` the file for the journal's cursor, `$3` the file that says the reset took effect, `$4`
/// seconds for it, then k3s's words. An older `reset-flag` would block the reset; it is kept aside. k3s writes
/// a new one when it has restored the snapshot, goes on with the keys in it, and takes the flag away at the next normal
/// start. When it has said that all went well, its own end may look like a failure in the log.
pub(crate) const RESET: Script = Script {
    name: "cluster-reset",
    text: r#"unit=$1 mark=$2 done=$3 limit=$4
shift 4
flag=/var/lib/rancher/k3s/server/db/reset-flag
(umask 077 && mkdir -p "${done%/*}" "${mark%/*}") || exit 1
rm -f "$done"
echo "coxswain: stopping $unit"
systemctl stop "$unit" || exit 1
if [ -e "$flag" ]; then mv -f "$flag" "$done.flag-before" || exit 1; fi
echo "coxswain: resetting the cluster"
said=$mark.said
(umask 077 && : >"$said") || exit 1
{
    timeout -k 20 "$limit" /usr/local/bin/k3s "$@"
    echo "coxswain: k3s ended with status $?, which means nothing"
} 2>&1 | tee "$said"
gave_up=
if ! grep -aq 'restart without --cluster-reset' "$said"; then
    gave_up=$(grep -a -e 'level=fatal' -e 'Shutdown request received: ' "$said" | tail -n 1)
fi
rm -f "$said"
if [ -n "$gave_up" ]; then
    echo "coxswain: the cluster was not reset: k3s gave up" >&2
    printf '%s\n' "$gave_up" >&2
    exit 1
fi
if [ ! -e "$flag" ]; then
    echo "coxswain: the cluster was not reset: k3s has not written $flag" >&2
    exit 1
fi
(umask 077 && : >"$done") || exit 1
sync "$done" "${done%/*}"
journalctl --sync >/dev/null 2>&1
(umask 077 && journalctl -q --no-pager -o cat -n 1 --show-cursor | sed -n 's/^-- cursor: //p' >"$mark")
systemctl reset-failed "$unit" 2>/dev/null
echo "coxswain: starting $unit"
systemctl start --no-block "$unit"
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The server.
    pub server: ApiHost,
    /// Absolute path of the snapshot on its disk.
    pub file: Param<String>,
    /// The servers that were stopped and join it again; none in runs of earlier versions.
    #[serde(default)]
    pub others: Vec<ApiHost>,
    /// The servers that are lost for good.
    #[serde(default)]
    pub lost: Vec<ApiHost>,
}

#[derive(Serialize, Deserialize)]
struct Memo {
    /// InvocationID of k3s before.
    invocation: String,
}

/// The step kind.
pub struct ResetCluster(pub Services);

/// There once the reset has taken effect.
fn done(context: &StepContext) -> String {
    let step = step_number(context.step);
    format!("{DIRECTORY}/reset-{}-{step}", context.run)
}

impl ResetCluster {
    /// Refuses while another server is at work or may come back: reset beside it, there would be two clusters, and
    /// its database, which may be in use again, would be moved aside.
    async fn others_are_off(&self, params: &Params) -> Result<(), StepFailure> {
        let world = &*self.0.world;
        let back = stop_servers::back(world, &params.others).await;
        // Nothing has begun: what cannot be asked need not be waited for.
        let mut back = back.map_err(|failure| {
            failure::fatal(
                format!("nothing was reset: {}", failure.into_error().message),
                "k3s may run there. Bring this server back and retry; or unwind, and restore anew with it among the lost hosts.",
            )
        })?;
        // What is lost does not answer; nothing was stopped on it, so it may do as it likes but run.
        let lost = params.lost.iter().map(async |server| {
            let look = UnitLook::take(world, server.host, UNIT, None).await.ok()?;
            let runs = !look.stopped();
            runs.then(|| {
                format!(
                    "{UNIT} on {}, which was lost, is {}",
                    server.name, look.state
                )
            })
        });
        back.extend(join_all(lost).await.into_iter().flatten());
        if back.is_empty() {
            return Ok(());
        }
        Err(failure::fatal(
            format!("nothing was reset: {}", back.join("; ")),
            "Does the cluster work again? Then leave it so: unwind this run, or abandon it where it cannot be unwound and enable k3s on each server. Is the restore still wanted? Then stop and disable k3s on the servers named (systemctl disable --now k3s), and retry.",
        ))
    }

    /// What was seen of the cluster of one, which may have grown since; `Err` inside: not yet, in words.
    async fn alone(&self, server: &ApiHost) -> Result<Result<String, String>, StepFailure> {
        let world = &*self.0.world;
        let etcd = match EtcdLook::take(world, server.host).await? {
            Ok(etcd) => etcd,
            Err(why) => return Ok(Err(why)),
        };
        let mut members = etcd.names(std::iter::once(server));
        members.retain(|member| *member != server.name);
        if !etcd.healthy || !etcd.votes(server) {
            return Ok(Err(if members.is_empty() {
                "the one etcd member is not healthy yet".to_owned()
            } else {
                format!(
                    "etcd is not healthy; it has the members {}, too",
                    members.join(", ")
                )
            }));
        }
        // The reset took and left one: people were faster than the panel.
        let size = if members.is_empty() {
            "is a cluster of one member".to_owned()
        } else {
            format!(
                "was reset, and others have joined it since: {}",
                members.join(", ")
            )
        };
        let Some(kube) = of_server(world, server).await? else {
            return Ok(Err("k3s has not written its kubeconfig yet".to_owned()));
        };
        match kube.readyz(&server.name).await {
            Ok(answer) if answer.ready => {}
            Ok(answer) => {
                return Ok(Err(format!(
                    "the API server is not ready: {}",
                    last_line(&answer.text)
                )));
            }
            Err(e) => return Ok(Err(e.to_string())),
        }
        let (nodes, deployments) = match (kube.nodes().await, kube.deployments().await) {
            (Ok(nodes), Ok(deployments)) => (nodes, deployments),
            (Err(e), _) | (_, Err(e)) => return Ok(Err(e.to_string())),
        };
        let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
        Ok(Ok(format!(
            "{} {size}; from the snapshot it has the nodes {} and deployments that want {} replicas",
            server.name,
            names.join(", "),
            deployments.wanted
        )))
    }
}

#[async_trait]
impl StepKind for ResetCluster {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let not_yet = |why: String| Ok(Probe::NotDone { why });
        if context.memo.is_null() {
            return not_yet("the cluster is not reset yet".to_owned());
        }
        let (world, on) = (&*self.0.world, params.server.host);
        let mark = context.applied.then(|| restart::mark(context));
        let look = UnitLook::take(world, on, UNIT, mark.as_deref()).await?;
        let mut started = false;
        if context.applied {
            let status = Job::of(world, context)?.status().await?;
            if let Some(failed) = jobs::failed(&status, "the reset") {
                return Err(Job::of(world, context)?.explained(failed).await?);
            }
            started = status == (JobStatus::Exited { code: 0 });
            if started && let Some(failed) = look.failure() {
                return Err(failed);
            }
        }
        let took = world
            .read_file(on, &done(context), 1024)
            .await
            .map_err(failure::world)?
            .is_some();
        let seen = if !took {
            Err("the cluster is not reset yet".to_owned())
        } else if !look.active() {
            Err(format!("{UNIT} is {}", look.state))
        } else if look.invocation == memo::<Memo>(context)?.invocation {
            Err(format!("{UNIT} has not been started again"))
        } else {
            self.alone(&params.server).await?
        };
        match seen {
            Ok(observed) => Ok(Probe::Done {
                observed,
                outputs: BTreeMap::new(),
            }),
            Err(why) if started && Instant::now() + LAST_CALL >= context.deadline => {
                Err(failure::fatal(
                    format!("not seen as a cluster of one in time: {why}"),
                    "Read the step's output and the journal (journalctl -u k3s), then retry: the reset is done anew, from the same snapshot.",
                ))
            }
            Err(why) => not_yet(why),
        }
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        // Refused here, the run can still be unwound.
        self.others_are_off(&params).await?;
        let look = UnitLook::take(&*self.0.world, params.server.host, UNIT, None).await?;
        let memo = Memo {
            invocation: look.invocation,
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        self.others_are_off(&params).await?;
        let file = params
            .file
            .resolve(&context.outputs)
            .map_err(StepFailure::fatal)?;
        let told = Configured::take(world, params.server.host, UNIT).await?;
        if told
            .look
            .words()
            .and_then(|w| w.into_iter().next())
            .as_deref()
            != Some("server")
        {
            return Err(failure::fatal(
                format!(
                    "{UNIT} on {} does not start a k3s server",
                    params.server.name
                ),
                "Nothing was changed. Correct the unit file, then retry.",
            ));
        }
        let mut spec = JobSpec::new(RESET, RUNTIME)
            .arg(UNIT)
            .arg(restart::mark(context))
            .arg(done(context))
            .arg(RESET_TAKES.as_secs().to_string())
            .arg("server");
        spec.args
            .extend(reset_args(&told.args, &told.settings, &file));
        for (name, value) in told.environment.iter() {
            let plain = name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            // Set twice, the last one counts, as systemd has it.
            spec.secret_env.retain(|(known, _)| known != name);
            if plain && name != K3S_URL && !NOT_OURS.contains(&name) {
                spec = spec.secret_env(name, Secret::new(value));
            }
        }
        let job = Job::of(world, context)?;
        match job.run(&spec, context.output.as_ref()).await {
            Ok(()) => Ok(()),
            Err(failed) => Err(job.explained(failed).await?),
        }
    }

    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        restart::settle(self, &*self.0.world, context).await
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
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::RESET;

    /// Runs the script with a k3s that is `k3s`; gives its status, what it said, and whether the reset counts.
    fn reset(k3s: &str) -> (Option<i32>, String, bool) {
        let work = tempfile::tempdir().unwrap();
        let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
        for (name, text) in [("k3s", k3s), ("systemctl", ""), ("journalctl", "")] {
            let text = format!("#!/bin/sh\nflag={}\n{text}\n", path("flag"));
            fs::write(path(name), text).unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = RESET
            .text
            .replace("/usr/local/bin/k3s", &path("k3s"))
            .replace("/var/lib/rancher/k3s/server/db/reset-flag", &path("flag"));
        let output = Command::new("sh")
            .args(["-c", &text, "job", "k3s.service"])
            .args([path("mark"), path("done"), "20".to_owned()])
            .args(["server", "--cluster-reset"])
            .env("PATH", format!("{}:/usr/bin:/bin", work.path().display()))
            .output()
            .unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let counts = fs::exists(path("done")).unwrap();
        assert!(!fs::exists(path("mark.said")).unwrap(), "left behind");
        (output.status.code(), said, counts)
    }

    #[test]
    fn a_reset_counts_only_if_k3s_did_not_give_up_after_its_flag() {
        // As recorded: it panics at its end, and all is well.
        let (status, said, counts) = reset("touch $flag; echo panic: at the end >&2; exit 2");
        assert_eq!((status, counts), (Some(0), true), "{said}");
        let (status, said, counts) = reset(
            "touch $flag; echo 'level=fatal msg=\"Etcd is running, restart without --cluster-reset flag now\"'; exit 1",
        );
        assert_eq!((status, counts), (Some(0), true), "{said}");
        let fatal =
            "level=fatal msg=\"bootstrap data already found and encrypted with different token\"";
        let (status, said, counts) = reset(&format!("touch $flag; echo '{fatal}'; exit 1"));
        assert_eq!((status, counts), (Some(1), false), "{said}");
        assert_eq!(said.lines().last(), Some(fatal));
        let (status, said, counts) = reset("exit 0");
        assert_eq!((status, counts), (Some(1), false), "{said}");
    }
}
