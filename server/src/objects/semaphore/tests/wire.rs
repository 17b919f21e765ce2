//! What comes over the wire, and what does not pass.

use super::super::*;
use super::EPOCH;
use crate::objects::kind::Wire;
use bursar_proto::v1::{answer, registry, semaphore as pb};

fn create(options: pb::Options) -> Result<Semaphore, Fault> {
    Semaphore::create(&registry::Options { kind: Some(registry::options::Kind::Semaphore(options)) }, EPOCH)
}

fn command(verb: pb::command::Verb) -> Result<Command, Fault> {
    Semaphore::command(bursar_proto::Command::Semaphore(verb), 0)
}

fn argument(fault: Fault) -> String {
    match fault {
        Fault::BadArgument { argument, .. } => argument,
        other => panic!("expected a bad argument, got {other:?}"),
    }
}

#[test]
fn options_come_back_as_they_were() {
    for on_deadlock in [0, 1] {
        let options = pb::Options { permits: 7, bounded: true, on_deadlock };
        let semaphore = create(options).unwrap();
        assert_eq!(semaphore.options().kind, Some(registry::options::Kind::Semaphore(options)));
        assert_eq!(semaphore.refuses_deadlock(), on_deadlock == 1);
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let ours = |permits, bounded, on_deadlock| create(pb::Options { permits, bounded, on_deadlock });
    assert_eq!(argument(ours(0, true, 0).unwrap_err()), "permits");
    assert_eq!(argument(ours(PERMITS_MAX + 1, false, 0).unwrap_err()), "permits");
    assert_eq!(argument(ours(1, false, 2).unwrap_err()), "on_deadlock");
    assert_eq!(argument(Semaphore::create(&registry::Options::default(), EPOCH).unwrap_err()), "options");
    assert!(ours(0, false, 0).is_ok() && ours(PERMITS_MAX, true, 1).is_ok());
}

#[test]
fn a_count_of_0_is_one() {
    use pb::command::Verb;
    let acquire = Verb::Acquire(pb::AcquireRequest { consume: true, ..Default::default() });
    assert_eq!(command(acquire), Ok(Command::Acquire { count: 1, consume: true }));
    assert_eq!(command(Verb::Add(pb::AddRequest::default())), Ok(Command::Add { count: 1 }));
    let huge = Verb::Acquire(pb::AcquireRequest { count: u64::MAX, ..Default::default() });
    assert_eq!(command(huge), Ok(Command::Acquire { count: u64::MAX, consume: false }));
}

#[test]
fn the_token_of_what_was_consumed_releases_nothing() {
    let release = pb::command::Verb::Release(pb::ReleaseRequest::default());
    assert_eq!(argument(command(release).unwrap_err()), "token");
}

#[test]
fn only_an_acquire_is_taken_back() {
    let acquired = Reply::Acquire { token: 0, count: 9 };
    assert_eq!(Semaphore::holding(Semaphore::reply(acquired.clone())), Some(acquired), "also if it was consumed");
    assert_eq!(Semaphore::holding(Semaphore::reply(Reply::Add { available: 1 })), None);
    assert_eq!(Semaphore::holding(Semaphore::reply(Reply::Release { available: 1 })), None);
    assert_eq!(Semaphore::holding(answer::Reply::Semaphore(pb::Reply::default())), None);
}

#[test]
fn what_is_no_change_is_damage() {
    assert!(Semaphore::decode(&[]).is_err());
    assert!(Semaphore::decode(b"\xff\xff").is_err());
    let newer = prost::Message::encode_to_vec(&pb::Change {
        version: 1,
        change: Some(pb::change::Change::Added(pb::Added { count: 1 })),
    });
    assert!(Semaphore::decode(&newer).is_err());
}
