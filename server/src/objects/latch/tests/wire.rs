//! What comes over the wire, and what does not pass.

use super::super::*;
use crate::objects::kind::Wire;
use bursar_proto::v1::{latch as pb, registry};

fn options(count: u64) -> registry::Options {
    registry::Options { kind: Some(registry::options::Kind::Latch(pb::Options { count })) }
}

#[test]
fn options_come_back_as_they_were_and_0_is_no_count() {
    assert_eq!(Latch::create(&options(u64::MAX), 1).unwrap().options(), options(u64::MAX));
    assert!(matches!(Latch::create(&options(0), 1), Err(Fault::BadArgument { argument, .. }) if argument == "count"));
    assert!(Latch::create(&registry::Options::default(), 1).is_err());
}

#[test]
fn down_by_0_is_by_one() {
    let verb = pb::command::Verb::CountDown(pb::CountDownRequest::default());
    assert_eq!(Latch::command(bursar_proto::Command::Latch(verb), 0), Ok(Command::CountDown { by: 1 }));
}

#[test]
fn what_is_no_change_is_damage() {
    assert!(Latch::decode(&[]).is_err());
    let newer = pb::Change { version: 1, change: Some(pb::change::Change::Counted(pb::Counted { by: 1 })) };
    assert!(Latch::decode(&prost::Message::encode_to_vec(&newer)).is_err());
}
