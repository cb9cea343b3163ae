//! The release this program stands in for (transcript 04, `/version`).

/// Release as k3s names it.
pub(crate) const VERSION: &str = "v1.22.4+k3s1";
/// First eight digits of the commit, as in `k3s --version`.
pub(crate) const SHORT_COMMIT: &str = "00226be6";
/// Whole commit, as in `/version`.
pub(crate) const COMMIT: &str = "00226be68bd6b70f8fca252a1027fc0a35d070b8";
/// What `k3s --version` prints as its compiler.
pub(crate) const GO_VERSION: &str = "go1.16.10";
/// The compiler in `/version` of the recorded binary, which was a rebuild.
pub(crate) const API_GO_VERSION: &str = "go1.19.8";
/// Build date in `/version`.
pub(crate) const BUILD_DATE: &str = "2021-11-17T22:30:06Z";

/// `linux/amd64` and the like: the word for the machine k3s would use.
pub(crate) fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
