//! Callbacks: a worker that calls one for each message, and the handle that ends it.
//!
//! ```text
//!   running ──(Subscription dropped or closed)──► the callback under way returns ──► detached
//!      └──(the other end closed, the object deleted, the session lost)──► over: see `Subscription::wait`
//! ```

use super::{
    Delivered, Received,
    feed::{Feed, Item},
};
use crate::{Error, Fault, Payload, Result, SessionEnded, Wait, blocking::block_on};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, select},
};
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use tokio::{runtime, sync::oneshot};

/// What a callback may give: nothing, or a result whose error is reported.
pub trait Outcome: Send {
    /// The text of the error.
    fn into_result(self) -> Result<(), String>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display + Send> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// What went wrong with one message of a [`Subscription`]. The message is done with all the same, and the next one comes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The callback gave an error, with this text.
    Error(String),
    /// The callback, or the filter, panicked with this text.
    Panic(String),
    /// The message is not of the object's type: the callback was not called.
    Unreadable(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Error(text) => write!(formatter, "the callback failed: {text}"),
            Failure::Panic(text) => write!(formatter, "the callback panicked: {text}"),
            Failure::Unreadable(error) => write!(formatter, "the message cannot be read: {error}"),
        }
    }
}

/// Where a worker runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// On the tokio runtime of whoever subscribes; without one, in a thread.
    Runtime,
    /// In a thread of its own.
    Thread,
}

pub(crate) type Filter<T> = Box<dyn Fn(&T) -> bool + Send + Sync>;
type OnError = Box<dyn Fn(&Failure) + Send + Sync>;
type OnLagged = Box<dyn Fn(u64) + Send + Sync>;
pub(crate) type Callback<T> = Box<dyn Fn(Received<T>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What goes with a callback.
pub(crate) struct Rules<T> {
    pub filter: Option<Filter<T>>,
    pub on_error: Option<OnError>,
    pub on_lagged: Option<OnLagged>,
}

impl<T> Default for Rules<T> {
    fn default() -> Rules<T> {
        Rules { filter: None, on_error: None, on_lagged: None }
    }
}

/// A callback that is not async.
pub(crate) fn plain<T: Send + 'static, R: Outcome>(callback: impl Fn(&Received<T>) -> R + Send + Sync + 'static) -> Callback<T> {
    let callback = Arc::new(callback);
    Box::new(move |received| {
        let callback = callback.clone();
        async move { callback(&received).into_result() }.boxed()
    })
}

/// A callback that is.
pub(crate) fn asynchronous<T, F>(callback: impl Fn(Received<T>) -> F + Send + Sync + 'static) -> Callback<T>
where
    F: Future<Output: Outcome> + Send + 'static,
{
    Box::new(move |received| callback(received).map(Outcome::into_result).boxed())
}

/// A callback that is called for messages as long as this lives.
///
/// Callbacks of one subscription are called one after the other, in the order of the messages; those of different ones at the same time.
/// The message is done with when its callback has returned. A callback that fails or panics is reported (in the log, by
/// [`failures`](Subscription::failures), and to `on_error`), and the next message comes.
///
/// Dropping this ends it in the background; a callback that is under way returns first.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use std::sync::mpsc;
///
/// let talk = manager.channel::<u32>("talk").create().await?;
/// let (sender, receiver) = mpsc::sync_channel(1);
/// let subscription = talk.b().on_receive(|number| *number > 1, move |number| sender.send(**number)).await?;
/// talk.a().send_all(1..=2).await?;
/// assert_eq!(receiver.recv(), Ok(2));
/// subscription.close().await?;
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a dropped subscription calls nothing any more"]
pub struct Subscription {
    counts: Arc<Counts>,
    /// Dropped with this, which ends the worker.
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    failures: AtomicU64,
    missed: AtomicU64,
}

impl Subscription {
    pub(crate) fn start<T: Payload + Send + 'static>(
        feed: Feed,
        rules: Rules<T>,
        callback: Callback<T>,
        place: Place,
    ) -> Result<Subscription> {
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        let worker = Worker { feed, rules, callback, counts: counts.clone() };
        let run = async move {
            let outcome = worker.run(stopped).await;
            if let Err(error) = &outcome {
                tracing::warn!(%error, "a subscription has ended");
            }
            // Nobody may want to know.
            let _ = tell.send(outcome);
        };
        match (place, runtime::Handle::try_current()) {
            (Place::Runtime, Ok(runtime)) => drop(runtime.spawn(run)),
            _ => {
                let thread = thread::Builder::new().name("bursar-callback".to_owned());
                thread.spawn(|| block_on(run)).map_err(Error::Thread)?;
            }
        }
        Ok(Subscription { counts, stop, ended })
    }

    /// How many messages could not be read, or whose callback failed or panicked.
    pub fn failures(&self) -> u64 {
        self.counts.failures.load(Ordering::Relaxed)
    }

    /// How many messages of a topic were dropped because this was too slow; of a channel 0.
    pub fn missed(&self) -> u64 {
        self.counts.missed.load(Ordering::Relaxed)
    }

    /// Ends it, and waits until the callback that is under way has returned and the receiver has left. Not from within the callback.
    pub async fn close(self) -> Result<()> {
        let Subscription { counts: _, stop, ended } = self;
        drop(stop);
        Subscription::outcome(ended).await
    }

    /// Waits until it ends by itself: `Ok` when an end of the channel was closed and everything sent before was handled; otherwise the
    /// reason: [`Error::Lost`], or the faults `Gone` and `Lagged`.
    pub async fn wait(self) -> Result<()> {
        let Subscription { counts: _, stop: _stop, ended } = self;
        Subscription::outcome(ended).await
    }

    async fn outcome(ended: oneshot::Receiver<Result<()>>) -> Result<()> {
        let stopped = || Error::Lost(SessionEnded::new("the runtime of its callbacks has stopped"));
        ended.await.unwrap_or_else(|_| Err(stopped()))
    }
}

struct Worker<T> {
    feed: Feed,
    rules: Rules<T>,
    callback: Callback<T>,
    counts: Arc<Counts>,
}

impl<T: Payload> Worker<T> {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> Result<()> {
        loop {
            match self.next(&mut stopped).await {
                None => return Ok(()),
                Some(Ok(Item::Message(delivered))) => self.handle(delivered).await,
                Some(Ok(Item::Missed(missed))) => self.lagged(missed),
                Some(Err(error)) if matches!(error.fault(), Some(Fault::EndClosed { .. })) => return Ok(()),
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// `None`: the subscription is dropped.
    async fn next(&mut self, stopped: &mut oneshot::Receiver<()>) -> Option<Result<Item>> {
        let next = pin!(self.feed.next(Wait::Forever));
        match select(stopped, next).await {
            Either::Left(_) => None,
            Either::Right((item, _)) => Some(item),
        }
    }

    async fn handle(&self, delivered: Delivered) {
        let received: Received<T> = match Received::new(self.feed.seat(), delivered) {
            Ok(received) => received,
            Err(error) => return self.failed(&Failure::Unreadable(error)),
        };
        // It is finished only behind this: a runtime that stops meanwhile drops it unfinished.
        let called = async {
            match &self.rules.filter {
                Some(filter) if !filter(received.value()) => Ok(()),
                _ => (self.callback)(received).await,
            }
        };
        match AssertUnwindSafe(called).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(text)) => self.failed(&Failure::Error(text)),
            Err(panic) => self.failed(&Failure::Panic(text(&*panic).to_owned())),
        }
        self.feed.seat().finish();
    }

    fn failed(&self, failure: &Failure) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(object = self.feed.seat().line().handle().name(), %failure, "a message was not handled");
        if let Some(on_error) = &self.rules.on_error {
            guarded(|| on_error(failure));
        }
    }

    fn lagged(&self, missed: u64) {
        self.counts.missed.fetch_add(missed, Ordering::Relaxed);
        if let Some(on_lagged) = &self.rules.on_lagged {
            guarded(|| on_lagged(missed));
        }
    }
}

/// A hook that panics ends nothing either.
fn guarded(hook: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(hook)) {
        tracing::warn!(panic = text(&*panic), "a hook of a subscription panicked");
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "of unknown kind",
    }
}
