//! The channel for threads.

use super::{
    Manager, block_on, is_final,
    message::{Answers, Received, Subscription, adapt},
};
use crate::{
    Failure, Fault, Message, Outcome, Payload, Raw, Result, Wait,
    channel::{Builder, EndUri, Side, Stats},
    objects::message::subscription::Place,
};
use std::{borrow::Borrow, fmt};

/// What a channel is to be, before it is opened: [`channel::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open, create or open_or_create"]
pub struct ChannelBuilder<T> {
    inner: Builder<T>,
}

impl<T> From<Builder<T>> for ChannelBuilder<T> {
    fn from(inner: Builder<T>) -> ChannelBuilder<T> {
        ChannelBuilder { inner }
    }
}

impl<T: Payload> ChannelBuilder<T> {
    /// See [`Builder::max_messages`].
    pub fn max_messages(self, messages: u64) -> ChannelBuilder<T> {
        self.inner.max_messages(messages).into()
    }

    /// See [`Builder::max_bytes`].
    pub fn max_bytes(self, bytes: u64) -> ChannelBuilder<T> {
        self.inner.max_bytes(bytes).into()
    }

    /// The channel goes with the last session that opened it.
    pub fn ephemeral(self) -> ChannelBuilder<T> {
        self.inner.ephemeral().into()
    }

    /// See [`Builder::open_or_create`].
    pub fn open_or_create(self) -> Result<Channel<T>> {
        Ok(block_on(self.inner.open_or_create())?.into())
    }

    /// See [`Builder::create`].
    pub fn create(self) -> Result<Channel<T>> {
        Ok(block_on(self.inner.create())?.into())
    }

    /// See [`Builder::open`].
    pub fn open(self) -> Result<Channel<T>> {
        Ok(block_on(self.inner.open())?.into())
    }
}

/// A named line between two ends: [`bursar::Channel`](crate::Channel) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::blocking::{Channel, Manager};
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let talk: Channel<String> = manager.channel("talk").open_or_create()?;
/// let mut b = talk.b();
/// let other = std::thread::spawn(move || b.receive());
/// talk.a().send("hello".to_owned())?;
/// assert_eq!(other.join().unwrap()?, "hello");
/// # Ok::<(), bursar::Error>(())
/// ```
pub struct Channel<T = Raw> {
    inner: crate::Channel<T>,
}

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Channel<T> {
        Channel { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<T> From<crate::Channel<T>> for Channel<T> {
    fn from(inner: crate::Channel<T>) -> Channel<T> {
        Channel { inner }
    }
}

impl<T> Channel<T> {
    /// The name.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Tells this object from earlier and later ones of the same name.
    pub fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    /// Whether the opening of this handle created the object.
    pub fn was_created(&self) -> bool {
        self.inner.was_created()
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> Manager {
        self.inner.manager().clone().into()
    }

    /// The async side of the same handle.
    pub fn as_async(&self) -> &crate::Channel<T> {
        &self.inner
    }

    /// One end.
    pub fn end(&self, side: Side) -> End<T> {
        self.inner.end(side).into()
    }

    /// End A.
    pub fn a(&self) -> End<T> {
        self.end(Side::A)
    }

    /// End B.
    pub fn b(&self) -> End<T> {
        self.end(Side::B)
    }

    /// How much waits at each end, and who receives there.
    pub fn stats(&self) -> Result<Stats> {
        block_on(self.inner.stats())
    }
}

/// A handle on one end of a channel: [`bursar::End`](crate::End) for threads.
pub struct End<T = Raw> {
    inner: crate::End<T>,
}

impl<T> Clone for End<T> {
    fn clone(&self) -> End<T> {
        End { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for End<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<T> From<crate::End<T>> for End<T> {
    fn from(inner: crate::End<T>) -> End<T> {
        End { inner }
    }
}

impl<T> End<T> {
    /// The channel's name.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Which end.
    pub fn side(&self) -> Side {
        self.inner.side()
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> Manager {
        self.inner.manager().clone().into()
    }

    /// The async side of the same handle.
    pub fn as_async(&self) -> &crate::End<T> {
        &self.inner
    }

    /// This end as text for another process. See [`bursar::End::uri`](crate::End::uri).
    pub fn uri(&self) -> EndUri {
        self.inner.uri()
    }

    /// Closes this end, for everybody. Gives the number of dropped messages. See [`bursar::End::close`](crate::End::close).
    pub fn close(&self) -> Result<u64> {
        block_on(self.inner.close())
    }

    /// Callbacks, with a choice at the broker.
    pub fn listener(&self) -> Listener<T> {
        Listener { inner: self.inner.listener() }
    }
}

impl<T: Payload> End<T> {
    /// Sends a value to the other end, and gives its position; waits while there is no room. See [`bursar::End::send`](crate::End::send).
    pub fn send(&self, value: impl Borrow<T>) -> Result<u64> {
        block_on(self.inner.send(value))
    }

    /// As [`End::send`], with a bound for the wait. Fault: `NoRoom`.
    pub fn send_within(&self, value: impl Borrow<T>, wait: impl Into<Wait>) -> Result<u64> {
        block_on(self.inner.send_within(value, wait))
    }

    /// As [`End::send_within`], with headers, or only to somebody who listens. Fault: `NoResponders`.
    pub fn send_with(&self, message: Message<T>, wait: impl Into<Wait>) -> Result<u64> {
        block_on(self.inner.send_with(message, wait))
    }

    /// Sends many, in order and with few round trips. Gives their positions.
    pub fn send_all<I: Borrow<T>>(&self, values: impl IntoIterator<Item = I>) -> Result<Vec<u64>> {
        block_on(self.inner.send_all(values))
    }

    /// Waits for a message; what this handle received before is done with. See [`bursar::End::receive`](crate::End::receive).
    pub fn receive(&mut self) -> Result<T> {
        block_on(self.inner.receive())
    }

    /// As [`End::receive`], with a bound for the wait. Fault: `TimedOut`.
    pub fn receive_within(&mut self, wait: impl Into<Wait>) -> Result<T> {
        block_on(self.inner.receive_within(wait))
    }

    /// What is there now, or the fault `TimedOut`.
    pub fn try_receive(&mut self) -> Result<T> {
        block_on(self.inner.try_receive())
    }

    /// As [`End::receive`], with all that came with the message.
    pub fn receive_message(&mut self) -> Result<Received<T>> {
        Ok(block_on(self.inner.receive_message())?.into())
    }

    /// As [`End::receive_message`], with a bound for the wait. Fault: `TimedOut`.
    pub fn receive_message_within(&mut self, wait: impl Into<Wait>) -> Result<Received<T>> {
        Ok(block_on(self.inner.receive_message_within(wait))?.into())
    }

    /// Receives up to `max` messages. See [`bursar::End::receive_many`](crate::End::receive_many).
    pub fn receive_many(&mut self, max: usize, wait: impl Into<Wait>) -> Result<Vec<Received<T>>> {
        Ok(block_on(self.inner.receive_many(max, wait))?.into_iter().map(Received::from).collect())
    }

    /// What comes, as an iterator. It ends when an end is closed and nothing is left, or behind the first error, except that of a
    /// message which is no `T`.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
    /// let talk = manager.channel::<u32>("talk").create()?;
    /// talk.a().send_all([1, 2, 3])?;
    /// talk.a().close()?;
    /// let numbers: Vec<u32> = talk.b().messages().map(|message| Ok(*message?)).collect::<bursar::Result<_>>()?;
    /// assert_eq!(numbers, [1, 2, 3]);
    /// # Ok::<(), bursar::Error>(())
    /// ```
    pub fn messages(&mut self) -> Messages<'_, T> {
        Messages { end: self, over: false }
    }

    /// Sends a question, and waits for the first answer to it. See [`bursar::End::ask`](crate::End::ask).
    pub fn ask(&self, value: impl Borrow<T>, wait: impl Into<Wait>) -> Result<Received<T>> {
        Ok(block_on(self.inner.ask(value, wait))?.into())
    }

    /// Sends a question, and gives its answers as they come.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
    /// let numbers = manager.channel::<u64>("numbers").create()?;
    /// let server = numbers.b().listener().on_receive(|question| {
    ///     let replies = question.replies()?;
    ///     replies.send_all(0..**question)?;
    ///     replies.finish()
    /// })?;
    /// let sum = numbers.a().ask_many(4)?.map(|answer| Ok(*answer?)).sum::<bursar::Result<u64>>()?;
    /// assert_eq!(sum, 6);
    /// server.close()?;
    /// # Ok::<(), bursar::Error>(())
    /// ```
    pub fn ask_many(&self, value: impl Borrow<T>) -> Result<Answers<T>> {
        Ok(block_on(self.inner.ask_many(value))?.into())
    }
}

impl<T: Payload + Send + 'static> End<T> {
    /// Calls the callback, in a thread of its own, for each message for which the filter is true.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
    /// let talk = manager.channel::<u32>("talk").create()?;
    /// let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    /// let subscription = talk.b().on_receive(|number| *number > 1, move |number| sender.send(**number))?;
    /// talk.a().send_all([1, 2])?;
    /// assert_eq!(receiver.recv(), Ok(2));
    /// # Ok::<(), bursar::Error>(())
    /// ```
    pub fn on_receive<R: Outcome>(
        &self,
        filter: impl Fn(&T) -> bool + Send + Sync + 'static,
        callback: impl Fn(&Received<T>) -> R + Send + Sync + 'static,
    ) -> Result<Subscription> {
        self.listener().filter(filter).on_receive(callback)
    }
}

/// What comes to an end of a channel. See [`End::messages`].
#[derive(Debug)]
pub struct Messages<'a, T> {
    end: &'a mut End<T>,
    over: bool,
}

impl<T: Payload> Iterator for Messages<'_, T> {
    type Item = Result<Received<T>>;

    /// Waits for the next message.
    fn next(&mut self) -> Option<Result<Received<T>>> {
        if self.over {
            return None;
        }
        let next = self.end.receive_message();
        self.over = is_final(&next);
        let is_closed = |fault: &Fault| matches!(fault, Fault::EndClosed { .. });
        Some(next).filter(|next| !next.as_ref().is_err_and(|error| error.fault().is_some_and(is_closed)))
    }
}

/// Which messages of an end a callback is called for: [`channel::Listener`](crate::channel::Listener) for threads.
#[must_use = "nothing happens before on_receive"]
#[derive(Debug)]
pub struct Listener<T> {
    inner: crate::channel::Listener<T>,
}

impl<T> Listener<T> {
    /// Only messages with this header. Several must all be met.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Listener<T> {
        Listener { inner: self.inner.header(name, value) }
    }

    /// Only messages for which this is true.
    pub fn filter(self, filter: impl Fn(&T) -> bool + Send + Sync + 'static) -> Listener<T> {
        Listener { inner: self.inner.filter(filter) }
    }

    /// Is told of each message that could not be read, or whose callback failed or panicked.
    pub fn on_error(self, hook: impl Fn(&Failure) + Send + Sync + 'static) -> Listener<T> {
        Listener { inner: self.inner.on_error(hook) }
    }
}

impl<T: Payload + Send + 'static> Listener<T> {
    /// Calls this, in a thread of its own, for each message. See
    /// [`channel::Listener::on_receive`](crate::channel::Listener::on_receive).
    pub fn on_receive<R: Outcome>(self, callback: impl Fn(&Received<T>) -> R + Send + Sync + 'static) -> Result<Subscription> {
        Ok(block_on(self.inner.start(adapt(callback), Place::Thread))?.into())
    }
}
