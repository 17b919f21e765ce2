//! Durations and sizes as people write them: `10s`, `500ms`, `16MiB`. The same in the configuration file and on the command line.

use bursar_proto::Wait;
use std::{fmt, time::Duration};

/// What was expected where something else was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(pub String);

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected {}", self.0)
    }
}

impl std::error::Error for Expected {}

/// Shorthand for the error side of a parser.
pub(super) fn expected<T>(what: impl Into<String>) -> Result<T, Expected> {
    Err(Expected(what.into()))
}

const DURATION: &str = "a duration with its unit (ms, s, m, h or d), such as 500ms, 10s or 1.5h";
const SIZE: &str = "a size in bytes, or with a unit (kB, MB, GB, KiB, MiB or GiB), such as 65536 or 16MiB";

/// A duration with its unit: `250ms`, `10s`, `1.5m`, `2h`, `1d`. Only 0 needs no unit. At most 1000 days.
///
/// ```
/// use bursar_server::config::duration;
/// use std::time::Duration;
/// assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
/// assert!(duration("10").unwrap_err().to_string().contains("with its unit"));
/// ```
pub fn duration(text: &str) -> Result<Duration, Expected> {
    let (number, unit) = number_and_unit(text).ok_or_else(|| Expected(DURATION.into()))?;
    let unit_ms = match unit {
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3600e3,
        "d" => 86_400e3,
        "" if number == 0.0 => 0.0,
        _ => return expected(DURATION),
    };
    match number * unit_ms {
        ms if ms > 86_400e6 => expected("a duration of at most 1000d"),
        ms => Ok(Duration::from_secs_f64(ms / 1e3)),
    }
}

/// A size: `65536`, `64KiB`, `16MiB`, `1GB`.
///
/// ```
/// use bursar_server::config::size;
/// assert_eq!(size("16MiB"), Ok(16 << 20));
/// assert_eq!(size("1.5kB"), Ok(1500));
/// assert!(size("16 Mebi").is_err());
/// ```
pub fn size(text: &str) -> Result<u64, Expected> {
    let (number, unit) = number_and_unit(text).ok_or_else(|| Expected(SIZE.into()))?;
    let bytes = match unit {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1048576.0,
        "GiB" => 1073741824.0,
        _ => return expected(SIZE),
    };
    match number * bytes {
        bytes if bytes > 1e15 => expected("a size of at most 1000000GB"),
        bytes => Ok(bytes as u64),
    }
}

/// How long to wait: `forever`, `0` (not at all) or a [`duration`].
pub fn wait(text: &str) -> Result<Wait, Expected> {
    match text {
        "forever" => Ok(Wait::Forever),
        text => duration(text).map(Wait::from).map_err(|Expected(what)| Expected(format!("{what}; or 0, or forever"))),
    }
}

fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let ms = |text| duration(text).map(|duration| duration.as_millis()).ok();
        assert_eq!(ms("0"), Some(0));
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("0.25 s"), Some(250));
        assert_eq!(ms("2h"), Some(7_200_000));
        assert_eq!(ms("1d"), Some(86_400_000));
        for bad in ["", "10", "s", "-1s", "1 week", "1.2.3s", "2000d", "1e9s", "٣s"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("65536"), Ok(65536));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        for bad in ["", "MiB", "-1", "1TiB", "1mib", "9999999GB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn waits() {
        assert_eq!(wait("forever"), Ok(Wait::Forever));
        assert_eq!(wait("0"), Ok(Wait::Never));
        assert_eq!(wait("2s"), Ok(Wait::For(Duration::from_secs(2))));
        assert!(wait("always").unwrap_err().to_string().contains("forever"));
    }
}
