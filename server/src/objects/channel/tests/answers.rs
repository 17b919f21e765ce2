//! Answers and their inboxes, and messages that must be heard.

use super::*;
use crate::objects::message::ReplyTo;

#[test]
fn an_answer_goes_to_its_inbox_and_to_nobody_else() {
    let mut trial = roomy();
    let (inbox, other) = (trial.attach(B, End::B, Mode::Inbox), trial.attach(B, End::B, Mode::Inbox));
    let (passive, active) = (trial.attach(C, End::B, everything()), trial.attach(C, End::B, Mode::Active));
    let asking = Content { reply_to: Some(ReplyTo { inbox, correlation: 7 }), ..content("question") };
    trial.say_contents(vec![answer("answer", inbox)]);
    trial.say_contents(vec![asking.clone()]);
    let Ok(Reply::Receive { messages, .. }) = trial.ask(B, receive_many(inbox, 9, &[])) else { panic!() };
    assert_eq!(messages.iter().map(|message| &message.content).collect::<Vec<_>>(), [&answer("answer", inbox)]);
    assert_eq!(trial.get(B, other), [""; 0]);
    assert_eq!(trial.get(C, passive), ["question"]);
    let Ok(Reply::Receive { messages, .. }) = trial.ask(C, receive(active)) else { panic!() };
    assert_eq!(messages[0].content, asking);
}

#[test]
fn an_answer_to_what_is_no_inbox_of_the_other_end_is_refused_with_all_of_its_request() {
    let mut trial = roomy();
    let (active, passive) = (trial.attach(B, End::B, Mode::Active), trial.attach(B, End::B, everything()));
    let own = trial.attach(B, End::A, Mode::Inbox);
    for id in [active, passive, own, 99, 0] {
        let request = send(End::A, vec![content("first"), answer("x", id)]);
        assert_eq!(trial.refused(A, request), Fault::NoSuchReceiver { id });
    }
}

#[test]
fn answers_go_with_their_inbox() {
    let mut trial = roomy();
    let inbox = trial.attach(B, End::B, Mode::Inbox);
    let active = trial.attach(C, End::B, Mode::Active);
    trial.say_contents(vec![answer("given", inbox), answer("waiting", inbox)]);
    texts(trial.ask(B, receive(inbox)));
    trial.die(B);
    assert_eq!(trial.get(C, active), [""; 0]);
    let stats = trial.kind().stats(End::B);
    assert_eq!((stats.waiting, stats.given, stats.bytes, stats.counters.dropped), (0, 0, 0, 2));
    assert_eq!(trial.refused(A, send(End::A, vec![answer("late", inbox)])), Fault::NoSuchReceiver { id: inbox });
}

#[test]
fn an_answer_waits_for_room_in_its_inbox_and_nobody_else_waits_with_it() {
    let mut trial = channel(2, 1000);
    let (full, open) = (trial.attach(B, End::B, Mode::Inbox), trial.attach(B, End::B, Mode::Inbox));
    trial.say_contents(vec![answer("a", full), answer("b", full)]);
    let fault = trial.refused(A, send(End::A, vec![answer("c", full)]));
    assert_eq!(fault, Fault::NoRoom { max_messages: 2, max_bytes: 1000 });
    let waiting = [answer("c", full), answer("d", full)].map(|one| trial.waits(A, send(End::A, vec![one]), Wait::Forever));
    trial.say_contents(vec![answer("x", open)]);
    trial.say(&["hello"]);
    texts(trial.ask(B, receive(full)));
    trial.done(B, full, &[1]);
    assert!(trial.told(waiting[0]).is_ok() && trial.is_waiting(waiting[1]), "in their order");
    assert_eq!(trial.get(B, full), ["b", "c"]);
    trial.done(B, full, &[2]);
    assert!(trial.told(waiting[1]).is_ok());
}

#[test]
fn an_answer_does_not_wait_for_what_nobody_asked_for_nor_for_those_who_send_it() {
    let mut trial = channel(2, 1000);
    let inbox = trial.attach(B, End::B, Mode::Inbox);
    trial.say(&["unread", "unread"]);
    let waiting = trial.waits(A, send(End::A, vec![content("more")]), Wait::Forever);
    trial.say_contents(vec![answer("a", inbox)]);
    assert_eq!(trial.get(B, inbox), ["a"]);
    assert!(trial.is_waiting(waiting));
}

#[test]
fn bytes_bound_an_inbox_which_one_answer_may_pass() {
    let mut trial = channel(10, 4);
    let inbox = trial.attach(B, End::B, Mode::Inbox);
    trial.say_contents(vec![answer("abc", inbox), answer("large", inbox)]);
    let waiting = trial.waits(A, send(End::A, vec![answer("", inbox)]), Wait::Forever);
    assert_eq!(trial.get(B, inbox), ["abc", "large"]);
    trial.done(B, inbox, &[1]);
    assert!(trial.is_waiting(waiting), "the large one is enough");
    trial.done(B, inbox, &[2]);
    assert!(!trial.is_waiting(waiting));
}

#[test]
fn of_a_request_what_goes_where_the_first_goes_is_taken() {
    let mut trial = roomy();
    let (inbox, other) = (trial.attach(B, End::B, Mode::Inbox), trial.attach(B, End::B, Mode::Inbox));
    let (first, second) = (answer("a", inbox), answer("b", other));
    for messages in [vec![first.clone(), second.clone()], vec![second, content("c")], vec![content("c"), first]] {
        assert!(matches!(trial.ask(A, send(End::A, messages)), Ok(Reply::Send { count: 1, .. })));
    }
}

#[test]
fn an_answer_that_waits_for_room_is_refused_when_its_inbox_goes() {
    let mut trial = channel(1, 1000);
    let inbox = trial.attach(B, End::B, Mode::Inbox);
    trial.say_contents(vec![answer("full", inbox)]);
    let waiting = trial.waits(A, send(End::A, vec![answer("x", inbox)]), Wait::Forever);
    trial.die(B);
    assert_eq!(trial.told(waiting), Err(Fault::NoSuchReceiver { id: inbox }));
}

#[test]
fn what_must_be_heard_is_refused_at_once_when_nobody_would_get_it() {
    let mut trial = roomy();
    assert_eq!(trial.refused(A, heard(End::A, content("a"))), Fault::NoResponders {});
    let inbox = trial.attach(B, End::B, Mode::Inbox);
    trial.attach(B, End::A, Mode::Active);
    trial.attach(B, End::B, wanting("color", "red"));
    assert_eq!(trial.refused(A, heard(End::A, content("a"))), Fault::NoResponders {});
    trial.ask(A, heard(End::A, with_header("a", "color", "red"))).unwrap();
    trial.ask(A, heard(End::A, answer("a", inbox))).unwrap();
    trial.attach(B, End::B, Mode::Active);
    trial.ask(A, heard(End::A, content("a"))).unwrap();
}

#[test]
fn who_waits_for_room_is_refused_when_the_last_who_would_hear_it_goes() {
    let mut trial = channel(1, 1000);
    trial.attach(B, End::B, Mode::Active);
    trial.say(&["full"]);
    let waiting = trial.waits(A, heard(End::A, content("a")), Wait::Forever);
    trial.die(B);
    assert_eq!(trial.told(waiting), Err(Fault::NoResponders {}));
}
