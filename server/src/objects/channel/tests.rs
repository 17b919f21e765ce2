//! Each promise of the channel, on the bare kind and with receivers who wait, die and are not reached.

mod answers;
mod closing;
mod model;
mod settling;
mod wire;

use super::super::trial::{A, B, C, D, Number, Trial, wait_ms};
use super::super::{message::AnswerTo, value::Value};
use super::*;
use bursar_proto::Wait;
use std::sync::Arc;

fn channel(max_messages: u64, max_bytes: u64) -> Trial<Channel> {
    Trial::new(Channel::new(Options { max_messages, max_bytes }))
}

fn roomy() -> Trial<Channel> {
    channel(1000, 1 << 20)
}

fn content(text: &str) -> Content {
    let value = Value { data: text.to_owned().into(), codec: 0 };
    Content { value, headers: None, reply_to: None, answer_to: None }
}

fn with_header(text: &str, name: &str, value: &str) -> Content {
    let headers = Some(Arc::new([(name.to_owned(), value.to_owned())].into()));
    Content { headers, ..content(text) }
}

fn answer(text: &str, inbox: u64) -> Content {
    Content { answer_to: Some(AnswerTo { inbox, correlation: 7, last: true }), ..content(text) }
}

fn wanting(name: &str, value: &str) -> Mode {
    Mode::Passive(Match([(name.to_owned(), value.to_owned())].into()))
}

fn everything() -> Mode {
    Mode::Passive(Match::default())
}

fn send(from: End, messages: Vec<Content>) -> Command {
    Command::Send { from, messages, must_be_heard: false }
}

fn heard(from: End, message: Content) -> Command {
    Command::Send { from, messages: vec![message], must_be_heard: true }
}

fn receive(receiver: u64) -> Command {
    Command::Receive { receiver, max: 1, done: Vec::new() }
}

fn receive_many(receiver: u64, max: usize, done: &[u64]) -> Command {
    Command::Receive { receiver, max, done: done.to_vec() }
}

impl Trial<Channel> {
    fn attach(&mut self, caller: SessionId, end: End, mode: Mode) -> u64 {
        match self.ask(caller, Command::Attach { end, mode }) {
            Ok(Reply::Attach { receiver }) => receiver,
            other => panic!("expected a receiver, got {other:?}"),
        }
    }

    /// From end A, by session A.
    fn say(&mut self, texts: &[&str]) {
        self.say_contents(texts.iter().map(|text| content(text)).collect());
    }

    fn say_contents(&mut self, messages: Vec<Content>) {
        let all = messages.len() as u64;
        assert!(matches!(self.ask(A, send(End::A, messages)), Ok(Reply::Send { count, .. }) if count == all));
    }

    /// Up to nine.
    fn get(&mut self, caller: SessionId, receiver: u64) -> Vec<String> {
        texts(self.ask(caller, receive_many(receiver, 9, &[])))
    }

    fn got(&self, number: Number) -> Vec<String> {
        texts(self.told(number))
    }

    fn done(&mut self, caller: SessionId, receiver: u64, positions: &[u64]) {
        assert_eq!(self.ask(caller, Command::Done { receiver, positions: positions.to_vec() }), Ok(Reply::Done));
    }

    fn detach(&mut self, caller: SessionId, receiver: u64) {
        assert_eq!(self.ask(caller, Command::Detach { receiver, done: vec![] }), Ok(Reply::Detach));
    }

    fn close(&mut self, end: End) -> u64 {
        match self.ask(D, Command::Close { end }) {
            Ok(Reply::Close { changed: true, dropped }) => dropped,
            other => panic!("expected it to close, got {other:?}"),
        }
    }

    /// Of end B: waiting, given, settled.
    fn numbers(&self) -> (u64, u64, u64) {
        let stats = self.kind().stats(End::B);
        (stats.waiting, stats.given, stats.counters.received)
    }
}

/// What was received; "!" marks what was given before.
fn texts(outcome: Result<Reply, Fault>) -> Vec<String> {
    match outcome {
        Ok(Reply::Receive { messages, .. }) => messages.iter().map(text).collect(),
        Err(Fault::TimedOut { .. }) => Vec::new(),
        other => panic!("expected messages, got {other:?}"),
    }
}

fn text(delivered: &Delivered) -> String {
    let mark = if delivered.redelivered { "!" } else { "" };
    format!("{mark}{}", String::from_utf8_lossy(&delivered.content.value.data))
}

fn end_closed(end: &str) -> Fault {
    Fault::EndClosed { end: end.into() }
}

// Who gets what.

#[test]
fn messages_arrive_in_order_with_their_positions_and_origin() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    assert_eq!(trial.ask(A, send(End::A, vec![content("a"), content("b")])), Ok(Reply::Send { first: 1, count: 2 }));
    assert_eq!(trial.ask(C, send(End::A, vec![content("c")])), Ok(Reply::Send { first: 3, count: 1 }));
    let sent = trial.now();
    trial.pass(5);
    let Ok(Reply::Receive { receiver: whose, messages }) = trial.ask(B, receive_many(receiver, 9, &[])) else { panic!() };
    assert_eq!(whose, receiver);
    let seen: Vec<_> = messages.iter().map(|message| (message.position, message.origin.session, message.origin.sent)).collect();
    assert_eq!(seen, [(1, A, sent), (2, A, sent), (3, C, sent)]);
}

#[test]
fn both_ends_send_and_receive_at_once() {
    let mut trial = roomy();
    let (at_a, at_b) = (trial.attach(A, End::A, Mode::Active), trial.attach(B, End::B, Mode::Active));
    trial.say(&["ping"]);
    assert_eq!(trial.ask(B, send(End::B, vec![content("pong")])), Ok(Reply::Send { first: 1, count: 1 }), "its own positions");
    assert_eq!(trial.get(B, at_b), ["ping"]);
    assert_eq!(trial.get(A, at_a), ["pong"]);
}

#[test]
fn the_number_of_a_receiver_says_its_end_and_is_never_used_twice() {
    let mut trial = roomy();
    let mut seen = std::collections::BTreeSet::new();
    for end in [End::A, End::B, End::B, End::A] {
        let receiver = trial.attach(B, end, Mode::Active);
        assert_eq!(End::of(receiver), end);
        assert!(receiver > 0 && seen.insert(receiver));
        trial.detach(B, receiver);
    }
}

#[test]
fn of_the_active_receivers_one_gets_a_message_in_the_order_of_asking() {
    let mut trial = roomy();
    let (b, c) = (trial.attach(B, End::B, Mode::Active), trial.attach(C, End::B, Mode::Active));
    let first = trial.waits(C, receive(c), Wait::Forever);
    let second = trial.waits(B, receive(b), Wait::Forever);
    trial.say(&["a"]);
    assert_eq!(trial.got(first), ["a"]);
    assert!(trial.is_waiting(second));
    trial.say(&["b"]);
    assert_eq!(trial.got(second), ["b"]);
}

#[test]
fn every_passive_receiver_whose_match_is_met_gets_a_message() {
    let mut trial = roomy();
    let (all, red) = (trial.attach(B, End::B, everything()), trial.attach(C, End::B, wanting("color", "red")));
    let blue = trial.attach(D, End::B, wanting("color", "blue"));
    trial.say_contents(vec![content("plain"), with_header("rose", "color", "red")]);
    assert_eq!(trial.get(B, all), ["plain", "rose"]);
    assert_eq!(trial.get(C, red), ["rose"]);
    assert_eq!(trial.get(D, blue), [""; 0]);
}

#[test]
fn an_active_receiver_gets_also_what_passive_ones_get() {
    let mut trial = roomy();
    let (active, passive) = (trial.attach(B, End::B, Mode::Active), trial.attach(C, End::B, everything()));
    trial.say(&["a"]);
    assert_eq!(trial.get(C, passive), ["a"]);
    assert_eq!(trial.get(B, active), ["a"]);
    trial.done(C, passive, &[1]);
    assert_eq!(trial.numbers(), (0, 1, 0), "the active one is not done with it");
    trial.done(B, active, &[1]);
    assert_eq!(trial.numbers(), (0, 0, 1));
}

#[test]
fn without_an_active_receiver_a_message_waits_for_one_only_if_no_passive_one_took_it() {
    let mut trial = roomy();
    trial.attach(C, End::B, wanting("color", "red"));
    trial.say_contents(vec![with_header("rose", "color", "red"), content("plain")]);
    let active = trial.attach(B, End::B, Mode::Active);
    assert_eq!(trial.get(B, active), ["plain"]);
}

#[test]
fn who_attaches_later_gets_what_nobody_took() {
    let mut trial = roomy();
    trial.say_contents(vec![content("a"), with_header("rose", "color", "red"), content("b")]);
    let red = trial.attach(C, End::B, wanting("color", "red"));
    assert_eq!(trial.get(C, red), ["rose"]);
    let active = trial.attach(B, End::B, Mode::Active);
    assert_eq!(trial.get(B, active), ["a", "b"]);
}

#[test]
fn a_passive_receiver_that_attaches_beside_an_active_one_gets_nothing_of_what_waits() {
    let mut trial = roomy();
    let active = trial.attach(B, End::B, Mode::Active);
    trial.say(&["old"]);
    let passive = trial.attach(C, End::B, everything());
    trial.say(&["new"]);
    assert_eq!(trial.get(C, passive), ["new"]);
    assert_eq!(trial.get(B, active), ["old", "new"]);
}

#[test]
fn when_the_last_active_receiver_goes_a_passive_one_gets_what_waited_from_before_it_came() {
    let mut trial = roomy();
    let (active, other) = (trial.attach(B, End::B, Mode::Active), trial.attach(D, End::B, Mode::Active));
    trial.say(&["old"]);
    let passive = trial.attach(C, End::B, everything());
    trial.say(&["both"]);
    trial.detach(B, active);
    assert_eq!(trial.get(C, passive), ["both"], "another active one is there");
    trial.detach(D, other);
    assert_eq!(trial.get(C, passive), ["old"]);
    trial.done(C, passive, &[1, 2]);
    let successor = trial.attach(B, End::B, Mode::Active);
    assert_eq!(trial.get(B, successor), ["both"], "an active one was attached when it was sent");
}

#[test]
fn a_page_has_what_was_asked_for_and_a_mebibyte_beyond_the_first() {
    let mut trial = channel(1000, 64 << 20);
    let receiver = trial.attach(B, End::B, Mode::Active);
    let (large, half) = ("x".repeat(3 << 20), "y".repeat(1 << 19));
    trial.say(&[&large, &half, &half, &half, "z"]);
    assert_eq!(trial.get(B, receiver).len(), 3);
    assert_eq!(texts(trial.ask(B, receive(receiver))).len(), 1);
    assert_eq!(trial.get(B, receiver), ["z"]);
}

// Room.

#[test]
fn a_send_takes_as_many_from_the_front_as_fit_and_then_waits() {
    let mut trial = channel(3, 1000);
    let receiver = trial.attach(B, End::B, Mode::Active);
    let five = ["a", "b", "c", "d", "e"].map(content).to_vec();
    assert_eq!(trial.ask(A, send(End::A, five)), Ok(Reply::Send { first: 1, count: 3 }));
    assert_eq!(trial.refused(A, send(End::A, vec![content("d")])), Fault::NoRoom { max_messages: 3, max_bytes: 1000 });
    let waiting = trial.waits(A, send(End::A, vec![content("d"), content("e")]), Wait::Forever);
    trial.get(B, receiver);
    assert!(trial.is_waiting(waiting), "what is given is not settled");
    trial.done(B, receiver, &[3]);
    assert_eq!(trial.told(waiting), Ok(Reply::Send { first: 4, count: 1 }));
}

#[test]
fn bytes_of_payloads_and_headers_take_room_in_each_direction_by_itself() {
    let mut trial = channel(10, 10);
    let messages = vec![with_header("abc", "n", "v"), content("defgh"), content("i")];
    assert_eq!(trial.ask(A, send(End::A, messages)), Ok(Reply::Send { first: 1, count: 2 }));
    assert_eq!(trial.kind().stats(End::B).bytes, 10);
    assert_eq!(trial.ask(A, send(End::B, vec![content("0123456789")])), Ok(Reply::Send { first: 1, count: 1 }));
}

#[test]
fn a_message_larger_than_all_the_room_comes_alone() {
    let mut trial = channel(10, 4);
    let receiver = trial.attach(B, End::B, Mode::Active);
    assert_eq!(trial.ask(A, send(End::A, vec![content("large"), content("")])), Ok(Reply::Send { first: 1, count: 1 }));
    let waiting = trial.waits(A, send(End::A, vec![content("large")]), Wait::Forever);
    trial.get(B, receiver);
    trial.done(B, receiver, &[1]);
    assert_eq!(trial.told(waiting), Ok(Reply::Send { first: 2, count: 1 }));
}

#[test]
fn senders_of_one_end_take_their_turns_and_do_not_wait_for_the_other_end() {
    let mut trial = channel(1, 1000);
    let receiver = trial.attach(D, End::B, Mode::Active);
    trial.say(&["a"]);
    let first = trial.waits(B, send(End::A, vec![content("b")]), Wait::Forever);
    let second = trial.waits(C, send(End::A, vec![content("c")]), Wait::Forever);
    assert_eq!(trial.ask(B, send(End::B, vec![content("x")])), Ok(Reply::Send { first: 1, count: 1 }));
    for (position, next) in [(1, first), (2, second)] {
        assert!(trial.is_waiting(next));
        trial.get(D, receiver);
        trial.done(D, receiver, &[position]);
        assert!(!trial.is_waiting(next));
    }
    assert_eq!(trial.get(D, receiver), ["c"]);
}

// Everything else.

#[test]
fn an_end_has_no_more_receivers_than_the_limit() {
    let mut channel = Channel::new(Options { max_messages: 1, max_bytes: 1 });
    for _ in 0..RECEIVERS_MAX {
        channel.evolve(Change::Attached { session: B, end: End::B, mode: Mode::Inbox });
    }
    let attach = |end| channel.decide(B, &Command::Attach { end, mode: Mode::Active }, Moment(1));
    assert!(matches!(attach(End::B), Decision::Refuse(Fault::LimitReached { limit: RECEIVERS_MAX, .. })));
    assert!(matches!(attach(End::A), Decision::Change(..)));
}

#[test]
fn it_says_who_has_how_many_messages() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    trial.attach(C, End::B, everything());
    trial.say(&["a", "b"]);
    trial.get(B, receiver);
    let holdings: Vec<_> = trial.kind().holdings().into_iter().map(|holding| (holding.session, holding.what)).collect();
    assert_eq!(holdings, [(B, "2 messages".to_owned())]);
    let figures: BTreeMap<_, _> = trial.kind().figures().into_iter().collect();
    assert_eq!((figures["b_given"], figures["b_receivers"], figures["b_bytes"], figures["a_given"]), (2, 2, 2, 0));
}

#[test]
fn a_channel_whose_receivers_went_and_whose_messages_are_settled_keeps_nothing() {
    let mut trial = roomy();
    let (active, passive) = (trial.attach(B, End::B, Mode::Active), trial.attach(B, End::B, everything()));
    trial.say(&["a", "b", "c"]);
    trial.get(B, active);
    trial.get(B, passive);
    trial.done(B, active, &[1, 2, 3]);
    trial.done(B, passive, &[1, 2, 3]);
    trial.die(B);
    assert_eq!(trial.kind().history().len(), 1, "its ends alone");
    assert_eq!(Channel::new(Options { max_messages: 1, max_bytes: 1 }).history(), []);
}
