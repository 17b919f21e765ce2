//! The borders: what comes is validated, what is kept keeps its form.

use super::*;
use bursar_proto::v1::{self, kv};
use proptest::prelude::*;

const PAYLOAD_MAX: usize = 100_000;

fn read(verb: kv::command::Verb) -> Result<Command, Fault> {
    Kv::command(bursar_proto::Command::Kv(verb), PAYLOAD_MAX)
}

fn bad_argument(verb: kv::command::Verb) -> String {
    match read(verb) {
        Err(Fault::BadArgument { argument, .. }) => argument,
        other => panic!("{other:?}"),
    }
}

fn request(name: &str, data: Vec<u8>) -> kv::PutRequest {
    kv::PutRequest { key: name.into(), value: Some(v1::Value { data: data.into(), codec: 9 }), ..Default::default() }
}

fn options(max_keys: u64, max_bytes: u64, events_max: u32) -> v1::registry::Options {
    v1::registry::Options { kind: Some(v1::registry::options::Kind::Kv(kv::Options { max_keys, max_bytes, events_max })) }
}

#[test]
fn options_are_written_out_in_full() {
    let create = |options| Kv::create(&options, 1).map(|kv| kv.options());
    assert_eq!(create(options(0, 0, 0)), Ok(options(1_000_000, 1 << 30, 10_000)));
    assert_eq!(create(options(1, 2, 3)), Ok(options(1, 2, 3)));
    let queue = v1::registry::options::Kind::Queue(Default::default());
    for other in [None, Some(queue)] {
        let fault = create(v1::registry::Options { kind: other }).unwrap_err();
        assert!(matches!(&fault, Fault::BadArgument { argument, .. } if argument == "options"), "{fault}");
    }
}

#[test]
fn codecs_are_those_of_the_contract() {
    assert_eq!((MESSAGEPACK, JSON), (v1::Codec::Messagepack as u32, v1::Codec::Json as u32));
}

#[test]
fn a_request_that_makes_no_sense_says_what_was_expected() {
    use kv::command::Verb;
    let long = "k".repeat(1025);
    assert_eq!(bad_argument(Verb::Put(request("", vec![]))), "key");
    assert_eq!(bad_argument(Verb::Put(request(&long, vec![]))), "key");
    assert_eq!(bad_argument(Verb::Get(kv::GetRequest::default())), "key");
    assert_eq!(bad_argument(Verb::Put(kv::PutRequest { value: None, ..request("k", vec![]) })), "value");
    assert_eq!(bad_argument(Verb::Put(kv::PutRequest { ttl_ms: u64::MAX, ..request("k", vec![]) })), "ttl_ms");
    assert_eq!(bad_argument(Verb::Put(kv::PutRequest { ttl_ms: 5, keep_ttl: true, ..request("k", vec![]) })), "keep_ttl");
    assert_eq!(bad_argument(Verb::Len(kv::LenRequest { prefix: long.clone(), ..Default::default() })), "prefix");
    assert_eq!(bad_argument(Verb::Scan(kv::ScanRequest { after: long.clone(), ..Default::default() })), "after");
    assert_eq!(bad_argument(Verb::Next(kv::NextRequest { wait_ms: -2, ..Default::default() })), "wait_ms");
    let of_another_kind = bursar_proto::Command::Queue(v1::queue::command::Verb::Peek(Default::default()));
    assert!(matches!(Kv::command(of_another_kind, PAYLOAD_MAX), Err(Fault::Mismatch { .. })));
    let hundred_years = kv::PutRequest { ttl_ms: 3_153_600_000_000, ..request(&long[1..], vec![]) };
    assert!(read(Verb::Put(hundred_years)).is_ok(), "the longest key and the longest ttl");
}

#[test]
fn a_value_over_the_limit_is_refused_at_the_border() {
    let fault = Fault::TooLarge { what: "value".into(), size: 100_001, limit: 100_000 };
    assert_eq!(read(kv::command::Verb::Put(request("k", vec![0; PAYLOAD_MAX + 1]))), Err(fault.clone()));
    let kv::PutRequest { value, .. } = request("k", vec![0; PAYLOAD_MAX + 1]);
    let set_default = kv::SetDefaultRequest { key: "k".into(), value, ..Default::default() };
    assert_eq!(read(kv::command::Verb::SetDefault(set_default)), Err(fault));
    assert!(read(kv::command::Verb::Put(request("k", vec![0; PAYLOAD_MAX]))).is_ok());
}

#[test]
fn requests_become_commands() {
    use kv::command::Verb;
    let when = |condition| Some(kv::Condition { condition: Some(condition) });
    let with = |condition| match read(Verb::Put(kv::PutRequest { condition, ..request("k", vec![1]) })) {
        Ok(Command::Put(put)) => put.condition,
        other => panic!("{other:?}"),
    };
    assert_eq!(with(None), None);
    assert_eq!(with(Some(kv::Condition { condition: None })), None);
    assert_eq!(with(when(kv::condition::Condition::Revision(4))), Some(Condition::Revision(4)));
    assert_eq!(with(when(kv::condition::Condition::Absent(true))), Some(Condition::Revision(0)));
    assert_eq!(with(when(kv::condition::Condition::Absent(false))), Some(Condition::Present));
    let wanted = |request| match read(Verb::Next(request)) {
        Ok(Command::Next { limit, waits, .. }) => (limit, waits),
        other => panic!("{other:?}"),
    };
    assert_eq!(wanted(kv::NextRequest::default()), (1000, false));
    assert_eq!(wanted(kv::NextRequest { limit: 7, wait_ms: -1, ..Default::default() }), (7, true));
    assert_eq!(wanted(kv::NextRequest { limit: 70_000, wait_ms: 1, ..Default::default() }), (10_000, true));
    let kept = kv::PutRequest { keep_ttl: true, bind: true, ..request("k", vec![1]) };
    let expected = Put { lifetime: Lifetime::Kept, bind: true, value: value(&[1], 9), ..plain("k", "") };
    assert_eq!(read(Verb::Put(kept)), Ok(Command::Put(expected)));
}

#[test]
fn replies_say_what_the_kind_said() {
    let mut bench = Bench::new(ROOMY);
    bench.ask(bind("a", "1"));
    bench.ask(put_for("b", "2", 50));
    bench.ask(delete("b"));
    bench.ask(put_for("c", "3", 50));
    bench.pass(50);
    bench.depart(A);
    let reply = bench.ask(next(0, "", false));
    let v1::answer::Reply::Kv(kv::Reply { verb: Some(kv::reply::Verb::Next(reply)) }) = Kv::reply(reply) else { panic!() };
    let a = kv::Entry {
        key: "a".into(),
        value: Some(v1::Value { data: "1".into(), codec: 0 }),
        create_revision: 1,
        modify_revision: 1,
        ttl_left_ms: 0,
        session: 1,
    };
    let causes: Vec<_> = reply.events.iter().map(|event| event.cause.as_str()).collect();
    assert_eq!(causes, ["put", "put", "delete", "put", "expired", "session"]);
    assert_eq!(reply.events[0], kv::Event { revision: 1, key: "a".into(), entry: Some(a), cause: "put".into() });
    assert_eq!(
        reply.events[1].entry.as_ref().map(|entry| (entry.ttl_left_ms, entry.session)),
        Some((1, 0)),
        "over, but not for ever"
    );
    assert_eq!((reply.events[2].entry.as_ref(), reply.upto, reply.reset), (None, 6, false));
}

/// One of each, with every field in use. When this fails, what was written yesterday cannot be read today: change the code.
#[test]
fn the_format_of_changes_does_not_drift() {
    let ttl = Some(Ttl { length_ms: 300, expires: Moment(1_700_000_000_000) });
    let stored = Stored { value: value(b"v", 1), create_revision: 4, modify_revision: 5, ttl, session: Some(SessionId(7)) };
    let changes = [
        (
            Change::Stored { key: "key".into(), value: value(b"value", 2), ttl, session: Some(SessionId(7)) },
            "12 1e 0a 03 6b6579 12 09 0a 05 76616c7565 10 02 1a 0a 08 ac02 10 80d095ffbc31 20 07",
        ),
        (Change::Stored { key: "k".into(), value: value(b"", 0), ttl: None, session: None }, "12 05 0a 01 6b 12 00"),
        (Change::Timed { key: "k".into(), ttl }, "1a 0f 0a 01 6b 12 0a 08 ac02 10 80d095ffbc31"),
        (Change::Timed { key: "k".into(), ttl: None }, "1a 03 0a 01 6b"),
        (Change::Deleted { key: "k".into() }, "22 03 0a 01 6b"),
        (Change::Cleared { prefix: "a/".into() }, "2a 04 0a 02 612f"),
        (Change::Expired { until: Moment(1_700_000_000_000), keys_max: 1000 }, "32 0a 08 80d095ffbc31 10 e807"),
        (Change::Departed { session: SessionId(7) }, "3a 02 08 07"),
        (
            Change::Restored { revision: 300, entries: vec![("k".into(), stored)] },
            "42 21 08 ac02 12 1c 0a 01 6b 12 05 0a 01 76 10 01 18 04 20 05 2a 0a 08 ac02 10 80d095ffbc31 30 07",
        ),
    ];
    for (change, golden) in changes {
        let hex: String = Kv::encode(&change).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden.replace(' ', ""), "{change:?}");
        assert_eq!(Kv::decode(&Kv::encode(&change)), Ok(change));
    }
}

#[test]
fn what_is_no_change_is_an_error() {
    let why = |bytes: &[u8]| Kv::decode(bytes).unwrap_err().to_string();
    assert!(why(&[]).contains("unknown change"));
    assert!(why(&[0x22, 0x09, 0x0a]).contains("decode"), "cut off");
    assert!(why(&[0x12, 0x03, 0x0a, 0x01, 0x6b]).contains("no value"));
    assert!(why(&[0x08, 0x01, 0x22, 0x03, 0x0a, 0x01, 0x6b]).contains("newer broker"));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
        if let Ok(change) = Kv::decode(&bytes) {
            prop_assert_eq!(Kv::decode(&Kv::encode(&change)), Ok(change));
        }
    }
}
