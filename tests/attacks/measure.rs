//! What is measured: spreads of times, what a process uses, and a client whose calm work an attack must not disturb.

use crate::harness::{Broker, PATIENCE, eventually};
use bursar::blocking::{Kv, Manager, Queue};
use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// `p50 1.20 ms p99 3.00 ms (n=100)`.
pub fn spread(times: &[Duration]) -> String {
    format!("p50 {} p99 {} (n={})", ms(percentile(times, 50)), ms(percentile(times, 99)), times.len())
}

/// The time that this many of a hundred do not exceed.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Processor time that a process has used.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10) // Linux shows hundredths of a second
}

/// Waits until a process uses less than a tenth of one processor, and says how long that took.
pub fn until_idle(pid: u32) -> Duration {
    let start = Instant::now();
    loop {
        let (began, before) = (Instant::now(), cpu(pid));
        std::thread::sleep(Duration::from_millis(200));
        if (cpu(pid) - before) * 10 < began.elapsed() {
            return start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE, "process {pid} never came to rest");
    }
}

/// The largest memory that a process ever had, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

pub fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// How many descriptors a process has open.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// A client that puts, gets, settles and sets, one after the other, each in its time. Every call must succeed.
pub struct Paced {
    times: Arc<Mutex<Vec<Duration>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Paced {
    pub fn start(broker: &Broker) -> Paced {
        let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
        let queue: Queue<u32> = manager.queue("paced").open_or_create().unwrap();
        let kv: Kv<u32> = manager.kv("paced-kv").open_or_create().unwrap();
        let times = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (noted, stopped) = (times.clone(), stop.clone());
        let timed = move |call: &dyn Fn()| {
            let start = Instant::now();
            call();
            noted.lock().unwrap().push(start.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        };
        let thread = std::thread::spawn(move || {
            for n in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return manager.close();
                }
                timed(&|| assert!(queue.put(n).unwrap() > 0));
                timed(&|| {
                    let lease = queue.get().unwrap();
                    assert_eq!((*lease, lease.attempt()), (n, 1), "what this client put, nobody else has touched");
                    lease.done().unwrap();
                });
                timed(&|| assert!(kv.put("n", n).unwrap() > 0));
            }
        });
        Paced { times, stop, thread: Some(thread) }
    }

    /// The times of the next `count` calls.
    pub fn sample(&self, count: usize) -> Vec<Duration> {
        self.take();
        eventually("the paced client makes progress", || {
            self.times.lock().unwrap().len() >= count || self.thread.as_ref().is_some_and(JoinHandle::is_finished)
        });
        self.take()
    }

    /// The times of all calls since they were last asked for.
    pub fn take(&self) -> Vec<Duration> {
        assert!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()), "a call of the paced client failed");
        std::mem::take(&mut *self.times.lock().unwrap())
    }

    /// Ends it; panics if any of its calls failed.
    pub fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("every call of the paced client succeeds");
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
