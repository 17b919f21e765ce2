//! What one subscription, or one group, has before it: its buffer, what its overload policy makes of a full one, and, of a group,
//! what its members were given. Each by itself: a slow one costs nobody else anything.
//!
//! ```text
//!   offered ──► waiting ── taken ──► settled              (a subscription)
//!      │           │  ▲ └─ taken ──► given ── done ──► settled   (a group)
//!      │           │  └─ unheard, member gone ─┘
//!      └─ full ────┴──► missed, told in its place
//! ```

use super::{Bounds, Overload, Published, Said, Waiting, Wants};
use crate::objects::page::Page;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// How full it is, or will be.
#[derive(Clone, Copy)]
struct Fill {
    messages: usize,
    bytes: usize,
}

impl Fill {
    /// A message that is larger than all bounds is taken by an empty buffer.
    fn has_room(self, size: usize, bounds: Bounds) -> bool {
        self.messages == 0 || self.fits(1, size, bounds)
    }

    fn fits(self, messages: usize, bytes: usize, bounds: Bounds) -> bool {
        (self.messages + messages) as u64 <= bounds.messages && (self.bytes + bytes) as u64 <= bounds.bytes
    }
}

/// A message that a member of a group has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// The member.
    pub(super) to: u64,
    /// As it was given.
    pub(super) entry: Waiting,
}

/// How many messages went where. `matched` is the sum of all others and of those that wait or are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Wanted, since it began.
    pub matched: u64,
    /// Given; of a group: and done with.
    pub settled: u64,
    /// Dropped.
    pub missed: u64,
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// `None`: an inbox, which gets answers only.
    pub(super) wants: Option<Wants>,
    /// `None`: of one subscription.
    pub(super) group: Option<Arc<str>>,
    /// Subscriptions that share it.
    pub(super) members: usize,
    waiting: VecDeque<Waiting>,
    /// How many were dropped after the last of those.
    missed_after: u64,
    /// By position. Empty without a group.
    given: BTreeMap<u64, Given>,
    /// Of what waits and is given.
    bytes: usize,
    /// By its overload policy: it takes nothing more, and counts on what it misses.
    is_ended: bool,
    counted: Counted,
}

impl Stream {
    pub(super) fn new(wants: Option<Wants>, group: Option<Arc<str>>) -> Stream {
        Stream {
            wants,
            group,
            members: 0,
            waiting: VecDeque::new(),
            missed_after: 0,
            given: BTreeMap::new(),
            bytes: 0,
            is_ended: false,
            counted: Counted::default(),
        }
    }

    /// As it was, before its entries.
    pub(super) fn restored(
        wants: Option<Wants>,
        group: Option<Arc<str>>,
        is_ended: bool,
        after: u64,
        counted: Counted,
    ) -> Stream {
        Stream { is_ended, missed_after: after, counted, ..Stream::new(wants, group) }
    }

    pub(super) fn restore(&mut self, entry: Waiting, given_to: Option<u64>) {
        self.bytes += entry.message.said.size;
        match given_to {
            Some(to) => drop(self.given.insert(entry.message.position, Given { to, entry })),
            None => self.waiting.push_back(entry),
        }
    }

    pub(super) fn waiting(&self) -> impl ExactSizeIterator<Item = &Waiting> {
        self.waiting.iter()
    }

    pub(super) fn given(&self) -> impl ExactSizeIterator<Item = &Given> {
        self.given.values()
    }

    pub(super) fn missed_after(&self) -> u64 {
        self.missed_after
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn counted(&self) -> Counted {
        self.counted
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// `Some`: it could not keep up, and whoever asks next is told that this many were missed.
    pub(super) fn lag(&self) -> Option<u64> {
        self.is_ended.then_some(self.missed_after)
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_silent(&self) -> bool {
        self.waiting.is_empty() && self.missed_after == 0
    }

    pub(super) fn takes(&self, said: &Said) -> bool {
        self.wants.as_ref().is_some_and(|wants| wants.takes(said))
    }

    // Looking ahead.

    fn fill(&self) -> Fill {
        Fill { messages: self.waiting.len() + self.given.len(), bytes: self.bytes }
    }

    /// What cannot be dropped any more.
    fn fill_given(&self) -> Fill {
        Fill { messages: self.given.len(), bytes: self.given.values().map(|given| given.entry.message.said.size).sum() }
    }

    /// Whether somebody would hear this.
    pub(super) fn is_heard(&self, said: &Said, bounds: Bounds, overload: Overload) -> bool {
        self.members > 0 && self.takes(said) && (overload == Overload::Block || self.gets(said, bounds, overload))
    }

    fn gets(&self, said: &Said, bounds: Bounds, overload: Overload) -> bool {
        let fill = if overload == Overload::DropOldest { self.fill_given() } else { self.fill() };
        !self.is_ended && fill.has_room(said.size, bounds)
    }

    /// Whether it wants this, and has no room.
    pub(super) fn is_full_for(&self, said: &Said, bounds: Bounds) -> bool {
        !self.fill().has_room(said.size, bounds) && self.takes(said)
    }

    /// How many messages of a batch can be published, from the front, before one for which there is no room here.
    pub(super) fn room_for(&self, batch: &[Said], bytes: usize, bounds: Bounds) -> usize {
        let mut fill = self.fill();
        if self.wants.is_none() || fill.fits(batch.len(), bytes, bounds) {
            return batch.len();
        }
        let is_full = |said: &Said| {
            let takes = self.takes(said);
            let is_full = takes && !fill.has_room(said.size, bounds);
            if takes {
                fill = Fill { messages: fill.messages + 1, bytes: fill.bytes + said.size };
            }
            is_full
        };
        batch.iter().position(is_full).unwrap_or(batch.len())
    }

    /// Whether the last message of a batch goes into the buffer.
    pub(super) fn gets_last(&self, batch: &[Said], bytes: usize, bounds: Bounds, overload: Overload) -> bool {
        let Some(last) = batch.last() else { return false };
        if self.is_ended || !self.takes(last) {
            return false;
        }
        let mut fill = self.fill();
        match overload {
            _ if fill.fits(batch.len(), bytes, bounds) => true,
            Overload::Block => true,
            Overload::DropOldest => self.gets(last, bounds, overload),
            Overload::Disconnect => self.room_for(batch, bytes, bounds) == batch.len(),
            Overload::DropNewest => batch.iter().filter(|said| self.takes(said)).fold(false, |_, said| {
                let gets = fill.has_room(said.size, bounds);
                if gets {
                    fill = Fill { messages: fill.messages + 1, bytes: fill.bytes + said.size };
                }
                gets
            }),
        }
    }

    /// Whether an inbox takes one more answer without dropping any. Whatever the size of the next one, so that no answer overtakes
    /// a larger one that waits: the bound may be passed by one answer.
    pub(super) fn is_open(&self, bounds: Bounds) -> bool {
        (self.waiting.len() as u64) < bounds.messages && (self.bytes as u64) < bounds.bytes
    }

    /// The first of what waits, and how many were dropped behind it if that is all.
    pub(super) fn front(&self, max: usize) -> (Vec<Waiting>, u64) {
        let mut page = Page::of(max);
        let messages: Vec<_> = self.waiting.iter().take_while(|entry| page.takes(entry.message.said.size)).cloned().collect();
        let missed = if messages.len() == self.waiting.len() { self.missed_after } else { 0 };
        (messages, missed)
    }

    /// Whether a member has any of these.
    pub(super) fn holds_any(&self, member: u64, positions: &[u64]) -> bool {
        positions.iter().any(|position| self.given.get(position).is_some_and(|given| given.to == member))
    }

    // What happens.

    /// A message that it wants. Says how many it misses because of it.
    pub(super) fn offer(&mut self, message: &Arc<Published>, bounds: Bounds, overload: Overload) -> u64 {
        let missed_before = self.counted.missed;
        self.counted.matched += 1;
        if self.is_ended {
            self.miss(1);
        } else if overload == Overload::Block || self.fill().has_room(message.said.size, bounds) {
            self.push(message.clone());
        } else {
            self.overload(message, bounds, overload);
        }
        self.counted.missed - missed_before
    }

    fn overload(&mut self, message: &Arc<Published>, bounds: Bounds, overload: Overload) {
        match overload {
            Overload::DropOldest => {
                while !self.fill().has_room(message.said.size, bounds) && self.drop_oldest() {}
                match self.fill().has_room(message.said.size, bounds) {
                    true => self.push(message.clone()),
                    false => self.miss(1),
                }
            }
            Overload::Disconnect => {
                while self.drop_oldest() {}
                self.miss(1);
                self.counted.settled += self.given.len() as u64;
                (self.is_ended, self.bytes) = (true, 0);
                (self.waiting, self.given) = Default::default();
            }
            Overload::DropNewest | Overload::Block => self.miss(1),
        }
    }

    fn push(&mut self, message: Arc<Published>) {
        self.bytes += message.said.size;
        let missed = std::mem::take(&mut self.missed_after);
        self.waiting.push_back(Waiting { message, missed, redelivered: false });
    }

    /// The last ones.
    fn miss(&mut self, count: u64) {
        self.counted.missed += count;
        self.missed_after += count;
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.waiting.pop_front() else { return false };
        self.bytes -= oldest.message.said.size;
        self.counted.missed += 1;
        let gap = self.waiting.front_mut().map_or(&mut self.missed_after, |next| &mut next.missed);
        *gap += oldest.missed + 1;
        true
    }

    /// What a new one begins with: this many that are gone, then these. They may be more than the bounds, and are in memory
    /// anyhow.
    pub(super) fn begin(&mut self, gone: u64, messages: impl Iterator<Item = Arc<Published>>) {
        self.counted.matched += gone;
        self.miss(gone);
        for message in messages {
            self.counted.matched += 1;
            self.push(message);
        }
    }

    /// The first ones go to this member, and what was dropped behind them is told if that is all.
    pub(super) fn take(&mut self, member: u64, count: usize) {
        for entry in self.waiting.drain(..count.min(self.waiting.len())) {
            if self.group.is_some() {
                self.given.insert(entry.message.position, Given { to: member, entry });
            } else {
                self.bytes -= entry.message.said.size;
                self.counted.settled += 1;
            }
        }
        if self.waiting.is_empty() {
            self.missed_after = 0;
        }
    }

    /// A member is done with these; those that it does not have are passed over.
    pub(super) fn settle(&mut self, member: u64, positions: &[u64]) {
        for position in positions {
            if self.given.get(position).is_some_and(|given| given.to == member) {
                let given = self.given.remove(position).expect("it was there");
                self.bytes -= given.entry.message.said.size;
                self.counted.settled += 1;
            }
        }
    }

    /// A member goes: what it has goes back.
    pub(super) fn leave(&mut self, member: u64) {
        self.members -= 1;
        let mut back = Vec::new();
        self.given.retain(|_, Given { to, entry }| {
            if *to == member {
                // It was told what had been dropped before.
                back.push(Waiting { message: entry.message.clone(), missed: 0, redelivered: true });
            }
            *to != member
        });
        self.insert(back);
    }

    /// A member was not given these after all, and was not told what had been dropped. Of a subscription they may be more than
    /// the bounds then: nothing is dropped because an answer got lost.
    pub(super) fn put_back(&mut self, member: u64, entries: Vec<Waiting>, missed: u64) {
        if self.is_ended {
            return self.miss_after_all(&entries, missed);
        }
        let last = entries.last().map_or(0, |entry| entry.message.position);
        let returned = if self.group.is_some() { self.given_back(member, &entries) } else { self.ungiven(entries) };
        let behind = if last > 0 { None } else { Some(returned.len()) };
        self.insert(returned);
        let behind = behind.unwrap_or_else(|| self.waiting.partition_point(|entry| entry.message.position <= last));
        *self.waiting.get_mut(behind).map_or(&mut self.missed_after, |next| &mut next.missed) += missed;
    }

    /// It has ended since: what did not arrive is missed.
    fn miss_after_all(&mut self, entries: &[Waiting], missed: u64) {
        let count = entries.len() as u64;
        self.counted.settled = self.counted.settled.saturating_sub(count);
        self.miss(count);
        self.missed_after += missed + entries.iter().map(|entry| entry.missed).sum::<u64>();
    }

    fn given_back(&mut self, member: u64, entries: &[Waiting]) -> Vec<Waiting> {
        let positions = entries.iter().map(|entry| entry.message.position);
        let held: Vec<_> = positions.filter(|position| self.holds_any(member, &[*position])).collect();
        held.iter().filter_map(|position| self.given.remove(position)).map(|given| given.entry).collect()
    }

    fn ungiven(&mut self, entries: Vec<Waiting>) -> Vec<Waiting> {
        self.counted.settled = self.counted.settled.saturating_sub(entries.len() as u64);
        self.bytes += entries.iter().map(|entry| entry.message.said.size).sum::<usize>();
        entries
    }

    /// Each in its place. Answers have none: they go to the front.
    fn insert(&mut self, mut entries: Vec<Waiting>) {
        if entries.is_empty() {
            return;
        }
        if self.wants.is_none() {
            entries.extend(self.waiting.drain(..));
            self.waiting = entries.into();
        } else {
            self.waiting.extend(entries);
            self.waiting.make_contiguous().sort_by_key(|entry| entry.message.position);
        }
    }
}
