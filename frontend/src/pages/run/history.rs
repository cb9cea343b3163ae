//! Every event of the run in words.

use leptos::prelude::*;

use super::Run;
use crate::format;

#[component]
pub(super) fn History(run: Run) -> impl IntoView {
    let entries = Memo::new(move |_| run.view.with(|v| v.history.clone()));
    view! {
        <section class="panel panel-flush">
            <div class="panel-body">
                <ol class="history" data-testid="history">
                    <For each=move || entries.get() key=|e| e.seq let:entry>
                        <li class="history-entry" class:history-person=entry.actor.is_some()>
                            <span class="num quiet" title=format::utc(entry.at)>{format::clock(entry.at)}</span>
                            <span class="history-dot" aria-hidden="true"></span>
                            <span class="history-text">{entry.text.clone()}</span>
                            <span class="history-actor">{entry.actor.clone().unwrap_or_else(|| "engine".into())}</span>
                            <span class="num quiet">{entry.seq}</span>
                        </li>
                    </For>
                </ol>
            </div>
        </section>
    }.into_any()
}
