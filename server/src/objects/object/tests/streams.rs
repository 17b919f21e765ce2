//! Methods that answer with items.

use super::{super::calls::ITEMS_MAX, *};

fn items(letters: &str) -> Vec<Value> {
    letters.chars().map(|letter| value(&letter.to_string())).collect()
}

fn yields(letters: &str) -> Command {
    Command::Yield { provider: 1, call: 1, items: items(letters) }
}

fn next(max: usize) -> Command {
    Command::Next { call: 1, max }
}

/// Letters, and `.` behind the last, `!` if the method failed.
fn read(reply: Result<Reply, Fault>) -> String {
    let Ok(Reply::Next { items, end, .. }) = reply else { panic!("expected items, got {reply:?}") };
    let letters: String = items.iter().map(|item| String::from_utf8_lossy(&item.data).into_owned()).collect();
    let end = match end {
        None => "",
        Some(End::Failure(_)) => "!",
        Some(_) => ".",
    };
    letters + end
}

/// A stream that B serves and A has called, with these items.
fn begun(method: &str, letters: &str) -> (Play, Number) {
    let mut play = Play::served(9);
    let call = play.call(method);
    play.take(B, 1, 1);
    if !letters.is_empty() {
        play.trial.ask(B, yields(letters)).unwrap();
    }
    (play, call)
}

#[test]
fn a_stream_begins_with_its_first_item_and_ends_behind_the_last() {
    let (mut play, call) = begun("watch", "");
    assert!(play.trial.is_waiting(call));
    assert_eq!(play.trial.ask(B, yields("ab")), Ok(Reply::Yield { taken: 2 }));
    assert_eq!(play.outcome(call), Ok(Outcome::Stream(1)));
    assert_eq!(read(play.trial.ask(A, next(1))), "a");
    let (rest, more) = (read(play.trial.ask(A, next(9))), play.trial.waits(A, next(9), Wait::Forever));
    assert_eq!(rest, "b");
    play.trial.ask(B, yields("c")).unwrap();
    assert_eq!(read(play.trial.told(more)), "c");
    play.trial.ask(B, yields("d")).unwrap();
    play.give(B, 1, &[(1, End::Ended)]);
    assert_eq!(read(play.trial.ask(A, next(9))), "d.");
    assert_eq!(play.trial.refused(A, next(1)), Fault::NoSuchCall { call: 1 });
}

#[test]
fn a_stream_without_items_ends_too() {
    let (mut play, call) = begun("watch", "");
    play.give(B, 1, &[(1, End::Ended)]);
    assert_eq!(play.outcome(call), Ok(Outcome::Stream(1)));
    assert_eq!(read(play.trial.ask(A, next(9))), ".");
}

#[test]
fn an_error_before_the_first_item_is_the_outcome_and_one_behind_items_comes_behind_them() {
    let (mut play, call) = begun("watch", "");
    play.give(B, 1, &[(1, End::Failure(failure("at once")))]);
    assert_eq!(play.outcome(call), Ok(Outcome::Failure(failure("at once"))));
    let (mut play, _) = begun("watch", "ab");
    play.give(B, 1, &[(1, End::Failure(failure("later")))]);
    assert_eq!(read(play.trial.ask(A, next(1))), "a");
    assert_eq!(read(play.trial.ask(A, next(1))), "b!");
}

#[test]
fn a_provider_waits_while_its_caller_does_not_read() {
    let (mut play, _) = begun("watch", "");
    let many = Command::Yield { provider: 1, call: 1, items: items(&"x".repeat(ITEMS_MAX + 10)) };
    assert_eq!(play.trial.ask(B, many), Ok(Reply::Yield { taken: ITEMS_MAX as u64 }));
    let fault = play.trial.refused(B, yields("y"));
    assert!(matches!(fault, Fault::NoRoom { .. }), "{fault:?}");
    let waiting = play.trial.waits(B, yields("yz"), Wait::Forever);
    assert_eq!(read(play.trial.ask(A, next(1))), "x");
    assert_eq!(play.trial.told(waiting), Ok(Reply::Yield { taken: 1 }));
}

#[test]
fn the_bytes_of_items_that_wait_are_bounded_but_one_fits_always() {
    let (mut play, _) = begun("watch", "");
    let large = Command::Yield { provider: 1, call: 1, items: vec![value(&"x".repeat(1 << 20)); 2] };
    assert_eq!(play.trial.ask(B, large.clone()), Ok(Reply::Yield { taken: 1 }));
    assert!(matches!(play.trial.refused(B, yields("y")), Fault::NoRoom { .. }));
    play.trial.ask(A, next(1)).unwrap();
    assert_eq!(play.trial.ask(B, yields("y")), Ok(Reply::Yield { taken: 1 }));
    assert!(matches!(play.trial.refused(B, large), Fault::NoRoom { .. }));
}

#[test]
fn the_bytes_of_all_streams_together_are_bounded_and_whoever_reads_makes_room_for_all() {
    let mut play = Play::new(Options { bytes: 10, ..ROOMY });
    play.provide(B, 9);
    (0..2).for_each(|_| _ = play.call("watch"));
    play.take(B, 1, 9);
    let of = |call, letters: &str| Command::Yield { provider: 1, call, items: items(letters) };
    play.trial.ask(B, of(1, "abcdefghijk")).unwrap();
    let waiting = play.trial.waits(B, of(2, "x"), Wait::Forever);
    play.trial.ask(A, next(1)).unwrap();
    assert_eq!(play.trial.told(waiting), Ok(Reply::Yield { taken: 1 }));
    let waiting = play.trial.waits(B, of(2, "y"), Wait::Forever);
    play.trial.ask(A, Command::Abandon { call: 1 }).unwrap();
    assert_eq!(play.trial.told(waiting), Ok(Reply::Yield { taken: 1 }));
}

#[test]
fn a_caller_that_wants_no_more_is_owed_nothing_and_the_provider_is_told() {
    let (mut play, _) = begun("watch", "ab");
    let full = play.trial.call(B, Command::Yield { provider: 1, call: 1, items: items(&"x".repeat(500)) }, Wait::Never);
    assert!(matches!(play.trial.told(full), Ok(Reply::Yield { .. })));
    let waiting = play.trial.waits(B, yields("y"), Wait::Forever);
    assert_eq!(play.trial.ask(A, Command::Abandon { call: 1 }), Ok(Reply::Abandon));
    assert_eq!(play.trial.told(waiting), Err(Fault::NoSuchCall { call: 1 }));
    assert_eq!(play.cancelled(B, 1), [1]);
    assert_eq!(play.trial.refused(A, next(1)), Fault::NoSuchCall { call: 1 });
    assert_eq!(play.trial.ask(A, Command::Abandon { call: 1 }), Ok(Reply::Abandon), "of one that is not there nothing changes");
    play.give(B, 1, &[(1, End::Ended)]);
    assert_eq!(play.trial.kind().calls.len(), 0);
}

#[test]
fn a_next_that_waits_is_told_when_its_stream_is_abandoned() {
    let (mut play, _) = begun("watch", "a");
    play.trial.ask(A, next(1)).unwrap();
    let waiting = play.trial.waits(A, next(1), Wait::Forever);
    play.trial.ask(A, Command::Abandon { call: 1 }).unwrap();
    assert_eq!(play.trial.told(waiting), Err(Fault::NoSuchCall { call: 1 }));
}

#[test]
fn a_stream_is_its_callers_alone() {
    let (mut play, _) = begun("watch", "a");
    assert_eq!(play.trial.refused(C, next(1)), Fault::NoSuchCall { call: 1 });
    let changes = play.trial.changes();
    play.trial.ask(C, Command::Abandon { call: 1 }).unwrap();
    assert_eq!(play.trial.changes(), changes);
    assert_eq!(read(play.trial.ask(A, next(1))), "a");
}

#[test]
fn what_was_yielded_is_read_even_if_the_provider_dies_and_then_it_is_said() {
    for method in ["watch", "tail"] {
        let (mut play, _) = begun(method, "ab");
        play.provide(C, 1);
        play.trial.die(B);
        assert_eq!(read(play.trial.ask(A, next(9))), "ab");
        assert_eq!(play.trial.ask(A, next(9)), Err(Fault::ProviderGone {}));
        assert_eq!(play.trial.refused(A, next(9)), Fault::NoSuchCall { call: 1 });
        assert_eq!(play.take(C, 2, 1), NONE, "nobody would know which items were seen");
    }
}

#[test]
fn an_idempotent_stream_of_which_nothing_was_seen_begins_anew() {
    let (mut play, call) = begun("tail", "");
    play.provide(C, 1);
    play.trial.die(B);
    assert_eq!(play.take(C, 2, 1), [1]);
    play.trial.ask(C, Command::Yield { provider: 2, call: 1, items: items("a") }).unwrap();
    assert_eq!(play.outcome(call), Ok(Outcome::Stream(1)));
}

#[test]
fn items_that_did_not_arrive_are_given_again_in_their_place() {
    let (mut play, _) = begun("watch", "abc");
    let (first, second) = (play.trial.call(A, next(2), Wait::Never), play.trial.call(A, next(1), Wait::Never));
    play.trial.unheard(second);
    play.trial.unheard(first);
    play.give(B, 1, &[(1, End::Ended)]);
    assert_eq!(read(play.trial.ask(A, next(9))), "abc.");
}

#[test]
fn an_end_that_did_not_arrive_is_told_again_with_its_items() {
    for end in [End::Ended, End::Failure(failure("late"))] {
        let (mut play, _) = begun("watch", "ab");
        play.give(B, 1, &[(1, end)]);
        let lost = play.trial.call(A, next(9), Wait::Never);
        let told = read(play.trial.told(lost));
        play.trial.unheard(lost);
        assert_eq!(read(play.trial.ask(A, next(9))), told);
        play.trial.unheard(lost);
        play.trial.die(A);
        assert_eq!(play.trial.kind().calls.len(), 0);
    }
}

#[test]
fn a_stream_that_nobody_knows_of_is_abandoned() {
    let (mut play, call) = begun("watch", "a");
    play.trial.unheard(call);
    assert_eq!(play.cancelled(B, 1), [1]);
}

#[test]
fn a_next_waits_for_its_time_and_a_stream_that_did_not_begin_in_time_is_taken_back() {
    let (mut play, _) = begun("watch", "a");
    play.trial.ask(A, next(1)).unwrap();
    let late = play.trial.waits(A, next(1), wait_ms(5));
    play.trial.pass(5);
    assert!(matches!(play.trial.told(late), Err(Fault::TimedOut { .. })));
    play.trial.ask(B, yields("b")).unwrap();
    assert_eq!(read(play.trial.ask(A, next(1))), "b");
    let silent = play.trial.waits(A, invoke("watch"), wait_ms(5));
    play.take(B, 1, 1);
    play.trial.pass(5);
    assert_eq!(play.outcome(silent), Err(Fault::Unanswered {}));
}
