//! Objects that processes serve: providers and callers are killed, stopped and cut off in the middle of calls. Every call has one outcome,
//! none is carried out twice that must not be, and of whoever is gone nothing is left at the broker.

mod provider;

use super::proxy::Proxy;
use crate::harness::{Broker, eventually, figure};
use bursar::{
    Fault, Manager, Wait,
    blocking::block_on,
    object::{CallError, Failed, Object},
};
use futures_util::{StreamExt, stream};
use provider::{Ledger, Provider};
use rustix::process::Signal;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Calls of one test: so many that every kill finds some of them under way.
const CALLS: u64 = 4000;
/// Of providers, in the test that kills them. After each one there are as many calls more.
const KILLS: usize = 10;
/// Of one caller at a time.
const IN_FLIGHT: usize = 64;
const PROVIDERS: usize = 3;
/// Not reached: what ends earlier does so for another reason.
const TTL_LONG: Duration = Duration::from_secs(300);
const TTL_SHORT: Duration = Duration::from_millis(500);

/// How a call ended, as its caller knows it.
#[derive(Debug)]
enum Ended {
    Done,
    Gone,
}

async fn object(broker: &Broker) -> Object {
    let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    manager.object("work").wait_for_provider().open().await.unwrap()
}

/// Even numbers are idempotent.
fn method(number: u64) -> &'static str {
    if number.is_multiple_of(2) { "again" } else { "once" }
}

async fn call(work: &Object, number: u64) -> (u64, Ended) {
    let outcome = work.call(method(number)).arg("number", &number).send::<u64>().await;
    match outcome {
        Ok(answer) => {
            assert_eq!(answer, number, "an answer to another call");
            (number, Ended::Done)
        }
        Err(CallError::Broker(error)) if matches!(error.fault(), Some(Fault::ProviderGone {})) => (number, Ended::Gone),
        Err(error) => panic!("call {number}: {error}"),
    }
}

/// All calls of a test, while something else goes on until they are over.
fn call_all(broker: &Broker, attack: impl FnOnce(&AtomicUsize) + Send) -> Vec<(u64, Ended)> {
    call_as_allowed(broker, |answered, allowed| {
        allowed.add_permits(CALLS as usize);
        attack(answered);
    })
}

/// As [`call_all`]; a call is made when the attack allows one more.
fn call_as_allowed(broker: &Broker, attack: impl FnOnce(&AtomicUsize, &Semaphore) + Send) -> Vec<(u64, Ended)> {
    let (answered, allowed) = (AtomicUsize::new(0), Semaphore::new(0));
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| attack(&answered, &allowed));
        block_on(async {
            let work = &object(broker).await;
            let made = async |number| {
                allowed.acquire().await.expect("it is never closed").forget();
                call(work, number).await
            };
            let calls = stream::iter(0..CALLS).map(made).buffer_unordered(IN_FLIGHT);
            calls.inspect(|_| _ = answered.fetch_add(1, Ordering::Relaxed)).collect::<Vec<_>>().await
        })
    });
    assert_eq!(outcomes.len() as u64, CALLS, "every call has one outcome");
    outcomes
}

/// What providers did is what callers were told.
fn account(ledger: &Ledger, outcomes: &[(u64, Ended)]) -> (usize, usize) {
    let begun = ledger.begun();
    for (number, ended) in outcomes {
        let times = begun.get(number).copied().unwrap_or(0);
        match (method(*number), ended) {
            ("once", Ended::Done) => assert_eq!(times, 1, "call {number} was carried out {times} times"),
            ("once", Ended::Gone) => assert!(times <= 1, "call {number} was carried out {times} times"),
            (_, Ended::Done) => assert!((1..=3).contains(&times), "call {number} was carried out {times} times"),
            (_, Ended::Gone) => assert!(times >= 1, "call {number} may be carried out again, and nobody began it"),
        }
    }
    let gone = outcomes.iter().filter(|(_, ended)| matches!(ended, Ended::Gone)).count();
    let twice = begun.values().filter(|times| **times > 1).count();
    (gone, twice)
}

/// Nothing is left of any of the calls.
fn is_idle(broker: &Broker) -> bool {
    let about = block_on(async { object(broker).await.describe().await.unwrap() });
    (about.waiting, about.running) == (0, 0)
}

#[test]
fn r05_providers_that_are_killed_under_load_lose_no_call_silently() {
    let broker = Broker::start();
    let ledger = Ledger::new(&broker);
    let outcomes = call_as_allowed(&broker, |answered, allowed| {
        let mut providers: Vec<_> = (0..PROVIDERS).map(|_| Provider::start(&broker, &broker.unix(), &ledger, TTL_LONG)).collect();
        for nth in 0..KILLS {
            let address = if nth % 2 == 0 { broker.unix() } else { broker.tcp().to_owned() };
            // The new one is there before the old one is gone, and that one goes amid its calls.
            let next = Provider::start(&broker, &address, &ledger, TTL_LONG);
            let before = answered.load(Ordering::Relaxed);
            allowed.add_permits(CALLS as usize / KILLS);
            eventually("calls are answered", || answered.load(Ordering::Relaxed) > before);
            std::mem::replace(&mut providers[nth % PROVIDERS], next).kill();
        }
        eventually("all are answered", || answered.load(Ordering::Relaxed) == CALLS as usize);
    });
    let (gone, twice) = account(&ledger, &outcomes);
    eventually("nothing is left", || is_idle(&broker));
    figure("R05", format!("{CALLS} calls, {KILLS} providers killed: {gone} failed and said so, {twice} were given again"));
}

#[test]
fn r05_a_provider_that_is_stopped_keeps_its_calls_until_its_session_ends() {
    let broker = Broker::start();
    let ledger = Ledger::new(&broker);
    let stopped = Provider::start(&broker, &broker.unix(), &ledger, TTL_SHORT);
    let outcomes = call_all(&broker, |answered| {
        eventually("it works", || answered.load(Ordering::Relaxed) > 100);
        stopped.signal(Signal::STOP);
        let other = Provider::start(&broker, &broker.unix(), &ledger, TTL_LONG);
        eventually("all are answered", || answered.load(Ordering::Relaxed) == CALLS as usize);
        stopped.signal(Signal::CONT);
        drop(other);
    });
    let (gone, twice) = account(&ledger, &outcomes);
    eventually("nothing is left", || is_idle(&broker));
    figure(
        "R05",
        format!("{CALLS} calls, a provider stopped for longer than its ttl: {gone} failed and said so, {twice} given again"),
    );
}

#[test]
fn r06_calls_over_connections_that_are_cut_have_one_outcome() {
    let broker = Broker::start();
    let ledger = Ledger::new(&broker);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let proxy = runtime.block_on(Proxy::start(&broker));
    let _provider = Provider::start(&broker, &proxy.address(), &ledger, TTL_LONG);
    proxy.lose_replies_after(5000);
    let outcomes = call_all(&broker, |_| {});
    let (gone, twice) = account(&ledger, &outcomes);
    assert_eq!((gone, twice), (0, 0), "its session outlives every connection");
    eventually("nothing is left", || is_idle(&broker));
    figure("R06", format!("{CALLS} calls of a provider behind {} cut connections: each was carried out once", proxy.cuts()));
}

#[test]
fn r05_of_callers_that_are_gone_nothing_is_left_and_providers_are_told() {
    let broker = Broker::start();
    let ledger = Ledger::new(&broker);
    let _provider = Provider::start(&broker, &broker.unix(), &ledger, TTL_LONG);
    block_on(async {
        let work = object(&broker).await;
        for round in 0..20 {
            let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
            let other = manager.object("work").open().await.unwrap();
            let stuck = (0..100).map(|_| Box::pin(other.call("stuck").send::<u64>()));
            let mut stuck = futures_util::stream::FuturesUnordered::from_iter(stuck);
            // Some are in the hands of the provider, and some wait.
            let running = async {
                while work.describe().await.unwrap().running == 0 {
                    tokio::task::yield_now().await;
                }
            };
            let never = futures_util::future::select(stuck.next(), Box::pin(running)).await;
            assert!(matches!(never, futures_util::future::Either::Right(_)), "nobody answers");
            match round % 2 {
                // Every future is dropped.
                0 => drop(stuck),
                // The session is gone with all of them.
                _ => manager.close().await,
            }
        }
    });
    eventually("nothing is left", || is_idle(&broker));
    block_on(async {
        let work = object(&broker).await;
        let late = work.call("stuck").wait(Wait::For(Duration::from_millis(20))).send::<u64>().await;
        assert!(matches!(late, Err(CallError::Broker(error)) if matches!(error.fault(), Some(Fault::Unanswered {}))));
        let oops = work.call("oops").send::<u64>().await;
        assert!(matches!(oops, Err(CallError::Failed(Failed { kind, .. })) if kind == "Oops"), "the provider is well");
        assert!(matches!(call(&work, 1).await.1, Ended::Done));
    });
}
