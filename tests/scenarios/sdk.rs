//! Scenarios through the Rust SDK, on a broker in this process, over one of its transports. Time is real here.
//!
//! That a call waits is read off the broker, which counts those who stand in line, and never off a clock.

use super::{
    arguments::{Arguments, Payload},
    play::{CallNumber, Driver},
    script::{Call, Outcome, Part, quote, unquoted},
    wire,
};
use bursar::{
    BoxIo, Error, Kv, Lease, Manager, Queue, Raw,
    kv::{self, Watch, WatchEvent},
    queue::{self, OnDuplicate},
};
use bursar_proto::v1;
use bursar_server::testing::TestBroker;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinHandle};

/// Long enough for a loaded machine; a wait that ends for this reason is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the SDK reaches the broker.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Unix,
    Tcp,
    Memory,
}

pub struct Sdk {
    transport: Transport,
    broker: TestBroker,
    runtime: Runtime,
    /// Looks at the broker, and takes no part.
    observer: Manager,
    seats: BTreeMap<String, Arc<Seat>>,
    /// Calls that are not answered yet.
    calls: HashMap<CallNumber, Running>,
}

/// One session of the script.
struct Seat {
    manager: Manager,
    queues: Mutex<HashMap<String, Queue<Raw>>>,
    kvs: Mutex<HashMap<String, Kv<Raw>>>,
    /// By the object's name and the lease's number.
    leases: Mutex<HashMap<(String, u64), Lease<Raw>>>,
    watches: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Watch<Raw>>>>>,
}

struct Running {
    object: String,
    task: JoinHandle<Outcome>,
}

/// Why there is no outcome of the verb itself.
enum Trouble {
    Error(Error),
    /// Of the script: this driver cannot do that.
    Mistake(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Error(error)
    }
}

impl From<String> for Trouble {
    fn from(mistake: String) -> Trouble {
        Trouble::Mistake(mistake)
    }
}

type Result<T = Outcome> = std::result::Result<T, Trouble>;

impl Sdk {
    pub fn new(transport: Transport) -> Sdk {
        let broker = TestBroker::start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
        let observer = runtime.block_on(connect(transport, &broker));
        Sdk { transport, broker, runtime, observer, seats: BTreeMap::new(), calls: HashMap::new() }
    }

    fn seat(&mut self, letter: &str) -> Arc<Seat> {
        let seat = self.seats.entry(letter.to_owned()).or_insert_with(|| {
            let manager = self.runtime.block_on(connect(self.transport, &self.broker));
            Arc::new(Seat {
                manager,
                queues: Mutex::default(),
                kvs: Mutex::default(),
                leases: Mutex::default(),
                watches: Mutex::default(),
            })
        });
        seat.clone()
    }

    /// Until as many calls stand in line at the broker as are not answered here.
    async fn settled(&self, object: &str, mut is_over: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_over() {
            // In this order: a call that has not arrived yet is counted here and not there, and none is counted there only.
            let unanswered = self.calls.values().filter(|call| call.object == object && !call.task.is_finished()).count();
            match self.observer.objects().describe(object).await {
                Ok(described) if described.waiting == unanswered as u64 => return,
                Err(_) if unanswered == 0 => return,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            assert!(start.elapsed() < PATIENCE, "{unanswered} calls of {object} are not answered, and do not all stand in line");
        }
    }
}

async fn connect(transport: Transport, broker: &TestBroker) -> Manager {
    let builder = Manager::builder().authkey(broker.authkey()).label("scenario");
    let builder = match transport {
        Transport::Unix => builder.address(broker.address()).expect("the broker's own address"),
        Transport::Tcp => builder.address(broker.tcp_address()).expect("the broker's own address"),
        Transport::Memory => {
            let connector = broker.connector();
            builder.connector(move || {
                let connector = connector.clone();
                async move { connector.connect().await.map(|stream| Box::new(stream) as BoxIo) }
            })
        }
    };
    builder.connect().await.expect("the broker is there")
}

impl Driver for Sdk {
    fn name(&self) -> String {
        format!("sdk over {:?}", self.transport)
    }

    fn has(&self, need: &str) -> bool {
        need == "sdk"
    }

    fn begin(&mut self, number: CallNumber, call: &Call) -> std::result::Result<(), String> {
        let seat = self.seat(&call.session);
        let letters = self.seats.iter().map(|(letter, seat)| (seat.manager.session_id(), letter.clone())).collect();
        let task = self.runtime.spawn(seat.perform(call.clone(), letters, number));
        self.calls.insert(number, Running { object: call.object.clone(), task });
        Ok(())
    }

    fn answer(&mut self, number: CallNumber) -> Outcome {
        let Running { object, task } = self.calls.remove(&number).expect("a call is answered once");
        let abort = task.abort_handle();
        match self.runtime.block_on(async { tokio::time::timeout(PATIENCE, task).await }) {
            Ok(outcome) => outcome.unwrap_or_else(|error| panic!("{object}: {error}")),
            Err(_) => {
                abort.abort();
                Outcome::word("waits")
            }
        }
    }

    fn waits(&mut self, number: CallNumber) -> std::result::Result<(), Outcome> {
        let Running { object, task } = &self.calls[&number];
        self.runtime.block_on(self.settled(object, || task.is_finished()));
        if task.is_finished() { Err(self.answer(number)) } else { Ok(()) }
    }

    fn cancel(&mut self, number: CallNumber) {
        let Running { object, task } = self.calls.remove(&number).expect("the call waits");
        task.abort();
        self.runtime.block_on(async {
            let outcome = task.await;
            assert!(outcome.is_err_and(|error| error.is_cancelled()), "the call waited");
            self.settled(&object, || false).await;
        });
    }

    fn end(&mut self, session: &str, calls: &[CallNumber]) {
        let Some(seat) = self.seats.remove(session) else { return };
        self.runtime.block_on(seat.manager.clone().close());
        for number in calls {
            assert_eq!(self.answer(*number), Outcome::word("lost"));
        }
    }

    fn miss(&mut self, _session: &str, _lease: &str) -> std::result::Result<(), String> {
        Err("  no answer is lost here: what does the scenario need?".into())
    }

    fn pass(&mut self, ms: u64) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(ms)).await });
    }

    fn violation(&mut self) -> Option<String> {
        None
    }

    fn clear(&mut self) {
        self.calls.drain().for_each(|(_, running)| running.task.abort());
        let seats = std::mem::take(&mut self.seats);
        self.runtime.block_on(async {
            for seat in seats.values() {
                seat.manager.clone().close().await;
            }
            for object in self.observer.objects().list("").await.expect("the broker is there") {
                // An ephemeral one may have gone by itself.
                let _ = self.observer.objects().delete(&object.name).await;
            }
        });
    }
}

impl Seat {
    async fn perform(self: Arc<Seat>, call: Call, letters: HashMap<u64, String>, number: CallNumber) -> Outcome {
        let mut arguments = Arguments::of(&call);
        let result = match call.verb.split_once('.').expect("the grammar asks for kind.verb") {
            ("objects", verb) => self.names(verb, &call.object, &mut arguments).await,
            ("queue", verb @ ("create" | "open" | "open_or_create")) => self.open_queue(verb, &call.object, &mut arguments).await,
            (_, verb @ ("create" | "open" | "open_or_create")) => self.open_kv(verb, &call.object, &mut arguments).await,
            ("queue", verb) => self.queue_verb(verb, &call.object, &mut arguments).await,
            (_, verb) => self.kv_verb(verb, &call.object, &mut arguments, &letters, number).await,
        };
        match result {
            Ok(outcome) => match arguments.end() {
                Ok(()) => outcome,
                Err(mistake) => Part::of(["mistake".into(), quote(&mistake)]).into(),
            },
            Err(Trouble::Mistake(mistake)) => Part::of(["mistake".into(), quote(&mistake)]).into(),
            Err(Trouble::Error(Error::Fault(refusal))) => wire::fault(&refusal.fault),
            Err(Trouble::Error(Error::Lost(_))) => Outcome::word("lost"),
            Err(Trouble::Error(error)) => Part::of(["error".into(), quote(&error.to_string())]).into(),
        }
    }

    async fn names(&self, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        let objects = self.manager.objects();
        Ok(match verb {
            "list" => {
                let prefix = arguments.text("prefix").unwrap_or_default();
                let kind = arguments.text("kind").unwrap_or_default();
                let listed = objects.list(bursar::ListFilter { prefix, kind }).await?;
                Outcome::list(listed.into_iter().map(described).collect())
            }
            "describe" => described(objects.describe(name).await?).into(),
            "delete" => {
                objects.delete(name).await?;
                ok().into()
            }
            verb => return unknown(verb),
        })
    }

    async fn open_queue(&self, mode: &str, name: &str, arguments: &mut Arguments) -> Result {
        let mut builder = self
            .manager
            .raw_queue(name)
            .maxsize(arguments.field("maxsize")?)
            .max_bytes(arguments.field("max_bytes")?)
            .max_failures(arguments.field("max_failures")?)
            .max_crashes(arguments.field("max_crashes")?)
            .retry_delay(arguments.duration("retry_delay")?)
            .unique_window(arguments.duration("unique_window")?);
        if arguments.field("ephemeral")? {
            builder = builder.ephemeral();
        }
        let queue = match mode {
            "create" => builder.create().await?,
            "open" => builder.open().await?,
            _ => builder.open_or_create().await?,
        };
        let outcome = wire::opened(queue.was_created(), queue.epoch());
        self.queues.lock().insert(name.to_owned(), queue);
        Ok(outcome)
    }

    async fn open_kv(&self, mode: &str, name: &str, arguments: &mut Arguments) -> Result {
        let mut builder = self
            .manager
            .raw_kv(name)
            .max_keys(arguments.field("max_keys")?)
            .max_bytes(arguments.field("max_bytes")?)
            .events_max(arguments.field("events_max")?);
        if arguments.field("ephemeral")? {
            builder = builder.ephemeral();
        }
        let kv = match mode {
            "create" => builder.create().await?,
            "open" => builder.open().await?,
            _ => builder.open_or_create().await?,
        };
        let outcome = wire::opened(kv.was_created(), kv.epoch());
        self.kvs.lock().insert(name.to_owned(), kv);
        Ok(outcome)
    }

    async fn queue(&self, name: &str) -> Result<Queue<Raw>> {
        let known = self.queues.lock().get(name).cloned();
        if let Some(queue) = known {
            return Ok(queue);
        }
        let queue = self.manager.raw_queue(name).open().await?;
        self.queues.lock().insert(name.to_owned(), queue.clone());
        Ok(queue)
    }

    async fn kv(&self, name: &str) -> Result<Kv<Raw>> {
        let known = self.kvs.lock().get(name).cloned();
        if let Some(kv) = known {
            return Ok(kv);
        }
        let kv = self.manager.raw_kv(name).open().await?;
        self.kvs.lock().insert(name.to_owned(), kv.clone());
        Ok(kv)
    }

    async fn queue_verb(&self, verb: &str, name: &str, arguments: &mut Arguments) -> Result {
        let queue = self.queue(name).await?;
        Ok(match verb {
            "put" => return put(&queue, arguments).await,
            "get" => {
                let wait = arguments.wait()?;
                let leases = match arguments.optional("max")? {
                    None => vec![queue.get_within(wait).await?],
                    Some(max) => queue.get_many(max, wait).await?,
                };
                self.keep(name, leases)
            }
            "take" => Outcome::word(Payload(queue.take_within(arguments.wait()?).await?)),
            "done" => {
                match arguments.optional::<u32>("oldest")? {
                    None => self.lease(name, arguments)?.done().await?,
                    Some(1) => queue.task_done().await?,
                    Some(_) => return Err("the SDK settles one oldest lease at a time".to_owned().into()),
                }
                ok().into()
            }
            "retry" => {
                let delay = arguments.optional("delay")?.map(Duration::from_millis);
                let why = arguments.text("why").unwrap_or_default();
                self.lease(name, arguments)?.retry_because(why, delay).await?;
                ok().into()
            }
            "release" => {
                self.lease(name, arguments)?.release().await?;
                ok().into()
            }
            "park" => {
                let (ids, why) = (arguments.list("ids")?, arguments.text("why").unwrap_or_default());
                let not_found = if ids.is_empty() {
                    self.lease(name, arguments)?.park(why).await?;
                    vec![]
                } else {
                    queue.park(&ids, why).await?
                };
                ok().with_list("not_found", not_found).into()
            }
            "parked" => Outcome::list(queue.parked().await?.into_iter().map(parked).collect()),
            "unpark" => Outcome::word(queue.unpark(&arguments.list("ids")?).await?),
            "discard" => Outcome::word(queue.discard(&arguments.list("ids")?).await?),
            "join" => {
                queue.join_within(arguments.wait()?).await?;
                ok().into()
            }
            "close" => ok().with("dropped", queue.shutdown(arguments.field("immediate")?).await?).into(),
            "pause" => {
                queue.pause().await?;
                ok().into()
            }
            "resume" => {
                queue.resume().await?;
                ok().into()
            }
            "stats" => stats(queue.stats().await?).into(),
            "peek" => {
                let items = queue.peek(arguments.field("limit")?).await?;
                Outcome::list(items.into_iter().map(|item| wire::seen(seen(item))).collect())
            }
            "purge" => Outcome::word(queue.purge().await?),
            verb => return unknown(verb),
        })
    }

    /// Leases stay here until the script settles them, or the session ends.
    fn keep(&self, name: &str, leases: Vec<Lease<Raw>>) -> Outcome {
        let mut parts = Vec::new();
        for lease in leases {
            let Raw { data, codec } = (*lease).clone();
            parts.push(wire::leased(v1::queue::Leased {
                lease: lease.lease_id(),
                id: lease.id(),
                attempt: lease.attempt(),
                data,
                codec,
                priority: u32::from(lease.priority()),
                headers: lease.headers().clone(),
                put_ms: 0,
                failures: lease.failures(),
                crashes: lease.crashes(),
            }));
            self.leases.lock().insert((name.to_owned(), lease.lease_id()), lease);
        }
        Outcome::list(parts)
    }

    fn lease(&self, name: &str, arguments: &mut Arguments) -> Result<Lease<Raw>> {
        let number: u64 = arguments.number("a lease")?;
        let lease = self.leases.lock().remove(&(name.to_owned(), number));
        lease.ok_or_else(|| format!("an SDK settles only a lease that it has, and {number} is none: needs: raw?").into())
    }

    async fn kv_verb(
        &self,
        verb: &str,
        name: &str,
        arguments: &mut Arguments,
        letters: &HashMap<u64, String>,
        number: CallNumber,
    ) -> Result {
        let kv = self.kv(name).await?;
        Ok(match verb {
            "get" => match kv.entry(&key(arguments)?).await? {
                Some(entry) => held(entry, letters).into(),
                None => Outcome::word("none"),
            },
            "touch" => Outcome::word(kv.touch(&key(arguments)?).await?),
            "put" => {
                let (key, Payload(value)) = (key(arguments)?, arguments.payload()?);
                let options = kv::PutOptions {
                    ttl: arguments.duration("ttl")?,
                    keep_ttl: arguments.field("keep_ttl")?,
                    bind: arguments.field("bind")?,
                    condition: condition(arguments)?,
                };
                ok().with("revision", kv.put_with(&key, value, &options).await?).into()
            }
            "delete" => Outcome::word(kv.delete(&key(arguments)?).await?),
            "pop" => kv.pop(&key(arguments)?).await?.map_or(Outcome::word("none"), |value| Outcome::word(Payload(value))),
            "setdefault" => {
                let (key, Payload(value)) = (key(arguments)?, arguments.payload()?);
                Outcome::word(Payload(kv.setdefault(&key, value).await?))
            }
            "contains" => Outcome::word(kv.contains(&key(arguments)?).await?),
            "len" => Outcome::word(kv.len().await?),
            "keys" => Outcome::list(kv.keys().await?.into_iter().map(|key| Part::of([key])).collect()),
            "scan" => {
                let entries = kv.scan(&arguments.text("prefix").unwrap_or_default()).await?;
                let with_key = |entry: kv::Entry<Raw>| {
                    let key = entry.key.clone();
                    let mut part = held(entry, letters);
                    part.words.insert(0, key);
                    part
                };
                Outcome::list(entries.into_iter().map(with_key).collect())
            }
            "clear" => Outcome::word(kv.clear().await?),
            "incr" => Outcome::word(kv.incr(&key(arguments)?, arguments.number("what to add")?).await?),
            "update" => {
                let (key, Payload(more)) = (key(arguments)?, arguments.payload()?);
                let append = |old: Option<Raw>| {
                    let old = old.map_or(bytes::Bytes::new(), |old| old.data);
                    Some(Raw::from([&old[..], &more.data[..]].concat()))
                };
                let value = kv.update(&key, append).await?;
                value.map_or(Outcome::word("none"), |value| Outcome::word(Payload(value)))
            }
            "expire" => {
                let (key, ttl) = (key(arguments)?, arguments.number("a ttl")?);
                Outcome::word(kv.expire(&key, Duration::from_millis(ttl)).await?)
            }
            "persist" => Outcome::word(kv.persist(&key(arguments)?).await?),
            "watch" => {
                let since = match arguments.text("since").as_deref() {
                    None | Some("now") => kv::Since::Now,
                    Some("start") => kv::Since::Start,
                    Some(revision) => kv::Since::Revision(revision.parse().map_err(|_| "since: expected a revision".to_owned())?),
                };
                let watch = kv.watch(&arguments.text("prefix").unwrap_or_default(), since).await?;
                let name = format!("watch-{number}");
                self.watches.lock().insert(name.clone(), Arc::new(tokio::sync::Mutex::new(watch)));
                ok().named(name).into()
            }
            "event" => {
                let name = arguments.word("a watch")?;
                let watch = self.watches.lock().get(&name).cloned().ok_or_else(|| format!("{name} is no watch"))?;
                let event = watch.lock().await.next().await?;
                event_part(event).into()
            }
            verb => return unknown(verb),
        })
    }
}

fn unknown<T>(verb: &str) -> Result<T> {
    Err(Trouble::Mistake(format!("the SDK has no verb {verb}: needs: raw?")))
}

fn ok() -> Part {
    Part::of(["ok".into()])
}

fn key(arguments: &mut Arguments) -> Result<String> {
    Ok(unquoted(&arguments.word("a key")?))
}

fn condition(arguments: &mut Arguments) -> Result<Option<kv::Condition>> {
    Ok(match (arguments.optional("if_revision")?, arguments.text("if").as_deref()) {
        (Some(revision), None) => Some(kv::Condition::Revision(revision)),
        (None, Some("absent")) => Some(kv::Condition::Absent),
        (None, Some("present")) => Some(kv::Condition::Present),
        (None, None) => None,
        _ => return Err("expected if_revision=N, if=absent or if=present".to_owned().into()),
    })
}

async fn put(queue: &Queue<Raw>, arguments: &mut Arguments) -> Result {
    let options = queue::PutOptions {
        priority: arguments.field("priority")?,
        delay: arguments.duration("delay")?,
        ttl: arguments.duration("ttl")?,
        unique_key: arguments.text("unique_key").unwrap_or_default().into(),
        on_duplicate: match arguments.text("on_duplicate").as_deref() {
            None | Some("reject") => OnDuplicate::Reject,
            Some("replace") => OnDuplicate::Replace,
            Some("merge") => OnDuplicate::Merge,
            Some(_) => return Err("on_duplicate: expected reject, replace or merge".to_owned().into()),
        },
        headers: arguments.headers(),
    };
    let wait = arguments.wait()?;
    let mut payloads = arguments.payloads()?.into_iter().map(|Payload(raw)| raw).collect::<Vec<_>>();
    if let [_] = payloads[..] {
        let id = queue.put_with(payloads.remove(0), &options, wait).await?;
        return Ok(ok().with("id", id).into());
    }
    if wait != bursar::Wait::Forever {
        return Err("the SDK puts several items with wait=forever only: needs: raw?".to_owned().into());
    }
    Ok(ok().with_list("ids", queue.put_many_with(payloads, &options).await?).into())
}

fn described(object: bursar::Described) -> Part {
    wire::described(v1::registry::Described {
        name: object.name,
        epoch: object.epoch,
        kind: object.kind,
        options: Some(object.options),
        ephemeral: object.ephemeral,
        created_ms: 0,
        waiting: object.waiting,
        figures: object.figures.into_iter().collect(),
    })
}

fn seen(seen: queue::Seen<Raw>) -> v1::queue::Seen {
    v1::queue::Seen {
        id: seen.id,
        data: seen.item.data,
        codec: seen.item.codec,
        priority: seen.priority,
        headers: seen.headers,
        put_ms: 0,
        failures: seen.failures,
        crashes: seen.crashes,
        unique_key: seen.unique_key,
    }
}

fn parked(parked: queue::Parked<Raw>) -> Part {
    let event = |event: queue::Event| v1::queue::Event { what: event.what, why: event.why, ..Default::default() };
    let history = parked.history.into_iter().map(event).collect();
    wire::parked(v1::queue::ParkedItem { item: Some(seen(parked.seen)), why: parked.why, parked_ms: 0, history })
}

fn stats(stats: queue::Stats) -> Part {
    wire::stats(&v1::queue::StatsReply {
        ready: stats.ready,
        delayed: stats.delayed,
        leased: stats.leased,
        parked: stats.parked,
        unfinished: stats.unfinished,
        bytes: stats.bytes,
        oldest_ms: stats.oldest.as_millis() as u64,
        closed: stats.closed,
        paused: stats.paused,
        put: stats.put,
        done: stats.done,
        expired: stats.expired,
        dropped: stats.dropped,
        failures: stats.failures,
        crashes: stats.crashes,
        released: stats.released,
        taken_back: stats.taken_back,
    })
}

fn held(entry: kv::Entry<Raw>, letters: &HashMap<u64, String>) -> Part {
    let Raw { data, codec } = entry.value;
    let entry = v1::kv::Entry {
        key: entry.key,
        value: Some(v1::Value { data, codec }),
        create_revision: entry.create_revision,
        modify_revision: entry.modify_revision,
        ttl_left_ms: entry.ttl_left.map_or(0, |left| left.as_millis() as u64),
        session: entry.session.unwrap_or(0),
    };
    wire::held(entry, &|session| letters.get(&session).cloned().unwrap_or_else(|| session.to_string()))
}

fn event_part(event: WatchEvent<Raw>) -> Part {
    match event {
        WatchEvent::Put { key, value, revision } => {
            Part::of(["put".into(), key, Payload(value).to_string()]).with("revision", revision)
        }
        WatchEvent::Delete { key, revision, cause } => {
            Part::of(["delete".into(), key]).with("revision", revision).with("cause", cause)
        }
        WatchEvent::Reset => Part::of(["reset".into()]),
        WatchEvent::Synced { revision } => Part::of(["synced".into()]).with("revision", revision),
    }
}
