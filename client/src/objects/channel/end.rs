//! One end of a channel: sending, receiving, asking.

use super::{EndUri, Listener, Side, wire};
use crate::{
    Error, Fault, Manager, Payload, Raw, Result, Wait,
    objects::{
        Handle,
        chunk::{Chunk, Pace},
        message::{
            Answers, Deadline, Delivered, Encoded, Message, Outcome, Received, Subscription,
            answers::Inboxes,
            encode,
            feed::Feed,
            line::{Line, Question},
        },
        reference::{Reference, travels},
    },
};
use bursar_proto::{limits, v1};
use futures_util::{Stream, stream::unfold};
use std::{borrow::Borrow, collections::HashMap, fmt, marker::PhantomData, sync::Arc};

const SEND: &str = "channel.send";

/// A handle on one end of a [`Channel`](super::Channel).
///
/// Sending takes `&self`. Receiving takes `&mut self`, because of its rule: a message is done with when its receiver asks for the next
/// one, says [`done`](Received::done), or is dropped in order. If its program is killed in between, or panics, the successor at this
/// end gets the message, marked as [redelivered](Received::is_redelivered).
///
/// The first receive attaches this handle as an active receiver of its end, until it is dropped. A clone sends and asks like this one,
/// and receives by itself: it is another receiver, with which this one shares the messages.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let talk = manager.channel::<u32>("talk").create().await?;
/// talk.a().send_all([1, 2]).await?;
///
/// let mut b = talk.b();
/// assert_eq!(b.receive().await?, 1);
/// drop(b);
/// assert_eq!(talk.b().receive().await?, 2, "the first one is done with");
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct End<T = Raw> {
    handle: Handle,
    side: Side,
    /// Attached with the first receive.
    feed: Option<Feed>,
    /// Shared with the clones.
    inboxes: Arc<Inboxes>,
    values: PhantomData<fn(T) -> T>,
}

travels!(End<T>, "channel", |end| Reference::new("channel", &end.handle).with_part(end.side.letter()), |handle, reference| {
    let side = Side::of_letter(&reference.part()?).ok_or("the handle of an end of a channel names neither a nor b")?;
    Ok(End::new(&handle, side))
});

impl<T> Clone for End<T> {
    fn clone(&self) -> End<T> {
        let (handle, inboxes) = (self.handle.clone(), self.inboxes.clone());
        End { handle, side: self.side, feed: None, inboxes, values: PhantomData }
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        if let Some(feed) = &self.feed {
            feed.seat().finish_in_order();
        }
    }
}

impl<T> fmt::Debug for End<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, receives) = (self.handle.name(), self.feed.is_some());
        formatter.debug_struct("End").field("name", &name).field("side", &self.side).field("receives", &receives).finish()
    }
}

impl<T> End<T> {
    pub(super) fn new(handle: &Handle, side: Side) -> End<T> {
        let handle = handle.clone();
        let inboxes = Inboxes::new(Line::Channel { handle: handle.clone(), end: side.into() });
        End { handle, side, feed: None, inboxes, values: PhantomData }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Which end.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> &Manager {
        self.handle.manager()
    }

    /// This end as text for another process, which opens it with [`Manager::end`]. There is no secret in it.
    pub fn uri(&self) -> EndUri {
        EndUri::new(self.name(), self.side, self.handle.epoch(), self.manager().address())
    }

    /// Closes this end, for everybody: it sends no more and receives no more, and what waited for it is dropped. The other end
    /// receives what was sent before, and then gets the fault `EndClosed`. Gives the number of dropped messages.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::Fault;
    ///
    /// let talk = manager.channel::<u32>("talk").create().await?;
    /// talk.a().send(1).await?;
    /// talk.a().close().await?;
    /// let mut b = talk.b();
    /// assert_eq!(b.receive().await?, 1);
    /// assert!(matches!(b.receive().await.unwrap_err().fault(), Some(Fault::EndClosed { .. })));
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn close(&self) -> Result<u64> {
        let request = wire::CloseRequest { object: self.handle.object(), end: wire::End::from(self.side).into() };
        let wire::CloseReply { changed: _, dropped } = self.handle.call(request).await?;
        Ok(dropped)
    }

    /// Callbacks, with a choice at the broker. See [`Listener`].
    pub fn listener(&self) -> Listener<T> {
        Listener::new(self)
    }
}

impl<T: Payload> End<T> {
    pub(crate) async fn open(manager: &Manager, uri: &EndUri) -> Result<End<T>> {
        let channel = super::Builder::<T>::new(manager.clone(), uri.name()).open().await?;
        let (old_epoch, new_epoch) = (uri.epoch(), channel.epoch());
        if old_epoch != new_epoch {
            let fault = Fault::Gone { name: uri.name().to_owned(), old_epoch, new_epoch };
            return Err(Error::refused(fault, "objects.open", uri.name()));
        }
        Ok(channel.end(uri.side()))
    }

    /// Sends a value (or a reference to one) to the other end, and gives its position; waits while there is no room.
    ///
    /// Once this returns, the message is kept as safely as the broker keeps anything. Sending many at once from concurrent tasks costs
    /// few frames. Faults: `EndClosed`, when either end is closed; `TooLarge`.
    pub async fn send(&self, value: impl Borrow<T>) -> Result<u64> {
        self.send_within(value, Wait::Forever).await
    }

    /// As [`End::send`], with a bound for the wait. Fault: `NoRoom`.
    pub async fn send_within(&self, value: impl Borrow<T>, wait: impl Into<Wait>) -> Result<u64> {
        let value = encode(&self.handle, value.borrow(), SEND)?;
        self.send_encoded(Encoded { value, headers: HashMap::new(), must_be_heard: false }, wait.into()).await
    }

    /// As [`End::send_within`], with headers, or only to somebody who listens. Fault: `NoResponders`. See [`Message`].
    pub async fn send_with(&self, message: Message<T>, wait: impl Into<Wait>) -> Result<u64> {
        self.send_encoded(message.encode(&self.handle, SEND)?, wait.into()).await
    }

    async fn send_encoded(&self, Encoded { value, headers, must_be_heard }: Encoded, wait: Wait) -> Result<u64> {
        let messages = vec![wire::Message { value: Some(value), headers, reply_to: None, answer_to: None }];
        let request = self.send_request(messages, must_be_heard, wait);
        let wire::SendReply { positions } = self.handle.call(request).await?;
        match positions[..] {
            [position] => Ok(position),
            _ => Err(Error::protocol(format!("{SEND}: {} positions for one message", positions.len()))),
        }
    }

    fn send_request(&self, messages: Vec<wire::Message>, must_be_heard: bool, wait: Wait) -> wire::SendRequest {
        let from = wire::End::from(self.side).into();
        wire::SendRequest { object: self.handle.object(), wait_ms: wait.to_ms(), from, messages, must_be_heard }
    }

    /// Sends many, in order and with few round trips; waits while there is no room. Gives their positions.
    ///
    /// It is not one step: the first are received before the last are sent, and after an error or when the future is dropped, some may
    /// have been sent.
    pub async fn send_all<I: Borrow<T>>(&self, values: impl IntoIterator<Item = I>) -> Result<Vec<u64>> {
        let message = |value: v1::Value| wire::Message { value: Some(value), ..Default::default() };
        let mut encoded = values.into_iter().map(|value| encode(&self.handle, value.borrow(), SEND).map(message));
        let (mut positions, mut next, mut pace) = (Vec::new(), None, Pace::new());
        loop {
            let chunk = Chunk::fill(&mut next, &mut encoded)?;
            if chunk.is_empty() {
                return Ok(positions);
            }
            self.send_chunk(&chunk, &mut pace, &mut positions).await?;
        }
    }

    /// As many as there is room for are taken; the rest is sent again and waits.
    async fn send_chunk(&self, mut left: &[wire::Message], pace: &mut Pace, positions: &mut Vec<u64>) -> Result<()> {
        while !left.is_empty() {
            let some = pace.first_of(left);
            let request = self.send_request(some.to_vec(), false, Wait::Forever);
            let wire::SendReply { positions: taken } = self.handle.call(request).await?;
            if taken.is_empty() || taken.len() > some.len() {
                return Err(Error::protocol(format!("{SEND}: {} positions for {} messages", taken.len(), some.len())));
            }
            left = &left[taken.len()..];
            pace.taken(taken.len());
            positions.extend(taken);
        }
        Ok(())
    }

    /// Waits for a message. Receivers of one end are served in the order in which they came; dropping the future loses nothing. What
    /// this handle received before is done with.
    ///
    /// Fault: `EndClosed`, when an end is closed and nothing is left. [`Error::Codec`]: the message is no `T`; it is done with too.
    pub async fn receive(&mut self) -> Result<T> {
        Ok(self.receive_message().await?.into_value())
    }

    /// As [`End::receive`], with a bound for the wait. Fault: `TimedOut`, when nothing came in time.
    pub async fn receive_within(&mut self, wait: impl Into<Wait>) -> Result<T> {
        Ok(self.receive_message_within(wait).await?.into_value())
    }

    /// What is there now, or the fault `TimedOut`.
    pub async fn try_receive(&mut self) -> Result<T> {
        self.receive_within(Wait::Never).await
    }

    /// As [`End::receive`], with all that came with the message: to answer it, or to say early that it is done with.
    pub async fn receive_message(&mut self) -> Result<Received<T>> {
        self.receive_message_within(Wait::Forever).await
    }

    /// As [`End::receive_message`], with a bound for the wait. Fault: `TimedOut`.
    pub async fn receive_message_within(&mut self, wait: impl Into<Wait>) -> Result<Received<T>> {
        let deadline = Deadline::new(wait.into());
        let feed = self.attach().await?;
        let delivered = feed.next_message(deadline).await?;
        Received::new(feed.seat(), delivered)
    }

    /// Receives up to `max` messages (at most 10,000, and about 1 MiB): as many as are there, and waits only for the first. All of them
    /// are done with when the next is asked for. Messages that are no `T` are done with too; they are an error only if no other came.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let talk = manager.channel::<u32>("talk").create().await?;
    /// talk.a().send_all(0..100).await?;
    /// let numbers = talk.b().receive_many(1000, bursar::Wait::Forever).await?;
    /// assert_eq!(numbers.iter().map(|number| **number).sum::<u32>(), 4950);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn receive_many(&mut self, max: usize, wait: impl Into<Wait>) -> Result<Vec<Received<T>>> {
        let feed = self.attach().await?;
        let delivered = feed.next_many(wait.into(), max.clamp(1, limits::BATCH_MAX) as u32).await?;
        let (mut messages, mut problem) = (Vec::with_capacity(delivered.len()), None);
        for outcome in delivered.into_iter().map(|delivered: Delivered| Received::new(feed.seat(), delivered)) {
            match outcome {
                Ok(received) => messages.push(received),
                Err(error) => {
                    tracing::warn!(%error, "a message is passed over");
                    problem = Some(error);
                }
            }
        }
        match problem {
            Some(error) if messages.is_empty() => Err(error),
            _ => Ok(messages),
        }
    }

    async fn attach(&mut self) -> Result<&mut Feed> {
        if self.feed.is_none() {
            let (end, mode) = (wire::End::from(self.side), wire::Mode::Active.into());
            let request = wire::AttachRequest { object: self.handle.object(), end: end.into(), mode, r#match: None };
            let wire::AttachReply { receiver } = self.handle.call(request).await?;
            let line = Line::Channel { handle: self.handle.clone(), end };
            self.feed = Some(Feed::new(line, receiver, true, 1));
        }
        Ok(self.feed.as_mut().expect("it was attached right here"))
    }

    /// What comes, as a stream. It ends when an end is closed and nothing is left, or behind the first error that is not
    /// [`Error::Codec`].
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use futures_util::TryStreamExt;
    ///
    /// let talk = manager.channel::<u32>("talk").create().await?;
    /// talk.a().send_all([1, 2, 3]).await?;
    /// talk.a().close().await?;
    /// let numbers: Vec<u32> = talk.b().messages().map_ok(|message| *message).try_collect().await?;
    /// assert_eq!(numbers, [1, 2, 3]);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn messages(&mut self) -> impl Stream<Item = Result<Received<T>>> + Unpin + use<'_, T> {
        Box::pin(unfold(Some(self), async |end| {
            let end = end?;
            let message = end.receive_message().await;
            if matches!(&message, Err(error) if matches!(error.fault(), Some(Fault::EndClosed { .. }))) {
                return None;
            }
            let goes_on = matches!(message, Ok(_) | Err(Error::Codec { .. }));
            Some((message, goes_on.then_some(end)))
        }))
    }

    /// Sends a question, and waits for the first answer to it ([`Received::reply`]). The wait is that for both together, and must not be
    /// `Never`.
    ///
    /// Faults: `NoResponders`, at once, when nobody receives at the other end; `TimedOut`; `NoRoom`; `EndClosed`. Dropping the future
    /// gives up; the question may have been received all the same.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// use bursar::{Fault, Wait};
    ///
    /// let sums = manager.channel::<u64>("sums").create().await?;
    /// let error = sums.a().ask(7, Wait::Forever).await.unwrap_err();
    /// assert_eq!(error.fault(), Some(&Fault::NoResponders {}));
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn ask(&self, value: impl Borrow<T>, wait: impl Into<Wait>) -> Result<Received<T>> {
        self.inboxes.ask(self.question(value.borrow())?, wait.into()).await
    }

    /// Sends a question, and gives its [`Answers`] as they come. Waits while there is no room for the question. Faults: as
    /// [`End::ask`].
    pub async fn ask_many(&self, value: impl Borrow<T>) -> Result<Answers<T>> {
        self.inboxes.ask_many(self.question(value.borrow())?, Wait::Forever).await
    }

    fn question(&self, value: &T) -> Result<Question> {
        let value = encode(&self.handle, value, SEND)?;
        Ok(Question { subject: String::new(), message: Encoded { value, headers: HashMap::new(), must_be_heard: true } })
    }
}

impl<T: Payload + Send + 'static> End<T> {
    /// Calls the callback for each message for which the filter is true. Short for [`End::listener`], where more can be said.
    ///
    /// See [`Subscription`] for an example, and [`Listener::on_receive`] for where it runs.
    pub async fn on_receive<R: Outcome>(
        &self,
        filter: impl Fn(&T) -> bool + Send + Sync + 'static,
        callback: impl Fn(&Received<T>) -> R + Send + Sync + 'static,
    ) -> Result<Subscription> {
        self.listener().filter(filter).on_receive(callback).await
    }
}
