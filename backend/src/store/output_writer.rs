//! Writes chunks of output: whatever is waiting goes into one transaction.

use coxswain_wire::{RunId, StepIndex};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::run_rows::signed;
use super::{Db, DbError, Tx, output_lines};
use crate::time::now;

/// Jobs that may wait; more block their senders.
const QUEUE: usize = 64;
/// How many changes a slow listener may miss before it must look at everything.
const CHANGES: usize = 256;

/// A redacted piece of one attempt's output and the raw bytes it stands for.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) raw_from: u64,
    pub(super) raw_to: u64,
    pub(super) safe: Vec<u8>,
}

/// Whose output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) run: RunId,
    pub(super) step: StepIndex,
    pub(super) attempt: u32,
}

struct Job {
    source: Source,
    chunks: Vec<Chunk>,
    done: oneshot::Sender<Result<(), DbError>>,
}

/// The way to the one task that writes output.
#[derive(Clone)]
pub(super) struct OutputWriter {
    jobs: mpsc::Sender<Job>,
    changed: broadcast::Sender<RunId>,
}

impl OutputWriter {
    pub(super) fn start(db: Db) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (changed, _) = broadcast::channel(CHANGES);
        tokio::spawn(work(db, queue, changed.clone()));
        Self { jobs, changed }
    }

    pub(super) fn changed(&self) -> broadcast::Receiver<RunId> {
        self.changed.subscribe()
    }

    /// Returns after the commit. The chunks must follow what is stored without a gap.
    pub(super) async fn write(&self, source: Source, chunks: Vec<Chunk>) -> Result<(), DbError> {
        let (done, answer) = oneshot::channel();
        let gone = || DbError::Corrupt("the writer of output has ended".to_owned());
        self.jobs
            .send(Job {
                source,
                chunks,
                done,
            })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn work(db: Db, mut queue: mpsc::Receiver<Job>, changed: broadcast::Sender<RunId>) {
    let mut jobs = Vec::new();
    while queue.recv_many(&mut jobs, QUEUE).await > 0 {
        match write_all(&db, &jobs).await {
            Ok(answers) => {
                for (job, answer) in jobs.drain(..).zip(answers) {
                    // Errors here mean that nobody listens or waits any more.
                    if answer.is_ok() {
                        changed.send(job.source.run).ok();
                    }
                    job.done.send(answer).ok();
                }
            }
            Err(error) => {
                let text = error.to_string();
                tracing::error!(%error, source = ?std::error::Error::source(&error), "output was not stored");
                for job in jobs.drain(..) {
                    job.done.send(Err(DbError::Corrupt(text.clone()))).ok();
                }
            }
        }
    }
}

/// One answer a job; an error of the transaction is everybody's.
async fn write_all(db: &Db, jobs: &[Job]) -> Result<Vec<Result<(), DbError>>, DbError> {
    let mut tx = db.write().await?;
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        answers.push(write_one(&mut tx, job).await?);
    }
    tx.commit().await?;
    Ok(answers)
}

async fn write_one(tx: &mut Tx, job: &Job) -> Result<Result<(), DbError>, DbError> {
    let Source { run, step, attempt } = job.source;
    let mut end = stored_end(&mut **tx, job.source).await?;
    let mut id: i64 =
        sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM step_output WHERE run = ?")
            .bind(run.0)
            .fetch_one(&mut **tx)
            .await?;
    if job
        .chunks
        .first()
        .is_some_and(|first| first.raw_from != end)
    {
        let why = format!(
            "output of run {run}, step {step}, attempt {attempt} does not go on at byte {end}"
        );
        return Ok(Err(DbError::Corrupt(why)));
    }
    for chunk in &job.chunks {
        id += 1;
        sqlx::query(
            "INSERT INTO step_output (run, id, step, attempt, raw_from, raw_to, at, bytes)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(run.0)
        .bind(id)
        .bind(step)
        .bind(attempt)
        .bind(signed(end))
        .bind(signed(chunk.raw_to))
        .bind(now().0)
        .bind(&chunk.safe)
        .execute(&mut **tx)
        .await?;
        output_lines::note(tx, run, id.unsigned_abs()).await?;
        end = chunk.raw_to;
    }
    Ok(Ok(()))
}

/// Raw bytes of an attempt that are stored.
pub(super) async fn stored_end<'c, E>(executor: E, source: Source) -> Result<u64, DbError>
where
    E: sqlx::Executor<'c, Database = sqlx::Sqlite>,
{
    let end: Option<i64> = sqlx::query_scalar(
        "SELECT raw_to FROM step_output WHERE run = ? AND step = ? AND attempt = ? ORDER BY raw_from DESC LIMIT 1",
    )
    .bind(source.run.0)
    .bind(source.step)
    .bind(source.attempt)
    .fetch_optional(executor)
    .await?;
    u64::try_from(end.unwrap_or(0)).map_err(|e| DbError::corrupt("step_output.raw_to", e))
}
