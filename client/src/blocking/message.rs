//! Messages between processes, for threads: what channels and topics have in common.

use super::block_on;
use crate::{Message, Outcome, Payload, Result, Wait, objects::message::subscription::Callback};
use futures_util::FutureExt;
use std::{borrow::Borrow, collections::HashMap, ops::Deref, sync::Arc, time::SystemTime};

/// A message, with all that came with it: [`bursar::Received`](crate::Received) for threads.
#[derive(Debug)]
pub struct Received<T> {
    inner: crate::Received<T>,
}

impl<T> From<crate::Received<T>> for Received<T> {
    fn from(inner: crate::Received<T>) -> Received<T> {
        Received { inner }
    }
}

impl<T> Deref for Received<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: Payload> Received<T> {
    /// The one answer, or the last. See [`bursar::Received::reply`](crate::Received::reply).
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
    /// let sums = manager.channel::<u64>("sums").create()?;
    /// let server = sums.b().listener().on_receive(|question| question.reply(**question + 1))?;
    /// assert_eq!(*sums.a().ask(7, bursar::Wait::Forever)?, 8);
    /// server.close()?;
    /// # Ok::<(), bursar::Error>(())
    /// ```
    pub fn reply(&self, value: impl Borrow<T>) -> Result<()> {
        block_on(self.inner.reply(value))
    }

    /// As [`Received::reply`], with headers and a bound for the wait. Fault: `NoRoom`.
    pub fn reply_with(&self, message: Message<T>, wait: impl Into<Wait>) -> Result<()> {
        block_on(self.inner.reply_with(message, wait))
    }

    /// For many answers. See [`bursar::Received::replies`](crate::Received::replies).
    pub fn replies(&self) -> Result<Replies<T>> {
        Ok(Replies { inner: self.inner.replies()? })
    }
}

impl<T> Received<T> {
    /// The async side of the same message.
    pub fn as_async(&self) -> &crate::Received<T> {
        &self.inner
    }

    /// The value; `*message` is the same.
    pub fn value(&self) -> &T {
        self.inner.value()
    }

    /// Takes the value out.
    pub fn into_value(self) -> T {
        self.inner.into_value()
    }

    /// Its position. See [`bursar::Received::position`](crate::Received::position).
    pub fn position(&self) -> u64 {
        self.inner.position()
    }

    /// What it is about; of a channel, and of an answer: empty.
    pub fn subject(&self) -> &str {
        self.inner.subject()
    }

    /// The headers it was sent with.
    pub fn headers(&self) -> &HashMap<String, String> {
        self.inner.headers()
    }

    /// One of them.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.header(name)
    }

    /// When it was sent, by the broker's clock.
    pub fn sent_at(&self) -> SystemTime {
        self.inner.sent_at()
    }

    /// The session that sent it.
    pub fn session(&self) -> u64 {
        self.inner.session()
    }

    /// Whether somebody had it before, and went without being done with it.
    pub fn is_redelivered(&self) -> bool {
        self.inner.is_redelivered()
    }

    /// Whether who sent it waits for an answer.
    pub fn expects_answer(&self) -> bool {
        self.inner.expects_answer()
    }

    /// It is done with, and comes to nobody else.
    pub fn done(&self) -> Result<()> {
        block_on(self.inner.done())
    }
}

/// Where the answers to one message go: [`bursar::Replies`](crate::Replies) for threads.
#[must_use = "who asked waits for `finish`"]
#[derive(Debug)]
pub struct Replies<T> {
    inner: crate::Replies<T>,
}

impl<T: Payload> Replies<T> {
    /// One answer, not the last.
    pub fn send(&self, value: impl Borrow<T>) -> Result<()> {
        block_on(self.inner.send(value))
    }

    /// As [`Replies::send`], with headers and a bound for the wait. Fault: `NoRoom`.
    pub fn send_with(&self, message: Message<T>, wait: impl Into<Wait>) -> Result<()> {
        block_on(self.inner.send_with(message, wait))
    }

    /// Many answers, none of them the last, in order.
    pub fn send_all<I: Borrow<T>>(&self, values: impl IntoIterator<Item = I>) -> Result<()> {
        block_on(self.inner.send_all(values))
    }

    /// That was all.
    pub fn finish(self) -> Result<()> {
        block_on(self.inner.finish())
    }
}

/// The answers to one question: [`bursar::Answers`](crate::Answers) for threads. As an iterator it ends after the last answer, or behind
/// the first error, except that of an answer which is no `T`.
#[must_use = "dropping the answers gives them up"]
#[derive(Debug)]
pub struct Answers<T> {
    inner: crate::Answers<T>,
    over: bool,
}

impl<T> From<crate::Answers<T>> for Answers<T> {
    fn from(inner: crate::Answers<T>) -> Answers<T> {
        Answers { inner, over: false }
    }
}

impl<T: Payload> Answers<T> {
    /// Waits for the next answer, with a bound; `None` after the last. Fault: `TimedOut`.
    pub fn next_within(&mut self, wait: impl Into<Wait>) -> Result<Option<Received<T>>> {
        Ok(block_on(self.inner.next_within(wait))?.map(Received::from))
    }
}

impl<T: Payload> Iterator for Answers<T> {
    type Item = Result<Received<T>>;

    /// Waits for the next answer.
    fn next(&mut self) -> Option<Result<Received<T>>> {
        if self.over {
            return None;
        }
        let next = self.next_within(Wait::Forever).transpose();
        self.over = next.as_ref().is_none_or(super::is_final);
        next
    }
}

/// A callback that is called, in a thread of its own, as long as this lives: [`bursar::Subscription`](crate::Subscription) for threads.
#[must_use = "a dropped subscription calls nothing any more"]
#[derive(Debug)]
pub struct Subscription {
    inner: crate::Subscription,
}

impl From<crate::Subscription> for Subscription {
    fn from(inner: crate::Subscription) -> Subscription {
        Subscription { inner }
    }
}

impl Subscription {
    /// How many messages could not be read, or whose callback failed or panicked.
    pub fn failures(&self) -> u64 {
        self.inner.failures()
    }

    /// How many messages of a topic were dropped because this was too slow; of a channel 0.
    pub fn missed(&self) -> u64 {
        self.inner.missed()
    }

    /// Ends it, and waits until the callback that is under way has returned. Not from within the callback.
    pub fn close(self) -> Result<()> {
        block_on(self.inner.close())
    }

    /// Waits until it ends by itself. See [`bursar::Subscription::wait`](crate::Subscription::wait).
    pub fn wait(self) -> Result<()> {
        block_on(self.inner.wait())
    }
}

/// A callback of this side gets messages of this side.
pub(super) fn adapt<T: Send + 'static, R: Outcome>(callback: impl Fn(&Received<T>) -> R + Send + Sync + 'static) -> Callback<T> {
    let callback = Arc::new(callback);
    Box::new(move |received| {
        let callback = callback.clone();
        async move { callback(&received.into()).into_result() }.boxed()
    })
}
