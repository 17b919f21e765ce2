//! Callers that wait no longer: what their providers are told, and what they are told themselves.

use super::*;

#[test]
fn the_provider_is_told_when_nobody_waits_any_more() {
    let mut play = Play::served(9);
    let call = play.call("once");
    play.take(B, 1, 1);
    let idle = play.idle(B, 1);
    play.trial.cancel(call);
    let Ok(Reply::Take { calls, cancelled, .. }) = play.trial.told(idle) else { panic!("expected a cancellation") };
    assert_eq!((calls, cancelled), (vec![], vec![1]));
    assert_eq!(play.cancelled(B, 1), NONE, "it is told once");
    assert_eq!(play.give(B, 1, &[(1, result("late"))]), [1]);
    assert_eq!(play.trial.kind().calls.len(), 0);
}

#[test]
fn who_asks_for_cancellations_only_is_given_no_calls() {
    let mut play = Play::served(9);
    let call = play.call("once");
    play.take(B, 1, 1);
    play.call("once");
    let leaving = play.trial.waits(B, take(1, 0), Wait::Forever);
    play.call("again");
    assert!(play.trial.is_waiting(leaving));
    play.trial.cancel(call);
    let Ok(Reply::Take { calls, cancelled, .. }) = play.trial.told(leaving) else { panic!("expected a cancellation") };
    assert_eq!((calls, cancelled), (vec![], vec![1]));
    assert_eq!(play.take(B, 1, 9), [2, 3]);
}

#[test]
fn a_cancellation_that_did_not_arrive_is_told_again() {
    let mut play = Play::served(9);
    let call = play.call("once");
    play.take(B, 1, 1);
    let idle = play.idle(B, 1);
    play.trial.cancel(call);
    play.trial.unheard(idle);
    assert_eq!(play.cancelled(B, 1), [1]);
}

#[test]
fn a_call_that_no_provider_has_is_forgotten_when_it_is_cancelled() {
    let mut play = Play::served(9);
    let call = play.call("once");
    play.trial.cancel(call);
    assert_eq!(play.take(B, 1, 9), NONE);
    assert_eq!(play.trial.kind().calls.len(), 0);
}

#[test]
fn a_cancelled_call_counts_as_running_until_its_provider_is_done_with_it() {
    let mut play = Play::served(1);
    let call = play.call("once");
    play.take(B, 1, 1);
    play.call("once");
    play.trial.cancel(call);
    assert_eq!((play.cancelled(B, 1), play.described().running), (vec![1], 1));
    assert_eq!(play.take(B, 1, 9), NONE);
    play.give(B, 1, &[(1, End::Failure(failure("stopped")))]);
    assert_eq!(play.take(B, 1, 9), [2]);
}

#[test]
fn a_cancelled_call_is_given_to_nobody_else_when_its_provider_dies() {
    let mut play = Play::served(1);
    play.provide(C, 1);
    let call = play.call("again");
    play.take(B, 1, 1);
    play.trial.cancel(call);
    play.trial.die(B);
    assert_eq!((play.take(C, 2, 1), play.trial.kind().calls.len()), (vec![], 0));
}

#[test]
fn a_cancelled_call_that_was_never_heard_of_is_forgotten() {
    let mut play = Play::served(1);
    let idle = play.idle(B, 1);
    let call = play.call("once");
    play.trial.cancel(call);
    play.trial.unheard(idle);
    assert_eq!(play.trial.kind().calls.len(), 0);
}

#[test]
fn a_caller_that_dies_waits_for_nothing_any_more() {
    let mut play = Play::served(9);
    play.call("once");
    play.take(B, 1, 1);
    play.call("once");
    play.trial.die(A);
    assert_eq!(play.cancelled(B, 1), [1]);
    assert_eq!(play.trial.kind().calls.len(), 1);
}

#[test]
fn a_call_that_no_provider_had_in_time_has_changed_nothing() {
    let mut play = Play::served(1);
    let call = play.trial.waits(A, invoke("once"), wait_ms(10));
    play.trial.pass(10);
    let fault = play.outcome(call).unwrap_err();
    assert!(matches!(fault, Fault::TimedOut { .. }) && fault.has_no_side_effects());
    assert_eq!(play.take(B, 1, 9), NONE);
}

#[test]
fn a_call_that_is_not_answered_in_time_may_have_been_carried_out() {
    let mut play = Play::served(1);
    let call = play.trial.waits(A, invoke("once"), wait_ms(10));
    play.take(B, 1, 1);
    play.trial.pass(10);
    let fault = play.outcome(call).unwrap_err();
    assert!(fault == Fault::Unanswered {} && !fault.has_no_side_effects());
    assert_eq!(play.cancelled(B, 1), [1]);
    assert_eq!(play.give(B, 1, &[(1, result("late"))]), [1]);
}

#[test]
fn a_call_whose_provider_died_before_it_ran_out_of_time_may_have_been_carried_out() {
    let mut play = Play::served(1);
    let call = play.trial.waits(A, invoke_patiently("again"), wait_ms(10));
    play.take(B, 1, 1);
    play.trial.die(B);
    play.trial.pass(10);
    assert_eq!(play.outcome(call), Err(Fault::ProviderGone {}));
}
