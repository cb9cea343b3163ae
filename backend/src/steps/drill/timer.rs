//! The timer on the victim that takes the fault away without the panel.

use std::time::Duration;

use coxswain_engine::step::StepFailure;
use coxswain_wire::{HostId, RunId};

use super::super::failure;
use super::super::sections::value;
use super::fault::Fault;
use crate::world::{RemoteCommand, Script, World};

/// How much longer than the observation it waits, seconds: the panel is to be quicker.
pub(crate) const LONGER: u32 = 150;
/// How much of that must be left when the fault is made.
pub(crate) const LEFT: u32 = 60;

/// Longest time that the timer's service tries to take the fault away, seconds. It ends at once when the timer is taken off.
const TRIES: u32 = 86_400;

/// `$1` the unit's name, `$2` seconds until it goes off, `$3` seconds that it tries, `$4` the script that takes the fault
/// away, then its arguments. All of it lies in /run: a boot ends timer and fault.
pub(crate) const ARM: Script = Script {
    name: "drill-arm",
    text: r#"unit=$1 seconds=$2 tries=$3 heal=$4
shift 4
dir=/run/coxswain
(umask 077 && mkdir -p "$dir") || exit 1
systemctl stop "$unit.timer" 2>/dev/null
systemctl reset-failed "$unit.timer" "$unit.service" 2>/dev/null
(umask 077 && printf '%s' "$heal" >"$dir/$unit.heal") || exit 1
(umask 077 && cat >"$dir/$unit.sh") <<'END' || exit 1
while [ -e "$0" ] && ! /bin/sh "${0%.sh}.heal" "$@"; do sleep 5; done
END
read -r up _ </proc/uptime || exit 1
(umask 077 && echo "$((${up%%.*} + seconds))" >"$dir/$unit.due") || exit 1
systemd-run --quiet --unit="$unit" --on-active="${seconds}s" --timer-property=AccuracySec=1s \
    --property=Type=oneshot --property=TimeoutStartSec="$tries" /bin/sh "$dir/$unit.sh" "$@"
"#,
};

/// `$1` the unit's name.
pub(crate) const LOOK: Script = Script {
    name: "drill-timer",
    text: r#"unit=$1
state=$(systemctl show "$unit.timer" -p ActiveState)
echo "timer=${state#ActiveState=}"
state=$(systemctl show "$unit.service" -p ActiveState)
echo "service=${state#ActiveState=}"
read -r up _ </proc/uptime
due=$(cat "/run/coxswain/$unit.due" 2>/dev/null)
[ -z "$due" ] || echo "left=$((due - ${up%%.*}))"
files=no
for file in sh heal due; do [ ! -e "/run/coxswain/$unit.$file" ] || files=yes; done
echo "files=$files"
"#,
};

/// `$1` the unit's name. A service that is taking the fault away at this moment is let finish.
pub(crate) const DISARM: Script = Script {
    name: "drill-disarm",
    text: r#"unit=$1
systemctl stop "$unit.timer" 2>/dev/null
systemctl reset-failed "$unit.timer" "$unit.service" 2>/dev/null
rm -f "/run/coxswain/$unit.sh" "/run/coxswain/$unit.heal" "/run/coxswain/$unit.due"
"#,
};

/// What is there of the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    /// systemd waits for its time.
    pub(crate) waiting: bool,
    /// What it runs is running.
    pub(crate) healing: bool,
    /// Seconds until then; none if it was never armed, or the host has booted since.
    pub(crate) left: Option<i64>,
    /// Its files are there.
    pub(crate) files: bool,
}

impl Timer {
    /// Nothing of it is there.
    pub(crate) fn is_gone(self) -> bool {
        !self.waiting && !self.healing && !self.files
    }

    /// It will take the fault away, and not before the observation is over.
    pub(crate) fn outlasts(self, seconds: u32) -> bool {
        self.waiting
            && self
                .left
                .is_some_and(|left| left >= i64::from(seconds + LEFT))
    }
}

/// Its name on the host.
pub(crate) fn unit(run: RunId) -> String {
    format!("coxswain-drill-{run}")
}

/// Looks.
pub(crate) async fn look(
    world: &dyn World,
    host: HostId,
    run: RunId,
) -> Result<Timer, StepFailure> {
    let command = RemoteCommand::script(LOOK).arg(unit(run)).sudo();
    let answer = world
        .run(host, command)
        .await
        .and_then(|o| o.ok(LOOK.name))
        .map_err(failure::world)?;
    Ok(parse(&answer.text()))
}

fn parse(text: &str) -> Timer {
    let word = |key: &str| value(text, key).unwrap_or_default();
    Timer {
        waiting: word("timer") == "active",
        healing: matches!(word("service"), "active" | "activating" | "deactivating"),
        left: word("left").parse().ok(),
        files: word("files") == "yes",
    }
}

/// Arms it, or arms it anew, for an observation of so many seconds.
pub(crate) async fn arm(
    world: &dyn World,
    host: HostId,
    run: RunId,
    fault: &Fault,
    observe_s: u32,
) -> Result<(), StepFailure> {
    let Some((script, args)) = fault.by_itself() else {
        return Err(StepFailure::fatal(
            "no timer on the host can take this fault away",
        ));
    };
    let command = RemoteCommand::script(ARM)
        .arg(unit(run))
        .arg((observe_s + LONGER).to_string())
        .arg(TRIES.to_string())
        .arg(script.text)
        .args(args);
    short(world, host, command).await
}

/// Takes it away.
pub(crate) async fn disarm(world: &dyn World, host: HostId, run: RunId) -> Result<(), StepFailure> {
    short(world, host, RemoteCommand::script(DISARM).arg(unit(run))).await
}

async fn short(world: &dyn World, host: HostId, command: RemoteCommand) -> Result<(), StepFailure> {
    let command = command.sudo().timeout(Duration::from_secs(30));
    let name = command.name().to_owned();
    world
        .run(host, command)
        .await
        .and_then(|o| o.ok(&name))
        .map_err(failure::world)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_timer() {
        let armed = parse("timer=active\nservice=inactive\nleft=480\nfiles=yes\n");
        assert!(armed.outlasts(400) && armed.outlasts(420) && !armed.outlasts(421));
        assert!(!armed.is_gone());
        let fired = parse("timer=inactive\nservice=activating\nleft=-1\nfiles=yes\n");
        assert!(fired.healing && !fired.outlasts(0));
        assert!(parse("timer=inactive\nservice=inactive\nfiles=no\n").is_gone());
    }

    /// What the timer runs, without systemd: it is taken out of what is given to it.
    #[test]
    fn it_tries_until_the_fault_is_gone() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt as _;
        use std::process::Command;

        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().display().to_string();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let tool = |name: &str, text: &str| {
            fs::write(bin.join(name), text).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        };
        tool("systemctl", "#!/bin/sh\n");
        // At once, and with the time for trying noted.
        tool(
            "systemd-run",
            "#!/bin/sh\necho \"$*\" >>\"${0%/*}/../told\"\nwhile [ \"$1\" != /bin/sh ]; do shift; done\nexec \"$@\"\n",
        );
        tool("sleep", "#!/bin/sh\necho \"$1\" >>\"${0%/*}/../slept\"\n");
        let heal = "echo \"$1\" >>tried; [ \"$(wc -l <tried)\" -ge 3 ]\n";
        let armed = Command::new("sh")
            .args(["-c", &ARM.text.replace("/run/coxswain", &here), "sh"])
            .args(["unit", "480", "600", heal, "10.0.0.2"])
            .env("PATH", format!("{here}/bin:/usr/bin:/bin"))
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(armed.status.success(), "{armed:?}");
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("tried"), "10.0.0.2\n".repeat(3));
        assert_eq!(read("slept"), "5\n5\n");
        assert!(read("told").contains("--on-active=480s"));
        assert!(read("told").contains("TimeoutStartSec=600"));
    }
}
