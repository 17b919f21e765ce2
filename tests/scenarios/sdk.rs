//! Scenarios through the Rust SDK: one `Manager` for each session.

use super::{
    arguments::{Arguments, Payload},
    remote::{Errand, Seat, Transport},
    script::{Outcome, Part, quote},
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
    time::Duration,
};

/// One session of the script.
pub struct Sdk {
    manager: Manager,
    queues: Mutex<HashMap<String, Queue<Raw>>>,
    kvs: Mutex<HashMap<String, Kv<Raw>>>,
    /// By the object's name and the lease's number.
    leases: Mutex<HashMap<(String, u64), Lease<Raw>>>,
    watches: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Watch<Raw>>>>>,
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

/// A session of the SDK.
pub async fn connect(transport: Transport, broker: &TestBroker) -> Manager {
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

impl Seat for Sdk {
    const NAME: &'static str = "sdk";
    const HAS: &'static [&'static str] = &["sdk"];

    async fn take(transport: Transport, broker: &TestBroker) -> Sdk {
        Sdk {
            manager: connect(transport, broker).await,
            queues: Mutex::default(),
            kvs: Mutex::default(),
            leases: Mutex::default(),
            watches: Mutex::default(),
        }
    }

    fn session_id(&self) -> u64 {
        self.manager.session_id()
    }

    async fn perform(self: Arc<Sdk>, errand: Errand) -> Outcome {
        let Errand { call, letters, number } = errand;
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

    async fn leave(&self, broker: &TestBroker) {
        broker.lose_session(self.manager.session_id());
        self.manager.clone().close().await;
    }
}

impl Sdk {
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
        letters: &BTreeMap<u64, String>,
        number: usize,
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
    Ok(arguments.word("a key")?)
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

fn held(entry: kv::Entry<Raw>, letters: &BTreeMap<u64, String>) -> Part {
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
