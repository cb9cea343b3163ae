//! The open gate: evidence, what changed, and the decision.

use coxswain_wire::{
    CommandKind, Evidence, Fact, GateView, Permission, RunCommand, RunView, StageIndex, Verdict,
};
use leptos::prelude::*;

use super::Run;
use super::head::Steer;
use crate::components::button::{Button, Look};
use crate::components::callout::callout;
use crate::components::field::{TextArea, TextField};
use crate::components::form::{Form, FormFailure};
use crate::components::icon::{Glyph, Icon};
use crate::components::time::Ago;
use crate::components::when::when;
use crate::paths;
use crate::state::app;
use crate::words::{self, Tone};

/// What is decided now.
#[derive(Clone, PartialEq)]
struct Open {
    stage: StageIndex,
    gate: GateView,
    evidence: Option<Evidence>,
    changes: Vec<String>,
}

fn opened(view: &RunView) -> Option<Open> {
    let stage = view.open_gate?;
    let at = usize::try_from(stage).ok()?;
    let gate = view.plan.stages.get(at)?.gate.clone()?;
    let progress = view.stages.get(at)?;
    Some(Open {
        stage,
        gate,
        evidence: progress.evidence.clone(),
        changes: progress.changes.clone(),
    })
}

/// The panel; there only while a gate is open.
#[component]
pub(super) fn Gate(run: Run) -> impl IntoView {
    let open = Memo::new(move |_| run.view.with(opened));
    // Remade for another gate only: new evidence must not take away a half-written comment.
    let stage = Memo::new(move |_| open.with(|o| o.as_ref().map(|o| o.stage)));
    move || stage.get().map(|_| panel(run, open))
}

fn panel(run: Run, open: Memo<Option<Open>>) -> AnyView {
    let part = move |f: fn(&Open) -> String| open.with(|o| o.as_ref().map(f));
    let changes = move || {
        let changes = open.with(|o| o.as_ref().map(|o| o.changes.clone()).unwrap_or_default());
        (!changes.is_empty()).then(|| {
            view! {
                <div class="callout tone-warn gate-changes">
                    <Glyph icon=Icon::Warn/>
                    <div>
                        <strong>"Changed since the evidence before"</strong>
                        <ul>{changes.into_iter().map(|c| view! { <li>{c}</li> }.into_any()).collect_view()}</ul>
                    </div>
                </div>
            }.into_any()
        })
    };
    let irreversible = move || {
        let steps = open.with(|o| {
            o.as_ref()
                .map(|o| o.gate.irreversible.clone())
                .unwrap_or_default()
        });
        (!steps.is_empty()).then(|| {
            view! {
                <div class="gate-irreversible">
                    <h3>"Cannot be undone"</h3>
                    <ul>{steps.into_iter().map(|s| view! { <li>{s}</li> }.into_any()).collect_view()}</ul>
                </div>
            }.into_any()
        })
    };
    let facts = move || {
        match open.with(|o| o.as_ref().and_then(|o| o.evidence.clone())) {
        Some(evidence) => evidence_view(evidence),
        None => view! { <p class="gate-collecting" role="status"><Glyph icon=Icon::Spinner/>"Evidence is being collected on the hosts."</p> }.into_any(),
    }
    };
    view! {
        <section class="gate" data-testid="gate" aria-labelledby="gate-title">
            <header class="gate-head">
                <span class="gate-icon"><Glyph icon=Icon::Approvals/></span>
                <div>
                    <h2 id="gate-title">{move || part(|o| o.gate.title.clone())}</h2>
                    <p class="quiet">
                        "Nothing behind this gate has started. "
                        {move || open.with(|o| o.as_ref().and_then(|o| o.evidence.as_ref().map(|e| e.at))).map(|at| view! {
                            "Evidence collected "<Ago at=Signal::stored(at)/>"."
                        }.into_any())}
                    </p>
                </div>
                <Steer run kind=CommandKind::Refresh/>
            </header>
            {changes}
            <div class="gate-columns">
                <div class="gate-facts">{facts}</div>
                <div class="gate-side">
                    {irreversible}
                    <Decide run open/>
                </div>
            </div>
        </section>
    }
    .into_any()
}

/// Facts by subject, those in the way first, then what would change; those that pass folded.
fn evidence_view(evidence: Evidence) -> AnyView {
    let mut subjects: Vec<(String, Vec<Fact>)> = Vec::new();
    for fact in evidence.facts {
        match subjects
            .iter_mut()
            .find(|(subject, _)| *subject == fact.subject)
        {
            Some((_, facts)) => facts.push(fact),
            None => subjects.push((fact.subject.clone(), vec![fact])),
        }
    }
    // Trouble first; otherwise as collected.
    [Verdict::Fail, Verdict::Warn, Verdict::Pass]
        .into_iter()
        .flat_map(|worst| {
            let of = |facts: &[Fact]| facts.iter().map(|f| f.verdict).max();
            subjects
                .iter()
                .filter(move |(_, facts)| of(facts) == Some(worst))
        })
        .map(|(subject, facts)| subject_view(subject.clone(), facts.clone()))
        .collect_view()
        .into_any()
}

fn subject_view(subject: String, facts: Vec<Fact>) -> AnyView {
    let of = |verdict| {
        facts
            .iter()
            .filter(move |f| f.verdict == verdict)
            .cloned()
            .collect::<Vec<_>>()
    };
    let (fails, warns, calm) = (of(Verdict::Fail), of(Verdict::Warn), of(Verdict::Pass));
    let passed = calm.len();
    // What would change is what an approval is about: never behind a click.
    let (shown, calm): (Vec<_>, Vec<_>) = calm.into_iter().partition(|f| f.diff.is_some());
    let folded = calm.len();
    let counts = [
        (fails.len(), "bad", Icon::Cross),
        (warns.len(), "warn", Icon::Warn),
        (passed, "good", Icon::Check),
    ]
    .into_iter()
    .filter(|(n, _, _)| *n > 0)
    .map(|(n, tone, icon)| {
        view! { <span class=format!("fact-count tone-{tone}")><Glyph icon/>{n}</span> }.into_any()
    })
    .collect_view();
    let words_for_passed = match (folded, shown.len()) {
        (1, 0) => "1 check passed".to_owned(),
        (n, 0) => format!("{n} checks passed"),
        (1, _) => "1 more check passed".to_owned(),
        (n, _) => format!("{n} more checks passed"),
    };
    view! {
        <section class="fact-group">
            <header class="fact-head"><h3>{subject}</h3><span class="fact-counts">{counts}</span></header>
            <ul class="fact-list">{fails.into_iter().chain(warns).chain(shown).map(fact_view).collect_view()}</ul>
            {(folded > 0).then(|| view! {
                <details class="more fact-passed">
                    <summary>{words_for_passed}</summary>
                    <ul class="fact-list">{calm.into_iter().map(fact_view).collect_view()}</ul>
                </details>
            }.into_any())}
        </section>
    }
    .into_any()
}

fn fact_view(fact: Fact) -> AnyView {
    let (word, tone, icon) = words::verdict(fact.verdict);
    let may = untrack(|| app().may(Permission::Operate));
    let next = fact.next.filter(|_| may).map(|next| {
        let path = paths::filled_run(&next.workflow, &next.inputs);
        view! { <span class="fact-advice"><a class="link" href=path data-testid="fact-next">{next.title}</a>": "{next.why}</span> }.into_any()
    });
    view! {
        <li class=format!("fact tone-{}", tone.class())>
            <span class="fact-icon" role="img" aria-label=word title=word><Glyph icon/></span>
            <span class="fact-name">{fact.name}</span>
            <span class="fact-value">{fact.value}</span>
            {fact.diff.map(diff_view)}
            {fact.advice.map(|advice| view! { <span class="fact-advice">{advice}</span> }.into_any())}
            {next}
        </li>
    }
    .into_any()
}

/// What would change, line by line.
fn diff_view(diff: String) -> AnyView {
    let lines = diff
        .lines()
        .map(|line| {
            let class = match line.as_bytes().first() {
                Some(b'+') => "diff-line tone-good toned",
                Some(b'-') => "diff-line tone-bad toned",
                Some(_) | None => "diff-line",
            };
            view! { <span class=class>{format!("{line}\n")}</span> }.into_any()
        })
        .collect_view();
    view! { <pre class="fact-diff mono">{lines}</pre> }.into_any()
}

fn in_the_way(facts: usize) -> String {
    let count = if facts == 1 {
        "One fact stands".to_owned()
    } else {
        format!("{facts} facts stand")
    };
    format!("{count} in the way. Mend it on the host, then collect again.")
}

/// Approve or reject, by those who may.
#[component]
fn Decide(run: Run, open: Memo<Option<Open>>) -> impl IntoView {
    let app = run.app;
    let form = Form::new();
    let comment = RwSignal::new(String::new());
    let typed = RwSignal::new(String::new());
    let sha =
        Memo::new(move |_| open.with(|o| o.as_ref()?.evidence.as_ref().map(|e| e.sha256.clone())));
    // The evidence a person has seen. Newer evidence is approved only after it was looked at.
    let seen = RwSignal::new(sha.get_untracked());
    Effect::new(move |_| {
        if seen.with_untracked(Option::is_none) {
            seen.set(sha.get());
        } else {
            sha.track();
        }
    });
    let changed = Memo::new(move |_| seen.get() != sha.get());
    let blocked = Memo::new(move |_| {
        open.with(|o| {
            let facts = o.as_ref()?.evidence.as_ref().map(|e| &e.facts)?;
            Some(facts.iter().filter(|f| f.verdict == Verdict::Fail).count())
        })
    });
    let own = run
        .view
        .with_untracked(|v| v.summary.created_by == untrack(|| app.user_name()));
    // What must be typed, and why.
    let confirm = Memo::new(move |_| {
        let wanted = open.with(|o| o.as_ref().and_then(|o| o.gate.confirm.clone()));
        wanted
            .or_else(|| own.then(|| run.view.with_untracked(|v| v.plan.cluster_name.clone())))
            .filter(|t| !t.is_empty())
    });
    let typed_right = Memo::new(move |_| {
        confirm
            .get()
            .is_none_or(|wanted| typed.get().trim() == wanted)
    });
    let approvable =
        Memo::new(move |_| blocked.get() == Some(0) && !changed.get() && typed_right.get());
    let give = move |command: RunCommand| {
        let api = app.api();
        form.submit(
            async move { api.command(run.id, &command).await },
            move |view: RunView| run.take(view),
        );
    };
    let approve = move || {
        if !approvable.get_untracked() {
            return;
        }
        let Some(evidence_sha256) = seen.get_untracked() else {
            return;
        };
        give(RunCommand::Approve {
            plan_sha256: run.view.with_untracked(|v| v.plan.sha256.clone()),
            evidence_sha256,
            comment: comment.get_untracked().trim().to_owned(),
            confirm: confirm
                .get_untracked()
                .map(|_| typed.get_untracked().trim().to_owned()),
        });
    };
    let reject = move |_| {
        let comment = comment.get_untracked().trim().to_owned();
        if comment.is_empty() {
            form.refuse("comment", "Say why; it is kept in the audit.");
            return;
        }
        give(RunCommand::Reject { comment });
    };
    let may =
        Memo::new(move |_| run.offers(CommandKind::Approve) || run.offers(CommandKind::Reject));
    let body = move || {
        if !may.get() {
            return view! { <p class="quiet">"An approver decides here."</p> }.into_any();
        }
        view! {
            <form class="form gate-form" novalidate data-testid="gate-form" on:submit=move |event| {
                event.prevent_default();
                approve();
            }>
                {move || blocked.get().filter(|n| *n > 0).map(|n| callout(Tone::Bad, Icon::Cross, in_the_way(n)))}
                {when(move || changed.get(), move || view! {
                    <div class="callout tone-warn">
                        <Glyph icon=Icon::Warn/>
                        <div>
                            <p>"The evidence changed while you were here. Read it again."</p>
                            <Button testid="gate-seen" on_click=move |_| seen.set(sha.get_untracked())>"I have read it"</Button>
                        </div>
                    </div>
                }.into_any())}
                <TextArea form name="comment" label="Comment" value=comment optional=true rows=2
                    help="Kept in the audit; needed to reject."/>
                {move || confirm.get().map(|wanted| view! {
                    <TextField form name="confirm" label=format!("Type {wanted} to approve") value=typed mono=true placeholder=wanted
                        help=if own { "You started this run, so it will be marked self-approved." } else { "This gate asks for it." }/>
                }.into_any())}
                <FormFailure form/>
                <div class="gate-actions">
                    <Button look=Look::Primary icon=Icon::Check submit=true testid="gate-approve" busy=form.busy
                        disabled=Signal::derive(move || !approvable.get())>"Approve"</Button>
                    <Button icon=Icon::Cross testid="gate-reject" disabled=form.busy on_click=reject>"Reject"</Button>
                </div>
            </form>
        }
        .into_any()
    };
    view! { <div class="gate-decide">{body}</div> }.into_any()
}
