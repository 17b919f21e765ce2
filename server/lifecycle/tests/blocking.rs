//! The blocking side: the order of services whose start and stop block, and tasks that are threads.

use bursar_lifecycle::{
    Flaw, Group, Outcome, Reason,
    blocking::{self, Blocking, Context, Service},
    sequence,
};
use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

type Log = Arc<Mutex<Vec<String>>>;

struct Probe {
    name: &'static str,
    log: Log,
    dependencies: Group,
    budget: Duration,
    on_start: Box<dyn Fn(&Context) -> Outcome + Send + Sync>,
}

fn probe(log: &Log, name: &'static str) -> Probe {
    let (budget, on_start) = (Duration::from_secs(10), Box::new(|_: &Context| Ok(())));
    Probe { name, log: log.clone(), dependencies: Group::none(), budget, on_start }
}

impl Probe {
    fn add(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

impl Service for Probe {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn dependencies(&self) -> Group {
        self.dependencies.clone()
    }

    fn graceful_shutdown_timeout(&self) -> Duration {
        self.budget
    }

    fn start(&self, context: &Context) -> Outcome {
        (self.on_start)(context)?;
        self.add("started");
        Ok(())
    }

    fn stop(&self) -> Outcome {
        self.add("stopped");
        Ok(())
    }
}

fn lines(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

#[test]
fn a_guard_starts_in_order_and_stops_in_reverse_when_its_scope_ends() {
    let log = Log::default();
    let b = Blocking::new(probe(&log, "b"));
    let a = Blocking::new(Probe { dependencies: sequence![&b], ..probe(&log, "a") });
    {
        let running = blocking::start(&a).unwrap();
        assert!(running.is_running());
        assert_eq!(lines(&log), ["b started", "a started"]);
    }
    assert_eq!(lines(&log), ["a stopped", "b stopped"]);
}

#[test]
fn a_thread_is_told_to_stop_and_waited_for() {
    let log = Log::default();
    let of_task = log.clone();
    let on_start = Box::new(move |context: &Context| {
        let log = of_task.clone();
        context.add_task("sweep", move |stopping| {
            assert!(stopping.wait(Duration::MAX));
            assert!(stopping.is_stopping());
            log.lock().unwrap().push("swept".into());
            Ok(())
        });
        Ok(())
    });
    let a = Blocking::new(Probe { on_start, ..probe(&log, "a") });
    blocking::start(&a).unwrap().stop().unwrap();
    assert_eq!(lines(&log), ["a started", "swept", "a stopped"]);
}

#[test]
fn a_thread_that_panics_brings_the_stack_down() {
    let log = Log::default();
    let on_start = Box::new(|context: &Context| {
        context.add_task("sweep", |_| panic!("no broom"));
        Ok(())
    });
    let b = Blocking::new(Probe { on_start, ..probe(&log, "b") });
    let a = Blocking::new(Probe { dependencies: sequence![&b], ..probe(&log, "a") });
    // It may be told before all were up.
    let error = match blocking::start(&a) {
        Ok(mut running) => running.wait().unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error.reason(), Reason::Task { flaw: Flaw::Panic(message), .. } if message == "no broom"), "{error}");
    assert_eq!(lines(&log).last().unwrap(), "b stopped");
}

#[test]
fn a_start_that_fails_stops_what_had_started() {
    let log = Log::default();
    let b = Blocking::new(probe(&log, "b"));
    let on_start = Box::new(|_: &Context| Err("no port".into()));
    let a = Blocking::new(Probe { dependencies: sequence![&b], on_start, ..probe(&log, "a") });
    assert_eq!(blocking::start(&a).unwrap_err().to_string(), "the service a could not be started: no port");
    assert_eq!(lines(&log), ["b started", "b stopped"]);
}

#[test]
fn a_thread_that_does_not_end_is_named_and_left_behind() {
    let (log, (hold, held)) = (Log::default(), mpsc::sync_channel::<()>(0));
    let held = Mutex::new(Some(held));
    let on_start = Box::new(move |context: &Context| {
        let held = held.lock().unwrap().take().unwrap();
        context.add_task("sweep", move |_| Ok(held.recv()?));
        Ok(())
    });
    let b = Blocking::new(probe(&log, "b"));
    let a = Probe { on_start, budget: Duration::from_millis(5), dependencies: sequence![&b], ..probe(&log, "a") };
    let error = blocking::start(&Blocking::new(a)).unwrap().stop().unwrap_err();
    assert!(
        matches!(error.reason(), Reason::Overrun { service, what_ran, .. } if service == "a" && what_ran == &["the task sweep"])
    );
    assert_eq!(lines(&log), ["b started", "a started", "b stopped"]);
    drop(hold);
}

#[test]
fn a_blocking_service_may_depend_on_one_that_is_not() {
    struct Quiet;
    impl bursar_lifecycle::Service for Quiet {}
    let log = Log::default();
    let quiet = Arc::new(Quiet);
    let a = Blocking::new(Probe { dependencies: sequence![&quiet], ..probe(&log, "a") });
    assert_eq!(bursar_lifecycle::Stack::new(&a).unwrap().services(), ["Quiet", "a"]);
    blocking::start(&a).unwrap().stop().unwrap();
    assert_eq!(a.name, "a", "what it is made of is there");
}
