//! Who is attached to one end of a channel.

use super::Mode;
use crate::objects::{kind::SessionId, message::Content};
use std::collections::{BTreeMap, BTreeSet};

/// Who is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// With whom it goes.
    pub session: SessionId,
    /// What it gets.
    pub mode: Mode,
    /// The last position when it was attached: what came later and meets its match went to it.
    pub after: u64,
    /// What it is to be given: of an active one nothing, that is in the line.
    pub waiting: BTreeSet<u64>,
    /// What it has and is not done with.
    pub given: BTreeSet<u64>,
    /// Of an inbox: the sizes of its answers.
    pub bytes: u64,
}

impl Receiver {
    /// One that was given nothing yet.
    pub fn new(session: SessionId, mode: Mode, after: u64) -> Receiver {
        Receiver { session, mode, after, waiting: BTreeSet::new(), given: BTreeSet::new(), bytes: 0 }
    }

    /// Whether it shares the line.
    pub fn is_active(&self) -> bool {
        self.mode == Mode::Active
    }

    /// Whether it has this as an active one has it, or in the place of one: what was there before a passive one came had waited for an
    /// active one.
    pub fn stands_for_an_active_one(&self, position: u64) -> bool {
        match self.mode {
            Mode::Active => true,
            Mode::Passive(_) => position <= self.after,
            Mode::Inbox => false,
        }
    }

    /// Whether it is a passive one that wants this.
    pub fn takes(&self, content: &Content) -> bool {
        matches!(&self.mode, Mode::Passive(wanted) if wanted.wants(content))
    }
}

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receivers {
    /// By number.
    all: BTreeMap<u64, Receiver>,
    /// The same by session, so that the end of a session does not look at the receivers of all others.
    by_session: BTreeSet<(SessionId, u64)>,
    /// How many are active.
    active: u64,
    /// Which are passive, so that a message does not look at the inboxes.
    passive: BTreeSet<u64>,
}

impl Receivers {
    /// One more.
    pub fn add(&mut self, id: u64, receiver: Receiver) {
        self.by_session.insert((receiver.session, id));
        match receiver.mode {
            Mode::Active => self.active += 1,
            Mode::Passive(_) => drop(self.passive.insert(id)),
            Mode::Inbox => {}
        }
        self.all.insert(id, receiver);
    }

    /// One less.
    pub fn remove(&mut self, id: u64) -> Option<Receiver> {
        let receiver = self.all.remove(&id)?;
        self.by_session.remove(&(receiver.session, id));
        self.passive.remove(&id);
        self.active -= u64::from(receiver.is_active());
        Some(receiver)
    }

    /// The one with this number.
    pub fn get(&self, id: u64) -> Option<&Receiver> {
        self.all.get(&id)
    }

    /// The same, to change what it has.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Receiver> {
        self.all.get_mut(&id)
    }

    /// By number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Receiver)> {
        self.all.iter().map(|(id, receiver)| (*id, receiver))
    }

    /// By number, to change what they have.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Receiver> {
        self.all.values_mut()
    }

    /// Those of one session.
    pub fn of(&self, session: SessionId) -> impl Iterator<Item = u64> {
        self.by_session.range((session, 0)..=(session, u64::MAX)).map(|(_, id)| *id)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.all.len() as u64
    }

    /// How many are active.
    pub fn active(&self) -> u64 {
        self.active
    }

    /// How many are passive.
    pub fn passive(&self) -> u64 {
        self.passive.len() as u64
    }

    /// Whether there is a passive one that wants this.
    pub fn any_takes(&self, content: &Content) -> bool {
        self.passive.iter().any(|id| self.all[id].takes(content))
    }

    /// To every passive one that wants it; says to how many. One that was attached when the message came got a new one then, and
    /// no other is for it.
    pub fn offer(&mut self, position: u64, content: &Content, is_new: bool) -> u32 {
        let mut taken = 0;
        for id in &self.passive {
            let receiver = self.all.get_mut(id).expect("who is passive is attached");
            if (receiver.after < position) == is_new && receiver.takes(content) {
                receiver.waiting.insert(position);
                taken += 1;
            }
        }
        taken
    }

    /// What its indexes contradict.
    pub fn contradiction(&self) -> Option<String> {
        let by_session: BTreeSet<_> = self.iter().map(|(id, receiver)| (receiver.session, id)).collect();
        let is_passive = |receiver: &Receiver| matches!(receiver.mode, Mode::Passive(_));
        let passive: BTreeSet<_> = self.iter().filter(|(_, receiver)| is_passive(receiver)).map(|(id, _)| id).collect();
        let active = self.iter().filter(|(_, receiver)| receiver.is_active()).count() as u64;
        (by_session != self.by_session || passive != self.passive || active != self.active)
            .then(|| "the receivers are not those of their sessions and modes".into())
    }
}
