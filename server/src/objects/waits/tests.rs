//! Circles: on live objects, and the computation beside a naive one.

use super::*;
use crate::objects::{
    kind::Moment,
    several::{Several, acquire, object},
};
use bursar_proto::{
    Command,
    v1::{condition, lock, registry::options::Kind, semaphore},
};

fn permit(name: &str) -> Command {
    let request = semaphore::AcquireRequest { object: object(name), wait_ms: -1, count: 1, consume: false };
    Command::Semaphore(semaphore::command::Verb::Acquire(request))
}

/// Each of two held one of two permits and asked for the other: whoever held a permit itself was believed to wait for nobody.
#[test]
fn two_who_ask_for_one_permit_more_are_a_circle() {
    let several = Several::new(None);
    several.create("s", Kind::Semaphore(semaphore::Options { permits: 2, bounded: true, on_deadlock: 1 }));
    for (session, number) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
        several.call(session, number, permit("s"));
    }
    assert_eq!(several.answer(3), None, "the other may give its permit back");
    assert!(matches!(several.answer(4), Some(Err(Fault::WouldDeadlock { .. }))), "{:?}", several.answer(4));
}

/// Who was notified waits for the lock of the condition, and was shown as waiting for a notification.
#[test]
fn who_was_notified_waits_for_the_holder() {
    let several = Several::new(None);
    several.create("c", Kind::Condition(condition::Options::default()));
    several.create("l", Kind::Lock(lock::Options { on_deadlock: 1, ..Default::default() }));
    let token = |number| match several.answer(number) {
        Some(Ok(bursar_proto::v1::answer::Reply::Condition(reply))) => match reply.verb {
            Some(condition::reply::Verb::Acquire(reply)) => reply.token,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let own = |session, number| {
        let request = condition::AcquireRequest { object: object("c"), wait_ms: -1, owner: 0 };
        several.call(session, number, Command::Condition(condition::command::Verb::Acquire(request)));
        token(number)
    };
    several.call(2, 1, acquire("l", 0));
    let wait = condition::WaitRequest { object: object("c"), wait_ms: -1, token: own(2, 2) };
    several.call(2, 3, Command::Condition(condition::command::Verb::Wait(wait)));
    let notify = condition::NotifyRequest { object: object("c"), token: own(1, 4), count: 1, all: false };
    several.call(1, 5, Command::Condition(condition::command::Verb::Notify(notify)));
    let waits = several.registry.waits(None).unwrap().waits;
    assert_eq!(waits[0].what, "to acquire again");
    several.call(1, 6, acquire("l", 0));
    assert!(matches!(several.answer(6), Some(Err(Fault::WouldDeadlock { .. }))), "{:?}", several.answer(6));
}

/// The second call of an owner stood behind others, who stood behind what the owner itself had by then.
#[test]
fn calls_of_one_owner_do_not_wait_for_each_other() {
    let several = Several::new(None);
    several.create("l", Kind::Lock(lock::Options { reentrant: true, ..Default::default() }));
    several.create("plain", Kind::Lock(lock::Options::default()));
    for name in ["l", "plain"] {
        let first = if name == "l" { 0 } else { 10 };
        several.call(1, first + 1, acquire(name, 1));
        several.call(2, first + 2, acquire(name, 1));
        several.call(3, first + 3, acquire(name, 1));
        several.call(2, first + 4, acquire(name, 1));
        let release = lock::ReleaseRequest { object: object(name), token: several.token(first + 1) };
        several.call(1, first + 5, Command::Lock(lock::command::Verb::Release(release)));
        assert_eq!(several.answer(first + 3), None);
    }
    assert_eq!((several.token(2), several.token(4)), (several.token(2), several.token(2)), "the next level");
    several.token(12);
    assert!(matches!(several.answer(14), Some(Err(Fault::WouldDeadlock { .. }))), "{:?}", several.answer(14));
}

/// Whoever waits for nobody of the rest is taken away, until nobody is.
fn naive(knots: &[Knot]) -> BTreeSet<SessionId> {
    let mut stuck: BTreeSet<SessionId> = knots.iter().flat_map(|knot| &knot.stands).map(|wait| wait.session).collect();
    loop {
        let is_stuck = |knot: &Knot, wait: &Standing| {
            let others: Vec<_> = knot.holders.iter().filter(|holder| **holder != wait.session).collect();
            match wait.blocking {
                Blocking::Anybody => false,
                Blocking::EachHolder => others.iter().any(|holder| stuck.contains(holder)),
                Blocking::AnyHolder => !others.is_empty() && others.iter().all(|holder| stuck.contains(holder)),
            }
        };
        let of = |knot: &Knot| -> Vec<SessionId> {
            knot.stands.iter().filter(|wait| is_stuck(knot, wait)).map(|wait| wait.session).collect()
        };
        let next: BTreeSet<SessionId> = knots.iter().flat_map(of).collect();
        if next == stuck {
            return stuck;
        }
        stuck = next;
    }
}

#[test]
fn the_stuck_are_those_that_a_naive_search_finds() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut circles, mut stuck) = (0, 0);
    for _ in 0..5000 {
        let sessions = random.u64(2..9);
        let knots: Vec<Knot> = (0..random.usize(1..6))
            .map(|number| {
                let mut some =
                    |most: usize| (0..random.usize(0..most)).map(|_| SessionId(random.u64(0..sessions))).collect::<Vec<_>>();
                let (holders, waiting) = (some(4), some(4));
                let stand = |(arrival, session): (u64, SessionId)| Standing {
                    session,
                    what: "to acquire",
                    blocking: *random.choice([Blocking::Anybody, Blocking::EachHolder, Blocking::AnyHolder]).as_ref().unwrap(),
                    since: Moment(arrival),
                    deadline: None,
                    arrival,
                };
                Knot {
                    name: number.to_string(),
                    kind: "lock",
                    stands: (0..).zip(waiting).map(stand).collect(),
                    holdings: vec![],
                    holders: holders.into_iter().collect(),
                }
            })
            .collect();
        let (graph, expected) = (Graph::new(&knots), naive(&knots));
        assert_eq!(graph.waits.keys().copied().collect::<BTreeSet<_>>(), expected);
        stuck += expected.len();
        for circle in graph.circles() {
            circles += 1;
            for (at, (knot, wait)) in circle.iter().enumerate() {
                let (_, next) = circle[(at + 1) % circle.len()];
                assert!(knot.blockers(wait).any(|blocker| blocker == next.session), "each waits for the next one");
            }
        }
    }
    assert!(circles > 500 && stuck > circles, "{circles} circles of {stuck}");
}
