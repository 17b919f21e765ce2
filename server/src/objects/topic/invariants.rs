//! C1: what a subscription or group was given, what waits for it and what it missed are together every message that it wants
//! since it began, in order and without a gap that is not told. C2: nothing is kept beyond its bounds, and every sum is right.
//! C3: every subscription has one stream, every stream its subscriptions. Linear: for tests and simulation.
//!
//! A buffer has no check of its bounds here: what is replayed or comes back may pass them.

use super::{Counted, Overload, Stream, Topic};
use std::collections::BTreeSet;

impl Topic {
    /// What is contradicted by what.
    pub(super) fn broken(&self) -> Option<String> {
        let streams = self.streams.iter();
        let of_streams = streams.filter_map(|(id, stream)| Some(format!("stream {id}: {}", self.broken_stream(stream)?))).next();
        let kept = || self.kept.violation(self.position).map(|problem| format!("C2: {problem}"));
        of_streams.or_else(kept).or_else(|| self.broken_bounds()).or_else(|| self.broken_members())
    }

    fn broken_stream(&self, stream: &Stream) -> Option<String> {
        let Counted { matched, settled, missed } = stream.counted();
        let (waiting, given) = (stream.waiting().len() as u64, stream.given().len() as u64);
        if matched != settled + given + waiting + missed {
            return Some(format!("C1: {matched} wanted, but {settled} settled, {given} given, {waiting} wait, {missed} missed"));
        }
        let gaps = stream.missed_after() + stream.waiting().map(|entry| entry.missed).sum::<u64>();
        if gaps > missed {
            return Some(format!("C1: {gaps} are to be told as missed, and {missed} were"));
        }
        if let Some(problem) = self.broken_order(stream) {
            return Some(format!("C1: {problem}"));
        }
        let entries = stream.waiting().chain(stream.given().map(|given| &given.entry));
        let bytes: usize = entries.map(|entry| entry.message.said.size).sum();
        if bytes != stream.bytes() || (stream.is_ended() && waiting + given > 0) {
            return Some(format!("C2: {waiting} wait and {given} are given, {bytes} bytes, counted are {}", stream.bytes()));
        }
        (stream.is_ended() && self.options.overload != Overload::Disconnect).then(|| "C2: it has ended without DISCONNECT".into())
    }

    /// What waits is wanted, and in the order of its positions; answers have none.
    fn broken_order(&self, stream: &Stream) -> Option<String> {
        let mut before = 0;
        for entry in stream.waiting() {
            let position = entry.message.position;
            let is_right = match stream.wants {
                Some(_) => stream.takes(&entry.message.said) && position > before && position <= self.position,
                None => position == 0,
            };
            if !is_right {
                return Some(format!("{position} waits behind {before}, or is not wanted"));
            }
            before = position;
        }
        None
    }

    fn broken_bounds(&self) -> Option<String> {
        let keep = self.options.keep;
        if self.kept.len() as u64 > keep.messages || self.kept.bytes() as u64 > keep.bytes {
            return Some(format!("C2: {} messages, {} bytes are kept: more than {keep:?}", self.kept.len(), self.kept.bytes()));
        }
        let missed: u64 = self.streams.values().map(|stream| stream.counted().missed).sum();
        (missed > self.missed).then(|| format!("C2: the streams missed {missed}, all together {}", self.missed))
    }

    fn broken_members(&self) -> Option<String> {
        if let Some(problem) = self.subscriptions.contradiction() {
            return Some(format!("C3: {problem}"));
        }
        for (id, stream) in &self.streams {
            let members = self.subscriptions.iter().filter(|(_, subscription)| subscription.stream == *id).count();
            let is_known = match &stream.group {
                Some(group) => self.groups.get(group) == Some(id),
                // Those of a group that has ended, and is begun anew.
                None if stream.is_ended() => members > 0,
                None => members == 1 && self.subscriptions.get(*id).is_some(),
            };
            let has = |given: &super::stream::Given| self.subscriptions.get(given.to).is_some_and(|one| one.stream == *id);
            if members != stream.members || !is_known || !stream.given().all(has) {
                return Some(format!(
                    "C3: stream {id} of {:?} has {members} members, counted are {}",
                    stream.group, stream.members
                ));
            }
        }
        let streams: BTreeSet<_> = self.subscriptions.iter().map(|(_, subscription)| subscription.stream).collect();
        if let Some(lost) = streams.iter().find(|stream| !self.streams.contains_key(stream)) {
            return Some(format!("C3: there is no stream {lost}"));
        }
        let last = self.subscriptions.iter().map(|(id, _)| id).chain(self.streams.keys().copied()).max().unwrap_or(0);
        let is_wrong = last > self.last_subscription || self.groups.values().any(|stream| !self.streams.contains_key(stream));
        is_wrong
            .then(|| format!("C3: subscription {last} is younger than the last, {}, or a group is lost", self.last_subscription))
    }
}
