//! The audit trail, newest first, with the word on whether its chain holds.

use coxswain_wire::{AuditEntry, AuditPage};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::Failure;
use crate::components::badge::Badge;
use crate::components::button::Button;
use crate::components::callout::callout;
use crate::components::icon::{Glyph, Icon};
use crate::components::keyed::{Entry, keyed};
use crate::components::panel::PageHead;
use crate::components::when::when;
use crate::load::{Skeleton, problem};
use crate::state::app;
use crate::words::Tone;
use crate::{format, paths};

/// The audit page.
#[component]
pub(crate) fn Audit() -> impl IntoView {
    let app = app();
    app.at(vec![("Audit".into(), None)]);
    let entries = RwSignal::new(Vec::<AuditEntry>::new());
    let next = RwSignal::new(None::<i64>);
    let flaw = RwSignal::new(None::<Option<String>>);
    let failure = RwSignal::new(None::<Failure>);
    let busy = RwSignal::new(false);
    let filter = RwSignal::new(String::new());
    let fetch = move |before: Option<i64>| {
        busy.set(true);
        failure.set(None);
        let api = app.api();
        spawn_local(async move {
            let answer = api.audit(before).await;
            busy.try_set(false);
            match answer {
                Ok(AuditPage {
                    entries: page,
                    next_before,
                    flaw: found,
                }) => {
                    entries.try_update(|all| {
                        if before.is_none() {
                            all.clear();
                        }
                        all.extend(page);
                    });
                    next.try_set(next_before);
                    flaw.try_set(Some(found));
                }
                Err(problem) => {
                    failure.try_set(Some(problem));
                }
            }
        });
    };
    fetch(None);
    let shown = Memo::new(move |_| {
        let needle = filter.get().trim().to_lowercase();
        entries.with(|all| {
            all.iter()
                .filter(|e| fits(e, &needle))
                .cloned()
                .collect::<Vec<_>>()
        })
    });
    let chain = move || {
        flaw.get().map(|found| {
            let (look, state) = if found.is_none() {
                (("Trail intact", Tone::Good, Icon::Check), "intact")
            } else {
                (("Trail broken", Tone::Bad, Icon::Warn), "broken")
            };
            view! { <Badge look=Signal::stored(look) state=Signal::stored(state) testid="audit-intact"/> }.into_any()
        })
    };
    view! {
        <PageHead title="Audit" intro="Every entry holds the hash of the one before. What is shown was recomputed just now; the whole trail, its end and the logs of runs when the panel started, and whatever came since.">
            {chain}
        </PageHead>
        <div class="filters" role="search">
            <span class="search">
                <Glyph icon=Icon::Search/>
                <input class="input" type="search" placeholder="Person, action or subject"
                    aria-label="Filter the loaded entries" data-search="" bind:value=filter/>
                <kbd>"/"</kbd>
            </span>
            <Button icon=Icon::Retry busy=busy on_click=move |_| fetch(None)>"Refresh"</Button>
        </div>
        {move || flaw.get().flatten().map(|found| callout(
            Tone::Bad,
            Icon::Warn,
            format!("The audit trail was changed, or a part of it is lost. First found: {found}."),
        ))}
        {move || failure.get().map(|f| problem(f, move || fetch(None)))}
        {move || (flaw.get().is_none() && failure.with(Option::is_none)).then(|| view! { <Skeleton/> }.into_any())}
        {when(move || flaw.get().is_some(), move || view! { <Entries shown/> }.into_any())}
        {when(move || next.get().is_some(), move || view! {
            <div class="load-more">
                <Button busy=busy testid="audit-older" on_click=move |_| fetch(next.get_untracked())>"Load older"</Button>
            </div>
        }.into_any())}
    }.into_any()
}

#[component]
fn Entries(shown: Memo<Vec<AuditEntry>>) -> impl IntoView {
    let rows = move || {
        shown
            .get()
            .into_iter()
            .map(|e| Entry::new(e.seq.unsigned_abs(), move || row(&e)))
            .collect()
    };
    let heads = ["Time (UTC)", "Who", "Action", "Subject", "Detail", "Hash"]
        .map(|head| view! { <th scope="col">{head}</th> }.into_any());
    view! {
        <section class="panel panel-flush">
            <div class="panel-body">
                <div class="table-wrap" tabindex="0" role="group" aria-label="Table">
                    <table class="table table-audit">
                        <thead><tr><th scope="col" class="right">"#"</th>{heads.into_iter().collect_view()}</tr></thead>
                        <tbody>{keyed(rows)}</tbody>
                    </table>
                </div>
                {when(
                    move || shown.with(Vec::is_empty),
                    || view! { <p class="panel-empty">"No loaded entry fits."</p> }.into_any(),
                )}
            </div>
        </section>
    }.into_any()
}

fn fits(entry: &AuditEntry, needle: &str) -> bool {
    needle.is_empty()
        || [
            &entry.actor,
            &entry.action,
            &entry.subject,
            &entry.detail,
            &entry.address,
        ]
        .into_iter()
        .any(|part| part.to_lowercase().contains(needle))
}

fn row(entry: &AuditEntry) -> AnyView {
    view! {
        <tr data-testid="audit-row" data-action=entry.action.clone()>
            <td class="right num quiet">{entry.seq}</td>
            <td class="num nowrap" title=format::utc(entry.at)>{format!("{} {}", format::date(entry.at), format::clock(entry.at))}</td>
            <td>
                <span class="stack">
                    <span class="strong">{entry.actor.clone()}</span>
                    {(!entry.address.is_empty()).then(|| view! { <span class="quiet mono small">{entry.address.clone()}</span> }.into_any())}
                </span>
            </td>
            <td class="mono small nowrap">{entry.action.clone()}</td>
            <td>
                {match entry.run {
                    Some(id) => view! { <a href=paths::run(id) class="link">{entry.subject.clone()}</a> }.into_any(),
                    None => entry.subject.clone().into_any(),
                }}
            </td>
            <td class="wide">{entry.detail.clone()}</td>
            <td class="mono small quiet" title=entry.hash.clone()>{entry.hash.chars().take(10).collect::<String>()}</td>
        </tr>
    }
    .into_any()
}
