//! The report of a failover drill as tables: for the page of its run, and to print.

use coxswain_wire::{
    DrillPlane, DrillReport, DrillSpan, DrillVerdict, EarlierDrill, Table, Timestamp,
};

/// `12.3 s`.
pub(crate) fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1000, (ms % 1000).abs() / 100)
}

/// The tables.
pub(crate) fn tables(report: &DrillReport) -> Vec<Table> {
    let mut all = vec![points(report), availability(report), score(report)];
    if !report.gaps.is_empty() {
        let gaps = report.gaps.iter();
        all.push(table(
            "Not observed: the panel was not running",
            &["From", "Until"],
            gaps.map(|gap| vec![seconds(gap.from_ms), seconds(gap.until_ms)])
                .collect(),
        ));
    }
    if !report.earlier.is_empty() {
        all.push(earlier(report));
    }
    all
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    Table {
        title: title.to_owned(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        rows,
    }
}

fn points(report: &DrillReport) -> Table {
    let rows = report.points.iter().map(|point| {
        vec![
            point.name.clone(),
            point.observed.clone(),
            point.expected.clone(),
            verdict(point.verdict).to_owned(),
        ]
    });
    let columns = ["What", "Observed", "Expected", "Result"];
    table("What happened, after the fault", &columns, rows.collect())
}

/// In words.
pub(crate) fn verdict(verdict: DrillVerdict) -> &'static str {
    match verdict {
        DrillVerdict::AsExpected => "as expected",
        DrillVerdict::Worse => "worse",
        DrillVerdict::NotObserved => "not observed",
    }
}

/// In words.
pub(crate) fn plane(plane: DrillPlane) -> &'static str {
    match plane {
        DrillPlane::ControlPlane => "API",
        DrillPlane::Nodes => "nodes",
        DrillPlane::Applications => "applications",
    }
}

/// `from 1.0 s to 5.0 s; …`, at most a few of them.
pub(crate) fn spans(spans: &[DrillSpan]) -> String {
    const SHOWN: usize = 5;
    if spans.is_empty() {
        return "never".to_owned();
    }
    let shown = spans.iter().take(SHOWN);
    let mut words: Vec<String> = shown
        .map(|s| format!("{} to {}", seconds(s.from_ms), seconds(s.until_ms)))
        .collect();
    if spans.len() > SHOWN {
        words.push(format!("{} more times", spans.len() - SHOWN));
    }
    words.join("; ")
}

/// `99.42 %`.
pub(crate) fn share(basis_points: Option<i64>) -> String {
    basis_points.map_or_else(
        || "not observed".to_owned(),
        |points| format!("{}.{:02} %", points / 100, points % 100),
    )
}

fn availability(report: &DrillReport) -> Table {
    let rows = report.availability.iter().map(|a| {
        vec![
            plane(a.plane).to_owned(),
            a.name.clone(),
            share(a.basis_points()),
            seconds(a.away_ms),
            seconds(a.longest_ms),
            spans(&a.away),
        ]
    });
    let columns = [
        "Of",
        "What",
        "Available",
        "Away",
        "Longest",
        "When away, after the fault",
    ];
    table(
        "Availability until the observation ended",
        &columns,
        rows.collect(),
    )
}

fn score(report: &DrillReport) -> Table {
    let points = |points: Option<u32>| points.map_or("-".to_owned(), |p| p.to_string());
    let mut rows: Vec<Vec<String>> = report
        .score
        .parts
        .iter()
        .map(|part| {
            vec![
                part.name.clone(),
                points(part.points),
                part.of.to_string(),
                part.why.clone(),
            ]
        })
        .collect();
    rows.push(vec![
        "Score".to_owned(),
        points(report.score.points),
        "100".to_owned(),
        report.score.rule.clone(),
    ]);
    table("Score", &["Part", "Points", "Of", "Why"], rows)
}

/// `2026-11-28 05:30`.
fn minute(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        |_| "-".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

/// `97`, or `57, ended early`.
fn scored(drill: &EarlierDrill) -> String {
    let mut words = drill.score.map_or("-".to_owned(), |s| s.to_string());
    if drill.aborted {
        words.push_str(", ended early");
    }
    words
}

fn earlier(report: &DrillReport) -> Table {
    let names: Vec<&str> = report
        .points
        .iter()
        .filter(|p| p.after_ms.is_some())
        .map(|p| p.name.as_str())
        .collect();
    let time = |ms: Option<i64>| ms.map_or("-".to_owned(), seconds);
    let mut columns = vec!["Run", "When, UTC", "Server", "Score", "API away"];
    columns.extend(&names);
    let rows = report.earlier.iter().map(|drill| {
        let mut row = vec![
            drill.run.to_string(),
            minute(drill.started_at),
            drill.victim.clone(),
            scored(drill),
            time(drill.away_ms),
        ];
        row.extend(names.iter().map(|name| {
            let found = drill.points.iter().find(|(known, _)| known == name);
            time(found.and_then(|(_, ms)| *ms))
        }));
        row
    });
    table(
        "Earlier drills of this cluster with the same fault, newest first",
        &columns,
        rows.collect(),
    )
}
