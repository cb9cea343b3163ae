//! The certificate of :6443 as a value: which names it has, when it must be re-issued, how two are merged.
//!
//! The rules are those of k3s's dynamic listener: names are only ever added, and only allowed ones; merging two
//! certificates with the same names keeps the one merged into. All of transcripts 03 and 05 to 07 follow from that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::pki::{self, Authority, Key, LeafSpec, Usage};

/// Annotation prefix that carries one name.
const NAME_PREFIX: &str = "listener.cattle.io/cn-";
/// Annotation with the SHA-1 of the certificate.
const FINGERPRINT: &str = "listener.cattle.io/fingerprint";

/// A certificate with its key and the annotations it is stored under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// Annotations of the Secret: the names, and the fingerprint.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Certificate.
    pub(crate) certificate: String,
    /// Private key.
    pub(crate) key: String,
    /// `resourceVersion` of the Secret this was read from, if any.
    pub(crate) version: Option<String>,
}

impl Serving {
    /// Names it carries.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.annotations
            .iter()
            .filter(|(key, _)| key.starts_with(NAME_PREFIX))
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// Fingerprint annotation.
    pub(crate) fn fingerprint(&self) -> &str {
        self.annotations.get(FINGERPRINT).map_or("", String::as_str)
    }

    /// As k3s logs it: `(count 16): map[…]`.
    pub(crate) fn logged(&self) -> (usize, String) {
        let pairs: Vec<String> = self
            .annotations
            .iter()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect();
        (self.names().len(), format!("map[{}]", pairs.join(" ")))
    }

    /// The Secret `kube-system/k3s-serving` with this certificate; `base` is what it replaces.
    pub(crate) fn to_secret(&self, base: Option<&Value>) -> Value {
        let mut secret = base.cloned().unwrap_or_else(|| {
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "k3s-serving", "namespace": "kube-system"},
            })
        });
        secret["type"] = json!("kubernetes.io/tls");
        secret["metadata"]["annotations"] = json!(self.annotations);
        secret["data"] = json!({
            "tls.crt": STANDARD.encode(&self.certificate),
            "tls.key": STANDARD.encode(&self.key),
        });
        secret
    }

    /// Reads a Secret; `None` if it holds no certificate.
    pub(crate) fn from_secret(secret: &Value) -> Option<Self> {
        let text = |key: &str| {
            let bytes = STANDARD.decode(secret["data"][key].as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        };
        let annotations = secret["metadata"]["annotations"].as_object()?;
        Some(Self {
            annotations: annotations
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            version: secret["metadata"]["resourceVersion"]
                .as_str()
                .map(str::to_owned),
        })
    }
}

/// Issues certificates for allowed names.
pub(crate) struct Factory {
    authority: Authority,
    /// Names that are always allowed.
    own: Vec<String>,
    /// Whether only allowed names are learned.
    strict: bool,
}

impl Factory {
    /// A factory for a server with these names of its own.
    pub(crate) fn new(authority: Authority, own: Vec<String>, strict: bool) -> Self {
        Self {
            authority,
            own,
            strict,
        }
    }

    /// This server's own names.
    pub(crate) fn own(&self) -> &[String] {
        &self.own
    }

    /// A certificate with the same names and a new key.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn renew(&self, old: &Serving) -> anyhow::Result<Serving> {
        self.issue(None, &old.names())
    }

    /// Adds `names` as far as they are allowed. `None` when nothing has to change.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn add(
        &self,
        base: Option<&Serving>,
        names: &BTreeSet<String>,
        cluster: &BTreeSet<String>,
    ) -> anyhow::Result<Option<Serving>> {
        let allowed: BTreeSet<String> = names
            .iter()
            .filter(|name| !self.strict || self.own.contains(name) || cluster.contains(*name))
            .cloned()
            .collect();
        let present = base.map(Serving::names).unwrap_or_default();
        if allowed.is_subset(&present) {
            return Ok(None);
        }
        self.issue(base, &present.union(&allowed).cloned().collect())
            .map(Some)
    }

    /// Merges `additional` into `target`: the result, and whether it differs from `additional`.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn merge(
        &self,
        target: &Serving,
        additional: &Serving,
        cluster: &BTreeSet<String>,
    ) -> anyhow::Result<(Serving, bool)> {
        match self.add(Some(target), &additional.names(), cluster)? {
            Some(merged) => Ok((merged, true)),
            None => Ok((
                target.clone(),
                target.fingerprint() != additional.fingerprint(),
            )),
        }
    }

    fn issue(&self, base: Option<&Serving>, names: &BTreeSet<String>) -> anyhow::Result<Serving> {
        // The key stays when names are added.
        let key = match base {
            Some(base) => Key::from_pem(&base.key)?,
            None => Key::generate()?,
        };
        let addresses: Vec<IpAddr> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let dns = names
            .iter()
            .filter(|name| name.parse::<IpAddr>().is_err())
            .cloned()
            .collect();
        let spec = LeafSpec {
            common_name: "k3s".to_owned(),
            organizations: vec!["k3s".to_owned()],
            dns,
            addresses,
            usage: Usage::Server,
        };
        let certificate = self
            .authority
            .issue(&spec, &key)
            .context("certificate of :6443")?;
        let mut annotations: BTreeMap<String, String> = names
            .iter()
            .map(|name| (annotation(name), name.clone()))
            .collect();
        annotations.insert(FINGERPRINT.to_owned(), pki::sha1_fingerprint(&certificate)?);
        let version = base.and_then(|base| base.version.clone());
        Ok(Serving {
            annotations,
            certificate,
            key: key.to_pem(),
            version,
        })
    }
}

/// `:` of an IPv6 address and `*` of a wildcard are not allowed in annotation names.
fn annotation(name: &str) -> String {
    format!(
        "{NAME_PREFIX}{}",
        name.replace(':', "_").replace('*', "_wildcard_")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factory(ca: &(String, String), own: &[&str]) -> Factory {
        let own = own.iter().map(|name| (*name).to_owned()).collect();
        Factory::new(Authority::load(&ca.0, &ca.1).unwrap(), own, true)
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn ca() -> (String, String) {
        let (ca, key) =
            Authority::create("k3s-server-ca", time::OffsetDateTime::now_utc()).unwrap();
        (ca.pem().to_owned(), key)
    }

    #[test]
    fn learns_allowed_names_only_and_keeps_the_key() {
        let ca = ca();
        let factory = factory(&ca, &["n1", "10.0.0.1", "new.lab"]);
        let first = factory
            .add(None, &set(&["n1", "10.0.0.1"]), &set(&[]))
            .unwrap()
            .unwrap();
        assert!(
            factory
                .add(Some(&first), &set(&["evil.lab"]), &set(&[]))
                .unwrap()
                .is_none()
        );
        let second = factory
            .add(Some(&first), &set(&["new.lab"]), &set(&[]))
            .unwrap()
            .unwrap();
        assert_eq!(second.names(), set(&["n1", "10.0.0.1", "new.lab"]));
        assert_eq!(second.key, first.key);
        assert_ne!(second.fingerprint(), first.fingerprint());
        assert_eq!(
            pki::certificate_names(&second.certificate).unwrap(),
            ["n1", "new.lab", "10.0.0.1"]
        );
    }

    #[test]
    fn another_server_takes_over_the_stored_certificate() {
        let ca = ca();
        let first = factory(&ca, &["n1", "new.lab"]);
        let other = factory(&ca, &["n2"]);
        let local = other.add(None, &set(&["n2"]), &set(&[])).unwrap().unwrap();
        let stored = first
            .add(None, &set(&["n1", "new.lab"]), &set(&["n2"]))
            .unwrap()
            .unwrap();
        let stored = first
            .add(Some(&stored), &set(&["n2"]), &set(&["n2"]))
            .unwrap()
            .unwrap();
        // What the other server does when the Secret changes (serving.rs): local first, then stored.
        let (kept, _) = other.merge(&local, &stored, &set(&["n1", "n2"])).unwrap();
        let (result, changed) = other.merge(&stored, &kept, &set(&["n1", "n2"])).unwrap();
        assert!(changed);
        assert_eq!(result.fingerprint(), stored.fingerprint());
    }

    #[test]
    fn learns_any_name_where_nothing_forbids_it_and_renews_the_key() {
        let ca = ca();
        let own = vec!["n1".to_owned()];
        let factory = Factory::new(Authority::load(&ca.0, &ca.1).unwrap(), own, false);
        let first = factory
            .add(None, &set(&["n1"]), &set(&[]))
            .unwrap()
            .unwrap();
        let second = factory
            .add(Some(&first), &set(&["evil.lab"]), &set(&[]))
            .unwrap()
            .unwrap();
        assert_eq!(second.names(), set(&["evil.lab", "n1"]));
        let renewed = factory.renew(&second).unwrap();
        assert_eq!(renewed.names(), second.names());
        assert_ne!(renewed.key, second.key);
    }

    #[test]
    fn survives_the_secret() {
        let ca = ca();
        let serving = factory(&ca, &["n1"])
            .add(None, &set(&["n1"]), &set(&[]))
            .unwrap()
            .unwrap();
        assert_eq!(
            Serving::from_secret(&serving.to_secret(None)).unwrap(),
            serving
        );
    }
}
