//! What a service has of its stack while it runs: its tasks, and the word that it is to stop. It decides no order.
//!
//! ```text
//!   cut (the stack's) ─► cut (the service's) ─► stopping (the service's)     who cancels one cancels all to the right of it
//! ```

use crate::{
    Flaw, Reason, Signal,
    service::{Outcome, Work},
};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::{any::Any, collections::BTreeMap, panic::AssertUnwindSafe, pin::pin, sync::Arc};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a service is given when it starts. It may be kept, cloned, and given to tasks.
#[derive(Clone)]
pub struct Context(Arc<Member>);

/// What all services of a stack share.
#[derive(Default)]
pub(crate) struct Shared {
    /// The stack is to stop.
    pub stop: CancellationToken,
    /// Nobody is waited for any more.
    pub cut: CancellationToken,
    wrong: Mutex<Wrong>,
}

/// What went wrong, in order.
#[derive(Default)]
struct Wrong {
    reasons: Vec<Reason>,
    signals: Vec<Signal>,
}

struct Member {
    service: String,
    shared: Arc<Shared>,
    cut: CancellationToken,
    stopping: CancellationToken,
    tasks: TaskTracker,
    runtime: Handle,
    /// What runs of it, so that an overrun can say what it waited for. Held for a moment only.
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    next: u64,
    names: BTreeMap<u64, String>,
}

/// Something runs as long as this is there.
struct Noted(Context, u64);

impl Context {
    /// Runs something in the background as long as the service is up. It is dropped at its next await when the service stops, and
    /// gone before the service's `stop` is called.
    ///
    /// If it fails, panics, or ends although nobody has stopped it, the whole stack stops, and the error names it. One that is added
    /// when the service stops already never runs. May be called in any thread.
    pub fn add_task(&self, name: impl Into<String>, task: impl Future<Output = Outcome> + Send + 'static) {
        self.spawn_task(name.into(), self.0.stopping.clone(), Box::pin(task));
    }

    /// As [`Context::add_task`], for what has to come to an end by itself: it is not dropped, but waited for, and is to end when
    /// [`Context::stopping`] says so. It has the service's graceful timeout for that; then it is cut off, and named.
    pub fn add_graceful_task(&self, name: impl Into<String>, task: impl Future<Output = Outcome> + Send + 'static) {
        self.spawn_task(name.into(), self.0.cut.clone(), Box::pin(task));
    }

    /// Cancelled when this service begins to stop: nobody needs it any more. A clone of it may be kept.
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Asks for the end of the whole stack, as if its work were done: it stops gracefully, and that is no error.
    pub fn request_stop(&self) {
        self.0.shared.stop.cancel();
    }

    pub(crate) fn new(service: String, shared: Arc<Shared>) -> Context {
        let cut = shared.cut.child_token();
        let stopping = cut.child_token();
        let (tasks, runtime, running) = (TaskTracker::new(), Handle::current(), Mutex::default());
        Context(Arc::new(Member { service, shared, cut, stopping, tasks, runtime, running }))
    }

    pub(crate) fn service(&self) -> &str {
        &self.0.service
    }

    /// Ends when nothing runs any more that [`Context::spawn`] has started.
    pub(crate) async fn idle(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.0.cut
    }

    /// What runs of it at this moment.
    pub(crate) fn running(&self) -> Vec<String> {
        self.0.running.lock().names.values().cloned().collect()
    }

    /// Runs a part of the service's life until it has ended, or until it is dropped: then there is no result.
    pub(crate) fn spawn(&self, what: &str, until: CancellationToken, work: Work) -> JoinHandle<Option<Result<(), Flaw>>> {
        self.0.tasks.spawn_on(guarded(self.note(what), until, work), &self.0.runtime)
    }

    fn spawn_task(&self, task: String, until: CancellationToken, work: Work) {
        let context = self.clone();
        let noted = self.note(&format!("the task {task}"));
        let watched = async move {
            let Some(ended) = guarded(noted, until, work).await else { return };
            let is_expected = context.0.shared.stop.is_cancelled() || context.0.stopping.is_cancelled();
            let flaw = match ended {
                Ok(()) if is_expected => return,
                Ok(()) => Flaw::Ended,
                Err(flaw) => flaw,
            };
            context.0.shared.fail(Reason::Task { service: context.0.service.clone(), task, flaw });
        };
        self.0.tasks.spawn_on(watched, &self.0.runtime);
    }

    fn note(&self, what: &str) -> Noted {
        let mut running = self.0.running.lock();
        let number = running.next;
        running.next += 1;
        running.names.insert(number, what.to_owned());
        Noted(self.clone(), number)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.0.running.lock().names.remove(&self.1);
    }
}

/// The work is dropped before what notes it.
async fn guarded(noted: Noted, until: CancellationToken, work: Work) -> Option<Result<(), Flaw>> {
    let _noted = noted;
    let work = pin!(AssertUnwindSafe(work).catch_unwind());
    tokio::select! {
        biased;
        () = until.cancelled() => None,
        ended = work => Some(match ended {
            Ok(outcome) => outcome.map_err(|error| Flaw::Error(error.into())),
            Err(panic) => Err(Flaw::Panic(message(&*panic))),
        }),
    }
}

/// What a panic says, as far as it says it in text.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

impl Shared {
    /// Something went wrong: the stack stops.
    pub fn fail(&self, reason: Reason) {
        tracing::error!(%reason, "a service failed");
        self.wrong.lock().reasons.push(reason);
        self.stop.cancel();
    }

    /// The first signal stops gracefully, the second at once.
    pub fn interrupt(&self, signal: Signal) {
        tracing::info!(%signal, "interrupted");
        let mut wrong = self.wrong.lock();
        wrong.signals.push(signal);
        if wrong.signals.len() == 1 {
            wrong.reasons.push(Reason::Interrupted { signal });
            self.stop.cancel();
        } else {
            self.cut.cancel();
        }
    }

    /// Nobody is waited for.
    pub fn cut_off(&self) {
        self.stop.cancel();
        self.cut.cancel();
    }

    /// The signal that said that nobody is to be waited for, if it was a signal.
    pub fn second_signal(&self) -> Option<Signal> {
        self.wrong.lock().signals.get(1).copied()
    }

    pub fn take_reasons(&self) -> Vec<Reason> {
        std::mem::take(&mut self.wrong.lock().reasons)
    }
}
