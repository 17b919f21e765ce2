//! Each promise of the topic, asked of the bare kind with a clock that stands still unless it is moved.

mod groups;
mod model;
mod overload;
mod replay;
mod requests;
mod subjects;
mod wire;

use super::{
    super::trial::{A, B, C, Dice, Trial, wait_ms},
    *,
};
use crate::objects::{
    kind::Wire,
    message::{Headers, Match, ReplyTo},
    value::Value,
};
use bursar_proto::Wait;
use bytes::Bytes;

const ROOMY: Options = Options {
    overload: Overload::DropOldest,
    buffer: Bounds { messages: 1_000, bytes: 8 << 20 },
    keep: Bounds { messages: 1_000, bytes: 16 << 20 },
};

fn options(overload: Overload, buffer: u64) -> Options {
    Options { overload, buffer: Bounds { messages: buffer, ..ROOMY.buffer }, ..ROOMY }
}

fn topic(overload: Overload, buffer: u64) -> Trial<Topic> {
    Trial::new(Topic::new(options(overload, buffer)))
}

fn content(payload: &str) -> Content {
    let value = Value { data: Bytes::copy_from_slice(payload.as_bytes()), codec: 0 };
    Content { value, headers: None, reply_to: None, answer_to: None }
}

fn said(subject: &str, payload: &str) -> Said {
    Said::new(subject.into(), content(payload))
}

/// Payloads of one letter each, under one subject.
fn publish(subject: &str, letters: &str) -> Command {
    let messages = letters.chars().map(|letter| said(subject, &letter.to_string())).collect();
    Command::Publish { messages, must_be_heard: false }
}

fn wants(patterns: &[&str]) -> Wants {
    Wants { subjects: patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect(), headers: Match::default() }
}

fn subscribe(patterns: &[&str], replay: Replay) -> Command {
    Command::Subscribe(Subscribe { wants: Some(wants(patterns)), group: None, replay })
}

fn join(group: &str) -> Command {
    Command::Subscribe(Subscribe { wants: Some(wants(&[])), group: Some(group.into()), replay: Replay::Nothing })
}

const INBOX: Command = Command::Subscribe(Subscribe { wants: None, group: None, replay: Replay::Nothing });

fn next(subscription: u64, max: usize) -> Command {
    Command::Next { subscription, max, done: Vec::new() }
}

fn unsubscribe(subscription: u64) -> Command {
    Command::Unsubscribe { subscription, done: Vec::new() }
}

/// The subscription that a call began.
fn begun(trial: &mut Trial<Topic>, caller: SessionId, command: Command) -> u64 {
    match trial.ask(caller, command).unwrap() {
        Reply::Subscribe { subscription, .. } => subscription,
        other => panic!("expected a subscription, got {other:?}"),
    }
}

/// Position of the last, how many were taken, who got the last.
fn published(trial: &mut Trial<Topic>, command: Command) -> (u64, u32, u64) {
    match trial.ask(A, command).unwrap() {
        Reply::Publish { position, taken, receivers } => (position, taken, receivers),
        other => panic!("expected to have published, got {other:?}"),
    }
}

/// What was given, in letters: `+` behind one that is redelivered, `(n)` where n were missed.
fn letters(reply: Reply) -> String {
    let Reply::Next { messages, missed, .. } = reply else { panic!("expected messages, got {reply:?}") };
    let gap = |missed: u64| if missed > 0 { format!("({missed})") } else { String::new() };
    let letter = |entry: &Waiting| {
        let payload = String::from_utf8_lossy(&entry.message.said.content.value.data).into_owned();
        gap(entry.missed) + &payload + if entry.redelivered { "+" } else { "" }
    };
    messages.iter().map(letter).collect::<String>() + &gap(missed)
}

fn given(trial: &mut Trial<Topic>, caller: SessionId, subscription: u64, max: usize) -> String {
    letters(trial.ask(caller, next(subscription, max)).unwrap())
}

fn is_empty(trial: &mut Trial<Topic>, caller: SessionId, subscription: u64) -> bool {
    matches!(trial.refused(caller, next(subscription, 1)), Fault::TimedOut { .. })
}

#[test]
fn every_subscription_gets_what_it_wants_in_the_order_of_publishing() {
    let mut trial = topic(Overload::Block, 10);
    let (all, eu) =
        (begun(&mut trial, A, subscribe(&[], Replay::Nothing)), begun(&mut trial, B, subscribe(&["eu.*"], Replay::Nothing)));
    assert_eq!(published(&mut trial, publish("eu.new", "ab")), (2, 2, 2));
    assert_eq!(published(&mut trial, publish("us.new", "c")), (3, 1, 1));
    assert_eq!(published(&mut trial, publish("eu.old", "d")), (4, 1, 2));
    assert_eq!(given(&mut trial, A, all, 9), "abcd");
    assert_eq!(given(&mut trial, B, eu, 9), "abd");
    assert!(is_empty(&mut trial, A, all) && is_empty(&mut trial, B, eu));
}

#[test]
fn a_message_is_in_memory_once_whoever_has_it() {
    let mut trial = topic(Overload::Block, 10);
    for _ in 0..100 {
        begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    }
    published(&mut trial, publish("a", "x"));
    let kept = trial.kind().kept.at(1).unwrap();
    assert!(trial.kind().streams.values().all(|stream| Arc::ptr_eq(&stream.waiting().next().unwrap().message, kept)));
}

#[test]
fn headers_narrow_what_is_wanted() {
    let mut trial = topic(Overload::Block, 10);
    let red = Match(Headers::from([("color".to_owned(), "red".to_owned())]));
    let wanted = Wants { headers: red.clone(), ..wants(&["a"]) };
    let one = begun(&mut trial, A, Command::Subscribe(Subscribe { wants: Some(wanted), group: None, replay: Replay::Nothing }));
    let colored = Content { headers: Some(Arc::new(red.0)), ..content("r") };
    let messages = vec![said("a", "x"), Said::new("a".into(), colored.clone()), Said::new("b".into(), colored)];
    published(&mut trial, Command::Publish { messages, must_be_heard: false });
    assert_eq!(given(&mut trial, A, one, 9), "r");
}

#[test]
fn a_next_waits_for_a_message_that_it_wants() {
    let mut trial = topic(Overload::Block, 10);
    let one = begun(&mut trial, A, subscribe(&["a"], Replay::Nothing));
    let waiting = trial.waits(A, next(one, 9), Wait::Forever);
    published(&mut trial, publish("b", "x"));
    assert!(trial.is_waiting(waiting));
    published(&mut trial, publish("a", "yz"));
    assert_eq!(letters(trial.told(waiting).unwrap()), "yz");
}

#[test]
fn a_next_gives_at_most_what_is_asked_for_and_a_mebibyte_beyond_the_first() {
    let mut trial = topic(Overload::Block, 10);
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    let messages = (0..4).map(|_| said("a", &"x".repeat(700_000))).collect();
    published(&mut trial, Command::Publish { messages, must_be_heard: false });
    let count = |reply: Outcome| match reply {
        Ok(Reply::Next { messages, .. }) => messages.len(),
        other => panic!("expected messages, got {other:?}"),
    };
    assert_eq!(count(trial.ask(A, next(one, 9))), 2);
    assert_eq!(count(trial.ask(A, next(one, 1))), 1);
    assert_eq!(count(trial.ask(A, next(one, 9))), 1);
}

type Outcome = Result<Reply, Fault>;

#[test]
fn a_subscription_is_its_sessions_alone() {
    let mut trial = topic(Overload::Block, 10);
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    for command in [next(one, 1), unsubscribe(one), Command::Done { subscription: one, positions: vec![1] }] {
        assert_eq!(trial.refused(B, command), Fault::NoSuchReceiver { id: one });
    }
    assert_eq!(trial.refused(A, next(7, 1)), Fault::NoSuchReceiver { id: 7 });
}

#[test]
fn a_subscription_goes_with_its_session_and_its_number_is_not_used_again() {
    let mut trial = topic(Overload::Block, 1);
    begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "x"));
    let publisher = trial.waits(B, publish("a", "y"), Wait::Forever);
    trial.die(A);
    assert!(matches!(trial.told(publisher), Ok(Reply::Publish { receivers: 0, .. })), "nobody is waited for any more");
    assert_eq!(begun(&mut trial, B, subscribe(&[], Replay::Nothing)), 2);
}

#[test]
fn the_end_of_a_session_is_nothing_to_the_subscriptions_of_others() {
    let mut trial = topic(Overload::Block, 10);
    let of_a = [begun(&mut trial, A, subscribe(&[], Replay::Nothing)), begun(&mut trial, A, join("g"))];
    let of_b = [begun(&mut trial, B, subscribe(&[], Replay::Nothing)), begun(&mut trial, B, join("g"))];
    assert_eq!(trial.kind().subscriptions.of(A).collect::<Vec<_>>(), of_a);
    let changes = trial.changes();
    trial.die(C);
    assert_eq!(trial.changes(), changes, "it had none");
    trial.ask(A, Command::Unsubscribe { subscription: of_a[0], done: vec![] }).unwrap();
    trial.die(A);
    assert_eq!(trial.changes(), changes + 2, "all in one change");
    assert_eq!(trial.kind().subscriptions.iter().map(|(id, _)| id).collect::<Vec<_>>(), of_b);
    trial.ask(C, Command::DeleteGroup { group: "g".into() }).unwrap();
    assert_eq!(trial.kind().subscriptions.of(B).collect::<Vec<_>>(), of_b[..1]);
}

#[test]
fn whoever_unsubscribes_is_owed_nothing_and_its_waiting_next_is_told() {
    let mut trial = topic(Overload::Block, 1);
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    let waiting = trial.waits(A, next(one, 1), Wait::Forever);
    assert_eq!(trial.ask(A, unsubscribe(one)), Ok(Reply::Unsubscribe));
    assert_eq!(trial.told(waiting), Err(Fault::NoSuchReceiver { id: one }));
    assert_eq!(published(&mut trial, publish("a", "x")), (1, 1, 0));
}

#[test]
fn what_did_not_arrive_is_given_again_in_its_place() {
    let mut trial = topic(Overload::Block, 10);
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "abcd"));
    let (first, second) = (trial.call(A, next(one, 2), Wait::Never), trial.call(A, next(one, 1), Wait::Never));
    trial.unheard(first);
    trial.unheard(second);
    published(&mut trial, publish("a", "e"));
    assert_eq!(given(&mut trial, A, one, 9), "abcde");
}

#[test]
fn what_did_not_arrive_is_not_dropped_for_the_bounds_and_is_the_same_message_while_it_is_kept() {
    let mut trial = topic(Overload::Block, 2);
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "ab"));
    let lost = trial.call(A, next(one, 2), Wait::Never);
    published(&mut trial, publish("a", "cd"));
    trial.unheard(lost);
    let stream = &trial.kind().streams[&one];
    assert!(Arc::ptr_eq(&stream.waiting().next().unwrap().message, trial.kind().kept.at(1).unwrap()));
    let publisher = trial.waits(A, publish("a", "e"), Wait::Forever);
    assert_eq!(given(&mut trial, A, one, 2), "ab");
    assert!(trial.is_waiting(publisher), "two wait still");
    assert_eq!(given(&mut trial, A, one, 9), "cd");
    assert_eq!(given(&mut trial, A, one, 9), "e");
}

#[test]
fn a_subscription_of_which_nobody_was_told_ends() {
    let mut trial = topic(Overload::Block, 1);
    let lost = trial.call(A, subscribe(&[], Replay::Nothing), Wait::Never);
    trial.unheard(lost);
    assert_eq!(published(&mut trial, publish("a", "a")), (1, 1, 0));
    assert_eq!(published(&mut trial, publish("a", "b")), (2, 1, 0));
}

#[test]
fn must_be_heard_is_refused_when_nobody_listens() {
    let mut trial = topic(Overload::DropNewest, 1);
    let heard = |subject: &str| Command::Publish { messages: vec![said(subject, "x")], must_be_heard: true };
    assert_eq!(trial.refused(A, heard("a")), Fault::NoResponders {});
    let group = begun(&mut trial, B, join("g"));
    assert_eq!(published(&mut trial, heard("a")), (1, 1, 1));
    assert_eq!(trial.refused(A, heard("a")), Fault::NoResponders {}, "it would be dropped");
    assert_eq!(given(&mut trial, B, group, 1), "x");
    trial.ask(B, unsubscribe(group)).unwrap();
    assert_eq!(trial.refused(A, heard("a")), Fault::NoResponders {}, "a group without members does not hear");
    begun(&mut trial, B, INBOX);
    assert_eq!(trial.refused(A, heard("a")), Fault::NoResponders {}, "nor does an inbox");
}

#[test]
fn stats_show_the_most_missed_first_and_count_for_all() {
    let mut trial = topic(Overload::DropOldest, 2);
    let one = begun(&mut trial, A, subscribe(&["a"], Replay::Nothing));
    let two = begun(&mut trial, B, subscribe(&[], Replay::Nothing));
    begun(&mut trial, C, join("g"));
    for letter in ["a", "b", "c", "d"] {
        published(&mut trial, publish("b", letter));
    }
    published(&mut trial, publish("a", "e"));
    assert_eq!(given(&mut trial, A, one, 1), "e");
    let Ok(Reply::Stats(stats)) = trial.ask(A, Command::Stats) else { panic!("expected figures") };
    let seen: Vec<_> = stats.streams.iter().map(|one| (one.subscription, one.buffered, one.given, one.missed)).collect();
    assert_eq!(seen, [(two, 2, 0, 3), (0, 2, 0, 3), (one, 0, 1, 0)]);
    assert_eq!((stats.position, stats.first_kept, stats.stream_count, stats.missed), (5, 1, 3, 6));
    trial.die(B);
    let Ok(Reply::Stats(stats)) = trial.ask(A, Command::Stats) else { panic!("expected figures") };
    assert_eq!((stats.stream_count, stats.missed), (2, 6), "what was missed stays counted");
}

#[test]
fn the_figures_say_what_there_is() {
    let mut trial = topic(Overload::DropOldest, 2);
    begun(&mut trial, A, join("g"));
    begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "ab"));
    published(&mut trial, publish("a", "c"));
    given(&mut trial, A, 1, 1);
    let figures: BTreeMap<_, _> = trial.kind().figures().into_iter().collect();
    let expected = [
        ("position", 3),
        ("kept", 3),
        ("kept_bytes", 6),
        ("subscriptions", 2),
        ("groups", 1),
        ("buffered", 3),
        ("given", 1),
        ("missed", 2),
    ];
    assert_eq!(figures, BTreeMap::from(expected));
}
