//! The verbs of objects that processes serve. Nobody calls and serves alone: who is not the one that tries again is the observer.

use super::{Case, Observer, value};
use crate::attacks::wire::{Stream, object};
use bursar::proto::v1::{
    answer::Reply,
    call,
    object::{self, command::Verb, outcome::Outcome},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// To a provider the object is as [`calls`] leaves it, to a caller as [`stream`] does.
pub fn cases() -> Vec<Case> {
    cases!(Object object _token:
        Provide ProvideRequest { description: description(), capacity: 5 },
        Withdraw WithdrawRequest { provider: 1 },
        Take TakeRequest { wait_ms: 0, provider: 1, max: 1, outcomes: vec![], only_cancelled: false },
        Take TakeRequest { wait_ms: 0, provider: 1, max: 1, outcomes: vec![outcome(1, Outcome::Result(value("\"yes\"").unwrap()))], only_cancelled: false },
        Give GiveRequest { provider: 1, outcomes: vec![outcome(1, Outcome::Failure(Default::default()))] },
        Give GiveRequest { provider: 1, outcomes: vec![outcome(1, Outcome::NotBegun(object::NotBegun {}))] },
        Give GiveRequest { provider: 1, outcomes: vec![outcome(2, Outcome::Ended(object::Ended {}))] },
        Yield YieldRequest { wait_ms: 0, provider: 1, call: 2, items: vec![value("1").unwrap()] },
        Invoke InvokeRequest { wait_ms: -1, method: "ask".into(), ..Default::default() },
        Next NextRequest { wait_ms: 0, call: 1, max: 2 },
        Abandon AbandonRequest { call: 1 })
    .into()
}

fn outcome(call: u64, outcome: Outcome) -> object::Outcome {
    object::Outcome { call, outcome: Some(outcome) }
}

fn description() -> Option<object::Description> {
    let ask = object::Method { name: "ask".into(), ..Default::default() };
    let count = object::Method { name: "count".into(), stream: true, ..Default::default() };
    Some(object::Description { methods: vec![ask, count], ..Default::default() })
}

pub fn command(verb: Verb) -> call::Command {
    call::Command::Object(object::Command { verb: Some(verb) })
}

fn provide(name: &str) -> call::Command {
    command(Verb::Provide(object::ProvideRequest { object: object(name), description: description(), capacity: 3 }))
}

fn invoke(name: &str, method: &str) -> call::Command {
    let request = object::InvokeRequest { object: object(name), wait_ms: -1, method: method.into(), ..Default::default() };
    command(Verb::Invoke(request))
}

fn take(name: &str, max: u32) -> call::Command {
    let request =
        object::TakeRequest { object: object(name), wait_ms: -1, provider: 1, max, outcomes: vec![], only_cancelled: false };
    command(Verb::Take(request))
}

pub fn describe(name: &str) -> call::Command {
    command(Verb::Describe(object::DescribeRequest { object: object(name) }))
}

/// The one that tries again is whom the verb is for; `next` is its next sequence.
pub async fn prepare(session: &mut Stream, observer: &mut Observer, next: &mut u64, rpc: &str, name: &str) {
    match rpc.rsplit('/').next().expect("the name of a verb") {
        "Invoke" => observer.serve(name).await,
        "Next" | "Abandon" => stream(session, observer, next, name).await,
        _ => calls(session, observer, next, name).await,
    }
}

/// The session is provider 1, which has the calls 1 and 2 (a stream) of the observer, while call 3 waits.
async fn calls(session: &mut Stream, observer: &mut Observer, next: &mut u64, name: &str) {
    ask(session, next, provide(name)).await;
    for method in ["ask", "count", "ask"] {
        observer.tell(invoke(name, method));
    }
    // Who is told this has been heard.
    observer.ask(describe(name)).await;
    ask(session, next, take(name, 2)).await;
}

/// The observer is provider 1, which has call 1 (a stream) of the session; three items are there.
async fn stream(session: &mut Stream, observer: &mut Observer, next: &mut u64, name: &str) {
    observer.ask(provide(name)).await;
    let invoked = *next;
    session.call(invoked, invoke(name, "count"));
    *next += 1;
    observer.ask(take(name, 1)).await;
    let items = ["1", "2", "3"].map(|text| value(text).unwrap()).into();
    observer
        .ask(command(Verb::Yield(object::YieldRequest { object: object(name), wait_ms: 0, provider: 1, call: 1, items })))
        .await;
    assert!(!matches!(session.answer(invoked).await, Reply::Fault(_)));
}

async fn ask(session: &mut Stream, next: &mut u64, command: call::Command) {
    let reply = session.ask(*next, command).await;
    assert!(!matches!(reply, Reply::Fault(_)), "{reply:?}");
    *next += 1;
}

/// Says how often it was asked.
#[bursar::shared]
pub trait Asked {
    async fn ask(&self) -> u64;
}

#[derive(Default)]
pub struct Often(AtomicU64);

impl Asked for Often {
    async fn ask(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}
