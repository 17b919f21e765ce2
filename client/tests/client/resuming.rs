//! What a lost connection, a lost answer, a lost caller and a lost broker do to calls and to what is held.

use super::{connect, connected, line::Line};
use bursar::{Address, Error, Fault, Kv, Manager, Queue, State, Wait, blocking::block_on, kv};
use bursar_server::{Broker, config::Config, testing::TestBroker};
use futures_util::{FutureExt, future::join};
use std::{pin::pin, time::Duration};

/// A session on a line, and another one that watches.
async fn on_a_line(broker: &TestBroker, ttl: Option<Duration>) -> (Line, Manager, Manager) {
    let line = Line::new(broker);
    let mut builder = Manager::builder().connector(line.connector()).authkey(broker.authkey());
    if let Some(ttl) = ttl {
        builder = builder.ttl(ttl);
    }
    let manager = builder.connect().await.unwrap();
    let witness = Manager::connect(broker.address(), broker.authkey()).await.unwrap();
    (line, manager, witness)
}

#[test]
fn a_waiting_call_survives_a_cut_and_the_session_keeps_what_it_holds() {
    let broker = TestBroker::start();
    block_on(async {
        let (line, manager, witness) = on_a_line(&broker, None).await;
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let others: Queue<u32> = witness.queue("jobs").open().await.unwrap();
        others.put(1).await.unwrap();
        let held = queue.get().await.unwrap();
        let session_id = manager.session_id();
        for round in 2..5 {
            let mut waiting = pin!(queue.get());
            assert!(waiting.as_mut().now_or_never().is_none());
            let mut states = manager.watch_state();
            line.cut();
            // Suspended and Connected may follow so quickly that only the second is seen.
            while states.changed().await != State::Connected {}
            others.put(round).await.unwrap();
            let lease = waiting.await.unwrap();
            assert_eq!((*lease, lease.attempt()), (round, 1));
            lease.done().await.unwrap();
        }
        assert_eq!(manager.session_id(), session_id);
        held.done().await.unwrap();
        others.join_within(Wait::Never).await.unwrap();
    });
}

#[test]
fn a_call_whose_answer_is_lost_has_one_effect_and_gets_the_same_answer() {
    let broker = TestBroker::start();
    block_on(async {
        let (line, manager, witness) = on_a_line(&broker, None).await;
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let others: Queue<u32> = witness.queue("jobs").open().await.unwrap();
        line.mute();
        let (put, got) = join(queue.put(7), async {
            let lease = others.get().await.unwrap();
            line.cut();
            lease
        })
        .await;
        assert_eq!(put.unwrap(), got.id());
        assert_eq!(others.stats().await.unwrap().put, 1);
    });
}

/// A connection that swallows everything looks alive to the system for a long time.
#[test]
fn a_silent_connection_is_replaced_while_the_session_lives() {
    let broker = TestBroker::start();
    block_on(async {
        let (line, manager, _witness) = on_a_line(&broker, Some(Duration::from_secs(2))).await;
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        line.mute();
        queue.put(1).await.unwrap();
        assert_eq!(queue.stats().await.unwrap().put, 1);
    });
}

#[test]
fn a_session_that_cannot_resume_in_time_is_lost_and_says_what_may_have_happened() {
    let broker = TestBroker::start();
    block_on(async {
        let (line, manager, witness) = on_a_line(&broker, Some(Duration::from_millis(500))).await;
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let others: Queue<u32> = witness.queue("jobs").open().await.unwrap();
        queue.put(7).await.unwrap();
        let lease = queue.get().await.unwrap();
        line.close();
        let waiting = queue.get().await.unwrap_err();
        let Error::Lost(ended) = &waiting else { panic!("{waiting}") };
        assert!(ended.reason.contains("no connection"), "{waiting}");
        assert_eq!(manager.state(), State::Lost);
        let later = lease.done().await.unwrap_err();
        assert!(matches!(&later, Error::Lost(ended) if !ended.may_have_happened) && later.has_no_side_effects(), "{later}");
        assert!(later.to_string().contains("connect a new Manager"), "{later}");
        let again = others.get().await.unwrap();
        assert_eq!((*again, again.attempt(), again.crashes()), (7, 2, 1));
    });
}

/// The broker waits for its clients before it stops, up to its grace: here longer than any test may run.
#[test]
fn a_stopping_broker_waits_until_what_is_held_is_settled_and_no_longer() {
    let mut broker = TestBroker::start_with(|config| config.limits.shutdown_grace = Duration::from_secs(3600));
    block_on(async {
        let brief = || async {
            let builder = Manager::builder().address(broker.address())?.authkey(broker.authkey());
            builder.ttl(Duration::from_millis(500)).connect().await
        };
        let (manager, idle) = (brief().await.unwrap(), brief().await.unwrap());
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        queue.put(7).await.unwrap();
        let lease = queue.get().await.unwrap();
        let mut waiting = pin!(queue.get());
        assert!(waiting.as_mut().now_or_never().is_none());
        let stopping = std::thread::spawn(move || broker.stop());
        assert_eq!(waiting.await.unwrap_err().fault(), Some(&Fault::ShuttingDown {}));
        lease.done().await.unwrap();
        stopping.join().unwrap();
        assert_ne!((manager.state(), idle.state()), (State::Connected, State::Connected));
    });
}

#[test]
fn a_dropped_get_swallows_no_item() {
    let (broker, manager) = connected();
    let witness = connect(&broker);
    block_on(async {
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let others: Queue<u32> = witness.queue("jobs").open().await.unwrap();
        // Dropped while it waits.
        assert!(queue.get().now_or_never().is_none());
        others.put(1).await.unwrap();
        let lease = others.get().await.unwrap();
        assert_eq!((*lease, lease.attempt()), (1, 1));
        lease.done().await.unwrap();
        // Dropped when the answer is there and was not looked at: the second call's answer came behind it.
        others.put(2).await.unwrap();
        loop {
            let mut unseen = pin!(queue.get());
            match unseen.as_mut().now_or_never() {
                None => {
                    queue.stats().await.unwrap();
                    break;
                }
                // The answer was quicker than the first look at it.
                Some(lease) => lease.unwrap().release().await.unwrap(),
            }
        }
        let lease = others.get().await.unwrap();
        assert_eq!((*lease, lease.crashes(), lease.failures()), (2, 0, 0));
    });
}

#[test]
fn a_dropped_lease_goes_back_as_failed() {
    let (_broker, manager) = connected();
    block_on(async {
        let queue: Queue<u32> = manager.queue("jobs").retry_delay(Duration::from_millis(1)).create().await.unwrap();
        queue.put(1).await.unwrap();
        drop(queue.get().await.unwrap());
        let lease = queue.get().await.unwrap();
        assert_eq!((lease.attempt(), lease.failures()), (2, 1));
        lease.release().await.unwrap();
        let lease = queue.get().await.unwrap();
        assert_eq!((lease.attempt(), lease.failures()), (3, 1));
    });
}

#[test]
fn the_session_ends_with_the_last_handle() {
    let (broker, manager) = connected();
    let witness = connect(&broker);
    block_on(async {
        let kv: Kv<u32> = manager.kv("presence").create().await.unwrap();
        let mut watch = witness.kv::<u32>("presence").open().await.unwrap().watch("", kv::Since::Now).await.unwrap();
        let bound = kv::PutOptions { bind: true, ..Default::default() };
        kv.put_with("me", 1, &bound).await.unwrap();
        assert!(matches!(watch.next().await.unwrap(), kv::WatchEvent::Put { .. }));
        drop(manager);
        kv.put("still", 1).await.expect("a handle keeps the session");
        assert!(matches!(watch.next().await.unwrap(), kv::WatchEvent::Put { .. }));
        drop(kv);
        let gone = watch.next().await.unwrap();
        assert!(matches!(&gone, kv::WatchEvent::Delete { key, cause, .. } if key == "me" && cause == "session"), "{gone:?}");
    });
}

#[test]
fn a_closed_session_gives_back_what_it_held_before_close_returns() {
    let (broker, manager) = connected();
    let witness = connect(&broker);
    block_on(async {
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        queue.put(1).await.unwrap();
        let lease = queue.get().await.unwrap();
        let mut waiting = pin!(queue.join());
        assert!(waiting.as_mut().now_or_never().is_none());
        manager.clone().close().await;
        assert_eq!(manager.state(), State::Lost);
        assert!(matches!(waiting.await.unwrap_err(), Error::Lost(_)));
        assert!(lease.done().await.unwrap_err().to_string().contains("this program closed it"));
        let others: Queue<u32> = witness.queue("jobs").open().await.unwrap();
        assert_eq!(*others.try_get().await.unwrap(), 1);
    });
}

/// As after a restart of the broker: the same key, and nothing is known of the session.
#[test]
fn a_forgotten_session_is_lost_at_the_first_attempt_to_resume() {
    let broker = TestBroker::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let listen = vec![Address::Unix(directory.path().join("bursar.sock"))];
    let config = Config { listen, ..Config::default() };
    let restarted = runtime.block_on(Broker::start_with_keys(config, vec![broker.authkey()])).unwrap();
    block_on(async {
        let (line, manager, _witness) = on_a_line(&broker, None).await;
        let queue: Queue<u32> = manager.queue("jobs").create().await.unwrap();
        let mut waiting = pin!(queue.get());
        assert!(waiting.as_mut().now_or_never().is_none());
        line.cut_over_to(restarted.connector());
        let error = waiting.await.unwrap_err();
        assert!(matches!(&error, Error::Lost(ended) if ended.reason.contains("the broker was restarted")), "{error}");
    });
}
