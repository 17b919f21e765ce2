//! Who waits for what, and who holds what.

use super::{connect, connected};
use bursar::{Fault, Lock, Queue, Wait, blocking::block_on};
use futures_util::future::{Either, select};
use std::{pin::pin, time::Duration};

#[test]
fn holders_and_those_who_wait_are_named() {
    let (broker, manager) = connected();
    let other = connect(&broker);
    block_on(async {
        let lock: Lock = manager.lock("lock").create().await.unwrap();
        let guard = lock.acquire().await.unwrap();
        let queue: Queue<u32> = other.queue("jobs").create().await.unwrap();
        // The calls of one session are taken in their order: what waits is seen by whatever is asked behind it.
        let waiting = pin!(queue.get_within(Wait::For(Duration::from_secs(3600))));
        let looking = pin!(async { (other.objects().waits_of("jobs").await, other.objects().waits().await) });
        let Either::Right(((of_jobs, of_all), _)) = select(waiting, looking).await else { panic!("nothing was put") };
        let (of_jobs, of_all) = (of_jobs.unwrap(), of_all.unwrap());
        assert_eq!(of_jobs.waits.len(), 1);
        let waiting = &of_jobs.waits[0];
        assert_eq!((waiting.who.session, waiting.object.as_str(), waiting.kind.as_str()), (other.session_id(), "jobs", "queue"));
        assert!(waiting.deadline.is_some_and(|deadline| deadline > waiting.since));
        assert_eq!(waiting.who.pid, std::process::id());
        assert_eq!(of_all.waits, of_jobs.waits);
        assert!(of_all.holdings.is_empty() && of_all.cycles.is_empty() && !of_all.more, "nobody waits for the lock");

        let of_lock = manager.objects().waits_of("lock").await.unwrap();
        let holding = &of_lock.holdings[0];
        assert_eq!((holding.who.session, holding.token), (manager.session_id(), Some(guard.token())));
        let error = manager.objects().waits_of("none").await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::NoSuchObject { name: "none".into() }));
    });
}
