//! R04, R05 and R07 for what is held: holders killed, stopped and gone, parties that die at a barrier; many locks, long lines.

use super::{
    measure::{cpu, ms, percentile, spread},
    party::{HOLDING, Party},
};
use crate::harness::{Broker, PATIENCE, eventually, figure};
use bursar::{Fault, Wait, blocking::Manager};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// The longest there is: what comes back before it does so for another reason.
const TTL_LONG: Duration = Duration::from_secs(300);
const TTL: Duration = Duration::from_secs(1);
const TTL_SHORT: Duration = Duration::from_millis(500);

/// Every kind that can be held by one.
const HELD: [&str; 4] = ["lock", "rwlock", "semaphore", "condition"];

fn create(manager: &Manager, kind: &str, name: &str) {
    match kind {
        "lock" => drop(manager.lock(name).create().unwrap()),
        "rwlock" => drop(manager.rwlock(name).create().unwrap()),
        "semaphore" => drop(manager.semaphore(name).permits(1).bounded().create().unwrap()),
        _ => drop(manager.condition(name).create().unwrap()),
    }
}

/// Waits until it is this session's, and gives it back.
fn take(manager: &Manager, kind: &str, name: &str) -> u64 {
    match kind {
        "lock" => manager.lock(name).open().unwrap().acquire_within(PATIENCE).unwrap().token(),
        "rwlock" => manager.rwlock(name).open().unwrap().write_within(PATIENCE).unwrap().token(),
        "semaphore" => manager.semaphore(name).open().unwrap().acquire_within(PATIENCE).unwrap().token(),
        _ => manager.condition(name).open().unwrap().acquire_within(PATIENCE).unwrap().token(),
    }
}

/// A holder is lost while another process waits; how long until that has it.
fn hand_over(broker: &Broker, kind: &str, name: &str, address: &str, ttl: Duration, lose: Signal) -> Duration {
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    create(&manager, kind, name);
    let party = Party::start(broker, address, &format!("{kind} {name}"), ttl);
    party.says(HOLDING);
    std::thread::scope(|scope| {
        let next = scope.spawn(|| {
            take(&manager, kind, name);
            Instant::now()
        });
        let objects = Manager::connect(broker.unix(), broker.authkey()).unwrap();
        eventually("the next one waits", || objects.objects().describe(name).unwrap().waiting == 1);
        let lost = Instant::now();
        party.signal(lose);
        next.join().unwrap() - lost
    })
}

#[test]
fn r04_what_a_killed_holder_held_is_handed_over_at_once() {
    let broker = Broker::start();
    for kind in HELD {
        let times: Vec<_> = (0..8)
            .map(|n| {
                let address = if n % 2 == 0 { broker.unix() } else { broker.tcp().to_owned() };
                hand_over(&broker, kind, &format!("{kind}-{n}"), &address, TTL_LONG, Signal::KILL)
            })
            .collect();
        figure("R04", format!("hand-over of a {kind} after SIGKILL {}", spread(&times)));
    }
}

#[test]
fn r04_what_a_silent_holder_held_is_handed_over_after_its_ttl() {
    let broker = Broker::start();
    let times: Vec<_> = std::thread::scope(|scope| {
        let run = |kind: &'static str| {
            let broker = &broker;
            scope.spawn(move || hand_over(broker, kind, kind, &broker.unix(), TTL, Signal::STOP))
        };
        HELD.map(run).into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    figure("R04", format!("hand-over after SIGSTOP, ttl 1 s {}", spread(&times)));
}

/// It wakes up after three times its ttl, holds guards that look like any others, and is refused everywhere.
#[test]
fn r07_a_stopped_holder_that_wakes_up_is_refused_everywhere() {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let guarded: bursar::blocking::Kv<u32> = manager.kv("guarded").create().unwrap();
    let mut refusals = 0;
    for kind in HELD {
        create(&manager, kind, kind);
        let mut party = Party::start(&broker, &broker.unix(), &format!("{kind} {kind}"), TTL_SHORT);
        party.says(HOLDING);
        let stopped = Instant::now();
        party.signal(Signal::STOP);
        let token = take(&manager, kind, kind);
        assert!(token > 0);
        // Not to wait for anything: this long is what it is stopped for.
        std::thread::sleep((3 * TTL_SHORT).saturating_sub(stopped.elapsed()));
        party.signal(Signal::CONT);
        let (accepted, refused) = party.act();
        assert_eq!(accepted, 0, "{kind}: a stale holder was obeyed");
        refusals += refused;
    }
    assert!(refusals >= 2 * HELD.len(), "{refusals} refusals");
    assert_eq!(guarded.get("key").unwrap(), None, "nothing was written");
    figure("R07", format!("stale operations accepted 0, refused {refusals}"));
}

#[test]
fn r07_a_holder_that_lives_is_obeyed() {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    drop(manager.kv::<u32>("guarded").create().unwrap());
    for kind in HELD {
        create(&manager, kind, kind);
        let mut party = Party::start(&broker, &broker.unix(), &format!("{kind} {kind}"), TTL_LONG);
        party.says(HOLDING);
        let (_, refused) = party.act();
        assert_eq!(refused, 0, "{kind}: or the test before this one proves nothing");
    }
}

#[test]
fn r05_a_party_that_dies_breaks_the_barrier_for_all() {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let barrier = manager.barrier("start").parties(3).create().unwrap();
    let times: Vec<_> = (0..8)
        .map(|_| {
            let party = Party::start(&broker, &broker.unix(), "barrier start", TTL_LONG);
            party.says(HOLDING);
            std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let error = barrier.wait_within(PATIENCE).unwrap_err();
                    (Instant::now(), error)
                });
                eventually("both wait", || barrier.state().unwrap().waiting == 2);
                let killed = Instant::now();
                party.signal(Signal::KILL);
                let (told, error) = other.join().unwrap();
                assert!(matches!(error.fault(), Some(Fault::BarrierBroken { .. })), "B1: {error}");
                assert!(barrier.state().unwrap().is_broken);
                barrier.reset().unwrap();
                told - killed
            })
        })
        .collect();
    figure("R05", format!("a barrier is seen broken after a party's SIGKILL {}", spread(&times)));
}

/// A hundred and twenty processes take permits and are killed at any moment, in line or holding: none is lost, and never were there
/// more than there are.
#[test]
fn r05_permits_of_the_dead_come_back() {
    const PERMITS: u64 = 3;
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let semaphore = manager.semaphore("pool").permits(PERMITS).bounded().create().unwrap();
    for _ in 0..6 {
        let parties: Vec<_> = (0..8).map(|_| Party::start(&broker, &broker.unix(), "semaphore pool", TTL_LONG)).collect();
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..60))); // anywhere between their start and their holding
        parties.iter().for_each(|party| party.signal(Signal::KILL));
    }
    let all = semaphore.acquire_many_within(PERMITS, PATIENCE).unwrap();
    assert!(semaphore.try_acquire().unwrap().is_none(), "S1: no more than there are");
    all.release().unwrap();
    let object = manager.objects().describe("pool").unwrap();
    assert_eq!(object.waiting, 0, "no dead process stands in line");
    figure("R05", "processes killed around a semaphore 48, permits lost 0, invented 0");
}

#[test]
fn ten_thousand_locks_of_one_session_cost_one_beat() {
    const LOCKS: u32 = 10_000;
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).unwrap();
    let idle = || {
        let before = cpu(broker.pid());
        std::thread::sleep(3 * TTL);
        cpu(broker.pid()) - before
    };
    let few = Party::start(&broker, &broker.unix(), "locks 1 few/", TTL);
    few.says(HOLDING);
    let with_one = idle();
    let many = Party::start(&broker, &broker.unix(), &format!("locks {LOCKS} many/"), TTL);
    many.says(HOLDING);
    let with_all = idle();
    assert!(manager.lock("many/7").open().unwrap().try_acquire().unwrap().is_none(), "after three ttl all are held");
    let killed = Instant::now();
    many.signal(Signal::KILL);
    for n in 0..LOCKS {
        drop(manager.lock(&format!("many/{n}")).open().unwrap().acquire_within(PATIENCE).unwrap());
    }
    figure(
        "locks",
        format!(
            "CPU of the broker in 3 s: {} ms with 1 lock held, {} ms with {LOCKS}; all taken over by another {} after SIGKILL",
            with_one.as_millis(),
            with_all.as_millis(),
            ms(killed.elapsed())
        ),
    );
}

/// The order in which `count` waiters of one lock are served, and the time of each hand-over.
fn line(broker: &Broker, name: &str, count: usize) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let manager = bursar::Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
        let lock = manager.lock(name).create().await.unwrap();
        let first = lock.acquire().await.unwrap();
        let (sender, mut served) = tokio::sync::mpsc::unbounded_channel();
        let mut waiters = tokio::task::JoinSet::new();
        for n in 0..count {
            let (lock, sender) = (lock.clone(), sender.clone());
            waiters.spawn(async move {
                let guard = lock.acquire_within(Wait::Forever).await.unwrap();
                sender.send((n, Instant::now())).unwrap();
                guard.release().await.unwrap();
            });
            // In this order: the next one only asks when this one has.
            tokio::task::yield_now().await;
        }
        while manager.objects().describe(name).await.unwrap().waiting < count as u64 {}
        let mut last = Instant::now();
        first.release().await.unwrap();
        let mut times = vec![];
        for expected in 0..count {
            let (n, at) = served.recv().await.unwrap();
            assert_eq!(n, expected, "first come, first served");
            times.push(at - last);
            last = at;
        }
        while let Some(ended) = waiters.join_next().await {
            ended.unwrap();
        }
        times
    })
}

#[test]
fn a_thousand_waiters_are_served_in_their_order_at_a_flat_cost() {
    let broker = Broker::start();
    let few: Vec<_> = (0..40).flat_map(|n| line(&broker, &format!("few-{n}"), 10)).collect();
    let many = line(&broker, "many", 1000);
    let (few, many) = (percentile(&few, 50), percentile(&many, 50));
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    figure("locks", format!("hand-over among 10 waiters p50 {}, among 1,000 {} ({ratio:.2} x)", ms(few), ms(many)));
}
