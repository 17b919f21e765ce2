//! Calls that are made for other calls.

use super::*;

fn link(object: &str, epoch: u64, call: u64, method: &str) -> Link {
    Link { object: object.into(), epoch, call, method: method.into() }
}

fn on_behalf_of(method: &str, chain: &[Link]) -> Command {
    invoke_with(Invocation { chain: chain.to_vec(), ..invocation(method) })
}

#[test]
fn a_serial_call_that_waits_for_itself_is_refused_with_the_circle() {
    let mut play = Play::served(9);
    play.call("turn");
    play.take(B, 1, 1);
    let chain = [link("other", 3, 5, "f"), link("it", EPOCH, 1, "turn"), link("third", 9, 2, "g")];
    let cycle = "it.turn (call 1) -> third.g (call 2) -> it.turn".to_owned();
    assert_eq!(play.trial.refused(C, on_behalf_of("turn", &chain)), Fault::CallCycle { cycle });
}

#[test]
fn what_does_not_wait_for_itself_is_not_refused() {
    let mut play = Play::served(9);
    let (running, _) = (play.call("turn"), play.call("once"));
    play.take(B, 1, 9);
    let chain = |call| [link("it", EPOCH, call, "turn")];
    play.trial.waits(C, on_behalf_of("once", &chain(1)), Wait::Forever);
    play.trial.waits(C, on_behalf_of("turn", &chain(2)), Wait::Forever);
    play.trial.waits(C, on_behalf_of("turn", &[link("it", 3, 1, "turn")]), Wait::Forever);
    play.give(B, 1, &[(1, result("x"))]);
    assert_eq!(play.outcome(running), got("x"));
    play.trial.waits(C, on_behalf_of("turn", &chain(1)), Wait::Forever);
}

#[test]
fn a_call_that_waits_for_all_there_is_to_serve_it_is_refused() {
    let mut play = Play::served(2);
    (0..2).for_each(|_| _ = play.call("once"));
    play.take(B, 1, 9);
    let first = link("it", EPOCH, 1, "once");
    play.trial.waits(C, on_behalf_of("once", std::slice::from_ref(&first)), Wait::Forever);
    let chain = [first, link("it", EPOCH, 2, "once")];
    assert!(matches!(play.trial.refused(C, on_behalf_of("once", &chain)), Fault::CallCycle { .. }));
    play.provide(C, 1);
    play.trial.waits(C, on_behalf_of("once", &chain), Wait::Forever);
}

/// Free capacity of one who does not serve the method is of no use to the call.
#[test]
fn a_call_that_waits_for_all_who_serve_its_method_is_refused_whoever_serves_others() {
    let mut play = Play::new(ROOMY);
    play.provide_this(B, described(vec![("once", method(&[]))]), 1);
    play.provide_this(C, described(vec![("other", method(&[]))]), 5);
    play.call("once");
    play.take(B, 1, 1);
    let chain = [link("it", EPOCH, 1, "once")];
    assert!(matches!(play.trial.refused(C, on_behalf_of("once", &chain)), Fault::CallCycle { .. }));
    play.trial.waits(C, on_behalf_of("other", &chain), Wait::Forever);
}

#[test]
fn a_provider_is_told_the_chain_of_its_call() {
    let mut play = Play::served(9);
    let above = link("other", 3, 5, "f");
    play.trial.waits(A, on_behalf_of("once", std::slice::from_ref(&above)), Wait::Forever);
    let reply = play.trial.ask(B, take(1, 1)).unwrap();
    let bursar_proto::v1::answer::Reply::Object(reply) = Object::reply(reply) else { panic!("it is an object's") };
    let Some(bursar_proto::v1::object::reply::Verb::Take(taken)) = reply.verb else { panic!("it is a Take's") };
    let chain: Vec<_> = taken.calls[0].chain.iter().map(|link| (link.object.as_str(), link.epoch, link.call)).collect();
    assert_eq!(chain, [("other", 3, 5), ("it", EPOCH, 1)]);
}
