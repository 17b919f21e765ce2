//! Each promise of the event.

mod wire;

use super::super::trial::{A, B, C, Dice, Number, Trial, wait_ms};
use super::*;
use bursar_proto::Wait;

fn event() -> Trial<Event> {
    Trial::new(Event::new(false))
}

const UNTIL_SET: Command = Command::Wait { after: None };

fn after(version: u64) -> Command {
    Command::Wait { after: Some(version) }
}

fn awaited(trial: &Trial<Event>, number: Number) -> u64 {
    match trial.told(number) {
        Ok(Reply::Wait { version }) => version,
        other => panic!("expected a version, got {other:?}"),
    }
}

#[test]
fn set_and_clear_say_whether_they_changed_anything() {
    let mut trial = event();
    assert_eq!(trial.ask(A, Command::Clear), Ok(Reply::Clear { changed: false, version: 0 }));
    assert_eq!(trial.ask(A, Command::Set), Ok(Reply::Set { changed: true, version: 1 }));
    assert_eq!(trial.ask(A, Command::Set), Ok(Reply::Set { changed: false, version: 1 }));
    assert_eq!(trial.ask(A, Command::Clear), Ok(Reply::Clear { changed: true, version: 1 }));
    assert_eq!(trial.ask(A, Command::Set), Ok(Reply::Set { changed: true, version: 2 }));
    assert_eq!(trial.changes(), 3);
}

#[test]
fn one_that_is_set_from_the_beginning_has_version_1() {
    let mut trial = Trial::new(Event::new(true));
    assert_eq!(trial.ask(A, Command::Get), Ok(Reply::Get { is_set: true, version: 1 }));
    assert_eq!(trial.ask(A, UNTIL_SET), Ok(Reply::Wait { version: 1 }));
    trial.ask(A, Command::Clear).unwrap();
    assert_eq!(trial.ask(A, Command::Get), Ok(Reply::Get { is_set: false, version: 1 }));
}

#[test]
fn all_who_wait_are_woken_by_one_set() {
    let mut trial = event();
    let waiting = [A, B, C].map(|session| trial.waits(session, UNTIL_SET, Wait::Forever));
    let known = trial.waits(A, after(0), Wait::Forever);
    trial.ask(A, Command::Set).unwrap();
    assert_eq!(waiting.map(|number| awaited(&trial, number)), [1, 1, 1]);
    assert_eq!(awaited(&trial, known), 1);
}

#[test]
fn a_set_that_was_cleared_before_the_wait_came_is_not_missed() {
    let mut trial = event();
    trial.ask(A, Command::Set).unwrap();
    trial.ask(A, Command::Clear).unwrap();
    assert_eq!(trial.ask(B, after(0)), Ok(Reply::Wait { version: 1 }));
    trial.waits(B, after(1), Wait::Forever);
    trial.waits(B, UNTIL_SET, Wait::Forever);
}

#[test]
fn a_wait_for_the_next_version_is_not_held_up_by_others_nor_holds_them_up() {
    let mut trial = event();
    trial.ask(A, Command::Set).unwrap();
    let next = trial.waits(B, after(1), Wait::Forever);
    assert_eq!(trial.ask(C, UNTIL_SET), Ok(Reply::Wait { version: 1 }), "it is set");
    assert_eq!(trial.ask(C, after(0)), Ok(Reply::Wait { version: 1 }));
    trial.ask(A, Command::Clear).unwrap();
    assert!(trial.is_waiting(next));
    trial.ask(A, Command::Set).unwrap();
    assert_eq!(awaited(&trial, next), 2);
}

#[test]
fn a_version_that_is_still_to_come_is_refused() {
    let mut trial = event();
    for version in [1, u64::MAX] {
        let number = trial.call(A, after(version), Wait::Forever);
        assert!(matches!(trial.told(number), Err(Fault::BadArgument { argument, .. }) if argument == "after"));
    }
}

#[test]
fn a_wait_ends_at_its_deadline_and_says_for_what_it_waited() {
    let mut trial = event();
    assert!(matches!(trial.refused(A, UNTIL_SET), Fault::TimedOut { .. }));
    let late = trial.waits(A, after(0), wait_ms(5));
    let patient = trial.waits(B, UNTIL_SET, Wait::Forever);
    trial.pass(4);
    assert!(trial.is_waiting(late));
    trial.pass(1);
    assert_eq!(trial.told(late), Err(Fault::TimedOut { what: "the event was not set after version 0".into() }));
    assert!(trial.is_waiting(patient));
}

#[test]
fn who_gives_up_or_dies_takes_nothing_along() {
    let mut trial = event();
    let (first, second) = (trial.waits(A, UNTIL_SET, Wait::Forever), trial.waits(B, UNTIL_SET, Wait::Forever));
    let third = trial.waits(C, UNTIL_SET, Wait::Forever);
    trial.cancel(first);
    trial.die(B);
    assert!(matches!(trial.told(second), Err(Fault::SessionEnded { .. })));
    assert_eq!(trial.changes(), 0);
    trial.ask(A, Command::Set).unwrap();
    trial.unheard(third);
    trial.die(A);
    assert_eq!(trial.ask(C, Command::Get), Ok(Reply::Get { is_set: true, version: 1 }), "who set it may go");
}

#[test]
fn steps_see_those_before_them() {
    let event = Event::new(false);
    let steps = [Command::Set, Command::Get, Command::Set, Command::Clear, Command::Set];
    let (changes, replies) = event.decide_all(A, &steps, Moment(1)).unwrap();
    assert_eq!(changes, [Change::Set, Change::Cleared, Change::Set]);
    let expected = [
        Reply::Set { changed: true, version: 1 },
        Reply::Get { is_set: true, version: 1 },
        Reply::Set { changed: false, version: 1 },
        Reply::Clear { changed: true, version: 1 },
        Reply::Set { changed: true, version: 2 },
    ];
    assert_eq!(replies, expected);
    assert!(!Event::joins(&UNTIL_SET) && steps.iter().all(Event::joins));
    assert_eq!(event, Event::new(false), "deciding does not touch");
}

#[test]
fn a_wait_among_steps_is_not_waited_for() {
    let event = Event::new(false);
    assert!(matches!(event.decide_all(A, &[UNTIL_SET], Moment(1)), Err(Fault::TimedOut { .. })));
    assert!(event.decide_all(A, &[Command::Set, UNTIL_SET], Moment(1)).is_ok());
    assert!(matches!(event.decide_all(A, &[Command::Set, after(2)], Moment(1)), Err(Fault::BadArgument { .. })));
}

#[test]
fn only_whether_it_is_set_can_be_tested() {
    let (set, clear) = (Event::new(true), Event::new(false));
    assert_eq!((set.test(A, &Test::IsSet(true)), set.test(A, &Test::IsSet(false))), (Some(true), Some(false)));
    assert_eq!((clear.test(A, &Test::IsSet(true)), clear.test(A, &Test::IsSet(false))), (Some(false), Some(true)));
    assert_eq!(set.test(A, &Test::IsEmpty(false)), None);
}

/// A follower that always waits behind the version it knows, and is slow to come back, counts every set.
#[test]
fn who_waits_behind_the_known_version_misses_no_set() {
    for seed in 1..=50 {
        let (mut trial, mut dice) = (event(), Dice::new(seed));
        let (mut known, mut sets) = (0, 0);
        let mut wait = trial.waits(B, after(known), Wait::Forever);
        for step in 0..200 {
            match dice.below(2) {
                0 => sets += u64::from(matches!(trial.ask(A, Command::Set), Ok(Reply::Set { changed: true, .. }))),
                _ => drop(trial.ask(A, Command::Clear)),
            }
            while (step == 199 || dice.below(3) == 0) && !trial.is_waiting(wait) {
                known = awaited(&trial, wait);
                wait = trial.call(B, after(known), Wait::Forever);
            }
        }
        assert_eq!(known, sets, "seed {seed}");
    }
}
