//! Several verbs as one step.

use super::*;

fn get(name: &str) -> Command {
    Command::Get { key: name.into(), touch: false }
}

fn tight(max_keys: u64, max_bytes: u64) -> Bench {
    Bench::new(Options { max_keys, max_bytes, ..ROOMY })
}

#[test]
fn each_step_sees_what_those_before_it_change() {
    let mut bench = Bench::new(ROOMY);
    bench.put("old", "1");
    let steps =
        [put("new", "2"), get("new"), incr("n", 5), incr("n", -7), delete("old"), Command::Contains { key: "old".into() }];
    let replies = bench.transact(A, &steps).unwrap();
    let [Reply::Put { revision: 2, previous: None }, Reply::Get { entry: Some(new), revision: 2 }, rest @ ..] = &replies[..]
    else {
        panic!("{replies:?}");
    };
    assert_eq!((text(new), new.create_revision, new.modify_revision), ("2".into(), 2, 2));
    assert_eq!(rest[..2], [Reply::Incr { value: 5, revision: 3 }, Reply::Incr { value: -2, revision: 4 }]);
    assert!(matches!(&rest[2], Reply::Delete { previous: Some(_), revision: 5 }));
    assert_eq!(rest[3], Reply::Contains { contains: false });
    assert_eq!(bench.told(1), ["2 Put new 2", "3 Put n \u{5}", "4 Put n \u{fffd}", "5 Delete old -"]);
}

#[test]
fn the_first_refusal_refuses_all() {
    let mut bench = Bench::new(ROOMY);
    bench.put("a", "1");
    let steps = [put("b", "1"), put_if("a", "2", Condition::Revision(7)), incr("a", 1)];
    let fault = bench.transact(A, &steps).unwrap_err();
    assert_eq!(fault, Fault::RevisionMismatch { key: "a".into(), actual: 1 });
    assert_eq!((bench.keys(), bench.put("c", "")), (vec!["a".to_owned()], 2), "nothing has happened");
}

#[test]
fn a_condition_is_about_the_steps_before_it() {
    let mut bench = Bench::new(ROOMY);
    let absent = Condition::Revision(0);
    let steps = [put_if("a", "1", absent), put_if("a", "2", Condition::Revision(1)), delete("a"), put_if("a", "3", absent)];
    bench.transact(A, &steps).unwrap();
    let entry = bench.entry("a");
    assert_eq!((text(&entry), entry.create_revision, entry.modify_revision), ("3".into(), 4, 4));
    assert!(bench.transact(A, &[delete("a"), put_if("a", "4", Condition::Present)]).is_err());
}

#[test]
fn limits_hold_for_the_whole() {
    let mut bench = tight(2, 8);
    let what = |result: Result<Vec<Reply>, Fault>| match result {
        Err(Fault::LimitReached { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(bench.transact(A, &[put("a", ""), put("b", ""), put("c", "")])), "max_keys");
    assert_eq!(what(bench.transact(A, &[put("a", "xxx"), put("b", "xxxx")])), "max_bytes");
    bench.transact(A, &[put("a", "xxx"), put("b", "xxx")]).unwrap();
    assert_eq!(what(bench.transact(A, &[put("c", ""), delete("a")])), "max_keys", "one after the other");
    bench.transact(A, &[delete("a"), put("c", "xxx")]).unwrap();
    bench.transact(A, &[put("b", ""), put("c", "xxxxxx")]).unwrap();
}

#[test]
fn a_touched_or_bound_key_stays_so_for_the_steps_behind() {
    let mut bench = Bench::new(ROOMY);
    bench.ask(put_for("a", "1", 100));
    bench.pass(60);
    let keep = Command::Put(Put { lifetime: Lifetime::Kept, ..plain("a", "2") });
    bench.transact(B, &[Command::Get { key: "a".into(), touch: true }, keep, bind("b", "1"), incr("n", 1)]).unwrap();
    assert_eq!(bench.entry("a").ttl_left_ms, 100);
    assert_eq!(bench.entry("b").session, Some(B));
    bench.depart(B);
    assert_eq!(bench.keys(), ["a", "n"]);
}

#[test]
fn only_verbs_of_a_single_key_are_steps() {
    let mut bench = Bench::new(ROOMY);
    let steps = [get("a"), put("a", ""), Command::SetDefault(plain("a", "")), delete("a"), incr("a", 1)];
    assert!(steps.iter().all(Kv::joins) && Kv::joins(&Command::Contains { key: "a".into() }));
    let expire = Command::Expire { key: "a".into(), lifetime: Lifetime::Forever };
    let others =
        [Command::Len { prefix: "".into() }, scan("", "", 1), Command::Clear { prefix: "".into() }, expire, next(0, "", true)];
    for command in others {
        assert!(!Kv::joins(&command));
        let fault = bench.transact(A, &[put("a", ""), command]).unwrap_err();
        assert!(matches!(fault, Fault::BadArgument { .. }), "{fault:?}");
    }
    assert_eq!(bench.transact(A, &[]), Ok(vec![]));
}

#[test]
fn tests_ask_for_revision_presence_and_value() {
    let mut bench = Bench::new(ROOMY);
    bench.put("a", "1");
    let test = |test: Test| bench.kv.test(A, &test);
    let revision = |key: &str, revision| Test::KeyRevision { key: key.into(), revision };
    let present = |key: &str, present| Test::KeyPresent { key: key.into(), present };
    let has = |key: &str, data: &'static str, codec| Test::KeyValue { key: key.into(), data: data.into(), codec };
    for holds in [revision("a", 1), revision("b", 0), present("a", true), present("b", false), has("a", "1", 0)] {
        assert_eq!(test(holds.clone()), Some(true), "{holds:?}");
    }
    for not in [revision("a", 0), revision("b", 1), present("a", false), present("b", true)] {
        assert_eq!(test(not.clone()), Some(false), "{not:?}");
    }
    for not in [has("a", "2", 0), has("a", "1", 1), has("b", "", 0)] {
        assert_eq!(test(not.clone()), Some(false), "{not:?}");
    }
    for other in [Test::IsEmpty(true), Test::IsSet(true), Test::TokenHeld(1), Test::LeaseHeld(1)] {
        assert_eq!(test(other), None);
    }
}

/// A thousand reads of one large value are a small request.
#[test]
fn what_a_transaction_tells_is_bounded() {
    let mut bench = Bench::new(ROOMY);
    bench.put("a", &"x".repeat(1 << 20));
    let reads = |count| vec![get("a"); count];
    assert_eq!(bench.transact(A, &reads(32)).map(|replies| replies.len()), Ok(32));
    let fault = bench.transact(A, &reads(40)).unwrap_err();
    assert!(matches!(fault, Fault::LimitReached { limit: 33_554_432, .. }), "{fault:?}");
}
