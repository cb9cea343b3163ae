//! Certificate files of a k3s that has no `certificate check` of its own, as a table.

use coxswain_k3s::certs::Certificate;
use coxswain_wire::Timestamp;

use crate::steps::sections::sections;

const DAY_S: i64 = 24 * 60 * 60;

/// The files that the script printed, one a line; none if it printed something else.
pub(super) fn table(printed: &str, now: Timestamp) -> Option<String> {
    let files = sections(printed);
    if files.is_empty() {
        return None;
    }
    let mut rows = vec![["FILE", "SUBJECT", "ENDS", "LEFT"].map(str::to_owned)];
    for (file, pem) in &files {
        rows.push(match Certificate::from_pem(pem.as_bytes()) {
            // The first certificate is the file's own, the others vouch for it.
            Ok(certificate) => row(file, &certificate, now),
            Err(error) => [
                (*file).to_owned(),
                error.to_string(),
                String::new(),
                String::new(),
            ],
        });
    }
    let mut widths = [0; 4];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let lines = rows.iter().map(|row| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    });
    Some(lines.collect())
}

fn row(file: &str, certificate: &Certificate, now: Timestamp) -> [String; 4] {
    let ends = certificate.not_after();
    let date =
        jiff::Timestamp::from_second(ends).map_or_else(|_| ends.to_string(), |at| at.to_string());
    let days = (ends - now.0.div_euclid(1000)).div_euclid(DAY_S);
    let left = if days < 0 {
        "EXPIRED".to_owned()
    } else {
        format!("{days} days")
    };
    [
        file.to_owned(),
        certificate.subject().to_owned(),
        date,
        left,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_each_files_end() {
        let made = rcgen::generate_simple_self_signed(["k3s".to_owned()]).unwrap();
        let printed = format!(
            "--- server/tls/a.crt\n{}--- server/tls/broken.crt\nnothing\n",
            made.cert.pem()
        );
        let table = table(&printed, Timestamp(0)).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("FILE"), "{table}");
        assert!(
            lines[1].starts_with("server/tls/a.crt") && lines[1].contains("4096-01-01T00:00:00Z"),
            "{table}"
        );
        assert!(lines[2].contains("no PEM certificate"), "{table}");
        let late = super::table(&printed, Timestamp(i64::MAX)).unwrap();
        assert!(late.contains("EXPIRED"), "{late}");
    }

    #[test]
    fn what_k3s_prints_itself_is_no_list_of_files() {
        assert_eq!(table("FILENAME  SUBJECT\n", Timestamp(0)), None);
        assert_eq!(table("", Timestamp(0)), None);
    }
}
