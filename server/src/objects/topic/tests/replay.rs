use super::*;

#[test]
fn the_last_ones_that_are_wanted_come_first() {
    let mut trial = topic(Overload::Block, 10);
    published(&mut trial, publish("a", "abc"));
    published(&mut trial, publish("b", "xy"));
    let one = begun(&mut trial, A, subscribe(&["a"], Replay::Last(2)));
    published(&mut trial, publish("a", "d"));
    assert_eq!(given(&mut trial, A, one, 9), "bcd");
    let all = begun(&mut trial, A, subscribe(&[], Replay::Last(99)));
    assert_eq!(given(&mut trial, A, all, 99), "abcxyd");
}

#[test]
fn what_was_published_after_a_position_comes_first_and_what_is_not_kept_is_missed() {
    let keep = Bounds { messages: 3, ..ROOMY.keep };
    let mut trial = Trial::new(Topic::new(Options { keep, ..ROOMY }));
    published(&mut trial, publish("a", "abcde"));
    for (after, expected) in [(0, "(2)cde"), (1, "(1)cde"), (2, "cde"), (4, "e")] {
        let one = begun(&mut trial, A, subscribe(&[], Replay::After(after)));
        assert_eq!(given(&mut trial, A, one, 9), expected, "after {after}");
    }
    let one = begun(&mut trial, A, subscribe(&[], Replay::After(5)));
    assert!(is_empty(&mut trial, A, one));
    assert!(matches!(trial.refused(A, subscribe(&[], Replay::After(6))), Fault::BadArgument { .. }));
}

#[test]
fn what_is_not_kept_is_told_also_when_nothing_else_comes() {
    let keep = Bounds { messages: 1, ..ROOMY.keep };
    let mut trial = Trial::new(Topic::new(Options { keep, ..ROOMY }));
    published(&mut trial, publish("a", "abc"));
    let one = begun(&mut trial, A, subscribe(&["b"], Replay::After(0)));
    assert_eq!(given(&mut trial, A, one, 9), "(2)");
    assert!(is_empty(&mut trial, A, one));
}

#[test]
fn what_is_replayed_may_be_more_than_a_buffer_has() {
    let mut trial = topic(Overload::Block, 2);
    published(&mut trial, publish("a", "ab"));
    published(&mut trial, publish("a", "cd"));
    let one = begun(&mut trial, A, subscribe(&[], Replay::After(0)));
    let waiting = trial.waits(B, publish("a", "e"), Wait::Forever);
    assert_eq!(given(&mut trial, A, one, 9), "abcd");
    assert!(trial.told(waiting).is_ok());
}

#[test]
fn bytes_bound_what_is_kept() {
    let keep = Bounds { messages: 10, bytes: 6 };
    let mut trial = Trial::new(Topic::new(Options { keep, ..ROOMY }));
    published(&mut trial, publish("a", "abcde"));
    let one = begun(&mut trial, A, subscribe(&[], Replay::Last(9)));
    assert_eq!(given(&mut trial, A, one, 9), "cde");
    let messages = vec![said("a", "too large to be kept")];
    published(&mut trial, Command::Publish { messages, must_be_heard: false });
    let one = begun(&mut trial, A, subscribe(&[], Replay::After(0)));
    assert_eq!(given(&mut trial, A, one, 9), "(6)");
}
