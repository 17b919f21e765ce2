//! The commands about processes, with a keeper that keeps none: it says what it is told to say, and writes down what is wished.

use super::Ran;
use crate::harness::{BURSAR, skip};
use bursar::{
    object::Stream,
    processes::{
        Activity, Exit, Line, OBJECT, Process, Refused, Source, Spec, Supervise, Surroundings, Until, Worker, WorkerState,
    },
};
use bursar_server::testing::TestBroker;
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::SystemTime,
};
use tokio::sync::broadcast;

/// Long enough ago that a slow test does not change how it is said: a day and an hour.
const LONG_MS: u64 = 90_000_000;

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

struct Fake {
    processes: Mutex<BTreeMap<String, Process>>,
    wishes: Mutex<Vec<String>>,
    happens: broadcast::Sender<Activity>,
    surroundings: Surroundings,
}

fn worker(number: u32, state: WorkerState) -> Worker {
    let pid = (state == WorkerState::Ready).then_some(4000 + number);
    let (started_ms, cpu_ms) = (now_ms() - LONG_MS, 61_000);
    Worker { number, state, healthy: true, pid, started_ms, cpu_ms, memory_bytes: 9 << 20, ..Worker::default() }
}

fn process(name: &str, workers: Vec<Worker>) -> Process {
    Process { name: name.into(), command: vec![format!("./{name}")], wanted: true, workers, ..Process::default() }
}

impl Fake {
    fn new() -> Fake {
        let mut failed = worker(1, WorkerState::Waiting);
        failed.restarts = 3;
        failed.last_exit = Some(Exit {
            code: 139,
            signal: Some(11),
            text: "was killed by SIGSEGV".into(),
            last_lines: vec!["bad pointer".into()],
            at_ms: now_ms() - LONG_MS,
            ..Exit::default()
        });
        let mut mailer = process("mailer", vec![]);
        mailer.waits_for = vec!["web to be ready".into()];
        let processes = [process("db", vec![worker(0, WorkerState::Ready)]), mailer];
        let web = process("web", vec![worker(0, WorkerState::Ready), failed]);
        let processes = processes.into_iter().chain([web]).map(|process| (process.name.clone(), process)).collect();
        let (happens, _) = broadcast::channel(64);
        Fake { processes: Mutex::new(processes), wishes: Mutex::default(), happens, surroundings: Surroundings::default() }
    }

    fn wish(&self, wish: String) {
        self.wishes.lock().unwrap().push(wish);
    }

    fn wishes(&self) -> Vec<String> {
        std::mem::take(&mut self.wishes.lock().unwrap())
    }

    /// What is wished comes true at once, and is told.
    fn become_so(&self, names: &[String], change: impl Fn(&mut Process)) -> Result<(), Refused> {
        let mut processes = self.processes.lock().unwrap();
        for name in names {
            let absent = Refused::NoSuchProcess { name: name.clone(), nearest: Some("web".into()) };
            let process = processes.get_mut(name).ok_or(absent)?;
            change(process);
            for worker in &process.workers {
                let text = format!("is now {:?}", worker.state).to_lowercase();
                let told = Activity { process: name.clone(), worker: Some(worker.number), text, ..Activity::default() };
                let _ = self.happens.send(told);
            }
        }
        Ok(())
    }
}

fn up(process: &mut Process) {
    process.wanted = true;
    process.workers.iter_mut().for_each(|worker| *worker = self::worker(worker.number, WorkerState::Ready));
}

fn down(process: &mut Process) {
    process.wanted = false;
    process.workers.iter_mut().for_each(|worker| *worker = self::worker(worker.number, WorkerState::Stopped));
}

impl Supervise for Fake {
    async fn add(&self, _: Spec, _: bool) -> Result<(), Refused> {
        Ok(())
    }

    async fn remove(&self, _: String) -> Result<(), Refused> {
        Ok(())
    }

    async fn list(&self, _: bool) -> Vec<Process> {
        self.processes.lock().unwrap().values().cloned().collect()
    }

    async fn start(&self, names: Vec<String>) -> Result<(), Refused> {
        self.wish(format!("start {}", names.join(" ")));
        // Its second worker fails again.
        match names == ["web"] {
            true => self.become_so(&names, |process| process.workers[1].last_exit.as_mut().unwrap().at_ms += 1),
            false => self.become_so(&names, up),
        }
    }

    async fn stop(&self, names: Vec<String>) -> Result<(), Refused> {
        self.wish(format!("stop {}", names.join(" ")));
        self.become_so(&names, down)
    }

    async fn kill(&self, names: Vec<String>) -> Result<(), Refused> {
        self.wish(format!("kill {}", names.join(" ")));
        self.become_so(&names, down)
    }

    async fn restart(&self, names: Vec<String>, worker: Option<u32>) -> Result<(), Refused> {
        self.wish(format!("restart {} {worker:?}", names.join(" ")));
        self.become_so(&names, up)
    }

    async fn scale(&self, name: String, workers: u32) -> Result<(), Refused> {
        self.wish(format!("scale {name} {workers}"));
        let all =
            |process: &mut Process| process.workers = (0..workers).map(|number| worker(number, WorkerState::Ready)).collect();
        self.become_so(&[name], all)
    }

    async fn signal(&self, name: String, signal: i32, worker: Option<u32>) -> Result<(), Refused> {
        self.wish(format!("signal {name} {signal} {worker:?}"));
        self.become_so(&[name], |_| {})
    }

    async fn wait(&self, name: String, _: Until) -> Result<Process, Refused> {
        let absent = Refused::NoSuchProcess { name: name.clone(), nearest: None };
        self.processes.lock().unwrap().get(&name).cloned().ok_or(absent)
    }

    async fn is_alive(&self, _: String) -> bool {
        true
    }

    fn logs(&self, names: Vec<String>, tail: u32, follow: bool) -> impl Stream<Item = Line> {
        let line = |process: &str, worker, source, text: &str| Line {
            process: process.into(),
            worker,
            source,
            text: text.into(),
            missed_bytes: 0,
        };
        let all = [
            line("db", 0, Source::Stdout, "ready"),
            line("web", 0, Source::Stdout, "GET /"),
            Line { missed_bytes: 2048, ..line("web", 1, Source::Stderr, "bad pointer") },
        ];
        let wanted: Vec<_> = all.into_iter().filter(|line| names.is_empty() || names.contains(&line.process)).collect();
        let past = wanted[wanted.len().saturating_sub(tail as usize)..].to_vec();
        let then = move |number: u32| line("db", 0, Source::Stdout, &number.to_string());
        let future = if follow { 0..u32::MAX } else { 0..0 };
        stream::iter(past).chain(stream::iter(future).map(then))
    }

    fn activity(&self, _: u32) -> impl Stream<Item = Activity> {
        let receiver = self.happens.subscribe();
        stream::unfold(receiver, async |mut receiver| receiver.recv().await.ok().map(|activity| (activity, receiver)))
    }

    async fn surroundings(&self, name: String) -> Result<Surroundings, Refused> {
        match name.as_str() {
            "foreign" => Ok(Surroundings { user: Some("nobody-at-all".into()), ..self.surroundings.clone() }),
            _ => Ok(self.surroundings.clone()),
        }
    }

    async fn end_worker_of(&self, _: u64) -> bool {
        false
    }

    async fn shut_down(&self) -> Result<(), Refused> {
        self.wish("shut_down".into());
        Ok(())
    }
}

/// A broker with the fake, and what its clients are told of it.
struct Play {
    broker: TestBroker,
    fake: Arc<Fake>,
}

impl Play {
    fn start() -> Play {
        Play::of(Fake::new())
    }

    fn of(fake: Fake) -> Play {
        let fake = Arc::new(fake);
        let broker = TestBroker::start_building(|builder| builder.register(OBJECT, fake.clone()));
        Play { broker, fake }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BURSAR);
        command.args(arguments).env("BURSAR_ADDRESS", self.broker.address()).env("BURSAR_AUTHKEY_FILE", self.broker.key_file());
        command.env_remove("BURSAR_CONFIG").stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Ran {
        Ran::of(self.command(&line.split(' ').collect::<Vec<_>>()).output().unwrap())
    }
}

#[test]
fn processes_are_shown_with_all_that_matters() {
    let play = Play::start();
    let expected = "\
NAME    STATE    PID   UPTIME  RESTARTS  CPU    MEM     NOTE
db/0    ready    4000  1d 1h   0         1m 1s  9.0MiB  -
mailer  waiting  -     -       -         -      -       waits for web to be ready
web/0   ready    4000  1d 1h   0         1m 1s  9.0MiB  -
web/1   waiting  -     -       3         -      -       was killed by SIGSEGV 1d 1h ago
";
    assert_eq!(play.run("ps").ok(), expected);
    assert_eq!(play.run("ps mailer").ok().lines().count(), 2);
    let [document] = &play.run("ps web --json").json()[..] else { panic!("one document") };
    assert_eq!(document[0]["workers"][1]["last_exit"]["signal"], json!(11));
    assert_eq!((&document[0]["command"], &document[0]["workers"][0]["state"]), (&json!(["./web"]), &json!("ready")));
    play.run("ps wbe").fails(6, &["there is no process \"wbe\"; there are: db, mailer, web"]);
}

#[test]
fn output_is_shown_with_whose_it_is() {
    let play = Play::start();
    let lost = "bursar   | web/1: 2.0KiB of output before this were not read in time, and are lost\n";
    let expected = format!("db/0     | ready\nweb/0    | GET /\n{lost}web/1    ! bad pointer\n");
    assert_eq!(play.run("logs").ok(), expected);
    assert_eq!(play.run("logs web -n 1 --color always").ok().matches("\u{1b}[31m!").count(), 1, "stderr is red");
    assert_eq!(play.run("logs db --json").json()[0]["source"], json!("stdout"));
    play.run("logs wbe").fails(6, &["there is no process \"wbe\""]);
}

#[test]
fn output_is_followed_for_as_long_as_somebody_reads() {
    let play = Play::start();
    let mut child = play.command(&["logs", "db", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().take(3).map(Result::unwrap).collect();
    assert_eq!(lines, ["db/0   | ready", "db/0   | 0", "db/0   | 1"]);
    assert_eq!(child.wait().unwrap().code(), Some(0), "a closed pipe is no failure");
}

#[test]
fn wishes_are_told_and_waited_for() {
    let play = Play::start();
    let ran = play.run("stop db");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "db: 1 stopped\n"));
    let ran = play.run("start db");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "db: 1 ready\n"));
    assert_eq!(play.run("kill db --no-wait").ok(), "");
    assert_eq!(play.fake.wishes(), ["stop db", "start db", "kill db"]);
    assert_eq!(play.run("restart db/0 web").stdout, "db: 1 ready\nweb: 2 ready\n");
    assert_eq!(play.run("scale web=3 db=0").stdout, "web: 3 ready\ndb: no workers\n");
    assert_eq!(play.fake.wishes(), ["restart db Some(0)", "restart web None", "scale web 3", "scale db 0"]);
    let [document] = &play.run("stop web --json --wait 1m").json_of_stdout()[..] else { panic!("one document") };
    assert_eq!(document[0]["wanted"], json!(false));
    play.run("start wbe").fails(6, &["there is no process \"wbe\"; there are: db, mailer, web"]);
    play.run("stop web --wait 5").fails(2, &["with its unit"]);
}

#[test]
fn a_process_that_does_not_come_up_is_a_failure_with_its_last_words() {
    let play = Play::start();
    let said = ["web/1 is not up: it was killed by SIGSEGV, and is waiting", "  bad pointer"];
    play.run("start web").fails(1, &said);
}

#[test]
fn signals_have_names_and_numbers() {
    let play = Play::start();
    assert_eq!(play.run("signal hup web/1 db").ok(), "web/1: SIGHUP was sent\ndb: SIGHUP was sent\n");
    assert_eq!(play.run("signal 10 db").ok(), "db: SIGUSR1 was sent\n");
    assert_eq!(play.fake.wishes(), ["signal web 1 Some(1)", "signal db 1 None", "signal db 10 None"]);
    play.run("signal TREM db").fails(2, &["did you mean SIGTERM?"]);
}

#[test]
fn a_command_runs_in_the_surroundings_of_a_process() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::new();
    let pairs = [("PORT", "8000"), ("NOTIFY_SOCKET", "/not/for/it"), ("BURSAR_AUTHKEY_FD", "99")];
    fake.surroundings.environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    fake.surroundings.directory = Some(directory.path().to_str().unwrap().to_owned());
    let play = Play::of(fake);
    let script = format!("pwd; echo $PORT ${{NOTIFY_SOCKET-none}}; {BURSAR} ps db | wc -l; read line; echo $line; exit 7");
    let mut child = play.command(&["exec", "web", "--", "sh", "-c", &script]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    let here = std::fs::canonicalize(directory.path()).unwrap();
    let expected = format!("{}\n8000 none\n2\ntyped\n", here.display());
    assert_eq!((ran.code, ran.stdout, ran.stderr), (7, expected, String::new()));
    play.run("exec foreign -- true").fails(126, &["runs as nobody-at-all", "sudo -u nobody-at-all"]);
    play.run("exec web -- /no/such/command").fails(127, &["\"/no/such/command\" cannot be run"]);
    play.run("exec web").fails(2, &["required"]);
}

#[test]
fn a_broker_without_processes_says_what_to_start() {
    let broker = crate::harness::Broker::start();
    for line in ["ps", "logs", "start", "stop", "restart", "scale web=1", "signal TERM web", "exec web -- true", "down"] {
        let expected = "this broker supervises no processes: start it with `bursar up`, or `bursar serve --supervise`";
        super::run(&broker, line).fails(6, &[expected]);
    }
}

#[test]
fn the_broker_of_the_file_that_lies_here_is_found() {
    let play = Play::start();
    let here = tempfile::tempdir().unwrap();
    let run = |line: &str, directory: &Path| {
        let mut command = Command::new(BURSAR);
        for name in ["BURSAR_ADDRESS", "BURSAR_AUTHKEY_FILE", "BURSAR_CONFIG", "BURSAR_KEY_ID"] {
            command.env_remove(name);
        }
        Ran::of(command.args(line.split(' ')).env("XDG_RUNTIME_DIR", here.path()).current_dir(directory).output().unwrap())
    };
    let (address, key) = (play.broker.address(), play.broker.key_file().display());
    std::fs::write(here.path().join("bursar.toml"), format!("listen = ['{address}']\nauthkey_file = '{key}'\n")).unwrap();
    assert_eq!(run("ps db", here.path()).ok().lines().count(), 2);
    let elsewhere = tempfile::tempdir().unwrap();
    run("ps", elsewhere.path()).fails(4, &["no authkey"]);
    let file = here.path().join("bursar.toml");
    assert_eq!(run(&format!("ps db --config {}", file.display()), elsewhere.path()).ok().lines().count(), 2);
    std::fs::write(&file, "lisen = []\n").unwrap();
    run("ps", here.path()).fails(2, &["did you mean listen?"]);
}

#[test]
fn up_needs_a_file_with_processes() {
    let here = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let mut command = Command::new(BURSAR);
        command.args(line.split(' ')).env("XDG_RUNTIME_DIR", here.path()).env_remove("BURSAR_CONFIG");
        Ran::of(command.current_dir(here.path()).output().unwrap())
    };
    run("up").fails(2, &["there is neither ./bursar.toml nor ./Procfile here", "[processes.web]"]);
    std::fs::write(here.path().join("bursar.toml"), "[queues.jobs]\n").unwrap();
    run("up").fails(2, &["the file has no processes"]);
    run("up --exit-with web -d").fails(2, &["cannot be used with"]);
}

#[test]
fn down_says_how_long_it_waits() {
    let play = Play::start();
    let pid = std::process::id();
    assert_eq!(play.run("down --wait 0").ok(), format!("the broker (pid {pid}) is to stop\n"));
    play.run("down --wait 10ms").fails(5, &["it stops; it was not gone in time"]);
    assert_eq!(play.fake.wishes(), ["shut_down", "shut_down"]);
}

#[test]
fn top_can_be_printed() {
    let play = Play::start();
    super::Ran::of(play.command(&["queue", "put", "jobs", "--create", "x"]).output().unwrap()).ok();
    let text = play.run("top --once --interval 50ms").ok();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("bursar ") && lines[0].contains(play.broker.address()), "{text}");
    assert!(lines[2].starts_with("NAME    STATE    PID   UPTIME"), "{text}");
    assert!(lines[7].starts_with("web/1 ".trim()) || lines[6].starts_with("web/1"), "{text}");
    assert!(text.contains("jobs") && text.contains("1 ready") && text.contains("0.0/s"), "{text}");
    play.run("top --json").fails(2, &["bursar ps --json"]);
    let broker = crate::harness::Broker::start();
    assert!(super::run(&broker, "top --once --interval 50ms").ok().contains("this broker supervises no processes"));
}

/// Reads what comes from a terminal until it holds this.
fn read_until(from: &mut impl Read, part: &str) -> String {
    let (mut seen, mut bytes) = (String::new(), [0; 4096]);
    while !seen.contains(part) {
        let count = from.read(&mut bytes).unwrap();
        assert!(count > 0, "{part:?} did not come: {seen:?}");
        seen += &String::from_utf8_lossy(&bytes[..count]);
    }
    seen
}

#[test]
fn top_asks_before_it_stops_something_and_leaves_the_terminal_as_it_was() {
    const TEST: &str = "top_asks_before_it_stops_something_and_leaves_the_terminal_as_it_was";
    if Command::new("script").arg("--version").output().is_err() {
        return skip(TEST, "script", "it comes with util-linux");
    }
    let play = Play::start();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &format!("stty rows 30 cols 120; {BURSAR} top; echo ended $?"), "/dev/null"]);
    terminal.env("BURSAR_ADDRESS", play.broker.address()).env("BURSAR_AUTHKEY_FILE", play.broker.key_file()).env("TERM", "xterm");
    let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut shown) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    read_until(&mut shown, "quit");
    keys.write_all(b"s").unwrap();
    read_until(&mut shown, "(y/n)");
    assert!(play.fake.wishes().is_empty());
    keys.write_all(b"y").unwrap();
    read_until(&mut shown, "to stop");
    assert_eq!(play.fake.wishes(), ["stop db"]);
    keys.write_all(b"q").unwrap();
    let rest = read_until(&mut shown, "ended 0");
    assert!(rest.contains("\u{1b}[?1049l"), "the other screen is left: {rest:?}");
    drop(keys);
    child.wait().unwrap();
}
