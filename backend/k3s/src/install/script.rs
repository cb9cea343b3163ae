//! The constant shell texts that run the installer. They take values only as positional parameters and
//! from the environment.

/// Where k3s looks for images archives at start, by extension.
pub const IMAGES_DIR: &str = "/var/lib/rancher/k3s/agent/images";

/// `$1` is the installer's URL. The script is downloaded whole before any of it runs: a broken download
/// piped into a shell would run half of it.
pub const ONLINE_SCRIPT: &str = r##"#!/bin/sh
# $1: address of the installer. Environment: INSTALL_K3S_*, K3S_TOKEN.
set -eu
umask 022
fail() { echo "coxswain: $*" >&2; exit 1; }
[ "$#" -eq 1 ] || fail "expected the address of the installer"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 143' HUP INT TERM
echo "coxswain: downloading the installer from $1"
if command -v curl >/dev/null 2>&1; then
    curl -sSfL --proto '=https,http' --connect-timeout 10 --max-time 120 --retry 2 -o "$work/install.sh" "$1" ||
        fail "download failed: curl ended with status $?"
elif command -v wget >/dev/null 2>&1; then
    wget -nv --timeout=30 --tries=3 -O "$work/install.sh" "$1" ||
        fail "download failed: wget ended with status $?"
else
    fail "neither curl nor wget is installed"
fi
case $(head -c 2 "$work/install.sh") in
'#!') ;;
*) fail "what was downloaded is not a shell script" ;;
esac
echo "coxswain: running the installer"
status=0
sh "$work/install.sh" || status=$?
echo "coxswain: the installer ended with status $status"
exit "$status"
"##;

/// `$1` the installer, `$2` the k3s binary, `$3` (optional) the images archive, all on the host. Files
/// are copied under a temporary name and renamed, so that a full disk leaves nothing half-written.
pub const AIR_GAP_SCRIPT: &str = r##"#!/bin/sh
# $1: installer, $2: k3s binary, $3: images archive or absent. Environment: INSTALL_K3S_*, K3S_TOKEN.
set -eu
umask 022
fail() { echo "coxswain: $*" >&2; exit 1; }
[ "$#" -ge 2 ] || fail "expected the paths of the installer and of the k3s binary"
script=$1 binary=$2 images=${3-}
[ -r "$script" ] || fail "cannot read the installer $script"
[ -r "$binary" ] || fail "cannot read the k3s binary $binary"
[ -z "$images" ] || [ -r "$images" ] || fail "cannot read the images archive $images"
place() {
    mkdir -p "${2%/*}"
    cp -- "$1" "$2.coxswain-part"
    chmod "$3" "$2.coxswain-part"
    mv -f -- "$2.coxswain-part" "$2"
}
target=/usr/local/bin/k3s
if [ "$binary" -ef "$target" ]; then
    chmod 0755 "$target"
elif cmp -s "$binary" "$target" 2>/dev/null; then
    chmod 0755 "$target"
    echo "coxswain: $target is already the binary given"
else
    echo "coxswain: copying $binary to $target"
    place "$binary" "$target" 0755
fi
if [ -n "$images" ]; then
    kept=/var/lib/rancher/k3s/agent/images/${images##*/}
    if [ "$images" -ef "$kept" ] || cmp -s "$images" "$kept" 2>/dev/null; then
        echo "coxswain: $kept is in place"
    else
        echo "coxswain: copying $images to $kept"
        # k3s keeps its data directories closed to others.
        (umask 077 && mkdir -p /var/lib/rancher/k3s/agent/images)
        place "$images" "$kept" 0600
    fi
fi
echo "coxswain: running the installer"
status=0
sh "$script" || status=$?
echo "coxswain: the installer ended with status $status"
exit "$status"
"##;

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn scripts_are_posix_shell() {
        for text in [ONLINE_SCRIPT, AIR_GAP_SCRIPT] {
            for shell in ["sh", "dash", "bash"] {
                // Not every machine has every shell.
                if let Ok(output) = Command::new(shell).args(["-n", "-c", text]).output() {
                    assert!(output.status.success(), "{shell}: {output:?}");
                }
            }
        }
        assert!(AIR_GAP_SCRIPT.contains(IMAGES_DIR));
    }

    #[test]
    fn refuses_to_start_without_its_arguments() {
        for text in [ONLINE_SCRIPT, AIR_GAP_SCRIPT] {
            let output = Command::new("sh").args(["-c", text]).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert!(String::from_utf8_lossy(&output.stderr).starts_with("coxswain: expected"));
        }
    }

    /// Serves one answer per connection that announces `length` bytes and sends `body`; gives its address.
    fn serve(body: &'static str, length: usize) -> String {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
                stream
                    .write_all(format!("{head}{body}").as_bytes())
                    .unwrap();
            }
        });
        format!("http://{address}/install.sh")
    }

    fn run_online(url: &str) -> (Option<i32>, String) {
        let output = Command::new("sh")
            .args(["-c", ONLINE_SCRIPT, "install", url])
            .env("INSTALL_K3S_EXEC", "server --cluster-init")
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        let both = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(both).unwrap())
    }

    #[test]
    fn runs_the_whole_installer_and_tells_its_status() {
        const INSTALLER: &str = "#!/bin/sh\necho \"got $INSTALL_K3S_EXEC\"\nexit 3\n";
        let (status, said) = run_online(&serve(INSTALLER, INSTALLER.len()));
        assert_eq!(status, Some(3), "{said}");
        assert!(said.contains("got server --cluster-init\n"), "{said}");
        assert!(said.contains("the installer ended with status 3"), "{said}");
    }

    #[test]
    fn runs_nothing_of_a_broken_or_wrong_download() {
        const INSTALLER: &str = "#!/bin/sh\necho ran\n";
        let (status, said) = run_online(&serve(INSTALLER, INSTALLER.len() + 100));
        assert_eq!(status, Some(1), "{said}");
        assert!(
            !said.contains("ran\n") && said.contains("download failed"),
            "{said}"
        );
        let (status, said) = run_online(&serve("<html>sign in</html>", 20));
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("not a shell script"), "{said}");
    }
}
