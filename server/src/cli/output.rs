//! What a command prints: one JSON document, JSON lines, or text and aligned tables for people.

use super::failure::Failure;
use serde_json::Value as Json;
use std::{
    future::pending,
    io::{self, Write},
    time::SystemTime,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Returns when nobody will ever read stdout again: its pipe has lost its reader. Never, where that cannot be seen, as of a file.
pub async fn unread() {
    // Its successor is `unsafe` for the sake of types that lie about their descriptor; stdout does not.
    #[allow(deprecated)]
    let stdout = AsyncFd::with_interest(io::stdout(), Interest::ERROR);
    match stdout {
        // What else there is to be said of it is said when something is written.
        Ok(stdout) => drop(stdout.ready(Interest::ERROR).await),
        Err(_) => pending().await,
    }
}

/// Where results go; errors and progress go to stderr.
pub struct Output {
    /// Results are JSON.
    pub json: bool,
    to: Box<dyn Write>,
}

impl Output {
    pub fn stdout(json: bool) -> Output {
        Output { json, to: Box::new(io::BufWriter::new(io::stdout().lock())) }
    }

    /// One JSON document on a line of its own.
    pub fn document(&mut self, document: &Json) -> Result<(), Failure> {
        writeln!(self.to, "{document}").map_err(Failure::output)
    }

    pub fn line(&mut self, line: impl std::fmt::Display) -> Result<(), Failure> {
        writeln!(self.to, "{line}").map_err(Failure::output)
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(Failure::output)
    }

    /// After this, what was printed has been handed to the reader.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(Failure::output)
    }

    /// The document with `--json`, else the line.
    pub fn result(&mut self, document: Json, line: impl std::fmt::Display) -> Result<(), Failure> {
        match self.json {
            true => self.document(&document),
            false => self.line(line),
        }
    }

    /// Rows under a header, columns aligned, the last one not padded.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        table(header, rows).iter().try_for_each(|line| self.line(line))
    }

    /// Names and values, one pair a line, values aligned.
    pub fn pairs(&mut self, pairs: &[(&str, String)]) -> Result<(), Failure> {
        let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        pairs.iter().try_for_each(|(name, value)| self.line(format_args!("{name:width$}  {value}")))
    }
}

pub fn table(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let header: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let rows: Vec<&Vec<String>> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}  "));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Milliseconds as people say them: `350ms`, `12s`, `3m 20s`, `5h 2m`, `4d 1h`.
pub fn span(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms}ms"),
        1..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3600 % 24),
    }
}

/// Milliseconds since 1970; 0 for what was before.
pub fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A point in time, in UTC: `2026-01-31 23:59:59Z`.
pub fn utc(time: SystemTime) -> String {
    let s = unix_ms(time) / 1000;
    let (year, month, day) = civil(s / 86_400);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", s / 3600 % 24, s / 60 % 60, s % 60)
}

/// The date of a day since 1970-01-01; Howard Hinnant's `civil_from_days` for days that are not negative.
fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day_of_year - (153 * month_from_march + 2) / 5 + 1)
}

/// Keeps a table readable: control characters are escaped, and what is long is cut.
pub fn cell(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let escaped = escaped(text);
    match escaped.chars().count() > CHARACTERS_MAX {
        true => escaped.chars().take(CHARACTERS_MAX - 3).chain("...".chars()).collect(),
        false => escaped,
    }
}

/// On one line, and nothing in it that a terminal would obey.
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["jobs".into(), "queue".into()], vec!["länger".into(), "kv".into()]];
        assert_eq!(table(&["NAME", "KIND"], &rows), ["NAME    KIND", "jobs    queue", "länger  kv"]);
    }

    #[test]
    fn times() {
        let utc = |unix_ms| utc(SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(unix_ms));
        assert_eq!(utc(0), "1970-01-01 00:00:00Z");
        assert_eq!(utc(951_782_399_999), "2000-02-28 23:59:59Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(utc(1_767_225_599_000), "2025-12-31 23:59:59Z");
        assert_eq!([span(20), span(59_999), span(200_000), span(90_000_000)], ["20ms", "59s", "3m 20s", "1d 1h"]);
    }

    #[test]
    fn cells_stay_on_their_line() {
        assert_eq!(cell("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(cell(&"x".repeat(100)).len(), 60);
    }
}
