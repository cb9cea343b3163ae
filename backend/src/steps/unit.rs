//! A look at k3s's systemd unit on a host, and at its journal since a job of ours started it.

use coxswain_engine::step::StepFailure;
use coxswain_k3s::journal::{FatalSign, JoinFailure, Level, fatal_sign, parse_line};
use coxswain_k3s::unit_file::UnitFile;
use coxswain_wire::{HostId, StepError};

use super::failure;
use super::sections::{sections, value};
use crate::world::{RemoteCommand, Script, World};

/// `$1` the unit, `$2` a file with a journal cursor, or nothing. `k3s` writes much: only lines that may
/// be fatal come back, and all of the last ones of a unit that systemd has started again and again. Without the
/// file (the host has booted since) this boot's journal counts.
pub(crate) const LOOK: Script = Script {
    name: "look-at-unit",
    text: r#"unit=$1 mark=${2-}
echo '--- unit'
systemctl show "$unit" -p LoadState -p UnitFileState -p ActiveState -p SubState -p InvocationID -p NRestarts -p Result -p ExecMainStatus
echo '--- files'
systemctl cat "$unit" 2>/dev/null
[ -n "$mark" ] || exit 0
echo '--- journal'
cursor=
[ ! -r "$mark" ] || cursor=$(cat "$mark")
if [ -n "$cursor" ]; then
    set -- --after-cursor="$cursor"
else
    set -- -b
fi
journalctl -q --no-pager -o cat -u "$unit" "$@" |
    grep -aE 'level=(fatal|error|panic)|"level":"(fatal|error|panic)"|ode password|duplicate hostname|flag provided but not defined|agent configuration.*(401 Unauth|not auth)orized|^panic: |^fatal error: |^[EF][0-9]{4} ' |
    tail -n 200
[ "$(systemctl show "$unit" -p NRestarts | tr -dc 0-9)" -ge 3 ] 2>/dev/null || exit 0
echo '--- last'
journalctl -q --no-pager -o cat -u "$unit" "$@" -n 20
exit 0
"#,
};

/// What was seen.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitLook {
    /// There is such a unit.
    pub(crate) loaded: bool,
    /// It starts at boot.
    pub(crate) enabled: bool,
    /// systemd's `ActiveState`.
    pub(crate) state: String,
    /// Changes with every start; empty before the first.
    pub(crate) invocation: String,
    /// Unit file and drop-ins, one behind the other. May hold secrets.
    pub(crate) files: String,
    /// Lines that may be fatal, oldest first.
    pub(crate) journal: Vec<String>,
    /// How often systemd has started it again by itself.
    pub(crate) restarts: u32,
    /// How it ended last, in systemd's words.
    pub(crate) ended: String,
    /// The last lines of its journal, if it was started again often.
    pub(crate) last: Vec<String>,
}

/// So many restarts in a row, without a word why, are no accident.
const CRASH_LOOP: u32 = 3;

/// So often in a row an agent is refused, and asks again every few seconds, before it counts.
const REFUSED: usize = 3;

impl UnitLook {
    /// Looks. `mark` names the file with the cursor from where to read the journal.
    pub(crate) async fn take(
        world: &dyn World,
        host: HostId,
        unit: &str,
        mark: Option<&str>,
    ) -> Result<Self, StepFailure> {
        let command = RemoteCommand::script(LOOK).arg(unit).args(mark).sudo();
        let answer = world
            .run(host, command)
            .await
            .and_then(|o| o.ok(LOOK.name))
            .map_err(failure::world)?;
        Ok(Self::parse(&answer.text()))
    }

    fn parse(text: &str) -> Self {
        let found = sections(text);
        let body = |name: &str| found.get(name).map(String::as_str).unwrap_or_default();
        let show = |key: &str| value(body("unit"), key).unwrap_or_default().to_owned();
        Self {
            loaded: show("LoadState") == "loaded",
            enabled: show("UnitFileState") == "enabled",
            state: show("ActiveState"),
            invocation: show("InvocationID"),
            files: body("files").to_owned(),
            journal: body("journal").lines().map(str::to_owned).collect(),
            restarts: show("NRestarts").parse().unwrap_or_default(),
            ended: format!("{}, status {}", show("Result"), show("ExecMainStatus")),
            last: body("last").lines().map(str::to_owned).collect(),
        }
    }

    /// The command line in force: subcommand first; none if it does not start k3s.
    pub(crate) fn words(&self) -> Option<Vec<String>> {
        let command = UnitFile::parse(&self.files).ok()?.command().ok()?;
        Some(
            std::iter::once(command.subcommand)
                .chain(command.args)
                .collect(),
        )
    }

    /// Neither up nor on its way: also when it is not installed.
    pub(crate) fn stopped(&self) -> bool {
        self.state == "inactive" || self.state == "failed"
    }

    /// Started and not on its way down or up.
    pub(crate) fn active(&self) -> bool {
        self.state == "active"
    }

    /// The sign that k3s will not come up, however often systemd restarts it. What another machine may
    /// still heal (a server that does not answer yet) counts from its second appearance on.
    pub(crate) fn fatal(&self) -> Option<FatalSign> {
        let mut signs: Vec<FatalSign> = self
            .journal
            .iter()
            .filter_map(|line| fatal_sign(line))
            .collect();
        // A server that is not up itself may answer so for a while.
        if signs.iter().filter(|s| s.asks_again()).count() < REFUSED {
            signs.retain(|sign| !sign.asks_again());
        }
        let certain = signs.iter().rev().find(|sign| match sign.kind {
            JoinFailure::WrongToken
            | JoinFailure::CaHashMismatch
            | JoinFailure::CriticalFlags
            | JoinFailure::DuplicateNodeName
            | JoinFailure::OtherTokenData
            | JoinFailure::NewerOnDisk
            | JoinFailure::UnknownFlag => true,
            // Some versions add a name to the certificate when they are asked for it.
            JoinFailure::OtherNames
            | JoinFailure::Untrusted
            | JoinFailure::Unreachable
            | JoinFailure::Crash
            | JoinFailure::Other => false,
        });
        certain
            .or_else(|| signs.get(1..).and_then(<[FatalSign]>::last))
            .cloned()
            .or_else(|| self.crash_loop())
    }

    /// systemd starts it again and again, and it never says why it ends.
    fn crash_loop(&self) -> Option<FatalSign> {
        let says_why = self
            .journal
            .iter()
            .any(|line| parse_line(line).is_some_and(|line| line.level == Level::Fatal));
        (self.restarts >= CRASH_LOOP && !self.active() && !says_why).then(|| FatalSign {
            kind: JoinFailure::Crash,
            message: format!(
                "it has ended {} times in a row ({}) without saying why",
                self.restarts, self.ended
            ),
        })
    }

    /// The failure of a step whose k3s will not come up; none if it may.
    pub(crate) fn failure(&self) -> Option<StepFailure> {
        let sign = self.fatal()?;
        let causes = match sign.kind {
            JoinFailure::Crash => self.last.clone(),
            JoinFailure::WrongToken
            | JoinFailure::CaHashMismatch
            | JoinFailure::Unreachable
            | JoinFailure::CriticalFlags
            | JoinFailure::DuplicateNodeName
            | JoinFailure::OtherTokenData
            | JoinFailure::OtherNames
            | JoinFailure::Untrusted
            | JoinFailure::NewerOnDisk
            | JoinFailure::UnknownFlag
            | JoinFailure::Other => Vec::new(),
        };
        Some(StepFailure::Fatal(StepError {
            message: format!("k3s: {}", sign.message),
            causes,
            advice: Some(sign.kind.advice().to_owned()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_answer() {
        let look = UnitLook::parse(
            "--- unit\nLoadState=loaded\nUnitFileState=enabled\nActiveState=activating\nSubState=auto-restart\nInvocationID=ab\n--- files\n[Service]\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--debug' \\\n\n--- journal\ntime=\"x\" level=fatal msg=\"starting kubernetes: preparing server: https://10.0.0.1:6443/v1-k3s/config: 401 Unauthorized\"\n",
        );
        assert!(look.loaded && look.enabled && !look.active() && !look.stopped());
        assert_eq!(look.fatal().map(|s| s.kind), Some(JoinFailure::WrongToken));
        assert_eq!(
            look.words(),
            Some(vec!["server".to_owned(), "--debug".to_owned()])
        );
    }

    #[test]
    fn a_k3s_that_ends_again_and_again_without_a_word_is_a_sign() {
        let look = |restarts: u32, journal: &str| {
            UnitLook::parse(&format!(
                "--- unit\nLoadState=loaded\nActiveState=activating\nNRestarts={restarts}\nResult=core-dump\nExecMainStatus=11\n--- files\n--- journal\n{journal}--- last\nSegmentation fault\n"
            ))
        };
        assert!(look(2, "").failure().is_none(), "it may still come up");
        let failure = look(3, "").failure().map(StepFailure::into_error).unwrap();
        assert!(
            failure.message.contains("core-dump, status 11"),
            "{failure:?}"
        );
        assert_eq!(failure.causes, ["Segmentation fault"]);
        // It says why: another member is joining, and it is the next one's turn.
        let waits = "time=\"x\" level=fatal msg=\"Waiting for other members to finish joining etcd cluster: etcdserver: too many learner members in cluster\"\n";
        assert!(look(7, waits).failure().is_none());
        let newer = waits.replace(
            "level=fatal msg=\"",
            "level=error msg=\"Shutdown request received: ",
        );
        assert!(look(7, &newer).failure().is_none());
        let newer = "time=\"x\" level=error msg=\"Shutdown request received: failed to save bootstrap data\"\n";
        let failure = look(7, &newer.repeat(2))
            .failure()
            .map(StepFailure::into_error);
        assert_eq!(
            failure.unwrap().message,
            "k3s: failed to save bootstrap data"
        );
    }

    #[test]
    fn an_unreachable_server_counts_the_second_time() {
        let line = r#"time="x" level=fatal msg="starting kubernetes: preparing server: failed to get CA certs: Get \"https://10.0.0.9:6443/cacerts\": dial tcp""#;
        let mut look = UnitLook {
            journal: vec![line.to_owned()],
            ..UnitLook::default()
        };
        assert_eq!(look.fatal(), None);
        look.journal.push(line.to_owned());
        assert_eq!(look.fatal().map(|s| s.kind), Some(JoinFailure::Unreachable));
    }
}
