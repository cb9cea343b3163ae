//! What a run takes away only for its duration (a cordon, a stopped service, an injected fault), and when it
//! gives that back.
//!
//! A step with a compensation takes; a later step that restores it gives back as planned. Between the two the
//! run gives back, last taken first, whenever it leaves that path: a step failed, a stop, a rejected gate,
//! abandon; and at the end what no step restores. Unwinding gives back too, beyond an irreversible step as
//! well. A pause, an open gate and a parked run keep what is taken: nothing new starts there, and the screen
//! says what is missing. Giving back is undoing; recovery and observation are those of every undo.

use coxswain_wire::{HostId, StepIndex, StepStatus};

use crate::state::RunState;

impl RunState {
    /// Steps whose effect is taken away at this moment, last taken first.
    #[must_use]
    pub fn taken(&self) -> Vec<StepIndex> {
        self.plan
            .steps()
            .rev()
            .filter(|(_, _, step)| step.compensation.is_some())
            .map(|(index, _, _)| index)
            .filter(|index| self.steps[*index as usize].ours && !self.is_restored(*index))
            .collect()
    }

    /// The run has left its planned path, or is at its end: nothing new starts.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.abandon.is_some()
            || self.stop.is_some()
            || !self.failures.is_empty()
            || self.current_stage().is_none()
    }

    /// The step whose effect a leaving run gives back next.
    #[must_use]
    pub fn giving_back(&self) -> Option<StepIndex> {
        if !self.is_leaving() {
            return None;
        }
        match &self.abandon {
            Some(abandon) => self.owed(&abandon.dead_hosts).first().copied(),
            None => self.taken().first().copied(),
        }
    }

    /// What an abandoned run gives back first: what is taken, but nothing on a dead host, and nothing that
    /// could not be given back when it was tried.
    #[must_use]
    pub fn owed(&self, dead: &[HostId]) -> Vec<StepIndex> {
        let mut owed = self.taken();
        owed.retain(|index| {
            let host = self.plan.step(*index).and_then(|step| step.host);
            self.steps[*index as usize].status != StepStatus::UndoFailed
                && host.is_none_or(|host| !dead.contains(&host))
        });
        owed
    }

    /// Nothing is left to do for the step but to give it back: it is done, or nothing needs it any more.
    #[must_use]
    pub fn is_settled(&self, index: StepIndex) -> bool {
        let step = &self.steps[index as usize];
        match step.status {
            StepStatus::Undoing | StepStatus::Undone | StepStatus::UndoFailed => {
                !self.is_needed(index)
            }
            StepStatus::Pending
            | StepStatus::Running
            | StepStatus::AlreadySatisfied
            | StepStatus::Succeeded
            | StepStatus::Failed
            | StepStatus::Unsure => step.is_done(),
        }
    }

    /// A step that was given back must be done again: it failed itself, or a step in its span is not
    /// settled. Its span are the steps of later stages up to the one that restores it.
    pub(crate) fn is_needed(&self, taking: StepIndex) -> bool {
        if self.unwinding || self.failures.iter().any(|(step, _)| *step == taking) {
            return true;
        }
        let Some(own) = self.plan.stage_of(taking) else {
            return false;
        };
        let until = self.plan.restorer(taking);
        self.plan
            .steps()
            .filter(|(index, stage, _)| *stage > own && until.is_none_or(|until| *index < until))
            .any(|(index, _, _)| !self.is_settled(index))
    }

    fn is_restored(&self, taking: StepIndex) -> bool {
        self.plan
            .restorer(taking)
            .is_some_and(|by| self.steps[by as usize].is_done())
    }
}
