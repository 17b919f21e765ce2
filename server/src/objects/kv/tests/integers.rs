//! `Incr` and the two forms of integers that it knows.

use super::*;

#[test]
fn incr_keeps_form_ttl_and_session() {
    let mut bench = Bench::new(ROOMY);
    assert_eq!(bench.ask(incr("n", 5)), Reply::Incr { value: 5, revision: 1 });
    assert_eq!(bench.entry("n").value, Some(value(&[5], MESSAGEPACK)));
    assert_eq!(bench.ask(incr("n", -38)), Reply::Incr { value: -33, revision: 2 });
    assert_eq!(bench.entry("n").value, Some(value(&[0xd0, 0xdf], MESSAGEPACK)));
    let counter = Put { value: value(b" 41\n", JSON), lifetime: Lifetime::For(100), bind: true, ..plain("j", "") };
    bench.ask(Command::Put(counter));
    bench.pass(60);
    bench.try_ask(B, incr("j", 1)).unwrap().unwrap();
    let entry = bench.entry("j");
    assert_eq!((entry.value, entry.ttl_left_ms, entry.session), (Some(value(b"42", JSON)), 40, Some(A)));
}

#[test]
fn incr_refuses_what_is_no_integer_and_what_does_not_fit() {
    let mut bench = Bench::new(ROOMY);
    let mut given = |data: &[u8], codec, by| {
        bench.ask(Command::Put(Put { value: value(data, codec), ..plain("n", "") }));
        bench.refused(incr("n", by))
    };
    let overflow = Fault::Overflow { key: "n".into() };
    let no_integer = |codec| Fault::NotAnInteger { key: "n".into(), codec };
    assert_eq!(given(&i64::MAX.to_string().into_bytes(), JSON, 1), overflow);
    assert_eq!(given(&i64::MIN.to_string().into_bytes(), JSON, -1), overflow);
    assert_eq!(given(b"9223372036854775808", JSON, -1), overflow);
    assert_eq!(given(&[0xcf, 0xff, 0, 0, 0, 0, 0, 0, 0], MESSAGEPACK, -1), overflow);
    for data in ["", "-", "+1", "01", "-01", "1.0", "1e3", "\"1\"", "1 2", "null", "\u{661}"] {
        assert_eq!(given(data.as_bytes(), JSON, 1), no_integer(JSON), "{data}");
    }
    for data in [&[][..], &[0xc0], &[1, 2], &[0xcc], &[0xcd, 1], &[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], &[0xa1, b'1']] {
        assert_eq!(given(data, MESSAGEPACK, 1), no_integer(MESSAGEPACK), "{data:02x?}");
    }
    assert_eq!(given(b"1", 0, 1), no_integer(0), "raw bytes are not looked at");
}

/// The forms of the MessagePack specification, each at both ends of its range.
#[test]
fn integers_are_written_in_the_shortest_form_and_read_in_all() {
    let forms: [(i64, &[u8]); 18] = [
        (0, &[0x00]),
        (127, &[0x7f]),
        (128, &[0xcc, 0x80]),
        (255, &[0xcc, 0xff]),
        (256, &[0xcd, 0x01, 0x00]),
        (65_535, &[0xcd, 0xff, 0xff]),
        (65_536, &[0xce, 0, 1, 0, 0]),
        (4_294_967_295, &[0xce, 0xff, 0xff, 0xff, 0xff]),
        (4_294_967_296, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        (i64::MAX, &[0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (-1, &[0xff]),
        (-32, &[0xe0]),
        (-33, &[0xd0, 0xdf]),
        (-128, &[0xd0, 0x80]),
        (-129, &[0xd1, 0xff, 0x7f]),
        (-32_769, &[0xd2, 0xff, 0xff, 0x7f, 0xff]),
        (-2_147_483_649, &[0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
        (i64::MIN, &[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (integer, bytes) in forms {
        assert_eq!(integer::write(integer, MESSAGEPACK), value(bytes, MESSAGEPACK));
        assert_eq!(integer::read(&value(bytes, MESSAGEPACK)), Ok(integer));
        assert_eq!(integer::read(&integer::write(integer, JSON)), Ok(integer));
    }
    for long in [&[0xd0, 7][..], &[0xd1, 0, 7], &[0xd2, 0, 0, 0, 7], &[0xd3, 0, 0, 0, 0, 0, 0, 0, 7], &[0xcc, 7], &[0xcd, 0, 7]] {
        assert_eq!(integer::read(&value(long, MESSAGEPACK)), Ok(7), "{long:02x?}");
    }
}
