//! A drill's report as one printable page. Every text in it goes through [`encode_text`]; numbers are ours.

use std::fmt::Write as _;

use coxswain_wire::{DrillFault, DrillReport, DrillVerdict, Table, Timestamp};
use data_encoding::BASE64;
use html_escape::encode_text;
use sha2::{Digest as _, Sha256};

use crate::drill_tables::{seconds, tables, verdict};

/// Allowed by its hash.
const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;color:#1b1f24;max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:1.75rem 0 .5rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #d0d7de}\
.score{font-size:2rem;font-weight:600}.worse{color:#a40e26;font-weight:600}.unseen,.quiet{color:#57606a}\
svg{width:100%;height:auto}@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}";

/// Width of the drawing, and of the names at its left.
const WIDTH: i64 = 900;
const NAMES: i64 = 230;
const ROW: i64 = 22;

/// What a browser may do with the page: apply its style, and nothing else.
pub(super) fn policy() -> String {
    let hash = BASE64.encode(&Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// The page.
pub(super) fn page(report: &DrillReport) -> String {
    let mut html = String::new();
    let title = format!("Failover drill of {}, run {}", report.cluster, report.run);
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style></head><body><h1>{0}</h1>",
        encode_text(&title)
    );
    head(&mut html, report);
    drawing(&mut html, report);
    for shown in tables(report) {
        table(&mut html, &shown);
    }
    stuck(&mut html, report);
    html.push_str("</body></html>\n");
    html
}

fn at(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| "-".to_owned(), |t| t.to_string())
}

fn head(html: &mut String, report: &DrillReport) {
    let fault = match report.fault {
        DrillFault::Stopped => "k3s was stopped",
        DrillFault::Killed => "k3s was killed",
        DrillFault::Cut => "the network was cut",
        DrillFault::PowerOff => "the power was switched off",
    };
    let score = report
        .score
        .points
        .map_or("not scored".to_owned(), |p| format!("{p} of 100"));
    let mut said = vec![
        format!("On {} {fault}, {}.", report.victim, at(report.started_at)),
        format!(
            "Observed for {} of {} s planned.",
            seconds((report.ended_at.0 - report.started_at.0).max(0)),
            report.planned_s
        ),
    ];
    if let Some(healed) = report.healed_at {
        said.push(format!("Seen taken away: {}.", at(healed)));
    }
    let _ = write!(
        html,
        "<p>{}</p><p class=\"score\">{score}</p>",
        encode_text(&said.join(" "))
    );
    if let Some(why) = &report.aborted {
        let _ = write!(
            html,
            "<p class=\"worse\">Ended early: {}.</p>",
            encode_text(why)
        );
    }
}

/// A bar for each way and each kind of application: when it was away, and when nobody looked.
fn drawing(html: &mut String, report: &DrillReport) {
    let whole = (report.ended_at.0 - report.started_at.0).max(1);
    let x = |ms: i64| NAMES + ms.clamp(0, whole) * (WIDTH - NAMES) / whole;
    let rows = i64::try_from(report.availability.len()).unwrap_or(0);
    let height = (rows + 1) * ROW + 8;
    let _ = write!(
        html,
        "<h2>When what was away</h2><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Availability over time\" font-size=\"12\">"
    );
    for (row, a) in (0..).zip(&report.availability) {
        let y = row * ROW;
        let _ = write!(
            html,
            "<text x=\"0\" y=\"{}\">{}</text><rect x=\"{NAMES}\" y=\"{}\" width=\"{}\" height=\"12\" fill=\"#2da44e\"/>",
            y + 14,
            encode_text(&a.name),
            y + 4,
            WIDTH - NAMES
        );
        let mut bar = |from: i64, until: i64, colour: &str| {
            let width = (x(until) - x(from)).max(1);
            let _ = write!(
                html,
                "<rect x=\"{}\" y=\"{}\" width=\"{width}\" height=\"12\" fill=\"{colour}\"/>",
                x(from),
                y + 4
            );
        };
        for away in &a.away {
            bar(away.from_ms, away.until_ms, "#cf222e");
        }
        for gap in a.unseen.iter().chain(&report.gaps) {
            bar(gap.from_ms, gap.until_ms, "#afb8c1");
        }
    }
    let y = rows * ROW + 14;
    for part in 0..=4 {
        let ms = whole * part / 4;
        let anchor = if part == 4 { "end" } else { "start" };
        let _ = write!(
            html,
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
            x(ms),
            seconds(ms)
        );
    }
    html.push_str("</svg><p class=\"quiet\">Green: available. Red: away. Grey: not observed.</p>");
}

fn table(html: &mut String, table: &Table) {
    let _ = write!(html, "<h2>{}</h2><table><tr>", encode_text(&table.title));
    for column in &table.columns {
        let _ = write!(html, "<th scope=\"col\">{}</th>", encode_text(column));
    }
    html.push_str("</tr>");
    for row in &table.rows {
        html.push_str("<tr>");
        for cell in row {
            let class = class(cell);
            let _ = write!(html, "<td{class}>{}</td>", encode_text(cell));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
}

/// Results stand out.
fn class(cell: &str) -> &'static str {
    if cell == verdict(DrillVerdict::Worse) {
        " class=\"worse\""
    } else if cell == verdict(DrillVerdict::NotObserved) {
        " class=\"unseen\""
    } else {
        ""
    }
}

fn stuck(html: &mut String, report: &DrillReport) {
    if report.stuck.is_empty() {
        return;
    }
    html.push_str("<h2>Pods stuck in Terminating when the observation ended</h2><ul>");
    for pod in &report.stuck {
        let _ = write!(html, "<li>{}</li>", encode_text(pod));
    }
    let hint = format!(
        "Should they stay so, the workflow \u{201c}Free stuck pods\u{201d} deletes them by force: choose {} and {}.",
        report.cluster, report.victim
    );
    let _ = write!(html, "</ul><p>{}</p>", encode_text(&hint));
}
