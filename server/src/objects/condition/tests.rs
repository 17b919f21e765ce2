//! Each promise of a condition, asked of its core.

use super::super::{
    core::CallId,
    grant::tests::{A, B, Bench, C, D, EPOCH, EVER, NOW, within},
    kind::Wire,
};
use super::*;
use bursar_proto::{
    Wait,
    v1::{self, answer, condition as pb, registry::options},
};
use proptest::prelude::*;

const ACQUIRE: Command = acquire(0, true);
const TRY: Command = acquire(0, false);

const fn acquire(owner: u64, waits: bool) -> Command {
    Command::Acquire { owner, waits }
}

fn release(token: u64) -> Command {
    Command::Release { token }
}

fn notify(token: u64, count: u64) -> Command {
    Command::Notify { token, count: Count::UpTo(count) }
}

fn notify_all(token: u64) -> Command {
    Command::Notify { token, count: Count::All }
}

fn granted(token: u64) -> Result<Reply, Fault> {
    Ok(Reply::Acquire { token })
}

fn woken(token: u64, notified: bool) -> Option<Result<Reply, Fault>> {
    Some(Ok(Reply::Wait { token, notified }))
}

type Conditions = Bench<Condition>;

fn bench() -> Conditions {
    Bench::new(options::Kind::Condition(pb::Options { on_deadlock: 0 }))
}

/// Waits, returning, and whether the lock is held.
fn figures(bench: &Conditions) -> (usize, usize, bool) {
    let condition = bench.core.kind();
    (condition.waiting.len(), condition.returning.len(), condition.held.is_some())
}

fn lock(bench: &mut Conditions, session: SessionId) -> u64 {
    match bench.ask(session, ACQUIRE, EVER) {
        Ok(Reply::Acquire { token }) => token,
        other => panic!("{other:?}"),
    }
}

/// Acquires the lock, and waits.
fn wait(bench: &mut Conditions, session: SessionId, within: Wait) -> CallId {
    let token = lock(bench, session);
    bench.call(session, Command::Wait { token }, within)
}

/// Holds the lock for as long as it takes to notify.
fn notify_once(bench: &mut Conditions, session: SessionId, count: u64) -> Result<Reply, Fault> {
    let token = lock(bench, session);
    let notified = bench.ask(session, notify(token, count), NOW);
    bench.ask(session, release(token), NOW).unwrap();
    notified
}

#[test]
fn a_wait_frees_the_lock_and_returns_holding_it_under_a_new_token() {
    let mut bench = bench();
    assert_eq!(bench.ask(A, ACQUIRE, EVER), granted(EPOCH + 1));
    let waiting = bench.call(A, Command::Wait { token: 101 }, EVER);
    assert_eq!(bench.ask(B, ACQUIRE, EVER), granted(102));
    assert_eq!(bench.ask(B, notify(102, 1), NOW), Ok(Reply::Notify { count: 1 }));
    assert!(bench.is_waiting(waiting), "the lock is not free");
    assert_eq!(bench.ask(B, release(102), NOW), Ok(Reply::Release));
    assert_eq!(bench.answer(waiting), woken(103, true));
    assert_eq!(bench.refused(A, release(101), NOW), Fault::NotHeld { lease: 101 });
    assert_eq!(bench.ask(A, release(103), NOW), Ok(Reply::Release));
}

#[test]
fn only_the_holder_waits_notifies_and_releases() {
    let mut bench = bench();
    let verbs = |token| [release(token), Command::Wait { token }, notify(token, 1), notify_all(token)];
    for verb in verbs(101) {
        assert_eq!(bench.refused(A, verb, EVER), Fault::NotHeld { lease: 101 }, "{verb:?} of a free lock");
    }
    lock(&mut bench, A);
    for verb in verbs(101) {
        assert_eq!(bench.refused(B, verb, EVER), Fault::NotHeld { lease: 101 }, "{verb:?} by another");
    }
    for verb in verbs(100) {
        assert_eq!(bench.refused(A, verb, EVER), Fault::NotHeld { lease: 100 }, "{verb:?} with another token");
    }
    bench.call(A, Command::Wait { token: 101 }, EVER);
    for verb in verbs(101) {
        assert_eq!(bench.refused(A, verb, EVER), Fault::NotHeld { lease: 101 }, "{verb:?} by one that waits");
    }
}

#[test]
fn one_owner_that_acquires_it_twice_is_told_at_once() {
    let mut bench = bench();
    lock(&mut bench, A);
    let other = bench.call(B, ACQUIRE, EVER);
    assert!(matches!(bench.refused(A, ACQUIRE, EVER), Fault::WouldDeadlock { .. }));
    assert!(matches!(bench.refused(A, TRY, NOW), Fault::Held { session: 1, .. }));
    bench.pass(40);
    assert!(matches!(bench.refused(A, acquire(1, false), NOW), Fault::Held { session: 1, held_ms: 40, others: 0, .. }));
    bench.call(A, Command::Wait { token: 101 }, EVER);
    assert_eq!(bench.answer(other), Some(granted(102)));
    let own = bench.call(A, ACQUIRE, EVER);
    bench.ask(B, release(102), NOW).unwrap();
    assert_eq!(bench.answer(own), Some(granted(103)), "who waits does not hold it");
}

#[test]
fn the_first_that_wait_are_notified_in_their_order() {
    let mut bench = bench();
    let waits = [A, B, C].map(|session| wait(&mut bench, session, EVER));
    let token = lock(&mut bench, D);
    assert_eq!(bench.ask(D, notify(token, 2), NOW), Ok(Reply::Notify { count: 2 }));
    assert_eq!(figures(&bench), (1, 2, true));
    bench.ask(D, release(token), NOW).unwrap();
    assert_eq!(waits.map(|call| bench.answer(call)), [woken(105, true), None, None]);
    bench.ask(A, release(105), NOW).unwrap();
    assert_eq!(waits.map(|call| bench.answer(call)), [None, woken(106, true), None]);
    bench.ask(B, release(106), NOW).unwrap();
    assert_eq!(figures(&bench), (1, 0, false), "the third was not notified");
    assert_eq!(notify_once(&mut bench, D, u64::MAX), Ok(Reply::Notify { count: 1 }));
    assert_eq!(bench.answer(waits[2]), woken(108, true));
}

#[test]
fn who_was_notified_gets_the_lock_before_those_who_only_acquire_it() {
    let mut bench = bench();
    let waiting = wait(&mut bench, A, EVER);
    let token = lock(&mut bench, B);
    let acquirer = bench.call(C, ACQUIRE, EVER);
    bench.ask(B, notify_all(token), NOW).unwrap();
    let late = bench.call(D, ACQUIRE, EVER);
    bench.ask(B, release(token), NOW).unwrap();
    assert_eq!((bench.answer(waiting), bench.answer(acquirer)), (woken(103, true), None));
    bench.ask(A, release(103), NOW).unwrap();
    assert_eq!((bench.answer(acquirer), bench.answer(late)), (Some(granted(104)), None));
}

/// Whatever the order in which the lines are asked.
#[test]
fn a_free_lock_is_for_those_that_return_alone() {
    let mut condition = Condition::new(Options { refuses_deadlock: false }, EPOCH);
    let grant = |token| Grant { token, owner: Owner { session: A, number: 0 }, since: Moment(0) };
    for token in [101, 102] {
        condition.evolve(Change::Granted { grant: grant(token), waiter: 0 });
        condition.evolve(Change::Waiting { token });
    }
    condition.evolve(Change::Notified { count: 1 });
    let decide = |command| condition.decide(A, &command, Moment(0));
    assert!(matches!(decide(ACQUIRE), Decision::Wait) && matches!(decide(acquire(9, false)), Decision::Wait));
    assert!(matches!(decide(Command::Reacquire { waiter: 2 }), Decision::StandAside));
    assert!(matches!(decide(Command::Reacquire { waiter: 1 }), Decision::Change(Change::Granted { waiter: 1, .. }, _)));
}

#[test]
fn a_notification_of_nobody_is_not_kept() {
    let mut bench = bench();
    let token = lock(&mut bench, B);
    let before = bench.journal.len();
    for verb in [notify(token, 1), notify(token, u64::MAX), notify_all(token)] {
        assert_eq!(bench.ask(B, verb, NOW), Ok(Reply::Notify { count: 0 }));
    }
    assert_eq!(bench.journal.len(), before);
    bench.ask(B, release(token), NOW).unwrap();
    let waiting = wait(&mut bench, A, EVER);
    assert!(bench.is_waiting(waiting));
}

#[test]
fn a_wait_whose_time_is_over_returns_with_the_lock_all_the_same() {
    let mut bench = bench();
    let waiting = wait(&mut bench, A, within(10));
    bench.pass(9);
    assert!(bench.is_waiting(waiting));
    bench.pass(1);
    assert_eq!(bench.answer(waiting), woken(102, false));
    bench.ask(A, release(102), NOW).unwrap();
    let at_once = wait(&mut bench, A, NOW);
    assert_eq!(bench.answer(at_once), woken(104, false), "also one that has no time at all");
}

#[test]
fn an_overdue_wait_waits_on_for_the_lock_and_has_no_deadline_any_more() {
    let mut bench = bench();
    let waiting = wait(&mut bench, A, within(10));
    let token = lock(&mut bench, B);
    let acquirer = bench.call(C, ACQUIRE, EVER);
    bench.pass(10);
    bench.pass(1_000_000);
    assert!(bench.is_waiting(waiting));
    assert_eq!(bench.core.next_wake(), None);
    assert_eq!(bench.ask(B, notify_all(token), NOW), Ok(Reply::Notify { count: 0 }), "it does not wait for that any more");
    bench.ask(B, release(token), NOW).unwrap();
    assert_eq!((bench.answer(waiting), bench.answer(acquirer)), (woken(103, false), None));
}

#[test]
fn who_was_notified_in_time_was_notified_however_long_the_lock_takes() {
    let mut bench = bench();
    let waiting = wait(&mut bench, A, within(10));
    let token = lock(&mut bench, B);
    bench.ask(B, notify(token, 1), NOW).unwrap();
    bench.pass(10);
    assert!(bench.is_waiting(waiting));
    bench.ask(B, release(token), NOW).unwrap();
    assert_eq!(bench.answer(waiting), woken(103, true));
}

#[test]
fn who_is_overdue_first_returns_before_those_that_are_notified_later() {
    let mut bench = bench();
    let first = wait(&mut bench, A, EVER);
    let overdue = wait(&mut bench, B, within(10));
    let token = lock(&mut bench, C);
    bench.pass(10);
    bench.ask(C, notify(token, 1), NOW).unwrap();
    bench.ask(C, release(token), NOW).unwrap();
    assert_eq!((bench.answer(overdue), bench.answer(first)), (woken(104, false), None));
    bench.ask(B, release(104), NOW).unwrap();
    assert_eq!(bench.answer(first), woken(105, true));
}

#[test]
fn a_wait_that_is_taken_back_leaves_no_trace() {
    let mut bench = bench();
    let [first, second] = [A, B].map(|session| wait(&mut bench, session, within(10)));
    bench.cancel(first);
    assert_eq!(bench.answer(first), Some(Err(Fault::Cancelled {})));
    assert_eq!(figures(&bench), (1, 0, false));
    let token = lock(&mut bench, C);
    bench.pass(10);
    assert_eq!(figures(&bench), (0, 1, true));
    bench.cancel(second);
    assert_eq!(figures(&bench), (0, 0, true), "also one that was overdue");
    bench.ask(C, release(token), NOW).unwrap();
    assert_eq!(bench.ask(D, TRY, NOW), granted(104), "nobody stands in front");
}

#[test]
fn the_notification_of_a_wait_that_is_taken_back_goes_to_the_next() {
    let mut bench = bench();
    let [first, second, third] = [A, B, C].map(|session| wait(&mut bench, session, EVER));
    let token = lock(&mut bench, D);
    bench.ask(D, notify(token, 1), NOW).unwrap();
    bench.cancel(first);
    assert_eq!(figures(&bench), (1, 1, true));
    bench.ask(D, release(token), NOW).unwrap();
    assert_eq!((bench.answer(second), bench.answer(third)), (woken(105, true), None));
}

#[test]
fn the_notification_of_a_session_that_ends_goes_to_the_next_also_when_it_had_the_lock_already() {
    let mut bench = bench();
    let [first, second, third] = [A, B, C].map(|session| wait(&mut bench, session, EVER));
    let token = lock(&mut bench, D);
    bench.ask(D, notify(token, 1), NOW).unwrap();
    bench.depart(A);
    assert!(matches!(bench.answer(first), Some(Err(Fault::SessionEnded { .. }))));
    bench.ask(D, release(token), NOW).unwrap();
    assert_eq!(bench.answer(second), woken(105, true));
    bench.depart(B);
    assert_eq!(bench.answer(third), woken(106, true), "nobody knows whether it had seen anything of it");
    bench.ask(C, release(106), NOW).unwrap();
    assert_eq!(figures(&bench), (0, 0, false));
}

#[test]
fn a_notification_that_was_not_heard_goes_to_the_next_and_the_lock_is_free() {
    let mut bench = bench();
    let [first, second] = [A, B].map(|session| wait(&mut bench, session, EVER));
    notify_once(&mut bench, D, 1).unwrap();
    assert_eq!(bench.answer(first), woken(104, true));
    let lost = Reply::Wait { token: 104, notified: true };
    bench.unheard(B, lost);
    assert!(bench.is_waiting(second), "it is another's");
    bench.unheard(A, lost);
    assert_eq!(bench.answer(second), woken(105, true));
    bench.unheard(A, lost);
    assert_eq!(figures(&bench), (0, 0, true), "it is not given back twice");
}

#[test]
fn a_lock_that_was_not_heard_of_is_free() {
    let mut bench = bench();
    lock(&mut bench, A);
    let next = bench.call(B, ACQUIRE, EVER);
    bench.unheard(A, Reply::Notify { count: 1 });
    bench.unheard(A, Reply::Release);
    assert!(bench.is_waiting(next));
    bench.unheard(A, Reply::Acquire { token: 101 });
    assert_eq!(bench.answer(next), Some(granted(102)));
    bench.ask(B, release(102), NOW).unwrap();
    let overdue = wait(&mut bench, A, NOW);
    let other = bench.call(C, ACQUIRE, EVER);
    assert_eq!(bench.answer(overdue), woken(104, false));
    bench.unheard(A, Reply::Wait { token: 104, notified: false });
    assert_eq!(bench.answer(other), Some(granted(105)));
}

#[test]
fn a_notification_of_all_goes_to_nobody_who_began_to_wait_later() {
    let mut bench = bench();
    let [first, second] = [A, B].map(|session| wait(&mut bench, session, EVER));
    let token = lock(&mut bench, C);
    assert_eq!(bench.ask(C, notify_all(token), NOW), Ok(Reply::Notify { count: 2 }));
    let late = bench.call(C, Command::Wait { token }, EVER);
    assert_eq!(bench.answer(first), woken(104, true));
    bench.cancel(second);
    bench.depart(A);
    assert!(bench.is_waiting(late));
    assert_eq!(figures(&bench), (1, 0, false));
}

#[test]
fn the_end_of_a_session_takes_its_waits_and_frees_the_lock_in_one_step() {
    let mut bench = bench();
    let waits = [1, 2, 3].map(|owner| {
        let Ok(Reply::Acquire { token }) = bench.ask(A, acquire(owner, true), EVER) else { panic!("it is free") };
        bench.call(A, Command::Wait { token }, EVER)
    });
    let other = wait(&mut bench, B, EVER);
    let token = lock(&mut bench, A);
    bench.ask(A, notify(token, 2), NOW).unwrap();
    assert_eq!(figures(&bench), (2, 2, true));
    let before = bench.journal.len();
    bench.depart(A);
    assert_eq!(bench.journal[before], Change::Departed { session: A });
    for call in waits {
        assert!(matches!(bench.answer(call), Some(Err(Fault::SessionEnded { .. }))));
    }
    assert_eq!(bench.answer(other), woken(106, true), "one of the two notifications is for the one that is left");
    bench.depart(D);
    assert_eq!(figures(&bench), (0, 0, true));
}

#[test]
fn who_departs_frees_the_lock_for_those_that_return() {
    let mut bench = bench();
    let waiting = wait(&mut bench, A, EVER);
    let token = lock(&mut bench, B);
    let acquirer = bench.call(C, ACQUIRE, EVER);
    bench.ask(B, notify(token, 1), NOW).unwrap();
    bench.depart(B);
    assert_eq!((bench.answer(waiting), bench.answer(acquirer)), (woken(103, true), None));
}

#[test]
fn an_acquirer_gives_up_when_its_time_is_over() {
    let mut bench = bench();
    let waiting = wait(&mut bench, A, EVER);
    let token = lock(&mut bench, B);
    let acquirer = bench.call(C, ACQUIRE, within(10));
    bench.pass(10);
    assert!(matches!(bench.answer(acquirer), Some(Err(Fault::Held { session: 2, held_ms: 10, .. }))));
    bench.ask(B, notify_all(token), NOW).unwrap();
    bench.ask(B, release(token), NOW).unwrap();
    assert_eq!(bench.answer(waiting), woken(103, true));
}

#[test]
fn it_says_who_holds_it_and_who_waits_for_whom() {
    let mut bench = bench();
    wait(&mut bench, A, EVER);
    assert_eq!(bench.core.kind().holdings(), []);
    let token = lock(&mut bench, B);
    bench.call(C, ACQUIRE, EVER);
    let held = Holding { session: B, what: "the lock".into(), since: Some(Moment(1_000_000)), token };
    assert_eq!(bench.core.kind().holdings(), [held]);
    let standing: Vec<_> = bench.core.standing().iter().map(|call| (call.session, call.what, call.blocking)).collect();
    assert_eq!(standing, [(A, "to be notified", Blocking::Anybody), (C, "to acquire", Blocking::EachHolder)]);
    assert_eq!(bench.core.kind().exclusive(), None, "its tokens are no fences");
    assert_eq!(bench.core.kind().last_token(), token);
}

/// Handing over among many must not ask all of them: what is notified stands in front.
#[test]
fn who_returns_stands_in_front_of_all_that_wait() {
    let mut bench = bench();
    for session in 1..50 {
        wait(&mut bench, SessionId(session), EVER);
    }
    let token = lock(&mut bench, SessionId(60));
    bench.ask(SessionId(60), notify(token, 3), NOW).unwrap();
    let condition = bench.core.kind();
    let decide = |waiter| condition.decide(SessionId(waiter), &Command::Reacquire { waiter }, Moment(0));
    assert!((1..50).all(|waiter| matches!(decide(waiter), Decision::Wait)), "nobody behind the first is asked while it is held");
    bench.ask(SessionId(60), release(token), NOW).unwrap();
    assert_eq!(bench.replies().len(), 1);
}

#[test]
fn a_large_condition_is_restored_in_parts() {
    let mut condition = Condition::new(Options { refuses_deadlock: false }, EPOCH);
    let owner = Owner { session: A, number: 0 };
    for token in 0..RESTORED_MAX as u64 * 3 {
        let token = EPOCH + 1 + token;
        condition.evolve(Change::Granted { grant: Grant { token, owner, since: Moment(1) }, waiter: 0 });
        condition.evolve(Change::Waiting { token });
    }
    condition.evolve(Change::Notified { count: RESTORED_MAX as u64 + 1 });
    let history = condition.history();
    assert_eq!(history.len(), 2 + 2);
    let mut again = Condition::new(Options { refuses_deadlock: false }, EPOCH);
    history.iter().for_each(|change| again.evolve(Condition::decode(&Condition::encode(change)).unwrap()));
    assert!(again == condition && again.violation().is_none());
}

#[test]
fn options_and_requests_are_checked_at_the_border() {
    use pb::command::Verb;
    let create = |kind| Condition::create(&v1::registry::Options { kind }, 1).map(|condition| condition.options().kind);
    let ours = |on_deadlock| Some(options::Kind::Condition(pb::Options { on_deadlock }));
    assert_eq!((create(ours(0)), create(ours(1))), (Ok(ours(0)), Ok(ours(1))));
    let argument = |fault| match fault {
        Fault::BadArgument { argument, .. } => argument,
        other => panic!("{other:?}"),
    };
    assert_eq!(argument(create(ours(7)).unwrap_err()), "on_deadlock");
    assert_eq!(argument(create(None).unwrap_err()), "options");
    let read = |verb| Condition::command(bursar_proto::Command::Condition(verb), 0);
    let asked = |wait_ms| read(Verb::Acquire(pb::AcquireRequest { object: None, wait_ms, owner: 4 }));
    assert_eq!((asked(0), asked(-1)), (Ok(acquire(4, false)), Ok(acquire(4, true))));
    assert_eq!(argument(asked(-2).unwrap_err()), "wait_ms");
    let asked = |wait_ms| read(Verb::Wait(pb::WaitRequest { object: None, wait_ms, token: 4 }));
    assert_eq!(asked(-1), Ok(Command::Wait { token: 4 }));
    assert_eq!(argument(asked(i64::MIN).unwrap_err()), "wait_ms");
    let asked = |count, all| read(Verb::Notify(pb::NotifyRequest { object: None, token: 4, count, all }));
    assert_eq!([asked(0, false), asked(1, false)], [Ok(notify(4, 1)), Ok(notify(4, 1))]);
    assert_eq!([asked(9, false), asked(0, true)], [Ok(notify(4, 9)), Ok(notify_all(4))]);
    assert_eq!(argument(asked(2, true).unwrap_err()), "all");
    let foreign = bursar_proto::Command::Queue(v1::queue::command::Verb::Peek(Default::default()));
    assert_eq!(argument(Condition::command(foreign, 0).unwrap_err()), "object");
}

#[test]
fn only_what_gives_something_comes_back_from_the_wire() {
    for gives in [Reply::Acquire { token: 5 }, Reply::Wait { token: 5, notified: true }] {
        assert_eq!(Condition::holding(Condition::reply(gives)), Some(gives));
    }
    for gives_nothing in [Reply::Release, Reply::Notify { count: 1 }] {
        assert_eq!(Condition::holding(Condition::reply(gives_nothing)), None);
    }
    assert_eq!(Condition::holding(answer::Reply::Condition(pb::Reply { verb: None })), None);
}

#[test]
fn damaged_changes_are_refused() {
    assert!(Condition::decode(&[255]).is_err() && Condition::decode(&[]).is_err());
    let newer = [&[8, 1][..], &Condition::encode(&Change::Left { waiter: 1 })].concat();
    assert!(Condition::decode(&newer).unwrap_err().to_string().contains("newer"));
}

/// A check that cannot fail is none.
#[test]
fn every_broken_invariant_is_seen() {
    let broken = |harm: fn(&mut Condition)| {
        let mut condition = Condition::new(Options { refuses_deadlock: false }, EPOCH);
        let owner = Owner { session: A, number: 0 };
        condition.evolve(Change::Granted { grant: Grant { token: 101, owner, since: Moment(0) }, waiter: 0 });
        condition.evolve(Change::Waiting { token: 101 });
        condition.evolve(Change::Notified { count: 1 });
        harm(&mut condition);
        condition.violation().unwrap_or_default()
    };
    assert_eq!(broken(|_| ()), "");
    assert!(broken(|condition| condition.last_token = 1).contains("L2"));
    assert!(broken(|condition| condition.last_waiter = 0).contains("C1"));
    assert!(broken(|condition| _ = condition.waiting.insert(1, Owner { session: B, number: 0 })).contains("C1"));
    assert!(broken(|condition| condition.returning[0].notice = Some(Notice { upto: 0 })).contains("C2"));
}

#[derive(Clone, Debug)]
enum Step {
    Acquire(u64, usize),
    Release,
    Wait(usize),
    Notify(u64),
    Cancel(usize),
    Unheard(usize),
    Depart(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6u64, 0..3usize).prop_map(|(session, wait)| Step::Acquire(session, wait)),
        4 => Just(Step::Release),
        6 => (0..3usize).prop_map(Step::Wait),
        4 => (0..4u64).prop_map(Step::Notify),
        2 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::Unheard),
        1 => (1..6u64).prop_map(Step::Depart),
        2 => (0..30u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// The bench sees after every step that nobody was overlooked: so there are no ghosts in front of anybody.
    #[test]
    fn whatever_happens_it_is_held_by_one_and_free_in_the_end(steps in prop::collection::vec(step(), 1..80)) {
        let mut bench = bench();
        let (mut calls, mut replies) = (Vec::new(), Vec::new());
        let waits = [NOW, within(10), EVER];
        for step in steps {
            let holder = bench.core.kind().held.map(|held| (held.grant.owner.session, held.grant.token));
            match (step, holder) {
                (Step::Acquire(session, wait), _) => {
                    let wait = waits[wait];
                    calls.push(bench.call(SessionId(session), acquire(0, wait != NOW), wait));
                }
                (Step::Release, Some((session, token))) => _ = bench.call(session, release(token), NOW),
                (Step::Wait(wait), Some((session, token))) => {
                    calls.push(bench.call(session, Command::Wait { token }, waits[wait]));
                }
                (Step::Notify(0), Some((session, token))) => _ = bench.call(session, notify_all(token), NOW),
                (Step::Notify(count), Some((session, token))) => _ = bench.call(session, notify(token, count), NOW),
                (Step::Cancel(at), _) if !calls.is_empty() => bench.cancel(calls[at % calls.len()]),
                (Step::Unheard(at), _) if !replies.is_empty() => {
                    let (session, reply) = replies.swap_remove(at % replies.len());
                    bench.unheard(session, reply);
                }
                (Step::Depart(session), _) => bench.depart(SessionId(session)),
                (Step::Pass(ms), _) => bench.pass(ms),
                _ => {}
            }
            replies.extend(bench.replies());
            let (waiting, returning, held) = figures(&bench);
            prop_assert!(held || returning == 0, "a free lock has nobody who wants it back");
            let standing = |what| bench.core.standing().iter().filter(|call| call.what == what).count();
            let calls = (standing("to be notified"), standing("to acquire again"));
            prop_assert_eq!((waiting, returning), calls, "every wait has its call, and every call its wait");
        }
        (1..6).for_each(|session| bench.depart(SessionId(session)));
        prop_assert_eq!((bench.core.waiting(), figures(&bench)), (0, (0, 0, false)));
    }
}
