//! What is done under a fence, and what is not done any more when the lock went on.

use super::connected;
use bursar::{Fault, Fence, Kv, Lock, Queue, Result, Wait, blocking::block_on};
use std::time::Duration;

fn assert_stale<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome.as_ref().unwrap_err().fault(), Some(Fault::StaleToken { .. })), "{outcome:?}");
}

#[test]
fn every_change_of_a_store_is_fenced_and_no_reading() {
    let (_broker, manager) = connected();
    block_on(async {
        let lock: Lock = manager.lock("lock").create().await.unwrap();
        let kv: Kv<i64> = manager.kv("kv").create().await.unwrap();
        let guard = lock.acquire().await.unwrap();
        let fenced = kv.fenced(&guard.fence());
        fenced.put("a", 1).await.unwrap();
        fenced.incr("a", 1).await.unwrap();
        guard.release().await.unwrap();
        let next = lock.acquire().await.unwrap();

        assert_stale(fenced.put("a", 7).await);
        assert_stale(fenced.put_new("b", 7).await);
        assert_stale(fenced.setdefault("b", 7).await);
        assert_stale(fenced.incr("a", 7).await);
        assert_stale(fenced.update("a", |_| Some(7)).await);
        assert_stale(fenced.update("a", |_| None).await);
        assert_stale(fenced.delete("a").await);
        assert_stale(fenced.pop("a").await);
        assert_stale(fenced.clear().await);
        assert_stale(fenced.expire("a", Duration::from_secs(1)).await);
        assert_stale(fenced.persist("a").await);
        assert_stale(fenced.value("a").set(7).await);
        assert_stale(manager.txn().then(fenced.step_put("a", 7)).execute().await);

        assert_eq!(fenced.items().await.unwrap(), [("a".to_owned(), 2)]);
        assert!(kv.put("a", 3).await.is_ok(), "the handle itself is as it was");
        assert!(fenced.fenced(&next.fence()).delete("a").await.unwrap(), "the newer fence counts");
    });
}

/// A stale token must not keep an item from the others: giving back needs no fence.
#[test]
fn leases_under_a_stale_fence_go_back() {
    let (_broker, manager) = connected();
    block_on(async {
        let lock: Lock = manager.lock("lock").create().await.unwrap();
        let builder = || manager.queue("jobs").retry_delay(Duration::from_millis(1));
        let queue: Queue<u32> = builder().create().await.unwrap();
        let guard = lock.acquire().await.unwrap();
        let fenced = queue.fenced(&guard.fence());
        fenced.put_many(0..5).await.unwrap();
        let mut leases = fenced.get_many(5, Wait::Never).await.unwrap();
        leases.pop().unwrap().done().await.unwrap();
        guard.release().await.unwrap();

        assert_stale(fenced.put(9).await);
        assert_stale(fenced.put_many([9]).await);
        assert_stale(fenced.task_done().await);
        assert_stale(leases.pop().unwrap().done().await);
        assert_stale(leases.pop().unwrap().retry().await);
        assert_stale(leases.pop().unwrap().park("no").await);
        drop(leases);
        for _ in 0..4 {
            let lease = queue.get().await.unwrap();
            assert_eq!(lease.failures(), 1);
            lease.done().await.unwrap();
        }
        queue.join_within(Wait::Never).await.unwrap();
    });
}

#[test]
fn done_many_does_not_step_around_a_fence() {
    let (_broker, manager) = connected();
    block_on(async {
        let lock: Lock = manager.lock("lock").create().await.unwrap();
        let guard = lock.acquire().await.unwrap();
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let fenced = queue.fenced(&guard.fence());
        queue.put_many(0..3).await.unwrap();
        fenced.done_many([queue.get().await.unwrap(), fenced.get().await.unwrap()]).await.unwrap();
        let error = queue.done_many([fenced.get().await.unwrap()]).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
    });
}

#[test]
fn a_fence_may_come_as_text_from_another_process() {
    let (_broker, manager) = connected();
    block_on(async {
        let lock: Lock = manager.lock("lock").create().await.unwrap();
        let guard = lock.acquire().await.unwrap();
        let kv: Kv<u32> = manager.kv("kv").create().await.unwrap();
        let fence: Fence = guard.fence().to_string().parse().unwrap();
        kv.fenced(&fence).put("a", 1).await.unwrap();
        assert_stale(kv.fenced(&Fence::new("lock", guard.token() + 1)).put("a", 2).await);
        guard.release().await.unwrap();
    });
}
