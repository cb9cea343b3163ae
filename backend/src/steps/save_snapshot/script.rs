//! What the step runs on the server.

use std::time::Duration;

use crate::world::{JobSpec, Script};

/// For a snapshot.
const RUNTIME: Duration = Duration::from_secs(240);
/// For one that k3s copies to S3. It waits up to 300 s for a bucket that does not answer (`etcd-s3-timeout`).
const COPIED_RUNTIME: Duration = Duration::from_secs(540);

/// `$1` the snapshot's name; k3s appends node and time. `$2` `s3` if k3s copies snapshots there, `$3…` where they lie
/// on the server: releases that take snapshots in the server process take none while S3 does not answer (k3s,
/// `pkg/etcd/snapshot_handler.go`), earlier ones only fail to copy it.
pub(crate) const SAVE: Script = Script {
    name: "save-snapshot",
    text: r#"name=$1
copied=$2
shift 2
if [ "$copied" != s3 ]; then
    exec /usr/local/bin/k3s etcd-snapshot save --name "$name"
fi
timeout 330 /usr/local/bin/k3s etcd-snapshot save --name "$name"
ended=$?
if [ "$ended" = 0 ]; then exit 0; fi
for dir; do
    for file in "$dir/$name-"*; do
        case $file in *.part) continue ;; esac
        if [ -s "$file" ]; then exit "$ended"; fi
    done
done
echo "k3s saved no snapshot (status $ended). Once more, without the copy in S3." >&2
exec /usr/local/bin/k3s etcd-snapshot save --etcd-s3=false --name "$name"
"#,
};

/// The job that saves a snapshot of this name.
pub(super) fn save(name: String, copied: bool, directories: &[String]) -> JobSpec {
    let (runtime, copied) = if copied {
        (COPIED_RUNTIME, "s3")
    } else {
        (RUNTIME, "local")
    };
    let spec = JobSpec::new(SAVE, runtime).arg(name).arg(copied);
    directories.iter().fold(spec, |spec, dir| spec.arg(dir))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    /// What a k3s was called with that behaves so, and its status. `$dir` is where snapshots lie.
    fn called(k3s: &str, copied: &str) -> (Vec<String>, Option<i32>) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (program, calls) = (at("k3s"), at("calls"));
        let text = format!("#!/bin/sh\necho \"$*\" >>{calls}\ndir={}\n{k3s}\n", at(""));
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let script = SAVE.text.replace("/usr/local/bin/k3s", &program);
        let dir = folder.path().display().to_string();
        let ran = Command::new("sh")
            .args(["-c", &script, "sh", "before", copied, &dir])
            .output()
            .unwrap();
        let calls = fs::read_to_string(calls).unwrap_or_default();
        (
            calls.lines().map(str::to_owned).collect(),
            ran.status.code(),
        )
    }

    const PLAIN: &str = "etcd-snapshot save --name before";
    const LOCAL: &str = "etcd-snapshot save --etcd-s3=false --name before";

    #[test]
    fn where_s3_does_not_answer_it_is_saved_on_the_server() {
        let refuses =
            "case $* in *--etcd-s3=false*) exit 0 ;; esac; : >$dir/before-node1-1.part; exit 1";
        let (calls, status) = called(refuses, "s3");
        assert_eq!(
            (calls, status),
            (vec![PLAIN.to_owned(), LOCAL.to_owned()], Some(0))
        );
    }

    #[test]
    fn one_that_was_saved_and_not_copied_is_not_saved_twice() {
        let (calls, status) = called("echo x >$dir/before-node1-1; exit 1", "s3");
        assert_eq!((calls, status), (vec![PLAIN.to_owned()], Some(1)));
        let (calls, status) = called("exit 0", "s3");
        assert_eq!((calls, status), (vec![PLAIN.to_owned()], Some(0)));
    }

    #[test]
    fn without_s3_there_is_one_attempt() {
        let (calls, status) = called("exit 1", "local");
        assert_eq!((calls, status), (vec![PLAIN.to_owned()], Some(1)));
    }
}
