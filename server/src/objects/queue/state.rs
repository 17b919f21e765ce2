//! The items of a queue, and how changes move them.

use super::{
    Change, Counters, NewItem, OnDuplicate, Options, Parked, RETRY_DELAY_MS_MAX, Reply, Stats, Verdict,
    cancel::{Asked, Then, Wanted},
};
use crate::objects::kind::{Decision, Moment, SessionId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// Events of one item that are kept.
const HISTORY_MAX: usize = 16;
/// Done leases that are remembered, so that settling one again is no fault.
const SETTLED_MAX: u64 = 1024;
/// Bytes of one earlier cause in the reason for which an item is parked.
const CAUSE_BYTES_MAX: usize = 128;
/// Items that one change moves by time alone.
const BATCH_DUE_MAX: usize = 1000;

/// What stands in the history of an item that was put back.
const UNPARKED: &str = "unparked";

/// Words with an item for whoever gets it.
pub type Headers = BTreeMap<String, String>;

/// An item, wherever it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Grows with every put.
    pub id: u64,
    /// The payload.
    pub data: Bytes,
    /// What it is encoded in.
    pub codec: u32,
    /// Larger first.
    pub priority: u8,
    /// When it was put.
    pub put_at: Moment,
    /// What only few items have.
    pub rare: Option<Box<Rare>>,
}

/// What only few items have.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Rare {
    pub ready_at: Option<Moment>,
    pub expires_at: Option<Moment>,
    pub unique_key: Bytes,
    pub headers: Headers,
    pub failures: u32,
    pub crashes: u32,
    pub releases: u32,
    pub history: Vec<Event>,
}

/// Something that happened to an item.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Event {
    pub at: Moment,
    pub what: String,
    pub session: u64,
    pub why: String,
}

/// Why a lease ends without its item being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// The holder gave it back unharmed.
    Released,
    /// The holder failed.
    Failed,
    /// The holder's session ended.
    Crashed,
    /// It was never heard of, or only buffered.
    TakenBack,
}

impl Return {
    fn word(self) -> &'static str {
        match self {
            Return::Released => "released",
            Return::Failed => "failed",
            Return::Crashed => "crashed",
            Return::TakenBack => "taken back",
        }
    }
}

impl Item {
    fn rare(&self) -> &Rare {
        static COMMON: Rare = Rare {
            ready_at: None,
            expires_at: None,
            unique_key: Bytes::new(),
            headers: Headers::new(),
            failures: 0,
            crashes: 0,
            releases: 0,
            history: Vec::new(),
        };
        self.rare.as_deref().unwrap_or(&COMMON)
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Failed returns.
    pub fn failures(&self) -> u32 {
        self.rare().failures
    }

    /// Sessions that ended while they held it.
    pub fn crashes(&self) -> u32 {
        self.rare().crashes
    }

    /// The number of the next, or present, delivery.
    pub fn attempt(&self) -> u32 {
        1 + self.rare().failures + self.rare().crashes + self.rare().releases
    }

    /// Empty: none.
    pub fn unique_key(&self) -> &Bytes {
        &self.rare().unique_key
    }

    /// Words with the item.
    pub fn headers(&self) -> &Headers {
        &self.rare().headers
    }

    /// What happened to it, oldest first.
    pub fn history(&self) -> &[Event] {
        &self.rare().history
    }

    /// How often its holders died since it was last unparked, and of what before the last time.
    fn proof(&self) -> String {
        let since = self.history().iter().rev().take_while(|event| event.what != UNPARKED);
        let crashed = since.filter(|event| event.what == Return::Crashed.word()).map(|event| cause(&event.why));
        let mut causes: Vec<&str> = Vec::new();
        for cause in crashed {
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        let earlier: String = causes.iter().skip(1).rev().flat_map(|cause| [*cause, "; "]).collect();
        let times = self.crashes();
        match earlier.trim_end_matches("; ") {
            "" => format!("its holders died too often, {times} times"),
            earlier => format!("its holders died too often, {times} times: {earlier}; the last time"),
        }
    }

    fn size(&self) -> u64 {
        size_of(&self.data, self.unique_key(), self.headers())
    }

    fn note(&mut self, at: Moment, what: &str, session: SessionId, why: &str) {
        let history = &mut self.rare_mut().history;
        if history.len() == HISTORY_MAX {
            history.remove(0);
        }
        history.push(Event { at, what: what.to_owned(), session: session.0, why: why.to_owned() });
    }
}

/// What came first in these words: whatever more they say stands behind a semicolon.
fn cause(words: &str) -> &str {
    let cause = words.split(';').next().unwrap_or(words);
    let mut end = cause.len().min(CAUSE_BYTES_MAX);
    while !cause.is_char_boundary(end) {
        end -= 1;
    }
    &cause[..end]
}

/// What an item counts against `max_bytes`.
pub(super) fn size_of(data: &Bytes, unique_key: &Bytes, headers: &Headers) -> u64 {
    let headers: usize = headers.iter().map(|(key, value)| key.len() + value.len()).sum();
    (data.len() + unique_key.len() + headers) as u64
}

#[derive(Debug)]
struct Lease {
    item: Item,
    /// Given for later: not an attempt yet, and may be taken back.
    buffered: bool,
}

/// Where an item with a ttl is, and what must be known to drop it there.
#[derive(Debug)]
struct Expiring {
    size: u64,
    /// In `delayed` under this moment; `None`: in a lane.
    ready_at: Option<Moment>,
    unique_key: Bytes,
}

/// Who has a unique key.
#[derive(Clone, Copy, Debug, PartialEq)]
enum KeyHolder {
    /// Ready or delayed, with this many bytes.
    Queued { id: u64, size: u64, expires_at: Option<Moment> },
    /// Leased or parked.
    Away { id: u64 },
    /// Done, and remembered until then.
    Remembered { id: u64, until: Moment },
}

/// What takes the place of a queued item's payload.
#[derive(Clone, Debug)]
struct Amendment {
    data: Bytes,
    codec: u32,
    headers: Headers,
}

/// A queue: the state machine.
#[derive(Debug)]
pub struct Queue {
    options: Options,
    /// Ready items by priority, largest first. May hold items that are struck.
    lanes: Vec<(u8, VecDeque<Item>)>,
    /// Ids in the lanes that are gone already: cheaper than a search through the lane.
    struck: HashSet<u64>,
    struck_bytes: u64,
    /// Payloads that were replaced while their item was queued.
    amended: HashMap<u64, Amendment>,
    /// Items in the lanes that are not struck.
    ready: u64,
    delayed: BTreeMap<(Moment, u64), Item>,
    /// Items with a ttl, while they are ready or delayed.
    expiring: BTreeMap<(Moment, u64), Expiring>,
    leases: BTreeMap<(SessionId, u64), Lease>,
    buffered: BTreeMap<u64, SessionId>,
    /// Leases that are asked back; no buffered ones.
    asked_back: BTreeMap<u64, Asked>,
    /// How often any was.
    askings: u64,
    parked: BTreeMap<u64, Parked>,
    keys: BTreeMap<Bytes, KeyHolder>,
    remembered: BTreeSet<(Moment, Bytes)>,
    /// Direct-mapped: lease n stands at n mod SETTLED_MAX.
    settled: Vec<u64>,
    /// Payload bytes of ready and delayed items.
    bytes: u64,
    next_id: u64,
    next_lease: u64,
    closed: bool,
    shut_down: bool,
    paused: bool,
    counters: Counters,
}

/// One step of a snapshot.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Restored {
    Ready(Item),
    Delayed(Item),
    Leased { session: SessionId, lease: u64, buffered: bool, item: Item, asked_back: Option<Wanted> },
    Parked { item: Item, why: String, since: Moment },
    Remembered { unique_key: Bytes, id: u64, until: Moment },
    Rest { counters: Counters, next_id: u64, next_lease: u64, closed: bool, shut_down: bool, paused: bool, settled: Vec<u64> },
}

impl Queue {
    /// An empty queue.
    pub fn new(options: Options) -> Queue {
        Queue {
            options,
            lanes: Vec::new(),
            struck: HashSet::new(),
            struck_bytes: 0,
            amended: HashMap::new(),
            ready: 0,
            delayed: BTreeMap::new(),
            expiring: BTreeMap::new(),
            leases: BTreeMap::new(),
            buffered: BTreeMap::new(),
            asked_back: BTreeMap::new(),
            askings: 0,
            parked: BTreeMap::new(),
            keys: BTreeMap::new(),
            remembered: BTreeSet::new(),
            settled: Vec::new(),
            bytes: 0,
            next_id: 1,
            next_lease: 1,
            closed: false,
            shut_down: false,
            paused: false,
            counters: Counters::default(),
        }
    }

    pub(super) fn limits(&self) -> &Options {
        &self.options
    }

    pub(super) fn ready(&self) -> u64 {
        self.ready
    }

    /// Ready and delayed.
    pub(super) fn queued(&self) -> u64 {
        self.ready + self.delayed.len() as u64
    }

    pub(super) fn unfinished(&self) -> u64 {
        self.queued() + self.leases.len() as u64
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.shut_down
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    pub(super) fn next_lease(&self) -> u64 {
        self.next_lease
    }

    pub(super) fn holds(&self, session: SessionId, lease: u64) -> bool {
        self.leases.contains_key(&(session, lease))
    }

    /// The id of the item that the session holds under this lease.
    pub(super) fn leased(&self, session: SessionId, lease: u64) -> Option<u64> {
        self.leases.get(&(session, lease)).map(|held| held.item.id)
    }

    /// How many each session holds; whoever has the oldest lease comes first.
    pub(super) fn leases_by_session(&self) -> Vec<(SessionId, usize)> {
        let mut sessions: Vec<(u64, SessionId, usize)> = Vec::new();
        for (session, lease) in self.leases.keys() {
            match sessions.last_mut() {
                Some((_, last, count)) if last == session => *count += 1,
                _ => sessions.push((*lease, *session, 1)),
            }
        }
        sessions.sort_unstable();
        sessions.into_iter().map(|(_, session, count)| (session, count)).collect()
    }

    /// Under which lease an item is held, and by whom. Linear: for operators.
    pub(super) fn holder_of(&self, id: u64, lease: u64) -> Option<(SessionId, u64)> {
        let is_it = |number: &u64, held: &Lease| held.item.id == id && (lease == 0 || lease == *number);
        self.leases.iter().find(|((_, number), held)| is_it(number, held)).map(|((session, number), _)| (*session, *number))
    }

    pub(super) fn is_buffered(&self, lease: u64) -> bool {
        self.buffered.contains_key(&lease)
    }

    pub(super) fn is_parked(&self, id: u64) -> bool {
        self.parked.contains_key(&id)
    }

    pub(super) fn nothing_is_asked_back(&self) -> bool {
        self.asked_back.is_empty()
    }

    /// What is asked back of a session, with the number of the asking.
    pub(super) fn asked_of(&self, holder: SessionId) -> Vec<(u64, u64)> {
        let own = self.asked_back.iter().filter(|(_, asked)| asked.holder == holder);
        own.map(|(lease, asked)| (*lease, asked.number)).collect()
    }

    pub(super) fn leases_of(&self, session: SessionId) -> impl Iterator<Item = (u64, &Item)> {
        self.leases.range((session, 0)..=(session, u64::MAX)).map(|((_, lease), held)| (*lease, &held.item))
    }

    pub(super) fn was_done(&self, lease: u64) -> bool {
        self.settled.get((lease % SETTLED_MAX) as usize) == Some(&lease) && lease > 0
    }

    /// The newest lease that another session only buffers.
    pub(super) fn newest_buffered(&self, caller: SessionId) -> Option<(u64, SessionId, Item)> {
        let (lease, holder) = self.buffered.iter().rev().find(|(_, holder)| **holder != caller)?;
        Some((*lease, *holder, self.leases[&(*holder, *lease)].item.clone()))
    }

    pub(super) fn buffers(&self, session: SessionId) -> bool {
        self.buffered.values().any(|holder| *holder == session)
    }

    /// Closed, nothing queued, and nobody else holds what might come back.
    pub(super) fn nothing_can_come(&self, caller: SessionId) -> bool {
        self.queued() == 0 && self.leases.len() == self.leases_of(caller).count()
    }

    /// The item that has this key, and its size while it is still queued.
    pub(super) fn holder_of_key(&self, key: &Bytes) -> Option<(u64, Option<u64>)> {
        match *self.keys.get(key)? {
            KeyHolder::Queued { id, size, .. } => Some((id, Some(size))),
            KeyHolder::Away { id } | KeyHolder::Remembered { id, .. } => Some((id, None)),
        }
    }

    pub(super) fn will_be_parked(&self, session: SessionId, lease: u64, how: Return) -> bool {
        let Lease { item, buffered } = &self.leases[&(session, lease)];
        if let Some(asked) = self.asked_back.get(&lease) {
            return asked.wanted.then == Then::Park;
        }
        match how {
            // Taken back, however it is returned.
            _ if *buffered => false,
            Return::Failed => item.failures() + 1 >= self.options.max_failures,
            Return::Crashed => item.crashes() + 1 >= self.options.max_crashes,
            Return::Released | Return::TakenBack => false,
        }
    }

    /// Linear: for operators.
    pub(super) fn is_queued(&self, id: u64) -> bool {
        self.in_order().any(|item| item.id == id) || self.delayed.keys().any(|(_, delayed)| *delayed == id)
    }

    pub(super) fn parked_ids(&self, ids: &[u64]) -> Vec<u64> {
        match ids {
            [] => self.parked.keys().copied().collect(),
            ids => super::distinct(ids).into_iter().filter(|id| self.parked.contains_key(id)).collect(),
        }
    }

    pub(super) fn parked_after(&self, after_id: u64, limit: usize) -> (Vec<Parked>, bool) {
        let (mut items, mut bytes) = (Vec::new(), 0);
        for parked in self.parked.range(after_id.saturating_add(1)..).map(|(_, parked)| parked) {
            bytes += parked.item.data.len();
            let fits = items.is_empty() || bytes <= bursar_proto::limits::REPLY_BYTES_MAX;
            if items.len() == limit || !fits {
                return (items, true);
            }
            items.push(parked.clone());
        }
        (items, false)
    }

    pub(super) fn front(&self, limit: usize) -> Vec<Item> {
        let mut bytes = 0;
        self.front_while(limit, |count, item| {
            bytes += item.data.len();
            count == 0 || bytes <= bursar_proto::limits::REPLY_BYTES_MAX
        })
    }

    /// The first items in the order of delivery, up to `max`, and while the condition holds.
    pub(super) fn front_while(&self, max: usize, mut fits: impl FnMut(usize, &Item) -> bool) -> Vec<Item> {
        let mut items = Vec::with_capacity(max.min(self.ready as usize));
        for item in self.in_order().take(max) {
            let item = self.as_amended(item);
            if !fits(items.len(), &item) {
                break;
            }
            items.push(item);
        }
        items
    }

    pub(super) fn stats(&self, now: Moment) -> Stats {
        Stats {
            ready: self.ready,
            delayed: self.delayed.len() as u64,
            leased: self.leases.len() as u64,
            parked: self.parked.len() as u64,
            bytes: self.bytes,
            oldest_ms: self.in_order().next().map_or(0, |item| now.ms_since(item.put_at)),
            closed: self.closed,
            paused: self.paused,
            counters: self.counters,
        }
    }

    pub(super) fn first_due(&self) -> Option<Moment> {
        let expiry = self.expiring.keys().next().map(|(at, _)| *at);
        let maturity = self.delayed.keys().next().map(|(at, _)| *at);
        let forgetting = self.remembered.first().map(|(at, _)| *at);
        [expiry, maturity, forgetting].into_iter().flatten().min()
    }

    pub(super) fn count_expired(&self, now: Moment) -> u64 {
        self.expiring.keys().take_while(|(at, _)| *at <= now).take(BATCH_DUE_MAX).count() as u64
    }

    pub(super) fn count_matured(&self, now: Moment) -> u64 {
        self.delayed.keys().take_while(|(at, _)| *at <= now).take(BATCH_DUE_MAX).count() as u64
    }

    pub(super) fn count_forgettable(&self, now: Moment) -> u64 {
        self.remembered.iter().take_while(|(at, _)| *at <= now).take(BATCH_DUE_MAX).count() as u64
    }

    fn in_order(&self) -> impl Iterator<Item = &Item> {
        let all = self.lanes.iter().flat_map(|(_, lane)| lane);
        all.filter(|item| self.struck.is_empty() || !self.struck.contains(&item.id))
    }

    fn as_amended(&self, item: &Item) -> Item {
        let mut item = item.clone();
        if let Some(amendment) = self.amended.get(&item.id) {
            amend(&mut item, amendment.clone());
        }
        item
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Put(items) => {
                for item in items {
                    self.counters.put += 1;
                    self.next_id = self.next_id.max(item.id + 1);
                    self.enqueue(item, Side::Tail);
                }
            }
            Change::Leased { session, first_lease, count, buffered } => {
                for lease in first_lease..first_lease + count {
                    let item = self.pop().expect("it was ready when the lease was decided");
                    self.hold(session, lease, item, buffered);
                }
            }
            Change::Done { session, leases, now } => {
                for lease in leases {
                    let Lease { item, .. } = self.unhold(session, lease);
                    self.asked_back.remove(&lease);
                    self.counters.done += 1;
                    self.settle(lease);
                    self.retire_key(&item, now);
                }
            }
            Change::Started { session, leases } => {
                for lease in leases {
                    self.buffered.remove(&lease);
                    self.leases.entry((session, lease)).and_modify(|held| held.buffered = false);
                }
            }
            Change::Returned { session, leases, how, now, delay_ms, why } => {
                // Backwards, so that the first one given comes to stand in front.
                for lease in leases.into_iter().rev() {
                    self.take_back(session, lease, how, now, delay_ms, &why);
                }
            }
            Change::Parked { session, leases, ids, why, now } => {
                for lease in leases {
                    let held = self.unhold(session, lease);
                    match self.asked_back.remove(&lease) {
                        Some(asked) => self.let_go(held, session, &asked.wanted, &why, now),
                        None => self.park(held.item, session, &why, now),
                    }
                }
                for id in ids {
                    let item = self.pull(id).expect("it was queued when parking was decided");
                    self.park(item, session, &why, now);
                }
            }
            Change::Unparked { ids, now } => {
                for id in ids {
                    let Parked { mut item, .. } = self.parked.remove(&id).expect("it was parked when this was decided");
                    item.note(now, UNPARKED, SessionId(0), "");
                    let rare = item.rare_mut();
                    (rare.failures, rare.crashes, rare.ready_at) = (0, 0, None);
                    self.enqueue(item, Side::Tail);
                }
            }
            Change::Discarded { ids } => {
                for id in ids {
                    let Parked { item, .. } = self.parked.remove(&id).expect("it was parked when this was decided");
                    self.counters.dropped += 1;
                    self.keys.remove(item.unique_key());
                }
            }
            Change::Replaced { unique_key, data, codec, headers } => {
                self.replace(&unique_key, Amendment { data, codec, headers });
            }
            Change::Expired { count } => {
                for _ in 0..count {
                    self.expire_first();
                }
            }
            Change::Matured { count } => {
                for _ in 0..count {
                    self.mature_first();
                }
            }
            Change::Forgotten { count } => {
                for _ in 0..count {
                    let (_, key) = self.remembered.pop_first().expect("it was counted when this was decided");
                    self.keys.remove(&key);
                }
            }
            Change::Closed { immediate } => {
                self.closed = true;
                if immediate {
                    self.shut_down = true;
                    self.drop_queued();
                }
            }
            Change::Purged => self.drop_queued(),
            Change::Paused { paused } => self.paused = paused,
            Change::Cancelled { session, lease, by, wanted, now } => self.ask_back(session, lease, by, wanted, now),
            Change::Restored(restored) => self.restore(restored),
            Change::Sequence(changes) => changes.into_iter().for_each(|change| self.apply(change)),
        }
    }

    /// Into a lane, or to the delayed ones if it is not ready yet.
    fn enqueue(&mut self, item: Item, side: Side) {
        if self.shut_down {
            // Nobody can get it any more: what comes back is dropped like what was queued, so that no join hangs.
            self.counters.dropped += 1;
            self.keys.remove(item.unique_key());
            return;
        }
        self.bytes += item.size();
        let Rare { ready_at, expires_at, unique_key, .. } = item.rare();
        if !unique_key.is_empty() {
            self.keys.insert(unique_key.clone(), KeyHolder::Queued { id: item.id, size: item.size(), expires_at: *expires_at });
        }
        if let Some(at) = expires_at {
            let expiring = Expiring { size: item.size(), ready_at: *ready_at, unique_key: unique_key.clone() };
            self.expiring.insert((*at, item.id), expiring);
        }
        match *ready_at {
            Some(at) => {
                self.delayed.insert((at, item.id), item);
            }
            None => {
                self.ready += 1;
                self.lane(item.priority, side, item);
            }
        }
    }

    fn lane(&mut self, priority: u8, side: Side, item: Item) {
        let at = match self.lanes.iter().position(|(level, _)| *level <= priority) {
            Some(at) if self.lanes[at].0 == priority => at,
            place => {
                let at = place.unwrap_or(self.lanes.len());
                self.lanes.insert(at, (priority, VecDeque::new()));
                at
            }
        };
        match side {
            Side::Head => self.lanes[at].1.push_front(item),
            Side::Tail => self.lanes[at].1.push_back(item),
        }
    }

    /// The first ready item, off the books.
    fn pop(&mut self) -> Option<Item> {
        while let Some((_, lane)) = self.lanes.first_mut() {
            match lane.pop_front() {
                Some(item) if !self.struck.is_empty() && self.struck.remove(&item.id) => {
                    self.struck_bytes = self.struck_bytes.saturating_sub(item.size());
                }
                Some(item) => {
                    self.ready -= 1;
                    return Some(self.off_the_books(item));
                }
                // The last lane stays: a queue that runs empty all the time should not allocate it anew.
                None if self.lanes.len() == 1 => return None,
                None => drop(self.lanes.remove(0)),
            }
        }
        None
    }

    /// What every item goes through that leaves the lanes or the delayed ones alive.
    fn off_the_books(&mut self, mut item: Item) -> Item {
        if !self.amended.is_empty()
            && let Some(amendment) = self.amended.remove(&item.id)
        {
            amend(&mut item, amendment);
        }
        self.bytes -= item.size();
        if let Some(rare) = &item.rare {
            if let Some(at) = rare.expires_at {
                self.expiring.remove(&(at, item.id));
            }
            if !rare.unique_key.is_empty() {
                self.keys.insert(rare.unique_key.clone(), KeyHolder::Away { id: item.id });
            }
        }
        item
    }

    /// A queued item by its id. Linear: for operators.
    fn pull(&mut self, id: u64) -> Option<Item> {
        if let Some(key) = self.delayed.keys().find(|(_, delayed)| *delayed == id).copied() {
            let item = self.delayed.remove(&key)?;
            return Some(self.off_the_books(item));
        }
        if self.struck.contains(&id) {
            return None;
        }
        let (lane, at) = (0..self.lanes.len()).find_map(|lane| {
            let at = self.lanes[lane].1.iter().position(|item| item.id == id)?;
            Some((lane, at))
        })?;
        let item = self.lanes[lane].1.remove(at)?;
        self.ready -= 1;
        Some(self.off_the_books(item))
    }

    fn hold(&mut self, session: SessionId, lease: u64, mut item: Item, buffered: bool) {
        self.next_lease = self.next_lease.max(lease + 1);
        if let Some(rare) = &mut item.rare {
            rare.ready_at = None;
        }
        if buffered {
            self.buffered.insert(lease, session);
        }
        self.leases.insert((session, lease), Lease { item, buffered });
    }

    fn unhold(&mut self, session: SessionId, lease: u64) -> Lease {
        self.buffered.remove(&lease);
        self.leases.remove(&(session, lease)).expect("it was held when this was decided")
    }

    fn take_back(&mut self, session: SessionId, lease: u64, how: Return, now: Moment, delay_ms: Option<u64>, why: &str) {
        let held = self.unhold(session, lease);
        if let Some(asked) = self.asked_back.remove(&lease) {
            return self.let_go(held, session, &asked.wanted, why, now);
        }
        let Lease { mut item, buffered } = held;
        // Who only buffered an item had no hand in what happened.
        let how = if buffered { Return::TakenBack } else { how };
        let mut side = Side::Head;
        let mut delay_ms = delay_ms.filter(|_| how != Return::TakenBack);
        match how {
            Return::Released => {
                self.counters.released += 1;
                item.rare_mut().releases += 1;
            }
            Return::Failed => {
                self.counters.failures += 1;
                item.rare_mut().failures += 1;
                side = Side::Tail;
                delay_ms = delay_ms.or_else(|| Some(self.retry_delay(item.failures())));
            }
            Return::Crashed => {
                self.counters.crashes += 1;
                item.rare_mut().crashes += 1;
            }
            Return::TakenBack => self.counters.taken_back += 1,
        }
        if how != Return::TakenBack {
            item.note(now, how.word(), session, why);
        }
        let limit = match how {
            Return::Failed if item.failures() >= self.options.max_failures => Some("failed too often".to_owned()),
            Return::Crashed if item.crashes() >= self.options.max_crashes => Some(item.proof()),
            _ => None,
        };
        if let Some(limit) = limit {
            let why = if why.is_empty() { limit } else { format!("{limit}: {why}") };
            return self.park(item, session, &why, now);
        }
        if let Some(delay_ms) = delay_ms.filter(|delay_ms| *delay_ms > 0) {
            item.rare_mut().ready_at = Some(now.after_ms(delay_ms));
        }
        // `Away` gives way to `Queued` in here.
        self.enqueue(item, side);
    }

    fn ask_back(&mut self, holder: SessionId, lease: u64, by: SessionId, wanted: Wanted, now: Moment) {
        self.askings += 1;
        let asked = Asked { holder, number: self.askings, wanted };
        let held = self.leases.get_mut(&(holder, lease)).expect("it was held when this was decided");
        let known = self.asked_back.get(&lease).is_some_and(|known| known.wanted == asked.wanted);
        if !known {
            held.item.note(now, "cancelling", by, &asked.wanted.why);
        }
        self.asked_back.insert(lease, asked);
    }

    /// What was asked back is not held any more: however that came, it was no failure of the item.
    fn let_go(&mut self, held: Lease, session: SessionId, wanted: &Wanted, how: &str, now: Moment) {
        let Lease { mut item, buffered } = held;
        if buffered {
            self.counters.taken_back += 1;
        } else {
            self.counters.released += 1;
            item.rare_mut().releases += 1;
        }
        item.note(now, "cancelled", session, if how.is_empty() { &wanted.why } else { how });
        match wanted.then {
            Then::Park => self.park(item, session, &wanted.reason(), now),
            Then::Requeue => self.enqueue(item, Side::Head),
        }
    }

    fn retry_delay(&self, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1).min(40);
        self.options.retry_delay_ms.saturating_mul(1 << doublings).min(RETRY_DELAY_MS_MAX)
    }

    fn park(&mut self, mut item: Item, session: SessionId, why: &str, now: Moment) {
        item.note(now, "parked", session, why);
        self.parked.insert(item.id, Parked { item, why: why.to_owned(), since: now });
    }

    fn settle(&mut self, lease: u64) {
        if self.settled.is_empty() {
            self.settled = vec![0; SETTLED_MAX as usize];
        }
        self.settled[(lease % SETTLED_MAX) as usize] = lease;
    }

    /// The item is done: its key is free, or remembered for the window.
    fn retire_key(&mut self, item: &Item, now: Moment) {
        let key = item.unique_key();
        if key.is_empty() {
            return;
        }
        if self.options.unique_window_ms == 0 {
            self.keys.remove(key);
        } else {
            self.remember(key.clone(), item.id, now.after_ms(self.options.unique_window_ms));
        }
    }

    fn remember(&mut self, key: Bytes, id: u64, until: Moment) {
        self.remembered.insert((until, key.clone()));
        self.keys.insert(key, KeyHolder::Remembered { id, until });
    }

    fn replace(&mut self, unique_key: &Bytes, amendment: Amendment) {
        let Some(KeyHolder::Queued { id, size, expires_at }) = self.keys.get_mut(unique_key) else {
            unreachable!("only queued items with a key are replaced");
        };
        let new_size = size_of(&amendment.data, unique_key, &amendment.headers);
        self.bytes = self.bytes - *size + new_size;
        *size = new_size;
        if let Some(expiring) = expires_at.and_then(|at| self.expiring.get_mut(&(at, *id))) {
            expiring.size = *size;
        }
        self.amended.insert(*id, amendment);
    }

    fn expire_first(&mut self) {
        let ((_, id), expiring) = self.expiring.pop_first().expect("it was counted when this was decided");
        match expiring.ready_at {
            Some(at) => drop(self.delayed.remove(&(at, id))),
            None => {
                self.struck.insert(id);
                self.struck_bytes += expiring.size;
                self.ready -= 1;
            }
        }
        self.amended.remove(&id);
        self.keys.remove(&expiring.unique_key);
        self.bytes -= expiring.size;
        self.counters.expired += 1;
        // The dead leave the lanes once they outnumber or outweigh the living, so that each is moved a bounded number of times.
        if self.struck.len() as u64 > self.ready || self.struck_bytes > self.bytes {
            self.sweep();
        }
    }

    fn mature_first(&mut self) {
        let ((_, id), mut item) = self.delayed.pop_first().expect("it was counted when this was decided");
        item.rare_mut().ready_at = None;
        if let Some(at) = item.rare().expires_at
            && let Some(expiring) = self.expiring.get_mut(&(at, id))
        {
            expiring.ready_at = None;
        }
        self.ready += 1;
        self.lane(item.priority, Side::Tail, item);
    }

    fn drop_queued(&mut self) {
        self.counters.dropped += self.queued();
        self.clear_lanes();
        self.delayed.clear();
        self.expiring.clear();
        self.amended.clear();
        self.keys.retain(|_, holder| !matches!(holder, KeyHolder::Queued { .. }));
        self.bytes = 0;
        self.ready = 0;
    }

    fn sweep(&mut self) {
        for (_, lane) in &mut self.lanes {
            lane.retain(|item| !self.struck.contains(&item.id));
            lane.shrink_to(lane.len() * 2);
        }
        self.lanes.retain(|(_, lane)| !lane.is_empty());
        self.struck.clear();
        self.struck_bytes = 0;
    }

    fn clear_lanes(&mut self) {
        self.lanes.clear();
        self.struck.clear();
        self.struck_bytes = 0;
    }

    /// The shortest list of steps that leads to this state.
    pub(super) fn snapshot(&self) -> Vec<Restored> {
        let rest = Restored::Rest {
            counters: self.counters,
            next_id: self.next_id,
            next_lease: self.next_lease,
            closed: self.closed,
            shut_down: self.shut_down,
            paused: self.paused,
            settled: self.settled.iter().copied().filter(|lease| *lease > 0).collect(),
        };
        let ready = self.in_order().map(|item| Restored::Ready(self.as_amended(item)));
        let delayed = self.delayed.values().map(|item| Restored::Delayed(self.as_amended(item)));
        let leased = self.leases.iter().map(|((session, lease), held)| Restored::Leased {
            session: *session,
            lease: *lease,
            buffered: held.buffered,
            item: held.item.clone(),
            asked_back: self.asked_back.get(lease).map(|asked| asked.wanted.clone()),
        });
        let parked = self.parked.values().map(|Parked { item, why, since }| Restored::Parked {
            item: item.clone(),
            why: why.clone(),
            since: *since,
        });
        let remembered = self.keys.iter().filter_map(|(key, holder)| match holder {
            KeyHolder::Remembered { id, until } => Some(Restored::Remembered { unique_key: key.clone(), id: *id, until: *until }),
            _ => None,
        });
        // The counters come last: putting items back counts them.
        ready.chain(delayed).chain(leased).chain(parked).chain(remembered).chain([rest]).collect()
    }

    fn restore(&mut self, restored: Restored) {
        match restored {
            Restored::Ready(item) | Restored::Delayed(item) => self.enqueue(item, Side::Tail),
            Restored::Leased { session, lease, buffered, item, asked_back } => {
                self.take_key(&item);
                self.hold(session, lease, item, buffered);
                if let Some(wanted) = asked_back {
                    self.askings += 1;
                    self.asked_back.insert(lease, Asked { holder: session, number: self.askings, wanted });
                }
            }
            Restored::Parked { item, why, since } => {
                self.take_key(&item);
                self.parked.insert(item.id, Parked { item, why, since });
            }
            Restored::Remembered { unique_key, id, until } => self.remember(unique_key, id, until),
            Restored::Rest { counters, next_id, next_lease, closed, shut_down, paused, settled } => {
                self.counters = counters;
                (self.next_id, self.next_lease) = (next_id, next_lease);
                (self.closed, self.shut_down, self.paused) = (closed, shut_down, paused);
                settled.into_iter().for_each(|lease| self.settle(lease));
            }
        }
    }

    fn take_key(&mut self, item: &Item) {
        if !item.unique_key().is_empty() {
            self.keys.insert(item.unique_key().clone(), KeyHolder::Away { id: item.id });
        }
    }

    /// Q3, Q5, Q7 and the books, by counting everything.
    pub(super) fn broken_invariant(&self) -> Option<String> {
        let queued: Vec<Item> = self.in_order().chain(self.delayed.values()).map(|item| self.as_amended(item)).collect();
        let leased = self.leases.values().map(|lease| &lease.item);
        let mut ids: Vec<u64> =
            queued.iter().chain(leased).chain(self.parked.values().map(|parked| &parked.item)).map(|item| item.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        let Counters { put, done, expired, dropped, .. } = self.counters;
        let settled = done + expired + dropped + self.parked.len() as u64;
        let bytes: u64 = queued.iter().map(Item::size).sum();
        let lanes: usize = self.lanes.iter().map(|(_, lane)| lane.len()).sum();
        let buffered = self.leases.values().filter(|lease| lease.buffered).count();
        let is_held = |(lease, asked): (&u64, &Asked)| {
            self.leases.get(&(asked.holder, *lease)).is_some_and(|held| !held.buffered) && asked.number <= self.askings
        };
        let checks = [
            (ids.len() == count, "Q3: an item is in two places"),
            (put == settled + self.unfinished(), "Q7: put = done + expired + dropped + parked + unfinished"),
            (self.leases.keys().all(|(_, lease)| *lease < self.next_lease), "Q3: a lease is not below the next"),
            (bytes == self.bytes, "the bytes do not add up"),
            (self.ready + self.struck.len() as u64 == lanes as u64, "the ready items do not add up"),
            (self.buffered.len() == buffered, "the buffered leases do not add up"),
            (self.asked_back.iter().all(is_held), "what is asked back is not worked on by whom it is asked of"),
            (self.lanes.windows(2).all(|pair| pair[0].0 > pair[1].0), "the lanes are out of order"),
            (self.keys_agree(), "Q5: the unique keys do not agree with the items"),
        ];
        checks.iter().find(|(holds, _)| !holds).map(|(_, what)| format!("{what}: {:?}", self.stats(Moment(0))))
    }

    fn keys_agree(&self) -> bool {
        let queued = self.in_order().chain(self.delayed.values());
        let queued = queued.map(|item| (item, Some(self.as_amended(item).size())));
        let away = self.leases.values().map(|lease| &lease.item).chain(self.parked.values().map(|parked| &parked.item));
        let mut holders = HashMap::new();
        for (item, size) in queued.chain(away.map(|item| (item, None))) {
            if !item.unique_key().is_empty() && holders.insert(item.unique_key().clone(), (item.id, size)).is_some() {
                return false;
            }
        }
        let remembered = self.keys.values().filter(|holder| matches!(holder, KeyHolder::Remembered { .. })).count();
        holders.len() + remembered == self.keys.len()
            && remembered == self.remembered.len()
            && holders.iter().all(|(key, holder)| self.holder_of_key(key) == Some(*holder))
    }
}

#[derive(Clone, Copy)]
enum Side {
    Head,
    Tail,
}

fn amend(item: &mut Item, Amendment { data, codec, headers }: Amendment) {
    (item.data, item.codec) = (data, codec);
    if !headers.is_empty() || !item.headers().is_empty() {
        item.rare_mut().headers = headers;
    }
}

/// A put under decision: what fits, in order.
pub(super) struct Batch<'a> {
    queue: &'a Queue,
    changes: Vec<Change>,
    fresh: Vec<Item>,
    next_id: u64,
    count: u64,
    bytes: u64,
    pub(super) ids: Vec<u64>,
    duplicates: Vec<u32>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(queue: &'a Queue) -> Batch<'a> {
        let (count, bytes) = (queue.queued(), queue.bytes);
        let next_id = queue.next_id;
        Batch { queue, changes: vec![], fresh: vec![], next_id, count, bytes, ids: vec![], duplicates: vec![] }
    }

    /// A new item. False: there is no room.
    pub(super) fn add(&mut self, item: &NewItem, now: Moment) -> bool {
        let Options { maxsize, max_bytes, .. } = self.queue.options;
        let bytes = self.bytes + item.size();
        if (maxsize > 0 && self.count >= maxsize) || bytes > max_bytes {
            return false;
        }
        (self.count, self.bytes) = (self.count + 1, bytes);
        let id = self.next_id;
        self.next_id += 1;
        self.ids.push(id);
        self.fresh.push(stored(id, item, now));
        true
    }

    /// An item whose key is taken by `id`, which has this size while it is queued. False: there is no room for the new payload.
    pub(super) fn add_again(&mut self, item: &NewItem, id: u64, size: Option<u64>) -> bool {
        match (item.on_duplicate, size) {
            (OnDuplicate::Merge, _) => {}
            (OnDuplicate::Replace, Some(size)) => {
                let bytes = self.bytes - size + item.size();
                if bytes > self.queue.options.max_bytes {
                    return false;
                }
                self.bytes = bytes;
                self.flush();
                let NewItem { data, codec, headers, unique_key, .. } = item.clone();
                self.changes.push(Change::Replaced { unique_key, data, codec, headers });
            }
            (OnDuplicate::Reject | OnDuplicate::Replace, _) => self.duplicates.push(self.ids.len() as u32),
        }
        self.ids.push(id);
        true
    }

    /// What it changes, the ids, and which of them were refused as duplicates.
    pub(super) fn finish(mut self) -> (Vec<Change>, Vec<u64>, Vec<u32>) {
        self.flush();
        (self.changes, self.ids, self.duplicates)
    }

    pub(super) fn decision(self) -> Verdict {
        if self.ids.is_empty() {
            return Decision::Wait;
        }
        let (mut changes, ids, duplicates) = self.finish();
        let reply = Reply::Put { ids, duplicates };
        match changes.len() {
            0 => Decision::Answer(reply),
            1 => Decision::Change(changes.remove(0), reply),
            _ => Decision::Change(Change::Sequence(changes), reply),
        }
    }

    fn flush(&mut self) {
        if !self.fresh.is_empty() {
            self.changes.push(Change::Put(std::mem::take(&mut self.fresh)));
        }
    }
}

fn stored(id: u64, item: &NewItem, now: Moment) -> Item {
    let NewItem { data, codec, priority, delay_ms, ttl_ms, unique_key, on_duplicate: _, headers } = item.clone();
    let common = delay_ms == 0 && ttl_ms == 0 && unique_key.is_empty() && headers.is_empty();
    let rare = (!common).then(|| {
        Box::new(Rare {
            ready_at: (delay_ms > 0).then(|| now.after_ms(delay_ms)),
            expires_at: (ttl_ms > 0).then(|| now.after_ms(ttl_ms)),
            unique_key,
            headers,
            ..Rare::default()
        })
    });
    Item { id, data, codec, priority, put_at: now, rare }
}
