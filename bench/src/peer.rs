//! What a peer can be asked for, and the work of many threads on one queue.

use crate::{
    measure::BATCH,
    peers::{bursar::Bursar, echo::Echo, nats::Nats, pubsub::PubSub, redis::Redis, stock::Stock},
    server,
};
use std::{
    error::Error,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Errors end the run.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bursar,
    /// A JoinableQueue behind `multiprocessing.managers`.
    Stock,
    /// RPUSH and LMPOP: an item that was fetched by a process that dies is lost.
    RedisList,
    /// XADD, XREADGROUP, XACK.
    RedisStream,
    /// PUBLISH, SUBSCRIBE: a subscriber that is not connected misses what is said.
    RedisPubSub,
    /// The same; subscribers read with the client library that one would take, and so get values.
    RedisPubSubClient,
    /// Without JetStream: as redis pub/sub.
    Nats,
    /// A tokio server that sends back what it gets: no broker can be faster.
    Echo,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Bursar,
        Kind::Stock,
        Kind::RedisList,
        Kind::RedisStream,
        Kind::RedisPubSub,
        Kind::RedisPubSubClient,
        Kind::Nats,
        Kind::Echo,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Bursar => "bursar",
            Kind::Stock => "python manager",
            Kind::RedisList => "redis list (at most once)",
            Kind::RedisStream => "redis stream",
            Kind::RedisPubSub => "redis pub/sub",
            Kind::RedisPubSubClient => "redis pub/sub, its client",
            Kind::Nats => "nats core",
            Kind::Echo => "tokio echo",
        }
    }

    pub fn is_installed(self) -> bool {
        match self {
            Kind::Bursar | Kind::Echo => true,
            Kind::Stock => server::is_program("python3"),
            Kind::RedisList | Kind::RedisStream | Kind::RedisPubSub | Kind::RedisPubSubClient => {
                server::is_program("redis-server")
            }
            Kind::Nats => server::is_program("nats-server"),
        }
    }

    pub fn how_to_install(self) -> &'static str {
        match self {
            Kind::Bursar | Kind::Echo => "it is part of this program",
            Kind::Stock => "python3 is not on the PATH (Debian: apt-get install python3)",
            Kind::RedisList | Kind::RedisStream | Kind::RedisPubSub | Kind::RedisPubSubClient => {
                "redis-server 7 is not on the PATH (Debian: apt-get install redis-server)"
            }
            Kind::Nats => "nats-server is not on the PATH (Debian: apt-get install nats-server)",
        }
    }

    /// Starts its server, with items of this size.
    pub fn start(self, payload: usize) -> Outcome<Box<dyn Peer>> {
        Ok(match self {
            Kind::Bursar => Box::new(Bursar::start(payload)?),
            Kind::Stock => Box::new(Stock::new(payload)),
            Kind::RedisList | Kind::RedisStream => Box::new(Redis::start(self, payload)?),
            Kind::RedisPubSub | Kind::RedisPubSubClient => Box::new(PubSub::start(self, payload)?),
            Kind::Nats => Box::new(Nats::start(payload)?),
            Kind::Echo => Box::new(Echo::start(payload)?),
        })
    }
}

/// Where an object of one's own is served.
#[derive(Clone, Copy, PartialEq)]
pub enum Place {
    /// In the program that embeds the broker.
    Broker,
    /// In a process of its own.
    Process,
}

/// How many work on one queue, and how.
#[derive(Clone, Copy)]
pub struct Shape {
    pub producers: usize,
    pub consumers: usize,
    pub style: Style,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Style {
    /// A call for an item, and its answer, before the next call.
    Single,
    /// Calls for [`BATCH`] items.
    Batched,
    /// Calls for single items, [`BATCH`] of them at once; what the client makes of them is its business. Consumers are batched.
    Concurrent,
}

/// A server that was started for this run. What a peer cannot do is not asked of it.
pub trait Peer {
    fn kind(&self) -> Kind;
    /// From the first put to the last item done.
    fn throughput(&mut self, _shape: Shape, _items: u64) -> Outcome<Duration> {
        not_asked()
    }
    /// Microseconds.
    fn put_p50(&mut self, _count: usize) -> Outcome<f64> {
        not_asked()
    }
    /// Microseconds of all of it.
    fn put_get_done_p50(&mut self, _count: usize) -> Outcome<f64> {
        not_asked()
    }
    /// An uncontended acquire and release of a lock, as a multiple of reading a key: medians of calls that take turns.
    fn lock_beside_get(&mut self, _count: usize) -> Outcome<f64> {
        not_asked()
    }
    /// A call of an object, as a multiple of reading a key: medians of calls that take turns, or times with so many in flight.
    fn call_beside_get(&mut self, _place: Place, _count: usize, _in_flight: usize) -> Outcome<f64> {
        not_asked()
    }
    /// From the first publish until the last subscriber has all messages.
    fn fan_out(&mut self, _subscribers: usize, _messages: u64) -> Outcome<Duration> {
        not_asked()
    }
    /// What the server's memory grows by.
    fn bytes_per_item(&mut self, _items: u64) -> Outcome<f64> {
        not_asked()
    }
    /// What the server's memory grows by.
    fn bytes_per_connection(&mut self, _connections: usize) -> Outcome<f64> {
        not_asked()
    }
}

fn not_asked<T>() -> Outcome<T> {
    Err("this peer cannot do it, and is not asked for it".into())
}

/// One thread's connection.
pub trait Producer: Send {
    /// Puts this many items.
    fn put(&mut self, items: usize, style: Style) -> Outcome;
}

/// One thread's connection.
pub trait Consumer: Send {
    /// Fetches up to this many items, waits for a quarter of a second for the first, and settles them. Gives their number.
    fn take(&mut self, max: usize) -> Outcome<u64>;
}

/// How long a consumer waits before it looks whether all is done.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// All producers and consumers at once, each in a thread; from the first put until the last item is done.
pub fn drive(
    shape: Shape,
    items: u64,
    producers: Vec<Box<dyn Producer>>,
    consumers: Vec<Box<dyn Consumer>>,
) -> Outcome<Duration> {
    let share = items as usize / shape.producers;
    let barrier = Barrier::new(shape.producers + shape.consumers + 1);
    let done = AtomicU64::new(0);
    let max = if shape.style == Style::Single { 1 } else { BATCH };
    thread::scope(|scope| {
        let producers: Vec<_> =
            producers.into_iter().map(|producer| scope.spawn(|| produce(producer, share, shape.style, &barrier))).collect();
        let consumers: Vec<_> =
            consumers.into_iter().map(|consumer| scope.spawn(|| consume(consumer, max, items, &done, &barrier))).collect();
        barrier.wait();
        let start = Instant::now();
        for producer in producers {
            producer.join().expect("a producer does not panic")?;
        }
        let mut last = start;
        for consumer in consumers {
            last = last.max(consumer.join().expect("a consumer does not panic")?);
        }
        Ok(last - start)
    })
}

fn produce(mut producer: Box<dyn Producer>, share: usize, style: Style, barrier: &Barrier) -> Outcome {
    barrier.wait();
    producer.put(share, style)
}

/// Gives the moment at which its last item was done.
fn consume(mut consumer: Box<dyn Consumer>, max: usize, items: u64, done: &AtomicU64, barrier: &Barrier) -> Outcome<Instant> {
    barrier.wait();
    let mut last = Instant::now();
    while done.load(Ordering::Relaxed) < items {
        let count = consumer.take(max)?;
        if count > 0 {
            last = Instant::now();
            done.fetch_add(count, Ordering::Relaxed);
        }
    }
    Ok(last)
}

/// The median time of a step, in microseconds.
pub fn p50(count: usize, mut step: impl FnMut() -> Outcome) -> Outcome<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        step()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[count / 2].as_nanos() as f64 / 1000.0)
}
