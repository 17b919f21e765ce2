//! What comes over the wire, and what does not pass.

use super::super::*;
use crate::objects::kind::Wire;
use bursar_proto::v1::{barrier as pb, registry};

fn options(parties: u32) -> registry::Options {
    registry::Options { kind: Some(registry::options::Kind::Barrier(pb::Options { parties })) }
}

#[test]
fn options_come_back_as_they_were_and_parties_have_bounds() {
    for parties in [1, PARTIES_MAX] {
        assert_eq!(Barrier::create(&options(parties), 1).unwrap().options(), options(parties));
    }
    for parties in [0, PARTIES_MAX + 1, u32::MAX] {
        assert!(
            matches!(Barrier::create(&options(parties), 1), Err(Fault::BadArgument { argument, .. }) if argument == "parties")
        );
    }
    assert!(Barrier::create(&registry::Options::default(), 1).is_err());
}

#[test]
fn what_is_no_change_is_damage() {
    assert!(Barrier::decode(&[]).is_err());
    let newer = pb::Change { version: 1, change: Some(pb::change::Change::Passed(pb::Passed {})) };
    assert!(Barrier::decode(&prost::Message::encode_to_vec(&newer)).is_err());
}
