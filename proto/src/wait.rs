//! How long a call may stand in line.

use crate::Fault;
use std::time::Duration;

/// How long a blocking verb may wait for its turn. On the wire: `wait_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wait {
    /// Answer at once (`wait_ms = 0`).
    #[default]
    Never,
    /// Up to this long; below a millisecond is rounded up.
    For(Duration),
    /// Without end (`wait_ms = -1`).
    Forever,
}

impl Wait {
    /// The form on the wire.
    pub fn to_ms(self) -> i64 {
        match self {
            Wait::Never => 0,
            Wait::For(duration) => i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX),
            Wait::Forever => -1,
        }
    }

    /// From the form on the wire.
    pub fn from_ms(wait_ms: i64) -> Result<Wait, Fault> {
        match wait_ms {
            0 => Ok(Wait::Never),
            -1 => Ok(Wait::Forever),
            ms if ms > 0 => Ok(Wait::For(Duration::from_millis(ms as u64))),
            ms => {
                Err(Fault::bad_argument("wait_ms", format!("expected 0 (do not wait), milliseconds, or -1 (for ever), got {ms}")))
            }
        }
    }
}

impl From<Duration> for Wait {
    fn from(duration: Duration) -> Wait {
        if duration.is_zero() { Wait::Never } else { Wait::For(duration) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_survives_the_wire() {
        for wait in [Wait::Never, Wait::Forever, Wait::For(Duration::from_millis(250))] {
            assert_eq!(Wait::from_ms(wait.to_ms()), Ok(wait));
        }
        assert_eq!(Wait::For(Duration::from_nanos(1)).to_ms(), 1, "a short wait does not become none");
        assert_eq!(Wait::For(Duration::MAX).to_ms(), i64::MAX);
        assert!(Wait::from_ms(-2).is_err());
    }
}
