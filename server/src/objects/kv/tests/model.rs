//! Random commands against a plain map that does everything the slow way, with watchers whose folds must equal it.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

const KEYS: [&str; 6] = ["a", "a/1", "a/2", "b", "b/1", "ä"];
const PREFIXES: [&str; 5] = ["", "a", "a/", "b", "none"];
/// Few, so that watchers fall behind.
const TIGHT: Options = Options { max_keys: 5, max_bytes: 40, events_max: 7 };

#[derive(Clone, Debug)]
enum Step {
    Ask(u64, Command),
    Transact(u64, Vec<Command>),
    Pass(u64),
    Depart(u64),
    Watch(usize, usize),
    /// The broker restarts from everything it kept, or from the short history.
    Restart {
        short: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || prop::sample::select(&KEYS[..]).prop_map(Key::from);
    let prefix = || prop::sample::select(&PREFIXES[..]).prop_map(Key::from);
    let data = prop_oneof![
        "[a-z]{0,12}".prop_map(|text| value(text.as_bytes(), 0)),
        any::<i64>().prop_map(|integer| integer::write(integer, MESSAGEPACK)),
        (-5i64..5).prop_map(|integer| integer::write(integer, JSON)),
    ];
    let lifetime = prop_oneof![2 => Just(Lifetime::Forever), 2 => (1u64..40).prop_map(Lifetime::For), 1 => Just(Lifetime::Kept)];
    let condition = || {
        prop_oneof![
            6 => Just(None),
            1 => Just(Some(Condition::Present)),
            2 => (0u64..12).prop_map(|revision| Some(Condition::Revision(revision))),
        ]
    };
    let put = (key(), data, condition(), lifetime.clone(), any::<bool>())
        .prop_map(|(key, value, condition, lifetime, bind)| Put { key, value, condition, lifetime, bind });
    let command = prop_oneof![
        6 => put.clone().prop_map(Command::Put),
        2 => put.prop_map(|put| Command::SetDefault(Put { condition: None, ..put })),
        2 => (key(), condition()).prop_map(|(key, condition)| Command::Delete { key, condition }),
        2 => (key(), any::<bool>()).prop_map(|(key, touch)| Command::Get { key, touch }),
        1 => key().prop_map(|key| Command::Contains { key }),
        1 => prefix().prop_map(|prefix| Command::Len { prefix }),
        1 => (prefix(), key(), 1usize..4, any::<bool>())
            .prop_map(|(prefix, after, limit, keys_only)| Command::Scan { prefix, after, limit, keys_only }),
        1 => prefix().prop_map(|prefix| Command::Clear { prefix }),
        2 => (key(), prop_oneof![3 => -9i64..9, 1 => any::<i64>()]).prop_map(|(key, by)| Command::Incr { key, by }),
        2 => (key(), lifetime).prop_map(|(key, lifetime)| Command::Expire { key, lifetime }),
    ];
    let joins = command.clone().prop_filter("cannot be a step", Kv::joins);
    let step = prop_oneof![
        12 => (1u64..4, command).prop_map(|(session, command)| Step::Ask(session, command)),
        4 => (1u64..4, prop::collection::vec(joins, 0..7)).prop_map(|(session, commands)| Step::Transact(session, commands)),
        2 => (0u64..30).prop_map(Step::Pass),
        1 => (1u64..4).prop_map(Step::Depart),
        4 => (0..PREFIXES.len(), 1usize..5).prop_map(|(watcher, limit)| Step::Watch(watcher, limit)),
        1 => any::<bool>().prop_map(|short| Step::Restart { short }),
    ];
    prop::collection::vec(step, 1..120)
}

/// The map done the slow way: no indexes, no bounds on its events.
#[derive(Clone, Default)]
struct Model {
    now: u64,
    entries: BTreeMap<String, Stored>,
    /// All that ever happened: revision n at n - 1.
    events: Vec<(String, Option<Stored>, Cause)>,
}

impl Model {
    fn revision(&self) -> u64 {
        self.events.len() as u64
    }

    fn moment(&self) -> Moment {
        Moment(self.now)
    }

    fn seen(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).map(|stored| stored.entry(&key.into(), self.moment()))
    }

    fn set(&mut self, key: &str, value: Value, ttl: Option<Ttl>, session: Option<SessionId>) {
        let modify_revision = self.revision() + 1;
        let create_revision = self.entries.get(key).map_or(modify_revision, |old| old.create_revision);
        let stored = Stored { value, create_revision, modify_revision, ttl, session };
        self.events.push((key.into(), Some(stored.clone()), Cause::Put));
        self.entries.insert(key.into(), stored);
    }

    fn remove_all(&mut self, keys: Vec<String>, cause: Cause) {
        for key in keys {
            self.entries.remove(&key).expect("is present");
            self.events.push((key, None, cause));
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        let expiry = |(key, stored): (&String, &Stored)| Some((stored.ttl?.expires, key.clone()));
        let mut due: Vec<_> = self.entries.iter().filter_map(expiry).filter(|(expires, _)| expires.0 <= self.now).collect();
        due.sort();
        self.remove_all(due.into_iter().map(|(_, key)| key).collect(), Cause::Expired);
    }

    fn depart(&mut self, session: SessionId) {
        let bound = self.entries.iter().filter(|(_, stored)| stored.session == Some(session)).map(|(key, _)| key.clone());
        self.remove_all(bound.collect(), Cause::Session);
    }

    fn under(&self, prefix: &str) -> Vec<String> {
        self.entries.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    fn room(&self, key: &str, value: &Value) -> Result<(), Fault> {
        let size = |key: &str, value: &Value| (key.len() + value.data.len()) as u64;
        let total: u64 = self.entries.iter().map(|(key, stored)| size(key, &stored.value)).sum();
        let before = self.entries.get(key).map_or(0, |old| size(key, &old.value));
        let after = size(key, value);
        if before == 0 && self.entries.len() as u64 == TIGHT.max_keys {
            return Err(Fault::LimitReached { what: "max_keys".into(), limit: TIGHT.max_keys });
        }
        if total - before + after > TIGHT.max_bytes {
            return Err(Fault::LimitReached { what: "max_bytes".into(), limit: TIGHT.max_bytes });
        }
        Ok(())
    }

    fn check(&self, key: &str, condition: Option<Condition>) -> Result<(), Fault> {
        let actual = self.entries.get(key).map_or(0, |stored| stored.modify_revision);
        match condition {
            Some(Condition::Present) if actual == 0 => {}
            Some(Condition::Revision(revision)) if revision != actual => {}
            _ => return Ok(()),
        }
        Err(Fault::RevisionMismatch { key: key.into(), actual })
    }

    fn ttl(&self, key: &str, lifetime: Lifetime) -> Option<Ttl> {
        match lifetime {
            Lifetime::Forever => None,
            Lifetime::For(length_ms) => Some(Ttl { length_ms, expires: Moment(self.now + length_ms) }),
            Lifetime::Kept => self.entries.get(key)?.ttl,
        }
    }

    fn ask(&mut self, caller: SessionId, command: &Command) -> Result<Reply, Fault> {
        let revision = self.revision();
        Ok(match command {
            Command::Get { key, touch } => {
                if let Some(Stored { ttl: Some(ttl), .. }) = self.entries.get_mut(&**key).filter(|_| *touch) {
                    ttl.expires = Moment(self.now + ttl.length_ms);
                }
                Reply::Get { entry: self.seen(key), revision }
            }
            Command::Put(Put { key, value, condition, lifetime, bind }) => {
                self.check(key, *condition)?;
                self.room(key, value)?;
                let (previous, ttl) = (self.seen(key), self.ttl(key, *lifetime));
                self.set(key, value.clone(), ttl, bind.then_some(caller));
                Reply::Put { revision: revision + 1, previous }
            }
            Command::SetDefault(Put { key, value, lifetime, bind, .. }) => {
                let created = !self.entries.contains_key(&**key);
                if created {
                    self.room(key, value)?;
                    self.set(key, value.clone(), self.ttl(key, *lifetime), bind.then_some(caller));
                }
                Reply::SetDefault { entry: self.seen(key).expect("is present"), created }
            }
            Command::Delete { key, condition } => {
                self.check(key, *condition)?;
                let previous = self.seen(key);
                self.remove_all(previous.iter().map(|entry| entry.key.to_string()).collect(), Cause::Delete);
                Reply::Delete { previous, revision: self.revision() }
            }
            Command::Contains { key } => Reply::Contains { contains: self.entries.contains_key(&**key) },
            Command::Len { prefix } => Reply::Len { len: self.under(prefix).len() as u64, revision },
            Command::Scan { prefix, after, limit, keys_only } => {
                let mut entries: Vec<Entry> = self
                    .entries
                    .range::<str, _>((Excluded(&**after), Unbounded))
                    .filter(|(key, _)| key.starts_with(&**prefix))
                    .filter_map(|(key, _)| self.seen(key))
                    .collect();
                let more = entries.len() > *limit;
                entries.truncate(*limit);
                entries.iter_mut().filter(|_| *keys_only).for_each(|entry| entry.value = None);
                Reply::Scan { entries, more, revision }
            }
            Command::Clear { prefix } => {
                let keys = self.under(prefix);
                let count = keys.len() as u64;
                self.remove_all(keys, Cause::Delete);
                Reply::Clear { count, revision: self.revision() }
            }
            Command::Incr { key, by } => {
                let old = self.entries.get(&**key).cloned();
                let codec = old.as_ref().map_or(MESSAGEPACK, |old| old.value.codec);
                let integer = match old.as_ref().map(|old| integer::read(&old.value)) {
                    None => 0,
                    Some(Ok(integer)) => integer,
                    Some(Err(_)) => return Err(Fault::NotAnInteger { key: key.to_string(), codec }),
                };
                let sum = i64::try_from(i128::from(integer) + i128::from(*by));
                let sum = sum.map_err(|_| Fault::Overflow { key: key.to_string() })?;
                let value = integer::write(sum, codec);
                self.room(key, &value)?;
                self.set(key, value, old.as_ref().and_then(|old| old.ttl), old.and_then(|old| old.session));
                Reply::Incr { value: sum, revision: revision + 1 }
            }
            Command::Expire { key, lifetime } => {
                let ttl = self.ttl(key, *lifetime);
                let found = self.entries.get_mut(&**key);
                Reply::Expire { found: found.map(|stored| stored.ttl = ttl).is_some() }
            }
            Command::Next { .. } => unreachable!("watchers ask for themselves"),
        })
    }
}

/// What a fold of events can know of an entry.
type Told = (Value, u64, u64, Option<SessionId>);

fn told(entry: Entry) -> Told {
    (entry.value.expect("events have values"), entry.create_revision, entry.modify_revision, entry.session)
}

/// A client that folds what `Next` tells it.
struct Watcher {
    prefix: &'static str,
    after: u64,
    fold: BTreeMap<String, Told>,
    resets: usize,
}

impl Watcher {
    fn new(prefix: &'static str) -> Watcher {
        Watcher { prefix, after: 0, fold: BTreeMap::new(), resets: 0 }
    }

    /// One `Next`. Says whether there was more to come.
    fn step(&mut self, bench: &mut Bench, model: &Model, limit: usize) -> bool {
        let command = Command::Next { after: self.after, prefix: self.prefix.into(), limit, waits: true };
        match bench.try_ask(A, command) {
            None => {
                assert_eq!(self.fold, expected(model, self.prefix), "who waits knows everything");
                false
            }
            Some(Ok(Reply::Next { events, upto, reset: true })) => {
                assert_eq!((events.len(), upto), (0, model.revision()));
                self.fold = expected(model, self.prefix);
                (self.after, self.resets) = (upto, self.resets + 1);
                true
            }
            Some(Ok(Reply::Next { events, upto, reset: false })) => {
                assert!(upto > self.after && events.len() <= limit);
                self.compare(model, &events, upto);
                events.into_iter().for_each(|event| self.take(event));
                self.after = upto;
                true
            }
            other => panic!("{other:?}"),
        }
    }

    /// C1: exactly what happened under the prefix, in order.
    fn compare(&self, model: &Model, events: &[Event], upto: u64) {
        let happened = (self.after + 1..=upto).filter_map(|revision| {
            let (key, stored, cause) = &model.events[revision as usize - 1];
            let became = stored.as_ref().map(|stored| told(stored.entry(&key.as_str().into(), Moment(0))));
            key.starts_with(self.prefix).then(|| (revision, key.clone(), became, *cause))
        });
        let heard =
            events.iter().map(|event| (event.revision, event.key.to_string(), event.entry.clone().map(told), event.cause));
        assert_eq!(heard.collect::<Vec<_>>(), happened.collect::<Vec<_>>());
    }

    fn take(&mut self, event: Event) {
        match event.entry {
            Some(entry) => _ = self.fold.insert(event.key.to_string(), told(entry)),
            None => assert!(self.fold.remove(&*event.key).is_some(), "only what is there can go"),
        }
    }
}

fn expected(model: &Model, prefix: &str) -> BTreeMap<String, Told> {
    model.under(prefix).into_iter().map(|key| (key.clone(), told(model.seen(&key).expect("is present")))).collect()
}

fn same_state(kv: &Kv, model: &Model) {
    let entries: Vec<_> = kv.map.iter().map(|(key, stored)| (key.to_string(), stored.clone())).collect();
    assert_eq!(entries, model.entries.clone().into_iter().collect::<Vec<_>>());
    assert_eq!(kv.revision, model.revision());
}

fn rebuilt(changes: impl IntoIterator<Item = Change>) -> Kv {
    let mut kv = Kv::new(TIGHT);
    changes.into_iter().for_each(|change| kv.evolve(change));
    assert_eq!(kv.violation(), None);
    kv
}

fn play(steps: Vec<Step>) {
    let mut bench = Bench::new(TIGHT);
    let mut model = Model { now: bench.now.0, ..Model::default() };
    let mut watchers = PREFIXES.map(Watcher::new);
    for step in steps {
        match step {
            Step::Ask(session, command) => {
                let reply = bench.try_ask(SessionId(session), command.clone()).expect("only watchers wait");
                assert_eq!(reply, model.ask(SessionId(session), &command), "{command:?}");
            }
            Step::Transact(session, commands) => {
                let mut after = model.clone();
                let replies =
                    commands.iter().map(|command| after.ask(SessionId(session), command)).collect::<Result<Vec<_>, _>>();
                assert_eq!(bench.transact(SessionId(session), &commands), replies, "{commands:?}");
                if replies.is_ok() {
                    model = after;
                }
            }
            Step::Pass(ms) => {
                bench.pass(ms);
                model.pass(ms);
            }
            Step::Depart(session) => {
                bench.depart(SessionId(session));
                model.depart(SessionId(session));
            }
            Step::Watch(watcher, limit) => _ = watchers[watcher].step(&mut bench, &model, limit),
            Step::Restart { short } => {
                let kept = bench.journal.iter().map(|bytes| Kv::decode(bytes).expect("was encoded"));
                let history = if short { bench.kv.history() } else { kept.collect() };
                bench.kv = rebuilt(history.iter().cloned());
                bench.journal = history.iter().map(Kv::encode).collect();
            }
        }
        same_state(&bench.kv, &model);
    }
    for watcher in &mut watchers {
        while watcher.step(&mut bench, &model, 3) {}
        assert_eq!(watcher.fold, expected(&model, watcher.prefix));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_map_does_what_the_slow_one_does(steps in steps()) {
        play(steps);
    }
}

/// The steps that proptest draws do reach the rare cases, or the test above would prove little.
#[test]
fn a_lagging_watcher_is_reset_and_then_knows_everything() {
    let mut bench = Bench::new(TIGHT);
    let mut model = Model { now: bench.now.0, ..Model::default() };
    let mut watcher = Watcher::new("a");
    for round in 0..40 {
        let command = put(KEYS[round % 3], &round.to_string());
        assert_eq!(Ok(bench.ask(command.clone())), model.ask(A, &command));
        if round % 13 == 0 {
            while watcher.step(&mut bench, &model, 2) {}
        }
    }
    while watcher.step(&mut bench, &model, 2) {}
    assert_eq!(watcher.resets, 3);
    assert_eq!(watcher.fold, expected(&model, "a"));
}
