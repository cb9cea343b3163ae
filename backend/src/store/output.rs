//! Output of steps on its way from raw to stored: redacted, cut only where nothing is held back, each raw
//! byte once.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use coxswain_engine::store::{StepOutput, StoreError};
use coxswain_k3s::redact::Redactor;
use coxswain_wire::{RunId, StepIndex};
use tokio::sync::{Mutex, broadcast};

use super::output_writer::{Chunk, OutputWriter, Source, stored_end};
use super::{Db, DbError};
use crate::vault::Known;

/// Raw bytes that make at most one chunk, so that no event of a stream gets large.
pub const MAX_CHUNK: usize = 32 * 1024;

/// All outputs that are open now. One attempt has one, whoever asks.
pub(super) struct Outputs {
    db: Db,
    known: Arc<Known>,
    writer: OutputWriter,
    open: Mutex<HashMap<Source, Weak<SqlOutput>>>,
}

impl Outputs {
    pub(super) fn new(db: Db, known: Arc<Known>) -> Self {
        let writer = OutputWriter::start(db.clone());
        Self {
            db,
            known,
            writer,
            open: Mutex::new(HashMap::new()),
        }
    }

    pub(super) fn changed(&self) -> broadcast::Receiver<RunId> {
        self.writer.changed()
    }

    pub(super) async fn open(
        &self,
        run: RunId,
        step: StepIndex,
        attempt: u32,
    ) -> Result<Arc<SqlOutput>, DbError> {
        let source = Source { run, step, attempt };
        let mut open = self.open.lock().await;
        if let Some(output) = open.get(&source).and_then(Weak::upgrade) {
            return Ok(output);
        }
        open.retain(|_, output| output.strong_count() > 0);
        let end = stored_end(&self.db.readers, source).await?;
        let output = Arc::new(SqlOutput {
            source,
            db: self.db.clone(),
            known: self.known.clone(),
            writer: self.writer.clone(),
            live: Mutex::new(Some(Live::at(end, &self.known))),
        });
        open.insert(source, Arc::downgrade(&output));
        Ok(output)
    }
}

/// Takes one attempt's output.
pub(super) struct SqlOutput {
    source: Source,
    db: Db,
    known: Arc<Known>,
    writer: OutputWriter,
    /// None after a failed or abandoned write: begun anew from what is stored.
    live: Mutex<Option<Live>>,
}

struct Live {
    redactor: Redactor,
    /// Which known values the redactor knows.
    generation: u64,
    /// Raw offset at which the redactor began.
    base: u64,
    /// Raw bytes stored.
    stored: u64,
    /// Raw bytes taken.
    taken: u64,
}

impl Live {
    fn at(end: u64, known: &Known) -> Self {
        let generation = known.generation();
        Self {
            redactor: known.redactor(),
            generation,
            base: end,
            stored: end,
            taken: end,
        }
    }

    /// A secret that came to be known meanwhile is masked from the next cut on.
    fn refresh(&mut self, known: &Known) {
        if self.stored == self.taken && self.generation != known.generation() {
            *self = Self::at(self.stored, known);
        }
    }

    /// Gives the chunks that are ready.
    fn take(&mut self, raw: &[u8]) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut from = self.stored;
        for piece in raw.chunks(MAX_CHUNK) {
            let released = self.redactor.push(piece);
            self.taken += piece.len() as u64;
            let raw_to = self.base + released.raw_to;
            if raw_to > from {
                chunks.push(Chunk {
                    raw_from: from,
                    raw_to,
                    safe: released.safe,
                });
                from = raw_to;
            }
        }
        chunks
    }
}

impl SqlOutput {
    async fn live(&self, slot: &mut Option<Live>) -> Result<Live, DbError> {
        match slot.take() {
            Some(live) => Ok(live),
            None => Ok(Live::at(
                stored_end(&self.db.readers, self.source).await?,
                &self.known,
            )),
        }
    }

    /// On an error, or when the caller gives up meanwhile, the slot stays empty.
    async fn store(
        &self,
        slot: &mut Option<Live>,
        mut live: Live,
        chunks: Vec<Chunk>,
    ) -> Result<(), StoreError> {
        if let Some(last) = chunks.last() {
            live.stored = last.raw_to;
            self.writer.write(self.source, chunks).await?;
        }
        *slot = Some(live);
        Ok(())
    }
}

#[async_trait]
impl StepOutput for SqlOutput {
    async fn position(&self) -> u64 {
        let mut slot = self.live.lock().await;
        match self.live(&mut slot).await {
            Ok(live) => slot.insert(live).stored,
            Err(error) => {
                // Reading from the start again is safe: what is stored already is dropped.
                tracing::error!(%error, "the position of an output cannot be read");
                0
            }
        }
    }

    async fn append(&self, from: u64, raw: &[u8]) -> Result<(), StoreError> {
        let mut slot = self.live.lock().await;
        let mut live = self.live(&mut slot).await?;
        live.refresh(&self.known);
        if from > live.taken {
            let why = format!(
                "output goes on at byte {from}, but only {} bytes came",
                live.taken
            );
            *slot = Some(live);
            return Err(DbError::Corrupt(why).into());
        }
        let seen = usize::try_from(live.taken - from)
            .unwrap_or(usize::MAX)
            .min(raw.len());
        let chunks = live.take(&raw[seen..]);
        self.store(&mut slot, live, chunks).await
    }

    async fn finish(&self) -> Result<(), StoreError> {
        let mut slot = self.live.lock().await;
        let live = self.live(&mut slot).await?;
        let released = live.redactor.finish();
        let raw_to = live.base + released.raw_to;
        let chunk = Chunk {
            raw_from: live.stored,
            raw_to,
            safe: released.safe,
        };
        let chunks = if raw_to > live.stored {
            vec![chunk]
        } else {
            Vec::new()
        };
        self.store(&mut slot, Live::at(raw_to, &self.known), chunks)
            .await
    }
}
