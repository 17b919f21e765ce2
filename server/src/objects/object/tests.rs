//! Each promise of the object, asked of the bare kind with a clock that stands still unless it is moved.

mod chains;
mod descriptions;
mod leaving;
mod limits;
mod model;
mod routing;
mod streams;
mod taking_back;
mod wire;

use super::{
    super::trial::{A, B, C, D, Dice, Number, Trial, wait_ms},
    *,
};
use crate::objects::kind::Wire;
use bursar_proto::Wait;
use bytes::Bytes;

const EPOCH: u64 = 7;
const NONE: [u64; 0] = [];
const ROOMY: Options = Options { calls: 50_000, bytes: 64 << 20, calls_per_session: 10_000, serial: false };

fn value(text: &str) -> Value {
    Value { data: Bytes::copy_from_slice(text.as_bytes()), codec: 0 }
}

fn parameter(name: &str) -> Parameter {
    Parameter { name: name.into(), r#type: "any".into(), ..Parameter::default() }
}

fn method(parameters: &[&str]) -> Method {
    Method { parameters: parameters.iter().map(|name| parameter(name)).collect(), result: "any".into(), ..Method::default() }
}

fn described(methods: Vec<(&str, Method)>) -> Arc<Description> {
    let methods = methods.into_iter().map(|(name, method)| (Arc::from(name), Arc::new(method))).collect();
    Arc::new(Description { doc: String::new(), methods })
}

/// `once` may be done once, `again` repeatedly, `turn` in turn, `watch` and `tail` are streams, and `tail` may be done repeatedly too.
fn usual() -> Arc<Description> {
    described(vec![
        ("once", method(&[])),
        ("again", Method { idempotent: true, ..method(&[]) }),
        ("turn", Method { serial: true, ..method(&[]) }),
        ("watch", Method { stream: true, ..method(&[]) }),
        ("tail", Method { stream: true, idempotent: true, ..method(&[]) }),
    ])
}

fn invocation(method: &str) -> Invocation {
    Invocation { object: "it".into(), method: method.into(), arguments: vec![], chain: vec![], waits_for_provider: false }
}

fn invoke_with(invocation: Invocation) -> Command {
    Command::Invoke { invocation: Arc::new(invocation), wait_ms: None }
}

fn invoke(method: &str) -> Command {
    invoke_with(invocation(method))
}

/// It waits for a provider.
fn invoke_patiently(method: &str) -> Command {
    invoke_with(Invocation { waits_for_provider: true, ..invocation(method) })
}

fn take(provider: u64, max: usize) -> Command {
    Command::Take { provider, max }
}

fn result(text: &str) -> End {
    End::Result(value(text))
}

fn give(provider: u64, ends: &[(u64, End)]) -> Command {
    Command::Give { provider, ends: ends.iter().map(|(call, end)| (*call, Some(end.clone()))).collect() }
}

fn failure(text: &str) -> Failure {
    Failure { r#type: "Oops".into(), message: text.into(), value: None }
}

/// An object, with those who serve it and those who call it.
struct Play {
    trial: Trial<Object>,
}

impl Play {
    fn new(options: Options) -> Play {
        Play { trial: Trial::new(Object::new(options, EPOCH)) }
    }

    /// Served by B, with this capacity: provider 1.
    fn served(capacity: u64) -> Play {
        let mut play = Play::new(ROOMY);
        play.provide(B, capacity);
        play
    }

    fn provide(&mut self, session: SessionId, capacity: u64) -> u64 {
        self.provide_this(session, usual(), capacity)
    }

    fn provide_this(&mut self, session: SessionId, description: Arc<Description>, capacity: u64) -> u64 {
        match self.trial.ask(session, Command::Provide { description, capacity }) {
            Ok(Reply::Provide { provider }) => provider,
            other => panic!("expected a provider, got {other:?}"),
        }
    }

    /// A call of A, that waits.
    fn call(&mut self, method: &str) -> Number {
        self.trial.waits(A, invoke(method), Wait::Forever)
    }

    /// A Take that waits for what comes.
    fn idle(&mut self, session: SessionId, provider: u64) -> Number {
        self.trial.waits(session, take(provider, 100), Wait::Forever)
    }

    /// The calls that a provider takes now.
    fn take(&mut self, session: SessionId, provider: u64, max: usize) -> Vec<u64> {
        match self.trial.ask(session, take(provider, max)) {
            Ok(reply) => calls(reply),
            Err(Fault::TimedOut { .. }) => Vec::new(),
            Err(fault) => panic!("expected calls, got {fault:?}"),
        }
    }

    /// The calls that came to a Take that waited.
    fn taken(&self, number: Number) -> Vec<u64> {
        calls(self.trial.told(number).unwrap())
    }

    /// That nobody waits for them, as this provider is told.
    fn cancelled(&mut self, session: SessionId, provider: u64) -> Vec<u64> {
        match self.trial.ask(session, take(provider, 100)) {
            Ok(Reply::Take { cancelled, .. }) => cancelled,
            Err(Fault::TimedOut { .. }) => Vec::new(),
            other => panic!("expected cancellations, got {other:?}"),
        }
    }

    /// What of this is unwanted.
    fn give(&mut self, session: SessionId, provider: u64, ends: &[(u64, End)]) -> Vec<u64> {
        match self.trial.ask(session, give(provider, ends)) {
            Ok(Reply::Give { unwanted }) => unwanted,
            other => panic!("expected to have given, got {other:?}"),
        }
    }

    fn outcome(&self, number: Number) -> Result<Outcome, Fault> {
        self.trial.told(number).map(|reply| match reply {
            Reply::Invoke(outcome) => outcome,
            other => panic!("expected an outcome, got {other:?}"),
        })
    }

    fn described(&mut self) -> Described {
        match self.trial.ask(D, Command::Describe) {
            Ok(Reply::Describe(described)) => described,
            other => panic!("expected a description, got {other:?}"),
        }
    }
}

fn calls(reply: Reply) -> Vec<u64> {
    match reply {
        Reply::Take { calls, .. } => calls.iter().map(|given| given.call).collect(),
        other => panic!("expected calls, got {other:?}"),
    }
}

fn got(text: &str) -> Result<Outcome, Fault> {
    Ok(Outcome::Result(value(text)))
}

#[test]
fn a_call_goes_to_a_provider_and_its_result_to_the_caller() {
    let mut play = Play::served(1);
    let arguments = vec![("x".to_owned(), value("1"))];
    play.provide_this(C, described(vec![("add", method(&["x"]))]), 1);
    let idle = play.idle(C, 2);
    let call = play.trial.waits(A, invoke_with(Invocation { arguments: arguments.clone(), ..invocation("add") }), Wait::Forever);
    let Ok(Reply::Take { calls, .. }) = play.trial.told(idle) else { panic!("expected the call") };
    let given = &calls[0];
    assert_eq!((given.session, given.epoch, given.left_ms, given.again), (A, EPOCH, None, false));
    assert_eq!((&*given.invocation.method, &given.invocation.arguments), ("add", &arguments));
    assert_eq!(play.give(C, 2, &[(given.call, result("2"))]), NONE);
    assert_eq!(play.outcome(call), got("2"));
    assert_eq!(play.trial.kind().calls.len(), 0);
}

#[test]
fn an_error_of_the_method_comes_back_as_it_was_given() {
    let mut play = Play::served(1);
    let call = play.call("once");
    play.take(B, 1, 1);
    let failure = Failure { value: Some(value("details")), ..failure("no luck") };
    play.give(B, 1, &[(1, End::Failure(failure.clone()))]);
    assert_eq!(play.outcome(call), Ok(Outcome::Failure(failure)));
}

#[test]
fn many_results_can_be_given_at_once_and_in_any_order() {
    let mut play = Play::served(3);
    let waiting: Vec<_> = (0..3).map(|_| play.call("once")).collect();
    assert_eq!(play.take(B, 1, 3), [1, 2, 3]);
    assert_eq!(play.give(B, 1, &[(3, result("c")), (1, result("a")), (9, result("?"))]), [9]);
    assert_eq!((play.outcome(waiting[0]), play.outcome(waiting[2])), (got("a"), got("c")));
    assert!(play.trial.is_waiting(waiting[1]));
}

#[test]
fn a_result_is_taken_once_and_from_whoever_has_the_call() {
    let mut play = Play::served(2);
    play.provide(C, 2);
    let call = play.call("once");
    play.take(B, 1, 1);
    assert_eq!(play.give(C, 2, &[(1, result("forged"))]), [1]);
    assert!(play.trial.is_waiting(call));
    assert_eq!(play.give(B, 1, &[(1, result("a")), (1, result("b"))]), NONE);
    assert_eq!(play.outcome(call), got("a"));
    assert_eq!(play.give(B, 1, &[(1, result("c"))]), [1]);
}

#[test]
fn a_provider_is_its_sessions_alone() {
    let mut play = Play::served(1);
    let fault = Fault::NoSuchProvider { provider: 1 };
    for command in [take(1, 1), give(1, &[(1, result("x"))]), Command::Withdraw { provider: 1 }] {
        assert_eq!(play.trial.refused(C, command), fault);
    }
    assert_eq!(play.trial.refused(C, Command::Yield { provider: 1, call: 1, items: vec![value("x")] }), fault);
    assert_eq!(play.trial.refused(B, take(9, 1)), Fault::NoSuchProvider { provider: 9 });
}

#[test]
fn an_end_that_does_not_fit_the_method_is_refused() {
    let mut play = Play::served(2);
    play.call("once");
    play.call("watch");
    play.take(B, 1, 2);
    let argument = |fault| match fault {
        Fault::BadArgument { argument, .. } => argument,
        other => panic!("expected a refusal, got {other:?}"),
    };
    assert_eq!(argument(play.trial.refused(B, give(1, &[(1, End::Ended)]))), "outcomes");
    assert_eq!(argument(play.trial.refused(B, give(1, &[(2, result("x"))]))), "outcomes");
    assert_eq!(argument(play.trial.refused(B, Command::Yield { provider: 1, call: 1, items: vec![value("x")] })), "call");
}

#[test]
fn the_figures_say_what_there_is() {
    let mut play = Play::served(2);
    (0..3).for_each(|_| _ = play.call("once"));
    play.take(B, 1, 9);
    play.give(B, 1, &[(1, result("x"))]);
    let figures: BTreeMap<_, _> = play.trial.kind().figures().into_iter().collect();
    let expected = [
        ("providers", 1),
        ("capacity", 2),
        ("waiting", 1),
        ("running", 1),
        ("bytes", 0),
        ("calls", 3),
        ("given_again", 0),
        ("gone", 0),
    ];
    assert_eq!(figures, BTreeMap::from(expected));
}
