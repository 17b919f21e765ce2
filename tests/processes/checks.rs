//! Whether workers are well: what is asked of them, what they say themselves, and what follows.

use super::{Stage, pid, shell, sleeper};
use crate::harness::{eventually, skip};
use bursar::processes::{Backoff, Check, Condition, Dependency, Probe, Spec, Until, WorkerState};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

/// So often that nobody waits for it.
const OFTEN: Duration = Duration::from_millis(10);

/// Only these tests are at this address: what they have left there is nobody else's.
const OWN_HOST: &str = "127.0.77.7:0";

fn often(probe: Probe) -> Check {
    Check::new(probe).every(OFTEN)
}

/// Started again at once.
fn soon() -> Backoff {
    Backoff { first_ms: 10, ..Backoff::default() }
}

#[tokio::test]
async fn who_waits_for_a_healthy_process_waits_for_its_readiness_and_a_failure_is_told() {
    let stage = Stage::new().await;
    let file = stage.path("ready");
    let is_there = Probe::command(["test", "-e", file.to_str().unwrap()]);
    let readiness = Some(Check { failures: 1, ..often(is_there) });
    let startup = Some(often(Probe::command(["true"])));
    stage.add(Spec { startup, readiness, ..sleeper("web") }).await;
    stage.add(Spec { dependencies: vec![vec![Dependency::on("web", Condition::Healthy)]], ..sleeper("front") }).await;
    let web = stage.until("web", Until::Ready).await;
    assert!(!web.workers[0].healthy, "it is up, and no more: {web:?}");
    assert_eq!(stage.activity("front", "waits-for").await.text, "waits for web to be healthy");
    assert!(!stage.processes.is_alive("front".into()).await.unwrap());
    fs::write(&file, "").unwrap();
    let front = stage.until("front", Until::Ready).await;
    assert!(stage.until("web", Until::Healthy).await.workers[0].healthy);
    fs::remove_file(&file).unwrap();
    let told = stage.activity("web", "unhealthy").await;
    assert!(told.text.starts_with("is not ready any more: `test -e "), "{}", told.text);
    let all = stage.processes.list(false).await.unwrap();
    let (again, web_again) = (&all[0], &all[1]);
    assert!(!web_again.workers[0].healthy && web_again.workers[0].state == WorkerState::Ready, "{web_again:?}");
    assert_eq!((pid(again, 0), pid(web_again, 0)), (pid(&front, 0), pid(&web, 0)), "nobody is replaced for it");
}

#[tokio::test]
async fn a_worker_whose_liveness_fails_is_replaced() {
    let stage = Stage::new().await;
    // Each run brings the sign of its life along; only the first one loses it.
    let (alive, asked) = (stage.path("alive"), stage.path("asked"));
    let probe = Probe::Command(shell(&format!("test -e {} && touch {}", alive.display(), asked.display())));
    let liveness = Some(Check { failures: 3, ..often(probe) });
    let command = shell(&format!("touch {}; exec sleep 100000", alive.display()));
    stage.add(Spec { command, liveness, backoff: soon(), ..sleeper("web") }).await;
    let before = stage.until("web", Until::Ready).await;
    eventually("it was found alive", || asked.exists());
    fs::remove_file(&alive).unwrap();
    let told = stage.activity("web", "unhealthy").await;
    assert_eq!((told.worker, told.pid), (Some(0), before.workers[0].pid));
    assert!(told.text.starts_with("failed 3 checks in a row, every 10 ms: "), "{}", told.text);
    stage.activity("web", "gone").await;
    let after = stage.until("web", Until::Ready).await;
    assert_ne!(pid(&after, 0), pid(&before, 0));
    assert_eq!(after.workers[0].last_exit.as_ref().unwrap().pid, before.workers[0].pid);
}

#[tokio::test]
async fn who_listens_is_ready_and_who_does_not_any_more_is_not() {
    let stage = Stage::new().await;
    let listener = TcpListener::bind(OWN_HOST).unwrap();
    let readiness = Check { failures: 1, ..often(Probe::tcp(listener.local_addr().unwrap().to_string())) };
    stage.add(Spec { readiness: Some(readiness), ..sleeper("web") }).await;
    stage.until("web", Until::Healthy).await;
    drop(listener);
    let told = stage.activity("web", "unhealthy").await;
    assert!(told.text.contains("nobody to be reached at 127.0.77.7:"), "{}", told.text);
}

/// Answers every request with a status that can be changed, and counts them. It ends with the test's process.
struct Page {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicU64>,
}

impl Page {
    fn start(status: u16) -> Page {
        let listener = TcpListener::bind(OWN_HOST).unwrap();
        let page =
            Page { address: listener.local_addr().unwrap(), status: Arc::new(AtomicU16::new(status)), asked: Arc::default() };
        let (status, asked) = (page.status.clone(), page.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                // Who asked may be gone.
                let status = status.load(Ordering::SeqCst);
                let _ = write!(stream, "HTTP/1.1 {status} So\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        page
    }

    fn check(&self) -> Check {
        Check { failures: 3, ..often(Probe::http(format!("http://{}/health", self.address))) }
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    fn becomes(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_page_says_that_a_worker_is_ready_and_lives() {
    let stage = Stage::new().await;
    let (ready, lives) = (Page::start(503), Page::start(200));
    let spec = Spec { readiness: Some(ready.check()), liveness: Some(lives.check()), backoff: soon(), ..sleeper("web") };
    stage.add(spec).await;
    eventually("it was asked again and again", || ready.asked() > 5);
    // Whoever is asked has a run, and so a place.
    assert_eq!(stage.processes.list(false).await.unwrap()[0].workers[0].state, WorkerState::Starting);
    ready.becomes(200);
    let before = stage.until("web", Until::Healthy).await;
    assert_eq!(before.workers[0].restarts, 0, "a failure before it was well is none");
    // The first answer has come when the second is asked for.
    eventually("it was found alive", || lives.asked() > 1);
    lives.becomes(500);
    let told = stage.activity("web", "unhealthy").await;
    assert!(told.text.starts_with("failed 3 checks in a row, every 10 ms: "), "{}", told.text);
    lives.becomes(200);
    assert_eq!(stage.activity("web", "gone").await.pid, before.workers[0].pid);
    assert_ne!(pid(&stage.until("web", Until::Healthy).await, 0), pid(&before, 0));
}

/// Says things by `sd_notify`, as `say("READY=1")`.
const SAY: &str = "import os, socket, time\n\
    own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
    own.connect(os.environ['NOTIFY_SOCKET'])\n\
    say = lambda text: own.send(text.encode())\n";

fn python(script: &str) -> Vec<String> {
    ["python3", "-c", &format!("{SAY}{script}")].map(str::to_owned).into()
}

fn python_is_there(test: &str) -> bool {
    let is_there = Command::new("python3").arg("--version").output().is_ok();
    if !is_there {
        skip(test, "python3", "install Python 3");
    }
    is_there
}

#[tokio::test]
async fn a_worker_says_by_itself_that_it_is_ready_and_how_it_is() {
    if !python_is_there("a_worker_says_by_itself_that_it_is_ready_and_how_it_is") {
        return;
    }
    let stage = Stage::new().await;
    let go = stage.path("go");
    let script = format!(
        "say('STATUS=loading')\nwhile not os.path.exists('{}'): time.sleep(0.005)\nsay('STATUS=serving 7\\nREADY=1')\ntime.sleep(100000)",
        go.display()
    );
    // It is not asked again: its word counts when it comes.
    let readiness = Check::new(Probe::Notify).every(Duration::from_secs(100_000));
    stage.add(Spec { command: python(&script), readiness: Some(readiness), ..sleeper("web") }).await;
    loop {
        let all = stage.processes.list(false).await.unwrap();
        if let Some(worker) = all[0].workers.first().filter(|worker| worker.status == "loading") {
            assert_eq!(worker.state, WorkerState::Starting);
            break;
        }
        tokio::time::sleep(OFTEN).await;
    }
    fs::write(go, "").unwrap();
    let process = stage.until("web", Until::Healthy).await;
    assert_eq!(process.workers[0].status, "serving 7");
    let shown = stage.broker.cli(&["ps"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("serving 7"), "{shown}");
}

#[tokio::test]
async fn a_worker_that_does_not_say_any_more_that_it_works_is_replaced() {
    if !python_is_there("a_worker_that_does_not_say_any_more_that_it_works_is_replaced") {
        return;
    }
    let stage = Stage::new().await;
    // The first one falls silent; the next ones go on.
    let script = format!(
        "say('READY=1\\nWATCHDOG=1\\nSTATUS=every ' + os.environ['WATCHDOG_USEC'])\n\
         try: os.mkdir('{}')\n\
         except FileExistsError:\n  while True: say('WATCHDOG=1'), time.sleep(0.01)\n\
         time.sleep(100000)",
        stage.path("once").display()
    );
    let liveness = Check { failures: 3, ..Check::new(Probe::Notify).every(Duration::from_millis(100)) };
    let spec = Spec { readiness: Some(Check::new(Probe::Notify)), liveness: Some(liveness), backoff: soon(), ..sleeper("web") };
    stage.add(Spec { command: python(&script), ..spec }).await;
    let told = stage.activity("web", "unhealthy").await;
    assert_eq!(told.text, "failed 3 checks in a row, every 100 ms: it has not said so by sd_notify");
    assert_eq!(told.worker, Some(0));
    stage.activity("web", "gone").await;
    let after = stage.until("web", Until::Ready).await;
    assert!(after.workers[0].restarts >= 1, "{after:?}");
    assert_eq!(after.workers[0].status, "every 100000");
}
