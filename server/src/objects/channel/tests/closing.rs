//! What each end is told when one of them closes.

use super::*;

#[test]
fn a_closed_end_neither_sends_nor_receives_and_what_waited_for_it_is_dropped() {
    let mut trial = roomy();
    let (active, passive) = (trial.attach(B, End::B, Mode::Active), trial.attach(B, End::B, everything()));
    trial.say(&["a", "b", "c"]);
    texts(trial.ask(B, receive(active)));
    assert_eq!(trial.close(End::B), 2);
    assert_eq!(trial.ask(D, Command::Close { end: End::B }), Ok(Reply::Close { changed: false, dropped: 0 }));
    for receiver in [active, passive] {
        assert_eq!(trial.refused(B, receive(receiver)), end_closed("b"));
    }
    assert_eq!(trial.refused(A, send(End::A, vec![content("d")])), end_closed("b"));
    assert_eq!(trial.refused(B, send(End::B, vec![content("d")])), end_closed("b"));
    assert_eq!(trial.refused(C, Command::Attach { end: End::B, mode: Mode::Active }), end_closed("b"));
    trial.done(B, active, &[1]);
    assert_eq!(trial.numbers(), (0, 0, 1), "what was given can still be done");
}

#[test]
fn the_other_end_receives_what_was_sent_before_and_is_then_told() {
    let mut trial = roomy();
    let (b, c) = (trial.attach(B, End::B, Mode::Active), trial.attach(C, End::B, everything()));
    let inbox = trial.attach(C, End::B, Mode::Inbox);
    let answers = trial.waits(C, receive(inbox), Wait::Forever);
    trial.say(&["a", "b"]);
    trial.close(End::A);
    assert_eq!(trial.told(answers), Err(end_closed("a")));
    assert_eq!(trial.get(B, b), ["a", "b"]);
    assert_eq!(trial.get(C, c), ["a", "b"]);
    assert_eq!(trial.refused(C, receive(c)), end_closed("a"));
    assert_eq!(trial.refused(B, send(End::B, vec![content("x")])), end_closed("a"));
    trial.done(C, c, &[1, 2]);
    assert_eq!(trial.ask(B, receive_many(b, 1, &[1, 2])), Err(end_closed("a")));
    assert_eq!(trial.numbers(), (0, 0, 2));
}

#[test]
fn after_the_other_end_closed_an_active_receiver_waits_for_what_others_may_give_back() {
    let mut trial = roomy();
    let (b, c) = (trial.attach(B, End::B, Mode::Active), trial.attach(C, End::B, Mode::Active));
    trial.say(&["a", "b"]);
    texts(trial.ask(B, receive(b)));
    texts(trial.ask(C, receive(c)));
    trial.close(End::A);
    let waiting = trial.waits(C, receive_many(c, 1, &[2]), Wait::Forever);
    trial.die(B);
    assert_eq!(trial.got(waiting), ["!a"]);
    assert_eq!(trial.refused(C, receive(c)), end_closed("a"), "what it has itself does not keep it waiting");
}

#[test]
fn who_waits_is_told_when_an_end_closes() {
    let mut trial = channel(1, 1000);
    let (b, a) = (trial.attach(B, End::B, Mode::Active), trial.attach(A, End::A, Mode::Active));
    trial.ask(A, send(End::B, vec![content("full")])).unwrap();
    let at_b = trial.waits(B, receive(b), Wait::Forever);
    let sender = trial.waits(A, send(End::B, vec![content("more")]), Wait::Forever);
    trial.close(End::B);
    assert_eq!((trial.told(at_b), trial.told(sender)), (Err(end_closed("b")), Err(end_closed("b"))));
    assert_eq!(trial.get(A, a), ["full"]);
    trial.close(End::A);
    assert_eq!(trial.refused(A, receive(a)), end_closed("a"));
}

#[test]
fn what_comes_back_to_a_closed_end_is_dropped() {
    for comes_back in [|trial: &mut Trial<Channel>, _| trial.die(B), |trial: &mut Trial<Channel>, lost| trial.unheard(lost)] {
        let mut trial = roomy();
        let receiver = trial.attach(B, End::B, Mode::Active);
        trial.say(&["a"]);
        let lost = trial.call(B, receive(receiver), Wait::Never);
        assert_eq!(trial.close(End::B), 0);
        comes_back(&mut trial, lost);
        assert_eq!((trial.numbers(), trial.kind().stats(End::B).counters.dropped), ((0, 0, 0), 1));
    }
}
