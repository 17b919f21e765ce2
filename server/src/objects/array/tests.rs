//! Each promise of the array, asked of the bare kind, and random commands against plain numbers for every type.

use super::{super::kind::Wire, *};
use crate::objects::slice::reference;
use bursar_proto::v1::{self, array as pb, registry};
use proptest::prelude::*;

const A: SessionId = SessionId(1);
const NOW: Moment = Moment(1_000_000);

/// Decides and evolves; every change also goes through its encoding, and the history leads to the same array.
fn ask(array: &mut Array, command: Command) -> Result<Reply, Fault> {
    let result = match array.decide(A, &command, NOW) {
        Decision::Answer(reply) => Ok(reply),
        Decision::Change(change, reply) => {
            array.evolve(Array::decode(&Array::encode(&change)).unwrap());
            Ok(reply)
        }
        Decision::Refuse(fault) => Err(fault),
        other => panic!("nobody waits for an array: {other:?}"),
    };
    assert_eq!(array.violation(), None);
    let mut again = Array::new(array.cells.of(), array.length);
    array.history().into_iter().for_each(|change| again.evolve(Array::decode(&Array::encode(&change)).unwrap()));
    assert_eq!(exact(&all(&again)), exact(&all(array)), "the history leads to the same array");
    result
}

fn all(array: &Array) -> Numbers {
    array.cells.read(Slice::ALL.of(array.length))
}

fn slice(start: Option<i64>, stop: Option<i64>, step: i64) -> Slice {
    Slice::read(Some(v1::Slice { start, stop, step: Some(step) })).unwrap()
}

fn integers(values: &[i64]) -> Numbers {
    Numbers::Integers(values.to_vec())
}

fn set(slice: Slice, numbers: Numbers) -> Command {
    Command::Set { slice, numbers }
}

fn bad(result: Result<Reply, Fault>) -> (String, String) {
    match result {
        Err(Fault::BadArgument { argument, problem }) => (argument, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_array_begins_with_zeros_and_takes_numbers_in_slices() {
    let mut array = Array::new(Type::I32, 5);
    assert_eq!(ask(&mut array, Command::Get { slice: Slice::ALL }), Ok(Reply::Get(integers(&[0; 5]))));
    ask(&mut array, set(slice(Some(1), None, 2), integers(&[7, 8]))).unwrap();
    assert_eq!(all(&array), integers(&[0, 7, 0, 8, 0]));
    ask(&mut array, set(slice(None, None, -1), integers(&[1, 2, 3, 4, 5]))).unwrap();
    assert_eq!(ask(&mut array, Command::Get { slice: slice(Some(-2), None, 1) }), Ok(Reply::Get(integers(&[2, 1]))));
    assert_eq!(ask(&mut array, Command::Get { slice: slice(Some(9), None, 1) }), Ok(Reply::Get(integers(&[]))));
    assert_eq!(ask(&mut array, set(slice(Some(9), None, 1), integers(&[]))), Ok(Reply::Set));
}

#[test]
fn the_length_is_fixed() {
    let mut array = Array::new(Type::I32, 3);
    for count in [0, 1, 2, 4] {
        let (argument, problem) = bad(ask(&mut array, set(Slice::ALL, integers(&vec![1; count]))));
        assert_eq!((argument.as_str(), problem.contains("expected 3")), ("numbers", true), "{problem}");
    }
    assert_eq!(all(&array), integers(&[0; 3]), "a refusal changes nothing");
    let beyond = Command::Add { index: 3, by: integers(&[1]) };
    assert_eq!(ask(&mut array, beyond), Err(Fault::OutOfRange { index: 3, len: 3 }));
}

#[test]
fn numbers_come_in_the_form_of_their_type() {
    let forms = |one: i64| [integers(&[one]), Numbers::Naturals(vec![one as u64]), Numbers::Reals(vec![one as f64])];
    for of in Type::ALL {
        let mut array = Array::new(*of, 1);
        for numbers in forms(1) {
            let fits = numbers.form() == of.form();
            for (argument, command) in
                [("numbers", set(Slice::ALL, numbers.clone())), ("by", Command::Add { index: 0, by: numbers.clone() })]
            {
                match ask(&mut array, command) {
                    Ok(_) => assert!(fits, "{of:?} {numbers:?}"),
                    refused => {
                        let (refused, problem) = bad(refused);
                        assert!(!fits && refused == argument, "{of:?} {numbers:?}");
                        assert!(problem.contains(&format!("expected {} for an array of {}", of.form(), of.name())), "{problem}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_number_that_the_type_cannot_hold_is_refused_with_its_place() {
    let mut array = Array::new(Type::I8, 3);
    let (argument, problem) = bad(ask(&mut array, set(Slice::ALL, integers(&[1, 128, 3]))));
    assert_eq!((argument.as_str(), problem.as_str()), ("numbers", "expected numbers of i8 (-128 to 127), got 128 at place 1"));
    assert_eq!(all(&array), integers(&[0; 3]));
    ask(&mut array, set(Slice::ALL, integers(&[-128, 127, 0]))).unwrap();
    let (_, problem) = bad(ask(&mut Array::new(Type::F32, 1), set(Slice::ALL, Numbers::Reals(vec![1e300]))));
    assert!(problem.contains("f32"), "{problem}");
}

#[test]
fn a_sum_that_leaves_the_range_is_refused() {
    let mut array = Array::new(Type::I8, 1);
    let add = |by| Command::Add { index: -1, by };
    assert_eq!(ask(&mut array, add(integers(&[127]))), Ok(Reply::Add(integers(&[127]))));
    let fault = Fault::CounterOverflow { value: "127".into(), by: "1".into() };
    assert_eq!(ask(&mut array, add(integers(&[1]))), Err(fault));
    assert!(matches!(ask(&mut array, add(integers(&[i64::MAX]))), Err(Fault::CounterOverflow { .. })));
    assert_eq!(ask(&mut array, add(integers(&[-255]))), Ok(Reply::Add(integers(&[-128]))), "the sum is what must fit");
    let mut array = Array::new(Type::U64, 1);
    assert_eq!(ask(&mut array, add(Numbers::Naturals(vec![u64::MAX]))), Ok(Reply::Add(Numbers::Naturals(vec![u64::MAX]))));
    assert!(matches!(ask(&mut array, add(Numbers::Naturals(vec![1]))), Err(Fault::CounterOverflow { .. })));
}

#[test]
fn reals_round_and_know_infinity_and_nan() {
    let reals = |value: f64| Numbers::Reals(vec![value]);
    let get = |array: &Array| match all(array) {
        Numbers::Reals(values) => values[0],
        other => panic!("{other:?}"),
    };
    let mut array = Array::new(Type::F32, 1);
    ask(&mut array, set(Slice::ALL, reals(0.1))).unwrap();
    assert_eq!(get(&array), f64::from(0.1f32), "rounded to the nearest");
    assert_eq!(ask(&mut array, Command::Add { index: 0, by: reals(0.1) }), Ok(Reply::Add(reals(f64::from(0.2f32)))));
    for special in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, f64::from(f32::MAX)] {
        ask(&mut array, set(Slice::ALL, reals(special))).unwrap();
        assert_eq!((get(&array).is_nan(), get(&array).to_bits()), (special.is_nan(), get(&array).to_bits()));
        assert!(special.is_nan() || get(&array) == special);
    }
    let more = |array: &mut Array, by| ask(array, Command::Add { index: 0, by: reals(by) });
    assert!(
        matches!(more(&mut array, f64::from(f32::MAX)), Err(Fault::CounterOverflow { .. })),
        "nothing finite becomes infinite"
    );
    assert_eq!(more(&mut array, f64::INFINITY), Ok(Reply::Add(reals(f64::INFINITY))));
    assert!(matches!(more(&mut array, f64::NEG_INFINITY), Ok(Reply::Add(Numbers::Reals(nan))) if nan[0].is_nan()));
    let mut array = Array::new(Type::F64, 1);
    more(&mut array, f64::MAX).unwrap();
    assert!(matches!(more(&mut array, f64::MAX), Err(Fault::CounterOverflow { .. })));
}

#[test]
fn one_call_is_about_a_bounded_number_of_numbers() {
    let array = Array::new(Type::F64, LENGTH_MAX as usize);
    assert_eq!(array.figures(), [("length", 1 << 24), ("bytes", 1 << 27)]);
    let get = |slice| array.decide(A, &Command::Get { slice }, NOW);
    assert!(matches!(get(Slice::ALL), Decision::Refuse(Fault::BadArgument { argument, .. }) if argument == "slice"));
    assert!(matches!(get(slice(None, Some(NUMBERS_MAX as i64 + 1), 1)), Decision::Refuse(_)));
    let Decision::Answer(Reply::Get(numbers)) = get(slice(Some(-(NUMBERS_MAX as i64)), None, 1)) else { panic!() };
    assert_eq!(numbers.len(), NUMBERS_MAX);
    assert!(array.history().is_empty(), "zeros are not told");
}

#[test]
fn only_what_is_not_zero_is_told() {
    let mut array = Array::new(Type::F64, 4 * RESTORED_MAX + 5);
    let places = |array: &Array| array.history().iter().map(|stored| (stored.at, stored.numbers.len())).collect::<Vec<_>>();
    let put = |array: &mut Array, at, real| {
        array.evolve(Stored { at, step: 1, numbers: Numbers::Reals(vec![real]) });
    };
    put(&mut array, 4 * RESTORED_MAX + 4, -0.0);
    put(&mut array, RESTORED_MAX, 1.0);
    assert_eq!(places(&array), [(RESTORED_MAX, RESTORED_MAX), (4 * RESTORED_MAX, 5)]);
    put(&mut array, RESTORED_MAX, 0.0);
    assert_eq!(places(&array), [(4 * RESTORED_MAX, 5)], "-0 is not the 0 of the beginning");
    array.length += 1;
    assert!(array.violation().is_some());
}

// Against plain numbers.

/// A number that can be compared, also if it is none.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Exact {
    Whole(i128),
    Real(u64),
}

fn exact(numbers: &Numbers) -> Vec<Exact> {
    let real = |value: &f64| Exact::Real(if value.is_nan() { f64::NAN } else { *value }.to_bits());
    match numbers {
        Numbers::Integers(values) => values.iter().map(|value| Exact::Whole((*value).into())).collect(),
        Numbers::Naturals(values) => values.iter().map(|value| Exact::Whole((*value).into())).collect(),
        Numbers::Reals(values) => values.iter().map(real).collect(),
    }
}

/// What becomes of a number in an array of this type; `None`: it does not fit.
fn fitted(of: Type, number: Exact) -> Option<Exact> {
    let bits = match of {
        Type::I8 | Type::U8 => 8,
        Type::I16 | Type::U16 => 16,
        Type::I32 | Type::U32 | Type::F32 => 32,
        Type::I64 | Type::U64 | Type::F64 => 64,
    };
    match number {
        Exact::Whole(whole) => {
            let power = |bits: u32| 1i128 << bits;
            let (least, most) = if of.form() == "integers" { (-power(bits - 1), power(bits - 1)) } else { (0, power(bits)) };
            (least..most).contains(&whole).then_some(number)
        }
        Exact::Real(real) if bits == 32 => {
            let (real, single) = (f64::from_bits(real), f64::from_bits(real) as f32);
            let fits = single.is_finite() || !real.is_finite();
            fits.then(|| exact(&Numbers::Reals(vec![single.into()]))[0])
        }
        Exact::Real(_) => Some(number),
    }
}

fn sum(of: Type, one: Exact, other: Exact) -> Option<Exact> {
    match (one, other) {
        (Exact::Whole(one), Exact::Whole(other)) => fitted(of, Exact::Whole(one + other)),
        (Exact::Real(one), Exact::Real(other)) => {
            let (one, other) = (f64::from_bits(one), f64::from_bits(other));
            let sum = one + other;
            let fits = !sum.is_infinite() || one.is_infinite() || other.is_infinite();
            fits.then(|| fitted(of, exact(&Numbers::Reals(vec![sum]))[0])).flatten()
        }
        mixed => panic!("{mixed:?}"),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Get(Option<i64>, Option<i64>, i64),
    Set(Option<i64>, Option<i64>, i64, Vec<u64>),
    Add(i64, u64),
}

/// Numbers of the form of a type, made of any bits.
fn numbers(of: Type, bits: &[u64]) -> Numbers {
    // Shifted, so that small ones are as frequent as large ones.
    let small = |bits: u64| bits >> (bits % 64);
    match of.form() {
        "integers" => {
            Numbers::Integers(bits.iter().map(|bits| small(*bits) as i64 * if bits & 64 == 0 { 1 } else { -1 }).collect())
        }
        "naturals" => Numbers::Naturals(bits.iter().map(|bits| small(*bits)).collect()),
        _ => Numbers::Reals(bits.iter().map(|bits| f64::from_bits(*bits)).collect()),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bound = || prop::option::weighted(0.7, -9i64..9);
    let step = || (-3i64..4).prop_filter("no step", |step| *step != 0);
    // Mostly reals that f32 has room for.
    let bits = || prop_oneof![3 => any::<f32>().prop_map(|real| f64::from(real).to_bits()), 3 => any::<u64>(), 1 => Just(0u64)];
    let step = prop_oneof![
        1 => (bound(), bound(), step()).prop_map(|(start, stop, step)| Step::Get(start, stop, step)),
        2 => (bound(), bound(), step(), prop::collection::vec(bits(), 7))
            .prop_map(|(start, stop, step, bits)| Step::Set(start, stop, step, bits)),
        2 => (-9i64..9, bits()).prop_map(|(index, bits)| Step::Add(index, bits)),
    ];
    prop::collection::vec(step, 1..40)
}

fn play(of: Type, length: usize, steps: Vec<Step>) {
    let mut array = Array::new(of, length);
    let mut model = exact(&all(&array));
    for step in steps {
        match step {
            Step::Get(start, stop, step) => {
                let expected: Vec<Exact> = reference(start, stop, step, length).into_iter().map(|at| model[at]).collect();
                match ask(&mut array, Command::Get { slice: slice(start, stop, step) }) {
                    Ok(Reply::Get(numbers)) => assert_eq!(exact(&numbers), expected),
                    other => panic!("{other:?}"),
                }
            }
            Step::Set(start, stop, step, bits) => {
                let positions = reference(start, stop, step, length);
                let numbers = numbers(of, &bits[..positions.len()]);
                let fitted = exact(&numbers).into_iter().map(|number| fitted(of, number)).collect::<Option<Vec<_>>>();
                match (ask(&mut array, set(slice(start, stop, step), numbers)), fitted) {
                    (Ok(Reply::Set), Some(fitted)) => positions.iter().zip(fitted).for_each(|(at, number)| model[*at] = number),
                    (Err(Fault::BadArgument { .. }), None) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Add(index, bits) => {
                let by = numbers(of, &[bits]);
                let at = (0..length).find(|at| *at as i64 == index || *at as i64 - length as i64 == index);
                match (ask(&mut array, Command::Add { index, by: by.clone() }), at) {
                    (Err(Fault::OutOfRange { .. }), None) => {}
                    (result, Some(at)) => match (result, sum(of, model[at], exact(&by)[0])) {
                        (Ok(Reply::Add(sum)), Some(expected)) => {
                            assert_eq!(exact(&sum), [expected]);
                            model[at] = expected;
                        }
                        (Err(Fault::CounterOverflow { .. }), None) => {}
                        other => panic!("{other:?}"),
                    },
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(exact(&all(&array)), model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn an_array_does_what_plain_numbers_do(of in prop::sample::select(Type::ALL), length in 1usize..8, steps in steps()) {
        play(of, length, steps);
    }
}

// On the wire and on disk.

fn options(of: i32, length: u64) -> registry::Options {
    registry::Options { kind: Some(registry::options::Kind::Array(pb::Options { r#type: of, length })) }
}

#[test]
fn an_array_has_a_type_and_a_length() {
    let create = |options: &registry::Options| Array::create(options, 1).map(|array| array.options());
    for of in 1..=10 {
        assert_eq!(create(&options(of, 3)), Ok(options(of, 3)));
    }
    let bad = |options| match create(&options) {
        Err(Fault::BadArgument { argument, .. }) => argument,
        other => panic!("{other:?}"),
    };
    assert_eq!(bad(options(0, 3)), "type");
    assert_eq!(bad(options(11, 3)), "type");
    assert_eq!(bad(options(1, 0)), "length");
    assert_eq!(bad(options(1, LENGTH_MAX + 1)), "length");
    assert_eq!(bad(registry::Options { kind: Some(registry::options::Kind::Queue(Default::default())) }), "options");
}

#[test]
fn a_request_that_makes_no_sense_says_what_was_expected() {
    use pb::command::Verb;
    let bad = |verb| match Array::command(bursar_proto::Command::Array(verb), 100) {
        Err(Fault::BadArgument { argument, .. }) => argument,
        other => panic!("{other:?}"),
    };
    let reals = |count| pb::Numbers { numbers: Some(pb::numbers::Numbers::Reals(pb::Reals { values: vec![1.0; count] })) };
    let nothing = Some(v1::Slice { step: Some(0), ..Default::default() });
    assert_eq!(bad(Verb::Get(pb::GetRequest { slice: nothing, ..Default::default() })), "step");
    assert_eq!(bad(Verb::Set(pb::SetRequest { slice: nothing, numbers: Some(reals(1)), ..Default::default() })), "step");
    for numbers in [None, Some(pb::Numbers::default()), Some(reals(NUMBERS_MAX + 1))] {
        assert_eq!(bad(Verb::Set(pb::SetRequest { numbers, ..Default::default() })), "numbers");
    }
    for by in [None, Some(pb::Numbers::default()), Some(reals(0)), Some(reals(2))] {
        assert_eq!(bad(Verb::Add(pb::AddRequest { by, ..Default::default() })), "by");
    }
    let of_another = bursar_proto::Command::Queue(v1::queue::command::Verb::Peek(Default::default()));
    assert!(matches!(Array::command(of_another, 1), Err(Fault::BadArgument { .. })));
}

/// The bytes of changes are kept on disk: an old journal must be readable for ever.
#[test]
fn the_format_of_changes_does_not_drift() {
    let changes = [
        (Stored { at: 300, step: -2, numbers: integers(&[-1, 2]) }, "12 0d 08 ac02 10 03 1a 06 0a 04 0a 02 01 04"),
        (Stored { at: 0, step: 1, numbers: Numbers::Naturals(vec![300]) }, "12 0a 10 02 1a 06 12 04 0a 02 ac02"),
        (Stored { at: 0, step: 1, numbers: Numbers::Reals(vec![1.5]) }, "12 10 10 02 1a 0c 1a 0a 0a 08 000000000000f83f"),
    ];
    for (change, golden) in changes {
        let hex: String = Array::encode(&change).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden.replace(' ', ""), "{change:?}");
        assert_eq!(Array::decode(&Array::encode(&change)), Ok(change));
    }
    for bytes in [&b""[..], b"\xff", b"\x12\x00", b"\x12\x02\x1a\x00", b"\x08\x01\x12\x04\x1a\x02\x0a\x00"] {
        assert!(Array::decode(bytes).is_err(), "{bytes:?}");
    }
}
