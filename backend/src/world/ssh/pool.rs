//! One connection a host, kept warm, opened again after a failure, shared by at most a few commands at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coxswain_wire::HostId;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::super::{HostBook, HostConnection, Result, UnreachableKind, WorldError, WorldSettings};
use super::agent::Agent;
use super::config::RuntimeDir;
use super::link::Link;
use super::scan;

/// After a failed attempt, callers get its error without another one for this long, doubled with each failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Never longer than this: a host that comes back is noticed within it.
const BACKOFF_MAX: Duration = Duration::from_secs(4);

/// All connections.
pub(super) struct Pool {
    book: Arc<dyn HostBook>,
    dir: RuntimeDir,
    agent: Agent,
    settings: WorldSettings,
    slots: Mutex<HashMap<HostId, Arc<Slot>>>,
}

struct Slot {
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    failure: Option<Failure>,
}

struct Failure {
    generation: u64,
    count: u32,
    until: Instant,
    error: WorldError,
}

/// The right to run one command over a connection.
pub(super) struct Lease {
    pub(super) link: Arc<Link>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) async fn new(book: Arc<dyn HostBook>, settings: WorldSettings) -> Result<Self> {
        let dir = RuntimeDir::prepare(settings.runtime_dir.clone()).await?;
        let agent = Agent::new(dir.agents());
        Ok(Self {
            book,
            dir,
            agent,
            settings,
            slots: Mutex::default(),
        })
    }

    /// The host as the inventory has it now.
    pub(super) async fn host(&self, id: HostId) -> Result<HostConnection> {
        self.book.host(id).await?.ok_or(WorldError::UnknownHost(id))
    }

    /// Waits for a place among the host's sessions, at most `wait`, and for a connection that is alive.
    pub(super) async fn lease(&self, id: HostId, wait: Duration) -> Result<Lease> {
        let host = self.host(id).await?;
        let slot = self.slot(id).await;
        let permit = match timeout(wait, Arc::clone(&slot.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => {
                return Err(WorldError::Unreachable {
                    target: host.name,
                    kind: UnreachableKind::TimedOut,
                    detail: format!(
                        "all {} sessions were busy for {} s",
                        self.settings.sessions_per_host,
                        wait.as_secs()
                    ),
                });
            }
        };
        let mut state = slot.state.lock().await;
        if let Some(link) = state.link.take() {
            if link.generation == host.generation && link.alive().await {
                state.link = Some(Arc::clone(&link));
                return Ok(Lease {
                    link,
                    _permit: permit,
                });
            }
            discard(link);
        }
        let failures = match &state.failure {
            Some(failure) if failure.generation == host.generation => {
                if Instant::now() < failure.until {
                    return Err(failure.error.clone());
                }
                failure.count
            }
            Some(_) | None => 0,
        };
        match self.open(&host).await {
            Ok(link) => {
                let link = Arc::new(link);
                *state = State {
                    link: Some(Arc::clone(&link)),
                    failure: None,
                };
                Ok(Lease {
                    link,
                    _permit: permit,
                })
            }
            Err(error) => {
                let pause = BACKOFF_MAX.min(BACKOFF_FIRST * 2u32.pow(failures.min(8)));
                state.failure = Some(Failure {
                    generation: host.generation,
                    count: failures + 1,
                    until: Instant::now() + pause,
                    error: error.clone(),
                });
                Err(error)
            }
        }
    }

    /// A new connection beside the pooled one, for a test. Its success ends a back-off.
    pub(super) async fn open_fresh(&self, host: &HostConnection) -> Result<Link> {
        let link = self.open(host).await?;
        self.slot(host.id).await.state.lock().await.failure = None;
        Ok(link)
    }

    async fn open(&self, host: &HostConnection) -> Result<Link> {
        if host.pinned.is_empty() {
            return Err(WorldError::NotEnrolled {
                host: host.name.clone(),
            });
        }
        let agent = self.agent.hold_key_of(host).await?;
        let config = self
            .dir
            .write_host(host, &agent, self.settings.connect_timeout)
            .await?;
        match Link::open(host, &self.dir, &config, self.settings.connect_timeout).await {
            // A host with keys of other kinds only: ssh does not say which, and a person must see them.
            Err(WorldError::HostKeyChanged {
                host: name,
                pinned,
                shown,
            }) if shown.is_empty() => {
                let shown = match scan::host_keys(host).await {
                    Ok(keys) => keys
                        .into_iter()
                        .map(|scanned| scanned.key.fingerprint)
                        .collect(),
                    Err(error) => {
                        tracing::warn!(host = host.name, %error, "the changed host keys could not be scanned");
                        shown
                    }
                };
                Err(WorldError::HostKeyChanged {
                    host: name,
                    pinned,
                    shown,
                })
            }
            other => other,
        }
    }

    async fn slot(&self, id: HostId) -> Arc<Slot> {
        let mut slots = self.slots.lock().await;
        let slot = slots.entry(id).or_insert_with(|| {
            Arc::new(Slot {
                permits: Arc::new(Semaphore::new(self.settings.sessions_per_host)),
                state: Mutex::default(),
            })
        });
        Arc::clone(slot)
    }

    /// Closes everything.
    pub(super) async fn close(&self) {
        let slots: Vec<_> = self
            .slots
            .lock()
            .await
            .drain()
            .map(|(_, slot)| slot)
            .collect();
        for slot in slots {
            if let Some(link) = slot.state.lock().await.link.take() {
                discard(link);
            }
        }
        self.agent.stop().await;
    }
}

/// Dropping a session talks to its master synchronously: not on a thread that serves others.
pub(super) fn discard(link: impl Send + 'static) {
    drop(tokio::task::spawn_blocking(move || drop(link)));
}
