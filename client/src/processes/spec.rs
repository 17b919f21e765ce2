//! What a process is to be. Only words: what becomes of them is the supervisor's matter.

mod make;
mod rules;
#[cfg(test)]
mod tests;
mod together;

pub use rules::Problem;
pub use together::problems_of;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A process: a command that is kept running in a number of workers. Times are milliseconds.
///
/// What is left out is as in [`Spec::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// What it is called: 1 to 192 characters of `A-Z a-z 0-9 . _ -`, and no `-` first.
    pub name: String,
    /// The command, looked up in the `PATH` of its environment, and its arguments. A relative path is relative to `directory`.
    pub command: Vec<String>,
    /// What its environment has more, or otherwise, than the broker's.
    pub environment: BTreeMap<String, String>,
    /// Files with lines `NAME=value`, read at every start. Later ones go over earlier ones, and `environment` over all.
    pub env_files: Vec<String>,
    /// Where it runs; none: where the broker runs.
    pub directory: Option<String>,
    /// As whom it runs, `user` or `user:group`, by name or number; none: as the broker.
    pub user: Option<String>,
    /// How many.
    pub workers: Workers,
    /// Whether it is started with the broker.
    pub autostart: bool,
    /// Whose end is followed by another start.
    pub restart: Restart,
    /// How long one waits before.
    pub backoff: Backoff,
    /// How often.
    pub budget: Budget,
    /// How it is stopped.
    pub stop: Stop,
    /// Whether a restart starts the new worker while the old one still works.
    pub overlap: bool,
    /// When a worker that was started is up. Without it: when `readiness` says so; without that, too, when its command runs.
    pub startup: Option<Check>,
    /// Whether a worker can be used now.
    pub readiness: Option<Check>,
    /// Whether a worker works; who fails is replaced.
    pub liveness: Option<Check>,
    /// What has to be there before it starts: one group after the other, those of a group side by side.
    pub dependencies: Vec<Vec<Dependency>>,
    /// What else is run.
    pub hooks: Hooks,
    /// What restarts it when it changes, for development.
    pub watch: Option<Watch>,
    /// Where its output goes, besides memory.
    pub log: Option<LogFile>,
}

/// How many workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workers {
    /// So many.
    Fixed(u32),
    /// As many as keep the first item of a queue from waiting longer than `target_lag_ms`.
    #[allow(missing_docs)]
    Lag { min: u32, max: u32, queue: String, target_lag_ms: u64 },
}

/// Whose end is followed by another start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Nobody's.
    Never,
    /// Who failed.
    OnFailure,
    /// Everybody; also who had been stopped, when the broker starts again.
    #[default]
    Always,
    /// Everybody, but who had been stopped stays so.
    UnlessStopped,
}

/// How long one waits before a worker is started again: twice as long after each failure, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backoff {
    /// After the first failure.
    pub first_ms: u64,
    /// The most.
    pub max_ms: u64,
    /// Up to which part of the time it may be shorter, by chance.
    pub jitter: f64,
    /// Who has been ready for so long has its failures forgotten.
    pub reset_ms: u64,
}

/// How often a worker may be started again within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// So often; none: without end.
    pub restarts: Option<u32>,
    /// Within this time.
    pub within_ms: u64,
    /// What is given up then.
    pub spent: Spent,
}

/// What is given up when a budget is spent, until somebody starts it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spent {
    /// That worker.
    #[default]
    Worker,
    /// The whole process.
    Process,
    /// Everything: all processes stop, and the broker ends with an error.
    Everything,
}

/// How a worker is stopped: asked, then signalled, then killed with all it has started, each when the time of the one before is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stop {
    /// It is asked over its control channel first, and has so long to go by itself; none: it is not asked.
    pub ask_ms: Option<u64>,
    /// The signal that tells it, such as `SIGTERM`.
    pub signal: String,
    /// How long it has from the signal on.
    pub timeout_ms: u64,
}

/// A question that is asked again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// What is asked.
    pub probe: Probe,
    /// How often.
    pub interval_ms: u64,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// So many failures in a row are one; of `startup`: unused.
    pub failures: u32,
    /// Of `startup`: until when it has to succeed. Of the others: how long after the start the first failure counts.
    pub within_ms: u64,
}

/// What a check asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Whether a process of the worker has a session at the broker that lives.
    #[default]
    Session,
    /// Whether this command ends with 0, run with the worker's environment and in its directory.
    Command(Vec<String>),
    /// Whether somebody listens at `host:port`.
    Tcp(String),
    /// Whether `http://host:port/path` answers with 200 to 399.
    Http(String),
    /// What the worker says itself by `sd_notify`: `READY=1`; of liveness: `WATCHDOG=1` within each interval.
    Notify,
}

/// What has to be there before something starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dependency {
    /// Another process.
    #[allow(missing_docs)]
    Process { name: String, condition: Condition },
    /// An object of this name.
    Object(String),
}

/// How another process has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// All its workers have been started.
    Started,
    /// All its workers are up.
    #[default]
    Ready,
    /// All its workers are up, and their `readiness` and `liveness` say so at this moment.
    Healthy,
    /// All its workers have ended with 0.
    Completed,
}

/// Commands that are run at turning points of a process, with its environment, in its directory, and once for all its workers. Those
/// *before* something are waited for, and one that fails prevents it; a failure of those *after* is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Hooks {
    pub before_start: Vec<Vec<String>>,
    pub after_start: Vec<Vec<String>>,
    pub before_stop: Vec<Vec<String>>,
    pub after_stop: Vec<Vec<String>>,
    pub before_restart: Vec<Vec<String>>,
    pub after_restart: Vec<Vec<String>>,
}

/// Files whose change restarts a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Files, and folders with all below them, relative to `directory`.
    pub paths: Vec<String>,
    /// Names that do not count, with `*` for any characters: `*.pyc`.
    pub ignore: Vec<String>,
    /// How long it has to be quiet.
    pub delay_ms: u64,
}

/// A file that output goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogFile {
    /// Its path. `{worker}` stands for the worker's number.
    pub path: String,
    /// When it has so many bytes, it is put aside.
    pub bytes: u64,
    /// How many old ones are kept.
    pub kept: u32,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            name: String::new(),
            command: Vec::new(),
            environment: BTreeMap::new(),
            env_files: Vec::new(),
            directory: None,
            user: None,
            workers: Workers::default(),
            autostart: true,
            restart: Restart::default(),
            backoff: Backoff::default(),
            budget: Budget::default(),
            stop: Stop::default(),
            overlap: true,
            startup: None,
            readiness: None,
            liveness: None,
            dependencies: Vec::new(),
            hooks: Hooks::default(),
            watch: None,
            log: None,
        }
    }
}

impl Default for Workers {
    fn default() -> Workers {
        Workers::Fixed(1)
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
        Stop { ask_ms: None, signal: "SIGTERM".into(), timeout_ms: 10_000 }
    }
}

impl Default for Check {
    /// Twice a second costs nothing and finds what fails before people do; half a minute is what slow programs take to start.
    fn default() -> Check {
        Check { probe: Probe::default(), interval_ms: 500, timeout_ms: 1000, failures: 3, within_ms: 30_000 }
    }
}

impl Default for Watch {
    /// Editors and compilers write several files at once.
    fn default() -> Watch {
        Watch { paths: Vec::new(), ignore: Vec::new(), delay_ms: 200 }
    }
}

impl Default for LogFile {
    fn default() -> LogFile {
        LogFile { path: String::new(), bytes: 10 << 20, kept: 3 }
    }
}
