//! Who starts before whom, and what happens when one does not start.

use super::probe::Log;
use bursar_lifecycle::{Group, Interrupts, Reason, Signal, Stack, parallel, sequence};
use std::{future::pending, sync::Arc, time::Duration};
use tokio::sync::{Barrier, Notify, mpsc};

/// A stack that is interrupted when it is up, as by ctrl-c.
async fn interrupted_when_up(stack: Stack, up: Arc<Notify>) -> Option<Signal> {
    let (press, interrupts) = mpsc::channel(2);
    let press_when_up = async {
        up.notified().await;
        press.send(Signal::Interrupt).await.unwrap();
        pending::<()>().await;
    };
    tokio::select! {
        ended = stack.run(Interrupts::given(interrupts)) => ended.unwrap_err().interrupt(),
        () = press_when_up => unreachable!("it never ends"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_dependency_starts_first_and_stops_last_and_the_interrupt_is_reported() {
    let (log, up) = (Log::default(), Arc::new(Notify::new()));
    let b = log.probe("b").arc();
    let told = up.clone();
    let a = log.probe("a").on(sequence![&b]).starting(move |_| {
        told.notify_one();
        async { Ok(()) }
    });
    let signal = interrupted_when_up(Stack::new(&a.arc()).unwrap(), up).await;
    assert_eq!(signal, Some(Signal::Interrupt));
    assert_eq!(log.take(), ["b started", "a started", "a stopped", "b stopped"]);
}

#[tokio::test(start_paused = true)]
async fn a_nested_list_starts_side_by_side_and_stops_in_exactly_the_reverse() {
    let (log, together, apart) = (Log::default(), Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    // Both have to be under way at once, or neither comes through.
    let pair = |name| {
        let (starts, stops) = (together.clone(), apart.clone());
        let wait = |barrier: &Arc<Barrier>| {
            let barrier = barrier.clone();
            async move {
                barrier.wait().await;
                Ok(())
            }
        };
        log.probe(name).starting(move |_| wait(&starts)).stopping(move || wait(&stops)).arc()
    };
    let (b, c, d) = (pair("b"), pair("c"), log.probe("d").arc());
    let a = log.probe("a").on(sequence![parallel![&b, &c], &d]).arc();
    let running =
        tokio::time::timeout(Duration::from_secs(1), Stack::new(&a).unwrap().start()).await.expect("side by side").unwrap();
    let mut started = log.take();
    started[..2].sort();
    assert_eq!(started, ["b started", "c started", "d started", "a started"]);
    running.stop().await.unwrap();
    let mut stopped = log.take();
    stopped[2..].sort();
    assert_eq!(stopped, ["a stopped", "d stopped", "b stopped", "c stopped"]);
}

#[tokio::test(start_paused = true)]
async fn a_shared_dependency_is_started_once_and_outlives_all_who_need_it() {
    let log = Log::default();
    let x = log.probe("x").arc();
    let (b, c) = (log.probe("b").on(sequence![&x]).arc(), log.probe("c").on(sequence![&x]).arc());
    let a = log.probe("a").on(sequence![&b, &c]).arc();
    Stack::new(&a).unwrap().start().await.unwrap().stop().await.unwrap();
    assert_eq!(
        log.take(),
        ["x", "b", "c", "a"]
            .map(|name| format!("{name} started"))
            .into_iter()
            .chain(["a", "c", "b", "x"].map(|name| format!("{name} stopped")))
            .collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn services_without_a_type_stand_in_one_list() {
    let log = Log::default();
    let nodes: Vec<bursar_lifecycle::Node> = ["b", "c", "d"].map(|name| (&log.probe(name).arc()).into()).to_vec();
    let a = log.probe("a").on(Group::sequence(&nodes)).arc();
    assert_eq!(Stack::new(&a).unwrap().services(), ["b", "c", "d", "a"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_start_what_had_started_stops_in_reverse_and_the_first_error_is_kept() {
    let log = Log::default();
    let (b, c) = (log.probe("b").arc(), log.probe("c").stopping(|| async { Err("c clings".into()) }).arc());
    let d = log.probe("d").starting(|_| async { Err("no port".into()) }).arc();
    let a = log.probe("a").on(sequence![&b, &c, &d]).arc();
    let error = Stack::new(&a).unwrap().start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the service d could not be started: no port; then the service c could not be stopped in order: c clings"
    );
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no port");
    assert_eq!(log.take(), ["b started", "c started", "b stopped"], "d and a never came up: they are not stopped");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_panics_is_a_start_that_failed() {
    let log = Log::default();
    let b = log.probe("b").arc();
    let a = log.probe("a").on(sequence![&b]).starting(|_| async { panic!("no luck") }).arc();
    let error = Stack::new(&a).unwrap().start().await.unwrap_err();
    assert_eq!(error.to_string(), "the service a could not be started: it panicked: no luck");
    assert_eq!(log.take(), ["b started", "b stopped"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_under_way_is_dropped_when_its_neighbour_fails() {
    let log = Log::default();
    let under_way = log.clone();
    let b = log.probe("b").starting(move |_| {
        let end = under_way.at_end("b dropped");
        async move {
            let _end = end;
            pending().await
        }
    });
    let c = log.probe("c").starting(|_| async {
        tokio::task::yield_now().await;
        Err("no port".into())
    });
    let a = log.probe("a").on(parallel![&b.arc(), &c.arc()]).arc();
    assert!(
        matches!(Stack::new(&a).unwrap().start().await.unwrap_err().reason(), Reason::Start { service, .. } if service == "c")
    );
    assert_eq!(log.take(), ["b dropped"]);
}

/// Whoever came up is stopped, also if nobody had time to hear that it was up.
#[tokio::test(start_paused = true)]
async fn a_start_that_succeeds_while_its_neighbour_fails_is_stopped() {
    let (log, barrier) = (Log::default(), Arc::new(Barrier::new(2)));
    let meet = |barrier: &Arc<Barrier>| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
        }
    };
    let (of_b, of_c) = (barrier.clone(), barrier);
    let c = log.probe("c").starting(move |_| {
        let met = meet(&of_c);
        async {
            met.await;
            Ok(())
        }
    });
    let b = log.probe("b").starting(move |_| {
        let met = meet(&of_b);
        async {
            met.await;
            Err("no port".into())
        }
    });
    let a = log.probe("a").on(parallel![&b.arc(), &c.arc()]).arc();
    Stack::new(&a).unwrap().start().await.unwrap_err();
    let lines = log.take();
    assert_eq!(lines.contains(&"c started".into()), lines.contains(&"c stopped".into()), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_wants_to_be_finished_is_waited_for_and_stopped() {
    let log = Log::default();
    let mut b = log.probe("b").starting(|_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    });
    b.finishes_start = true;
    let c = log.probe("c").starting(|_| async { Err("no port".into()) });
    let a = log.probe("a").on(parallel![&b.arc(), &c.arc()]).arc();
    Stack::new(&a).unwrap().start().await.unwrap_err();
    assert_eq!(log.take(), ["b started", "b stopped"]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_a_start_that_hangs() {
    let (log, up) = (Log::default(), Arc::new(Notify::new()));
    let b = log.probe("b").arc();
    let told = up.clone();
    let a = log.probe("a").on(sequence![&b]).starting(move |_| {
        told.notify_one();
        pending()
    });
    assert_eq!(interrupted_when_up(Stack::new(&a.arc()).unwrap(), up).await, Some(Signal::Interrupt));
    assert_eq!(log.take(), ["b started", "b stopped"]);
}
