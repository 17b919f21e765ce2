//! What one owner has until it is given back, under a token: the part that lock, rwlock and condition have in common.
//!
//! It knows neither lines nor how many may hold at once.

#[cfg(test)]
pub(super) mod tests;
pub(super) mod wire;

use super::kind::{Holding, Moment, SessionId};
use bursar_proto::Fault;

/// A session, and a number by which it tells its tasks apart; 0 is the session as a whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Owner {
    /// Whose.
    pub session: SessionId,
    /// Which of its tasks.
    pub number: u64,
}

/// Something is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Larger than that of every earlier grant of an object of this name.
    pub token: u64,
    /// Who has it.
    pub owner: Owner,
    /// Since when.
    pub since: Moment,
}

impl Grant {
    /// Whether this is what a session means by a token.
    pub fn is_held(&self, caller: SessionId, token: u64) -> bool {
        self.owner.session == caller && self.token == token
    }

    /// As an operator sees it.
    pub fn holding(&self, what: &str) -> Holding {
        let Grant { token, owner, since } = *self;
        Holding { session: owner.session, what: what.to_owned(), since: Some(since), token }
    }

    /// What those are told who do not get it; `others` hold it too. The host says who the session is.
    pub fn in_the_way(&self, others: u64, now: Moment) -> Fault {
        let held_ms = now.ms_since(self.since);
        Fault::Held { session: self.owner.session.0, holder: String::new(), held_ms, others }
    }

    /// What its own owner is told who would wait for it.
    pub fn would_deadlock(&self) -> Fault {
        let Owner { session: SessionId(session), number } = self.owner;
        Fault::WouldDeadlock { cycle: format!("session {session}, owner {number}, holds it already, under token {}", self.token) }
    }
}

/// The session does not hold this token (any more).
pub fn not_held(token: u64) -> Fault {
    Fault::NotHeld { lease: token }
}
