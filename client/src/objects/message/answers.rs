//! Questions and their answers: an inbox for each question that is under way, kept for the next one.
//!
//! ```text
//!   idle ──ask──► waiting for answers ──(the last came)──► idle
//!                    └── given up: dropped, and detached: who answers is told `NoSuchReceiver`
//! ```
//! One inbox for all questions would need somebody to sort the answers, and room for those that nobody takes; an inbox for each is one
//! more call when it is made, and its waits are kept by the broker.

use super::{
    Deadline, Delivered, Received,
    feed::{Feed, Item},
    line::{END, Line, Question},
};
use crate::{Error, Fault, Payload, Result, Wait};
use bursar_proto::v1;
use futures_util::{Stream, stream::unfold};
use parking_lot::Mutex;
use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// More idle inboxes are not kept: so many questions at one time are a burst.
const IDLE_MAX: usize = 16;
/// Answers that one fetch asks for.
const BATCH: u32 = 100;

/// The inboxes of a handle and its clones.
#[derive(Debug)]
pub(crate) struct Inboxes {
    line: Line,
    /// Never locked across an await.
    idle: Mutex<Vec<Feed>>,
    next_correlation: AtomicU64,
}

impl Inboxes {
    pub fn new(line: Line) -> Arc<Inboxes> {
        Arc::new(Inboxes { line, idle: Mutex::default(), next_correlation: AtomicU64::new(1) })
    }

    /// The first answer. The wait is that of both: for room, and for the answer.
    pub async fn ask<T: Payload>(self: &Arc<Inboxes>, question: Question, wait: Wait) -> Result<Received<T>> {
        let deadline = Deadline::new(wait);
        let mut answers = self.ask_many(question, wait).await?;
        let answer = answers.next_within(deadline.left()).await?;
        answer.ok_or_else(|| Error::protocol(format!("{}: the answers ended before the first", self.line.call_name())))
    }

    pub async fn ask_many<T>(self: &Arc<Inboxes>, question: Question, wait: Wait) -> Result<Answers<T>> {
        let inbox = self.take().await?;
        let correlation = self.next_correlation.fetch_add(1, Ordering::Relaxed);
        let reply_to = v1::ReplyTo { inbox: inbox.seat().id(), correlation };
        match self.line.ask(question, reply_to, wait).await {
            Ok(receivers) => Ok(Answers {
                inboxes: self.clone(),
                inbox: Some(inbox),
                correlation,
                expected: receivers.max(1),
                values: PhantomData,
            }),
            Err(error) => {
                if error.has_no_side_effects() {
                    self.put_back(inbox);
                }
                Err(error)
            }
        }
    }

    async fn take(&self) -> Result<Feed> {
        let idle = self.idle.lock().pop();
        match idle {
            Some(inbox) => Ok(inbox),
            None => {
                let id = self.line.attach_inbox().await?;
                let settles = matches!(self.line, Line::Channel { .. });
                Ok(Feed::new(self.line.clone(), id, settles, BATCH))
            }
        }
    }

    fn put_back(&self, inbox: Feed) {
        inbox.seat().finish();
        inbox.seat().tell_finished();
        let mut idle = self.idle.lock();
        if inbox.is_drained() && idle.len() < IDLE_MAX {
            idle.push(inbox);
        }
    }
}

/// The answers to one question, as they come.
///
/// They end with the last one: of a channel, when who answers says so; of a topic, when everybody has that got the question. Who dies
/// or never answers says nothing: bound the wait by [`next_within`](Answers::next_within). Dropping this tells those who still answer
/// that nobody listens.
///
/// See [`Received::replies`] for an example.
#[must_use = "dropping the answers gives them up"]
pub struct Answers<T> {
    inboxes: Arc<Inboxes>,
    /// `None`: the last has come.
    inbox: Option<Feed>,
    correlation: u64,
    /// So many have not said their last.
    expected: u64,
    values: PhantomData<fn() -> T>,
}

impl<T: Payload> Answers<T> {
    /// Waits for the next answer; `None` after the last. Dropping the future loses none.
    ///
    /// [`Error::Codec`]: an answer is no `T`; the next call goes on behind it. Fault: `Lagged`, in the place where the topic has dropped
    /// answers because this was too slow, as its [`Overload`](crate::topic::Overload) says; the next call goes on behind them, but the
    /// last answer may be among them.
    pub async fn next(&mut self) -> Result<Option<Received<T>>> {
        self.next_within(Wait::Forever).await
    }

    /// As [`Answers::next`], with a bound for the wait. Faults: `TimedOut`; `Lagged`.
    pub async fn next_within(&mut self, wait: impl Into<Wait>) -> Result<Option<Received<T>>> {
        let deadline = Deadline::new(wait.into());
        while let Some(inbox) = &mut self.inbox {
            let delivered = match inbox.next(deadline.left()).await? {
                Item::Message(delivered) => delivered,
                Item::Missed(missed) => return Err(self.lagged(missed)),
            };
            let seat = inbox.seat().clone();
            if !self.is_mine(&delivered) {
                continue;
            }
            let is_answer = !delivered.extra.as_ref().is_some_and(|extra| extra.headers.contains_key(END));
            let answer = is_answer.then(|| Received::new(&seat, delivered));
            // The inbox must not be kept by this clone when it is put back or dropped.
            drop(seat);
            self.put_back_after_last();
            if let Some(answer) = answer {
                return answer.map(Some);
            }
        }
        Ok(None)
    }

    /// As a stream, which ends after the last answer, or behind the first error that is not [`Error::Codec`].
    pub fn stream(&mut self) -> impl Stream<Item = Result<Received<T>>> + Unpin + use<'_, T> {
        Box::pin(unfold(Some(self), async |answers| {
            let answers = answers?;
            let answer = answers.next().await.transpose()?;
            let goes_on = matches!(answer, Ok(_) | Err(Error::Codec { .. }));
            Some((answer, goes_on.then_some(answers)))
        }))
    }

    /// Whether it answers this question, and not an earlier one of the same inbox; counts the last ones.
    fn is_mine(&mut self, delivered: &Delivered) -> bool {
        match delivered.extra.as_ref().and_then(|extra| extra.answer_to) {
            Some(to) if to.correlation == self.correlation => {
                self.expected -= u64::from(to.last);
                true
            }
            _ => false,
        }
    }

    fn lagged(&self, missed: u64) -> Error {
        let line = &self.inboxes.line;
        Error::refused(Fault::Lagged { missed }, line.call_name(), line.handle().name())
    }

    fn put_back_after_last(&mut self) {
        if self.expected == 0
            && let Some(inbox) = self.inbox.take()
        {
            self.inboxes.put_back(inbox);
        }
    }
}

impl<T> fmt::Debug for Answers<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = self.expected;
        formatter.debug_struct("Answers").field("correlation", &self.correlation).field("expected", &expected).finish()
    }
}
