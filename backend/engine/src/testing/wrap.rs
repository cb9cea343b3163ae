//! Layers around step kinds: failing, counting, dying, and the mutilations that prove that the checks
//! can fail.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use coxswain_wire::StepIndex;
use serde_json::Value;
use tokio::sync::Notify;

use super::KillSwitch;
use crate::step::{Attached, Probe, StepContext, StepFailure, StepKind};

/// What a layer changes; everything else goes to the step kind inside.
#[async_trait]
pub trait Layer: Send + Sync + 'static {
    /// See [`StepKind::probe`].
    async fn probe(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Probe, StepFailure> {
        inner.probe(context).await
    }
    /// See [`StepKind::prepare`].
    async fn prepare(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Value, StepFailure> {
        inner.prepare(context).await
    }
    /// See [`StepKind::apply`].
    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        inner.apply(context).await
    }
    /// See [`StepKind::reattach`].
    async fn reattach(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Attached, StepFailure> {
        inner.reattach(context).await
    }
    /// See [`StepKind::interrupt`].
    async fn interrupt(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<(), StepFailure> {
        inner.interrupt(context).await
    }
    /// See [`StepKind::forget`].
    async fn forget(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        inner.forget(context).await
    }
    /// See [`StepKind::probe_undone`].
    async fn probe_undone(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Probe, StepFailure> {
        inner.probe_undone(context).await
    }
    /// See [`StepKind::undo`].
    async fn undo(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        inner.undo(context).await
    }
}

/// A step kind with a layer around it.
struct Layered<L> {
    inner: Arc<dyn StepKind>,
    layer: L,
}

/// Puts a layer around a step kind.
#[must_use]
pub fn layer(inner: Arc<dyn StepKind>, layer: impl Layer) -> Arc<dyn StepKind> {
    Arc::new(Layered { inner, layer })
}

#[async_trait]
impl<L: Layer> StepKind for Layered<L> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn check(&self, params: &Value) -> Result<(), String> {
        self.inner.check(params)
    }
    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        self.layer.probe(&*self.inner, context).await
    }
    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        self.layer.prepare(&*self.inner, context).await
    }
    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        self.layer.apply(&*self.inner, context).await
    }
    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        self.layer.reattach(&*self.inner, context).await
    }
    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        self.layer.interrupt(&*self.inner, context).await
    }
    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        self.layer.forget(&*self.inner, context).await
    }
    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        self.layer.probe_undone(&*self.inner, context).await
    }
    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        self.layer.undo(&*self.inner, context).await
    }
}

/// When a [`FailAt`] step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before it changed anything.
    Before,
    /// After it changed everything, though it says that it failed.
    After,
}

/// Lets one step fail for good.
pub struct FailAt {
    /// The step.
    pub step: StepIndex,
    /// When.
    pub when: When,
}

const INJECTED: &str = "injected failure";

#[async_trait]
impl Layer for FailAt {
    async fn probe(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Probe, StepFailure> {
        if context.step != self.step {
            return inner.probe(context).await;
        }
        if context.applied {
            return Err(StepFailure::fatal(INJECTED));
        }
        Ok(Probe::NotDone {
            why: INJECTED.to_owned(),
        })
    }

    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        if context.step != self.step || self.when == When::After {
            inner.apply(context).await?;
        }
        if context.step == self.step {
            Err(StepFailure::fatal(INJECTED))
        } else {
            Ok(())
        }
    }
}

/// Lets the first attempt of one step fail.
pub struct FailFirst {
    /// The step.
    pub step: StepIndex,
    /// When.
    pub when: When,
}

#[async_trait]
impl Layer for FailFirst {
    async fn probe(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Probe, StepFailure> {
        // What had its effect would be seen as done.
        if context.step == self.step && context.attempt == 1 && context.applied {
            return Err(StepFailure::fatal(INJECTED));
        }
        inner.probe(context).await
    }

    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        let fails = context.step == self.step && context.attempt == 1;
        if !fails || self.when == When::After {
            inner.apply(context).await?;
        }
        if fails {
            Err(StepFailure::fatal(INJECTED))
        } else {
            Ok(())
        }
    }
}

/// Leaves it open whether one step took effect.
pub struct UnsureAt {
    /// The step.
    pub step: StepIndex,
}

#[async_trait]
impl Layer for UnsureAt {
    async fn probe(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Probe, StepFailure> {
        if context.step == self.step && context.applied {
            return Ok(Probe::Unsure {
                why: "nobody knows".to_owned(),
            });
        }
        inner.probe(context).await
    }
}

/// Holds one step in flight, its effect done, until it is let go.
#[derive(Clone)]
pub struct HoldAt {
    /// The step.
    pub step: StepIndex,
    /// Told when the step is held.
    pub held: Arc<Notify>,
    /// Lets it go.
    pub release: Arc<Notify>,
}

#[async_trait]
impl Layer for HoldAt {
    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        inner.apply(context).await?;
        if context.step == self.step {
            self.held.notify_one();
            self.release.notified().await;
        }
        Ok(())
    }
}

/// How often each step was applied, over all panels of a test.
pub type Applied = Arc<Mutex<HashMap<StepIndex, usize>>>;

/// Counts the applications of each step.
pub struct Count {
    /// The counts.
    pub applied: Applied,
}

#[async_trait]
impl Layer for Count {
    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        *self
            .applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(context.step)
            .or_default() += 1;
        inner.apply(context).await
    }
}

/// Applies twice in every attempt: what is repeated after a crash must do no harm.
pub struct Twice;

#[async_trait]
impl Layer for Twice {
    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        inner.apply(context).await?;
        inner.apply(context).await
    }
}

/// Points of death around every effect.
pub struct KillAround {
    /// The switch of the panel that uses it.
    pub kill: Arc<KillSwitch>,
}

#[async_trait]
impl Layer for KillAround {
    async fn probe(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Probe, StepFailure> {
        self.kill.point().await;
        inner.probe(context).await
    }

    async fn prepare(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Value, StepFailure> {
        self.kill.point().await;
        let memo = inner.prepare(context).await;
        self.kill.point().await;
        memo
    }

    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        self.kill.point().await;
        let applied = inner.apply(context).await;
        self.kill.point().await;
        applied
    }

    async fn reattach(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Attached, StepFailure> {
        self.kill.point().await;
        let attached = inner.reattach(context).await;
        self.kill.point().await;
        attached
    }

    async fn interrupt(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<(), StepFailure> {
        self.kill.point().await;
        inner.interrupt(context).await
    }

    async fn forget(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        self.kill.point().await;
        inner.forget(context).await
    }

    async fn undo(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        self.kill.point().await;
        let undone = inner.undo(context).await;
        self.kill.point().await;
        undone
    }
}

/// An engine without its probe: nothing is found done unless it was applied by this very panel.
#[derive(Default)]
pub struct NoProbe {
    applied: Mutex<HashSet<(StepIndex, u32)>>,
}

#[async_trait]
impl Layer for NoProbe {
    async fn probe(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Probe, StepFailure> {
        let here = (context.step, context.attempt);
        // A new attempt is begun with the number of the last one.
        let own = context.applied
            && self
                .applied
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&here);
        if own {
            return inner.probe(context).await;
        }
        Ok(Probe::NotDone {
            why: "never asked".to_owned(),
        })
    }

    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        let here = (context.step, context.attempt);
        self.applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(here);
        inner.apply(context).await
    }
}

/// An engine that does not ask what is undone already: nothing is, unless this very panel undid it.
#[derive(Default)]
pub struct NoProbeUndone {
    undone: Mutex<HashSet<StepIndex>>,
}

#[async_trait]
impl Layer for NoProbeUndone {
    async fn probe_undone(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Probe, StepFailure> {
        if self
            .undone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&context.step)
        {
            return inner.probe_undone(context).await;
        }
        Ok(Probe::NotDone {
            why: "never asked".to_owned(),
        })
    }

    async fn undo(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        self.undone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(context.step);
        inner.undo(context).await
    }
}

/// An engine that undoes only what succeeded.
pub struct NoUndoOfFailed {
    /// The step that failed.
    pub failed: StepIndex,
}

#[async_trait]
impl Layer for NoUndoOfFailed {
    async fn probe_undone(
        &self,
        inner: &dyn StepKind,
        context: &StepContext,
    ) -> Result<Probe, StepFailure> {
        if context.step == self.failed {
            return Ok(Probe::Done {
                observed: "left as it is".to_owned(),
                outputs: BTreeMap::new(),
            });
        }
        inner.probe_undone(context).await
    }
}

/// An engine that undoes nothing, and gives nothing back.
pub struct NoUndo;

#[async_trait]
impl Layer for NoUndo {
    async fn probe_undone(&self, _: &dyn StepKind, _: &StepContext) -> Result<Probe, StepFailure> {
        Ok(Probe::Done {
            observed: "left as it is".to_owned(),
            outputs: BTreeMap::new(),
        })
    }
}
