//! What providers say of the object, and what that is good for.

use super::*;

fn adder() -> Arc<Description> {
    let optional = Parameter { optional: true, ..parameter("note") };
    let default = Parameter { default: "1".into(), ..parameter("by") };
    let add = Method { parameters: vec![parameter("value"), default, optional], ..method(&[]) };
    described(vec![("add", add), ("reset", method(&[]))])
}

fn call(method: &str, arguments: &[&str]) -> Command {
    let arguments = arguments.iter().map(|name| ((*name).to_owned(), value("1"))).collect();
    invoke_with(Invocation { arguments, ..invocation(method) })
}

#[test]
fn an_unknown_method_or_argument_is_refused_with_the_nearest_known_one() {
    let mut play = Play::new(ROOMY);
    play.provide_this(B, adder(), 1);
    let unknown = Fault::NoSuchMethod { method: "ad".into(), nearest: "add".into() };
    assert_eq!(play.trial.refused(A, call("ad", &[])), unknown);
    let unknown = |method: &str, nearest: &str| Fault::NoSuchArgument {
        method: method.into(),
        argument: "valeu".into(),
        nearest: nearest.into(),
    };
    assert_eq!(play.trial.refused(A, call("add", &["valeu"])), unknown("add", "value"));
    assert_eq!(play.trial.refused(A, call("reset", &["valeu"])), unknown("reset", ""));
}

#[test]
fn an_argument_may_be_missing_if_it_is_optional_or_has_a_default() {
    let mut play = Play::new(ROOMY);
    play.provide_this(B, adder(), 1);
    let missing = Fault::MissingArgument { method: "add".into(), argument: "value".into() };
    assert_eq!(play.trial.refused(A, call("add", &["by", "note"])), missing);
    play.trial.waits(A, call("add", &["value"]), Wait::Forever);
}

#[test]
fn providers_agree_about_methods_but_not_about_docs() {
    let mut play = Play::served(1);
    let once = |change: fn(&mut Method)| {
        let mut once = method(&[]);
        change(&mut once);
        described(vec![("once", once)])
    };
    play.provide_this(C, once(|method| method.doc = "other words".into()), 1);
    let provide = |description| Command::Provide { description, capacity: 1 };
    let fault = play.trial.refused(C, provide(once(|method| method.parameters = vec![parameter("x")])));
    let expected = Fault::Mismatch {
        name: "once".into(),
        what: "the method".into(),
        expected: "once(x: any) -> any".into(),
        actual: "once() -> any".into(),
    };
    assert_eq!(fault, expected);
    let differ: [fn(&mut Method); 5] = [
        |method| method.result = "string".into(),
        |method| method.error = "Oops".into(),
        |method| method.stream = true,
        |method| method.idempotent = true,
        |method| method.serial = true,
    ];
    for change in differ {
        assert!(matches!(play.trial.refused(C, provide(once(change))), Fault::Mismatch { .. }));
    }
}

#[test]
fn a_later_provider_may_bring_new_methods() {
    let mut play = Play::new(ROOMY);
    play.provide_this(B, described(vec![("old", method(&[]))]), 1);
    assert!(matches!(play.trial.refused(A, invoke("new")), Fault::NoSuchMethod { .. }));
    play.provide_this(C, described(vec![("new", method(&[]))]), 1);
    play.trial.waits(A, invoke("new"), Wait::Forever);
    let names: Vec<_> = play.described().description.unwrap().methods.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["new", "old"]);
}

#[test]
fn a_method_whose_last_provider_went_is_known_and_served_by_nobody() {
    let mut play = Play::new(ROOMY);
    play.provide_this(B, described(vec![("old", method(&[]))]), 1);
    play.provide_this(C, described(vec![("new", method(&[]))]), 1);
    let waiting = play.call("new");
    play.trial.die(C);
    assert_eq!(play.outcome(waiting), Err(Fault::NoProvider {}));
    assert_eq!(play.trial.refused(A, invoke("new")), Fault::NoProvider {});
    let patient = play.trial.waits(A, invoke_patiently("new"), Wait::Forever);
    play.provide_this(C, described(vec![("new", method(&[]))]), 1);
    assert_eq!(play.take(C, 3, 9), [2]);
    assert!(play.trial.is_waiting(patient));
}

#[test]
fn where_nobody_serves_the_object_the_next_provider_describes_it_anew() {
    let mut play = Play::served(1);
    play.trial.die(B);
    assert!(play.described().description.is_some(), "it is still shown");
    let patient = play.trial.waits(A, invoke_patiently("once"), Wait::Forever);
    let gone = play.trial.waits(A, invoke_patiently("turn"), Wait::Forever);
    play.provide_this(C, described(vec![("once", Method { serial: true, ..method(&[]) })]), 9);
    assert_eq!(play.outcome(gone), Err(Fault::NoSuchMethod { method: "turn".into(), nearest: "once".into() }));
    play.call("once");
    assert_eq!(play.take(C, 2, 9), [1], "now it is serial");
    assert!(play.trial.is_waiting(patient));
}

#[test]
fn an_object_describes_itself_and_what_goes_on() {
    let mut play = Play::new(ROOMY);
    assert_eq!(play.described().description, None);
    play.provide(B, 2);
    play.provide(C, 3);
    (0..3).for_each(|_| _ = play.call("once"));
    play.take(B, 1, 1);
    let described = play.described();
    let seen = (described.providers, described.capacity, described.waiting, described.running, described.calls);
    assert_eq!((seen, described.description), ((2, 5, 2, 1, 3), Some(usual())));
}
