//! Processes that a broker keeps, as its clients see them: on the real program, with real workers.

mod cancel;
mod checks;
mod files;
mod scaling;

use crate::harness::{BURSAR, Broker, PATIENCE, eventually};
use bursar::{
    Manager, Message, Raw,
    processes::{
        Activity, Backoff, Budget, Check, Condition, Dependency, Hooks, OBJECT, Probe, Process, Refused, Restart, Spec, Spent,
        SuperviseClient, Until, WorkerState,
    },
};
use futures_util::StreamExt;
use rustix::process::Signal;
use std::{fs, path::PathBuf, time::Duration};

/// A broker that supervises, and a client of it.
struct Stage {
    broker: Broker,
    manager: Manager,
    processes: SuperviseClient,
}

impl Stage {
    async fn new() -> Stage {
        let broker = Broker::start_with(&["--supervise"]);
        let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
        let processes = SuperviseClient::open(&manager, OBJECT).await.unwrap().within(PATIENCE);
        Stage { broker, manager, processes }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.broker.directory().join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// A command that writes a line to a file.
    fn note(&self, line: &str) -> Vec<Vec<String>> {
        vec![shell(&format!("echo {line} >> {}", self.path("notes").display()))]
    }

    /// Its clients have left: a broker that stops gives those who are there the time to finish.
    fn without_clients(self) -> Broker {
        self.broker
    }

    async fn add(&self, spec: Spec) {
        self.processes.add(spec, true).await.unwrap();
    }

    async fn until(&self, name: &str, until: Until) -> Process {
        self.processes.wait(name.into(), until).await.unwrap()
    }

    /// The first event of this sort, of those that were and come.
    async fn activity(&self, process: &str, what: &str) -> Activity {
        let mut seen = Vec::new();
        let of_this_sort = async {
            let mut events = std::pin::pin!(self.processes.activity(10_000));
            loop {
                let event = events.next().await.expect("it goes on").unwrap();
                if event.process == process && event.what == what {
                    return event;
                }
                seen.push(event);
            }
        };
        let found = tokio::time::timeout(PATIENCE, of_this_sort).await;
        found.unwrap_or_else(|_| panic!("{process} has nothing of the sort {what:?}: {seen:#?}"))
    }
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

fn sleeper(name: &str) -> Spec {
    Spec { name: name.into(), command: shell("exec sleep 100000"), ..Spec::default() }
}

fn is_there(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim().starts_with('Z'))
}

fn pid(process: &Process, worker: usize) -> u32 {
    process.workers[worker].pid.expect("it runs")
}

#[tokio::test]
async fn processes_go_up_by_what_they_depend_on_with_their_hooks_and_down_in_reverse() {
    let stage = Stage::new().await;
    let hooked = |name: &str, groups: Vec<Vec<Dependency>>| Spec {
        dependencies: groups,
        hooks: Hooks {
            before_start: stage.note(&format!("{name} before start")),
            after_start: Vec::new(),
            before_stop: stage.note(&format!("{name} before stop")),
            after_stop: stage.note(&format!("{name} after stop")),
            ..Hooks::default()
        },
        autostart: false,
        ..sleeper(name)
    };
    for name in ["b", "c", "d"] {
        stage.processes.add(hooked(name, Vec::new()), false).await.unwrap();
    }
    let on = |name: &str| Dependency::ready(name);
    stage.add(hooked("a", vec![vec![on("b"), on("c")], vec![on("d")]])).await;
    stage.until("a", Until::Ready).await;
    let up = stage.lines("notes");
    assert_eq!(up[2..], ["d before start", "a before start"]);
    assert!(up[..2].contains(&"b before start".into()) && up[..2].contains(&"c before start".into()), "{up:?}");
    stage.processes.stop(vec!["b".into(), "c".into(), "d".into()]).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        let process = stage.until(name, Until::Down).await;
        assert!(!process.wanted && process.workers[0].state == WorkerState::Stopped, "{process:?}");
    }
    let notes = stage.lines("notes");
    assert_eq!(notes[4..8], ["a before stop", "a after stop", "d before stop", "d after stop"]);
    assert_eq!(notes.len(), 12, "{notes:?}");
}

#[tokio::test]
async fn a_crash_is_explained_and_followed_by_another_start() {
    let stage = Stage::new().await;
    let script =
        format!("if mkdir {0}; then echo so long >&2; kill -SEGV $$; fi; exec sleep 100000", stage.path("once").display());
    let backoff = Backoff { first_ms: 10, ..Backoff::default() };
    stage.add(Spec { command: shell(&script), backoff, ..sleeper("web") }).await;
    let gone = stage.activity("web", "gone").await;
    let exit = gone.exit.unwrap();
    assert_eq!((exit.signal, exit.code, exit.expected, exit.last_lines), (Some(11), 139, false, vec!["so long".to_owned()]));
    assert!(exit.text.starts_with("was killed by SIGSEGV"), "{}", exit.text);
    stage.activity("web", "waiting").await;
    let process = stage.until("web", Until::Ready).await;
    stage.processes.wait("web".into(), Until::Ready).await.unwrap();
    assert_eq!(process.workers[0].last_exit.as_ref().unwrap().last_lines, ["so long"]);
    let log = stage.broker.log();
    assert!(log.contains("was killed by SIGSEGV") && log.contains("is started again in"), "{log}");
}

#[tokio::test]
async fn a_worker_says_restart_me_and_it_is_done_with_the_hooks_and_another_word_is_a_warning() {
    let stage = Stage::new().await;
    let hooks = Hooks {
        before_stop: stage.note("before stop"),
        before_restart: stage.note("before restart"),
        after_start: stage.note("after start"),
        after_restart: stage.note("after restart"),
        ..Hooks::default()
    };
    stage.add(Spec { hooks, ..sleeper("web") }).await;
    let before = pid(&stage.until("web", Until::Ready).await, 0);
    eventually("the hook has run", || stage.lines("notes") == ["after start"]);
    let control = stage.manager.raw_channel("web-control").open().await.unwrap().b();
    control.send(Raw::from("dance")).await.unwrap();
    let warning = stage.activity("web", "message").await;
    assert!(warning.text.contains("\"dance\" is not understood"), "{}", warning.text);
    control.send_with(Message::new(Raw::from("restart")).header("worker", "0"), PATIENCE).await.unwrap();
    stage.activity("web", "restarted").await;
    let process = stage.until("web", Until::Settled).await;
    assert_ne!(pid(&process, 0), before);
    assert_eq!(process.workers[0].restarts, 1);
    let all = ["after start", "before stop", "before restart", "after start", "after restart"];
    eventually("all hooks have run", || stage.lines("notes") == all);
    control.send(Raw::from("stop")).await.unwrap();
    stage.until("web", Until::Down).await;
}

#[tokio::test]
async fn a_worker_finds_its_broker_and_its_session_says_that_it_is_ready() {
    let stage = Stage::new().await;
    let command = [BURSAR, "queue", "get", "jobs", "--wait", "forever"].map(str::to_owned).into();
    let spec = Spec { command, readiness: Some(Check::new(Probe::Session)), ..sleeper("worker") };
    let other = Dependency::Object("jobs".into());
    stage.add(Spec { dependencies: vec![vec![other]], ..spec }).await;
    assert_eq!(stage.activity("worker", "waits-for").await.text, "waits for the object jobs");
    assert_eq!(stage.processes.list(false).await.unwrap()[0].waits_for, ["the object jobs"]);
    let jobs = stage.manager.queue::<String>("jobs").create().await.unwrap();
    let process = stage.until("worker", Until::Healthy).await;
    assert!(process.waits_for.is_empty());
    jobs.put("work".to_owned()).await.unwrap();
    assert_eq!(stage.activity("worker", "exited").await.exit.unwrap().code, 0);
}

#[tokio::test]
async fn a_restart_replaces_every_worker_and_scaling_adds_and_removes_some() {
    let stage = Stage::new().await;
    stage.add(Spec { workers: 2.into(), ..sleeper("web") }).await;
    let before = stage.until("web", Until::Ready).await;
    stage.processes.restart(vec!["web".into()], None).await.unwrap();
    let after = stage.until("web", Until::Settled).await;
    assert!((0..2).all(|worker| pid(&before, worker) != pid(&after, worker)), "{before:?} {after:?}");
    stage.processes.scale("web".into(), 3).await.unwrap();
    let more = stage.until("web", Until::Ready).await;
    assert_eq!((more.workers.len(), pid(&more, 0)), (3, pid(&after, 0)));
    stage.processes.signal("web".into(), 9, Some(1)).await.unwrap();
    let exit = stage.activity("web", "waiting").await;
    assert_eq!(exit.worker, Some(1));
    stage.processes.scale("web".into(), 1).await.unwrap();
    eventually("two are gone", || [1, 2].iter().all(|worker| !is_there(pid(&more, *worker))));
    assert!(stage.processes.is_alive("web".into()).await.unwrap());
    assert!(!stage.processes.is_alive("nobody".into()).await.unwrap());
    let refused = stage.processes.start(vec!["wed".into()]).await.unwrap_err();
    let nearest = Some("web".to_owned());
    assert_eq!(refused.failed(), Some(&Refused::NoSuchProcess { name: "wed".into(), nearest }));
}

#[tokio::test]
async fn another_description_takes_the_place_of_the_first_and_what_is_removed_is_gone() {
    let stage = Stage::new().await;
    stage.add(sleeper("web")).await;
    let before = pid(&stage.until("web", Until::Ready).await, 0);
    let command = shell("echo second; exec sleep 100000");
    stage.add(Spec { command: command.clone(), workers: 2.into(), ..sleeper("web") }).await;
    let process = stage.until("web", Until::Settled).await;
    assert_eq!((process.command, process.workers.len()), (command, 2));
    assert!(process.workers.iter().all(|worker| worker.pid != Some(before)));
    let lines = stage.processes.logs(vec!["web".into()], 10, true);
    let mut lines = std::pin::pin!(lines);
    assert_eq!(lines.next().await.unwrap().unwrap().text, "second");
    stage.processes.remove("web".into()).await.unwrap();
    stage.activity("web", "removed").await;
    assert_eq!(stage.processes.list(false).await.unwrap(), []);
    assert!(!is_there(before));
}

#[tokio::test]
async fn a_process_waits_for_another_to_be_completed() {
    let stage = Stage::new().await;
    let once = |name: &str, script: &str| Spec { command: shell(script), restart: Restart::OnFailure, ..sleeper(name) };
    let backoff = Backoff { first_ms: 10, ..Backoff::default() };
    let migrate = Spec { backoff, ..once("migrate", &format!("mkdir {} && exit 1; exit 0", stage.path("once").display())) };
    stage.processes.add(migrate, false).await.unwrap();
    let web = Spec { dependencies: vec![vec![Dependency::on("migrate", Condition::Completed)]], ..sleeper("web") };
    stage.add(web).await;
    stage.until("web", Until::Ready).await;
    let migrate = stage.until("migrate", Until::Down).await;
    assert_eq!(migrate.workers[0].state, WorkerState::Finished);
    assert_eq!((migrate.workers[0].restarts, migrate.workers[0].last_exit.as_ref().unwrap().code), (1, 0));
}

#[tokio::test]
async fn a_hook_that_fails_keeps_a_process_from_starting_but_not_from_stopping() {
    let stage = Stage::new().await;
    let failing = vec![shell("echo no licence >&2; exit 3")];
    let hooks = Hooks { before_start: failing.clone(), ..Hooks::default() };
    stage.add(Spec { hooks, ..sleeper("web") }).await;
    let failed = stage.activity("web", "hook-failed").await;
    assert!(failed.text.starts_with("before_start: sh -c") && failed.text.ends_with("its last words: no licence"), "{failed:?}");
    assert!(!stage.processes.is_alive("web".into()).await.unwrap());
    let hooks = Hooks { before_stop: failing, ..Hooks::default() };
    stage.add(Spec { hooks, ..sleeper("web") }).await;
    stage.until("web", Until::Ready).await;
    stage.processes.stop(vec![]).await.unwrap();
    stage.until("web", Until::Down).await;
    assert!(!stage.processes.is_alive("web".into()).await.unwrap());
}

#[tokio::test]
async fn who_comes_by_tcp_may_look_but_not_bring_commands() {
    let stage = Stage::new().await;
    stage.add(sleeper("web")).await;
    let stranger = Manager::connect(stage.broker.tcp(), stage.broker.authkey()).await.unwrap();
    let processes = SuperviseClient::open(&stranger, OBJECT).await.unwrap();
    assert_eq!(processes.list(true).await.unwrap().len(), 1);
    for refused in [
        processes.add(sleeper("evil"), true).await.unwrap_err(),
        processes.surroundings("web".into()).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(refused.failed(), Some(Refused::NotAllowed { .. })), "{refused}");
    }
    let surroundings = stage.processes.surroundings("web".into()).await.unwrap();
    assert_eq!(surroundings.environment["BURSAR_PROCESS"], "web");
    assert_eq!(surroundings.environment["BURSAR_ADDRESS"], stage.broker.unix());
}

#[tokio::test]
async fn nothing_of_a_process_is_left_when_the_broker_stops_or_is_killed() {
    for signal in [Signal::TERM, Signal::KILL] {
        let stage = Stage::new().await;
        let script = format!("setsid sleep 100000 & echo $! > {}; exec sleep 100000", stage.path("pid").display());
        stage.add(Spec { command: shell(&script), ..sleeper("web") }).await;
        let worker = pid(&stage.until("web", Until::Ready).await, 0);
        eventually("it has written down its child", || !stage.lines("pid").is_empty());
        let child = stage.lines("pid")[0].parse().unwrap();
        assert!(is_there(worker) && is_there(child));
        let mut broker = stage.without_clients();
        broker.signal(signal);
        let status = broker.wait();
        assert!(signal == Signal::KILL || status.success());
        assert!(signal == Signal::KILL || !(is_there(worker) || is_there(child)), "they are gone before the broker is");
        eventually("they are gone", || !is_there(worker) && !is_there(child));
    }
}

#[tokio::test]
async fn a_budget_that_is_everybodys_ends_the_broker_with_an_error_that_names_it() {
    let stage = Stage::new().await;
    stage.add(sleeper("web")).await;
    let worker = pid(&stage.until("web", Until::Ready).await, 0);
    let budget = Budget::new(1, Duration::from_secs(600), Spent::Everything);
    let backoff = Backoff { first_ms: 10, ..Backoff::default() };
    stage.processes.add(Spec { command: shell("exit 7"), budget, backoff, ..sleeper("bad") }, true).await.unwrap();
    let mut broker = stage.without_clients();
    assert_eq!(broker.wait().code(), Some(1), "{}", broker.log());
    assert!(broker.log().contains("the process bad has failed too often"), "{}", broker.log());
    assert!(!is_there(worker));
}

#[tokio::test]
async fn everything_is_shut_down_when_somebody_asks_for_it() {
    let stage = Stage::new().await;
    stage.add(sleeper("web")).await;
    let worker = pid(&stage.until("web", Until::Ready).await, 0);
    stage.processes.shut_down().await.unwrap();
    let mut broker = stage.without_clients();
    assert_eq!(broker.wait().code(), Some(0), "{}", broker.log());
    assert!(!is_there(worker));
}

#[tokio::test]
async fn who_does_not_listen_is_killed_after_its_time_and_a_kill_waits_for_nothing() {
    let stage = Stage::new().await;
    let is_deaf = stage.path("deaf");
    let script = format!("trap '' TERM; touch {}; while :; do sleep 100000; done", is_deaf.display());
    let deaf = Spec { command: shell(&script), ..sleeper("deaf") };
    let stop = bursar::processes::Stop { timeout_ms: 1, ..Default::default() };
    stage.add(Spec { stop, ..deaf.clone() }).await;
    eventually("it does not listen", || is_deaf.exists());
    stage.processes.stop(vec!["deaf".into()]).await.unwrap();
    stage.until("deaf", Until::Down).await;
    stage.activity("deaf", "overdue").await;
    let stop = bursar::processes::Stop { timeout_ms: 1_000_000, ..Default::default() };
    stage.add(Spec { stop, ..deaf }).await;
    stage.until("deaf", Until::Ready).await;
    stage.processes.kill(vec!["deaf".into()]).await.unwrap();
    let process = stage.until("deaf", Until::Down).await;
    assert_eq!(process.workers[0].last_exit.as_ref().unwrap().signal, Some(9));
}

#[tokio::test]
async fn a_run_is_ended_by_one_of_its_sessions() {
    let stage = Stage::new().await;
    stage.manager.queue::<String>("jobs").create().await.unwrap();
    let command = [BURSAR, "queue", "get", "jobs", "--wait", "forever"].map(str::to_owned).into();
    stage.add(Spec { command, readiness: Some(Check::new(Probe::Session)), ..sleeper("worker") }).await;
    let before = pid(&stage.until("worker", Until::Ready).await, 0);
    let status = stage.manager.status().await.unwrap();
    let session = status.sessions.iter().find(|session| session.pid == before).expect("it has a session").id;
    assert!(stage.processes.end_worker_of(session).await.unwrap());
    assert!(!is_there(before));
    assert_ne!(pid(&stage.until("worker", Until::Ready).await, 0), before);
    assert!(!stage.processes.end_worker_of(stage.manager.session_id()).await.unwrap());
}
