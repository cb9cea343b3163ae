//! HAProxy on a load balancer as steps use it: its configuration file, and whether it runs.

use std::time::Duration;

use coxswain_engine::step::{StepContext, StepFailure};
use coxswain_k3s::haproxy::CONFIG_FILE;
use coxswain_wire::{HostId, SecretId, StepError};

use super::services::SecretKind;
use super::{Services, failure};
use crate::world::{RemoteCommand, Script, Secret};

/// Largest configuration that is read.
const MAX: usize = 1024 * 1024;
/// HAProxy's check, its reload, and the wait for its port.
const TAKES: Duration = Duration::from_secs(60);
/// The new configuration waits here for HAProxy's own check.
const CANDIDATE: &str = "/etc/haproxy/haproxy.cfg.coxswain-new";

/// `$1` the new file, `$2` the file it replaces, `$3` what is done, as one word; `$4` `stop` to leave HAProxy stopped
/// afterwards, else the port on which it has to listen then, if any. A file without any listener is in order (status 2
/// of the check), but HAProxy cannot run with it: a reload would leave the old configuration at work. So does one that
/// HAProxy accepts and cannot bind: a reload does not say so, and the next start of the machine would end all that it
/// serves. The old file comes back then. Otherwise it stays beside the new one.
pub(crate) const TAKE_OVER: Script = Script {
    name: "haproxy-take-over",
    text: r#"new=$1 file=$2 what=$3 after=${4-}
said=$(haproxy -c -f "$new" 2>&1)
code=$?
case $code:$said in
0:*) ;;
2:*'no listener'*) after=stop ;;
*)
    printf '%s\n' "$said" >&2
    rm -f "$new"
    exit 1
    ;;
esac
if [ -e "$file" ]; then
    chmod --reference="$file" "$new" && chown --reference="$file" "$new" || exit 1
else
    chmod 0644 "$new" || exit 1
fi
old=$file.coxswain-old.$what
changed=
[ "$(cksum <"$new")" = "$(cksum 2>/dev/null <"$file")" ] || changed=1
# An attempt of this step that was cut off has left the last file that HAProxy served with.
if [ ! -e "$old" ] || [ -n "$changed" ]; then
    rm -f "$old"
    if [ -e "$file" ]; then
        cp -p "$file" "$old" || exit 1
    fi
else
    changed=1
fi
# HAProxy's processes that listen on the port; `unknown` where nobody tells whose a socket is.
owners() {
    ss -lntp "sport = :$after" | while read -r line; do
        case $line in
        LISTEN*users:*) printf '%s\n' "$line" | grep -o '"haproxy",pid=[0-9]*' ;;
        LISTEN*) echo unknown ;;
        esac
    done
}
tells() { [ -n "$after" ] && [ "$after" != stop ] && command -v ss >/dev/null 2>&1; }
before=
tells && before=$(owners)
# A new process: one that was there goes on with the old file where the new one cannot be bound.
listens() {
    tells || return 0
    for second in 1 2 3 4 5 6 7 8; do
        for owner in $(owners); do
            [ "$owner" != unknown ] || return 0
            printf '%s\n' "$before" | grep -qxF "$owner" || return 0
        done
        sleep 1
    done
    echo "nothing of HAProxy listens on port $after with the new file" >&2
    return 1
}
back() {
    journalctl -q --no-pager -o cat -n 15 -u haproxy.service >&2
    if [ -e "$old" ]; then
        mv -f "$old" "$file"
    else
        rm -f "$file"
    fi
    "$@" >/dev/null 2>&1
    [ "$enabled" != disabled ] || systemctl disable haproxy.service >/dev/null 2>&1
    exit 1
}
enabled=$(systemctl is-enabled haproxy.service 2>/dev/null)
mv -f "$new" "$file" || exit 1
if [ "$after" = stop ]; then
    systemctl stop haproxy.service || back true
elif systemctl is-active --quiet haproxy.service; then
    systemctl reload haproxy.service && listens || back systemctl reload haproxy.service
else
    systemctl enable haproxy.service >/dev/null 2>&1
    systemctl restart haproxy.service && listens || back systemctl stop haproxy.service
fi
if [ -n "$changed" ] && [ -e "$old" ]; then
    mv -f "$old" "$file.coxswain-before"
fi
rm -f "$file".coxswain-old.*
"#,
};

/// Whether HAProxy runs.
pub(crate) const STATE: Script = Script {
    name: "haproxy-state",
    text: "systemctl is-active haproxy.service\nexit 0\n",
};

/// What HAProxy does once it has a configuration.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Serves a cluster on this port.
    Listens(u16),
    /// Runs, with whatever the file says.
    Runs,
    /// Is stopped.
    Stops,
}

impl Then {
    pub(crate) fn as_before(active: bool) -> Self {
        if active { Then::Runs } else { Then::Stops }
    }

    fn word(self) -> Option<String> {
        match self {
            Then::Listens(port) => Some(port.to_string()),
            Then::Runs => None,
            Then::Stops => Some("stop".to_owned()),
        }
    }
}

/// HAProxy on one host.
pub(crate) struct Haproxy<'a> {
    services: &'a Services,
    host: HostId,
}

impl<'a> Haproxy<'a> {
    pub(crate) fn on(services: &'a Services, host: HostId) -> Self {
        Self { services, host }
    }

    /// Its configuration; none if there is no file.
    pub(crate) async fn read(&self) -> Result<Option<String>, StepFailure> {
        let world = &*self.services.world;
        let file = world
            .read_file(self.host, CONFIG_FILE, MAX)
            .await
            .map_err(failure::world)?;
        file.map(|bytes| {
            String::from_utf8(bytes)
                .map_err(|_| StepFailure::fatal(format!("{CONFIG_FILE} is not UTF-8 text")))
        })
        .transpose()
    }

    /// Whether it runs.
    pub(crate) async fn active(&self) -> Result<bool, StepFailure> {
        let state = RemoteCommand::script(STATE).sudo();
        let answer = self
            .services
            .world
            .run(self.host, state)
            .await
            .map_err(failure::world)?;
        Ok(answer.text().trim() == "active")
    }

    /// Puts a configuration in place if HAProxy accepts it, and lets HAProxy run with it, or not.
    pub(crate) async fn take_over(
        &self,
        context: &StepContext,
        text: &str,
        then: Then,
    ) -> Result<(), StepFailure> {
        let world = &*self.services.world;
        world
            .write_file(self.host, CANDIDATE, text.as_bytes(), 0o600)
            .await
            .map_err(failure::world)?;
        let command = RemoteCommand::script(TAKE_OVER)
            .arg(CANDIDATE)
            .arg(CONFIG_FILE)
            .arg(format!("{}.{}", context.run, context.step))
            .args(then.word())
            .sudo()
            .timeout(TAKES);
        let answer = world
            .run(self.host, command)
            .await
            .map_err(failure::world)?;
        if answer.success() {
            return Ok(());
        }
        Err(StepFailure::Fatal(StepError {
            message:
                "HAProxy does not accept the new configuration, or does not serve with it; the old one is in place"
                    .to_owned(),
            causes: answer.error_text().lines().map(str::to_owned).collect(),
            advice: Some(
                "Read what HAProxy says, and correct haproxy.cfg outside the section of this cluster."
                    .to_owned(),
            ),
        }))
    }

    /// Keeps the configuration in the vault, for an undo.
    pub(crate) async fn keep(&self, text: String) -> Result<SecretId, StepFailure> {
        self.services
            .secrets
            .put(SecretKind::FileBefore, Secret::new(text))
            .await
            .map_err(failure::service)
    }

    /// What was kept.
    pub(crate) async fn kept(&self, id: SecretId) -> Result<String, StepFailure> {
        let old = self
            .services
            .secrets
            .get(id)
            .await
            .map_err(failure::service)?;
        Ok(String::from_utf8_lossy(old.expose()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    /// Runs the script on files of its own, with HAProxy, systemd and `ss` as told.
    fn take_over(work: &Path, after: &str, tools: &[(&str, &str)]) -> Output {
        let bin = work.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let always = [
            ("haproxy", "exit 0"),
            ("journalctl", "echo cannot bind"),
            ("sleep", ""),
        ];
        for (tool, text) in always.iter().chain(tools) {
            let log = work.join("log");
            let text = format!(
                "#!/bin/sh\necho {tool} \"$*\" >>{}\n{text}\n",
                log.display()
            );
            std::fs::write(bin.join(tool), text).unwrap();
            let chmod = Command::new("chmod")
                .arg("0755")
                .arg(bin.join(tool))
                .status();
            assert!(chmod.unwrap().success());
        }
        std::fs::write(work.join("new"), "new").unwrap();
        if !work.join("haproxy.cfg").exists() {
            std::fs::write(work.join("haproxy.cfg"), "old").unwrap();
        }
        Command::new("sh")
            .args(["-c", TAKE_OVER.text, "script"])
            .args([work.join("new"), work.join("haproxy.cfg")])
            .args(["7.2", after])
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .output()
            .unwrap()
    }

    fn left(work: &Path) -> (String, String, Vec<String>) {
        let read = |name: &str| std::fs::read_to_string(work.join(name)).unwrap();
        let files = std::fs::read_dir(work).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut kept: Vec<String> = names.filter(|name| name.contains("coxswain")).collect();
        kept.sort();
        (read("haproxy.cfg"), read("log"), kept)
    }

    /// A process that listens with the old file, and after a reload or restart one more.
    const LISTENS: (&str, &str) = (
        "ss",
        r#"new=; grep -qE 'systemctl re(load|start)' "$(dirname "$0")/../log" && new=',("haproxy",pid=8,fd=9)'
echo 'State Recv-Q Send-Q Local Peer Process'
echo "LISTEN 0 1 *:6443 *:* users:((\"haproxy\",pid=7,fd=9)$new)""#,
    );
    const OLD_LISTENS: (&str, &str) = (
        "ss",
        "echo 'LISTEN 0 1 *:6443 *:* users:((\"haproxy\",pid=7,fd=9))'",
    );
    const NOBODY_TELLS: (&str, &str) = ("ss", "echo 'LISTEN 0 1 *:6443 *:*'");
    const BEFORE: &str = "haproxy.cfg.coxswain-before";
    const CUT_OFF: &str = "haproxy.cfg.coxswain-old.7.2";

    #[test]
    fn what_haproxy_serves_with_stays_and_so_does_the_old_file() {
        for ss in [LISTENS, NOBODY_TELLS] {
            let work = tempfile::tempdir().unwrap();
            let output = take_over(work.path(), "6443", &[ss, ("systemctl", "")]);
            assert!(output.status.success(), "{output:?}");
            let (file, log, kept) = left(work.path());
            assert_eq!((file.as_str(), kept), ("new", vec![BEFORE.to_owned()]));
            let before = std::fs::read_to_string(work.path().join(BEFORE)).unwrap();
            assert_eq!(before, "old");
            assert!(log.contains("systemctl reload haproxy.service"), "{log}");
        }
    }

    #[test]
    fn what_haproxy_cannot_bind_does_not_stay() {
        for ss in [("ss", ""), OLD_LISTENS] {
            let work = tempfile::tempdir().unwrap();
            let output = take_over(work.path(), "6443", &[ss, ("systemctl", "")]);
            assert_eq!(output.status.code(), Some(1));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                said.contains("nothing of HAProxy listens on port 6443"),
                "{said}"
            );
            assert!(said.contains("cannot bind"), "{said}");
            let (file, log, kept) = left(work.path());
            assert_eq!((file.as_str(), kept), ("old", Vec::new()), "{log}");
            assert_eq!(log.matches("systemctl reload").count(), 2, "{log}");
        }
    }

    /// The file that HAProxy served with last is the one that this step found, before it was cut off; what another run
    /// has left long ago is none.
    #[test]
    fn what_was_cut_off_before_is_no_old_file() {
        for (left_by, comes_back) in [(CUT_OFF, "older"), ("haproxy.cfg.coxswain-old.3.2", "new")] {
            let work = tempfile::tempdir().unwrap();
            std::fs::write(work.path().join(left_by), "older").unwrap();
            std::fs::write(work.path().join("haproxy.cfg"), "new").unwrap();
            let output = take_over(work.path(), "6443", &[("ss", ""), ("systemctl", "")]);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert_eq!(left(work.path()).0, comes_back);
        }
        let work = tempfile::tempdir().unwrap();
        std::fs::write(work.path().join(CUT_OFF), "older").unwrap();
        std::fs::write(work.path().join("haproxy.cfg"), "new").unwrap();
        let output = take_over(work.path(), "6443", &[LISTENS, ("systemctl", "")]);
        assert!(output.status.success(), "{output:?}");
        let before = std::fs::read_to_string(work.path().join(BEFORE)).unwrap();
        assert_eq!(before, "older");
    }

    #[test]
    fn what_does_not_start_does_not_stay() {
        let work = tempfile::tempdir().unwrap();
        let systemctl =
            "case $1 in is-active | restart) exit 1 ;; is-enabled) echo disabled; exit 1 ;; esac";
        let output = take_over(work.path(), "", &[LISTENS, ("systemctl", systemctl)]);
        assert_eq!(output.status.code(), Some(1));
        let (file, log, _) = left(work.path());
        assert_eq!(file, "old", "{log}");
        let calls: Vec<&str> = log.lines().rev().take(2).collect();
        let wanted = [
            "systemctl disable haproxy.service",
            "systemctl stop haproxy.service",
        ];
        assert_eq!(calls, wanted, "{log}");
    }
}
