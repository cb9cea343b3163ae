//! The constant shell texts that run the installer. They take values only as positional parameters and
//! from the environment.

use super::args::show;
use crate::names::HttpUrl;

/// Where k3s looks for images archives at start, by extension.
pub const IMAGES_DIR: &str = "/var/lib/rancher/k3s/agent/images";

/// `$1` is the installer's URL. The script is downloaded whole before any of it runs: a broken download
/// piped into a shell would run half of it. What comes without TLS is run only if it was asked for without: wget follows
/// every redirection, so what it followed is looked at before anything runs. See [`download_lines`].
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
case $1 in
https://*) proto='=https' ;;
*) proto='=https,http' ;;
esac
if command -v curl >/dev/null 2>&1; then
    curl -sSfL --proto "$proto" --connect-timeout 10 --max-time 120 --retry 2 -o "$work/install.sh" "$1" ||
        fail "download failed: curl ended with status $?"
elif command -v wget >/dev/null 2>&1; then
    status=0
    wget -S --timeout=30 --tries=3 -O "$work/install.sh" "$1" 2>"$work/log" || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 3 "$work/log" >&2
        fail "download failed: wget ended with status $status"
    fi
    if [ "$proto" = '=https' ] &&
        grep -i '^ *location: *[a-z][a-z0-9+.-]*:' "$work/log" | grep -qiv 'location: *https:'; then
        fail "$1 leads on to an address without https: give the address without it if that is meant"
    fi
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

/// What [`ONLINE_SCRIPT`] types to download the installer, with curl and where there is none with wget, into a folder of
/// its own.
#[must_use]
pub fn download_lines(installer_url: &HttpUrl) -> [String; 2] {
    let url = show(installer_url.as_str());
    [
        format!(
            "curl -sSfL --proto '{}' --connect-timeout 10 --max-time 120 --retry 2 -o install.sh {url}",
            protocols(installer_url)
        ),
        format!("# without curl: wget -S --timeout=30 --tries=3 -O install.sh {url}"),
    ]
}

/// What curl's `--proto` is told, so that no redirection leads away from TLS where an address begins with it.
#[must_use]
pub fn protocols(address: &HttpUrl) -> &'static str {
    if address.as_str().starts_with("https://") {
        "=https"
    } else {
        "=https,http"
    }
}

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
# Told to download nothing, the installer leaves SELinux's label of the binary as it is.
! command -v restorecon >/dev/null 2>&1 || restorecon "$target" >/dev/null 2>&1 || :
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
mod air_gap;
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
    /// Runs it where this is all the programs there are; `loader` writes what it is told into `asked`.
    fn run_with(loader: &str, body: &str, url: &str) -> (Option<i32>, String, String) {
        use std::os::unix::fs::PermissionsExt as _;
        let work = tempfile::tempdir().unwrap();
        let asked = work.path().join("asked");
        for tool in ["sh", "mktemp", "rm", "head", "tail", "grep", "cat"] {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {tool}")])
                .output();
            let path = String::from_utf8(found.unwrap().stdout).unwrap();
            std::os::unix::fs::symlink(path.trim(), work.path().join(tool)).unwrap();
        }
        let program = work.path().join(loader);
        std::fs::write(&program, format!("#!/bin/sh\n{body}")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = Command::new("sh")
            .args(["-c", ONLINE_SCRIPT, "install", url])
            .env("PATH", work.path())
            .env("ASKED", &asked)
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let asked = std::fs::read_to_string(&asked).unwrap_or_default();
        (output.status.code(), said, asked)
    }

    /// Remembers its arguments and writes an installer to where the last but one says.
    const LOADER: &str = r##"
echo "${0##*/} $*" >"$ASKED"
while [ $# -gt 2 ]; do shift; done
printf '#!/bin/sh\necho installer ran\n' >"$1"
"##;

    #[test]
    fn what_is_shown_is_what_is_typed() {
        for url in ["https://get.example/i.sh", "http://mirror.lan:8080/i.sh"] {
            let [curl, wget] = download_lines(&url.parse().unwrap());
            let wget = wget.strip_prefix("# without curl: ").unwrap().to_owned();
            for (program, shown) in [("curl", curl), ("wget", wget)] {
                let (status, said, asked) = run_with(program, LOADER, url);
                assert_eq!(status, Some(0), "{said}");
                assert!(said.contains("installer ran\n"), "{said}");
                let words = asked.split_whitespace().map(|word| {
                    // In the script it lies in a folder of its own.
                    if word.ends_with("/install.sh") {
                        "install.sh"
                    } else {
                        word
                    }
                });
                let asked = words.collect::<Vec<_>>().join(" ");
                assert_eq!(asked, shown.replace('\'', ""), "{program}");
            }
        }
    }

    #[test]
    fn what_wget_got_without_tls_is_run_only_if_that_was_asked_for() {
        let led = |to: &str| {
            format!("{LOADER}echo '  HTTP/1.1 302 Found' >&2\necho '  Location: {to}' >&2\n")
        };
        for (url, to, runs) in [
            ("https://get.example/i.sh", "https://cdn.example/i.sh", true),
            ("https://get.example/i.sh", "/other.sh", true),
            ("https://get.example/i.sh", "http://cdn.example/i.sh", false),
            ("https://get.example/i.sh", "HTTP://cdn.example/i.sh", false),
            ("https://get.example/i.sh", "ftp://cdn.example/i.sh", false),
            ("http://mirror.lan/i.sh", "http://cdn.example/i.sh", true),
        ] {
            let (status, said, _) = run_with("wget", &led(to), url);
            assert_eq!(said.contains("installer ran\n"), runs, "{url} {to}: {said}");
            assert_eq!(status, Some(i32::from(!runs)), "{said}");
            assert_eq!(said.contains("without https"), !runs, "{said}");
        }
    }
}
