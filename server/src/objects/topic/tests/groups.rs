use super::*;

fn next_done(subscription: u64, max: usize, done: &[u64]) -> Command {
    Command::Next { subscription, max, done: done.to_vec() }
}

#[test]
fn of_a_group_one_member_gets_each_message() {
    let mut trial = topic(Overload::Block, 10);
    let (one, two) = (begun(&mut trial, A, join("g")), begun(&mut trial, B, join("g")));
    let other = begun(&mut trial, C, join("h"));
    assert_eq!(published(&mut trial, publish("a", "abc")), (3, 3, 2));
    assert_eq!(given(&mut trial, A, one, 2), "ab");
    assert_eq!(given(&mut trial, B, two, 9), "c");
    assert_eq!(given(&mut trial, C, other, 9), "abc");
}

#[test]
fn what_a_member_that_went_was_not_done_with_goes_to_the_others_in_its_place() {
    for is_dying in [true, false] {
        let mut trial = topic(Overload::Block, 10);
        let (one, two) = (begun(&mut trial, A, join("g")), begun(&mut trial, B, join("g")));
        published(&mut trial, publish("a", "abcd"));
        assert_eq!(given(&mut trial, A, one, 3), "abc");
        if is_dying {
            assert_eq!(trial.ask(A, Command::Done { subscription: one, positions: vec![2] }), Ok(Reply::Done));
            trial.die(A);
        } else {
            trial.ask(A, Command::Unsubscribe { subscription: one, done: vec![2] }).unwrap();
        }
        assert_eq!(given(&mut trial, B, two, 9), "a+c+d");
    }
}

#[test]
fn what_did_not_arrive_at_a_member_is_no_redelivery() {
    let mut trial = topic(Overload::Block, 10);
    let (one, two) = (begun(&mut trial, A, join("g")), begun(&mut trial, B, join("g")));
    published(&mut trial, publish("a", "abc"));
    let lost = trial.call(A, next(one, 2), Wait::Never);
    let waiting = trial.call(B, next(two, 1), Wait::Never);
    assert_eq!(letters(trial.told(waiting).unwrap()), "c");
    trial.unheard(lost);
    assert_eq!(given(&mut trial, B, two, 9), "ab");
}

#[test]
fn a_group_stays_and_buffers_without_members_until_it_is_deleted() {
    let mut trial = topic(Overload::Block, 10);
    begun(&mut trial, A, join("g"));
    trial.die(A);
    assert_eq!(published(&mut trial, publish("a", "ab")), (2, 2, 1));
    let two = begun(&mut trial, B, join("g"));
    let waiting = trial.call(B, next(two, 9), Wait::Never);
    assert_eq!(letters(trial.told(waiting).unwrap()), "ab");
    let waiting = trial.waits(B, next(two, 9), Wait::Forever);
    assert_eq!(trial.ask(A, Command::DeleteGroup { group: "g".into() }), Ok(Reply::DeleteGroup { found: true }));
    assert_eq!(trial.told(waiting), Err(Fault::NoSuchReceiver { id: two }));
    assert_eq!(trial.ask(A, Command::DeleteGroup { group: "g".into() }), Ok(Reply::DeleteGroup { found: false }));
    assert_eq!(published(&mut trial, publish("a", "c")), (3, 1, 0));
}

#[test]
fn all_members_say_the_same() {
    let mut trial = topic(Overload::Block, 10);
    begun(&mut trial, A, join("g"));
    let other = Command::Subscribe(Subscribe { wants: Some(wants(&["a"])), group: Some("g".into()), replay: Replay::Nothing });
    let fault = trial.refused(B, other);
    let expected = Fault::Mismatch { name: "g".into(), what: "subjects".into(), expected: "a".into(), actual: String::new() };
    assert_eq!(fault, expected);
    let headers = Match(Headers::from([("a".to_owned(), "b".to_owned())]));
    let wanted = Wants { headers, ..wants(&[]) };
    let other = Command::Subscribe(Subscribe { wants: Some(wanted), group: Some("g".into()), replay: Replay::Nothing });
    assert!(matches!(trial.refused(B, other), Fault::Mismatch { what, .. } if what == "match"));
}

#[test]
fn a_next_is_done_with_others_even_if_nothing_comes() {
    let mut trial = topic(Overload::Block, 10);
    let one = begun(&mut trial, A, join("g"));
    published(&mut trial, publish("a", "abc"));
    assert_eq!(given(&mut trial, A, one, 2), "ab");
    assert_eq!(letters(trial.ask(A, next_done(one, 1, &[1])).unwrap()), "c");
    assert!(matches!(trial.ask(A, next_done(one, 1, &[2])), Err(Fault::TimedOut { .. })));
    let waiting = trial.waits(A, next_done(one, 1, &[3]), Wait::Forever);
    assert_eq!(trial.kind().streams[&one].given().len(), 0);
    published(&mut trial, publish("a", "d"));
    assert_eq!(letters(trial.told(waiting).unwrap()), "d");
}

#[test]
fn done_is_for_what_the_member_has_and_may_be_said_twice() {
    let mut trial = topic(Overload::Block, 10);
    let (one, two) = (begun(&mut trial, A, join("g")), begun(&mut trial, B, join("g")));
    published(&mut trial, publish("a", "ab"));
    given(&mut trial, A, one, 1);
    given(&mut trial, B, two, 1);
    let changes = trial.changes();
    for positions in [vec![2, 99], vec![]] {
        assert_eq!(trial.ask(A, Command::Done { subscription: one, positions }), Ok(Reply::Done));
    }
    assert_eq!(trial.changes(), changes, "nothing of it is its own");
    for _ in 0..2 {
        assert_eq!(trial.ask(A, Command::Done { subscription: one, positions: vec![1] }), Ok(Reply::Done));
    }
    assert_eq!(trial.kind().streams[&one].given().len(), 1);
}

#[test]
fn what_members_have_counts_for_the_bounds_and_is_not_dropped() {
    let mut trial = topic(Overload::Block, 2);
    let one = begun(&mut trial, A, join("g"));
    published(&mut trial, publish("a", "ab"));
    given(&mut trial, A, one, 2);
    let waiting = trial.waits(B, publish("a", "c"), Wait::Forever);
    trial.ask(A, Command::Done { subscription: one, positions: vec![1] }).unwrap();
    assert!(trial.told(waiting).is_ok());
    let mut trial = topic(Overload::DropOldest, 2);
    let one = begun(&mut trial, A, join("g"));
    published(&mut trial, publish("a", "ab"));
    given(&mut trial, A, one, 2);
    assert_eq!(published(&mut trial, publish("a", "c")), (3, 1, 0), "it is the oldest that was not given");
    trial.ask(A, Command::Done { subscription: one, positions: vec![1] }).unwrap();
    published(&mut trial, publish("a", "d"));
    assert_eq!(given(&mut trial, A, one, 9), "(1)d");
}

#[test]
fn a_group_that_lags_ends_for_all_members_and_begins_anew_with_the_next_one() {
    let mut trial = topic(Overload::Disconnect, 1);
    let (one, two) = (begun(&mut trial, A, join("g")), begun(&mut trial, B, join("g")));
    published(&mut trial, publish("a", "a"));
    published(&mut trial, publish("a", "b"));
    assert_eq!(trial.ask(A, next(one, 1)), Err(Fault::Lagged { missed: 2 }));
    published(&mut trial, publish("a", "c"));
    assert_eq!(trial.ask(B, next(two, 1)), Err(Fault::Lagged { missed: 3 }));
    let three = begun(&mut trial, A, join("g"));
    published(&mut trial, publish("a", "d"));
    assert_eq!(given(&mut trial, A, three, 1), "d");
}

#[test]
fn a_group_that_lags_begins_anew_although_one_of_its_members_never_asks_again() {
    let mut trial = topic(Overload::Disconnect, 1);
    let (_hung, two) = (begun(&mut trial, A, join("g")), begun(&mut trial, B, join("g")));
    published(&mut trial, publish("a", "a"));
    published(&mut trial, publish("a", "b"));
    assert_eq!(trial.ask(B, next(two, 1)), Err(Fault::Lagged { missed: 2 }));
    let three = begun(&mut trial, B, join("g"));
    assert_eq!(published(&mut trial, publish("a", "c")), (3, 1, 1));
    assert_eq!(given(&mut trial, B, three, 1), "c");
    trial.ask(B, Command::Done { subscription: three, positions: vec![3] }).unwrap();
    let four = begun(&mut trial, C, join("g"));
    trial.die(A);
    assert_eq!(trial.kind().streams.len(), 1, "the old one went with its last member");
    published(&mut trial, publish("a", "d"));
    assert_eq!(given(&mut trial, C, four, 1), "d");
}

#[test]
fn each_member_of_a_group_that_lagged_is_told_also_when_the_group_goes_on_without_it() {
    let mut trial = topic(Overload::Disconnect, 1);
    let (one, two) = (begun(&mut trial, A, join("g")), begun(&mut trial, B, join("g")));
    published(&mut trial, publish("a", "a"));
    published(&mut trial, publish("a", "b"));
    let three = begun(
        &mut trial,
        C,
        Command::Subscribe(Subscribe { wants: Some(wants(&["a"])), group: Some("g".into()), replay: Replay::Nothing }),
    );
    assert_eq!(trial.ask(A, next(one, 1)), Err(Fault::Lagged { missed: 2 }));
    assert_eq!(trial.ask(B, unsubscribe(two)), Err(Fault::Lagged { missed: 2 }));
    published(&mut trial, publish("a", "c"));
    assert_eq!(given(&mut trial, C, three, 1), "c", "its name and what it wants are the new one's");
    assert_eq!(trial.ask(C, Command::DeleteGroup { group: "g".into() }), Ok(Reply::DeleteGroup { found: true }));
    assert_eq!(trial.kind().streams.len(), 0);
}

#[test]
fn a_group_that_lagged_without_members_tells_whoever_comes_next() {
    let mut trial = topic(Overload::Disconnect, 1);
    begun(&mut trial, A, join("g"));
    trial.die(A);
    published(&mut trial, publish("a", "a"));
    published(&mut trial, publish("a", "b"));
    let (told, beside) = (begun(&mut trial, B, join("g")), begun(&mut trial, C, join("g")));
    assert_eq!(trial.ask(B, next(told, 1)), Err(Fault::Lagged { missed: 2 }));
    published(&mut trial, publish("a", "c"));
    assert_eq!(given(&mut trial, C, beside, 1), "c");
}

#[test]
fn waiting_members_are_served_in_the_order_of_asking() {
    let mut trial = topic(Overload::Block, 10);
    let (one, two) = (begun(&mut trial, A, join("g")), begun(&mut trial, B, join("g")));
    let (first, second) = (trial.waits(B, next(two, 1), Wait::Forever), trial.waits(A, next(one, 1), Wait::Forever));
    published(&mut trial, publish("a", "ab"));
    assert_eq!(letters(trial.told(first).unwrap()), "a");
    assert_eq!(letters(trial.told(second).unwrap()), "b");
}
