//! The joinable queue: items stay the broker's until they are done.
//!
//! ```text
//!   put ──► ready ──get──► leased ──done──► (settled)
//!     │      ▲ ▲              │
//!     │delay │ └─session ends─┤ failed: after a delay; at a limit: parked
//!     └─► delayed ◄───────────┘           ready, delayed ──ttl──► (expired)
//!          parked ◄── park, limits        parked ──unpark──► ready
//! ```
//!
//! This file decides, `cancel` what is taken from its holder, and `together` several commands as one; `state` holds the items and
//! evolves; `wire` is the form on the wire and on disk.

mod cancel;
mod state;
#[cfg(test)]
mod tests;
mod together;
mod wire;

use super::kind::{Decision, Departure, Holding, Kind, Line, Moment, SessionId, Test, Together};
use bursar_proto::{Fault, limits};
use bytes::Bytes;
pub use cancel::{Cancelled, Outcome, Then, Wanted};
use state::Batch;
pub use state::{Event, Headers, Item, Queue, Return};
use std::collections::HashMap;

/// Getters, putters and joiners stand in lines of their own, as those do who wait for a cancel: to be told of one, or for its end.
const GET: Line = Line::Queue(0);
const PUT: Line = Line::Queue(1);
const JOIN: Line = Line::Queue(2);
const CANCEL: Line = Line::Crowd(3);

/// The longest delay that failures grow to by themselves.
const RETRY_DELAY_MS_MAX: u64 = 3_600_000;
/// Queued items that one call parks by id: each is searched for in the whole queue.
const PARK_IDS_MAX: usize = 100;

/// How a queue behaves; every number is written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Ready and delayed items; 0 = no limit.
    pub maxsize: u64,
    /// Bytes of their payloads.
    pub max_bytes: u64,
    /// Failed returns before an item is parked.
    pub max_failures: u32,
    /// Deaths of holders before an item is parked.
    pub max_crashes: u32,
    /// First delay of a failed item.
    pub retry_delay_ms: u64,
    /// How long the key of a done item is remembered.
    pub unique_window_ms: u64,
}

/// What happens to an item whose unique key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDuplicate {
    /// It is refused.
    Reject,
    /// It takes the place of a queued one.
    Replace,
    /// It counts as the same.
    Merge,
}

/// An item on its way in.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// The payload.
    pub data: Bytes,
    /// What the payload is encoded in.
    pub codec: u32,
    /// Larger first.
    pub priority: u8,
    /// Not ready before this has passed.
    pub delay_ms: u64,
    /// Dropped after this, unless leased; 0 = never.
    pub ttl_ms: u64,
    /// Empty = none.
    pub unique_key: Bytes,
    /// If the key is taken.
    pub on_duplicate: OnDuplicate,
    /// For the consumer to read.
    pub headers: Headers,
}

impl NewItem {
    /// What counts against `max_bytes`.
    fn size(&self) -> u64 {
        state::size_of(&self.data, &self.unique_key, &self.headers)
    }
}

/// What a session asks of a queue.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Command {
    Put(Vec<NewItem>),
    Get {
        max: usize,
        buffered: bool,
    },
    Start {
        leases: Vec<u64>,
    },
    Done {
        leases: Vec<u64>,
    },
    DoneOldest {
        count: usize,
    },
    Return {
        leases: Vec<u64>,
        how: Return,
        delay_ms: Option<u64>,
        why: String,
    },
    Park {
        leases: Vec<u64>,
        ids: Vec<u64>,
        why: String,
    },
    Unpark {
        ids: Vec<u64>,
    },
    Discard {
        ids: Vec<u64>,
    },
    Parked {
        after_id: u64,
        limit: usize,
    },
    Join,
    Close {
        immediate: bool,
    },
    Stats,
    Peek {
        limit: usize,
    },
    Purge,
    Pause {
        paused: bool,
    },
    Cancel {
        id: u64,
        lease: u64,
        wanted: Wanted,
        force: bool,
    },
    /// What a cancel becomes that waits.
    LetGo {
        id: u64,
        session: SessionId,
        lease: u64,
    },
    Cancelling {
        after: u64,
    },
}

/// An item in the hands of a session.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Leased {
    pub lease: u64,
    pub item: Item,
}

/// A parked item with the reason.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Parked {
    pub item: Item,
    pub why: String,
    pub since: Moment,
}

/// The figures of a queue. Q7: `put = done + expired + dropped + parked + unfinished`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stats {
    pub ready: u64,
    pub delayed: u64,
    pub leased: u64,
    pub parked: u64,
    pub bytes: u64,
    pub oldest_ms: u64,
    pub closed: bool,
    pub paused: bool,
    pub counters: Counters,
}

/// What happened since the queue was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counters {
    pub put: u64,
    pub done: u64,
    pub expired: u64,
    pub dropped: u64,
    pub failures: u64,
    pub crashes: u64,
    pub released: u64,
    pub taken_back: u64,
}

/// What a session is told.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Reply {
    Put { ids: Vec<u64>, duplicates: Vec<u32> },
    Get(Vec<Leased>),
    Start { not_held: Vec<u64> },
    Done { not_held: Vec<u64> },
    Return { not_held: Vec<u64>, parked: u32 },
    Park { not_held: Vec<u64>, not_found: Vec<u64> },
    Unpark { count: u64 },
    Discard { count: u64 },
    Parked { items: Vec<Parked>, more: bool },
    Join,
    Close { dropped: u64 },
    Stats(Stats),
    Peek(Vec<Item>),
    Purge { count: u64 },
    Pause,
    Cancel(Cancelled),
    Cancelling { leases: Vec<u64>, upto: u64 },
}

/// What a queue remembers.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Change {
    Put(Vec<Item>),
    Leased {
        session: SessionId,
        first_lease: u64,
        count: u64,
        buffered: bool,
    },
    Done {
        session: SessionId,
        leases: Vec<u64>,
        now: Moment,
    },
    Started {
        session: SessionId,
        leases: Vec<u64>,
    },
    Returned {
        session: SessionId,
        leases: Vec<u64>,
        how: Return,
        now: Moment,
        delay_ms: Option<u64>,
        why: String,
    },
    Parked {
        session: SessionId,
        leases: Vec<u64>,
        ids: Vec<u64>,
        why: String,
        now: Moment,
    },
    Unparked {
        ids: Vec<u64>,
        now: Moment,
    },
    Discarded {
        ids: Vec<u64>,
    },
    Replaced {
        unique_key: Bytes,
        data: Bytes,
        codec: u32,
        headers: Headers,
    },
    Expired {
        count: u64,
    },
    Matured {
        count: u64,
    },
    Forgotten {
        count: u64,
    },
    Closed {
        immediate: bool,
    },
    Purged,
    Paused {
        paused: bool,
    },
    /// The holder of this lease is to let go of it.
    Cancelled {
        session: SessionId,
        lease: u64,
        by: SessionId,
        wanted: Wanted,
        now: Moment,
    },
    Restored(state::Restored),
    Sequence(Vec<Change>),
}

type Verdict = Decision<Queue>;

impl Kind for Queue {
    const NAME: &'static str = "queue";
    type Command = Command;
    type Reply = Reply;
    type Change = Change;

    fn line(command: &Command) -> Option<Line> {
        match command {
            Command::Get { .. } => Some(GET),
            Command::Put(_) => Some(PUT),
            Command::Join => Some(JOIN),
            Command::LetGo { .. } | Command::Cancelling { .. } => Some(CANCEL),
            _ => None,
        }
    }

    fn decide(&self, caller: SessionId, command: &Command, now: Moment) -> Verdict {
        match command {
            Command::Put(items) => self.decide_put(items, now),
            Command::Get { max, buffered } => self.decide_get(caller, *max, *buffered, now),
            Command::Start { leases } => self.decide_start(caller, leases),
            Command::Done { leases } => self.decide_done(caller, leases, now),
            Command::DoneOldest { count } => self.decide_done_oldest(caller, *count, now),
            Command::Return { leases, how, delay_ms, why } => self.decide_return(caller, leases, *how, *delay_ms, why, now),
            Command::Park { leases, ids, why } => self.decide_park(caller, leases, ids, why, now),
            Command::Unpark { ids } => {
                let ids = self.parked_ids(ids);
                let count = ids.len() as u64;
                change_if(count > 0, Change::Unparked { ids, now }, Reply::Unpark { count })
            }
            Command::Discard { ids } => {
                let ids = self.parked_ids(ids);
                let count = ids.len() as u64;
                change_if(count > 0, Change::Discarded { ids }, Reply::Discard { count })
            }
            Command::Parked { after_id, limit } => {
                let (items, more) = self.parked_after(*after_id, *limit);
                Decision::Answer(Reply::Parked { items, more })
            }
            Command::Join if self.unfinished() == 0 => Decision::Answer(Reply::Join),
            Command::Join => Decision::Wait,
            Command::Close { immediate } => {
                let dropped = if *immediate { self.queued() } else { 0 };
                let news = !self.is_closed() || (*immediate && (dropped > 0 || !self.is_shut_down()));
                change_if(news, Change::Closed { immediate: *immediate }, Reply::Close { dropped })
            }
            Command::Stats => Decision::Answer(Reply::Stats(self.stats(now))),
            Command::Peek { limit } => Decision::Answer(Reply::Peek(self.front(*limit))),
            Command::Purge => {
                let count = self.queued();
                change_if(count > 0, Change::Purged, Reply::Purge { count })
            }
            Command::Pause { paused } => change_if(self.is_paused() != *paused, Change::Paused { paused: *paused }, Reply::Pause),
            Command::Cancel { id, lease, wanted, force } => self.decide_cancel(caller, *id, *lease, wanted, *force, now),
            Command::LetGo { id, session, lease } => self.decide_let_go(*id, *session, *lease),
            Command::Cancelling { after } => self.decide_cancelling(caller, *after),
        }
    }

    fn overdue(&self, command: &Command, _now: Moment) -> Fault {
        match command {
            Command::Get { .. } => Fault::Empty {},
            Command::Put(_) => {
                let Options { maxsize, max_bytes, .. } = *self.limits();
                Fault::Full { maxsize, max_bytes }
            }
            _ => Fault::TimedOut { what: format!("{} items are unfinished", self.unfinished()) },
        }
    }

    fn late(&self, command: &Command) -> Option<Reply> {
        match command {
            Command::LetGo { session, lease, .. } => {
                Some(Reply::Cancel(Cancelled { outcome: Outcome::Held, session: session.0, lease: *lease }))
            }
            Command::Cancelling { after } => Some(Reply::Cancelling { leases: vec![], upto: *after }),
            _ => None,
        }
    }

    fn evolve(&mut self, change: Change) {
        self.apply(change);
    }

    fn concerns(change: &Change, line: usize) -> bool {
        Line::Crowd(line as u8) != CANCEL || cancel::asks(change)
    }

    fn awaits(command: &Command) -> Option<u64> {
        match command {
            Command::LetGo { lease, .. } => Some(*lease),
            _ => None,
        }
    }

    fn named(&self, change: &Change) -> Vec<u64> {
        if self.nothing_is_asked_back() { Vec::new() } else { cancel::ended(change) }
    }

    fn history(&self) -> Vec<Change> {
        self.snapshot().into_iter().map(Change::Restored).collect()
    }

    fn departed(&self, session: SessionId, how: Departure, why: &str, now: Moment) -> Option<Change> {
        let leases = self.leases_of(session).map(|(lease, _)| lease).collect::<Vec<_>>();
        let how = match how {
            Departure::Closed => Return::Released,
            Departure::Lost => Return::Crashed,
        };
        let why = why.to_owned();
        (!leases.is_empty()).then_some(Change::Returned { session, leases, how, now, delay_ms: None, why })
    }

    fn unheard(&self, caller: SessionId, reply: &Reply, now: Moment) -> Option<Change> {
        let Reply::Get(items) = reply else { return None };
        let leases: Vec<u64> = items.iter().map(|leased| leased.lease).filter(|lease| self.holds(caller, *lease)).collect();
        let how = Return::TakenBack;
        (!leases.is_empty()).then(|| Change::Returned { session: caller, leases, how, now, delay_ms: None, why: String::new() })
    }

    fn due(&self) -> Option<Moment> {
        self.first_due()
    }

    fn elapsed(&self, now: Moment) -> Option<Change> {
        // At most this many at a time, so that one record stays small; the host asks again until nothing is due.
        match (self.count_expired(now), self.count_matured(now), self.count_forgettable(now)) {
            (0, 0, 0) => None,
            (0, 0, count) => Some(Change::Forgotten { count }),
            (0, count, _) => Some(Change::Matured { count }),
            (count, _, _) => Some(Change::Expired { count }),
        }
    }

    fn holdings(&self) -> Vec<Holding> {
        self.leases_by_session()
            .into_iter()
            .map(|(session, count)| {
                let what = if count == 1 { "1 item".to_owned() } else { format!("{count} items") };
                Holding { session, what, since: None, token: 0 }
            })
            .collect()
    }

    fn joins(command: &Command) -> bool {
        match command {
            Command::Put(_) | Command::Done { .. } | Command::DoneOldest { .. } => true,
            Command::Return { .. } | Command::Park { .. } => true,
            Command::Get { .. } | Command::Start { .. } | Command::Join | Command::Close { .. } => false,
            Command::Unpark { .. } | Command::Discard { .. } | Command::Parked { .. } => false,
            Command::Stats | Command::Peek { .. } | Command::Purge | Command::Pause { .. } => false,
            Command::Cancel { .. } | Command::LetGo { .. } | Command::Cancelling { .. } => false,
        }
    }

    fn decide_all(&self, caller: SessionId, commands: &[Command], now: Moment) -> Result<Together<Queue>, Fault> {
        self.decide_together(caller, commands, now)
    }

    fn test(&self, caller: SessionId, test: &Test) -> Option<bool> {
        match test {
            Test::LeaseHeld(lease) => Some(self.holds(caller, *lease)),
            Test::IsEmpty(is_empty) => Some((self.queued() == 0) == *is_empty),
            _ => None,
        }
    }

    fn awaited(&self, command: &Command) -> &'static str {
        match command {
            Command::Get { .. } => "for an item",
            Command::Put(_) => "for room",
            Command::LetGo { .. } => "until its holder lets go of an item",
            Command::Cancelling { .. } => "to be told what to let go",
            _ => "until all items are done",
        }
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let stats = self.stats(Moment(0));
        vec![
            ("ready", stats.ready),
            ("delayed", stats.delayed),
            ("leased", stats.leased),
            ("parked", stats.parked),
            ("unfinished", self.unfinished()),
            ("bytes", stats.bytes),
            ("put", stats.counters.put),
            ("done", stats.counters.done),
        ]
    }

    fn violation(&self) -> Option<String> {
        self.broken_invariant()
    }
}

fn change_if(news: bool, change: Change, reply: Reply) -> Verdict {
    if news { Decision::Change(change, reply) } else { Decision::Answer(reply) }
}

impl Queue {
    fn decide_put(&self, items: &[NewItem], now: Moment) -> Verdict {
        self.batch(items, now).map_or_else(Decision::Refuse, Batch::decision)
    }

    /// As many from the front as there is room for.
    fn batch<'i>(&self, items: impl IntoIterator<Item = &'i NewItem> + Clone, now: Moment) -> Result<Batch<'_>, Fault> {
        if self.is_closed() {
            return Err(Fault::Closed {});
        }
        if let Some(fault) = items.clone().into_iter().find_map(|item| self.never_fits(item)) {
            return Err(fault);
        }
        let mut batch = Batch::new(self);
        let mut taken_keys: HashMap<&Bytes, (u64, Option<u64>)> = HashMap::new();
        for item in items {
            // A key twice in one batch: what the first one became, nobody can have leased since.
            let holder = || taken_keys.get(&item.unique_key).copied().or_else(|| self.holder_of_key(&item.unique_key));
            let holder = if item.unique_key.is_empty() { None } else { holder() };
            let room = match holder {
                Some((id, size)) => batch.add_again(item, id, size),
                None => batch.add(item, now),
            };
            if !room {
                break;
            }
            if !item.unique_key.is_empty() {
                let size = match (holder, item.on_duplicate) {
                    (None, _) | (Some((_, Some(_))), OnDuplicate::Replace) => Some(item.size()),
                    (Some((_, size)), _) => size,
                };
                let id = *batch.ids.last().expect("it was just added");
                taken_keys.insert(&item.unique_key, (id, size));
            }
        }
        Ok(batch)
    }

    fn never_fits(&self, item: &NewItem) -> Option<Fault> {
        let (size, limit) = (item.size(), self.limits().max_bytes);
        (size > limit).then(|| Fault::TooLarge { what: "the item".into(), size, limit })
    }

    fn decide_get(&self, caller: SessionId, max: usize, buffered: bool, now: Moment) -> Verdict {
        if self.is_shut_down() {
            return Decision::Refuse(Fault::Closed {});
        }
        if self.is_paused() {
            return Decision::Wait;
        }
        if self.ready() == 0 {
            return self.decide_get_from_others(caller, buffered, now);
        }
        let first_lease = self.next_lease();
        let mut bytes = 0;
        let items = self.front_while(max, |count, item| {
            bytes += if count == 0 { 0 } else { item.data.len() };
            bytes <= limits::REPLY_BYTES_MAX
        });
        let count = items.len() as u64;
        let leased = (first_lease..).zip(items).map(|(lease, item)| Leased { lease, item }).collect();
        Decision::Change(Change::Leased { session: caller, first_lease, count, buffered }, Reply::Get(leased))
    }

    /// Nothing is ready: what another session only buffers may be taken back; else wait, unless nothing can come.
    fn decide_get_from_others(&self, caller: SessionId, buffered: bool, now: Moment) -> Verdict {
        if !buffered && let Some((lease, holder, item)) = self.newest_buffered(caller) {
            let first_lease = self.next_lease();
            let taken = Change::Returned {
                session: holder,
                leases: vec![lease],
                how: Return::TakenBack,
                now,
                delay_ms: None,
                why: String::new(),
            };
            let given = Change::Leased { session: caller, first_lease, count: 1, buffered };
            let reply = Reply::Get(vec![Leased { lease: first_lease, item }]);
            return Decision::Change(Change::Sequence(vec![taken, given]), reply);
        }
        match (self.is_closed(), self.nothing_can_come(caller)) {
            (true, true) => Decision::Refuse(Fault::Closed {}),
            // What the caller itself holds does not keep it waiting; whoever stands behind it may hold nothing.
            (true, false) => Decision::StandAside,
            // What it buffers itself is for those behind it to take.
            (false, _) if self.buffers(caller) => Decision::StandAside,
            (false, _) => Decision::Wait,
        }
    }

    fn decide_start(&self, caller: SessionId, leases: &[u64]) -> Verdict {
        let (held, not_held) = self.sort_leases(caller, leases);
        let change = Change::Started { session: caller, leases: held.clone() };
        change_if(!held.is_empty(), change, Reply::Start { not_held })
    }

    fn decide_done(&self, caller: SessionId, leases: &[u64], now: Moment) -> Verdict {
        let (held, mut not_held) = self.sort_leases(caller, leases);
        not_held.retain(|lease| !self.was_done(*lease));
        match (leases, not_held.first()) {
            ([_], Some(lease)) => Decision::Refuse(Fault::NotHeld { lease: *lease }),
            _ => {
                let change = Change::Done { session: caller, leases: held.clone(), now };
                change_if(!held.is_empty(), change, Reply::Done { not_held })
            }
        }
    }

    fn decide_done_oldest(&self, caller: SessionId, count: usize, now: Moment) -> Verdict {
        let leases: Vec<u64> = self.leases_of(caller).map(|(lease, _)| lease).take(count).collect();
        if leases.len() < count {
            return Decision::Refuse(Fault::TooManyDone { asked: count as u64, held: leases.len() as u64 });
        }
        Decision::Change(Change::Done { session: caller, leases, now }, Reply::Done { not_held: vec![] })
    }

    fn decide_return(
        &self,
        caller: SessionId,
        leases: &[u64],
        how: Return,
        delay_ms: Option<u64>,
        why: &str,
        now: Moment,
    ) -> Verdict {
        let (held, not_held) = self.sort_leases(caller, leases);
        if let ([lease], true) = (leases, held.is_empty()) {
            return Decision::Refuse(Fault::NotHeld { lease: *lease });
        }
        let parked = held.iter().filter(|lease| self.will_be_parked(caller, **lease, how)).count() as u32;
        let change = Change::Returned { session: caller, leases: held.clone(), how, now, delay_ms, why: why.to_owned() };
        change_if(!held.is_empty(), change, Reply::Return { not_held, parked })
    }

    fn decide_park(&self, caller: SessionId, leases: &[u64], ids: &[u64], why: &str, now: Moment) -> Verdict {
        let (held, not_held) = self.sort_leases(caller, leases);
        if let ([lease], [], true) = (leases, ids, held.is_empty()) {
            return Decision::Refuse(Fault::NotHeld { lease: *lease });
        }
        let (found, not_found): (Vec<u64>, Vec<u64>) = distinct(ids).into_iter().partition(|id| self.is_queued(*id));
        let news = !held.is_empty() || !found.is_empty();
        let change = Change::Parked { session: caller, leases: held, ids: found, why: why.to_owned(), now };
        change_if(news, change, Reply::Park { not_held, not_found })
    }

    /// Which of these the session holds, and which not; each once.
    fn sort_leases(&self, caller: SessionId, leases: &[u64]) -> (Vec<u64>, Vec<u64>) {
        distinct(leases).into_iter().partition(|lease| self.holds(caller, *lease))
    }
}

fn distinct(numbers: &[u64]) -> Vec<u64> {
    if numbers.len() < 2 {
        return numbers.to_vec();
    }
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
