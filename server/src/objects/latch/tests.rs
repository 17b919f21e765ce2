//! Each promise of the latch.

mod wire;

use super::super::trial::{A, B, C, Trial, wait_ms};
use super::*;
use bursar_proto::Wait;

fn latch(count: u64) -> Trial<Latch> {
    Trial::new(Latch::new(count))
}

fn down(by: u64) -> Command {
    Command::CountDown { by }
}

#[test]
fn it_opens_for_all_when_nothing_is_left() {
    let mut trial = latch(3);
    let waiting = [A, B, C].map(|session| trial.waits(session, Command::Wait, Wait::Forever));
    assert_eq!(trial.ask(A, down(2)), Ok(Reply::CountDown { left: 1 }));
    assert!(waiting.iter().all(|number| trial.is_waiting(*number)));
    assert_eq!(trial.ask(B, down(1)), Ok(Reply::CountDown { left: 0 }));
    assert_eq!(waiting.map(|number| trial.told(number)), [Ok(Reply::Wait), Ok(Reply::Wait), Ok(Reply::Wait)]);
    assert_eq!(trial.ask(C, Command::Wait), Ok(Reply::Wait), "and for who comes later");
}

#[test]
fn down_by_more_than_is_left_is_refused_and_counts_nothing() {
    let mut trial = latch(3);
    trial.ask(A, down(1)).unwrap();
    for by in [3, u64::MAX] {
        assert!(matches!(trial.refused(A, down(by)), Fault::BadArgument { argument, .. } if argument == "by"));
    }
    assert_eq!(trial.ask(A, Command::Get), Ok(Reply::Get { left: 2 }));
    assert_eq!(trial.ask(A, down(2)), Ok(Reply::CountDown { left: 0 }));
}

#[test]
fn nothing_happens_to_one_that_is_open() {
    let mut trial = latch(1);
    trial.ask(A, down(1)).unwrap();
    for by in [1, u64::MAX] {
        assert_eq!(trial.ask(A, down(by)), Ok(Reply::CountDown { left: 0 }));
    }
    assert_eq!(trial.changes(), 1);
}

#[test]
fn the_largest_count_is_no_trouble() {
    let mut trial = latch(u64::MAX);
    assert_eq!(trial.ask(A, down(u64::MAX - 1)), Ok(Reply::CountDown { left: 1 }));
    assert_eq!(trial.ask(A, down(1)), Ok(Reply::CountDown { left: 0 }));
}

#[test]
fn a_wait_ends_at_its_deadline_and_says_what_is_left() {
    let mut trial = latch(2);
    assert!(matches!(trial.refused(A, Command::Wait), Fault::TimedOut { .. }));
    let patient = trial.waits(B, Command::Wait, Wait::Forever);
    let late = trial.waits(A, Command::Wait, wait_ms(5));
    assert!(matches!(trial.refused(C, Command::Wait), Fault::TimedOut { .. }), "behind others as well");
    trial.ask(A, down(1)).unwrap();
    trial.pass(4);
    assert!(trial.is_waiting(late));
    trial.pass(1);
    assert_eq!(trial.told(late), Err(Fault::TimedOut { what: "the latch has 1 left to count down".into() }));
    assert!(trial.is_waiting(patient));
}

#[test]
fn who_gives_up_or_dies_counts_nothing_down_and_holds_nobody_up() {
    let mut trial = latch(1);
    let first = trial.waits(A, Command::Wait, Wait::Forever);
    let second = trial.waits(B, Command::Wait, Wait::Forever);
    let third = trial.waits(C, Command::Wait, Wait::Forever);
    trial.cancel(first);
    trial.die(B);
    assert!(matches!(trial.told(second), Err(Fault::SessionEnded { .. })));
    assert!(trial.is_waiting(third));
    assert_eq!(trial.changes(), 0);
    trial.ask(A, down(1)).unwrap();
    assert_eq!(trial.told(third), Ok(Reply::Wait));
}

#[test]
fn what_a_session_counted_stays_counted_when_it_dies() {
    let mut trial = latch(2);
    let number = trial.call(A, down(1), Wait::Never);
    trial.unheard(number);
    trial.die(A);
    assert_eq!(trial.ask(B, down(1)), Ok(Reply::CountDown { left: 0 }));
}
