//! What is measured.

use crate::peer::{Kind, Outcome, Peer, Place, Shape, Style};

/// One line of figures.
pub struct Measure {
    pub name: &'static str,
    pub unit: Unit,
    /// Client and server on one core.
    pub is_pinned: bool,
    /// Rounds would say nothing new.
    pub is_once: bool,
    /// How many items, calls or connections at least, and at most.
    pub least: u64,
    pub most: u64,
    pub can: fn(Kind) -> bool,
    pub run: fn(&mut dyn Peer, u64) -> Outcome<f64>,
    /// What bursar should reach beside a peer: a ratio of bursar to the peer.
    pub targets: &'static [(Kind, f64)],
}

#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    /// More is better.
    ItemsPerSecond,
    /// Less is better.
    Microseconds,
    /// Less is better.
    Bytes,
    /// Less is better.
    Times,
}

/// Items in one call, where calls are batched.
pub const BATCH: usize = 500;

const EIGHT_SINGLE: Shape = Shape { producers: 8, consumers: 8, style: Style::Single };
const EIGHT_BATCHED: Shape = Shape { producers: 8, consumers: 8, style: Style::Batched };
const EIGHT_CONCURRENT: Shape = Shape { producers: 8, consumers: 8, style: Style::Concurrent };
const ONE_BATCHED: Shape = Shape { producers: 1, consumers: 1, style: Style::Batched };

fn rate(peer: &mut dyn Peer, shape: Shape, items: u64) -> Outcome<f64> {
    // Every producer puts the same number of whole batches.
    let unit = (shape.producers * BATCH) as u64;
    let items = items.div_ceil(unit) * unit;
    Ok(items as f64 / peer.throughput(shape, items)?.as_secs_f64())
}

/// Messages that were delivered in a second: each counts once for every subscriber.
fn delivered(peer: &mut dyn Peer, subscribers: usize, messages: u64) -> Outcome<f64> {
    Ok((messages * subscribers as u64) as f64 / peer.fan_out(subscribers, messages)?.as_secs_f64())
}

fn is_queue(kind: Kind) -> bool {
    !matches!(kind, Kind::Echo | Kind::RedisPubSub | Kind::RedisPubSubClient | Kind::Nats)
}

fn is_topic(kind: Kind) -> bool {
    matches!(kind, Kind::Bursar | Kind::RedisPubSub | Kind::RedisPubSubClient | Kind::Nats)
}

fn is_batching(kind: Kind) -> bool {
    matches!(kind, Kind::Bursar | Kind::RedisList | Kind::RedisStream)
}

pub const MEASURES: &[Measure] = &[
    Measure {
        name: "queue 8+8, one at a time",
        unit: Unit::ItemsPerSecond,
        is_pinned: false,
        is_once: false,
        least: 4000,
        most: 1_000_000,
        can: is_queue,
        run: |peer, items| rate(peer, EIGHT_SINGLE, items),
        targets: &[(Kind::Stock, 5.0), (Kind::RedisStream, 1.1)],
    },
    Measure {
        name: "queue 8+8, batched",
        unit: Unit::ItemsPerSecond,
        is_pinned: false,
        is_once: false,
        least: 8000,
        most: 5_000_000,
        can: is_batching,
        run: |peer, items| rate(peer, EIGHT_BATCHED, items),
        targets: &[(Kind::RedisStream, 8.0), (Kind::RedisList, 1.2)],
    },
    Measure {
        // Peers have no such thing: theirs are pipelined by hand, that is, batched.
        name: "queue 8+8, concurrent single puts",
        unit: Unit::ItemsPerSecond,
        is_pinned: false,
        is_once: false,
        least: 8000,
        most: 5_000_000,
        can: is_batching,
        run: |peer, items| rate(peer, EIGHT_CONCURRENT, items),
        targets: &[(Kind::RedisStream, 2.5)],
    },
    Measure {
        name: "queue 1+1, batched",
        unit: Unit::ItemsPerSecond,
        is_pinned: false,
        is_once: false,
        least: 8000,
        most: 5_000_000,
        can: is_batching,
        run: |peer, items| rate(peer, ONE_BATCHED, items),
        targets: &[(Kind::RedisStream, 5.0), (Kind::RedisList, 1.0)],
    },
    Measure {
        name: "topic fan-out 1",
        unit: Unit::ItemsPerSecond,
        is_pinned: false,
        is_once: false,
        least: 40_000,
        most: 1_000_000,
        can: is_topic,
        run: |peer, messages| delivered(peer, 1, messages),
        targets: &[(Kind::RedisPubSub, 1.0), (Kind::RedisPubSubClient, 1.0)],
    },
    Measure {
        name: "topic fan-out 10",
        unit: Unit::ItemsPerSecond,
        is_pinned: false,
        is_once: false,
        least: 20_000,
        most: 200_000,
        can: is_topic,
        run: |peer, messages| delivered(peer, 10, messages),
        targets: &[(Kind::RedisPubSub, 1.0), (Kind::RedisPubSubClient, 1.0)],
    },
    Measure {
        name: "topic fan-out 100",
        unit: Unit::ItemsPerSecond,
        is_pinned: false,
        is_once: false,
        // As many for every peer: to connect a hundred takes longer than this.
        least: 20_000,
        most: 20_000,
        can: is_topic,
        run: |peer, messages| delivered(peer, 100, messages),
        targets: &[(Kind::RedisPubSub, 1.0), (Kind::RedisPubSubClient, 1.0)],
    },
    Measure {
        name: "round trip: put (p50, one core)",
        unit: Unit::Microseconds,
        is_pinned: true,
        is_once: false,
        least: 200,
        most: 100_000,
        can: |kind| is_queue(kind) || kind == Kind::Echo,
        run: |peer, count| peer.put_p50(count as usize),
        targets: &[(Kind::Echo, 1.5)],
    },
    Measure {
        name: "round trips: put + get + done (p50, one core)",
        unit: Unit::Microseconds,
        is_pinned: true,
        is_once: false,
        least: 200,
        most: 100_000,
        can: is_queue,
        run: |peer, count| peer.put_get_done_p50(count as usize),
        targets: &[(Kind::RedisStream, 1.0)],
    },
    Measure {
        name: "lock: acquire + release beside a kv get (one core)",
        unit: Unit::Times,
        is_pinned: true,
        is_once: false,
        least: 200,
        most: 50_000,
        can: |kind| kind == Kind::Bursar,
        run: |peer, count| peer.lock_beside_get(count as usize),
        targets: &[],
    },
    Measure {
        name: "call of an object in the broker, beside a kv get (one core)",
        unit: Unit::Times,
        is_pinned: true,
        is_once: false,
        least: 200,
        most: 50000,
        can: |kind| kind == Kind::Bursar,
        run: |peer, count| peer.call_beside_get(Place::Broker, count as usize, 1),
        targets: &[],
    },
    Measure {
        name: "call of an object in a process, beside a kv get (one core)",
        unit: Unit::Times,
        is_pinned: true,
        is_once: false,
        least: 200,
        most: 50000,
        can: |kind| kind == Kind::Bursar,
        run: |peer, count| peer.call_beside_get(Place::Process, count as usize, 1),
        targets: &[],
    },
    Measure {
        name: "2000 calls in flight, object in the broker, beside kv gets",
        unit: Unit::Times,
        is_pinned: false,
        is_once: false,
        least: 4000,
        most: 1000000,
        can: |kind| kind == Kind::Bursar,
        run: |peer, count| peer.call_beside_get(Place::Broker, count as usize, 2000),
        targets: &[],
    },
    Measure {
        name: "2000 calls in flight, object in a process, beside kv gets",
        unit: Unit::Times,
        is_pinned: false,
        is_once: false,
        least: 4000,
        most: 1000000,
        can: |kind| kind == Kind::Bursar,
        run: |peer, count| peer.call_beside_get(Place::Process, count as usize, 2000),
        targets: &[],
    },
    Measure {
        name: "memory of a queued item",
        unit: Unit::Bytes,
        is_pinned: false,
        is_once: true,
        least: 1_000_000,
        most: 1_000_000,
        can: is_queue,
        run: |peer, items| peer.bytes_per_item(items),
        targets: &[],
    },
    Measure {
        name: "memory of an idle connection",
        unit: Unit::Bytes,
        is_pinned: false,
        is_once: true,
        least: 200,
        most: 200,
        can: |kind| matches!(kind, Kind::Bursar | Kind::RedisList),
        run: |peer, connections| peer.bytes_per_connection(connections as usize),
        targets: &[],
    },
];
