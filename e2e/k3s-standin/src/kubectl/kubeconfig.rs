//! Reading a kubeconfig: the current context's server, CA and identity.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Where to go and as whom.
#[derive(Clone)]
pub(super) struct Target {
    /// `https://host:port`.
    pub(super) server: String,
    /// CA of the server.
    pub(super) ca: String,
    /// Certificate and key.
    pub(super) identity: Option<(String, String)>,
}

/// Reads a kubeconfig.
///
/// # Errors
/// When the file or one it names cannot be read or does not parse.
pub(super) fn read(file: &Path) -> anyhow::Result<Target> {
    let text = fs::read_to_string(file).with_context(|| {
        format!(
            "error loading config file \"{0}\": open {0}",
            file.display()
        )
    })?;
    let config: Value = serde_yaml_ng::from_str(&text)
        .with_context(|| format!("error loading config file \"{}\"", file.display()))?;
    let named = |list: &str, inner: &str, name: &Value| -> anyhow::Result<Value> {
        let entries = config[list].as_array().into_iter().flatten();
        entries
            .filter(|entry| entry["name"] == *name)
            .map(|entry| entry[inner].clone())
            .next()
            .with_context(|| format!("no {inner} {name} in the kubeconfig"))
    };
    let context = named("contexts", "context", &config["current-context"])?;
    let cluster = named("clusters", "cluster", &context["cluster"])?;
    let user = named("users", "user", &context["user"])?;
    let server = cluster["server"]
        .as_str()
        .context("no server in the kubeconfig")?
        .to_owned();
    let identity = match (
        material(&user, "client-certificate")?,
        material(&user, "client-key")?,
    ) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => bail!("certificate without key, or key without certificate, in the kubeconfig"),
    };
    let ca = material(&cluster, "certificate-authority")?.context("no CA in the kubeconfig")?;
    Ok(Target {
        server,
        ca,
        identity,
    })
}

/// Embedded data or the file named.
fn material(object: &Value, key: &str) -> anyhow::Result<Option<String>> {
    if let Some(data) = object[format!("{key}-data")].as_str() {
        let bytes = STANDARD
            .decode(data)
            .with_context(|| format!("{key}-data"))?;
        return Ok(Some(
            String::from_utf8(bytes).with_context(|| format!("{key}-data"))?,
        ));
    }
    match object[key].as_str() {
        None => Ok(None),
        Some(path) => Ok(Some(
            fs::read_to_string(path).with_context(|| path.to_owned())?,
        )),
    }
}
