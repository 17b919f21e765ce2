//! Who gets which call, and when.

use super::*;

#[test]
fn a_call_goes_to_the_provider_with_the_most_free_capacity() {
    let mut play = Play::served(2);
    play.provide(C, 5);
    let (small, large) = (play.idle(B, 1), play.idle(C, 2));
    play.call("once");
    assert_eq!(play.taken(large), [1]);
    assert!(play.trial.is_waiting(small));
}

#[test]
fn of_equals_the_one_that_waits_longest_gets_the_call() {
    let mut play = Play::served(3);
    play.provide(C, 3);
    let (first, second) = (play.idle(C, 2), play.idle(B, 1));
    play.call("once");
    assert_eq!(play.taken(first), [1]);
    let again = play.idle(C, 2);
    play.call("once");
    assert_eq!(play.taken(second), [2], "it has one call less");
    assert!(play.trial.is_waiting(again));
}

#[test]
fn nobody_gets_more_calls_than_its_capacity() {
    let mut play = Play::served(2);
    (0..5).for_each(|_| _ = play.call("once"));
    assert_eq!(play.take(B, 1, 9), [1, 2]);
    assert_eq!(play.take(B, 1, 9), NONE);
    let idle = play.idle(B, 1);
    play.give(B, 1, &[(2, result("x"))]);
    assert_eq!(play.taken(idle), [3]);
}

/// One round for each call less than with a Give of its own.
#[test]
fn outcomes_are_given_before_the_take_that_brings_them() {
    let mut play = Play::served(1);
    let (first, second, third) = (play.call("once"), play.call("turn"), play.call("once"));
    assert_eq!(play.take(B, 1, 9), [1]);
    let and_take = |call, text| Command::GiveAndTake { provider: 1, ends: vec![(call, Some(result(text)))], max: 9 };
    let Ok(reply) = play.trial.ask(B, and_take(1, "x")) else { panic!("expected a call") };
    assert_eq!((calls(reply), play.outcome(first)), (vec![2], got("x")), "there is room for the next one");
    play.trial.ask(B, and_take(7, "y")).expect_err("it does not have this one, and has room for none");
    let Ok(reply) = play.trial.ask(B, and_take(2, "y")) else { panic!("expected a call") };
    assert_eq!((calls(reply), play.outcome(second)), (vec![3], got("y")));
    let idle = play.trial.waits(B, and_take(3, "z"), Wait::Forever);
    assert_eq!(play.outcome(third), got("z"), "though the Take waits");
    let fourth = play.call("once");
    assert_eq!(play.taken(idle), [4]);
    assert!(play.trial.is_waiting(fourth));
    let fault = play.trial.ask(B, Command::GiveAndTake { provider: 1, ends: vec![(4, Some(End::Ended))], max: 9 }).unwrap_err();
    assert!(matches!(fault, Fault::BadArgument { .. }), "{fault}");
    assert_eq!(play.described().running, 1);
}

#[test]
fn a_take_gets_at_most_what_it_asks_for_and_a_mebibyte_beyond_the_first() {
    let mut play = Play::new(ROOMY);
    play.provide_this(B, described(vec![("add", method(&["x"]))]), 100);
    for _ in 0..4 {
        let arguments = vec![("x".to_owned(), value(&"x".repeat(700_000)))];
        play.trial.waits(A, invoke_with(Invocation { arguments, ..invocation("add") }), Wait::Forever);
    }
    assert_eq!(play.take(B, 1, 1), [1]);
    assert_eq!(play.take(B, 1, 9), [2]);
    assert_eq!(play.take(B, 1, 9), [3]);
}

#[test]
fn calls_wait_in_the_order_in_which_they_came() {
    let mut play = Play::served(9);
    (0..4).for_each(|_| _ = play.call("once"));
    assert_eq!(play.take(B, 1, 2), [1, 2]);
    assert_eq!(play.take(B, 1, 9), [3, 4]);
}

#[test]
fn several_takes_of_one_provider_share_what_comes() {
    let mut play = Play::served(9);
    let (first, second) = (play.idle(B, 1), play.idle(B, 1));
    play.call("once");
    assert_eq!(play.taken(first), [1]);
    assert!(play.trial.is_waiting(second));
    play.call("once");
    assert_eq!(play.taken(second), [2]);
}

#[test]
fn a_take_that_is_over_is_offered_nothing() {
    let mut play = Play::served(9);
    let (late, taken_back) = (play.trial.waits(B, take(1, 1), wait_ms(10)), play.idle(B, 1));
    play.trial.pass(10);
    assert!(matches!(play.trial.told(late), Err(Fault::TimedOut { .. })));
    play.trial.cancel(taken_back);
    let call = play.call("once");
    assert!(play.trial.is_waiting(call));
    assert_eq!(play.take(B, 1, 1), [1], "it waits for whoever asks");
}

#[test]
fn serial_methods_run_one_at_a_time_whoever_serves_them() {
    let mut play = Play::served(9);
    play.provide(C, 9);
    (0..3).for_each(|_| _ = play.call("turn"));
    play.call("once");
    assert_eq!(play.take(B, 1, 9), [1, 4], "others run beside them");
    assert_eq!(play.take(C, 2, 9), NONE);
    let idle = play.idle(C, 2);
    play.give(B, 1, &[(1, result("x"))]);
    assert_eq!(play.taken(idle), [2]);
    assert_eq!(play.take(B, 1, 9), NONE);
}

#[test]
fn a_serial_object_runs_one_call_at_a_time() {
    let mut play = Play::new(Options { serial: true, ..ROOMY });
    play.provide(B, 9);
    (0..2).for_each(|_| _ = play.call("once"));
    assert_eq!(play.take(B, 1, 9), [1]);
    play.give(B, 1, &[(1, result("x"))]);
    assert_eq!(play.take(B, 1, 9), [2]);
}

#[test]
fn a_cancelled_serial_call_keeps_its_turn_until_its_provider_is_done_with_it() {
    let mut play = Play::served(9);
    let first = play.call("turn");
    play.call("turn");
    play.take(B, 1, 9);
    play.trial.cancel(first);
    assert_eq!(play.take(B, 1, 9), NONE, "it may still run");
    assert_eq!(play.give(B, 1, &[(1, result("late"))]), [1]);
    assert_eq!(play.take(B, 1, 9), [2]);
}

#[test]
fn a_call_goes_only_to_those_who_serve_its_method() {
    let mut play = Play::new(ROOMY);
    play.provide_this(B, described(vec![("old", method(&[]))]), 9);
    play.provide_this(C, described(vec![("old", method(&[])), ("new", method(&[]))]), 1);
    let idle = play.idle(B, 1);
    play.call("new");
    play.call("new");
    play.call("old");
    assert_eq!(play.taken(idle), [3]);
    assert_eq!(play.take(C, 2, 9), [1]);
    assert_eq!(play.take(B, 1, 9), NONE);
}

#[test]
fn a_call_that_was_not_begun_goes_to_another_in_its_old_place() {
    let mut play = Play::served(2);
    play.provide(C, 2);
    let call = play.call("once");
    play.call("once");
    assert_eq!(play.take(B, 1, 1), [1]);
    play.trial.ask(B, Command::Give { provider: 1, ends: vec![(1, None)] }).unwrap();
    assert_eq!(play.take(C, 2, 1), [1]);
    play.give(C, 2, &[(1, result("x"))]);
    assert_eq!(play.outcome(call), got("x"));
}

#[test]
fn a_provider_is_told_how_long_the_caller_waits() {
    let mut play = Play::served(1);
    let patient = Command::Invoke { invocation: Arc::new(invocation("once")), wait_ms: Some(100) };
    play.trial.waits(A, patient, wait_ms(100));
    play.trial.pass(30);
    let Ok(Reply::Take { calls, .. }) = play.trial.ask(B, take(1, 1)) else { panic!("expected the call") };
    assert_eq!(calls[0].left_ms, Some(70));
}
