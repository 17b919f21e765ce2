//! Callbacks at an end, before they are attached.

use super::{End, Side, wire};
use crate::{
    Payload, Result,
    objects::message::{
        Failure, Outcome, Received, Subscription,
        feed::Feed,
        line::Line,
        subscription::{Callback, Place, Rules, asynchronous, plain},
    },
};
use bursar_proto::v1;
use std::{collections::HashMap, fmt};

/// Which messages of an end a callback is called for, and what happens when it fails. See [`End::listener`].
///
/// Each listener gets every message that meets its headers, also when another one or an active receiver gets it too.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Message, Wait};
/// use std::sync::mpsc;
///
/// let talk = manager.channel::<u32>("talk").create().await?;
/// let (sender, receiver) = mpsc::sync_channel(1);
/// let listener = talk.b().listener().header("kind", "temperature").filter(|degrees| *degrees > 30);
/// let subscription = listener.on_receive(move |degrees| sender.send(**degrees)).await?;
///
/// let temperature = |degrees| Message::new(degrees).header("kind", "temperature");
/// talk.a().send(99).await?;
/// talk.a().send_with(temperature(20), Wait::Forever).await?;
/// talk.a().send_with(temperature(35), Wait::Forever).await?;
/// assert_eq!(receiver.recv(), Ok(35));
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[must_use = "nothing happens before on_receive"]
pub struct Listener<T> {
    handle: crate::objects::Handle,
    side: Side,
    headers: HashMap<String, String>,
    rules: Rules<T>,
}

impl<T> Listener<T> {
    pub(super) fn new(end: &End<T>) -> Listener<T> {
        Listener { handle: end.handle().clone(), side: end.side(), headers: HashMap::new(), rules: Rules::default() }
    }

    /// Only messages with this header; those without it are not even sent here. Several must all be met.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Listener<T> {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Only messages for which this is true. It runs here, after the message has come.
    pub fn filter(mut self, filter: impl Fn(&T) -> bool + Send + Sync + 'static) -> Listener<T> {
        self.rules.filter = Some(Box::new(filter));
        self
    }

    /// Is told of each message that could not be read, or whose callback failed or panicked.
    pub fn on_error(mut self, hook: impl Fn(&Failure) + Send + Sync + 'static) -> Listener<T> {
        self.rules.on_error = Some(Box::new(hook));
        self
    }
}

impl<T: Payload + Send + 'static> Listener<T> {
    /// Calls this for each message from now on, and for those that wait, if no active receiver is attached.
    ///
    /// It runs in a task on the tokio runtime from which this is called, and must not block it; called from outside of one, in a
    /// thread of its own. Errors: [`Error::Thread`](crate::Error::Thread). Fault: `EndClosed`.
    pub async fn on_receive<R: Outcome>(
        self,
        callback: impl Fn(&Received<T>) -> R + Send + Sync + 'static,
    ) -> Result<Subscription> {
        self.start(plain(callback), Place::Runtime).await
    }

    /// As [`Listener::on_receive`], with an async callback, which may answer ([`Received::reply`]). The next message comes when its
    /// future is done.
    pub async fn on_receive_async<F>(self, callback: impl Fn(Received<T>) -> F + Send + Sync + 'static) -> Result<Subscription>
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.start(asynchronous(callback), Place::Runtime).await
    }

    pub(crate) async fn start(self, callback: Callback<T>, place: Place) -> Result<Subscription> {
        let Listener { handle, side, headers, rules } = self;
        let end = wire::End::from(side);
        let request = wire::AttachRequest {
            object: handle.object(),
            end: end.into(),
            mode: wire::Mode::Passive.into(),
            r#match: (!headers.is_empty()).then_some(v1::Match { headers }),
        };
        let wire::AttachReply { receiver } = handle.call(request).await?;
        let feed = Feed::new(Line::Channel { handle, end }, receiver, true, 1);
        Subscription::start(feed, rules, callback, place)
    }
}

impl<T> fmt::Debug for Listener<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, headers) = (self.handle.name(), &self.headers);
        formatter.debug_struct("Listener").field("name", &name).field("side", &self.side).field("headers", headers).finish()
    }
}
