//! Every event of the run in words.

use coxswain_wire::HistoryEntry;
use leptos::prelude::*;

use super::Run;
use crate::components::keyed::{Entry, keyed};
use crate::format;

#[component]
pub(super) fn History(run: Run) -> impl IntoView {
    let entries = Memo::new(move |_| run.view.with(|v| v.history.clone()));
    let lines = move || {
        entries
            .get()
            .into_iter()
            .map(|e| Entry::new(e.seq, move || line(e)))
            .collect()
    };
    view! {
        <section class="panel panel-flush">
            <div class="panel-body"><ol class="history" data-testid="history">{keyed(lines)}</ol></div>
        </section>
    }
    .into_any()
}

fn line(entry: HistoryEntry) -> AnyView {
    view! {
        <li class="history-entry" class:history-person=entry.actor.is_some()>
            <span class="num quiet" title=format::utc(entry.at)>{format::clock(entry.at)}</span>
            <span class="history-dot" aria-hidden="true"></span>
            <span class="history-text">
                {entry.actor.clone().map(|actor| view! { <strong>{actor}" "</strong> }.into_any())}
                {entry.text}
            </span>
            <span class="num quiet">{entry.seq + 1}</span>
        </li>
    }
    .into_any()
}
