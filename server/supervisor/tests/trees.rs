//! Real processes: how they end, how their trees are stopped, and that nothing is left of them, whoever is killed.
//!
//! This program plays its keepers' roles, so its main function is its own: `cargo test -p bursar-supervisor --test trees NAME`.

use bursar_supervisor::{
    Backoff, Event, Exit, Host, Notice, Policy, Process, Program, Restart, Tree, Worker, enter,
    output::{LogFile, Output, Rotation},
    plan::{Report, Run, State, Wish},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, memfd_create},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, Signal, geteuid, getpid, kill_process, pidfd_open},
};
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    process::ChildStdout,
    runtime::Runtime,
    time::{sleep, timeout},
};

/// More than anything here takes, on any machine. Who waits so long waits in vain.
const IN_VAIN: Duration = Duration::from_secs(30);

fn main() {
    enter();
    let mut arguments = env::args().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == SUPERVISE {
        return runtime().block_on(supervise(arguments.next().unwrap()));
    }
    if first == REPLACE {
        return runtime().block_on(replaced(arguments.next().unwrap().into()));
    }
    let tests = tests();
    let chosen: Vec<_> = tests.into_iter().filter(|(name, _)| first.starts_with('-') || name.contains(&first)).collect();
    println!("\nrunning {} tests", chosen.len());
    for (name, test) in chosen {
        test();
        println!("test {name} ... ok");
    }
    println!();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        fn tests() -> Vec<(&'static str, fn())> {
            vec![$((stringify!($name), || runtime().block_on(async {
                timeout(IN_VAIN, $name()).await.expect(concat!(stringify!($name), " waits in vain"));
                // A child that was dropped is reaped by the runtime, when it hears of its end.
                let reaped = async { while !zombies().is_empty() { sleep(Duration::from_millis(1)).await } };
                assert!(timeout(IN_VAIN, reaped).await.is_ok(), "nobody was left unreaped");
            }))),*]
        }
    };
}

tests![
    an_exit_is_explained,
    a_command_that_cannot_run_says_why,
    a_core_is_told_where_there_is_one,
    a_worker_gets_its_environment_directory_and_nothing_else,
    the_environment_of_a_worker_is_not_that_of_its_keeper,
    a_signal_that_comes_at_once_is_not_lost,
    a_worker_inherits_its_descriptors_and_nobody_else_does,
    a_worker_of_another_user_reads_what_it_inherits,
    descriptors_that_cannot_be_given_are_refused,
    a_worker_inherits_its_descriptors_when_the_binary_was_replaced,
    a_worker_runs_as_the_user_it_should,
    a_command_that_is_run_once_says_how_it_ended_and_leaves_nobody,
    a_command_that_is_run_once_ends_with_who_waits_for_it,
    a_signal_reaches_the_whole_group,
    a_command_has_its_time_though_its_shell_has_none,
    what_a_worker_leaves_behind_is_there_until_it_is_killed,
    a_tree_is_killed_whole_whatever_its_processes_do,
    a_tree_that_grows_while_it_is_killed_is_killed,
    a_tree_that_is_dropped_is_killed,
    twenty_hostile_trees_leave_nobody,
    a_supervisor_that_is_killed_takes_everybody_along,
    a_worker_dies_when_its_supervisor_and_its_keeper_are_killed_at_once,
    a_keeper_that_is_killed_takes_everybody_along,
    a_keeper_that_is_stopped_kills_all_the_same,
    a_worker_outlives_the_thread_that_started_it,
    other_children_of_the_program_are_left_alone,
    a_worker_that_floods_is_never_held_up,
    a_worker_that_is_killed_is_replaced_and_its_end_explained,
    a_worker_that_ends_is_told_with_its_last_words_and_its_log_kept,
    a_restart_replaces_all_workers,
    workers_are_as_many_as_wished_and_none_is_left_after_the_stop,
    a_process_that_is_dropped_kills_its_workers,
];

/// The processes of a test, known by an entry of their environment.
struct Marked(String);

impl Marked {
    fn new() -> Marked {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Marked(format!("{}-{}", id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    fn shell(&self, script: &str) -> Program {
        Program { environment: vec![("TEST_MARK".into(), self.0.clone().into())], ..shell(script) }
    }

    fn hostile(&self) -> Program {
        self.shell(HOSTILE_SCRIPT)
    }

    fn ids(&self) -> Vec<i32> {
        let entry = format!("TEST_MARK={}", self.0);
        let is_one = |id: &i32| {
            let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes())
        };
        numbers().filter(is_one).collect()
    }
}

/// Each of these says `up` and sleeps: in its group, orphaned, in a session of its own, as a daemon; one that ignores signals; and the
/// worker itself.
const HOSTILE_SCRIPT: &str = "
    sh -c 'echo up; exec sleep 100000' &
    (sh -c 'echo up; exec sleep 100000' &)
    setsid sh -c 'echo up; exec sleep 100000' &
    setsid sh -c '(setsid sh -c \"echo up; exec sleep 100000\" &)'
    sh -c 'trap \"\" TERM HUP INT; echo up; exec sleep 100000' &
    echo up
    exec sleep 100000";

/// How many say `up` in a hostile tree.
const HOSTILE: usize = 6;

fn numbers() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Children of this process that nobody has reaped.
fn zombies() -> Vec<i32> {
    let me = getpid().as_raw_pid().to_string();
    let is_mine = |id: &i32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().take(2).collect();
        fields == ["Z", &me]
    };
    numbers().filter(is_mine).collect()
}

fn shell(script: &str) -> Program {
    Program::new("sh", ["-c", script])
}

/// Starts a program whose output nobody needs.
fn start(program: &Program) -> Tree {
    let (tree, stdout, stderr) = program.start().unwrap();
    tokio::spawn(async move { Output::new(0).drain(stdout, None).await });
    tokio::spawn(async move { Output::new(0).drain(stderr, None).await });
    tree
}

/// Starts a program and waits until so many lines have come.
async fn start_until(program: &Program, lines: usize) -> Tree {
    let (mut tree, stdout, stderr) = program.start().unwrap();
    tokio::spawn(async move { Output::new(0).drain(stderr, None).await });
    assert!(matches!(tree.next().await, Some(Event::Started { .. })));
    wait_for(&drained(stdout), lines).await;
    tree
}

fn drained(stdout: ChildStdout) -> Arc<Output> {
    let output = Arc::new(Output::new(1 << 16));
    let drain = output.clone();
    tokio::spawn(async move { drain.drain(stdout, None).await });
    output
}

async fn wait_for(output: &Output, lines: usize) {
    let (mut position, mut count) = (0, 0);
    while count < lines {
        let piece = output.follow(position).await.expect("it says more before it ends");
        position = piece.next;
        count += piece.bytes.iter().filter(|byte| **byte == b'\n').count();
    }
}

fn keeper(tree: &Tree) -> Pid {
    number(tree.keeper().expect("its keeper is there") as i32)
}

async fn exit_of(tree: &mut Tree) -> Exit {
    loop {
        match tree.next().await.expect("the exit comes before the end") {
            Event::Exited(exit) => return exit,
            Event::Started { .. } => {}
            Event::Gone => panic!("gone without an exit"),
        }
    }
}

async fn gone(tree: &mut Tree) {
    while let Some(event) = tree.next().await {
        if event == Event::Gone {
            assert_eq!(tree.next().await, None);
            return;
        }
    }
    panic!("the end is told");
}

async fn an_exit_is_explained() {
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 3", Exit::Code(3)),
        ("kill -KILL $$", Exit::Signal { number: 9, core: false }),
        ("kill -USR1 $$", Exit::Signal { number: 10, core: false }),
    ] {
        let mut tree = start(&shell(script));
        let Some(Event::Started { pid }) = tree.next().await else { panic!("it runs") };
        assert_eq!(tree.pid(), Some(pid));
        assert_eq!(tree.next().await, Some(Event::Exited(exit)));
        assert_eq!(tree.next().await, Some(Event::Gone));
        assert_eq!((tree.next().await, tree.keeper()), (None, None));
    }
}

async fn a_command_that_cannot_run_says_why() {
    let mut tree = start(&Program::new("no-such-command", [""; 0]));
    let Some(Event::Exited(Exit::NotRun(why))) = tree.next().await else { panic!("it never ran") };
    assert_eq!(tree.next().await, Some(Event::Gone));
    assert!(why.starts_with("no-such-command cannot be run: No such file"), "{why}");
    let mut tree = start(&Program { directory: Some("/no/such/folder".into()), ..shell("true") });
    let Some(Event::Exited(Exit::NotRun(why))) = tree.next().await else { panic!("it never ran") };
    assert!(why.starts_with("the directory /no/such/folder cannot be entered"), "{why}");
    assert_eq!(tree.next().await, Some(Event::Gone));
}

async fn a_core_is_told_where_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program { directory: Some(folder.path().to_owned()), ..shell("ulimit -c unlimited; kill -SEGV $$") };
    let mut tree = start(&program);
    let Exit::Signal { number: 11, core } = exit_of(&mut tree).await else { panic!("killed by SIGSEGV") };
    gone(&mut tree).await;
    let is_here = fs::read_dir(folder.path()).unwrap().next().is_some();
    assert!(core || !is_here, "the core that is there was told");
}

async fn a_worker_gets_its_environment_directory_and_nothing_else() {
    let script = "pwd; echo $GIVEN-$HOME-; cat; ls /proc/self/fd | wc -w";
    let program = Program {
        environment: vec![("GIVEN".into(), "a b".into())],
        without: vec!["HOME".into()],
        directory: Some("/proc".into()),
        ..shell(script)
    };
    let (mut tree, stdout, _stderr) = program.start().unwrap();
    let output = drained(stdout);
    gone(&mut tree).await;
    wait_for(&output, 3).await;
    // What whoever started this program has left open comes to every child; there is nothing more.
    let direct = Command::new("sh").args(["-c", "ls /proc/self/fd | wc -w"]).stdin(Stdio::null()).output().unwrap().stdout;
    assert_eq!(output.last_lines(9, 0), ["/proc", "a b--", String::from_utf8(direct).unwrap().trim()]);
}

/// A keeper may be another user's than its worker. What a file said that the worker's user writes (`LD_PRELOAD`, say) was loaded by it.
async fn the_environment_of_a_worker_is_not_that_of_its_keeper() {
    let environment = vec![("GIVEN".into(), "to the worker".into()), ("EMPTY".into(), "".into())];
    let marks = vec![("MARKED".into(), "both".into())];
    let script = "echo $GIVEN-$EMPTY-$MARKED; exec sleep 100000";
    let (mut tree, stdout, _stderr) = Program { environment, marks, ..shell(script) }.start().unwrap();
    let output = drained(stdout);
    wait_for(&output, 1).await;
    assert_eq!(output.last_lines(1, 0), ["to the worker--both"]);
    let keeper = fs::read(format!("/proc/{}/environ", tree.keeper().unwrap())).unwrap();
    let has = |variable: &str| keeper.split(|byte| *byte == 0).any(|entry| entry.starts_with(variable.as_bytes()));
    assert!(!has("GIVEN=") && !has("EMPTY=") && has("MARKED="));
    tree.kill();
    gone(&mut tree).await;
    let wrong = Program { environment: vec![("A=B".into(), "".into())], ..shell("true") };
    assert!(wrong.start().is_err(), "what is no variable");
}

/// Who was told to stop in the moment of its start did not hear it, and was killed when its time was over.
async fn a_signal_that_comes_at_once_is_not_lost() {
    for _ in 0..20 {
        let (mut tree, _stdout, _stderr) = shell("exec sleep 100000").start().unwrap();
        tree.signal(15);
        assert_eq!(exit_of(&mut tree).await, Exit::Signal { number: 15, core: false });
        gone(&mut tree).await;
    }
}

/// A file with this in it, open, and where it is.
fn secret(folder: &Path) -> (Arc<OwnedFd>, PathBuf) {
    let path = folder.join("secret");
    fs::write(&path, "hidden\n").unwrap();
    (Arc::new(fs::File::open(&path).unwrap().into()), path)
}

fn inheriting(descriptors: &[&Arc<OwnedFd>], program: Program) -> Program {
    let named = |(index, descriptor): (usize, &&Arc<OwnedFd>)| (format!("SECRET_{index}").into(), Arc::clone(descriptor));
    Program { descriptors: descriptors.iter().enumerate().map(named).collect(), ..program }
}

/// Who has a file open.
fn holders(path: &Path) -> Vec<i32> {
    let has_it = |id: &i32| {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{id}/fd")) else { return false };
        descriptors.flatten().any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|target| target == path))
    };
    numbers().filter(has_it).collect()
}

async fn a_worker_inherits_its_descriptors_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, path) = secret(folder.path());
    let (read, write) = std::io::pipe().unwrap();
    writeln!(&write, "piped").unwrap();
    drop(write);
    let mut before = start_until(&shell("echo up; exec sleep 100000"), 1).await;
    let script = "cat /dev/fd/$SECRET_0 /dev/fd/$SECRET_1; echo up; exec sleep 100000";
    let (mut tree, stdout, _stderr) = inheriting(&[&secret, &Arc::new(read.into())], shell(script)).start().unwrap();
    let Some(Event::Started { pid }) = tree.next().await else { panic!("it runs") };
    let output = drained(stdout);
    wait_for(&output, 3).await;
    assert_eq!(output.last_lines(9, 0), ["hidden", "piped", "up"]);
    let mut after = start_until(&shell("echo up; exec sleep 100000"), 1).await;
    let mut other = Command::new("sleep").arg("100000").spawn().unwrap();
    let mut expected = [getpid().as_raw_pid(), pid as i32];
    let mut holders = holders(&path);
    holders.sort();
    expected.sort();
    assert_eq!(holders, expected, "this program and the worker have it; keepers, other workers and other children do not");
    other.kill().unwrap();
    other.wait().unwrap();
    for tree in [&mut tree, &mut before, &mut after] {
        tree.kill();
        gone(tree).await;
    }
}

/// Only root may start others as somebody else.
async fn a_worker_of_another_user_reads_what_it_inherits() {
    if !geteuid().is_root() {
        return println!("a_worker_of_another_user_reads_what_it_inherits: skipped, run it as root");
    }
    let key = memfd_create("key", MemfdFlags::CLOEXEC).unwrap();
    rustix::io::write(&key, b"hidden\n").unwrap();
    let program = Program { user: Some(65534), group: Some(65533), ..shell("cat /dev/fd/$SECRET_0") };
    let (mut tree, stdout, _stderr) = inheriting(&[&Arc::new(key)], program).start().unwrap();
    let output = drained(stdout);
    assert_eq!(exit_of(&mut tree).await, Exit::Code(0));
    gone(&mut tree).await;
    wait_for(&output, 1).await;
    assert_eq!(output.last_lines(9, 0), ["hidden"]);
}

async fn descriptors_that_cannot_be_given_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, path) = secret(folder.path());
    let refused = inheriting(&vec![&secret; 1000], shell("exit 0")).start().unwrap_err();
    assert_eq!(refused.to_string(), "a worker inherits at most 32 descriptors, not 1000");
    let mut tree = start(&inheriting(&vec![&secret; 32], shell("exec sleep 100000")));
    assert!(matches!(tree.next().await, Some(Event::Started { .. })));
    assert_eq!(holders(&path).len(), 2);
    tree.kill();
    gone(&mut tree).await;
}

async fn a_worker_inherits_its_descriptors_when_the_binary_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("program");
    fs::copy(env::current_exe().unwrap(), &binary).unwrap();
    let output = Command::new(&binary).arg(REPLACE).arg(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hidden\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(&binary).unwrap(), b"another", "it was replaced");
}

/// Another supervisor, whose own file is another one before it starts its worker.
async fn replaced(folder: PathBuf) {
    fs::write(folder.join("new"), "another").unwrap();
    fs::rename(folder.join("new"), folder.join("program")).unwrap();
    let (secret, _) = secret(&folder);
    let (mut tree, stdout, _stderr) = inheriting(&[&secret], shell("cat /dev/fd/$SECRET_0")).start().unwrap();
    let output = drained(stdout);
    gone(&mut tree).await;
    wait_for(&output, 1).await;
    println!("{}", output.last_lines(1, 0)[0]);
}

/// Only root may start others as somebody else.
async fn a_worker_runs_as_the_user_it_should() {
    if !geteuid().is_root() {
        return println!("a_worker_runs_as_the_user_it_should: skipped, run it as root");
    }
    let program = Program { user: Some(65534), group: Some(65533), ..shell("id -u; id -g; id -G; exec sleep 100000") };
    let (mut tree, stdout, _stderr) = program.start().unwrap();
    let output = drained(stdout);
    wait_for(&output, 3).await;
    assert_eq!(output.last_lines(9, 0), ["65534", "65533", "65533"]);
    tree.kill();
    gone(&mut tree).await;
}

async fn a_command_that_is_run_once_says_how_it_ended_and_leaves_nobody() {
    let marked = Marked::new();
    // The daemon has the output open when the command has ended; the second command closes it and goes on.
    for (script, exit, words) in [
        ("echo said; echo why >&2; (setsid sleep 100000 &); exit 3", Exit::Code(3), vec!["said", "why"]),
        ("echo said; exec >&- 2>&-; sh -c 'exit 4'", Exit::Code(4), vec!["said"]),
        ("kill -9 $$", Exit::Signal { number: 9, core: false }, vec![]),
    ] {
        let mut ended = marked.shell(script).run().await.unwrap();
        ended.last_lines.sort();
        assert_eq!((ended.exit, ended.last_lines), (exit, words.into_iter().map(str::to_owned).collect()));
    }
    let ended = Program::new("no-such-command", [""; 0]).run().await.unwrap();
    assert!(matches!(ended.exit, Exit::NotRun(_)), "{ended:?}");
    none_left(&marked).await;
}

async fn a_command_that_is_run_once_ends_with_who_waits_for_it() {
    let (marked, folder) = (Marked::new(), tempfile::tempdir().unwrap());
    let up = folder.path().join("up");
    let program = marked.shell(&format!("(setsid sleep 100000 &); echo >{}; exec sleep 100000", up.display()));
    tokio::select! {
        ended = program.run() => panic!("{ended:?}"),
        () = async { while !up.exists() { tokio::task::yield_now().await } } => {}
    }
    none_left(&marked).await;
}

/// They are killed in the background.
async fn none_left(marked: &Marked) {
    while !(marked.ids().is_empty() && zombies().is_empty()) {
        tokio::task::yield_now().await;
    }
}

async fn a_signal_reaches_the_whole_group() {
    let script =
        "sh -c 'trap \"exit 5\" TERM; echo up; while :; do sleep 1; done' & trap 'wait $!; exit $?' TERM; echo up; wait $!";
    let mut tree = start_until(&shell(script), 2).await;
    tree.signal(0);
    tree.signal(15);
    assert_eq!(exit_of(&mut tree).await, Exit::Code(5), "what the child ended with");
    tree.kill();
    gone(&mut tree).await;
}

/// Most shells wait for the command of a Procfile's line, and end at once with a signal that reaches both.
async fn a_command_has_its_time_though_its_shell_has_none() {
    let command = "trap \"echo again\" HUP; trap \"sleep 0.1; echo finished; exit\" TERM; echo up; while :; do sleep 0.01; done";
    let marked = Marked::new();
    let (mut tree, stdout, _stderr) = marked.shell(&format!("sh -c '{command}' & wait")).start().unwrap();
    assert!(matches!(tree.next().await, Some(Event::Started { .. })));
    let output = drained(stdout);
    wait_for(&output, 1).await;
    tree.signal(1);
    wait_for(&output, 2).await;
    tree.signal(15);
    assert_eq!(exit_of(&mut tree).await, Exit::Signal { number: 1, core: false });
    assert_eq!(output.last_lines(2, 0), ["again", "finished"]);
    tree.kill();
    gone(&mut tree).await;
    assert_eq!(marked.ids(), [0; 0]);
}

async fn what_a_worker_leaves_behind_is_there_until_it_is_killed() {
    let marked = Marked::new();
    let mut tree = start_until(&marked.shell("setsid sh -c 'echo up; exec sleep 100000' &"), 1).await;
    assert_eq!(exit_of(&mut tree).await, Exit::Code(0));
    tree.signal(9);
    assert!(kill_process(keeper(&tree), Signal::CONT).is_ok(), "its keeper stays with it");
    tree.kill();
    gone(&mut tree).await;
    assert_eq!(marked.ids(), [0; 0]);
}

async fn a_tree_is_killed_whole_whatever_its_processes_do() {
    let marked = Marked::new();
    let mut tree = start_until(&marked.hostile(), HOSTILE).await;
    assert!(marked.ids().len() >= HOSTILE);
    tree.kill();
    assert_eq!(exit_of(&mut tree).await, Exit::Signal { number: 9, core: false });
    gone(&mut tree).await;
    assert_eq!(marked.ids(), [0; 0]);
}

async fn a_tree_that_grows_while_it_is_killed_is_killed() {
    let marked = Marked::new();
    let script = "echo up; for i in $(seq 300); do setsid sh -c '(setsid sleep 100000 &)' & done; wait";
    let mut tree = start_until(&marked.shell(script), 1).await;
    tree.kill();
    gone(&mut tree).await;
    assert_eq!(marked.ids(), [0; 0]);
}

async fn a_tree_that_is_dropped_is_killed() {
    let marked = Marked::new();
    let tree = start_until(&marked.hostile(), HOSTILE).await;
    let ends: Vec<OwnedFd> = marked.ids().into_iter().filter_map(handle).collect();
    kill_process(keeper(&tree), Signal::STOP).unwrap();
    drop(tree);
    wait_for_ends(&ends);
    assert_eq!(marked.ids(), [0; 0]);
    // Its runtime reaps it when it next runs.
    while !zombies().is_empty() {
        tokio::task::yield_now().await;
    }
}

async fn twenty_hostile_trees_leave_nobody() {
    let marked = Marked::new();
    let mut trees = Vec::new();
    for _ in 0..20 {
        trees.push(start_until(&marked.hostile(), HOSTILE).await);
    }
    assert!(marked.ids().len() >= 20 * HOSTILE);
    trees.iter_mut().for_each(Tree::kill);
    for tree in &mut trees {
        gone(tree).await;
    }
    assert_eq!(marked.ids(), [0; 0]);
}

const SUPERVISE: &str = "test:supervise";
const REPLACE: &str = "test:replace";

/// Another supervisor: tells the keeper and the worker when its tree is up, and waits to be killed.
async fn supervise(mark: String) {
    let tree = start_until(&Marked(mark).hostile(), HOSTILE).await;
    println!("{} {}", keeper(&tree).as_raw_pid(), tree.pid().unwrap());
    std::future::pending::<()>().await;
    drop(tree);
}

/// It, its keeper and its worker.
fn supervisor(marked: &Marked) -> (Child, i32, i32) {
    let mut supervisor = Command::new(env::current_exe().unwrap());
    let mut supervisor = supervisor.args([SUPERVISE, &marked.0]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap());
    (supervisor, numbers.next().unwrap(), numbers.next().unwrap())
}

async fn a_supervisor_that_is_killed_takes_everybody_along() {
    let marked = Marked::new();
    let (mut supervisor, ..) = supervisor(&marked);
    let ends: Vec<OwnedFd> = marked.ids().into_iter().filter_map(handle).collect();
    assert!(ends.len() >= HOSTILE);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    wait_for_ends(&ends);
}

async fn a_worker_dies_when_its_supervisor_and_its_keeper_are_killed_at_once() {
    let marked = Marked::new();
    let (mut supervisor, keeper, worker) = supervisor(&marked);
    let end = handle(worker).unwrap();
    kill_process(number(keeper), Signal::STOP).unwrap();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    kill_process(number(keeper), Signal::KILL).unwrap();
    wait_for_ends(&[end]);
    // What the worker had started has nobody any more who would look after it.
    for left in marked.ids() {
        let _ = kill_process(number(left), Signal::KILL);
    }
}

async fn a_keeper_that_is_killed_takes_everybody_along() {
    let marked = Marked::new();
    let mut tree = start_until(&marked.hostile(), HOSTILE).await;
    kill_process(keeper(&tree), Signal::KILL).unwrap();
    assert_eq!(tree.next().await, Some(Event::Exited(Exit::Unknown)));
    assert_eq!(tree.next().await, Some(Event::Gone));
    assert_eq!((marked.ids(), tree.next().await), (vec![], None));
}

async fn a_keeper_that_is_stopped_kills_all_the_same() {
    let marked = Marked::new();
    let mut tree = start_until(&marked.hostile(), HOSTILE).await;
    kill_process(keeper(&tree), Signal::STOP).unwrap();
    tree.kill();
    gone(&mut tree).await;
    assert_eq!(marked.ids(), [0; 0]);
}

/// The kernel's parent-death signal fires when the thread ends that started a child: workers died with idle threads of the runtime.
async fn a_worker_outlives_the_thread_that_started_it() {
    let runtime = tokio::runtime::Handle::current();
    let script = "trap 'echo heard' USR1; echo up; while :; do sleep 1; done";
    let started = std::thread::spawn(move || {
        let _entered = runtime.enter();
        shell(script).start().unwrap()
    });
    let (mut tree, stdout, _stderr) = started.join().unwrap();
    assert!(matches!(tree.next().await, Some(Event::Started { .. })));
    let output = drained(stdout);
    wait_for(&output, 1).await;
    tree.signal(10);
    wait_for(&output, 2).await;
    assert_eq!(output.last_lines(1, 0), ["heard"]);
    tree.kill();
    gone(&mut tree).await;
}

async fn other_children_of_the_program_are_left_alone() {
    let mut other = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
    let mut tree = start(&shell("exit 0"));
    gone(&mut tree).await;
    let mut tree = start_until(&shell("echo up; exec sleep 100000"), 1).await;
    kill_process(keeper(&tree), Signal::KILL).unwrap();
    gone(&mut tree).await;
    assert_eq!(other.wait().unwrap().code(), Some(7));
}

async fn a_worker_that_floods_is_never_held_up() {
    const BYTES: u64 = 64 << 20;
    let (mut tree, stdout, _stderr) = shell(&format!("head -c {BYTES} /dev/zero | tr '\\0' 'x'")).start().unwrap();
    let output = Output::new(4096);
    let drained = output.drain(stdout, None);
    let (drained, ()) = tokio::join!(drained, gone(&mut tree));
    drained.unwrap();
    assert_eq!(output.written(), BYTES);
    let kept = output.since(0);
    assert_eq!((kept.missed, kept.bytes.len(), kept.next), (BYTES - 4096, 4096, BYTES));
    output.end();
    assert_eq!(output.follow(BYTES).await, None, "it has ended");
}

/// Runs the same program in every place, and keeps what it is told.
#[derive(Clone)]
struct Keeping {
    program: Program,
    log: Option<Arc<LogFile>>,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl Keeping {
    fn new(program: Program) -> Keeping {
        Keeping { program, log: None, notices: Arc::default() }
    }

    fn has(&self, is_it: impl FnMut(&Notice) -> bool) -> bool {
        self.notices.lock().unwrap().iter().any(is_it)
    }
}

impl Host for Keeping {
    fn program(&mut self, _: u32, _: Run) -> Result<Program, String> {
        Ok(self.program.clone())
    }

    fn log(&mut self, _: u32) -> Option<Arc<LogFile>> {
        self.log.clone()
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.lock().unwrap().push(notice);
    }
}

fn policy(restart: Restart) -> Policy {
    Policy { restart, backoff: Backoff { first_ms: 1, ..Backoff::default() }, ..Policy::default() }
}

/// Starts a process, and waits until all workers are ready.
async fn keep(host: &Keeping, workers: u32) -> Process {
    let process = Process::start(policy(Restart::Always), workers, true, host.clone());
    process.until(|seen| seen.len() == workers as usize && seen.iter().all(|worker| worker.state == State::Ready)).await;
    process
}

async fn a_worker_that_is_killed_is_replaced_and_its_end_explained() {
    let host = Keeping::new(shell("exec sleep 100000"));
    let process = keep(&host, 2).await;
    let before = process.workers();
    let killed = before[1].pid.unwrap();
    kill_process(number(killed as i32), Signal::KILL).unwrap();
    process.until(|seen| seen[1].state == State::Ready && seen[1].pid != Some(killed)).await;
    assert_eq!(process.workers()[0], before[0]);
    let exit = Exit::Signal { number: 9, core: false };
    let is_it =
        |notice: &Notice| matches!(notice, Notice::Report(Report::Ended { worker: 1, exit: ended, .. }) if *ended == exit);
    assert!(host.has(is_it), "{:?}", host.notices);
    process.stop().await;
}

async fn a_worker_that_ends_is_told_with_its_last_words_and_its_log_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.log");
    let mut host = Keeping::new(shell("echo said; seq 30 >&2; exit 4"));
    host.log = Some(Arc::new(LogFile::open(&path, Rotation::default()).unwrap()));
    let process = Process::start(policy(Restart::Never), 1, true, host.clone());
    process.until(|seen| seen.iter().any(|worker| worker.state == State::Finished)).await;
    let last: Vec<String> = (11..31).map(|number| number.to_string()).collect();
    assert!(
        host.has(|notice| matches!(notice, Notice::Gone { worker: 0, last_lines, .. } if *last_lines == last)),
        "{:?}",
        host.notices
    );
    assert!(host.has(|notice| matches!(notice, Notice::Report(Report::Ended { exit: Exit::Code(4), .. }))), "{:?}", host.notices);
    assert_eq!(process.outputs(0).unwrap().stdout.last_lines(1, 0), ["said"]);
    process.stop().await;
    // The last who holds the file waits until it is written; who held it besides is gone with the process.
    let Keeping { log, .. } = host;
    while Arc::strong_count(log.as_ref().unwrap()) > 1 {
        tokio::task::yield_now().await;
    }
    drop(log);
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.contains("said\n") && written.contains("29\n30\n"), "{written}");
}

async fn a_restart_replaces_all_workers() {
    let host = Keeping::new(shell("exec sleep 100000"));
    let process = keep(&host, 3).await;
    let before = process.workers();
    process.wish(Wish::Restart).await;
    let is_new = |new: &Worker, old: &Worker| new.state == State::Ready && new.pid.is_some() && new.pid != old.pid;
    process.until(|seen| seen.iter().zip(&before).all(|(new, old)| is_new(new, old))).await;
    while !host.has(|notice| *notice == Notice::Report(Report::Restarted)) {
        tokio::task::yield_now().await;
    }
    process.stop().await;
}

async fn workers_are_as_many_as_wished_and_none_is_left_after_the_stop() {
    let marked = Marked::new();
    let process = keep(&Keeping::new(marked.hostile()), 1).await;
    process.wish(Wish::Scale(4)).await;
    process.until(|seen| seen.len() == 4 && seen.iter().all(|worker| worker.pid.is_some())).await;
    process.wish(Wish::Scale(2)).await;
    process.until(|seen| seen.len() == 2).await;
    process.stop().await;
    assert_eq!(marked.ids(), [0; 0]);
}

async fn a_process_that_is_dropped_kills_its_workers() {
    let marked = Marked::new();
    let process = keep(&Keeping::new(marked.hostile()), 2).await;
    let ends: Vec<OwnedFd> = marked.ids().into_iter().filter_map(handle).collect();
    drop(process);
    wait_for_ends(&ends);
    while !zombies().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// None: it has ended, and was reaped.
fn handle(id: i32) -> Option<OwnedFd> {
    pidfd_open(number(id), PidfdFlags::empty()).ok()
}

fn number(id: i32) -> Pid {
    Pid::from_raw(id).unwrap()
}

/// Waits until all of these processes have ended.
fn wait_for_ends(handles: &[OwnedFd]) {
    let in_vain = Timespec { tv_sec: IN_VAIN.as_secs() as i64, tv_nsec: 0 };
    for handle in handles {
        // Children that end interrupt it.
        let ready = retry_on_intr(|| poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&in_vain)));
        assert_eq!(ready, Ok(1), "a process was left");
    }
}
