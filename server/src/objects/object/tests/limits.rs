//! How much waits and runs at most.

use super::*;

fn with_argument(size: usize) -> Command {
    let arguments = vec![("x".to_owned(), value(&"x".repeat(size - 1)))];
    invoke_with(Invocation { arguments, ..invocation("add") })
}

#[test]
fn calls_that_wait_and_run_are_bounded() {
    let mut play = Play::new(Options { calls: 2, ..ROOMY });
    play.provide(B, 9);
    let first = play.call("once");
    play.take(B, 1, 1);
    play.call("once");
    let fault = Fault::TooManyCalls { what: "this object".into(), limit: 2 };
    assert_eq!(play.trial.refused(C, invoke("once")), fault);
    play.trial.cancel(first);
    assert_eq!(play.trial.refused(C, invoke("once")), fault, "it may still run");
    play.give(B, 1, &[(1, result("x"))]);
    play.trial.waits(C, invoke("once"), Wait::Forever);
}

#[test]
fn a_session_has_so_many_calls_and_leaves_room_for_others() {
    let mut play = Play::new(Options { calls_per_session: 1, ..ROOMY });
    play.provide(B, 9);
    let first = play.call("once");
    let fault = play.trial.refused(A, invoke("once"));
    assert_eq!(fault, Fault::TooManyCalls { what: "this session, at this object".into(), limit: 1 });
    play.trial.waits(C, invoke("once"), Wait::Forever);
    play.take(B, 1, 1);
    play.trial.cancel(first);
    play.trial.waits(A, invoke("once"), Wait::Forever);
}

#[test]
fn calls_that_wait_for_a_provider_count() {
    let mut play = Play::new(Options { calls: 1, ..ROOMY });
    play.trial.waits(A, invoke_patiently("once"), Wait::Forever);
    assert!(matches!(play.trial.refused(C, invoke_patiently("once")), Fault::TooManyCalls { .. }));
}

#[test]
fn arguments_are_bounded_until_their_calls_are_over() {
    let mut play = Play::new(Options { bytes: 100, ..ROOMY });
    play.provide_this(B, described(vec![("add", method(&["x"]))]), 9);
    assert_eq!(play.trial.refused(A, with_argument(101)), Fault::TooManyBytes { size: 101, limit: 100 });
    let first = play.trial.waits(A, with_argument(60), Wait::Forever);
    assert_eq!(play.trial.refused(A, with_argument(41)), Fault::TooManyBytes { size: 41, limit: 100 });
    play.trial.waits(A, with_argument(40), Wait::Forever);
    play.take(B, 1, 1);
    play.trial.cancel(first);
    play.trial.waits(A, with_argument(60), Wait::Forever);
}

#[test]
fn providers_are_bounded() {
    let mut play = Play::new(ROOMY);
    (0..1_000).for_each(|_| _ = play.provide_this(B, described(vec![]), 1));
    let fault = play.trial.refused(B, Command::Provide { description: described(vec![]), capacity: 1 });
    assert_eq!(fault, Fault::LimitReached { what: "providers of this object".into(), limit: 1_000 });
}

#[test]
fn the_methods_of_all_providers_together_are_bounded() {
    let mut play = Play::new(ROOMY);
    let methods = |prefix: &str| {
        let names: Vec<String> = (0..200).map(|number| format!("{prefix}{number}")).collect();
        described(names.iter().map(|name| (name.as_str(), method(&[]))).collect())
    };
    play.provide_this(B, methods("a"), 1);
    let fault = play.trial.refused(B, Command::Provide { description: methods("b"), capacity: 1 });
    assert_eq!(fault, Fault::LimitReached { what: "methods of this object".into(), limit: 256 });
}
