//! A stack for the time of a scope.

use super::probe::Log;
use bursar_lifecycle::{Reason, Stack, scope, sequence};
use futures_util::FutureExt;
use std::{future::pending, panic::AssertUnwindSafe, sync::Arc};
use tokio::sync::Notify;

#[tokio::test(start_paused = true)]
async fn services_stop_when_the_scope_ends() {
    let log = Log::default();
    let b = log.probe("b").arc();
    let a = log.probe("a").on(sequence![&b]).arc();
    let inside = log.clone();
    let value = scope(&a, async move {
        inside.add("body");
        7
    });
    assert_eq!(value.await.unwrap(), 7);
    assert_eq!(log.take(), ["b started", "a started", "body", "a stopped", "b stopped"]);
}

#[tokio::test(start_paused = true)]
async fn services_stop_when_the_scope_panics() {
    let log = Log::default();
    let a = log.probe("a").arc();
    let panic = AssertUnwindSafe(scope(&a, async { panic!("out") })).catch_unwind().await;
    let panic: Box<dyn std::any::Any + Send> = panic.map(|_: Result<(), _>| ()).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"out"));
    assert_eq!(log.take(), ["a started", "a stopped"]);
}

#[tokio::test(start_paused = true)]
async fn a_scope_ends_with_the_error_of_its_services() {
    let log = Log::default();
    let go = Arc::new(Notify::new());
    let told = go.clone();
    let a = log.probe("a").starting(move |context| {
        let told = told.clone();
        context.add_task("tick", async move {
            told.notified().await;
            Err("the disk is full".into())
        });
        async { Ok(()) }
    });
    let end = log.at_end("body dropped");
    let a = a.arc();
    let ended = scope(&a, async move {
        let _end = end;
        go.notify_one();
        pending::<()>().await
    });
    assert!(matches!(ended.await.unwrap_err().reason(), Reason::Task { .. }));
    let mut lines = log.take();
    lines[1..].sort();
    assert_eq!(lines, ["a started", "a stopped", "body dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_dropped_stops_in_the_background() {
    let (log, stopped) = (Log::default(), Arc::new(Notify::new()));
    let tell = stopped.clone();
    let b = log.probe("b").stopping(move || {
        tell.notify_one();
        async { Ok(()) }
    });
    let a = log.probe("a").on(sequence![&b.arc()]).arc();
    drop(Stack::new(&a).unwrap().start().await.unwrap());
    stopped.notified().await;
    assert!(log.has("a stopped"));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_dropped_stops_what_had_started() {
    let (log, begun, stopped) = (Log::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell_begun, tell_stopped) = (begun.clone(), stopped.clone());
    let b = log.probe("b").stopping(move || {
        tell_stopped.notify_one();
        async { Ok(()) }
    });
    let a = log.probe("a").on(sequence![&b.arc()]).starting(move |_| {
        tell_begun.notify_one();
        pending()
    });
    tokio::select! {
        _ = Stack::new(&a.arc()).unwrap().start() => unreachable!("it hangs"),
        () = begun.notified() => {}
    }
    stopped.notified().await;
}
