//! How processes are, as the supervisor tells it.

use serde::{Deserialize, Serialize};

/// How a process is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// What it is called.
    pub name: String,
    /// Its command and arguments.
    pub command: Vec<String>,
    /// Whether it is to be up, as the newest wish has it.
    pub wanted: bool,
    /// What it waits for before it starts, in words: `db to be ready`. Empty: nothing.
    pub waits_for: Vec<String>,
    /// Its workers, by their numbers.
    pub workers: Vec<Worker>,
}

/// How a worker is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    /// Its number, from 0.
    pub number: u32,
    /// How it is.
    pub state: WorkerState,
    /// Whether its `readiness` says now that it can be used; true where there is none.
    pub healthy: bool,
    /// The number of its own process, while that is there.
    pub pid: Option<u32>,
    /// When its newest run was started, Unix time in milliseconds; 0: never.
    pub started_ms: u64,
    /// How often it was started again since the process was added.
    pub restarts: u64,
    /// How its last run ended.
    pub last_exit: Option<Exit>,
    /// What its tree uses, where that was asked for: processor time in milliseconds since the start, and resident memory.
    pub cpu_ms: u64,
    /// In bytes.
    pub memory_bytes: u64,
    /// How many processes its tree has, where that was asked for.
    pub processes: u32,
    /// Bytes of output that are in no log file because the disk did not keep up.
    pub log_dropped_bytes: u64,
    /// What it said of itself last by `sd_notify`: `STATUS=`.
    pub status: String,
}

/// How a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum WorkerState {
    #[default]
    Stopped,
    Starting,
    Ready,
    Stopping,
    /// It failed, and is started again after a time.
    Waiting,
    /// It ended, and is left so.
    Finished,
    /// It failed too often, and is left so.
    Spent,
}

/// How a run of a worker ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exit {
    /// As a shell tells it: the code, 128 and the signal, 127 if it could not be run.
    pub code: i32,
    /// The signal, by number, if one ended it.
    pub signal: Option<i32>,
    /// Whether the kernel wrote a core.
    pub core: bool,
    /// Whether the kernel killed it for want of memory, as its cgroup says.
    pub out_of_memory: bool,
    /// Whether it had been told to end.
    pub expected: bool,
    /// In words: `was killed by SIGSEGV and left a core`.
    pub text: String,
    /// The last lines of its stderr.
    pub last_lines: Vec<String>,
    /// Which process it was.
    pub pid: Option<u32>,
    /// Unix time in milliseconds.
    pub at_ms: u64,
    /// What it held and what went back: `2 items of jobs`.
    pub held: Vec<String>,
}

/// What one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// All its workers are up.
    Ready,
    /// As `Ready`, and nothing failed its last check.
    Healthy,
    /// Nothing of it runs, and nothing is to.
    Down,
    /// A restart that was wished has ended, well or not.
    Settled,
}

/// A line of output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// Whose.
    pub process: String,
    /// Of which worker.
    pub worker: u32,
    /// Where it came from.
    pub source: Source,
    /// Without its end. What is no text is replaced by marks; what is longer than 64 KiB comes in several lines.
    pub text: String,
    /// So many bytes before it are not there any more: the reader was too slow.
    pub missed_bytes: u64,
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Source {
    #[default]
    Stdout,
    Stderr,
}

/// Something happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Activity {
    /// Unix time in milliseconds.
    pub at_ms: u64,
    /// To which process.
    pub process: String,
    /// To which of its workers; none: to all of it.
    pub worker: Option<u32>,
    /// `started`, `ready`, `exited`, `gone`, `returned`, `waiting`, `finished`, `spent`, `overdue`, `not-ready`, `unhealthy`, `restarted`,
    /// `restart-failed`, `scaled`, `hook-failed`, `changed`, `waits-for`, `message`, `added`, `removed`;
    /// `missed`: the reader was too slow for some of it.
    pub what: String,
    /// For people: `was killed by SIGSEGV; started again in 100 ms`.
    pub text: String,
    /// The worker's own process, where that is known.
    pub pid: Option<u32>,
    /// How it ended, if it did.
    pub exit: Option<Exit>,
}
