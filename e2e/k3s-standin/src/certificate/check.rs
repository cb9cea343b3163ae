//! `k3s certificate check`: looks at the files on disk, never at a port, and ends with 0 whatever it finds.

use anyhow::bail;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::services::{self, Chosen};
use crate::cli::flags::Flags;
use crate::kubectl::aligned;
use crate::logging::{self, rfc3339};
use crate::output;
use crate::pki::{Detail, details};
use crate::settings::Settings;
use crate::version::release;

/// Certificates that end within so many days are warned about.
const WARNING_DAYS: i64 = 120;
const DAY: i64 = 24 * 3600;

/// One certificate of one file.
struct Row {
    /// Name of the file without its folder.
    file: String,
    /// The file as shown in the oldest format.
    path: String,
    service: &'static str,
    detail: Detail,
}

/// Runs it.
///
/// # Errors
/// An unknown service or format.
pub(super) fn run(settings: &Settings, flags: &Flags) -> anyhow::Result<()> {
    let chosen = services::choose(&settings.paths, flags)?;
    match &chosen {
        Chosen::Named(_) => {}
        Chosen::Agent(_) => logging::info("Agent detected, checking agent certificates"),
        Chosen::Server(_) => {
            logging::info("Server detected, checking agent and server certificates");
        }
    }
    let rows = collect(settings, &chosen);
    let now = Timestamp::now().as_second();
    match flags.value("output").unwrap_or("text") {
        "text" => text(&rows, now),
        "table" => table(&rows, now),
        "json" => output::line(json!({"Certificates": values(&rows, now)})),
        "yaml" => output::text(yaml(&rows, now)),
        other => bail!("invalid output format {other}"),
    }
    Ok(())
}

/// Every certificate of every readable file; the others are left out without a word, as k3s does.
fn collect(settings: &Settings, chosen: &Chosen) -> Vec<Row> {
    let mut rows = Vec::new();
    for service in chosen.services() {
        for path in service.files(&settings.paths) {
            if path.extension().is_none_or(|kind| kind != "crt") {
                continue;
            }
            let found = std::fs::read_to_string(&path).ok();
            let found = found.and_then(|pem| details(&pem).ok()).unwrap_or_default();
            for detail in found {
                rows.push(Row {
                    file: path
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                    path: settings.paths.shown(&path),
                    service: service.name,
                    detail,
                });
            }
        }
    }
    rows
}

fn status(detail: &Detail, now: i64) -> &'static str {
    if now < detail.not_before {
        "NOT YET VALID"
    } else if now > detail.not_after {
        "EXPIRED"
    } else if detail.not_after - now < WARNING_DAYS * DAY {
        "WARNING"
    } else {
        "OK"
    }
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map(rfc3339)
        .unwrap_or_default()
}

fn text(rows: &[Row], now: i64) {
    let formats = release().formats_certificates();
    let mut service = "";
    for row in rows {
        let detail = &row.detail;
        let what = if formats {
            let usages = detail.usages.join(",");
            format!("{}: certificate {} ({usages})", row.file, detail.subject)
        } else {
            if service != row.service {
                service = row.service;
                logging::info(format!("Checking certificates for {service}"));
            }
            format!("{}: certificate CN={}", row.path, detail.subject)
        };
        let until = time(detail.not_after);
        match status(detail, now) {
            "NOT YET VALID" => logging::error(format!(
                "{what} is not valid before {}",
                time(detail.not_before)
            )),
            "EXPIRED" => logging::error(format!("{what} expired at {until}")),
            "WARNING" => logging::warn(format!(
                "{what} will expire within {WARNING_DAYS} days at {until}"
            )),
            _ => logging::info(format!("{what} is ok, expires at {until}")),
        }
    }
}

fn table(rows: &[Row], now: i64) {
    let words = |words: [&str; 6]| words.map(str::to_owned).to_vec();
    let heading = words([
        "FILENAME",
        "SUBJECT",
        "USAGES",
        "EXPIRES",
        "RESIDUAL TIME",
        "STATUS",
    ]);
    let line = words([
        "--------",
        "-------",
        "------",
        "-------",
        "-------------",
        "------",
    ]);
    let mut lines = vec![heading, line];
    for row in rows {
        let detail = &row.detail;
        let expires = Timestamp::from_second(detail.not_after)
            .map(|at| at.strftime("%b %d, %Y %H:%M UTC").to_string());
        lines.push(vec![
            row.file.clone(),
            detail.subject.clone(),
            detail.usages.join(","),
            expires.unwrap_or_default(),
            residual(detail.not_after - now),
            status(detail, now).to_owned(),
        ]);
    }
    output::text(format!("\n{}", aligned(&lines, 3)));
}

/// As Go's humanize prints a span.
fn residual(seconds: i64) -> String {
    let days = seconds.abs() / DAY;
    match days {
        0 => format!("{} hours", seconds.abs() / 3600),
        1..7 => format!("{days} days"),
        7..30 => format!("{} weeks", days / 7),
        30..365 => format!("{} months", days / 30),
        365..730 => "1 year".to_owned(),
        _ => format!("{} years", days / 365),
    }
}

fn values(rows: &[Row], now: i64) -> Vec<Value> {
    let value = |row: &Row| {
        let detail = &row.detail;
        json!({
            "Filename": row.file, "Subject": detail.subject, "Issuer": detail.issuer,
            "Usages": detail.usages, "ExpiryTime": time(detail.not_after),
            // A Go duration, in nanoseconds.
            "ResidualTime": (detail.not_after - now) * 1_000_000_000,
            "Status": status(detail, now),
        })
    };
    rows.iter().map(value).collect()
}

fn yaml(rows: &[Row], now: i64) -> String {
    let mut text = "certificates:\n".to_owned();
    for row in rows {
        let detail = &row.detail;
        let left = detail.not_after - now;
        let (hours, minutes, seconds) = (left / 3600, left / 60 % 60, left % 60);
        text.push_str(&format!(
            "- filename: {}\n  subject: {}\n  issuer: {}\n  usages:\n",
            row.file, detail.subject, detail.issuer
        ));
        for usage in &detail.usages {
            text.push_str(&format!("  - {usage}\n"));
        }
        text.push_str(&format!(
            "  expirytime: {}\n  residualtime: {hours}h{minutes}m{seconds}s\n  status: {}\n",
            time(detail.not_after),
            status(detail, now)
        ));
    }
    text
}
