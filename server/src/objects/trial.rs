//! What the tests of kinds share: one object on a [`Core`], with callers who come, wait, give up and die, and a clock that stands
//! still unless it is moved. After every step it is checked that the invariants hold, that nobody waits who could be answered,
//! and that the journal and the shortest history both lead to the same object.

use super::{
    core::{Answer, CallId, Core, Told, Turn},
    kind::{Departure, Kind, Moment, SessionId, Wire},
};
use crate::engine::Mark;
use bursar_proto::{Fault, Wait};
use std::{collections::BTreeMap, fmt::Debug, time::Duration};

pub const A: SessionId = SessionId(1);
pub const B: SessionId = SessionId(2);
pub const C: SessionId = SessionId(3);
pub const D: SessionId = SessionId(4);

/// A call that was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Number(u64);

/// What a call was told.
pub type Outcome<K> = Result<<K as Kind>::Reply, Fault>;

/// See the [module](self).
pub struct Trial<K: Wire> {
    core: Core<K, Number>,
    fresh: K,
    /// Knows nothing but the changes that were kept.
    follower: K,
    changes: usize,
    now: Moment,
    callers: BTreeMap<Number, SessionId>,
    answers: BTreeMap<Number, Outcome<K>>,
}

impl<K> Trial<K>
where
    K: Wire + Clone + PartialEq + Debug,
    K::Change: PartialEq + Debug,
    K::Reply: Clone + Debug,
{
    pub fn new(fresh: K) -> Trial<K> {
        let (core, follower) = (Core::new(fresh.clone()), fresh.clone());
        let (callers, answers) = (BTreeMap::new(), BTreeMap::new());
        Trial { core, fresh, follower, changes: 0, now: Moment(1_000_000), callers, answers }
    }

    pub fn kind(&self) -> &K {
        self.core.kind()
    }

    pub fn now(&self) -> Moment {
        self.now
    }

    /// How many changes there were.
    pub fn changes(&self) -> usize {
        self.changes
    }

    pub fn call(&mut self, caller: SessionId, command: K::Command, wait: Wait) -> Number {
        let number = Number(self.callers.len() as u64);
        self.callers.insert(number, caller);
        self.turn(|core, turn| core.call(CallId { session: caller, sequence: number.0 }, command.into(), wait, number, turn));
        number
    }

    /// A call that is expected to stand in line.
    pub fn waits(&mut self, caller: SessionId, command: K::Command, wait: Wait) -> Number {
        let number = self.call(caller, command, wait);
        assert!(self.is_waiting(number), "it waits: {:?}", self.answers.get(&number));
        number
    }

    /// A call that is answered now.
    pub fn ask(&mut self, caller: SessionId, command: K::Command) -> Outcome<K> {
        let number = self.call(caller, command, Wait::Never);
        self.told(number)
    }

    /// A call that is refused now, and changes nothing.
    pub fn refused(&mut self, caller: SessionId, command: K::Command) -> Fault {
        let (before, changes) = (self.kind().clone(), self.changes());
        let fault = self.ask(caller, command).expect_err("is refused");
        assert_eq!((self.kind(), self.changes()), (&before, changes), "a refusal changes nothing");
        fault
    }

    pub fn is_waiting(&self, number: Number) -> bool {
        self.core.arrival(CallId { session: self.callers[&number], sequence: number.0 }).is_some()
    }

    /// What a call was told that is over.
    pub fn told(&self, number: Number) -> Outcome<K> {
        self.answers.get(&number).expect("the call is answered").clone()
    }

    pub fn cancel(&mut self, number: Number) {
        let call = CallId { session: self.callers[&number], sequence: number.0 };
        assert!(self.turn(|core, turn| core.cancel(call, turn)), "the call waits");
        assert!(matches!(self.told(number), Err(Fault::Cancelled {})));
    }

    pub fn depart(&mut self, session: SessionId, how: Departure) {
        self.turn(|core, turn| core.depart(session, how, "", turn));
    }

    /// The session's process dies.
    pub fn die(&mut self, session: SessionId) {
        self.depart(session, Departure::Lost);
    }

    /// The answer to a call got lost on its way, which goes through the form that replies have on the wire.
    pub fn unheard(&mut self, number: Number) {
        let reply = self.told(number).expect("it is no refusal");
        if let Some(reply) = K::holding(K::reply(reply)) {
            let caller = self.callers[&number];
            self.turn(|core, turn| core.unheard(caller, &reply, turn));
        }
    }

    pub fn pass(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.turn(|core, turn| core.pass_time(turn));
    }

    fn turn<R>(&mut self, work: impl FnOnce(&mut Core<K, Number>, &mut Turn<'_, K, Number>) -> R) -> R {
        let (follower, changes, mut out) = (&mut self.follower, &mut self.changes, Vec::new());
        let mut journal = |change: &K::Change| {
            let kept = through_the_journal::<K>(change);
            assert_eq!(&kept, change, "a change survives the journal");
            follower.evolve(kept);
            *changes += 1;
            Mark(0)
        };
        let result = work(&mut self.core, &mut Turn { now: self.now, journal: &mut journal, out: &mut out });
        for Answer { ticket, result } in out {
            let result = result.map(|told| match told {
                Told::Own(reply) => reply,
                Told::Joint(_) => unreachable!("there are no transactions here"),
            });
            assert!(self.answers.insert(ticket, result).is_none(), "a call is answered once");
        }
        self.check();
        result
    }

    fn check(&self) {
        assert_eq!(self.kind().violation(), None);
        assert_eq!(self.core.overlooked(self.now), None, "nobody waits who could be answered");
        assert_eq!(&self.follower, self.kind(), "the journal leads here");
        let mut again = self.fresh.clone();
        self.kind().history().iter().for_each(|change| again.evolve(through_the_journal::<K>(change)));
        assert_eq!(&again, self.kind(), "the shortest history leads here");
    }
}

fn through_the_journal<K: Wire>(change: &K::Change) -> K::Change {
    K::decode(&K::encode(change)).expect("what was kept can be read")
}

/// A wait with a bound.
pub fn wait_ms(ms: u64) -> Wait {
    Wait::For(Duration::from_millis(ms))
}

/// A few numbers in no order, the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 up to, and without, the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
