//! Every example runs, against a real broker, and says what it should.

use bursar_server::{
    config::{Config, Flags},
    testing::TestBroker,
};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Lines, Read, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

const PRODUCER: &str = env!("CARGO_BIN_EXE_producer");
const CONSUMER: &str = env!("CARGO_BIN_EXE_consumer");

/// A program that finds the broker as the environment says.
fn example(program: &str, arguments: &[&str], broker: &TestBroker) -> Command {
    let mut command = alone(program, arguments);
    command.env("BURSAR_ADDRESS", broker.address()).env("BURSAR_AUTHKEY_FILE", broker.key_file());
    command
}

/// A program that is told nothing.
fn alone(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    for variable in ["BURSAR_ADDRESS", "BURSAR_AUTHKEY_FILE", "BURSAR_AUTHKEY_FD", "BURSAR_KEY_ID", "BURSAR_CONFIG"] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Killed if the test ends before it does.
struct Running(Option<Child>);

impl Running {
    fn start(mut command: Command) -> Running {
        Running(Some(command.spawn().unwrap()))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    fn interrupt(&mut self) {
        let pid = rustix::process::Pid::from_child(self.child());
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    fn finish(mut self) -> String {
        text(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a program printed; it must have ended well.
fn text(output: Output) -> String {
    let (said, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{}\n{said}\n{errors}", output.status);
    assert_eq!(errors, "");
    said
}

fn run(mut command: Command) -> String {
    text(command.output().unwrap())
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

fn demo(arguments: &[&str]) -> String {
    run(alone(env!("CARGO_BIN_EXE_demo"), arguments))
}

#[test]
fn the_demo_over_a_unix_socket() {
    let said = demo(&["--items", "500"]);
    assert_says(&said, &["broker at unix:///", "] done producing\n", "handled 500\n", "\ndone consuming 500\n", " items/s"]);
    assert_says(&said, &["├─ broker (pid ", "├─ producer (pid ", "├─ consumer (pid ", "└─ terminator (pid "]);
}

#[test]
fn the_demo_over_tcp_with_several_consumers() {
    let said = demo(&["--tcp", "--items", "500", "--consumers", "3", "--payload", "1000"]);
    assert_says(&said, &["broker at tcp://127.0.0.1:", "\ndone consuming 500\n"]);
    assert_eq!(said.matches("the queue is closed; handled ").count(), 3, "{said}");
}

#[test]
fn the_demo_without_items() {
    assert_says(&demo(&["--items", "0"]), &["\ndone consuming 0\n"]);
}

#[test]
fn the_demo_fails_and_leaves_nothing_behind_when_one_of_its_processes_dies() {
    let mut demo = Running::start(alone(env!("CARGO_BIN_EXE_demo"), &["--items", "100000000"]));
    let mut lines = BufReader::new(demo.child().stdout.take().unwrap()).lines().map(Result::unwrap);
    let pids: Vec<i32> = lines.by_ref().skip_while(|line| !line.starts_with("├─")).take(4).map(|line| pid(&line)).collect();
    let [broker, producer, ..] = pids[..] else { panic!("{pids:?}") };
    assert_eq!(pids.len(), 4);
    kill(producer);
    assert!(!demo.child().wait().unwrap().success());
    let mut errors = String::new();
    demo.child().stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_says(&errors, &["demo: the producer failed: signal: 9"]);
    for pid in pids {
        let is_gone = rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).unwrap()).is_err();
        assert!(is_gone, "{pid} is still there (the broker is {broker})");
    }
}

/// The number in `├─ producer (pid 17)`.
fn pid(line: &str) -> i32 {
    let number = line.split_once("(pid ").and_then(|(_, rest)| rest.strip_suffix(')'));
    number.unwrap_or_else(|| panic!("no pid in {line:?}")).parse().unwrap()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn producers_and_consumers_meet_at_a_broker() {
    let broker = TestBroker::start();
    let consumer = Running::start(example(CONSUMER, &["--queue", "here"], &broker));
    assert_eq!(
        run(example(PRODUCER, &["--queue", "here", "--items", "30", "--join"], &broker)),
        "put 30 jobs into \"here\"\nall jobs are done\n"
    );
    run(example(PRODUCER, &["--queue", "here", "--items", "7", "--close"], &broker));
    let said = consumer.finish();
    assert_says(&said, &["job 30: page 30\n", "done consuming 37\n"]);
    assert_eq!(said.lines().count(), 38);
}

#[test]
fn address_and_key_may_be_options() {
    let broker = TestBroker::start();
    let key_file = broker.key_file().to_str().unwrap();
    let options = ["--address", broker.tcp_address(), "--authkey-file", key_file, "--items", "1", "--close"];
    run(alone(PRODUCER, &options));
    assert_eq!(run(example(CONSUMER, &["--quiet"], &broker)), "done consuming 1\n");
}

#[test]
fn who_was_not_told_where_the_broker_is_says_so() {
    let output = alone(PRODUCER, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_says(&String::from_utf8(output.stderr).unwrap(), &["producer: BURSAR_ADDRESS: is not set"]);
}

#[test]
fn kv() {
    let broker = TestBroker::start();
    for color in ["color is Some(\"blue\")", "color was there already"].repeat(2).chunks(2) {
        let said = run(example(env!("CARGO_BIN_EXE_kv"), &[], &broker));
        assert_says(&said, color);
        assert_says(&said, &["keys: [\"color\", \"presence\", \"token\"]", "[(\"added\", 100), (\"updated\", 100)]"]);
        assert_says(&said, &["watch: answer = 41\nwatch: answer = 42\nwatch: answer is gone (delete)\n"]);
    }
}

#[test]
fn blocking() {
    let broker = TestBroker::start();
    let said = run(example(env!("CARGO_BIN_EXE_blocking"), &["--items", "200", "--threads", "3"], &broker));
    assert_eq!(said, "the sum of 1 to 200 is 20100\n");
}

#[test]
fn a_program_that_embeds_its_broker() {
    let mut embedded = Running::start(alone(env!("CARGO_BIN_EXE_embedded_broker"), &[]));
    let mut lines = BufReader::new(embedded.child().stdout.take().unwrap()).lines().map(Result::unwrap);
    let export = lines.find(|line| line.starts_with("  export ")).expect("it says how to connect");
    let mut producer = alone(PRODUCER, &["--items", "2", "--join"]);
    for setting in export.split_whitespace().skip(1) {
        let (variable, value) = setting.split_once('=').unwrap();
        producer.env(variable, value);
    }
    assert_says(&run(producer), &["all jobs are done"]);
    embedded.interrupt();
    let mut said: Vec<String> = lines.collect();
    said.sort();
    assert_eq!(said, ["job 0: from within", "job 1: page 1", "job 2: page 2", "stopping"]);
    assert_eq!(embedded.finish(), "");
}

/// Most of the workers that are killed have a page at that moment.
#[test]
fn a_crawl_whose_workers_are_killed() {
    let broker = TestBroker::start();
    let said = run(example(env!("CARGO_BIN_EXE_crawler"), &["--pages", "400", "--workers", "3", "--kill-every", "20"], &broker));
    assert_says(&said, &["400 pages, each written exactly once, each link followed exactly once\n"]);
    let killed: u32 = said.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(killed > 0, "{said}");
}

#[test]
fn leaders_are_killed_until_nobody_is_left() {
    let broker = TestBroker::start();
    let said = run(example(env!("CARGO_BIN_EXE_leader"), &["--candidates", "3"], &broker));
    assert_eq!(said.matches(" leads\n").count(), 3, "{said}");
    assert_eq!(said.matches("what its predecessor writes is refused\n").count(), 2, "{said}");
    assert!(said.ends_with("no candidates are left\n"), "{said}");
}

#[test]
fn three_meet_and_one_prepares() {
    let broker = TestBroker::start();
    let parties: Vec<Running> =
        (0..3).map(|_| Running::start(example(env!("CARGO_BIN_EXE_rendezvous"), &["--parties", "3"], &broker))).collect();
    let said: Vec<String> = parties.into_iter().map(Running::finish).collect();
    for place in 1..=3 {
        assert_says(&said.concat(), &[&format!(" is party {place} of 3\n")]);
    }
    assert_eq!(said.concat().matches(" prepares the work\n").count(), 1, "{said:?}");
    assert!(said.iter().all(|said| said.ends_with(" has seen all others finish\n")), "{said:?}");
}

#[test]
fn workers_read_from_mirrors_what_another_process_changes() {
    let broker = TestBroker::start();
    let said = run(example(env!("CARGO_BIN_EXE_mirror"), &["--workers", "2"], &broker));
    assert_says(&said, &["the configuration is final at revision 5\n"]);
    for worker in 1..=2 {
        let heard = [2, 4, 8].map(|threads| format!("worker {worker}: threads = {threads} from now on\n"));
        let places: Vec<_> = heard.iter().map(|line| said.find(line)).collect();
        assert!(places[0].is_some() && places.is_sorted(), "{said}");
        assert_says(&said, &[&format!("worker {worker}: read threads = 8 a million times without a question\n")]);
    }
}

#[test]
fn a_process_and_its_child_talk_on_a_passive_and_an_active_channel() {
    let broker = TestBroker::start();
    let said = run(example(env!("CARGO_BIN_EXE_talk"), &["--rounds", "3", "--every-ms", "1"], &broker));
    for (asked, answered) in [("came by callback", "passive"), ("was received", "active")] {
        let places: Vec<Option<usize>> = (1..=3)
            .flat_map(|round| {
                [format!("child: {round} {asked}\n"), format!("main: {round} was answered on the {answered} channel\n")]
            })
            .map(|line| said.find(&line))
            .collect();
        assert!(places[0].is_some() && places.is_sorted(), "{said}");
    }
    assert!(said.ends_with("child: the other side has closed\n"), "{said}");
    assert_eq!(said.lines().count(), 13, "{said}");
}

#[test]
fn a_program_is_broker_parent_and_child_and_the_child_is_replaced_when_it_asks() {
    let said = run(alone(env!("CARGO_BIN_EXE_family"), &["--rounds", "5", "--every-ms", "1", "--restart-in", "2"]));
    let before = said.find("parent: before its start the child is alive: false\n");
    let rounds = (1..=5).map(|round| said.find(&format!("parent: round {round} was handled by callback in ")));
    let hook = |what: &str| said.rfind(&format!("hook: the child {what}\n"));
    let replaced = [hook("is about to be replaced"), hook("was replaced")];
    let after = said.find("parent: after its end the child is alive: false\n");
    let told: Vec<_> = [before].into_iter().chain(rounds).chain([hook("is about to stop"), after]).collect();
    assert!(told[0].is_some() && told.is_sorted(), "{said}");
    assert!(replaced[0].is_some() && replaced.is_sorted() && replaced[1] < after, "{said}");
}

/// Somebody who chats, line by line.
struct Chatter {
    running: Running,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Chatter {
    fn come(name: &str, broker: &TestBroker) -> Chatter {
        let mut command = example(env!("CARGO_BIN_EXE_chat"), &["--name", name], broker);
        command.stdin(Stdio::piped());
        let mut running = Running::start(command);
        let lines = BufReader::new(running.child().stdout.take().unwrap()).lines();
        Chatter { running, lines }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.running.child().stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    #[track_caller]
    fn sees(&mut self, line: &str) {
        assert_eq!(self.lines.next().unwrap().unwrap(), line);
    }

    #[track_caller]
    fn sees_no_more(mut self) {
        assert!(self.lines.next().is_none());
        self.running.finish();
    }
}

#[test]
fn a_chat_with_those_who_came_before() {
    let broker = TestBroker::start();
    let mut ann = Chatter::come("ann", &broker);
    ann.sees("you are in lobby; /quit leaves");
    let mut bob = Chatter::come("bob", &broker);
    bob.sees("you are in lobby; /quit leaves");
    bob.sees("| ann has come");
    ann.sees("bob has come");
    ann.types("is anybody here?");
    bob.sees("ann: is anybody here?");
    bob.types("yes");
    ann.sees("bob: yes");
    ann.types("/quit");
    bob.sees("ann has left");
    ann.sees_no_more();
    bob.types("/quit");
    bob.sees_no_more();
    let late = run(example(env!("CARGO_BIN_EXE_chat"), &["--name", "carol", "--last", "4"], &broker));
    let before = "| ann: is anybody here?\n| bob: yes\n| ann has left\n| bob has left\n";
    assert_eq!(late, format!("you are in lobby; /quit leaves\n{before}"));
}

#[test]
fn a_counter_that_one_process_serves_and_others_call() {
    const COUNTER: &str = env!("CARGO_BIN_EXE_counter");
    let broker = TestBroker::start();
    let mut provider = Running::start(example(COUNTER, &[], &broker));
    let mut lines = BufReader::new(provider.child().stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "serving sum");
    assert_eq!(run(example(COUNTER, &["5"], &broker)), "5\n");
    assert_eq!(run(example(COUNTER, &["37"], &broker)), "42\n");
    provider.interrupt();
    assert_eq!(lines.next(), None);
    assert_eq!(provider.finish(), "");
}

/// Three buyers take two of seven apples at a time.
#[test]
fn an_inventory_in_the_process_of_its_broker() {
    let said = run(alone(env!("CARGO_BIN_EXE_inventory"), &[]));
    assert_says(&said, &["on the shelf: {\"apple\": 7, \"pear\": 5}\n", "6 of 7 apples are sold\n"]);
    for left in [5, 3, 1] {
        assert_eq!(said.matches(&format!(" has got 2 of apple, {left} are left\n")).count(), 1, "{said}");
    }
    for buyer in ["ann", "ben", "eve"] {
        assert_says(&said, &[&format!("{buyer} goes home: 1 left\n")]);
    }
    assert!(said.ends_with("on the shelf: {\"apple\": 1, \"pear\": 5}\n"), "{said}");
}

/// One of the workers is killed, and what it had under way is answered by the others.
#[test]
fn a_model_of_which_a_worker_is_killed() {
    let broker = TestBroker::start();
    let said = run(example(env!("CARGO_BIN_EXE_model"), &["--workers", "3", "--questions", "300"], &broker));
    assert_says(&said, &["killing worker 0\n", "62 of the numbers below 300 are prime; "]);
    let answered = |worker| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("worker {worker} has answered ")));
        line.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    assert_eq!((0..3).map(answered).sum::<u32>(), 300, "{said}");
    assert!(answered(1) + answered(2) >= 200, "{said}");
}

#[test]
fn a_kind_of_ones_own_gives_back_what_a_session_held() {
    let said = run(alone(env!("CARGO_BIN_EXE_own_kind"), &[]));
    let seats = "Ada has seat 1\nCharles has seat 2\n";
    assert_eq!(said, format!("{seats}Bob waits, and Ada's program ends: her session gives back what it has\nBob has seat 1\n"));
}

#[test]
fn tickets_of_a_kind_and_baskets_of_a_factory_of_ones_own() {
    let said = run(alone(env!("CARGO_BIN_EXE_tickets"), &[]));
    assert_eq!(said, "ann has [1, 2]\nben has [3, 4]\n0 baskets are left\n");
}

const APP: &str = env!("CARGO_BIN_EXE_app");

/// The lines that a role of the application prints.
fn role(arguments: &[&str], broker: &TestBroker) -> (Running, impl Iterator<Item = String> + use<>) {
    let mut running = Running::start(example(APP, arguments, broker));
    let lines = BufReader::new(running.child().stdout.take().unwrap()).lines().map(Result::unwrap);
    (running, lines)
}

fn terminate(running: Running, lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut running = running;
    let pid = rustix::process::Pid::from_child(running.child());
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let said = lines.collect();
    running.finish();
    said
}

/// What was scheduled or resized, from the lines that say so.
fn photos(lines: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| line.split_once(' ').unwrap().1.to_owned())
}

/// One of two workers is killed with what it has.
#[test]
fn an_application_of_a_scheduler_workers_and_a_cleaner() {
    let broker = TestBroker::start();
    let unhealthy = example(APP, &["health"], &broker).output().unwrap();
    assert_says(&String::from_utf8(unhealthy.stderr).unwrap(), &["app: nothing was scheduled for 30s"]);
    let (scheduler, mut scheduled) = role(&["scheduler", "--every-ms", "10"], &broker);
    let mut expected: BTreeSet<String> = photos(scheduled.by_ref().take(9)).collect();
    let (mut killed, mut resized) = role(&["worker"], &broker);
    let mut done: BTreeSet<String> = photos(resized.by_ref().take(2)).collect();
    killed.child().kill().unwrap();
    done.extend(photos(resized));

    let (worker, mut resized) = role(&["worker"], &broker);
    done.extend(photos(resized.next())); // from here on it can be told to stop
    expected.extend(photos(terminate(scheduler, scheduled)));
    assert_eq!(run(example(APP, &["health"], &broker)), "");
    while !expected.is_subset(&done) {
        done.extend(photos(resized.next()));
    }
    terminate(worker, resized);
    assert_eq!(done, expected);

    let (cleaner, mut removed) = role(&["cleaner", "--keep", "2"], &broker);
    assert_eq!(removed.next().unwrap(), format!("removed {} old thumbnails", expected.len() - 2));
    assert_eq!(terminate(cleaner, removed), [""; 0]);
}

/// As its first lines say it is started: nobody fails, and with the first signal everybody stops.
#[test]
fn the_application_is_up_with_one_command() {
    let bursar = Path::new(APP).with_file_name("bursar");
    if !bursar.is_file() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is not there", bursar.display());
        eprintln!("SKIPPED the_application_is_up_with_one_command: no {}, which cargo test --workspace builds", bursar.display());
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (own, target) = (home.path().join("app"), home.path().join("target"));
    std::fs::create_dir_all(target.join("debug")).unwrap();
    std::fs::create_dir(&own).unwrap();
    for name in ["bursar.toml", "run"] {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("app").join(name), own.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(APP, target.join("debug/app")).unwrap();
    let mut command = alone(bursar.to_str().unwrap(), &["up", "--config", "app/bursar.toml"]);
    command.env("CARGO_TARGET_DIR", &target).env("XDG_RUNTIME_DIR", home.path()).current_dir(&home);
    let mut up = Running::start(command);
    let lines = BufReader::new(up.child().stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut seen = Vec::new();
    let has_failed = |line: &String| line.contains(" ! ") || line.contains("is started again");
    let mut lines = lines.inspect(|line| seen.push(line.clone()));
    for what in ["| scheduled photo-", "| resized photo-", "| removed "] {
        let line = lines.find(|line| line.contains(what) || has_failed(line));
        assert!(line.as_ref().is_some_and(|line| !has_failed(line)), "instead of {what:?}: {line:?}");
    }
    up.interrupt();
    lines.by_ref().for_each(drop);
    drop(lines);
    assert!(up.child().wait().unwrap().success(), "{seen:#?}");
    assert!(!seen.iter().any(has_failed), "{seen:#?}");
    for process in ["worker/0", "worker/1", "scheduler/0", "cleaner/0"] {
        assert!(seen.iter().any(|line| line.contains(&format!("{process} has stopped"))), "{process}: {seen:#?}");
    }
}

/// A configuration that nobody reads rots.
#[test]
fn the_files_of_the_application_name_its_roles() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("app").join(name);
        Config::read(&Flags { config: Some(path), ..Flags::default() }).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    };
    let (toml, procfile) = (read("bursar.toml"), read("Procfile"));
    let names = |config: &Config| config.processes.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&toml), ["worker", "scheduler", "cleaner"]);
    assert_eq!(names(&toml), names(&procfile));
    for (spec, short) in toml.processes.iter().zip(&procfile.processes) {
        assert_eq!(spec.command, ["./run", &spec.name]);
        assert!(short.command[2].ends_with(&format!("./run {}", spec.name)), "{:?}", short.command);
        assert!(Path::new(spec.directory.as_ref().unwrap()).join("run").is_file());
    }
}
