//! What is to be followed, from where, and with whom.

use super::{Subscriber, wire};
use crate::{
    Payload, Result,
    objects::{
        Handle,
        message::{
            Failure, Outcome, Received, Subscription,
            feed::Feed,
            line::Line,
            subscription::{Callback, Place, Rules, asynchronous, plain},
        },
    },
};
use bursar_proto::{limits, v1};
use std::{collections::HashMap, fmt};

/// What a subscription on its own fetches at once: the broker keeps nothing of it for others, so fetching ahead takes from nobody.
const BATCH: u32 = 1000;

/// What is to be followed, before it begins. What is not said: every subject, from now on, alone.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// # let orders = manager.topic::<u32>("orders").overload(bursar::topic::Overload::Block).create().await?;
/// use bursar::topic::Event;
///
/// orders.publish_all([("eu.new", 1), ("us.new", 2), ("eu.paid", 3), ("eu.new", 4)]).await?;
/// let mut subscriber = orders.subscribe().subject("eu.*").filter(|number| *number > 1).last(10).start().await?;
/// for expected in [3, 4] {
///     let Event::Message(order) = subscriber.next().await? else { panic!("nothing was missed") };
///     assert_eq!(*order, expected);
/// }
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[must_use = "nothing happens before start or on_receive"]
pub struct Subscribe<T> {
    handle: Handle,
    request: wire::SubscribeRequest,
    headers: HashMap<String, String>,
    prefetch: u32,
    rules: Rules<T>,
}

impl<T> Subscribe<T> {
    pub(super) fn new(handle: &Handle) -> Subscribe<T> {
        let request = wire::SubscribeRequest { object: handle.object(), ..Default::default() };
        Subscribe { handle: handle.clone(), request, headers: HashMap::new(), prefetch: 1, rules: Rules::default() }
    }

    /// Messages about this: words, `*` for any one word, `>` at the end for one or more. Said again, also about that; up to 64.
    pub fn subject(mut self, subject: impl Into<String>) -> Subscribe<T> {
        self.request.subjects.push(subject.into());
        self
    }

    /// Only messages with this header; those without it are not even sent here. Several must all be met.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Subscribe<T> {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Begins with the last so many that match, of those that are kept.
    pub fn last(mut self, messages: u64) -> Subscribe<T> {
        self.request.replay = Some(wire::subscribe_request::Replay::Last(messages));
        self
    }

    /// Begins behind this position ([`Received::position`]); what is not kept any more counts as missed.
    pub fn after(mut self, position: u64) -> Subscribe<T> {
        self.request.replay = Some(wire::subscribe_request::Replay::After(position));
        self
    }

    /// Shares with every other subscriber of this group, in whatever process: each message goes to one of them, and to another one,
    /// marked as redelivered, if that one goes without being done with it. A group stays, and buffers, without members:
    /// [`Topic::delete_group`](super::Topic::delete_group). All its members ask for the same, else the fault is `Mismatch`. After the
    /// fault `Lagged` it has ended for all of them: whoever subscribes next begins it anew.
    pub fn group(mut self, group: impl Into<String>) -> Subscribe<T> {
        self.request.group = group.into();
        self
    }

    /// Of a group: fetches so many at once (at most 10,000), 1 by default. More is faster; but what is fetched waits for this member,
    /// and the broker hears of those that are done with when the last of them is: who is killed before leaves all of them to others.
    pub fn prefetch(mut self, messages: u32) -> Subscribe<T> {
        self.prefetch = messages.clamp(1, limits::BATCH_MAX as u32);
        self
    }

    /// Only messages for which this is true. It runs here, after the message has come.
    pub fn filter(mut self, filter: impl Fn(&T) -> bool + Send + Sync + 'static) -> Subscribe<T> {
        self.rules.filter = Some(Box::new(filter));
        self
    }

    /// With a callback: is told of each message that could not be read, or whose callback failed or panicked.
    pub fn on_error(mut self, hook: impl Fn(&Failure) + Send + Sync + 'static) -> Subscribe<T> {
        self.rules.on_error = Some(Box::new(hook));
        self
    }

    /// With a callback: is told, between the messages, how many were dropped in this place.
    pub fn on_lagged(mut self, hook: impl Fn(u64) + Send + Sync + 'static) -> Subscribe<T> {
        self.rules.on_lagged = Some(Box::new(hook));
        self
    }

    async fn attach(self) -> Result<(Feed, u64, Rules<T>)> {
        let Subscribe { handle, mut request, headers, prefetch, rules } = self;
        request.r#match = (!headers.is_empty()).then_some(v1::Match { headers });
        let is_member = !request.group.is_empty();
        let wire::SubscribeReply { subscription, position } = handle.call(request).await?;
        let batch = if is_member { prefetch } else { BATCH };
        Ok((Feed::new(Line::Topic { handle }, subscription, is_member, batch), position, rules))
    }
}

impl<T: Payload> Subscribe<T> {
    /// Begins to follow. Faults: `BadArgument`, for what is no subject; `Mismatch`, when the group follows something else.
    pub async fn start(self) -> Result<Subscriber<T>> {
        let (feed, position, rules) = self.attach().await?;
        Ok(Subscriber::new(feed, position, rules.filter))
    }
}

impl<T: Payload + Send + 'static> Subscribe<T> {
    /// Begins to follow, and calls this for each message.
    ///
    /// It runs in a task on the tokio runtime from which this is called, and must not block it; called from outside of one, in a
    /// thread of its own. Faults: as [`Subscribe::start`]. Error: [`Error::Thread`](crate::Error::Thread).
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// # let news = manager.topic::<u32>("news").overload(bursar::topic::Overload::Block).create().await?;
    /// use std::sync::mpsc;
    ///
    /// let (sender, receiver) = mpsc::sync_channel(1);
    /// let subscription = news.subscribe().on_receive(move |number| sender.send(**number)).await?;
    /// news.publish("a", 7).await?;
    /// assert_eq!(receiver.recv(), Ok(7));
    /// assert_eq!((subscription.failures(), subscription.missed()), (0, 0));
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn on_receive<R: Outcome>(
        self,
        callback: impl Fn(&Received<T>) -> R + Send + Sync + 'static,
    ) -> Result<Subscription> {
        self.run(plain(callback), Place::Runtime).await
    }

    /// As [`Subscribe::on_receive`], with an async callback, which may answer ([`Received::reply`]). The next message comes when its
    /// future is done.
    pub async fn on_receive_async<F>(self, callback: impl Fn(Received<T>) -> F + Send + Sync + 'static) -> Result<Subscription>
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.run(asynchronous(callback), Place::Runtime).await
    }

    pub(crate) async fn run(self, callback: Callback<T>, place: Place) -> Result<Subscription> {
        let (feed, _, rules) = self.attach().await?;
        Subscription::start(feed, rules, callback, place)
    }
}

impl<T> fmt::Debug for Subscribe<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        formatter.debug_struct("Subscribe").field("request", request).field("headers", &self.headers).finish()
    }
}
