//! The command line as a stranger meets it: the real program, its output and its exit codes.

mod calls;
mod cancel;
mod processes;
mod talks;
mod up;

use crate::harness::{BURSAR, Broker, eventually, signal_process, skip};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Command, Output, Stdio},
};

/// What a command printed, and how it ended.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "stdout: {}", self.stdout);
        self.stdout
    }

    #[track_caller]
    fn json(self) -> Vec<Value> {
        self.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// As [`Ran::json`], of a command that tells its progress on stderr.
    #[track_caller]
    fn json_of_stdout(self) -> Vec<Value> {
        assert_eq!(self.code, 0, "stderr: {}", self.stderr);
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Refused with this code; the message holds these parts, and nothing is on stdout.
    #[track_caller]
    fn fails(self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "stderr: {}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in: {}", self.stderr);
        }
    }
}

/// A line of the shell, split at spaces.
fn run(broker: &Broker, line: &str) -> Ran {
    run_args(broker, &line.split(' ').collect::<Vec<_>>())
}

fn run_args(broker: &Broker, arguments: &[&str]) -> Ran {
    Ran::of(broker.cli(arguments).stdin(Stdio::null()).output().unwrap())
}

fn run_with_input(broker: &Broker, line: &str, input: &[u8]) -> Ran {
    let mut command = broker.cli(&line.split(' ').collect::<Vec<_>>());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let ran = Ran::of(child.wait_with_output().unwrap());
    feeder.join().unwrap().unwrap();
    ran
}

fn stat(broker: &Broker, queue: &str, figure: &str) -> u64 {
    run(broker, &format!("queue stats {queue} --json")).json()[0][figure].as_u64().unwrap()
}

#[test]
fn items_go_in_and_come_out_in_order() {
    let broker = Broker::start();
    assert_eq!(run(&broker, "queue put jobs hello --create").ok(), "put item 1\n");
    assert_eq!(run_with_input(&broker, "queue put jobs", b"a b\n\nc").ok(), "put 3 items\n");
    assert_eq!(run_with_input(&broker, "queue put jobs - -0", b"two\nlines\0").ok(), "put item 5\n");
    assert_eq!(run_with_input(&broker, "queue put jobs --whole", b"x\ny\n").ok(), "put item 6\n");
    assert_eq!(run(&broker, "queue put jobs first --priority 9").ok(), "put item 7\n");
    assert!(run(&broker, "queue peek jobs -n 2").ok().ends_with("hello\n"));
    assert_eq!(run(&broker, "queue get jobs -n 3 --null").ok(), "first\0hello\0a b\0");
    assert_eq!(run(&broker, "queue get jobs --all -0").ok(), "\0c\0two\nlines\0x\ny\n\0");
    assert_eq!(run(&broker, "queue join jobs --wait 0").ok(), "every item of jobs is done\n");
    run(&broker, "queue get jobs").fails(5, &["bursar: queue.get \"jobs\": the queue is empty"]);
    assert_eq!(run(&broker, "queue get jobs --all").ok(), "", "an empty queue is a drained one");
}

#[test]
fn a_large_file_survives_the_way_through_a_queue() {
    let broker = Broker::start();
    let (from, to) = (broker.directory().join("from"), broker.directory().join("to"));
    let lines: String = (0..5_000).map(|number| format!("{number} {}\n", "x".repeat(number % 50))).collect();
    std::fs::write(&from, &lines).unwrap();
    run_args(&broker, &["queue", "put", "jobs", "--create", "-f", from.to_str().unwrap()]).ok();
    run_args(&broker, &["queue", "get", "jobs", "--all", "-o", to.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(&to).unwrap(), lines);
    assert_eq!((stat(&broker, "jobs", "done"), stat(&broker, "jobs", "unfinished")), (5_000, 0));
}

#[test]
fn payloads_are_shown_as_what_they_are() {
    let broker = Broker::start();
    run_args(&broker, &["queue", "put", "jobs", "--create", "--json-items", r#"{"n": [1]}"#]).ok();
    run_with_input(&broker, "queue put jobs --whole", b"\xff\x00").ok();
    let items = run(&broker, "queue get jobs --all --json").json();
    assert_eq!(items[0], json!({"id": 1, "attempt": 1, "codec": "json", "value": {"n": [1]}}));
    assert_eq!(items[1], json!({"id": 2, "attempt": 1, "codec": "raw", "base64": "/wA="}));
    run(&broker, "queue put jobs hello --json-items").fails(2, &["expected JSON, found \"hello\""]);
}

#[test]
fn a_full_queue_says_so_and_has_what_fitted() {
    let broker = Broker::start();
    run(&broker, "objects create queue small --maxsize 2").ok();
    run(&broker, "queue put small a b c").fails(5, &["2 items were put, then", "the queue is full", "--wait"]);
    assert_eq!(stat(&broker, "small", "ready"), 2);
}

#[test]
fn a_closed_pipe_ends_quietly_and_what_was_not_written_stays() {
    let broker = Broker::start();
    // More than a pipe holds, so that the write fails.
    let items: String = (0..2_000).map(|number| format!("{number} {}\n", "x".repeat(1_000))).collect();
    run_with_input(&broker, "queue put jobs --create", items.as_bytes()).ok();
    let mut child = broker.cli(&["queue", "get", "jobs", "--all"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("0 x"));
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let (done, ready) = (stat(&broker, "jobs", "done"), stat(&broker, "jobs", "ready"));
    assert!(ready > 0, "not everything was taken");
    assert_eq!(done + ready, 2_000, "nothing is lost and nothing is held");
}

#[test]
fn work_settles_items_by_the_exit_code_of_the_command() {
    let broker = Broker::start();
    run(&broker, "objects create queue jobs --max-failures 2 --retry-delay 1ms").ok();
    run(&broker, "queue put jobs good bad-data flaky").ok();
    run(&broker, "queue close jobs").ok();
    let script = r#"read -r item; case $item in good) test "$BURSAR_QUEUE $BURSAR_ITEM_ID" = "jobs 1";; bad-data) exit 65;; flaky) exit 3;; esac"#;
    let ran = run_args(&broker, &["queue", "work", "jobs", "-j", "2", "--json", "--", "sh", "-c", script]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("1 done, 2 failed, 1 parked"), "{}", ran.stderr);
    let mut reports: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    reports.sort_by_key(|report| (report["id"].as_u64(), report["attempt"].as_u64()));
    let reports: Vec<String> =
        reports.iter().map(|report| format!("{} {} {}", report["id"], report["attempt"], report["outcome"])).collect();
    assert_eq!(reports, ["1 1 \"done\"", "2 1 \"parked\"", "3 1 \"retry\"", "3 2 \"retry\""]);
    let parked = run(&broker, "queue park list jobs --json").json();
    let why: Vec<&str> = parked.iter().map(|item| item["why"].as_str().unwrap()).collect();
    assert_eq!(parked.len(), 2);
    assert!(why.iter().any(|why| why.contains("exited with 65")), "{why:?}");
    assert_eq!(run(&broker, "queue park drop jobs 2").ok(), "dropped 1 parked items of jobs\n");
    let ran = run(&broker, "queue park drop jobs 2");
    assert_eq!(ran.code, 6);
}

#[test]
fn a_command_that_cannot_be_run_leaves_the_item_unharmed() {
    let broker = Broker::start();
    run(&broker, "queue put jobs hello --create").ok();
    run(&broker, "queue work jobs -- /no/such/command")
        .fails(1, &["/no/such/command", "cannot be run", "item 1 went back unharmed"]);
    assert_eq!((stat(&broker, "jobs", "ready"), stat(&broker, "jobs", "failures")), (1, 0));
}

/// The first signal lets running commands finish; the second kills them, and their items are there again.
#[test]
fn signals_end_work_gracefully_and_then_at_once() {
    let broker = Broker::start();
    run(&broker, "queue put jobs one two --create").ok();
    // The command tells that it runs, and ends only when it is told to.
    let go = broker.directory().join("go");
    let script = format!("echo started; until test -e {}; do sleep 0.01; done", go.display());
    let work = || {
        let arguments = ["queue", "work", "jobs", "--", "sh", "-c", &script];
        let mut child = broker.cli(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        (child, stdout)
    };

    let (mut killed, _stdout) = work();
    let mut stderr = BufReader::new(killed.stderr.take().unwrap()).lines();
    signal_process(killed.id(), Signal::TERM);
    assert!(stderr.next().unwrap().unwrap().contains("stopping when running commands have finished"));
    signal_process(killed.id(), Signal::INT);
    assert_eq!(killed.wait().unwrap().code(), Some(130));
    let figures = ["ready", "leased", "failures", "crashes"].map(|figure| stat(&broker, "jobs", figure));
    assert_eq!(figures, [2, 0, 0, 0], "unharmed");

    let (mut graceful, _stdout) = work();
    let mut stderr = BufReader::new(graceful.stderr.take().unwrap()).lines();
    signal_process(graceful.id(), Signal::INT);
    assert!(stderr.next().unwrap().unwrap().contains("stopping when running commands have finished"));
    std::fs::write(&go, "").unwrap();
    assert_eq!(graceful.wait().unwrap().code(), Some(0));
    assert_eq!((stat(&broker, "jobs", "done"), stat(&broker, "jobs", "ready")), (1, 1), "one finished, none was begun after it");
}

#[test]
fn an_interrupted_wait_takes_nothing_with_it() {
    let broker = Broker::start();
    run(&broker, "objects create queue jobs").ok();
    let waiting = |broker: &Broker| run(broker, "objects describe jobs --json").json()[0]["waiting"].as_u64().unwrap();
    let child = broker.cli(&["queue", "get", "jobs", "--wait", "forever"]).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the get waits", || waiting(&broker) == 1);
    signal_process(child.id(), Signal::INT);
    Ran::of(child.wait_with_output().unwrap()).fails(130, &["interrupted"]);
    eventually("nobody waits", || waiting(&broker) == 0);
    run(&broker, "queue put jobs hello").ok();
    assert_eq!(run(&broker, "queue get jobs").ok(), "hello\n");
}

#[test]
fn keys_and_values() {
    let broker = Broker::start();
    assert_eq!(run(&broker, "kv put settings color blue --create").ok(), "revision 1\n");
    assert_eq!(run(&broker, "kv get settings color").ok(), "blue\n");
    assert_eq!(run_with_input(&broker, "kv put settings photo -", b"a\nb").ok(), "revision 2\n");
    assert_eq!(run(&broker, "kv get settings photo --raw").ok(), "a\nb", "exactly the bytes");
    run(&broker, "kv put settings color red --if-absent").fails(7, &["\"color\" has revision 1"]);
    run(&broker, "kv put settings color red --if-revision 1").ok();
    assert_eq!(run(&broker, "kv incr settings visits").ok(), "1\n");
    assert_eq!(run(&broker, "kv incr settings visits -5").ok(), "-4\n");
    run(&broker, "kv incr settings color").fails(7, &["not an integer"]);
    let keys: Vec<Value> = run(&broker, "kv list settings --json").json().iter().map(|entry| entry["key"].clone()).collect();
    assert_eq!(keys, ["color", "photo", "visits"]);
    assert_eq!(run(&broker, "kv delete settings photo").ok(), "deleted photo\n");
    run(&broker, "kv delete settings photo").fails(6, &["no key \"photo\"", "bursar kv list settings"]);
    run(&broker, "kv get settings photo").fails(6, &["no key \"photo\""]);
}

#[test]
fn a_watch_prints_changes_as_they_happen() {
    let broker = Broker::start();
    run(&broker, "kv put settings a/x 1 --create").ok();
    let arguments = ["kv", "watch", "settings", "--since", "start", "--prefix", "a/", "--json"];
    let mut child = broker.cli(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |event: &str, key: &str| loop {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert!(!line["key"].as_str().is_some_and(|key| key.starts_with("b/")), "outside of the prefix: {line}");
        if line["event"] == event && line["key"].as_str().unwrap_or_default() == key {
            return line;
        }
    };
    assert_eq!(until("put", "a/x")["value"], "1");
    until("synced", "");
    run(&broker, "kv put settings b/x 1").ok();
    run(&broker, "kv put settings a/y 2").ok();
    assert_eq!(until("put", "a/y")["value"], "2");
    run(&broker, "kv delete settings a/x").ok();
    assert_eq!(until("delete", "a/x")["cause"], "delete");
    signal_process(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_watch_of_one_key_prints_values_that_another_command_can_read() {
    let broker = Broker::start();
    for line in ["kv put settings color red --create", "kv put settings colors many", "kv put settings color blue"] {
        run(&broker, line).ok();
    }
    run(&broker, "kv delete settings color").ok();
    run_args(&broker, &["kv", "put", "settings", "color", "[1, 2]", "--json-value"]).ok();
    assert_eq!(run(&broker, "kv watch settings color --since 0 --values -n 3").ok(), "red\nblue\n[1,2]\n");
    assert_eq!(
        run(&broker, "kv watch settings color --since 0 -n 4").ok(),
        "1 put color red\n3 put color blue\n4 delete color (delete)\n5 put color [1,2]\n"
    );
    assert_eq!(run(&broker, "kv watch settings --prefix colo --since start -n 2 --values").ok(), "[1,2]\nmany\n");
    run(&broker, "kv watch settings --since 99 -n 1").fails(2, &["after"]);
    run(&broker, "kv watch nothing -n 1").fails(6, &["nothing"]);
}

#[test]
fn a_watch_whose_reader_has_seen_enough_ends_quietly() {
    let broker = Broker::start();
    run(&broker, "kv put settings color red --create").ok();
    let mut command = broker.cli(&["kv", "watch", "settings", "--since", "0", "--values"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "red\n", "it is printed at once, though nothing follows");
    drop(stdout);
    run(&broker, "kv put settings color blue").ok();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

/// Whoever names an object on the command line means it as it is, with whatever options it was made.
#[test]
fn objects_with_options_of_their_own_are_opened_as_they_are() {
    let broker = Broker::start_with(&["--queue", "jobs:maxsize=5,retry_delay=2s", "--kv", "settings:max_keys=9"]);
    run(&broker, "queue put jobs hello").ok();
    run(&broker, "queue put jobs hello --create").ok();
    run(&broker, "kv put settings color blue").ok();
    let described = &run(&broker, "objects describe jobs --json").json()[0];
    assert_eq!((&described["options"]["maxsize"], &described["options"]["retry_delay_ms"]), (&json!(5), &json!(2000)));
    run(&broker, "objects create kv settings").fails(7, &["exists already"]);
    run(&broker, "kv get jobs x").fails(7, &["kind is queue"]);
    run(&broker, "queue get nosuch").fails(6, &["no object is named \"nosuch\""]);
    let names = |line: &str| -> Vec<Value> {
        let listed = run(&broker, line).json().remove(0);
        listed.as_array().unwrap().iter().map(|object| object["name"].clone()).collect()
    };
    assert_eq!(names("objects list --json"), ["jobs", "settings"]);
    assert_eq!(names("objects list --kind kv --json"), ["settings"]);
    run(&broker, "objects delete jobs").ok();
    assert_eq!(names("objects list --json"), ["settings"]);
    let status = &run(&broker, "status --json").json()[0];
    assert_eq!((status["pid"].as_u64(), status["objects"].as_u64()), (Some(u64::from(broker.pid())), Some(1)));
}

/// A wrong key, no key and no broker are different mistakes of the user, with different ways out.
#[test]
fn each_way_not_to_reach_a_broker_has_its_own_message_and_code() {
    let broker = Broker::start();
    let other = broker.directory().join("other");
    let generated = Ran::of(Command::new(BURSAR).arg("keygen").arg(&other).output().unwrap());
    assert_eq!(generated.ok(), format!("a new authkey is in {}\n", other.display()));
    Ran::of(Command::new(BURSAR).arg("keygen").arg(&other).output().unwrap()).fails(7, &["never overwritten"]);

    let status = |address: &str, key: &str| run_args(&broker, &["status", "--address", address, "--authkey-file", key]);
    let (address, key) = (broker.unix(), broker.key_file());
    let key = key.to_str().unwrap();
    status(broker.tcp(), key).ok();
    status(&address, other.to_str().unwrap()).fails(4, &["did not accept the authkey"]);
    status(&address, "/no/such/key").fails(4, &["/no/such/key", "cannot be read"]);
    status("unix:///no/such/bursar.sock", key).fails(3, &["no broker can be reached", "is `bursar serve` running?"]);
    status("localhost:7878", key).fails(2, &["unix:///path/to/socket or tcp://host:port"]);

    let empty = tempfile::tempdir().unwrap();
    let mut alone = Command::new(BURSAR);
    alone.arg("status").env("XDG_RUNTIME_DIR", empty.path()).env_remove("BURSAR_ADDRESS").env_remove("BURSAR_AUTHKEY_FILE");
    Ran::of(alone.output().unwrap()).fails(4, &["no authkey", "start that, or name a broker"]);
}

/// `bursar serve` in one terminal and `bursar queue put jobs hello` in another just work.
#[test]
fn serve_without_arguments_is_found_by_clients_without_arguments() {
    let runtime = tempfile::tempdir().unwrap();
    let bursar = |arguments: &[&str]| {
        let mut command = Command::new(BURSAR);
        command.args(arguments).env("XDG_RUNTIME_DIR", runtime.path());
        command.env_remove("BURSAR_ADDRESS").env_remove("BURSAR_AUTHKEY_FILE").env_remove("BURSAR_KEY_ID");
        command
    };
    let mut serve = bursar(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(serve.stdout.take().unwrap()).lines().map(Result::unwrap);
    let export = lines.find(|line| line.contains("export ")).expect("the line to paste");
    let directory = runtime.path().join("bursar");
    let expected = format!("  export BURSAR_ADDRESS=unix://{0}/bursar.sock BURSAR_AUTHKEY_FILE={0}/authkey", directory.display());
    assert_eq!(export, expected);

    Ran::of(bursar(&["queue", "put", "jobs", "--create", "hello"]).output().unwrap()).ok();
    let pasted = format!("{}; exec {BURSAR} queue get jobs", export.trim());
    let got = Command::new("sh").args(["-c", &pasted]).output().unwrap();
    assert_eq!(Ran::of(got).ok(), "hello\n");

    signal_process(serve.id(), Signal::TERM);
    assert_eq!(serve.wait().unwrap().code(), Some(0));
}

#[test]
fn every_mistake_of_a_configuration_is_reported_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bursar.toml");
    std::fs::write(&file, "lisen = []\n[limits]\nconnections = \"many\"\n[queues.\"a b\"]\n").unwrap();
    let mut serve = Command::new(BURSAR);
    serve.args(["serve", "--config", file.to_str().unwrap(), "--log-level", "loud"]).env_remove("BURSAR_ADDRESS");
    let at = |place: &str| format!("{}:{place}: ", file.display());
    let ran = Ran::of(serve.output().unwrap());
    ran.fails(2, &["4 mistakes", &at("1:1"), "did you mean listen?", &at("3:15"), &at("4:9"), "--log-level: found \"loud\""]);
}

/// A command under `bursar ... run` that says what it has, and then stays until its stdin ends.
struct Stays {
    child: std::process::Child,
    first: String,
}

impl Stays {
    fn start(broker: &Broker, line: &str) -> Stays {
        Stays::start_script(broker, line, "echo $BURSAR_FENCE $BURSAR_TOKEN; read -r code; exit $code")
    }

    fn start_script(broker: &Broker, line: &str, script: &str) -> Stays {
        Stays::of(broker.cli(&line.split(' ').chain(["--", "sh", "-c", script]).collect::<Vec<_>>()))
    }

    fn of(mut command: Command) -> Stays {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        Stays { child, first: first.trim().to_owned() }
    }

    /// Lets the command exit with this code.
    fn end(mut self, code: &str) -> Ran {
        self.child.stdin.take().unwrap().write_all(format!("{code}\n").as_bytes()).unwrap();
        self.ended()
    }

    fn ended(self) -> Ran {
        Ran::of(self.child.wait_with_output().unwrap())
    }
}

fn waiting(broker: &Broker, object: &str) -> usize {
    run(broker, &format!("waits {object} --json")).json()[0]["waits"].as_array().unwrap().len()
}

#[test]
fn a_command_runs_while_the_lock_is_held_and_its_exit_code_is_told() {
    let broker = Broker::start();
    run(&broker, "lock run deploy -- true").fails(6, &["no object is named \"deploy\""]);
    let holder = Stays::start(&broker, "lock run deploy --create");
    let (fence, token) = holder.first.split_once(' ').unwrap();
    assert_eq!(fence, format!("deploy:{token}"));
    let pid = format!("pid {}", holder.child.id());
    run(&broker, "lock run deploy --wait 0 -- echo no").fails(5, &["held by session", "bursar lock run deploy", &pid]);
    run_args(&broker, &["kv", "put", "settings", "a", "1", "--create", "--fence", fence]).ok();

    let next = broker.cli(&["lock", "run", "deploy", "--", "echo", "mine"]).stdout(Stdio::piped()).spawn().unwrap();
    eventually("somebody waits", || waiting(&broker, "deploy") == 1);
    let why = run(&broker, "why deploy").ok();
    assert!(why.starts_with("deploy (lock) is held by session ") && why.contains(&pid), "{why}");
    assert!(why.contains(&format!("1 other waits, \"bursar lock run deploy\" (pid {}), for ", next.id())), "{why}");
    let waits = run(&broker, "waits").ok();
    assert!(waits.starts_with("WHO ") && waits.contains("to acquire") && waits.contains(&pid), "{waits}");

    let fence = fence.to_owned();
    let ran = holder.end("7");
    assert_eq!((ran.code, ran.stderr.as_str()), (7, ""));
    assert_eq!(Ran::of(next.wait_with_output().unwrap()).stdout, "mine\n");
    run_args(&broker, &["kv", "put", "settings", "a", "2", "--fence", &fence]).fails(8, &["is stale"]);
    assert_eq!(run(&broker, "kv get settings a").ok(), "1\n");
    assert_eq!(run(&broker, "why deploy").ok(), "deploy (lock) is free; nobody waits\n");
}

#[test]
fn how_a_command_under_a_lock_ends_is_how_the_program_ends() {
    let broker = Broker::start();
    let ran = run_args(&broker, &["lock", "run", "deploy", "--create", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (137, ""));
    run(&broker, "lock run deploy -- no-such-command").fails(127, &["lock run deploy: \"no-such-command\" cannot be run"]);
    run(&broker, "lock run deploy -- /").fails(126, &["cannot be run"]);
    let holder = Stays::start_script(&broker, "lock run deploy", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done");
    assert_eq!(holder.first, "ready");
    signal_process(holder.child.id(), Signal::TERM);
    assert_eq!(holder.ended().code, 3, "the command got the signal, and its answer counts");
    assert_eq!(run(&broker, "why deploy").ok(), "deploy (lock) is free; nobody waits\n");
}

#[test]
fn a_command_whose_lock_is_lost_is_stopped() {
    let mut broker = Broker::start();
    let polite = Stays::start_script(&broker, "lock run a --create", "echo ready; sleep 600");
    let stubborn = Stays::start_script(&broker, "lock run b --create --grace 10ms", "trap '' TERM; echo ready; sleep 600");
    assert_eq!((polite.first.as_str(), stubborn.first.as_str()), ("ready", "ready"));
    broker.signal(Signal::KILL);
    broker.wait();
    polite.ended().fails(8, &["lock run a: lost while the command ran", "was stopped by SIGTERM"]);
    stubborn.ended().fails(8, &["lock run b: lost", "was killed"]);
}

/// A script that starts another in the background, which holds none of its pipes, says that one's id, and waits for it. SIGTERM ends
/// the first at once; the other sets its own trap.
fn with_a_second_process(trap: &str, file: &std::path::Path) -> String {
    let inner = format!("{trap}; echo $$ > {}; while :; do sleep 0.02; done", file.display());
    let ready = format!("until test -s {0}; do sleep 0.01; done; cat {0}", file.display());
    format!("sh -c '{inner}' < /dev/null > /dev/null 2>&1 & {ready}; wait")
}

/// The state of a process, as its line in /proc says it; None: there is none, or it has ended and nobody has waited for it.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(") ")?.1.chars().next().filter(|state| !['Z', 'X'].contains(state))
}

/// The shell of a command died of SIGTERM, and what it had started went on beside the next holder of the lock.
#[test]
fn a_lost_lock_ends_every_process_of_the_command() {
    let mut broker = Broker::start();
    let directory = broker.directory().to_owned();
    let file = |name: &str| directory.join(name);
    let cleaned = file("cleaned");
    let cleans = format!("trap \"echo > {}; exit\" TERM", cleaned.display());
    let polite = with_a_second_process(&cleans, &file("polite"));
    let polite = Stays::start_script(&broker, "lock run a --create --grace 1h", &polite);
    let stubborn = with_a_second_process("trap \"\" TERM", &file("stubborn"));
    let stubborn = Stays::start_script(&broker, "lock run b --create --grace 10ms", &stubborn);
    let second: u32 = stubborn.first.parse().unwrap();
    assert!(state(second).is_some());
    broker.signal(Signal::KILL);
    broker.wait();
    polite.ended().fails(8, &["lock run a: lost", "was stopped by SIGTERM"]);
    assert!(cleaned.exists(), "the second process had its time too");
    stubborn.ended().fails(8, &["lock run b: lost", "was killed"]);
    assert_eq!(state(second), None, "nothing goes on when the program has ended");
}

/// With a terminal as stdin the command is in the group of the program, which is not its own to signal.
#[test]
fn a_lost_lock_ends_every_process_of_a_command_at_a_terminal() {
    const TEST: &str = "a_lost_lock_ends_every_process_of_a_command_at_a_terminal";
    if Command::new("script").arg("--version").output().is_err() {
        return skip(TEST, "script", "it comes with util-linux");
    }
    let mut broker = Broker::start();
    let (program, second) = (broker.directory().join("program"), broker.directory().join("second"));
    std::fs::write(&program, with_a_second_process("trap \"\" TERM", &second)).unwrap();
    let line = format!("{BURSAR} lock run deploy --create --grace 10ms -- sh {}", program.display());
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &line, "/dev/null"])
        .env("BURSAR_ADDRESS", broker.unix())
        .env("BURSAR_AUTHKEY_FILE", broker.key_file());
    // The terminal is there until stdin ends.
    let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (stdin, mut stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let second: u32 = line.trim().parse().unwrap();
    assert!(state(second).is_some());
    broker.signal(Signal::KILL);
    broker.wait();
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    assert!(said.contains("lock run deploy: lost") && said.contains("was killed"), "{said}");
    assert_eq!(state(second), None);
    assert_eq!(child.wait().unwrap().code(), Some(8));
    drop(stdin);
}

/// Whether this process has inherited that a signal is ignored: then those that it starts ignore it too.
fn ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
}

/// The program died of SIGHUP and SIGQUIT, its lock went on, and the command noticed nothing.
#[test]
fn every_signal_that_asks_to_end_reaches_the_command() {
    let broker = Broker::start();
    let signals = [(Signal::TERM, "TERM"), (Signal::HUP, "HUP"), (Signal::QUIT, "QUIT")];
    for (signal, name) in signals.into_iter().filter(|(signal, _)| !ignored(*signal)) {
        let script = format!("trap 'exit 3' {name}; echo ready; while :; do sleep 0.02; done");
        let holder = Stays::start_script(&broker, "lock run deploy --create", &script);
        assert_eq!(holder.first, "ready");
        signal_process(holder.child.id(), signal);
        assert_eq!(holder.ended().code, 3, "{name}");
    }
    let outlives =
        ["-c", "trap '' HUP; exec \"$0\" lock run deploy --create -- sh -c 'echo ready; read -r code; exit $code'", BURSAR];
    let mut command = Command::new("sh");
    command.args(outlives).env("BURSAR_ADDRESS", broker.unix()).env("BURSAR_AUTHKEY_FILE", broker.key_file());
    let holder = Stays::of(command);
    signal_process(holder.child.id(), Signal::HUP);
    assert_eq!(holder.end("4").code, 4, "started as by nohup");
}

/// Ctrl-Z stopped the program alone: its lock went on, and the command noticed nothing.
#[test]
fn a_command_stops_and_goes_on_with_the_program_that_holds_its_lock() {
    let mut broker = Broker::start();
    let start = |broker: &Broker, script: &str| {
        let mut command = broker.cli(&["lock", "run", "deploy", "--create", "--", "sh", "-c", script]);
        // As a shell starts a job: in a group that somebody else of the session can continue.
        command.process_group(0);
        let holder = Stays::of(command);
        let (program, command) = (holder.child.id(), holder.first.parse::<u32>().unwrap());
        signal_process(program, Signal::TSTP);
        eventually("both are stopped", || [program, command].map(state) == [Some('T'); 2]);
        (holder, command)
    };
    let (holder, command) = start(&broker, "echo $$; read -r code; exit $code");
    signal_process(holder.child.id(), Signal::CONT);
    eventually("the command goes on", || state(command) != Some('T'));
    assert_eq!(holder.end("4").code, 4);

    let (holder, command) = start(&broker, "echo $$; exec sleep 600");
    broker.signal(Signal::KILL);
    broker.wait();
    signal_process(holder.child.id(), Signal::CONT);
    holder.ended().fails(8, &["lock run deploy: lost", "was stopped by SIGTERM"]);
    assert_eq!(state(command), None);
}

/// Between the end of connecting and the start of the command nobody listened, and a signal was swallowed.
#[test]
fn a_signal_at_any_moment_of_the_start_ends_the_program() {
    let broker = Broker::start();
    run(&broker, "lock run deploy --create -- true").ok();
    for delay_ms in 0..40 {
        let mut holder = broker.cli(&["lock", "run", "deploy", "--", "sleep", "3600"]).stderr(Stdio::null()).spawn().unwrap();
        // Not to wait for anything: each time another moment.
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        signal_process(holder.id(), Signal::TERM);
        eventually("the program has ended", || holder.try_wait().unwrap().is_some());
    }
    assert_eq!(run(&broker, "lock run deploy -- echo free").ok(), "free\n");
}

#[test]
fn readers_share_and_permits_are_counted() {
    let broker = Broker::start();
    let reader = Stays::start(&broker, "rwlock run catalog --create --read");
    assert!(!reader.first.contains(':'), "a reader has no fence: {}", reader.first);
    run(&broker, "rwlock run catalog --read --wait 0 -- true").ok();
    run(&broker, "rwlock run catalog --write --wait 0 -- true").fails(5, &["held by session"]);
    assert_eq!(reader.end("0").code, 0);
    let writer = Stays::start(&broker, "rwlock run catalog --write");
    assert!(writer.first.starts_with("catalog:"), "{}", writer.first);
    assert_eq!(writer.end("0").code, 0);

    run(&broker, "objects create semaphore signals --permits 2").ok();
    let holder = Stays::start(&broker, "semaphore run signals -n 2");
    run(&broker, "semaphore run signals --wait 0 -- true").fails(5, &["1 asked for, 0 available"]);
    assert_eq!(run(&broker, "semaphore add signals").ok(), "1\n");
    run(&broker, "semaphore consume signals --wait 0").ok();
    assert_eq!(holder.end("0").code, 0);
    assert_eq!(run(&broker, "why signals").ok(), "signals (semaphore) has 2 permits available; nobody waits\n");
}

#[test]
fn events_latches_conditions_and_barriers_let_go_who_waits() {
    let broker = Broker::start();
    let start = |line: &str| broker.cli(&line.split(' ').collect::<Vec<_>>()).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = |child: std::process::Child| Ran::of(child.wait_with_output().unwrap()).stdout;
    run(&broker, "event wait ready --create --wait 0").fails(5, &["event wait ready: it was not set in time"]);
    let waits = start("event wait ready");
    eventually("somebody waits", || waiting(&broker, "ready") == 1);
    run(&broker, "event set ready").ok();
    assert_eq!(stdout(waits), "1\n");
    assert_eq!(run(&broker, "event clear ready").ok(), "ready: cleared\n");
    assert_eq!(run(&broker, "event wait ready --after 0").ok(), "1\n", "set and cleared, and not missed");
    assert_eq!(run(&broker, "event get ready").ok(), "clear, version 1\n");

    run(&broker, "objects create latch loaded --count 2").ok();
    assert_eq!(run(&broker, "latch down loaded").ok(), "1\n");
    let waits = start("latch wait loaded");
    eventually("somebody waits", || waiting(&broker, "loaded") == 1);
    assert_eq!(run(&broker, "latch down loaded").ok(), "0\n");
    assert_eq!(stdout(waits), "loaded is open\n");

    let waits = start("condition wait delivered --create");
    eventually("somebody waits", || run(&broker, "objects list --json").ok().contains("\"waiters\":1"));
    assert_eq!(run(&broker, "condition notify delivered --all").ok(), "1\n");
    assert_eq!(stdout(waits), "delivered: notified\n");

    run(&broker, "objects create barrier step --parties 2").ok();
    let waits = start("barrier wait step");
    eventually("somebody waits", || waiting(&broker, "step") == 1);
    assert_eq!(run(&broker, "barrier wait step").ok(), "1\n");
    assert_eq!(stdout(waits), "0\n");
    run(&broker, "barrier wait step --wait 0").fails(7, &["the barrier is broken"]);
}

#[test]
fn numbers_and_lists() {
    let broker = Broker::start();
    assert_eq!(run(&broker, "counter add visits -5 --create").ok(), "-5\n");
    run(&broker, "counter cas visits 1 2").fails(7, &["it holds -5, expected 1"]);
    assert_eq!(run(&broker, "counter cas visits -5 2").ok(), "2\n");
    assert_eq!(run(&broker, "list append steps mix bake eat --create").ok(), "3\n");
    assert_eq!(run(&broker, "list insert steps 0 weigh").ok(), "4\n");
    assert_eq!(run(&broker, "list read steps -2:").ok(), "bake\neat\n");
    assert_eq!(run(&broker, "list pop steps").ok(), "eat\n");
    assert_eq!(run(&broker, "list remove steps mix").ok(), "1\n");
    run(&broker, "list get steps 9").fails(6, &["index 9 is outside of the 2 values"]);
    assert_eq!(run(&broker, "list read steps ::-1 --json").json()[0], json!({"codec": "raw", "value": "bake"}));
    run(&broker, "objects create array hits --type u8 --length 3").ok();
    assert_eq!(run(&broker, "array set hits -1 200").ok(), "200\n");
    run(&broker, "array add hits 2 100").fails(1, &["would leave the range"]);
    run(&broker, "array set hits 0 -1").fails(2, &["found \"-1\", expected a number of the array's type, u8"]);
    assert_eq!(run(&broker, "array get hits").ok(), "0\n0\n200\n");
    run(&broker, "array get steps").fails(7, &["kind is list, the request says array"]);
}

#[test]
fn help_and_completions() {
    let bursar = |arguments: &[&str]| Ran::of(Command::new(BURSAR).args(arguments).output().unwrap());
    assert!(bursar(&["--help"]).ok().contains("Exit codes:"));
    for group in ["serve", "keygen", "status"] {
        assert!(bursar(&[group, "--help"]).ok().contains("Example"), "{group}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(bursar(&["completions", shell]).ok().contains("bursar"), "{shell}");
    }
    bursar(&["queue", "git", "jobs"]).fails(2, &["get"]);
}
