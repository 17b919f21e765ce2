//! Callbacks on a store: what they hear, what they cannot break, and when they end.

use super::{connect, connected, line::Line};
use bursar::{
    Error, Fault, Kv, Manager, Raw, Result,
    blocking::{self, block_on},
    kv::{Keys, Since, WatchEvent},
};
use bursar_server::testing::TestBroker;
use futures_util::future::join_all;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

type Heard = Receiver<WatchEvent<u64>>;

/// A callback that passes on what it hears. The room is more than any test needs, so that it never waits.
fn passing_on() -> (impl FnMut(&WatchEvent<u64>) + Send + 'static, Heard) {
    let (sender, heard) = sync_channel(100_000);
    (move |event: &WatchEvent<u64>| sender.send(event.clone()).unwrap(), heard)
}

/// Folds what a callback heard up to a key.
fn fold_until(heard: &Heard, last: &str) -> BTreeMap<String, u64> {
    let (mut map, mut newest, mut is_partial, mut is_there) = (BTreeMap::new(), 0, false, false);
    while is_partial || !is_there {
        match heard.recv().unwrap() {
            WatchEvent::Put { key, value, revision } => {
                assert!(is_partial || revision > newest, "{key} at {revision} comes behind {newest}");
                newest = newest.max(revision);
                is_there |= key == last;
                map.insert(key, value);
            }
            WatchEvent::Delete { key, revision, .. } => {
                assert!(is_partial || revision > newest, "{key} at {revision} comes behind {newest}");
                newest = newest.max(revision);
                map.remove(&key);
            }
            WatchEvent::Reset => {
                map.clear();
                (is_partial, newest) = (true, 0);
            }
            WatchEvent::Synced { .. } => is_partial = false,
        }
    }
    map
}

#[test]
fn a_callback_hears_every_change_of_its_key_in_order_and_of_no_other() {
    let (_broker, manager) = connected();
    block_on(async {
        let shared: Kv<u64> = manager.kv("shared").create().await.unwrap();
        shared.put("k", 1).await.unwrap();
        let (callback, heard) = passing_on();
        let subscription = shared.on_change("k", callback).await.unwrap();
        shared.put("k/longer", 2).await.unwrap();
        shared.put("other", 3).await.unwrap();
        let put = shared.put("k", 4).await.unwrap();
        let deleted = put + 1;
        shared.delete("k").await.unwrap();
        assert_eq!(heard.recv().unwrap(), WatchEvent::Put { key: "k".into(), value: 4, revision: put });
        let cause = "delete".to_owned();
        assert_eq!(heard.recv().unwrap(), WatchEvent::Delete { key: "k".into(), revision: deleted, cause });
        assert!(subscription.close().await.is_none());
        assert!(heard.recv().is_err(), "the callback is gone, and heard nothing more");
    });
}

#[test]
fn a_callback_may_begin_with_what_is_there() {
    let (_broker, manager) = connected();
    block_on(async {
        let shared: Kv<u64> = manager.kv("shared").create().await.unwrap();
        shared.put("k/longer", 1).await.unwrap();
        let revision = shared.put("k", 2).await.unwrap();
        let newest = shared.put("other", 3).await.unwrap();
        let (callback, heard) = passing_on();
        let _subscription = shared.on_change(Keys::one("k").since(Since::Start), callback).await.unwrap();
        assert_eq!(heard.recv().unwrap(), WatchEvent::Reset);
        assert_eq!(heard.recv().unwrap(), WatchEvent::Put { key: "k".into(), value: 2, revision });
        assert_eq!(heard.recv().unwrap(), WatchEvent::Synced { revision: newest });
    });
}

/// Writers of sessions of their own change, delete and count the same few keys.
async fn write_at_once(broker: &TestBroker, name: &str, prefix: &str) {
    let writing = (0..4).map(|writer: u64| async move {
        let kv: Kv<u64> = connect(broker).kv(name).open().await?;
        for number in 0..100 {
            let key = format!("{prefix}{}", (number * 7 + writer) % 5);
            match number % 6 {
                5 => drop(kv.delete(&key).await?),
                4 => drop(kv.incr(&key, 1).await?),
                _ => drop(kv.put(&key, writer * 1000 + number).await?),
            }
        }
        Result::Ok(())
    });
    join_all(writing).await.into_iter().collect::<Result<()>>().unwrap();
}

#[test]
fn folding_what_a_callback_heard_gives_the_store_that_many_write_at_once() {
    let (broker, manager) = connected();
    block_on(async {
        let shared: Kv<u64> = manager.kv("shared").create().await.unwrap();
        let (callback, heard) = passing_on();
        let subscription = shared.on_change(Keys::all(), callback).await.unwrap();
        write_at_once(&broker, "shared", "").await;
        shared.put("last", 0).await.unwrap();
        assert_eq!(fold_until(&heard, "last"), shared.items().await.unwrap().into_iter().collect());
        assert_eq!(subscription.failures(), 0);
    });
}

#[test]
fn who_lags_hears_a_reset_and_the_store_as_it_is() {
    let (broker, manager) = connected();
    block_on(async {
        let shared: Kv<u64> = manager.kv("shared").events_max(10).create().await.unwrap();
        shared.put("a/gone", 1).await.unwrap();
        let (begin, gate) = sync_channel(0);
        let (mut pass_on, heard) = passing_on();
        let mut is_first = true;
        let waiting = move |event: &WatchEvent<u64>| {
            if std::mem::take(&mut is_first) {
                gate.recv().unwrap();
            }
            pass_on(event);
        };
        let _subscription = shared.on_change(Keys::under("a/").since(Since::Start), waiting).await.unwrap();
        write_at_once(&broker, "shared", "a/").await;
        shared.delete("a/gone").await.unwrap();
        shared.put("b/other", 1).await.unwrap();
        shared.put("a/last", 0).await.unwrap();
        begin.send(()).unwrap();
        let all: BTreeMap<String, u64> =
            shared.items().await.unwrap().into_iter().filter(|(key, _)| key.starts_with("a/")).collect();
        assert_eq!(fold_until(&heard, "a/last"), all);
    });
}

#[test]
fn panics_errors_and_unreadable_values_are_counted_and_end_nothing() {
    let (_broker, manager) = connected();
    block_on(async {
        let raw: Kv<Raw> = manager.raw_kv("shared").create().await.unwrap();
        let shared: Kv<u64> = manager.kv("shared").open().await.unwrap();
        let (sender, heard) = sync_channel(8);
        let failing = move |event: &WatchEvent<u64>| match event {
            WatchEvent::Put { value: 1, .. } => panic!("one is too few"),
            WatchEvent::Put { value: 2, .. } => Err("two are too many"),
            event => {
                sender.send(event.clone()).unwrap();
                Ok(())
            }
        };
        let subscription = shared.on_change("k", failing).await.unwrap();
        shared.put("k", 1).await.unwrap();
        shared.put("k", 2).await.unwrap();
        raw.put("k", Raw::from("no number")).await.unwrap();
        let revision = shared.put("k", 3).await.unwrap();
        assert_eq!(heard.recv().unwrap(), WatchEvent::Put { key: "k".into(), value: 3, revision });
        assert_eq!(subscription.failures(), 3);
        assert!(!subscription.is_over() && subscription.error().is_none());
    });
}

#[test]
fn a_dropped_subscription_calls_no_more_and_lets_its_callback_go() {
    let (_broker, manager) = connected();
    block_on(async {
        let shared: Kv<u64> = manager.kv("shared").create().await.unwrap();
        let (callback, heard) = passing_on();
        let subscription = shared.on_change(Keys::all(), callback).await.unwrap();
        drop(subscription);
        shared.put("k", 1).await.unwrap();
        assert!(heard.recv().is_err(), "its end of the channel is gone, and nothing is in it");
    });
}

#[test]
fn a_callback_may_end_its_own_subscription() {
    let (_broker, manager) = connected();
    let shared: blocking::Kv<u64> = blocking::Manager::from(manager).kv("shared").create().unwrap();
    let own = Arc::new(Mutex::new(None));
    let (mut pass_on, heard) = passing_on();
    let held = own.clone();
    let once = move |event: &WatchEvent<u64>| {
        pass_on(event);
        held.lock().take();
    };
    let mut place = own.lock();
    *place = Some(shared.on_change(Keys::all(), once).unwrap());
    shared.put("k", 1).unwrap();
    shared.put("k", 2).unwrap();
    drop(place);
    assert!(matches!(heard.recv().unwrap(), WatchEvent::Put { value: 1, .. }));
    assert!(heard.recv().is_err(), "the second put was not told any more");
}

#[test]
fn closing_waits_for_the_call_that_is_under_way() {
    let (_broker, manager) = connected();
    block_on(async {
        let shared: Kv<u64> = manager.kv("shared").create().await.unwrap();
        let (begun, begins) = sync_channel(0);
        let (end, ends) = sync_channel(0);
        let done = Arc::new(Mutex::new(false));
        let is_done = done.clone();
        let slow = move |_: &WatchEvent<u64>| {
            begun.send(()).unwrap();
            ends.recv().unwrap();
            *is_done.lock() = true;
        };
        let subscription = shared.on_change("k", slow).await.unwrap();
        shared.put("k", 1).await.unwrap();
        begins.recv().unwrap();
        shared.get("k").await.expect("a callback that hangs holds up nobody else");
        let letting_go = std::thread::spawn(move || end.send(()).unwrap());
        assert!(subscription.close().await.is_none());
        assert!(*done.lock());
        letting_go.join().unwrap();
    });
}

#[test]
fn a_subscription_ends_with_its_store_and_says_so() {
    let (_broker, manager) = connected();
    block_on(async {
        let shared: Kv<u64> = manager.kv("shared").create().await.unwrap();
        let (callback, heard) = passing_on();
        let subscription = shared.on_change(Keys::all(), callback).await.unwrap();
        manager.objects().delete("shared").await.unwrap();
        let error = subscription.ended().await.unwrap();
        assert!(matches!(error.fault(), Some(Fault::Gone { .. })), "{error}");
        assert!(heard.recv().is_err() && subscription.is_over() && subscription.error().is_some());
        let error = shared.on_change("k", |_| ()).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Gone { .. })), "{error}");
    });
}

#[test]
fn a_subscription_ends_with_its_session() {
    let (_broker, manager) = connected();
    block_on(async {
        let shared: Kv<u64> = manager.kv("shared").create().await.unwrap();
        let subscription = shared.on_change(Keys::all(), |_| ()).await.unwrap();
        manager.clone().close().await;
        let error = subscription.ended().await.unwrap();
        assert!(matches!(*error, Error::Lost(_)), "{error}");
    });
}

#[test]
fn nothing_is_missed_or_heard_twice_while_the_connection_is_cut_again_and_again() {
    let broker = TestBroker::start();
    block_on(async {
        let line = Line::new(&broker);
        let manager = Manager::builder().connector(line.connector()).authkey(broker.authkey()).connect().await.unwrap();
        let shared: Kv<u64> = manager.kv("shared").create().await.unwrap();
        let others: Kv<u64> = connect(&broker).kv("shared").open().await.unwrap();
        let (callback, heard) = passing_on();
        let _subscription = shared.on_change("k", callback).await.unwrap();
        for number in 0..60 {
            if number % 20 == 10 {
                line.cut();
            }
            others.put("k", number).await.unwrap();
        }
        for number in 0..60 {
            let event = heard.recv().unwrap();
            assert!(matches!(&event, WatchEvent::Put { value, .. } if *value == number), "{event:?}, not {number}");
        }
    });
}

#[test]
fn an_async_callback_uses_the_runtime_it_was_made_in() {
    let (_broker, manager) = connected();
    let (sender, heard): (SyncSender<u64>, _) = sync_channel(8);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let shared: Kv<u64> = manager.kv("shared").create().await.unwrap();
        let store = shared.clone();
        let adding = async move |event: &WatchEvent<u64>| {
            tokio::task::yield_now().await;
            let WatchEvent::Put { value, .. } = event else { return Ok::<(), Error>(()) };
            let value = *value;
            let doubled = tokio::spawn(async move { 2 * value }).await.unwrap();
            store.put("sum", doubled).await?;
            sender.send(doubled).unwrap();
            Ok(())
        };
        let subscription = shared.on_change_async("k", adding).await.unwrap();
        shared.put("k", 7).await.unwrap();
        let heard = tokio::task::spawn_blocking(move || heard.recv().unwrap()).await.unwrap();
        assert_eq!((heard, shared.get("sum").await.unwrap()), (14, Some(14)));
        assert!(subscription.close().await.is_none());
    });
}
