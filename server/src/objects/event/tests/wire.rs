//! What comes over the wire, and what does not pass.

use super::super::*;
use crate::objects::kind::Wire;
use bursar_proto::v1::{event as pb, registry};

#[test]
fn options_come_back_as_they_were() {
    for initially_set in [false, true] {
        let options = registry::Options { kind: Some(registry::options::Kind::Event(pb::Options { initially_set })) };
        assert_eq!(Event::create(&options, 1).unwrap().options(), options);
    }
    assert!(Event::create(&registry::Options::default(), 1).is_err());
}

#[test]
fn version_0_is_another_wait_than_none() {
    let wait = |after| pb::command::Verb::Wait(pb::WaitRequest { after, ..Default::default() });
    let command = |after| Event::command(bursar_proto::Command::Event(wait(after)), 0);
    assert_eq!(command(None), Ok(Command::Wait { after: None }));
    assert_eq!(command(Some(0)), Ok(Command::Wait { after: Some(0) }));
}

#[test]
fn what_is_no_change_is_damage() {
    assert!(Event::decode(&[]).is_err());
    let newer = pb::Change { version: 1, change: Some(pb::change::Change::Set(pb::Set {})) };
    assert!(Event::decode(&prost::Message::encode_to_vec(&newer)).is_err());
}
