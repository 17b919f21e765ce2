//! Specs as Rust programs write them. Nothing is judged here: that is [`Spec::check`].

use super::{Backoff, Budget, Check, Condition, Dependency, Hooks, LogFile, Probe, Restart, Spec, Spent, Stop, Watch, Workers};
use std::{ops::RangeInclusive, time::Duration};

/// How often a worker is to say that it lives, where that is asked of itself and not of others: a pause of some seconds in a busy program
/// is no death.
const NOTIFY_INTERVAL_MS: u64 = 10_000;

/// Each takes the spec and gives it back with that changed; what is not said is as in [`Spec::default`].
///
/// ```
/// use bursar::processes::{Check, Dependency, LogFile, Probe, Restart, Spec, Workers};
/// use std::time::Duration;
///
/// let web = Spec::new("web", ["python3", "web.py"])
///     .env("PORT", "8000")
///     .restart(Restart::OnFailure)
///     .readiness(Check::new(Probe::http("http://127.0.0.1:8000/health")).every(Duration::from_secs(1)))
///     .after([Dependency::ready("db"), Dependency::object("jobs")])
///     .log(LogFile::new("web.log"));
/// assert_eq!(web.check(), Ok(()));
///
/// let resize = Spec::new("resize", ["./resize"]).workers(Workers::lag(1..=8, "jobs", Duration::from_secs(5)));
/// assert_eq!(resize.check(), Ok(()));
/// ```
impl Spec {
    /// A command and its arguments, kept running in one worker.
    pub fn new<W: Into<String>>(name: impl Into<String>, command: impl IntoIterator<Item = W>) -> Spec {
        Spec { name: name.into(), command: words(command), ..Spec::default() }
    }

    /// One more variable of its environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Spec {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// One more file of lines `NAME=value`.
    pub fn env_file(mut self, path: impl Into<String>) -> Spec {
        self.env_files.push(path.into());
        self
    }

    /// Where it runs.
    pub fn directory(self, path: impl Into<String>) -> Spec {
        Spec { directory: Some(path.into()), ..self }
    }

    /// As whom it runs: `user` or `user:group`, by name or number.
    pub fn user(self, user: impl Into<String>) -> Spec {
        Spec { user: Some(user.into()), ..self }
    }

    /// How many: a number, or [`Workers::lag`].
    pub fn workers(self, workers: impl Into<Workers>) -> Spec {
        Spec { workers: workers.into(), ..self }
    }

    /// Whether it is started with the broker.
    pub fn autostart(self, autostart: bool) -> Spec {
        Spec { autostart, ..self }
    }

    /// Whose end is followed by another start.
    pub fn restart(self, restart: Restart) -> Spec {
        Spec { restart, ..self }
    }

    /// How long one waits before.
    pub fn backoff(self, backoff: Backoff) -> Spec {
        Spec { backoff, ..self }
    }

    /// How often a worker may be started again: [`Budget::new`].
    pub fn budget(self, budget: Budget) -> Spec {
        Spec { budget, ..self }
    }

    /// How it is stopped.
    pub fn stop(self, stop: Stop) -> Spec {
        Spec { stop, ..self }
    }

    /// Whether a restart starts the new worker while the old one still works.
    pub fn overlap(self, overlap: bool) -> Spec {
        Spec { overlap, ..self }
    }

    /// When a worker that was started is up.
    pub fn startup(self, check: impl Into<Check>) -> Spec {
        Spec { startup: Some(check.into()), ..self }
    }

    /// Whether a worker can be used now.
    pub fn readiness(self, check: impl Into<Check>) -> Spec {
        Spec { readiness: Some(check.into()), ..self }
    }

    /// Whether a worker works.
    pub fn liveness(self, check: impl Into<Check>) -> Spec {
        Spec { liveness: Some(check.into()), ..self }
    }

    /// What has to be there before it starts, side by side; another `after` is one group more, and waited for after this one.
    pub fn after(mut self, group: impl IntoIterator<Item = Dependency>) -> Spec {
        self.dependencies.push(group.into_iter().collect());
        self
    }

    /// What else is run.
    pub fn hooks(self, hooks: Hooks) -> Spec {
        Spec { hooks, ..self }
    }

    /// What restarts it when it changes.
    pub fn watch(self, watch: Watch) -> Spec {
        Spec { watch: Some(watch), ..self }
    }

    /// Where its output goes, besides memory.
    pub fn log(self, log: LogFile) -> Spec {
        Spec { log: Some(log), ..self }
    }
}

impl Workers {
    /// As many as keep the first item of `queue` from waiting longer than `target`.
    pub fn lag(workers: RangeInclusive<u32>, queue: impl Into<String>, target: Duration) -> Workers {
        Workers::Lag { min: *workers.start(), max: *workers.end(), queue: queue.into(), target_lag_ms: milliseconds(target) }
    }

    /// The most that there may be by themselves; a wish can go beyond.
    pub fn most(&self) -> u32 {
        match self {
            Workers::Fixed(workers) => *workers,
            Workers::Lag { max, .. } => *max,
        }
    }
}

impl From<u32> for Workers {
    fn from(workers: u32) -> Workers {
        Workers::Fixed(workers)
    }
}

impl Budget {
    /// So many restarts of a worker within a time, and what is given up when there would be one more.
    pub fn new(restarts: u32, within: Duration, spent: Spent) -> Budget {
        Budget { restarts: Some(restarts), within_ms: milliseconds(within), spent }
    }
}

impl Check {
    /// What is asked, as often as [`Check::default`] says; `sd_notify`, where the worker speaks by itself, every ten seconds.
    pub fn new(probe: Probe) -> Check {
        let default = Check::default();
        let interval_ms = if probe == Probe::Notify { NOTIFY_INTERVAL_MS } else { default.interval_ms };
        Check { probe, interval_ms, ..default }
    }

    /// How often it is asked.
    pub fn every(self, interval: Duration) -> Check {
        Check { interval_ms: milliseconds(interval), ..self }
    }

    /// How long an answer may take.
    pub fn timeout(self, timeout: Duration) -> Check {
        Check { timeout_ms: milliseconds(timeout), ..self }
    }

    /// So many failures in a row are one.
    pub fn failures(self, failures: u32) -> Check {
        Check { failures, ..self }
    }

    /// Of `startup`: until when it has to succeed. Of the others: how long after the start the first failure counts.
    pub fn within(self, within: Duration) -> Check {
        Check { within_ms: milliseconds(within), ..self }
    }
}

impl From<Probe> for Check {
    fn from(probe: Probe) -> Check {
        Check::new(probe)
    }
}

impl Probe {
    /// Whether this command ends with 0.
    pub fn command<W: Into<String>>(command: impl IntoIterator<Item = W>) -> Probe {
        Probe::Command(words(command))
    }

    /// Whether somebody listens at `host:port`.
    pub fn tcp(address: impl Into<String>) -> Probe {
        Probe::Tcp(address.into())
    }

    /// Whether `http://host:port/path` answers with 200 to 399.
    pub fn http(url: impl Into<String>) -> Probe {
        Probe::Http(url.into())
    }
}

impl Dependency {
    /// Another process, up.
    pub fn ready(name: impl Into<String>) -> Dependency {
        Dependency::on(name, Condition::Ready)
    }

    /// Another process, as it has to be.
    pub fn on(name: impl Into<String>, condition: Condition) -> Dependency {
        Dependency::Process { name: name.into(), condition }
    }

    /// An object of this name.
    pub fn object(name: impl Into<String>) -> Dependency {
        Dependency::Object(name.into())
    }
}

impl LogFile {
    /// This file, put aside at 10 MiB; three old ones are kept.
    pub fn new(path: impl Into<String>) -> LogFile {
        LogFile { path: path.into(), ..LogFile::default() }
    }
}

fn words<W: Into<String>>(command: impl IntoIterator<Item = W>) -> Vec<String> {
    command.into_iter().map(Into::into).collect()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
