//! Attacks on workers and on the broker that keeps them: whatever is killed, stopped, flooded or forked away, nothing is left over and
//! nothing is lost.

use super::measure::{cpu, mib, ms, peak_memory, percentile, spread};
use crate::harness::{BURSAR, Broker, PATIENCE, eventually, figure, signal_process};
use bursar::{
    blocking::Manager,
    processes::{OBJECT, Process, SuperviseBlocking, Until, Worker, WorkerState},
};
use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

/// A broker with processes, and its supervisor.
struct Kept {
    broker: Broker,
    processes: SuperviseBlocking,
    /// In the environment of every worker, and of whatever descends from it.
    mark: String,
}

impl Kept {
    /// `processes`: tables `[processes.NAME]`. Each process has to have `environment = MARK`.
    fn start(processes: &str) -> Kept {
        let mark = format!("{:016x}", fastrand::u64(..));
        let broker = Broker::start_configured(&processes.replace("MARK", &format!("{{ BURSAR_TEST = \"{mark}\" }}")));
        let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
        let processes = SuperviseBlocking::open(&manager, OBJECT).unwrap().within(PATIENCE);
        Kept { broker, processes, mark }
    }

    fn workers(&self) -> Vec<Worker> {
        self.processes.list(false).unwrap().into_iter().flat_map(|process| process.workers).collect()
    }

    /// Waits until it is so of all workers, of whom there are so many.
    fn all(&self, count: usize, what: &str, is_so: impl Fn(&Worker) -> bool) {
        eventually(what, || self.workers().iter().filter(|worker| is_so(worker)).count() == count);
    }

    fn until(&self, name: &str, until: Until) -> Process {
        self.processes.wait(name.to_owned(), until).unwrap()
    }

    /// Who runs that a worker has started, at any distance.
    fn left(&self) -> BTreeSet<u32> {
        let mark = format!("BURSAR_TEST={}", self.mark);
        let has_mark = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        };
        pids().into_iter().filter(has_mark).collect()
    }

    /// Children of the broker that have ended, and that nobody has asked how.
    fn zombies(&self) -> usize {
        pids().into_iter().filter(|pid| state_and_parent(*pid) == Some(('Z', self.broker.pid()))).count()
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(self.left(), BTreeSet::new(), "nobody of the workers' trees is left");
        eventually("no zombie is left", || self.zombies() == 0);
    }
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
}

fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Ignores what asks it to end, and leaves children, daemons and sessions of its own behind; every fourth ends by itself, every fourth
/// crashes, every fourth stands still.
const HOSTILE: &str = r#"
trap '' TERM HUP INT
setsid sh -c 'trap "" TERM; sleep 1000; :' &
( ( sleep 1000; : ) & )
( setsid sh -c '( sleep 1000; : ) &' & )
sleep 1000 &
case $((BURSAR_WORKER % 4)) in
    1) kill -SEGV $$ ;;
    2) exit 3 ;;
    3) kill -STOP $$ ;;
esac
while :; do wait; done
"#;

/// Five processes of a hundred workers each.
#[test]
fn r21_five_hundred_hostile_trees_leave_nobody() {
    let table = |name: &str| {
        format!(
            "[processes.{name}]\ncommand = ['sh', '-c', '''{HOSTILE}''']\nworkers = 100\nrestart = 'never'\nenvironment = MARK\nstop = {{ timeout = '300ms' }}\n"
        )
    };
    let start = Instant::now();
    let kept = Kept::start(&["a", "b", "c", "d", "e"].map(table).concat());
    kept.all(500, "every worker was started", |worker| worker.started_ms > 0);
    eventually("those that end by themselves have ended", || {
        let ended = |worker: &Worker| worker.state == WorkerState::Finished || !matches!(worker.number % 4, 1 | 2);
        kept.workers().iter().all(ended)
    });
    let started = start.elapsed();
    let most = kept.left().len();
    assert!(most >= 500, "{most}: those that stay have their trees");
    let start = Instant::now();
    kept.processes.stop(Vec::new()).unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        kept.until(name, Until::Down);
    }
    let stopped = start.elapsed();
    kept.assert_nothing_is_left();
    let text =
        format!("500 hostile trees up in {}, {most} processes; stopped in {}, left 0, zombies 0", ms(started), ms(stopped));
    figure("R21", text);
}

/// The process that a worker is killed, again and again: who comes next is another, and nothing of the former is left.
#[test]
fn r21_a_killed_worker_is_replaced() {
    let kept = Kept::start(
        "[processes.web]\ncommand = ['sh', '-c', 'setsid sleep 1000 & sleep 1000']\nenvironment = MARK\nbackoff = { first = '10ms', max = '10ms' }\n",
    );
    let mut times = Vec::new();
    for _ in 0..50 {
        let pid = kept.until("web", Until::Ready).workers[0].pid.unwrap();
        signal_process(pid, Signal::KILL);
        let start = Instant::now();
        eventually("another has its place", || kept.workers()[0].pid.is_some_and(|other| other != pid));
        times.push(start.elapsed());
    }
    let worker = &kept.until("web", Until::Ready).workers[0];
    assert_eq!(worker.restarts, 50);
    assert!(worker.last_exit.as_ref().unwrap().text.contains("SIGKILL"), "{:?}", worker.last_exit);
    kept.processes.stop(Vec::new()).unwrap();
    kept.until("web", Until::Down);
    kept.assert_nothing_is_left();
    figure("R21", format!("SIGKILL of a worker until another is seen, backoff 10 ms: {}", spread(&times)));
}

#[test]
fn stopping_fifty_workers_takes_as_long_as_the_slowest() {
    let stubborn = "trap '' TERM; while :; do sleep 1000 & wait; done";
    let kept = Kept::start(&format!(
        "[processes.slow]\ncommand = ['sh', '-c', \"{stubborn}\"]\nworkers = 50\nenvironment = MARK\nstop = {{ timeout = '1s' }}\n"
    ));
    kept.until("slow", Until::Ready);
    let start = Instant::now();
    kept.processes.stop(Vec::new()).unwrap();
    kept.until("slow", Until::Down);
    figure("R21", format!("50 workers that ignore SIGTERM, killed after 1 s each: all down in {}", ms(start.elapsed())));
    kept.assert_nothing_is_left();
}

#[test]
fn r22_a_broker_that_is_killed_takes_its_workers_with_it() {
    let kept = Kept::start(&format!(
        "[processes.a]\ncommand = ['sh', '-c', '''{HOSTILE}''']\nworkers = 40\nrestart = 'never'\nenvironment = MARK\n"
    ));
    kept.all(40, "every worker was started", |worker| worker.started_ms > 0);
    let most = kept.left().len();
    kept.broker.signal(Signal::KILL);
    let start = Instant::now();
    eventually("nobody is left", || kept.left().is_empty());
    figure("R22", format!("broker killed over {most} processes: none left after {}", ms(start.elapsed())));
}

/// Who starts workers must not be a thread that ends: the kernel would take its end for that of the broker.
#[test]
fn r22_nobody_dies_while_the_broker_lives() {
    let kept = Kept::start("[processes.calm]\ncommand = ['sleep', '1000']\nworkers = 20\nenvironment = MARK\n");
    let before: Vec<Option<u32>> = kept.until("calm", Until::Ready).workers.iter().map(|worker| worker.pid).collect();
    // Threads of the broker's pool come and go: files are read at the start of workers that fail.
    for _ in 0..200 {
        let manager = Manager::connect(kept.broker.unix(), kept.broker.authkey()).unwrap();
        let _: bursar::blocking::Queue<u32> = manager.queue("q").open_or_create().unwrap();
    }
    let after: Vec<Option<u32>> = kept.workers().iter().map(|worker| worker.pid).collect();
    assert_eq!(before, after, "each is who it was");
    assert!(kept.workers().iter().all(|worker| worker.restarts == 0));
    figure("R22", "20 workers beside 200 sessions that come and go: false deaths 0");
}

/// Two that cannot work: no more starts than their backoff allows, however long it lasts; and hardly any processor time.
#[test]
fn r23_a_crash_loop_keeps_to_its_backoff() {
    const WATCHED: Duration = Duration::from_secs(5);
    let began = Instant::now();
    let kept = Kept::start(
        "[processes.crashing]\ncommand = ['sh', '-c', 'exit 1']\nenvironment = MARK\nbackoff = { first = '50ms', max = '800ms', jitter = 0 }\n\
         [processes.missing]\ncommand = ['/nonexistent/program']\nenvironment = MARK\nbackoff = { first = '50ms', max = '800ms', jitter = 0 }\n",
    );
    let before = cpu(kept.broker.pid());
    std::thread::sleep(WATCHED); // Not to wait for anything: this long is what is watched.
    let used = cpu(kept.broker.pid()) - before;
    let workers = kept.workers();
    let most = starts_within(began.elapsed());
    for worker in &workers {
        assert!((3..=most).contains(&worker.restarts), "{} restarts, at most {most} may be", worker.restarts);
        assert!(!worker.last_exit.as_ref().unwrap().text.is_empty());
    }
    let starts: u64 = workers.iter().map(|worker| worker.restarts).sum();
    figure(
        "R23",
        format!("two crash loops, backoff 50 ms to 800 ms: {starts} starts in {}, processor {}", ms(WATCHED), ms(used)),
    );
}

/// The most starts that a backoff from 50 to 800 ms allows in this time.
fn starts_within(time: Duration) -> u64 {
    let delays = (0..).map(|failures: u32| Duration::from_millis((50u64 << failures.min(10)).min(800)));
    let mut passed = Duration::ZERO;
    let within = |delay: &Duration| {
        passed += *delay;
        passed <= time
    };
    delays.take_while(within).count() as u64
}

#[test]
fn r23_a_spent_budget_ends_a_crash_loop() {
    let kept = Kept::start(
        "[processes.crashing]\ncommand = ['sh', '-c', 'echo it is broken >&2; exit 7']\nenvironment = MARK\nbackoff = { first = '10ms' }\nrestarts = { most = 3, within = '10m' }\n",
    );
    eventually("it is given up", || kept.workers()[0].state == WorkerState::Spent);
    let worker = kept.workers().remove(0);
    let exit = worker.last_exit.unwrap();
    assert_eq!((worker.restarts, exit.code, exit.last_lines), (3, 7, vec!["it is broken".to_owned()]));
    kept.processes.start(vec!["crashing".to_owned()]).unwrap();
    eventually("a wish gives it another chance", || kept.workers()[0].restarts > 3);
}

/// A gigabyte each, to memory alone and to a file besides.
#[test]
fn r24_a_flood_of_output_blocks_nobody() {
    const BYTES: u64 = 1 << 30;
    let table = |name: &str, more: &str| {
        format!(
            "[processes.{name}]\ncommand = ['sh', '-c', 'yes | head -c {BYTES}']\nrestart = 'never'\nautostart = false\n{more}environment = MARK\n"
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("flood.log");
    let file = format!("log = {{ file = '{}', size = '1MiB', keep = 2 }}\n", log.display());
    let kept = Kept::start(&[table("memory", ""), table("file", &file)].concat());
    let before = peak_memory(kept.broker.pid());
    for name in ["memory", "file"] {
        let start = Instant::now();
        kept.processes.start(vec![name.to_owned()]).unwrap();
        let of_it =
            || kept.processes.list(false).unwrap().into_iter().find(|process| process.name == name).unwrap().workers.remove(0);
        eventually("it has written all of it", || of_it().state == WorkerState::Finished);
        let (took, worker) = (start.elapsed(), of_it());
        assert_eq!(worker.last_exit.unwrap().code, 0);
        let rate = BYTES as f64 / 1e6 / took.as_secs_f64();
        figure(
            "R24",
            format!("1 GiB to {name}: {} ({rate:.0} MB/s), dropped from the file {}", ms(took), mib(worker.log_dropped_bytes)),
        );
    }
    let grown = peak_memory(kept.broker.pid()).saturating_sub(before);
    assert!(grown < 64 << 20, "{} grown", mib(grown));
    let kept_bytes: u64 = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(kept_bytes <= 3 << 20, "{} in the files", mib(kept_bytes));
    figure("R24", format!("the broker's memory grew by {}", mib(grown)));
}

/// An item whose worker crashes on it comes back with how that was, and is set aside with the proof at the third time.
#[test]
fn an_item_that_kills_its_workers_is_set_aside_with_the_proof() {
    let command =
        format!("['{BURSAR}', 'queue', 'work', 'jobs', '--', 'sh', '-c', 'echo poison >&2; kill -ABRT $PPID; sleep 1000']");
    let kept = Kept::start(&format!(
        "[queues.jobs]\n[processes.resize]\ncommand = {command}\nenvironment = MARK\nbackoff = {{ first = '10ms', max = '10ms' }}\n"
    ));
    let put = kept.broker.cli(&["queue", "put", "jobs", "bad", "--json"]).output().unwrap();
    assert!(put.status.success());
    let parked = || {
        let list = kept.broker.cli(&["queue", "park", "list", "jobs", "--json"]).output().unwrap();
        String::from_utf8(list.stdout).unwrap()
    };
    eventually("it is set aside", || parked().contains("SIGABRT"));
    let text = parked();
    assert!(text.matches("was killed by SIGABRT").count() >= 3, "{text}");
    assert!(text.contains("resize/0") && text.contains("poison"), "{text}");
    figure("R21", format!("poison parked after 3 crashes, with {} bytes of proof", text.len()));
}

/// Times from a crash to the next start under load are told, not judged.
#[test]
fn crashes_are_followed_by_restarts_within_their_backoff() {
    let kept = Kept::start(
        "[processes.many]\ncommand = ['sleep', '1000']\nworkers = 20\nenvironment = MARK\nbackoff = { first = '100ms', max = '100ms', jitter = 0 }\n",
    );
    let mut late = Vec::new();
    for round in 1..=5u64 {
        kept.until("many", Until::Ready);
        for worker in kept.workers() {
            signal_process(worker.pid.unwrap(), Signal::KILL);
        }
        kept.all(20, "each was started again", |worker| worker.restarts == round && worker.pid.is_some());
        for worker in kept.workers() {
            let exit = worker.last_exit.unwrap();
            late.push(Duration::from_millis(worker.started_ms.saturating_sub(exit.at_ms).saturating_sub(100)));
        }
    }
    let worst = percentile(&late, 100);
    figure("R23", format!("restart after a crash, beyond a backoff of 100 ms: {}, most {}", spread(&late), ms(worst)));
}
