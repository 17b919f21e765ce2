//! The key-value store's calls, as far as the SDK adds something to the broker's verbs.

use super::{connect, connected};
use bursar::{
    Fault, Kv, Result,
    blocking::block_on,
    kv::{Since, Watch, WatchEvent},
};
use futures_util::future::join_all;
use std::{collections::BTreeMap, time::Duration};

#[test]
fn updates_of_many_are_not_lost() {
    let (broker, manager) = connected();
    block_on(async {
        let kv: Kv<u64> = manager.kv("sums").create().await.unwrap();
        let others: Vec<Kv<u64>> = join_all((0..4).map(|_| async { connect(&broker).kv("sums").open().await.unwrap() })).await;
        let adding = others.iter().map(|kv| async move {
            for _ in 0..50 {
                kv.update("sum", |sum| Some(sum.unwrap_or(0) + 1)).await?;
            }
            Result::Ok(())
        });
        join_all(adding).await.into_iter().collect::<Result<()>>().unwrap();
        assert_eq!(kv.get("sum").await.unwrap(), Some(200));
        assert_eq!(kv.update("sum", |_| None).await.unwrap(), None);
        assert!(!kv.contains("sum").await.unwrap());
        assert_eq!(kv.update("sum", |_| None).await.unwrap(), None, "deleting nothing is no error");
    });
}

/// After so many polls, tokio's types ask every task to come back later. A blocking call that never went back to its runtime did not
/// return any more.
#[test]
fn blocking_calls_within_a_task_do_not_run_into_its_budget() {
    let (_broker, manager) = connected();
    let kv: Kv<u64> = block_on(manager.kv("dict").create()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for number in 0..1000 {
            block_on(kv.put("key", number)).unwrap();
        }
        assert_eq!(kv.get("key").await.unwrap(), Some(999));
    });
}

#[test]
fn the_verbs_of_a_dict() {
    let (_broker, manager) = connected();
    block_on(async {
        let kv: Kv<String> = manager.kv("dict").create().await.unwrap();
        assert!(kv.is_empty().await.unwrap());
        let first = kv.put("a", "1".to_owned()).await.unwrap();
        assert_eq!(kv.setdefault("a", "2".to_owned()).await.unwrap(), "1");
        assert_eq!(kv.setdefault("b", "2".to_owned()).await.unwrap(), "2");
        assert_eq!(
            kv.put_new("a", "3".to_owned()).await.unwrap_err().fault(),
            Some(&Fault::RevisionMismatch { key: "a".into(), actual: first })
        );
        let second = kv.put_if("a", "4".to_owned(), first).await.unwrap();
        assert!(kv.put_if("a", "5".to_owned(), first).await.is_err());
        let entry = kv.entry("a").await.unwrap().unwrap();
        assert_eq!((entry.create_revision, entry.modify_revision, entry.ttl_left), (first, second, None));
        assert_eq!(kv.keys().await.unwrap(), ["a", "b"]);
        assert_eq!(kv.scan("b").await.unwrap().len(), 1);
        assert_eq!((kv.pop("b").await.unwrap().as_deref(), kv.pop("b").await.unwrap()), (Some("2"), None));
        assert!(kv.expire("a", Duration::from_secs(3600)).await.unwrap());
        assert!(kv.entry("a").await.unwrap().unwrap().ttl_left.is_some());
        assert!(kv.touch("a").await.unwrap() && kv.persist("a").await.unwrap());
        assert_eq!(kv.entry("a").await.unwrap().unwrap().ttl_left, None);
        assert!(!kv.touch("none").await.unwrap() && !kv.persist("none").await.unwrap() && !kv.delete("none").await.unwrap());
        assert_eq!((kv.clear().await.unwrap(), kv.len().await.unwrap()), (1, 0));
        let error = kv.put("", "x".to_owned()).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
    });
}

#[test]
fn a_map_of_many_pages_is_read_whole() {
    let (_broker, manager) = connected();
    block_on(async {
        let kv: Kv<usize> = manager.kv("large").create().await.unwrap();
        let puts = (0..2500).map(|number| {
            let kv = &kv;
            async move { kv.put(&format!("{number:04}"), number).await }
        });
        join_all(puts).await.into_iter().collect::<Result<Vec<u64>>>().unwrap();
        let items = kv.items().await.unwrap();
        assert!(items.iter().map(|(_, number)| *number).eq(0..2500));
        assert_eq!(kv.keys().await.unwrap().len(), 2500);
    });
}

/// Takes events until the map is known at this revision.
async fn fold(watch: &mut Watch<u64>, map: &mut BTreeMap<String, u64>, until: u64) -> usize {
    let (mut resets, mut is_partial) = (0, false);
    loop {
        let reached = match watch.next().await.unwrap() {
            WatchEvent::Put { key, value, revision } => {
                map.insert(key, value);
                revision
            }
            WatchEvent::Delete { key, revision, .. } => {
                map.remove(&key);
                revision
            }
            WatchEvent::Reset => {
                map.clear();
                resets += 1;
                is_partial = true;
                0
            }
            WatchEvent::Synced { revision } => {
                is_partial = false;
                revision
            }
        };
        if reached >= until && !is_partial {
            return resets;
        }
    }
}

#[test]
fn folding_a_watch_gives_the_map_also_after_lagging() {
    let (_broker, manager) = connected();
    block_on(async {
        let kv: Kv<u64> = manager.kv("watched").events_max(10).create().await.unwrap();
        kv.put("first", 0).await.unwrap();
        let mut live = kv.watch("", Since::Start).await.unwrap();
        let mut lagging = kv.watch("", Since::Revision(0)).await.unwrap();
        let (mut seen, mut lagged) = (BTreeMap::new(), BTreeMap::new());
        for number in 1..=100 {
            let key = format!("{}", number % 7);
            let revision = match number % 5 {
                0 => {
                    kv.delete(&key).await.unwrap();
                    kv.put("mark", number).await.unwrap()
                }
                _ => kv.put(&key, number).await.unwrap(),
            };
            fold(&mut live, &mut seen, revision).await;
            let items: BTreeMap<String, u64> = kv.items().await.unwrap().into_iter().collect();
            assert_eq!(seen, items, "at {revision}");
        }
        let last = kv.put("last", 0).await.unwrap();
        assert_eq!(fold(&mut lagging, &mut lagged, last).await, 1, "the events were not kept: the map came afresh");
        assert_eq!(lagged, kv.items().await.unwrap().into_iter().collect());
        let mut prefixed = kv.watch("l", Since::Start).await.unwrap();
        assert_eq!(prefixed.next().await.unwrap(), WatchEvent::Reset);
        assert_eq!(prefixed.next().await.unwrap(), WatchEvent::Put { key: "last".into(), value: 0, revision: last });
        assert_eq!(prefixed.next().await.unwrap(), WatchEvent::Synced { revision: last });
    });
}
