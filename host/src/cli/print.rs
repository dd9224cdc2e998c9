//! How commands print: data to standard output, as a table for people or as JSON for programs.

use std::io::Write as _;

use serde::Serialize;

use crate::exit::Exit;
use crate::exit::Outcome;
use crate::limits;

/// `--json`, wherever data is printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct JsonFlag {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints text to standard output. A closed pipe (`ftagent status | head`) is a normal end.
pub(crate) fn text(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Fine),
    }
}

/// Prints one JSON object, indented.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    text(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Talk goes to standard error, so that it never mixes with data.
pub(crate) fn say(line: &str) {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Columns that line up; the first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A number with thin groups of thousands, for people.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A time as people type it: `90s`, `10m`, `1h`; as a value parser.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("a number and s, m or h, such as 10m".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number and s, m or h, such as 10m".to_owned())?;
    match number.checked_mul(factor) {
        Some(seconds @ 1..=limits::TIME_SECONDS) => Ok(seconds),
        _ => Err("between 1s and 168h".to_owned()),
    }
}

/// A moment as people and logs write it: UTC, to the second.
pub(crate) fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hours, minutes, seconds) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}Z")
}

/// Days since 1970 in the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// A length of time in its two largest units.
pub(crate) fn lasted(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Bytes in the largest decimal unit that leaves a whole number before the point.
pub(crate) fn bytes(bytes: u64) -> String {
    scaled(bytes, ["B", "kB", "MB", "GB", "TB", "PB"])
}

/// The same of bits a second.
pub(crate) fn bits_per_second(bits: u64) -> String {
    scaled(bits, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s"])
}

fn scaled(number: u64, units: [&str; 6]) -> String {
    let mut scale = 1;
    for unit in &units[..5] {
        if number < scale * 1_000 {
            return one_digit(number, scale, unit);
        }
        scale *= 1_000;
    }
    one_digit(number, scale, units[5])
}

fn one_digit(number: u64, scale: u64, unit: &str) -> String {
    match scale {
        1 => format!("{number} {unit}"),
        _ => format!("{}.{} {unit}", count(number / scale), number % scale / (scale / 10)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_amounts_are_written_for_people() {
        for (unix_ms, shown) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400_000, "2000-02-29 00:00:00Z"),
            (1_767_225_599_999, "2025-12-31 23:59:59Z"),
            (1_795_365_774_000, "2026-11-22 16:42:54Z"),
        ] {
            assert_eq!(utc(unix_ms), shown);
        }
        for (ms, shown) in [
            (250, "250 ms"),
            (1_250, "1.2 s"),
            (61_000, "1 m 1 s"),
            (3_660_000, "1 h 1 m"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(lasted(ms), shown);
        }
        for (number, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_500, "1.5 kB"),
            (12_345_678, "12.3 MB"),
            (u64::MAX, "18,446.7 PB"),
        ] {
            assert_eq!(bytes(number), shown);
        }
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), shown);
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows), "a    bb\nccc  d\n");
    }

    #[test]
    fn times_have_units_and_bounds() {
        for (text, expected) in [("90s", Some(90)), ("10m", Some(600)), ("1h", Some(3_600))] {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
        for text in ["", "10", "m", "0s", "-1s", "169h", "10 m", "99999999999999999999h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
