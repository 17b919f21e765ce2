//! What comes over the wire, and the comparisons, which are a transaction's.

use super::super::*;
use super::A;
use crate::objects::kind::{Comparison, Wire};
use bursar_proto::v1::{counter as pb, registry};

#[test]
fn options_come_back_as_they_were() {
    for initial in [0, i64::MIN, i64::MAX] {
        let options = registry::Options { kind: Some(registry::options::Kind::Counter(pb::Options { initial })) };
        assert_eq!(Counter::create(&options, 1).unwrap().options(), options);
    }
    assert!(Counter::create(&registry::Options::default(), 1).is_err());
}

#[test]
fn every_comparison_holds_where_it_should_and_nowhere_else() {
    let expected = [
        (Comparison::Equal, [false, true, false]),
        (Comparison::NotEqual, [true, false, true]),
        (Comparison::Less, [true, false, false]),
        (Comparison::LessOrEqual, [true, true, false]),
        (Comparison::Greater, [false, false, true]),
        (Comparison::GreaterOrEqual, [false, true, true]),
    ];
    for (comparison, holds) in expected {
        let held = [-6, -5, -4].map(|value| Counter::new(value).test(A, &Test::Number { comparison, value: -5 }));
        assert_eq!(held, holds.map(Some), "{comparison:?}");
    }
    let (least, most) = (Counter::new(i64::MIN), Counter::new(i64::MAX));
    let less = |value| Test::Number { comparison: Comparison::Less, value };
    assert_eq!((least.test(A, &less(i64::MAX)), most.test(A, &less(i64::MIN))), (Some(true), Some(false)));
    assert_eq!(least.test(A, &Test::IsSet(true)), None);
}

#[test]
fn what_is_no_change_is_damage() {
    assert!(Counter::decode(&[]).is_err());
    let newer = pb::Change { version: 1, change: Some(pb::change::Change::Set(pb::Set { value: 1 })) };
    assert!(Counter::decode(&prost::Message::encode_to_vec(&newer)).is_err());
}
