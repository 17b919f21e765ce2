//! A message between processes, as channels and topics carry it: a value with headers, and where answers to it go.
//!
//! Large parts are shared: cloning a message copies no payload. Only `wire` knows generated types.

pub mod wire;

use super::{
    kind::{Moment, SessionId},
    value::Value,
};
use std::{collections::BTreeMap, sync::Arc};

/// Headers by name.
pub type Headers = BTreeMap<String, String>;

/// Where the answers to a message go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// A receiver of the same object.
    pub inbox: u64,
    /// With which number.
    pub correlation: u64,
}

/// What a message answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerTo {
    /// Where it goes.
    pub inbox: u64,
    /// With which number.
    pub correlation: u64,
    /// None follows to this correlation from whoever sent it.
    pub last: bool,
}

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The payload.
    pub value: Value,
    /// `None`: without any.
    pub headers: Option<Arc<Headers>>,
    /// `None`: expects no answers.
    pub reply_to: Option<ReplyTo>,
    /// `None`: is no answer.
    pub answer_to: Option<AnswerTo>,
}

impl Content {
    /// Payload and headers, in bytes.
    pub fn size(&self) -> usize {
        let headers = self.headers.iter().flat_map(|headers| headers.iter());
        self.value.data.len() + headers.map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

/// When and by whom it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub session: SessionId,
    /// When.
    pub sent: Moment,
}

/// Which messages a receiver wants: those whose headers have all of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match(pub Headers);

impl Match {
    /// Whether a message with these headers is wanted.
    pub fn wants(&self, content: &Content) -> bool {
        let headers = content.headers.as_deref();
        self.0.iter().all(|(name, value)| headers.and_then(|headers| headers.get(name)) == Some(value))
    }
}
