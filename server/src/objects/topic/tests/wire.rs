use super::*;
use crate::objects::kind::Damaged;
use bursar_proto::v1::{self, registry, topic as pb};
use prost::Message as _;

const BYTES_MAX: usize = 1 << 20;

fn create(options: pb::Options) -> Result<Topic, Fault> {
    Topic::create(&registry::Options { kind: Some(registry::options::Kind::Topic(options)) }, 1)
}

fn read(verb: pb::command::Verb) -> Result<Command, Fault> {
    Topic::command(bursar_proto::Command::Topic(verb), BYTES_MAX)
}

fn refused(verb: pb::command::Verb) -> String {
    match read(verb) {
        Err(Fault::BadArgument { argument, .. }) => argument,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn message(subject: &str) -> pb::Message {
    pb::Message { subject: subject.into(), value: Some(v1::Value::default()), ..Default::default() }
}

fn publish_of(messages: Vec<pb::Message>) -> pb::command::Verb {
    pb::command::Verb::Publish(pb::PublishRequest { messages, ..Default::default() })
}

#[test]
fn the_overload_policy_is_a_decision_and_everything_else_has_a_default() {
    let Err(Fault::BadArgument { argument, problem }) = create(pb::Options::default()) else { panic!("expected a refusal") };
    assert_eq!(argument, "overload");
    assert!(["BLOCK", "DROP_OLDEST", "DROP_NEWEST", "DISCONNECT"].iter().all(|choice| problem.contains(choice)), "{problem}");
    assert!(create(pb::Options { overload: 9, ..Default::default() }).is_err());
    let created = create(pb::Options { overload: pb::Overload::Block.into(), ..Default::default() }).unwrap();
    let expected = pb::Options {
        overload: pb::Overload::Block.into(),
        buffer_messages: 1_000,
        buffer_bytes: 8 << 20,
        keep_messages: 1_000,
        keep_bytes: 16 << 20,
    };
    assert_eq!(created.options().kind, Some(registry::options::Kind::Topic(expected)));
}

#[test]
fn every_overload_policy_comes_back_as_it_was_given() {
    for overload in 1..=4 {
        let options = pb::Options { overload, buffer_messages: 1, buffer_bytes: 2, keep_messages: 3, keep_bytes: 4 };
        assert_eq!(create(options).unwrap().options().kind, Some(registry::options::Kind::Topic(options)));
    }
}

#[test]
fn a_request_that_makes_no_sense_is_refused_with_the_name_of_its_argument() {
    use pb::command::Verb;
    let subscribe = |request: pb::SubscribeRequest| Verb::Subscribe(request);
    let too_many = vec![0; limits_batch() + 1];
    assert_eq!(refused(publish_of(vec![])), "messages");
    assert_eq!(refused(publish_of(vec![message("a"); limits_batch() + 1])), "messages");
    assert_eq!(refused(publish_of(vec![message("")])), "subject");
    assert_eq!(refused(publish_of(vec![message("a"), message("a.*")])), "subject");
    assert_eq!(refused(publish_of(vec![pb::Message { value: None, ..message("a") }])), "value");
    assert_eq!(refused(Verb::Answer(pb::AnswerRequest { value: Some(v1::Value::default()), ..Default::default() })), "to");
    assert_eq!(refused(subscribe(pb::SubscribeRequest { subjects: vec!["a..b".into()], ..Default::default() })), "subjects");
    assert_eq!(refused(subscribe(pb::SubscribeRequest { subjects: vec!["a".into(); 65], ..Default::default() })), "subjects");
    assert_eq!(refused(subscribe(pb::SubscribeRequest { group: "g".repeat(201), ..Default::default() })), "group");
    assert_eq!(refused(subscribe(pb::SubscribeRequest { inbox: true, group: "g".into(), ..Default::default() })), "inbox");
    assert_eq!(
        refused(subscribe(pb::SubscribeRequest { inbox: true, subjects: vec!["a".into()], ..Default::default() })),
        "inbox"
    );
    assert_eq!(refused(Verb::Next(pb::NextRequest { max: 10_001, ..Default::default() })), "max");
    assert_eq!(refused(Verb::Next(pb::NextRequest { done: too_many.clone(), ..Default::default() })), "done");
    assert_eq!(refused(Verb::Unsubscribe(pb::UnsubscribeRequest { done: too_many.clone(), ..Default::default() })), "done");
    assert_eq!(refused(Verb::Done(pb::DoneRequest { positions: too_many, ..Default::default() })), "positions");
    assert_eq!(refused(Verb::DeleteGroup(pb::DeleteGroupRequest::default())), "group");
}

fn limits_batch() -> usize {
    bursar_proto::limits::BATCH_MAX
}

#[test]
fn a_payload_that_is_too_large_is_refused() {
    let value = Some(v1::Value { data: vec![0; BYTES_MAX + 1].into(), codec: 0 });
    assert!(matches!(read(publish_of(vec![pb::Message { value, ..message("a") }])), Err(Fault::TooLarge { .. })));
}

#[test]
fn subjects_are_compared_as_a_set() {
    let subscribe = |subjects: &[&str]| {
        let subjects = subjects.iter().map(|text| (*text).to_owned()).collect();
        read(pb::command::Verb::Subscribe(pb::SubscribeRequest { subjects, ..Default::default() })).unwrap()
    };
    assert_eq!(subscribe(&["b", "a", "b"]), subscribe(&["a", "b"]));
}

#[test]
fn a_change_of_a_newer_broker_is_not_misread() {
    let departed = pb::change::Change::Departed(pb::Departed { session: 1 });
    let newer = pb::Change { version: 1, change: Some(departed) };
    assert!(matches!(Topic::decode(&newer.encode_to_vec()), Err(Damaged(_))));
    assert!(matches!(Topic::decode(&[]), Err(Damaged(_))));
    assert!(matches!(Topic::decode(b"\xff\xff"), Err(Damaged(_))));
}

#[test]
fn a_large_history_comes_in_parts_of_bounded_size() {
    let mut trial = topic(Overload::Block, 100);
    begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    for _ in 0..5 {
        let messages = vec![said("a", &"x".repeat(600_000))];
        published(&mut trial, Command::Publish { messages, must_be_heard: false });
    }
    let sizes: Vec<_> = trial.kind().history().iter().map(|change| Topic::encode(change).len()).collect();
    assert!(sizes.len() >= 5 && sizes.iter().all(|size| *size < 2 << 20), "{sizes:?}");
    assert_eq!(sizes.iter().filter(|size| **size > 500_000).count(), 5, "what is kept is not repeated for who waits for it");
}
