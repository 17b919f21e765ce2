//! What the map says to the verbs of a single key, each of which may follow others that have not happened yet: the steps of a
//! transaction. A draft is the map with what they would change laid over it; the map itself is neither touched nor copied, and a
//! draft of no changes allocates nothing.

use super::{Change, Command, Condition, Key, Kv, Lifetime, Moment, Put, Reply, SessionId, Stored, Ttl, Value, integer, map};
use bursar_proto::Fault;
use std::collections::BTreeMap;

/// Bytes of keys and values in all replies of one transaction beyond the first that has any. Without it a small request could ask
/// for the same large value a thousand times.
const REPLIES_BYTES_MAX: usize = 32 << 20;

/// What a verb changes, if anything, and what it is told.
pub(super) type Step = (Option<Change>, Reply);

/// The map as it would be.
pub(super) struct Draft<'a> {
    kv: &'a Kv,
    /// Keys that are not what they are in the map; `None`: absent.
    news: BTreeMap<Key, Option<Stored>>,
    keys: u64,
    bytes: u64,
    revision: u64,
}

impl<'a> Draft<'a> {
    /// Nothing is changed yet.
    pub(super) fn of(kv: &'a Kv) -> Draft<'a> {
        Draft { kv, news: BTreeMap::new(), keys: kv.map.len(), bytes: kv.map.bytes(), revision: kv.revision }
    }

    /// Decides the commands one after the other, each as if those before it had happened.
    pub(super) fn steps(mut self, caller: SessionId, commands: &[Command], now: Moment) -> Result<Vec<Step>, Fault> {
        let (mut steps, mut bytes_left) = (Vec::with_capacity(commands.len()), None);
        for command in commands {
            let no_step =
                || Err(Fault::bad_argument("then, otherwise", "expected verbs of a single key: this one cannot be a step"));
            let (change, reply) = self.step(caller, command, now).unwrap_or_else(no_step)?;
            bytes_left = match (bytes_left, told(&reply)) {
                (left, 0) => left,
                (None, _) => Some(REPLIES_BYTES_MAX),
                (Some(left), told) => Some(usize::checked_sub(left, told).ok_or_else(too_much)?),
            };
            if let Some(change) = &change {
                self.take(change);
            }
            steps.push((change, reply));
        }
        Ok(steps)
    }

    /// What the map would say to this command; `None`: it is not about a single key, or cannot be a step.
    pub(super) fn step(&self, caller: SessionId, command: &Command, now: Moment) -> Option<Result<Step, Fault>> {
        Some(match command {
            Command::Get { key, touch } => Ok(self.read(key, *touch, now)),
            Command::Put(put) => self.put(caller, put, now),
            Command::SetDefault(put) => self.set_default(caller, put, now),
            Command::Delete { key, condition } => self.delete(key, *condition, now),
            Command::Contains { key } => Ok((None, Reply::Contains { contains: self.find(key).is_some() })),
            Command::Incr { key, by } => self.incr(key, *by),
            _ => return None,
        })
    }

    fn find(&self, key: &str) -> Option<&Stored> {
        // The verb that is on its own has no news.
        match self.news.is_empty() {
            true => self.kv.map.get(key),
            false => self.news.get(key).map_or_else(|| self.kv.map.get(key), Option::as_ref),
        }
    }

    fn take(&mut self, change: &Change) {
        let (key, now_stored) = match change {
            Change::Stored { key, value, ttl, session } => {
                self.revision += 1;
                let create_revision = self.find(key).map_or(self.revision, |old| old.create_revision);
                let (value, modify_revision) = (value.clone(), self.revision);
                (key, Some(Stored { value, create_revision, modify_revision, ttl: *ttl, session: *session }))
            }
            Change::Deleted { key } => {
                self.revision += 1;
                (key, None)
            }
            Change::Timed { key, ttl } => (key, self.find(key).map(|old| Stored { ttl: *ttl, ..old.clone() })),
            other => unreachable!("no verb of a single key changes this: {other:?}"),
        };
        let cost = |stored: Option<&Stored>| stored.map_or((0, 0), |stored| (1, map::size(key, &stored.value)));
        let (before, after) = (cost(self.find(key)), cost(now_stored.as_ref()));
        (self.keys, self.bytes) = (self.keys - before.0 + after.0, self.bytes - before.1 + after.1);
        self.news.insert(key.clone(), now_stored);
    }

    fn read(&self, key: &Key, touch: bool, now: Moment) -> Step {
        let revision = self.revision;
        let Some(stored) = self.find(key) else {
            return (None, Reply::Get { entry: None, revision });
        };
        let mut entry = stored.entry(key, now);
        let afresh = stored.ttl.filter(|_| touch).map(|ttl| Ttl::starting(now, ttl.length_ms));
        let change = afresh.filter(|afresh| stored.ttl != Some(*afresh)).map(|afresh| {
            entry.ttl_left_ms = afresh.length_ms;
            Change::Timed { key: key.clone(), ttl: Some(afresh) }
        });
        (change, Reply::Get { entry: Some(entry), revision })
    }

    fn put(&self, caller: SessionId, put: &Put, now: Moment) -> Result<Step, Fault> {
        let old = self.find(&put.key);
        check(put.condition, &put.key, old)?;
        self.room(&put.key, old, &put.value)?;
        let reply = Reply::Put { revision: self.revision + 1, previous: old.map(|old| old.entry(&put.key, now)) };
        let Stored { value, ttl, session, .. } = self.new_entry(caller, put, old, now);
        Ok((Some(Change::Stored { key: put.key.clone(), value, ttl, session }), reply))
    }

    fn set_default(&self, caller: SessionId, put: &Put, now: Moment) -> Result<Step, Fault> {
        if let Some(stored) = self.find(&put.key) {
            return Ok((None, Reply::SetDefault { entry: stored.entry(&put.key, now), created: false }));
        }
        self.room(&put.key, None, &put.value)?;
        let stored = self.new_entry(caller, put, None, now);
        let reply = Reply::SetDefault { entry: stored.entry(&put.key, now), created: true };
        let Stored { value, ttl, session, .. } = stored;
        Ok((Some(Change::Stored { key: put.key.clone(), value, ttl, session }), reply))
    }

    fn delete(&self, key: &Key, condition: Option<Condition>, now: Moment) -> Result<Step, Fault> {
        let old = self.find(key);
        check(condition, key, old)?;
        Ok(match old {
            None => (None, Reply::Delete { previous: None, revision: self.revision }),
            Some(old) => {
                let reply = Reply::Delete { previous: Some(old.entry(key, now)), revision: self.revision + 1 };
                (Some(Change::Deleted { key: key.clone() }), reply)
            }
        })
    }

    /// Changes the number and nothing else: ttl and session stay.
    fn incr(&self, key: &Key, by: i64) -> Result<Step, Fault> {
        let old = self.find(key);
        let overflow = || Fault::Overflow { key: key.to_string() };
        let (integer, codec) = match old.map(|old| (integer::read(&old.value), old.value.codec)) {
            None => (0, integer::MESSAGEPACK),
            Some((Ok(integer), codec)) => (integer, codec),
            Some((Err(integer::Unfit::TooLarge), _)) => return Err(overflow()),
            Some((Err(integer::Unfit::NotAnInteger), codec)) => return Err(Fault::NotAnInteger { key: key.to_string(), codec }),
        };
        let sum = integer.checked_add(by).ok_or_else(overflow)?;
        let value = integer::write(sum, codec);
        self.room(key, old, &value)?;
        let (ttl, session) = old.map_or((None, None), |old| (old.ttl, old.session));
        let change = Change::Stored { key: key.clone(), value, ttl, session };
        Ok((Some(change), Reply::Incr { value: sum, revision: self.revision + 1 }))
    }

    /// The entry as it will be when the change has happened.
    fn new_entry(&self, caller: SessionId, put: &Put, old: Option<&Stored>, now: Moment) -> Stored {
        let modify_revision = self.revision + 1;
        Stored {
            value: put.value.clone(),
            create_revision: old.map_or(modify_revision, |old| old.create_revision),
            modify_revision,
            ttl: ttl_of(put.lifetime, old, now),
            session: put.bind.then_some(caller),
        }
    }

    /// Whether the value finds room. What makes the map smaller always does, because it never is over its limits.
    fn room(&self, key: &str, old: Option<&Stored>, value: &Value) -> Result<(), Fault> {
        let limit = self.kv.options.max_keys;
        if old.is_none() && self.keys >= limit {
            return Err(Fault::LimitReached { what: "max_keys".into(), limit });
        }
        let limit = self.kv.options.max_bytes;
        let (before, after) = (old.map_or(0, |old| map::size(key, &old.value)), map::size(key, value));
        if self.bytes - before + after > limit {
            return Err(Fault::LimitReached { what: "max_bytes".into(), limit });
        }
        Ok(())
    }
}

/// The bytes of keys and values in a reply.
fn told(reply: &Reply) -> usize {
    let entry = match reply {
        Reply::Get { entry, .. } | Reply::Put { previous: entry, .. } | Reply::Delete { previous: entry, .. } => entry.as_ref(),
        Reply::SetDefault { entry, .. } => Some(entry),
        _ => None,
    };
    entry.map_or(0, |entry| entry.key.len() + entry.value.as_ref().map_or(0, |value| value.data.len()))
}

fn too_much() -> Fault {
    Fault::LimitReached { what: "bytes of values in the replies of a transaction".into(), limit: REPLIES_BYTES_MAX as u64 }
}

fn check(condition: Option<Condition>, key: &Key, old: Option<&Stored>) -> Result<(), Fault> {
    let actual = old.map_or(0, |old| old.modify_revision);
    let holds = match condition {
        None => true,
        Some(Condition::Revision(revision)) => revision == actual,
        Some(Condition::Present) => actual != 0,
    };
    if holds { Ok(()) } else { Err(Fault::RevisionMismatch { key: key.to_string(), actual }) }
}

pub(super) fn ttl_of(lifetime: Lifetime, old: Option<&Stored>, now: Moment) -> Option<Ttl> {
    match lifetime {
        Lifetime::Forever => None,
        Lifetime::For(length_ms) => Some(Ttl::starting(now, length_ms)),
        Lifetime::Kept => old.and_then(|old| old.ttl),
    }
}
