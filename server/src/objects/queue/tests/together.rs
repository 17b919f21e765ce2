//! Several verbs as one step.

use super::*;
use proptest::prelude::*;

/// Decides commands as one and evolves.
fn transact(queue: &mut Queue, caller: SessionId, commands: &[Command], now: Moment) -> Result<Vec<Reply>, Fault> {
    let (changes, replies) = queue.decide_all(caller, commands, now)?;
    assert_eq!(replies.len(), commands.len(), "one reply for each, in their order");
    for change in changes {
        assert_eq!(Queue::decode(&Queue::encode(&change)).unwrap(), change);
        queue.evolve(change);
    }
    assert_eq!(queue.violation(), None);
    rebuilt(queue);
    Ok(replies)
}

/// A refusal, after which the queue is as it was.
fn refused(queue: &mut Queue, commands: &[Command]) -> Fault {
    let before = queue.history();
    let fault = transact(queue, ONE, commands, NOW).expect_err("is refused");
    assert_eq!(queue.history(), before, "a refusal changes nothing");
    fault
}

fn put(data: &[&str]) -> Command {
    Command::Put(data.iter().map(|data| item(data)).collect())
}

fn done(leases: &[u64]) -> Command {
    Command::Done { leases: leases.to_vec() }
}

fn give_back(leases: &[u64], how: Return) -> Command {
    Command::Return { leases: leases.to_vec(), how, delay_ms: None, why: String::new() }
}

fn park(leases: &[u64], ids: &[u64]) -> Command {
    Command::Park { leases: leases.to_vec(), ids: ids.to_vec(), why: "w".into() }
}

/// A queue of these items, of which the session holds the first ones: leases and ids from 1.
fn holding(data: &[&str], leases: usize) -> Queue {
    let mut queue = queue();
    ask(&mut queue, ONE, put(data), NOW).unwrap();
    ask(&mut queue, ONE, Command::Get { max: leases, buffered: false }, NOW).unwrap();
    queue
}

fn tight(maxsize: u64, max_bytes: u64) -> Queue {
    Queue::new(Options { maxsize, max_bytes, ..queue().limits().clone() })
}

#[test]
fn puts_and_settlements_happen_together_and_replies_keep_their_order() {
    let mut queue = holding(&["a", "b", "c", "d"], 4);
    let commands = [
        done(&[2]),
        put(&["e", "f"]),
        give_back(&[1], Return::Released),
        put(&["g"]),
        Command::DoneOldest { count: 1 },
        park(&[4], &[]),
    ];
    let replies = transact(&mut queue, ONE, &commands, NOW).unwrap();
    let [
        Reply::Done { .. },
        Reply::Put { ids: first, .. },
        Reply::Return { parked: 0, .. },
        Reply::Put { ids: second, .. },
        rest @ ..,
    ] = &replies[..]
    else {
        panic!("{replies:?}");
    };
    assert_eq!((&first[..], &second[..]), (&[5, 6][..], &[7][..]));
    assert!(matches!(rest, [Reply::Done { .. }, Reply::Park { .. }]));
    let data: Vec<_> = queue.front(9).into_iter().map(|item| item.data).collect();
    assert_eq!(data, ["a", "e", "f", "g"], "what is given back stands at the head");
    let stats = queue.stats(NOW);
    assert_eq!((stats.leased, stats.parked, stats.counters.done), (0, 1, 2), "oldest was lease 3: 1 and 2 were settled before");
}

#[test]
fn all_puts_go_in_or_none() {
    let full = Fault::Full { maxsize: 3, max_bytes: 10 };
    let mut queue = tight(3, 10);
    assert_eq!(refused(&mut queue, &[put(&["a", "b"]), put(&["c", "d"])]), full, "four into three");
    assert_eq!(refused(&mut queue, &[put(&["aaaaaa"]), put(&["bbbbb"])]), full, "eleven bytes into ten");
    assert!(matches!(refused(&mut queue, &[put(&["a", "b", "c", "d"])]), Fault::Full { .. }), "also one put alone");
    transact(&mut queue, ONE, &[put(&["a", "b"]), put(&["c"])], NOW).unwrap();
    assert!(matches!(refused(&mut queue, &[put(&["d"])]), Fault::Full { .. }));
    let too_large = refused(&mut tight(0, 10), &[put(&["a"]), put(&["larger than ten"])]);
    assert!(matches!(too_large, Fault::TooLarge { limit: 10, .. }));
}

#[test]
fn puts_are_decided_before_settlements() {
    let mut queue = tight(1, 1000);
    ask(&mut queue, ONE, put(&["a"]), NOW).unwrap();
    assert!(matches!(refused(&mut queue, &[park(&[], &[1]), put(&["b"])]), Fault::Full { .. }), "the room is not there yet");
    let mut queue = self::queue();
    ask(&mut queue, ONE, Command::Put(vec![keyed("a", OnDuplicate::Reject)]), NOW).unwrap();
    get(&mut queue, ONE, NOW);
    let again = Command::Put(vec![keyed("b", OnDuplicate::Replace)]);
    assert_eq!(refused(&mut queue, &[done(&[1]), again]), Fault::Duplicate { id: 1 }, "its key is not free yet");
}

#[test]
fn a_duplicate_that_would_be_refused_refuses_all() {
    let mut queue = queue();
    let keyed = |data, on_duplicate| Command::Put(vec![item("x"), keyed(data, on_duplicate)]);
    let twice = [keyed("a", OnDuplicate::Reject), keyed("b", OnDuplicate::Reject)];
    assert_eq!(refused(&mut queue, &twice), Fault::Duplicate { id: 2 });
    let commands = [keyed("a", OnDuplicate::Reject), keyed("b", OnDuplicate::Merge), keyed("c", OnDuplicate::Replace)];
    let replies = transact(&mut queue, ONE, &commands, NOW).unwrap();
    let ids: Vec<_> = replies
        .into_iter()
        .map(|reply| match reply {
            Reply::Put { ids, duplicates } if duplicates.is_empty() => ids,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, [[1, 2], [3, 2], [4, 2]]);
    let data: Vec<_> = queue.front(9).into_iter().map(|item| item.data).collect();
    assert_eq!(data, ["x", "c", "x", "x"]);
}

#[test]
fn a_lease_that_is_not_held_refuses_all() {
    let mut queue = holding(&["a", "b", "c"], 2);
    for commands in [
        vec![put(&["x"]), done(&[1, 9])],
        vec![done(&[1]), give_back(&[9], Return::Failed)],
        vec![done(&[1]), park(&[2, 9], &[])],
    ] {
        assert_eq!(refused(&mut queue, &commands), Fault::NotHeld { lease: 9 });
    }
    assert!(matches!(queue.decide_all(TWO, &[done(&[1])], NOW), Err(Fault::NotHeld { lease: 1 })), "only the holder settles");
    ask(&mut queue, ONE, done(&[1]), NOW).unwrap();
    assert_eq!(refused(&mut queue, &[done(&[1])]), Fault::NotHeld { lease: 1 }, "also if it was done before");
    let too_many = refused(&mut queue, &[done(&[2]), Command::DoneOldest { count: 1 }]);
    assert_eq!(too_many, Fault::TooManyDone { asked: 1, held: 0 });
}

#[test]
fn a_lease_is_settled_once() {
    let mut queue = holding(&["a", "b"], 2);
    for commands in [
        vec![done(&[1, 1])],
        vec![done(&[1]), give_back(&[1], Return::Released)],
        vec![Command::DoneOldest { count: 2 }, park(&[2], &[])],
    ] {
        let fault = refused(&mut queue, &commands);
        assert!(matches!(&fault, Fault::BadArgument { argument, .. } if argument == "leases"), "{fault:?}");
    }
}

#[test]
fn a_closed_queue_takes_settlements_and_no_puts() {
    let mut queue = holding(&["a", "b"], 2);
    ask(&mut queue, ONE, Command::Close { immediate: false }, NOW).unwrap();
    assert_eq!(refused(&mut queue, &[done(&[1]), put(&["c"])]), Fault::Closed {});
    transact(&mut queue, ONE, &[done(&[1]), give_back(&[2], Return::Released)], NOW).unwrap();
    assert_eq!((queue.unfinished(), queue.ready()), (1, 1));
}

/// A queue that was shut down drops what is given back, so that there is nothing to park.
#[test]
fn what_a_step_gives_back_is_there_for_those_behind_it() {
    let mut queue = holding(&["a", "b"], 2);
    let replies = transact(&mut queue, ONE, &[give_back(&[1], Return::Released), park(&[], &[1, 2])], NOW).unwrap();
    assert!(matches!(&replies[1], Reply::Park { not_found, .. } if not_found[..] == [2]));
    assert_eq!(queue.stats(NOW).parked, 1);
    ask(&mut queue, ONE, Command::Close { immediate: true }, NOW).unwrap();
    let replies = transact(&mut queue, ONE, &[give_back(&[2], Return::Released), park(&[], &[2])], NOW).unwrap();
    assert!(matches!(&replies[1], Reply::Park { not_found, .. } if not_found[..] == [2]));
}

#[test]
fn a_queued_item_is_parked_once() {
    let mut queue = holding(&["a", "b"], 1);
    let replies = transact(&mut queue, ONE, &[put(&["c"]), park(&[], &[2, 3]), park(&[], &[3, 2])], NOW).unwrap();
    assert!(matches!(&replies[2], Reply::Park { not_found, .. } if not_found[..] == [2, 3]));
    assert_eq!((queue.stats(NOW).parked, queue.ready()), (2, 0));
}

#[test]
fn a_transaction_is_no_larger_than_one_call_of_each_verb() {
    let mut queue = queue();
    let many = Command::Put(vec![item(""); limits::BATCH_MAX]);
    transact(&mut queue, ONE, std::slice::from_ref(&many), NOW).unwrap();
    let what = |fault: Fault| match fault {
        Fault::LimitReached { what, .. } => what.split(' ').next().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(what(queue.decide_all(ONE, &[many, put(&["one more"])], NOW).unwrap_err()), "items");
    let oldest = Command::DoneOldest { count: limits::BATCH_MAX };
    assert_eq!(what(queue.decide_all(ONE, &[oldest, done(&[1])], NOW).unwrap_err()), "leases");
    let ids: Vec<u64> = (1..=PARK_IDS_MAX as u64).collect();
    assert_eq!(what(queue.decide_all(ONE, &[park(&[], &ids), park(&[], &[101])], NOW).unwrap_err()), "ids");
}

#[test]
fn what_waits_or_gives_something_is_no_step() {
    let steps = [put(&["a"]), done(&[1]), Command::DoneOldest { count: 1 }, give_back(&[1], Return::Failed), park(&[], &[1])];
    assert!(steps.iter().all(Queue::joins));
    let get = Command::Get { max: 1, buffered: false };
    let others = [get, Command::Join, Command::Start { leases: vec![1] }, Command::Close { immediate: true }, Command::Purge];
    for command in others {
        assert!(!Queue::joins(&command));
        assert!(matches!(refused(&mut queue(), &[command]), Fault::BadArgument { .. }));
    }
    assert!(queue().decide_all(ONE, &[], NOW).unwrap().1.is_empty());
}

#[test]
fn tests_ask_for_leases_and_emptiness() {
    let mut queue = holding(&["a"], 1);
    let test = |queue: &Queue, caller, test| queue.test(caller, &test);
    assert_eq!(test(&queue, ONE, Test::LeaseHeld(1)), Some(true));
    assert_eq!(test(&queue, TWO, Test::LeaseHeld(1)), Some(false), "it is another session's");
    assert_eq!(test(&queue, ONE, Test::LeaseHeld(2)), Some(false));
    assert_eq!(test(&queue, ONE, Test::IsEmpty(true)), Some(true), "what is leased is not queued");
    ask(&mut queue, ONE, Command::Put(vec![NewItem { delay_ms: 9, ..item("b") }]), NOW).unwrap();
    assert_eq!(test(&queue, ONE, Test::IsEmpty(true)), Some(false), "what is delayed is");
    assert_eq!(test(&queue, ONE, Test::IsEmpty(false)), Some(true));
    assert_eq!(test(&queue, ONE, Test::IsSet(true)), None);
}

#[test]
fn who_holds_longest_is_named_first() {
    let mut queue = queue();
    ask(&mut queue, ONE, put(&["a", "b", "c", "d"]), NOW).unwrap();
    assert!(queue.holdings().is_empty());
    for session in [TWO, ONE, TWO, TWO] {
        get(&mut queue, session, NOW);
    }
    let holding = |session, what: &str| Holding { session, what: what.into(), since: None, token: 0 };
    assert_eq!(queue.holdings(), [holding(TWO, "3 items"), holding(ONE, "1 item")]);
}

/// Puts first, then the others, each on its own; `None`: one of them is refused, or does less than all it was asked for.
fn one_by_one(queue: &Queue, commands: &[Command], now: Moment) -> Option<(Vec<String>, Queue)> {
    let mut queue = rebuilt(queue);
    let mut replies = vec![String::new(); commands.len()];
    let is_put = |command: &Command| matches!(command, Command::Put(_));
    let places = 0..commands.len();
    let puts = places.clone().filter(|at| is_put(&commands[*at]));
    for at in puts.chain(places.clone().filter(|at| !is_put(&commands[*at]))) {
        let leases: &[u64] = match &commands[at] {
            Command::Done { leases } | Command::Return { leases, .. } | Command::Park { leases, .. } => leases,
            _ => &[],
        };
        if distinct(leases).len() < leases.len() || !leases.iter().all(|lease| queue.holds(ONE, *lease)) {
            return None;
        }
        let reply = match queue.decide(ONE, &commands[at], now) {
            Decision::Answer(reply) => reply,
            Decision::Change(change, reply) => {
                queue.evolve(change);
                reply
            }
            _ => return None,
        };
        if let (Reply::Put { ids, duplicates }, Command::Put(items)) = (&reply, &commands[at])
            && (ids.len() < items.len() || !duplicates.is_empty())
        {
            return None;
        }
        replies[at] = format!("{reply:?}");
    }
    Some((replies, queue))
}

/// The commands that led to the state, and those of the transaction.
fn scripts() -> impl Strategy<Value = (Vec<(SessionId, Command)>, Vec<Command>)> {
    let on_duplicate = prop::sample::select(vec![OnDuplicate::Reject, OnDuplicate::Replace, OnDuplicate::Merge]);
    let item =
        ("[a-z]{0,9}", 0u8..2, 0u64..2, 0usize..9, on_duplicate).prop_map(|(data, priority, delay_ms, key, on_duplicate)| {
            // Mostly no key.
            let unique_key = Bytes::from_static([&b"k"[..], b"l", b"m"].get(key).copied().unwrap_or(b""));
            NewItem { priority, delay_ms: delay_ms * 50, unique_key, on_duplicate, ..item(&data) }
        });
    let put = prop::collection::vec(item, 1..4).prop_map(Command::Put);
    let leases = |count| prop::collection::vec(1u64..6, count);
    let how = prop::sample::select(vec![Return::Released, Return::Failed]);
    let give_back = (leases(1..3), how, prop::option::of(0u64..9)).prop_map(|(leases, how, delay_ms)| Command::Return {
        leases,
        how,
        delay_ms,
        why: "why".into(),
    });
    let park = (leases(0..2), prop::collection::vec(1u64..11, 0..3));
    let park = park.prop_map(|(leases, ids)| Command::Park { leases, ids, why: "why".into() });
    let step = prop_oneof![
        3 => put.clone(),
        3 => leases(1..3).prop_map(|leases| Command::Done { leases }),
        1 => (1usize..3).prop_map(|count| Command::DoneOldest { count }),
        2 => give_back,
        3 => park,
    ];
    let before = prop_oneof![
        4 => put,
        4 => (1usize..4, prop::bool::weighted(0.2)).prop_map(|(max, buffered)| Command::Get { max, buffered }),
        4 => step.clone(),
        1 => prop::bool::weighted(0.1).prop_map(|immediate| Command::Close { immediate }),
    ];
    let caller = prop_oneof![4 => Just(ONE), 1 => Just(TWO)];
    (prop::collection::vec((caller, before), 0..25), prop::collection::vec(step, 0..5))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn together_is_all_of_it_one_by_one_or_nothing((before, commands) in scripts()) {
        let mut queue = tight(9, 60);
        for (caller, command) in before {
            _ = ask(&mut queue, caller, command, NOW);
        }
        match one_by_one(&queue, &commands, NOW) {
            None => _ = refused(&mut queue, &commands),
            Some((expected, after)) => {
                let replies = transact(&mut queue, ONE, &commands, NOW).expect("each on its own is not refused");
                assert_eq!(replies.iter().map(|reply| format!("{reply:?}")).collect::<Vec<_>>(), expected);
                assert_eq!(queue.history(), after.history());
            }
        }
    }
}
