//! Publishing and answering: what is taken, and who gets it.

use super::{Change, Decision, Moment, Overload, Published, Reply, Said, SessionId, Stream, Topic};
use crate::objects::message::{AnswerTo, Content};
use bursar_proto::Fault;
use std::{cell::Cell, collections::BTreeMap, sync::Arc};

/// Where the search for a stream without room begins: where the last one was found. It is no state: two topics are the same whatever
/// it says. While a publisher waits, each stream is so looked at about once, and not again whenever another one gets room.
#[derive(Clone, Debug, Default)]
pub(super) struct LastFull {
    stream: Cell<u64>,
    #[cfg(test)]
    looks: Cell<u64>,
}

impl LastFull {
    /// The first that is full, and from now on the one to begin with.
    fn find<'a>(&self, streams: &'a BTreeMap<u64, Stream>, is_full: impl Fn(&Stream) -> bool) -> Option<&'a Stream> {
        let begin = self.stream.get();
        let mut all = streams.range(begin..).chain(streams.range(..begin));
        let (id, full) = all.find(|(_, stream)| {
            #[cfg(test)]
            self.looks.set(self.looks.get() + 1);
            is_full(stream)
        })?;
        self.stream.set(*id);
        Some(full)
    }

    #[cfg(test)]
    pub(super) fn looks(&self) -> u64 {
        self.looks.get()
    }
}

impl PartialEq for LastFull {
    fn eq(&self, _: &LastFull) -> bool {
        true
    }
}

impl Eq for LastFull {}

impl Topic {
    pub(super) fn publish(&self, caller: SessionId, said: &[Said], must_be_heard: bool, now: Moment) -> Decision<Topic> {
        let Some(first) = said.first() else { return Decision::Wait };
        let full = self.full(first);
        let is_heard = || full.is_some_and(|stream| stream.members > 0) || self.is_heard(first);
        if must_be_heard && !is_heard() {
            return Decision::Refuse(Fault::NoResponders {});
        }
        if full.is_some() {
            return Decision::Wait;
        }
        let batch = self.taken(said);
        let (bytes, bounds, overload) = (bytes_of(batch), self.options.buffer, self.options.overload);
        let receivers = self.streams.values().filter(|stream| stream.gets_last(batch, bytes, bounds, overload)).count() as u64;
        let positions = self.position + 1..;
        let messages = positions.zip(batch).map(|(position, said)| Published::new(position, said.clone(), caller, now)).collect();
        let position = self.position + batch.len() as u64;
        let reply = Reply::Publish { position, taken: batch.len() as u32, receivers };
        Decision::Change(Change::Published(messages), reply)
    }

    fn is_heard(&self, first: &Said) -> bool {
        self.streams.values().any(|stream| stream.is_heard(first, self.options.buffer, self.options.overload))
    }

    /// A stream for which a publisher of this waits: with BLOCK, one that wants it and has no room.
    fn full(&self, first: &Said) -> Option<&Stream> {
        if self.options.overload != Overload::Block {
            return None;
        }
        self.last_full.find(&self.streams, |stream| stream.is_full_for(first, self.options.buffer))
    }

    /// As many from the front as an empty buffer holds, and with BLOCK as there is room for everywhere: at least the first, for which
    /// nobody is [full](Topic::full).
    fn taken<'a>(&self, said: &'a [Said]) -> &'a [Said] {
        let (bounds, mut bytes) = (self.options.buffer, 0);
        let is_enough = |(index, said): (usize, &Said)| {
            bytes += said.size as u64;
            index > 0 && (index as u64 >= bounds.messages || bytes > bounds.bytes)
        };
        let count = said.iter().enumerate().position(is_enough).unwrap_or(said.len());
        let batch = &said[..count];
        if self.options.overload != Overload::Block {
            return batch;
        }
        let bytes = bytes_of(batch);
        let room = self.streams.values().map(|stream| stream.room_for(batch, bytes, bounds)).min();
        &batch[..room.unwrap_or(count)]
    }

    pub(super) fn answer(
        &self,
        caller: SessionId,
        to: AnswerTo,
        content: &Content,
        now: Moment,
    ) -> Result<Decision<Topic>, Fault> {
        let AnswerTo { inbox, .. } = to;
        let is_inbox = |stream: &&Stream| stream.wants.is_none() && !stream.is_ended();
        let stream = self.streams.get(&inbox).filter(is_inbox).ok_or(Fault::NoSuchReceiver { id: inbox })?;
        if self.options.overload == Overload::Block && !stream.is_open(self.options.buffer) {
            return Ok(Decision::StandAside);
        }
        let message = Published::new(0, Said::new(Arc::default(), content.clone()), caller, now);
        Ok(Decision::Change(Change::Answered { inbox, message }, Reply::Answer))
    }

    /// One stream after the other: what one does with the messages is nobody else's business.
    pub(super) fn take_in(&mut self, messages: Vec<Arc<Published>>) {
        let (bounds, overload, keep) = (self.options.buffer, self.options.overload, self.options.keep);
        for stream in self.streams.values_mut() {
            for message in &messages {
                if stream.takes(&message.said) {
                    self.missed += stream.offer(message, bounds, overload);
                }
            }
        }
        for message in messages {
            self.position = message.position;
            self.kept.push(message, keep.messages, keep.bytes);
        }
    }

    pub(super) fn take_answer(&mut self, inbox: u64, answer: &Arc<Published>) {
        if let Some(stream) = self.streams.get_mut(&inbox) {
            self.missed += stream.offer(answer, self.options.buffer, self.options.overload);
        }
    }
}

fn bytes_of(batch: &[Said]) -> usize {
    batch.iter().map(|said| said.size).sum()
}
