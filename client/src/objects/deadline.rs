//! Until when a verb waits that asks the broker more than once.

use crate::Wait;
use std::time::Instant;

/// The end of a wait.
pub(crate) enum Deadline {
    /// At this moment.
    At(Instant),
    /// There is none.
    Never,
}

impl Deadline {
    /// One that is too far away for the clock does not come.
    pub fn new(wait: Wait) -> Deadline {
        let now = Instant::now();
        match wait {
            Wait::Never => Deadline::At(now),
            Wait::For(duration) => now.checked_add(duration).map_or(Deadline::Never, Deadline::At),
            Wait::Forever => Deadline::Never,
        }
    }

    /// How long the next question may wait.
    pub fn left(&self) -> Wait {
        match self {
            Deadline::At(at) => at.saturating_duration_since(Instant::now()).into(),
            Deadline::Never => Wait::Forever,
        }
    }
}
