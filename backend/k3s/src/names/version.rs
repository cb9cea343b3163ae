//! k3s versions and release channels.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{NameError, checked_text};

/// A k3s release, `vX.Y.Z[-rcN]+k3sN`. Ordered as released: a candidate comes before its release.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct K3sVersion {
    major: u32,
    minor: u32,
    patch: u32,
    candidate: Option<u32>,
    revision: u32,
}

impl K3sVersion {
    /// The oldest major and minor version whose behaviour the procedures know.
    pub const OLDEST: (u32, u32) = (1, 21);

    /// Whether the procedures know this version's behaviour.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        (self.major(), self.minor()) >= Self::OLDEST
    }

    /// Kubernetes minor version: servers are upgraded one minor at a time.
    #[must_use]
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// Kubernetes major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Reads the first line of `k3s --version`: `k3s version v1.22.4+k3s1 (00226be6)`.
    ///
    /// # Errors
    /// When no k3s version stands there.
    pub fn from_version_output(output: &str) -> Result<Self, NameError> {
        output
            .split_whitespace()
            .find(|word| word.starts_with('v') && word.contains('.'))
            .unwrap_or_else(|| output.lines().next().unwrap_or_default())
            .parse()
    }

    fn key(&self) -> (u32, u32, u32, u32, u32) {
        (
            self.major,
            self.minor,
            self.patch,
            self.candidate.unwrap_or(u32::MAX),
            self.revision,
        )
    }
}

impl PartialOrd for K3sVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for K3sVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for K3sVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)?;
        if let Some(candidate) = self.candidate {
            write!(f, "-rc{candidate}")?;
        }
        write!(f, "+k3s{}", self.revision)
    }
}

impl FromStr for K3sVersion {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_version(text).ok_or_else(|| {
            NameError::new(
                "k3s version",
                text,
                "it must look like v1.31.4+k3s1 or v1.31.4-rc1+k3s1",
            )
        })
    }
}

fn parse_version(text: &str) -> Option<K3sVersion> {
    let (kubernetes, revision) = text.strip_prefix('v')?.split_once("+k3s")?;
    let (numbers, candidate) = match kubernetes.split_once("-rc") {
        Some((numbers, candidate)) => (numbers, Some(number(candidate)?)),
        None => (kubernetes, None),
    };
    let mut parts = numbers.split('.').map(number);
    let version = K3sVersion {
        major: parts.next()??,
        minor: parts.next()??,
        patch: parts.next()??,
        candidate,
        revision: number(revision)?,
    };
    parts.next().is_none().then_some(version)
}

/// A plain decimal number: no sign, no leading zero, so that printing gives back the same text.
fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty()
        && text.len() <= 9
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl TryFrom<String> for K3sVersion {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<K3sVersion> for String {
    fn from(version: K3sVersion) -> String {
        version.to_string()
    }
}

checked_text!(
    /// A release channel of the installer: `stable`, `latest`, `testing` or a minor version as `v1.31`.
    Channel, "k3s channel", check_channel
);

fn check_channel(text: &str) -> Result<String, String> {
    let minor = text
        .strip_prefix("v1.")
        .and_then(number)
        .is_some_and(|minor| minor < 1000);
    if minor || matches!(text, "stable" | "latest" | "testing") {
        Ok(text.to_owned())
    } else {
        Err("it must be stable, latest, testing or a minor version like v1.31".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_as_released() {
        let sorted = [
            "v1.22.4+k3s1",
            "v1.31.4-rc1+k3s1",
            "v1.31.4-rc2+k3s1",
            "v1.31.4+k3s1",
            "v1.31.4+k3s2",
            "v1.31.10+k3s1",
        ];
        let versions: Vec<K3sVersion> = sorted.iter().map(|t| t.parse().unwrap()).collect();
        assert!(versions.is_sorted());
        assert_eq!(versions[0].minor(), 22);
        for bad in [
            "1.22.4+k3s1",
            "v1.22.4",
            "v1.22+k3s1",
            "v1.22.4+k3s",
            "v01.2.3+k3s1",
            "v1.2.3.4+k3s1",
            "v1.2.3+k3s1 ",
        ] {
            assert!(bad.parse::<K3sVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_version_output() {
        let out = "k3s version v1.22.4+k3s1 (00226be6)\ngo version go1.19.8\n";
        assert_eq!(
            K3sVersion::from_version_output(out).unwrap().to_string(),
            "v1.22.4+k3s1"
        );
        assert!(K3sVersion::from_version_output("").is_err());
    }

    #[test]
    fn channels() {
        for ok in ["stable", "latest", "testing", "v1.31"] {
            assert!(ok.parse::<Channel>().is_ok());
        }
        for bad in ["", "beta", "v1", "v1.", "v1.31.4", "v2.1"] {
            assert!(bad.parse::<Channel>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(a in 0u32..9, b in 0u32..99, c in 0u32..99, rc in proptest::option::of(0u32..9), k in 0u32..9) {
            let version = K3sVersion { major: a, minor: b, patch: c, candidate: rc, revision: k };
            prop_assert_eq!(version.to_string().parse::<K3sVersion>().unwrap(), version);
        }

        #[test]
        fn never_panics(text in "\\PC{0,30}") {
            if let Ok(v) = text.parse::<K3sVersion>() {
                prop_assert_eq!(v.to_string(), text);
            }
        }
    }
}
