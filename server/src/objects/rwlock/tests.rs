//! Each promise of an rwlock, asked of its core.

use super::super::{
    grant::tests::{A, B, Bench, C, D, EPOCH, EVER, NOW, within},
    kind::Wire,
};
use super::*;
use bursar_proto::v1::{self, answer, registry::options, rwlock as pb};
use proptest::prelude::*;

const READ: Command = acquire(0, false, true);
const WRITE: Command = acquire(0, true, true);
const TRY_READ: Command = acquire(0, false, false);
const TRY_WRITE: Command = acquire(0, true, false);

const fn acquire(owner: u64, write: bool, waits: bool) -> Command {
    Command::Acquire { owner, write, waits }
}

fn release(token: u64) -> Command {
    Command::Release { token }
}

fn downgrade(token: u64) -> Command {
    Command::Downgrade { token }
}

fn granted(token: u64) -> Result<Reply, Fault> {
    Ok(Reply::Acquire { token })
}

fn bench() -> Bench<Rwlock> {
    Bench::new(options::Kind::Rwlock(pb::Options { on_deadlock: 0 }))
}

fn figures(bench: &Bench<Rwlock>) -> (u64, u64) {
    let figures = bench.core.kind().figures();
    (figures[0].1, figures[1].1)
}

#[test]
fn many_read_and_one_writes() {
    let mut bench = bench();
    assert_eq!([A, B].map(|session| bench.ask(session, TRY_READ, NOW)), [granted(EPOCH + 1), granted(102)]);
    assert!(matches!(bench.refused(C, TRY_WRITE, NOW), Fault::Held { session: 1, others: 1, .. }));
    bench.ask(A, release(101), NOW).unwrap();
    assert!(matches!(bench.refused(C, TRY_WRITE, NOW), Fault::Held { session: 2, others: 0, .. }));
    bench.ask(B, release(102), NOW).unwrap();
    assert_eq!(bench.ask(C, TRY_WRITE, NOW), granted(103));
    assert!(matches!(bench.refused(A, TRY_READ, NOW), Fault::Held { session: 3, others: 0, .. }));
    assert!(matches!(bench.refused(A, TRY_WRITE, NOW), Fault::Held { session: 3, .. }));
}

#[test]
fn who_wants_to_read_behind_a_waiting_writer_waits() {
    let mut bench = bench();
    bench.ask(A, READ, EVER).unwrap();
    let writer = bench.call(B, WRITE, EVER);
    let reader = bench.call(C, READ, EVER);
    assert!(matches!(bench.refused(D, TRY_READ, NOW), Fault::Held { session: 1, .. }));
    assert!(bench.is_waiting(reader));
    bench.ask(A, release(101), NOW).unwrap();
    assert_eq!((bench.answer(writer), bench.answer(reader)), (Some(granted(102)), None));
    bench.ask(B, release(102), NOW).unwrap();
    assert_eq!(bench.answer(reader), Some(granted(103)));
}

#[test]
fn readers_at_the_front_are_granted_together_and_those_behind_the_next_writer_are_not() {
    let mut bench = bench();
    bench.ask(A, WRITE, EVER).unwrap();
    let together = [B, C].map(|session| bench.call(session, READ, EVER));
    let writer = bench.call(A, acquire(1, true, true), EVER);
    let behind = bench.call(D, READ, EVER);
    bench.ask(A, release(101), NOW).unwrap();
    assert_eq!(together.map(|call| bench.answer(call)), [Some(granted(102)), Some(granted(103))]);
    assert!(bench.is_waiting(writer) && bench.is_waiting(behind));
    bench.ask(C, release(103), NOW).unwrap();
    assert!(bench.is_waiting(writer), "one still reads");
    bench.ask(B, release(102), NOW).unwrap();
    assert_eq!((bench.answer(writer), bench.is_waiting(behind)), (Some(granted(104)), true));
}

#[test]
fn a_writer_that_gives_up_lets_those_behind_it_read() {
    let mut bench = bench();
    bench.ask(A, READ, EVER).unwrap();
    let short = bench.call(B, WRITE, within(10));
    let behind = bench.call(C, READ, EVER);
    bench.pass(10);
    assert!(matches!(bench.answer(short), Some(Err(Fault::Held { session: 1, held_ms: 10, others: 0, .. }))));
    assert_eq!(bench.answer(behind), Some(granted(102)));
    let cancelled = bench.call(B, WRITE, EVER);
    let behind = bench.call(D, READ, EVER);
    bench.cancel(cancelled);
    assert_eq!(bench.answer(behind), Some(granted(103)));
    let gone = bench.call(B, WRITE, EVER);
    let behind = bench.call(D, acquire(5, false, true), EVER);
    bench.depart(B);
    assert!(matches!(bench.answer(gone), Some(Err(Fault::SessionEnded { .. }))));
    assert_eq!(bench.answer(behind), Some(granted(104)));
}

#[test]
fn an_owner_that_reads_may_read_again_past_a_waiting_writer() {
    let mut bench = bench();
    bench.ask(A, READ, EVER).unwrap();
    let writer = bench.call(B, WRITE, EVER);
    assert_eq!(bench.ask(A, READ, EVER), granted(102));
    assert_eq!(bench.ask(A, TRY_READ, NOW), granted(103));
    let other = bench.call(A, acquire(1, false, true), EVER);
    assert!(bench.is_waiting(other), "another owner of the session stands in line");
    for token in [102, 101, 103] {
        assert!(bench.is_waiting(writer));
        bench.ask(A, release(token), NOW).unwrap();
    }
    assert_eq!(bench.answer(writer), Some(granted(104)));
}

#[test]
fn an_owner_is_told_at_once_when_it_would_wait_for_itself() {
    let mut bench = bench();
    bench.ask(B, READ, EVER).unwrap();
    bench.ask(A, READ, EVER).unwrap();
    let waiting = bench.call(C, WRITE, EVER);
    let cycle = "session 1, owner 0, holds it already, under token 102".to_owned();
    assert_eq!(bench.refused(A, WRITE, EVER), Fault::WouldDeadlock { cycle }, "a reader does not become a writer");
    let held = bench.refused(A, TRY_WRITE, NOW);
    assert!(matches!(held, Fault::Held { session: 2, others: 1, .. }), "who holds it longest: {held:?}");
    bench.cancel(waiting);
    bench.ask(A, release(102), NOW).unwrap();
    bench.ask(B, release(101), NOW).unwrap();
    bench.ask(A, WRITE, EVER).unwrap();
    for again in [READ, WRITE] {
        assert!(matches!(bench.refused(A, again, EVER), Fault::WouldDeadlock { .. }), "{again:?} by the writer");
    }
    assert!(matches!(bench.refused(A, TRY_READ, NOW), Fault::Held { session: 1, others: 0, .. }));
}

#[test]
fn a_writer_becomes_a_reader_with_nobody_in_between() {
    let mut bench = bench();
    bench.ask(A, WRITE, EVER).unwrap();
    let [reader, writer] = [(B, READ), (C, WRITE)].map(|(session, command)| bench.call(session, command, EVER));
    assert_eq!(bench.core.kind().exclusive(), Some(101));
    assert_eq!(bench.refused(B, downgrade(101), NOW), Fault::NotHeld { lease: 101 });
    assert_eq!(bench.ask(A, downgrade(101), NOW), Ok(Reply::Downgrade));
    assert_eq!(bench.core.kind().exclusive(), Some(0), "its token is no fence any more");
    assert_eq!((bench.answer(reader), bench.is_waiting(writer)), (Some(granted(102)), true));
    assert!(matches!(bench.refused(A, downgrade(101), NOW), Fault::BadArgument { argument, .. } if argument == "token"));
    assert_eq!(bench.ask(A, READ, EVER), granted(103), "it reads, and may read again");
    for (session, token) in [(A, 101), (A, 103), (B, 102)] {
        bench.ask(session, release(token), NOW).unwrap();
    }
    assert_eq!(bench.answer(writer), Some(granted(104)));
}

#[test]
fn only_the_holder_s_session_releases() {
    let mut bench = bench();
    bench.ask(A, READ, EVER).unwrap();
    bench.ask(B, READ, EVER).unwrap();
    for (session, token) in [(A, 102), (B, 101), (C, 101), (A, 0), (A, u64::MAX)] {
        assert_eq!(bench.refused(session, release(token), NOW), Fault::NotHeld { lease: token });
        assert_eq!(bench.refused(session, downgrade(token), NOW), Fault::NotHeld { lease: token });
    }
    bench.ask(A, release(101), NOW).unwrap();
    assert_eq!(bench.refused(A, release(101), NOW), Fault::NotHeld { lease: 101 }, "twice");
}

#[test]
fn the_end_of_a_session_frees_all_that_it_held_in_one_step() {
    let mut bench = bench();
    for owner in [0, 0, 1, u64::MAX] {
        bench.ask(A, acquire(owner, false, true), EVER).unwrap();
    }
    bench.ask(B, READ, EVER).unwrap();
    let writer = bench.call(C, WRITE, EVER);
    let before = bench.journal.len();
    bench.depart(A);
    assert_eq!(bench.journal[before..], [Change::Released { tokens: vec![101, 102, 103, 104] }]);
    assert_eq!(figures(&bench), (1, 0));
    bench.depart(B);
    assert_eq!(bench.answer(writer), Some(granted(106)));
    bench.depart(C);
    assert_eq!(figures(&bench), (0, 0));
}

#[test]
fn an_answer_that_was_not_heard_is_given_back() {
    let mut bench = bench();
    bench.ask(A, READ, EVER).unwrap();
    bench.ask(A, READ, EVER).unwrap();
    let writer = bench.call(B, WRITE, EVER);
    bench.unheard(B, Reply::Acquire { token: 102 });
    bench.unheard(A, Reply::Release);
    assert_eq!(figures(&bench), (2, 0), "it is another's, or gave nothing");
    bench.unheard(A, Reply::Acquire { token: 102 });
    bench.unheard(A, Reply::Acquire { token: 102 });
    assert_eq!(figures(&bench), (1, 0));
    bench.unheard(A, Reply::Acquire { token: 101 });
    assert_eq!(bench.answer(writer), Some(granted(103)));
    bench.unheard(B, Reply::Acquire { token: 103 });
    assert_eq!(figures(&bench), (0, 0));
}

#[test]
fn readers_have_a_limit() {
    let mut rwlock = Rwlock::new(Options { refuses_deadlock: false }, EPOCH);
    for token in 0..READERS_MAX as u64 {
        let owner = Owner { session: A, number: token };
        let grant = Grant { token: EPOCH + 1 + token, owner, since: Moment(0) };
        rwlock.evolve(Change::Granted(Granted { grant, write: false }));
    }
    let full = |decision| matches!(decision, Decision::Refuse(Fault::LimitReached { limit: 100_000, .. }));
    assert!(full(rwlock.decide(B, &READ, Moment(0))) && full(rwlock.decide(A, &READ, Moment(0))));
    assert!(matches!(rwlock.decide(B, &WRITE, Moment(0)), Decision::Wait));
    let departed = rwlock.departed(A, Departure::Lost, "", Moment(0)).unwrap();
    assert!(Rwlock::encode(&departed).len() < 1 << 20);
    let history = rwlock.history();
    assert_eq!(history.len(), READERS_MAX / RESTORED_MAX);
    let mut again = Rwlock::new(Options { refuses_deadlock: false }, EPOCH);
    history.into_iter().for_each(|change| again.evolve(change));
    assert!(again == rwlock && again.violation().is_none());
}

#[test]
fn it_says_who_holds_it_and_what_for() {
    let mut bench = bench();
    bench.ask(A, WRITE, EVER).unwrap();
    let held = |bench: &Bench<Rwlock>| {
        let holdings = bench.core.kind().holdings();
        holdings.into_iter().map(|held| (held.session, held.what, held.token)).collect::<Vec<_>>()
    };
    assert_eq!(held(&bench), [(A, "the lock, to write".to_owned(), 101)]);
    let test = |bench: &Bench<Rwlock>, token| bench.core.kind().test(B, &Test::TokenHeld(token));
    assert_eq!((test(&bench, 101), test(&bench, 0)), (Some(true), Some(false)));
    bench.ask(A, downgrade(101), NOW).unwrap();
    bench.ask(B, READ, EVER).unwrap();
    assert_eq!(held(&bench), [(A, "the lock, to read".to_owned(), 101), (B, "the lock, to read".to_owned(), 102)]);
    assert_eq!(test(&bench, 101), Some(false), "a reader's token is no exclusive one");
    assert_eq!([&READ, &WRITE].map(|command| bench.core.kind().awaited(command)), ["to read", "to write"]);
}

#[test]
fn options_and_requests_are_checked_at_the_border() {
    let create = |kind| Rwlock::create(&v1::registry::Options { kind }, 1).map(|rwlock| rwlock.options().kind);
    let ours = |on_deadlock| Some(options::Kind::Rwlock(pb::Options { on_deadlock }));
    assert_eq!((create(ours(0)), create(ours(1))), (Ok(ours(0)), Ok(ours(1))));
    let argument = |fault| match fault {
        Fault::BadArgument { argument, .. } => argument,
        other => panic!("{other:?}"),
    };
    assert_eq!(argument(create(ours(-1)).unwrap_err()), "on_deadlock");
    assert_eq!(argument(create(None).unwrap_err()), "options");
    let read = |wait_ms, write| {
        let request = pb::AcquireRequest { object: None, wait_ms, owner: 4, write };
        Rwlock::command(bursar_proto::Command::Rwlock(pb::command::Verb::Acquire(request)), 0)
    };
    assert_eq!((read(0, true), read(-1, false)), (Ok(acquire(4, true, false)), Ok(acquire(4, false, true))));
    assert_eq!(argument(read(-2, false).unwrap_err()), "wait_ms");
    let foreign = bursar_proto::Command::Queue(v1::queue::command::Verb::Peek(Default::default()));
    assert_eq!(argument(Rwlock::command(foreign, 0).unwrap_err()), "object");
}

#[test]
fn only_what_gives_something_comes_back_from_the_wire() {
    let grant = Reply::Acquire { token: 5 };
    assert_eq!(Rwlock::holding(Rwlock::reply(grant)), Some(grant));
    assert_eq!([Reply::Release, Reply::Downgrade].map(|reply| Rwlock::holding(Rwlock::reply(reply))), [None, None]);
    assert_eq!(Rwlock::holding(answer::Reply::Rwlock(pb::Reply { verb: None })), None);
}

#[test]
fn damaged_changes_are_refused() {
    assert!(Rwlock::decode(&[255]).is_err() && Rwlock::decode(&[]).is_err());
    let newer = [&[8, 1][..], &Rwlock::encode(&Change::Downgraded { token: 1 })].concat();
    assert!(Rwlock::decode(&newer).unwrap_err().to_string().contains("newer"));
}

/// A check that cannot fail is none.
#[test]
fn every_broken_invariant_is_seen() {
    let broken = |harm: fn(&mut Rwlock)| {
        let mut rwlock = Rwlock::new(Options { refuses_deadlock: false }, EPOCH);
        let grant = Grant { token: 101, owner: Owner { session: A, number: 0 }, since: Moment(0) };
        rwlock.evolve(Change::Granted(Granted { grant, write: false }));
        harm(&mut rwlock);
        rwlock.violation().unwrap_or_default()
    };
    assert_eq!(broken(|_| ()), "");
    assert!(broken(|rwlock| rwlock.writer = rwlock.readers.get(&101).copied()).contains("L1"));
    assert!(broken(|rwlock| rwlock.last_token = 100).contains("L2"));
    assert!(broken(|rwlock| rwlock.epoch = 101).contains("L2"));
    assert!(broken(|rwlock| rwlock.tokens.clear()).contains("L4"));
}

#[derive(Clone, Debug)]
enum Step {
    Acquire(u64, u64, bool, usize),
    Release(usize),
    Downgrade(usize),
    Cancel(usize),
    Unheard(usize),
    Depart(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..4u64, 0..2u64, any::<bool>(), 0..3usize).prop_map(|(session, owner, write, wait)| {
            Step::Acquire(session, owner, write, wait)
        }),
        6 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Downgrade),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::Unheard),
        1 => (1..4u64).prop_map(Step::Depart),
        2 => (0..30u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_is_shared_rightly_and_free_in_the_end(steps in prop::collection::vec(step(), 1..60)) {
        let mut bench = bench();
        let (mut calls, mut replies) = (Vec::new(), Vec::new());
        for step in steps {
            let held = |bench: &Bench<Rwlock>, at: usize| {
                let holdings = bench.core.kind().holdings();
                let held = holdings.get(at % holdings.len().max(1));
                held.map_or((A, 7), |held| (held.session, held.token))
            };
            match step {
                Step::Acquire(session, owner, write, wait) => {
                    let wait = [NOW, within(10), EVER][wait];
                    calls.push(bench.call(SessionId(session), acquire(owner, write, wait != NOW), wait));
                }
                Step::Release(at) => {
                    let (session, token) = held(&bench, at);
                    bench.call(session, release(token), NOW);
                }
                Step::Downgrade(at) => {
                    let (session, token) = held(&bench, at);
                    bench.call(session, downgrade(token), NOW);
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
        [A, B, C].into_iter().for_each(|session| bench.depart(session));
        prop_assert_eq!(bench.core.waiting(), 0);
        prop_assert_eq!(figures(&bench), (0, 0));
    }
}
