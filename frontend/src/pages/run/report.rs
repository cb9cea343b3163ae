//! What steps found: what may be done next, drawings and tables; of the chosen step, or of all.

use coxswain_wire::{NextRun, Permission, Report, StepIndex, Table};
use leptos::prelude::*;

use super::Run;
use super::drawn;
use crate::paths;

/// The reports; nothing while there are none.
#[component]
pub(super) fn Reports(run: Run) -> impl IntoView {
    let reports = Memo::new(move |_| {
        let chosen = run.step.get();
        run.view.with(|view| {
            (0..)
                .zip(&view.steps)
                .filter(|(step, _)| chosen.is_none_or(|chosen| chosen == *step))
                .map(|(step, progress)| {
                    let report = Report {
                        tables: progress.report.clone(),
                        timelines: progress.timelines.clone(),
                        next: progress.next.clone(),
                    };
                    (step, report)
                })
                .filter(|(_, report)| *report != Report::default())
                .collect::<Vec<(StepIndex, Report)>>()
        })
    });
    let may = run.app.may(Permission::Operate);
    move || {
        let found = reports.get().into_iter();
        found
            .map(|(step, report)| parts(step, report, may))
            .collect_view()
    }
}

/// The parts of one report; what may be next for those who may start it.
pub(super) fn parts(step: StepIndex, report: Report, may: bool) -> AnyView {
    let timelines = report.timelines.into_iter();
    let drawn = timelines.map(move |timeline| drawn::draw(step, timeline));
    let tables = report.tables.into_iter();
    let tables = tables.map(move |table| draw(step, table));
    let next = (may && !report.next.is_empty()).then(|| offered(report.next));
    view! { {drawn.collect_view()}{tables.collect_view()}{next} }.into_any()
}

/// Links to forms that are filled in.
fn offered(next: Vec<NextRun>) -> AnyView {
    let entries = next.into_iter().map(|next| {
        let path = paths::filled_run(&next.workflow, &next.inputs);
        view! { <li><a class="link" href=path data-testid="report-next">{next.title}</a>" \u{2013} "{next.why}</li> }.into_any()
    });
    view! {
        <section class="panel report">
            <header class="panel-head"><h2>"What may be next"</h2></header>
            <ul class="next-runs">{entries.collect_view()}</ul>
        </section>
    }
    .into_any()
}

/// A sentence: it may take several lines.
fn is_words(cell: &str) -> bool {
    cell.len() > 40 && cell.contains(' ')
}

/// A value that reads better in columns: a path, a sum, an address.
fn is_code(cell: &str) -> bool {
    (cell.contains('/') && !cell.contains(' '))
        || (cell.len() >= 16 && cell.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn draw(step: StepIndex, table: Table) -> AnyView {
    let head = table
        .columns
        .into_iter()
        .map(|c| view! { <th scope="col">{c}</th> }.into_any())
        .collect_view();
    let row = |cells: Vec<String>| {
        let cells = cells
            .into_iter()
            .map(|cell| {
                let (code, words) = (is_code(&cell), is_words(&cell));
                view! { <td class:mono=code class:words=words>{cell}</td> }.into_any()
            })
            .collect_view();
        view! { <tr>{cells}</tr> }.into_any()
    };
    let (name, title) = (table.title.clone(), table.title);
    view! {
        <section class="panel panel-flush report" data-testid="report" data-step=step.to_string()>
            <header class="panel-head"><h2>{title}</h2></header>
            <div class="table-wrap report-rows" tabindex="0" role="region" aria-label=name>
                <table class="table">
                    <thead><tr>{head}</tr></thead>
                    <tbody>{table.rows.into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::is_code;

    #[test]
    fn paths_and_sums_stand_in_columns() {
        assert!(is_code("/var/lib/rancher/k3s/server/db/snapshots/x"));
        assert!(is_code("9f86d081884c7d659a2feaa0"));
        assert!(!is_code("3 of 3 members") && !is_code("deadbeef"));
    }
}
