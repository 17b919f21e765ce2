//! What the map says to each verb. Nothing here changes it.

use super::{
    Change, Command, Condition, Decision, Entry, Event, Key, Kv, Lifetime, Moment, Put, Reply, SessionId, Stored, Ttl, Value,
    integer, map,
};
use bursar_proto::{Fault, limits::REPLY_BYTES_MAX};

/// Events that one `Next` looks at.
const EXAMINED_MAX: usize = 10_000;
/// Foreign events after which a waiting watcher is told how far it is, so that asking it again stays cheap and its `after` stays
/// among the events that are kept.
const SKIPPED_MAX: u64 = 128;

type Decided = Result<Decision<Kv>, Fault>;

impl Kv {
    pub(super) fn answer(&self, caller: SessionId, command: &Command, now: Moment) -> Decided {
        match command {
            Command::Get { key, touch } => Ok(self.get(key, *touch, now)),
            Command::Put(put) => self.put(caller, put, now),
            Command::SetDefault(put) => self.set_default(caller, put, now),
            Command::Delete { key, condition } => self.delete(key, *condition, now),
            Command::Contains { key } => Ok(Decision::Answer(Reply::Contains { contains: self.map.get(key).is_some() })),
            Command::Len { prefix } => Ok(self.len(prefix)),
            Command::Scan { prefix, after, limit, keys_only } => Ok(self.scan(prefix, after, *limit, *keys_only, now)),
            Command::Clear { prefix } => Ok(self.clear(prefix)),
            Command::Incr { key, by } => self.incr(key, *by),
            Command::Expire { key, lifetime } => Ok(self.expire(key, *lifetime, now)),
            Command::Next { after, prefix, limit, waits } => self.next(*after, prefix, *limit, *waits, now),
        }
    }

    fn get(&self, key: &Key, touch: bool, now: Moment) -> Decision<Kv> {
        let revision = self.revision;
        let Some(stored) = self.map.get(key) else {
            return Decision::Answer(Reply::Get { entry: None, revision });
        };
        let mut entry = stored.entry(key, now);
        match stored.ttl.filter(|_| touch).map(|ttl| Ttl::starting(now, ttl.length_ms)) {
            Some(afresh) if stored.ttl != Some(afresh) => {
                entry.ttl_left_ms = afresh.length_ms;
                Decision::Change(
                    Change::Timed { key: key.clone(), ttl: Some(afresh) },
                    Reply::Get { entry: Some(entry), revision },
                )
            }
            _ => Decision::Answer(Reply::Get { entry: Some(entry), revision }),
        }
    }

    fn put(&self, caller: SessionId, put: &Put, now: Moment) -> Decided {
        let old = self.map.get(&put.key);
        check(put.condition, &put.key, old)?;
        self.room(&put.key, old, &put.value)?;
        let reply = Reply::Put { revision: self.revision + 1, previous: old.map(|old| old.entry(&put.key, now)) };
        let Stored { value, ttl, session, .. } = self.new_entry(caller, put, old, now);
        Ok(Decision::Change(Change::Stored { key: put.key.clone(), value, ttl, session }, reply))
    }

    fn set_default(&self, caller: SessionId, put: &Put, now: Moment) -> Decided {
        if let Some(stored) = self.map.get(&put.key) {
            return Ok(Decision::Answer(Reply::SetDefault { entry: stored.entry(&put.key, now), created: false }));
        }
        self.room(&put.key, None, &put.value)?;
        let stored = self.new_entry(caller, put, None, now);
        let reply = Reply::SetDefault { entry: stored.entry(&put.key, now), created: true };
        let Stored { value, ttl, session, .. } = stored;
        Ok(Decision::Change(Change::Stored { key: put.key.clone(), value, ttl, session }, reply))
    }

    fn delete(&self, key: &Key, condition: Option<Condition>, now: Moment) -> Decided {
        let old = self.map.get(key);
        check(condition, key, old)?;
        Ok(match old {
            None => Decision::Answer(Reply::Delete { previous: None, revision: self.revision }),
            Some(old) => Decision::Change(
                Change::Deleted { key: key.clone() },
                Reply::Delete { previous: Some(old.entry(key, now)), revision: self.revision + 1 },
            ),
        })
    }

    fn len(&self, prefix: &str) -> Decision<Kv> {
        let len = if prefix.is_empty() { self.map.len() } else { self.map.under(prefix, "").count() as u64 };
        Decision::Answer(Reply::Len { len, revision: self.revision })
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize, keys_only: bool, now: Moment) -> Decision<Kv> {
        let (mut entries, mut page, mut more): (Vec<Entry>, _, _) = (Vec::new(), Page::of(limit), false);
        for (key, stored) in self.map.under(prefix, after) {
            let bytes = if keys_only { key.len() } else { map::size(key, &stored.value) as usize };
            if !page.takes(bytes) {
                more = true;
                break;
            }
            let entry = stored.entry(key, now);
            entries.push(if keys_only { Entry { value: None, ..entry } } else { entry });
        }
        Decision::Answer(Reply::Scan { entries, more, revision: self.revision })
    }

    fn clear(&self, prefix: &Key) -> Decision<Kv> {
        let count = self.map.under(prefix, "").count() as u64;
        let reply = Reply::Clear { count, revision: self.revision + count };
        match count {
            0 => Decision::Answer(reply),
            _ => Decision::Change(Change::Cleared { prefix: prefix.clone() }, reply),
        }
    }

    /// Changes the number and nothing else: ttl and session stay.
    fn incr(&self, key: &Key, by: i64) -> Decided {
        let old = self.map.get(key);
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
        Ok(Decision::Change(change, Reply::Incr { value: sum, revision: self.revision + 1 }))
    }

    fn expire(&self, key: &Key, lifetime: Lifetime, now: Moment) -> Decision<Kv> {
        let Some(stored) = self.map.get(key) else {
            return Decision::Answer(Reply::Expire { found: false });
        };
        let ttl = ttl_of(lifetime, Some(stored), now);
        match ttl == stored.ttl {
            true => Decision::Answer(Reply::Expire { found: true }),
            false => Decision::Change(Change::Timed { key: key.clone(), ttl }, Reply::Expire { found: true }),
        }
    }

    /// One page of what happened behind `after`. A call that waits is parked while nothing did; when that takes long because of
    /// changes outside the prefix, it is answered without events, so that the next call starts nearer to the end.
    fn next(&self, after: u64, prefix: &str, limit: usize, waits: bool, now: Moment) -> Decided {
        if after > self.revision {
            let problem = format!("expected a revision up to the map's, which is {}, got {after}", self.revision);
            return Err(Fault::bad_argument("after", problem));
        }
        let Some(behind) = self.events.after(after) else {
            return Ok(Decision::Answer(Reply::Next { events: Vec::new(), upto: self.revision, reset: true }));
        };
        let (mut events, mut upto, mut page): (Vec<Event>, _, _) = (Vec::new(), after, Page::of(limit));
        for happened in behind.take(EXAMINED_MAX) {
            if happened.key.starts_with(prefix) {
                if !page.takes(happened.payload()) {
                    break;
                }
                events.push(happened.event(now));
            }
            upto = happened.revision;
        }
        let skipped_max = SKIPPED_MAX.min(u64::from(self.options.events_max) / 2);
        if waits && events.is_empty() && upto - after <= skipped_max {
            return Ok(Decision::Wait);
        }
        Ok(Decision::Answer(Reply::Next { events, upto, reset: false }))
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
        let limit = self.options.max_keys;
        if old.is_none() && self.map.len() >= limit {
            return Err(Fault::LimitReached { what: "max_keys".into(), limit });
        }
        let limit = self.options.max_bytes;
        let (before, after) = (old.map_or(0, |old| map::size(key, &old.value)), map::size(key, value));
        if self.map.bytes() - before + after > limit {
            return Err(Fault::LimitReached { what: "max_bytes".into(), limit });
        }
        Ok(())
    }
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

fn ttl_of(lifetime: Lifetime, old: Option<&Stored>, now: Moment) -> Option<Ttl> {
    match lifetime {
        Lifetime::Forever => None,
        Lifetime::For(length_ms) => Some(Ttl::starting(now, length_ms)),
        Lifetime::Kept => old.and_then(|old| old.ttl),
    }
}

/// How much one reply takes: `left` things, and `REPLY_BYTES_MAX` beyond the first.
struct Page {
    left: usize,
    bytes_left: Option<usize>,
}

impl Page {
    fn of(limit: usize) -> Page {
        Page { left: limit, bytes_left: None }
    }

    /// Whether there is place for one more thing of this size.
    fn takes(&mut self, bytes: usize) -> bool {
        let bytes_left = match self.bytes_left {
            None => Some(REPLY_BYTES_MAX),
            Some(left) => left.checked_sub(bytes),
        };
        if self.left == 0 || bytes_left.is_none() {
            return false;
        }
        self.left -= 1;
        self.bytes_left = bytes_left;
        true
    }
}
