//! How the key-value store looks on the wire and on disk. The only place that names generated types.

use super::super::kind::{Damaged, Moment, SessionId, Wire};
use super::{Cause, Change, Command, Condition, Entry, Event, Key, Kv, Lifetime, Options, Put, Reply, Stored, Ttl, Value};
use bursar_proto::{Fault, Targeted, Wait, v1};
use prost::Message;
use v1::kv;

/// The newest form of a change that is understood here.
const VERSION: u32 = 0;
const KEY_BYTES_MAX: usize = 1024;
/// A hundred years: what is meant to live longer has no ttl.
const TTL_MS_MAX: u64 = 100 * 365 * 24 * 3_600_000;
/// Things in one reply, when the request says nothing, and at most.
const LIMIT: u32 = 1000;
const LIMIT_MAX: u32 = 10_000;

impl Wire for Kv {
    fn create(options: &v1::registry::Options, _epoch: u64) -> Result<Kv, Fault> {
        use v1::registry::options::Kind::Kv as Ours;
        let Some(Ours(kv::Options { max_keys, max_bytes, events_max })) = &options.kind else {
            let got = bursar_proto::kind_of(options).unwrap_or("none");
            return Err(Fault::bad_argument("options", format!("expected options of the kind kv, got {got}")));
        };
        let or = |given: u64, default: u64| if given == 0 { default } else { given };
        Ok(Kv::new(Options {
            max_keys: or(*max_keys, 1_000_000),
            max_bytes: or(*max_bytes, 1 << 30),
            events_max: if *events_max == 0 { 10_000 } else { *events_max },
        }))
    }

    fn options(&self) -> v1::registry::Options {
        let Options { max_keys, max_bytes, events_max } = self.options;
        v1::registry::Options { kind: Some(v1::registry::options::Kind::Kv(kv::Options { max_keys, max_bytes, events_max })) }
    }

    fn command(command: bursar_proto::Command, payload_bytes_max: usize) -> Result<Command, Fault> {
        match command {
            bursar_proto::Command::Kv(verb) => read(verb, payload_bytes_max),
            other => {
                let name = other.object().map_or("", |object| &object.name).to_owned();
                Err(Fault::Mismatch { name, what: "kind".into(), expected: "another kind".into(), actual: "kv".into() })
            }
        }
    }

    fn reply(reply: Reply) -> v1::answer::Reply {
        v1::answer::Reply::Kv(kv::Reply { verb: Some(write(reply)) })
    }

    fn holding(_reply: v1::answer::Reply) -> Option<Reply> {
        None
    }

    fn encode(change: &Change) -> Vec<u8> {
        kv::Change { version: VERSION, change: Some(keep(change)) }.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Change, Damaged> {
        let kv::Change { version, change } = kv::Change::decode(bytes)?;
        match change {
            _ if version > VERSION => Err(Damaged("a change of the key-value store that only a newer broker understands".into())),
            None => Err(Damaged("an unknown change of the key-value store".into())),
            Some(change) => recall(change),
        }
    }
}

// Commands, as they come.

fn read(verb: kv::command::Verb, payload_bytes_max: usize) -> Result<Command, Fault> {
    use kv::command::Verb;
    Ok(match verb {
        Verb::Get(kv::GetRequest { object: _, key: name, touch }) => Command::Get { key: key(name)?, touch },
        Verb::Put(request) => Command::Put(put(request, payload_bytes_max)?),
        Verb::SetDefault(kv::SetDefaultRequest { object: _, fence: _, key: name, value, ttl_ms, bind }) => {
            Command::SetDefault(Put {
                key: key(name)?,
                value: Value::read(value, payload_bytes_max)?,
                condition: None,
                lifetime: lifetime(ttl_ms)?,
                bind,
            })
        }
        Verb::Delete(kv::DeleteRequest { object: _, fence: _, key: name, condition: when }) => {
            Command::Delete { key: key(name)?, condition: condition(when) }
        }
        Verb::Contains(kv::ContainsRequest { object: _, key: name }) => Command::Contains { key: key(name)? },
        Verb::Len(kv::LenRequest { object: _, prefix }) => Command::Len { prefix: part("prefix", prefix)? },
        Verb::Scan(kv::ScanRequest { object: _, prefix, after, limit: asked, keys_only }) => {
            Command::Scan { prefix: part("prefix", prefix)?, after: part("after", after)?, limit: limit(asked), keys_only }
        }
        Verb::Clear(kv::ClearRequest { object: _, fence: _, prefix }) => Command::Clear { prefix: part("prefix", prefix)? },
        Verb::Incr(kv::IncrRequest { object: _, fence: _, key: name, by }) => Command::Incr { key: key(name)?, by },
        Verb::Expire(kv::ExpireRequest { object: _, fence: _, key: name, ttl_ms }) => {
            Command::Expire { key: key(name)?, lifetime: lifetime(ttl_ms)? }
        }
        Verb::Next(kv::NextRequest { object: _, wait_ms, prefix, after, limit: asked }) => Command::Next {
            after,
            prefix: part("prefix", prefix)?,
            limit: limit(asked),
            waits: Wait::from_ms(wait_ms)? != Wait::Never,
        },
    })
}

fn put(request: kv::PutRequest, payload_bytes_max: usize) -> Result<Put, Fault> {
    let kv::PutRequest { object: _, fence: _, key: name, value, condition: when, ttl_ms, keep_ttl, bind } = request;
    if keep_ttl && ttl_ms != 0 {
        let problem = format!("expected either keep_ttl or a ttl_ms, got both (ttl_ms is {ttl_ms})");
        return Err(Fault::bad_argument("keep_ttl", problem));
    }
    Ok(Put {
        key: key(name)?,
        value: Value::read(value, payload_bytes_max)?,
        condition: condition(when),
        lifetime: if keep_ttl { Lifetime::Kept } else { lifetime(ttl_ms)? },
        bind,
    })
}

fn key(name: String) -> Result<Key, Fault> {
    match name.len() {
        1..=KEY_BYTES_MAX => Ok(name.into()),
        bytes => Err(Fault::bad_argument("key", format!("expected 1 to {KEY_BYTES_MAX} bytes of UTF-8, got {bytes}"))),
    }
}

/// The start of a key.
fn part(argument: &str, text: String) -> Result<Key, Fault> {
    match text.len() {
        0..=KEY_BYTES_MAX => Ok(text.into()),
        bytes => Err(Fault::bad_argument(argument, format!("expected up to {KEY_BYTES_MAX} bytes of UTF-8, got {bytes}"))),
    }
}

/// A condition that says nothing is none.
fn condition(condition: Option<kv::Condition>) -> Option<Condition> {
    use kv::condition::Condition as Given;
    Some(match condition?.condition? {
        Given::Revision(revision) => Condition::Revision(revision),
        Given::Absent(true) => Condition::Revision(0),
        Given::Absent(false) => Condition::Present,
    })
}

fn lifetime(ttl_ms: u64) -> Result<Lifetime, Fault> {
    match ttl_ms {
        0 => Ok(Lifetime::Forever),
        1..=TTL_MS_MAX => Ok(Lifetime::For(ttl_ms)),
        _ => Err(Fault::bad_argument("ttl_ms", format!("expected 0 (for ever) to {TTL_MS_MAX} (100 years), got {ttl_ms}"))),
    }
}

fn limit(asked: u32) -> usize {
    (if asked == 0 { LIMIT } else { asked.min(LIMIT_MAX) }) as usize
}

// Replies, as they go.

fn write(reply: Reply) -> kv::reply::Verb {
    use kv::reply::Verb;
    match reply {
        Reply::Get { entry, revision } => Verb::Get(kv::GetReply { entry: entry.map(seen), revision }),
        Reply::Put { revision, previous } => Verb::Put(kv::PutReply { revision, previous: previous.map(seen) }),
        Reply::SetDefault { entry, created } => Verb::SetDefault(kv::SetDefaultReply { entry: Some(seen(entry)), created }),
        Reply::Delete { previous, revision } => Verb::Delete(kv::DeleteReply { previous: previous.map(seen), revision }),
        Reply::Contains { contains } => Verb::Contains(kv::ContainsReply { contains }),
        Reply::Len { len, revision } => Verb::Len(kv::LenReply { len, revision }),
        Reply::Scan { entries, more, revision } => {
            Verb::Scan(kv::ScanReply { entries: entries.into_iter().map(seen).collect(), more, revision })
        }
        Reply::Clear { count, revision } => Verb::Clear(kv::ClearReply { count, revision }),
        Reply::Incr { value, revision } => Verb::Incr(kv::IncrReply { value, revision }),
        Reply::Expire { found } => Verb::Expire(kv::ExpireReply { found }),
        Reply::Next { events, upto, reset } => {
            Verb::Next(kv::NextReply { events: events.into_iter().map(told).collect(), upto, reset, synced: false })
        }
    }
}

fn seen(entry: Entry) -> kv::Entry {
    let Entry { key, value, create_revision, modify_revision, ttl_left_ms, session } = entry;
    let (key, value, session) = (key.to_string(), value.map(v1::Value::from), number(session));
    kv::Entry { key, value, create_revision, modify_revision, ttl_left_ms, session }
}

fn told(event: Event) -> kv::Event {
    let Event { revision, key, entry, cause } = event;
    let cause = match cause {
        Cause::Put => "put",
        Cause::Delete => "delete",
        Cause::Expired => "expired",
        Cause::Session => "session",
    };
    kv::Event { revision, key: key.to_string(), entry: entry.map(seen), cause: cause.into() }
}

/// 0 is no session.
fn number(session: Option<SessionId>) -> u64 {
    session.map_or(0, |SessionId(id)| id)
}

// Changes, as they are kept.

fn keep(change: &Change) -> kv::change::Change {
    use kv::change::Change as Kept;
    match change.clone() {
        Change::Stored { key, value, ttl, session } => Kept::Stored(kv::Stored {
            key: key.to_string(),
            value: Some(value.into()),
            ttl: ttl.map(keep_ttl),
            session: number(session),
        }),
        Change::Timed { key, ttl } => Kept::Timed(kv::Timed { key: key.to_string(), ttl: ttl.map(keep_ttl) }),
        Change::Deleted { key } => Kept::Deleted(kv::Deleted { key: key.to_string() }),
        Change::Cleared { prefix } => Kept::Cleared(kv::Cleared { prefix: prefix.to_string() }),
        Change::Expired { until: Moment(until_ms), keys_max } => Kept::Expired(kv::Expired { until_ms, keys_max }),
        Change::Departed { session: SessionId(session) } => Kept::Departed(kv::Departed { session }),
        Change::Restored { revision, entries } => {
            Kept::Restored(kv::Restored { revision, entries: entries.into_iter().map(keep_entry).collect() })
        }
    }
}

fn keep_ttl(ttl: Ttl) -> kv::Ttl {
    let Ttl { length_ms, expires: Moment(expires_ms) } = ttl;
    kv::Ttl { length_ms, expires_ms }
}

fn keep_entry((key, stored): (Key, Stored)) -> kv::RestoredEntry {
    let Stored { value, create_revision, modify_revision, ttl, session } = stored;
    let (key, value, ttl, session) = (key.to_string(), Some(value.into()), ttl.map(keep_ttl), number(session));
    kv::RestoredEntry { key, value, create_revision, modify_revision, ttl, session }
}

fn recall(change: kv::change::Change) -> Result<Change, Damaged> {
    use kv::change::Change as Kept;
    Ok(match change {
        Kept::Stored(kv::Stored { key, value, ttl, session }) => Change::Stored {
            key: key.into(),
            value: Value::recall(value)?,
            ttl: ttl.map(recall_ttl),
            session: recall_session(session),
        },
        Kept::Timed(kv::Timed { key, ttl }) => Change::Timed { key: key.into(), ttl: ttl.map(recall_ttl) },
        Kept::Deleted(kv::Deleted { key }) => Change::Deleted { key: key.into() },
        Kept::Cleared(kv::Cleared { prefix }) => Change::Cleared { prefix: prefix.into() },
        Kept::Expired(kv::Expired { until_ms, keys_max }) => Change::Expired { until: Moment(until_ms), keys_max },
        Kept::Departed(kv::Departed { session }) => Change::Departed { session: SessionId(session) },
        Kept::Restored(kv::Restored { revision, entries }) => {
            let entries: Result<_, _> = entries.into_iter().map(recall_entry).collect();
            Change::Restored { revision, entries: entries? }
        }
    })
}

fn recall_ttl(ttl: kv::Ttl) -> Ttl {
    let kv::Ttl { length_ms, expires_ms } = ttl;
    Ttl { length_ms, expires: Moment(expires_ms) }
}

fn recall_session(session: u64) -> Option<SessionId> {
    (session != 0).then_some(SessionId(session))
}

fn recall_entry(entry: kv::RestoredEntry) -> Result<(Key, Stored), Damaged> {
    let kv::RestoredEntry { key, value, create_revision, modify_revision, ttl, session } = entry;
    let (value, ttl, session) = (Value::recall(value)?, ttl.map(recall_ttl), recall_session(session));
    Ok((key.into(), Stored { value, create_revision, modify_revision, ttl, session }))
}
