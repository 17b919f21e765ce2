//! Transactions on live objects: what lies between finding the objects and entering them, and when the answer leaves.

use super::*;
use crate::{
    engine::{memory::MemoryLog, shard::Shard},
    objects::several::{Several, acquire, object},
};
use bursar_proto::v1::{self, counter, kv, lock, registry::options::Kind};

fn counter_add(name: &str) -> pb::step::Command {
    let add = counter::command::Verb::Add(counter::AddRequest { object: object(name), by: 1 });
    pb::step::Command::Counter(counter::Command { verb: Some(add) })
}

fn put(name: &str, bytes: usize) -> pb::step::Command {
    let value = Some(v1::Value { data: vec![0; bytes].into(), codec: 0 });
    let request = kv::PutRequest { object: object(name), key: "k".into(), value, ..Default::default() };
    pb::step::Command::Kv(kv::Command { verb: Some(kv::command::Verb::Put(request)) })
}

fn get(name: &str) -> pb::step::Command {
    let request = kv::GetRequest { object: object(name), key: "k".into(), touch: false };
    pb::step::Command::Kv(kv::Command { verb: Some(kv::command::Verb::Get(request)) })
}

fn test(name: &str, test: pb::test::Test) -> Vec<pb::Test> {
    vec![pb::Test { object: object(name), test: Some(test) }]
}

/// The lock was deleted, made anew and granted to another while a transaction was on its way. It asked the deleted lock, which said
/// that its last holder has it.
#[test]
fn a_lock_that_was_deleted_meanwhile_says_nothing() {
    let several = Several::new(None);
    several.create("l", Kind::Lock(lock::Options::default()));
    several.create("c", Kind::Counter(counter::Options::default()));
    several.call(1, 1, acquire("l", 1));
    let held = test("l", pb::test::Test::TokenHeld(several.token(1)));
    let transaction = several.prepare(held, vec![counter_add("c")]);
    several.registry.delete(object("l").as_ref()).unwrap();
    several.create("l", Kind::Lock(lock::Options::default()));
    several.call(2, 2, acquire("l", 1));
    several.execute(transaction, 1, 3);
    let answer = several.answer(3).expect("it is answered");
    assert!(matches!(answer, Err(Fault::Gone { .. })), "{answer:?}");
}

/// The answer was held back by the first object, which had only been asked and never heard that the others' changes are durable.
#[tokio::test]
async fn the_answer_leaves_when_the_last_change_is_durable() {
    let shard = Shard::new(Arc::new(MemoryLog::default()));
    let running = tokio::spawn(shard.clone().run());
    let several = Several::new(Some(shard));
    several.create("asked", Kind::Counter(counter::Options::default()));
    several.create("changed", Kind::Kv(kv::Options::default()));
    let zero = pb::Number { comparison: pb::Comparison::Equal.into(), value: 0 };
    let transaction = several.prepare(test("asked", pb::test::Test::Number(zero)), vec![put("changed", 1)]);
    several.execute(transaction, 1, 1);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(several.answer(1), Some(Ok(Reply::Txn(_)))), "{:?}", several.answer(1));
    running.abort();
}

/// A refusal showed the value that was compared with, however large.
#[test]
fn a_refused_test_does_not_come_back_with_its_value() {
    let several = Several::new(None);
    several.create("c", Kind::Counter(counter::Options::default()));
    let value = Some(v1::Value { data: vec![0; 1 << 20].into(), codec: 0 });
    let value = pb::test::Test::KeyValue(pb::KeyValue { key: "k".into(), value });
    several.execute(several.prepare(test("c", value), vec![]), 1, 1);
    let refusal = several.answer(1).expect("it is answered").unwrap_err().to_string();
    assert_eq!(refusal, "when: the value of a key cannot be asked of a counter");
}

/// Every store had a bound of its own, and all together gave more than a client takes: which then lost its session.
#[test]
fn all_replies_together_are_bounded_before_anything_happens() {
    let several = Several::new(None);
    let names: Vec<String> = (0..80).map(|number| format!("m{number}")).collect();
    for name in &names {
        several.create(name, Kind::Kv(kv::Options::default()));
    }
    several.create("c", Kind::Counter(counter::Options::default()));
    let puts = names.iter().map(|name| put(name, 1 << 20)).collect();
    several.execute(several.prepare(vec![], puts), 1, 1);
    assert!(matches!(several.answer(1), Some(Ok(_))), "{:?}", several.answer(1));
    let gets = names.iter().map(|name| get(name)).chain([counter_add("c")]).collect();
    several.execute(several.prepare(vec![], gets), 1, 2);
    assert!(matches!(several.answer(2), Some(Err(Fault::TooLarge { .. }))), "{:?}", several.answer(2).map(|answer| answer.err()));
    let is_zero = pb::Number { comparison: pb::Comparison::Equal.into(), value: 0 };
    several.execute(several.prepare(test("c", pb::test::Test::Number(is_zero)), vec![]), 1, 3);
    let Some(Ok(Reply::Txn(pb::Reply { verb: Some(pb::reply::Verb::Execute(reply)) }))) = several.answer(3) else {
        panic!("{:?}", several.answer(3));
    };
    assert!(reply.held, "nothing was changed");
}
