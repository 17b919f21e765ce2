//! Requests that nobody should make: more subscriptions than there may be, numbers of others, lists without end. Each is refused by
//! the fault that says why, and changes nothing.

use crate::{
    attacks::wire::{Stream, Wire, channel_command, object, registry_command, topic_command},
    harness::{Broker, PATIENCE, figure},
};
use bursar::proto::v1::{self, answer::Reply, call, channel, client_entry, registry, topic};
use std::{collections::HashMap, time::Instant};

const SUBSCRIPTIONS_MAX: u64 = 10_000;
const BATCH_MAX: usize = 10_000;
/// Calls in one frame of a flood.
const FRAME: u64 = 500;

macro_rules! channel {
    ($verb:ident $request:ident { $($fields:tt)* }) => {
        channel_command(channel::command::Verb::$verb(channel::$request { object: object("talk"), $($fields)* }))
    };
}

macro_rules! topic {
    ($verb:ident $request:ident { $($fields:tt)* }) => {
        topic_command(topic::command::Verb::$verb(topic::$request { object: object("news"), $($fields)* }))
    };
}

/// A session, and the number of its last call.
struct Client {
    _wire: Wire,
    stream: Stream,
    last: u64,
}

impl Client {
    async fn new(broker: &Broker) -> Client {
        let wire = Wire::proven(broker).await;
        let stream = wire.new_session().await;
        Client { _wire: wire, stream, last: 0 }
    }

    async fn ask(&mut self, command: call::Command) -> Reply {
        self.last += 1;
        self.stream.ask(self.last, command).await
    }

    async fn must(&mut self, command: call::Command) -> Reply {
        let reply = self.ask(command).await;
        assert!(!matches!(reply, Reply::Fault(_)), "{reply:?}");
        reply
    }

    /// The name of the fault.
    async fn refused(&mut self, what: &str, command: call::Command) -> String {
        match self.ask(command).await {
            Reply::Fault(fault) => fault.name,
            reply => panic!("{what}: expected a fault, got {reply:?}"),
        }
    }

    /// Asks the same many times at once; how many were refused with this fault. All others must have succeeded.
    async fn flood(&mut self, count: u64, command: &call::Command, fault: &str) -> u64 {
        let mut refused = 0;
        for start in (0..count).step_by(FRAME as usize) {
            let sequences = self.last + 1..=self.last + FRAME.min(count - start);
            self.last = *sequences.end();
            self.stream.calls(sequences.clone().map(|sequence| (sequence, command.clone())));
            for sequence in sequences {
                if let Reply::Fault(got) = self.stream.answer(sequence).await {
                    assert_eq!(got.name, fault, "{}", got.message);
                    refused += 1;
                }
            }
        }
        refused
    }

    async fn create(&mut self, name: &str, kind: registry::options::Kind) {
        let options = Some(registry::Options { kind: Some(kind) });
        let request = registry::OpenRequest { name: name.into(), options, ..Default::default() };
        self.must(registry_command(registry::command::Verb::Open(request))).await;
    }

    async fn topic_stats(&mut self) -> topic::StatsReply {
        match self.must(topic!(Stats StatsRequest {})).await {
            Reply::Topic(topic::Reply { verb: Some(topic::reply::Verb::Stats(stats)) }) => stats,
            reply => panic!("no stats: {reply:?}"),
        }
    }
}

fn value(text: &str) -> Option<v1::Value> {
    Some(v1::Value { data: text.to_owned().into(), codec: v1::Codec::Raw as u32 })
}

fn said() -> channel::Message {
    channel::Message { value: value("hello"), ..Default::default() }
}

fn answer(inbox: u64) -> channel::Message {
    channel::Message { answer_to: Some(v1::AnswerTo { inbox, correlation: 1, last: true }), ..said() }
}

fn headers(count: usize) -> HashMap<String, String> {
    (0..count).map(|n| (n.to_string(), String::new())).collect()
}

fn news(subject: &str) -> topic::Message {
    topic::Message { subject: subject.into(), value: value("hello"), ..Default::default() }
}

fn topic_options() -> registry::options::Kind {
    registry::options::Kind::Topic(topic::Options { overload: topic::Overload::Block.into(), ..Default::default() })
}

#[tokio::test]
async fn ten_thousand_subscriptions_and_no_more() {
    const TOO_MANY: u64 = 1000;
    let broker = Broker::start();
    let (mut other, mut greedy) = (Client::new(&broker).await, Client::new(&broker).await);
    other.create("news", topic_options()).await;
    let subscribe = topic!(Subscribe SubscribeRequest { subjects: vec!["mine.>".into()], ..Default::default() });
    let start = Instant::now();
    let refused = greedy.flood(SUBSCRIPTIONS_MAX + TOO_MANY, &subscribe, "LimitReached").await;
    assert_eq!(refused, TOO_MANY);
    assert_eq!(other.topic_stats().await.subscription_count, SUBSCRIPTIONS_MAX);
    figure(
        "R12",
        format!(
            "subscriptions asked for {} in {:.2} s, refused {refused}",
            SUBSCRIPTIONS_MAX + TOO_MANY,
            start.elapsed().as_secs_f64()
        ),
    );
    // They stand in nobody's way, and when they go there is room.
    other.must(topic!(Publish PublishRequest { messages: vec![news("yours.a")], ..Default::default() })).await;
    greedy.must(topic!(Unsubscribe UnsubscribeRequest { subscription: 1, done: vec![] })).await;
    other.must(subscribe.clone()).await;
    assert_eq!(greedy.refused("one more", subscribe).await, "LimitReached");
    greedy.stream.entry(greedy.last + 1, client_entry::Entry::Close(v1::Close::default()));
    let gone = async { while other.topic_stats().await.subscription_count > 1 {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("with the session all its subscriptions go");
}

#[tokio::test]
async fn what_is_not_ones_own_in_a_channel_is_refused_and_changes_nothing() {
    let broker = Broker::start();
    let (mut owner, mut stranger) = (Client::new(&broker).await, Client::new(&broker).await);
    owner.create("talk", registry::options::Kind::Channel(channel::Options::default())).await;
    let (a, b) = (channel::End::A as i32, channel::End::B as i32);
    owner.must(channel!(Attach AttachRequest { end: b, ..Default::default() })).await;
    owner.must(channel!(Send SendRequest { from: a, messages: vec![said(), said()], ..Default::default() })).await;
    // The first receiver of all, at end B, has message 1.
    owner.must(channel!(Receive ReceiveRequest { receiver: 3, ..Default::default() })).await;
    let before = owner.must(channel!(Stats StatsRequest {})).await;

    let too_many: Vec<u64> = (0..=BATCH_MAX as u64).collect();
    let passive = channel::Mode::Passive.into();
    let hostile = [
        ("NoSuchReceiver", channel!(Receive ReceiveRequest { receiver: 3, done: vec![1], ..Default::default() })),
        ("NoSuchReceiver", channel!(Done DoneRequest { receiver: 3, positions: vec![1] })),
        ("NoSuchReceiver", channel!(Detach DetachRequest { receiver: 3, done: vec![1] })),
        ("NoSuchReceiver", channel!(Receive ReceiveRequest { receiver: 0, ..Default::default() })),
        ("NoSuchReceiver", channel!(Receive ReceiveRequest { receiver: u64::MAX, wait_ms: -1, ..Default::default() })),
        ("BadArgument", channel!(Receive ReceiveRequest { receiver: 3, max: u32::MAX, ..Default::default() })),
        ("BadArgument", channel!(Receive ReceiveRequest { receiver: 3, done: too_many.clone(), ..Default::default() })),
        ("BadArgument", channel!(Done DoneRequest { receiver: 3, positions: too_many.clone() })),
        ("BadArgument", channel!(Detach DetachRequest { receiver: 3, done: too_many })),
        ("BadArgument", channel!(Attach AttachRequest { end: 7, ..Default::default() })),
        ("BadArgument", channel!(Attach AttachRequest { mode: 7, ..Default::default() })),
        (
            "BadArgument",
            channel!(Attach AttachRequest { r#match: Some(v1::Match { headers: headers(1) }), ..Default::default() }),
        ),
        (
            "BadArgument",
            channel!(Attach AttachRequest { mode: passive, r#match: Some(v1::Match { headers: headers(17) }), ..Default::default() }),
        ),
        ("BadArgument", channel!(Close CloseRequest { end: -1 })),
        ("BadArgument", channel!(Send SendRequest { from: 2, messages: vec![said()], ..Default::default() })),
        ("BadArgument", channel!(Send SendRequest { from: a, ..Default::default() })),
        ("BadArgument", channel!(Send SendRequest { from: a, messages: vec![said(); BATCH_MAX + 1], ..Default::default() })),
        (
            "BadArgument",
            channel!(Send SendRequest { from: a, messages: vec![channel::Message { headers: headers(17), ..said() }], ..Default::default() }),
        ),
        ("NoSuchReceiver", channel!(Send SendRequest { from: a, messages: vec![answer(u64::MAX)], ..Default::default() })),
        ("NoSuchReceiver", channel!(Send SendRequest { from: a, messages: vec![answer(3)], ..Default::default() })),
        ("NoSuchReceiver", channel!(Send SendRequest { from: a, messages: vec![said(), answer(3)], ..Default::default() })),
        ("NoResponders", channel!(Send SendRequest { from: b, messages: vec![said()], must_be_heard: true, wait_ms: -1 })),
    ];
    let cases = hostile.len();
    for (n, (fault, command)) in hostile.into_iter().enumerate() {
        assert_eq!(stranger.refused(&format!("request {n}"), command).await, fault, "request {n}");
    }
    let ask = channel!(Send SendRequest { from: b, messages: vec![said()], must_be_heard: true, wait_ms: -1 });
    assert_eq!(stranger.flood(2000, &ask, "NoResponders").await, 2000, "nobody is there to be asked");
    let others: Vec<u64> = (2..2 + BATCH_MAX as u64).collect();
    owner.must(channel!(Done DoneRequest { receiver: 3, positions: others })).await;
    assert_eq!(owner.must(channel!(Stats StatsRequest {})).await, before, "nothing has changed");
    figure("R12", format!("channel: hostile requests {cases}, questions to nobody 2000, effects 0"));
}

#[tokio::test]
async fn what_is_not_ones_own_in_a_topic_is_refused_and_changes_nothing() {
    let broker = Broker::start();
    let (mut owner, mut stranger) = (Client::new(&broker).await, Client::new(&broker).await);
    owner.create("news", topic_options()).await;
    let subjects = vec!["mine.>".to_owned()];
    owner.must(topic!(Subscribe SubscribeRequest { subjects: subjects.clone(), ..Default::default() })).await;
    owner
        .must(topic!(Subscribe SubscribeRequest { subjects: subjects.clone(), group: "workers".into(), ..Default::default() }))
        .await;
    owner.must(topic!(Publish PublishRequest { messages: vec![news("mine.a"), news("mine.b")], ..Default::default() })).await;
    // The member of the group has message 1.
    owner.must(topic!(Next NextRequest { subscription: 2, ..Default::default() })).await;
    let before = owner.topic_stats().await;

    let too_many: Vec<u64> = (0..=BATCH_MAX as u64).collect();
    let publish = |messages| topic!(Publish PublishRequest { messages, ..Default::default() });
    let subscribe = |subjects| topic!(Subscribe SubscribeRequest { subjects, ..Default::default() });
    let share = |group: String| topic!(Subscribe SubscribeRequest { group, ..Default::default() });
    let to = |inbox| Some(v1::AnswerTo { inbox, correlation: 1, last: false });
    let after = Some(topic::subscribe_request::Replay::After(3));
    let hostile = [
        ("NoSuchReceiver", topic!(Next NextRequest { subscription: 1, ..Default::default() })),
        ("NoSuchReceiver", topic!(Next NextRequest { subscription: 2, done: vec![1], ..Default::default() })),
        ("NoSuchReceiver", topic!(Next NextRequest { subscription: 0, wait_ms: -1, ..Default::default() })),
        ("NoSuchReceiver", topic!(Done DoneRequest { subscription: 2, positions: vec![1] })),
        ("NoSuchReceiver", topic!(Unsubscribe UnsubscribeRequest { subscription: 2, done: vec![1] })),
        ("NoSuchReceiver", topic!(Unsubscribe UnsubscribeRequest { subscription: u64::MAX, done: vec![] })),
        ("BadArgument", topic!(Next NextRequest { subscription: 2, max: u32::MAX, ..Default::default() })),
        ("BadArgument", topic!(Next NextRequest { subscription: 2, done: too_many.clone(), ..Default::default() })),
        ("BadArgument", topic!(Done DoneRequest { subscription: 2, positions: too_many.clone() })),
        ("BadArgument", topic!(Unsubscribe UnsubscribeRequest { subscription: 2, done: too_many })),
        ("BadArgument", publish(vec![])),
        ("BadArgument", publish(vec![news("mine.a"); BATCH_MAX + 1])),
        ("BadArgument", publish(vec![news("")])),
        ("BadArgument", publish(vec![news("mine.*")])),
        ("BadArgument", publish(vec![news("mine.>")])),
        ("BadArgument", publish(vec![news("mine..a")])),
        ("BadArgument", publish(vec![news("mine.a"), news(&"a".repeat(257))])),
        ("BadArgument", publish(vec![topic::Message { headers: headers(17), ..news("mine.a") }])),
        ("BadArgument", subscribe(vec![">.mine".into()])),
        ("BadArgument", subscribe(vec!["mine".into(); 65])),
        ("BadArgument", topic!(Subscribe SubscribeRequest { inbox: true, subjects, ..Default::default() })),
        ("BadArgument", topic!(Subscribe SubscribeRequest { replay: after, ..Default::default() })),
        ("BadArgument", share("x".repeat(201))),
        ("Mismatch", share("workers".into())),
        ("BadArgument", topic!(DeleteGroup DeleteGroupRequest { group: String::new() })),
        ("BadArgument", topic!(Answer AnswerRequest { value: value("hello"), ..Default::default() })),
        ("NoSuchReceiver", topic!(Answer AnswerRequest { to: to(1), value: value("hello"), ..Default::default() })),
        (
            "NoSuchReceiver",
            topic!(Answer AnswerRequest { to: to(u64::MAX), value: value("hello"), wait_ms: -1, ..Default::default() }),
        ),
    ];
    let cases = hostile.len();
    for (n, (fault, command)) in hostile.into_iter().enumerate() {
        assert_eq!(stranger.refused(&format!("request {n}"), command).await, fault, "request {n}");
    }
    let ask = topic!(Publish PublishRequest { messages: vec![news("yours")], must_be_heard: true, wait_ms: -1 });
    assert_eq!(stranger.flood(2000, &ask, "NoResponders").await, 2000, "nobody is there to be asked");
    let others: Vec<u64> = (2..2 + BATCH_MAX as u64).collect();
    owner.must(topic!(Done DoneRequest { subscription: 2, positions: others })).await;
    assert_eq!(owner.topic_stats().await, before, "nothing has changed");
    figure("R12", format!("topic: hostile requests {cases}, questions to nobody 2000, effects 0"));
}
