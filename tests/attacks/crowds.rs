//! R09, R10 and R11: very many of something that is each harmless. Others are not disturbed.

use super::{
    measure::{Paced, cpu, descriptors, ms, percentile, spread},
    wire::{Wire, object},
};
use crate::harness::{BURSAR, Broker, PATIENCE, eventually, figure};
use bursar::{
    Manager, Queue,
    proto::v1::{self, queue},
};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::Command,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

const CROWD: usize = 2000;

/// A thousand blocked calls of other brokers use up the channel that the put, which would unblock them, has to go through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r09_blocked_gets_do_not_keep_a_put_out() {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let queue: Queue<usize> = manager.queue("jobs").create().await.unwrap();
    let other: Queue<usize> = manager.queue("other").create().await.unwrap();
    let mut gets = JoinSet::new();
    for _ in 0..CROWD {
        let queue = queue.clone();
        gets.spawn(async move { queue.take().await });
    }
    until_waiting(&manager, "jobs", CROWD as u64).await;
    let mut times = Vec::new();
    for n in 0..300 {
        let start = Instant::now();
        timeout(PATIENCE, other.put(n)).await.expect("a put gets through").unwrap();
        times.push(start.elapsed());
    }
    let mut unblocking = Vec::new();
    for n in 0..CROWD {
        let start = Instant::now();
        timeout(PATIENCE, queue.put(n)).await.expect("a put gets through").unwrap();
        unblocking.push(start.elapsed());
    }
    let mut got = Vec::new();
    while let Some(item) = timeout(PATIENCE, gets.join_next()).await.expect("every get is answered") {
        got.push(item.unwrap().unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (0..CROWD).collect::<Vec<_>>());
    figure("R09", format!("put beside {CROWD} blocked gets of one session {}", spread(&times)));
    figure("R09", format!("put that unblocks one of them {}", spread(&unblocking)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r09_blocked_unary_gets_do_not_keep_a_put_out() {
    const BLOCKED: usize = 1000;
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let _: Queue<bursar::Raw> = manager.raw_queue("jobs").create().await.unwrap();
    let wire = std::sync::Arc::new(Wire::proven(&broker).await);
    let mut gets = JoinSet::new();
    for _ in 0..BLOCKED {
        let wire = wire.clone();
        gets.spawn(async move {
            let get = queue::GetRequest { object: object("jobs"), wait_ms: -1, ..Default::default() };
            wire.unary::<_, queue::GetReply>("/bursar.v1.queue.Queue/Get", get).await.unwrap().items[0].id
        });
    }
    until_waiting(&manager, "jobs", BLOCKED as u64).await;
    let mut times = Vec::new();
    for _ in 0..BLOCKED {
        let put = queue::PutRequest { fence: None, object: object("jobs"), wait_ms: 0, items: vec![queue::Item::default()] };
        let start = Instant::now();
        let put = wire.unary::<_, queue::PutReply>("/bursar.v1.queue.Queue/Put", put);
        timeout(PATIENCE, put).await.expect("a put gets through").unwrap();
        times.push(start.elapsed());
    }
    let mut got = Vec::new();
    while let Some(id) = timeout(PATIENCE, gets.join_next()).await.expect("every get is answered") {
        got.push(id.unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (1..=BLOCKED as u64).collect::<Vec<_>>());
    figure("R09", format!("put beside up to {BLOCKED} blocked unary gets on its connection {}", spread(&times)));
}

async fn until_waiting(manager: &Manager, name: &str, count: u64) {
    let arrived = async {
        while manager.objects().describe(name).await.unwrap().waiting < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, arrived).await.expect("all stand in line");
}

/// As many connections as asked for, or what the limit of descriptors leaves, with a message if that is less.
fn affordable(wanted: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    // The broker counts two descriptors for each connection.
    let possible = maximum.map_or(usize::MAX, |maximum| (maximum as usize).saturating_sub(600) / 2);
    if possible < wanted {
        figure("R10", format!("only {possible} connections of {wanted}: the limit of open files is {maximum:?}"));
    }
    wanted.min(possible)
}

/// What a connection says that never proves anything.
fn stranger(broker: &Broker, n: usize) -> io::Result<Stranger> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let says: &[&[u8]] = match n % 4 {
        0 => &[],                                    // silent
        1 => &[&PREFACE[..9]],                       // part of a preface
        2 => &[PREFACE, SETTINGS],                   // a beginning, and then nothing
        _ => &[PREFACE, SETTINGS, &[0, 4, 0, 1, 4]], // part of a frame
    };
    let mut stranger = match n % 8 {
        0..4 => Stranger::Unix(UnixStream::connect(broker.socket())?),
        _ => Stranger::Tcp(TcpStream::connect(&broker.tcp()["tcp://".len()..])?),
    };
    // It may be turned away while it speaks.
    let _ = says.iter().try_for_each(|bytes| stranger.write(bytes));
    if n.is_multiple_of(16) {
        stranger.close_half();
    }
    Ok(stranger)
}

enum Stranger {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stranger {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stranger::Unix(stream) => stream.write_all(bytes),
            Stranger::Tcp(stream) => stream.write_all(bytes),
        }
    }

    fn close_half(&self) {
        let _ = match self {
            Stranger::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
            Stranger::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
        };
    }

    /// Waits until the broker has closed it.
    fn until_closed(&mut self) {
        let mut buffer = [0; 256];
        loop {
            let read = match self {
                Stranger::Unix(stream) => stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.read(&mut buffer)),
                Stranger::Tcp(stream) => stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.read(&mut buffer)),
            };
            match read {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("a silent connection is never closed"),
                Err(_) => return, // reset
            }
        }
    }
}

#[test]
fn r10_silent_connections_disturb_nobody_and_are_reaped() {
    let crowd = affordable(CROWD);
    let limits = "connections = 9000\npre_auth_connections = 9000\npre_auth_deadline = \"2s\"";
    let broker = Broker::start_limited(limits);
    let paced = Paced::start(&broker);
    let before = paced.sample(600);
    let baseline = descriptors(broker.pid());
    let start = Instant::now();
    let mut strangers: Vec<_> = (0..crowd).map(|n| stranger(&broker, n).unwrap()).collect();
    let arrived = start.elapsed();
    let most = descriptors(broker.pid());
    let during = paced.sample(600);
    strangers.iter_mut().for_each(Stranger::until_closed);
    let reaped = start.elapsed();
    paced.take();
    paced.finish();
    eventually("all descriptors are free again", || descriptors(broker.pid()) <= baseline);
    figure("R10", format!("calm {}", spread(&before)));
    figure(
        "R10",
        format!(
            "amid {crowd} silent connections {}, p99 ratio {:.2}",
            spread(&during),
            percentile(&during, 99).as_secs_f64() / percentile(&before, 99).as_secs_f64()
        ),
    );
    figure(
        "R10",
        format!(
            "arrived in {}, reaped {} after the first came (deadline 2 s), descriptors at most {most}",
            ms(arrived),
            ms(reaped)
        ),
    );
}

/// Strangers are turned away beyond their number, and whoever is in is not disturbed. They were counted by the tasks that serve them:
/// a burst was accepted before the first of these tasks ran, and the number was exceeded.
#[test]
fn r10_strangers_are_turned_away_beyond_their_number() {
    let crowd = affordable(CROWD);
    let broker = Broker::start_limited("pre_auth_connections = 64\npre_auth_deadline = \"1s\"");
    let paced = Paced::start(&broker);
    paced.sample(50);
    let mut strangers: Vec<_> = (0..crowd).map(|n| stranger(&broker, n).unwrap()).collect();
    let most = descriptors(broker.pid());
    assert!(most < 64 * 2 + 60, "{most} descriptors are open");
    strangers.iter_mut().for_each(Stranger::until_closed);
    paced.sample(50);
    paced.finish();
    // Those who come after it are let in.
    bursar::blocking::Manager::connect(broker.unix(), broker.authkey()).unwrap().status().unwrap();
    figure("R10", format!("{crowd} strangers where 64 are allowed: descriptors at most {most}"));
}

/// A crowd that says nothing keeps nobody out. Newcomers were turned away once 256 strangers were there: whoever kept that many silent
/// connections open, without any key, locked every new client out for ever.
#[test]
fn r10_newcomers_get_in_beside_a_silent_crowd() {
    let broker = Broker::start_limited("pre_auth_connections = 32\npre_auth_deadline = \"600s\"");
    let crowd: Vec<_> = (0..96).map(|n| stranger(&broker, n).unwrap()).collect();
    for _ in 0..10 {
        bursar::blocking::Manager::connect(broker.unix(), broker.authkey()).unwrap().status().unwrap();
    }
    drop(crowd);
}

/// At the limit of descriptors `accept` fails at once, again and again: a broker that only tries again burns a processor.
#[test]
fn r11_no_descriptors_left() {
    let crowd = affordable(300);
    let broker = Broker::start_limited("connections = 4000\npre_auth_connections = 4000\npre_auth_deadline = \"600s\"");
    let paced = Paced::start(&broker);
    paced.sample(50);
    let limit = Some(descriptors(broker.pid()) as u64 + 20);
    let pid = Pid::from_raw(broker.pid() as i32).unwrap();
    let Rlimit { maximum, .. } = prlimit(Some(pid), Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    let failures = || broker.log().matches("cannot accept").count();
    let strangers: Vec<_> = (0..crowd).map(|n| stranger(&broker, n).unwrap()).collect();
    eventually("descriptors run out", || failures() > 0);
    paced.take();
    let (began, failed, used) = (Instant::now(), failures(), cpu(broker.pid()));
    paced.sample(400);
    while began.elapsed() < Duration::from_secs(2) {
        paced.sample(50);
    }
    let (elapsed, failed, used) = (began.elapsed(), failures() - failed, cpu(broker.pid()) - used);
    // Two listeners, which pause up to a second each after a failure.
    let expected = 2 * (elapsed.as_secs() as usize + 5);
    assert!(failed <= expected, "{failed} failed accepts in {elapsed:?}: the broker spins");
    drop(strangers);
    // Whoever came in vain is in the kernel's line still, and goes with the others.
    eventually("the broker accepts again", || {
        bursar::blocking::Manager::connect(broker.unix(), broker.authkey()).is_ok_and(|manager| manager.status().is_ok())
    });
    paced.finish();
    figure(
        "R11",
        format!(
            "{} of {} s of processor with the paced client, failed accepts {failed}, limit {limit:?} of {maximum:?}, recovered",
            ms(used),
            elapsed.as_secs_f64()
        ),
    );
}

/// A broker that may open few files takes few connections, and says no to the rest instead of running out.
#[test]
fn r11_a_small_limit_of_descriptors_is_kept() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 256; exec \"$0\" \"$@\"", BURSAR]);
    let broker = Broker::start_as(shell, "limits.pre_auth_deadline = \"1s\"", &[]);
    let paced = Paced::start(&broker);
    let mut strangers: Vec<_> = (0..affordable(400)).map(|n| stranger(&broker, n).unwrap()).collect();
    let most = descriptors(broker.pid());
    strangers.iter_mut().for_each(Stranger::until_closed);
    paced.sample(50);
    paced.finish();
    assert!(!broker.log().contains("cannot accept"), "it never came to that");
    let status = bursar::blocking::Manager::connect(broker.unix(), broker.authkey()).unwrap().status().unwrap();
    assert!(status.connections > 0, "{:?}", v1::registry::StatusReply { sessions: vec![], ..status });
    figure("R11", format!("400 connections under a limit of 256 descriptors: at most {most} open, none failed"));
}
