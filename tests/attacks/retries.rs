//! R06: the reply is lost and the call is sent again, for every verb that changes something: one effect, the identical answer.

use super::{
    proxy::Proxy,
    wire::{Stream, Wire, kv_command, object, queue_command, registry_command, reply_in, rpcs},
};
use crate::harness::{Broker, PATIENCE, figure};
use bursar::{
    Kv, Manager, Queue,
    proto::v1::{self, answer::Reply, call, kv, queue, registry},
};
use std::collections::BTreeSet;
use tokio::time::timeout;

/// A verb that changes something: the name of its rpc, and the command for an object of a name.
struct Case {
    rpc: &'static str,
    command: fn(&str) -> call::Command,
}

macro_rules! cases {
    ($service:literal $make:ident $module:ident: $($verb:ident $request:ident { $($fields:tt)* }),* $(,)?) => {
        [$( Case {
            rpc: concat!("/bursar.v1.", $service, "/", stringify!($verb)),
            command: |name| $make($module::command::Verb::$verb($module::$request {
                object: object(name),
                $($fields)*
            })),
        } ),*]
    };
}

/// A queue as [`prepare`] leaves it has item 1 leased under lease 1 (buffered), item 2 ready, item 3 parked.
fn queue_cases() -> Vec<Case> {
    cases!("queue.Queue" queue_command queue:
        Put PutRequest { wait_ms: 0, items: vec![queue::Item { data: "new".into(), ..Default::default() }] },
        Get GetRequest { wait_ms: 0, max: 2, buffered: false },
        Start StartRequest { leases: vec![1] },
        Done DoneRequest { leases: vec![1], oldest: 0 },
        Done DoneRequest { leases: vec![], oldest: 1 },
        Return ReturnRequest { leases: vec![1], reason: queue::Reason::Released as i32, delay_ms: None, why: String::new() },
        Return ReturnRequest { leases: vec![1], reason: queue::Reason::Failed as i32, delay_ms: Some(3_600_000), why: "bad".into() },
        Park ParkRequest { leases: vec![1], ids: vec![], why: "odd".into() },
        Park ParkRequest { leases: vec![], ids: vec![2], why: "odd".into() },
        Unpark UnparkRequest { ids: vec![] },
        Discard DiscardRequest { ids: vec![] },
        Close CloseRequest { immediate: false },
        Close CloseRequest { immediate: true },
        Purge PurgeRequest {},
        Pause PauseRequest { resume: false },
    )
    .into()
}

/// A store as [`prepare`] leaves it has the key `n` with the number 41, and `t` with a ttl.
fn kv_cases() -> Vec<Case> {
    cases!("kv.Kv" kv_command kv:
        Get GetRequest { key: "t".into(), touch: true },
        Put PutRequest { key: "n".into(), value: value("1"), condition: None, ttl_ms: 0, keep_ttl: false, bind: true },
        SetDefault SetDefaultRequest { key: "new".into(), value: value("1"), ttl_ms: 0, bind: false },
        Delete DeleteRequest { key: "n".into(), condition: None },
        Clear ClearRequest { prefix: String::new() },
        Incr IncrRequest { key: "n".into(), by: 1 },
        Incr IncrRequest { key: "new".into(), by: -1 },
        Expire ExpireRequest { key: "t".into(), ttl_ms: 0 },
    )
    .into()
}

fn registry_cases() -> Vec<Case> {
    let create = |name: &str| {
        registry_command(registry::command::Verb::Open(registry::OpenRequest {
            name: format!("{name}-created"),
            mode: registry::Mode::Create as i32,
            options: Some(queue_options()),
            ephemeral: false,
        }))
    };
    let delete = |name: &str| registry_command(registry::command::Verb::Delete(registry::DeleteRequest { object: object(name) }));
    vec![
        Case { rpc: "/bursar.v1.registry.Registry/Open", command: create },
        Case { rpc: "/bursar.v1.registry.Registry/Delete", command: delete },
    ]
}

/// Rpcs that change nothing, or are the session itself.
const READS: &[&str] = &[
    "/bursar.v1.queue.Queue/Parked",
    "/bursar.v1.queue.Queue/Join",
    "/bursar.v1.queue.Queue/Stats",
    "/bursar.v1.queue.Queue/Peek",
    "/bursar.v1.kv.Kv/Contains",
    "/bursar.v1.kv.Kv/Len",
    "/bursar.v1.kv.Kv/Scan",
    "/bursar.v1.kv.Kv/Next",
    "/bursar.v1.kv.Kv/Watch",
    "/bursar.v1.registry.Registry/List",
    "/bursar.v1.registry.Registry/Describe",
    "/bursar.v1.registry.Registry/Status",
    "/bursar.v1.Auth/Hello",
    "/bursar.v1.Auth/Prove",
    "/bursar.v1.Sessions/Session",
];

fn value(text: &'static str) -> Option<v1::Value> {
    Some(v1::Value { data: text.into(), codec: v1::Codec::Json as u32 })
}

fn queue_options() -> registry::Options {
    registry::Options { kind: Some(registry::options::Kind::Queue(queue::Options::default())) }
}

/// Makes an object of the kind that a case is for; the session has used the sequences below the one that is returned.
async fn prepare(session: &mut Stream, rpc: &str, name: &str) -> u64 {
    use {kv::command::Verb as K, queue::command::Verb as Q};
    let is_kv = rpc.contains(".Kv/");
    let options = match is_kv {
        true => registry::Options { kind: Some(registry::options::Kind::Kv(kv::Options::default())) },
        false => queue_options(),
    };
    let open = registry::OpenRequest { name: name.into(), options: Some(options), ..Default::default() };
    let mut commands = vec![registry_command(registry::command::Verb::Open(open))];
    if is_kv {
        let put = |key: &str, ttl_ms| {
            kv_command(K::Put(kv::PutRequest {
                object: object(name),
                key: key.into(),
                value: value("41"),
                ttl_ms,
                ..Default::default()
            }))
        };
        commands.extend([put("n", 0), put("t", 3_600_000)]);
    } else {
        let items = ["a", "b", "c"].map(|data| queue::Item { data: data.into(), ..Default::default() });
        let park = queue::ParkRequest { object: object(name), leases: vec![], ids: vec![3], why: "aside".into() };
        commands.extend([
            queue_command(Q::Put(queue::PutRequest { object: object(name), wait_ms: 0, items: items.into() })),
            queue_command(Q::Get(queue::GetRequest { object: object(name), wait_ms: 0, max: 1, buffered: true })),
            queue_command(Q::Park(park)),
        ]);
    }
    let mut next = 1;
    for command in commands {
        let reply = session.ask(next, command).await;
        assert!(!matches!(reply, Reply::Fault(_)), "{reply:?}");
        next += 1;
    }
    next
}

/// What two replies and two objects of the same history have in common: all but moments and epochs.
async fn state(observer: &mut Stream, sequence: &mut u64, rpc: &str, name: &str) -> String {
    use {kv::command::Verb as K, queue::command::Verb as Q, registry::command::Verb as R};
    let object = || object(name);
    let mut commands = vec![registry_command(R::List(registry::ListRequest { prefix: name.into(), ..Default::default() }))];
    if rpc.contains(".Kv/") {
        commands.push(kv_command(K::Scan(kv::ScanRequest { object: object(), ..Default::default() })));
    } else {
        commands.extend([
            queue_command(Q::Stats(queue::StatsRequest { object: object() })),
            queue_command(Q::Peek(queue::PeekRequest { object: object(), limit: 100 })),
            queue_command(Q::Parked(queue::ParkedRequest { object: object(), ..Default::default() })),
        ]);
    }
    let mut text = String::new();
    for command in commands {
        *sequence += 1;
        text += &comparable(&observer.ask(*sequence, command).await, name);
    }
    text
}

/// Debug text without moments, epochs, the broker's own numbers of sessions, and the object's name.
fn comparable(reply: &Reply, name: &str) -> String {
    let volatile = ["put_ms", "oldest_ms", "parked_ms", "at_ms", "created_ms", "epoch", "session", "ttl_left_ms", "old_epoch"];
    let mut reply = reply.clone();
    if let Reply::Registry(registry::Reply { verb: Some(registry::reply::Verb::List(list)) }) = &mut reply {
        // In no order; for queues the reply to Stats has the same.
        list.objects.iter_mut().for_each(|object| object.figures.clear());
    }
    let mut text = format!("{reply:?}").replace(name, "NAME");
    for field in volatile {
        let label = format!("{field}: ");
        let mut parts = text.split(&label).map(str::to_owned).collect::<Vec<_>>();
        for part in &mut parts[1..] {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            part.replace_range(..digits, "_");
        }
        text = parts.join(&label);
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r06_a_lost_reply_and_a_retry_are_one_effect() {
    let broker = Broker::start();
    let cases: Vec<Case> = queue_cases().into_iter().chain(kv_cases()).chain(registry_cases()).collect();
    let covered: BTreeSet<String> = cases.iter().map(|case| case.rpc).chain(READS.iter().copied()).map(str::to_owned).collect();
    assert_eq!(covered, rpcs().into_iter().collect(), "every verb of the contract is a case here, or known to change nothing");

    let observer_wire = Wire::proven(&broker).await;
    let (mut observer, mut asked) = (observer_wire.new_session().await, 0);
    let mut retries = 0;
    for (n, case) in cases.iter().enumerate() {
        let control_name = format!("control-{n}");
        let control_wire = Wire::proven_by_tcp(&broker).await;
        let mut control = control_wire.new_session().await;
        let sequence = prepare(&mut control, case.rpc, &control_name).await;
        let reply = comparable(&control.ask(sequence, (case.command)(&control_name)).await, &control_name);
        assert!(!reply.starts_with("Fault"), "{}: {reply}", case.rpc);
        let effect = state(&mut observer, &mut asked, case.rpc, &control_name).await;

        for attempt in 0..6 {
            let name = format!("lost-{n}-{attempt}");
            let mut wire = Wire::proven_by_tcp(&broker).await;
            let mut session = wire.new_session().await;
            let sequence = prepare(&mut session, case.rpc, &name).await;
            let command = (case.command)(&name);
            session.call(sequence, command.clone());
            // Either the reply was on this side already, or the connection is cut at some point on the way there and back.
            let mut came = None;
            if attempt == 0 {
                came = Some(session.answer_bytes(sequence).await);
            } else {
                for _ in 0..fastrand::u32(0..100) {
                    tokio::task::yield_now().await;
                }
            }
            for _ in 0..2 {
                let resumption = session.resumption(&[sequence]);
                drop(wire);
                wire = Wire::proven_by_tcp(&broker).await;
                session = wire.session(resumption).await.unwrap();
                assert!(session.opened.resumed);
                session.call(sequence, command.clone());
                let again = session.answer_bytes(sequence).await;
                assert_eq!(comparable(&reply_in(&again), &name), reply, "{}: the answer of one execution", case.rpc);
                assert_eq!(came.get_or_insert(again.clone()), &again, "{}: the identical answer", case.rpc);
                retries += 1;
            }
            let what = state(&mut observer, &mut asked, case.rpc, &name).await;
            assert_eq!(what, effect, "{}: one effect", case.rpc);
        }
    }
    figure("R06", format!("verbs {}, retries {retries}, double effects 0, differing answers 0", covered.len() - READS.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r06_a_waiting_get_survives_its_connections() {
    let broker = Broker::start();
    let wire = Wire::proven_by_tcp(&broker).await;
    let mut producer = wire.new_session().await;
    let open = registry::OpenRequest { name: "jobs".into(), options: Some(queue_options()), ..Default::default() };
    producer.ask(1, registry_command(registry::command::Verb::Open(open))).await;
    let get =
        queue_command(queue::command::Verb::Get(queue::GetRequest { object: object("jobs"), wait_ms: -1, ..Default::default() }));
    let mut consumer_wire = Wire::proven_by_tcp(&broker).await;
    let mut consumer = consumer_wire.new_session().await;
    for sequence in 1..=20 {
        for _ in 0..3 {
            consumer.call(sequence, get.clone());
            let resumption = consumer.resumption(&[sequence]);
            drop(consumer_wire);
            consumer_wire = Wire::proven_by_tcp(&broker).await;
            consumer = consumer_wire.session(resumption).await.unwrap();
        }
        consumer.call(sequence, get.clone());
        let items = vec![queue::Item { data: vec![sequence as u8].into(), ..Default::default() }];
        let put = queue::PutRequest { object: object("jobs"), wait_ms: 0, items };
        producer.ask(1 + sequence, queue_command(queue::command::Verb::Put(put))).await;
        let Reply::Queue(queue::Reply { verb: Some(queue::reply::Verb::Get(reply)) }) = consumer.answer(sequence).await else {
            panic!("a get is answered with items");
        };
        let got: Vec<_> = reply.items.iter().map(|item| (item.data.to_vec(), item.attempt)).collect();
        assert_eq!(got, [(vec![sequence as u8], 1)], "each get has its one item, however often it was sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r06_the_sdk_counts_right_over_a_network_that_loses_replies() {
    const CALLS: i64 = 400;
    let broker = Broker::start();
    let proxy = Proxy::start(&broker).await;
    let manager = Manager::connect(proxy.address(), broker.authkey()).await.unwrap();
    let kv: Kv<i64> = manager.kv("settings").create().await.unwrap();
    let queue: Queue<i64> = manager.queue("jobs").create().await.unwrap();
    proxy.lose_replies_after(6000);
    let work = async {
        for n in 1..=CALLS {
            assert_eq!(kv.incr("n", 1).await.unwrap(), n, "no call counted twice");
            queue.put(n).await.unwrap();
            let lease = queue.get().await.unwrap();
            assert_eq!((*lease, lease.attempt()), (n, 1), "no item twice, none left out");
            lease.done().await.unwrap();
        }
    };
    timeout(PATIENCE, work).await.expect("the work ends");
    proxy.lose_replies_after(0);
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.put, stats.done, stats.unfinished), (CALLS as u64, CALLS as u64, 0));
    assert!(proxy.cuts() > 0, "the network did lose replies");
    figure("R06", format!("calls of the SDK {}, connections cut {}, double effects 0", 4 * CALLS, proxy.cuts()));
}
