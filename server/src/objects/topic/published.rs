//! A message on its way: in memory once, however many have it. And which messages somebody wants.

use super::{Pattern, SessionId};
use crate::objects::{
    kind::Moment,
    message::{Content, Match, Origin},
};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// What somebody says, and under which subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Empty: an answer.
    pub subject: Arc<str>,
    /// The rest.
    pub content: Content,
    /// Payload, subject and headers, in bytes.
    pub size: usize,
}

impl Said {
    /// With its size.
    pub fn new(subject: Arc<str>, content: Content) -> Said {
        let size = subject.len() + content.size();
        Said { subject, content, size }
    }
}

/// A message with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// 0: an answer.
    pub position: u64,
    /// What.
    pub said: Said,
    /// By whom, and when.
    pub origin: Origin,
    /// As it goes out.
    pub encoded: Encoded,
}

/// The message as it goes out to everybody who misses nothing before it: made for the first of them, shared by the others. It says
/// nothing that the message itself does not, so two messages are the same whether or not it was made.
#[derive(Clone, Debug, Default)]
pub struct Encoded(OnceLock<Place>);

/// Where a message stands among neighbours that were encoded together: whoever is given them all is given one piece.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) run: Bytes,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Place {
    /// Whether this is right behind the other, in the same run.
    pub(super) fn follows(&self, other: &Place) -> bool {
        self.start == other.end && self.run.as_ptr() == other.run.as_ptr() && self.run.len() == other.run.len()
    }

    /// From here to the end of the other, which is in the same run.
    pub(super) fn to(&self, last: &Place) -> Bytes {
        self.run.slice(self.start as usize..last.end as usize)
    }
}

impl Encoded {
    pub(super) fn get(&self) -> Option<&Place> {
        self.0.get()
    }

    /// Two may encode the same at the same time: the first one is kept.
    pub(super) fn keep(&self, place: Place) {
        let _ = self.0.set(place);
    }
}

impl PartialEq for Encoded {
    fn eq(&self, _: &Encoded) -> bool {
        true
    }
}

impl Eq for Encoded {}

impl Published {
    pub(super) fn new(position: u64, said: Said, session: SessionId, sent: Moment) -> Arc<Published> {
        Arc::new(Published { position, said, origin: Origin { session, sent }, encoded: Encoded::default() })
    }
}

/// A message in the buffer of a subscription or group, and as it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Shared.
    pub message: Arc<Published>,
    /// How many were dropped right before this one.
    pub missed: u64,
    /// It was given before, to a member that went without being done with it.
    pub redelivered: bool,
}

/// Which messages a subscription wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Any of these, in order and without repetition; empty: all.
    pub subjects: Vec<Pattern>,
    /// And these headers.
    pub headers: Match,
}

impl Wants {
    pub(super) fn takes(&self, said: &Said) -> bool {
        let is_subject = self.subjects.is_empty() || self.subjects.iter().any(|pattern| pattern.matches(&said.subject));
        is_subject && self.headers.wants(&said.content)
    }
}
