//! Mirrors of a store: they equal it, through cut connections too, and say what they know.

use super::{connect, connected, line::Line};
use bursar::{
    Fault, Kv, Manager, Raw, Result, State, Wait,
    blocking::block_on,
    kv::{Mirror, PutOptions, Since, WatchEvent},
};
use bursar_server::testing::TestBroker;
use futures_util::{
    future::{join, join_all},
    poll,
};
use std::collections::BTreeMap;

fn shown(mirror: &Mirror<u64>) -> BTreeMap<String, u64> {
    mirror.iter().map(|entry| (entry.key.clone(), entry.value)).collect()
}

async fn stored(kv: &Kv<u64>, prefix: &str) -> BTreeMap<String, u64> {
    kv.scan(prefix).await.unwrap().into_iter().map(|entry| (entry.key, entry.value)).collect()
}

/// A session on a line.
async fn on(line: &Line, broker: &TestBroker) -> Manager {
    Manager::builder().connector(line.connector()).authkey(broker.authkey()).connect().await.unwrap()
}

#[test]
fn a_mirror_equals_the_store_that_many_write_at_once() {
    let (broker, manager) = connected();
    block_on(async {
        let kv: Kv<u64> = manager.kv("store").create().await.unwrap();
        for number in 0..20 {
            kv.put(&format!("a/{number:02}"), number).await.unwrap();
        }
        let mirror = kv.mirror("a/").await.unwrap();
        assert_eq!(shown(&mirror), stored(&kv, "a/").await, "from the first moment on");
        let writing = (0..4).map(|writer: u64| {
            let broker = &broker;
            async move {
                let kv: Kv<u64> = connect(broker).kv("store").open().await?;
                for number in 0..100 {
                    let key = format!("{}/{:02}", ["a", "b"][number as usize % 2], (number * 7 + writer) % 23);
                    match number % 5 {
                        4 => drop(kv.delete(&key).await?),
                        _ => drop(kv.put(&key, writer * 1000 + number).await?),
                    }
                }
                Result::Ok(())
            }
        });
        join_all(writing).await.into_iter().collect::<Result<()>>().unwrap();
        let last = kv.put("a/last", 0).await.unwrap();
        mirror.wait_for(last, Wait::Forever).await.unwrap();
        assert_eq!(shown(&mirror), stored(&kv, "a/").await);
        assert_eq!((mirror.len(), mirror.prefix(), mirror.failures()), (shown(&mirror).len(), "a/", 0));
        assert!(mirror.contains("a/last") && !mirror.contains("b/01") && !mirror.is_empty());
        assert_eq!(mirror.entry("a/last").unwrap().modify_revision, last);
    });
}

#[test]
fn a_revision_that_was_waited_for_is_seen_also_where_it_changed_nothing_under_the_prefix() {
    let (broker, manager) = connected();
    block_on(async {
        let kv: Kv<u64> = manager.kv("store").create().await.unwrap();
        let mirror = kv.mirror("a/").await.unwrap();
        let others: Kv<u64> = connect(&broker).kv("store").open().await.unwrap();
        for number in 0..50 {
            let revision = others.put("a/k", number).await.unwrap();
            mirror.wait_for(revision, Wait::Forever).await.unwrap();
            assert_eq!(mirror.get("a/k"), Some(number));
            let foreign = others.put("b/k", number).await.unwrap();
            mirror.wait_for(foreign, Wait::Never).await.unwrap();
            assert!(mirror.revision() >= foreign);
        }
    });
}

#[test]
fn a_revision_that_does_not_come_in_time_is_a_timeout() {
    let (_broker, manager) = connected();
    block_on(async {
        let kv: Kv<u64> = manager.kv("store").create().await.unwrap();
        let mirror = kv.mirror("").await.unwrap();
        let revision = kv.put("k", 1).await.unwrap();
        for wait in [Wait::Never, Wait::For(std::time::Duration::from_millis(1))] {
            let error = mirror.wait_for(revision + 1, wait).await.unwrap_err();
            assert!(matches!(error.fault(), Some(Fault::TimedOut { .. })), "{error}");
        }
        let (waited, put) = join(mirror.wait_for(revision + 1, Wait::Forever), kv.put("k", 2)).await;
        waited.unwrap();
        assert_eq!((put.unwrap(), mirror.get("k")), (revision + 1, Some(2)));
    });
}

#[test]
fn a_mirror_goes_on_where_it_was_after_each_cut() {
    let broker = TestBroker::start();
    block_on(async {
        let line = Line::new(&broker);
        let manager = on(&line, &broker).await;
        let kv: Kv<u64> = manager.kv("store").create().await.unwrap();
        let others: Kv<u64> = connect(&broker).kv("store").open().await.unwrap();
        let mirror = kv.mirror("").await.unwrap();
        for round in 0..4 {
            let mut states = manager.watch_state();
            line.cut();
            let mut last = 0;
            for number in 0..20 {
                others.put(&format!("{}", number % 3), round * 100 + number).await.unwrap();
                others.delete(&format!("{}", number % 4)).await.unwrap();
                last = others.put("last", number).await.unwrap();
            }
            while states.changed().await != State::Connected {}
            mirror.wait_for(last, Wait::Forever).await.unwrap();
            assert_eq!(shown(&mirror), stored(&others, "").await);
        }
        assert!(mirror.error().is_none());
    });
}

/// More happens while there is no connection than the store keeps events of.
#[test]
fn a_mirror_that_has_missed_too_much_reads_the_store_afresh_and_shows_no_half_of_it() {
    let broker = TestBroker::start();
    block_on(async {
        let line = Line::new(&broker);
        let manager = on(&line, &broker).await;
        let kv: Kv<u64> = manager.kv("store").events_max(10).create().await.unwrap();
        kv.put("gone", 1).await.unwrap();
        let mirror = kv.mirror("").await.unwrap();
        let before = mirror.snapshot();
        let others: Kv<u64> = connect(&broker).kv("store").open().await.unwrap();
        let mut states = manager.watch_state();
        line.close();
        while states.changed().await != State::Suspended {}
        others.delete("gone").await.unwrap();
        let mut last = 0;
        for number in 0..100 {
            last = others.put(&format!("{}", number % 30), number).await.unwrap();
        }
        assert_eq!(mirror.get("gone"), Some(1), "without a connection nothing is heard");
        line.open();
        mirror.wait_for(last, Wait::Forever).await.unwrap();
        mirror.synced(Wait::Forever).await.unwrap();
        assert_eq!(shown(&mirror), stored(&others, "").await);
        assert_eq!((before.len(), before["gone"].value), (1, 1), "a snapshot stays as it was");
        assert!(before.revision() < mirror.revision());
        assert!(mirror.freshness().is_synced && mirror.error().is_none());
    });
}

#[test]
fn threads_that_read_while_it_changes_never_see_an_older_state() {
    let (_broker, manager) = connected();
    block_on(async {
        let kv: Kv<u64> = manager.kv("store").create().await.unwrap();
        kv.put("k", 0).await.unwrap();
        let mirror = kv.mirror("").await.unwrap();
        let reading: Vec<_> = (0..4)
            .map(|_| {
                let mirror = mirror.clone();
                std::thread::spawn(move || {
                    let (mut value, mut revision) = (0, 0);
                    while value < 500 {
                        let snapshot = mirror.snapshot();
                        let next = snapshot["k"].value;
                        assert!(next >= value && snapshot.revision() >= revision);
                        assert!(mirror.get("k").unwrap() >= next);
                        (value, revision) = (next, snapshot.revision());
                    }
                })
            })
            .collect();
        for _ in 0..500 {
            kv.incr("k", 1).await.unwrap();
        }
        reading.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_mirror_knows_how_far_behind_it_is() {
    let broker = TestBroker::start();
    block_on(async {
        let line = Line::new(&broker);
        let manager = on(&line, &broker).await;
        let kv: Kv<u64> = manager.kv("store").create().await.unwrap();
        let others: Kv<u64> = connect(&broker).kv("store").open().await.unwrap();
        let mirror = kv.mirror("a/").await.unwrap();
        let revision = kv.put("b/foreign", 1).await.unwrap();
        assert_eq!((mirror.lag().await.unwrap(), mirror.revision()), (0, revision), "no change under its prefix");
        let freshness = mirror.freshness();
        assert!(freshness.is_synced && freshness.is_connected && freshness.revision == revision);
        let mut states = manager.watch_state();
        line.close();
        while states.changed().await != State::Suspended {}
        let last = others.put("a/k", 1).await.unwrap();
        let freshness = mirror.freshness();
        assert!(!freshness.is_connected && freshness.revision < last);
        line.open();
        mirror.wait_for(last, Wait::Forever).await.unwrap();
        assert_eq!(mirror.lag().await.unwrap(), 0);
        assert!(mirror.freshness().is_connected);
    });
}

#[test]
fn what_cannot_be_read_is_not_shown_and_not_with_its_former_value() {
    let (_broker, manager) = connected();
    block_on(async {
        let raw: Kv<Raw> = manager.raw_kv("store").create().await.unwrap();
        raw.put("text", Raw::from("from the beginning")).await.unwrap();
        let kv: Kv<u64> = manager.kv("store").open().await.unwrap();
        kv.put("k", 1).await.unwrap();
        let mirror = kv.mirror("").await.unwrap();
        assert_eq!((shown(&mirror), mirror.failures()), ([("k".to_owned(), 1)].into(), 1));
        let revision = raw.put("k", Raw::from("no number")).await.unwrap();
        mirror.wait_for(revision, Wait::Forever).await.unwrap();
        assert_eq!((mirror.get("k"), mirror.failures()), (None, 2));
        let revision = kv.put("k", 2).await.unwrap();
        mirror.wait_for(revision, Wait::Forever).await.unwrap();
        assert_eq!((mirror.get("k"), mirror.failures()), (Some(2), 2));
        assert_eq!(raw.mirror("").await.unwrap().get_as::<u64>("k").unwrap(), Some(2));
    });
}

#[test]
fn a_mirror_of_a_deleted_store_stays_as_it_was_and_says_why() {
    let (_broker, manager) = connected();
    block_on(async {
        let kv: Kv<u64> = manager.kv("store").create().await.unwrap();
        kv.put("k", 1).await.unwrap();
        let mirror = kv.mirror("").await.unwrap();
        let (waited, deleted) = join(mirror.wait_for(99, Wait::Forever), manager.objects().delete("store")).await;
        deleted.unwrap();
        assert!(matches!(waited.unwrap_err().fault(), Some(Fault::Gone { .. })));
        let synced = mirror.synced(Wait::Forever).await;
        // The mirror's own thread may learn it a moment after this one.
        if synced.is_ok() {
            assert!(mirror.wait_for(99, Wait::Forever).await.is_err());
        }
        assert_eq!((mirror.get("k"), mirror.len()), (Some(1), 1));
        assert!(kv.mirror("").await.is_err());
    });
}

#[test]
fn a_mirror_keeps_its_session_and_ends_with_its_last_clone() {
    let (broker, manager) = connected();
    let witness = connect(&broker);
    block_on(async {
        let kv: Kv<u64> = manager.kv("store").create().await.unwrap();
        let seen: Kv<u64> = witness.kv("store").open().await.unwrap();
        let mut watch = seen.watch_key("me", Since::Now).await.unwrap();
        kv.put_with("me", 1, &PutOptions { bind: true, ..PutOptions::default() }).await.unwrap();
        let mirror = kv.mirror("").await.unwrap();
        let other = mirror.clone();
        drop((manager, kv, mirror));
        let revision = seen.put("still", 1).await.unwrap();
        other.wait_for(revision, Wait::Forever).await.unwrap();
        assert_eq!((other.get("me"), other.get("still")), (Some(1), Some(1)));
        drop(other);
        assert!(matches!(watch.next().await.unwrap(), WatchEvent::Put { .. }));
        let gone = watch.next().await.unwrap();
        assert!(matches!(&gone, WatchEvent::Delete { cause, .. } if cause == "session"), "{gone:?}");
    });
}

/// What changed between two pages was none of the watch's keys: nothing is to come that would end its catching up.
#[test]
fn a_map_that_nobody_changes_is_synced_also_after_foreign_changes_between_its_pages() {
    let broker = TestBroker::start();
    let line = Line::new(&broker);
    block_on(async {
        let manager = on(&line, &broker).await;
        let kv: Kv<u64> = manager.kv("store").create().await.unwrap();
        let puts = (0..1500).map(|number| {
            let kv = &kv;
            async move { kv.put(&format!("a/{number:04}"), number).await }
        });
        join_all(puts).await.into_iter().collect::<Result<Vec<u64>>>().unwrap();
        let mut watch = kv.watch("a/", Since::Start).await.unwrap();
        // The calls of one session are taken in their order: the first page, the foreign change, the second page. That one is
        // asked for when the first has come, which is not before the foreign change is on its way.
        line.mute();
        let (mut first, mut foreign) = (Box::pin(watch.next()), Box::pin(kv.put("b", 0)));
        assert!(poll!(&mut first).is_pending() && poll!(&mut foreign).is_pending());
        line.unmute();
        let (first, foreign) = join(first, foreign).await;
        assert_eq!(first.unwrap(), WatchEvent::Reset);
        for number in 0..1500 {
            assert!(matches!(watch.try_next(), Some(Ok(WatchEvent::Put { value, .. })) if value == number));
        }
        assert!(watch.try_next().is_none(), "the foreign change came between the pages");
        let (synced, put) = join(watch.next(), kv.put("a/later", 0)).await;
        assert_eq!(synced.unwrap(), WatchEvent::Synced { revision: foreign.unwrap() });
        assert!(matches!(watch.next().await.unwrap(), WatchEvent::Put { revision, .. } if revision == put.unwrap()));
    });
}
