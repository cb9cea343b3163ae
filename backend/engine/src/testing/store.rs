//! Runs in memory, which survive the panel that writes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use coxswain_wire::{RunId, RunStatus, StepIndex, Timestamp};

use super::KillSwitch;
use crate::event::{Event, Recorded};
use crate::plan::Plan;
use crate::store::{Append, Locks, StepOutput, Store, StoreError, StoredRun};

/// What is stored.
#[derive(Default)]
struct Data {
    runs: BTreeMap<RunId, (StoredRun, RunStatus)>,
    locks: HashMap<String, RunId>,
    output: HashMap<(RunId, StepIndex, u32), Vec<u8>>,
}

/// A panel's way to what is stored; each panel has a kill switch of its own.
#[derive(Clone)]
pub struct MemoryStore {
    data: Arc<Mutex<Data>>,
    kill: Arc<KillSwitch>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            data: Arc::default(),
            kill: Arc::new(KillSwitch::at(usize::MAX)),
        }
    }
}

impl MemoryStore {
    /// The same data for another panel, which dies by this switch.
    #[must_use]
    pub fn for_panel(&self, kill: Arc<KillSwitch>) -> Self {
        Self {
            data: self.data.clone(),
            kill,
        }
    }

    /// The log of a run.
    #[must_use]
    pub fn log(&self, run: RunId) -> Vec<Recorded> {
        self.data()
            .runs
            .get(&run)
            .map(|(stored, _)| stored.log.clone())
            .unwrap_or_default()
    }

    /// How a run stands.
    #[must_use]
    pub fn status(&self, run: RunId) -> Option<RunStatus> {
        self.data().runs.get(&run).map(|(_, status)| *status)
    }

    /// Output of one attempt.
    #[must_use]
    pub fn printed(&self, run: RunId, step: StepIndex, attempt: u32) -> String {
        let data = self.data();
        String::from_utf8_lossy(
            data.output
                .get(&(run, step, attempt))
                .map_or(&[][..], Vec::as_slice),
        )
        .into_owned()
    }

    /// Resources that are locked.
    #[must_use]
    pub fn locked(&self) -> Vec<String> {
        let mut names: Vec<_> = self.data().locks.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, append: Append) -> Result<(), StoreError> {
        let mut data = self.data();
        let Append {
            run,
            next_seq,
            at,
            events,
            status,
            steps_done: _,
            locks,
        } = append;
        let (stored, _) = data.runs.get(&run).ok_or(StoreError::NotFound(run))?;
        if stored.log.len() as u64 != next_seq {
            return Err(StoreError::Conflict(run));
        }
        match locks {
            Locks::Keep => {}
            Locks::Release => data.locks.retain(|_, holder| *holder != run),
            Locks::Take(wanted) => {
                for resource in &wanted {
                    if let Some(holder) = data.locks.get(resource).filter(|h| **h != run) {
                        return Err(StoreError::LockHeld {
                            resource: resource.clone(),
                            holder: *holder,
                        });
                    }
                }
                data.locks
                    .extend(wanted.into_iter().map(|resource| (resource, run)));
            }
        }
        let (stored, stands) = data.runs.get_mut(&run).ok_or(StoreError::NotFound(run))?;
        for (seq, event) in (next_seq..).zip(events) {
            stored.log.push(Recorded {
                seq,
                at,
                event: through_json(&event),
            });
        }
        *stands = status;
        Ok(())
    }
}

/// As it would come back from a database.
fn through_json(event: &Event) -> Event {
    let json = serde_json::to_string(event).expect("an event is plain data");
    serde_json::from_str(&json).expect("what was written can be read")
}

#[async_trait]
impl Store for MemoryStore {
    async fn create(
        &self,
        plan: &Plan,
        created: Event,
        at: Timestamp,
        status: RunStatus,
    ) -> Result<RunId, StoreError> {
        let mut data = self.data();
        let run = RunId(i64::try_from(data.runs.len()).unwrap_or(i64::MAX) + 1);
        let log = vec![Recorded {
            seq: 0,
            at,
            event: created,
        }];
        data.runs.insert(
            run,
            (
                StoredRun {
                    plan: plan.clone(),
                    log,
                },
                status,
            ),
        );
        Ok(run)
    }

    async fn load(&self, run: RunId) -> Result<StoredRun, StoreError> {
        let data = self.data();
        data.runs
            .get(&run)
            .map(|(stored, _)| stored.clone())
            .ok_or(StoreError::NotFound(run))
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.kill.point().await;
        let written = self.write(append);
        self.kill.point().await;
        written
    }

    async fn unfinished(&self) -> Result<Vec<RunId>, StoreError> {
        Ok(self
            .data()
            .runs
            .iter()
            .filter(|(_, (_, status))| !status.is_final())
            .map(|(run, _)| *run)
            .collect())
    }

    async fn output(
        &self,
        run: RunId,
        step: StepIndex,
        attempt: u32,
    ) -> Result<Arc<dyn StepOutput>, StoreError> {
        Ok(Arc::new(MemoryOutput {
            store: self.clone(),
            key: (run, step, attempt),
        }))
    }

    async fn redact(&self, text: &str) -> Result<String, StoreError> {
        Ok(text.to_owned())
    }
}

struct MemoryOutput {
    store: MemoryStore,
    key: (RunId, StepIndex, u32),
}

#[async_trait]
impl StepOutput for MemoryOutput {
    async fn position(&self) -> u64 {
        self.store
            .data()
            .output
            .get(&self.key)
            .map_or(0, |bytes| bytes.len() as u64)
    }

    async fn append(&self, from: u64, raw: &[u8]) -> Result<(), StoreError> {
        self.store.kill.point().await;
        let mut data = self.store.data();
        let bytes = data.output.entry(self.key).or_default();
        let have = bytes.len() as u64;
        if from > have {
            return Err(StoreError::Broken(
                format!("gap in output: have {have}, got {from}").into(),
            ));
        }
        let skip = usize::try_from(have - from).unwrap_or(usize::MAX);
        bytes.extend_from_slice(raw.get(skip..).unwrap_or_default());
        Ok(())
    }

    async fn finish(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
