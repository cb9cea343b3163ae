//! The job that installs k3s: the installer without its own start, then a start that does not wait.

use std::sync::LazyLock;
use std::time::Duration;

use coxswain_k3s::install::{AIR_GAP_SCRIPT, ONLINE_SCRIPT, Source};

use crate::world::{JobSpec, Script};

/// `$1` the unit, `$2` the file for the journal's cursor, `$3` where an older binary is kept, then the
/// installer's own arguments. A unit left over from a failed attempt is stopped, so that its last words
/// cannot be taken for those of the new start; the cursor is taken right before that start.
const BEFORE: &str = r#"unit=$1 mark=$2 keep=$3
shift 3
systemctl stop "$unit" 2>/dev/null
if [ -e /usr/local/bin/k3s ] && [ ! -e "$keep/usr/local/bin/k3s" ] && [ ! -e "/etc/systemd/system/$unit" ]; then
    (umask 077 && mkdir -p "$keep/usr/local/bin") || exit 1
    cp -p /usr/local/bin/k3s "$keep/usr/local/bin/k3s.copy" || exit 1
    mv "$keep/usr/local/bin/k3s.copy" "$keep/usr/local/bin/k3s" || exit 1
fi
(
"#;

/// The installer passes variables through a shell's `read` and `echo`, which eat backslashes and blanks, and leaves
/// them quoted as its shell does: the token is written anew, as systemd reads it.
const AFTER: &str = r#"
)
status=$?
[ "$status" -eq 0 ] || exit "$status"
told=/etc/systemd/system/$unit.env
if [ -n "${K3S_TOKEN-}" ] && [ -e "$told" ]; then
    (umask 077 && {
        sed '/^K3S_TOKEN=/d' "$told"
        printf 'K3S_TOKEN="%s"\n' "$(printf '%s\n' "$K3S_TOKEN" | sed 's/[\\"$`]/\\&/g')"
    } >"$told.coxswain" && mv "$told.coxswain" "$told") || exit 1
fi
(umask 077 && mkdir -p "${mark%/*}") || exit 1
journalctl --sync >/dev/null 2>&1
(umask 077 && journalctl -q --no-pager -o cat -n 1 --show-cursor | sed -n 's/^-- cursor: //p' >"$mark")
echo "coxswain: starting $unit"
systemctl restart --no-block "$unit"
"#;

/// The installer from an address.
static ONLINE: LazyLock<Script> =
    LazyLock::new(|| Script::joined("install-k3s-online", &[BEFORE, ONLINE_SCRIPT, AFTER]));
/// The installer from files on the host.
static AIR_GAP: LazyLock<Script> =
    LazyLock::new(|| Script::joined("install-k3s-air-gap", &[BEFORE, AIR_GAP_SCRIPT, AFTER]));

/// The job, still without arguments.
pub(super) fn spec(source: &Source, runtime_max: Duration) -> JobSpec {
    let script = match source {
        Source::Online { .. } => *ONLINE,
        Source::AirGap { .. } => *AIR_GAP,
    };
    JobSpec::new(script, runtime_max)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use coxswain_k3s::env_file::EnvFile;

    use super::*;

    #[test]
    fn is_posix_shell_and_keeps_the_installers_status() {
        for script in [*ONLINE, *AIR_GAP] {
            let checked = Command::new("sh")
                .args(["-n", "-c", script.text])
                .output()
                .unwrap();
            assert!(checked.status.success(), "{checked:?}");
        }
        let text =
            format!("{BEFORE}set -eu\ntrap 'echo cleaned' EXIT\necho \"got $1\"\nexit 7\n{AFTER}");
        let work = tempfile::tempdir().unwrap();
        let keep = work.path().join("keep");
        let output = Command::new("sh")
            .args([
                "-c",
                &text,
                "job",
                "none.service",
                "/nonexistent/mark",
                keep.to_str().unwrap(),
                "https://x",
            ])
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "got https://x\ncleaned\n"
        );
    }

    #[test]
    fn the_token_is_told_as_it_is_whatever_the_installer_made_of_it() {
        let work = tempfile::tempdir().unwrap();
        let units = work.path().to_str().unwrap();
        let tools = "journalctl() { :; }\nsystemctl() { :; }\n";
        let installer = r#"sh -c export | while read x v; do echo $v; done | grep -E '^K3S_' >UNITS/k3s.service.env"#;
        let text = format!("{tools}{BEFORE}{installer}{AFTER}")
            .replace("UNITS", units)
            .replace("/etc/systemd/system", units);
        for token in [
            r#"pa$$w"rd"#,
            r"back\sl\\ash\",
            "two  'blanks'",
            "`id` ${HOME} *",
        ] {
            let output = Command::new("sh")
                .args(["-c", &text, "job", "k3s.service"])
                .args([&format!("{units}/mark/cursor"), &format!("{units}/keep")])
                .env("K3S_TOKEN", token)
                .env("K3S_URL", "https://a:6443")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let told = work.path().join("k3s.service.env");
            let env = EnvFile::parse(&std::fs::read_to_string(&told).unwrap());
            assert_eq!(env.get("K3S_TOKEN"), Some(token));
            assert_eq!(env.get("K3S_URL"), Some("https://a:6443"));
            let mode = std::fs::metadata(&told).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
