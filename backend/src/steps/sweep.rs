//! Jobs that a crash between an outcome and its tidy-up left on a host (design §3.5).

use std::collections::BTreeMap;

use coxswain_engine::state::RunState;
use coxswain_engine::store::{Store, StoreError};
use coxswain_wire::{HostId, RunId, StepStatus};
use thiserror::Error;

use super::jobs::UNDO;
use crate::world::{JobId, JobStatus, World, WorldError};

/// Why a host could not be swept to the end.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The host.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The log of a run.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes what ended jobs left on a host, as far as nobody needs it any more, and says what that was. Jobs of
/// runs that the database does not have stay: they are another panel's.
///
/// # Errors
/// The host or the storage failed; what is left is found again the next time.
pub async fn sweep(
    world: &dyn World,
    store: &dyn Store,
    host: HostId,
) -> Result<Vec<JobId>, SweepError> {
    let mut runs: BTreeMap<RunId, Option<RunState>> = BTreeMap::new();
    let mut swept = Vec::new();
    for (job, status) in world.jobs(host).await? {
        match status {
            JobStatus::Exited { .. } | JobStatus::Died { .. } => {}
            JobStatus::Absent | JobStatus::Running => continue,
        }
        // Read after the job was seen ended: what the log says then cannot be older than the job's end.
        let state = match runs.entry(job.run) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(unknown) => {
                unknown.insert(load(store, job.run).await?)
            }
        };
        if state.as_ref().is_some_and(|s| is_settled(s, host, job)) {
            world.job_remove(host, job).await?;
            swept.push(job);
        }
    }
    Ok(swept)
}

async fn load(store: &dyn Store, run: RunId) -> Result<Option<RunState>, StoreError> {
    match store.load(run).await {
        Ok(stored) => Ok(Some(RunState::replay(stored.plan.into(), &stored.log).0)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(
            failed
            @ (StoreError::Broken(_) | StoreError::Conflict(_) | StoreError::LockHeld { .. }),
        ) => Err(failed),
    }
}

/// True if the outcome of a job is committed and no later attempt or undo will ask for the job.
fn is_settled(run: &RunState, host: HostId, job: JobId) -> bool {
    let planned = run.plan.step(job.step);
    let (Some(planned), Some(step)) = (planned, run.steps.get(job.step as usize)) else {
        return false;
    };
    // The name is of this run, but not the job: leave it to people.
    if planned.host != Some(host) {
        return false;
    }
    if run.ended.is_some() {
        return true;
    }
    // Nobody knows what such a run still needs.
    if run.parked.is_some() {
        return false;
    }
    match step.status {
        StepStatus::Succeeded | StepStatus::Failed => job.attempt <= step.attempt,
        StepStatus::Undone => job.attempt <= step.attempt || job.attempt == UNDO,
        // A new attempt begins when the one before is over and recorded.
        StepStatus::Pending
        | StepStatus::Running
        | StepStatus::Unsure
        | StepStatus::Undoing
        | StepStatus::UndoFailed => job.attempt < step.attempt,
        StepStatus::AlreadySatisfied => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coxswain_engine::event::{Actor, Event};
    use coxswain_engine::plan::{Plan, Stage, Step};
    use coxswain_engine::step::error;
    use coxswain_engine::store::{Append, Locks};
    use coxswain_engine::testing::MemoryStore;
    use coxswain_engine::testing::checks::starter;
    use coxswain_wire::{RunStatus, Timestamp};
    use serde_json::Value;

    use super::*;
    use crate::steps::save_snapshot::SAVE;
    use crate::world::JobSpec;
    use crate::world::fake::{FakeHost, FakeWorld};

    const HOST: HostId = HostId(1);
    const OTHER: HostId = HostId(2);

    fn plan() -> Plan {
        let step = Step {
            kind: "save_snapshot".to_owned(),
            title: "Save".to_owned(),
            host: Some(HOST),
            target: "node1".to_owned(),
            params: Value::Null,
            commands: Vec::new(),
            undo: None,
            compensation: None,
            restores: Vec::new(),
            irreversible: false,
            interruptible: true,
            ends_at_stop: false,
            deadline_s: 60,
            forecast: None,
        };
        Plan {
            workflow: "test".to_owned(),
            title: "Test".to_owned(),
            inputs: BTreeMap::new(),
            cluster: None,
            cluster_name: "prod".to_owned(),
            locks: Vec::new(),
            stages: vec![Stage {
                title: "All".to_owned(),
                gate: None,
                steps: vec![step],
            }],
            warnings: Vec::new(),
            outage: None,
            undo_outage: None,
        }
    }

    fn started(attempt: u32) -> Event {
        Event::StepStarted {
            step: 0,
            attempt,
            memo: Value::Null,
        }
    }

    fn succeeded() -> Event {
        Event::StepSucceeded {
            step: 0,
            observed: "saved".to_owned(),
            outputs: BTreeMap::new(),
        }
    }

    fn failed() -> Event {
        Event::StepFailed {
            step: 0,
            error: error("no"),
        }
    }

    fn unsure() -> Event {
        Event::StepUnsure {
            step: 0,
            error: error("no answer"),
        }
    }

    fn by() -> Actor {
        starter()
    }

    fn job(attempt: u32) -> JobId {
        JobId {
            run: RunId(1),
            step: 0,
            attempt,
        }
    }

    /// A run with this log and ended jobs of these attempts on the host: what is swept.
    async fn swept(log: Vec<Event>, attempts: &[u32]) -> Vec<u32> {
        let store = MemoryStore::default();
        let created = Event::Created {
            by: by(),
            plan_sha256: plan().sha256(),
        };
        let at = Timestamp(0);
        let run = store
            .create(&plan(), created, at, RunStatus::Running)
            .await
            .unwrap();
        let append = Append {
            run,
            next_seq: 1,
            at,
            events: log,
            status: RunStatus::Running,
            steps_done: 0,
            locks: Locks::Keep,
        };
        store.append(append).await.unwrap();
        let world = FakeWorld::new([FakeHost::new(1, "node1", "10.0.0.1")]);
        for attempt in attempts {
            world
                .job_start(
                    HOST,
                    job(*attempt),
                    &JobSpec::new(SAVE, Duration::from_secs(60)),
                )
                .await
                .unwrap();
        }
        assert!(
            sweep(&world, &store, HOST).await.unwrap().is_empty(),
            "they run"
        );
        tokio::time::sleep(Duration::from_secs(60)).await;
        let swept = sweep(&world, &store, HOST).await.unwrap();
        let left = world.jobs(HOST).await.unwrap();
        assert_eq!(swept.len() + left.len(), attempts.len());
        swept.into_iter().map(|job| job.attempt).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_its_outcome_goes() {
        assert_eq!(swept(vec![started(1), succeeded()], &[1]).await, [1]);
        assert_eq!(swept(vec![started(1), failed()], &[1]).await, [1]);
        let abandoned = Event::Abandoned {
            by: by(),
            comment: "enough".to_owned(),
            dead_hosts: Vec::new(),
        };
        assert_eq!(
            swept(vec![started(1), unsure(), abandoned], &[1]).await,
            [1]
        );
        let undone = Event::UndoSucceeded {
            step: 0,
            observed: "as before".to_owned(),
        };
        let unwind = Event::UnwindAsked {
            by: by(),
            plan_sha256: String::new(),
        };
        let log = vec![
            started(1),
            failed(),
            unwind,
            Event::UndoStarted { step: 0 },
            undone,
        ];
        assert_eq!(swept(log, &[1, UNDO]).await, [1, UNDO]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_run_still_needs_stays() {
        assert!(swept(vec![started(1)], &[1]).await.is_empty(), "under way");
        assert!(
            swept(vec![started(1), unsure()], &[1]).await.is_empty(),
            "unsure"
        );
        let retry = Event::RetryAsked { by: by() };
        let again = vec![started(1), unsure(), retry.clone()];
        assert!(
            swept(again, &[1]).await.is_empty(),
            "asked first by the retry"
        );
        let second = vec![started(1), failed(), retry, started(2)];
        assert_eq!(
            swept(second, &[1, 2]).await,
            [1],
            "the earlier attempt is over"
        );
        let unwind = Event::UnwindAsked {
            by: by(),
            plan_sha256: String::new(),
        };
        let undoing = vec![started(1), failed(), unwind, Event::UndoStarted { step: 0 }];
        assert!(
            swept(undoing, &[1, UNDO]).await.is_empty(),
            "its undo is under way"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_of_this_database_stays() {
        let world = FakeWorld::new([FakeHost::new(1, "node1", "10.0.0.1")]);
        let spec = JobSpec::new(SAVE, Duration::from_secs(60));
        world.job_start(HOST, job(1), &spec).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let store = MemoryStore::default();
        assert!(sweep(&world, &store, HOST).await.unwrap().is_empty());
        assert_eq!(world.jobs(HOST).await.unwrap().len(), 1);
    }

    #[test]
    fn a_name_on_another_host_is_not_the_runs_job() {
        let mut run = RunState::new(plan().into());
        run.ended = Some((coxswain_engine::state::Ended::Completed, Timestamp(0)));
        assert!(is_settled(&run, HOST, job(1)));
        assert!(!is_settled(&run, OTHER, job(1)));
        assert!(!is_settled(&run, HOST, JobId { step: 7, ..job(1) }));
    }
}
