//! The topic for threads.

use super::{
    Manager, block_on, is_final,
    message::{Answers, Received, Subscription, adapt},
};
use crate::{
    Failure, Message, Outcome, Payload, Raw, Result, Wait,
    objects::message::subscription::Place,
    topic::{Builder, Decided, Overload, Published, Stats},
};
use std::{borrow::Borrow, fmt};

/// A topic that is to be opened, or created: [`topic::Builder`](Builder) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before open"]
pub struct TopicBuilder<T> {
    inner: Builder<T>,
}

impl<T> From<Builder<T>> for TopicBuilder<T> {
    fn from(inner: Builder<T>) -> TopicBuilder<T> {
        TopicBuilder { inner }
    }
}

impl<T: Payload> TopicBuilder<T> {
    /// See [`Builder::open`].
    pub fn open(self) -> Result<Topic<T>> {
        Ok(block_on(self.inner.open())?.into())
    }

    /// See [`Builder::overload`].
    pub fn overload(self, overload: Overload) -> DecidedTopic<T> {
        DecidedTopic { inner: self.inner.overload(overload) }
    }
}

/// What a topic is to be, before it is created: [`topic::Decided`](Decided) for threads.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before create or open_or_create"]
pub struct DecidedTopic<T> {
    inner: Decided<T>,
}

impl<T: Payload> DecidedTopic<T> {
    /// See [`Decided::buffer_messages`].
    pub fn buffer_messages(self, messages: u64) -> DecidedTopic<T> {
        DecidedTopic { inner: self.inner.buffer_messages(messages) }
    }

    /// See [`Decided::buffer_bytes`].
    pub fn buffer_bytes(self, bytes: u64) -> DecidedTopic<T> {
        DecidedTopic { inner: self.inner.buffer_bytes(bytes) }
    }

    /// See [`Decided::keep_messages`].
    pub fn keep_messages(self, messages: u64) -> DecidedTopic<T> {
        DecidedTopic { inner: self.inner.keep_messages(messages) }
    }

    /// See [`Decided::keep_bytes`].
    pub fn keep_bytes(self, bytes: u64) -> DecidedTopic<T> {
        DecidedTopic { inner: self.inner.keep_bytes(bytes) }
    }

    /// The topic goes with the last session that opened it.
    pub fn ephemeral(self) -> DecidedTopic<T> {
        DecidedTopic { inner: self.inner.ephemeral() }
    }

    /// See [`Decided::open_or_create`].
    pub fn open_or_create(self) -> Result<Topic<T>> {
        Ok(block_on(self.inner.open_or_create())?.into())
    }

    /// See [`Decided::create`].
    pub fn create(self) -> Result<Topic<T>> {
        Ok(block_on(self.inner.create())?.into())
    }
}

/// A named stream of messages that any number of subscribers follow: [`bursar::Topic`](crate::Topic) for threads.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// use bursar::{blocking::{Manager, Topic}, topic::Overload};
///
/// let manager = Manager::connect(broker.address(), broker.authkey())?;
/// let news: Topic<String> = manager.topic("news").overload(Overload::DropOldest).open_or_create()?;
/// let mut subscriber = news.subscribe().subject("weather.>").start()?;
/// news.publish("weather.berlin", "rain".to_owned())?;
/// let message = subscriber.next_event()?.message().expect("nothing was missed");
/// assert_eq!(message.as_str(), "rain");
/// # Ok::<(), bursar::Error>(())
/// ```
pub struct Topic<T = Raw> {
    inner: crate::Topic<T>,
}

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Topic<T> {
        Topic { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for Topic<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<T> From<crate::Topic<T>> for Topic<T> {
    fn from(inner: crate::Topic<T>) -> Topic<T> {
        Topic { inner }
    }
}

impl<T> Topic<T> {
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
    pub fn as_async(&self) -> &crate::Topic<T> {
        &self.inner
    }

    /// Follows the topic; nothing happens before one of the builder's last verbs.
    pub fn subscribe(&self) -> Subscribe<T> {
        Subscribe { inner: self.inner.subscribe() }
    }

    /// Deletes a group with all that it buffers. Says whether there was one.
    pub fn delete_group(&self, group: &str) -> Result<bool> {
        block_on(self.inner.delete_group(group))
    }

    /// What was published, and how far who follows is behind.
    pub fn stats(&self) -> Result<Stats> {
        block_on(self.inner.stats())
    }
}

impl<T: Payload> Topic<T> {
    /// Publishes a value about a subject. See [`bursar::Topic::publish`](crate::Topic::publish).
    pub fn publish(&self, subject: &str, value: impl Borrow<T>) -> Result<Published> {
        block_on(self.inner.publish(subject, value))
    }

    /// As [`Topic::publish`], with a bound for the wait. Fault: `NoRoom`.
    pub fn publish_within(&self, subject: &str, value: impl Borrow<T>, wait: impl Into<Wait>) -> Result<Published> {
        block_on(self.inner.publish_within(subject, value, wait))
    }

    /// As [`Topic::publish_within`], with headers, or only to somebody who listens. Fault: `NoResponders`.
    pub fn publish_with(&self, subject: &str, message: Message<T>, wait: impl Into<Wait>) -> Result<Published> {
        block_on(self.inner.publish_with(subject, message, wait))
    }

    /// Publishes many, each with its subject. See [`bursar::Topic::publish_all`](crate::Topic::publish_all).
    pub fn publish_all<S: AsRef<str>, I: Borrow<T>>(
        &self,
        messages: impl IntoIterator<Item = (S, I)>,
    ) -> Result<Option<Published>> {
        block_on(self.inner.publish_all(messages))
    }

    /// Publishes a question, and waits for the first answer to it. See [`bursar::Topic::ask`](crate::Topic::ask).
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # let manager = bursar::blocking::Manager::connect(broker.address(), broker.authkey())?;
    /// # let sums = manager.topic::<u64>("sums").overload(bursar::topic::Overload::Block).create()?;
    /// let server = sums.subscribe().on_receive(|question| question.reply(**question + 1))?;
    /// assert_eq!(*sums.ask("plus.one", 7, bursar::Wait::Forever)?, 8);
    /// server.close()?;
    /// # Ok::<(), bursar::Error>(())
    /// ```
    pub fn ask(&self, subject: &str, value: impl Borrow<T>, wait: impl Into<Wait>) -> Result<Received<T>> {
        Ok(block_on(self.inner.ask(subject, value, wait))?.into())
    }

    /// Publishes a question, and gives its answers as they come, from everybody who gets it.
    pub fn ask_many(&self, subject: &str, value: impl Borrow<T>) -> Result<Answers<T>> {
        Ok(block_on(self.inner.ask_many(subject, value))?.into())
    }
}

/// What is to be followed, before it begins: [`topic::Subscribe`](crate::topic::Subscribe) for threads.
#[must_use = "nothing happens before start or on_receive"]
#[derive(Debug)]
pub struct Subscribe<T> {
    inner: crate::topic::Subscribe<T>,
}

impl<T> Subscribe<T> {
    /// Messages about this. See [`topic::Subscribe::subject`](crate::topic::Subscribe::subject).
    pub fn subject(self, subject: impl Into<String>) -> Subscribe<T> {
        Subscribe { inner: self.inner.subject(subject) }
    }

    /// Only messages with this header. Several must all be met.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Subscribe<T> {
        Subscribe { inner: self.inner.header(name, value) }
    }

    /// Begins with the last so many that match, of those that are kept.
    pub fn last(self, messages: u64) -> Subscribe<T> {
        Subscribe { inner: self.inner.last(messages) }
    }

    /// Begins behind this position; what is not kept any more counts as missed.
    pub fn after(self, position: u64) -> Subscribe<T> {
        Subscribe { inner: self.inner.after(position) }
    }

    /// Shares with every other subscriber of this group. See [`topic::Subscribe::group`](crate::topic::Subscribe::group).
    pub fn group(self, group: impl Into<String>) -> Subscribe<T> {
        Subscribe { inner: self.inner.group(group) }
    }

    /// Of a group: fetches so many at once, 1 by default.
    pub fn prefetch(self, messages: u32) -> Subscribe<T> {
        Subscribe { inner: self.inner.prefetch(messages) }
    }

    /// Only messages for which this is true.
    pub fn filter(self, filter: impl Fn(&T) -> bool + Send + Sync + 'static) -> Subscribe<T> {
        Subscribe { inner: self.inner.filter(filter) }
    }

    /// With a callback: is told of each message that could not be read, or whose callback failed or panicked.
    pub fn on_error(self, hook: impl Fn(&Failure) + Send + Sync + 'static) -> Subscribe<T> {
        Subscribe { inner: self.inner.on_error(hook) }
    }

    /// With a callback: is told, between the messages, how many were dropped in this place.
    pub fn on_lagged(self, hook: impl Fn(u64) + Send + Sync + 'static) -> Subscribe<T> {
        Subscribe { inner: self.inner.on_lagged(hook) }
    }
}

impl<T: Payload> Subscribe<T> {
    /// Begins to follow. See [`topic::Subscribe::start`](crate::topic::Subscribe::start).
    pub fn start(self) -> Result<Subscriber<T>> {
        Ok(Subscriber { inner: block_on(self.inner.start())?, over: false })
    }
}

impl<T: Payload + Send + 'static> Subscribe<T> {
    /// Begins to follow, and calls this, in a thread of its own, for each message. See
    /// [`topic::Subscribe::on_receive`](crate::topic::Subscribe::on_receive).
    pub fn on_receive<R: Outcome>(self, callback: impl Fn(&Received<T>) -> R + Send + Sync + 'static) -> Result<Subscription> {
        Ok(block_on(self.inner.run(adapt(callback), Place::Thread))?.into())
    }
}

/// What a subscriber is told: [`topic::Event`](crate::topic::Event) for threads.
#[derive(Debug)]
pub enum TopicEvent<T> {
    /// A message.
    Message(Received<T>),
    /// In this place messages were dropped.
    Lagged {
        /// How many.
        missed: u64,
    },
}

impl<T> TopicEvent<T> {
    /// The message, if it is one.
    pub fn message(self) -> Option<Received<T>> {
        match self {
            TopicEvent::Message(received) => Some(received),
            TopicEvent::Lagged { .. } => None,
        }
    }
}

impl<T> From<crate::topic::Event<T>> for TopicEvent<T> {
    fn from(event: crate::topic::Event<T>) -> TopicEvent<T> {
        match event {
            crate::topic::Event::Message(received) => TopicEvent::Message(received.into()),
            crate::topic::Event::Lagged { missed } => TopicEvent::Lagged { missed },
        }
    }
}

/// Follows a topic: [`topic::Subscriber`](crate::topic::Subscriber) for threads. As an iterator it ends behind the first error, except
/// that of a message which is no `T`.
#[derive(Debug)]
pub struct Subscriber<T> {
    inner: crate::topic::Subscriber<T>,
    over: bool,
}

impl<T: Payload> Subscriber<T> {
    /// The position of the last message that was published before this began.
    pub fn began_at(&self) -> u64 {
        self.inner.began_at()
    }

    /// Waits for the next event. See [`topic::Subscriber::next`](crate::topic::Subscriber::next).
    pub fn next_event(&mut self) -> Result<TopicEvent<T>> {
        self.next_within(Wait::Forever)
    }

    /// As [`Subscriber::next_event`], with a bound for the wait. Fault: `TimedOut`.
    pub fn next_within(&mut self, wait: impl Into<Wait>) -> Result<TopicEvent<T>> {
        Ok(block_on(self.inner.next_within(wait))?.into())
    }
}

impl<T: Payload> Iterator for Subscriber<T> {
    type Item = Result<TopicEvent<T>>;

    /// Waits for the next event.
    fn next(&mut self) -> Option<Result<TopicEvent<T>>> {
        if self.over {
            return None;
        }
        let next = self.next_event();
        self.over = is_final(&next);
        Some(next)
    }
}
