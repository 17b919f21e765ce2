use super::*;

#[test]
fn block_takes_as_many_as_there_is_room_for_and_waits_for_the_next() {
    let mut trial = topic(Overload::Block, 3);
    let one = begun(&mut trial, A, subscribe(&["a"], Replay::Nothing));
    published(&mut trial, publish("a", "a"));
    assert_eq!(published(&mut trial, publish("a", "bcd")), (3, 2, 1));
    assert_eq!(trial.refused(B, publish("a", "d")), Fault::NoRoom { max_messages: 3, max_bytes: 8 << 20 });
    let waiting = trial.waits(B, publish("a", "de"), Wait::Forever);
    assert_eq!(given(&mut trial, A, one, 1), "a");
    assert_eq!(trial.told(waiting), Ok(Reply::Publish { position: 4, taken: 1, receivers: 1 }));
    assert_eq!(given(&mut trial, A, one, 9), "bcd");
}

#[test]
fn block_waits_only_for_those_who_would_get_the_message() {
    let mut trial = topic(Overload::Block, 1);
    begun(&mut trial, A, subscribe(&["a"], Replay::Nothing));
    published(&mut trial, publish("a", "x"));
    assert_eq!(published(&mut trial, publish("b", "y")), (2, 1, 0));
}

#[test]
fn the_messages_of_a_publisher_that_waits_are_not_passed_by_later_ones() {
    let mut trial = topic(Overload::Block, 1);
    let (one, all) =
        (begun(&mut trial, A, subscribe(&["a"], Replay::Nothing)), begun(&mut trial, B, subscribe(&[], Replay::Nothing)));
    published(&mut trial, publish("a", "x"));
    assert_eq!(given(&mut trial, B, all, 1), "x");
    let (first, second) = (trial.waits(C, publish("a", "y"), Wait::Forever), trial.waits(C, publish("b", "z"), Wait::Forever));
    assert_eq!(given(&mut trial, A, one, 1), "x");
    assert!(trial.told(first).is_ok() && trial.is_waiting(second));
    assert_eq!(given(&mut trial, B, all, 1), "y");
    assert!(trial.told(second).is_ok());
}

#[test]
fn a_publisher_waits_no_longer_than_it_says() {
    let mut trial = topic(Overload::Block, 1);
    begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "x"));
    let waiting = trial.waits(B, publish("a", "y"), wait_ms(50));
    trial.pass(50);
    assert!(matches!(trial.told(waiting), Err(Fault::NoRoom { .. })));
}

#[test]
fn drop_oldest_tells_in_its_place_how_many_are_missed() {
    let mut trial = topic(Overload::DropOldest, 3);
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "abc"));
    assert_eq!(given(&mut trial, A, one, 1), "a");
    assert_eq!(published(&mut trial, publish("a", "de")), (5, 2, 1));
    assert_eq!(given(&mut trial, A, one, 9), "(1)cde");
}

#[test]
fn drop_newest_tells_behind_the_last_or_before_the_next_how_many_are_missed() {
    let mut trial = topic(Overload::DropNewest, 2);
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "ab"));
    assert_eq!(published(&mut trial, publish("a", "cd")), (4, 2, 0), "taken, and nobody got the last");
    assert_eq!(given(&mut trial, A, one, 1), "a");
    assert_eq!(published(&mut trial, publish("a", "e")), (5, 1, 1));
    assert_eq!(given(&mut trial, A, one, 9), "b(2)e");
    published(&mut trial, publish("a", "fg"));
    published(&mut trial, publish("a", "h"));
    assert_eq!(given(&mut trial, A, one, 9), "fg(1)");
    assert!(is_empty(&mut trial, A, one), "it was told once");
}

#[test]
fn what_was_missed_is_told_again_when_the_answer_did_not_arrive() {
    let mut trial = topic(Overload::DropNewest, 2);
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "ab"));
    published(&mut trial, publish("a", "c"));
    let lost = trial.call(A, next(one, 9), Wait::Never);
    assert_eq!(letters(trial.told(lost).unwrap()), "ab(1)");
    published(&mut trial, publish("a", "d"));
    trial.unheard(lost);
    assert_eq!(given(&mut trial, A, one, 9), "ab(1)d");
}

#[test]
fn disconnect_ends_the_subscription_and_its_next_call_is_told_how_many_it_missed() {
    for ask in [next(1, 1), unsubscribe(1), Command::Done { subscription: 1, positions: vec![1] }] {
        let mut trial = topic(Overload::Disconnect, 2);
        let one = begun(&mut trial, A, subscribe(&["a"], Replay::Nothing));
        published(&mut trial, publish("a", "ab"));
        assert_eq!(published(&mut trial, publish("a", "c")), (3, 1, 0));
        assert_eq!(trial.kind().streams[&one].bytes(), 0, "the buffer is free");
        published(&mut trial, publish("a", "d"));
        published(&mut trial, publish("b", "e"));
        assert_eq!(trial.ask(A, ask), Err(Fault::Lagged { missed: 4 }));
        assert_eq!(trial.refused(A, next(one, 1)), Fault::NoSuchReceiver { id: one });
        assert_eq!(trial.kind().streams.len(), 0);
    }
}

#[test]
fn what_an_ended_subscription_was_not_given_after_all_is_missed() {
    let mut trial = topic(Overload::Disconnect, 2);
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "ab"));
    let lost = trial.call(A, next(one, 2), Wait::Never);
    published(&mut trial, publish("a", "cd"));
    published(&mut trial, publish("a", "e"));
    trial.unheard(lost);
    assert_eq!(trial.ask(A, next(one, 1)), Err(Fault::Lagged { missed: 5 }));
}

#[test]
fn whoever_waits_in_a_next_is_not_overloaded_by_one_publish() {
    for overload in [Overload::Disconnect, Overload::DropOldest, Overload::DropNewest] {
        let mut trial = topic(overload, 2);
        let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
        let waiting = trial.waits(A, next(one, 9), Wait::Forever);
        assert_eq!(published(&mut trial, publish("a", "abcde")), (2, 2, 1), "what an empty buffer holds");
        assert_eq!(letters(trial.told(waiting).unwrap()), "ab");
    }
}

#[test]
fn while_a_publisher_waits_each_subscription_is_looked_at_about_once() {
    const COUNT: u64 = 100;
    for backwards in [false, true] {
        let mut trial = topic(Overload::Block, 1);
        let all: Vec<u64> = (0..COUNT).map(|_| begun(&mut trial, A, subscribe(&[], Replay::Nothing))).collect();
        published(&mut trial, publish("a", "x"));
        let publisher = trial.waits(B, publish("a", "y"), Wait::Forever);
        let before = trial.kind().last_full.looks();
        for index in 0..COUNT as usize {
            assert!(trial.is_waiting(publisher));
            let subscription = all[if backwards { COUNT as usize - 1 - index } else { index }];
            assert_eq!(given(&mut trial, A, subscription, 1), "x");
        }
        assert!(trial.told(publisher).is_ok());
        // What is asked behind every step asks too.
        let looks = trial.kind().last_full.looks() - before;
        assert!(looks < 6 * COUNT, "{looks} for {COUNT}");
    }
}

#[test]
fn a_slow_subscription_costs_the_others_nothing() {
    for overload in [Overload::Disconnect, Overload::DropOldest, Overload::DropNewest] {
        let mut trial = topic(overload, 2);
        let (_slow, quick) =
            (begun(&mut trial, A, subscribe(&[], Replay::Nothing)), begun(&mut trial, B, subscribe(&[], Replay::Nothing)));
        for letter in ["a", "b", "c", "d", "e"] {
            published(&mut trial, publish("a", letter));
            assert_eq!(given(&mut trial, B, quick, 9), letter);
        }
    }
}

#[test]
fn bytes_bound_a_buffer_and_a_message_larger_than_that_is_taken_by_an_empty_one() {
    let bytes = |overload| Options { buffer: Bounds { messages: 10, bytes: 10 }, ..options(overload, 10) };
    let mut trial = Trial::new(Topic::new(bytes(Overload::Block)));
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    let large = || Command::Publish { messages: vec![said("a", "LARGE AND MORE")], must_be_heard: false };
    assert_eq!(published(&mut trial, large()), (1, 1, 1));
    assert!(matches!(trial.refused(A, publish("a", "x")), Fault::NoRoom { .. }));
    assert_eq!(given(&mut trial, A, one, 1), "LARGE AND MORE");
    assert_eq!(published(&mut trial, publish("a", "abcdefg")), (6, 5, 1), "two bytes each");
    let mut trial = Trial::new(Topic::new(bytes(Overload::DropOldest)));
    let one = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    published(&mut trial, publish("a", "abc"));
    published(&mut trial, large());
    assert_eq!(given(&mut trial, A, one, 9), "(3)LARGE AND MORE");
}
