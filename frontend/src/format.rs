//! Times and amounts as people read them. Pure.

use coxswain_wire::Timestamp;

/// Days since 1970-01-01 to year, month, day (proleptic Gregorian; Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// `2026-11-23`, UTC.
pub(crate) fn date(at: Timestamp) -> String {
    let (year, month, day) = civil(at.0.div_euclid(86_400_000));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `05:31:12`, UTC.
pub(crate) fn clock(at: Timestamp) -> String {
    let s = at.0.div_euclid(1_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
}

/// `2026-11-23 05:31:12 UTC`.
pub(crate) fn utc(at: Timestamp) -> String {
    format!("{} {} UTC", date(at), clock(at))
}

/// `3 min ago`; a date after a month.
pub(crate) fn ago(at: Timestamp, now: i64) -> String {
    let s = (now - at.0) / 1_000;
    match s {
        ..5 => "just now".into(),
        5..60 => format!("{s} s ago"),
        60..3_600 => format!("{} min ago", s / 60),
        3_600..86_400 => format!("{} h ago", s / 3_600),
        86_400..2_592_000 => format!("{} d ago", s / 86_400),
        2_592_000.. => date(at),
    }
}

/// `in 364 d`, or `expired 2 d ago`.
pub(crate) fn until(at: Timestamp, now: i64) -> String {
    let s = (at.0 - now) / 1_000;
    match s {
        ..0 => format!("expired {}", ago(at, now)),
        0..3_600 => format!("in {} min", s / 60),
        3_600..172_800 => format!("in {} h", s / 3_600),
        172_800.. => format!("in {} d", s / 86_400),
    }
}

/// Milliseconds as `0.4 s`, `12 s`, `1 m 04 s`, `2 h 05 m`.
pub(crate) fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    let s = ms / 1_000;
    match s {
        ..10 if ms < 100 => "< 0.1 s".into(),
        ..10 => format!("{s}.{} s", ms % 1_000 / 100),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{} m {:02} s", s / 60, s % 60),
        3_600.. => format!("{} h {:02} m", s / 3_600, s / 60 % 60),
    }
}

/// Whole seconds, for something still growing: `7 s`, `1 m 04 s`.
pub(crate) fn ticking(ms: i64) -> String {
    match ms.max(0) / 1_000 {
        s @ 0..10 => format!("{s} s"),
        s => duration(s * 1_000),
    }
}

/// Bytes as `900 B`, `1.1 MB`, `2.0 GB`.
pub(crate) fn bytes(n: u64) -> String {
    let (unit, name) = match n {
        ..1_000 => return format!("{n} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        1_000_000_000.. => (1_000_000_000, "GB"),
    };
    let tenths = n / (unit / 10);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// `1 step`, `3 steps`.
pub(crate) fn count(n: usize, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        assert_eq!(utc(Timestamp(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(Timestamp(1_795_411_872_000)), "2026-11-23 05:31:12 UTC");
        assert_eq!(date(Timestamp(951_782_400_000)), "2000-02-29");
        assert_eq!(date(Timestamp(-1)), "1969-12-31");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(bytes(900), "900 B");
        assert_eq!(bytes(1_089_568), "1.0 MB");
        assert_eq!(bytes(8_590_000_000), "8.5 GB");
    }

    #[test]
    fn spans_read_well() {
        assert_eq!(ago(Timestamp(0), 4_000), "just now");
        assert_eq!(ago(Timestamp(0), 3_600_000), "1 h ago");
        assert_eq!(until(Timestamp(86_400_000 * 364), 0), "in 364 d");
        assert_eq!(until(Timestamp(0), 120_000), "expired 2 min ago");
        assert_eq!(duration(40), "< 0.1 s");
        assert_eq!(duration(480), "0.4 s");
        assert_eq!(duration(64_000), "1 m 04 s");
        assert_eq!(duration(7_500_000), "2 h 05 m");
        assert_eq!(ticking(7_900), "7 s");
        assert_eq!(count(1, "step"), "1 step");
    }
}
