use super::*;

fn answer(inbox: u64, correlation: u64, payload: &str) -> Command {
    let to = AnswerTo { inbox, correlation, last: true };
    Command::Answer { to, content: Content { answer_to: Some(to), ..content(payload) } }
}

#[test]
fn an_answer_goes_to_the_inbox_and_to_nobody_else() {
    let mut trial = topic(Overload::Block, 10);
    let (inbox, all) = (begun(&mut trial, A, INBOX), begun(&mut trial, B, subscribe(&[], Replay::Nothing)));
    let reply_to = Some(ReplyTo { inbox, correlation: 7 });
    let question = Said::new("ask".into(), Content { reply_to, ..content("q") });
    let command = Command::Publish { messages: vec![question], must_be_heard: true };
    assert_eq!(published(&mut trial, command), (1, 1, 1));
    let Ok(Reply::Next { messages, .. }) = trial.ask(B, next(all, 1)) else { panic!("expected the question") };
    assert_eq!(messages[0].message.said.content.reply_to, reply_to);
    assert_eq!(trial.ask(B, answer(inbox, 7, "r")), Ok(Reply::Answer));
    let Ok(Reply::Next { messages, .. }) = trial.ask(A, next(inbox, 1)) else { panic!("expected the answer") };
    let message = &messages[0].message;
    assert_eq!((message.position, message.said.content.answer_to.unwrap().correlation, message.origin.session), (0, 7, B));
    assert!(is_empty(&mut trial, B, all));
    assert_eq!(trial.kind().position, 1, "an answer has no position");
}

#[test]
fn an_answer_to_nobody_is_refused() {
    let mut trial = topic(Overload::Block, 10);
    assert_eq!(trial.refused(A, answer(9, 1, "r")), Fault::NoSuchReceiver { id: 9 });
    let plain = begun(&mut trial, A, subscribe(&[], Replay::Nothing));
    assert_eq!(trial.refused(B, answer(plain, 1, "r")), Fault::NoSuchReceiver { id: plain });
    let inbox = begun(&mut trial, A, INBOX);
    trial.die(A);
    assert_eq!(trial.refused(B, answer(inbox, 1, "r")), Fault::NoSuchReceiver { id: inbox });
}

#[test]
fn an_answer_waits_for_its_inbox_and_not_for_another() {
    let mut trial = topic(Overload::Block, 1);
    let (full, free) = (begun(&mut trial, A, INBOX), begun(&mut trial, B, INBOX));
    trial.ask(C, answer(full, 1, "a")).unwrap();
    let waiting = trial.waits(C, answer(full, 2, "b"), Wait::Forever);
    let behind = trial.call(C, answer(free, 3, "c"), Wait::Forever);
    assert_eq!(trial.told(behind), Ok(Reply::Answer));
    assert!(matches!(trial.refused(C, answer(full, 4, "d")), Fault::NoRoom { .. }));
    assert_eq!(given(&mut trial, A, full, 1), "a");
    assert_eq!(trial.told(waiting), Ok(Reply::Answer));
    assert_eq!(given(&mut trial, A, full, 1), "b");
    let waiting = [trial.call(C, answer(full, 5, "e"), Wait::Never), trial.waits(C, answer(full, 6, "f"), Wait::Forever)];
    trial.die(A);
    assert_eq!(trial.told(waiting[0]), Ok(Reply::Answer));
    assert_eq!(trial.told(waiting[1]), Err(Fault::NoSuchReceiver { id: full }));
}

#[test]
fn answers_that_did_not_arrive_come_before_later_ones() {
    let mut trial = topic(Overload::Block, 10);
    let inbox = begun(&mut trial, A, INBOX);
    for payload in ["a", "b", "c"] {
        trial.ask(B, answer(inbox, 1, payload)).unwrap();
    }
    let lost = trial.call(A, next(inbox, 2), Wait::Never);
    trial.ask(B, answer(inbox, 1, "d")).unwrap();
    trial.unheard(lost);
    assert_eq!(given(&mut trial, A, inbox, 9), "abcd");
}

#[test]
fn a_full_inbox_follows_the_overload_policy() {
    for (overload, expected) in [(Overload::DropOldest, "(1)bc"), (Overload::DropNewest, "ab(1)")] {
        let mut trial = topic(overload, 2);
        let inbox = begun(&mut trial, A, INBOX);
        for payload in ["a", "b", "c"] {
            trial.ask(B, answer(inbox, 1, payload)).unwrap();
        }
        assert_eq!(given(&mut trial, A, inbox, 9), expected);
    }
    let mut trial = topic(Overload::Disconnect, 1);
    let inbox = begun(&mut trial, A, INBOX);
    trial.ask(B, answer(inbox, 1, "a")).unwrap();
    trial.ask(B, answer(inbox, 1, "b")).unwrap();
    assert_eq!(trial.refused(B, answer(inbox, 1, "c")), Fault::NoSuchReceiver { id: inbox });
    assert_eq!(trial.ask(A, next(inbox, 1)), Err(Fault::Lagged { missed: 2 }));
}
