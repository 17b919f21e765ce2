//! Objects of one's own: who serves them, who calls them, and what becomes of calls when either goes.

use super::{connect, connected, line::Line};
use bursar::{
    CallError, Encode, Error, Fault, Json, Kv, Manager, Object, Payload, Queue, Raw, Serving, State,
    blocking::{self, block_on},
    object::{Answer, Answering, Call, Description, Failed, Method, Parameter, Service, generated},
};
use bursar_server::testing::TestBroker;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, join, join_all},
    stream,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};
use tokio::sync::{Barrier, Semaphore};

/// A method: what is said of it, and what it does.
type Part = (Method, Box<dyn Fn(Call) -> Answering + Send + Sync>);

/// An object that is put together from methods.
#[derive(Default)]
struct Parts(BTreeMap<String, Part>);

impl Parts {
    fn with(mut self, method: Method, carry_out: impl Fn(Call) -> Answering + Send + Sync + 'static) -> Parts {
        self.0.insert(method.name.clone(), (method, Box::new(carry_out)));
        self
    }

    async fn serve(self, manager: &Manager, name: &str) -> Serving {
        manager.serve(name, Arc::new(self)).start().await.unwrap()
    }
}

impl Service for Parts {
    fn description(&self) -> Description {
        Description { doc: String::new(), methods: self.0.values().map(|(method, _)| method.clone()).collect() }
    }

    fn call(self: Arc<Self>, call: Call) -> Answering {
        (self.0[&call.method].1)(call)
    }
}

fn method(name: &str) -> Method {
    Method { name: name.to_owned(), ..Method::default() }
}

/// A method whose one argument is `n`.
fn of_n(name: &str) -> Method {
    let n = Parameter { name: "n".to_owned(), r#type: "integer".to_owned(), ..Parameter::default() };
    Method { parameters: vec![n], ..method(name) }
}

fn n(call: &mut Call) -> u64 {
    call.arguments.take("n").unwrap().unwrap()
}

/// Doubles what it gets.
fn doubler() -> Parts {
    Parts::default().with(of_n("double"), |mut call| Box::pin(async move { Answer::of(&(2 * n(&mut call))) }))
}

/// A method that never ends, and tells when it begins and when it is dropped.
fn endless(name: &str) -> (Method, impl Fn(Call) -> Answering + Send + Sync + 'static, mpsc::Receiver<&'static str>) {
    struct Told(mpsc::SyncSender<&'static str>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    let (sender, receiver) = mpsc::sync_channel(100);
    let carry_out = move |_| {
        let sender = sender.clone();
        async move {
            sender.send("begun").unwrap();
            let _told = Told(sender);
            std::future::pending::<Answer>().await
        }
        .boxed()
    };
    (method(name), carry_out, receiver)
}

/// Once in threads of the SDK's own, once on a runtime.
fn everywhere(test: impl Fn(TestBroker, Manager) -> BoxFuture<'static, ()>) {
    let (broker, manager) = connected();
    block_on(test(broker, manager));
    let (broker, manager) = connected();
    tokio::runtime::Runtime::new().unwrap().block_on(test(broker, manager));
}

async fn open(manager: &Manager, name: &str) -> Object {
    manager.object(name).open().await.unwrap()
}

/// Asks until it is so.
async fn eventually(object: &Object, is_so: impl Fn(&bursar::object::About) -> bool) {
    while !is_so(&object.describe().await.unwrap()) {}
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OutOfStock {
    left: u32,
}

impl fmt::Display for OutOfStock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "only {} are left", self.left)
    }
}

#[test]
fn a_call_gets_its_result_and_an_error_keeps_its_type() {
    everywhere(|broker, manager| {
        async move {
            let _broker = broker;
            let parts = doubler().with(method("reserve"), |_| {
                async { generated::outcome(&Err::<(), _>(OutOfStock { left: 3 }), "OutOfStock") }.boxed()
            });
            let _serving = parts.serve(&manager, "shelf").await;
            let shelf = open(&manager, "shelf").await;
            assert_eq!(shelf.call("double").arg("n", &21_u64).send::<u64>().await.unwrap(), 42);

            let typed = generated::call_or::<(), OutOfStock>(shelf.call("reserve"), "OutOfStock").await.unwrap_err();
            assert_eq!(typed.failed(), Some(&OutOfStock { left: 3 }));
            let other = generated::call_or::<(), OutOfStock>(shelf.call("reserve"), "SoldOut").await.unwrap_err();
            assert!(matches!(&other, CallError::Other(failed) if failed.kind == "OutOfStock"), "{other:?}");
            let CallError::Failed(failed) = shelf.call("reserve").send::<()>().await.unwrap_err() else { panic!() };
            assert_eq!((&*failed.kind, &*failed.message), ("OutOfStock", "only 3 are left"));
            assert_eq!(OutOfStock::decode(failed.value.unwrap()).unwrap(), OutOfStock { left: 3 });
        }
        .boxed()
    });
}

#[test]
fn what_the_method_does_not_know_is_refused_with_the_nearest_name() {
    let (_broker, manager) = connected();
    block_on(async {
        let _serving = doubler().serve(&manager, "doubler").await;
        let doubler = open(&manager, "doubler").await;
        let error = doubler.call("duoble").send::<u64>().await.unwrap_err();
        let expected = Fault::NoSuchMethod { method: "duoble".into(), nearest: "double".into() };
        assert_eq!(error.fault(), Some(&expected));
        let error = doubler.call("double").send::<u64>().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::MissingArgument { argument, .. }) if argument == "n"), "{error}");
        let error = doubler.call("double").arg("m", &1).send::<u64>().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::NoSuchArgument { nearest, .. }) if nearest == "n"), "{error}");
        let error = doubler.call("double").arg("n", "one").send::<u64>().await.unwrap_err();
        assert!(matches!(&error, CallError::Other(failed) if failed.kind == Failed::PANIC), "{error}");
        let error = doubler.call("double").arg("n", &1).send::<String>().await.unwrap_err();
        assert!(matches!(error, CallError::Broker(Error::Codec { .. })), "{error}");
        let error = doubler.call("double").arg("n", &1).stream::<u64>().next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("no stream"), "{error}");
    });
}

#[test]
fn calls_run_side_by_side() {
    everywhere(|broker, manager| {
        async move {
            let _broker = broker;
            let meeting = Arc::new(Barrier::new(5));
            let parts = Parts::default().with(method("meet"), move |_| {
                let meeting = meeting.clone();
                async move { Answer::of(&meeting.wait().await.is_leader()) }.boxed()
            });
            let _serving = parts.serve(&manager, "place").await;
            let place = open(&manager, "place").await;
            let met = join_all((0..5).map(|_| place.call("meet").send::<bool>())).await;
            assert_eq!(met.into_iter().filter(|leads| *leads.as_ref().unwrap()).count(), 1);
        }
        .boxed()
    });
}

#[test]
fn a_provider_gets_no_more_calls_than_its_capacity() {
    let (_broker, manager) = connected();
    block_on(async {
        let permits = Arc::new(Semaphore::new(0));
        let held = permits.clone();
        let parts = Parts::default().with(method("hold"), move |_| {
            let held = held.clone();
            async move {
                held.acquire().await.unwrap().forget();
                Answer::of(&())
            }
            .boxed()
        });
        let _serving = manager.serve("holder", Arc::new(parts)).capacity(2).start().await.unwrap();
        let holder = open(&manager, "holder").await;
        let calls = join_all((0..5).map(|_| holder.call("hold").send::<()>()));
        let watched = async {
            eventually(&holder, |about| (about.running, about.waiting) == (2, 3)).await;
            permits.add_permits(5);
        };
        let (outcomes, ()) = join(calls, watched).await;
        assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
    });
}

/// Says whether two ran at the same time.
fn alone(name: &str, together: Arc<AtomicBool>) -> (Method, impl Fn(Call) -> Answering + Send + Sync + 'static) {
    let inside = Arc::new(AtomicU64::new(0));
    let carry_out = move |_| {
        let (inside, together) = (inside.clone(), together.clone());
        async move {
            if inside.fetch_add(1, SeqCst) > 0 {
                together.store(true, SeqCst);
            }
            tokio::task::yield_now().await;
            inside.fetch_sub(1, SeqCst);
            Answer::of(&())
        }
        .boxed()
    };
    (Method { serial: true, ..method(name) }, carry_out)
}

#[test]
fn a_serial_method_runs_alone_whoever_serves_it() {
    everywhere(|broker, manager| {
        async move {
            let other = connect(&broker);
            let together = Arc::new(AtomicBool::new(false));
            let (method, carry_out) = alone("change", together.clone());
            let carry_out = Arc::new(carry_out);
            let parts = || {
                let carry_out = carry_out.clone();
                Parts::default().with(method.clone(), move |call| carry_out(call))
            };
            let _servings = (parts().serve(&manager, "one").await, parts().serve(&other, "one").await);
            let one = open(&manager, "one").await;
            let outcomes = join_all((0..100).map(|_| one.call("change").send::<()>())).await;
            assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
            assert!(!together.load(SeqCst));
        }
        .boxed()
    });
}

#[test]
fn a_result_that_is_too_large_is_a_fault_of_its_own() {
    let broker = TestBroker::start_with(|config| config.limits.payload_bytes = 1 << 20);
    let manager = connect(&broker);
    block_on(async {
        let parts = doubler().with(method("large"), |_| async { Answer::Result(Raw::from(vec![7; (1 << 20) + 1])) }.boxed());
        let _serving = parts.serve(&manager, "generous").await;
        let generous = open(&manager, "generous").await;
        let error = generous.call("large").send::<Raw>().await.unwrap_err();
        let fault = Fault::ResultTooLarge { size: (1 << 20) + 1, limit: 1 << 20 };
        assert!(error.fault() == Some(&fault) && !error.has_no_side_effects(), "{error}");
        assert_eq!(generous.call("double").arg("n", &1).send::<u64>().await.unwrap(), 2);
    });
}

#[test]
fn a_panic_fails_its_call_and_no_other() {
    struct Trap;

    impl Drop for Trap {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }

    everywhere(|broker, manager| {
        async move {
            let _broker = broker;
            let parts = doubler()
                .with(method("at_once"), |_| panic!("before the future"))
                .with(method("later"), |_| {
                    async {
                        tokio::task::yield_now().await;
                        panic!("in the future")
                    }
                    .boxed()
                })
                .with(method("trapped"), |_| {
                    async {
                        let _trap = Trap;
                        std::future::pending().await
                    }
                    .boxed()
                });
            let _serving = parts.serve(&manager, "frail").await;
            let frail = open(&manager, "frail").await;
            for (method, text) in [("at_once", "before the future"), ("later", "in the future")] {
                let error = frail.call(method).send::<()>().await.unwrap_err();
                let CallError::Other(failed) = &error else { panic!("{error:?}") };
                assert!(failed.kind == Failed::PANIC && failed.message.contains(text), "{error}");
            }
            let error = frail.call("trapped").wait(Duration::from_millis(1)).send::<()>().await.unwrap_err();
            assert!(matches!(error.fault(), Some(Fault::Unanswered {} | Fault::TimedOut { .. })), "{error}");
            eventually(&frail, |about| about.running == 0).await;
            assert_eq!(frail.call("double").arg("n", &1).send::<u64>().await.unwrap(), 2);
        }
        .boxed()
    });
}

#[test]
fn a_dropped_call_stops_its_method() {
    everywhere(|broker, manager| {
        async move {
            let _broker = broker;
            let (method, carry_out, told) = endless("run");
            let _serving = Parts::default().with(method, carry_out).serve(&manager, "endless").await;
            let endless = open(&manager, "endless").await;
            {
                let mut call = pin!(endless.call("run").send::<()>());
                assert!(call.as_mut().now_or_never().is_none());
                assert_eq!(told.recv(), Ok("begun"));
            }
            assert_eq!(told.recv(), Ok("dropped"));
            eventually(&endless, |about| about.running == 0).await;
        }
        .boxed()
    });
}

#[test]
fn a_method_knows_its_deadline_and_is_stopped_at_it_and_so_is_what_it_calls() {
    let (_broker, manager) = connected();
    block_on(async {
        let (method_of_inner, carry_out, told) = endless("run");
        let _inner = Parts::default().with(method_of_inner, carry_out).serve(&manager, "inner").await;
        let inner = open(&manager, "inner").await;
        let deadlines = Arc::new(Mutex::new(Vec::new()));
        let seen = deadlines.clone();
        let parts = Parts::default().with(method("ask"), move |call| {
            seen.lock().unwrap().push(call.deadline);
            let inner = inner.clone();
            async move { generated::outcome(&inner.call("run").send::<()>().await.map_err(|error| error.to_string()), "String") }
                .boxed()
        });
        let _outer = parts.serve(&manager, "outer").await;
        let outer = open(&manager, "outer").await;
        let error = outer.call("ask").wait(Duration::from_millis(50)).send::<()>().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Unanswered {})) || matches!(error, CallError::Failed(_)), "{error:?}");
        assert_eq!(told.recv(), Ok("begun"));
        assert_eq!(told.recv(), Ok("dropped"), "the inner call has the deadline of the outer one");
        assert!(matches!(deadlines.lock().unwrap()[..], [Some(_)]));
        let mut call = pin!(outer.call("ask").send::<()>());
        assert!(call.as_mut().now_or_never().is_none());
        assert_eq!(told.recv(), Ok("begun"));
        assert!(matches!(deadlines.lock().unwrap()[..], [Some(_), None]));
    });
}

fn stream_of(name: &str) -> Method {
    Method { stream: true, ..method(name) }
}

#[test]
fn items_come_in_order_with_their_end_or_error() {
    everywhere(|broker, manager| {
        async move {
            let _broker = broker;
            let parts = Parts::default()
                .with(Method { stream: true, ..of_n("count") }, |mut call| {
                    let n = n(&mut call);
                    call.items.give_all(stream::iter(0..n)).boxed()
                })
                .with(stream_of("large"), |call| {
                    let items = stream::iter(0_u32..40).map(|at| vec![at; 20_000]);
                    call.items.give_all(items).boxed()
                })
                .with(stream_of("breaks"), |call| {
                    let items = stream::iter([Ok(1), Ok(2), Err(OutOfStock { left: 0 }), Ok(3)]);
                    generated::fallible_items(call.items, items, "OutOfStock").boxed()
                })
                .with(stream_of("by_hand"), |mut call| {
                    async move {
                        for item in 0..3 {
                            if let Err(failed) = call.items.give(&item).await {
                                return Answer::Failed(failed);
                            }
                        }
                        Answer::Ended
                    }
                    .boxed()
                });
            let _serving = parts.serve(&manager, "numbers").await;
            let numbers = open(&manager, "numbers").await;
            for count in [0, 1, 10_000_u64] {
                let items: Vec<u64> =
                    numbers.call("count").arg("n", &count).stream().map(|item: Result<u64, _>| item.unwrap()).collect().await;
                assert!(items.into_iter().eq(0..count));
            }
            let large: Vec<u32> = numbers.call("large").stream::<Vec<u32>>().map(|item| item.unwrap()[7]).collect().await;
            assert!(large.into_iter().eq(0..40));
            let by_hand: Vec<u32> = numbers.call("by_hand").stream::<u32>().map(|item| item.unwrap()).collect().await;
            assert_eq!(by_hand, [0, 1, 2]);

            let items: Vec<_> = generated::stream_or::<u32, OutOfStock>(numbers.call("breaks"), "OutOfStock").collect().await;
            let [Ok(1), Ok(2), Err(CallError::Failed(OutOfStock { left: 0 }))] = items[..] else { panic!("{items:?}") };
            let error = numbers.call("breaks").send::<u32>().await.unwrap_err();
            assert!(error.to_string().contains("is a stream"), "{error}");
        }
        .boxed()
    });
}

#[test]
fn a_caller_that_does_not_read_stops_the_stream_and_one_that_goes_ends_it() {
    everywhere(|broker, manager| {
        async move {
            let _broker = broker;
            let made = Arc::new(AtomicU64::new(0));
            let (counted, (sender, dropped)) = (made.clone(), mpsc::sync_channel::<()>(1));
            let sender = Mutex::new(Some(sender));
            let parts = Parts::default().with(stream_of("all"), move |call| {
                let (counted, sender) = (counted.clone(), sender.lock().unwrap().take());
                let items = stream::repeat_with(move || {
                    let _kept = &sender;
                    counted.fetch_add(1, SeqCst)
                });
                call.items.give_all(items).boxed()
            });
            let _serving = parts.serve(&manager, "numbers").await;
            let numbers = open(&manager, "numbers").await;
            let mut items = numbers.call("all").stream::<u64>();
            for expected in 0..2000 {
                assert_eq!(items.next().await.unwrap().unwrap(), expected);
                // Those that wait at each of the three places: here, at the broker, at the provider.
                let ahead = made.load(SeqCst) - expected;
                assert!(ahead <= 4 * 256, "{ahead} items were made that nobody has asked for");
            }
            drop(items);
            assert!(dropped.recv().is_err(), "its sender is dropped with the stream");
            eventually(&numbers, |about| about.running == 0).await;
        }
        .boxed()
    });
}

#[test]
fn a_call_waits_for_its_provider_only_if_it_says_so() {
    let (_broker, manager) = connected();
    block_on(async {
        assert!(matches!(manager.object("doubler").open().await.unwrap_err().fault(), Some(Fault::NoSuchObject { .. })));
        let patient = manager.object("doubler").wait_for_provider().open().await.unwrap();
        let impatient = open(&manager, "doubler").await;
        let error = impatient.call("double").arg("n", &1).send::<u64>().await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::NoProvider {}));
        assert!(error.is_retryable() && error.has_no_side_effects());
        let mut calls = [
            patient.call("double").arg("n", &1).send::<u64>().boxed(),
            impatient.call("double").arg("n", &1).wait_for_provider().send().boxed(),
            impatient.wait_for_provider().call("double").arg("n", &1).send().boxed(),
        ];
        assert!(calls.iter_mut().all(|call| call.now_or_never().is_none()));
        let serving = doubler().serve(&manager, "doubler").await;
        for call in calls {
            assert_eq!(call.await.unwrap(), 2);
        }
        serving.stop().await.unwrap();
        let error = impatient.call("double").arg("n", &1).send::<u64>().await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::NoProvider {}));
    });
}

#[test]
fn calls_of_a_lost_provider_fail_or_go_to_another_one_if_they_may() {
    let (broker, manager) = connected();
    let (first, second) = (connect(&broker), connect(&broker));
    block_on(async {
        let (once, carry_out_once, told_once) = endless("once");
        let (twice, carry_out_twice, told_twice) = endless("twice");
        let twice = Method { idempotent: true, ..twice };
        let parts = Parts::default().with(once.clone(), carry_out_once).with(twice.clone(), carry_out_twice);
        let serving = parts.serve(&first, "work").await;
        let work = open(&manager, "work").await;
        let (mut lost, mut kept) = (pin!(work.call("once").send::<bool>()), pin!(work.call("twice").send::<bool>()));
        assert!(lost.as_mut().now_or_never().is_none() && kept.as_mut().now_or_never().is_none());
        assert_eq!((told_once.recv(), told_twice.recv()), (Ok("begun"), Ok("begun")));

        let again = |call: Call| async move { Answer::of(&call.again) }.boxed();
        let parts = Parts::default().with(once, again).with(twice, again);
        let _other = parts.serve(&second, "work").await;
        broker.lose_session(first.session_id());
        let error = lost.await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::ProviderGone {}));
        assert!(!error.has_no_side_effects());
        assert!(kept.await.unwrap(), "the other one is told that it was begun before");
        assert!(matches!(*serving.ended().await.unwrap(), Error::Lost(_)));
        assert_eq!((told_once.recv(), told_twice.recv()), (Ok("dropped"), Ok("dropped")), "nothing goes on by itself");
        assert_eq!(work.describe().await.unwrap().given_again, 1);
    });
}

#[test]
fn a_provider_that_stops_answers_first_and_one_that_is_dropped_does_not() {
    everywhere(|broker, manager| {
        async move {
            let other = connect(&broker);
            let (begun, permits) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
            let parts = || {
                let (begun, permits) = (begun.clone(), permits.clone());
                Parts::default().with(method("hold"), move |_| {
                    let (begun, permits) = (begun.clone(), permits.clone());
                    async move {
                        begun.add_permits(1);
                        permits.acquire().await.unwrap().forget();
                        Answer::of(&7)
                    }
                    .boxed()
                })
            };
            let serving = parts().serve(&manager, "holder").await;
            let holder = open(&other, "holder").await;
            let mut call = pin!(holder.call("hold").send::<u32>());
            assert!(call.as_mut().now_or_never().is_none());
            begun.acquire().await.unwrap().forget();
            let mut stopping = pin!(serving.stop());
            assert!(stopping.as_mut().now_or_never().is_none());
            permits.add_permits(1);
            assert_eq!(call.await.unwrap(), 7);
            stopping.await.unwrap();
            assert_eq!(holder.describe().await.unwrap().providers, 0);

            let serving = parts().serve(&manager, "holder").await;
            let mut call = pin!(holder.call("hold").send::<u32>());
            assert!(call.as_mut().now_or_never().is_none());
            begun.acquire().await.unwrap().forget();
            drop(serving);
            assert_eq!(call.await.unwrap_err().fault(), Some(&Fault::ProviderGone {}));

            let serving = parts().serve(&manager, "holder").await;
            manager.objects().delete("holder").await.unwrap();
            assert!(matches!(serving.ended().await.unwrap().fault(), Some(Fault::Gone { .. })));
            assert!(serving.is_over() && serving.stop().await.is_err());
        }
        .boxed()
    });
}

/// What was done when it stopped may be on its way in the Take that is taken back.
/// Nobody would ever end it else: it waits for no answer, and its caller is gone.
#[test]
fn a_provider_that_stops_does_not_wait_for_what_nobody_wants() {
    everywhere(|broker, manager| {
        async move {
            let other = connect(&broker);
            let (stuck, carry_out, told) = endless("stuck");
            let serving = Parts::default().with(stuck, carry_out).serve(&other, "work").await;
            let work = open(&manager, "work").await;
            let mut call = Box::pin(work.call("stuck").send::<u32>());
            assert!(futures_util::poll!(&mut call).is_pending());
            while told.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
            let mut stopping = Box::pin(serving.stop());
            assert!(futures_util::poll!(&mut stopping).is_pending());
            // A call that comes now waits at the broker: the provider has heard that it is to stop when it is not given this one.
            let next = work.call("stuck").wait(Duration::from_millis(50)).send::<u32>().await.unwrap_err();
            assert!(matches!(next.fault(), Some(Fault::TimedOut { .. } | Fault::Unanswered {})), "{next}");
            drop(call);
            stopping.await.unwrap();
        }
        .boxed()
    });
}

#[test]
fn a_provider_that_stops_loses_no_call() {
    everywhere(|broker, manager| {
        async move {
            let other = connect(&broker);
            let doubled = manager.object("doubler").create().await.unwrap();
            for round in 0..50 {
                let serving = doubler().serve(&other, "doubler").await;
                let calls = join_all((0..100).map(|n: u64| doubled.call("double").arg("n", &n).send::<u64>()));
                let stopping = async {
                    for _ in 0..round {
                        tokio::task::yield_now().await;
                    }
                    serving.stop().await.unwrap();
                };
                let (outcomes, ()) = join(calls, stopping).await;
                for (n, outcome) in (0..).zip(outcomes) {
                    match outcome {
                        Ok(result) => assert_eq!(result, 2 * n),
                        Err(error) => assert_eq!(error.fault(), Some(&Fault::NoProvider {}), "{error}"),
                    }
                }
            }
        }
        .boxed()
    });
}

#[test]
fn thousands_of_calls_are_under_way_at_once() {
    everywhere(|broker, manager| {
        async move {
            let other = connect(&broker);
            let parts = doubler().with(of_n("later"), |mut call| {
                async move {
                    tokio::task::yield_now().await;
                    Answer::of(&(3 * n(&mut call)))
                }
                .boxed()
            });
            let _serving = parts.serve(&other, "numbers").await;
            let numbers = open(&manager, "numbers").await;
            for (method, factor) in [("double", 2), ("later", 3)] {
                let calls = (0..4000_u64).map(|n| numbers.call(method).arg("n", &n).send::<u64>());
                let results = join_all(calls).await;
                assert!(results.into_iter().map(Result::unwrap).eq((0..4000).map(|n| factor * n)));
            }
            assert_eq!(numbers.describe().await.unwrap().calls, 8000);
        }
        .boxed()
    });
}

#[test]
fn a_call_that_would_wait_for_itself_is_refused_with_the_cycle() {
    everywhere(|broker, manager| {
        async move {
            let _broker = broker;
            let (ping, pong) = (manager.object("ping").create().await.unwrap(), manager.object("pong").create().await.unwrap());
            let calling = |object: &Object| {
                let object = object.clone();
                move |_| {
                    let object = object.clone();
                    async move {
                        // The chain is known behind a wait, too.
                        tokio::task::yield_now().await;
                        let outcome = object.call("turn").send::<u32>().await;
                        generated::outcome(&outcome.map_err(|error| error.to_string()), "String")
                    }
                    .boxed()
                }
            };
            let turn = Method { serial: true, ..method("turn") };
            let _ping = Parts::default().with(turn.clone(), calling(&pong)).serve(&manager, "ping").await;
            let _pong = Parts::default().with(turn, calling(&ping)).serve(&manager, "pong").await;
            let error = ping.call("turn").send::<u32>().await.unwrap_err().to_string();
            assert!(error.contains("ping.turn (call 1) -> pong.turn (call 1) -> ping.turn"), "{error}");
        }
        .boxed()
    });
}

#[derive(Serialize, Deserialize)]
struct Job {
    results: Queue<u32>,
    settings: Option<Kv<String>>,
    helper: Object,
}

#[test]
fn handles_are_values_and_arrive_alive() {
    let (broker, manager) = connected();
    let other = connect(&broker);
    block_on(async {
        let job = Parameter { name: "job".to_owned(), ..Parameter::default() };
        let parts = doubler().with(Method { parameters: vec![job], ..method("work") }, |mut call| {
            async move {
                let job: Job = call.arguments.take("job").unwrap().unwrap();
                let doubled = job.helper.call("double").arg("n", &4).send::<u32>().await.unwrap();
                job.results.put(doubled).await.unwrap();
                Answer::of(&job.settings.unwrap())
            }
            .boxed()
        });
        let _serving = parts.serve(&other, "worker").await;
        let helper = open(&manager, "worker").await;
        let (results, settings) =
            (manager.queue("results").create().await.unwrap(), manager.kv("settings").create().await.unwrap());
        let job = Job { results, settings: Some(settings), helper: helper.clone() };
        let settings: Kv<String> = helper.call("work").arg("job", &job).send().await.unwrap();
        assert_eq!(*job.results.get().await.unwrap(), 8);
        settings.put("color", "red".to_owned()).await.unwrap();
        assert_eq!(job.settings.as_ref().unwrap().get("color").await.unwrap().as_deref(), Some("red"));
        assert_eq!(settings.manager().session_id(), manager.session_id(), "it is a handle of who has got it");

        // In every other object, too, and in JSON.
        let jobs: Queue<Json<Job>> = manager.queue("jobs").create().await.unwrap();
        jobs.put(Json(job)).await.unwrap();
        let others: Queue<Json<Job>> = other.queue("jobs").open().await.unwrap();
        let (Json(job), lease) = others.get().await.unwrap().into_parts();
        lease.done().await.unwrap();
        assert_eq!((job.results.name(), job.results.manager().session_id()), ("results", other.session_id()));

        let written = job.results.encode().unwrap();
        let error = Queue::<u32>::decode(written.clone()).unwrap_err();
        assert!(error.to_string().contains("the session that reads it"), "{error}");
        let raw: Kv<Raw> = manager.kv("raw").create().await.unwrap();
        raw.put("queue", written).await.unwrap();
        let typed: Kv<Kv<u32>> = manager.kv("raw").open().await.unwrap();
        let error = typed.get("queue").await.unwrap_err();
        assert!(error.to_string().contains("expected a handle of kind kv, got one of kind queue"), "{error}");
    });
}

/// An ephemeral object goes with the last session that has a handle, and one that was read from a value counts.
#[test]
fn an_ephemeral_object_stays_with_whoever_got_a_handle() {
    let (broker, manager) = connected();
    let other = connect(&broker);
    block_on(async {
        let queue: Queue<u32> = manager.queue("brief").ephemeral().create().await.unwrap();
        let handles: Kv<Queue<u32>> = manager.kv("handles").create().await.unwrap();
        handles.put("it", &queue).await.unwrap();
        let got: Queue<u32> = other.kv::<Queue<u32>>("handles").open().await.unwrap().get("it").await.unwrap().unwrap();
        got.put(1).await.unwrap();
        broker.lose_session(manager.session_id());
        assert_eq!(*got.get().await.unwrap(), 1);
    });
}

#[test]
fn calls_survive_cuts_at_both_ends_and_are_carried_out_once() {
    let broker = TestBroker::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (near, far) = (Line::new(&broker), Line::new(&broker));
        let on = |line: &Line| Manager::builder().connector(line.connector()).authkey(broker.authkey()).connect();
        let (caller, provider) = (on(&near).await.unwrap(), on(&far).await.unwrap());
        let times = Arc::new(Mutex::new(BTreeMap::<u64, u32>::new()));
        let counted = times.clone();
        let parts = Parts::default()
            .with(of_n("count"), move |mut call| {
                let counted = counted.clone();
                async move {
                    let n = n(&mut call);
                    if n.is_multiple_of(2) {
                        tokio::task::yield_now().await;
                    }
                    *counted.lock().unwrap().entry(n).or_default() += 1;
                    Answer::of(&n)
                }
                .boxed()
            })
            .with(stream_of("all"), |call| call.items.give_all(stream::iter(0..20_000_u32)).boxed());
        let _serving = parts.serve(&provider, "numbers").await;
        let numbers = open(&caller, "numbers").await;
        for round in 0..10_u64 {
            let calls = join_all((0..300).map(|n| numbers.call("count").arg("n", &(300 * round + n)).send::<u64>()));
            let items = numbers.call("all").stream::<u32>().map(|item| item.unwrap()).collect::<Vec<_>>();
            let cuts = async {
                for line in [&near, &far] {
                    let mut states = if std::ptr::eq(line, &near) { caller.watch_state() } else { provider.watch_state() };
                    line.cut();
                    while states.changed().await != State::Connected {}
                }
            };
            let ((results, items), ()) = join(join(calls, items), cuts).await;
            assert!(results.into_iter().map(Result::unwrap).eq(300 * round..300 * round + 300));
            assert!(items.into_iter().eq(0..20_000));
        }
        let times = times.lock().unwrap();
        assert!(times.len() == 3000 && times.values().all(|times| *times == 1));
    });
}

#[test]
fn methods_of_a_blocking_provider_may_block_their_threads() {
    let (_broker, manager) = connected();
    let manager = blocking::Manager::from(manager);
    let meeting = Arc::new(std::sync::Barrier::new(3));
    let parts = Parts::default()
        .with(method("meet"), move |_| {
            let meeting = meeting.clone();
            async move { Answer::of(&meeting.wait().is_leader()) }.boxed()
        })
        .with(stream_of("all"), |call| call.items.give_all(stream::iter(0_u32..)).boxed());
    let serving = manager.serve("place", Arc::new(parts)).start().unwrap();
    let place = manager.object("place").open().unwrap();
    let leaders = std::thread::scope(|scope| {
        let meet = || place.call("meet").send::<bool>().unwrap();
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(meet)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|leads| *leads).count()
    });
    assert_eq!(leaders, 1);
    let items: Vec<u32> = place.call("all").stream().take(1000).collect::<Result<_, _>>().unwrap();
    assert!(items.into_iter().eq(0..1000));
    assert_eq!(place.describe().unwrap().calls, 4);
    serving.stop().unwrap();
}

#[test]
fn an_answer_that_does_not_fit_its_method_fails_that_call_only() {
    let broker = TestBroker::start_with(|config| config.limits.payload_bytes = 1 << 20);
    let manager = connect(&broker);
    block_on(async {
        let parts = doubler()
            .with(method("ends"), |_| async { Answer::Ended }.boxed())
            .with(stream_of("results"), |_| async { Answer::of(&1) }.boxed())
            .with(method("large"), |_| async { Answer::Result(Raw::from(vec![0; 2 << 20])) }.boxed());
        let _serving = parts.serve(&manager, "odd").await;
        let odd = open(&manager, "odd").await;
        let ends = odd.call("ends").send::<()>();
        let results = odd.call("results").stream::<u32>().into_future();
        let large = odd.call("large").send::<Raw>();
        let doubled = odd.call("double").arg("n", &4).send::<u32>();
        let ((ends, (results, _)), (large, doubled)) = join(join(ends, results), join(large, doubled)).await;
        let kind = |error: CallError<Failed>| match error {
            CallError::Other(failed) => failed.kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(ends.unwrap_err()), Failed::METHOD);
        assert_eq!(kind(results.unwrap().unwrap_err()), Failed::METHOD);
        assert!(matches!(large.unwrap_err().fault(), Some(Fault::ResultTooLarge { size: 2097152, limit: 1048576 })));
        assert_eq!(doubled.unwrap(), 8);
    });
}

#[test]
fn what_a_provider_has_not_begun_goes_to_another_one() {
    let (broker, manager) = connected();
    let others = [connect(&broker), connect(&broker)];
    block_on(async {
        let parts = |answer: fn() -> Answer| Parts::default().with(method("ask"), move |_| async move { answer() }.boxed());
        let _unwilling = parts(|| Answer::NotBegun).serve(&others[0], "oracle").await;
        let _willing = parts(|| Answer::of(&7)).serve(&others[1], "oracle").await;
        let oracle = open(&manager, "oracle").await;
        let answers = join_all((0..100).map(|_| oracle.call("ask").send::<u32>())).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap() == 7));
    });
}

#[test]
fn handles_of_threads_are_values_too() {
    let (broker, manager) = connected();
    let (manager, other) = (blocking::Manager::from(manager), blocking::Manager::from(connect(&broker)));
    let talks: blocking::Kv<blocking::End<u32>> = manager.kv("talks").create().unwrap();
    let talk = manager.channel::<u32>("talk").create().unwrap();
    talks.put("b", talk.b()).unwrap();
    let mut end = other.kv::<blocking::End<u32>>("talks").open().unwrap().get("b").unwrap().unwrap();
    talk.a().send(7).unwrap();
    assert_eq!(end.receive().unwrap(), 7);

    let numbers: blocking::Array<u16> = manager.array("numbers").length(3).create().unwrap();
    let settings = manager.kv::<u32>("settings").create().unwrap();
    let all = manager.raw_queue("all").create().unwrap();
    all.put((numbers, settings.value("workers"), manager.lock("door").create().unwrap()).encode().unwrap()).unwrap();
    type All = (blocking::Array<u16>, blocking::Value<u32>, blocking::Lock);
    let lease = other.queue::<All>("all").open().unwrap().get().unwrap();
    let (numbers, workers, door) = &*lease;
    workers.set(4).unwrap();
    assert_eq!((numbers.len(), settings.get("workers").unwrap(), door.try_acquire().unwrap().is_some()), (3, Some(4), true));
    let wrong = other.queue::<(blocking::Array<u32>, blocking::Value<u32>, blocking::Lock)>("all").open().unwrap();
    lease.release().unwrap();
    let error = wrong.get().unwrap_err();
    assert!(error.to_string().contains("expected an array of U32, got one of U16"), "{error}");
}
