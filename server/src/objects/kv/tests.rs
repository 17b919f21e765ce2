//! Each promise of the key-value store, asked of the bare kind with a clock that stands still unless it is moved.

mod integers;
mod model;
mod transactions;
mod watch;
mod wire;

use super::super::kind::{Departure, Wire};
use super::*;
use bytes::Bytes;
use integer::{JSON, MESSAGEPACK};

const A: SessionId = SessionId(1);
const B: SessionId = SessionId(2);

const ROOMY: Options = Options { max_keys: 1_000_000, max_bytes: 1 << 30, events_max: 10_000 };

/// What the host does for a kind, without waiting: time first, then the command, then the change, which is also kept.
struct Bench {
    kv: Kv,
    now: Moment,
    journal: Vec<Vec<u8>>,
}

impl Bench {
    fn new(options: Options) -> Bench {
        Bench { kv: Kv::new(options), now: Moment(1_000_000), journal: Vec::new() }
    }

    fn apply(&mut self, change: Change) {
        let bytes = Kv::encode(&change);
        assert_eq!(Kv::decode(&bytes), Ok(change.clone()), "a change survives the journal");
        self.journal.push(bytes);
        self.kv.evolve(change);
        assert_eq!(self.kv.violation(), None);
    }

    /// `None`: it waits.
    fn try_ask(&mut self, caller: SessionId, command: Command) -> Option<Result<Reply, Fault>> {
        self.settle();
        match self.kv.decide(caller, &command, self.now) {
            Decision::Answer(reply) => Some(Ok(reply)),
            Decision::Change(change, reply) => {
                self.apply(change);
                Some(Ok(reply))
            }
            Decision::Refuse(fault) => Some(Err(fault)),
            Decision::Wait => None,
            other => panic!("a map has no queue and no owners: {other:?}"),
        }
    }

    /// Several commands as one.
    fn transact(&mut self, caller: SessionId, commands: &[Command]) -> Result<Vec<Reply>, Fault> {
        self.settle();
        let (changes, replies) = self.kv.decide_all(caller, commands, self.now)?;
        changes.into_iter().for_each(|change| self.apply(change));
        Ok(replies)
    }

    fn ask(&mut self, command: Command) -> Reply {
        self.try_ask(A, command).expect("does not wait").expect("is not refused")
    }

    fn refused(&mut self, command: Command) -> Fault {
        let before = self.journal.len();
        let fault = self.try_ask(A, command).expect("does not wait").expect_err("is refused");
        assert_eq!(self.journal.len(), before, "a refusal changes nothing");
        fault
    }

    /// Applies what time has changed.
    fn settle(&mut self) {
        while let Some(change) = self.kv.elapsed(self.now) {
            self.apply(change);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.settle();
    }

    fn depart(&mut self, session: SessionId) {
        if let Some(change) = self.kv.departed(session, Departure::Lost, "", self.now) {
            self.apply(change);
        }
    }

    fn put(&mut self, name: &str, data: &str) -> u64 {
        match self.ask(put(name, data)) {
            Reply::Put { revision, .. } => revision,
            other => panic!("{other:?}"),
        }
    }

    /// Of a key that is present.
    fn entry(&mut self, name: &str) -> Entry {
        self.look(name).expect("is present")
    }

    fn look(&mut self, name: &str) -> Option<Entry> {
        match self.ask(Command::Get { key: name.into(), touch: false }) {
            Reply::Get { entry, .. } => entry,
            other => panic!("{other:?}"),
        }
    }

    fn keys(&mut self) -> Vec<String> {
        match self.ask(scan("", "", 1000)) {
            Reply::Scan { entries, .. } => entries.iter().map(|entry| entry.key.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// What a watcher of everything sees behind a revision, as `revision cause key`.
    fn told(&mut self, after: u64) -> Vec<String> {
        match self.ask(next(after, "", false)) {
            Reply::Next { events, reset: false, .. } => events.iter().map(line).collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn line(event: &Event) -> String {
    let value = event.entry.as_ref().map_or("-".into(), text);
    format!("{} {:?} {} {value}", event.revision, event.cause, event.key)
}

fn text(entry: &Entry) -> String {
    String::from_utf8_lossy(&entry.value.as_ref().expect("has a value").data).into_owned()
}

fn value(data: &[u8], codec: u32) -> Value {
    Value { data: Bytes::copy_from_slice(data), codec }
}

fn plain(name: &str, data: &str) -> Put {
    Put { key: name.into(), value: value(data.as_bytes(), 0), condition: None, lifetime: Lifetime::Forever, bind: false }
}

fn put(name: &str, data: &str) -> Command {
    Command::Put(plain(name, data))
}

fn put_for(name: &str, data: &str, ms: u64) -> Command {
    Command::Put(Put { lifetime: Lifetime::For(ms), ..plain(name, data) })
}

fn bind(name: &str, data: &str) -> Command {
    Command::Put(Put { bind: true, ..plain(name, data) })
}

fn put_if(name: &str, data: &str, condition: Condition) -> Command {
    Command::Put(Put { condition: Some(condition), ..plain(name, data) })
}

fn delete(name: &str) -> Command {
    Command::Delete { key: name.into(), condition: None }
}

fn scan(prefix: &str, after: &str, limit: usize) -> Command {
    Command::Scan { prefix: prefix.into(), after: after.into(), limit, keys_only: false }
}

fn next(after: u64, prefix: &str, waits: bool) -> Command {
    Command::Next { after, prefix: prefix.into(), limit: 1000, waits }
}

fn incr(name: &str, by: i64) -> Command {
    Command::Incr { key: name.into(), by }
}

#[test]
fn every_change_of_a_key_has_the_next_revision() {
    let mut bench = Bench::new(ROOMY);
    assert_eq!((bench.put("a", "1"), bench.put("b", "2"), bench.put("a", "3")), (1, 2, 3));
    let entry = bench.entry("a");
    assert_eq!((entry.create_revision, entry.modify_revision, text(&entry).as_str()), (1, 3, "3"));
    let Reply::Delete { previous: Some(previous), revision: 4 } = bench.ask(delete("a")) else { panic!() };
    assert_eq!(text(&previous), "3", "pop: the deleted entry is in the reply");
    assert_eq!(bench.look("a"), None);
    assert_eq!(bench.ask(delete("a")), Reply::Delete { previous: None, revision: 4 });
    assert_eq!(bench.put("a", "5"), 5);
    assert_eq!(bench.entry("a").create_revision, 5, "a key that comes back is another key");
}

#[test]
fn a_put_returns_what_was_there() {
    let mut bench = Bench::new(ROOMY);
    assert_eq!(bench.ask(put("a", "1")), Reply::Put { revision: 1, previous: None });
    let Reply::Put { revision: 2, previous: Some(previous) } = bench.ask(put("a", "2")) else { panic!() };
    assert_eq!((text(&previous).as_str(), previous.modify_revision), ("1", 1));
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let mut bench = Bench::new(ROOMY);
    let mismatch = |actual| Fault::RevisionMismatch { key: "a".into(), actual };
    let absent = Condition::Revision(0);
    assert_eq!(bench.refused(put_if("a", "x", Condition::Present)), mismatch(0));
    assert_eq!(bench.refused(put_if("a", "x", Condition::Revision(7))), mismatch(0));
    bench.ask(put_if("a", "1", absent));
    assert_eq!(bench.refused(put_if("a", "x", absent)), mismatch(1));
    bench.ask(put_if("a", "2", Condition::Revision(1)));
    assert_eq!(bench.refused(put_if("a", "x", Condition::Revision(1))), mismatch(2));
    bench.ask(put_if("a", "3", Condition::Present));
    let delete_if = |revision| Command::Delete { key: "a".into(), condition: Some(Condition::Revision(revision)) };
    assert_eq!(bench.refused(delete_if(2)), mismatch(3));
    bench.ask(delete_if(3));
    assert_eq!(bench.refused(delete_if(3)), mismatch(0));
    assert_eq!(bench.told(0), ["1 Put a 1", "2 Put a 2", "3 Put a 3", "4 Delete a -"]);
}

#[test]
fn setdefault_keeps_what_is_there() {
    let mut bench = Bench::new(ROOMY);
    let command = |data, ms| Command::SetDefault(Put { lifetime: Lifetime::For(ms), bind: true, ..plain("a", data) });
    let Reply::SetDefault { entry, created: true } = bench.ask(command("1", 50)) else { panic!() };
    assert_eq!((text(&entry).as_str(), entry.modify_revision, entry.ttl_left_ms, entry.session), ("1", 1, 50, Some(A)));
    assert_eq!(entry, bench.entry("a"));
    let Some(Ok(Reply::SetDefault { entry, created: false })) = bench.try_ask(B, command("2", 900)) else { panic!() };
    assert_eq!(entry, bench.entry("a"), "neither value nor ttl nor session");
    assert_eq!(text(&entry), "1");
}

#[test]
fn a_key_goes_when_its_ttl_is_over() {
    let mut bench = Bench::new(ROOMY);
    bench.ask(put_for("late", "1", 100));
    bench.ask(put_for("early", "2", 50));
    bench.put("ever", "3");
    assert_eq!(bench.kv.due(), Some(bench.now.after_ms(50)));
    bench.pass(49);
    assert_eq!(bench.entry("early").ttl_left_ms, 1);
    bench.pass(1);
    assert_eq!(bench.look("early"), None);
    assert_eq!(bench.entry("late").ttl_left_ms, 50);
    bench.pass(1_000);
    assert_eq!((bench.keys(), bench.kv.due()), (vec!["ever".to_owned()], None));
    assert_eq!(bench.told(3), ["4 Expired early -", "5 Expired late -"]);
}

#[test]
fn a_put_on_an_expired_key_comes_after_its_expiry() {
    let mut bench = Bench::new(ROOMY);
    bench.ask(put_for("a", "1", 50));
    bench.now = bench.now.after_ms(50);
    assert_eq!(bench.ask(put("a", "2")), Reply::Put { revision: 3, previous: None });
    assert_eq!(bench.entry("a").create_revision, 3);
    assert_eq!(bench.told(1), ["2 Expired a -", "3 Put a 2"]);
}

#[test]
fn a_ttl_can_be_set_extended_kept_and_taken_away() {
    let mut bench = Bench::new(ROOMY);
    let expire = |lifetime| Command::Expire { key: "a".into(), lifetime };
    assert_eq!(bench.ask(expire(Lifetime::For(10))), Reply::Expire { found: false });
    bench.put("a", "1");
    assert_eq!(bench.ask(expire(Lifetime::For(10))), Reply::Expire { found: true });
    bench.pass(5);
    bench.ask(expire(Lifetime::For(10)));
    bench.pass(9);
    bench.ask(Command::Put(Put { lifetime: Lifetime::Kept, ..plain("a", "2") }));
    assert_eq!(bench.entry("a").ttl_left_ms, 1);
    bench.ask(expire(Lifetime::Forever));
    bench.pass(1_000);
    assert_eq!(bench.entry("a").ttl_left_ms, 0);
    bench.ask(expire(Lifetime::For(10)));
    bench.put("a", "3");
    bench.pass(1_000);
    assert_eq!(bench.entry("a").ttl_left_ms, 0, "a put without keep_ttl is for ever");
    bench.ask(Command::Put(Put { lifetime: Lifetime::Kept, ..plain("new", "") }));
    assert_eq!(bench.entry("new").ttl_left_ms, 0);
    assert_eq!(bench.told(0), ["1 Put a 1", "2 Put a 2", "3 Put a 3", "4 Put new "], "a ttl is no event and has no revision");
}

#[test]
fn touch_on_read_starts_the_ttl_afresh() {
    let mut bench = Bench::new(ROOMY);
    let touch = |name: &str| Command::Get { key: name.into(), touch: true };
    bench.ask(put_for("a", "1", 100));
    bench.put("ever", "2");
    for _ in 0..3 {
        bench.pass(99);
        let Reply::Get { entry: Some(entry), revision: 2 } = bench.ask(touch("a")) else { panic!() };
        assert_eq!(entry.ttl_left_ms, 100);
        assert_eq!(entry, bench.entry("a"));
    }
    let before = bench.journal.len();
    bench.ask(touch("a"));
    bench.ask(touch("ever"));
    bench.ask(touch("none"));
    assert_eq!(bench.journal.len(), before, "what would change nothing is not journalled");
    bench.entry("a");
    bench.pass(99);
    bench.entry("a");
    bench.pass(1);
    assert_eq!(bench.look("a"), None, "a read without touch prolongs nothing");
}

#[test]
fn a_mass_expiry_comes_in_bounded_steps() {
    let mut bench = Bench::new(ROOMY);
    for number in 0..2_500 {
        bench.kv.evolve(Change::Stored {
            key: format!("{number:04}").into(),
            value: value(b"", 0),
            ttl: Some(Ttl::starting(bench.now, 10)),
            session: None,
        });
    }
    bench.now = bench.now.after_ms(10);
    let mut left = Vec::new();
    while let Some(change) = bench.kv.elapsed(bench.now) {
        bench.apply(change);
        left.push(bench.kv.map.len());
    }
    assert_eq!(left, [1_500, 500, 0]);
    assert_eq!(bench.kv.revision, 5_000);
}

#[test]
fn a_bound_key_goes_with_its_session() {
    let mut bench = Bench::new(ROOMY);
    bench.ask(bind("b", "1"));
    bench.ask(bind("a", "1"));
    bench.ask(bind("unbound", "1"));
    bench.ask(put("unbound", "2"));
    bench.try_ask(B, bind("theirs", "1"));
    bench.try_ask(B, bind("taken", "1"));
    bench.ask(bind("taken", "2"));
    assert_eq!(bench.entry("theirs").session, Some(B));
    bench.depart(A);
    assert_eq!(bench.keys(), ["theirs", "unbound"], "a put without bind unbinds, one with bind takes over");
    assert_eq!(bench.told(7), ["8 Session a -", "9 Session b -", "10 Session taken -"]);
    assert_eq!(bench.kv.departed(A, Departure::Lost, "", bench.now), None, "nothing is left to give back");
    bench.depart(B);
    assert_eq!(bench.keys(), ["unbound"]);
}

#[test]
fn a_scan_goes_in_byte_order_page_by_page() {
    let mut bench = Bench::new(ROOMY);
    for name in ["b", "a/2", "a/1", "a", "a0", "ä", "a/", "Z"] {
        bench.put(name, name);
    }
    let mut page = |prefix, after, limit| match bench.ask(scan(prefix, after, limit)) {
        Reply::Scan { entries, more, revision: 8 } => {
            (entries.iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>().join(" "), more)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(page("", "", 100), ("Z a a/ a/1 a/2 a0 b ä".into(), false));
    assert_eq!(page("a/", "", 2), ("a/ a/1".into(), true));
    assert_eq!(page("a/", "a/1", 2), ("a/2".into(), false));
    assert_eq!(page("a/", "a/2", 2), ("".into(), false));
    assert_eq!(page("a/", "A", 2), ("a/ a/1".into(), true), "after may stand before the prefix");
    assert_eq!(page("a/", "b", 2), ("".into(), false), "or behind it");
    assert_eq!(page("", "a0", 2), ("b ä".into(), false));
    assert_eq!(bench.ask(Command::Len { prefix: "a/".into() }), Reply::Len { len: 3, revision: 8 });
    assert_eq!(bench.ask(Command::Len { prefix: "".into() }), Reply::Len { len: 8, revision: 8 });
    assert_eq!(bench.ask(Command::Contains { key: "a/".into() }), Reply::Contains { contains: true });
    assert_eq!(bench.ask(Command::Contains { key: "/".into() }), Reply::Contains { contains: false });
}

#[test]
fn a_reply_holds_a_mebibyte_beyond_its_first_entry() {
    let mut bench = Bench::new(ROOMY);
    let large = "x".repeat(500_000);
    for name in ["a", "b", "c", "d"] {
        bench.put(name, &large);
    }
    bench.put("a", &"x".repeat(3 << 20));
    let Reply::Scan { entries, more: true, .. } = bench.ask(scan("", "", 100)) else { panic!() };
    assert_eq!(entries.len(), 3, "the first of any size, and two of half a mebibyte");
    let keys_only = Command::Scan { prefix: "".into(), after: "".into(), limit: 100, keys_only: true };
    let Reply::Scan { entries, more: false, .. } = bench.ask(keys_only) else { panic!() };
    assert!(entries.len() == 4 && entries.iter().all(|entry| entry.value.is_none()), "values that are not sent do not count");
    let Reply::Next { events, upto: 3, reset: false } = bench.ask(next(0, "", false)) else { panic!() };
    assert_eq!(events.len(), 3);
    let Reply::Next { events, upto: 4, .. } = bench.ask(next(3, "", false)) else { panic!() };
    assert_eq!(events.len(), 1);
    let Reply::Next { events, upto: 5, .. } = bench.ask(next(4, "", false)) else { panic!() };
    assert_eq!(events.len(), 1);
}

#[test]
fn a_change_that_meets_no_key_takes_no_revision() {
    let mut bench = Bench::new(ROOMY);
    bench.apply(Change::Deleted { key: "a".into() });
    bench.apply(Change::Timed { key: "a".into(), ttl: None });
    bench.apply(Change::Departed { session: A });
    assert_eq!(bench.kv.revision, 0);
}

#[test]
fn clear_deletes_a_prefix_one_revision_a_key() {
    let mut bench = Bench::new(ROOMY);
    for name in ["a/2", "b", "a/1"] {
        bench.put(name, "");
    }
    let clear = |prefix: &str| Command::Clear { prefix: prefix.into() };
    assert_eq!(bench.ask(clear("a/")), Reply::Clear { count: 2, revision: 5 });
    assert_eq!(bench.told(3), ["4 Delete a/1 -", "5 Delete a/2 -"]);
    assert_eq!(bench.ask(clear("a/")), Reply::Clear { count: 0, revision: 5 });
    assert_eq!(bench.ask(clear("")), Reply::Clear { count: 1, revision: 6 });
    assert_eq!(bench.keys(), Vec::<String>::new());
}

#[test]
fn limits_refuse_what_is_new_and_let_through_what_frees() {
    let mut bench = Bench::new(Options { max_keys: 2, max_bytes: 10, ..ROOMY });
    bench.put("a", "1234");
    bench.put("b", "1");
    assert_eq!(bench.refused(put("c", "")), Fault::LimitReached { what: "max_keys".into(), limit: 2 });
    assert_eq!(bench.refused(incr("c", 1)), Fault::LimitReached { what: "max_keys".into(), limit: 2 });
    bench.put("b", "1234");
    assert_eq!(bench.refused(put("b", "12345")), Fault::LimitReached { what: "max_bytes".into(), limit: 10 });
    bench.put("b", "4321");
    bench.put("a", "");
    bench.put("b", "12345678");
    bench.ask(delete("a"));
    let full = Command::SetDefault(plain("c", "1"));
    assert_eq!(bench.refused(full), Fault::LimitReached { what: "max_bytes".into(), limit: 10 });
}

#[test]
fn a_rebuilt_map_goes_on_where_it_was_and_resets_its_watchers() {
    let mut bench = Bench::new(ROOMY);
    assert_eq!(bench.kv.history(), [], "of a new map there is nothing to tell");
    bench.ask(put_for("a", "1", 100));
    bench.ask(bind("b", "2"));
    bench.ask(delete("b"));
    bench.pass(40);
    let mut rebuilt = Bench { now: bench.now, ..Bench::new(ROOMY) };
    bench.kv.history().into_iter().for_each(|change| rebuilt.apply(change));
    assert_eq!(rebuilt.entry("a"), bench.entry("a"));
    assert!(matches!(rebuilt.ask(next(2, "", true)), Reply::Next { reset: true, upto: 3, .. }));
    assert_eq!(rebuilt.try_ask(A, next(3, "", true)), None);
    rebuilt.pass(60);
    assert_eq!(rebuilt.told(3), ["4 Expired a -"]);
    let mut empty = Bench::new(ROOMY);
    rebuilt.kv.history().into_iter().for_each(|change| empty.apply(change));
    assert_eq!(empty.put("new", ""), 5, "a map without keys keeps its revision");
}

#[test]
fn a_long_history_comes_in_bounded_changes() {
    let mut bench = Bench::new(ROOMY);
    let fill = |kv: &mut Kv, keys: usize, bytes: usize| {
        for number in 0..keys {
            let key = format!("{bytes}/{number:05}").into();
            kv.evolve(Change::Stored { key, value: value(&vec![0; bytes], 0), ttl: None, session: None });
        }
    };
    fill(&mut bench.kv, 2_500, 0);
    fill(&mut bench.kv, 5, 400_000);
    let history = bench.kv.history();
    let counts: Vec<usize> = history
        .iter()
        .map(|change| match change {
            Change::Restored { revision: 2_505, entries } => entries.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [1000, 1000, 502, 2, 1]);
    let mut rebuilt = Bench::new(ROOMY);
    history.into_iter().for_each(|change| rebuilt.apply(change));
    assert!(rebuilt.kv.map.iter().eq(bench.kv.map.iter()));
}

#[test]
fn figures_say_how_much_there_is() {
    let mut bench = Bench::new(ROOMY);
    bench.put("ab", "1234");
    bench.put("ab", "123");
    bench.put("c", "");
    assert_eq!(bench.kv.figures(), [("keys", 2), ("bytes", 6), ("revision", 3), ("events", 3)]);
}

/// A check that cannot fail is none.
#[test]
fn every_broken_invariant_is_seen() {
    let broken = |harm: fn(&mut Kv)| {
        let mut bench = Bench::new(ROOMY);
        bench.ask(put_for("a", "1", 100));
        bench.ask(bind("b", "2"));
        harm(&mut bench.kv);
        bench.kv.violation().unwrap_or_default()
    };
    let stored =
        |modify_revision| Stored { value: value(b"?", 0), create_revision: 1, modify_revision, ttl: None, session: None };
    assert_eq!(broken(|_| ()), "");
    assert!(broken(|kv| kv.revision += 1).contains("do not lead to revision 3"));
    assert!(broken(|kv| _ = kv.map.remove(&"a".into())).contains("the last event of \"a\""));
    assert!(broken(|kv| kv.events.forget(1)).contains("do not lead to"));
    assert!(broken(|kv| kv.options.max_keys = 1).contains("2 keys"));
    let mut bench = Bench::new(ROOMY);
    bench.kv.evolve(Change::Restored { revision: 5, entries: vec![("a".into(), stored(6))] });
    assert!(bench.kv.violation().unwrap().contains("revisions 1 and 6"));
    let mut bench = Bench::new(ROOMY);
    bench.kv.evolve(Change::Restored { revision: 5, entries: vec![("a".into(), stored(3)), ("b".into(), stored(3))] });
    assert!(bench.kv.violation().unwrap().contains("revision 3 belongs to"));
    let mut bench = Bench::new(ROOMY);
    bench.put("a", "");
    bench.kv.map.insert("b".into(), stored(1));
    assert!(bench.kv.violation().unwrap().contains("\"b\" has revision 1, and no event has"));
}
