//! R12: peers that make the broker hold memory for what never becomes a call. It stays within its budget.

use super::{
    measure::{Paced, mib, peak_memory},
    wire::{Wire, kv_command, object, origin, queue_command},
};
use crate::harness::{Broker, PATIENCE, figure};
use bursar::proto::v1::{self, client_entry, kv, queue, registry};
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::time::Duration;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::body::Body;

const MIB: u64 = 1 << 20;
/// What is in flight between a socket and a reader, by the windows of HTTP/2, for each connection.
const WINDOW: u64 = 4 * MIB;

/// Announces a message of 4 MiB on a stream of its own, sends most of it, and keeps the stream open.
async fn half_a_message(wire: &Wire, path: &'static str) -> Option<mpsc::Sender<Bytes>> {
    let (to, body) = mpsc::channel(1);
    let body = ReceiverStream::new(body).map(|bytes| Ok::<_, std::convert::Infallible>(Frame::data(bytes)));
    let mut request = http::Request::post(format!("{}{path}", origin().to_string().trim_end_matches('/')))
        .header("content-type", "application/grpc")
        .body(Body::new(StreamBody::new(body)))
        .unwrap();
    if let Some(credential) = &wire.credential {
        let value = http::HeaderValue::from_bytes(credential.as_encoded_bytes()).unwrap();
        request.headers_mut().insert("bursar-session-bin", value);
    }
    let mut requests = wire.requests.clone();
    requests.ready().await.ok()?;
    let response = requests.send_request(request);
    tokio::spawn(async move {
        if let Ok(response) = response.await {
            let _ = response.into_body().collect().await;
        }
    });
    let announced = 4 * MIB as u32 - 64;
    let mut pieces = vec![Bytes::from([&[0][..], &announced.to_be_bytes()].concat())];
    pieces.extend((0..15).map(|_| Bytes::from(vec![7; 256 << 10])));
    for piece in pieces {
        // Flow control may stop it, or the broker refuse it: then this is as much as it takes.
        if !matches!(timeout(Duration::from_millis(500), to.send(piece)).await, Ok(Ok(()))) {
            break;
        }
    }
    Some(to)
}

/// What had come of a message counted, and the decoder had reserved all of it: memory grew with the number of streams, beyond the
/// budget, because freed reservations that were used a little stay with the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_partial_messages_on_many_streams() {
    const CONNECTIONS: usize = 6;
    const STREAMS: usize = 80;
    let broker =
        Broker::start_limited("partial_bytes = \"32 MiB\"\npartial_bytes_per_connection = \"8 MiB\"\npayload_bytes = \"4 MiB\"");
    let paced = tokio::task::block_in_place(|| Paced::start(&broker));
    let base = peak_memory(broker.pid());
    let mut wires = Vec::new();
    let mut held = Vec::new();
    for n in 0..CONNECTIONS {
        // One of them has not even proved a key.
        let (wire, path) = match n {
            0 => (Wire::stranger_by_tcp(&broker).await, "/bursar.v1.Auth/Hello"),
            _ => (Wire::proven_by_tcp(&broker).await, "/bursar.v1.queue.Queue/Put"),
        };
        let wire = std::sync::Arc::new(wire);
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            let wire = wire.clone();
            streams.spawn(async move { half_a_message(&wire, path).await });
        }
        held.extend(streams.join_all().await);
        wires.push(wire);
    }
    let peak = peak_memory(broker.pid());
    let budget = 32 * MIB + CONNECTIONS as u64 * WINDOW;
    assert!(peak < base + budget * 5 / 4, "{} where {} were used before and {} are allowed", mib(peak), mib(base), mib(budget));
    tokio::task::block_in_place(|| paced.sample(50));
    drop((held, wires));
    // What they had of the budget is free again: a large value goes through.
    let manager = bursar::Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let queue: bursar::Queue<bursar::Raw> = manager.raw_queue("large").create().await.unwrap();
    let large = bursar::Raw::from(vec![1; 4 << 20]);
    let through = async {
        while queue.put(&large).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, through).await.expect("the budget is given back");
    tokio::task::block_in_place(|| paced.finish());
    let sent = (CONNECTIONS * STREAMS) as u64 * 4 * MIB;
    figure(
        "R12",
        format!("partial messages of {}: peak RSS {} (before {}, budget {})", mib(sent), mib(peak), mib(base), mib(budget)),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_large_announcements() {
    const SESSIONS: usize = 50;
    let limits = "partial_bytes = \"256 MiB\"\npartial_bytes_per_connection = \"32 MiB\"\npayload_bytes = \"16 MiB\"";
    let broker = Broker::start_limited(limits);
    let base = peak_memory(broker.pid());
    let wire = Wire::proven_by_tcp(&broker).await;
    let mut streams = Vec::new();
    let mut refused = 0;
    for (n, total) in [u64::MAX, u64::MAX / 2, 1 << 40, 33 * MIB].into_iter().cycle().take(SESSIONS).enumerate() {
        let mut stream = wire.new_session().await;
        // A small one that is kept, and one beyond the budget.
        let part = |id, total| client_entry::Entry::Part(v1::Part { id, total, data: vec![0; 1].into() });
        stream.entry(0, part(n as u64 * 2, 100_000));
        stream.entry(0, part(n as u64 * 2 + 1, total));
        stream.end().await;
        assert!(matches!(stream.ended, Some(bursar::Fault::Protocol { .. })), "{:?}", stream.ended);
        refused += 1;
        streams.push(stream);
    }
    // The whole budget of a connection, announced and never sent, leaves others theirs, and comes back with the connection.
    let hoarder = Wire::proven_by_tcp(&broker).await;
    let stream = hoarder.new_session().await;
    stream.entry(0, client_entry::Entry::Part(v1::Part { id: 1, total: 30 * MIB, data: vec![0; 1].into() }));
    let manager = bursar::Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let queue: bursar::Queue<bursar::Raw> = manager.raw_queue("large").create().await.unwrap();
    queue.put(bursar::Raw::from(vec![1; 8 << 20])).await.unwrap();
    drop((stream, hoarder));
    let peak = peak_memory(broker.pid());
    assert!(peak < base + 64 * MIB * 5 / 4, "peak {}", mib(peak));
    figure("R12", format!("announcements of up to 2^64 bytes refused {refused}, peak RSS {} (before {})", mib(peak), mib(base)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_huge_headers() {
    let broker = Broker::start();
    let paced = tokio::task::block_in_place(|| Paced::start(&broker));
    let base = peak_memory(broker.pid());
    let mut answers = std::collections::BTreeMap::<String, usize>::new();
    for (n, size) in [1 << 10, 15 << 10, 17 << 10, 64 << 10, 256 << 10].into_iter().cycle().take(200).enumerate() {
        let wire = if n % 2 == 0 { Wire::stranger(&broker).await } else { Wire::proven(&broker).await };
        let request = http::Request::post("http://bursar/bursar.v1.registry.Registry/List")
            .header("content-type", "application/grpc")
            .header("x-large", "x".repeat(size))
            .body(Body::empty())
            .unwrap();
        let what = match wire.requests.clone().send_request(request).await {
            Ok(response) => format!("HTTP {}", response.status().as_u16()),
            Err(_) => "closed".to_owned(),
        };
        assert!(size < 16 << 10 || what != "HTTP 200", "{size} bytes of headers were taken");
        *answers.entry(what).or_default() += 1;
    }
    tokio::task::block_in_place(|| {
        paced.sample(50);
        paced.finish();
    });
    let peak = peak_memory(broker.pid());
    assert!(peak < base + 32 * MIB, "peak {}", mib(peak));
    figure("R12", format!("huge headers {answers:?}, peak RSS {} (before {})", mib(peak), mib(base)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_many_names() {
    const NAMES: usize = 2000;
    let broker = Broker::start_limited(&format!("objects = {NAMES}"));
    let base = peak_memory(broker.pid());
    let wire = Wire::proven(&broker).await;
    let open = async |name: String| {
        let options = registry::Options { kind: Some(registry::options::Kind::Queue(queue::Options::default())) };
        let request = registry::OpenRequest { name, options: Some(options), ..Default::default() };
        wire.unary::<_, registry::OpenReply>("/bursar.v1.registry.Registry/Open", request).await
    };
    for n in 0..NAMES {
        open(format!("{}{n:04}", "x".repeat(196))).await.unwrap();
    }
    for n in 0..100 {
        let refused = open(format!("beyond-{n}")).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    }
    let first = format!("{}0000", "x".repeat(196));
    let delete = registry::DeleteRequest { object: object(&first) };
    let _: registry::DeleteReply = wire.unary("/bursar.v1.registry.Registry/Delete", delete).await.unwrap();
    open("in its place".replace(' ', "-")).await.unwrap();
    let peak = peak_memory(broker.pid());
    figure("R12", format!("{NAMES} names: {} bytes each, the next 100 refused", (peak - base) / NAMES as u64));
}

/// Calls that wait are memory too: a session may have so many and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_many_waiting_calls() {
    const WAITS: u64 = 20_000;
    let broker = Broker::start_limited(&format!("calls_in_flight = {WAITS}"));
    let wire = Wire::proven(&broker).await;
    let options = registry::Options { kind: Some(registry::options::Kind::Queue(queue::Options::default())) };
    let request = registry::OpenRequest { name: "jobs".into(), options: Some(options), ..Default::default() };
    let _: registry::OpenReply = wire.unary("/bursar.v1.registry.Registry/Open", request).await.unwrap();
    let base = peak_memory(broker.pid());
    let mut session = wire.new_session().await;
    let get = queue::GetRequest { object: object("jobs"), wait_ms: -1, ..Default::default() };
    for sequence in 1..=WAITS + 50 {
        session.call(sequence, queue_command(queue::command::Verb::Get(get.clone())));
    }
    for sequence in WAITS + 1..=WAITS + 50 {
        let v1::answer::Reply::Fault(fault) = session.answer(sequence).await else { panic!("beyond the limit") };
        assert!(matches!(fault.into(), bursar::Fault::LimitReached { .. }));
    }
    let peak = peak_memory(broker.pid());
    figure("R12", format!("{WAITS} waiting calls: {} bytes each, the next 50 refused", (peak - base) / WAITS));
}

/// A small frame asked for gigabytes: all its calls were executed at once, each answer was copied into parts, and everybody else waited
/// until it was done. Now a client must read what it has asked for before more of it is executed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_answers_that_nobody_reads() {
    const GETS: u64 = 300;
    let broker = Broker::start();
    let paced = tokio::task::block_in_place(|| Paced::start(&broker));
    let manager = bursar::Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let kv: bursar::Kv<bursar::Raw> = manager.raw_kv("large").create().await.unwrap();
    kv.put("value", bursar::Raw::from(vec![1; MIB as usize])).await.unwrap();
    let base = peak_memory(broker.pid());
    let wire = Wire::proven(&broker).await;
    let mut session = wire.new_session().await;
    let get = kv::GetRequest { object: object("large"), key: "value".into(), ..Default::default() };
    session.calls((1..=GETS).map(|sequence| (sequence, kv_command(kv::command::Verb::Get(get.clone())))));
    // Time enough for the broker to execute what it will.
    tokio::task::block_in_place(|| paced.sample(200));
    let peak = peak_memory(broker.pid());
    assert!(peak < base + 64 * MIB, "{} where {} were used before", mib(peak), mib(base));
    while session.part_bytes < GETS * MIB {
        timeout(PATIENCE, session.read()).await.expect("what was asked for comes as fast as it is read").unwrap();
    }
    let peak = peak_memory(broker.pid());
    assert!(peak < base + 128 * MIB, "{} after all was read, where {} were used before", mib(peak), mib(base));
    tokio::task::block_in_place(|| paced.finish());
    figure(
        "R12",
        format!("answers of {} asked for in one frame: peak RSS {} (before {})", mib(GETS * MIB), mib(peak), mib(base)),
    );
}
