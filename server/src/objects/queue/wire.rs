//! A queue on the wire and on disk: the only place that knows its generated types.

use super::{
    Cancelled, Change, Command, Counters, Event, Item, Leased, NewItem, OnDuplicate, Options, Outcome, PARK_IDS_MAX, Parked,
    Queue, Reply, Return, Stats, Then, Wanted,
    state::{Headers, Rare, Restored},
};
use crate::objects::{
    kind::{Damaged, Moment, SessionId, Wire},
    value::COPIED_BELOW,
};
use bursar_proto::{
    Fault, limits,
    v1::{answer, queue as pb, registry},
};
use bytes::Bytes;
use prost::Message;

const GIB: u64 = 1 << 30;
const UNIQUE_KEY_BYTES_MAX: usize = 256;
const HEADERS_MAX: usize = 16;
const HEADERS_BYTES_MAX: usize = 4 << 10;
const WHY_BYTES_MAX: usize = 1 << 10;
const PEEK_MAX: usize = 1000;
/// Delays, ttls and windows beyond this are mistakes of unit.
const SPAN_MS_MAX: u64 = 100 * 365 * 24 * 3_600_000;

impl Wire for Queue {
    fn create(options: &registry::Options, _epoch: u64) -> Result<Queue, Fault> {
        let Some(registry::options::Kind::Queue(options)) = &options.kind else {
            return Err(Fault::bad_argument("options", "expected the options of a queue"));
        };
        let pb::Options { maxsize, max_bytes, max_failures, max_crashes, retry_delay_ms, unique_window_ms } = *options;
        span("unique_window_ms", unique_window_ms)?;
        span("retry_delay_ms", retry_delay_ms)?;
        let or = |value, default| if value == 0 { default } else { value };
        Ok(Queue::new(Options {
            maxsize,
            max_bytes: or(max_bytes, GIB),
            max_failures: or(u64::from(max_failures), 10) as u32,
            max_crashes: or(u64::from(max_crashes), 3) as u32,
            retry_delay_ms: or(retry_delay_ms, 1000),
            unique_window_ms,
        }))
    }

    fn options(&self) -> registry::Options {
        let Options { maxsize, max_bytes, max_failures, max_crashes, retry_delay_ms, unique_window_ms } = *self.limits();
        let options = pb::Options { maxsize, max_bytes, max_failures, max_crashes, retry_delay_ms, unique_window_ms };
        registry::Options { kind: Some(registry::options::Kind::Queue(options)) }
    }

    fn command(command: bursar_proto::Command, payload_bytes_max: usize) -> Result<Command, Fault> {
        use pb::command::Verb;
        let bursar_proto::Command::Queue(verb) = command else {
            return Err(Fault::bad_argument("object", "expected a verb of queue for an object of kind queue"));
        };
        Ok(match verb {
            Verb::Put(put) => {
                batch("items", put.items.len())?;
                let items = put.items.into_iter().map(|item| new_item(item, payload_bytes_max));
                Command::Put(items.collect::<Result<_, _>>()?)
            }
            Verb::Get(get) => {
                let max = (get.max as usize).max(1);
                batch("max", max)?;
                Command::Get { max, buffered: get.buffered }
            }
            Verb::Start(start) => Command::Start { leases: leases(start.leases)? },
            Verb::Done(done) => match (done.leases.is_empty(), done.oldest) {
                (true, 1..) => {
                    batch("oldest", done.oldest as usize)?;
                    Command::DoneOldest { count: done.oldest as usize }
                }
                (false, 0) => Command::Done { leases: leases(done.leases)? },
                _ => return Err(Fault::bad_argument("leases", "expected either leases or a number of oldest ones to settle")),
            },
            Verb::Return(back) => {
                let how = match pb::Reason::try_from(back.reason) {
                    Ok(pb::Reason::Released) => Return::Released,
                    Ok(pb::Reason::Failed) => Return::Failed,
                    Err(_) => return Err(Fault::bad_argument("reason", "expected RELEASED (0) or FAILED (1)")),
                };
                let delay_ms = back.delay_ms.map(|delay_ms| span("delay_ms", delay_ms)).transpose()?;
                Command::Return { leases: leases(back.leases)?, how, delay_ms, why: shortened(back.why) }
            }
            Verb::Park(park) => {
                batch("leases and ids", park.leases.len() + park.ids.len())?;
                if park.ids.len() > PARK_IDS_MAX {
                    let problem = format!("expected at most {PARK_IDS_MAX}, got {}", park.ids.len());
                    return Err(Fault::bad_argument("ids", problem));
                }
                Command::Park { leases: park.leases, ids: park.ids, why: shortened(park.why) }
            }
            Verb::Unpark(unpark) => Command::Unpark { ids: some_or_all(unpark.ids)? },
            Verb::Discard(discard) => Command::Discard { ids: some_or_all(discard.ids)? },
            Verb::Parked(parked) => {
                let limit = if parked.limit == 0 { 100 } else { (parked.limit as usize).min(PEEK_MAX) };
                Command::Parked { after_id: parked.after_id, limit }
            }
            Verb::Join(_) => Command::Join,
            Verb::Close(close) => Command::Close { immediate: close.immediate },
            Verb::Stats(_) => Command::Stats,
            Verb::Peek(peek) => Command::Peek { limit: (peek.limit as usize).clamp(1, PEEK_MAX) },
            Verb::Purge(_) => Command::Purge,
            Verb::Pause(pause) => Command::Pause { paused: !pause.resume },
            Verb::Cancel(pb::CancelRequest { object: _, wait_ms: _, id, lease, then, why, force }) => {
                let then = from_then(then).ok_or_else(|| Fault::bad_argument("then", "expected REQUEUE (0) or PARK (1)"))?;
                Command::Cancel { id, lease, wanted: Wanted { then, why: shortened(why) }, force }
            }
            Verb::Cancelling(cancelling) => Command::Cancelling { after: cancelling.after },
        })
    }

    fn reply(reply: Reply) -> answer::Reply {
        use pb::reply::Verb;
        let verb = match reply {
            Reply::Put { ids, duplicates } => Verb::Put(pb::PutReply { ids, duplicates }),
            Reply::Get(items) => Verb::Get(pb::GetReply { items: items.into_iter().map(leased).collect() }),
            Reply::Start { not_held } => Verb::Start(pb::StartReply { not_held }),
            Reply::Done { not_held } => Verb::Done(pb::DoneReply { not_held }),
            Reply::Return { not_held, parked } => Verb::Return(pb::ReturnReply { not_held, parked }),
            Reply::Park { not_held, not_found } => Verb::Park(pb::ParkReply { not_held, not_found }),
            Reply::Unpark { count } => Verb::Unpark(pb::UnparkReply { count }),
            Reply::Discard { count } => Verb::Discard(pb::DiscardReply { count }),
            Reply::Parked { items, more } => {
                Verb::Parked(pb::ParkedReply { items: items.into_iter().map(parked).collect(), more })
            }
            Reply::Join => Verb::Join(pb::JoinReply {}),
            Reply::Close { dropped } => Verb::Close(pb::CloseReply { dropped }),
            Reply::Stats(figures) => Verb::Stats(stats(figures)),
            Reply::Peek(items) => Verb::Peek(pb::PeekReply { items: items.into_iter().map(seen).collect() }),
            Reply::Purge { count } => Verb::Purge(pb::PurgeReply { count }),
            Reply::Pause => Verb::Pause(pb::PauseReply {}),
            Reply::Cancel(told) => Verb::Cancel(cancelled(told)),
            Reply::Cancelling { leases, upto } => Verb::Cancelling(pb::CancellingReply { leases, upto }),
        };
        answer::Reply::Queue(pb::Reply { verb: Some(verb) })
    }

    fn holding(reply: answer::Reply) -> Option<Reply> {
        let answer::Reply::Queue(pb::Reply { verb: Some(pb::reply::Verb::Get(get)) }) = reply else { return None };
        let leased = |leased: pb::Leased| Leased {
            lease: leased.lease,
            item: Item {
                id: leased.id,
                data: leased.data,
                codec: leased.codec,
                priority: leased.priority as u8,
                put_at: Moment(leased.put_ms),
                rare: None,
            },
        };
        Some(Reply::Get(get.items.into_iter().map(leased).collect()))
    }

    fn encode(change: &Change) -> Vec<u8> {
        to_stored(change).encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Change, Damaged> {
        from_stored(pb::Change::decode(bytes)?)
    }
}

fn batch(argument: &str, count: usize) -> Result<(), Fault> {
    match count {
        1..=limits::BATCH_MAX => Ok(()),
        count => Err(Fault::bad_argument(argument, format!("expected 1 to {}, got {count}", limits::BATCH_MAX))),
    }
}

fn leases(leases: Vec<u64>) -> Result<Vec<u64>, Fault> {
    batch("leases", leases.len()).map(|()| leases)
}

fn some_or_all(ids: Vec<u64>) -> Result<Vec<u64>, Fault> {
    batch("ids", ids.len().max(1)).map(|()| ids)
}

fn span(argument: &str, ms: u64) -> Result<u64, Fault> {
    match ms {
        0..=SPAN_MS_MAX => Ok(ms),
        ms => Err(Fault::bad_argument(argument, format!("expected at most 100 years in milliseconds, got {ms}"))),
    }
}

fn from_then(then: i32) -> Option<Then> {
    match pb::Then::try_from(then) {
        Ok(pb::Then::Requeue) => Some(Then::Requeue),
        Ok(pb::Then::Park) => Some(Then::Park),
        Err(_) => None,
    }
}

fn to_then(then: Then) -> i32 {
    match then {
        Then::Requeue => pb::Then::Requeue as i32,
        Then::Park => pb::Then::Park as i32,
    }
}

fn cancelled(told: Cancelled) -> pb::CancelReply {
    use pb::cancel_reply::Outcome as Told;
    let Cancelled { outcome, session, lease } = told;
    let outcome = match outcome {
        Outcome::Held => Told::Held,
        Outcome::Requeued => Told::Requeued,
        Outcome::Parked => Told::Parked,
        Outcome::Done => Told::Done,
        Outcome::Queued => Told::Queued,
        Outcome::Gone => Told::Gone,
    };
    pb::CancelReply { outcome: outcome as i32, session, lease }
}

/// At most `WHY_BYTES_MAX` bytes, cut between characters.
fn shortened(mut why: String) -> String {
    let mut end = why.len().min(WHY_BYTES_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    why.truncate(end);
    why
}

fn new_item(item: pb::Item, payload_bytes_max: usize) -> Result<NewItem, Fault> {
    let pb::Item { data, codec, priority, delay_ms, ttl_ms, unique_key, on_duplicate, headers } = item;
    if data.len() > payload_bytes_max {
        let (size, limit) = (data.len() as u64, payload_bytes_max as u64);
        return Err(Fault::TooLarge { what: "the item".into(), size, limit });
    }
    let priority =
        u8::try_from(priority).map_err(|_| Fault::bad_argument("priority", format!("expected 0 to 255, got {priority}")))?;
    if unique_key.len() > UNIQUE_KEY_BYTES_MAX {
        let problem = format!("expected at most {UNIQUE_KEY_BYTES_MAX} bytes, got {}", unique_key.len());
        return Err(Fault::bad_argument("unique_key", problem));
    }
    let header_bytes: usize = headers.iter().map(|(key, value)| key.len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || header_bytes > HEADERS_BYTES_MAX {
        let problem = format!(
            "expected at most {HEADERS_MAX} with {HEADERS_BYTES_MAX} bytes in all, got {} with {header_bytes}",
            headers.len()
        );
        return Err(Fault::bad_argument("headers", problem));
    }
    let on_duplicate = match pb::OnDuplicate::try_from(on_duplicate) {
        Ok(pb::OnDuplicate::Reject) => OnDuplicate::Reject,
        Ok(pb::OnDuplicate::Replace) => OnDuplicate::Replace,
        Ok(pb::OnDuplicate::Merge) => OnDuplicate::Merge,
        Err(_) => return Err(Fault::bad_argument("on_duplicate", "expected REJECT (0), REPLACE (1) or MERGE (2)")),
    };
    Ok(NewItem {
        data: if data.len() < COPIED_BELOW { Bytes::copy_from_slice(&data) } else { data },
        codec,
        priority,
        delay_ms: span("delay_ms", delay_ms)?,
        ttl_ms: span("ttl_ms", ttl_ms)?,
        unique_key: Bytes::copy_from_slice(&unique_key),
        on_duplicate,
        headers: headers.into_iter().collect(),
    })
}

fn leased(leased: Leased) -> pb::Leased {
    let Leased { lease, item } = leased;
    pb::Leased {
        lease,
        id: item.id,
        attempt: item.attempt(),
        codec: item.codec,
        priority: u32::from(item.priority),
        headers: to_map(item.headers()),
        put_ms: item.put_at.0,
        failures: item.failures(),
        crashes: item.crashes(),
        data: item.data,
    }
}

fn seen(item: Item) -> pb::Seen {
    pb::Seen {
        id: item.id,
        codec: item.codec,
        priority: u32::from(item.priority),
        headers: to_map(item.headers()),
        put_ms: item.put_at.0,
        failures: item.failures(),
        crashes: item.crashes(),
        unique_key: item.unique_key().clone(),
        data: item.data,
    }
}

fn parked(parked: Parked) -> pb::ParkedItem {
    let Parked { item, why, since } = parked;
    let history = item.history().iter().map(event).collect();
    pb::ParkedItem { item: Some(seen(item)), why, parked_ms: since.0, history }
}

fn event(event: &Event) -> pb::Event {
    let Event { at, what, session, why } = event;
    pb::Event { at_ms: at.0, what: what.clone(), session: *session, why: why.clone() }
}

fn stats(stats: Stats) -> pb::StatsReply {
    let Stats { ready, delayed, leased, parked, bytes, oldest_ms, closed, paused, counters } = stats;
    let Counters { put, done, expired, dropped, failures, crashes, released, taken_back } = counters;
    pb::StatsReply {
        ready,
        delayed,
        leased,
        parked,
        unfinished: ready + delayed + leased,
        bytes,
        oldest_ms,
        closed,
        paused,
        put,
        done,
        expired,
        dropped,
        failures,
        crashes,
        released,
        taken_back,
    }
}

fn to_map(headers: &Headers) -> std::collections::HashMap<String, String> {
    headers.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn to_stored_item(item: &Item) -> pb::StoredItem {
    let Item { id, data, codec, priority, put_at, rare } = item;
    let mut stored = pb::StoredItem {
        id: *id,
        data: data.clone(),
        codec: *codec,
        priority: u32::from(*priority),
        put_ms: put_at.0,
        ..Default::default()
    };
    if let Some(rare) = rare {
        let Rare { ready_at, expires_at, unique_key, headers, failures, crashes, releases, history } = &**rare;
        stored.ready_ms = ready_at.map_or(0, |at| at.0);
        stored.expires_ms = expires_at.map_or(0, |at| at.0);
        stored.unique_key = unique_key.clone();
        stored.headers = to_map(headers);
        (stored.failures, stored.crashes, stored.releases) = (*failures, *crashes, *releases);
        stored.history = history.iter().map(event).collect();
    }
    stored
}

fn from_stored_item(stored: pb::StoredItem) -> Item {
    let moment = |ms: u64| (ms > 0).then_some(Moment(ms));
    let pb::StoredItem { id, data, codec, priority, put_ms, .. } = stored;
    let rare = Rare {
        ready_at: moment(stored.ready_ms),
        expires_at: moment(stored.expires_ms),
        unique_key: stored.unique_key,
        headers: stored.headers.into_iter().collect(),
        failures: stored.failures,
        crashes: stored.crashes,
        releases: stored.releases,
        history: stored
            .history
            .into_iter()
            .map(|event| Event { at: Moment(event.at_ms), what: event.what, session: event.session, why: event.why })
            .collect(),
    };
    let rare = (rare != Rare::default()).then(|| Box::new(rare));
    Item { id, data, codec, priority: priority as u8, put_at: Moment(put_ms), rare }
}

fn to_stored(change: &Change) -> pb::Change {
    use pb::change::Change as Stored;
    let stored = match change {
        Change::Put(items) => Stored::Put(pb::PutChange { items: items.iter().map(to_stored_item).collect() }),
        Change::Leased { session, first_lease, count, buffered } => {
            Stored::Leased(pb::LeasedChange { session: session.0, first_lease: *first_lease, count: *count, buffered: *buffered })
        }
        Change::Done { session, leases, now } => {
            Stored::Done(pb::DoneChange { session: session.0, leases: leases.clone(), now_ms: now.0 })
        }
        Change::Started { session, leases } => Stored::Started(pb::StartedChange { session: session.0, leases: leases.clone() }),
        Change::Returned { session, leases, how, now, delay_ms, why } => Stored::Returned(pb::ReturnedChange {
            session: session.0,
            leases: leases.clone(),
            how: match how {
                Return::Released => pb::returned_change::How::Released,
                Return::Failed => pb::returned_change::How::Failed,
                Return::Crashed => pb::returned_change::How::Crashed,
                Return::TakenBack => pb::returned_change::How::TakenBack,
            } as i32,
            now_ms: now.0,
            delay_ms: *delay_ms,
            why: why.clone(),
        }),
        Change::Parked { session, leases, ids, why, now } => Stored::Parked(pb::ParkedChange {
            session: session.0,
            leases: leases.clone(),
            ids: ids.clone(),
            why: why.clone(),
            now_ms: now.0,
        }),
        Change::Unparked { ids, now } => Stored::Unparked(pb::UnparkedChange { ids: ids.clone(), now_ms: now.0 }),
        Change::Discarded { ids } => Stored::Discarded(pb::DiscardedChange { ids: ids.clone() }),
        Change::Replaced { unique_key, data, codec, headers } => Stored::Replaced(pb::ReplacedChange {
            unique_key: unique_key.clone(),
            data: data.clone(),
            codec: *codec,
            headers: to_map(headers),
        }),
        Change::Expired { count } => Stored::Expired(pb::ExpiredChange { count: *count }),
        Change::Matured { count } => Stored::Matured(pb::MaturedChange { count: *count }),
        Change::Forgotten { count } => Stored::Forgotten(pb::ForgottenChange { count: *count }),
        Change::Closed { immediate } => Stored::Closed(pb::ClosedChange { immediate: *immediate }),
        Change::Purged => Stored::Purged(pb::PurgedChange {}),
        Change::Paused { paused } => Stored::Paused(pb::PausedChange { paused: *paused }),
        Change::Cancelled { session, lease, by, wanted, now } => Stored::Cancelled(pb::CancelledChange {
            session: session.0,
            lease: *lease,
            by: by.0,
            then: to_then(wanted.then),
            why: wanted.why.clone(),
            now_ms: now.0,
        }),
        Change::Restored(restored) => Stored::Restored(to_stored_step(restored)),
        Change::Sequence(changes) => Stored::Sequence(pb::SequenceChange { changes: changes.iter().map(to_stored).collect() }),
    };
    pb::Change { change: Some(stored) }
}

fn to_stored_step(restored: &Restored) -> pb::RestoredChange {
    use pb::restored_change::Place;
    let step = |place: Place, item: &Item| pb::RestoredChange {
        place: place as i32,
        item: Some(to_stored_item(item)),
        ..Default::default()
    };
    match restored {
        Restored::Ready(item) => step(Place::Ready, item),
        Restored::Delayed(item) => step(Place::Delayed, item),
        Restored::Leased { session, lease, buffered, item, asked_back } => {
            let place = if *buffered { Place::Leased } else { Place::Started };
            let leased = pb::RestoredChange { session: session.0, lease: *lease, ..step(place, item) };
            match asked_back {
                Some(Wanted { then, why }) => {
                    pb::RestoredChange { cancelled: true, then: to_then(*then), why: why.clone(), ..leased }
                }
                None => leased,
            }
        }
        Restored::Parked { item, why, since } => {
            pb::RestoredChange { why: why.clone(), since_ms: since.0, ..step(Place::Parked, item) }
        }
        Restored::Remembered { unique_key, id, until } => {
            let item = pb::StoredItem { id: *id, unique_key: unique_key.clone(), ready_ms: until.0, ..Default::default() };
            pb::RestoredChange { place: Place::Remembered as i32, item: Some(item), ..Default::default() }
        }
        Restored::Rest { counters, next_id, next_lease, closed, shut_down, paused, settled } => {
            let Counters { put, done, expired, dropped, failures, crashes, released, taken_back } = *counters;
            let counters = pb::CountersStored {
                put,
                done,
                expired,
                dropped,
                failures,
                crashes,
                released,
                taken_back,
                next_id: *next_id,
                next_lease: *next_lease,
                closed: *closed,
                shut_down: *shut_down,
                paused: *paused,
                settled: settled.clone(),
            };
            pb::RestoredChange { place: Place::Counters as i32, counters: Some(counters), ..Default::default() }
        }
    }
}

fn from_stored(stored: pb::Change) -> Result<Change, Damaged> {
    use pb::change::Change as Stored;
    Ok(match stored.change.ok_or_else(|| damaged("a change without content"))? {
        Stored::Put(put) => Change::Put(put.items.into_iter().map(from_stored_item).collect()),
        Stored::Leased(pb::LeasedChange { session, first_lease, count, buffered }) => {
            Change::Leased { session: SessionId(session), first_lease, count, buffered }
        }
        Stored::Done(pb::DoneChange { session, leases, now_ms }) => {
            Change::Done { session: SessionId(session), leases, now: Moment(now_ms) }
        }
        Stored::Started(pb::StartedChange { session, leases }) => Change::Started { session: SessionId(session), leases },
        Stored::Returned(pb::ReturnedChange { session, leases, how, now_ms, delay_ms, why }) => {
            use pb::returned_change::How;
            let how = match How::try_from(how).map_err(|_| damaged("an unknown way to return"))? {
                How::Released => Return::Released,
                How::Failed => Return::Failed,
                How::Crashed => Return::Crashed,
                How::TakenBack => Return::TakenBack,
            };
            Change::Returned { session: SessionId(session), leases, how, now: Moment(now_ms), delay_ms, why }
        }
        Stored::Parked(pb::ParkedChange { session, leases, ids, why, now_ms }) => {
            Change::Parked { session: SessionId(session), leases, ids, why, now: Moment(now_ms) }
        }
        Stored::Unparked(pb::UnparkedChange { ids, now_ms }) => Change::Unparked { ids, now: Moment(now_ms) },
        Stored::Discarded(pb::DiscardedChange { ids }) => Change::Discarded { ids },
        Stored::Replaced(pb::ReplacedChange { unique_key, data, codec, headers }) => {
            Change::Replaced { unique_key, data, codec, headers: headers.into_iter().collect() }
        }
        Stored::Expired(pb::ExpiredChange { count }) => Change::Expired { count },
        Stored::Matured(pb::MaturedChange { count }) => Change::Matured { count },
        Stored::Forgotten(pb::ForgottenChange { count }) => Change::Forgotten { count },
        Stored::Closed(pb::ClosedChange { immediate }) => Change::Closed { immediate },
        Stored::Purged(pb::PurgedChange {}) => Change::Purged,
        Stored::Paused(pb::PausedChange { paused }) => Change::Paused { paused },
        Stored::Cancelled(pb::CancelledChange { session, lease, by, then, why, now_ms }) => {
            let wanted = Wanted { then: read_then(then)?, why };
            Change::Cancelled { session: SessionId(session), lease, by: SessionId(by), wanted, now: Moment(now_ms) }
        }
        Stored::Restored(step) => Change::Restored(from_stored_step(step)?),
        Stored::Sequence(pb::SequenceChange { changes }) => {
            Change::Sequence(changes.into_iter().map(from_stored).collect::<Result<_, _>>()?)
        }
    })
}

fn from_stored_step(step: pb::RestoredChange) -> Result<Restored, Damaged> {
    use pb::restored_change::Place;
    let pb::RestoredChange { place, item, session, lease, why, since_ms, counters, cancelled, then } = step;
    let place = Place::try_from(place).map_err(|_| damaged("an unknown place"))?;
    let stored = || item.ok_or_else(|| damaged("a place without its item"));
    Ok(match place {
        Place::Ready => Restored::Ready(from_stored_item(stored()?)),
        Place::Delayed => Restored::Delayed(from_stored_item(stored()?)),
        Place::Leased | Place::Started => Restored::Leased {
            session: SessionId(session),
            lease,
            buffered: place == Place::Leased,
            item: from_stored_item(stored()?),
            asked_back: if cancelled { Some(Wanted { then: read_then(then)?, why }) } else { None },
        },
        Place::Parked => Restored::Parked { item: from_stored_item(stored()?), why, since: Moment(since_ms) },
        Place::Remembered => {
            let item = stored()?;
            Restored::Remembered { unique_key: item.unique_key, id: item.id, until: Moment(item.ready_ms) }
        }
        Place::Counters => {
            let stored = counters.ok_or_else(|| damaged("counters without numbers"))?;
            let pb::CountersStored {
                put,
                done,
                expired,
                dropped,
                failures,
                crashes,
                released,
                taken_back,
                next_id,
                next_lease,
                closed,
                shut_down,
                paused,
                settled,
            } = stored;
            let counters = Counters { put, done, expired, dropped, failures, crashes, released, taken_back };
            Restored::Rest { counters, next_id, next_lease, closed, shut_down, paused, settled }
        }
    })
}

fn read_then(then: i32) -> Result<Then, Damaged> {
    from_then(then).ok_or_else(|| damaged("an unknown end of a cancelled item"))
}

fn damaged(what: &str) -> Damaged {
    Damaged(what.to_owned())
}
