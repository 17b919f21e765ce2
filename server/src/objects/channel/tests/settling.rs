//! When a message is settled, and what becomes of it when its receiver goes without being done with it.

use super::*;

#[test]
fn a_message_is_settled_when_its_receiver_is_done_with_it_and_once() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    trial.say(&["a", "b"]);
    trial.get(B, receiver);
    trial.done(B, receiver, &[2]);
    let changes = trial.changes();
    trial.done(B, receiver, &[2, 9]);
    assert_eq!((trial.numbers(), trial.changes()), ((0, 1, 1), changes), "what is settled is settled");
    trial.done(B, receiver, &[1, 1]);
    assert_eq!((trial.numbers(), trial.kind().stats(End::B).bytes), ((0, 0, 2), 0));
}

#[test]
fn what_waits_cannot_be_done() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    trial.say(&["a"]);
    trial.done(B, receiver, &[1]);
    assert_eq!(trial.get(B, receiver), ["a"]);
}

#[test]
fn a_receive_settles_what_it_says_even_if_it_waits_or_fails() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    trial.say(&["a", "b", "c"]);
    texts(trial.ask(B, receive(receiver)));
    assert_eq!(texts(trial.ask(B, receive_many(receiver, 2, &[1]))), ["b", "c"]);
    assert_eq!(trial.numbers(), (0, 2, 1));
    let fault = trial.ask(B, receive_many(receiver, 1, &[2])).unwrap_err();
    assert_eq!((fault, trial.numbers()), (Fault::TimedOut { what: "no message".into() }, (0, 1, 2)));
    let waiting = trial.waits(B, receive_many(receiver, 1, &[3]), Wait::Forever);
    assert_eq!(trial.numbers(), (0, 0, 3));
    trial.say(&["d"]);
    assert_eq!(trial.got(waiting), ["d"]);
}

#[test]
fn what_a_dead_receiver_was_not_done_with_waits_again_in_its_old_place_and_is_marked() {
    for how in [Departure::Lost, Departure::Closed] {
        let mut trial = roomy();
        let receiver = trial.attach(B, End::B, Mode::Active);
        trial.say(&["a", "b", "c", "d"]);
        texts(trial.ask(B, receive_many(receiver, 3, &[])));
        trial.done(B, receiver, &[2]);
        trial.depart(B, how);
        let successor = trial.attach(C, End::B, Mode::Active);
        assert_eq!(trial.get(C, successor), ["!a", "!c", "d"]);
        assert_eq!(trial.kind().stats(End::B).counters.redelivered, 2);
    }
}

#[test]
fn what_a_dead_receiver_had_goes_to_one_who_waits() {
    let mut trial = roomy();
    let (b, c) = (trial.attach(B, End::B, Mode::Active), trial.attach(C, End::B, Mode::Active));
    trial.say(&["a"]);
    trial.get(B, b);
    let waiting = trial.waits(C, receive(c), Wait::Forever);
    trial.die(B);
    assert_eq!(trial.got(waiting), ["!a"]);
}

#[test]
fn what_is_detached_is_done_with_some_and_gives_back_the_rest() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    trial.say(&["a", "b"]);
    trial.get(B, receiver);
    assert_eq!(trial.ask(B, Command::Detach { receiver, done: vec![1, 7] }), Ok(Reply::Detach));
    assert_eq!(trial.numbers(), (1, 0, 1));
    let successor = trial.attach(B, End::B, Mode::Active);
    assert_eq!(trial.get(B, successor), ["!b"]);
    assert_eq!(trial.refused(B, Command::Detach { receiver, done: vec![] }), Fault::NoSuchReceiver { id: receiver });
}

#[test]
fn what_a_passive_receiver_had_does_not_wait_again_while_another_has_it_or_if_one_is_done_with_it() {
    let mut trial = roomy();
    let (one, two) = (trial.attach(B, End::B, everything()), trial.attach(C, End::B, everything()));
    trial.say(&["finished", "had"]);
    trial.get(B, one);
    trial.get(C, two);
    trial.done(C, two, &[1]);
    trial.die(B);
    assert_eq!(trial.numbers(), (0, 1, 1));
    trial.die(C);
    let successor = trial.attach(D, End::B, Mode::Active);
    assert_eq!(trial.get(D, successor), ["!had"], "now nobody has it or was done with it");
}

#[test]
fn what_an_active_receiver_had_is_its_successors_whatever_passive_ones_do_with_it() {
    for goes in [|trial: &mut Trial<Channel>, _| trial.die(B), |trial: &mut Trial<Channel>, active| trial.detach(B, active)] {
        let mut trial = roomy();
        let (active, passive) = (trial.attach(B, End::B, Mode::Active), trial.attach(C, End::B, everything()));
        trial.say(&["done", "finished", "had", "waits"]);
        texts(trial.ask(B, receive_many(active, 3, &[])));
        trial.get(C, passive);
        trial.done(B, active, &[1]);
        trial.done(C, passive, &[1, 2, 4]);
        goes(&mut trial, active);
        assert_eq!(trial.numbers(), (2, 1, 1));
        assert_eq!(trial.get(C, passive), [""; 0], "it had them");
        let successor = trial.attach(D, End::B, Mode::Active);
        assert_eq!(trial.get(D, successor), ["!finished", "!had", "waits"]);
        trial.done(D, successor, &[2, 3, 4]);
        trial.done(C, passive, &[3]);
        assert_eq!(trial.numbers(), (0, 0, 4));
    }
}

#[test]
fn a_passive_receiver_that_takes_the_place_of_an_active_one_leaves_what_it_had_to_the_next() {
    for is_done in [false, true] {
        let mut trial = roomy();
        let (active, beside) = (trial.attach(B, End::B, Mode::Active), trial.attach(C, End::B, everything()));
        trial.say(&["a"]);
        trial.get(B, active);
        trial.get(C, beside);
        let instead = trial.attach(A, End::B, everything());
        trial.die(B);
        trial.done(C, beside, &[1]);
        assert_eq!(trial.get(A, instead), ["!a"], "it had not got it");
        if is_done {
            trial.done(A, instead, &[1]);
        }
        trial.die(A);
        let successor = trial.attach(D, End::B, Mode::Active);
        assert_eq!(trial.get(D, successor), if is_done { vec![] } else { vec!["!a"] });
    }
}

#[test]
fn what_waits_for_an_active_receiver_that_never_comes_takes_room_and_grows_no_more() {
    let mut trial = channel(3, 1000);
    let (active, passive) = (trial.attach(B, End::B, Mode::Active), trial.attach(C, End::B, everything()));
    trial.say(&["had", "waits"]);
    texts(trial.ask(B, receive(active)));
    trial.get(C, passive);
    trial.done(C, passive, &[1, 2]);
    trial.die(B);
    for position in 3..10 {
        trial.say(&["new"]);
        assert_eq!(trial.refused(A, send(End::A, vec![content("x")])), Fault::NoRoom { max_messages: 3, max_bytes: 1000 });
        trial.get(C, passive);
        trial.done(C, passive, &[position]);
        assert_eq!(trial.numbers().0, 2);
    }
    let successor = trial.attach(D, End::B, Mode::Active);
    assert_eq!(trial.get(D, successor), ["!had", "waits"]);
}

#[test]
fn what_waits_again_while_no_active_receiver_is_there_goes_to_passive_ones_that_never_had_it() {
    let mut trial = roomy();
    let active = trial.attach(B, End::B, Mode::Active);
    trial.say(&["a"]);
    trial.get(B, active);
    let passive = trial.attach(C, End::B, everything());
    let waiting = trial.waits(C, receive(passive), Wait::Forever);
    trial.die(B);
    assert_eq!(trial.got(waiting), ["!a"]);
}

#[test]
fn receivers_of_one_session_go_together() {
    let mut trial = roomy();
    let active = trial.attach(B, End::B, Mode::Active);
    trial.say(&["a"]);
    trial.get(B, active);
    trial.attach(B, End::B, everything());
    trial.attach(B, End::A, Mode::Inbox);
    let changes = trial.changes();
    trial.die(B);
    assert_eq!((trial.changes(), trial.numbers()), (changes + 1, (1, 0, 0)), "in one change, and not to each other");
    let after = trial.kind().clone();
    assert!(after.sides.iter().all(|side| side.receivers.len() == 0));
    trial.die(B);
    assert_eq!(trial.changes(), changes + 1);
}

#[test]
fn a_message_that_was_never_heard_of_waits_again_unmarked_and_in_its_place() {
    for mode in [Mode::Active, everything()] {
        let mut trial = roomy();
        let receiver = trial.attach(B, End::B, mode);
        trial.say(&["a", "b", "c"]);
        let lost = trial.call(B, receive_many(receiver, 2, &[]), Wait::Never);
        trial.done(B, receiver, &[1]);
        trial.unheard(lost);
        assert_eq!(trial.get(B, receiver), ["b", "c"], "the first was heard of after all");
    }
}

#[test]
fn an_unheard_receive_gives_back_nothing_of_another_receiver_of_the_session() {
    let mut trial = roomy();
    let (active, passive) = (trial.attach(B, End::B, Mode::Active), trial.attach(B, End::B, everything()));
    trial.say(&["a"]);
    let lost = trial.call(B, receive(active), Wait::Never);
    trial.get(B, passive);
    trial.unheard(lost);
    assert_eq!(trial.get(B, passive), [""; 0]);
    assert_eq!(trial.get(B, active), ["a"]);
}

#[test]
fn an_unheard_receive_of_a_receiver_that_went_changes_nothing() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    trial.say(&["a"]);
    let lost = trial.call(B, receive(receiver), Wait::Never);
    trial.detach(B, receiver);
    let changes = trial.changes();
    trial.unheard(lost);
    assert_eq!((trial.changes(), trial.numbers()), (changes, (1, 0, 0)));
}

#[test]
fn a_receiver_that_nobody_heard_of_is_detached() {
    let mut trial = roomy();
    let lost = trial.call(B, Command::Attach { end: End::B, mode: Mode::Active }, Wait::Never);
    trial.unheard(lost);
    assert_eq!(trial.kind().stats(End::B).active, 0);
    assert_eq!(trial.ask(A, heard(End::A, content("a"))), Err(Fault::NoResponders {}));
}

#[test]
fn a_receiver_is_its_sessions_alone() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    trial.say(&["a"]);
    let fault = Fault::NoSuchReceiver { id: receiver };
    assert_eq!(trial.refused(C, receive(receiver)), fault);
    assert_eq!(trial.refused(C, Command::Done { receiver, positions: vec![1] }), fault);
    assert_eq!(trial.refused(C, Command::Detach { receiver, done: vec![] }), fault);
    assert_eq!(trial.refused(B, receive(0)), Fault::NoSuchReceiver { id: 0 });
}

#[test]
fn a_receive_that_waits_is_refused_when_its_receiver_is_detached() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    let waiting = trial.waits(B, receive(receiver), Wait::Forever);
    trial.detach(B, receiver);
    assert_eq!(trial.told(waiting), Err(Fault::NoSuchReceiver { id: receiver }));
}

#[test]
fn what_was_sent_stays_when_its_sender_dies() {
    let mut trial = roomy();
    trial.say(&["a"]);
    trial.die(A);
    let receiver = trial.attach(B, End::B, Mode::Active);
    assert_eq!(trial.get(B, receiver), ["a"]);
}

#[test]
fn a_receive_that_waits_ends_at_its_deadline_and_swallows_nothing() {
    let mut trial = roomy();
    let receiver = trial.attach(B, End::B, Mode::Active);
    let late = trial.waits(B, receive(receiver), wait_ms(10));
    let taken_back = trial.waits(B, receive(receiver), Wait::Forever);
    trial.pass(9);
    assert!(trial.is_waiting(late));
    trial.pass(1);
    assert_eq!(trial.told(late), Err(Fault::TimedOut { what: "no message".into() }));
    trial.cancel(taken_back);
    trial.say(&["a"]);
    assert_eq!(trial.get(B, receiver), ["a"]);
}

#[test]
fn who_waits_for_nothing_that_comes_does_not_hold_up_who_is_behind() {
    let mut trial = roomy();
    let (inbox, active) = (trial.attach(B, End::B, Mode::Inbox), trial.attach(C, End::B, Mode::Active));
    let answers = trial.waits(B, receive(inbox), Wait::Forever);
    let messages = trial.waits(C, receive(active), Wait::Forever);
    trial.say(&["a"]);
    assert_eq!(trial.got(messages), ["a"]);
    assert!(trial.is_waiting(answers));
}
