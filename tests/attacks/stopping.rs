//! R20: the broker is told to stop while calls wait, streams are open and strangers are silent.

use super::{
    measure::{ms, spread},
    wire::{Wire, fault_of, object, queue_command},
};
use crate::harness::{Broker, PATIENCE, figure};
use bursar::{
    Fault, Manager, Queue,
    proto::v1::{answer::Reply, queue},
};
use rustix::process::Signal;
use std::{
    os::unix::net::UnixStream,
    process::ExitStatus,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

const BLOCKED: usize = 50;

/// Everything that could hold a broker up.
struct Crowd {
    manager: Manager,
    /// Calls of the SDK, which wait.
    gets: JoinSet<Result<u32, bursar::Error>>,
    /// Unary calls, which wait.
    unary: JoinSet<Result<queue::GetReply, tonic::Status>>,
    /// A client that never leaves by itself.
    clinging: (Wire, super::wire::Stream),
    strangers: Vec<UnixStream>,
}

async fn crowd(broker: &Broker) -> Crowd {
    let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
    let mut gets = JoinSet::new();
    for _ in 0..BLOCKED {
        let queue = queue.clone();
        gets.spawn(async move { queue.take().await });
    }
    let wire = std::sync::Arc::new(Wire::proven_by_tcp(broker).await);
    let mut unary = JoinSet::new();
    let get = queue::GetRequest { object: object("jobs"), wait_ms: -1, ..Default::default() };
    for _ in 0..BLOCKED {
        let (wire, get) = (wire.clone(), get.clone());
        unary.spawn(async move { wire.unary("/bursar.v1.queue.Queue/Get", get).await });
    }
    let wire = Wire::proven(broker).await;
    let stream = wire.new_session().await;
    stream.call(1, queue_command(queue::command::Verb::Get(get)));
    let strangers = (0..50).map(|_| UnixStream::connect(broker.socket()).unwrap()).collect();
    let all = 2 * BLOCKED as u64 + 1;
    let arrived = async {
        while manager.objects().describe("jobs").await.unwrap().waiting < all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, arrived).await.expect("all calls stand in line");
    Crowd { manager, gets, unary, clinging: (wire, stream), strangers }
}

async fn exit_of(broker: &mut Broker) -> ExitStatus {
    let exit = async {
        loop {
            if let Some(status) = broker.exited() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, exit).await.expect("the broker exits")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_stop_answers_everybody_and_ends() {
    const GRACE: Duration = Duration::from_millis(500);
    let mut times = Vec::new();
    for round in 0..5 {
        let mut broker = Broker::start_with(&["--shutdown-grace", "500ms"]);
        let Crowd { manager, mut gets, mut unary, clinging: (_wire, mut stream), strangers } = crowd(&broker).await;
        let start = Instant::now();
        broker.signal(if round % 2 == 0 { Signal::TERM } else { Signal::INT });
        while let Some(get) = timeout(PATIENCE, gets.join_next()).await.expect("every call is answered") {
            let error = get.unwrap().unwrap_err();
            assert_eq!(error.fault(), Some(&Fault::ShuttingDown {}), "{error}");
        }
        while let Some(get) = timeout(PATIENCE, unary.join_next()).await.expect("every unary call is answered") {
            let status = get.unwrap().unwrap_err();
            assert_eq!(fault_of(&status), Some(Fault::ShuttingDown {}), "{status}");
        }
        let Reply::Fault(fault) = stream.answer(1).await else { panic!("there is nothing to get") };
        assert_eq!(Fault::from(fault), Fault::ShuttingDown {});
        assert!(stream.is_leaving, "the broker says that it goes");
        let status = exit_of(&mut broker).await;
        times.push(start.elapsed());
        assert_eq!(status.code(), Some(0), "{status}: {}", broker.log());
        assert!(!broker.socket().exists(), "the socket is gone with the broker");
        drop((manager, strangers));
    }
    figure("R20", format!("exit after SIGTERM or SIGINT, grace {} {}", ms(GRACE), spread(&times)));
}

/// What was acknowledged before or while the broker stopped was not answered with ShuttingDown too, and nothing is answered twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_stop_amid_work_answers_each_call_once() {
    let mut broker = Broker::start_with(&["--shutdown-grace", "1s"]);
    let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let queue = queue.clone();
        workers.spawn(async move {
            for n in 0.. {
                match queue.put(worker * 1_000_000 + n).await {
                    Ok(_) => {}
                    Err(error) => return (n, error),
                }
            }
            unreachable!("it puts until it is refused")
        });
    }
    let busy = async { while queue.qsize().await.unwrap() < 1000 {} };
    timeout(PATIENCE, busy).await.expect("the workers work");
    broker.signal(Signal::TERM);
    let status = exit_of(&mut broker).await;
    assert_eq!(status.code(), Some(0), "{status}: {}", broker.log());
    // The broker kept nothing on disk: the session is lost, and says so to whoever still asks.
    drop(manager);
    let mut acknowledged = 0;
    while let Some(worker) = timeout(PATIENCE, workers.join_next()).await.expect("nobody is left hanging") {
        let (count, error) = worker.unwrap();
        acknowledged += count;
        assert!(matches!(error, bursar::Error::Lost(_)) || error.fault().is_some(), "{error}");
    }
    figure("R20", format!("stopped amid {acknowledged} acknowledged puts, calls left hanging 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r20_a_second_signal_stops_at_once() {
    let mut times = Vec::new();
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::INT), (Signal::TERM, Signal::INT)] {
        let mut broker = Broker::start_with(&["--shutdown-grace", "10m"]);
        let crowd = crowd(&broker).await;
        broker.signal(first);
        let leaving = async {
            while !broker.log().contains("stopping") {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, leaving).await.expect("the first signal is heard");
        assert!(broker.exited().is_none(), "it gives its clients time");
        let start = Instant::now();
        broker.signal(second);
        let status = exit_of(&mut broker).await;
        times.push(start.elapsed());
        assert_eq!(status.code(), Some(0), "{status}: {}", broker.log());
        drop(crowd);
    }
    figure("R20", format!("exit after a second signal, grace 10 min {}", spread(&times)));
}
