//! The installation from files, on files in a folder of its own.

use std::path::Path;
use std::process::Command;

use super::AIR_GAP_SCRIPT;

/// Runs the air-gapped installation on files in a folder of its own. The installer tells what it is told.
fn run_air_gap(work: &Path, files: &[&str]) -> (Option<i32>, String) {
    let at = |text: &str| {
        text.replace("/usr/local/bin", &format!("{}/bin", work.display()))
            .replace("/var/lib/rancher", &format!("{}/rancher", work.display()))
    };
    let output = Command::new("sh")
        .args(["-c", &at(AIR_GAP_SCRIPT), "install"])
        .args(files.iter().map(|file| work.join(file)))
        .env("INSTALL_K3S_EXEC", "server --cluster-init")
        .output()
        .unwrap();
    let both = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(both).unwrap())
}

/// What a person has put on the host.
fn given() -> tempfile::TempDir {
    let work = tempfile::tempdir().unwrap();
    let installer = "#!/bin/sh\necho \"got $INSTALL_K3S_EXEC\"\n";
    for (name, text) in [
        ("install.sh", installer),
        ("k3s", "the binary"),
        ("images.tar.zst", "the images"),
    ] {
        std::fs::write(work.path().join(name), text).unwrap();
    }
    work
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

const GIVEN: [&str; 3] = ["install.sh", "k3s", "images.tar.zst"];

#[test]
fn air_gapped_the_files_are_placed_before_the_installer_runs_and_a_second_time_nothing_is() {
    let work = given();
    let (status, said) = run_air_gap(work.path(), &GIVEN);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("got server --cluster-init\n"), "{said}");
    assert!(said.contains("the installer ended with status 0"), "{said}");
    let binary = work.path().join("bin/k3s");
    let folder = work.path().join("rancher/k3s/agent/images");
    let images = folder.join("images.tar.zst");
    let placed =
        || [&binary, &images].map(|path| (std::fs::read_to_string(path).unwrap(), mode(path)));
    let expected = [("the binary", 0o755), ("the images", 0o600)];
    let expected = expected.map(|(text, mode)| (text.to_owned(), mode));
    assert_eq!(placed(), expected);
    assert_eq!(mode(&folder), 0o700);

    let (status, said) = run_air_gap(work.path(), &GIVEN);
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains("copying"), "{said}");
    assert!(said.contains("is already the binary given"), "{said}");
    assert!(said.contains("images.tar.zst is in place"), "{said}");
    assert_eq!(placed(), expected);
    for folder in [folder.as_path(), binary.parent().unwrap()] {
        assert_eq!(folder.read_dir().unwrap().count(), 1, "nothing is left");
    }

    // Another release, and the files lie where they belong already.
    std::fs::write(work.path().join("k3s"), "a newer one").unwrap();
    let (status, said) = run_air_gap(work.path(), &GIVEN[..2]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(std::fs::read_to_string(&binary).unwrap(), "a newer one");
    let (status, said) = run_air_gap(
        work.path(),
        &[
            "install.sh",
            "bin/k3s",
            "rancher/k3s/agent/images/images.tar.zst",
        ],
    );
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains("copying"), "{said}");
}

#[test]
fn air_gapped_a_missing_file_is_named_and_nothing_is_changed() {
    for missing in GIVEN {
        let work = given();
        std::fs::remove_file(work.path().join(missing)).unwrap();
        let (status, said) = run_air_gap(work.path(), &GIVEN);
        assert_eq!(status, Some(1), "{said}");
        let path = work.path().join(missing);
        assert!(said.starts_with("coxswain: cannot read the"), "{said}");
        assert!(said.contains(&*path.to_string_lossy()), "{said}");
        assert!(
            !work.path().join("bin").exists() && !said.contains("got"),
            "{said}"
        );
    }
}

#[test]
fn air_gapped_the_status_of_the_installer_is_told() {
    let work = given();
    std::fs::write(work.path().join("install.sh"), "#!/bin/sh\nexit 3\n").unwrap();
    let (status, said) = run_air_gap(work.path(), &GIVEN);
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("the installer ended with status 3"), "{said}");
}

#[test]
fn the_binary_gets_its_label_where_labels_are_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let work = given();
    let tool = work.path().join("restorecon");
    std::fs::write(&tool, "#!/bin/sh\necho \"$1\" >>\"$0.said\"\nexit 1\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let script =
        AIR_GAP_SCRIPT.replace("/usr/local/bin", &format!("{}/bin", work.path().display()));
    let output = Command::new("sh")
        .args(["-c", &script, "install"])
        .args(GIVEN[..2].iter().map(|file| work.path().join(file)))
        .env("PATH", format!("{}:{path}", work.path().display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = std::fs::read_to_string(work.path().join("restorecon.said")).unwrap();
    assert_eq!(said, format!("{}/bin/k3s\n", work.path().display()));
}
