//! What becomes of calls when their provider dies or leaves, and of those that wait for one.

use super::*;

#[test]
fn a_call_that_may_be_done_once_fails_with_its_provider() {
    for leaves in [false, true] {
        let mut play = Play::served(2);
        play.provide(C, 2);
        let call = play.call("once");
        play.take(B, 1, 1);
        match leaves {
            true => _ = play.trial.ask(B, Command::Withdraw { provider: 1 }).unwrap(),
            false => play.trial.die(B),
        }
        assert_eq!(play.outcome(call), Err(Fault::ProviderGone {}));
        assert_eq!((play.take(C, 2, 1), play.described().counters.gone), (vec![], 1));
    }
}

#[test]
fn an_idempotent_call_is_given_to_another_in_its_old_place_and_says_so() {
    let mut play = Play::served(2);
    play.provide(C, 1);
    let call = play.call("again");
    play.take(B, 1, 1);
    play.call("once");
    play.trial.die(B);
    let Ok(Reply::Take { calls, .. }) = play.trial.ask(C, take(2, 1)) else { panic!("expected the call") };
    assert_eq!((calls[0].call, calls[0].again), (1, true));
    play.give(C, 2, &[(1, result("x"))]);
    assert_eq!((play.outcome(call), play.described().counters.given_again), (got("x"), 1));
}

#[test]
fn a_call_that_its_providers_die_of_does_not_get_them_all() {
    let mut play = Play::served(1);
    let call = play.call("again");
    for provider in 1..=3 {
        play.provide(C, 1);
        let session = if provider == 1 { B } else { C };
        assert_eq!(play.take(session, provider, 1), [1]);
        play.trial.ask(session, Command::Withdraw { provider }).unwrap();
    }
    assert_eq!(play.outcome(call), Err(Fault::ProviderGone {}));
    assert_eq!(play.take(C, 4, 1), NONE);
}

#[test]
fn a_call_that_its_provider_never_heard_of_goes_to_another_whatever_its_method() {
    let mut play = Play::served(1);
    play.provide(C, 1);
    let idle = play.idle(B, 1);
    let call = play.call("once");
    play.trial.unheard(idle);
    play.trial.die(B);
    let Ok(Reply::Take { calls, .. }) = play.trial.ask(C, take(2, 1)) else { panic!("expected the call") };
    assert_eq!((calls[0].call, calls[0].again), (1, false));
    play.give(C, 2, &[(1, result("x"))]);
    assert_eq!(play.outcome(call), got("x"));
}

#[test]
fn where_nobody_serves_a_call_is_refused_unless_it_waits_for_a_provider() {
    let mut play = Play::new(ROOMY);
    assert_eq!(play.trial.refused(A, invoke("once")), Fault::NoProvider {});
    let patient = play.trial.waits(A, invoke_patiently("once"), Wait::Forever);
    play.provide(B, 1);
    assert_eq!(play.take(B, 1, 1), [1]);
    play.give(B, 1, &[(1, result("x"))]);
    assert_eq!(play.outcome(patient), got("x"));
    play.trial.die(B);
    assert_eq!(play.trial.refused(A, invoke("once")), Fault::NoProvider {});
}

#[test]
fn with_the_last_provider_those_go_who_do_not_wait_for_another() {
    let mut play = Play::served(1);
    let running = play.call("again");
    play.take(B, 1, 1);
    let (waiting, patient) = (play.call("once"), play.trial.waits(A, invoke_patiently("once"), Wait::Forever));
    play.trial.die(B);
    assert_eq!(play.outcome(running), Err(Fault::ProviderGone {}), "it may have been carried out");
    assert_eq!(play.outcome(waiting), Err(Fault::NoProvider {}));
    assert!(play.trial.is_waiting(patient));
    play.provide(C, 1);
    assert_eq!(play.take(C, 2, 9), [3]);
}

#[test]
fn an_idempotent_call_that_waits_for_a_provider_outlives_the_last_one() {
    let mut play = Play::served(1);
    let patient = play.trial.waits(A, invoke_patiently("again"), Wait::Forever);
    play.take(B, 1, 1);
    play.trial.die(B);
    assert!(play.trial.is_waiting(patient));
    play.provide(C, 1);
    assert_eq!(play.take(C, 2, 9), [1]);
}

#[test]
fn who_waits_for_a_provider_learns_from_the_first_one_whether_the_call_makes_sense() {
    let mut play = Play::new(ROOMY);
    let wrong = play.trial.waits(A, invoke_patiently("onec"), Wait::Forever);
    let right = play.trial.waits(A, invoke_patiently("turn"), Wait::Forever);
    play.provide(B, 1);
    assert_eq!(play.outcome(wrong), Err(Fault::NoSuchMethod { method: "onec".into(), nearest: "once".into() }));
    assert_eq!(play.take(B, 1, 1), [2]);
    assert!(play.trial.is_waiting(right));
}

#[test]
fn a_call_that_was_begun_is_not_told_that_it_never_made_sense() {
    let mut play = Play::served(1);
    let patient = play.trial.waits(A, invoke_patiently("again"), Wait::Forever);
    play.take(B, 1, 1);
    play.trial.die(B);
    play.provide_this(C, described(vec![("other", method(&[]))]), 1);
    assert_eq!(play.outcome(patient), Err(Fault::ProviderGone {}));
}

#[test]
fn who_waits_for_a_provider_in_vain_is_told_that_there_is_none() {
    let mut play = Play::new(ROOMY);
    let patient = play.trial.waits(A, invoke_patiently("once"), wait_ms(10));
    play.trial.pass(10);
    assert_eq!(play.outcome(patient), Err(Fault::NoProvider {}));
}

#[test]
fn a_provider_that_nobody_heard_of_serves_nothing() {
    let mut play = Play::new(ROOMY);
    let lost = play.trial.call(B, Command::Provide { description: usual(), capacity: 1 }, Wait::Never);
    play.trial.unheard(lost);
    assert_eq!(play.trial.refused(A, invoke("once")), Fault::NoProvider {});
    assert_eq!(play.provide(B, 1), 2, "numbers are not used twice");
}

#[test]
fn a_take_that_waits_is_refused_when_its_provider_withdraws() {
    let mut play = Play::served(1);
    let idle = play.idle(B, 1);
    play.trial.ask(B, Command::Withdraw { provider: 1 }).unwrap();
    assert_eq!(play.trial.told(idle), Err(Fault::NoSuchProvider { provider: 1 }));
}

#[test]
fn an_outcome_that_was_given_reaches_the_caller_even_if_the_provider_dies_at_once() {
    let mut play = Play::served(1);
    let call = play.call("once");
    play.take(B, 1, 1);
    play.give(B, 1, &[(1, result("x"))]);
    play.trial.die(B);
    assert_eq!(play.outcome(call), got("x"));
}

#[test]
fn a_session_that_calls_what_it_serves_leaves_nothing_behind() {
    let mut play = Play::served(2);
    play.trial.waits(B, invoke("again"), Wait::Forever);
    play.take(B, 1, 1);
    play.trial.waits(B, invoke("again"), Wait::Forever);
    play.trial.die(B);
    assert_eq!((play.trial.kind().calls.len(), play.trial.kind().providers.len()), (0, 0));
}

/// The Take of a provider that left was once taken back while a call for it was under way: the call was taken for begun.
#[test]
fn who_asks_for_no_more_calls_knows_all_that_it_was_given() {
    let mut play = Play::served(9);
    let idle = play.idle(B, 1);
    let quiet = play.trial.waits(B, take(1, 0), Wait::Forever);
    assert!(matches!(play.trial.told(idle), Err(Fault::TimedOut { .. })), "it knows that nothing is to come");
    let call = play.call("once");
    assert!(play.trial.is_waiting(call) && play.trial.is_waiting(quiet));
    assert_eq!(play.trial.ask(B, Command::Withdraw { provider: 1 }), Ok(Reply::Withdraw));
    assert_eq!(play.outcome(call), Err(Fault::NoProvider {}));
}
