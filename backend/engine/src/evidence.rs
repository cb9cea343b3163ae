//! Evidence: collecting it, hashing it, and telling what changed.

use async_trait::async_trait;
use coxswain_wire::{Evidence, Fact, FactKind, RunId, StageIndex, Timestamp, Verdict};
use sha2::{Digest, Sha256};

use crate::plan::{Plan, hex};
use crate::state::RunState;

/// Collects the facts of a gate. Reads only. A host that cannot be asked is a fact that fails.
#[async_trait]
pub trait Preflight: Send + Sync + 'static {
    /// Facts for the gate of `stage`. `state` tells what the run has already changed.
    async fn collect(
        &self,
        run: RunId,
        plan: &Plan,
        stage: StageIndex,
        state: &RunState,
    ) -> Vec<Fact>;
}

/// Evidence of these facts.
#[must_use]
pub fn evidence(at: Timestamp, facts: Vec<Fact>) -> Evidence {
    Evidence {
        at,
        sha256: hash(&facts),
        facts,
    }
}

/// SHA-256 over the equal facts and the truth of the bounds, sorted, without times.
fn hash(facts: &[Fact]) -> String {
    let mut lines: Vec<String> = facts.iter().filter_map(binding).collect();
    lines.sort_unstable();
    hex(&Sha256::digest(
        serde_json::to_vec(&lines).expect("a list of strings is plain data"),
    ))
}

/// What of a fact binds an approval.
fn binding(fact: &Fact) -> Option<String> {
    let value = match fact.kind {
        FactKind::Equal => fact
            .diff
            .iter()
            .fold(fact.value.clone(), |value, diff| format!("{value}\n{diff}")),
        FactKind::Bound => String::new(),
        FactKind::Shown => return None,
    };
    let verdict = match fact.verdict {
        Verdict::Pass => "pass",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    };
    Some(
        serde_json::to_string(&[fact.subject.as_str(), &fact.name, verdict, &value])
            .expect("plain strings"),
    )
}

/// In words, what binds in one list and not in the other. `about` says which subjects still matter.
#[must_use]
pub fn changes(before: &[Fact], now: &[Fact], about: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for fact in now.iter().filter(|f| about(&f.subject)) {
        let Some(bound) = binding(fact) else { continue };
        let same = |f: &&Fact| f.subject == fact.subject && f.name == fact.name;
        match before.iter().find(same) {
            None => found.push(format!(
                "{}, {}: now {}",
                fact.subject, fact.name, fact.value
            )),
            Some(old) if binding(old).as_ref() != Some(&bound) => {
                found.push(format!(
                    "{}, {}: was {}, now {}",
                    fact.subject, fact.name, old.value, fact.value
                ));
            }
            Some(_) => {}
        }
    }
    for old in before
        .iter()
        .filter(|f| about(&f.subject) && binding(f).is_some())
    {
        if !now
            .iter()
            .any(|f| f.subject == old.subject && f.name == old.name)
        {
            found.push(format!(
                "{}, {}: was {}, now not seen",
                old.subject, old.name, old.value
            ));
        }
    }
    found
}
