//! The processes of a broker, with the verbs that one thinks in. What they do is the supervisor's matter; nothing is kept here but the
//! way to it.

use super::{Activity, Line, OBJECT, Process, Refused, Spec, SuperviseClient, Until, channels};
use crate::{
    CallError, End, Error as ClientError, Fault, Manager, Payload, Raw, Wait,
    object::{Failed, Incoming},
};
use std::{convert::Infallible, fmt, result, sync::Arc};
use tokio::sync::OnceCell;

/// A wish, or a question, about processes has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker supervises nothing.
    #[error(
        "the broker at {address} supervises no processes: it does when its configuration has [processes.NAME], or it is started with --supervise"
    )]
    NoSupervisor {
        /// Where the broker is.
        address: String,
    },
    /// The supervisor refuses; nothing has changed.
    #[error(transparent)]
    Refused(Refused),
    /// What was waited for has not come within the time.
    #[error("the process {name:?} is not {until} yet: the time to wait is over")]
    NotYet {
        /// Of which process.
        name: String,
        /// How it should be, in a word.
        until: &'static str,
    },
    /// The call did not reach the supervisor, or its answer did not come back.
    #[error(transparent)]
    Broker(#[from] ClientError),
}

/// What every call gives.
pub type Result<T, E = Error> = result::Result<T, E>;

impl Error {
    /// Why the supervisor refuses, if that is what this is.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Error::Refused(refused) => Some(refused),
            _ => None,
        }
    }

    /// The broker's refusal, if that is what this is.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Error::Broker(error) => error.fault(),
            _ => None,
        }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Error {
        Error::Broker(failed.into())
    }
}

impl From<CallError<Refused>> for Error {
    fn from(error: CallError<Refused>) -> Error {
        error.into_own().map_or_else(Error::Broker, Error::Refused)
    }
}

impl From<CallError<Infallible>> for Error {
    fn from(error: CallError<Infallible>) -> Error {
        match error.into_own() {
            Ok(never) => match never {},
            Err(error) => Error::Broker(error),
        }
    }
}

/// The processes that the broker starts, watches and stops. From [`Manager::processes`].
///
/// Handles are cheap to clone, and reach the broker with their first call. Each verb says what is wanted and does not wait for it, unless
/// it says so: no wish is refused for what is under way, and the newest one wins. Every call fails with [`Error::NoSupervisor`] where the
/// broker was not told to supervise.
///
/// ```no_run
/// # async fn run(manager: bursar::Manager) -> Result<(), bursar::processes::Error> {
/// use bursar::{Wait, processes::{Spec, Until, Workers}};
///
/// let processes = manager.processes();
/// let resize = Spec {
///     name: "resize".into(),
///     command: vec!["./resize".into(), "--fast".into()],
///     workers: Workers::Fixed(4),
///     ..Spec::default()
/// };
/// processes.add(resize).await?;
/// processes.start("resize").await?;
/// let now = processes.wait("resize", Until::Ready, Wait::Forever).await?;
/// println!("{} workers are up", now.workers.len());
/// processes.terminate("resize").await?;
/// assert!(!processes.is_alive("resize").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Processes {
    manager: Manager,
    supervisor: Arc<OnceCell<SuperviseClient>>,
}

impl fmt::Debug for Processes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Processes").field("manager", &self.manager).finish()
    }
}

impl Processes {
    pub(crate) fn new(manager: Manager) -> Processes {
        Processes { manager, supervisor: Arc::default() }
    }

    /// The session by which they are reached.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// The supervisor itself, for what has no verb here.
    pub async fn supervisor(&self) -> Result<&SuperviseClient> {
        self.supervisor.get_or_try_init(|| SuperviseClient::open(&self.manager, OBJECT)).await.map_err(|error| {
            match error.fault() {
                Some(Fault::NoSuchObject { .. }) => Error::NoSupervisor { address: self.manager.address() },
                _ => Error::Broker(error),
            }
        })
    }

    /// Adds a process, which waits for its start. One of this name that is there gets another description: its workers are replaced.
    /// Refused: `BadSpec`; `NotAllowed`, unless this is the broker's own user on its host.
    pub async fn add(&self, spec: Spec) -> Result<()> {
        Ok(self.supervisor().await?.add(spec, false).await?)
    }

    /// As [`Processes::add`], and starts it.
    pub async fn launch(&self, spec: Spec) -> Result<()> {
        Ok(self.supervisor().await?.add(spec, true).await?)
    }

    /// Stops a process, and forgets it when nothing of it is left. Refused: `NoSuchProcess`.
    pub async fn remove(&self, name: &str) -> Result<()> {
        Ok(self.supervisor().await?.remove(name.to_owned()).await?)
    }

    /// It is to be up, and those it depends on. Refused: `NoSuchProcess`, as by all verbs that name one but [`is_alive`](Self::is_alive).
    pub async fn start(&self, name: &str) -> Result<()> {
        Ok(self.supervisor().await?.start(one(name)).await?)
    }

    /// All are to be up.
    pub async fn start_all(&self) -> Result<()> {
        Ok(self.supervisor().await?.start(Vec::new()).await?)
    }

    /// It is to be down, and those that depend on it before.
    pub async fn stop(&self, name: &str) -> Result<()> {
        Ok(self.supervisor().await?.stop(one(name)).await?)
    }

    /// All are to be down.
    pub async fn stop_all(&self) -> Result<()> {
        Ok(self.supervisor().await?.stop(Vec::new()).await?)
    }

    /// As [`Processes::stop`], and waits until nothing of it is left: who does not go by itself is killed when the time of its description
    /// is over, ten seconds by default. How it is then.
    pub async fn terminate(&self, name: &str) -> Result<Process> {
        self.stop(name).await?;
        self.join(name).await
    }

    /// As [`Processes::terminate`], of all: side by side, as far as none depends on another.
    pub async fn terminate_all(&self) -> Result<()> {
        self.stop_all().await?;
        self.join_all().await
    }

    /// It is to be down, at once: all of it is killed.
    pub async fn kill(&self, name: &str) -> Result<()> {
        Ok(self.supervisor().await?.kill(one(name)).await?)
    }

    /// All are to be down, at once.
    pub async fn kill_all(&self) -> Result<()> {
        Ok(self.supervisor().await?.kill(Vec::new()).await?)
    }

    /// Every worker is replaced, one after the other, the new one ready before the old one goes. The end of it is
    /// [`Until::Settled`].
    pub async fn restart(&self, name: &str) -> Result<()> {
        Ok(self.supervisor().await?.restart(one(name), None).await?)
    }

    /// Every worker of all processes is replaced.
    pub async fn restart_all(&self) -> Result<()> {
        Ok(self.supervisor().await?.restart(Vec::new(), None).await?)
    }

    /// One worker is replaced, by its number.
    pub async fn restart_worker(&self, name: &str, worker: u32) -> Result<()> {
        Ok(self.supervisor().await?.restart(one(name), Some(worker)).await?)
    }

    /// So many workers from now on.
    pub async fn scale(&self, name: &str, workers: u32) -> Result<()> {
        Ok(self.supervisor().await?.scale(name.to_owned(), workers).await?)
    }

    /// A signal, by number, to each of its workers.
    pub async fn signal(&self, name: &str, signal: i32) -> Result<()> {
        Ok(self.supervisor().await?.signal(name.to_owned(), signal, None).await?)
    }

    /// A signal, by number, to one of its workers.
    pub async fn signal_worker(&self, name: &str, worker: u32, signal: i32) -> Result<()> {
        Ok(self.supervisor().await?.signal(name.to_owned(), signal, Some(worker)).await?)
    }

    /// Whether any worker of it runs now. False for one that was never started, and for one that is not known.
    pub async fn is_alive(&self, name: &str) -> Result<bool> {
        Ok(self.supervisor().await?.is_alive(name.to_owned()).await?)
    }

    /// How all processes are, by name.
    pub async fn list(&self) -> Result<Vec<Process>> {
        Ok(self.supervisor().await?.list(false).await?)
    }

    /// As [`Processes::list`], with what they use, which takes a look at each process of their trees.
    pub async fn usage(&self) -> Result<Vec<Process>> {
        Ok(self.supervisor().await?.list(true).await?)
    }

    /// How a process is.
    pub async fn status(&self, name: &str) -> Result<Process> {
        let found = self.list().await?.into_iter().find(|process| process.name == name);
        found.ok_or_else(|| Error::Refused(Refused::NoSuchProcess { name: name.to_owned(), nearest: None }))
    }

    /// Waits until a process is so, and says how it is then. [`Error::NotYet`]: the time to wait is over.
    pub async fn wait(&self, name: &str, until: Until, wait: impl Into<Wait>) -> Result<Process> {
        let supervisor = self.supervisor().await?.within(wait);
        supervisor.wait(name.to_owned(), until).await.map_err(|error| match error.fault() {
            Some(Fault::Unanswered {} | Fault::TimedOut { .. }) => {
                Error::NotYet { name: name.to_owned(), until: in_a_word(until) }
            }
            _ => error.into(),
        })
    }

    /// Waits until nothing of it runs, and nothing is to: it has ended and is left so, or it was stopped. How it is then.
    pub async fn join(&self, name: &str) -> Result<Process> {
        self.wait(name, Until::Down, Wait::Forever).await
    }

    /// As [`Processes::join`], of all that are there now. One that is removed meanwhile is waited for no longer.
    pub async fn join_all(&self) -> Result<()> {
        for process in self.list().await? {
            match self.join(&process.name).await {
                Ok(_) | Err(Error::Refused(Refused::NoSuchProcess { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What the workers of a process write: of each output the last `tail` lines, oldest first, and then, if `follow`, what comes, until the
    /// stream is dropped. One that does not keep up is told what it missed ([`Line::missed_bytes`]); nobody waits for it.
    pub async fn logs(&self, name: &str, tail: u32, follow: bool) -> Result<Incoming<Line>> {
        Ok(self.supervisor().await?.logs(one(name), tail, follow))
    }

    /// As [`Processes::logs`], of all processes.
    pub async fn all_logs(&self, tail: u32, follow: bool) -> Result<Incoming<Line>> {
        Ok(self.supervisor().await?.logs(Vec::new(), tail, follow))
    }

    /// What happens, from now on, until the stream is dropped; with the last `past` before.
    pub async fn activity(&self, past: u32) -> Result<Incoming<Activity>> {
        Ok(self.supervisor().await?.activity(past))
    }

    /// This side's end of the active channel of a process: its workers receive from it, and each message goes to one of them. See
    /// [`ThisWorker::active`](super::ThisWorker::active).
    pub async fn active<T: Payload>(&self, name: &str) -> Result<End<T>> {
        self.channel(&channels::active(name)).await
    }

    /// This side's end of the passive channel of a process: each of its workers that listens gets each message that it listens for. See
    /// [`ThisWorker::passive`](super::ThisWorker::passive).
    pub async fn passive<T: Payload>(&self, name: &str) -> Result<End<T>> {
        self.channel(&channels::passive(name)).await
    }

    /// This side's end of the control channel of a process, by which its workers are asked to stop, as text. What they ask of their
    /// supervisor is not for others: nobody but it receives there.
    pub async fn control(&self, name: &str) -> Result<End<Raw>> {
        self.channel(&channels::control(name)).await
    }

    async fn channel<T: Payload>(&self, channel: &str) -> Result<End<T>> {
        Ok(self.manager.channel(channel).open().await?.a())
    }
}

fn one(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

fn in_a_word(until: Until) -> &'static str {
    match until {
        Until::Ready => "ready",
        Until::Healthy => "healthy",
        Until::Down => "down",
        Until::Settled => "settled",
    }
}
