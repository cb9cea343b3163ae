//! Step kind `hold_k3s`: k3s on a server runs on, and will not start again. Where a member is removed while its k3s
//! runs, k3s ends and moves its database away; started again by systemd it would join anew, or found a cluster of
//! its own where it has no server to join (k3s: pkg/etcd, `tombstone`).
//!
//! Held by a drop-in under `/run`, which a boot takes away, and by not coming back with a boot. Given back only
//! while the server still is a member.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::HostId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::unit::UnitLook;
use super::{Services, check, failure, leave, memo};
use crate::world::{RemoteCommand, Script, World};

/// Stored name.
pub const KIND: &str = "hold_k3s";

const UNIT: &str = "k3s.service";
/// Sorted behind every other. A removal of k3s takes it away.
pub(crate) const DROP_IN: &str = "/run/systemd/system/k3s.service.d/zz-coxswain-hold.conf";
const NO_RESTART: &str = "Restart=no";

/// `$1` the unit, `$2` the drop-in. A unit that was never installed has nothing to disable.
pub(crate) const HOLD: Script = Script {
    name: "hold-unit",
    text: r#"(umask 022 && mkdir -p "${2%/*}" && printf '[Service]\nRestart=no\n' >"$2") || exit 1
systemctl daemon-reload || exit 1
if systemctl cat "$1" >/dev/null 2>&1; then systemctl disable "$1"; fi
"#,
};

/// `$1` the unit, `$2` the drop-in, `$3` `enable` if it comes back with each boot, `$4` `start` if it ran.
pub(crate) const GIVE_BACK: Script = Script {
    name: "give-back-unit",
    text: r#"rm -f -- "$2" || exit 1
rmdir "${2%/*}" 2>/dev/null
systemctl daemon-reload || exit 1
if [ "$3" = enable ]; then systemctl enable "$1" || exit 1; fi
if [ "$4" = start ]; then systemctl start --no-block "$1"; fi
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The server.
    pub node: ApiHost,
    /// One that stays, asked whether the server still is a member.
    pub via: ApiHost,
}

/// The unit as it was.
#[derive(Serialize, Deserialize)]
struct Memo {
    active: bool,
    enabled: bool,
}

/// Keeps k3s on a host from starting again.
///
/// # Errors
/// The host does not answer, or systemd refuses.
pub(crate) async fn hold(world: &dyn World, host: HostId) -> Result<(), StepFailure> {
    let hold = RemoteCommand::script(HOLD).arg(UNIT).arg(DROP_IN).sudo();
    let ran = world.run(host, hold).await;
    ran.and_then(|o| o.ok(HOLD.name))
        .map(drop)
        .map_err(failure::world)
}

/// The step kind.
pub struct HoldK3s(pub Services);

impl HoldK3s {
    async fn look(&self, host: HostId) -> Result<UnitLook, StepFailure> {
        UnitLook::take(&*self.0.world, host, UNIT, None).await
    }

    async fn has_drop_in(&self, host: HostId) -> Result<bool, StepFailure> {
        let file = self.0.world.read_file(host, DROP_IN, 4096).await;
        let file = file.map_err(failure::world)?;
        Ok(file.is_some_and(|file| String::from_utf8_lossy(&file).contains(NO_RESTART)))
    }
}

#[async_trait]
impl StepKind for HoldK3s {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let Params { node, via: _ } = context.params()?;
        let held = self.has_drop_in(node.host).await? && !self.look(node.host).await?.enabled;
        Ok(if held {
            Probe::Done {
                observed: format!("{UNIT} does not start again, by itself or at boot"),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: format!("systemd would start {UNIT} again"),
            }
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let Params { node, via: _ } = context.params()?;
        let look = self.look(node.host).await?;
        let memo = Memo {
            active: !look.stopped(),
            enabled: look.enabled,
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let Params { node, via: _ } = context.params()?;
        hold(&*self.0.world, node.host).await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let Params { node, via } = context.params()?;
        let memo: Memo = memo(context)?;
        let done = |observed: String| Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        };
        if !leave::is_member(&*self.0.world, &via, &node).await? {
            return Ok(done(format!(
                "{} is no member any more: its k3s stays held",
                node.name
            )));
        }
        let look = self.look(node.host).await?;
        let why = if self.has_drop_in(node.host).await? || look.enabled != memo.enabled {
            format!("{UNIT} is still held")
        } else if memo.active && look.stopped() {
            format!("{UNIT} is {}", look.state)
        } else {
            return Ok(done(format!("{UNIT} is as before")));
        };
        Ok(Probe::NotDone { why })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let Params { node, via: _ } = context.params()?;
        let memo: Memo = memo(context)?;
        let give_back = RemoteCommand::script(GIVE_BACK)
            .arg(UNIT)
            .arg(DROP_IN)
            .arg(if memo.enabled { "enable" } else { "" })
            .arg(if memo.active { "start" } else { "" })
            .sudo();
        let ran = self.0.world.run(node.host, give_back).await;
        ran.and_then(|o| o.ok(GIVE_BACK.name))
            .map(drop)
            .map_err(failure::world)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Runs a script with a systemctl that notes what it is asked; gives that.
    fn asked(root: &Path, script: &Script, words: &[&str]) -> String {
        let (at, log) = (root.display(), root.join("asked"));
        let text = format!(
            "systemctl() {{ echo \"$*\" >>{at}/asked; }}\n{}",
            script.text
        );
        let drop_in = format!("{at}{DROP_IN}");
        let ran = Command::new("sh")
            .args(["-c", &text, "sh", UNIT, &drop_in])
            .args(words)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        let asked = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(log).unwrap();
        asked
    }

    #[test]
    fn holds_and_gives_back() {
        let root = tempfile::tempdir().unwrap();
        let drop_in = root.path().join(DROP_IN.trim_start_matches('/'));
        let held = asked(root.path(), &HOLD, &[]);
        assert_eq!(
            held,
            "daemon-reload\ncat k3s.service\ndisable k3s.service\n"
        );
        let text = std::fs::read_to_string(&drop_in).unwrap();
        assert_eq!(text, format!("[Service]\n{NO_RESTART}\n"));
        let given = asked(root.path(), &GIVE_BACK, &["enable", ""]);
        assert_eq!(given, "daemon-reload\nenable k3s.service\n");
        assert!(!drop_in.parent().unwrap().exists());
        let given = asked(root.path(), &GIVE_BACK, &["", "start"]);
        assert_eq!(given, "daemon-reload\nstart --no-block k3s.service\n");
    }
}
