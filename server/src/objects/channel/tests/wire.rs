//! How requests become commands and replies become messages.

use super::*;
use crate::objects::kind::{Damaged, Wire};
use bursar_proto::{
    limits::BATCH_MAX,
    v1::{self, answer, channel as pb, registry},
};
use prost::Message;
use std::collections::HashMap;

const PAYLOAD_BYTES_MAX: usize = 100;

fn command(verb: pb::command::Verb) -> Result<Command, Fault> {
    Channel::command(bursar_proto::Command::Channel(verb), PAYLOAD_BYTES_MAX)
}

fn refused_argument(verb: pb::command::Verb) -> String {
    match command(verb) {
        Err(Fault::BadArgument { argument, .. }) => argument,
        other => panic!("expected a bad argument, got {other:?}"),
    }
}

fn message(bytes: usize) -> pb::Message {
    pb::Message { value: Some(v1::Value { data: vec![0; bytes].into(), codec: 0 }), ..Default::default() }
}

#[test]
fn defaults_are_written_out() {
    let kind = |options| registry::Options { kind: Some(registry::options::Kind::Channel(options)) };
    let channel = Channel::create(&kind(pb::Options::default()), 1).unwrap();
    assert_eq!(channel.options(), kind(pb::Options { max_messages: 1000, max_bytes: 64 << 20 }));
    assert!(Channel::create(&registry::Options::default(), 1).is_err());
}

#[test]
fn arguments_that_make_no_sense_are_named() {
    use pb::command::Verb;
    let send = |messages| Verb::Send(pb::SendRequest { messages, ..Default::default() });
    assert_eq!(refused_argument(send(vec![])), "messages");
    assert_eq!(refused_argument(send(vec![message(1); BATCH_MAX + 1])), "messages");
    assert_eq!(refused_argument(send(vec![pb::Message::default()])), "value");
    assert!(matches!(command(send(vec![message(PAYLOAD_BYTES_MAX + 1)])), Err(Fault::TooLarge { .. })));
    assert_eq!(
        refused_argument(Verb::Send(pb::SendRequest { from: 2, messages: vec![message(1)], ..Default::default() })),
        "from"
    );
    assert_eq!(refused_argument(Verb::Close(pb::CloseRequest { end: 2, ..Default::default() })), "end");
    assert_eq!(refused_argument(Verb::Attach(pb::AttachRequest { mode: 3, ..Default::default() })), "mode");
    let wanted = v1::Match { headers: HashMap::from([("color".to_owned(), "red".to_owned())]) };
    for mode in [pb::Mode::Active, pb::Mode::Inbox] {
        let request = pb::AttachRequest { mode: mode.into(), r#match: Some(wanted.clone()), ..Default::default() };
        assert_eq!(refused_argument(Verb::Attach(request)), "match");
    }
    let max = BATCH_MAX as u32 + 1;
    assert_eq!(refused_argument(Verb::Receive(pb::ReceiveRequest { max, ..Default::default() })), "max");
    let positions = vec![1; BATCH_MAX + 1];
    assert_eq!(refused_argument(Verb::Done(pb::DoneRequest { positions: positions.clone(), ..Default::default() })), "positions");
    let receive = pb::ReceiveRequest { done: positions.clone(), ..Default::default() };
    assert_eq!(refused_argument(Verb::Receive(receive)), "done");
    assert_eq!(refused_argument(Verb::Detach(pb::DetachRequest { done: positions, ..Default::default() })), "done");
}

#[test]
fn a_receive_that_names_no_number_is_for_one_message() {
    let request = pb::ReceiveRequest { receiver: 4, ..Default::default() };
    assert_eq!(command(pb::command::Verb::Receive(request)), Ok(receive(4)));
}

#[test]
fn what_was_sent_is_what_is_received() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    let sent = pb::Message {
        value: Some(v1::Value { data: "x".into(), codec: 3 }),
        headers: HashMap::from([("trace".to_owned(), "1".to_owned())]),
        reply_to: Some(v1::ReplyTo { inbox: 8, correlation: 9 }),
        answer_to: None,
    };
    let request = pb::SendRequest { from: pb::End::A.into(), messages: vec![sent.clone()], ..Default::default() };
    trial.ask(A, command(pb::command::Verb::Send(request)).unwrap()).unwrap();
    let reply = trial.ask(B, receive(receiver)).unwrap();
    let answer::Reply::Channel(pb::Reply { verb: Some(pb::reply::Verb::Receive(reply)) }) = Channel::reply(reply) else {
        panic!()
    };
    let pb::Message { value, headers, reply_to, answer_to } = sent;
    let (sent_ms, session) = (trial.now().0, A.0);
    let delivered = pb::Delivered { position: 1, value, headers, sent_ms, session, redelivered: false, reply_to, answer_to };
    assert_eq!(reply, pb::ReceiveReply { messages: vec![delivered], receiver });
}

#[test]
fn kept_bytes_of_a_newer_broker_or_of_nothing_are_damaged() {
    let newer = pb::Change { version: 1, change: Some(pb::change::Change::Departed(pb::Departed { session: 1 })) };
    let no_part = pb::Change { version: 0, change: Some(pb::change::Change::Restored(pb::Restored { part: None })) };
    let no_end = pb::Change { version: 0, change: Some(pb::change::Change::Closed(pb::Closed { end: 7 })) };
    for damaged in [newer, no_part, no_end, pb::Change::default()] {
        assert!(matches!(Channel::decode(&damaged.encode_to_vec()), Err(Damaged(_))));
    }
}
