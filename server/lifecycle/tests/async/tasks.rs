//! What runs in the background of a service: how long, and what its end does.

use super::probe::{Log, Probe};
use bursar_lifecycle::{Context, Flaw, Outcome, Reason, Stack, sequence};
use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

/// `a` depends on `b`, which has a task.
fn with_task<F>(log: &Log, task: impl Fn(Context) -> F + Send + Sync + 'static) -> Arc<Probe>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let b = log.probe("b").starting(move |context| {
        context.add_task("tick", task(context.clone()));
        async { Ok(()) }
    });
    log.probe("a").on(sequence![&b.arc()]).arc()
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_on_after_the_start_and_is_cancelled_and_awaited_at_stop() {
    let log = Log::default();
    let of_task = log.clone();
    let a = with_task(&log, move |_| {
        let log = of_task.clone();
        async move {
            let _end = log.at_end("task gone");
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                log.add("tick");
            }
        }
    });
    let running = Stack::new(&a).unwrap().start().await.unwrap();
    log.add("start done");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    running.stop().await.unwrap();
    assert_eq!(log.take(), ["b started", "a started", "start done", "tick", "tick", "a stopped", "task gone", "b stopped"]);
}

/// What the stack says when the task of `b` ends like this.
async fn fate(log: &Log, task: impl Fn(Context) -> Outcome + Send + Sync + Clone + 'static) -> Reason {
    let a = with_task(log, move |context| {
        let task = task.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            task(context)
        }
    });
    let mut running = Stack::new(&a).unwrap().start().await.unwrap();
    assert!(running.is_running());
    let error = running.wait().await.unwrap_err();
    assert!(!running.is_running());
    assert!(error.then().is_empty(), "{error}");
    error.reason().clone()
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_panics_or_ends_brings_the_stack_down_with_its_error() {
    let log = Log::default();
    let failed = fate(&log, |_| Err("the disk is full".into())).await;
    assert_eq!(failed.to_string(), "the task tick of the service b failed: the disk is full");
    assert_eq!(log.take(), ["b started", "a started", "a stopped", "b stopped"]);
    let panicked = fate(&log, |_| panic!("index out of bounds")).await;
    assert!(matches!(&panicked, Reason::Task { flaw: Flaw::Panic(message), .. } if message == "index out of bounds"));
    assert_eq!(log.take(), ["b started", "a started", "a stopped", "b stopped"]);
    let ended = fate(&log, |_| Ok(())).await;
    assert!(matches!(&ended, Reason::Task { flaw: Flaw::Ended, .. }), "{ended}");
    assert_eq!(log.take(), ["b started", "a started", "a stopped", "b stopped"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_while_others_start_brings_the_stack_down() {
    let log = Log::default();
    let b = log.probe("b").starting(|context| {
        context.add_task("tick", async { Err("no more".into()) });
        async { Ok(()) }
    });
    let a = log.probe("a").on(sequence![&b.arc()]).starting(|_| pending()).arc();
    let error = Stack::new(&a).unwrap().start().await.unwrap_err();
    assert_eq!(error.to_string(), "the task tick of the service b failed: no more");
    assert_eq!(log.take(), ["b started", "b stopped"]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_the_stop_gets_it_and_it_is_no_error() {
    let log = Log::default();
    let a = with_task(&log, |context| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        context.request_stop();
        Ok(())
    });
    Stack::new(&a).unwrap().start().await.unwrap().wait().await.unwrap();
    assert_eq!(log.take(), ["b started", "a started", "a stopped", "b stopped"]);
}

#[tokio::test(start_paused = true)]
async fn a_graceful_task_comes_to_its_end_before_its_service_stops() {
    let log = Log::default();
    let of_task = log.clone();
    let a = log.probe("a").starting(move |context| {
        let (log, stopping) = (of_task.clone(), context.stopping().clone());
        context.add_graceful_task("flush", async move {
            stopping.cancelled().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            log.add("flushed");
            Ok(())
        });
        async { Ok(()) }
    });
    Stack::new(&a.arc()).unwrap().start().await.unwrap().stop().await.unwrap();
    assert_eq!(log.take(), ["a started", "flushed", "a stopped"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_graceful_task_cannot_finish_is_an_error_behind_the_first() {
    let log = Log::default();
    let a = log.probe("a").starting(move |context| {
        let stopping = context.stopping().clone();
        context.add_task("tick", async { Err("first".into()) });
        context.add_graceful_task("flush", async move {
            stopping.cancelled().await;
            Err("second".into())
        });
        async { Ok(()) }
    });
    // Whether it was up before its task failed is a matter of luck; what comes of it is not.
    let error = match Stack::new(&a.arc()).unwrap().start().await {
        Ok(mut running) => running.wait().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(
        error.to_string(),
        "the task tick of the service a failed: first; then the task flush of the service a failed: second"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_added_when_the_service_stops_never_runs() {
    let (log, kept) = (Log::default(), Arc::new(Mutex::new(None::<Context>)));
    let keep = kept.clone();
    let a = log.probe("a").starting(move |context| {
        *keep.lock().unwrap() = Some(context);
        async { Ok(()) }
    });
    Stack::new(&a.arc()).unwrap().start().await.unwrap().stop().await.unwrap();
    let context = kept.lock().unwrap().take().unwrap();
    let late = log.clone();
    context.add_task("late", async move {
        late.add("late");
        Ok(())
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(log.take(), ["a started", "a stopped"]);
}
