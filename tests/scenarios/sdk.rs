//! Scenarios through the Rust SDK: one `Manager` for each session.

mod holders;
mod kv;
mod opened;
mod queue;
mod sequences;
mod signals;

use super::{
    arguments::{Arguments, Payload},
    kinds,
    remote::{Errand, Seat, Transport},
    script::{Outcome, Part, quote},
    wire,
};
use bursar::{BoxIo, Error, Fence, Kv, Lease, Manager, Queue, Raw, Waits, kv::Watch, waits};
use bursar_proto::v1::{self, registry};
use bursar_server::testing::TestBroker;
use holders::Holders;
use opened::Opened;
use parking_lot::Mutex;
use sequences::Sequences;
use signals::Signals;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// One session of the script.
pub struct Sdk {
    manager: Manager,
    queues: Opened<Queue<Raw>>,
    kvs: Opened<Kv<Raw>>,
    /// By the object's name and the lease's number.
    leases: Mutex<HashMap<(String, u64), Lease<Raw>>>,
    watches: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Watch<Raw>>>>>,
    holders: Holders,
    signals: Signals,
    sequences: Sequences,
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
            queues: Opened::default(),
            kvs: Opened::default(),
            leases: Mutex::default(),
            watches: Mutex::default(),
            holders: Holders::default(),
            signals: Signals::default(),
            sequences: Sequences::default(),
        }
    }

    fn session_id(&self) -> u64 {
        self.manager.session_id()
    }

    async fn perform(self: Arc<Sdk>, errand: Errand) -> Outcome {
        let mut arguments = Arguments::of(&errand.call);
        let result = self.call(&errand, &mut arguments).await;
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
    async fn call(&self, errand: &Errand, arguments: &mut Arguments) -> Result {
        let Errand { call, letters, number } = errand;
        let (manager, name) = (&self.manager, call.object.as_str());
        match call.verb.split_once('.').expect("the grammar asks for kind.verb") {
            ("objects", verb) => self.names(verb, name, arguments, letters).await,
            ("queue", verb @ ("create" | "open" | "open_or_create")) => self.open_queue(verb, name, arguments).await,
            ("kv", verb @ ("create" | "open" | "open_or_create")) => self.open_kv(verb, name, arguments).await,
            ("queue", verb) => self.queue_verb(verb, name, arguments).await,
            ("kv", verb) => self.kv_verb(verb, name, arguments, letters, *number).await,
            ("lock", verb) => self.holders.lock(manager, verb, name, arguments).await,
            ("rwlock", verb) => self.holders.rwlock(manager, verb, name, arguments).await,
            ("semaphore", verb) => self.holders.semaphore(manager, verb, name, arguments).await,
            ("condition", verb) => self.holders.condition(manager, verb, name, arguments).await,
            ("event", verb) => self.signals.event(manager, verb, name, arguments).await,
            ("latch", verb) => self.signals.latch(manager, verb, name, arguments).await,
            ("barrier", verb) => self.signals.barrier(manager, verb, name, arguments).await,
            ("counter", verb) => self.signals.counter(manager, verb, name, arguments).await,
            ("list", verb) => self.sequences.list(manager, verb, name, arguments).await,
            ("array", verb) => self.sequences.array(manager, verb, name, arguments).await,
            _ => unknown(&call.verb),
        }
    }

    async fn names(&self, verb: &str, name: &str, arguments: &mut Arguments, letters: &BTreeMap<u64, String>) -> Result {
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
            "waits" => {
                let waits = if name.is_empty() { objects.waits().await? } else { objects.waits_of(name).await? };
                kinds::waits(&waits_reply(waits), &|session| letter(letters, session))
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

/// `fence=LOCK token=TOKEN`.
fn fence(arguments: &mut Arguments) -> Result<Option<Fence>> {
    let Some(lock) = arguments.text("fence") else { return Ok(None) };
    Ok(Some(Fence::new(lock, arguments.field("token")?)))
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

/// Who waits for what, in the words of the contract.
fn waits_reply(waits: Waits) -> registry::WaitsReply {
    let party = |party: waits::Party| Some(registry::Party { session: party.session, ..Default::default() });
    let waiting = |waiting: waits::Waiting| registry::Waiting {
        who: party(waiting.who),
        object: waiting.object,
        kind: waiting.kind,
        what: waiting.what,
        ..Default::default()
    };
    let holding = |holding: waits::Holding| registry::Holding {
        who: party(holding.who),
        object: holding.object,
        kind: holding.kind,
        what: holding.what,
        token: holding.token.unwrap_or(0),
        ..Default::default()
    };
    registry::WaitsReply {
        waits: waits.waits.into_iter().map(waiting).collect(),
        holdings: waits.holdings.into_iter().map(holding).collect(),
        cycles: waits
            .cycles
            .into_iter()
            .map(|waits| registry::Cycle { waits: waits.into_iter().map(waiting).collect() })
            .collect(),
        more: waits.more,
    }
}

/// The letter of a session; its number, if the script does not know it.
fn letter(letters: &BTreeMap<u64, String>, session: u64) -> String {
    letters.get(&session).cloned().unwrap_or_else(|| session.to_string())
}
