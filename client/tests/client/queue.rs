//! The queue's calls, as far as the SDK adds something to the broker's verbs.

use super::{connect, connected};
use bursar::{Error, Fault, Json, Queue, Raw, Wait, blocking::block_on, queue};
use futures_util::future::{join, join_all, try_join};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

#[test]
fn large_items_travel_in_parts_and_too_large_ones_not_at_all() {
    let (_broker, manager) = connected();
    block_on(async {
        let queue: Queue<Raw> = manager.raw_queue("large").create().await.unwrap();
        let sizes = [0, 1, (256 << 10) - 30, 256 << 10, (256 << 10) + 1, 5 << 20, 16 << 20];
        let items: Vec<Raw> = sizes.iter().map(|size| Raw::from(vec![*size as u8 ^ 0x5a; *size])).collect();
        let (ids, leases) = join(queue.put_many(&items), async {
            let mut leases = Vec::new();
            for _ in &items {
                leases.push(queue.get().await.unwrap());
            }
            leases
        })
        .await;
        let (put, got): (Vec<_>, Vec<_>) = leases.iter().map(|lease| (lease.id(), (**lease).clone())).unzip();
        assert_eq!(put, ids.unwrap());
        assert!(got == items);
        let error = queue.put(Raw::from(vec![0; (128 << 20) + 1])).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::TooLarge { limit: 134217728, .. })), "{error}");
    });
}

#[test]
fn put_many_keeps_the_order_through_a_narrow_queue() {
    let (_broker, manager) = connected();
    block_on(async {
        let queue: Queue<u32> = manager.queue("narrow").maxsize(3).create().await.unwrap();
        let taken = RefCell::new(Vec::new());
        let (ids, ()) = try_join(queue.put_many(0..500), async {
            while taken.borrow().len() < 500 {
                for lease in queue.get_many(100, Wait::Forever).await? {
                    taken.borrow_mut().push(*lease);
                    lease.done().await?;
                }
            }
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(ids.len(), 500);
        assert_eq!(taken.into_inner(), (0..500).collect::<Vec<_>>());
        queue.put_many(0..3).await.unwrap();
        assert!(matches!(queue.put_within(9, Wait::Never).await.unwrap_err().fault(), Some(Fault::Full { maxsize: 3, .. })));
    });
}

#[test]
fn thousands_of_calls_at_once_are_all_answered() {
    let (_broker, manager) = connected();
    block_on(async {
        let queue: Queue<usize> = manager.queue("many").create().await.unwrap();
        let puts = join_all((0..5000).map(|number| queue.put(number)));
        let gets = join_all((0..5000).map(|_| queue.take()));
        let (ids, items) = join(puts, gets).await;
        let ids: BTreeSet<u64> = ids.into_iter().map(Result::unwrap).collect();
        let items: BTreeSet<usize> = items.into_iter().map(Result::unwrap).collect();
        assert_eq!((ids.len(), items), (5000, (0..5000).collect()));
        queue.join_within(Wait::Never).await.unwrap();
    });
}

#[test]
fn done_many_settles_thousands_and_refuses_leases_of_others() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let other: Queue<u32> = manager.queue("other").create().await.unwrap();
        let from_elsewhere: Queue<u32> = elsewhere.queue("jobs").open().await.unwrap();
        queue.put_many(0..10_003).await.unwrap();
        let mut leases = Vec::new();
        while leases.len() < 10_003 {
            leases.extend(queue.get_many(10_003, Wait::Never).await.unwrap());
        }
        let another_handle: Queue<u32> = manager.queue("jobs").open().await.unwrap();
        another_handle.done_many(leases).await.unwrap();
        queue.done_many(Vec::<bursar::Lease<u32>>::new()).await.unwrap();
        let stats = queue.stats().await.unwrap();
        assert_eq!((stats.done, stats.unfinished, stats.failures), (10_003, 0, 0));

        for stranger in [&other, &from_elsewhere] {
            queue.put(1).await.unwrap();
            let lease = queue.get().await.unwrap();
            let error = stranger.done_many([lease]).await.unwrap_err();
            assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
        }
        let stats = queue.stats().await.unwrap();
        assert_eq!((stats.done, stats.failures), (10_003, 2), "what was refused went back as failed");
    });
}

#[test]
fn work_retries_what_fails_and_what_panics_and_puts_strangers_aside() {
    let (_broker, manager) = connected();
    block_on(async {
        let wanted = || manager.queue("jobs").retry_delay(Duration::from_millis(1)).max_failures(2);
        let queue: Queue<String> = wanted().create().await.unwrap();
        let raw: Queue<Raw> = manager.raw_queue("jobs").open().await.unwrap();
        queue.put_many(["good", "bad once", "panics once", "hopeless"].map(String::from)).await.unwrap();
        raw.put(Raw { data: "\u{1}".into(), codec: Raw::PICKLE }).await.unwrap();
        queue.close().await.unwrap();
        let seen = RefCell::new(Vec::new());
        queue
            .work(3, async |job: String| {
                let times = seen.borrow().iter().filter(|earlier| **earlier == job).count();
                seen.borrow_mut().push(job.clone());
                match (job.as_str(), times) {
                    ("bad once", 0) => Err("not yet"),
                    ("panics once", 0) => std::panic::resume_unwind(Box::new("oh")),
                    ("hopeless", _) => Err("never"),
                    _ => Ok(()),
                }
            })
            .await
            .unwrap();
        queue.join_within(Wait::Never).await.unwrap();
        let parked = raw.parked().await.unwrap();
        let why = |at: usize| parked[at].history.iter().map(|event| event.why.as_str()).collect::<Vec<_>>();
        assert_eq!(parked.len(), 2);
        assert!(why(0).contains(&"never"), "{:?}", why(0));
        assert!(why(1).iter().any(|why| why.contains("codec 3 (pickle)")), "{:?}", why(1));
        assert_eq!(queue.stats().await.unwrap().done, 3);
    });
}

#[test]
fn blocking_work_uses_its_threads() {
    let (_broker, manager) = connected();
    let queue: bursar::blocking::Queue<usize> = bursar::blocking::Manager::from(manager).queue("jobs").create().unwrap();
    queue.put_many(0..100).unwrap();
    queue.close().unwrap();
    let sum = AtomicUsize::new(0);
    queue
        .work(4, |number| {
            sum.fetch_add(number, Ordering::Relaxed);
            Ok::<(), String>(())
        })
        .unwrap();
    assert_eq!(sum.into_inner(), 4950);
}

/// Only has to compile: what runs on a runtime of many threads must be `Send`.
#[test]
fn futures_can_be_spawned() {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        drop(future);
    }
    let (_broker, manager) = connected();
    let queue: Queue<u32> = block_on(manager.queue("jobs").create()).unwrap();
    let other = queue.clone();
    spawn(async move {
        queue.put_many(vec![1, 2]).await.unwrap();
        let lease = queue.get().await.unwrap();
        other.put(&*lease).await.unwrap();
        lease.done().await.unwrap();
        queue.work(2, async |number| other.put(number).await.map(drop)).await.unwrap();
    });
}

#[test]
fn python_style_consumers_settle_the_oldest() {
    let (_broker, manager) = connected();
    block_on(async {
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        queue.put_many([1, 2]).await.unwrap();
        assert_eq!(queue.get().await.unwrap().into_inner(), 1);
        assert_eq!(queue.unfinished().await.unwrap(), 2);
        queue.task_done().await.unwrap();
        assert_eq!(queue.unfinished().await.unwrap(), 1);
        let error = queue.task_done().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::TooManyDone { .. })), "{error}");
        assert!(error.to_string().contains("queue.done") && error.to_string().contains("\"jobs\""), "{error}");
    });
}

#[test]
fn a_handle_of_a_deleted_queue_says_so() {
    let (broker, manager) = connected();
    let other = connect(&broker);
    block_on(async {
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        other.objects().delete("jobs").await.unwrap();
        let newer: Queue<u32> = other.queue("jobs").create().await.unwrap();
        let error = queue.put(1).await.unwrap_err();
        let (old_epoch, new_epoch) = (queue.epoch(), newer.epoch());
        assert_eq!(error.fault(), Some(&Fault::Gone { name: "jobs".into(), old_epoch, new_epoch }));
        let error = manager.kv::<u32>("jobs").open().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Mismatch { .. })), "{error}");
        let error = manager.queue::<u32>("two words").open().await.unwrap_err();
        assert!(error.to_string().contains("A-Z a-z 0-9"), "{error}");
    });
}

#[test]
fn codecs_meet_and_strangers_go_back() {
    let (_broker, manager) = connected();
    block_on(async {
        let written: Queue<Json<Vec<u32>>> = manager.queue("jobs").retry_delay(Duration::from_millis(1)).create().await.unwrap();
        written.put(Json(vec![1, 2])).await.unwrap();
        let read: Queue<Vec<u32>> = manager.queue("jobs").open().await.unwrap();
        assert_eq!(read.take().await.unwrap(), [1, 2]);
        let stranger: Queue<String> = manager.queue("jobs").open().await.unwrap();
        stranger.put("text".to_owned()).await.unwrap();
        let error = read.get().await.unwrap_err();
        assert!(matches!(error, Error::Codec { .. }), "{error}");
        let lease = stranger.get().await.unwrap();
        assert_eq!((lease.as_str(), lease.failures()), ("text", 1));
    });
}

#[test]
fn replaced_and_merged_items() {
    let (_broker, manager) = connected();
    block_on(async {
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let keyed = |on_duplicate| queue::PutOptions { unique_key: "k".into(), on_duplicate, ..Default::default() };
        let first = queue.put_with(1, &keyed(queue::OnDuplicate::Reject), Wait::Never).await.unwrap();
        queue.put_with(2, &keyed(queue::OnDuplicate::Replace), Wait::Never).await.unwrap();
        assert_eq!(queue.put_with(3, &keyed(queue::OnDuplicate::Merge), Wait::Never).await.unwrap(), first);
        let seen = queue.peek(10).await.unwrap();
        assert_eq!(seen.iter().map(|seen| (seen.item, &*seen.unique_key)).collect::<Vec<_>>(), [(2, &b"k"[..])]);
    });
}
