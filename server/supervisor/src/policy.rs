//! What a process wants to be done with its workers: when they are started again, how long one waits before, how they are stopped.
//! Pure: time and randomness are given.

/// How a process's workers are kept. Times are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Who is started again.
    pub restart: Restart,
    /// How long one waits before.
    pub backoff: Backoff,
    /// How often.
    pub budget: Budget,
    /// How they are stopped.
    pub stop: Stop,
    /// How long a worker may take until it says that it is ready; none: it is when it runs.
    pub ready_ms: Option<u64>,
    /// Whether a restart starts the new worker while the old one still works, so that nobody is missing meanwhile.
    pub overlap: bool,
}

/// Whose end is followed by another start. Who was told to stop is not started again, whatever stands here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Nobody: the command runs once.
    Never,
    /// Who ended with another code than 0, or by a signal, or was not ready in time.
    #[default]
    OnFailure,
    /// Everybody; and when the supervisor starts again, even who had been stopped.
    Always,
    /// Everybody; but who had been stopped stays so when the supervisor starts again, as under the others.
    UnlessStopped,
}

/// How long one waits before a worker is started again: twice as long after each failure, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// After the first failure.
    pub first_ms: u64,
    /// The most.
    pub max_ms: u64,
    /// Up to which part of the time it may be shorter, by chance, so that many do not come back at once: 0 to 1. It is never longer.
    pub jitter: f64,
    /// Who has been ready for so long has its failures forgotten.
    pub reset_ms: u64,
}

/// How often a worker may be started again within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// So often; none: without end.
    pub restarts: Option<u32>,
    /// Within this time.
    pub within_ms: u64,
    /// What happens when that was not enough.
    pub spent: Spent,
}

/// What is given up when a worker's budget is spent, until somebody wishes it to start again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spent {
    /// That worker.
    #[default]
    Worker,
    /// The whole process: its other workers are stopped.
    Process,
}

/// How a worker is stopped: asked, then signalled, then killed, each when the time of the one before is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// It is asked by message first, and has so long to go by itself; none: it is not asked.
    pub ask_ms: Option<u64>,
    /// The signal that tells it, by number.
    pub signal: i32,
    /// How long it has from the signal on.
    pub timeout_ms: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            restart: Restart::default(),
            backoff: Backoff::default(),
            budget: Budget::default(),
            stop: Stop::default(),
            ready_ms: None,
            overlap: true,
        }
    }
}

impl Default for Backoff {
    /// The first is too short to be noticed, the last long enough that a command that cannot run costs nothing: two starts a minute.
    fn default() -> Backoff {
        Backoff { first_ms: 100, max_ms: 30_000, jitter: 0.2, reset_ms: 10_000 }
    }
}

impl Default for Budget {
    /// Without end: with backoff a crash loop costs little, and a service that comes back by itself needs nobody at night.
    fn default() -> Budget {
        Budget { restarts: None, within_ms: 600_000, spent: Spent::Worker }
    }
}

impl Default for Stop {
    /// SIGTERM, and ten seconds, as container runtimes give.
    fn default() -> Stop {
        Stop { ask_ms: None, signal: 15, timeout_ms: 10_000 }
    }
}

impl Restart {
    /// Whether the process is to be up when its supervisor starts, and had been stopped by somebody before.
    pub fn starts_again(self, was_stopped: bool) -> bool {
        !was_stopped || self == Restart::Always
    }

    pub(crate) fn after(self, failed: bool) -> bool {
        match self {
            Restart::Never => false,
            Restart::OnFailure => failed,
            Restart::Always | Restart::UnlessStopped => true,
        }
    }
}

impl Backoff {
    /// The time to wait after so many failures in a row, one at least. `chance` is even between 0 and 1.
    pub fn delay_ms(&self, failures: u32, chance: f64) -> u64 {
        let doubled =
            1u64.checked_shl(failures.saturating_sub(1)).map_or(u64::MAX, |factor| self.first_ms.saturating_mul(factor));
        let longest = doubled.min(self.max_ms);
        longest - (longest as f64 * self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit_and_chance_only_shortens_it() {
        let backoff = Backoff { first_ms: 100, max_ms: 1000, jitter: 0.5, reset_ms: 0 };
        let delays = |chance| [1, 2, 3, 4, 5, 64, 65, u32::MAX].map(|failures| backoff.delay_ms(failures, chance));
        assert_eq!(delays(0.0), [100, 200, 400, 800, 1000, 1000, 1000, 1000]);
        assert_eq!(delays(1.0), [50, 100, 200, 400, 500, 500, 500, 500]);
        assert_eq!(Backoff { jitter: 7.0, ..backoff }.delay_ms(1, 1.0), 0, "what cannot be is taken for the most");
    }

    #[test]
    fn who_was_stopped_stays_so_unless_it_is_always_to_run() {
        let starts = [Restart::Never, Restart::OnFailure, Restart::Always, Restart::UnlessStopped]
            .map(|restart| restart.starts_again(true));
        assert_eq!(starts, [false, false, true, false]);
        assert!(Restart::UnlessStopped.starts_again(false));
    }
}
