//! Where the methods of a served object run: on the tokio runtime of whoever serves it, or in threads of the object's own.
//!
//! A method may block such a thread, so there is one for each call that is under way; those that have nothing to do wait for the next
//! call, and end with the serving.

use crate::{Error, Result, blocking::block_on};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::{Condvar, Mutex};
use std::{collections::VecDeque, sync::Arc, thread};
use tokio::runtime;

/// See the module.
#[derive(Clone)]
pub(super) enum Crew {
    Runtime(runtime::Handle),
    Threads(Arc<Threads>),
}

pub(super) struct Threads {
    state: Mutex<State>,
    work: Condvar,
    /// What whoever serves is in: its timers and sockets can be used.
    runtime: Option<runtime::Handle>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<BoxFuture<'static, ()>>,
    /// Threads that wait for a job and are not promised one.
    idle: usize,
    is_over: bool,
}

impl Crew {
    /// The runtime that this is called in, else threads.
    pub fn here() -> Crew {
        runtime::Handle::try_current().map_or_else(|_| Crew::of_threads(), Crew::Runtime)
    }

    pub fn of_threads() -> Crew {
        let runtime = runtime::Handle::try_current().ok();
        Crew::Threads(Arc::new(Threads { state: Mutex::default(), work: Condvar::new(), runtime }))
    }

    /// Whether a method may be polled by who brings its call: it does not block, by the rules of a runtime.
    pub fn may_look(&self) -> bool {
        matches!(self, Crew::Runtime(_))
    }

    /// What brings the calls.
    pub fn lead(&self, driver: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        match self {
            Crew::Runtime(runtime) => drop(runtime.spawn(driver)),
            Crew::Threads(threads) => threads.start(move || block_on(driver)).map_err(Error::Thread)?,
        }
        Ok(())
    }

    /// A job that finds no thread is dropped.
    pub fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        match self {
            Crew::Runtime(runtime) => drop(runtime.spawn(job)),
            Crew::Threads(threads) => threads.submit(job.boxed()),
        }
    }

    /// No further job comes. Threads end behind those that are there.
    pub fn end(&self) {
        if let Crew::Threads(threads) = self {
            threads.state.lock().is_over = true;
            threads.work.notify_all();
        }
    }
}

impl Threads {
    fn start(self: &Arc<Threads>, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let runtime = self.runtime.clone();
        let run = move || {
            let _entered = runtime.as_ref().map(runtime::Handle::enter);
            run();
        };
        thread::Builder::new().name("bursar-serving".to_owned()).spawn(run).map(drop)
    }

    fn submit(self: &Arc<Threads>, job: BoxFuture<'static, ()>) {
        let mut state = self.state.lock();
        if state.idle > 0 {
            state.idle -= 1;
            state.jobs.push_back(job);
            self.work.notify_one();
            return;
        }
        drop(state);
        let threads = self.clone();
        let work = move || {
            block_on(job);
            while let Some(job) = threads.next() {
                block_on(job);
            }
        };
        if let Err(error) = self.start(work) {
            tracing::warn!(%error, "a call found no thread");
        }
    }

    /// `None`: no job comes any more.
    fn next(&self) -> Option<BoxFuture<'static, ()>> {
        let mut state = self.state.lock();
        state.idle += 1;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.is_over {
                return None;
            }
            self.work.wait(&mut state);
        }
    }
}
