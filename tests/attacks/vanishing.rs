//! R05: clients that vanish at any await of `get`. Nothing is lost, and nobody stays in line.

use super::{
    consumer::{Consumer, READY},
    wire::{Wire, object, queue_command},
};
use crate::harness::{Broker, PATIENCE, eventually, figure};
use bursar::{
    Manager, Queue,
    proto::v1::{self, queue},
};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

/// A queue in which no number of crashes and failures parks an item or holds it up.
async fn queue(manager: &Manager) -> Queue<u32> {
    let builder = manager.queue("jobs").max_crashes(u32::MAX).max_failures(u32::MAX);
    builder.retry_delay(Duration::from_millis(1)).create().await.unwrap()
}

/// A random number of turns of the scheduler: the point at which a client vanishes.
async fn turns(max: usize) {
    for _ in 0..fastrand::usize(0..max) {
        tokio::task::yield_now().await;
    }
}

/// The item counts of everybody who settled one: each must be one.
#[derive(Default)]
struct Settled(Mutex<BTreeMap<u32, u32>>);

impl Settled {
    fn add(&self, item: u32) {
        *self.0.lock().unwrap().entry(item).or_default() += 1;
    }

    fn assert_each_once(&self, items: u32) {
        let expected: BTreeMap<u32, u32> = (0..items).map(|item| (item, 1)).collect();
        assert_eq!(*self.0.lock().unwrap(), expected, "every item is settled once");
    }
}

async fn until_nobody_waits(manager: &Manager) {
    let empty = async {
        while manager.objects().describe("jobs").await.unwrap().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, empty).await.expect("the lines become empty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r05_dropped_gets_lose_nothing() {
    const ITEMS: u32 = 2000;
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let queue = queue(&manager).await;
    let (settled, cancels) = (Arc::new(Settled::default()), Arc::new(AtomicU64::new(0)));
    let mut getters = JoinSet::new();
    for _ in 0..16 {
        let (queue, settled, cancels) = (queue.clone(), settled.clone(), cancels.clone());
        getters.spawn(async move {
            loop {
                let lease = tokio::select! {
                    biased;
                    lease = queue.get() => lease,
                    () = turns(60) => {
                        cancels.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                };
                match lease {
                    Ok(lease) => {
                        settled.add(*lease);
                        lease.done().await.unwrap();
                    }
                    Err(error) => break assert!(matches!(error.fault(), Some(bursar::Fault::Closed {})), "{error}"),
                }
            }
        });
    }
    for item in 0..ITEMS {
        queue.put(item).await.unwrap();
        turns(20).await;
    }
    timeout(PATIENCE, queue.join()).await.expect("everything is settled").unwrap();
    queue.close().await.unwrap();
    while let Some(getter) = getters.join_next().await {
        getter.unwrap();
    }
    settled.assert_each_once(ITEMS);
    until_nobody_waits(&manager).await;
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.unfinished, stats.leased, stats.done), (0, 0, u64::from(ITEMS)));
    let (cancels, taken_back) = (cancels.load(Ordering::Relaxed), stats.taken_back);
    figure("R05", format!("futures dropped {cancels}, items taken back {taken_back}, lost 0, left in line 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r05_cut_connections_lose_nothing() {
    const ITEMS: u32 = 400;
    const CLIENTS: usize = 8;
    const CUTS: usize = 25;
    let broker = Arc::new(Broker::start());
    let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let queue = queue(&manager).await;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let broker = broker.clone();
        clients.spawn(async move {
            for cut in 0..CUTS {
                let wire = if client % 2 == 0 { Wire::proven(&broker).await } else { Wire::proven_by_tcp(&broker).await };
                let get = queue::GetRequest { object: object("jobs"), wait_ms: -1, ..Default::default() };
                if cut % 2 == 0 {
                    let mut session = wire.session(v1::Open { ttl_ms: 500, ..v1::Open::default() }).await.unwrap();
                    session.call(1, queue_command(queue::command::Verb::Get(get)));
                    tokio::select! {
                        biased;
                        _ = session.read() => {}
                        () = turns(60) => {}
                    }
                } else {
                    // The stream is reset first, and the connection cut a moment later.
                    tokio::select! {
                        biased;
                        _ = wire.unary::<_, queue::GetReply>("/bursar.v1.queue.Queue/Get", get) => {}
                        () = turns(60) => {}
                    }
                    turns(60).await;
                }
            }
        });
    }
    for item in 0..ITEMS {
        queue.put(item).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    // Whatever they had comes back, and a consumer that stays sees all of it.
    let settled = Settled::default();
    for _ in 0..ITEMS {
        let lease = timeout(PATIENCE, queue.get()).await.expect("every item comes back").unwrap();
        settled.add(*lease);
        lease.done().await.unwrap();
    }
    settled.assert_each_once(ITEMS);
    until_nobody_waits(&manager).await;
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.unfinished, stats.parked, stats.done), (0, 0, u64::from(ITEMS)));
    let (cuts, crashes, taken_back) = (CLIENTS * CUTS, stats.crashes, stats.taken_back);
    figure("R05", format!("connections cut {cuts}, items given back {crashes} + {taken_back}, lost 0, left in line 0"));
}

/// With the stock Python manager, a process that is killed while it waits in `get` takes the next item with it.
#[test]
fn r05_a_process_killed_in_get_swallows_nothing() {
    const KILLS: usize = 12;
    let broker = Broker::start();
    let manager = bursar::blocking::Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let queue: bursar::blocking::Queue<u32> = manager.queue("jobs").create().unwrap();
    let waiting = || manager.objects().describe("jobs").unwrap().waiting;
    for n in 0..KILLS {
        let address = if n % 2 == 0 { broker.unix() } else { broker.tcp().to_owned() };
        let consumer = Consumer::start(&broker, &address, "jobs", Duration::from_secs(300));
        consumer.says(&[READY]);
        eventually("the consumer waits in get", || waiting() == 1);
        consumer.signal(Signal::KILL);
        if n % 3 != 0 {
            eventually("the dead one is out of the line", || waiting() == 0);
        } // else the item may still go to the dead one, and must come back
        queue.put(n as u32).unwrap();
        let lease = queue.get_within(PATIENCE).unwrap();
        assert_eq!(*lease, n as u32);
        lease.done().unwrap();
    }
    eventually("nobody is left in line", || waiting() == 0);
    assert_eq!(queue.stats().unwrap().done, KILLS as u64);
    figure("R05", format!("processes killed in get {KILLS}, items swallowed 0"));
}
