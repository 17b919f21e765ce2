//! Each promise of a lock, asked of its core.

use super::super::{
    grant::tests::{A, B, Bench, C, D, EPOCH, EVER, NOW, within},
    kind::Wire,
};
use super::*;
use bursar_proto::v1::{self, answer, lock as pb, registry::options};
use proptest::prelude::*;

const ACQUIRE: Command = acquire(0, true);
const TRY: Command = acquire(0, false);

const fn acquire(owner: u64, waits: bool) -> Command {
    Command::Acquire { owner, waits }
}

fn release(token: u64) -> Command {
    Command::Release { token }
}

fn granted(token: u64, depth: u32) -> Result<Reply, Fault> {
    Ok(Reply::Acquire { token, depth })
}

fn options(reentrant: bool, on_deadlock: i32) -> options::Kind {
    options::Kind::Lock(pb::Options { reentrant, on_deadlock })
}

fn plain() -> Bench<Lock> {
    Bench::new(options(false, 0))
}

fn reentrant() -> Bench<Lock> {
    Bench::new(options(true, 0))
}

#[test]
fn waiters_get_it_in_the_order_of_their_arrival_under_growing_tokens() {
    let mut bench = plain();
    assert_eq!(bench.ask(A, ACQUIRE, EVER), granted(EPOCH + 1, 1), "the first token is behind the epoch");
    let [b, c] = [B, C].map(|session| bench.call(session, ACQUIRE, EVER));
    assert_eq!(bench.ask(A, release(101), NOW), Ok(Reply::Release { depth: 0 }));
    assert_eq!((bench.answer(b), bench.answer(c)), (Some(granted(102, 1)), None));
    assert_eq!(bench.core.kind().exclusive(), Some(102));
    bench.ask(B, release(102), NOW).unwrap();
    assert_eq!(bench.answer(c), Some(granted(103, 1)));
}

#[test]
fn who_does_not_wait_learns_who_has_it_and_for_how_long() {
    let mut bench = plain();
    bench.ask(A, ACQUIRE, EVER).unwrap();
    bench.pass(70);
    let held = |held_ms| Fault::Held { session: A.0, holder: String::new(), held_ms, others: 0 };
    assert_eq!(bench.refused(B, TRY, NOW), held(70));
    let waiting = bench.call(C, ACQUIRE, within(30));
    assert_eq!(bench.refused(B, TRY, NOW), held(70), "also behind others");
    bench.pass(29);
    assert!(bench.is_waiting(waiting));
    bench.pass(1);
    assert_eq!(bench.answer(waiting), Some(Err(held(100))));
}

#[test]
fn a_wait_that_is_over_or_taken_back_is_passed_over() {
    let mut bench = plain();
    bench.ask(A, ACQUIRE, EVER).unwrap();
    let short = bench.call(B, ACQUIRE, within(10));
    let cancelled = bench.call(C, ACQUIRE, EVER);
    let last = bench.call(D, ACQUIRE, EVER);
    bench.pass(10);
    bench.cancel(cancelled);
    assert!(matches!(bench.answer(short), Some(Err(Fault::Held { .. }))));
    assert_eq!(bench.answer(cancelled), Some(Err(Fault::Cancelled {})));
    bench.ask(A, release(101), NOW).unwrap();
    assert_eq!(bench.answer(last), Some(granted(102, 1)));
}

#[test]
fn one_owner_that_acquires_a_plain_lock_twice_is_told_at_once_that_it_would_wait_for_itself() {
    let mut bench = plain();
    bench.ask(A, acquire(7, true), EVER).unwrap();
    let cycle = "session 1, owner 7, holds it already, under token 101".to_owned();
    let waiting = bench.call(B, ACQUIRE, EVER);
    assert_eq!(bench.refused(A, acquire(7, true), EVER), Fault::WouldDeadlock { cycle }, "also when others stand in line");
    assert!(matches!(bench.refused(A, acquire(7, false), NOW), Fault::Held { session: 1, .. }));
    let other = bench.call(A, acquire(8, true), EVER);
    assert!(bench.is_waiting(other), "another owner of the session waits as everybody else");
    bench.ask(A, release(101), NOW).unwrap();
    assert_eq!((bench.answer(waiting), bench.answer(other)), (Some(granted(102, 1)), None));
}

#[test]
fn a_reentrant_lock_goes_deeper_for_its_owner_past_all_others() {
    let mut bench = reentrant();
    assert_eq!(bench.ask(A, ACQUIRE, EVER), granted(101, 1));
    let waiting = bench.call(B, ACQUIRE, EVER);
    assert_eq!(bench.ask(A, ACQUIRE, EVER), granted(101, 2));
    assert_eq!(bench.ask(A, TRY, NOW), granted(101, 3), "the token is that of the grant");
    for left in [2, 1] {
        assert_eq!(bench.ask(A, release(101), NOW), Ok(Reply::Release { depth: left }));
        assert!(bench.is_waiting(waiting));
    }
    assert_eq!(bench.ask(A, release(101), NOW), Ok(Reply::Release { depth: 0 }));
    assert_eq!(bench.answer(waiting), Some(granted(102, 1)));
}

#[test]
fn owners_of_one_session_are_different_owners() {
    let mut bench = reentrant();
    bench.ask(A, acquire(1, true), EVER).unwrap();
    assert!(matches!(bench.refused(A, acquire(2, false), NOW), Fault::Held { .. }));
    assert_eq!(bench.ask(A, release(101), NOW), Ok(Reply::Release { depth: 0 }), "the token says which grant, whoever asks");
}

#[test]
fn the_depth_has_an_end() {
    let mut lock = Lock::new(Options { reentrant: true, refuses_deadlock: false }, EPOCH);
    let deep = |depth| {
        let owner = Owner { session: A, number: 0 };
        Change::Restored { last_token: 101, held: Some(Held { grant: Grant { token: 101, owner, since: Moment(1) }, depth }) }
    };
    lock.evolve(deep(DEPTH_MAX - 1));
    assert!(matches!(lock.decide(A, &ACQUIRE, Moment(2)), Decision::Overtake(..)));
    lock.evolve(deep(DEPTH_MAX));
    assert!(matches!(lock.decide(A, &ACQUIRE, Moment(2)), Decision::Refuse(Fault::LimitReached { limit: 65_536, .. })));
    assert_eq!(lock.violation(), None);
}

#[test]
fn only_the_holder_s_token_from_the_holder_s_session_releases() {
    let mut bench = reentrant();
    assert_eq!(bench.refused(A, release(101), NOW), Fault::NotHeld { lease: 101 }, "before it was given");
    bench.ask(A, ACQUIRE, EVER).unwrap();
    assert_eq!(bench.refused(B, release(101), NOW), Fault::NotHeld { lease: 101 });
    for stale in [0, 100, 102, u64::MAX] {
        assert_eq!(bench.refused(A, release(stale), NOW), Fault::NotHeld { lease: stale });
    }
    bench.ask(A, release(101), NOW).unwrap();
    assert_eq!(bench.refused(A, release(101), NOW), Fault::NotHeld { lease: 101 }, "twice");
    bench.ask(A, ACQUIRE, EVER).unwrap();
    assert_eq!(bench.refused(A, release(101), NOW), Fault::NotHeld { lease: 101 }, "of an earlier grant");
}

#[test]
fn the_end_of_a_session_frees_every_level_and_takes_its_waits() {
    let mut bench = reentrant();
    bench.ask(A, ACQUIRE, EVER).unwrap();
    bench.ask(A, ACQUIRE, EVER).unwrap();
    let gone = bench.call(B, ACQUIRE, EVER);
    let own = bench.call(A, acquire(9, true), EVER);
    let next = bench.call(C, ACQUIRE, EVER);
    bench.depart(B);
    assert!(matches!(bench.answer(gone), Some(Err(Fault::SessionEnded { .. }))));
    bench.depart(A);
    assert!(matches!(bench.answer(own), Some(Err(Fault::SessionEnded { .. }))));
    assert_eq!(bench.answer(next), Some(granted(102, 1)));
    bench.depart(D);
    assert_eq!(bench.core.kind().exclusive(), Some(102), "who holds nothing takes nothing along");
}

#[test]
fn an_answer_that_was_not_heard_gives_its_level_back_and_no_other() {
    let mut bench = reentrant();
    bench.ask(A, ACQUIRE, EVER).unwrap();
    bench.ask(A, ACQUIRE, EVER).unwrap();
    let waiting = bench.call(B, ACQUIRE, EVER);
    let lost = |depth| Reply::Acquire { token: 101, depth };
    bench.unheard(B, lost(2));
    bench.unheard(A, Reply::Release { depth: 1 });
    assert_eq!(bench.core.kind().figures()[0], ("depth", 2), "it is another's, or gave nothing");
    bench.unheard(A, lost(2));
    assert_eq!(bench.core.kind().figures()[0], ("depth", 1));
    assert!(bench.is_waiting(waiting));
    bench.unheard(A, lost(1));
    assert_eq!(bench.answer(waiting), Some(granted(102, 1)));
    bench.unheard(A, lost(1));
    assert_eq!(bench.core.kind().exclusive(), Some(102), "it is not given back twice");
}

#[test]
fn it_says_who_holds_it() {
    let mut bench = plain();
    assert_eq!((bench.core.kind().holdings(), bench.core.kind().exclusive()), (vec![], Some(0)));
    bench.pass(5);
    bench.ask(A, ACQUIRE, EVER).unwrap();
    let held = Holding { session: A, what: "the lock".into(), since: Some(Moment(1_000_005)), token: 101 };
    assert_eq!(bench.core.kind().holdings(), [held]);
    let test = |token| bench.core.kind().test(B, &Test::TokenHeld(token));
    assert_eq!([test(101), test(100), test(0)], [Some(true), Some(false), Some(false)]);
    assert_eq!(bench.core.kind().test(A, &Test::IsSet(true)), None);
}

#[test]
fn several_levels_are_released_in_one_transaction_or_none() {
    let mut bench = reentrant();
    bench.ask(A, ACQUIRE, EVER).unwrap();
    bench.ask(A, ACQUIRE, EVER).unwrap();
    let lock = bench.core.kind();
    assert!(Lock::joins(&release(1)) && !Lock::joins(&ACQUIRE));
    let decide = |count| lock.decide_all(A, &vec![release(101); count], Moment(0));
    assert_eq!(decide(2).unwrap().1, [Reply::Release { depth: 1 }, Reply::Release { depth: 0 }]);
    assert_eq!(decide(3).unwrap_err(), Fault::NotHeld { lease: 101 });
}

#[test]
fn options_and_requests_are_checked_at_the_border() {
    let create =
        |kind| Lock::create(&v1::registry::Options { kind }, 1).map(|lock| (lock.options().kind, lock.refuses_deadlock()));
    for (on_deadlock, refuses) in [(0, false), (1, true)] {
        let kind = Some(options(true, on_deadlock));
        assert_eq!(create(kind.clone()), Ok((kind, refuses)));
    }
    let argument = |fault| match fault {
        Fault::BadArgument { argument, .. } => argument,
        other => panic!("{other:?}"),
    };
    assert_eq!(argument(create(Some(options(true, 2))).unwrap_err()), "on_deadlock");
    assert_eq!(argument(create(None).unwrap_err()), "options");
    assert_eq!(argument(create(Some(options::Kind::Queue(Default::default()))).unwrap_err()), "options");
    let read = |wait_ms, owner| {
        let request = pb::AcquireRequest { object: None, wait_ms, owner };
        Lock::command(bursar_proto::Command::Lock(pb::command::Verb::Acquire(request)), 0)
    };
    assert_eq!(read(0, 3), Ok(acquire(3, false)));
    assert_eq!((read(-1, 3), read(5, u64::MAX)), (Ok(acquire(3, true)), Ok(acquire(u64::MAX, true))));
    assert_eq!(argument(read(-2, 0).unwrap_err()), "wait_ms");
    let foreign = bursar_proto::Command::Queue(v1::queue::command::Verb::Peek(Default::default()));
    assert_eq!(argument(Lock::command(foreign, 0).unwrap_err()), "object");
}

#[test]
fn only_what_gives_something_comes_back_from_the_wire() {
    let grant = Reply::Acquire { token: 5, depth: 2 };
    assert_eq!(Lock::holding(Lock::reply(grant)), Some(grant));
    assert_eq!(Lock::holding(Lock::reply(Reply::Release { depth: 1 })), None);
    assert_eq!(Lock::holding(answer::Reply::Lock(pb::Reply { verb: None })), None);
}

#[test]
fn damaged_changes_are_refused() {
    assert!(Lock::decode(&[255]).is_err());
    assert!(Lock::decode(&[]).is_err());
    let newer = [&[8, 1][..], &Lock::encode(&Change::Deepened { token: 1 })].concat();
    assert!(Lock::decode(&newer).unwrap_err().to_string().contains("newer"));
    let owner = Owner { session: A, number: 0 };
    let held = Held { grant: Grant { token: 1, owner, since: Moment(0) }, depth: 0 };
    assert!(Lock::decode(&Lock::encode(&Change::Restored { last_token: 1, held: Some(held) })).is_err());
}

/// A check that cannot fail is none.
#[test]
fn every_broken_invariant_is_seen() {
    let broken = |harm: fn(&mut Lock)| {
        let mut lock = Lock::new(Options { reentrant: false, refuses_deadlock: false }, EPOCH);
        let owner = Owner { session: A, number: 0 };
        lock.evolve(Change::Granted(Grant { token: 101, owner, since: Moment(0) }));
        harm(&mut lock);
        lock.violation().unwrap_or_default()
    };
    assert_eq!(broken(|_| ()), "");
    assert!(broken(|lock| lock.evolve(Change::Deepened { token: 101 })).contains("L1"));
    assert!(broken(|lock| lock.last_token += 1).contains("L2"));
    assert!(broken(|lock| lock.epoch = 101).contains("L2"));
}

#[derive(Clone, Debug)]
enum Step {
    Acquire(u64, u64, u64),
    Release(u64, u64),
    Cancel(usize),
    Unheard(usize),
    Depart(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4u64, 0..2u64, 0..3u64).prop_map(|(session, owner, wait)| Step::Acquire(session, owner, wait)),
        6 => (1..4u64, 0..3u64).prop_map(|(session, back)| Step::Release(session, back)),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::Unheard),
        1 => (1..4u64).prop_map(Step::Depart),
        2 => (0..30u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_is_held_by_one_and_free_in_the_end(reentrant: bool, steps in prop::collection::vec(step(), 1..60)) {
        let mut bench: Bench<Lock> = Bench::new(options(reentrant, 0));
        let (mut calls, mut replies) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Acquire(session, owner, wait) => {
                    let wait = [NOW, within(10), EVER][wait as usize];
                    calls.push(bench.call(SessionId(session), acquire(owner, wait != NOW), wait));
                }
                Step::Release(session, back) => {
                    let token = bench.core.kind().last_token() - back.min(1);
                    bench.call(SessionId(session), release(token), NOW);
                }
                Step::Cancel(at) if !calls.is_empty() => bench.cancel(calls[at % calls.len()]),
                Step::Unheard(at) if !replies.is_empty() => {
                    let (session, reply) = replies.swap_remove(at % replies.len());
                    bench.unheard(session, reply);
                }
                Step::Depart(session) => bench.depart(SessionId(session)),
                Step::Pass(ms) => bench.pass(ms),
                Step::Cancel(_) | Step::Unheard(_) => {}
            }
            replies.extend(bench.replies());
        }
        let tokens: Vec<_> = bench.journal.iter().filter_map(|change| match change {
            Change::Granted(grant) => Some(grant.token),
            _ => None,
        }).collect();
        prop_assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
        [A, B, C].into_iter().for_each(|session| bench.depart(session));
        prop_assert_eq!(bench.core.waiting(), 0);
        prop_assert_eq!(bench.core.kind().holdings(), vec![]);
    }
}
