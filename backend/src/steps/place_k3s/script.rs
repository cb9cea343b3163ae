//! The job that puts another k3s on a node, and the one that takes it back.

use std::sync::LazyLock;
use std::time::Duration;

use coxswain_k3s::install::{AIR_GAP_SCRIPT, Fetch, ONLINE_SCRIPT, Source};

use crate::steps::restart::NodeRole;
use crate::world::{JobSpec, Script};

/// `$1` the unit, `$2` a directory for what was there before, then the installer's own arguments. The
/// installer disables the unit and writes it and its environment file anew: whatever comes of it, both files
/// are put back byte for byte. If it fails, so is the binary. k3s itself is not touched.
const BEFORE: &str = r#"unit=$1 keep=$2
shift 2
binary=/usr/local/bin/k3s file=/etc/systemd/system/$unit
put() {
    cp -p -- "$1" "$2.coxswain-part" && mv -f -- "$2.coxswain-part" "$2" || return 1
    ! command -v restorecon >/dev/null 2>&1 || restorecon "$2" >/dev/null 2>&1
    return 0
}
tidy() {
    result=$1
    if ! cmp -s "$keep/unit" "$file"; then echo "coxswain: $file is put back as it was"; fi
    put "$keep/unit" "$file" || result=1
    if [ -e "$keep/env" ]; then
        put "$keep/env" "$file.env" || result=1
    else
        rm -f -- "$file.env" || result=1
    fi
    if [ -e "$keep/enabled" ]; then how=enable; else how=disable; fi
    systemctl "$how" "$unit" >/dev/null 2>&1 || result=1
    systemctl daemon-reload || result=1
    if [ "$result" -ne 0 ] && ! cmp -s "$keep/k3s" "$binary"; then
        echo "coxswain: $binary is put back as it was"
        put "$keep/k3s" "$binary"
    fi
    return "$result"
}
if [ ! -e "$keep/complete" ]; then
    (umask 077 && mkdir -p "$keep") || exit 1
    cp -p -- "$binary" "$keep/k3s" || exit 1
    cp -p -- "$file" "$keep/unit" || exit 1
    [ ! -e "$file.env" ] || cp -p -- "$file.env" "$keep/env" || exit 1
    ! systemctl is-enabled --quiet "$unit" || : >"$keep/enabled" || exit 1
    sync "$keep"/* 2>/dev/null
    : >"$keep/complete" || exit 1
fi
trap 'tidy 143; exit 143' HUP INT TERM
(
"#;

const AFTER: &str = r#"
)
tidy $?
exit $?
"#;

/// `$1` the unit, `$2` the directory with what was there before. Starts k3s only where a crash kept it from
/// starting with the host.
pub(crate) const PUT_BACK: Script = Script {
    name: "put-back-k3s",
    text: r#"unit=$1 keep=$2
binary=/usr/local/bin/k3s file=/etc/systemd/system/$unit
put() {
    cp -p -- "$1" "$2.coxswain-part" && mv -f -- "$2.coxswain-part" "$2" || exit 1
    ! command -v restorecon >/dev/null 2>&1 || restorecon "$2" >/dev/null 2>&1
    echo "coxswain: $2 is as it was"
}
if [ -e "$keep/complete" ]; then
    put "$keep/k3s" "$binary"
    put "$keep/unit" "$file"
    if [ -e "$keep/env" ]; then put "$keep/env" "$file.env"; else rm -f -- "$file.env"; fi
    if [ -e "$keep/enabled" ]; then
        systemctl enable "$unit" && systemctl daemon-reload && systemctl start --no-block "$unit" || exit 1
    else
        systemctl disable "$unit" && systemctl daemon-reload || exit 1
    fi
fi
rm -rf -- "$keep"
rmdir /var/lib/coxswain/kept 2>/dev/null
exit 0
"#,
};

/// `$1` a directory.
pub(crate) const FORGET: Script = Script {
    name: "forget-kept-k3s",
    text: "rm -rf -- \"$1\" || exit 1\nrmdir /var/lib/coxswain/kept 2>/dev/null\nexit 0\n",
};

/// `$1` a directory. Prints `kept` if it is there.
pub(crate) const KEPT: Script = Script {
    name: "look-for-kept-k3s",
    text: "[ ! -e \"$1\" ] || echo kept\n",
};

static ONLINE: LazyLock<Script> =
    LazyLock::new(|| Script::joined("place-k3s-online", &[BEFORE, ONLINE_SCRIPT, AFTER]));
static AIR_GAP: LazyLock<Script> =
    LazyLock::new(|| Script::joined("place-k3s-air-gap", &[BEFORE, AIR_GAP_SCRIPT, AFTER]));

/// The job. What k3s is told is put back, so the installer need not know of it; but were the host to go down while
/// the installer's unit lies there, k3s would start with nothing of it: hence it is not enabled before.
pub(super) fn spec(
    source: &Source,
    role: NodeRole,
    keep: String,
    runtime_max: Duration,
) -> JobSpec {
    let script = match source {
        Source::Online { .. } => *ONLINE,
        Source::AirGap { .. } => *AIR_GAP,
    };
    let Fetch { args, env, .. } = source.fetch();
    let (name, value) = env;
    args.into_iter()
        .fold(
            JobSpec::new(script, runtime_max).arg(role.unit()).arg(keep),
            JobSpec::arg,
        )
        .env(name, value)
        .env("INSTALL_K3S_EXEC", role.subcommand())
        .env("INSTALL_K3S_SKIP_ENABLE", "true")
        .env("INSTALL_K3S_SYMLINK", "skip")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    /// Runs the job's frame around an installer, on files in a folder of its own.
    fn run(work: &Path, installer: &str) -> Output {
        let at = |text: &str| {
            text.replace("/usr/local/bin", &format!("{}/bin", work.display()))
                .replace("/etc/systemd/system", &format!("{}/units", work.display()))
        };
        let tools = work.join("tools");
        std::fs::create_dir_all(&tools).unwrap();
        let systemctl = tools.join("systemctl");
        std::fs::write(&systemctl, "#!/bin/sh\necho \"systemctl $*\"\n").unwrap();
        let chmod = Command::new("chmod").arg("0755").arg(&systemctl).status();
        assert!(chmod.unwrap().success());
        Command::new("sh")
            .args(["-c", &at(&format!("{BEFORE}{installer}{AFTER}")), "job"])
            .args(["k3s.service", work.join("keep").to_str().unwrap(), "more"])
            .env("PATH", format!("{}:/usr/bin:/bin", tools.display()))
            .output()
            .unwrap()
    }

    fn machine() -> tempfile::TempDir {
        let work = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("bin/k3s", "old"),
            ("units/k3s.service", "by hand"),
            ("units/k3s.service.env", "K3S_TOKEN=x"),
        ] {
            let path = work.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        work
    }

    fn text(work: &Path, path: &str) -> String {
        std::fs::read_to_string(work.join(path)).unwrap()
    }

    /// The installer writes everything anew.
    const WRITES: &str = "echo \"got $1\"\ncd \"${file%/*}\" && echo new >k3s.service && : >k3s.service.env && echo new >\"$binary\"\n";

    #[test]
    fn is_posix_shell() {
        for script in [*ONLINE, *AIR_GAP, PUT_BACK, FORGET, KEPT] {
            let checked = Command::new("sh")
                .args(["-n", "-c", script.text])
                .output()
                .unwrap();
            assert!(checked.status.success(), "{checked:?}");
        }
    }

    #[test]
    fn only_the_binary_is_another_one_afterwards() {
        let work = machine();
        let output = run(work.path(), WRITES);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("got more\n"), "{said}");
        assert!(said.contains("k3s.service is put back as it was"), "{said}");
        assert!(said.contains("systemctl daemon-reload"), "{said}");
        assert_eq!(text(work.path(), "bin/k3s"), "new\n");
        assert_eq!(text(work.path(), "units/k3s.service"), "by hand");
        assert_eq!(text(work.path(), "units/k3s.service.env"), "K3S_TOKEN=x");
        assert_eq!(text(work.path(), "keep/k3s"), "old");
    }

    #[test]
    fn a_failed_installer_leaves_the_node_as_it_was() {
        let work = machine();
        let output = run(work.path(), &format!("{WRITES}exit 7\n"));
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(text(work.path(), "bin/k3s"), "old");
        assert_eq!(text(work.path(), "units/k3s.service"), "by hand");
        assert_eq!(text(work.path(), "units/k3s.service.env"), "K3S_TOKEN=x");
        // Once more, with what was kept the first time.
        let output = run(work.path(), WRITES);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text(work.path(), "bin/k3s"), "new\n");
        assert_eq!(text(work.path(), "keep/k3s"), "old");
    }
}
