//! What only a look at the state itself can show; the promises stand in the scenarios.

mod together;

use super::*;
use crate::objects::kind::Wire;
use state::{Rare, Restored};

const NOW: Moment = Moment(1_000_000);
const ONE: SessionId = SessionId(1);
const TWO: SessionId = SessionId(2);

fn queue() -> Queue {
    Queue::new(Options {
        maxsize: 0,
        max_bytes: 1 << 30,
        max_failures: 3,
        max_crashes: 2,
        retry_delay_ms: 1000,
        unique_window_ms: 500,
    })
}

fn item(data: &str) -> NewItem {
    NewItem {
        data: Bytes::copy_from_slice(data.as_bytes()),
        codec: 0,
        priority: 0,
        delay_ms: 0,
        ttl_ms: 0,
        unique_key: Bytes::new(),
        on_duplicate: OnDuplicate::Reject,
        headers: Headers::new(),
    }
}

fn keyed(data: &str, on_duplicate: OnDuplicate) -> NewItem {
    NewItem { unique_key: Bytes::from_static(b"key"), on_duplicate, ..item(data) }
}

/// Decides and evolves; every change also goes through its encoding.
fn ask(queue: &mut Queue, caller: SessionId, command: Command, now: Moment) -> Result<Reply, Option<Fault>> {
    while let Some(change) = queue.elapsed(now) {
        queue.evolve(change);
    }
    let reply = match queue.decide(caller, &command, now) {
        Decision::Answer(reply) => Ok(reply),
        Decision::Change(change, reply) => {
            assert_eq!(Queue::decode(&Queue::encode(&change)).unwrap(), change);
            queue.evolve(change);
            Ok(reply)
        }
        Decision::Wait | Decision::StandAside => Err(None),
        Decision::Enter(change, waits) => {
            assert_eq!(Queue::decode(&Queue::encode(&change)).unwrap(), change);
            queue.evolve(change);
            queue.late(&waits).ok_or(None)
        }
        Decision::Overtake(..) => panic!("nobody owns a queue"),
        Decision::Refuse(fault) => Err(Some(fault)),
    };
    assert_eq!(queue.violation(), None);
    rebuilt(queue);
    reply
}

/// The queue to which the snapshot leads.
fn rebuilt(queue: &Queue) -> Queue {
    let mut again = Queue::new(queue.limits().clone());
    queue.history().into_iter().for_each(|change| again.evolve(Queue::decode(&Queue::encode(&change)).unwrap()));
    assert_eq!(again.history(), queue.history(), "the snapshot leads to the same state");
    assert_eq!(again.violation(), None);
    again
}

fn get(queue: &mut Queue, caller: SessionId, now: Moment) -> Leased {
    match ask(queue, caller, Command::Get { max: 1, buffered: false }, now) {
        Ok(Reply::Get(mut items)) => items.remove(0),
        other => panic!("expected an item, got {other:?}"),
    }
}

#[test]
fn expired_items_in_the_middle_of_a_lane_are_skipped() {
    let mut queue = queue();
    let mortal = NewItem { ttl_ms: 10, ..item("mortal") };
    ask(&mut queue, ONE, Command::Put(vec![item("a"), mortal.clone(), item("b"), mortal]), NOW).unwrap();
    let later = NOW.after_ms(10);
    assert_eq!(get(&mut queue, ONE, later).item.data, "a");
    assert_eq!(get(&mut queue, ONE, later).item.data, "b");
    assert_eq!((queue.ready(), queue.stats(later).counters.expired), (0, 2));
    assert!(matches!(ask(&mut queue, ONE, Command::Get { max: 1, buffered: false }, later), Err(None)));
}

#[test]
fn a_replaced_payload_is_what_everybody_sees() {
    let mut queue = queue();
    let mortal = NewItem { ttl_ms: 10_000, ..keyed("old", OnDuplicate::Reject) };
    ask(&mut queue, ONE, Command::Put(vec![item("first"), mortal]), NOW).unwrap();
    ask(&mut queue, ONE, Command::Put(vec![keyed("a longer new one", OnDuplicate::Replace)]), NOW).unwrap();
    let Ok(Reply::Peek(seen)) = ask(&mut queue, ONE, Command::Peek { limit: 9 }, NOW) else { panic!() };
    assert_eq!(seen.iter().map(|item| &item.data[..]).collect::<Vec<_>>(), [&b"first"[..], b"a longer new one"]);
    get(&mut queue, ONE, NOW);
    assert_eq!(get(&mut queue, ONE, NOW).item.data, "a longer new one");
    let again = ask(&mut queue, ONE, Command::Put(vec![keyed("late", OnDuplicate::Replace)]), NOW);
    assert!(matches!(again, Ok(Reply::Put { duplicates, .. }) if duplicates == [0]), "it is leased: nothing to replace");
}

#[test]
fn a_key_twice_in_one_batch_is_one_item() {
    let mut queue = queue();
    let batch =
        vec![keyed("a", OnDuplicate::Reject), keyed("b", OnDuplicate::Merge), keyed("c", OnDuplicate::Replace), item("d")];
    let Ok(Reply::Put { ids, duplicates }) = ask(&mut queue, ONE, Command::Put(batch), NOW) else { panic!() };
    assert_eq!((ids, duplicates), (vec![1, 1, 1, 2], vec![]));
    assert_eq!(get(&mut queue, ONE, NOW).item.data, "c");
    assert_eq!(get(&mut queue, ONE, NOW).item.data, "d");
}

/// A replacement was counted on top of the payload that it replaces: a queue full of bytes took none, however small.
#[test]
fn a_replacement_needs_room_for_the_difference_only() {
    let mut queue = Queue::new(Options { max_bytes: 20, ..queue().limits().clone() });
    let replace = |data| keyed(data, OnDuplicate::Replace);
    let put = |queue: &mut Queue, items: Vec<NewItem>| ask(queue, ONE, Command::Put(items), NOW);
    put(&mut queue, vec![item("0123456789"), replace("1234567")]).unwrap();
    put(&mut queue, vec![replace("7654321")]).unwrap();
    assert!(matches!(put(&mut queue, vec![replace("87654321")]), Err(None)), "one byte too many");
    put(&mut queue, vec![replace(""), item("seven b"), replace("")]).unwrap();
    assert_eq!(queue.stats(NOW).bytes, 20);
}

#[test]
fn a_key_is_remembered_for_its_window() {
    let mut queue = queue();
    ask(&mut queue, ONE, Command::Put(vec![keyed("a", OnDuplicate::Reject)]), NOW).unwrap();
    let lease = get(&mut queue, ONE, NOW).lease;
    ask(&mut queue, ONE, Command::Done { leases: vec![lease] }, NOW).unwrap();
    let put = |queue: &mut Queue, now| match ask(queue, ONE, Command::Put(vec![keyed("b", OnDuplicate::Reject)]), now) {
        Ok(Reply::Put { duplicates, .. }) => duplicates,
        other => panic!("{other:?}"),
    };
    assert_eq!(put(&mut queue, NOW.after_ms(499)), [0]);
    assert!(put(&mut queue, NOW.after_ms(500)).is_empty());
}

#[test]
fn settled_leases_are_remembered_and_strangers_are_not_believed() {
    let mut queue = queue();
    ask(&mut queue, ONE, Command::Put(vec![item("a"), item("b")]), NOW).unwrap();
    let lease = get(&mut queue, ONE, NOW).lease;
    let done = |lease| Command::Done { leases: vec![lease] };
    let stranger = ask(&mut queue, TWO, done(lease), NOW);
    assert!(matches!(stranger, Err(Some(Fault::NotHeld { .. }))), "only the holder settles");
    assert!(ask(&mut queue, ONE, done(lease), NOW).is_ok());
    assert!(ask(&mut queue, ONE, done(lease), NOW).is_ok(), "again, with no effect");
    let lease = get(&mut queue, ONE, NOW).lease;
    queue.evolve(queue.departed(ONE, Departure::Lost, "", NOW).unwrap());
    assert!(matches!(ask(&mut queue, ONE, done(lease), NOW), Err(Some(Fault::NotHeld { .. }))), "it was given back");
    assert_eq!(queue.stats(NOW).counters.done, 1);
}

#[test]
fn each_way_back_is_counted_apart_and_limits_park() {
    let mut queue = queue();
    ask(&mut queue, ONE, Command::Put(vec![item("a")]), NOW).unwrap();
    let mut now = NOW;
    let give_back = |queue: &mut Queue, how, now| {
        let lease = get(queue, ONE, now).lease;
        let why = "because".to_owned();
        ask(queue, ONE, Command::Return { leases: vec![lease], how, delay_ms: None, why }, now).unwrap();
    };
    give_back(&mut queue, Return::Released, now);
    give_back(&mut queue, Return::Failed, now);
    assert_eq!(queue.ready(), 0, "a failed item is not ready at once");
    now = now.after_ms(1000);
    give_back(&mut queue, Return::Failed, now);
    now = now.after_ms(1999);
    assert!(ask(&mut queue, ONE, Command::Get { max: 1, buffered: false }, now).is_err(), "the delay has doubled");
    now = now.after_ms(1);
    let leased = get(&mut queue, ONE, now);
    assert_eq!((leased.item.attempt(), leased.item.failures(), leased.item.crashes()), (4, 2, 0));
    queue.evolve(queue.departed(ONE, Departure::Lost, "", now).unwrap());
    give_back(&mut queue, Return::Failed, now);
    let Ok(Reply::Parked { items, .. }) = ask(&mut queue, ONE, Command::Parked { after_id: 0, limit: 9 }, now) else { panic!() };
    let what: Vec<&str> = items[0].item.history().iter().map(|event| event.what.as_str()).collect();
    assert_eq!(what, ["released", "failed", "failed", "crashed", "failed", "parked"]);
    assert_eq!(queue.unfinished(), 0, "a parked item keeps no join waiting");
}

#[test]
fn who_closes_gives_back_unharmed_and_who_is_lost_is_counted() {
    let mut queue = queue();
    ask(&mut queue, ONE, Command::Put(vec![item("a")]), NOW).unwrap();
    for times in 1..=5 {
        get(&mut queue, ONE, NOW);
        queue.evolve(queue.departed(ONE, Departure::Closed, "", NOW).unwrap());
        assert_eq!((queue.ready(), queue.stats(NOW).counters.released), (1, times), "however often: it is not parked");
    }
    for _ in 0..2 {
        get(&mut queue, ONE, NOW);
        queue.evolve(queue.departed(ONE, Departure::Lost, "", NOW).unwrap());
    }
    let stats = queue.stats(NOW);
    assert_eq!((stats.ready, stats.parked, stats.counters.crashes), (0, 1, 2), "its holders died too often");
}

#[test]
fn who_is_parked_for_its_crashes_names_the_proof() {
    let mut queue = queue();
    ask(&mut queue, ONE, Command::Put(vec![item("poison")]), NOW).unwrap();
    let crash = |queue: &mut Queue, why| {
        get(queue, ONE, NOW);
        queue.evolve(queue.departed(ONE, Departure::Lost, why, NOW).unwrap());
    };
    let parked = |queue: &mut Queue| match ask(queue, ONE, Command::Parked { after_id: 0, limit: 9 }, NOW) {
        Ok(Reply::Parked { mut items, .. }) => items.remove(0),
        other => panic!("{other:?}"),
    };
    crash(&mut queue, "worker resize/2 was killed by SIGSEGV; its last words: once");
    crash(&mut queue, "worker resize/0 was killed by SIGBUS; its last words: twice");
    let Parked { item, why, .. } = parked(&mut queue);
    let whys: Vec<&str> = item.history().iter().map(|event| event.why.as_str()).collect();
    assert_eq!(whys[0], "worker resize/2 was killed by SIGSEGV; its last words: once");
    assert_eq!(
        why,
        "its holders died too often, 2 times: worker resize/2 was killed by SIGSEGV; the last time: \
         worker resize/0 was killed by SIGBUS; its last words: twice"
    );
    ask(&mut queue, ONE, Command::Unpark { ids: vec![] }, NOW).unwrap();
    crash(&mut queue, "its process exited");
    crash(&mut queue, "its process exited");
    let why = parked(&mut queue).why;
    assert_eq!(why, "its holders died too often, 2 times: its process exited", "what was before it was unparked is forgiven");
}

/// Whatever the holder does with it but Done, in which the holder wins: an item that is asked back was neither failed nor crashed.
#[test]
fn what_is_asked_back_goes_where_it_is_wanted_however_its_lease_ends() {
    type End = fn(&mut Queue, u64);
    let ends: [End; 4] = [
        |queue, lease| {
            let (how, delay_ms, why) = (Return::Failed, Some(1000), "stopped".into());
            ask(queue, ONE, Command::Return { leases: vec![lease], how, delay_ms, why }, NOW).unwrap();
        },
        |queue, lease| {
            let (how, delay_ms, why) = (Return::Released, None, String::new());
            ask(queue, ONE, Command::Return { leases: vec![lease], how, delay_ms, why }, NOW).unwrap();
        },
        |queue, lease| {
            ask(queue, ONE, Command::Park { leases: vec![lease], ids: vec![], why: "odd".into() }, NOW).unwrap();
        },
        |queue, _| queue.evolve(queue.departed(ONE, Departure::Lost, "it was killed", NOW).unwrap()),
    ];
    for (then, end) in [Then::Requeue, Then::Park].into_iter().flat_map(|then| ends.map(|end| (then, end))) {
        let mut queue = queue();
        ask(&mut queue, TWO, Command::Put(vec![item("a")]), NOW).unwrap();
        let lease = get(&mut queue, ONE, NOW).lease;
        let wanted = Wanted { then, why: "too large".into() };
        let told = ask(&mut queue, TWO, Command::Cancel { id: 1, lease: 0, wanted, force: false }, NOW);
        assert!(matches!(told, Ok(Reply::Cancel(Cancelled { outcome: Outcome::Held, session: 1, .. }))), "{told:?}");
        end(&mut queue, lease);
        assert_eq!((queue.violation(), queue.nothing_is_asked_back()), (None, true));
        let stats = queue.stats(NOW);
        assert_eq!((stats.counters.failures, stats.counters.crashes, stats.counters.released), (0, 0, 1));
        match then {
            Then::Requeue => assert_eq!((stats.ready, queue.front(1)[0].attempt()), (1, 2), "at once"),
            Then::Park => {
                let parked = queue.parked_after(0, 1).0.remove(0);
                let what: Vec<&str> = parked.item.history().iter().map(|event| event.what.as_str()).collect();
                assert_eq!((parked.why.as_str(), what), ("cancelled: too large", vec!["cancelling", "cancelled", "parked"]));
            }
        }
    }
}

/// Expired items were only struck off, and their payloads kept until a getter came by: a queue without one grew for ever.
#[test]
fn expired_payloads_are_let_go_without_a_getter() {
    struct Payload(std::sync::Arc<std::sync::atomic::AtomicUsize>);
    impl AsRef<[u8]> for Payload {
        fn as_ref(&self) -> &[u8] {
            b"large"
        }
    }
    impl Drop for Payload {
        fn drop(&mut self) {
            self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let kept = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut queue = queue();
    ask(&mut queue, ONE, Command::Put(vec![item("stays")]), NOW).unwrap();
    for round in 0..50 {
        kept.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let data = Bytes::from_owner(Payload(kept.clone()));
        let now = NOW.after_ms(round * 10);
        ask(&mut queue, ONE, Command::Put(vec![NewItem { data, ttl_ms: 5, ..item("") }]), now).unwrap();
    }
    assert!(kept.load(std::sync::atomic::Ordering::SeqCst) <= 3, "{kept:?} payloads of expired items are kept");
}

/// The bytes of changes are kept on disk: an old journal must be readable for ever.
#[test]
fn the_format_of_changes_does_not_drift() {
    let mut headers = Headers::new();
    headers.insert("k".into(), "v".into());
    let full = Item {
        id: 3,
        data: Bytes::from_static(b"xy"),
        codec: 1,
        priority: 9,
        put_at: Moment(5),
        rare: Some(Box::new(Rare {
            ready_at: Some(Moment(6)),
            expires_at: Some(Moment(7)),
            unique_key: Bytes::from_static(b"u"),
            headers: headers.clone(),
            failures: 1,
            crashes: 2,
            releases: 3,
            history: vec![Event { at: Moment(4), what: "failed".into(), session: 8, why: "w".into() }],
        })),
    };
    let common = Item { id: 1, data: Bytes::from_static(b"a"), codec: 0, priority: 0, put_at: Moment(2), rare: None };
    let (session, now, why) = (SessionId(8), Moment(5), String::from("w"));
    let counters = Counters { put: 1, done: 2, expired: 3, dropped: 4, failures: 5, crashes: 6, released: 7, taken_back: 8 };
    let rest =
        Restored::Rest { counters, next_id: 9, next_lease: 10, closed: true, shut_down: true, paused: true, settled: vec![11] };
    let returned = |how| Change::Returned { session, leases: vec![2], how, now, delay_ms: Some(0), why: why.clone() };
    let data = Bytes::from_static(b"n");
    let wanted = Wanted { then: Then::Park, why: why.clone() };
    let changes = [
        (
            Change::Put(vec![common.clone(), full.clone()]),
            "0a3d0a07080112016128020a32080312027879180120092805300638074201754a060a016b1201765001580260036a0f080412066661696c65641808220177",
        ),
        (Change::Leased { session, first_lease: 2, count: 3, buffered: true }, "12080808100218032001"),
        (Change::Done { session, leases: vec![2, 300], now }, "1a090808120302ac021805"),
        (Change::Started { session, leases: vec![2] }, "22050808120102"),
        (returned(Return::Released), "2a0c080812010220052800320177"),
        (returned(Return::Failed), "2a0e0808120102180120052800320177"),
        (returned(Return::Crashed), "2a0e0808120102180220052800320177"),
        (returned(Return::TakenBack), "2a0e0808120102180320052800320177"),
        (Change::Parked { session, leases: vec![2], ids: vec![3], why: why.clone(), now }, "320d08081201021a01032201772805"),
        (Change::Unparked { ids: vec![3], now }, "3a050a01031005"),
        (Change::Discarded { ids: vec![3] }, "42030a0103"),
        (
            Change::Replaced { unique_key: Bytes::from_static(b"u"), data, codec: 1, headers },
            "4a100a017512016e180122060a016b120176",
        ),
        (Change::Expired { count: 3 }, "52020803"),
        (Change::Matured { count: 3 }, "5a020803"),
        (Change::Forgotten { count: 3 }, "62020803"),
        (Change::Closed { immediate: true }, "6a020801"),
        (Change::Purged, "7200"),
        (Change::Paused { paused: true }, "7a020801"),
        (Change::Restored(Restored::Ready(common.clone())), "820109120708011201612802"),
        (
            Change::Restored(Restored::Leased { session, lease: 2, buffered: true, item: common.clone(), asked_back: None }),
            "82010f080212070801120161280218082002",
        ),
        (
            Change::Restored(Restored::Parked { item: common.clone(), why: why.clone(), since: now }),
            "82011008041207080112016128022a01773005",
        ),
        (
            Change::Restored(Restored::Remembered { unique_key: Bytes::from_static(b"u"), id: 3, until: now }),
            "82010b0805120708033005420175",
        ),
        (Change::Restored(rest), "82012108063a1d080110021803200428053006380740084809500a58016001680172010b"),
        (Change::Sequence(vec![Change::Purged, Change::Purged]), "8a01080a0272000a027200"),
        (Change::Cancelled { session, lease: 2, by: TWO, wanted: wanted.clone(), now }, "92010d08081002180220012a01773005"),
        (
            Change::Restored(Restored::Leased { session, lease: 2, buffered: false, item: common, asked_back: Some(wanted) }),
            "8201160803120708011201612802180820022a017740014801",
        ),
    ];
    for (change, golden) in changes {
        let bytes = Queue::encode(&change);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden, "{change:?}");
        assert_eq!(Queue::decode(&bytes).unwrap(), change);
    }
}

#[test]
fn what_is_no_change_is_an_error() {
    for bytes in [&b""[..], b"\xff", b"\x0a\xff", b"\x2a\x02\x18\x09"] {
        assert!(Queue::decode(bytes).is_err(), "{bytes:?}");
    }
}
