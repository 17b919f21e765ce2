use super::*;
use crate::objects::kind::Damaged;
use bursar_proto::v1::{self, object as pb, registry};
use prost::Message as _;

const BYTES_MAX: usize = 1_000;

fn create(options: pb::Options) -> Object {
    Object::create(&registry::Options { kind: Some(registry::options::Kind::Object(options)) }, EPOCH).unwrap()
}

fn read(verb: pb::command::Verb) -> Result<Command, Fault> {
    Object::command(bursar_proto::Command::Object(verb), BYTES_MAX)
}

fn refused(verb: pb::command::Verb) -> (String, String) {
    match read(verb) {
        Err(Fault::BadArgument { argument, problem }) => (argument, problem),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn wire_value(size: usize) -> Option<v1::Value> {
    Some(v1::Value { data: vec![0; size].into(), codec: 0 })
}

fn argument(name: &str) -> pb::Argument {
    pb::Argument { name: name.into(), value: wire_value(1) }
}

fn invoke_of(method: &str, arguments: Vec<pb::Argument>) -> pb::command::Verb {
    pb::command::Verb::Invoke(pb::InvokeRequest { method: method.into(), arguments, ..Default::default() })
}

fn provide_of(methods: Vec<pb::Method>) -> pb::command::Verb {
    let description = Some(pb::Description { doc: String::new(), methods });
    pb::command::Verb::Provide(pb::ProvideRequest { description, ..Default::default() })
}

fn named(name: &str) -> pb::Method {
    pb::Method { name: name.into(), ..Default::default() }
}

fn outcome(outcome: Option<pb::outcome::Outcome>) -> pb::command::Verb {
    pb::command::Verb::Give(pb::GiveRequest { outcomes: vec![pb::Outcome { call: 3, outcome }], ..Default::default() })
}

#[test]
fn every_option_has_a_default_and_comes_back_as_it_was_given() {
    let options = |object: Object| match object.options().kind {
        Some(registry::options::Kind::Object(options)) => options,
        other => panic!("expected the options of an object, got {other:?}"),
    };
    let (max_calls, max_bytes, max_calls_per_session) = (50_000, 64 << 20, 10_000);
    let defaults = pb::Options { max_calls, max_bytes, max_calls_per_session, ..Default::default() };
    assert_eq!(options(create(pb::Options::default())), defaults);
    let own = pb::Options { max_calls: 1, max_bytes: 2, max_calls_per_session: 3, serial: true, kind: String::new() };
    assert_eq!(options(create(own.clone())), own);
}

#[test]
fn a_request_that_makes_no_sense_is_refused_with_the_name_of_its_argument() {
    use pb::command::Verb;
    let is = |verb, argument: &str, part: &str| {
        let (actual, problem) = refused(verb);
        assert!(actual == argument && problem.contains(part), "{actual}: {problem}");
    };
    is(Verb::Provide(pb::ProvideRequest::default()), "description", "got nothing");
    let description = Some(pb::Description::default());
    is(Verb::Provide(pb::ProvideRequest { capacity: 65_537, description, ..Default::default() }), "capacity", "65536");
    is(provide_of(vec![named("")]), "description", "1 to 100");
    is(provide_of(vec![named("1st")]), "description", "digit");
    is(provide_of(vec![named("a b")]), "description", "a b");
    is(provide_of(vec![named("a"), named("a")]), "description", "a twice");
    is(provide_of((0..257).map(|number| named(&format!("m{number}"))).collect()), "description", "256");
    let parameter = |name: &str| pb::Parameter { name: name.into(), ..Default::default() };
    let with = |parameters: Vec<pb::Parameter>| provide_of(vec![pb::Method { parameters, ..named("m") }]);
    is(with(vec![parameter("x"), parameter("x")]), "description", "x of m twice");
    is(with(vec![parameter("-")]), "description", "-");
    is(with((0..65).map(|number| parameter(&format!("p{number}"))).collect()), "description", "64");
    is(Verb::Take(pb::TakeRequest { max: 10_001, ..Default::default() }), "max", "10000");
    let outcomes = vec![pb::Outcome::default()];
    is(Verb::Take(pb::TakeRequest { outcomes, ..Default::default() }), "outcomes", "got none");
    is(Verb::Next(pb::NextRequest { max: 10_001, ..Default::default() }), "max", "10000");
    is(Verb::Give(pb::GiveRequest::default()), "outcomes", "got 0");
    is(outcome(None), "outcomes", "call 3");
    is(Verb::Yield(pb::YieldRequest::default()), "items", "got 0");
    is(invoke_of("", vec![]), "method", "1 to 100");
    is(invoke_of(&"m".repeat(101), vec![]), "method", "101");
    is(invoke_of("m", vec![argument("x"), argument("x")]), "arguments", "x twice");
    is(invoke_of("m", vec![pb::Argument { value: None, ..argument("x") }]), "arguments", "x");
    is(invoke_of("m", (0..65).map(|number| argument(&format!("a{number}"))).collect()), "arguments", "64");
    let chain = vec![pb::Link { method: "m".into(), ..Default::default() }; 65];
    is(Verb::Invoke(pb::InvokeRequest { method: "m".into(), chain, ..Default::default() }), "chain", "64");
    is(Verb::Invoke(pb::InvokeRequest { method: "m".into(), wait_ms: -2, ..Default::default() }), "wait_ms", "-2");
}

#[test]
fn what_is_too_large_is_refused_by_its_name() {
    let large = pb::Argument { value: wire_value(BYTES_MAX + 1), ..argument("photo") };
    let (size, limit) = (BYTES_MAX as u64 + 1, BYTES_MAX as u64);
    assert_eq!(read(invoke_of("m", vec![large])), Err(Fault::TooLarge { what: "argument photo".into(), size, limit }));
    let items = vec![wire_value(BYTES_MAX + 1).unwrap()];
    let yielded = pb::command::Verb::Yield(pb::YieldRequest { items, ..Default::default() });
    assert!(matches!(read(yielded), Err(Fault::TooLarge { .. })));
    let long = pb::Method { doc: "x".repeat(300_000), ..named("m") };
    assert!(matches!(read(provide_of(vec![long])), Err(Fault::TooLarge { .. })));
}

#[test]
fn a_result_that_is_too_large_is_known_to_the_caller() {
    use pb::outcome::Outcome as Given;
    let fault = Fault::ResultTooLarge { size: BYTES_MAX as u64 + 1, limit: BYTES_MAX as u64 };
    let failure = pb::Failure { value: wire_value(BYTES_MAX + 1), ..Default::default() };
    let said = pb::TooLarge { size: BYTES_MAX as u64 + 1 };
    for given in [Given::Result(wire_value(BYTES_MAX + 1).unwrap()), Given::Failure(failure), Given::TooLarge(said)] {
        let Ok(Command::Give { ends, .. }) = read(outcome(Some(given))) else { panic!("expected ends") };
        assert_eq!(ends, [(3, Some(End::Fault(fault.clone())))]);
    }
    let mut play = Play::served(1);
    let call = play.call("once");
    play.take(B, 1, 1);
    play.give(B, 1, &[(1, End::Fault(fault.clone()))]);
    assert!(!fault.has_no_side_effects());
    assert_eq!(play.outcome(call), Err(fault));
}

#[test]
fn what_an_error_says_is_cut_to_what_people_read() {
    let failure = pb::Failure { r#type: "é".repeat(200), message: "é".repeat(10_000), value: None };
    let Ok(Command::Give { ends, .. }) = read(outcome(Some(pb::outcome::Outcome::Failure(failure)))) else {
        panic!("expected ends")
    };
    let Some(End::Failure(Failure { r#type, message, .. })) = &ends[0].1 else { panic!("expected a failure") };
    assert_eq!((r#type.len(), message.len()), (200, 16 << 10));
}

#[test]
fn a_change_of_a_newer_broker_is_not_misread() {
    let departed = pb::change::Change::Departed(pb::Departed { session: 1 });
    let newer = pb::Change { version: 1, change: Some(departed) };
    assert!(matches!(Object::decode(&newer.encode_to_vec()), Err(Damaged(_))));
    assert!(matches!(Object::decode(&[]), Err(Damaged(_))));
    assert!(matches!(Object::decode(b"\xff\xff"), Err(Damaged(_))));
}
