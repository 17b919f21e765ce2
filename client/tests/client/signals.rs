//! What is waited for, and the counter: as far as the SDK adds something to the broker's verbs.

use super::{connect, connected};
use bursar::{Fault, Wait, blocking, blocking::block_on, counter::Swap};
use futures_util::{
    FutureExt,
    future::{join, join_all, try_join},
};
use std::{pin::pin, time::Duration};

#[test]
fn no_set_of_an_event_is_missed_by_who_knows_the_version() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let event = manager.event("event").create().await.unwrap();
        let others = elsewhere.event("event").open().await.unwrap();
        let mut waiting = pin!(others.wait());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(!others.wait_within(Wait::Never).await.unwrap());
        assert!(!others.wait_within(Duration::from_millis(1)).await.unwrap());
        assert!(event.set().await.unwrap() && !event.set().await.unwrap());
        assert_eq!(waiting.await.unwrap(), 1);
        assert!(others.is_set().await.unwrap() && others.wait_within(Wait::Never).await.unwrap());
        let known = others.version().await.unwrap();
        assert_eq!(others.wait_after_within(known, Wait::Never).await.unwrap(), None);
        assert!(event.clear().await.unwrap() && !event.clear().await.unwrap());
        assert_eq!(others.wait_after_within(known, Wait::Never).await.unwrap(), None);
        event.set().await.unwrap();
        event.clear().await.unwrap();
        assert_eq!(others.wait_after(known).await.unwrap(), known + 1);
        let error = others.wait_after(known + 2).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
    });
}

#[test]
fn a_latch_opens_once() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        assert!(manager.latch("latch").create().await.is_err(), "its count has to be said");
        let latch = manager.latch("latch").count(3).create().await.unwrap();
        let others = elsewhere.latch("latch").open().await.unwrap();
        let mut waiting = pin!(others.wait());
        assert!(waiting.as_mut().now_or_never().is_none());
        for wrong in [0, 4] {
            let error = latch.count_down_by(wrong).await.unwrap_err();
            assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
        }
        assert_eq!(latch.count_down_by(2).await.unwrap(), 1);
        assert!(!others.wait_within(Wait::Never).await.unwrap());
        assert_eq!(latch.count_down().await.unwrap(), 0);
        waiting.await.unwrap();
        assert!(others.wait_within(Wait::Never).await.unwrap());
        assert_eq!((latch.count_down().await.unwrap(), latch.count().await.unwrap()), (0, 0), "open for ever");
    });
}

#[test]
fn the_parties_of_a_barrier_pass_together_again_and_again() {
    let (_broker, manager) = connected();
    block_on(async {
        let barrier = manager.barrier("barrier").parties(5).create().await.unwrap();
        let mut generations = Vec::new();
        for _ in 0..3 {
            let parties = join_all((0..5).map(|_| barrier.wait())).await;
            let parties: Vec<_> = parties.into_iter().map(Result::unwrap).collect();
            assert!(parties.iter().map(|party| party.index).eq(0..5));
            assert_eq!(parties.iter().filter(|party| party.is_leader()).count(), 1);
            assert!(parties.iter().all(|party| party.generation == parties[0].generation));
            generations.push(parties[0].generation);
        }
        assert!(generations.is_sorted_by(|one, next| one < next), "{generations:?}");
    });
}

#[test]
fn a_party_that_gives_up_breaks_the_barrier_until_it_is_reset() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let barrier = manager.barrier("barrier").parties(3).create().await.unwrap();
        let others = elsewhere.barrier("barrier").open().await.unwrap();
        let mut waiting = pin!(others.wait());
        assert!(waiting.as_mut().now_or_never().is_none());
        let mut giving_up = Box::pin(barrier.wait());
        assert!(giving_up.as_mut().now_or_never().is_none());
        manager.status().await.expect("by now the party has arrived");
        drop(giving_up);
        let error = waiting.await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BarrierBroken { .. })), "{error}");
        let state = barrier.state().await.unwrap();
        assert_eq!((state.parties, state.waiting, state.is_broken), (3, 0, true));
        barrier.reset().await.unwrap();
        assert!(!barrier.state().await.unwrap().is_broken);

        let (waiting, too_short) = (others.wait(), barrier.wait_within(Duration::from_millis(1)));
        let (waited, too_short) = join(waiting, too_short).await;
        assert!(waited.is_err() && too_short.is_err());
        barrier.reset().await.unwrap();
        let mut waiting = pin!(others.wait());
        assert!(waiting.as_mut().now_or_never().is_none());
        elsewhere.status().await.expect("by now the party has arrived");
        barrier.abort().await.unwrap();
        assert!(matches!(waiting.await.unwrap_err().fault(), Some(Fault::BarrierBroken { .. })));
    });
}

#[test]
fn a_counter_is_changed_by_one_step_at_a_time() {
    let (broker, manager) = connected();
    let elsewhere = connect(&broker);
    block_on(async {
        let counter = manager.counter("counter").create().await.unwrap();
        let others = elsewhere.counter("counter").open().await.unwrap();
        let (sums, _) = try_join(
            async { join_all((0..100).map(|_| counter.add(1))).await.into_iter().collect::<bursar::Result<Vec<_>>>() },
            async { join_all((0..100).map(|_| others.add(-1))).await.into_iter().collect::<bursar::Result<Vec<_>>>() },
        )
        .await
        .unwrap();
        assert_eq!((sums.len(), counter.get().await.unwrap()), (100, 0));
        assert_eq!(counter.set(i64::MAX).await.unwrap(), 0);
        let error = others.add(1).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::CounterOverflow { .. })), "{error}");
        assert_eq!(others.compare_and_set(i64::MAX, i64::MIN).await.unwrap(), Swap::Swapped);
        assert_eq!(others.compare_and_set(i64::MAX, 0).await.unwrap(), Swap::Kept { value: i64::MIN });
        let error = manager.counter("counter").initial(7).open_or_create().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Mismatch { .. })), "{error}");
    });
}

#[test]
fn threads_wait_for_signals() {
    let (_broker, manager) = connected();
    let manager = blocking::Manager::from(manager);
    let (event, latch) = (manager.event("event").create().unwrap(), manager.latch("latch").count(3).create().unwrap());
    let barrier = manager.barrier("barrier").parties(3).create().unwrap();
    std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| {
            scope.spawn(|| {
                event.wait().unwrap();
                let party = barrier.wait().unwrap();
                latch.count_down().unwrap();
                party.index
            })
        });
        event.set().unwrap();
        latch.wait().unwrap();
        let mut indexes = threads.map(|thread| thread.join().unwrap());
        indexes.sort();
        assert_eq!(indexes, [0, 1, 2]);
    });
}
