//! Following a topic: one event after the other.

use crate::{
    Error, Payload, Result, Wait,
    objects::message::{
        Deadline, Received,
        feed::{Feed, Item},
        subscription::Filter,
    },
};
use futures_util::{Stream, stream::unfold};
use std::fmt;

/// What a subscriber is told.
#[derive(Debug)]
pub enum Event<T> {
    /// A message.
    Message(Received<T>),
    /// In this place messages were dropped, because this subscriber was too slow for them, or they were not kept.
    Lagged {
        /// How many.
        missed: u64,
    },
}

impl<T> Event<T> {
    /// The message, if it is one.
    pub fn message(self) -> Option<Received<T>> {
        match self {
            Event::Message(received) => Some(received),
            Event::Lagged { .. } => None,
        }
    }
}

/// Follows a topic, until it is dropped. On its own it fetches ahead; as a member of a group it holds no more than it said
/// ([`Subscribe::prefetch`](super::Subscribe::prefetch)), and is done with a message as an [`End`](crate::channel::End) is: when it asks
/// for the next one, says [`done`](Received::done), or is dropped in order.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::topic::{Event, Overload};
///
/// let news = manager.topic::<u32>("news").overload(Overload::DropOldest).buffer_messages(2).create().await?;
/// let mut subscriber = news.subscribe().start().await?;
/// news.publish_all((1..=5).map(|number| ("a", number))).await?;
/// assert!(matches!(subscriber.next().await?, Event::Lagged { missed: 3 }));
/// assert_eq!(*subscriber.next().await?.message().unwrap(), 4);
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Subscriber<T> {
    feed: Feed,
    position: u64,
    filter: Option<Filter<T>>,
}

impl<T> Drop for Subscriber<T> {
    fn drop(&mut self) {
        self.feed.seat().finish_in_order();
    }
}

impl<T> Subscriber<T> {
    pub(super) fn new(feed: Feed, position: u64, filter: Option<Filter<T>>) -> Subscriber<T> {
        Subscriber { feed, position, filter }
    }

    /// The position of the last message that was published before this began.
    pub fn began_at(&self) -> u64 {
        self.position
    }
}

impl<T: Payload> Subscriber<T> {
    /// Waits for the next event. Dropping the future loses none.
    ///
    /// Faults: `Lagged`, when the topic ends subscriptions that are too slow; `NoSuchReceiver`, when the group was deleted; `Gone`.
    /// [`Error::Codec`]: the message is no `T`; the next call goes on behind it.
    pub async fn next(&mut self) -> Result<Event<T>> {
        self.next_within(Wait::Forever).await
    }

    /// As [`Subscriber::next`], with a bound for the wait. Fault: `TimedOut`.
    pub async fn next_within(&mut self, wait: impl Into<Wait>) -> Result<Event<T>> {
        // What was fetched before needs no clock.
        while let Some(item) = self.feed.next_ready() {
            if let Some(event) = self.event(item?)? {
                return Ok(event);
            }
        }
        let deadline = Deadline::new(wait.into());
        loop {
            let item = self.feed.next(deadline.left()).await?;
            if let Some(event) = self.event(item)? {
                return Ok(event);
            }
        }
    }

    /// `None`: a message that the filter does not want.
    fn event(&self, item: Item) -> Result<Option<Event<T>>> {
        let delivered = match item {
            Item::Message(delivered) => delivered,
            Item::Missed(missed) => return Ok(Some(Event::Lagged { missed })),
        };
        let received: Received<T> = Received::new(self.feed.seat(), delivered)?;
        let is_wanted = self.filter.as_ref().is_none_or(|filter| filter(received.value()));
        Ok(is_wanted.then_some(Event::Message(received)))
    }

    /// What comes, as a stream, which ends behind the first error that is not [`Error::Codec`].
    pub fn events(&mut self) -> impl Stream<Item = Result<Event<T>>> + Unpin + use<'_, T> {
        Box::pin(unfold(Some(self), async |subscriber| {
            let subscriber = subscriber?;
            let event = subscriber.next().await;
            let goes_on = matches!(event, Ok(_) | Err(Error::Codec { .. }));
            Some((event, goes_on.then_some(subscriber)))
        }))
    }
}

impl<T> fmt::Debug for Subscriber<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.feed.seat().line().handle().name();
        formatter.debug_struct("Subscriber").field("name", &name).field("id", &self.feed.seat().id()).finish()
    }
}
