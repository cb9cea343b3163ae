//! Keeps the certificate of :6443: in memory, in `dynamic-cert.json`, and in the Secret `kube-system/k3s-serving`
//! shared by all servers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use serde_json::Value;
use tokio::sync::Notify;

use super::dynamic::{Factory, Serving};
use crate::api::store::{Store, StoreError};
use crate::fsutil::write;
use crate::net::tls;
use crate::pki;
use crate::{api::resources, logging};

/// The Secret is looked at this often even if no change was announced.
const RESYNC: Duration = Duration::from_secs(5);
/// Name of the Secret.
const SECRET: &str = "k3s-serving";

/// The certificate in use and everything needed to re-issue it.
pub(crate) struct ServingCertificate {
    factory: Factory,
    file: PathBuf,
    client_ca: String,
    state: Mutex<State>,
    /// Names and addresses of the cluster's servers, allowed besides our own.
    cluster: RwLock<BTreeSet<String>>,
    /// Rings when the local certificate gained a name that the Secret may lack.
    changed: Notify,
}

struct State {
    current: Option<Serving>,
    config: Option<Arc<ServerConfig>>,
    /// The current certificate was issued here and is not stored yet.
    unsaved: bool,
    /// What becomes of a certificate renewed by `certificate rotate`.
    renewed: Renewed,
    /// The Secret as an object, which changes when it is deleted and made again.
    uid: Option<String>,
    /// Fingerprint in a Secret that was made again, which this server does not follow before it changes.
    ignored: Option<String>,
}

/// A certificate that a rotation renewed is shown for a while, then the Secret wins.
#[derive(Clone, Copy, Debug)]
enum Renewed {
    /// There is none.
    No,
    /// For so long once the server is up.
    ShownFor(Duration),
    /// Until then.
    Until(Instant),
}

/// What a server makes of the Secret.
enum Follows {
    /// Nothing for now.
    Not,
    /// Merges its own certificate with it.
    Still,
    /// Takes it over and forgets its own.
    Anew,
}

impl ServingCertificate {
    /// Starts from the file a former start left, if there is one; `renewed` is how long a certificate of the same
    /// names is shown instead, after `certificate rotate`.
    ///
    /// # Errors
    /// When signing or writing fails.
    pub(crate) fn load(
        factory: Factory,
        file: PathBuf,
        client_ca: String,
        renewed: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let mut current = std::fs::read_to_string(&file)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .as_ref()
            .and_then(Serving::from_secret);
        if let (Some(old), Some(_)) = (&current, renewed) {
            let renewed = factory.renew(old)?;
            write(&file, 0o644, renewed.to_secret(None).to_string())?;
            current = Some(renewed);
        }
        Ok(Self {
            factory,
            file,
            client_ca,
            state: Mutex::new(State {
                renewed: match (&current, renewed) {
                    (Some(_), Some(shown)) => Renewed::ShownFor(shown),
                    (Some(_) | None, _) => Renewed::No,
                },
                current,
                config: None,
                unsaved: false,
                uid: None,
                ignored: None,
            }),
            cluster: RwLock::default(),
            changed: Notify::new(),
        })
    }

    /// Replaces the names and addresses of the cluster's servers.
    pub(crate) fn allow(&self, names: BTreeSet<String>) {
        *self.cluster.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn allowed(&self) -> BTreeSet<String> {
        self.cluster
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A handshake or request wants `name`: re-issues if it is allowed and missing. The first certificate has all our
    /// own names, a later one only what was asked for (transcripts 05 to 07).
    ///
    /// # Errors
    /// When signing or writing fails.
    pub(crate) fn want(&self, name: &str) -> anyhow::Result<()> {
        let allowed = self.allowed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = BTreeSet::from([name.to_lowercase()]);
        if self
            .factory
            .add(state.current.as_ref(), &asked, &allowed)?
            .is_none()
        {
            return Ok(());
        }
        let mut names = asked;
        if state.current.is_none() {
            names.extend(self.factory.own().iter().cloned());
        }
        if let Some(next) = self.factory.add(state.current.as_ref(), &names, &allowed)? {
            self.adopt(&mut state, next)?;
            state.unsaved = true;
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The local address of a connection counts as asked for.
    ///
    /// # Errors
    /// As [`Self::want`].
    pub(crate) fn want_address(&self, address: IpAddr) -> anyhow::Result<()> {
        if address.is_ipv4() {
            self.want(&address.to_string())
        } else {
            Ok(())
        }
    }

    /// TLS settings with the current certificate.
    ///
    /// # Errors
    /// When there is none yet and it cannot be issued.
    pub(crate) fn tls(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &state.config {
            return Ok(config.clone());
        }
        let current = state
            .current
            .as_ref()
            .context("no certificate for :6443 yet")?;
        let config = server_config(&current.certificate, &current.key, &self.client_ca)?;
        state.config = Some(config.clone());
        Ok(config)
    }

    fn adopt(&self, state: &mut State, next: Serving) -> anyhow::Result<()> {
        if state.current.as_ref() == Some(&next) {
            return Ok(());
        }
        write(&self.file, 0o644, next.to_secret(None).to_string())?;
        if state
            .current
            .as_ref()
            .is_none_or(|old| old.fingerprint() != next.fingerprint())
        {
            let (count, names) = next.logged();
            let version = next.version.as_deref().unwrap_or("");
            logging::info(format!(
                "Active TLS secret {SECRET} (ver={version}) (count {count}): {names}"
            ));
            state.config = None;
        }
        state.current = Some(next);
        Ok(())
    }

    /// Follows the Secret until the task is dropped: pushes what we learn, takes over what others stored.
    pub(crate) async fn follow(&self, store: &Store) {
        let doorbell = store.doorbell(&[resources::secrets()], RESYNC);
        loop {
            if let Err(error) = self.synchronise(store).await {
                logging::warn(format!(
                    "Failed to synchronise TLS secret {SECRET}: {error:#}"
                ));
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = doorbell.rung() => {}
            }
        }
    }

    /// One round of k3s's storage rule: local merged with stored, stored merged with the result, result stored.
    async fn synchronise(&self, store: &Store) -> anyhow::Result<()> {
        let secrets = resources::secrets();
        let (local, unsaved, known) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match state.renewed {
                Renewed::No => {}
                Renewed::ShownFor(shown) => {
                    state.renewed = Renewed::Until(Instant::now() + shown);
                    return Ok(());
                }
                Renewed::Until(end) if Instant::now() < end => return Ok(()),
                Renewed::Until(_) => state.renewed = Renewed::No,
            }
            (state.current.clone(), state.unsaved, state.uid.is_some())
        };
        let stored = store.get(secrets, Some("kube-system"), SECRET).await?;
        let Some(object) = stored else {
            return match local {
                // Deleted while we ran: nothing changes before a restart (transcript 15).
                Some(_) if known && !unsaved => Ok(()),
                Some(local) => self.create(store, &local).await,
                None => Ok(()),
            };
        };
        let Some(remote) = Serving::from_secret(&object) else {
            return Ok(());
        };
        let fingerprint = local.as_ref().map(Serving::fingerprint);
        let merged = match self.follows(&object, remote.fingerprint(), fingerprint, unsaved) {
            Follows::Not => return Ok(()),
            Follows::Anew => None,
            Follows::Still => local.as_ref(),
        };
        let next = match merged {
            // Nobody has asked us yet, or ours is of no account: a first certificate has all our own names, here as in
            // `want`.
            None => {
                let own = self.factory.own().iter().cloned().collect();
                let added = self.factory.add(Some(&remote), &own, &self.allowed())?;
                added.unwrap_or_else(|| remote.clone())
            }
            Some(local) if local.version == remote.version => local.clone(),
            Some(local) => {
                let allowed = self.allowed();
                let (kept, differs) = self.factory.merge(local, &remote, &allowed)?;
                let candidate = if differs { kept } else { remote.clone() };
                self.factory.merge(&remote, &candidate, &allowed)?.0
            }
        };
        let next = if next.fingerprint() == remote.fingerprint() {
            Serving {
                version: remote.version,
                ..next
            }
        } else {
            self.update(store, &object, next).await?
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A handshake may have added a name meanwhile; the next round merges it.
        if state.current != local {
            return Ok(());
        }
        state.unsaved = false;
        self.adopt(&mut state, next)
    }

    /// Whether this server takes part in what the Secret says. One that was deleted and made again is left alone
    /// until a further server changes it (transcript 15: on the way old and new are served).
    fn follows(&self, object: &Value, remote: &str, local: Option<&str>, unsaved: bool) -> Follows {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
        let another = state.uid.is_some() && state.uid != uid;
        let waits = match &state.ignored {
            None => another && local != Some(remote) && !unsaved,
            Some(ignored) => ignored == remote && !unsaved,
        };
        let waited = state.ignored.is_some();
        state.ignored = waits.then(|| remote.to_owned());
        if waits {
            return Follows::Not;
        }
        state.uid = uid;
        if waited && !unsaved {
            Follows::Anew
        } else {
            Follows::Still
        }
    }

    async fn create(&self, store: &Store, local: &Serving) -> anyhow::Result<()> {
        let (count, names) = local.logged();
        logging::info(format!(
            "Creating new TLS secret for {SECRET} (count: {count}): {names}"
        ));
        match store
            .create(resources::secrets(), local.to_secret(None))
            .await
        {
            Ok(object) => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.current.as_ref() == Some(local) {
                    state.unsaved = false;
                    state.uid = object["metadata"]["uid"].as_str().map(str::to_owned);
                    state.current = Serving::from_secret(&object);
                    write(&self.file, 0o644, object.to_string())?;
                }
                Ok(())
            }
            // Another server was first; the next round merges with it.
            Err(StoreError::AlreadyExists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn update(
        &self,
        store: &Store,
        object: &Value,
        next: Serving,
    ) -> anyhow::Result<Serving> {
        let (count, names) = next.logged();
        logging::info(format!(
            "Updating TLS secret for {SECRET} (count: {count}): {names}"
        ));
        let saved = store
            .update(resources::secrets(), next.to_secret(Some(object)))
            .await?;
        let version = saved["metadata"]["resourceVersion"]
            .as_str()
            .map(str::to_owned);
        Ok(Serving { version, ..next })
    }
}

/// TLS settings of a server that asks for, but does not insist on, a client certificate of `client_ca`.
///
/// # Errors
/// When a PEM text is broken.
pub(crate) fn server_config(
    certificate: &str,
    key: &str,
    client_ca: &str,
) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = tls::provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(tls::roots(client_ca)?),
        provider.clone(),
    )
    .allow_unauthenticated()
    .build()
    .context("client CA")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_client_cert_verifier(verifier)
        .with_single_cert(pki::der_chain(certificate)?, tls::private_key(key)?)
        .context("server certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
