//! Bursar: `bursar serve` in a process of its own, and the SDK, blocking where calls are single.

use crate::{
    fan::{self, Publisher, Subscriber},
    measure::BATCH,
    peer::{Consumer, Kind, Outcome, PATIENCE, Peer, Place, Producer, Shape, Style, drive, p50},
    peers::calls,
    server::{Server, this_program},
};
use bursar::{
    AuthKey, Error, Fault, Raw, Topic,
    blocking::{Kv, Manager, Queue, block_on},
    topic::{self, Overload},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::iter};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

pub struct Bursar {
    server: Server,
    authkey: AuthKey,
    item: Raw,
    queues: u32,
}

impl Bursar {
    pub fn start(payload: usize) -> Outcome<Bursar> {
        let mut server = Server::start(|directory| {
            AuthKey::generate(directory.join("authkey"))?;
            let mut command = this_program("serve")?;
            command.arg("--listen").arg(format!("unix://{}", directory.join("socket").display()));
            command.arg("--authkey-file").arg(directory.join("authkey"));
            command.args(["--log-level", "warn"]).env_remove("BURSAR_CONFIG").stdout(Stdio::piped());
            Ok(command)
        })?;
        server.wait_for_line("address ")?;
        let authkey = AuthKey::from_file(server.path("authkey"))?;
        Ok(Bursar { server, authkey, item: Raw::from(Bytes::from(vec![b'x'; payload])), queues: 0 })
    }

    fn connect(&self) -> Outcome<Manager> {
        Ok(Manager::connect(unix(&self.server), self.authkey.clone())?)
    }

    /// A new queue that goes with its users.
    fn next_queue(&mut self) -> String {
        self.queues += 1;
        format!("bench/{}", self.queues)
    }

    fn open(&self, queue: &str) -> Outcome<Client> {
        Ok(Client { queue: self.connect()?.raw_queue(queue).ephemeral().open_or_create()?, item: self.item.clone() })
    }
}

impl Peer for Bursar {
    fn kind(&self) -> Kind {
        Kind::Bursar
    }

    fn throughput(&mut self, shape: Shape, items: u64) -> Outcome<Duration> {
        let name = self.next_queue();
        let client = || self.open(&name);
        let producers = (0..shape.producers).map(|_| Ok(Box::new(client()?) as Box<dyn Producer>)).collect::<Outcome<_>>()?;
        let consumers = (0..shape.consumers).map(|_| Ok(Box::new(client()?) as Box<dyn Consumer>)).collect::<Outcome<_>>()?;
        drive(shape, items, producers, consumers)
    }

    fn put_p50(&mut self, count: usize) -> Outcome<f64> {
        let name = self.next_queue();
        let client = self.open(&name)?;
        p50(count, || Ok(client.queue.put(&client.item).map(drop)?))
    }

    fn put_get_done_p50(&mut self, count: usize) -> Outcome<f64> {
        let name = self.next_queue();
        let client = self.open(&name)?;
        p50(count, || {
            client.queue.put(&client.item)?;
            Ok(client.queue.get()?.done()?)
        })
    }

    fn lock_beside_get(&mut self, count: usize) -> Outcome<f64> {
        let name = self.next_queue();
        let manager = self.connect()?;
        let lock = manager.lock(&format!("{name}/lock")).ephemeral().open_or_create()?;
        let kv: Kv<Raw> = manager.raw_kv(&format!("{name}/kv")).ephemeral().open_or_create()?;
        kv.put("key", &self.item)?;
        let (mut gets, mut locks) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let start = Instant::now();
            kv.get("key")?;
            let between = Instant::now();
            lock.acquire()?.release()?;
            gets.push(between - start);
            locks.push(between.elapsed());
        }
        gets.sort();
        locks.sort();
        Ok(locks[count / 2].as_secs_f64() / gets[count / 2].as_secs_f64())
    }

    fn call_beside_get(&mut self, place: Place, count: usize, in_flight: usize) -> Outcome<f64> {
        // Either process is killed at the end.
        let (name, _process, manager) = match place {
            Place::Broker => {
                let server = calls::embedding()?;
                let (address, authkey) = (unix(&server), AuthKey::from_file(server.path("authkey"))?);
                (calls::EMBEDDED.to_owned(), server, Manager::connect(address, authkey)?)
            }
            Place::Process => {
                let name = self.next_queue();
                let provider = calls::provider(&name, &unix(&self.server), &self.server.path("authkey"))?;
                (name, provider, self.connect()?)
            }
        };
        let manager = manager.as_async().clone();
        block_on(async {
            let kv = manager.raw_kv(&format!("{name}/kv")).ephemeral().open_or_create().await?;
            calls::beside_get(&manager.object(&name).open().await?, &kv, &self.item, count, in_flight).await
        })
    }

    fn fan_out(&mut self, subscribers: usize, messages: u64) -> Outcome<Duration> {
        let name = self.next_queue();
        let topic = || -> Outcome<Topic<Raw>> {
            let topic =
                self.connect()?.raw_topic(&name).overload(Overload::Block).buffer_messages(messages).buffer_bytes(u64::MAX);
            Ok(topic.ephemeral().open_or_create()?.as_async().clone())
        };
        let publisher = topic()?;
        let subscriber = || Ok(Box::new(block_on(topic()?.subscribe().start())?) as Box<dyn Subscriber>);
        let subscribers = (0..subscribers).map(|_| subscriber()).collect::<Outcome<_>>()?;
        fan::drive(messages, Box::new(Speaker { topic: publisher, message: self.item.clone() }), subscribers)
    }

    fn bytes_per_item(&mut self, items: u64) -> Outcome<f64> {
        let name = self.next_queue();
        let mut client = self.open(&name)?;
        let before = self.server.memory()?;
        client.put(items as usize, Style::Batched)?;
        Ok((self.server.memory()? - before) / items as f64)
    }

    fn bytes_per_connection(&mut self, connections: usize) -> Outcome<f64> {
        let first = self.connect()?;
        let before = self.server.memory()?;
        let all = (0..connections).map(|_| self.connect()).collect::<Outcome<Vec<_>>>()?;
        first.status()?;
        let after = self.server.memory()?;
        drop(all);
        Ok((after - before) / connections as f64)
    }
}

fn unix(server: &Server) -> String {
    format!("unix://{}", server.path("socket").display())
}

struct Client {
    queue: Queue<Raw>,
    item: Raw,
}

impl Producer for Client {
    fn put(&mut self, items: usize, style: Style) -> Outcome {
        match style {
            Style::Single => (0..items).try_for_each(|_| self.queue.put(&self.item).map(drop))?,
            Style::Batched => {
                for from in (0..items).step_by(BATCH) {
                    self.queue.put_many((from..items.min(from + BATCH)).map(|_| &self.item))?;
                }
            }
            Style::Concurrent => {
                let puts = iter(0..items).map(|_| self.queue.as_async().put(&self.item)).buffer_unordered(BATCH);
                block_on(puts.try_for_each(async |_| Ok(())))?;
            }
        }
        Ok(())
    }
}

impl Consumer for Client {
    fn take(&mut self, max: usize) -> Outcome<u64> {
        if max > 1 {
            return block_on(take_many(self.queue.as_async(), max));
        }
        match self.queue.get_within(PATIENCE) {
            Err(error) => nothing(error),
            Ok(lease) => {
                lease.done()?;
                Ok(1)
            }
        }
    }
}

async fn take_many(queue: &bursar::Queue<Raw>, max: usize) -> Outcome<u64> {
    match queue.get_many(max, PATIENCE).await {
        Err(error) => nothing(error),
        Ok(leases) => {
            let taken = leases.len() as u64;
            queue.done_many(leases).await?;
            Ok(taken)
        }
    }
}

fn nothing(error: Error) -> Outcome<u64> {
    match error.fault() {
        Some(Fault::Empty {}) => Ok(0),
        _ => Err(error.into()),
    }
}

struct Speaker {
    topic: Topic<Raw>,
    message: Raw,
}

impl Publisher for Speaker {
    fn publish(&mut self, messages: usize) -> Outcome {
        for from in (0..messages).step_by(BATCH) {
            let batch = (from..messages.min(from + BATCH)).map(|_| ("bench", &self.message));
            block_on(self.topic.publish_all(batch))?;
        }
        Ok(())
    }
}

impl Subscriber for topic::Subscriber<Raw> {
    fn follow(&mut self, messages: usize) -> Outcome {
        block_on(async {
            for _ in 0..messages {
                match self.next_within(fan::PATIENCE).await? {
                    topic::Event::Message(_) => {}
                    topic::Event::Lagged { missed } => return Err(format!("{missed} messages were dropped").into()),
                }
            }
            Ok(())
        })
    }
}
