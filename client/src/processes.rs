//! The processes that a broker starts, watches and stops: what they are to be ([`Spec`]), how they are ([`Process`]), how one reaches who
//! keeps them ([`Processes`]), and the side of who was started ([`ThisWorker`]).
//!
//! To the broker this is an object as all others are, of the name [`OBJECT`] and with the methods of [`Supervise`]: any client can
//! call it, in any language. Only a broker that was told to supervise has it, because whoever may add a process there runs commands
//! as the broker's user.

pub mod channels;
mod handle;
mod signal;
mod spec;
#[cfg(test)]
mod tests;
mod this_worker;
mod view;

pub use bursar_proto::nearest;
pub use handle::{Error, Processes, Result};
pub use signal::signal_number;
pub use spec::{
    Backoff, Budget, Check, Condition, Dependency, Hooks, LogFile, Probe, Problem, Restart, Spec, Spent, Stop, Watch, Workers,
    problems_of,
};
pub use this_worker::ThisWorker;
pub use view::{Activity, Exit, Line, Process, Source, Until, Worker, WorkerState};

use crate::object::Stream;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Where a broker that supervises has its processes.
pub const OBJECT: &str = "bursar/processes";

/// What is refused, and why; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refused {
    /// There is no process of this name; the nearest known one, if any is near.
    #[allow(missing_docs)]
    NoSuchProcess { name: String, nearest: Option<String> },
    /// What was given for it cannot be.
    #[allow(missing_docs)]
    BadSpec { name: String, problem: String },
    /// Commands are taken from the broker's own user on its own host only.
    #[allow(missing_docs)]
    NotAllowed { what: String },
    /// The supervisor stops.
    Stopping,
}

/// What a command is run with: the same as a worker of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Surroundings {
    /// What its environment has more, or otherwise, than the broker's.
    pub environment: BTreeMap<String, String>,
    /// Where it runs; none: where the broker runs.
    pub directory: Option<String>,
    /// As whom; none: as the broker.
    pub user: Option<String>,
}

/// The keeper of processes. Names that are empty lists mean all processes. A wish is never refused for what is under way: the newest
/// one wins.
#[crate::shared(crate = crate)]
pub trait Supervise {
    /// Adds a process, or gives one that is there another description: its workers are then replaced as by `restart`. Started at once
    /// if `start`. `NotAllowed` unless the caller is the broker's own user on its host.
    async fn add(&self, spec: Spec, #[shared(default = true)] start: bool) -> Result<(), Refused>;

    /// Stops a process, and forgets it when nothing of it is left.
    async fn remove(&self, name: String) -> Result<(), Refused>;

    /// How all processes are, by name; `usage`: with what their trees use, which takes a look at each of them.
    #[shared(idempotent)]
    async fn list(&self, #[shared(default)] usage: bool) -> Vec<Process>;

    /// They are to be up, and those they depend on.
    async fn start(&self, #[shared(default)] names: Vec<String>) -> Result<(), Refused>;

    /// They are to be down, and those that depend on them before.
    async fn stop(&self, #[shared(default)] names: Vec<String>) -> Result<(), Refused>;

    /// They are to be down, at once.
    async fn kill(&self, #[shared(default)] names: Vec<String>) -> Result<(), Refused>;

    /// Every worker is replaced, one after the other, the new one ready before the old one goes. `worker`: only that one.
    async fn restart(&self, #[shared(default)] names: Vec<String>, worker: Option<u32>) -> Result<(), Refused>;

    /// So many workers.
    async fn scale(&self, name: String, workers: u32) -> Result<(), Refused>;

    /// A signal to each worker, or to one, by number.
    async fn signal(&self, name: String, signal: i32, worker: Option<u32>) -> Result<(), Refused>;

    /// Waits until a process is so, as long as the call may wait, and says how it is then.
    #[shared(idempotent)]
    async fn wait(&self, name: String, until: Until) -> Result<Process, Refused>;

    /// Whether any worker of it runs. False, and no error, for one that is not known.
    #[shared(idempotent)]
    async fn is_alive(&self, name: String) -> bool;

    /// What workers write: of each output the last `tail` lines, oldest first; then, if `follow`, what comes.
    fn logs(
        &self,
        #[shared(default)] names: Vec<String>,
        #[shared(default = 100)] tail: u32,
        #[shared(default)] follow: bool,
    ) -> impl Stream<Item = Line>;

    /// What happens, from now on; with the last `past` before.
    fn activity(&self, #[shared(default)] past: u32) -> impl Stream<Item = Activity>;

    /// What a command in the place of a worker would be run with. `NotAllowed` unless the caller is the broker's own user on its host.
    #[shared(idempotent)]
    async fn surroundings(&self, name: String) -> Result<Surroundings, Refused>;

    /// Ends the worker from which this session comes, as a restart of it does, and says when nothing is left of it. False: the
    /// session is of no worker. For items that are not let go.
    async fn end_worker_of(&self, session: u64) -> bool;

    /// All processes stop, and then the broker does.
    async fn shut_down(&self) -> Result<(), Refused>;
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NoSuchProcess { name, nearest: Some(nearest) } => {
                write!(formatter, "there is no process {name:?}, did you mean {nearest:?}?")
            }
            Refused::NoSuchProcess { name, nearest: None } => write!(formatter, "there is no process {name:?}"),
            Refused::BadSpec { name, problem } => write!(formatter, "the process {name:?} cannot be kept: {problem}"),
            Refused::NotAllowed { what } => {
                write!(
                    formatter,
                    "{what}: commands are taken from the broker's own user on its own host only, by its Unix socket"
                )
            }
            Refused::Stopping => formatter.write_str("the supervisor stops"),
        }
    }
}

impl std::error::Error for Refused {}
