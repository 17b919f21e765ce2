//! Subscribing, getting what comes, being done with it, going.

use super::{
    Change, Command, Decision, Replay, Reply, SessionId, Stats, Stream, StreamStats, Subscribe, Subscription, Topic, Waiting,
    Wants,
};
use bursar_proto::Fault;
use std::{cmp::Reverse, sync::Arc};

/// Every publish looks at each of them. Ten thousand are some hundred microseconds; more want several topics.
const SUBSCRIPTIONS_MAX: usize = 10_000;
/// Groups stay without members: a process that invents names would fill the memory.
const GROUPS_MAX: usize = 1_000;
/// Streams in one reply of Stats, which then stays within a frame or few.
const STATS_MAX: usize = 1_000;

impl Topic {
    pub(super) fn subscribe(&self, caller: SessionId, subscribe: &Subscribe) -> Result<Decision<Topic>, Fault> {
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(Fault::LimitReached { what: "subscriptions of this topic".into(), limit: SUBSCRIPTIONS_MAX as u64 });
        }
        if let Some(group) = &subscribe.group {
            self.check_group(group, subscribe.wants.as_ref())?;
        }
        if let Replay::After(after) = subscribe.replay
            && after > self.position
        {
            let problem = format!("expected a position up to the topic's, which is {}, got {after}", self.position);
            return Err(Fault::bad_argument("after", problem));
        }
        let reply = Reply::Subscribe { subscription: self.last_subscription + 1, position: self.position };
        Ok(Decision::Change(Change::Subscribed { session: caller, subscribe: subscribe.clone() }, reply))
    }

    /// Whether somebody who wants this may be a member.
    fn check_group(&self, group: &Arc<str>, wants: Option<&Wants>) -> Result<(), Fault> {
        let Some(stream) = self.joined(group) else {
            return match self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(group) {
                true => Err(Fault::LimitReached { what: "groups of this topic".into(), limit: GROUPS_MAX as u64 }),
                false => Ok(()),
            };
        };
        let (actual, expected) = (self.streams[&stream].wants.as_ref(), wants);
        let subjects = |wants: Option<&Wants>| wants.map_or_else(Vec::new, texts).join(",");
        let headers = |wants: Option<&Wants>| wants.map_or_else(String::new, |wants| format!("{:?}", wants.headers.0));
        let mismatch = |what: &str, expected: String, actual: String| match expected == actual {
            true => Ok(()),
            false => Err(Fault::Mismatch { name: group.to_string(), what: what.into(), expected, actual }),
        };
        mismatch("subjects", subjects(expected), subjects(actual))?;
        mismatch("match", headers(expected), headers(actual))
    }

    /// The stream that the next member of a group shares; `None`: a new one. A group that has ended is begun anew beside the members
    /// that were not told yet: one of them may never ask again. Without members, whoever comes next is told.
    fn joined(&self, group: &str) -> Option<u64> {
        let id = self.groups.get(group)?;
        let stream = &self.streams[id];
        (!stream.is_ended() || stream.members == 0).then_some(*id)
    }

    pub(super) fn unsubscribe(&self, caller: SessionId, subscription: u64, done: &[u64]) -> Result<Decision<Topic>, Fault> {
        let stream = self.stream_of(caller, subscription)?;
        Ok(match stream.lag() {
            Some(missed) => lagged(subscription, missed),
            None => Decision::Change(Change::Unsubscribed { subscription, done: done.to_vec() }, Reply::Unsubscribe),
        })
    }

    pub(super) fn next(&self, caller: SessionId, subscription: u64, max: usize, done: &[u64]) -> Result<Decision<Topic>, Fault> {
        let stream = self.stream_of(caller, subscription)?;
        if let Some(missed) = stream.lag() {
            return Ok(lagged(subscription, missed));
        }
        if stream.is_silent() {
            return Ok(match stream.holds_any(subscription, done) {
                true => Decision::Enter(
                    Change::Settled { subscription, positions: done.to_vec() },
                    Command::Next { subscription, max, done: Vec::new() },
                ),
                false => Decision::Wait,
            });
        }
        let (messages, missed) = stream.front(max);
        let change = Change::Taken { subscription, done: done.to_vec(), count: messages.len() as u64 };
        Ok(Decision::Change(change, Reply::Next { subscription, messages, missed }))
    }

    pub(super) fn done(&self, caller: SessionId, subscription: u64, positions: &[u64]) -> Result<Decision<Topic>, Fault> {
        let stream = self.stream_of(caller, subscription)?;
        Ok(match stream.lag() {
            Some(missed) => lagged(subscription, missed),
            None if stream.holds_any(subscription, positions) => {
                Decision::Change(Change::Settled { subscription, positions: positions.to_vec() }, Reply::Done)
            }
            None => Decision::Answer(Reply::Done),
        })
    }

    pub(super) fn delete_group(&self, group: &Arc<str>) -> Decision<Topic> {
        match self.groups.contains_key(group) {
            true => Decision::Change(Change::GroupDeleted { group: group.clone() }, Reply::DeleteGroup { found: true }),
            false => Decision::Answer(Reply::DeleteGroup { found: false }),
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let mut streams: Vec<(&u64, &Stream)> = self.streams.iter().collect();
        streams.sort_by_key(|(id, stream)| (Reverse(stream.counted().missed), **id));
        Stats {
            position: self.position,
            first_kept: if self.kept.len() == 0 { 0 } else { self.kept.floor() + 1 },
            kept_bytes: self.kept.bytes() as u64,
            streams: streams.iter().take(STATS_MAX).map(|(id, stream)| self.stats_of(**id, stream)).collect(),
            stream_count: self.streams.len() as u64,
            missed: self.missed,
        }
    }

    fn stats_of(&self, id: u64, stream: &Stream) -> StreamStats {
        let is_alone = stream.group.is_none();
        let owner = self.subscriptions.get(id).filter(|_| is_alone);
        let counted = stream.counted();
        StreamStats {
            subscription: if is_alone { id } else { 0 },
            session: owner.map(|subscription| subscription.session),
            group: stream.group.clone(),
            members: stream.members as u32,
            subjects: stream.wants.as_ref().map_or_else(Vec::new, texts),
            buffered: stream.waiting().len() as u64,
            bytes: stream.bytes() as u64,
            given: if is_alone { counted.settled } else { stream.given().len() as u64 },
            missed: counted.missed,
        }
    }

    /// The messages of a reply that came back, with the very messages that are kept where they are.
    pub(super) fn shared(&self, entries: &[Waiting]) -> Vec<Waiting> {
        let shared = |entry: &Waiting| self.kept.at(entry.message.position).unwrap_or(&entry.message).clone();
        entries.iter().map(|entry| Waiting { message: shared(entry), ..entry.clone() }).collect()
    }

    // What happens.

    pub(super) fn begin(&mut self, session: SessionId, Subscribe { wants, group, replay }: Subscribe) {
        self.last_subscription += 1;
        let id = self.last_subscription;
        let existing = group.as_ref().and_then(|group| self.joined(group));
        let stream = existing.unwrap_or(id);
        if existing.is_none() {
            let mut begun = Stream::new(wants, group.clone());
            self.replay(&mut begun, replay);
            self.missed += begun.counted().missed;
            self.streams.insert(id, begun);
            self.name(id, group);
        }
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.members += 1;
        }
        self.subscriptions.add(id, Subscription { session, stream });
    }

    /// From now on this is the stream of the group; the one before, which has ended, is nobody's but its members'.
    fn name(&mut self, stream: u64, group: Option<Arc<str>>) {
        let before = group.and_then(|group| self.groups.insert(group, stream));
        if let Some(ended) = before.and_then(|before| self.streams.get_mut(&before)) {
            ended.group = None;
        }
    }

    fn replay(&self, stream: &mut Stream, replay: Replay) {
        let messages = match replay {
            Replay::Nothing => return,
            Replay::Last(count) => {
                let wanted = self.kept.all().rev().filter(|message| stream.takes(&message.said));
                let mut last: Vec<_> = wanted.take(usize::try_from(count).unwrap_or(usize::MAX)).cloned().collect();
                last.reverse();
                last
            }
            Replay::After(position) => {
                self.kept.behind(position).filter(|message| stream.takes(&message.said)).cloned().collect()
            }
        };
        let gone = if let Replay::After(position) = replay { self.kept.floor().saturating_sub(position) } else { 0 };
        stream.begin(gone, messages.into_iter());
    }

    /// A subscription goes. A group stays.
    pub(super) fn remove(&mut self, subscription: u64) {
        let Some(gone) = self.subscriptions.remove(subscription) else { return };
        if let Some(stream) = self.streams.get_mut(&gone.stream) {
            stream.leave(subscription);
            if stream.group.is_none() && stream.members == 0 {
                self.streams.remove(&gone.stream);
            }
        }
    }

    /// With the last member that knows that the group has ended, the group goes: whoever comes next begins it anew.
    pub(super) fn remove_told(&mut self, subscription: u64) {
        let stream = self.subscriptions.get(subscription).map(|subscription| subscription.stream);
        self.remove(subscription);
        if let Some(id) = stream
            && self.streams.get(&id).is_some_and(|stream| stream.members == 0)
        {
            let stream = self.streams.remove(&id);
            if let Some(group) = stream.and_then(|stream| stream.group) {
                self.groups.remove(&group);
            }
        }
    }

    pub(super) fn remove_group(&mut self, group: &Arc<str>) {
        if let Some(stream) = self.groups.remove(group) {
            self.streams.remove(&stream);
            let members = self.subscriptions.iter().filter(|(_, subscription)| subscription.stream == stream);
            let gone: Vec<u64> = members.map(|(id, _)| id).collect();
            for id in gone {
                self.subscriptions.remove(id);
            }
        }
    }

    pub(super) fn put_back(&mut self, subscription: u64, entries: Vec<Waiting>, missed: u64) {
        if let Some(stream) = self.stream_mut(subscription) {
            let before = stream.counted().missed;
            stream.put_back(subscription, entries, missed);
            let after = stream.counted().missed;
            self.missed += after - before;
        }
    }
}

/// The subscription goes, and its caller is told how many it missed.
fn lagged(subscription: u64, missed: u64) -> Decision<Topic> {
    Decision::Enter(Change::Told { subscription }, Command::Lagged { missed })
}

fn texts(wants: &Wants) -> Vec<String> {
    wants.subjects.iter().map(|pattern| pattern.text().to_owned()).collect()
}
