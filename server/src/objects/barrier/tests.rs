//! Each promise of the barrier, above all that a generation has one outcome for all.

mod wire;

use super::super::trial::{A, B, C, D, Dice, Number, Trial};
use super::*;
use bursar_proto::Wait;
use std::collections::BTreeMap;

fn barrier(parties: u32) -> Trial<Barrier> {
    Trial::new(Barrier::new(parties))
}

/// Arrives, with a wait that is the same in the command and in the line, as it is when both come from one request.
fn arrive(trial: &mut Trial<Barrier>, session: SessionId, patience_ms: Option<u64>) -> Number {
    let wait = match patience_ms {
        None => Wait::Forever,
        Some(0) => Wait::Never,
        Some(ms) => super::super::trial::wait_ms(ms),
    };
    trial.call(session, Command::Wait, wait)
}

fn forever(trial: &mut Trial<Barrier>, session: SessionId) -> Number {
    arrive(trial, session, None)
}

fn passed(trial: &Trial<Barrier>, number: Number) -> (u32, u64) {
    match trial.told(number) {
        Ok(Reply::Wait { index, generation }) => (index, generation),
        other => panic!("expected that it passed, got {other:?}"),
    }
}

fn broken(trial: &Trial<Barrier>, number: Number) -> String {
    match trial.told(number) {
        Err(Fault::BarrierBroken { why }) => why,
        other => panic!("expected that it is broken, got {other:?}"),
    }
}

fn stands(trial: &mut Trial<Barrier>) -> (u32, bool, u64) {
    match trial.ask(D, Command::Get) {
        Ok(Reply::Get { waiting, broken, generation, .. }) => (waiting, broken, generation),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_party_lets_all_pass_and_each_knows_its_place() {
    let mut trial = barrier(3);
    for generation in 0..3 {
        let (first, second) = (forever(&mut trial, A), forever(&mut trial, B));
        assert!(trial.is_waiting(first) && trial.is_waiting(second));
        assert_eq!(stands(&mut trial), (2, false, generation));
        let third = forever(&mut trial, C);
        assert_eq!([first, second, third].map(|number| passed(&trial, number)), [0, 1, 2].map(|index| (index, generation)));
    }
    assert_eq!(stands(&mut trial), (0, false, 3));
}

#[test]
fn a_barrier_of_one_holds_nobody() {
    let mut trial = barrier(1);
    for generation in 0..3 {
        let number = arrive(&mut trial, A, Some(0));
        assert_eq!(passed(&trial, number), (0, generation));
    }
}

#[test]
fn the_last_party_needs_no_patience() {
    let mut trial = barrier(2);
    let first = forever(&mut trial, A);
    let last = arrive(&mut trial, B, Some(0));
    assert_eq!((passed(&trial, first), passed(&trial, last)), ((0, 0), (1, 0)));
}

#[test]
fn tasks_of_one_session_are_parties_of_their_own() {
    let mut trial = barrier(3);
    let numbers = [A, A, A].map(|session| forever(&mut trial, session));
    assert_eq!(numbers.map(|number| passed(&trial, number).0), [0, 1, 2]);
}

#[test]
fn who_passed_can_arrive_again_at_once() {
    let mut trial = barrier(2);
    forever(&mut trial, A);
    forever(&mut trial, B);
    let first = forever(&mut trial, B);
    assert!(trial.is_waiting(first), "the generation is another one");
    forever(&mut trial, A);
    assert_eq!(passed(&trial, first), (0, 1));
}

#[test]
fn a_party_that_dies_breaks_it_for_all_and_they_know_who_it_was() {
    for (how, why) in [(Departure::Lost, "session 2 died"), (Departure::Closed, "session 2 closed")] {
        let mut trial = barrier(4);
        let (first, dead, third) = (forever(&mut trial, A), forever(&mut trial, B), forever(&mut trial, C));
        trial.depart(B, how);
        assert!(matches!(trial.told(dead), Err(Fault::SessionEnded { .. })));
        assert_eq!((broken(&trial, first), broken(&trial, third)), (why.into(), why.into()));
        let late = forever(&mut trial, D);
        assert_eq!(broken(&trial, late), why, "who comes later is told the same");
        assert_eq!(stands(&mut trial), (0, true, 0));
    }
}

#[test]
fn a_session_with_several_parties_breaks_it_once() {
    let mut trial = barrier(4);
    forever(&mut trial, A);
    let other = forever(&mut trial, B);
    forever(&mut trial, A);
    let before = trial.changes();
    trial.die(A);
    assert_eq!((broken(&trial, other), trial.changes()), ("session 1 died".into(), before + 1));
}

#[test]
fn a_session_that_dies_elsewhere_breaks_nothing() {
    let mut trial = barrier(2);
    forever(&mut trial, A);
    forever(&mut trial, B);
    let waiting = forever(&mut trial, C);
    trial.die(A);
    trial.die(B);
    assert!(trial.is_waiting(waiting), "they have passed, and may go");
}

#[test]
fn a_party_that_times_out_breaks_it_for_all() {
    let mut trial = barrier(3);
    let (patient, late) = (forever(&mut trial, A), arrive(&mut trial, B, Some(10)));
    trial.pass(9);
    assert!(trial.is_waiting(late));
    trial.pass(1);
    assert_eq!((broken(&trial, patient), broken(&trial, late)), ("session 2 timed out".into(), "session 2 timed out".into()));
}

#[test]
fn a_party_without_patience_breaks_it_if_it_is_not_the_last() {
    let mut trial = barrier(3);
    let patient = forever(&mut trial, A);
    let hasty = arrive(&mut trial, B, Some(0));
    assert_eq!((broken(&trial, patient), broken(&trial, hasty)), ("session 2 timed out".into(), "session 2 timed out".into()));
}

#[test]
fn two_deadlines_at_once_are_one_breach() {
    let mut trial = barrier(3);
    let numbers = [A, B].map(|session| arrive(&mut trial, session, Some(10)));
    trial.pass(10);
    assert_eq!(numbers.map(|number| broken(&trial, number)), ["session 1 timed out"; 2]);
    assert_eq!(trial.changes(), 3);
}

#[test]
fn a_deadline_that_comes_after_the_barrier_was_reset_breaks_nothing() {
    let mut trial = barrier(2);
    arrive(&mut trial, A, Some(10));
    trial.ask(C, Command::Reset).unwrap();
    let waiting = forever(&mut trial, B);
    trial.pass(100);
    assert!(trial.is_waiting(waiting));
}

#[test]
fn the_last_party_comes_in_time_or_sees_it_broken() {
    let mut trial = barrier(2);
    let first = arrive(&mut trial, A, Some(10));
    trial.pass(9);
    let last = forever(&mut trial, B);
    assert_eq!((passed(&trial, first).0, passed(&trial, last).0), (0, 1));
    let first = arrive(&mut trial, A, Some(10));
    trial.pass(10);
    let last = forever(&mut trial, B);
    assert_eq!((broken(&trial, first), broken(&trial, last)), ("session 1 timed out".into(), "session 1 timed out".into()));
}

#[test]
fn a_party_that_gives_up_breaks_it_for_the_others() {
    for patience_ms in [None, Some(1000)] {
        let mut trial = barrier(3);
        let (first, second) = (arrive(&mut trial, A, patience_ms), forever(&mut trial, B));
        trial.cancel(first);
        assert_eq!(broken(&trial, second), "session 1 gave up", "and was not late");
    }
}

#[test]
fn abort_breaks_it_and_the_first_reason_stays() {
    let mut trial = barrier(2);
    let waiting = forever(&mut trial, A);
    assert_eq!(trial.ask(B, Command::Abort), Ok(Reply::Abort));
    assert_eq!(broken(&trial, waiting), "session 2 aborted it");
    assert_eq!(trial.ask(C, Command::Abort), Ok(Reply::Abort));
    trial.die(A);
    let late = forever(&mut trial, D);
    assert_eq!(broken(&trial, late), "session 2 aborted it");
}

#[test]
fn abort_breaks_also_one_where_nobody_waits() {
    let mut trial = barrier(2);
    trial.ask(A, Command::Abort).unwrap();
    assert_eq!(trial.refused(B, Command::Wait), Fault::BarrierBroken { why: "session 1 aborted it".into() });
}

#[test]
fn reset_makes_it_whole_for_the_next_generation() {
    let mut trial = barrier(2);
    trial.ask(A, Command::Abort).unwrap();
    assert_eq!(trial.ask(A, Command::Reset), Ok(Reply::Reset));
    assert_eq!(stands(&mut trial), (0, false, 1));
    let first = forever(&mut trial, A);
    let last = forever(&mut trial, B);
    assert_eq!((passed(&trial, first), passed(&trial, last)), ((0, 1), (1, 1)));
}

#[test]
fn who_waits_when_it_is_reset_sees_it_broken() {
    let mut trial = barrier(3);
    let numbers = [A, B].map(|session| forever(&mut trial, session));
    trial.ask(C, Command::Reset).unwrap();
    assert_eq!(numbers.map(|number| broken(&trial, number)), ["session 3 reset it"; 2]);
    assert_eq!(stands(&mut trial), (0, false, 1));
    let numbers = [A, B, C].map(|session| forever(&mut trial, session));
    assert_eq!(numbers.map(|number| passed(&trial, number)), [(0, 1), (1, 1), (2, 1)]);
}

#[test]
fn reset_of_one_where_nobody_waits_is_nothing() {
    let mut trial = barrier(2);
    assert_eq!(trial.ask(A, Command::Reset), Ok(Reply::Reset));
    assert_eq!((trial.changes(), stands(&mut trial)), (0, (0, false, 0)));
}

#[test]
fn an_answer_that_did_not_arrive_breaks_nothing() {
    let mut trial = barrier(2);
    let first = forever(&mut trial, A);
    let last = forever(&mut trial, B);
    trial.unheard(first);
    assert_eq!((passed(&trial, last), stands(&mut trial)), ((1, 0), (0, false, 1)));
}

#[test]
fn a_huge_patience_is_no_trouble() {
    let mut trial = barrier(2);
    let first = trial.call(A, Command::Wait, Wait::For(std::time::Duration::MAX));
    trial.pass(1 << 40);
    assert!(trial.is_waiting(first));
}

#[test]
fn the_largest_barrier_fills_and_passes() {
    let mut barrier = Barrier::new(PARTIES_MAX);
    for _ in 1..PARTIES_MAX {
        barrier.evolve(Change::Arrived { session: A });
    }
    assert_eq!(barrier.violation(), None);
    let decision = barrier.decide(B, &Command::Wait, Moment(1));
    assert!(matches!(decision, Decision::Change(Change::Passed, Reply::Wait { index, .. }) if index == PARTIES_MAX - 1));
}

#[test]
fn a_broken_promise_is_seen() {
    let mut full = Barrier::new(1);
    full.evolve(Change::Arrived { session: A });
    let mut half = Barrier::new(3);
    half.evolve(Change::Broken { why: "a test".into() });
    half.evolve(Change::Arrived { session: A });
    for broken in [full, half] {
        assert!(broken.violation().is_some_and(|what| what.starts_with("B1")), "{broken:?}");
    }
}

/// What happened to the parties of each generation, as they were told themselves.
#[derive(Default)]
struct Fates {
    passed: BTreeMap<u64, Vec<u32>>,
    broken: BTreeMap<u64, usize>,
}

#[test]
fn all_of_a_generation_pass_or_all_see_it_broken_whatever_happens() {
    for seed in 1..=200 {
        let mut dice = Dice::new(seed);
        let parties = 1 + dice.below(5) as u32;
        let (mut trial, mut fates) = (barrier(parties), Fates::default());
        let mut waiting: Vec<(u64, SessionId, Number)> = Vec::new();
        for _ in 0..200 {
            let session = SessionId(1 + dice.below(6));
            let (_, is_broken, generation) = stands(&mut trial);
            match dice.below(16) {
                0..=8 => {
                    let patience_ms = [None, None, None, Some(0), Some(3)][dice.below(5) as usize];
                    let number = arrive(&mut trial, session, patience_ms);
                    waiting.extend((!is_broken).then_some((generation, session, number)));
                }
                9 => trial.die(session),
                10 if !waiting.is_empty() => {
                    let (.., number) = waiting[dice.below(waiting.len() as u64) as usize];
                    trial.cancel(number);
                }
                11 if dice.below(4) == 0 => drop(trial.ask(session, Command::Abort)),
                12 | 13 => drop(trial.ask(session, Command::Reset)),
                _ => trial.pass(1),
            }
            waiting.retain(|(generation, _, number)| {
                let is_waiting = trial.is_waiting(*number);
                if !is_waiting {
                    match trial.told(*number) {
                        Ok(Reply::Wait { index, generation: told }) => {
                            assert_eq!(told, *generation, "seed {seed}");
                            fates.passed.entry(told).or_default().push(index);
                        }
                        _ => *fates.broken.entry(*generation).or_default() += 1,
                    }
                }
                is_waiting
            });
            let (count, _, generation) = stands(&mut trial);
            assert_eq!(waiting.len(), count as usize, "seed {seed}: who waits is counted");
            assert!(waiting.iter().all(|(of, ..)| *of == generation), "seed {seed}: nobody is left behind");
        }
        for (generation, mut indexes) in fates.passed {
            indexes.sort_unstable();
            assert_eq!(indexes, (0..parties).collect::<Vec<_>>(), "seed {seed}: all of generation {generation} pass");
            assert!(!fates.broken.contains_key(&generation), "seed {seed}: and none sees it broken");
        }
    }
}
