//! HAProxy on a load balancer as steps use it: its configuration file, and whether it runs.

use coxswain_engine::step::StepFailure;
use coxswain_k3s::haproxy::CONFIG_FILE;
use coxswain_wire::{HostId, SecretId, StepError};

use super::services::SecretKind;
use super::{Services, failure};
use crate::world::{RemoteCommand, Script, Secret};

/// Largest configuration that is read.
const MAX: usize = 1024 * 1024;
/// The new configuration waits here for HAProxy's own check.
const CANDIDATE: &str = "/etc/haproxy/haproxy.cfg.coxswain-new";

/// `$1` the new file, `$2` the file it replaces, `$3` `stop` to leave HAProxy stopped afterwards. A file
/// without any listener is in order (status 2 of the check), but HAProxy cannot run with it: a reload would leave
/// the old configuration at work.
pub(crate) const TAKE_OVER: Script = Script {
    name: "haproxy-take-over",
    text: r#"new=$1 file=$2 after=${3-}
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
mv -f "$new" "$file" || exit 1
if [ "$after" = stop ]; then
    systemctl stop haproxy.service
elif systemctl is-active --quiet haproxy.service; then
    systemctl reload haproxy.service
else
    systemctl enable haproxy.service >/dev/null 2>&1
    systemctl restart haproxy.service
fi
"#,
};

/// Whether HAProxy runs.
pub(crate) const STATE: Script = Script {
    name: "haproxy-state",
    text: "systemctl is-active haproxy.service\nexit 0\n",
};

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
    pub(crate) async fn take_over(&self, text: &str, run: bool) -> Result<(), StepFailure> {
        let world = &*self.services.world;
        world
            .write_file(self.host, CANDIDATE, text.as_bytes(), 0o600)
            .await
            .map_err(failure::world)?;
        let command = RemoteCommand::script(TAKE_OVER)
            .arg(CANDIDATE)
            .arg(CONFIG_FILE)
            .args((!run).then_some("stop"))
            .sudo();
        let answer = world
            .run(self.host, command)
            .await
            .map_err(failure::world)?;
        if answer.success() {
            return Ok(());
        }
        Err(StepFailure::Fatal(StepError {
            message:
                "HAProxy does not accept the new configuration, or does not start with it"
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
