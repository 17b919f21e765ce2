//! Several verbs of a queue as one step: all of them, or the first refusal.
//!
//! Unlike a verb on its own, nothing is done by halves: all items of all puts go in as one batch or none does, and every lease
//! must be held. Puts are decided before settlements, so what a settlement frees is not there for them.

use super::{Change, Command, Kind, Moment, NewItem, PARK_IDS_MAX, Queue, Reply, Return, SessionId, distinct};
use crate::objects::kind::Together;
use bursar_proto::{Fault, limits::BATCH_MAX};
use std::collections::BTreeSet;

/// What a command changes, if anything, and what it is told.
type Step = (Option<Change>, Reply);

impl Queue {
    pub(super) fn decide_together(&self, caller: SessionId, commands: &[Command], now: Moment) -> Result<Together<Queue>, Fault> {
        are_few(commands)?;
        let (mut changes, ids) = self.put_together(commands, now)?;
        let fresh = ids.iter().copied().filter(|id| *id >= self.next_id()).collect();
        let mut settling = Settling { queue: self, caller, now, settled: BTreeSet::new(), came: fresh, went: BTreeSet::new() };
        let mut ids = ids.into_iter();
        let mut replies = Vec::with_capacity(commands.len());
        for command in commands {
            let (change, reply) = match command {
                Command::Put(items) => (None, Reply::Put { ids: ids.by_ref().take(items.len()).collect(), duplicates: vec![] }),
                settlement => settling.step(settlement)?,
            };
            changes.extend(change);
            replies.push(reply);
        }
        Ok((changes, replies))
    }

    /// All items of all puts, in order.
    fn put_together(&self, commands: &[Command], now: Moment) -> Result<(Vec<Change>, Vec<u64>), Fault> {
        let items = commands.iter().flat_map(items_of);
        let count = items.clone().count();
        if count == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let (changes, ids, duplicates) = self.batch(items, now)?.finish();
        if let Some(duplicate) = duplicates.first() {
            return Err(Fault::Duplicate { id: ids[*duplicate as usize] });
        }
        if ids.len() < count {
            return Err(self.overdue(&Command::Put(Vec::new()), now));
        }
        Ok((changes, ids))
    }
}

/// What the settlements so far would change.
struct Settling<'a> {
    queue: &'a Queue,
    caller: SessionId,
    now: Moment,
    settled: BTreeSet<u64>,
    /// Items that are put, or given back.
    came: BTreeSet<u64>,
    /// Queued items that are parked.
    went: BTreeSet<u64>,
}

impl Settling<'_> {
    fn step(&mut self, command: &Command) -> Result<Step, Fault> {
        match command {
            Command::Done { leases } => {
                let leases = self.settle(leases)?;
                Ok(self.done(leases))
            }
            Command::DoneOldest { count } => {
                let leases = self.oldest(*count)?;
                Ok(self.done(leases))
            }
            Command::Return { leases, how, delay_ms, why } => {
                let leases = self.settle(leases)?;
                let parked = self.come_back(&leases, *how);
                let (session, now, how, delay_ms, why) = (self.caller, self.now, *how, *delay_ms, why.clone());
                let change = Change::Returned { session, leases, how, now, delay_ms, why };
                Ok((Some(change), Reply::Return { not_held: vec![], parked }))
            }
            Command::Park { leases, ids, why } => {
                let leases = self.settle(leases)?;
                let (ids, not_found): (Vec<u64>, Vec<u64>) = distinct(ids).into_iter().partition(|id| self.is_queued(*id));
                self.went.extend(&ids);
                let is_news = !leases.is_empty() || !ids.is_empty();
                let change = Change::Parked { session: self.caller, leases, ids, why: why.clone(), now: self.now };
                Ok((is_news.then_some(change), Reply::Park { not_held: vec![], not_found }))
            }
            _ => Err(Fault::bad_argument(
                "then, otherwise",
                "expected Put, Done, Return or Park: this verb of queue cannot be a step",
            )),
        }
    }

    /// Each of these leases, once in the whole transaction: with another settlement of it, which one holds would be a riddle.
    fn settle(&mut self, leases: &[u64]) -> Result<Vec<u64>, Fault> {
        for lease in leases {
            if !self.queue.holds(self.caller, *lease) {
                return Err(Fault::NotHeld { lease: *lease });
            }
            if !self.settled.insert(*lease) {
                let problem = format!("expected each lease at most once in a transaction, got {lease} again");
                return Err(Fault::bad_argument("leases", problem));
            }
        }
        Ok(distinct(leases))
    }

    /// The oldest leases that no step before this one settles.
    fn oldest(&mut self, count: usize) -> Result<Vec<u64>, Fault> {
        let held = self.queue.leases_of(self.caller).map(|(lease, _)| lease);
        let leases: Vec<u64> = held.filter(|lease| !self.settled.contains(lease)).take(count).collect();
        if leases.len() < count {
            return Err(Fault::TooManyDone { asked: count as u64, held: leases.len() as u64 });
        }
        self.settled.extend(&leases);
        Ok(leases)
    }

    fn done(&self, leases: Vec<u64>) -> Step {
        let change = Change::Done { session: self.caller, leases, now: self.now };
        (Some(change), Reply::Done { not_held: vec![] })
    }

    /// Says how many of them will be parked instead.
    fn come_back(&mut self, leases: &[u64], how: Return) -> u32 {
        let mut parked = 0;
        for lease in leases {
            if self.queue.will_be_parked(self.caller, *lease, how) {
                parked += 1;
            } else if !self.queue.is_shut_down() {
                self.came.extend(self.queue.leased(self.caller, *lease));
            }
        }
        parked
    }

    fn is_queued(&self, id: u64) -> bool {
        !self.went.contains(&id) && (self.came.contains(&id) || self.queue.is_queued(id))
    }
}

fn items_of(command: &Command) -> &[NewItem] {
    match command {
        Command::Put(items) => items,
        _ => &[],
    }
}

/// No more than one call of each verb could have: the object stands still meanwhile.
fn are_few(commands: &[Command]) -> Result<(), Fault> {
    let (mut items, mut leases, mut queued) = (0, 0, 0);
    for command in commands {
        match command {
            Command::Put(put) => items += put.len(),
            Command::Done { leases: these } | Command::Return { leases: these, .. } => leases += these.len(),
            Command::DoneOldest { count } => leases += count,
            Command::Park { leases: these, ids, .. } => (leases, queued) = (leases + these.len(), queued + ids.len()),
            _ => {}
        }
    }
    for (what, count, limit) in
        [("items", items, BATCH_MAX), ("leases", leases, BATCH_MAX), ("ids of queued items", queued, PARK_IDS_MAX)]
    {
        if count > limit {
            return Err(Fault::LimitReached { what: format!("{what} of one queue in a transaction"), limit: limit as u64 });
        }
    }
    Ok(())
}
