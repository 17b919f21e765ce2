//! R18: what several clients see of a lock, a semaphore, a counter, an event and a key, while their connections are cut, replies are
//! lost, and one of them falls silent for ever, could have happened one call at a time.

use super::proxy::Proxy;
use crate::{
    harness::{Broker, figure},
    linearizable::{
        CounterInput, CounterModel, EventInput, EventModel, EventOutput, KeyInput, KeyModel, KeyOutput, LockInput, LockModel,
        LockOutput, Operation, SemaphoreModel, check,
    },
};
use bursar::{
    Fault,
    blocking::{Kv, LockGuard, Manager, Permits},
    counter::Swap,
    kv::{Condition, PutOptions},
};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

const CLIENTS: u64 = 5;
const CALLS: usize = 40;
const ROUNDS: usize = 12;
const PERMITS: usize = 2;
const TTL: Duration = Duration::from_millis(500);
const WAIT: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Histories {
    lock: Mutex<Vec<Operation<LockInput, LockOutput>>>,
    semaphore: Mutex<Vec<Operation<LockInput, LockOutput>>>,
    counter: Mutex<Vec<Operation<CounterInput, (i64, bool)>>>,
    event: Mutex<Vec<Operation<EventInput, EventOutput>>>,
    key: Mutex<Vec<Operation<KeyInput, KeyOutput>>>,
}

struct Client<'a> {
    number: u64,
    manager: Manager,
    proxy: &'a Proxy,
    histories: &'a Histories,
    start: Instant,
    random: fastrand::Rng,
}

/// The answer of a call, or that it has none: then what it did is unknown.
fn known<T, O>(outcome: Result<T, bursar::Error>, answer: impl FnOnce(Result<T, &Fault>) -> O) -> Option<O> {
    match outcome {
        Ok(reply) => Some(answer(Ok(reply))),
        Err(error) => error.fault().map(|fault| answer(Err(fault))),
    }
}

impl Client<'_> {
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn note<I, O>(&self, history: &Mutex<Vec<Operation<I, O>>>, invoked: u64, input: I, output: Option<O>) {
        let answered = output.map(|output| (self.now(), output));
        history.lock().push(Operation { invoked, answered, input });
    }

    fn live(mut self, calls: usize) {
        let (mut guard, mut permits, mut stale) = (None, None, 0);
        for _ in 0..calls {
            match self.random.u8(..6) {
                0 => self.use_lock(&mut guard, &mut stale),
                1 => self.use_semaphore(&mut permits),
                2 => self.use_counter(),
                3 => self.use_event(),
                4 => self.use_key(),
                _ => self.write_fenced(guard.as_ref().map_or(stale, LockGuard::token)),
            }
        }
        // From here on the client is gone: its session ends some time after this.
        let invoked = self.now();
        for history in [&self.histories.lock, &self.histories.semaphore] {
            self.note(history, invoked, LockInput::GaveBack { client: self.number }, None);
        }
        self.proxy.freeze();
        drop((guard, permits));
    }

    fn use_lock(&mut self, guard: &mut Option<LockGuard>, stale: &mut u64) {
        let (invoked, client) = (self.now(), self.number);
        if let Some(held) = guard.take() {
            *stale = held.token();
            let input = LockInput::Release { client, token: held.token() };
            let output = known(held.release(), |reply| reply.map_or(LockOutput::Refused, |()| LockOutput::Ok));
            return self.note(&self.histories.lock, invoked, input, output);
        }
        let outcome = self.manager.lock("lock").open().and_then(|lock| lock.acquire_within(WAIT));
        let output = known(outcome, |reply| match reply {
            Ok(granted) => {
                let token = granted.token();
                *guard = Some(granted);
                LockOutput::Granted(token)
            }
            Err(_) => LockOutput::Busy,
        });
        self.note(&self.histories.lock, invoked, LockInput::Acquire { client }, output);
    }

    fn use_semaphore(&mut self, permits: &mut Option<Permits>) {
        let (invoked, client) = (self.now(), self.number);
        if let Some(held) = permits.take() {
            let input = LockInput::Release { client, token: held.token() };
            let output = known(held.release(), |reply| reply.map_or(LockOutput::Refused, |()| LockOutput::Ok));
            return self.note(&self.histories.semaphore, invoked, input, output);
        }
        let outcome = self.manager.semaphore("semaphore").open().and_then(|semaphore| semaphore.acquire_within(WAIT));
        let output = known(outcome, |reply| match reply {
            Ok(granted) => {
                let token = granted.token();
                *permits = Some(granted);
                LockOutput::Granted(token)
            }
            Err(_) => LockOutput::Busy,
        });
        self.note(&self.histories.semaphore, invoked, LockInput::Acquire { client }, output);
    }

    fn write_fenced(&self, token: u64) {
        let invoked = self.now();
        let fence = bursar::Fence::new("lock", token);
        let outcome = self.manager.kv("map").open().and_then(|kv: Kv<u64>| kv.fenced(&fence).put("fenced", 1));
        let output = known(outcome, |reply| reply.map_or(LockOutput::Refused, |_| LockOutput::Ok));
        self.note(&self.histories.lock, invoked, LockInput::FencedWrite { token }, output);
    }

    fn use_counter(&mut self) {
        let Ok(counter) = self.manager.counter("counter").open() else { return };
        let invoked = self.now();
        let (input, output) = match self.random.u8(..3) {
            0 => (CounterInput::Get, known(counter.get(), |reply| (reply.expect("nothing to refuse"), false))),
            1 => {
                let by = self.random.i64(-3..4);
                (CounterInput::Add(by), known(counter.add(by), |reply| (reply.expect("far from the ends"), false)))
            }
            _ => {
                let (expected, value) = (self.random.i64(-3..4), self.random.i64(-3..4));
                let output = known(counter.compare_and_set(expected, value), |reply| match reply.expect("nothing to refuse") {
                    Swap::Swapped => (value, true),
                    Swap::Kept { value } => (value, false),
                });
                (CounterInput::CompareAndSet { expected, value }, output)
            }
        };
        self.note(&self.histories.counter, invoked, input, output);
    }

    fn use_event(&mut self) {
        let Ok(event) = self.manager.event("event").open() else { return };
        let after = self.random.u64(0..3);
        let invoked = self.now();
        match self.random.u8(..3) {
            0 => {
                let output = known(event.set(), |reply| EventOutput::Changed(reply.expect("nothing to refuse")));
                self.note(&self.histories.event, invoked, EventInput::Set, output);
            }
            1 => {
                let output = known(event.clear(), |reply| EventOutput::Changed(reply.expect("nothing to refuse")));
                self.note(&self.histories.event, invoked, EventInput::Clear, output);
            }
            _ => {
                let outcome = event.wait_after_within(after, WAIT);
                // A version that is still to come is refused, which says that it is.
                let output = known(outcome, |reply| match reply {
                    Ok(Some(version)) => EventOutput::Passed { version },
                    Ok(None) | Err(_) => EventOutput::TimedOut,
                });
                self.note(&self.histories.event, invoked, EventInput::Wait { after: Some(after) }, output);
            }
        }
    }

    fn use_key(&mut self) {
        let Ok(kv) = self.manager.kv::<u64>("map").open() else { return };
        let invoked = self.now();
        let (input, output) = match self.random.u8(..4) {
            0 => {
                let output = known(kv.entry("key"), |reply| {
                    KeyOutput::Entry(reply.expect("nothing to refuse").map(|entry| (entry.value, entry.modify_revision)))
                });
                (KeyInput::Get, output)
            }
            1 => (KeyInput::Delete, known(kv.delete("key"), |reply| KeyOutput::Deleted(reply.expect("nothing to refuse")))),
            kind => {
                let value = self.random.u64(..);
                let if_revision = (kind == 2).then_some(0);
                let condition = if_revision.map(|_| Condition::Absent);
                let outcome = kv.put_with("key", value, &PutOptions { condition, ..PutOptions::default() });
                let output = known(outcome, |reply| match reply {
                    Ok(revision) => KeyOutput::Stored { revision },
                    Err(_) => KeyOutput::Mismatch,
                });
                (KeyInput::Put { value, if_revision }, output)
            }
        };
        self.note(&self.histories.key, invoked, input, output);
    }
}

#[test]
fn r18_what_clients_see_could_have_happened_one_call_at_a_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (mut cuts, mut calls) = (0, 0);
    for round in 0..ROUNDS {
        let broker = Broker::start();
        let direct = Manager::connect(broker.unix(), broker.authkey()).unwrap();
        drop(direct.lock("lock").create().unwrap());
        drop(direct.semaphore("semaphore").permits(PERMITS as u64).bounded().create().unwrap());
        drop(direct.counter("counter").create().unwrap());
        drop(direct.event("event").create().unwrap());
        drop(direct.kv::<u64>("map").create().unwrap());
        let histories = Histories::default();
        let proxies: Vec<_> = (0..CLIENTS).map(|_| runtime.block_on(Proxy::start(&broker))).collect();
        let start = Instant::now();
        std::thread::scope(|scope| {
            for (number, proxy) in (1..).zip(&proxies) {
                let manager = Manager::builder().address(proxy.address()).unwrap().authkey(broker.authkey());
                let manager = manager.ttl(TTL).connect().unwrap();
                proxy.lose_replies_after(3000);
                let random = fastrand::Rng::with_seed(round as u64 * CLIENTS + number);
                let client = Client { number, manager, proxy, histories: &histories, start, random };
                // One of them falls silent early, with whatever it holds, and others wait for that.
                let calls = if number == 1 { CALLS / 3 } else { CALLS };
                scope.spawn(move || client.live(calls));
            }
        });
        cuts += proxies.iter().map(Proxy::cuts).sum::<u64>();
        let Histories { lock, semaphore, counter, event, key } = histories;
        let (lock, semaphore, counter) = (lock.into_inner(), semaphore.into_inner(), counter.into_inner());
        let (event, key) = (event.into_inner(), key.into_inner());
        calls += lock.len() + semaphore.len() + counter.len() + event.len() + key.len();
        check(&LockModel, &lock).unwrap_or_else(|problem| panic!("the lock: {problem}"));
        check(&SemaphoreModel { permits: PERMITS }, &semaphore).unwrap_or_else(|problem| panic!("the semaphore: {problem}"));
        check(&CounterModel, &counter).unwrap_or_else(|problem| panic!("the counter: {problem}"));
        check(&EventModel, &event).unwrap_or_else(|problem| panic!("the event: {problem}"));
        check(&KeyModel, &key).unwrap_or_else(|problem| panic!("the key: {problem}"));
    }
    assert!(cuts > 0, "the network did lose replies");
    figure("R18", format!("histories {}, calls {calls}, connections cut {cuts}, anomalies 0", 5 * ROUNDS));
}
