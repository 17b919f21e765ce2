//! Each promise of the semaphore, on the bare kind and with callers who wait, die and are not reached.

mod wire;

use super::super::trial::{A, B, C, D, Dice, Number, Trial, wait_ms};
use super::*;
use bursar_proto::Wait;

const EPOCH: u64 = 1000;

fn semaphore(permits: u64, bounded: bool) -> Trial<Semaphore> {
    Trial::new(Semaphore::new(Options { permits, bounded, refuses_deadlock: false }, EPOCH))
}

fn bounded(permits: u64) -> Trial<Semaphore> {
    semaphore(permits, true)
}

fn signal(permits: u64) -> Trial<Semaphore> {
    semaphore(permits, false)
}

fn acquire(count: u64) -> Command {
    Command::Acquire { count, consume: false }
}

fn consume(count: u64) -> Command {
    Command::Acquire { count, consume: true }
}

fn token(trial: &Trial<Semaphore>, number: Number) -> u64 {
    match trial.told(number) {
        Ok(Reply::Acquire { token, .. }) => token,
        other => panic!("expected a grant, got {other:?}"),
    }
}

fn grant(trial: &mut Trial<Semaphore>, caller: SessionId, count: u64) -> u64 {
    let number = trial.call(caller, acquire(count), Wait::Never);
    token(trial, number)
}

#[test]
fn tokens_are_larger_than_the_epoch_and_grow() {
    let mut trial = bounded(2);
    let first = grant(&mut trial, A, 1);
    let second = grant(&mut trial, B, 1);
    assert_eq!((first, second), (EPOCH + 1, EPOCH + 2));
    trial.ask(A, Command::Release { token: first }).unwrap();
    assert_eq!(grant(&mut trial, A, 1), EPOCH + 3, "a token is not given twice");
    assert_eq!(trial.kind().last_token(), EPOCH + 3);
}

#[test]
fn only_its_session_releases_a_grant_and_only_once() {
    let mut trial = bounded(3);
    let token = grant(&mut trial, A, 2);
    assert_eq!(trial.refused(B, Command::Release { token }), Fault::NotHeld { lease: token });
    assert_eq!(trial.ask(A, Command::Release { token }), Ok(Reply::Release { available: 3 }));
    assert_eq!(trial.refused(A, Command::Release { token }), Fault::NotHeld { lease: token });
    assert_eq!(trial.refused(A, Command::Release { token: token + 1 }), Fault::NotHeld { lease: token + 1 });
    assert_eq!(trial.refused(A, Command::Release { token: u64::MAX }), Fault::NotHeld { lease: u64::MAX });
}

#[test]
fn without_a_wait_too_few_permits_are_a_fault_that_says_how_few() {
    let mut trial = bounded(3);
    grant(&mut trial, A, 2);
    assert_eq!(trial.refused(B, acquire(2)), Fault::NoPermits { asked: 2, available: 1 });
}

#[test]
fn a_wait_with_a_bound_ends_and_takes_nothing() {
    let mut trial = bounded(1);
    let held = grant(&mut trial, A, 1);
    let late = trial.waits(B, acquire(1), wait_ms(10));
    trial.pass(9);
    assert!(trial.is_waiting(late));
    trial.pass(1);
    assert_eq!(trial.told(late), Err(Fault::NoPermits { asked: 1, available: 0 }));
    assert_eq!(trial.ask(A, Command::Release { token: held }), Ok(Reply::Release { available: 1 }));
}

#[test]
fn a_request_for_many_is_not_overtaken() {
    let mut trial = bounded(3);
    let held = grant(&mut trial, A, 2);
    let many = trial.waits(B, acquire(3), Wait::Forever);
    let few = trial.waits(C, acquire(1), Wait::Forever);
    assert_eq!(trial.refused(D, acquire(1)), Fault::NoPermits { asked: 1, available: 1 }, "what there is, is for those in front");
    trial.ask(A, Command::Release { token: held }).unwrap();
    let token = token(&trial, many);
    assert!(trial.is_waiting(few));
    trial.ask(B, Command::Release { token }).unwrap();
    assert!(!trial.is_waiting(few));
}

#[test]
fn who_stood_behind_a_request_that_left_is_served() {
    let leave: [fn(&mut Trial<Semaphore>, Number); 3] =
        [|trial, number| trial.cancel(number), |trial, _| trial.die(B), |trial, _| trial.pass(10)];
    for leave in leave {
        let mut trial = bounded(3);
        grant(&mut trial, A, 2);
        let many = trial.waits(B, acquire(3), wait_ms(10));
        let few = trial.waits(C, acquire(1), Wait::Forever);
        leave(&mut trial, many);
        assert!(!trial.is_waiting(few) && !trial.is_waiting(many));
    }
}

#[test]
fn permits_of_a_dead_session_go_to_those_who_wait_in_their_order() {
    for how in [Departure::Lost, Departure::Closed] {
        let mut trial = bounded(4);
        grant(&mut trial, A, 1);
        let of_b = grant(&mut trial, B, 1);
        grant(&mut trial, A, 2);
        let first = trial.waits(C, acquire(2), Wait::Forever);
        let second = trial.waits(D, acquire(1), Wait::Forever);
        let third = trial.waits(B, acquire(1), Wait::Forever);
        trial.depart(A, how);
        assert!(!trial.is_waiting(first) && !trial.is_waiting(second) && trial.is_waiting(third));
        assert!(token(&trial, first) < token(&trial, second));
        assert!(trial.kind().held_by(B, of_b).is_some(), "what others hold stays theirs");
    }
}

#[test]
fn a_session_that_ends_while_it_waits_swallows_nothing() {
    let mut trial = bounded(1);
    let held = grant(&mut trial, A, 1);
    let dead = trial.waits(B, acquire(1), Wait::Forever);
    let next = trial.waits(C, acquire(1), Wait::Forever);
    trial.die(B);
    assert!(matches!(trial.told(dead), Err(Fault::SessionEnded { .. })));
    trial.ask(A, Command::Release { token: held }).unwrap();
    assert!(!trial.is_waiting(next));
}

#[test]
fn a_session_that_holds_and_waits_dies_as_a_whole() {
    let mut trial = bounded(2);
    grant(&mut trial, A, 2);
    trial.waits(A, acquire(1), Wait::Forever);
    let next = trial.waits(B, acquire(2), Wait::Forever);
    trial.die(A);
    assert!(!trial.is_waiting(next));
    assert_eq!(trial.kind().holdings().len(), 1);
}

#[test]
fn more_than_a_bounded_semaphore_has_is_refused_at_once() {
    let mut trial = bounded(2);
    let number = trial.call(A, acquire(3), Wait::Forever);
    assert_eq!(trial.told(number), Err(Fault::TooManyPermits { asked: 3, limit: 2 }));
    grant(&mut trial, B, 2);
    assert_eq!(trial.refused(A, acquire(u64::MAX)), Fault::TooManyPermits { asked: u64::MAX, limit: 2 });
}

#[test]
fn nothing_is_added_to_a_bounded_semaphore() {
    let mut trial = bounded(2);
    assert_eq!(trial.refused(A, Command::Add { count: 1 }), Fault::TooManyPermits { asked: 3, limit: 2 });
    grant(&mut trial, A, 2);
    assert_eq!(trial.refused(A, Command::Add { count: 1 }), Fault::TooManyPermits { asked: 3, limit: 2 });
    assert_eq!(trial.refused(A, Command::Add { count: u64::MAX }), Fault::TooManyPermits { asked: u64::MAX, limit: 2 });
}

#[test]
fn nothing_is_consumed_of_a_bounded_semaphore() {
    let fault = bounded(2).refused(A, consume(1));
    assert!(matches!(fault, Fault::BadArgument { argument, .. } if argument == "consume"));
}

#[test]
fn permits_can_be_added_up_to_the_limit_and_no_further() {
    let mut trial = signal(1);
    grant(&mut trial, A, 1);
    let rest = PERMITS_MAX - 1;
    assert_eq!(trial.refused(A, Command::Add { count: u64::MAX }), Fault::TooManyPermits { asked: u64::MAX, limit: PERMITS_MAX });
    assert_eq!(trial.ask(A, Command::Add { count: rest }), Ok(Reply::Add { available: rest }));
    let asked = PERMITS_MAX + 1;
    assert_eq!(trial.refused(A, Command::Add { count: 1 }), Fault::TooManyPermits { asked, limit: PERMITS_MAX });
    assert_eq!(
        trial.refused(A, acquire(asked)),
        Fault::TooManyPermits { asked, limit: PERMITS_MAX },
        "that would never be granted"
    );
}

#[test]
fn a_semaphore_that_is_not_bounded_waits_for_more_than_it_ever_had() {
    let mut trial = signal(1);
    let many = trial.waits(A, acquire(5), Wait::Forever);
    trial.ask(B, Command::Add { count: 3 }).unwrap();
    assert!(trial.is_waiting(many));
    assert_eq!(trial.ask(B, Command::Add { count: 1 }), Ok(Reply::Add { available: 5 }));
    assert!(!trial.is_waiting(many));
}

#[test]
fn what_is_consumed_is_not_held_and_does_not_come_back() {
    let mut trial = signal(2);
    assert_eq!(trial.ask(A, consume(2)), Ok(Reply::Acquire { token: 0, count: 2 }));
    assert!(trial.kind().holdings().is_empty());
    trial.die(A);
    assert_eq!(trial.refused(B, consume(1)), Fault::NoPermits { asked: 1, available: 0 });
    assert_eq!(trial.kind().last_token(), EPOCH, "no token was given");
}

#[test]
fn each_signal_wakes_one_consumer_in_their_order() {
    let mut trial = signal(0);
    let waiting: Vec<_> = [A, B, C].map(|session| trial.waits(session, consume(1), Wait::Forever)).into();
    trial.ask(D, Command::Add { count: 2 }).unwrap();
    assert_eq!(waiting.iter().map(|number| trial.is_waiting(*number)).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_signal_whose_consumer_was_not_reached_goes_to_the_next() {
    let mut trial = signal(0);
    let lost = trial.waits(A, consume(2), Wait::Forever);
    let next = trial.waits(B, consume(2), Wait::Forever);
    trial.ask(C, Command::Add { count: 2 }).unwrap();
    assert!(!trial.is_waiting(lost) && trial.is_waiting(next));
    trial.unheard(lost);
    assert!(!trial.is_waiting(next));
}

#[test]
fn permits_whose_acquirer_was_not_reached_come_back_once() {
    let mut trial = bounded(2);
    let lost = trial.call(A, acquire(2), Wait::Never);
    let next = trial.waits(B, acquire(1), Wait::Forever);
    trial.unheard(lost);
    assert!(!trial.is_waiting(next));
    trial.unheard(lost);
    trial.die(A);
    assert_eq!(trial.kind().figures(), [("available", 1), ("held", 1), ("grants", 1)]);
}

#[test]
fn what_was_given_back_already_is_not_taken_back_again() {
    let mut trial = bounded(1);
    let lost = trial.call(A, acquire(1), Wait::Never);
    trial.die(A);
    let token = grant(&mut trial, B, 1);
    trial.unheard(lost);
    assert!(trial.kind().held_by(B, token).is_some());
}

#[test]
fn a_session_gives_back_nothing_of_another() {
    let mut trial = bounded(1);
    let number = trial.call(A, acquire(1), Wait::Never);
    let reply = trial.told(number).unwrap();
    assert_eq!(trial.kind().unheard(B, &reply, trial.now()), None, "an answer to another takes nothing from A");
}

#[test]
fn holdings_are_told_oldest_first_and_in_words() {
    let mut trial = bounded(4);
    let first = grant(&mut trial, B, 1);
    trial.pass(5);
    let second = grant(&mut trial, A, 3);
    let holding = |session, what: &str, since, token| Holding { session, what: what.into(), since: Some(Moment(since)), token };
    assert_eq!(trial.kind().holdings(), [holding(B, "1 permit", 1_000_000, first), holding(A, "3 permits", 1_000_005, second)]);
    assert_eq!(trial.kind().exclusive(), None, "its tokens are no fences");
}

#[test]
fn grants_are_limited_and_consuming_is_not() {
    let mut trial = Semaphore::new(Options { permits: PERMITS_MAX, bounded: false, refuses_deadlock: false }, EPOCH);
    for token in 1..=GRANTS_MAX as u64 {
        trial.evolve(Change::Granted { token: EPOCH + token, grant: Grant { session: A, count: 1, since: Moment(1) } });
    }
    let decision = trial.decide(B, &acquire(1), Moment(2));
    assert!(matches!(decision, Decision::Refuse(Fault::LimitReached { limit, .. }) if limit == GRANTS_MAX as u64));
    assert!(matches!(trial.decide(B, &consume(1), Moment(2)), Decision::Change(..)));
    assert_eq!(trial.violation(), None);
    let history = trial.history();
    assert_eq!(history.len(), GRANTS_MAX / RESTORED_MAX, "in records of bounded size");
    let mut again = Semaphore::new(trial.options, EPOCH);
    history.into_iter().for_each(|change| again.evolve(change));
    assert_eq!(again, trial);
    let Some(Change::Released { tokens }) = trial.departed(A, Departure::Lost, "", Moment(3)) else { panic!() };
    assert_eq!(tokens.len(), GRANTS_MAX);
}

#[test]
fn tokens_go_on_where_they_were_after_a_restart() {
    let mut trial = bounded(1);
    let token = grant(&mut trial, A, 1);
    trial.ask(A, Command::Release { token }).unwrap();
    let mut again = Semaphore::new(trial.kind().options, EPOCH);
    trial.kind().history().into_iter().for_each(|change| again.evolve(change));
    assert_eq!(again.last_token(), token);
}

#[test]
fn a_broken_promise_is_seen() {
    let whole = Semaphore::new(Options { permits: 2, bounded: true, refuses_deadlock: false }, EPOCH);
    let mut more = whole.clone();
    more.evolve(Change::Added { count: 1 });
    let mut unknown = whole.clone();
    unknown.evolve(Change::Granted { token: EPOCH + 1, grant: Grant { session: A, count: 1, since: Moment(1) } });
    unknown.tokens.clear();
    for broken in [more, unknown] {
        assert!(broken.violation().is_some_and(|what| what.starts_with("S1")), "{broken:?}");
    }
}

/// Who holds what, as the test knows it from the answers alone.
fn held(trial: &Trial<Semaphore>, grants: &[(SessionId, Number)]) -> u64 {
    let count = |number: &Number| match trial.told(*number) {
        Ok(Reply::Acquire { token, count }) if token != 0 => count,
        _ => 0,
    };
    grants.iter().map(|(_, number)| count(number)).sum()
}

#[test]
fn permits_are_never_more_nor_fewer_whatever_happens() {
    const PERMITS: u64 = 5;
    for seed in 1..=100 {
        let (mut trial, mut dice) = (bounded(PERMITS), Dice::new(seed));
        let mut granted: Vec<(SessionId, Number)> = Vec::new();
        let mut waiting: Vec<(SessionId, Number)> = Vec::new();
        for _ in 0..200 {
            let session = SessionId(1 + dice.below(5));
            match dice.below(8) {
                0..=3 => {
                    let wait = [Wait::Never, wait_ms(3), Wait::Forever][dice.below(3) as usize];
                    waiting.push((session, trial.call(session, acquire(1 + dice.below(PERMITS)), wait)));
                }
                4 if !granted.is_empty() => {
                    let (session, number) = granted.swap_remove(dice.below(granted.len() as u64) as usize);
                    let token = token(&trial, number);
                    trial.ask(session, Command::Release { token }).unwrap();
                }
                5 if !granted.is_empty() => {
                    let (_, number) = granted.swap_remove(dice.below(granted.len() as u64) as usize);
                    trial.unheard(number);
                }
                6 => {
                    trial.die(session);
                    granted.retain(|(holder, _)| *holder != session);
                    waiting.retain(|(waiter, _)| *waiter != session);
                }
                _ => trial.pass(1),
            }
            let (wait, over): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, number)| trial.is_waiting(*number));
            waiting = wait;
            granted.extend(over.into_iter().filter(|(_, number)| trial.told(*number).is_ok()));
            let held = held(&trial, &granted);
            assert_eq!(trial.kind().figures()[..2], [("available", PERMITS - held), ("held", held)], "seed {seed}");
        }
        for session in 1..=5 {
            trial.die(SessionId(session));
        }
        assert_eq!(trial.kind().figures(), [("available", PERMITS), ("held", 0), ("grants", 0)], "seed {seed}: nothing is lost");
    }
}
