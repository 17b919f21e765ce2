//! What the map says to each verb; to those of a single key the draft says it. Nothing here changes it.

use super::{
    Change, Command, Decision, Entry, Event, Key, Kv, Lifetime, Moment, Reply, SessionId,
    draft::{Draft, ttl_of},
    map,
};
use crate::objects::page::Page;
use bursar_proto::Fault;

/// Events that one `Next` looks at.
const EXAMINED_MAX: usize = 10_000;
/// Foreign events after which a waiting watcher is told how far it is, so that asking it again stays cheap and its `after` stays
/// among the events that are kept.
const SKIPPED_MAX: u64 = 128;

type Decided = Result<Decision<Kv>, Fault>;

impl Kv {
    pub(super) fn answer(&self, caller: SessionId, command: &Command, now: Moment) -> Decided {
        match command {
            Command::Len { prefix } => Ok(self.len(prefix)),
            Command::Scan { prefix, after, limit, keys_only } => Ok(self.scan(prefix, after, *limit, *keys_only, now)),
            Command::Clear { prefix } => Ok(self.clear(prefix)),
            Command::Expire { key, lifetime } => Ok(self.expire(key, *lifetime, now)),
            Command::Next { after, prefix, limit, waits } => self.next(*after, prefix, *limit, *waits, now),
            of_one_key => self.answer_alone(caller, of_one_key, now),
        }
    }

    fn answer_alone(&self, caller: SessionId, command: &Command, now: Moment) -> Decided {
        Ok(match Draft::of(self).step(caller, command, now).expect("every other verb has an arm of its own")? {
            (None, reply) => Decision::Answer(reply),
            (Some(change), reply) => Decision::Change(change, reply),
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
}
