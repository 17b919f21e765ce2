//! A kind of one's own, tried as the built-in ones are: after every step its journal and its history are replayed.

use super::{
    Call, Decision, Departure, Kind, Moment, SessionId, Waits,
    kept::{Command, Kept},
};
use crate::objects::{
    kind::Wire,
    object::{self, Outcome, Reply},
    trial::{A, B, C, Dice, Trial, wait_ms},
    value::Value,
};
use bursar::{Encode, Payload, Raw, object::Failed};
use bursar_proto::{
    Command as Verb, Fault, Wait,
    v1::{self, object as pb, registry},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Desks that sessions take for a while.
#[derive(Clone, Debug, Default, PartialEq)]
struct Desks {
    free: u64,
    last: u64,
    taken: BTreeMap<u64, Taken>,
    notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Taken {
    session: u64,
    until: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Change {
    Brought(u64),
    Took(u64, Taken),
    Left(Vec<u64>),
    Noted(String),
    Numbered(u64),
    Spilled(Ink),
}

/// What cannot be written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Ink;

impl Serialize for Ink {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        panic!("ink is wet")
    }
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct NoDesk {
    session: u64,
}

fn method(name: &str, parameters: &[(&str, &str)]) -> pb::Method {
    let parameter = |(name, default): &(&str, &str)| pb::Parameter {
        name: (*name).into(),
        r#type: "integer".into(),
        default: (*default).into(),
        ..Default::default()
    };
    pb::Method { name: name.into(), parameters: parameters.iter().map(parameter).collect(), ..Default::default() }
}

impl Kind for Desks {
    const NAME: &'static str = "desks";
    type Change = Change;

    fn description() -> pb::Description {
        let methods = vec![
            method("bring", &[("count", "")]),
            method("take", &[("for_ms", "1000")]),
            method("take_in_turn", &[]),
            method("leave", &[("desk", "")]),
            method("free", &[]),
            method("note", &[("text", "")]),
            method("panic", &[]),
            method("spill", &[]),
        ];
        pb::Description { doc: "Desks".into(), methods }
    }

    fn decide(&self, call: &Call<'_>) -> Result<Decision<Change>, Failed> {
        match call.method() {
            "bring" => Decision::change(Change::Brought(call.argument("count")?), &()),
            "take" | "take_in_turn" if self.free == 0 => Ok(Decision::Wait),
            "take" | "take_in_turn" => {
                let until = call.now.after_ms(call.argument_or("for_ms", 1000)?).0;
                let desk = self.last + 1;
                Decision::change(Change::Took(desk, Taken { session: call.caller.0, until }), &desk)
            }
            "leave" => {
                let desk = call.argument("desk")?;
                match self.taken.get(&desk) {
                    Some(taken) if taken.session == call.caller.0 => Decision::change(Change::Left(vec![desk]), &()),
                    _ => Err(Failed {
                        kind: "NoDesk".into(),
                        message: format!("desk {desk} is not yours"),
                        value: Some(NoDesk { session: call.caller.0 }.encode().unwrap()),
                    }),
                }
            }
            "note" => Decision::change(Change::Noted(call.argument("text")?), &()),
            "free" => Decision::answer(&self.free),
            "spill" => Decision::change(Change::Spilled(Ink), &()),
            _ => panic!("no desk has ever done this"),
        }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Brought(count) => self.free += count,
            Change::Took(desk, taken) => {
                self.free = self.free.saturating_sub(1);
                self.last = desk;
                self.taken.insert(desk, taken);
            }
            Change::Left(desks) => {
                for desk in desks {
                    self.taken.remove(&desk);
                    self.free += 1;
                }
            }
            Change::Noted(note) if note == "explode" => panic!("a note that nobody can bear"),
            Change::Noted(note) => self.notes.push(note),
            Change::Numbered(last) => self.last = last,
            Change::Spilled(Ink) => unreachable!("it was never written"),
        }
    }

    fn history(&self) -> Vec<Change> {
        let brought = Change::Brought(self.free + self.taken.len() as u64);
        let taken = self.taken.iter().map(|(desk, taken)| Change::Took(*desk, taken.clone()));
        let notes = self.notes.iter().cloned().map(Change::Noted);
        [brought].into_iter().chain(taken).chain(notes).chain([Change::Numbered(self.last)]).collect()
    }

    fn waits(method: &str) -> Waits {
        if method == "take_in_turn" { Waits::InTurn } else { Waits::Together }
    }

    fn departed(&self, session: SessionId, _how: Departure, _why: &str, _now: Moment) -> Option<Change> {
        let own = self.taken.iter().filter(|(_, taken)| taken.session == session.0);
        let own: Vec<u64> = own.map(|(desk, _)| *desk).collect();
        (!own.is_empty()).then_some(Change::Left(own))
    }

    fn unheard(&self, caller: SessionId, answer: &Raw, _now: Moment) -> Option<Change> {
        let desk = u64::decode(answer.clone()).ok()?;
        self.taken.get(&desk).filter(|taken| taken.session == caller.0).map(|_| Change::Left(vec![desk]))
    }

    fn due(&self) -> Option<Moment> {
        self.taken.values().map(|taken| Moment(taken.until)).min()
    }

    fn elapsed(&self, now: Moment) -> Option<Change> {
        let over = self.taken.iter().filter(|(_, taken)| taken.until <= now.0);
        let over: Vec<u64> = over.map(|(desk, _)| *desk).collect();
        (!over.is_empty()).then_some(Change::Left(over))
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("free", self.free)]
    }
}

type Play = Trial<Kept<Desks>>;

fn desks() -> Play {
    Trial::new(Kept::create(&options("desks"), 1).unwrap())
}

fn options(kind: &str) -> registry::Options {
    let options = pb::Options { kind: kind.into(), ..Default::default() };
    registry::Options { kind: Some(registry::options::Kind::Object(options)) }
}

fn argument<T: Payload>(name: &str, value: T) -> pb::Argument {
    let Raw { data, codec } = value.encode().unwrap();
    pb::Argument { name: name.into(), value: Some(v1::Value { data, codec }) }
}

fn call(method: &str, arguments: Vec<pb::Argument>) -> Command {
    let request = pb::InvokeRequest { method: method.into(), arguments, ..Default::default() };
    Kept::<Desks>::command(Verb::Object(pb::command::Verb::Invoke(request)), 1000).unwrap()
}

fn take() -> Command {
    call("take", vec![])
}

fn bring(count: u64) -> Command {
    call("bring", vec![argument("count", count)])
}

fn leave(desk: u64) -> Command {
    call("leave", vec![argument("desk", desk)])
}

fn note(text: &str) -> Command {
    call("note", vec![argument("text", text.to_owned())])
}

/// What the method gave.
fn result<T: Payload>(told: Result<Reply, Fault>) -> T {
    match told {
        Ok(Reply::Invoke(Outcome::Result(Value { data, codec }))) => T::decode(Raw { data, codec }).unwrap(),
        other => panic!("expected a result, got {other:?}"),
    }
}

fn failure(told: Result<Reply, Fault>) -> object::Failure {
    match told {
        Ok(Reply::Invoke(Outcome::Failure(failure))) => failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn calls_change_the_object_and_are_told_what_its_methods_say() {
    let mut play = desks();
    assert_eq!(result::<u64>(play.ask(A, call("free", vec![]))), 0);
    result::<()>(play.ask(A, bring(2)));
    assert_eq!(result::<u64>(play.ask(A, take())), 1);
    assert_eq!(result::<u64>(play.ask(B, take())), 2);
    result::<()>(play.ask(B, leave(2)));
    assert_eq!(result::<u64>(play.ask(B, call("free", vec![]))), 1);
}

#[test]
fn an_error_of_the_method_keeps_its_type_and_its_value_and_changes_nothing() {
    let mut play = desks();
    result::<()>(play.ask(A, bring(1)));
    result::<u64>(play.ask(A, take()));
    let before = play.changes();
    let object::Failure { r#type, message, value } = failure(play.ask(B, leave(1)));
    let Value { data, codec } = value.unwrap();
    assert_eq!(NoDesk::decode(Raw { data, codec }), Ok(NoDesk { session: B.0 }));
    assert_eq!((r#type.as_str(), message.as_str(), play.changes()), ("NoDesk", "desk 1 is not yours", before));
}

#[test]
fn who_waits_is_asked_after_every_change_in_the_order_of_arrival() {
    let mut play = desks();
    let (first, second) = (play.waits(A, take(), Wait::Forever), play.waits(B, take(), Wait::Forever));
    result::<()>(play.ask(C, bring(1)));
    assert_eq!((result::<u64>(play.told(first)), play.is_waiting(second)), (1, true));
    result::<()>(play.ask(A, leave(1)));
    assert_eq!(result::<u64>(play.told(second)), 2);
}

#[test]
fn a_method_that_waits_in_turn_lets_nobody_of_the_line_past() {
    let mut play = desks();
    let first = play.waits(A, call("take_in_turn", vec![]), Wait::Forever);
    let second = play.waits(B, call("take_in_turn", vec![]), Wait::Forever);
    result::<()>(play.ask(C, bring(1)));
    assert!(!play.is_waiting(first) && play.is_waiting(second));
    play.cancel(second);
    assert!(matches!(play.ask(C, call("take_in_turn", vec![])), Err(Fault::TimedOut { what }) if what.contains("take_in_turn")));
}

#[test]
fn a_wait_ends_with_its_deadline_and_with_its_session() {
    let mut play = desks();
    let late = play.waits(A, take(), wait_ms(10));
    let gone = play.waits(B, take(), Wait::Forever);
    play.pass(10);
    play.die(B);
    assert!(matches!(play.told(late), Err(Fault::TimedOut { .. })));
    assert!(matches!(play.told(gone), Err(Fault::SessionEnded { .. })));
    assert_eq!(play.changes(), 0);
}

#[test]
fn what_a_session_held_goes_to_who_waits_when_it_ends() {
    let mut play = desks();
    result::<()>(play.ask(C, bring(1)));
    result::<u64>(play.ask(A, take()));
    let waiting = play.waits(B, take(), Wait::Forever);
    play.die(A);
    assert_eq!(result::<u64>(play.told(waiting)), 2);
}

#[test]
fn time_gives_back_what_was_taken_for_a_while() {
    let mut play = desks();
    result::<()>(play.ask(C, bring(1)));
    result::<u64>(play.ask(A, call("take", vec![argument("for_ms", 50)])));
    let waiting = play.waits(B, take(), Wait::Forever);
    play.pass(49);
    assert!(play.is_waiting(waiting));
    play.pass(1);
    assert_eq!(result::<u64>(play.told(waiting)), 2);
}

#[test]
fn what_an_answer_gave_that_never_arrived_is_taken_back() {
    let mut play = desks();
    result::<()>(play.ask(C, bring(1)));
    let lost = play.call(A, take(), Wait::Never);
    play.unheard(lost);
    assert_eq!(result::<u64>(play.ask(B, call("free", vec![]))), 1);
}

#[test]
fn unknown_methods_and_arguments_are_faults_that_name_the_nearest() {
    let mut play = desks();
    let method = play.refused(A, call("tke", vec![]));
    assert!(matches!(method, Fault::NoSuchMethod { nearest, .. } if nearest == "take"));
    let unknown = play.refused(A, call("bring", vec![argument("cont", 1)]));
    assert!(matches!(unknown, Fault::NoSuchArgument { nearest, .. } if nearest == "count"));
    assert!(matches!(play.refused(A, call("bring", vec![])), Fault::MissingArgument { argument, .. } if argument == "count"));
    let wrong = failure(play.ask(A, call("bring", vec![argument("count", "two".to_owned())])));
    assert!(wrong.r#type == "bursar.codec" && wrong.message.contains("count"), "{wrong:?}");
}

#[test]
fn a_panic_while_it_decides_is_the_failure_of_that_call() {
    let mut play = desks();
    let object::Failure { r#type, message, value } = failure(play.ask(A, call("panic", vec![])));
    assert_eq!((r#type.as_str(), value), ("bursar.panic", None));
    assert!(message.contains("no desk has ever done this"), "{message}");
    result::<()>(play.ask(A, bring(1)));
}

/// Writing is the kind's own code, too.
#[test]
fn a_panic_while_a_change_is_written_is_the_failure_of_that_call() {
    let mut play = desks();
    let object::Failure { r#type, message, .. } = failure(play.ask(A, call("spill", vec![])));
    assert_eq!((r#type.as_str(), message.as_str()), ("bursar.panic", "ink is wet"));
    assert_eq!(result::<u64>(play.ask(A, call("free", vec![]))), 0);
}

#[test]
fn a_panic_while_it_evolves_breaks_the_object_for_ever() {
    let mut play = desks();
    result::<()>(play.ask(A, bring(1)));
    result::<u64>(play.ask(A, call("take", vec![argument("for_ms", 50)])));
    // The trial's comparison of states is by their last words, of which a broken object has no others.
    let mut kept = Kept::<Desks>::create(&options("desks"), 1).unwrap();
    let mut again = kept.clone();
    for change in [Change::Noted("explode".into()), Change::Brought(7)] {
        crate::objects::kind::Kind::evolve(&mut kept, super::kept::Change::own(change).unwrap());
    }
    let history = crate::objects::kind::Kind::history(&kept);
    for change in history {
        let bytes = Kept::<Desks>::encode(&change);
        crate::objects::kind::Kind::evolve(&mut again, Kept::<Desks>::decode(&bytes).unwrap());
    }
    for kept in [kept, again] {
        let decision = crate::objects::kind::Kind::decide(&kept, A, &bring(1), Moment(1));
        let text = format!("{decision:?}");
        assert!(text.contains("bursar.panic") && text.contains("a note that nobody can bear"), "{text}");
        assert_eq!(crate::objects::kind::Kind::due(&kept), None);
    }
}

#[test]
fn an_answer_that_is_too_large_is_refused_before_anything_changes() {
    let request = pb::InvokeRequest { method: "free".into(), ..Default::default() };
    let command = Kept::<Desks>::command(Verb::Object(pb::command::Verb::Invoke(request)), 0).unwrap();
    assert!(matches!(desks().refused(A, command), Fault::TooLarge { limit: 0, .. }));
}

#[test]
fn only_invoke_describe_and_abandon_are_verbs_of_it() {
    use pb::command::Verb as V;
    let read = |verb| Kept::<Desks>::command(Verb::Object(verb), 1000);
    let is_refused = |verb| matches!(read(verb), Err(Fault::BadArgument { problem, .. }) if problem.contains("\"desks\""));
    assert!(is_refused(V::Take(pb::TakeRequest::default())) && is_refused(V::Next(pb::NextRequest::default())));
    let description = Some(pb::Description::default());
    assert!(is_refused(V::Provide(pb::ProvideRequest { description, ..Default::default() })));
    let mut play = desks();
    assert!(matches!(play.ask(A, read(V::Abandon(pb::AbandonRequest::default())).unwrap()), Ok(Reply::Abandon)));
    let Ok(Reply::Describe(described)) = play.ask(A, read(V::Describe(pb::DescribeRequest::default())).unwrap()) else {
        panic!("expected a description")
    };
    assert!(described.providers == 1 && described.description.unwrap().methods.contains_key("take"));
}

#[test]
fn its_options_are_its_kind_and_nothing_else() {
    assert_eq!(Kept::<Desks>::create(&options("desks"), 1).unwrap().options(), options("desks"));
    let more = pb::Options { kind: "desks".into(), max_calls: 5, ..Default::default() };
    let more = registry::Options { kind: Some(registry::options::Kind::Object(more)) };
    assert!(matches!(Kept::<Desks>::create(&more, 1), Err(Fault::BadArgument { problem, .. }) if problem.contains("desks")));
}

#[test]
fn whatever_happens_the_journal_and_the_history_lead_to_the_same_object() {
    for seed in 0..20 {
        let (mut play, mut dice) = (desks(), Dice::new(seed));
        for _ in 0..200 {
            let session = [A, B, C][dice.below(3) as usize];
            let wait = [Wait::Never, wait_ms(20), Wait::Forever][dice.below(3) as usize];
            match dice.below(12) {
                0 => play.die(session),
                1 => play.pass(dice.below(40)),
                2..=4 => _ = play.call(session, take(), wait),
                5 | 6 => _ = play.call(session, call("take_in_turn", vec![]), wait),
                7 => _ = play.call(session, bring(dice.below(3)), wait),
                8 => _ = play.call(session, note("a note"), wait),
                _ => _ = play.call(session, leave(dice.below(20)), wait),
            }
        }
    }
}
