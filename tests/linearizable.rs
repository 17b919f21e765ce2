//! Whether a history of concurrent calls could have happened one call at a time (linearizability; the search of Wing and Gong
//! with the memory of Lowe, "Testing for linearizability", 2017).
//!
//! A call takes effect at one moment between its invocation and its answer. One without an answer took effect at any moment after
//! its invocation, or never. The models say what a state makes of a call, and know nothing of bursar's own code.

use std::{collections::HashSet, fmt::Debug, hash::Hash};

/// One call of a history.
#[derive(Clone, Debug)]
pub struct Operation<I, O> {
    /// When it was invoked, in any unit that both moments share.
    pub invoked: u64,
    /// When its answer was there; `None`: never.
    pub answered: Option<(u64, O)>,
    /// What was asked.
    pub input: I,
}

/// What a kind of object should do.
pub trait Model {
    type State: Clone + Eq + Hash + Debug;
    type Input: Debug;
    type Output: Debug;
    fn initial(&self) -> Self::State;
    /// The states after a call that is answered so (`None`: whatever it would be answered); none: it cannot be answered so.
    fn step(&self, state: &Self::State, input: &Self::Input, output: Option<&Self::Output>) -> Vec<Self::State>;
}

/// The calls in an order in which they could have happened; an error describes a history for which there is none.
pub fn check<M: Model>(model: &M, history: &[Operation<M::Input, M::Output>]) -> Result<Vec<usize>, String> {
    let mut search = Search { model, history, seen: HashSet::new(), order: Vec::new(), longest: Vec::new() };
    let mut done = vec![0u64; history.len().div_ceil(64)];
    if search.go(&mut done, model.initial()) {
        return Ok(search.order);
    }
    let mut text = String::from("no order explains this history; the longest beginning that can be explained:\n");
    for at in &search.longest {
        text += &format!("  {:?}\n", history[*at]);
    }
    text += "and the rest:\n";
    for (at, operation) in history.iter().enumerate().filter(|(at, _)| !search.longest.contains(at)) {
        text += &format!("  {at}: {operation:?}\n");
    }
    Err(text)
}

struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a [Operation<M::Input, M::Output>],
    seen: HashSet<(Vec<u64>, M::State)>,
    order: Vec<usize>,
    longest: Vec<usize>,
}

impl<M: Model> Search<'_, M> {
    fn go(&mut self, done: &mut Vec<u64>, state: M::State) -> bool {
        if self.order.len() > self.longest.len() {
            self.longest = self.order.clone();
        }
        let is_done = |done: &[u64], at: usize| done[at / 64] >> (at % 64) & 1 == 1;
        let left = || self.history.iter().enumerate().filter(|(at, _)| !is_done(done, *at));
        // Whatever comes next was invoked before any other call that is left was answered.
        let Some(horizon) = left().filter_map(|(_, operation)| operation.answered.as_ref().map(|(at, _)| *at)).min() else {
            return true;
        };
        let next: Vec<usize> = left().filter(|(_, operation)| operation.invoked <= horizon).map(|(at, _)| at).collect();
        for at in next {
            let operation = &self.history[at];
            let output = operation.answered.as_ref().map(|(_, output)| output);
            for state in self.model.step(&state, &operation.input, output) {
                done[at / 64] |= 1 << (at % 64);
                self.order.push(at);
                if self.seen.insert((done.clone(), state.clone())) && self.go(done, state) {
                    return true;
                }
                self.order.pop();
                done[at / 64] &= !(1 << (at % 64));
            }
        }
        false
    }
}

/// A lock whose tokens grow, with writes that are fenced by it. The end of a session is a call that is never answered, and so is
/// the taking back of an acquire.
pub struct LockModel;

#[derive(Clone, Debug)]
pub enum LockInput {
    Acquire {
        client: u64,
    },
    Release {
        client: u64,
        token: u64,
    },
    FencedWrite {
        token: u64,
    },
    /// The client's session ended, or it took its acquire back.
    GaveBack {
        client: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum LockOutput {
    Granted(u64),
    /// Held by somebody at the moment of the answer.
    Busy,
    Ok,
    /// `NotHeld`, `StaleToken`.
    Refused,
}

/// The token of a grant that nobody was told of.
const UNTOLD: u64 = 0;

impl Model for LockModel {
    /// Who holds it under which token, and the last token that somebody was told of.
    type State = (Option<(u64, u64)>, u64);
    type Input = LockInput;
    type Output = LockOutput;

    fn initial(&self) -> Self::State {
        (None, 0)
    }

    fn step(&self, state: &Self::State, input: &LockInput, output: Option<&LockOutput>) -> Vec<Self::State> {
        let (held, last) = *state;
        let is_held = |token: u64| held.is_some_and(|(_, held)| held == token);
        match (input, output) {
            (LockInput::Acquire { client }, Some(LockOutput::Granted(token))) => {
                if_so(held.is_none() && *token > last, (Some((*client, *token)), *token))
            }
            (LockInput::Acquire { client }, None) => {
                let granted = held.is_none().then_some((Some((*client, UNTOLD)), last));
                [Some(*state), granted].into_iter().flatten().collect()
            }
            (LockInput::Acquire { .. }, Some(LockOutput::Busy)) => if_so(held.is_some(), *state),
            (LockInput::Release { client, token }, Some(LockOutput::Ok)) => if_so(held == Some((*client, *token)), (None, last)),
            (LockInput::Release { client, token }, Some(_)) => if_so(held != Some((*client, *token)), *state),
            (LockInput::Release { client, token }, None) => {
                vec![if held == Some((*client, *token)) { (None, last) } else { *state }]
            }
            (LockInput::FencedWrite { token }, Some(LockOutput::Ok)) => if_so(is_held(*token), *state),
            (LockInput::FencedWrite { token }, Some(_)) => if_so(!is_held(*token), *state),
            (LockInput::FencedWrite { .. }, None) => vec![*state],
            (LockInput::GaveBack { client }, _) => vec![(held.filter(|(holder, _)| holder != client), last)],
            _ => vec![],
        }
    }
}

fn if_so<S>(holds: bool, state: S) -> Vec<S> {
    holds.then_some(state).into_iter().collect()
}

/// Permits, one at a time.
pub struct SemaphoreModel {
    pub permits: usize,
}

impl Model for SemaphoreModel {
    /// Who holds a permit, under which token.
    type State = Vec<(u64, u64)>;
    /// A fenced write is none of a semaphore's.
    type Input = LockInput;
    type Output = LockOutput;

    fn initial(&self) -> Self::State {
        Vec::new()
    }

    fn step(&self, held: &Self::State, input: &LockInput, output: Option<&LockOutput>) -> Vec<Self::State> {
        let with = |client: u64, token: u64| {
            let mut after = held.clone();
            after.push((client, token));
            after.sort_unstable();
            after
        };
        let without = |gone: &dyn Fn(&(u64, u64)) -> bool| held.iter().filter(|held| !gone(held)).copied().collect::<Vec<_>>();
        let has_room = held.len() < self.permits;
        match (input, output) {
            (LockInput::Acquire { client }, Some(LockOutput::Granted(token))) => {
                let is_new = held.iter().all(|(_, held)| held != token);
                if_so(has_room && is_new, with(*client, *token))
            }
            (LockInput::Acquire { .. }, Some(LockOutput::Busy)) => if_so(!has_room, held.clone()),
            (LockInput::Acquire { client }, None) => {
                [Some(held.clone()), has_room.then(|| with(*client, UNTOLD))].into_iter().flatten().collect()
            }
            (LockInput::Release { client, token }, output) => {
                let is_held = held.contains(&(*client, *token));
                match output {
                    Some(LockOutput::Ok) if is_held => vec![without(&|held| *held == (*client, *token))],
                    None if is_held => vec![without(&|held| *held == (*client, *token))],
                    Some(LockOutput::Refused) | None if !is_held => vec![held.clone()],
                    _ => vec![],
                }
            }
            (LockInput::GaveBack { client }, _) => vec![without(&|(holder, _)| holder == client)],
            _ => vec![],
        }
    }
}

/// A number.
pub struct CounterModel;

#[derive(Clone, Debug)]
pub enum CounterInput {
    Get,
    Add(i64),
    CompareAndSet { expected: i64, value: i64 },
}

impl Model for CounterModel {
    type State = i64;
    type Input = CounterInput;
    /// What the counter holds then; for compare-and-set also whether it was set.
    type Output = (i64, bool);

    fn initial(&self) -> i64 {
        0
    }

    fn step(&self, value: &i64, input: &CounterInput, output: Option<&(i64, bool)>) -> Vec<i64> {
        let (after, swapped) = match input {
            CounterInput::Get => (*value, false),
            CounterInput::Add(by) => (value + by, false),
            CounterInput::CompareAndSet { expected, value: new } if expected == value => (*new, true),
            CounterInput::CompareAndSet { .. } => (*value, false),
        };
        if_so(output.is_none_or(|output| *output == (after, swapped)), after)
    }
}

/// A flag with the number of times it was set.
pub struct EventModel;

#[derive(Clone, Debug)]
pub enum EventInput {
    Set,
    Clear,
    Get,
    /// Until it is set after this version; `None`: until it is set.
    Wait {
        after: Option<u64>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum EventOutput {
    State {
        is_set: bool,
        version: u64,
    },
    /// Of a set or a clear: whether it changed anything.
    Changed(bool),
    /// Of a wait: it is set, or was.
    Passed {
        version: u64,
    },
    /// The time of a wait was over.
    TimedOut,
}

impl Model for EventModel {
    type State = (bool, u64);
    type Input = EventInput;
    type Output = EventOutput;

    fn initial(&self) -> (bool, u64) {
        (false, 0)
    }

    fn step(&self, state: &(bool, u64), input: &EventInput, output: Option<&EventOutput>) -> Vec<(bool, u64)> {
        let (is_set, version) = *state;
        let passes = match input {
            EventInput::Wait { after: Some(after) } => version > *after,
            EventInput::Wait { after: None } => is_set,
            _ => true,
        };
        let after = match input {
            EventInput::Set if !is_set => (true, version + 1),
            EventInput::Clear => (false, version),
            _ => (is_set, version),
        };
        let fits = match output {
            None => true,
            Some(EventOutput::TimedOut) => !passes,
            Some(EventOutput::Changed(changed)) => *changed == (is_set != after.0),
            Some(EventOutput::Passed { version }) => passes && *version == after.1,
            Some(EventOutput::State { is_set, version }) => (*is_set, *version) == after,
        };
        if_so(fits, after)
    }
}

/// One key of a map.
pub struct KeyModel;

#[derive(Clone, Debug)]
pub enum KeyInput {
    Get,
    /// The revision that the key must have; `None`: any.
    Put {
        value: u64,
        if_revision: Option<u64>,
    },
    Delete,
}

#[derive(Clone, Debug, PartialEq)]
pub enum KeyOutput {
    /// What the key holds, and since which revision.
    Entry(Option<(u64, u64)>),
    Stored {
        revision: u64,
    },
    Mismatch,
    Deleted(bool),
}

/// The revision of a put that nobody was told of: one of the next.
const REVISIONS_AHEAD: u64 = 12;

impl Model for KeyModel {
    type State = Option<(u64, u64)>;
    type Input = KeyInput;
    type Output = KeyOutput;

    fn initial(&self) -> Option<(u64, u64)> {
        None
    }

    fn step(&self, state: &Self::State, input: &KeyInput, output: Option<&KeyOutput>) -> Vec<Self::State> {
        let before = state.map_or(0, |(_, revision)| revision);
        let is_met = |if_revision: &Option<u64>| if_revision.is_none_or(|asked| asked == before);
        match (input, output) {
            (KeyInput::Get, Some(KeyOutput::Entry(entry))) => if_so(entry == state, *state),
            (KeyInput::Put { value, if_revision }, Some(KeyOutput::Stored { revision })) => {
                if_so(is_met(if_revision) && before < *revision, Some((*value, *revision)))
            }
            (KeyInput::Put { if_revision, .. }, Some(KeyOutput::Mismatch)) => if_so(!is_met(if_revision), *state),
            (KeyInput::Put { value, if_revision }, None) => {
                let stored = (1..=REVISIONS_AHEAD).map(|ahead| Some((*value, before + ahead)));
                let stored = stored.filter(|_| is_met(if_revision));
                stored.chain([*state]).collect()
            }
            (KeyInput::Delete, Some(KeyOutput::Deleted(was_there))) => if_so(*was_there == state.is_some(), None),
            (KeyInput::Delete, None) => vec![None],
            (KeyInput::Get, None) => vec![*state],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(invoked: u64, answered: u64, input: LockInput, output: LockOutput) -> Operation<LockInput, LockOutput> {
        Operation { invoked, answered: Some((answered, output)), input }
    }

    #[test]
    fn overlapping_calls_are_ordered_as_they_must_have_been() {
        let history = [
            lock(0, 9, LockInput::Acquire { client: 2 }, LockOutput::Granted(2)),
            lock(0, 5, LockInput::Acquire { client: 1 }, LockOutput::Granted(1)),
            lock(5, 8, LockInput::Release { client: 1, token: 1 }, LockOutput::Ok),
        ];
        assert_eq!(check(&LockModel, &history), Ok(vec![1, 2, 0]));
    }

    #[test]
    fn what_cannot_have_happened_is_found() {
        let twice = [
            lock(0, 5, LockInput::Acquire { client: 1 }, LockOutput::Granted(1)),
            lock(0, 5, LockInput::Acquire { client: 2 }, LockOutput::Granted(2)),
        ];
        assert!(check(&LockModel, &twice).is_err(), "L1");
        let shrinking = [
            lock(0, 1, LockInput::Acquire { client: 1 }, LockOutput::Granted(7)),
            lock(2, 3, LockInput::Release { client: 1, token: 7 }, LockOutput::Ok),
            lock(4, 5, LockInput::Acquire { client: 2 }, LockOutput::Granted(6)),
        ];
        assert!(check(&LockModel, &shrinking).is_err(), "L2");
        let stale = [
            lock(0, 1, LockInput::Acquire { client: 1 }, LockOutput::Granted(1)),
            lock(2, 3, LockInput::Release { client: 1, token: 1 }, LockOutput::Ok),
            lock(4, 5, LockInput::FencedWrite { token: 1 }, LockOutput::Ok),
        ];
        assert!(check(&LockModel, &stale).is_err(), "L3");
        let late = [
            Operation { invoked: 0, answered: Some((1, (1, false))), input: CounterInput::Add(1) },
            Operation { invoked: 2, answered: Some((3, (0, false))), input: CounterInput::Get },
        ];
        assert!(check(&CounterModel, &late).is_err(), "a read that misses an answered write");
        let lost_wake_up = [
            Operation {
                invoked: 0,
                answered: Some((1, EventOutput::State { is_set: true, version: 1 })),
                input: EventInput::Set,
            },
            Operation { invoked: 2, answered: Some((9, EventOutput::TimedOut)), input: EventInput::Wait { after: Some(0) } },
        ];
        assert!(check(&EventModel, &lost_wake_up).is_err(), "E1");
    }

    #[test]
    fn a_call_without_an_answer_may_have_happened_or_not() {
        let add = Operation { invoked: 0, answered: None, input: CounterInput::Add(1) };
        for seen in [0, 1] {
            let get = Operation { invoked: 5, answered: Some((6, (seen, false))), input: CounterInput::Get };
            assert!(check(&CounterModel, &[add.clone(), get]).is_ok());
        }
    }

    #[test]
    fn the_end_of_a_session_gives_its_lock_back_once() {
        let granted = |client, token, at| lock(at, at + 1, LockInput::Acquire { client }, LockOutput::Granted(token));
        let ended = Operation { invoked: 5, answered: None, input: LockInput::GaveBack { client: 1 } };
        assert!(check(&LockModel, &[granted(1, 1, 0), ended.clone(), granted(2, 2, 6)]).is_ok());
        assert!(check(&LockModel, &[granted(1, 1, 0), granted(2, 2, 3), ended]).is_err(), "before it ended");
    }
}
