//! R04 and R07: what a lost consumer held comes back, and what comes back is not its any more.

use super::{
    consumer::{Consumer, HOLDING, REFUSED, SETTLED},
    measure::spread,
    proxy::Proxy,
    wire::{Wire, fault_of, object, queue_command},
};
use crate::harness::{Broker, PATIENCE, figure};
use bursar::{
    Fault,
    blocking::{Manager, Queue},
    proto::v1::{self, answer::Reply, queue},
};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// The longest there is: what comes back before it does so for another reason.
const TTL_LONG: Duration = Duration::from_secs(300);
const TTL: Duration = Duration::from_secs(1);
const TTL_SHORT: Duration = Duration::from_millis(500);

/// A consumer takes three items and is lost; how long until somebody else has them.
fn redelivery(broker: &Broker, name: &str, address: &str, ttl: Duration, lose: impl FnOnce(&Consumer)) -> Duration {
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let queue: Queue<u32> = manager.queue(name).create().unwrap();
    queue.put_many([1, 2, 3]).unwrap();
    let consumer = Consumer::start(broker, address, name, ttl);
    consumer.says(&[HOLDING]);
    assert_eq!(queue.stats().unwrap().leased, 3);
    let lost = Instant::now();
    lose(&consumer);
    let leases = queue.get_many(3, PATIENCE).unwrap();
    let elapsed = lost.elapsed();
    let came: Vec<_> = leases.iter().map(|lease| (**lease, lease.attempt(), lease.crashes())).collect();
    assert_eq!(came, [(1, 2, 1), (2, 2, 1), (3, 2, 1)], "all of them, in their order, once more");
    leases.into_iter().for_each(|lease| lease.done().unwrap());
    queue.join_within(PATIENCE).unwrap();
    elapsed
}

/// The broker had the pidfd of its peer in a future, which it dropped as soon as the connection had proved its key: whoever was killed
/// afterwards was noticed by silence only, after the ttl.
#[test]
fn r04_a_killed_consumer_gives_back_at_once() {
    let broker = Broker::start();
    let times: Vec<_> = (0..16)
        .map(|n| {
            let address = if n % 2 == 0 { broker.unix() } else { broker.tcp().to_owned() };
            redelivery(&broker, &format!("killed-{n}"), &address, TTL_LONG, |consumer| consumer.signal(Signal::KILL))
        })
        .collect();
    figure("R04", format!("redelivery after SIGKILL {}", spread(&times)));
}

#[test]
fn r04_a_silent_consumer_gives_back_after_its_ttl() {
    let broker = Broker::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let proxies: Vec<_> = (0..4).map(|_| runtime.block_on(Proxy::start(&broker))).collect();
    let broker = &broker;
    let (stopped, cut): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let all_at_once: Vec<_> = proxies
            .iter()
            .enumerate()
            .map(|(n, proxy)| {
                let stop = |consumer: &Consumer| consumer.signal(Signal::STOP);
                let stopped = scope.spawn(move || redelivery(broker, &format!("stopped-{n}"), &broker.unix(), TTL, stop));
                let cut = scope.spawn(move || redelivery(broker, &format!("cut-{n}"), &proxy.address(), TTL, |_| proxy.freeze()));
                (stopped, cut)
            })
            .collect();
        all_at_once.into_iter().map(|(stopped, cut)| (stopped.join().unwrap(), cut.join().unwrap())).unzip()
    });
    figure("R04", format!("redelivery after SIGSTOP, ttl 1 s {}", spread(&stopped)));
    figure("R04", format!("redelivery after the network fell silent, ttl 1 s {}", spread(&cut)));
}

#[test]
fn r07_a_stopped_consumer_that_wakes_up_is_refused() {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let queue: Queue<u32> = manager.queue("jobs").create().unwrap();
    for address in [broker.unix(), broker.tcp().to_owned()] {
        queue.put(7).unwrap();
        let mut consumer = Consumer::start(&broker, &address, "jobs", TTL_SHORT);
        consumer.says(&[HOLDING]);
        let stopped = Instant::now();
        consumer.signal(Signal::STOP);
        let lease = queue.get_within(PATIENCE).unwrap();
        assert_eq!((*lease, lease.attempt()), (7, 2));
        // Not to wait for anything: this long is what it is stopped for.
        std::thread::sleep((3 * TTL_SHORT).saturating_sub(stopped.elapsed()));
        consumer.signal(Signal::CONT);
        consumer.settle();
        assert_eq!(consumer.says(&[SETTLED, REFUSED]), REFUSED);
        assert_eq!(queue.stats().unwrap().leased, 1, "the new holder still holds it");
        lease.done().unwrap();
    }
    queue.join_within(PATIENCE).unwrap();
    assert_eq!(queue.stats().unwrap().done, 2);
    figure("R07", "stale operations of a woken process accepted 0 of 2");
}

#[tokio::test]
async fn r07_no_way_to_act_on_a_lost_lease() {
    let broker = Broker::start();
    let wire = Wire::proven_by_tcp(&broker).await;
    let open = v1::registry::OpenRequest {
        name: "jobs".into(),
        options: Some(v1::registry::Options { kind: Some(v1::registry::options::Kind::Queue(queue::Options::default())) }),
        ..Default::default()
    };
    let _: v1::registry::OpenReply = wire.unary("/bursar.v1.registry.Registry/Open", open).await.unwrap();
    let item = queue::Item { data: "x".into(), ..Default::default() };
    let put = queue::PutRequest { object: object("jobs"), items: vec![item], ..Default::default() };
    let _: queue::PutReply = wire.unary("/bursar.v1.queue.Queue/Put", put).await.unwrap();

    // The holder never beats: its session ends while its connection lives on.
    let holder_wire = Wire::proven_by_tcp(&broker).await;
    let open = v1::Open { ttl_ms: TTL_SHORT.as_millis() as u64, ..v1::Open::default() };
    let mut holder = holder_wire.session(open).await.unwrap();
    let get = |wait_ms| {
        queue_command(queue::command::Verb::Get(queue::GetRequest { object: object("jobs"), wait_ms, ..Default::default() }))
    };
    let lost = lease_in(holder.ask(1, get(0)).await);
    let mut heir = wire.new_session().await;
    let live = lease_in(heir.ask(1, get(-1)).await);

    let done = |lease| queue::DoneRequest { fence: None, object: object("jobs"), leases: vec![lease], oldest: 0 };
    let acts = |lease| {
        let (object, leases) = (object("jobs"), vec![lease]);
        let give_back = queue::ReturnRequest { object: object.clone(), leases: leases.clone(), ..Default::default() };
        let park = queue::ParkRequest { object: object.clone(), leases, ..Default::default() };
        [queue::command::Verb::Done(done(lease)), queue::command::Verb::Return(give_back), queue::command::Verb::Park(park)]
    };
    let mut refused = 0;
    // On its own stream, with whatever it held.
    holder.call(2, queue_command(queue::command::Verb::Done(done(lost))));
    holder.end().await;
    assert!(matches!(holder.ended, Some(Fault::SessionEnded { .. })), "{:?}", holder.ended);
    refused += 1;
    // By resuming.
    let status = holder_wire.session(holder.resumption(&[2])).await.err().expect("the session is over");
    assert_eq!(fault_of(&status), Some(Fault::NoSuchSession {}));
    refused += 1;
    // By a new session, with the old lease and with the new one that it has guessed.
    let mut again = holder_wire.new_session().await;
    for (sequence, verb) in (1..).zip(acts(lost).into_iter().chain(acts(live))) {
        let reply = again.ask(sequence, queue_command(verb.clone())).await;
        let is_refused = match reply {
            Reply::Fault(fault) => matches!(fault.into(), Fault::NotHeld { .. }),
            Reply::Queue(queue::Reply { verb: Some(queue::reply::Verb::Park(reply)) }) => reply.not_held.len() == 1,
            _ => false,
        };
        assert!(is_refused, "{verb:?}");
        refused += 1;
    }
    // By a unary call.
    for lease in [lost, live] {
        let result: Result<queue::DoneReply, _> = holder_wire.unary("/bursar.v1.queue.Queue/Done", done(lease)).await;
        assert_eq!(fault_of(&result.unwrap_err()), Some(Fault::NotHeld { lease }));
        refused += 1;
    }
    // Whose it is may.
    let reply = heir.ask(2, queue_command(queue::command::Verb::Done(done(live)))).await;
    assert!(matches!(reply, Reply::Queue(_)), "{reply:?}");
    figure("R07", format!("stale operations accepted 0 of {refused}"));
}

fn lease_in(reply: Reply) -> u64 {
    match reply {
        Reply::Queue(queue::Reply { verb: Some(queue::reply::Verb::Get(reply)) }) => reply.items[0].lease,
        other => panic!("expected an item, got {other:?}"),
    }
}
