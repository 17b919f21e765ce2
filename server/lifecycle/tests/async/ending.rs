//! How long stopping may take, who is named when it takes longer, and what a second signal does.

use super::probe::{Log, Probe};
use bursar_lifecycle::{Interrupts, Reason, Signal, Stack, parallel, sequence};
use std::{future::pending, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

fn clings(log: &Log, name: &str) -> Probe {
    log.probe(name).stopping(pending)
}

#[tokio::test(start_paused = true)]
async fn a_service_has_ten_seconds_to_stop_unless_it_says_otherwise_and_an_overrun_names_it() {
    let log = Log::default();
    let quick = Probe { budget: Some(Duration::from_secs(3)), ..clings(&log, "quick") };
    for (service, seconds) in [(clings(&log, "slow"), 10), (quick, 3)] {
        let below = log.probe("below").arc();
        let service = service.on(sequence![&below]).arc();
        let running = Stack::new(&service).unwrap().start().await.unwrap();
        let asked = Instant::now();
        let error = running.stop().await.unwrap_err();
        assert_eq!(asked.elapsed().as_secs(), seconds);
        let Reason::Overrun { service, budget, what_ran } = error.reason() else { panic!("{error}") };
        assert_eq!((budget.as_secs(), &what_ran[..]), (seconds, &["its stop".to_owned()][..]));
        assert_eq!(log.take(), ["below started".into(), format!("{service} started"), "below stopped".into()]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_end_in_time_is_named_and_cut_off_and_its_service_not_stopped() {
    let log = Log::default();
    let of_task = log.clone();
    let below = log.probe("below").arc();
    let a = log.probe("a").on(sequence![&below]).starting(move |context| {
        let end = of_task.at_end("task gone");
        context.add_graceful_task("flush", async move {
            let _end = end;
            pending().await
        });
        async { Ok(()) }
    });
    let error = Stack::new(&a.arc()).unwrap().start().await.unwrap().stop().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the service a did not stop within 10s: the task flush still ran; it was cut off, give it a longer graceful_shutdown_timeout if it needs more"
    );
    assert_eq!(log.take(), ["below started", "a started", "task gone", "below stopped"]);
}

#[tokio::test(start_paused = true)]
async fn the_times_of_neighbours_run_at_once_and_those_of_layers_one_after_the_other() {
    let log = Log::default();
    let sides: Vec<_> = (0..50).map(|number| clings(&log, &format!("b{number}")).arc()).collect();
    let a = clings(&log, "a").on(bursar_lifecycle::Group::parallel(&sides)).arc();
    let running = Stack::new(&a).unwrap().start().await.unwrap();
    let asked = Instant::now();
    assert_eq!(running.stop().await.unwrap_err().then().len(), 50);
    assert_eq!(asked.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn the_stack_has_a_time_in_total_and_names_all_who_are_left() {
    let log = Log::default();
    let bottom = log.probe("bottom").arc();
    let of_stop = log.clone();
    let b = log.probe("b").on(sequence![&bottom]).stopping(move || {
        let end = of_stop.at_end("b cut off");
        async move {
            let _end = end;
            pending().await
        }
    });
    let (b, c) = (b.arc(), log.probe("c").arc());
    let a = log.probe("a").on(parallel![&b, &c]).arc();
    let stack = Stack::new(&a).unwrap().graceful_shutdown_timeout(Duration::from_secs(4));
    let running = stack.start().await.unwrap();
    log.take();
    let error = running.stop().await.unwrap_err();
    assert_eq!(error.to_string(), "not everything stopped within the 4s of the whole stack; cut off: bottom, b");
    assert_eq!(log.take(), ["a stopped", "c stopped", "b cut off"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_fails_or_panics_is_told_and_the_others_stop_all_the_same() {
    let log = Log::default();
    let b = log.probe("b").arc();
    let c = log.probe("c").on(sequence![&b]).stopping(|| async { panic!("not now") }).arc();
    let a = log.probe("a").on(sequence![&c]).stopping(|| async { Err("will not".into()) }).arc();
    let error = Stack::new(&a).unwrap().start().await.unwrap().stop().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the service a could not be stopped in order: will not; then the service c could not be stopped in order: it panicked: not now"
    );
    assert!(log.has("b stopped"));
}

#[tokio::test(start_paused = true)]
async fn the_second_signal_stops_at_once_and_says_who_was_cut_off() {
    let (log, (press, interrupts)) = (Log::default(), mpsc::channel(4));
    let (first, second) = (press.clone(), press);
    let below = log.probe("below").arc();
    let a = log.probe("a").on(sequence![&below]);
    let a = a.starting(move |_| {
        let press = first.clone();
        async move { Ok(press.send(Signal::Terminate).await?) }
    });
    let a = a.stopping(move || {
        let press = second.clone();
        async move {
            press.send(Signal::Interrupt).await?;
            pending().await
        }
    });
    let begun = Instant::now();
    let error = Stack::new(&a.arc()).unwrap().run(Interrupts::given(interrupts)).await.unwrap_err();
    assert_eq!(error.interrupt(), Some(Signal::Terminate));
    assert_eq!(error.to_string(), "interrupted by SIGTERM; then a second signal, SIGINT, stopped at once; cut off: below, a");
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody's time was waited for");
    assert!(!log.has("below stopped"));
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_is_stopped_at_once_waits_for_nobody() {
    let log = Log::default();
    let of_task = log.clone();
    let below = log.probe("below").arc();
    let a = log.probe("a").on(sequence![&below]).starting(move |context| {
        let end = of_task.at_end("task gone");
        context.add_graceful_task("flush", async move {
            let _end = end;
            pending().await
        });
        async { Ok(()) }
    });
    let running = Stack::new(&a.arc()).unwrap().start().await.unwrap();
    let error = running.stop_at_once().await.unwrap_err();
    assert_eq!(error.to_string(), "it was stopped at once; cut off: below, a");
    assert_eq!(log.take(), ["below started", "a started", "task gone"]);
}

#[tokio::test(start_paused = true)]
async fn who_abandons_a_stack_stops_it_at_once_and_does_not_wait() {
    let log = Log::default();
    let (there, gone) = tokio::sync::oneshot::channel::<()>();
    let there = std::sync::Mutex::new(Some(there));
    let a = log.probe("a").starting(move |context| {
        let there = there.lock().unwrap().take();
        context.add_graceful_task("flush", async move {
            let _there = there;
            pending().await
        });
        async { Ok(()) }
    });
    Stack::new(&a.arc()).unwrap().start().await.unwrap().abandon();
    assert!(gone.await.is_err(), "its task is dropped");
    assert_eq!(log.take(), ["a started"]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_before_the_first_start_is_not_lost() {
    let (log, (press, interrupts)) = (Log::default(), mpsc::channel(4));
    press.send(Signal::Interrupt).await.unwrap();
    let hangs = log.probe("hangs").starting(|_| pending()).arc();
    let error = Stack::new(&hangs).unwrap().run(Interrupts::given(interrupts)).await.unwrap_err();
    assert_eq!(error.interrupt(), Some(Signal::Interrupt));
}

#[tokio::test(start_paused = true)]
async fn a_signal_after_a_failure_leaves_the_failure_first() {
    let (log, (press, interrupts)) = (Log::default(), mpsc::channel(4));
    let press = Arc::new(press);
    let a = log.probe("a").starting(|_| async { Err("no port".into()) });
    let b = log.probe("b").stopping(move || {
        let press = press.clone();
        async move {
            press.send(Signal::Interrupt).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        }
    });
    let a = a.on(sequence![&b.arc()]).arc();
    let error = Stack::new(&a).unwrap().run(Interrupts::given(interrupts)).await.unwrap_err();
    assert_eq!(error.to_string(), "the service a could not be started: no port; then interrupted by SIGINT");
    assert_eq!(error.interrupt(), None);
    assert!(log.has("b stopped"), "the first signal stops gracefully");
}
