//! The release this program stands in for: v1.22.4+k3s1 as recorded (transcript 04), or the one that is written behind
//! its own executable, so that copies of one program are the releases of an upgrade.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context as _, bail};
use sha1::{Digest as _, Sha1};

use crate::token::hex;

/// What comes before the release's name behind the executable.
const MARK: &str = "\nK3S-STANDIN-RELEASE ";
/// Longest trailer.
const TRAILER: usize = 64;
/// The recorded release.
const RECORDED: &str = "v1.22.4+k3s1";

/// A release of k3s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    /// As k3s names it, `v1.22.4+k3s1`.
    pub(crate) name: String,
    /// Minor number of Kubernetes.
    pub(crate) minor: u32,
    patch: u32,
    /// Whole commit, as in `/version`. Made up where the release was not recorded.
    pub(crate) commit: String,
}

/// What `k3s --version` prints as its compiler.
pub(crate) const GO_VERSION: &str = "go1.16.10";
/// The compiler in `/version` of the recorded binary, which was a rebuild.
pub(crate) const API_GO_VERSION: &str = "go1.19.8";
/// Build date in `/version`.
pub(crate) const BUILD_DATE: &str = "2021-11-17T22:30:06Z";

static RELEASE: OnceLock<Release> = OnceLock::new();

/// Finds out once which release this program is.
///
/// # Errors
/// When its executable cannot be read or carries a broken name.
pub(crate) fn find_out() -> anyhow::Result<()> {
    let release = match trailer(Path::new("/proc/self/exe"))? {
        Some(name) => Release::parse(&name)?,
        None => Release::parse(RECORDED)?,
    };
    // A second call finds the same.
    drop(RELEASE.set(release));
    Ok(())
}

/// The release this program is.
pub(crate) fn release() -> &'static Release {
    RELEASE.get_or_init(|| Release {
        name: RECORDED.to_owned(),
        minor: 22,
        patch: 4,
        commit: RECORDED_COMMIT.to_owned(),
    })
}

/// Commit of the recorded release.
const RECORDED_COMMIT: &str = "00226be68bd6b70f8fca252a1027fc0a35d070b8";

impl Release {
    fn parse(name: &str) -> anyhow::Result<Self> {
        let numbers = || {
            let (numbers, build) = name.strip_prefix("v1.")?.split_once("+k3s")?;
            build.parse::<u32>().ok()?;
            let (minor, patch) = numbers.split_once('.')?;
            Some((minor.parse().ok()?, patch.parse().ok()?))
        };
        let Some((minor, patch)) = numbers() else {
            bail!("{name} is no release of k3s (v1.<minor>.<patch>+k3s<build>)");
        };
        let commit = if name == RECORDED {
            RECORDED_COMMIT.to_owned()
        } else {
            hex(&Sha1::digest(name))
        };
        Ok(Self {
            name: name.to_owned(),
            minor,
            patch,
            commit,
        })
    }

    /// First eight digits of the commit, as in `k3s --version`.
    pub(crate) fn short_commit(&self) -> &str {
        self.commit.get(..8).unwrap_or_default()
    }

    /// Whether something that came with a release and was taken back to older minors is in this one: `(minor, patch)`
    /// of its first release in each minor; all later minors have it.
    fn has(&self, first: &[(u32, u32)]) -> bool {
        let newest = first.iter().map(|(minor, _)| *minor).max().unwrap_or(0);
        self.minor > newest
            || first
                .iter()
                .any(|(minor, patch)| self.minor == *minor && self.patch >= *patch)
    }

    /// `certificate check` exists, and `certificate rotate` works on agents.
    pub(crate) fn checks_certificates(&self) -> bool {
        self.has(&[(27, 13), (28, 9), (29, 4), (30, 0)])
    }

    /// `certificate check --output` exists.
    pub(crate) fn formats_certificates(&self) -> bool {
        self.has(&[(29, 13), (30, 9), (31, 5), (32, 1)])
    }

    /// `token rotate` exists. The same releases refuse `--cluster-reset` together with `--server`, and no longer compare
    /// the token with the database that a reset puts aside.
    pub(crate) fn rotates_tokens(&self) -> bool {
        self.has(&[(25, 15), (26, 10), (27, 7), (28, 3)])
    }

    /// `--tls-san-security` exists, and its default. Without it names of strangers were never learned as recorded.
    pub(crate) fn san_security(&self) -> Option<bool> {
        let exists = self.has(&[(24, 17), (25, 14), (26, 9), (27, 6), (28, 0)]);
        exists.then_some(self.minor >= 28)
    }
}

fn trailer(program: &Path) -> anyhow::Result<Option<String>> {
    let mut file = File::open(program).context("own program")?;
    let length = file.metadata().context("own program")?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TRAILER as u64)))
        .context("own program")?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).context("own program")?;
    Ok(split(&end).1)
}

/// A program's bytes without the trailer, and the release the trailer names.
fn split(bytes: &[u8]) -> (&[u8], Option<String>) {
    let from = bytes.len().saturating_sub(TRAILER);
    let found = bytes[from..]
        .windows(MARK.len())
        .position(|window| window == MARK.as_bytes());
    match found {
        None => (bytes, None),
        Some(at) => {
            let name = &bytes[from + at + MARK.len()..];
            let name = String::from_utf8_lossy(name).trim().to_owned();
            (&bytes[..from + at], Some(name))
        }
    }
}

/// `standin-release <release> <file>`: writes a copy of this program that is another release.
///
/// # Errors
/// When the name is no release's, or the copy cannot be written.
pub(crate) fn write_copy(arguments: &[String]) -> anyhow::Result<()> {
    let [name, file] = arguments else {
        bail!("expected a release and a file to write");
    };
    let release = Release::parse(name)?;
    let own = std::fs::read("/proc/self/exe").context("own program")?;
    let mut copy = split(&own).0.to_vec();
    copy.extend_from_slice(format!("{MARK}{}\n", release.name).as_bytes());
    crate::fsutil::write(Path::new(file), 0o755, copy)
}

/// `linux/amd64` and the like: the word for the machine k3s would use.
pub(crate) fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(name: &str) -> Release {
        Release::parse(name).unwrap()
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(release(RECORDED).short_commit(), "00226be6");
        assert_eq!(release(RECORDED), *super::release());
        for bad in [
            "1.22.4+k3s1",
            "v1.22.4",
            "v1.22+k3s1",
            "v1.x.4+k3s1",
            "v1.22.4+k3s",
            "",
        ] {
            assert!(Release::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_came_when() {
        let old = release(RECORDED);
        assert!(!old.checks_certificates() && !old.rotates_tokens());
        assert_eq!(old.san_security(), None);
        assert_eq!(release("v1.24.17+k3s1").san_security(), Some(false));
        assert_eq!(release("v1.27.5+k3s1").san_security(), None);
        assert_eq!(release("v1.31.4+k3s1").san_security(), Some(true));
        assert!(release("v1.28.9+k3s2").checks_certificates());
        assert!(!release("v1.28.2+k3s1").rotates_tokens());
        assert!(release("v1.28.3+k3s2").rotates_tokens());
        assert!(!release("v1.31.4+k3s1").formats_certificates());
        assert!(release("v1.34.1+k3s1").formats_certificates());
    }

    #[test]
    fn a_trailer_is_found_and_replaced() {
        let program = [b"\x7fELF...".as_slice(), &[0; 100]].concat();
        assert_eq!(split(&program), (program.as_slice(), None));
        let copy = [program.as_slice(), MARK.as_bytes(), b"v1.23.17+k3s1\n"].concat();
        assert_eq!(
            split(&copy),
            (program.as_slice(), Some("v1.23.17+k3s1".to_owned()))
        );
    }
}
