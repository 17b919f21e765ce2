//! What is held by one or few at a time: guards, and what becomes of them when they are dropped, or their session is lost.

use super::{connect, connected, line::Line};
use bursar::{
    Condition, Error, Fault, Kv, Lock, Manager, Permits, Result, RwLock, Semaphore, Wait, blocking, blocking::block_on,
};
use bursar_server::testing::TestBroker;
use futures_util::{
    FutureExt,
    future::{join, try_join},
};
use std::{pin::pin, sync::mpsc, time::Duration};

/// Everything that this session has said so far has arrived.
async fn arrived(manager: &Manager) {
    manager.objects().list("").await.unwrap();
}

/// A session that can be lost.
async fn on_a_line(broker: &TestBroker) -> (Line, Manager) {
    let line = Line::new(broker);
    let builder = Manager::builder().connector(line.connector()).authkey(broker.authkey()).ttl(Duration::from_millis(500));
    let manager = builder.connect().await.unwrap();
    (line, manager)
}

#[test]
fn a_lock_is_held_by_one_and_tells_others_by_whom() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let lock = manager.lock("lock").create().await.unwrap();
        let others = elsewhere.lock("lock").open().await.unwrap();
        let guard = lock.acquire().await.unwrap();
        assert!(others.try_acquire().await.unwrap().is_none());
        let error = others.acquire_within(Wait::Never).await.unwrap_err();
        let holder = manager.session_id();
        assert!(matches!(error.fault(), Some(Fault::Held { session, others: 0, .. }) if *session == holder), "{error}");
        assert!(!guard.is_lost());
        let token = guard.token();
        assert_eq!(guard.fence().to_string(), format!("lock:{token}"));
        let mut waiting = pin!(others.acquire());
        assert!(waiting.as_mut().now_or_never().is_none());
        guard.release().await.unwrap();
        let guard = waiting.await.unwrap();
        assert!(guard.token() > token);
        elsewhere.objects().delete("lock").await.unwrap();
        let error = lock.acquire().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Gone { .. })), "{error}");
        let lock = manager.lock("lock").create().await.unwrap();
        assert!(lock.acquire().await.unwrap().token() > guard.token(), "tokens grow across deletion");
    });
}

#[test]
fn a_handle_is_one_owner_and_its_clone_another() {
    let (_broker, manager) = connected();
    block_on(async {
        let lock = manager.lock("lock").create().await.unwrap();
        let guard = lock.acquire().await.unwrap();
        let error = lock.acquire().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::WouldDeadlock { .. })), "{error}");
        let clone = lock.clone();
        let mut waiting = pin!(clone.acquire());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(guard);
        waiting.await.unwrap().release().await.unwrap();
    });
}

#[test]
fn levels_of_a_reentrant_lock_go_back_one_by_one() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let lock = manager.lock("lock").reentrant().create().await.unwrap();
        let others = elsewhere.lock("lock").open().await.unwrap();
        let mut guards = Vec::new();
        for depth in 1..=4 {
            let guard = lock.acquire().await.unwrap();
            assert_eq!(guard.depth(), depth);
            guards.push(guard);
        }
        let mut next = || guards.pop().unwrap();
        assert!(lock.clone().try_acquire().await.unwrap().is_none(), "a clone is another owner");
        // Each way of giving back is one level, the last one in spite of the dropped future.
        next().release().await.unwrap();
        drop(next());
        drop(next().release().now_or_never());
        arrived(&manager).await;
        assert!(others.try_acquire().await.unwrap().is_none());
        drop(next().release());
        arrived(&manager).await;
        assert!(others.try_acquire().await.unwrap().is_some(), "not polled at all, it is dropped like any guard");
    });
}

#[test]
fn a_dropped_acquire_holds_nothing() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let lock = manager.lock("lock").create().await.unwrap();
        let others = elsewhere.lock("lock").open().await.unwrap();
        let guard = others.acquire().await.unwrap();
        assert!(lock.acquire().now_or_never().is_none());
        guard.release().await.unwrap();
        // Whether it was granted before it was taken back or not: the next one gets it.
        others.acquire().await.unwrap().release().await.unwrap();
    });
}

#[test]
fn a_lost_session_loses_its_lock_to_the_next_in_line() {
    let broker = TestBroker::start();
    block_on(async {
        let (line, manager) = on_a_line(&broker).await;
        let witness = Manager::connect(broker.address(), broker.authkey()).await.unwrap();
        let lock = manager.lock("lock").create().await.unwrap();
        let others = witness.lock("lock").open().await.unwrap();
        let guard = lock.acquire().await.unwrap();
        line.close();
        let ((), next) = join(guard.lost(), others.acquire()).await;
        assert!(guard.is_lost());
        assert!(next.unwrap().token() > guard.token());
        let error = guard.release().await.unwrap_err();
        assert!(matches!(error, Error::Lost(_)), "{error}");
    });
}

#[test]
fn a_callback_tells_of_the_loss_unless_its_guard_was_dropped_first() {
    let broker = TestBroker::start();
    let (line, manager) = block_on(on_a_line(&broker));
    let manager = blocking::Manager::from(manager);
    let (kept, dropped) = (manager.lock("kept").create().unwrap(), manager.rwlock("dropped").create().unwrap());
    let (tell, told) = mpsc::channel();
    let callback = |name: &'static str| {
        let tell = tell.clone();
        move || tell.send(name).unwrap()
    };
    let kept = kept.acquire().unwrap();
    kept.on_lost(callback("kept")).unwrap();
    kept.on_lost(callback("kept")).unwrap();
    let written = dropped.write().unwrap();
    written.on_lost(callback("dropped")).unwrap();
    drop(written.downgrade().unwrap());
    let released = dropped.read().unwrap();
    released.on_lost(callback("released")).unwrap();
    released.release().unwrap();
    line.close();
    manager.lost();
    assert!(kept.is_lost());
    kept.on_lost(callback("kept")).unwrap();
    // Ends when every callback has run or is gone.
    drop(tell);
    assert_eq!(told.iter().collect::<Vec<_>>(), ["kept"; 3]);
}

#[test]
fn readers_share_and_do_not_overtake_a_writer() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let lock: RwLock = manager.rwlock("lock").create().await.unwrap();
        let others = elsewhere.rwlock("lock").open().await.unwrap();
        let (one, two) = (lock.read().await.unwrap(), others.read().await.unwrap());
        let again = lock.read().await.unwrap();
        assert_ne!(again.token(), one.token());
        let error = lock.write().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::WouldDeadlock { .. })), "{error}");
        let writer = lock.clone();
        let mut writing = pin!(writer.write());
        assert!(writing.as_mut().now_or_never().is_none());
        arrived(&manager).await;
        let later = elsewhere.rwlock("lock").open().await.unwrap();
        assert!(later.try_read().await.unwrap().is_none(), "behind the writer");
        drop((one, two, again));
        let writing = writing.await.unwrap();
        assert_eq!(writing.fence().token(), writing.token());
        assert!(later.try_read().await.unwrap().is_none() && later.try_write().await.unwrap().is_none());
        let token = writing.token();
        let reading = writing.downgrade().await.unwrap();
        assert_eq!(reading.token(), token);
        let also = later.read().await.unwrap();
        reading.release().await.unwrap();
        also.release().await.unwrap();
        later.write_within(Wait::Never).await.unwrap().release().await.unwrap();
    });
}

#[test]
fn permits_are_held_together_and_many_are_not_overtaken_by_few() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let semaphore: Semaphore = manager.semaphore("semaphore").permits(3).bounded().create().await.unwrap();
        let others = elsewhere.semaphore("semaphore").open().await.unwrap();
        let two: Permits = semaphore.acquire_many(2).await.unwrap();
        assert_eq!(two.count(), 2);
        let mut many = pin!(semaphore.acquire_many(3));
        assert!(many.as_mut().now_or_never().is_none());
        arrived(&manager).await;
        assert!(others.try_acquire().await.unwrap().is_none(), "behind the one who wants many");
        drop(two);
        let many = many.await.unwrap();
        let error = others.acquire_within(Wait::Never).await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::NoPermits { asked: 1, available: 0 }));
        many.release().await.unwrap();
        let error = others.acquire_many(4).await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::TooManyPermits { asked: 4, limit: 3 }));
        assert!(others.add(1).await.is_err() && others.consume().await.is_err(), "it is bounded");
        for error in [others.acquire_many(0).await.unwrap_err(), others.add(0).await.unwrap_err()] {
            assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
        }
    });
}

#[test]
fn a_signal_is_received_once_whoever_waits() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let signals = manager.semaphore("signals").permits(0).create().await.unwrap();
        let others = elsewhere.semaphore("signals").open().await.unwrap();
        let mut waiting = pin!(signals.consume());
        assert!(waiting.as_mut().now_or_never().is_none());
        others.add(2).await.unwrap();
        waiting.await.unwrap();
        assert!(others.try_consume().await.unwrap());
        assert!(!others.try_consume().await.unwrap());
        let error = others.consume_within(Wait::Never).await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::NoPermits { asked: 1, available: 0 }));
    });
}

/// Several that hold the condition's lock one after the other, and wait.
async fn waiting_at(condition: &Condition) -> Result<u64> {
    let condition = condition.clone();
    let guard = condition.acquire().await?;
    let before = guard.token();
    let guard = condition.wait(guard).await?;
    assert!(guard.token() > before, "it is another grant");
    let token = guard.token();
    guard.release().await.map(|()| token)
}

#[test]
fn those_who_wait_are_notified_in_their_order() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let condition = manager.condition("condition").create().await.unwrap();
        let others = elsewhere.condition("condition").open().await.unwrap();
        let notify = async {
            let mut notified = Vec::new();
            // Each count is one more guard: until all three wait there may be fewer of them.
            while notified.iter().sum::<u64>() < 3 {
                let guard = others.acquire().await?;
                notified.push(guard.notify(2).await?);
                guard.release().await?;
            }
            Ok(notified)
        };
        let waiting = try_join(waiting_at(&condition), try_join(waiting_at(&condition), waiting_at(&condition)));
        let ((first, (second, third)), notified) = try_join(waiting, notify).await.unwrap();
        assert!(first < second && second < third, "{first} {second} {third}");
        assert!(notified.iter().all(|count| *count <= 2), "{notified:?}");
        let guard = others.acquire().await.unwrap();
        assert_eq!(guard.notify_all().await.unwrap(), 0);
        assert!(matches!(guard.notify(0).await.unwrap_err().fault(), Some(Fault::BadArgument { .. })));
    });
}

#[test]
fn a_wait_that_is_over_or_dropped_leaves_the_lock_as_it_promises() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let condition = manager.condition("condition").create().await.unwrap();
        let others = elsewhere.condition("condition").open().await.unwrap();
        let guard = condition.acquire().await.unwrap();
        let (guard, notified) = condition.wait_within(guard, Duration::from_millis(1)).await.unwrap();
        assert!(!notified && others.try_acquire().await.unwrap().is_none(), "it is held again");
        let (guard, holds) = condition.wait_for_within(guard, Duration::from_millis(1), async || Ok(false)).await.unwrap();
        assert!(!holds && others.try_acquire().await.unwrap().is_none());
        // Dropped before it was polled, and after.
        drop(condition.wait(guard));
        others.acquire().await.unwrap().release().await.unwrap();
        let guard = condition.acquire().await.unwrap();
        assert!(condition.wait(guard).now_or_never().is_none());
        let guard = others.acquire().await.unwrap();
        arrived(&manager).await;
        assert_eq!(guard.notify_all().await.unwrap(), 0, "nobody waits any more");

        let error = condition.wait(guard).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
        condition.acquire().await.expect("the stranger gave its lock back").release().await.unwrap();
    });
}

#[test]
fn threads_meet_at_a_condition() {
    let (_broker, manager) = connected();
    let manager = blocking::Manager::from(manager);
    let condition = manager.condition("condition").create().unwrap();
    let counter = manager.counter("counter").create().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let condition = condition.clone();
                let guard = condition.acquire().unwrap();
                counter.add(1).unwrap();
                guard.notify_all().unwrap();
            });
        }
        let guard = condition.acquire().unwrap();
        condition.wait_for(guard, || Ok(counter.get()? == 3)).unwrap().release().unwrap();
    });
    assert_eq!(counter.get().unwrap(), 3);
}

/// Only has to compile: what runs on a runtime of many threads must be `Send`.
#[test]
fn futures_can_be_spawned() {
    fn spawn(future: impl Future<Output = Result<()>> + Send + 'static) {
        drop(future);
    }
    let (_broker, manager) = connected();
    spawn(async move {
        let lock: Lock = manager.lock("lock").create().await?;
        let kv: Kv<u32> = manager.kv("kv").create().await?;
        let condition = manager.condition("condition").create().await?;
        let guard = lock.acquire().await?;
        let condition_guard = condition.wait_for(condition.acquire().await?, async || kv.is_empty().await).await?;
        condition_guard.notify_all().await?;
        guard.lost().await;
        guard.release().await
    });
}
