//! The verbs of processes and the side of a worker, with a supervisor that only listens.

use super::*;
use crate::{Fault, Manager, Message, Raw, Wait, blocking, blocking::block_on, object::Serving};
use bursar_server::testing::TestBroker;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// Supervises nothing, and keeps what it is told.
#[derive(Default)]
struct Fake {
    wishes: Mutex<Vec<String>>,
}

impl Fake {
    fn hear(&self, wish: String) -> Result<(), Refused> {
        self.wishes.lock().push(wish);
        Ok(())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.wishes.lock())
    }
}

impl Supervise for Fake {
    async fn add(&self, spec: Spec, start: bool) -> Result<(), Refused> {
        if spec.command.is_empty() {
            return Err(Refused::BadSpec { name: spec.name, problem: "it has no command".into() });
        }
        self.hear(format!("add {} {start}", spec.name))
    }

    async fn remove(&self, name: String) -> Result<(), Refused> {
        self.hear(format!("remove {name}"))
    }

    async fn list(&self, usage: bool) -> Vec<Process> {
        let named = |name: &str| Process { name: name.into(), wanted: usage, ..Process::default() };
        vec![named("db"), named("web")]
    }

    async fn start(&self, names: Vec<String>) -> Result<(), Refused> {
        self.hear(format!("start {names:?}"))
    }

    async fn stop(&self, names: Vec<String>) -> Result<(), Refused> {
        self.hear(format!("stop {names:?}"))
    }

    async fn kill(&self, names: Vec<String>) -> Result<(), Refused> {
        self.hear(format!("kill {names:?}"))
    }

    async fn restart(&self, names: Vec<String>, worker: Option<u32>) -> Result<(), Refused> {
        self.hear(format!("restart {names:?} {worker:?}"))
    }

    async fn scale(&self, name: String, workers: u32) -> Result<(), Refused> {
        self.hear(format!("scale {name} {workers}"))
    }

    async fn signal(&self, name: String, signal: i32, worker: Option<u32>) -> Result<(), Refused> {
        self.hear(format!("signal {name} {signal} {worker:?}"))
    }

    async fn wait(&self, name: String, until: Until) -> Result<Process, Refused> {
        self.wishes.lock().push(format!("wait {name} {until:?}"));
        match until {
            // Nobody is ever that here.
            Until::Healthy => std::future::pending().await,
            _ => Ok(Process { name, ..Process::default() }),
        }
    }

    async fn is_alive(&self, name: String) -> bool {
        name == "web"
    }

    fn logs(&self, names: Vec<String>, tail: u32, follow: bool) -> impl Stream<Item = Line> {
        let text = format!("{names:?} {tail} {follow}");
        stream::iter([Line { text, ..Line::default() }])
    }

    fn activity(&self, past: u32) -> impl Stream<Item = Activity> {
        stream::iter((0..past).map(|number| Activity { at_ms: number.into(), ..Activity::default() }))
    }

    async fn surroundings(&self, _name: String) -> Result<Surroundings, Refused> {
        Ok(Surroundings::default())
    }

    async fn end_worker_of(&self, _session: u64) -> bool {
        false
    }

    async fn shut_down(&self) -> Result<(), Refused> {
        Err(Refused::Stopping)
    }
}

async fn served(broker: &TestBroker) -> (Manager, Arc<Fake>, Serving) {
    let manager = Manager::connect(broker.address(), broker.authkey()).await.unwrap();
    let fake = Arc::new(Fake::default());
    let serving = manager.serve(OBJECT, fake.clone()).start().await.unwrap();
    (manager, fake, serving)
}

#[test]
fn every_verb_is_the_wish_that_it_names() {
    let broker = TestBroker::start();
    block_on(async {
        let (manager, fake, _serving) = served(&broker).await;
        let processes = manager.processes();
        let spec = || Spec { name: "web".into(), command: vec!["web".into()], ..Spec::default() };
        processes.add(spec()).await?;
        processes.launch(spec()).await?;
        assert_eq!(fake.take(), ["add web false", "add web true"]);
        processes.start("web").await?;
        processes.start_all().await?;
        processes.stop("web").await?;
        processes.stop_all().await?;
        processes.kill("web").await?;
        processes.kill_all().await?;
        assert_eq!(fake.take(), ["start [\"web\"]", "start []", "stop [\"web\"]", "stop []", "kill [\"web\"]", "kill []"]);
        processes.restart("web").await?;
        processes.restart_all().await?;
        processes.restart_worker("web", 2).await?;
        processes.scale("web", 3).await?;
        processes.signal("web", 10).await?;
        processes.signal_worker("web", 1, 12).await?;
        processes.remove("web").await?;
        let wishes = ["restart [\"web\"] None", "restart [] None", "restart [\"web\"] Some(2)", "scale web 3"];
        assert_eq!(fake.take(), [&wishes[..], &["signal web 10 None", "signal web 12 Some(1)", "remove web"]].concat());
        assert_eq!(processes.terminate("web").await?.name, "web");
        processes.terminate_all().await?;
        assert_eq!(fake.take(), ["stop [\"web\"]", "wait web Down", "stop []", "wait db Down", "wait web Down"]);
        Ok::<(), Error>(())
    })
    .unwrap();
}

#[test]
fn questions_are_answered_and_streams_stream() {
    let broker = TestBroker::start();
    block_on(async {
        let (manager, _fake, _serving) = served(&broker).await;
        let processes = manager.processes();
        assert!(processes.is_alive("web").await?);
        assert!(!processes.is_alive("never heard of").await?);
        assert_eq!(processes.status("db").await?.name, "db");
        let unknown = processes.status("dbb").await.unwrap_err();
        assert!(matches!(unknown.refused(), Some(Refused::NoSuchProcess { name, .. }) if name == "dbb"), "{unknown}");
        assert!(processes.usage().await?.iter().all(|process| process.wanted), "usage was asked for");
        let lines: Vec<Line> = processes.logs("web", 7, true).await?.map(|line| line.unwrap()).collect().await;
        assert_eq!(lines[0].text, "[\"web\"] 7 true");
        assert_eq!(processes.activity(3).await?.count().await, 3);
        Ok::<(), Error>(())
    })
    .unwrap();
}

#[test]
fn a_wait_ends_when_it_is_over_and_a_refusal_says_why() {
    let broker = TestBroker::start();
    block_on(async {
        let (manager, ..) = &served(&broker).await;
        let processes = manager.processes();
        let late = processes.wait("web", Until::Healthy, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(late.to_string(), "the process \"web\" is not healthy yet: the time to wait is over");
        assert_eq!(processes.wait("web", Until::Ready, Wait::Forever).await?.name, "web");
        let refused = processes.add(Spec { name: "web".into(), ..Spec::default() }).await.unwrap_err();
        assert_eq!(refused.to_string(), "the process \"web\" cannot be kept: it has no command");
        Ok::<(), Error>(())
    })
    .unwrap();
}

#[test]
fn a_broker_that_supervises_nothing_says_so_and_later_one_that_does_is_found() {
    let broker = TestBroker::start();
    block_on(async {
        let manager = Manager::connect(broker.address(), broker.authkey()).await.unwrap();
        let processes = manager.processes();
        let error = processes.start("web").await.unwrap_err();
        let expected = format!(
            "the broker at {} supervises no processes: it does when its configuration has [processes.NAME], or it is started with --supervise",
            broker.address()
        );
        assert_eq!(error.to_string(), expected);
        let (.., _serving) = served(&broker).await;
        processes.start("web").await.unwrap();
    });
}

#[test]
fn threads_have_the_same_verbs() {
    let broker = TestBroker::start();
    let (manager, fake, _serving) = block_on(served(&broker));
    let processes = blocking::Manager::from(manager).processes();
    processes.start("web").unwrap();
    processes.restart_worker("web", 1).unwrap();
    assert_eq!(fake.take(), ["start [\"web\"]", "restart [\"web\"] Some(1)"]);
    assert!(processes.is_alive("web").unwrap());
    assert_eq!(processes.all_logs(1, false).unwrap().map(|line| line.unwrap().text).collect::<Vec<_>>(), ["[] 1 false"]);
    assert_eq!(processes.activity(2).unwrap().count(), 2);
}

/// The channels of a process, as its supervisor makes them.
async fn channels_of(manager: &Manager, process: &str) {
    for channel in [channels::active(process), channels::passive(process), channels::control(process)] {
        manager.raw_channel(&channel).create().await.unwrap();
    }
}

fn word(word: &'static str, worker: u32) -> Message<Raw> {
    Message::new(Raw { data: word.into(), codec: Raw::RAW }).header(channels::WORKER, worker.to_string())
}

#[test]
fn a_worker_speaks_to_its_supervisor_by_words_with_its_number() {
    let broker = TestBroker::start();
    block_on(async {
        let manager = Manager::connect(broker.address(), broker.authkey()).await?;
        channels_of(&manager, "web").await;
        let worker = ThisWorker::open(&manager, "web", 3).await?;
        assert_eq!((worker.process(), worker.number()), ("web", 3));
        worker.ready().await?;
        worker.restart().await?;
        worker.stop().await?;
        let mut control = manager.raw_channel(&channels::control("web")).open().await?.a();
        for expected in ["ready", "restart", "stop"] {
            let said = control.receive_message().await?;
            assert_eq!((&said.data[..], said.header("worker")), (expected.as_bytes(), Some("3")));
        }
        Ok::<(), crate::Error>(())
    })
    .unwrap();
}

#[test]
fn a_worker_hears_when_it_and_nobody_else_is_asked_to_stop() {
    let broker = TestBroker::start();
    block_on(async {
        let manager = Manager::connect(broker.address(), broker.authkey()).await?;
        channels_of(&manager, "web").await;
        let (first, second) = (ThisWorker::open(&manager, "web", 1).await?, ThisWorker::open(&manager, "web", 2).await?);
        let control = manager.processes().control("web").await.unwrap();
        control.send_with(word("dance", 1).must_be_heard(), Wait::Forever).await?;
        control.send_with(word("stop", 2).must_be_heard(), Wait::Forever).await?;
        second.stopping().await;
        second.stopping().await;
        assert_eq!((first.is_stopping(), second.is_stopping()), (false, true));
        Ok::<(), crate::Error>(())
    })
    .unwrap();
}

#[test]
fn who_was_started_by_nobody_is_no_worker() {
    let broker = TestBroker::start();
    let manager = blocking::Manager::connect(broker.address(), broker.authkey()).unwrap();
    let error = blocking::ThisWorker::from_env(&manager).unwrap_err();
    assert!(error.to_string().starts_with("BURSAR_PROCESS: is not set: no supervisor has started this process"), "{error}");
    let error = blocking::ThisWorker::open(&manager, "web", 0).unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::NoSuchObject { .. })), "{error}");
}

#[test]
fn what_goes_through_the_channels_arrives_at_the_other_side() {
    let broker = TestBroker::start();
    block_on(async {
        let manager = Manager::connect(broker.address(), broker.authkey()).await?;
        channels_of(&manager, "web").await;
        let (processes, worker) = (manager.processes(), ThisWorker::open(&manager, "web", 0).await?);
        let (heard, hears) = std::sync::mpsc::sync_channel(1);
        let passive = worker.passive::<u32>().await?;
        let _subscription = passive.on_receive(|_| true, move |number| heard.send(**number)).await?;
        processes.active::<u32>("web").await.unwrap().send(1).await?;
        processes.passive::<u32>("web").await.unwrap().send(2).await?;
        assert_eq!(worker.active::<u32>().await?.receive().await?, 1);
        assert_eq!(hears.recv(), Ok(2));
        Ok::<(), crate::Error>(())
    })
    .unwrap();
}
