//! A message that was received, and the ways to answer it.

use super::{Delivered, Encoded, Extra, Message, encode, seat::Seat};
use crate::{
    Error, Fault, Payload, Raw, Result, Wait,
    objects::{Handle, to_time},
};
use bursar_proto::v1;
use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    marker::PhantomData,
    ops::Deref,
    sync::{Arc, LazyLock, Weak},
    time::SystemTime,
};

const REPLY: &str = "reply";

/// A message, with all that came with it. It derefs to its value.
///
/// What the broker keeps until it is done with (a message of a channel, or of a group of a topic) is done with when its receiver asks
/// for the next one, when [`done`](Received::done) is said, or when its receiver is dropped; dropping this alone says nothing.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// let talk = manager.channel::<String>("talk").create().await?;
/// talk.a().send("hello".to_owned()).await?;
/// let mut b = talk.b();
/// let message = b.receive_message().await?;
/// assert_eq!((message.as_str(), message.session()), ("hello", manager.session_id()));
/// message.done().await?;
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
pub struct Received<T> {
    value: T,
    position: u64,
    subject: Arc<str>,
    sent_ms: u64,
    session: u64,
    redelivered: bool,
    extra: Option<Box<Extra>>,
    origin: Arc<Origin>,
}

/// Where a message comes from. Its receiver shares it with all that it receives.
#[derive(Debug)]
pub(crate) struct Origin {
    pub line: super::line::Line,
    /// Gone with the receiver, and then the message is done with.
    pub seat: Weak<Seat>,
}

impl<T: Payload> Received<T> {
    pub(crate) fn new(seat: &Arc<Seat>, delivered: Delivered) -> Result<Received<T>> {
        let Delivered { position, subject, value, sent_ms, session, redelivered, missed: _, extra } = delivered;
        let v1::Value { data, codec } = value;
        let origin = seat.origin().clone();
        let value = origin.line.handle().decode(Raw { data, codec })?;
        Ok(Received { value, position, subject, sent_ms, session, redelivered, extra, origin })
    }

    /// The one answer, or the last: whoever asks waits for no more. Waits while the channel or the inbox is full.
    ///
    /// Faults: `BadArgument`, when no answer is expected; `NoSuchReceiver`, when who asked is gone or waits no longer.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let sums = manager.channel::<u64>("sums").create().await?;
    /// let server = sums.b().listener().on_receive_async(async |question| question.reply(*question + 1).await).await?;
    /// assert_eq!(*sums.a().ask(7, bursar::Wait::Forever).await?, 8);
    /// server.close().await?;
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub async fn reply(&self, value: impl Borrow<T>) -> Result<()> {
        let value = encode(self.handle(), value.borrow(), REPLY)?;
        self.replies()?.answer(Encoded { value, headers: HashMap::new(), must_be_heard: false }, true, Wait::Forever).await
    }

    /// As [`Received::reply`], with headers and a bound for the wait. Fault: `NoRoom`.
    pub async fn reply_with(&self, message: Message<T>, wait: impl Into<Wait>) -> Result<()> {
        let message = message.encode(self.handle(), REPLY)?;
        self.replies()?.answer(message, true, wait.into()).await
    }

    /// For many answers. Fault: `BadArgument`, when no answer is expected.
    ///
    /// ```
    /// # let broker = bursar_server::testing::TestBroker::start();
    /// # bursar::blocking::block_on(async {
    /// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
    /// let numbers = manager.channel::<u64>("numbers").create().await?;
    /// let server = numbers.b().listener().on_receive_async(async |question| {
    ///     let replies = question.replies()?;
    ///     replies.send_all(0..*question).await?;
    ///     replies.finish().await
    /// }).await?;
    /// let mut answers = numbers.a().ask_many(3).await?;
    /// let mut sum = 0;
    /// while let Some(answer) = answers.next().await? {
    ///     sum += *answer;
    /// }
    /// assert_eq!(sum, 3);
    /// server.close().await?;
    /// # Ok::<(), bursar::Error>(()) }).unwrap();
    /// ```
    pub fn replies(&self) -> Result<Replies<T>> {
        let Some(v1::ReplyTo { inbox, correlation }) = self.reply_to() else {
            let fault =
                Fault::bad_argument("message", "expected one that was asked with `ask`; nobody waits for an answer to this one");
            return Err(Error::refused(fault, REPLY, self.handle().name()));
        };
        Ok(Replies { line: self.origin.line.clone(), inbox, correlation, values: PhantomData })
    }
}

impl<T> Received<T> {
    fn handle(&self) -> &Handle {
        self.origin.line.handle()
    }

    fn reply_to(&self) -> Option<v1::ReplyTo> {
        self.extra.as_ref()?.reply_to
    }

    /// The value; `*message` is the same.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Takes the value out. The message is done with at the same time as ever.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Its place among all of the same direction of a channel, or of the topic: later ones have larger positions. An answer of a topic
    /// has none: 0.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What it is about; of a channel, and of an answer: empty.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The headers it was sent with.
    pub fn headers(&self) -> &HashMap<String, String> {
        static NONE: LazyLock<HashMap<String, String>> = LazyLock::new(HashMap::new);
        self.extra.as_ref().map_or(&NONE, |extra| &extra.headers)
    }

    /// One of them.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.extra.as_ref()?.headers.get(name).map(String::as_str)
    }

    /// When it was sent, by the broker's clock.
    pub fn sent_at(&self) -> SystemTime {
        to_time(self.sent_ms)
    }

    /// The session that sent it ([`Manager::session_id`](crate::Manager::session_id)).
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Whether somebody had it before, and went without being done with it: what is to be done for it may be done already.
    pub fn is_redelivered(&self) -> bool {
        self.redelivered
    }

    /// Whether who sent it waits for an answer.
    pub fn expects_answer(&self) -> bool {
        self.reply_to().is_some()
    }

    /// It is done with, and comes to nobody else: waits for the broker's word. Saying it twice is harmless.
    pub async fn done(&self) -> Result<()> {
        match self.origin.seat.upgrade() {
            Some(seat) => seat.done(self.position).await,
            None => Ok(()),
        }
    }
}

impl<T> Deref for Received<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Received<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Received")
            .field("position", &self.position)
            .field("subject", &self.subject)
            .field("headers", self.headers())
            .field("value", &self.value)
            .finish()
    }
}

/// Where the answers to one message go. It outlives the message, and may be given to another task.
///
/// Who asked learns of the end by [`finish`](Replies::finish) alone; without it, it waits as long as it said.
#[must_use = "who asked waits for `finish`"]
pub struct Replies<T> {
    line: super::line::Line,
    inbox: u64,
    correlation: u64,
    values: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Replies<T> {
    /// One answer, not the last. Waits while the channel or the inbox is full. Fault: `NoSuchReceiver`, when who asked is gone or wants
    /// no more.
    pub async fn send(&self, value: impl Borrow<T>) -> Result<()> {
        let value = encode(self.line.handle(), value.borrow(), REPLY)?;
        self.answer(Encoded { value, headers: HashMap::new(), must_be_heard: false }, false, Wait::Forever).await
    }

    /// As [`Replies::send`], with headers and a bound for the wait. Fault: `NoRoom`.
    pub async fn send_with(&self, message: Message<T>, wait: impl Into<Wait>) -> Result<()> {
        let message = message.encode(self.line.handle(), REPLY)?;
        self.answer(message, false, wait.into()).await
    }

    /// Many answers, none of them the last, in order.
    pub async fn send_all<I: Borrow<T>>(&self, values: impl IntoIterator<Item = I>) -> Result<()> {
        for value in values {
            self.send(value).await?;
        }
        Ok(())
    }

    /// That was all.
    pub async fn finish(self) -> Result<()> {
        self.answer(Encoded::end(), true, Wait::Forever).await
    }

    async fn answer(&self, message: Encoded, last: bool, wait: Wait) -> Result<()> {
        let to = v1::AnswerTo { inbox: self.inbox, correlation: self.correlation, last };
        self.line.answer(to, message, wait).await
    }
}

impl<T> fmt::Debug for Replies<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inbox, correlation) = (self.inbox, self.correlation);
        formatter.debug_struct("Replies").field("inbox", &inbox).field("correlation", &correlation).finish()
    }
}
