//! Transactions: all or nothing, and what becomes of what is held.

use super::{connect, connected};
use bursar::{
    Counter, Error, Event, Fault, Kv, Lock, Queue, Wait,
    blocking::{self, block_on},
    queue::PutOptions,
    txn::{Comparison, Test},
};
use std::time::Duration;

#[test]
fn an_item_is_done_with_its_result_and_its_followers() {
    let (_broker, manager) = connected();
    block_on(async {
        let jobs: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let results: Kv<String> = manager.kv("results").create().await.unwrap();
        jobs.put(1).await.unwrap();
        let job = jobs.get().await.unwrap();
        let id = job.id().to_string();
        let txn = manager.txn().when(job.test_held()).when(results.key(&id).is_absent());
        let txn = txn.then(results.step_put(&id, "one".to_owned())).then(jobs.step_put_many([2, 3])).then(job.step_done());
        let reply = txn.otherwise(job.step_park("twice")).execute().await.unwrap();
        assert!(reply.held);
        let ids = reply[1].ids();
        assert_eq!((reply.replies.len(), reply[0].revision(), ids.len()), (3, Some(1), 2));
        drop(job);
        let stats = jobs.stats().await.unwrap();
        assert_eq!((stats.done, stats.ready, stats.leased, stats.failures), (1, 2, 0, 0), "a settled lease says no more");
        assert_eq!(jobs.get().await.unwrap().id(), ids[0]);
    });
}

#[test]
fn the_other_branch_settles_its_own_lease_only() {
    let (_broker, manager) = connected();
    block_on(async {
        let jobs: Queue<u32> = manager.queue("jobs").retry_delay(Duration::from_secs(3600)).create().await.unwrap();
        jobs.put_many([1, 2]).await.unwrap();
        let (one, two) = (jobs.get().await.unwrap(), jobs.get().await.unwrap());
        let counter: Counter = manager.counter("zero").create().await.unwrap();
        let txn = manager.txn().when(counter.test(Comparison::NotEqual, 0));
        let reply = txn.then(one.step_done()).otherwise(counter.step_add(5)).otherwise(two.step_retry()).execute().await.unwrap();
        assert_eq!((reply.held, reply[0].number()), (false, Some(5)));
        one.done().await.unwrap();
        drop(two);
        let stats = jobs.stats().await.unwrap();
        assert_eq!((stats.done, stats.delayed, stats.failures), (1, 1, 1), "the other one was given back once");
    });
}

#[test]
fn a_refused_transaction_did_nothing_and_its_lease_is_held_on() {
    let (_broker, manager) = connected();
    block_on(async {
        let jobs: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let narrow: Queue<u32> = manager.queue("narrow").maxsize(1).create().await.unwrap();
        let sums: Kv<i64> = manager.kv("sums").create().await.unwrap();
        jobs.put(1).await.unwrap();
        let job = jobs.get().await.unwrap();
        let txn = manager.txn().then(sums.step_incr("sum", 1)).then(job.step_done()).then(narrow.step_put_many([1, 2]));
        let error = txn.execute().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Full { .. })), "{error}");
        assert_eq!((sums.get("sum").await.unwrap(), narrow.qsize().await.unwrap()), (None, 0));
        job.done().await.unwrap();
    });
}

#[test]
fn tests_and_replies_of_a_store() {
    let (_broker, manager) = connected();
    block_on(async {
        let kv: Kv<i64> = manager.kv("kv").create().await.unwrap();
        let revision = kv.put("a", 1).await.unwrap();
        let tests = [
            (kv.key("a").is_present(), true),
            (kv.key("a").is_absent(), false),
            (kv.key("a").is(1), true),
            (kv.key("a").is(2), false),
            (kv.key("a").has_revision(revision), true),
            (kv.key("a").has_revision(revision + 1), false),
            (kv.key("b").is_absent(), true),
        ];
        for (test, expected) in tests {
            let text = format!("{test:?}");
            assert_eq!(manager.txn().when(test).execute().await.unwrap().held, expected, "{text}");
        }
        let txn = manager.txn().then(kv.step_get("a")).then(kv.step_put("a", 2)).then(kv.step_setdefault("b", 7));
        let txn = txn.then(kv.step_contains("b")).then(kv.step_incr("b", 1)).then(kv.step_delete("a")).then(kv.step_get("a"));
        let reply = txn.execute().await.unwrap();
        let values: Vec<Option<i64>> = reply.replies.iter().map(|reply| reply.value().unwrap()).collect();
        assert_eq!(values, [Some(1), Some(1), Some(7), None, None, Some(2), None]);
        assert_eq!((reply[2].flag(), reply[3].flag(), reply[5].flag()), (Some(true), Some(true), Some(true)));
        assert_eq!((reply[4].number(), reply[0].number(), reply[0].ids()), (Some(8), None, &[][..]));
        assert!(matches!(reply[0].value::<String>(), Err(Error::Codec { .. })));
    });
}

#[test]
fn counters_events_and_locks_take_part() {
    let (_broker, manager) = connected();
    block_on(async {
        let counter: Counter = manager.counter("counter").create().await.unwrap();
        let event: Event = manager.event("event").create().await.unwrap();
        let lock: Lock = manager.lock("lock").create().await.unwrap();
        let guard = lock.acquire().await.unwrap();
        let fence = guard.fence();
        let txn = manager.txn().when(Test::held(&fence)).when(event.test(false)).when(counter.test(Comparison::LessOrEqual, 0));
        let txn = txn.then(counter.step_set(3)).then(counter.step_add(4)).then(event.step_set()).then(guard.step_release());
        let reply = txn.execute().await.unwrap();
        assert!(reply.held);
        assert_eq!((reply[0].number(), reply[1].number(), reply[2].flag()), (Some(0), Some(7), Some(true)));
        let next = lock.try_acquire().await.unwrap().expect("the transaction gave the lock back");
        drop(guard);
        let reply = manager.txn().when(Test::held(&next.fence())).then(event.step_clear()).then(counter.step_get()).execute();
        let reply = reply.await.unwrap();
        assert!(reply.held, "the guard whose step was executed gives back nothing more");
        assert_eq!((reply[0].flag(), reply[1].number()), (Some(true), Some(7)));
        assert!(!manager.txn().when(Test::held(&fence)).execute().await.unwrap().held);
    });
}

#[test]
fn what_cannot_be_sent_is_said_by_execute() {
    let (broker, manager) = connected();
    let other = connect(&broker);
    block_on(async {
        let raw: Kv<bursar::Raw> = manager.raw_kv("raw").create().await.unwrap();
        let large = || bursar::Raw::from(vec![0; 70 << 20]);
        let error = manager.txn().then(raw.step_put("a", bursar::Raw::from(vec![0; 129 << 20]))).execute().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::TooLarge { .. })), "{error}");
        let error = manager.txn().then(raw.step_put("a", large())).then(raw.step_put("b", large())).execute().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::TooLarge { .. })), "all together: {error}");
        let error = other.txn().then(raw.step_delete("a")).execute().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
        assert!(raw.is_empty().await.unwrap());
    });
}

#[test]
fn a_unique_item_is_put_once_or_nothing_happens() {
    let (_broker, manager) = connected();
    block_on(async {
        let jobs: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let sums: Kv<i64> = manager.kv("sums").create().await.unwrap();
        let once = PutOptions { unique_key: "once".into(), ..PutOptions::default() };
        let txn = || manager.txn().then(sums.step_incr("sum", 1)).then(jobs.step_put_with(1, &once)).execute();
        txn().await.unwrap();
        let error = txn().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Duplicate { .. })), "{error}");
        assert_eq!((sums.get("sum").await.unwrap(), jobs.qsize().await.unwrap()), (Some(1), 1));
    });
}

#[test]
fn blocking_transactions() {
    let (_broker, manager) = connected();
    let manager = blocking::Manager::from(manager);
    let jobs: blocking::Queue<u32> = manager.queue("jobs").create().unwrap();
    let sums: blocking::Kv<i64> = manager.kv("sums").create().unwrap();
    jobs.put_many(1..=10).unwrap();
    for _ in 0..10 {
        let job = jobs.get_within(Wait::Never).unwrap();
        manager.txn().then(sums.step_incr("sum", i64::from(*job))).then(job.step_done()).execute().unwrap();
    }
    assert_eq!(sums.get("sum").unwrap(), Some(55));
    jobs.join_within(Wait::Never).unwrap();
}
