//! The topic: one publishes, any number follow.
//!
//! ```text
//!   publish ──► the buffer of each subscription that it matches ──► Subscriber::next, or on_receive
//!                     └── full: what the topic's `Overload` says; what is missed is told in its place
//! ```

mod builder;
mod publish;
mod stats;
mod subscribe;
mod subscriber;

pub use builder::{Builder, Decided};
pub use stats::{Stats, SubscriptionStats};
pub use subscribe::Subscribe;
pub use subscriber::{Event, Subscriber};

use super::{
    Handle,
    chunk::{Chunk, Pace},
    message::{
        Answers, Encoded, Message, Received,
        answers::Inboxes,
        encode,
        line::{Line, Question},
    },
    reference::travels,
};
use crate::{Error, Manager, Payload, Raw, Result, Wait};
use bursar_proto::v1::topic as wire;
use bytes::Bytes;
use publish::{Encoder, PublishMany};
use std::{borrow::Borrow, collections::HashMap, fmt, marker::PhantomData, sync::Arc};

const PUBLISH: &str = "topic.publish";

/// A named stream of messages of one type, each about a subject, that any number of subscribers follow.
///
/// Subjects are words with dots between them, `orders.eu.new`. Subscriptions choose by them, with `*` for one word and `>` at the end
/// for one or more ([`Topic::subscribe`]). A subscriber that is too slow slows nobody else, unless the topic was created so
/// ([`Overload`]), and learns what it missed.
///
/// Handles are cheap to clone. After the object was deleted, calls fail with the fault `Gone`, also when its name was created anew.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// use bursar::{Manager, Topic, topic::{Event, Overload}};
///
/// let manager = Manager::connect(broker.address(), broker.authkey()).await?;
/// let news: Topic<String> = manager.topic("news").overload(Overload::DropOldest).open_or_create().await?;
/// let mut subscriber = news.subscribe().subject("weather.*").start().await?;
/// news.publish("weather.berlin", "rain".to_owned()).await?;
/// let Event::Message(message) = subscriber.next().await? else { panic!("nothing was missed") };
/// assert_eq!((message.subject(), message.as_str()), ("weather.berlin", "rain"));
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Topic<T = Raw> {
    handle: Handle,
    /// Shared with the clones.
    inboxes: Arc<Inboxes>,
    values: PhantomData<fn(T) -> T>,
}

travels!(Topic<T>, "topic", Topic::new);

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Topic<T> {
        Topic { handle: self.handle.clone(), inboxes: self.inboxes.clone(), values: PhantomData }
    }
}

impl<T> fmt::Debug for Topic<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Topic").field("name", &self.name()).field("epoch", &self.epoch()).finish()
    }
}

/// What happens to a message for a subscription whose buffer is full. Every topic has to decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overload {
    /// Who publishes waits: nothing is missed, and the slowest subscriber sets the pace.
    Block,
    /// The subscription misses the oldest that it has not been given.
    DropOldest,
    /// The subscription misses the new one.
    DropNewest,
    /// The subscription ends: its next call is the fault `Lagged`.
    Disconnect,
}

impl From<Overload> for wire::Overload {
    fn from(overload: Overload) -> wire::Overload {
        match overload {
            Overload::Block => wire::Overload::Block,
            Overload::DropOldest => wire::Overload::DropOldest,
            Overload::DropNewest => wire::Overload::DropNewest,
            Overload::Disconnect => wire::Overload::Disconnect,
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its position: each message of a topic has the next one.
    pub position: u64,
    /// How many subscriptions and groups it went to.
    pub receivers: u64,
}

impl<T> Topic<T> {
    fn new(handle: Handle) -> Topic<T> {
        let inboxes = Inboxes::new(Line::Topic { handle: handle.clone() });
        Topic { handle, inboxes, values: PhantomData }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Tells this object from earlier and later ones of the same name.
    pub fn epoch(&self) -> u64 {
        self.handle.epoch()
    }

    /// Whether the opening of this handle created the object.
    pub fn was_created(&self) -> bool {
        self.handle.created()
    }

    /// The session through which it was opened.
    pub fn manager(&self) -> &Manager {
        self.handle.manager()
    }

    /// Follows the topic; nothing happens before one of the builder's last verbs. See [`Subscribe`].
    pub fn subscribe(&self) -> Subscribe<T> {
        Subscribe::new(&self.handle)
    }

    /// Deletes a group with all that it buffers; its members get the fault `NoSuchReceiver`. Says whether there was one.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// # let news = manager.topic::<u32>("news").overload(bursar::topic::Overload::Block).create().await?;
    /// drop(news.subscribe().group("archive").start().await?);
    /// assert!(news.delete_group("archive").await?, "a group stays without members");
    /// assert!(!news.delete_group("archive").await?);
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn delete_group(&self, group: &str) -> Result<bool> {
        let request = wire::DeleteGroupRequest { object: self.handle.object(), group: group.to_owned() };
        let wire::DeleteGroupReply { found } = self.handle.call(request).await?;
        Ok(found)
    }

    /// What was published, and how far who follows is behind.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// # let news = manager.topic::<u32>("news").overload(bursar::topic::Overload::Block).create().await?;
    /// let subscriber = news.subscribe().start().await?;
    /// news.publish("a", 1).await?;
    /// let stats = news.stats().await?;
    /// assert_eq!((stats.position, stats.subscriptions[0].buffered), (1, 1));
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn stats(&self) -> Result<Stats> {
        let request = wire::StatsRequest { object: self.handle.object() };
        Ok(self.handle.call(request).await?.into())
    }
}

impl<T: Payload> Topic<T> {
    /// Publishes a value (or a reference to one) about a subject: 1 to 256 bytes of words, with dots between them.
    ///
    /// Waits only where the topic says [`Overload::Block`], while a subscription that would get it has no room. Publishing many at once
    /// from concurrent tasks costs few frames. Faults: `BadArgument`, for what is no subject; `TooLarge`.
    pub async fn publish(&self, subject: &str, value: impl Borrow<T>) -> Result<Published> {
        self.publish_within(subject, value, Wait::Forever).await
    }

    /// As [`Topic::publish`], with a bound for the wait. Fault: `NoRoom`.
    pub async fn publish_within(&self, subject: &str, value: impl Borrow<T>, wait: impl Into<Wait>) -> Result<Published> {
        let value = encode(&self.handle, value.borrow(), PUBLISH)?;
        self.publish_encoded(subject, Encoded { value, headers: HashMap::new(), must_be_heard: false }, wait.into()).await
    }

    /// As [`Topic::publish_within`], with headers, or only to somebody who listens. Fault: `NoResponders`. See [`Message`].
    pub async fn publish_with(&self, subject: &str, message: Message<T>, wait: impl Into<Wait>) -> Result<Published> {
        self.publish_encoded(subject, message.encode(&self.handle, PUBLISH)?, wait.into()).await
    }

    async fn publish_encoded(&self, subject: &str, message: Encoded, wait: Wait) -> Result<Published> {
        let Encoded { value, headers, must_be_heard } = message;
        let message = wire::Message { subject: subject.to_owned(), value: Some(value), headers, reply_to: None };
        let (object, wait_ms, messages) = (self.handle.object(), wait.to_ms(), vec![message]);
        let request = wire::PublishRequest { object, wait_ms, messages, must_be_heard };
        let wire::PublishReply { position, taken: _, receivers } = self.handle.call(request).await?;
        Ok(Published { position, receivers })
    }

    /// Publishes many, each with its subject, in order and with few round trips. Gives what became of the last; `None`: there was none.
    ///
    /// It is not one step: after an error or when the future is dropped, some may have been published.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// # let news = manager.topic::<u32>("news").overload(bursar::topic::Overload::Block).create().await?;
    /// let last = news.publish_all((1..=10).map(|number| ("numbers", number))).await?;
    /// assert_eq!(last.map(|last| last.position), Some(10));
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn publish_all<S: AsRef<str>, I: Borrow<T>>(
        &self,
        messages: impl IntoIterator<Item = (S, I)>,
    ) -> Result<Option<Published>> {
        let mut encoder = Encoder::default();
        let mut encoded = messages.into_iter().map(|(subject, value)| -> Result<Bytes> {
            let value = encode(&self.handle, value.borrow(), PUBLISH)?;
            Ok(encoder.encode(subject.as_ref(), &value))
        });
        let (mut last, mut next, mut pace) = (None, None, Pace::new());
        loop {
            let chunk = Chunk::fill(&mut next, &mut encoded)?;
            if chunk.is_empty() {
                return Ok(last);
            }
            last = Some(self.publish_chunk(&chunk, &mut pace).await?);
        }
    }

    /// As many as there is room for are taken; the rest is published again and waits.
    async fn publish_chunk(&self, mut left: &[Bytes], pace: &mut Pace) -> Result<Published> {
        loop {
            let some = pace.first_of(left);
            let (object, wait_ms) = (self.handle.object(), Wait::Forever.to_ms());
            let request = PublishMany { object, wait_ms, messages: some.to_vec() };
            let wire::PublishReply { position, taken, receivers } = self.handle.call(request).await?;
            let taken = taken as usize;
            if taken == 0 || taken > some.len() {
                return Err(Error::protocol(format!("{PUBLISH}: {taken} of {} messages were taken", some.len())));
            }
            left = &left[taken..];
            pace.taken(taken);
            if left.is_empty() {
                return Ok(Published { position, receivers });
            }
        }
    }

    /// Publishes a question, and waits for the first answer to it ([`Received::reply`]). The wait is that for both together, and must
    /// not be `Never`.
    ///
    /// Faults: `NoResponders`, at once, when no subscription gets it; `TimedOut`; `NoRoom`. Dropping the future gives up.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// # let sums = manager.topic::<u64>("sums").overload(bursar::topic::Overload::Block).create().await?;
    /// let server = sums.subscribe().subject("plus.one").on_receive_async(async |question| question.reply(*question + 1).await).await?;
    /// assert_eq!(*sums.ask("plus.one", 7, bursar::Wait::Forever).await?, 8);
    /// server.close().await?;
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn ask(&self, subject: &str, value: impl Borrow<T>, wait: impl Into<Wait>) -> Result<Received<T>> {
        self.inboxes.ask(self.question(subject, value.borrow())?, wait.into()).await
    }

    /// Publishes a question, and gives its [`Answers`] as they come, from everybody who gets it. Faults: as [`Topic::ask`].
    pub async fn ask_many(&self, subject: &str, value: impl Borrow<T>) -> Result<Answers<T>> {
        self.inboxes.ask_many(self.question(subject, value.borrow())?, Wait::Forever).await
    }

    fn question(&self, subject: &str, value: &T) -> Result<Question> {
        let value = encode(&self.handle, value, PUBLISH)?;
        Ok(Question { subject: subject.to_owned(), message: Encoded { value, headers: HashMap::new(), must_be_heard: true } })
    }
}
