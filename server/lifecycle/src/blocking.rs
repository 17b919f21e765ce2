//! The same for programs without `async`: services whose `start` and `stop` block, tasks that are threads.
//!
//! [`Blocking`] makes such a service one like every other, so that both sorts may depend on each other. A thread cannot be dropped as
//! a future can: a `start` under way is waited for, and a task has to look at its [`Stopping`]. Who does not come to an end in the
//! service's graceful time is named, and its thread left behind.
//!
//! ```
//! use bursar_lifecycle::{Group, Outcome, sequence, blocking::{self, Blocking, Context, Service}};
//! use std::{sync::Arc, time::Duration};
//!
//! struct Database;
//! impl Service for Database {}
//!
//! struct Web {
//!     database: Arc<Blocking<Database>>,
//! }
//!
//! impl Service for Web {
//!     fn dependencies(&self) -> Group {
//!         sequence![&self.database]
//!     }
//!
//!     fn start(&self, context: &Context) -> Outcome {
//!         context.add_task("sweep", |stopping| {
//!             while !stopping.wait(Duration::from_secs(60)) { /* sweep */ }
//!             Ok(())
//!         });
//!         Ok(())
//!     }
//! }
//!
//! let web = Blocking::new(Web { database: Blocking::new(Database) });
//! let running = blocking::start(&web)?;
//! assert!(running.is_running());
//! running.stop()?; // or at the end of the scope
//! # Ok::<(), bursar_lifecycle::Error>(())
//! ```

use crate::{Error, GRACEFUL_SHUTDOWN_TIMEOUT, Group, Interrupts, Outcome, Reason, Stack, service};
use parking_lot::{Condvar, Mutex};
use std::{
    any, fmt, io,
    ops::Deref,
    panic,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

/// A service whose start and stop block. What is said of [`crate::Service`] holds of it.
pub trait Service: Send + Sync + 'static {
    /// What it is called in errors and in the log. Without a name of its own it is its type's.
    fn name(&self) -> String {
        service::short_name(any::type_name::<Self>())
    }

    /// What has to be up before it starts, and stops after it.
    fn dependencies(&self) -> Group {
        Group::none()
    }

    /// How long the end of its tasks and its `stop` may take together.
    fn graceful_shutdown_timeout(&self) -> Duration {
        GRACEFUL_SHUTDOWN_TIMEOUT
    }

    /// Starts it: it is up when this returns. When the stack has to stop meanwhile, it is waited for, and then stopped.
    fn start(&self, context: &Context) -> Outcome {
        let _ = context;
        Ok(())
    }

    /// Stops it, if it had come up, when its tasks have ended.
    fn stop(&self) -> Outcome {
        Ok(())
    }
}

/// A blocking service among the others.
pub struct Blocking<S>(S);

/// What a blocking service is given when it starts. It may be kept and cloned.
#[derive(Clone)]
pub struct Context(crate::Context);

/// How a thread learns that its service stops.
#[derive(Clone, Default)]
pub struct Stopping(Arc<Word>);

/// Held only to look and to set.
#[derive(Default)]
struct Word {
    is_given: Mutex<bool>,
    came: Condvar,
}

/// A stack that was started, with a runtime of its own. Dropped, it stops gracefully, and waits for it.
pub struct Running {
    running: Option<crate::Running>,
    runtime: Option<Runtime>,
}

/// Runs a service with everything it depends on, as [`crate::run`]. Not to be called inside of an async runtime.
pub fn run<S: crate::Service>(service: &Arc<S>) -> Result<(), Error> {
    let stack = Stack::new(service)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async { stack.run(Interrupts::of_process()?).await });
    // Threads that were left behind must not hold up the program.
    runtime.shutdown_background();
    ended
}

/// Starts a service with everything it depends on: all is up when this returns. Not to be called inside of an async runtime.
pub fn start<S: crate::Service>(service: &Arc<S>) -> Result<Running, Error> {
    Running::start(Stack::new(service)?)
}

fn runtime() -> Result<Runtime, Error> {
    let made = Builder::new_multi_thread().worker_threads(1).thread_name("bursar-lifecycle").enable_all().build();
    made.map_err(|source| Reason::NoRuntime { source: Arc::new(source) }.into())
}

impl<S: Service> Blocking<S> {
    /// What is done with the `Arc` is as with every service: it is who the service is.
    pub fn new(service: S) -> Arc<Blocking<S>> {
        Arc::new(Blocking(service))
    }
}

impl<S> Deref for Blocking<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S: Service> crate::Service for Blocking<S> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn dependencies(&self) -> Group {
        self.0.dependencies()
    }

    fn graceful_shutdown_timeout(&self) -> Duration {
        self.0.graceful_shutdown_timeout()
    }

    /// Nobody can drop a thread.
    fn finishes_start(&self) -> bool {
        true
    }

    async fn start(self: Arc<Self>, context: crate::Context) -> Outcome {
        let name = format!("{} start", self.name());
        in_thread(name, move || self.0.start(&Context(context)))?.await
    }

    async fn stop(self: Arc<Self>) -> Outcome {
        let name = format!("{} stop", self.name());
        in_thread(name, move || self.0.stop())?.await
    }
}

/// A thread of its own for everything that may block for long: a pool would have an end.
fn in_thread(name: String, work: impl FnOnce() -> Outcome + Send + 'static) -> io::Result<impl Future<Output = Outcome> + Send> {
    let (tell, told) = oneshot::channel();
    let caught = move || {
        // Who was cut off has nobody who listens.
        let _ = tell.send(panic::catch_unwind(panic::AssertUnwindSafe(work)));
    };
    thread::Builder::new().name(name).spawn(caught)?;
    Ok(async {
        match told.await.expect("the thread tells how it ended, also if it panicked") {
            Ok(outcome) => outcome,
            Err(panic) => panic::resume_unwind(panic),
        }
    })
}

impl Context {
    /// Runs something in a thread as long as the service is up. It has to end when its [`Stopping`] says so. What is said of
    /// [`crate::Context::add_task`] holds of how it ends.
    pub fn add_task(&self, name: impl Into<String>, task: impl FnOnce(Stopping) -> Outcome + Send + 'static) {
        let (name, stopping) = (name.into(), Stopping::default());
        let thread_name = format!("{} {name}", self.0.service());
        let (word, token) = (stopping.clone(), self.0.stopping().clone());
        self.0.add_graceful_task(name, async move {
            let mut ended = std::pin::pin!(in_thread(thread_name, move || task(stopping))?);
            tokio::select! {
                outcome = &mut ended => return outcome,
                () = token.cancelled() => word.give(),
            }
            ended.await
        });
    }

    /// How threads of one's own learn that the service stops: an async token, with `is_cancelled`.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping().is_cancelled()
    }

    /// Asks for the end of the whole stack: see [`crate::Context::request_stop`].
    pub fn request_stop(&self) {
        self.0.request_stop();
    }
}

impl Stopping {
    /// Whether the service stops.
    pub fn is_stopping(&self) -> bool {
        *self.0.is_given.lock()
    }

    /// Waits this long, or until the service stops. True if it stops.
    pub fn wait(&self, at_most: Duration) -> bool {
        let mut is_given = self.0.is_given.lock();
        // What no clock can show is for ever.
        if let Some(until) = Instant::now().checked_add(at_most) {
            self.0.came.wait_while_until(&mut is_given, |is_given| !*is_given, until);
        } else {
            self.0.came.wait_while(&mut is_given, |is_given| !*is_given);
        }
        *is_given
    }

    fn give(&self) {
        *self.0.is_given.lock() = true;
        self.0.came.notify_all();
    }
}

impl Running {
    /// As [`start`], for a stack with a total time to stop in.
    pub fn start(stack: Stack) -> Result<Running, Error> {
        let runtime = runtime()?;
        let started = runtime.block_on(stack.start());
        match started {
            Ok(running) => Ok(Running { running: Some(running), runtime: Some(runtime) }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Whether all is up, and nobody has asked for the end.
    pub fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(crate::Running::is_running)
    }

    /// Waits until everything has stopped, whoever asked for it.
    pub fn wait(&mut self) -> Result<(), Error> {
        let (Some(running), Some(runtime)) = (&mut self.running, &self.runtime) else { unreachable!("only the end takes them") };
        runtime.block_on(running.wait())
    }

    /// Stops everything gracefully, and waits for it.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        let (Some(running), Some(runtime)) = (self.running.take(), self.runtime.take()) else { return Ok(()) };
        let ended = runtime.block_on(running.stop());
        runtime.shutdown_background();
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What went wrong is in the log; who wants to have it calls `stop`.
        let _ = self.end();
    }
}

impl<S: fmt::Debug> fmt::Debug for Blocking<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.running.fmt(formatter)
    }
}
