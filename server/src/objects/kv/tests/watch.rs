//! Watchers: gap-free, or told that there is a gap; cheap to ask again; bounded.

use super::*;

#[test]
fn a_watcher_waits_for_what_it_does_not_know() {
    let mut bench = Bench::new(ROOMY);
    assert_eq!(Kv::line(&next(0, "", true)), Some(Line::Crowd(0)));
    assert_eq!(Kv::line(&next(0, "", false)), None);
    assert_eq!(Kv::line(&put("a", "")), None);
    assert_eq!(bench.try_ask(A, next(0, "a", true)), None);
    bench.put("b", "1");
    assert_eq!(bench.try_ask(A, next(0, "a", true)), None, "not under its prefix");
    let nothing = Reply::Next { events: vec![], upto: 1, reset: false };
    assert_eq!(bench.ask(next(0, "a", false)), nothing, "who does not wait is no late waiter");
    assert_eq!(bench.ask(next(1, "", false)), nothing);
    bench.put("a1", "2");
    bench.put("b", "3");
    let Reply::Next { events, upto: 3, reset: false } = bench.ask(next(0, "a", true)) else { panic!() };
    assert_eq!(events.iter().map(line).collect::<Vec<_>>(), ["2 Put a1 2"]);
    assert_eq!(events[0].entry, Some(bench.entry("a1")));
    let one = Command::Next { after: 0, prefix: "b".into(), limit: 1, waits: true };
    let Reply::Next { events, upto, .. } = bench.ask(one) else { panic!() };
    assert_eq!((events.len(), upto), (1, 2), "examined as far as the next one that would match");
    let Fault::BadArgument { argument, .. } = bench.refused(next(4, "", true)) else { panic!() };
    assert_eq!(argument, "after");
    let Fault::TimedOut { what } = bench.kv.overdue(&next(3, "a", true), Moment(0)) else { panic!() };
    assert_eq!(what, "no change under \"a\" after revision 3");
}

#[test]
fn a_watcher_that_fell_behind_is_told_so() {
    let mut bench = Bench::new(Options { events_max: 3, ..ROOMY });
    for number in 1..=5 {
        bench.put("a", &number.to_string());
    }
    let reset = Reply::Next { events: vec![], upto: 5, reset: true };
    assert_eq!(bench.ask(next(0, "", true)), reset);
    assert_eq!(bench.ask(next(1, "none", true)), reset, "that nothing matched is not known any more");
    assert_eq!(bench.told(2), ["3 Put a 3", "4 Put a 4", "5 Put a 5"]);
    assert_eq!(bench.try_ask(A, next(5, "", true)), None);
}

#[test]
fn many_foreign_changes_move_a_waiting_watcher_forward() {
    let mut bench = Bench::new(ROOMY);
    for _ in 0..128 {
        bench.put("foreign", "");
        assert_eq!(bench.try_ask(A, next(0, "mine", true)), None);
    }
    bench.put("foreign", "");
    assert_eq!(bench.ask(next(0, "mine", true)), Reply::Next { events: vec![], upto: 129, reset: false });
    let mut bench = Bench::new(Options { events_max: 4, ..ROOMY });
    let mut after = 0;
    for _ in 0..50 {
        bench.put("foreign", "");
        if let Some(answer) = bench.try_ask(A, next(after, "mine", true)) {
            let Ok(Reply::Next { upto, reset: false, .. }) = answer else { panic!("{answer:?}") };
            after = upto;
        }
    }
}

#[test]
fn events_are_bounded_by_their_bytes_too() {
    let mut bench = Bench::new(ROOMY);
    let large = "x".repeat(15 << 20);
    for _ in 0..6 {
        bench.put("a", &large);
    }
    assert_eq!(bench.kv.events.len(), 4);
    assert!(matches!(bench.ask(next(1, "", false)), Reply::Next { reset: true, upto: 6, .. }));
    assert!(matches!(bench.ask(next(2, "", false)), Reply::Next { reset: false, upto: 3, .. }));
}

#[test]
fn one_next_looks_at_a_bounded_number_of_events() {
    let mut bench = Bench::new(Options { events_max: 20_000, ..ROOMY });
    for _ in 0..10_001 {
        let (key, value) = ("foreign".into(), value(b"", 0));
        bench.kv.evolve(Change::Stored { key, value, ttl: None, session: None });
    }
    bench.put("mine", "");
    assert_eq!(bench.ask(next(0, "mine", true)), Reply::Next { events: vec![], upto: 10_000, reset: false });
    assert!(matches!(bench.ask(next(10_000, "mine", true)), Reply::Next { events, upto: 10_002, .. } if events.len() == 1));
}

/// A host that takes back a wait or a session at the very moment of an expiry asks its watchers first.
#[test]
fn a_watcher_may_be_asked_before_an_expiry_is_applied() {
    let mut bench = Bench::new(ROOMY);
    bench.ask(put_for("a", "1", 50));
    bench.now = bench.now.after_ms(50);
    assert!(matches!(bench.kv.decide(A, &next(1, "", true), bench.now), Decision::Wait));
    bench.settle();
    assert_eq!(bench.told(1), ["2 Expired a -"]);
}
