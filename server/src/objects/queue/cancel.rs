//! Taking an item from whoever works on it. The broker stops nobody: it tells the holder, and has settled beforehand what comes of the
//! item when it lets go, in whatever way. What a holder does that does not listen is said by `force`: the lease is not its any more.
//!
//! ```text
//!   leased ── Cancel ──► leased, asked for ── Done ──► done
//!      │                       └── returned, parked, session ended ──► ready, or parked: neither a failure nor a crash
//!      └── Cancel with force, or only buffered ──► ready, or parked
//! ```

use super::{Change, Command, Decision, Queue, Reply, Return, Verdict};
use crate::objects::kind::{Moment, SessionId};
use bursar_proto::Fault;

/// What comes of an item that is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Somebody else may have it.
    Requeue,
    /// It is put aside.
    Park,
}

/// What is wanted of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What comes of it.
    pub then: Then,
    /// For its history.
    pub why: String,
}

/// A lease that is asked back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Who holds it.
    pub holder: SessionId,
    /// Grows with every asking.
    pub number: u64,
    pub wanted: Wanted,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Outcome {
    Held,
    Requeued,
    Parked,
    Done,
    Queued,
    Gone,
}

/// What a cancel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Cancelled {
    pub outcome: Outcome,
    /// 0: nobody held it.
    pub session: u64,
    pub lease: u64,
}

impl Wanted {
    /// Why it is parked.
    pub(super) fn reason(&self) -> String {
        if self.why.is_empty() { "cancelled".to_owned() } else { format!("cancelled: {}", self.why) }
    }
}

impl Queue {
    /// `lease`: only under this lease, which an earlier cancel has named; 0: under whichever.
    pub(super) fn decide_cancel(
        &self,
        caller: SessionId,
        id: u64,
        lease: u64,
        wanted: &Wanted,
        force: bool,
        now: Moment,
    ) -> Verdict {
        match self.holder_of(id, lease) {
            Some((holder, lease)) => {
                let asked = Change::Cancelled { session: holder, lease, by: caller, wanted: wanted.clone(), now };
                match force || self.is_buffered(lease) {
                    true => self.take_away(asked, holder, lease, wanted.then, now),
                    false => Decision::Enter(asked, Command::LetGo { id, session: holder, lease }),
                }
            }
            None if lease > 0 => self.told(self.became(id, lease), SessionId(0), lease),
            None => self.decide_cancel_of_unheld(caller, id, wanted, now),
        }
    }

    fn take_away(&self, asked: Change, holder: SessionId, lease: u64, then: Then, now: Moment) -> Verdict {
        let (how, why) = (Return::Released, String::new());
        let back = Change::Returned { session: holder, leases: vec![lease], how, now, delay_ms: None, why };
        let outcome = match then {
            Then::Park => Outcome::Parked,
            Then::Requeue if self.is_shut_down() => Outcome::Gone,
            Then::Requeue => Outcome::Requeued,
        };
        let reply = Reply::Cancel(Cancelled { outcome, session: holder.0, lease });
        Decision::Change(Change::Sequence(vec![asked, back]), reply)
    }

    fn decide_cancel_of_unheld(&self, caller: SessionId, id: u64, wanted: &Wanted, now: Moment) -> Verdict {
        let nobody = SessionId(0);
        if self.is_parked(id) {
            return self.told(Outcome::Parked, nobody, 0);
        }
        match (self.is_queued(id), wanted.then) {
            (true, Then::Requeue) => self.told(Outcome::Queued, nobody, 0),
            (true, Then::Park) => {
                let change = Change::Parked { session: caller, leases: vec![], ids: vec![id], why: wanted.reason(), now };
                Decision::Change(change, Reply::Cancel(Cancelled { outcome: Outcome::Parked, session: 0, lease: 0 }))
            }
            (false, _) if (1..self.next_id()).contains(&id) => self.told(Outcome::Gone, nobody, 0),
            (false, _) => {
                let problem =
                    format!("expected the id of an item, as Put gave it, got {id}, which no item of this queue ever had");
                Decision::Refuse(Fault::bad_argument("id", problem))
            }
        }
    }

    /// Whoever has asked for it waits until the lease has ended.
    pub(super) fn decide_let_go(&self, id: u64, session: SessionId, lease: u64) -> Verdict {
        if self.holds(session, lease) { Decision::Wait } else { self.told(self.became(id, lease), session, lease) }
    }

    /// A holder learns what it is to let go: all of it, when something came after what it knows.
    pub(super) fn decide_cancelling(&self, caller: SessionId, after: u64) -> Verdict {
        let own = self.asked_of(caller);
        match own.iter().map(|(_, number)| *number).max() {
            Some(upto) if upto > after => {
                let leases = own.into_iter().map(|(lease, _)| lease).collect();
                Decision::Answer(Reply::Cancelling { leases, upto })
            }
            _ => Decision::Wait,
        }
    }

    /// What an item became whose lease has just ended.
    fn became(&self, id: u64, lease: u64) -> Outcome {
        match () {
            () if self.was_done(lease) => Outcome::Done,
            () if self.is_parked(id) => Outcome::Parked,
            () if self.is_shut_down() => Outcome::Gone,
            () => Outcome::Requeued,
        }
    }

    fn told(&self, outcome: Outcome, session: SessionId, lease: u64) -> Verdict {
        Decision::Answer(Reply::Cancel(Cancelled { outcome, session: session.0, lease }))
    }
}

/// The leases that end with this change.
pub(super) fn ended(change: &Change) -> Vec<u64> {
    match change {
        Change::Done { leases, .. } | Change::Returned { leases, .. } | Change::Parked { leases, .. } => leases.clone(),
        Change::Sequence(changes) => changes.iter().flat_map(ended).collect(),
        _ => Vec::new(),
    }
}

/// Whether a holder may have to be told of this.
pub(super) fn asks(change: &Change) -> bool {
    match change {
        Change::Cancelled { .. } => true,
        Change::Sequence(changes) => changes.iter().any(asks),
        _ => false,
    }
}
