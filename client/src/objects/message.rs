//! Messages between processes: what channels and topics have in common.
//!
//! ```text
//!   Line (whose verbs) ──► Seat (a receiver at the broker) ──► Feed (one message after the other) ──► Received<T>
//!                                     │                          ├──► receive, next                      │ reply, replies
//!                                     └── inbox ──► Answers<T>   └──► Subscription (callbacks)  ◄────────┘
//! ```

pub(crate) mod answers;
pub(crate) mod feed;
pub(crate) mod line;
mod plain;
mod received;
mod seat;
pub(crate) mod subscription;

pub use answers::Answers;
pub use received::{Received, Replies};
pub use subscription::{Failure, Outcome, Subscription};

use super::Handle;
use crate::{Payload, Result, Wait};
use bursar_proto::v1;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

/// What is to be sent or published: a value, and what goes with it.
///
/// ```
/// # let broker = bursar_server::testing::TestBroker::start();
/// # bursar::blocking::block_on(async {
/// # let manager = bursar::Manager::connect(broker.address(), broker.authkey()).await?;
/// use bursar::{Fault, Message, Wait};
///
/// let talk = manager.channel::<String>("talk").create().await?;
/// let message = Message::new("hello".to_owned()).header("kind", "greeting").must_be_heard();
/// let error = talk.a().send_with(message, Wait::Forever).await.unwrap_err();
/// assert_eq!(error.fault(), Some(&Fault::NoResponders {}), "nobody receives at the other end");
/// # Ok::<(), bursar::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<T> {
    value: T,
    headers: BTreeMap<String, String>,
    must_be_heard: bool,
}

impl<T> Message<T> {
    /// A value, without anything else.
    pub fn new(value: T) -> Message<T> {
        Message { value, headers: BTreeMap::new(), must_be_heard: false }
    }

    /// Text beside the value, by which receivers can choose at the broker; at most 16 headers, and 4 KiB in all.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Message<T> {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Fails with the fault `NoResponders` where nobody would receive it now, instead of being kept for later.
    pub fn must_be_heard(mut self) -> Message<T> {
        self.must_be_heard = true;
        self
    }
}

/// A message as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub value: v1::Value,
    pub headers: HashMap<String, String>,
    pub must_be_heard: bool,
}

impl<T: Payload> Message<T> {
    pub(crate) fn encode(self, handle: &Handle, call: &'static str) -> Result<Encoded> {
        let Message { value, headers, must_be_heard } = self;
        let headers = headers.into_iter().collect();
        Ok(Encoded { value: encode(handle, &value, call)?, headers, must_be_heard })
    }
}

pub(crate) fn encode<T: Payload>(handle: &Handle, value: &T, call: &'static str) -> Result<v1::Value> {
    let crate::Raw { data, codec } = handle.encode(value, call)?;
    Ok(v1::Value { data, codec })
}

/// A message as it came, of either kind.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub position: u64,
    /// Of a channel: empty. Shared by neighbours.
    pub subject: Arc<str>,
    pub value: v1::Value,
    pub sent_ms: u64,
    pub session: u64,
    pub redelivered: bool,
    /// How many are missing right before it; of a channel: 0.
    pub missed: u64,
    pub extra: Option<Box<Extra>>,
}

/// What few messages have: apart, so that all others are small. They are moved more often than anything else is done with them.
#[derive(Debug)]
pub(crate) struct Extra {
    pub headers: HashMap<String, String>,
    pub reply_to: Option<v1::ReplyTo>,
    pub answer_to: Option<v1::AnswerTo>,
}

impl Extra {
    /// `None`: there is nothing of it.
    pub fn new(
        headers: HashMap<String, String>,
        reply_to: Option<v1::ReplyTo>,
        answer_to: Option<v1::AnswerTo>,
    ) -> Option<Box<Extra>> {
        let is_any = !headers.is_empty() || reply_to.is_some() || answer_to.is_some();
        is_any.then(|| Box::new(Extra { headers, reply_to, answer_to }))
    }
}

/// What is left of a wait that several calls share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    wait: Wait,
    since: Instant,
}

impl Deadline {
    pub fn new(wait: Wait) -> Deadline {
        Deadline { wait, since: Instant::now() }
    }

    pub fn left(&self) -> Wait {
        match self.wait {
            Wait::For(duration) => duration.saturating_sub(self.since.elapsed()).into(),
            wait => wait,
        }
    }
}
