//! A bench for kinds that are held: a [`Core`] with a clock that stands still unless it is moved. After every step the kind's
//! invariants hold, nobody was overlooked, and both the journal and the history lead to the very state that is there.

use crate::{
    engine::Mark,
    objects::{
        core::{Answer, CallId, Core, Told, Turn},
        kind::{Departure, Moment, SessionId, Wire},
    },
};
use bursar_proto::{Fault, Wait, v1::registry};
use std::{collections::BTreeMap, fmt::Debug, time::Duration};

pub const A: SessionId = SessionId(1);
pub const B: SessionId = SessionId(2);
pub const C: SessionId = SessionId(3);
pub const D: SessionId = SessionId(4);
/// The epoch of every object here: its first token is the next number.
pub const EPOCH: u64 = 100;
/// A wait that never gives up.
pub const EVER: Wait = Wait::Forever;
/// No wait at all.
pub const NOW: Wait = Wait::Never;

/// A wait with a bound.
pub fn within(ms: u64) -> Wait {
    Wait::For(Duration::from_millis(ms))
}

type Answered<K> = Result<<K as crate::objects::kind::Kind>::Reply, Fault>;

pub struct Bench<K: Wire> {
    pub core: Core<K, CallId>,
    pub journal: Vec<K::Change>,
    options: registry::options::Kind,
    now: Moment,
    calls: u64,
    answers: BTreeMap<CallId, Answered<K>>,
}

impl<K> Bench<K>
where
    K: Wire + PartialEq + Debug,
    K::Change: PartialEq + Debug,
    K::Reply: Debug,
{
    pub fn new(options: registry::options::Kind) -> Bench<K> {
        let core = Core::new(fresh(&options));
        Bench { core, journal: Vec::new(), options, now: Moment(1_000_000), calls: 0, answers: BTreeMap::new() }
    }

    fn turn(&mut self, work: impl FnOnce(&mut Core<K, CallId>, &mut Turn<'_, K, CallId>)) {
        let (mut out, journal) = (Vec::new(), &mut self.journal);
        let mut record = |change: &K::Change| {
            assert_eq!(K::decode(&K::encode(change)).as_ref(), Ok(change), "a change survives the journal");
            journal.push(change.clone());
            Mark(0)
        };
        work(&mut self.core, &mut Turn { now: self.now, journal: &mut record, out: &mut out });
        for Answer { ticket, result } in out {
            let result = result.map(|told| match told {
                Told::Own(reply) => reply,
                Told::Joint(_) => unreachable!("there are no transactions here"),
            });
            assert!(self.answers.insert(ticket, result).is_none(), "a call is answered once");
        }
        self.check();
    }

    fn check(&self) {
        let kind = self.core.kind();
        assert_eq!(kind.violation(), None);
        assert_eq!(self.core.overlooked(self.now), None, "nobody waits who could be answered");
        let mut again: K = fresh(&self.options);
        self.journal.iter().cloned().for_each(|change| again.evolve(change));
        assert_eq!(&again, kind, "the journal leads here");
        let mut again: K = fresh(&self.options);
        let history = kind.history();
        history.iter().for_each(|change| again.evolve(K::decode(&K::encode(change)).expect("it was encoded here")));
        assert_eq!(&again, kind, "the history leads here");
    }

    /// A call, under the name by which its answer is found.
    pub fn call(&mut self, session: SessionId, command: K::Command, wait: Wait) -> CallId {
        self.calls += 1;
        let call = CallId { session, sequence: self.calls };
        self.turn(|core, turn| core.call(call, command.into(), wait, call, turn));
        call
    }

    /// What a call was answered since; `None`: it waits.
    pub fn answer(&mut self, call: CallId) -> Option<Answered<K>> {
        self.answers.remove(&call)
    }

    pub fn is_waiting(&self, call: CallId) -> bool {
        self.core.arrival(call).is_some()
    }

    /// A call that is answered at once.
    pub fn ask(&mut self, session: SessionId, command: K::Command, wait: Wait) -> Answered<K> {
        let call = self.call(session, command, wait);
        self.answer(call).expect("it is answered at once")
    }

    /// A call that is refused at once, and changes nothing.
    pub fn refused(&mut self, session: SessionId, command: K::Command, wait: Wait) -> Fault {
        let before = self.journal.len();
        let fault = self.ask(session, command, wait).expect_err("it is refused");
        assert_eq!(self.journal.len(), before, "a refusal changes nothing");
        fault
    }

    pub fn cancel(&mut self, call: CallId) {
        self.turn(|core, turn| _ = core.cancel(call, turn));
    }

    pub fn unheard(&mut self, session: SessionId, reply: K::Reply) {
        self.turn(|core, turn| core.unheard(session, &reply, turn));
    }

    pub fn depart(&mut self, session: SessionId) {
        self.turn(|core, turn| core.depart(session, Departure::Lost, "", turn));
    }

    pub fn pass(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.turn(|core, turn| core.pass_time(turn));
    }

    /// Of all calls that were answered and not asked for, those that were given something.
    pub fn replies(&mut self) -> Vec<(SessionId, K::Reply)> {
        let answers = std::mem::take(&mut self.answers);
        answers.into_iter().filter_map(|(call, answer)| Some((call.session, answer.ok()?))).collect()
    }
}

fn fresh<K: Wire>(options: &registry::options::Kind) -> K {
    K::create(&registry::Options { kind: Some(options.clone()) }, EPOCH).expect("the options make sense")
}
