//! Each promise of the list, asked of the bare kind, and random commands against a plain vector that does what Python does.

use super::{super::kind::Wire, *};
use crate::objects::slice::reference;
use bursar_proto::{
    limits,
    v1::{self, list as pb, registry},
};
use bytes::Bytes;
use proptest::prelude::*;

const A: SessionId = SessionId(1);
const NOW: Moment = Moment(1_000_000);
const ROOMY: Options = Options { max_len: 1_000_000, max_bytes: 1 << 30 };

/// Decides and evolves; every change also goes through its encoding, and the history leads to the same list.
fn ask(list: &mut List, command: Command) -> Result<Reply, Fault> {
    let before = list.clone();
    let result = match list.decide(A, &command, NOW) {
        Decision::Answer(reply) => Ok(reply),
        Decision::Change(change, reply) => {
            assert_eq!(List::decode(&List::encode(&change)), Ok(change.clone()), "a change survives the journal");
            list.evolve(change);
            assert_eq!(list.revision, before.revision + 1, "a change has the next revision");
            Ok(reply)
        }
        Decision::Refuse(fault) => Err(fault),
        other => panic!("nobody waits for a list: {other:?}"),
    };
    assert_eq!(list.violation(), None);
    let mut again = List::new(list.options);
    list.history().into_iter().for_each(|change| again.evolve(List::decode(&List::encode(&change)).unwrap()));
    assert_eq!(again, *list, "the history leads to the same list");
    result
}

fn value(text: &str) -> Value {
    Value { data: Bytes::copy_from_slice(text.as_bytes()), codec: 0 }
}

fn values(text: &str) -> Vec<Value> {
    text.chars().map(|letter| value(&letter.to_string())).collect()
}

/// A list of letters.
fn list(text: &str) -> List {
    let mut list = List::new(ROOMY);
    list.evolve(Change::Restored { revision: 1, values: values(text) });
    list
}

fn text(list: &List) -> String {
    list.values.iter().map(|value| String::from_utf8_lossy(&value.data)).collect()
}

fn slice(start: Option<i64>, stop: Option<i64>, step: i64) -> Slice {
    Slice::read(Some(v1::Slice { start, stop, step: Some(step) })).unwrap()
}

fn replace(slice: Slice, text: &str) -> Command {
    Command::Replace { slice, values: values(text), if_revision: None }
}

fn delete(slice: Slice) -> Command {
    Command::Delete { slice, if_revision: None }
}

/// The list that a command makes of `abcdef`.
fn after(command: Command) -> String {
    let mut list = list("abcdef");
    ask(&mut list, command).expect("is not refused");
    text(&list)
}

#[test]
fn a_slice_is_replaced_by_more_or_fewer_or_none() {
    let from = |start, stop| slice(Some(start), Some(stop), 1);
    assert_eq!(after(replace(from(1, 3), "XYZ")), "aXYZdef");
    assert_eq!(after(replace(from(1, 5), "X")), "aXf");
    assert_eq!(after(replace(from(-3, -1), "")), "abcf");
    assert_eq!(after(replace(from(5, 2), "X")), "abcdeXf", "an empty slice has a place");
    assert_eq!(after(replace(from(99, 100), "X")), "abcdefX");
    assert_eq!(after(replace(from(-99, -98), "X")), "Xabcdef");
    assert_eq!(after(replace(Slice::ALL, "XY")), "XY");
}

#[test]
fn a_slice_with_a_step_is_replaced_by_as_many() {
    assert_eq!(after(replace(slice(None, None, 2), "XYZ")), "XbYdZf");
    assert_eq!(after(replace(slice(None, None, -2), "XYZ")), "aZcYeX");
    assert_eq!(after(replace(slice(None, None, -1), "uvwxyz")), "zyxwvu");
    let mut list = list("abcdef");
    for (step, count) in [(2, 2), (2, 4), (-1, 5)] {
        let fault = ask(&mut list, replace(slice(None, None, step), &"X".repeat(count))).unwrap_err();
        assert!(matches!(&fault, Fault::BadArgument { argument, .. } if argument == "values"), "{fault}");
    }
    assert_eq!((text(&list), list.revision), ("abcdef".into(), 1), "a refusal changes nothing");
}

#[test]
fn slices_are_deleted_forwards_and_backwards() {
    assert_eq!(after(delete(slice(Some(1), Some(3), 1))), "adef");
    assert_eq!(after(delete(slice(Some(3), Some(1), -1))), "abef");
    assert_eq!(after(delete(slice(None, None, 2))), "bdf");
    assert_eq!(after(delete(slice(None, None, -2))), "ace");
    assert_eq!(after(delete(slice(None, None, i64::MIN))), "abcde");
    assert_eq!(after(delete(slice(None, None, i64::MAX))), "bcdef");
    assert_eq!(after(delete(Slice::ALL)), "");
}

#[test]
fn what_changes_nothing_takes_no_revision() {
    let mut list = list("a");
    let empty = slice(Some(3), None, 1);
    assert_eq!(ask(&mut list, delete(empty)), Ok(Reply::Delete { count: 0, revision: 1 }));
    assert_eq!(ask(&mut list, replace(empty, "")), Ok(Reply::Replace { len: 1, revision: 1 }));
    assert_eq!(ask(&mut list, Command::Reverse), Ok(Reply::Reverse { revision: 1 }));
    let set = Command::Set { index: 0, value: value("a"), if_revision: None };
    assert_eq!(ask(&mut list, set), Ok(Reply::Set { revision: 2 }), "an equal value is another value");
}

#[test]
fn a_change_may_ask_that_nothing_has_changed() {
    let mut list = list("ab");
    let set = |if_revision| Command::Set { index: 0, value: value("X"), if_revision: Some(if_revision) };
    let replaced = |if_revision| Command::Replace { slice: Slice::ALL, values: values("Y"), if_revision: Some(if_revision) };
    let deleted = |if_revision| Command::Delete { slice: Slice::ALL, if_revision: Some(if_revision) };
    for command in [set(0), set(2), replaced(0), deleted(9)] {
        assert_eq!(ask(&mut list, command), Err(Fault::ListChanged { revision: 1 }));
    }
    let out = Command::Set { index: 9, value: value("X"), if_revision: Some(0) };
    assert_eq!(ask(&mut list, out), Err(Fault::ListChanged { revision: 1 }), "the index may have been right then");
    ask(&mut list, set(1)).unwrap();
    ask(&mut list, replaced(2)).unwrap();
    ask(&mut list, deleted(3)).unwrap();
    assert_eq!((text(&list), list.revision), (String::new(), 4));
}

#[test]
fn what_is_not_there_is_refused() {
    let mut list = list("ab");
    let out = |index, len| Err(Fault::OutOfRange { index, len });
    assert_eq!(ask(&mut list, Command::Get { index: 2 }), out(2, 2));
    assert_eq!(ask(&mut list, Command::Get { index: -3 }), out(-3, 2));
    assert_eq!(ask(&mut list, Command::Set { index: 2, value: value("x"), if_revision: None }), out(2, 2));
    assert_eq!(ask(&mut list, Command::Pop { index: Some(i64::MIN) }), out(i64::MIN, 2));
    for command in [
        Command::Remove { value: value("c") },
        Command::Remove { value: Value { codec: 1, ..value("a") } },
        Command::Index { value: value("a"), slice: Slice::between(Some(1), None) },
        Command::Index { value: value("b"), slice: Slice::between(None, Some(-1)) },
        Command::Index { value: value("b"), slice: Slice::between(Some(99), Some(5)) },
    ] {
        assert_eq!(ask(&mut list, command), Err(Fault::NoSuchValue {}));
    }
    ask(&mut list, delete(Slice::ALL)).unwrap();
    assert_eq!(ask(&mut list, Command::Pop { index: None }), out(-1, 0));
}

#[test]
fn a_long_slice_is_read_page_by_page() {
    let mut list = List::new(ROOMY);
    let kilobyte = "x".repeat(1 << 10);
    list.evolve(Change::Restored { revision: 1, values: vec![value(&kilobyte); 3000] });
    let read = |list: &mut List, slice, skip, limit| match ask(list, Command::Read { slice, skip, limit }) {
        Ok(Reply::Read { values, more, revision: 1 }) => (values.len(), more),
        other => panic!("{other:?}"),
    };
    assert_eq!(read(&mut list, Slice::ALL, 0, 1000), (1000, true));
    assert_eq!(read(&mut list, Slice::ALL, 0, 10_000), (1 + 1024, true), "a mebibyte beyond the first");
    assert_eq!(read(&mut list, Slice::ALL, 2500, 1000), (500, false));
    assert_eq!(read(&mut list, slice(None, None, -3), 990, 1000), (10, false));
    for skip in [3000, u64::MAX] {
        assert_eq!(read(&mut list, Slice::ALL, skip, 1000), (0, false));
    }
}

#[test]
fn limits_refuse_what_is_new_and_let_through_what_frees() {
    let mut list = List::new(Options { max_len: 3, max_bytes: 6 });
    let full = |what: &str, limit| Err(Fault::LimitReached { what: what.into(), limit });
    let extend = |text: &str| Command::Extend { values: values(text) };
    ask(&mut list, extend("abc")).unwrap();
    assert_eq!(ask(&mut list, extend("d")), full("max_len", 3));
    assert_eq!(ask(&mut list, Command::Insert { index: 0, value: value("") }), full("max_len", 3));
    assert_eq!(ask(&mut list, replace(slice(Some(0), Some(2), 1), "XYZ")), full("max_len", 3));
    let set = |text: &str| Command::Set { index: 0, value: value(text), if_revision: None };
    assert_eq!(ask(&mut list, set("aaaaa")), full("max_bytes", 6));
    ask(&mut list, set("aaaa")).unwrap();
    let three = Command::Replace { slice: slice(None, None, -1), values: vec![value("xxx"); 3], if_revision: None };
    assert_eq!(ask(&mut list, three), full("max_bytes", 6));
    ask(&mut list, replace(Slice::ALL, "xyz")).unwrap();
    ask(&mut list, Command::Pop { index: Some(0) }).unwrap();
    ask(&mut list, extend("d")).unwrap();
}

/// With a list that moved all its values for one, this would not come to its end.
#[test]
fn both_ends_are_near() {
    let mut list = List::new(ROOMY);
    let change = |list: &mut List, command| match list.decide(A, &command, NOW) {
        Decision::Change(change, _) => list.evolve(change),
        other => panic!("{other:?}"),
    };
    for _ in 0..150_000 {
        change(&mut list, Command::Extend { values: values("x") });
        change(&mut list, Command::Insert { index: 0, value: value("y") });
    }
    for _ in 0..150_000 {
        change(&mut list, Command::Pop { index: Some(0) });
        change(&mut list, Command::Pop { index: None });
    }
    assert_eq!(list.len(), 0);
}

#[test]
fn a_long_history_comes_in_bounded_changes() {
    let lengths = |sizes: &[usize]| {
        let mut list = List::new(ROOMY);
        let values = sizes.iter().map(|size| value(&"x".repeat(*size))).collect();
        list.evolve(Change::Restored { revision: 7, values });
        let lengths = list.history().into_iter().map(|change| match change {
            Change::Restored { revision: 7, values } => values.len(),
            other => panic!("{other:?}"),
        });
        lengths.collect::<Vec<_>>()
    };
    assert_eq!(lengths(&[0; 2500]), [1000, 1000, 500]);
    assert_eq!(lengths(&[2 << 20, 1, 1 << 20, 5]), [1, 1, 1, 1]);
    assert_eq!(lengths(&[]), [0], "the revision goes on where it was");
    assert!(List::new(ROOMY).history().is_empty());
}

#[test]
fn every_broken_invariant_is_seen() {
    let broken = |change: fn(&mut List)| {
        let mut list = list("abc");
        change(&mut list);
        list.violation().expect("is seen")
    };
    assert!(broken(|list| list.bytes += 1).contains("bytes"));
    assert!(broken(|list| list.options.max_len = 2).contains("limits"));
    assert!(broken(|list| list.options.max_bytes = 2).contains("limits"));
    assert!(broken(|list| list.revision = 0).contains("nothing was ever changed"));
    assert_eq!(list("abc").figures(), [("len", 3), ("bytes", 3), ("revision", 1)]);
}

// Against a vector.

const TIGHT: Options = Options { max_len: 14, max_bytes: 20 };

/// The list as Python has it, without any limit.
#[derive(Clone, Debug, Default)]
struct Model {
    values: Vec<Value>,
    revision: u64,
}

/// A slice before it is one.
type Bounds = (Option<i64>, Option<i64>, i64);

#[derive(Clone, Debug)]
enum Step {
    Read(Bounds, u64, usize),
    Replace(Bounds, Vec<Value>, Option<u64>),
    Delete(Bounds, Option<u64>),
    Index(Value, Option<i64>, Option<i64>),
    Other(Command),
}

impl Step {
    fn command(self) -> Command {
        let of = |(start, stop, step)| slice(start, stop, step);
        match self {
            Step::Read(bounds, skip, limit) => Command::Read { slice: of(bounds), skip, limit },
            Step::Replace(bounds, values, if_revision) => Command::Replace { slice: of(bounds), values, if_revision },
            Step::Delete(bounds, if_revision) => Command::Delete { slice: of(bounds), if_revision },
            Step::Index(value, start, stop) => Command::Index { value, slice: Slice::between(start, stop) },
            Step::Other(command) => command,
        }
    }
}

impl Model {
    fn len(&self) -> u64 {
        self.values.len() as u64
    }

    fn positions(&self, (start, stop, step): Bounds) -> Vec<usize> {
        reference(start, stop, step, self.values.len())
    }

    fn position(&self, index: i64) -> Result<usize, Fault> {
        let at = (0..self.values.len()).find(|at| *at as i64 == index || *at as i64 - self.values.len() as i64 == index);
        at.ok_or(Fault::OutOfRange { index, len: self.len() })
    }

    fn changed(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    fn check(&self, if_revision: Option<u64>) -> Result<(), Fault> {
        let stale = if_revision.is_some_and(|revision| revision != self.revision);
        if stale { Err(Fault::ListChanged { revision: self.revision }) } else { Ok(()) }
    }

    /// What is over its limits after a change is refused, and was not changed.
    fn ask(&mut self, step: &Step) -> Result<Reply, Fault> {
        let mut after = self.clone();
        let reply = after.ask_unlimited(step)?;
        let bytes: usize = after.values.iter().map(|value| value.data.len()).sum();
        let over = [("max_len", after.len(), TIGHT.max_len), ("max_bytes", bytes as u64, TIGHT.max_bytes)];
        if let Some((what, _, limit)) = over.into_iter().find(|(_, actual, limit)| actual > limit) {
            return Err(Fault::LimitReached { what: what.into(), limit });
        }
        *self = after;
        Ok(reply)
    }

    fn ask_unlimited(&mut self, step: &Step) -> Result<Reply, Fault> {
        Ok(match step {
            Step::Read(bounds, skip, limit) => {
                let behind = self.positions(*bounds).into_iter().skip(*skip as usize);
                let all: Vec<Value> = behind.map(|at| self.values[at].clone()).collect();
                let more = all.len() > *limit;
                Reply::Read { values: all.into_iter().take(*limit).collect(), more, revision: self.revision }
            }
            Step::Replace(bounds, values, if_revision) => {
                self.check(*if_revision)?;
                let revision = self.replace(*bounds, values)?;
                Reply::Replace { len: self.len(), revision }
            }
            Step::Delete(bounds, if_revision) => {
                self.check(*if_revision)?;
                let mut positions = self.positions(*bounds);
                positions.sort_unstable();
                positions.iter().rev().for_each(|at| drop(self.values.remove(*at)));
                let revision = if positions.is_empty() { self.revision } else { self.changed() };
                Reply::Delete { count: positions.len() as u64, revision }
            }
            Step::Index(value, start, stop) => {
                let found = self.positions((*start, *stop, 1)).into_iter().find(|at| self.values[*at] == *value);
                Reply::Index { index: found.ok_or(Fault::NoSuchValue {})? as u64 }
            }
            Step::Other(command) => self.ask_other(command)?,
        })
    }

    fn replace(&mut self, bounds: Bounds, values: &[Value]) -> Result<u64, Fault> {
        let positions = self.positions(bounds);
        let (start, _, step) = bounds;
        if step != 1 && positions.len() != values.len() {
            return Err(Fault::bad_argument("values", ""));
        }
        if step != 1 {
            positions.iter().zip(values).for_each(|(at, value)| self.values[*at] = value.clone());
        } else {
            // Where the bound stands, also if nothing is there.
            let at = start.map_or(0, |start| self.place(start));
            positions.iter().for_each(|_| drop(self.values.remove(at)));
            values.iter().rev().for_each(|value| self.values.insert(at, value.clone()));
        }
        Ok(if positions.is_empty() && values.is_empty() { self.revision } else { self.changed() })
    }

    /// In front of which value an index stands.
    fn place(&self, index: i64) -> usize {
        let len = i128::from(self.len());
        let index = i128::from(index);
        (if index < 0 { index + len } else { index }).clamp(0, len) as usize
    }

    fn ask_other(&mut self, command: &Command) -> Result<Reply, Fault> {
        Ok(match command {
            Command::Get { index } => Reply::Get { value: self.values[self.position(*index)?].clone(), revision: self.revision },
            Command::Set { index, value, if_revision } => {
                self.check(*if_revision)?;
                let at = self.position(*index)?;
                self.values[at] = value.clone();
                Reply::Set { revision: self.changed() }
            }
            Command::Extend { values } => {
                self.values.extend(values.iter().cloned());
                Reply::Extend { len: self.len(), revision: self.changed() }
            }
            Command::Insert { index, value } => {
                self.values.insert(self.place(*index), value.clone());
                Reply::Insert { len: self.len(), revision: self.changed() }
            }
            Command::Pop { index } => {
                let at = self.position(index.unwrap_or(-1))?;
                let value = self.values.remove(at);
                Reply::Pop { value, len: self.len(), revision: self.changed() }
            }
            Command::Remove { value } => {
                let at = self.values.iter().position(|other| other == value).ok_or(Fault::NoSuchValue {})?;
                self.values.remove(at);
                Reply::Remove { index: at as u64, revision: self.changed() }
            }
            Command::Count { value } => Reply::Count { count: self.values.iter().filter(|other| *other == value).count() as u64 },
            Command::Reverse => {
                self.values.reverse();
                Reply::Reverse { revision: if self.values.len() < 2 { self.revision } else { self.changed() } }
            }
            Command::Len => Reply::Len { len: self.len(), revision: self.revision },
            other => unreachable!("has a step of its own: {other:?}"),
        })
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = || prop_oneof![20 => -18i64..18, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    let bound = move || prop::option::weighted(0.7, index());
    let step = prop_oneof![5 => Just(1i64), 5 => (-4i64..5).prop_filter("no step", |step| *step != 0), 1 => Just(i64::MIN)];
    let bounds = (bound(), bound(), step);
    let one = || ("[a-c]{0,2}", 0u32..2).prop_map(|(text, codec)| Value { codec, ..value(&text) });
    let several = |least| prop::collection::vec(one(), least..6);
    let if_revision = || prop::option::weighted(0.1, 0u64..20);
    let other = prop_oneof![
        1 => index().prop_map(|index| Command::Get { index }),
        2 => (index(), one(), if_revision()).prop_map(|(index, value, if_revision)| Command::Set { index, value, if_revision }),
        3 => several(1).prop_map(|values| Command::Extend { values }),
        3 => (index(), one()).prop_map(|(index, value)| Command::Insert { index, value }),
        2 => bound().prop_map(|index| Command::Pop { index }),
        1 => one().prop_map(|value| Command::Remove { value }),
        1 => one().prop_map(|value| Command::Count { value }),
        1 => Just(Command::Reverse),
        1 => Just(Command::Len),
    ];
    let step = prop_oneof![
        2 => (bounds.clone(), 0u64..6, 1usize..9).prop_map(|(bounds, skip, limit)| Step::Read(bounds, skip, limit)),
        4 => (bounds.clone(), several(0), if_revision())
            .prop_map(|(bounds, values, if_revision)| Step::Replace(bounds, values, if_revision)),
        2 => (bounds, if_revision()).prop_map(|(bounds, if_revision)| Step::Delete(bounds, if_revision)),
        1 => (one(), bound(), bound()).prop_map(|(value, start, stop)| Step::Index(value, start, stop)),
        12 => other.prop_map(Step::Other),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_list_does_what_python_does(steps in steps()) {
        let (mut list, mut model) = (List::new(TIGHT), Model::default());
        for step in steps {
            let expected = model.ask(&step);
            match (ask(&mut list, step.clone().command()), expected) {
                (Err(Fault::BadArgument { argument, .. }), Err(Fault::BadArgument { argument: expected, .. })) => {
                    assert_eq!(argument, expected, "{step:?}");
                }
                (actual, expected) => assert_eq!(actual, expected, "{step:?}"),
            }
            assert_eq!((&Vec::from(list.values.clone()), list.revision), (&model.values, model.revision), "{step:?}");
        }
    }
}

// On the wire and on disk.

fn read(verb: pb::command::Verb) -> Result<Command, Fault> {
    List::command(bursar_proto::Command::List(verb), 100_000)
}

fn bad_argument(verb: pb::command::Verb) -> String {
    match read(verb) {
        Err(Fault::BadArgument { argument, .. }) => argument,
        other => panic!("{other:?}"),
    }
}

fn options(max_len: u64, max_bytes: u64) -> registry::Options {
    registry::Options { kind: Some(registry::options::Kind::List(pb::Options { max_len, max_bytes })) }
}

#[test]
fn options_are_written_out_in_full() {
    let create = |options| List::create(&options, 1).map(|list| list.options());
    assert_eq!(create(options(0, 0)), Ok(options(1_000_000, 1 << 30)));
    assert_eq!(create(options(1, 2)), Ok(options(1, 2)));
    let of_another = registry::Options { kind: Some(registry::options::Kind::Queue(Default::default())) };
    assert!(matches!(create(of_another), Err(Fault::BadArgument { argument, .. }) if argument == "options"));
}

#[test]
fn a_request_that_makes_no_sense_says_what_was_expected() {
    use pb::command::Verb;
    let plain = |len: usize| v1::Value { data: vec![7; len].into(), codec: 9 };
    let nothing = Some(v1::Slice { step: Some(0), ..Default::default() });
    assert_eq!(bad_argument(Verb::Read(pb::ReadRequest { slice: nothing, ..Default::default() })), "step");
    assert_eq!(bad_argument(Verb::Replace(pb::ReplaceRequest { slice: nothing, ..Default::default() })), "step");
    assert_eq!(bad_argument(Verb::Delete(pb::DeleteRequest { slice: nothing, ..Default::default() })), "step");
    for verb in [
        Verb::Set(Default::default()),
        Verb::Insert(Default::default()),
        Verb::Remove(Default::default()),
        Verb::Index(Default::default()),
        Verb::Count(Default::default()),
    ] {
        assert_eq!(bad_argument(verb), "value");
    }
    assert_eq!(bad_argument(Verb::Extend(Default::default())), "values");
    let values = vec![plain(0); limits::BATCH_MAX + 1];
    assert_eq!(bad_argument(Verb::Extend(pb::ExtendRequest { values: values.clone(), ..Default::default() })), "values");
    assert_eq!(bad_argument(Verb::Replace(pb::ReplaceRequest { values, ..Default::default() })), "values");
    let large = pb::ExtendRequest { values: vec![plain(1), plain(100_001)], ..Default::default() };
    assert_eq!(read(Verb::Extend(large)), Err(Fault::TooLarge { what: "value".into(), size: 100_001, limit: 100_000 }));
    let of_another = bursar_proto::Command::Queue(v1::queue::command::Verb::Peek(Default::default()));
    assert!(matches!(List::command(of_another, 1), Err(Fault::BadArgument { .. })));
}

#[test]
fn requests_become_commands_and_defaults_are_filled_in() {
    use pb::command::Verb;
    let whole = Command::Read { slice: Slice::ALL, skip: 0, limit: 1000 };
    assert_eq!(read(Verb::Read(Default::default())), Ok(whole));
    let request = pb::ReadRequest {
        slice: Some(v1::Slice { start: Some(-2), stop: None, step: Some(-1) }),
        skip: 3,
        limit: 99_999,
        ..Default::default()
    };
    assert_eq!(read(Verb::Read(request)), Ok(Command::Read { slice: slice(Some(-2), None, -1), skip: 3, limit: 10_000 }));
    assert_eq!(read(Verb::Pop(Default::default())), Ok(Command::Pop { index: None }));
    let all = Command::Delete { slice: Slice::ALL, if_revision: None };
    assert_eq!(read(Verb::Delete(Default::default())), Ok(all));
    let none = Command::Replace { slice: Slice::ALL, values: vec![], if_revision: Some(0) };
    assert_eq!(read(Verb::Replace(pb::ReplaceRequest { if_revision: Some(0), ..Default::default() })), Ok(none));
}

/// The bytes of changes are kept on disk: an old journal must be readable for ever.
#[test]
fn the_format_of_changes_does_not_drift() {
    let one = Value { codec: 2, ..value("v") };
    let span = Span { at: 300, step: -2, count: 3 };
    let changes = [
        (Change::Spliced { at: 300, removed: 2, values: vec![one.clone()] }, "12 0c 08 ac02 10 02 1a 05 0a 01 76 10 02"),
        (Change::Spliced { at: 0, removed: 0, values: vec![value("")] }, "12 02 1a 00"),
        (Change::Stepped { span, values: vec![one.clone()] }, "1a 0e 08 ac02 10 03 18 03 22 05 0a 01 76 10 02"),
        (Change::Stepped { span, values: vec![] }, "1a 07 08 ac02 10 03 18 03"),
        (Change::Reversed, "22 00"),
        (Change::Restored { revision: 300, values: vec![one] }, "2a 0a 08 ac02 12 05 0a 01 76 10 02"),
    ];
    for (change, golden) in changes {
        let hex: String = List::encode(&change).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden.replace(' ', ""), "{change:?}");
        assert_eq!(List::decode(&List::encode(&change)), Ok(change));
    }
    for bytes in [&b""[..], b"\xff", b"\x12\xff", b"\x08\x01\x22\x00"] {
        assert!(List::decode(bytes).is_err(), "{bytes:?}");
    }
}
