//! Processes, for threads.

use super::{End, Incoming, Manager, block_on};
use crate::{
    Payload, Raw, Wait,
    processes::{self, Activity, Line, Process, Result, Spec, SuperviseBlocking, Until},
};
use std::fmt;

/// The processes that the broker starts, watches and stops: [`processes::Processes`] for threads.
///
/// ```no_run
/// use bursar::{blocking::Manager, processes::Spec};
///
/// let manager = Manager::from_env()?;
/// let processes = manager.processes();
/// processes.launch(Spec { name: "report".into(), command: vec!["./report".into()], ..Spec::default() })?;
/// let report = processes.join("report")?;
/// println!("it ended: {:?}", report.workers[0].last_exit);
/// # Ok::<(), bursar::processes::Error>(())
/// ```
#[derive(Clone)]
pub struct Processes {
    inner: processes::Processes,
}

impl From<processes::Processes> for Processes {
    fn from(inner: processes::Processes) -> Processes {
        Processes { inner }
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl Processes {
    /// The async side of the same handle.
    pub fn as_async(&self) -> &processes::Processes {
        &self.inner
    }

    /// The session by which they are reached.
    pub fn manager(&self) -> Manager {
        self.inner.manager().clone().into()
    }

    /// The supervisor itself, for what has no verb here.
    pub fn supervisor(&self) -> Result<SuperviseBlocking> {
        Ok(block_on(self.inner.supervisor())?.clone().into())
    }

    /// See [`processes::Processes::add`].
    pub fn add(&self, spec: Spec) -> Result<()> {
        block_on(self.inner.add(spec))
    }

    /// See [`processes::Processes::launch`].
    pub fn launch(&self, spec: Spec) -> Result<()> {
        block_on(self.inner.launch(spec))
    }

    /// See [`processes::Processes::remove`].
    pub fn remove(&self, name: &str) -> Result<()> {
        block_on(self.inner.remove(name))
    }

    /// See [`processes::Processes::start`].
    pub fn start(&self, name: &str) -> Result<()> {
        block_on(self.inner.start(name))
    }

    /// All are to be up.
    pub fn start_all(&self) -> Result<()> {
        block_on(self.inner.start_all())
    }

    /// See [`processes::Processes::stop`].
    pub fn stop(&self, name: &str) -> Result<()> {
        block_on(self.inner.stop(name))
    }

    /// All are to be down.
    pub fn stop_all(&self) -> Result<()> {
        block_on(self.inner.stop_all())
    }

    /// See [`processes::Processes::terminate`].
    pub fn terminate(&self, name: &str) -> Result<Process> {
        block_on(self.inner.terminate(name))
    }

    /// See [`processes::Processes::terminate_all`].
    pub fn terminate_all(&self) -> Result<()> {
        block_on(self.inner.terminate_all())
    }

    /// It is to be down, at once: all of it is killed.
    pub fn kill(&self, name: &str) -> Result<()> {
        block_on(self.inner.kill(name))
    }

    /// All are to be down, at once.
    pub fn kill_all(&self) -> Result<()> {
        block_on(self.inner.kill_all())
    }

    /// See [`processes::Processes::restart`].
    pub fn restart(&self, name: &str) -> Result<()> {
        block_on(self.inner.restart(name))
    }

    /// Every worker of all processes is replaced.
    pub fn restart_all(&self) -> Result<()> {
        block_on(self.inner.restart_all())
    }

    /// One worker is replaced, by its number.
    pub fn restart_worker(&self, name: &str, worker: u32) -> Result<()> {
        block_on(self.inner.restart_worker(name, worker))
    }

    /// So many workers from now on.
    pub fn scale(&self, name: &str, workers: u32) -> Result<()> {
        block_on(self.inner.scale(name, workers))
    }

    /// A signal, by number, to each of its workers.
    pub fn signal(&self, name: &str, signal: i32) -> Result<()> {
        block_on(self.inner.signal(name, signal))
    }

    /// A signal, by number, to one of its workers.
    pub fn signal_worker(&self, name: &str, worker: u32, signal: i32) -> Result<()> {
        block_on(self.inner.signal_worker(name, worker, signal))
    }

    /// See [`processes::Processes::is_alive`].
    pub fn is_alive(&self, name: &str) -> Result<bool> {
        block_on(self.inner.is_alive(name))
    }

    /// How all processes are, by name.
    pub fn list(&self) -> Result<Vec<Process>> {
        block_on(self.inner.list())
    }

    /// As [`Processes::list`], with what they use.
    pub fn usage(&self) -> Result<Vec<Process>> {
        block_on(self.inner.usage())
    }

    /// How a process is.
    pub fn status(&self, name: &str) -> Result<Process> {
        block_on(self.inner.status(name))
    }

    /// See [`processes::Processes::wait`].
    pub fn wait(&self, name: &str, until: Until, wait: impl Into<Wait>) -> Result<Process> {
        block_on(self.inner.wait(name, until, wait))
    }

    /// See [`processes::Processes::join`].
    pub fn join(&self, name: &str) -> Result<Process> {
        block_on(self.inner.join(name))
    }

    /// See [`processes::Processes::join_all`].
    pub fn join_all(&self) -> Result<()> {
        block_on(self.inner.join_all())
    }

    /// See [`processes::Processes::logs`].
    pub fn logs(&self, name: &str, tail: u32, follow: bool) -> Result<Incoming<Line>> {
        Ok(self.supervisor()?.logs(vec![name.to_owned()], tail, follow))
    }

    /// As [`Processes::logs`], of all processes.
    pub fn all_logs(&self, tail: u32, follow: bool) -> Result<Incoming<Line>> {
        Ok(self.supervisor()?.logs(Vec::new(), tail, follow))
    }

    /// See [`processes::Processes::activity`].
    pub fn activity(&self, past: u32) -> Result<Incoming<Activity>> {
        Ok(self.supervisor()?.activity(past))
    }

    /// See [`processes::Processes::active`].
    pub fn active<T: Payload>(&self, name: &str) -> Result<End<T>> {
        Ok(block_on(self.inner.active(name))?.into())
    }

    /// See [`processes::Processes::passive`].
    pub fn passive<T: Payload>(&self, name: &str) -> Result<End<T>> {
        Ok(block_on(self.inner.passive(name))?.into())
    }

    /// See [`processes::Processes::control`].
    pub fn control(&self, name: &str) -> Result<End<Raw>> {
        Ok(block_on(self.inner.control(name))?.into())
    }
}

/// This process, as a worker that a supervisor has started: [`processes::ThisWorker`] for threads.
#[derive(Debug)]
pub struct ThisWorker {
    inner: processes::ThisWorker,
}

impl From<processes::ThisWorker> for ThisWorker {
    fn from(inner: processes::ThisWorker) -> ThisWorker {
        ThisWorker { inner }
    }
}

impl ThisWorker {
    /// See [`processes::ThisWorker::from_env`].
    pub fn from_env(manager: &Manager) -> crate::Result<ThisWorker> {
        Ok(block_on(processes::ThisWorker::from_env(manager.as_async()))?.into())
    }

    /// The worker of this number, whoever has started it.
    pub fn open(manager: &Manager, process: &str, number: u32) -> crate::Result<ThisWorker> {
        Ok(block_on(processes::ThisWorker::open(manager.as_async(), process, number))?.into())
    }

    /// The async side of the same handle.
    pub fn as_async(&self) -> &processes::ThisWorker {
        &self.inner
    }

    /// The name of its process.
    pub fn process(&self) -> &str {
        self.inner.process()
    }

    /// Its number, from 0: the same after a restart.
    pub fn number(&self) -> u32 {
        self.inner.number()
    }

    /// See [`processes::ThisWorker::ready`].
    pub fn ready(&self) -> crate::Result<()> {
        block_on(self.inner.ready())
    }

    /// See [`processes::ThisWorker::restart`].
    pub fn restart(&self) -> crate::Result<()> {
        block_on(self.inner.restart())
    }

    /// See [`processes::ThisWorker::stop`].
    pub fn stop(&self) -> crate::Result<()> {
        block_on(self.inner.stop())
    }

    /// Waits until it is asked to stop, by message. See [`processes::ThisWorker::stopping`].
    pub fn stopping(&self) {
        block_on(self.inner.stopping());
    }

    /// Whether it was asked to stop, by message.
    pub fn is_stopping(&self) -> bool {
        self.inner.is_stopping()
    }

    /// See [`processes::ThisWorker::active`].
    pub fn active<T: Payload>(&self) -> crate::Result<End<T>> {
        Ok(block_on(self.inner.active())?.into())
    }

    /// See [`processes::ThisWorker::passive`].
    pub fn passive<T: Payload>(&self) -> crate::Result<End<T>> {
        Ok(block_on(self.inner.passive())?.into())
    }
}
