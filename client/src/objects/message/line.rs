//! Where messages go through: a channel seen from one of its ends, or a topic. The verbs of both, under the same names.

use super::{Delivered, Encoded, Extra, plain::Reader};
use crate::{Error, Result, Wait, objects::Handle};
use bursar_proto::{
    frame::Given,
    v1::{self, channel, topic},
};
use std::{collections::HashMap, sync::Arc, vec};

/// Says with the last of many answers that it is only the end of them: without a value.
pub(super) const END: &str = "bursar.end";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Channel { handle: Handle, end: channel::End },
    Topic { handle: Handle },
}

/// A request that expects answers.
pub(crate) struct Question {
    /// Of a channel: empty.
    pub subject: String,
    pub message: Encoded,
}

/// What a receiver was given, and what is left of it. Those of a topic are read when their turn comes: until then each is a slice of
/// what came.
#[derive(Debug)]
pub(crate) struct Fetched {
    messages: Messages,
    /// After the last of them.
    pub missed: u64,
}

#[derive(Debug)]
enum Messages {
    Channel(vec::IntoIter<channel::Delivered>),
    Topic(vec::IntoIter<Given>, Reader),
}

impl Fetched {
    pub fn nothing() -> Fetched {
        Fetched { messages: Messages::Channel(Vec::new().into_iter()), missed: 0 }
    }

    /// How many messages are left.
    pub fn len(&self) -> usize {
        match &self.messages {
            Messages::Channel(messages) => messages.len(),
            Messages::Topic(messages, _) => messages.len(),
        }
    }

    /// The next message, if there is one.
    pub fn next(&mut self) -> Option<Result<Delivered>> {
        match &mut self.messages {
            Messages::Channel(messages) => messages.next().map(|message| Ok(message.into())),
            Messages::Topic(messages, reader) => {
                let unreadable = |error| Error::protocol(format!("topic.next: {error}"));
                messages.next().map(|message| match message {
                    Given::Encoded(message) => reader.read(message).map_err(unreadable),
                    Given::Large(message) => Ok(message.into()),
                    Given::Run(_) => unreachable!("whoever reads a reply gets each message by itself"),
                })
            }
        }
    }
}

impl Line {
    pub fn handle(&self) -> &Handle {
        match self {
            Line::Channel { handle, .. } | Line::Topic { handle } => handle,
        }
    }

    /// The verb by which messages come, for errors.
    pub fn call_name(&self) -> &'static str {
        match self {
            Line::Channel { .. } => "channel.receive",
            Line::Topic { .. } => "topic.next",
        }
    }

    fn object(&self) -> Option<v1::ObjectRef> {
        self.handle().object()
    }

    /// A receiver that gets only answers.
    pub async fn attach_inbox(&self) -> Result<u64> {
        match self {
            Line::Channel { handle, end } => {
                let (end, mode) = ((*end).into(), channel::Mode::Inbox.into());
                let request = channel::AttachRequest { object: self.object(), end, mode, r#match: None };
                Ok(handle.call(request).await?.receiver)
            }
            Line::Topic { handle } => {
                let request = topic::SubscribeRequest { object: self.object(), inbox: true, ..Default::default() };
                Ok(handle.call(request).await?.subscription)
            }
        }
    }

    /// Gives how many got it, as far as that is known: of a channel 1.
    pub async fn ask(&self, question: Question, reply_to: v1::ReplyTo, wait: Wait) -> Result<u64> {
        let Question { subject, message: Encoded { value, headers, must_be_heard: _ } } = question;
        let (object, wait_ms, value, reply_to) = (self.object(), wait.to_ms(), Some(value), Some(reply_to));
        match self {
            Line::Channel { handle, end } => {
                let messages = vec![channel::Message { value, headers, reply_to, answer_to: None }];
                let request = channel::SendRequest { object, wait_ms, from: (*end).into(), messages, must_be_heard: true };
                handle.call(request).await.map(|_| 1)
            }
            Line::Topic { handle } => {
                let messages = vec![topic::Message { subject, value, headers, reply_to }];
                let request = topic::PublishRequest { object, wait_ms, messages, must_be_heard: true };
                Ok(handle.call(request).await?.receivers)
            }
        }
    }

    pub async fn answer(&self, to: v1::AnswerTo, message: Encoded, wait: Wait) -> Result<()> {
        let Encoded { value, headers, must_be_heard } = message;
        let (object, wait_ms, value) = (self.object(), wait.to_ms(), Some(value));
        match self {
            Line::Channel { handle, end } => {
                let messages = vec![channel::Message { value, headers, reply_to: None, answer_to: Some(to) }];
                let request = channel::SendRequest { object, wait_ms, from: (*end).into(), messages, must_be_heard };
                handle.call(request).await.map(drop)
            }
            Line::Topic { handle } => {
                let request = topic::AnswerRequest { object, wait_ms, to: Some(to), value, headers };
                handle.call(request).await.map(drop)
            }
        }
    }

    pub async fn fetch(&self, receiver: u64, wait: Wait, max: u32, done: Vec<u64>) -> Result<Fetched> {
        let (object, wait_ms) = (self.object(), wait.to_ms());
        match self {
            Line::Channel { handle, .. } => {
                let request = channel::ReceiveRequest { object, wait_ms, receiver, max, done };
                let channel::ReceiveReply { messages, receiver: _ } = handle.call(request).await?;
                Ok(Fetched { messages: Messages::Channel(messages.into_iter()), missed: 0 })
            }
            Line::Topic { handle } => {
                let request = topic::NextRequest { object, wait_ms, subscription: receiver, max, done };
                let topic::NextReply { messages, missed, .. } = handle.call(request).await?;
                Ok(Fetched { messages: Messages::Topic(messages.into_iter(), Reader::default()), missed })
            }
        }
    }

    pub async fn done(&self, receiver: u64, positions: Vec<u64>) -> Result<()> {
        let object = self.object();
        match self {
            Line::Channel { handle, .. } => {
                let request = channel::DoneRequest { object, receiver, positions };
                handle.call(request).await.map(drop)
            }
            Line::Topic { handle } => {
                let request = topic::DoneRequest { object, subscription: receiver, positions };
                handle.call(request).await.map(drop)
            }
        }
    }

    /// As `done`, in the background.
    pub fn tell_done(&self, receiver: u64, positions: Vec<u64>) {
        let object = self.object();
        match self {
            Line::Channel { handle, .. } => handle.tell(channel::DoneRequest { object, receiver, positions }),
            Line::Topic { handle } => handle.tell(topic::DoneRequest { object, subscription: receiver, positions }),
        }
    }

    /// The receiver goes, in the background.
    pub fn leave(&self, receiver: u64, done: Vec<u64>) {
        let object = self.object();
        match self {
            Line::Channel { handle, .. } => handle.tell(channel::DetachRequest { object, receiver, done }),
            Line::Topic { handle } => handle.tell(topic::UnsubscribeRequest { object, subscription: receiver, done }),
        }
    }
}

impl Encoded {
    /// The end of many answers, which is none itself.
    pub fn end() -> Encoded {
        let headers = HashMap::from([(END.to_owned(), String::new())]);
        Encoded { value: v1::Value::default(), headers, must_be_heard: false }
    }
}

impl From<channel::Delivered> for Delivered {
    fn from(delivered: channel::Delivered) -> Delivered {
        let channel::Delivered { position, value, headers, sent_ms, session, redelivered, reply_to, answer_to } = delivered;
        let (value, subject) = (value.unwrap_or_default(), Arc::default());
        let extra = Extra::new(headers, reply_to, answer_to);
        Delivered { position, subject, value, sent_ms, session, redelivered, missed: 0, extra }
    }
}

impl From<topic::Delivered> for Delivered {
    fn from(delivered: topic::Delivered) -> Delivered {
        let topic::Delivered {
            position,
            subject,
            value,
            headers,
            published_ms: sent_ms,
            session,
            redelivered,
            missed,
            reply_to,
            answer_to,
        } = delivered;
        let (value, subject) = (value.unwrap_or_default(), subject.into());
        let extra = Extra::new(headers, reply_to, answer_to);
        Delivered { position, subject, value, sent_ms, session, redelivered, missed, extra }
    }
}
