//! Channels: two ends that send and receive, callbacks beside receivers, questions, and ends that are handed on.

use super::{connect, connected, sent::counted};
use bursar::{
    Answers, Channel, End, Error, Failure, Fault, Manager, Message, Raw, Result, Wait,
    blocking::block_on,
    channel::{EndUri, Side},
};
use futures_util::{
    StreamExt, TryStreamExt,
    future::{Either, join_all, select},
};
use serde::{Deserialize, Serialize};
use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Say {
    Hello { name: String },
    Number(u64),
}

async fn create<T: bursar::Payload>(manager: &Manager) -> Channel<T> {
    manager.channel("talk").create().await.unwrap()
}

async fn other<T: bursar::Payload>(manager: &Manager) -> Channel<T> {
    manager.channel("talk").open().await.unwrap()
}

/// What was given is done with by now: the broker takes the calls of a session in their order.
async fn waiting_for_b<T>(channel: &Channel<T>) -> (u64, u64) {
    let stats = channel.stats().await.unwrap();
    (stats.b.waiting, stats.b.given)
}

fn is_closed<T: std::fmt::Debug>(outcome: Result<T>) -> bool {
    matches!(outcome.unwrap_err().fault(), Some(Fault::EndClosed { .. }))
}

/// A call that comes to the broker in the moment in which the session ends is refused instead.
fn is_lost<T: std::fmt::Debug>(outcome: Result<T>) -> bool {
    let error = outcome.unwrap_err();
    matches!(error, Error::Lost(_)) || matches!(error.fault(), Some(Fault::SessionEnded { .. }))
}

#[test]
fn both_ends_send_and_receive_in_order() {
    let (broker, manager) = connected();
    let there = connect(&broker);
    block_on(async {
        let (mut a, mut b) = (create(&manager).await.a(), other(&there).await.b());
        let hello = Say::Hello { name: "Ada".to_owned() };
        let first = a.send(&hello).await.unwrap();
        assert_eq!(a.send(Say::Number(7)).await.unwrap(), first + 1);
        b.send(Say::Number(8)).await.unwrap();
        assert_eq!((b.receive().await.unwrap(), b.receive().await.unwrap()), (hello, Say::Number(7)));
        assert_eq!(a.receive().await.unwrap(), Say::Number(8));
        assert!(matches!(a.try_receive().await.unwrap_err().fault(), Some(Fault::TimedOut { .. })));
    });
}

#[test]
fn what_came_with_a_message_is_told() {
    let (broker, manager) = connected();
    let there = connect(&broker);
    block_on(async {
        let (a, mut b) = (create::<u32>(&manager).await.a(), other::<u32>(&there).await.b());
        let position = a.send_with(Message::new(7).header("kind", "x"), Wait::Never).await.unwrap();
        let message = b.receive_message().await.unwrap();
        assert_eq!((*message, message.position(), message.session()), (7, position, manager.session_id()));
        assert_eq!((message.header("kind"), message.header("none"), message.headers().len()), (Some("x"), None, 1));
        assert!(message.subject().is_empty() && !message.is_redelivered() && !message.expects_answer());
        let age = message.sent_at().elapsed().unwrap_or_default();
        assert!(age < Duration::from_secs(3600), "{age:?}");
        let error = message.reply(1).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "nobody asked: {error}");
        assert_eq!(message.into_value(), 7);
    });
}

#[test]
fn a_message_is_done_with_when_the_next_is_asked_for_or_said_or_dropped_in_order() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        talk.a().send_all(1..=4).await.unwrap();
        let mut b = talk.b();
        assert_eq!(b.receive().await.unwrap(), 1);
        assert_eq!(waiting_for_b(&talk).await, (3, 1), "nothing was said of it");
        let second = b.receive_message().await.unwrap();
        assert_eq!(waiting_for_b(&talk).await, (2, 1), "the first is done with");
        second.done().await.unwrap();
        second.done().await.unwrap();
        assert_eq!(waiting_for_b(&talk).await, (2, 0));
        assert_eq!(b.receive().await.unwrap(), 3);
        drop(b);
        assert_eq!(waiting_for_b(&talk).await, (1, 0));
        second.done().await.unwrap();
        let last = talk.b().receive_message().await.unwrap();
        assert!(*last == 4 && !last.is_redelivered());
        assert_eq!(talk.stats().await.unwrap().b.received, 4);
    });
}

#[test]
fn a_wait_that_is_given_up_does_not_keep_what_is_done_with() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        talk.a().send(1).await.unwrap();
        let mut b = talk.b();
        assert_eq!(b.receive().await.unwrap(), 1);
        {
            let (waiting, looking) = (pin!(b.receive()), pin!(talk.stats()));
            let Either::Right(_) = select(waiting, looking).await else { panic!("nothing else was sent") };
        }
        talk.a().send(2).await.unwrap();
        assert_eq!(b.receive().await.unwrap(), 2, "it was not lost with the wait");
        drop(b);
        assert_eq!((waiting_for_b(&talk).await, talk.stats().await.unwrap().b.received), ((0, 0), 2));
    });
}

#[test]
fn what_its_receiver_panicked_over_or_lost_goes_to_the_successor_marked() {
    let (broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        talk.a().send(7).await.unwrap();
        let mut b = talk.b();
        let panicking = std::thread::spawn(move || {
            block_on(b.receive()).unwrap();
            let _b = b;
            panic!("over the message, on purpose");
        });
        assert!(panicking.join().is_err());

        let lost = connect(&broker);
        let mut b = other::<u32>(&lost).await.b();
        assert!(b.receive_message().await.unwrap().is_redelivered());
        broker.lose_session(lost.session_id());
        let again = talk.b().receive_message().await.unwrap();
        assert!(*again == 7 && again.is_redelivered());
        assert!(is_lost(b.receive().await));
        assert_eq!(talk.stats().await.unwrap().b.redelivered, 2);
    });
}

#[test]
fn of_active_receivers_one_gets_a_message_and_clones_are_others() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        talk.a().send_all([1, 2]).await.unwrap();
        let mut b = talk.b();
        let mut clone = b.clone();
        assert_eq!((b.receive().await.unwrap(), clone.receive().await.unwrap()), (1, 2));
        assert_eq!(talk.stats().await.unwrap().b.active, 2);
        drop(b);
        assert_eq!(talk.stats().await.unwrap().b.active, 1);
    });
}

#[test]
fn sending_waits_for_room_and_a_large_batch_goes_in_pieces() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk: Channel<u32> = manager.channel("talk").max_messages(3).create().await.unwrap();
        let (a, mut b) = (talk.a(), talk.b());
        let sending = async { a.send_all(0..1000).await.unwrap() };
        let receiving = async {
            let mut numbers = Vec::new();
            while numbers.len() < 1000 {
                numbers.push(b.receive().await.unwrap());
            }
            numbers
        };
        let (positions, numbers) = futures_util::join!(sending, receiving);
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        assert!(positions.len() == 1000 && positions.is_sorted_by(|one, next| one < next));

        a.send_all(0..2).await.unwrap();
        let error = a.send_within(2, Wait::For(Duration::from_millis(1))).await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::NoRoom { max_messages: 3, max_bytes: 64 << 20 }), "one is in b's hand");
    });
}

#[test]
fn what_waits_for_room_is_not_carried_again_and_again() {
    const COUNT: usize = 500;
    let (broker, manager) = connected();
    let (there, sent) = counted(&broker);
    block_on(async {
        let talk: Channel<Vec<u8>> = manager.channel("talk").max_messages(2).create().await.unwrap();
        let (a, mut b) = (other::<Vec<u8>>(&there).await.a(), talk.b());
        let before = sent.bytes();
        let sending = async { a.send_all(vec![vec![7; 1000]; COUNT]).await.unwrap() };
        let receiving = async {
            for _ in 0..COUNT {
                b.receive().await.unwrap();
            }
        };
        futures_util::join!(sending, receiving);
        let carried = (sent.bytes() - before) / 1000;
        assert!(carried < 6 * COUNT as u64, "{carried} were carried for {COUNT}");
    });
}

#[test]
fn answers_that_nobody_reads_are_in_nobodys_way() {
    let (broker, manager) = connected();
    let there = connect(&broker);
    block_on(async {
        let talk: Channel<u32> = manager.channel("talk").max_messages(2).create().await.unwrap();
        let (a, mut b, mut reads) = (talk.a(), other::<u32>(&there).await.b(), talk.a());
        b.try_receive().await.expect_err("it receives from now on");
        let unread = a.ask_many(0).await.unwrap();
        let first = b.receive_message().await.unwrap();
        let replies = first.replies().unwrap();
        replies.send_all([1, 2]).await.unwrap();
        let stuck = pin!(replies.send(3));
        let Either::Right((talked, stuck)) = select(
            stuck,
            pin!(async {
                let clerk = async {
                    let question = b.receive_message().await.unwrap();
                    question.reply(*question + 1).await.unwrap();
                    b.send(9).await.unwrap();
                };
                let (answer, (), ()) = futures_util::join!(a.ask(7, Wait::Forever), clerk, async {
                    assert_eq!(reads.receive().await.unwrap(), 9);
                });
                *answer.unwrap()
            }),
        )
        .await
        else {
            panic!("there is no room for a third answer")
        };
        assert_eq!(talked, 8);
        drop(unread);
        let error = stuck.await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::NoSuchReceiver { .. })), "{error}");
    });
}

#[test]
fn many_are_received_at_once_and_concurrent_sends_keep_their_order() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        let a = talk.a();
        join_all((0..500).map(|number| a.send(number))).await.into_iter().collect::<Result<Vec<_>>>().unwrap();
        let mut b = talk.b();
        let first = b.receive_many(200, Wait::Never).await.unwrap();
        let rest = b.receive_many(100_000, Wait::Never).await.unwrap();
        let numbers: Vec<u32> = first.iter().chain(&rest).map(|message| **message).collect();
        assert_eq!((first.len(), numbers), (200, (0..500).collect()));
        assert_eq!(waiting_for_b(&talk).await, (0, 300));
    });
}

#[test]
fn the_other_end_receives_the_rest_and_learns_of_the_close() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        let (mut a, mut b) = (talk.a(), talk.b());
        a.send_all([1, 2]).await.unwrap();
        b.send(9).await.unwrap();
        assert_eq!(a.close().await.unwrap(), 1, "what waited for it is dropped");
        assert_eq!(a.close().await.unwrap(), 0);
        let numbers: Vec<u32> = b.messages().map_ok(|message| *message).try_collect().await.unwrap();
        assert_eq!(numbers, [1, 2]);
        assert!(is_closed(b.receive().await) && is_closed(a.receive().await));
        assert!(is_closed(a.send(3).await) && is_closed(b.send(3).await));
        assert!(talk.stats().await.unwrap().a.closed);
    });
}

#[test]
fn a_message_of_another_type_is_an_error_and_in_nobodys_way() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<String>(&manager).await;
        let raw: End<Raw> = manager.raw_channel("talk").open().await.unwrap().a();
        raw.send(Raw::from("no text of anybody")).await.unwrap();
        talk.a().send("hello".to_owned()).await.unwrap();
        let mut b = talk.b();
        assert!(matches!(b.receive().await, Err(Error::Codec { .. })));
        assert_eq!(b.receive().await.unwrap(), "hello");
        raw.send(Raw::from("again")).await.unwrap();
        raw.send(Raw::from("and again")).await.unwrap();
        let mut messages = b.messages();
        assert!(matches!(messages.next().await, Some(Err(Error::Codec { .. }))));
        assert!(matches!(messages.next().await, Some(Err(Error::Codec { .. }))), "the stream goes on behind it");
    });
}

fn told<T: Send + 'static>() -> (SyncSender<T>, std::sync::mpsc::Receiver<T>) {
    sync_channel(1000)
}

#[test]
fn every_callback_whose_filter_is_met_is_called_and_one_active_receiver_gets_it_too() {
    let (broker, manager) = connected();
    let there = connect(&broker);
    block_on(async {
        let (a, b) = (create::<u32>(&manager).await.a(), other::<u32>(&there).await.b());
        let (tell, heard) = told();
        let callback = |name: &'static str| {
            let tell = tell.clone();
            move |number: &bursar::Received<u32>| tell.send((name, **number)).unwrap()
        };
        let mut active = b.clone();
        assert!(active.try_receive().await.is_err(), "attached from now on");
        let all = b.on_receive(|_| true, callback("all")).await.unwrap();
        let even = b.on_receive(|number| number % 2 == 0, callback("even")).await.unwrap();
        let marked = b.listener().header("kind", "x").on_receive(callback("marked")).await.unwrap();
        a.send(1).await.unwrap();
        a.send(2).await.unwrap();
        a.send_with(Message::new(3).header("kind", "x").header("more", "y"), Wait::Never).await.unwrap();
        assert_eq!(
            [active.receive().await.unwrap(), active.receive().await.unwrap(), active.receive().await.unwrap()],
            [1, 2, 3]
        );
        let mut calls: Vec<_> = heard.iter().take(5).collect();
        calls.sort_unstable();
        assert_eq!(calls, [("all", 1), ("all", 2), ("all", 3), ("even", 2), ("marked", 3)]);
        for subscription in [all, even, marked] {
            assert_eq!(subscription.failures(), 0);
            subscription.close().await.unwrap();
        }
        a.send(4).await.unwrap();
        assert_eq!(active.receive().await.unwrap(), 4);
        assert!(heard.try_recv().is_err(), "nobody is called any more");
    });
}

#[test]
fn a_callback_that_panics_or_fails_is_reported_and_the_next_message_comes() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        let raw = manager.raw_channel("talk").open().await.unwrap();
        let (tell, heard) = told();
        let hook = tell.clone();
        let on_error = move |failure: &Failure| {
            let text = failure.to_string();
            hook.send(text).unwrap();
            panic!("a hook may panic too");
        };
        let listener = talk.b().listener().on_error(on_error);
        let subscription = listener
            .on_receive(move |number| match **number {
                1 => panic!("one, on purpose"),
                2 => Err("two"),
                number => tell.send(number.to_string()).map_err(|_| "nobody listens"),
            })
            .await
            .unwrap();
        talk.a().send_all([1, 2]).await.unwrap();
        raw.a().send(Raw::from("not a number")).await.unwrap();
        talk.a().send(3).await.unwrap();
        let told: Vec<String> = heard.iter().take(4).collect();
        assert!(told[0].contains("one, on purpose") && told[1].contains("two") && told[2].contains("cannot be read"), "{told:?}");
        assert_eq!((told[3].as_str(), subscription.failures()), ("3", 3));
        subscription.close().await.unwrap();
        assert_eq!(waiting_for_b(&talk).await, (0, 0), "all are done with");
    });
}

#[test]
fn an_async_callback_is_done_with_its_message_when_its_future_is() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        let (tell, heard) = told();
        let (go, gate) = tokio::sync::oneshot::channel::<()>();
        let gate = Arc::new(Mutex::new(Some(gate)));
        let subscription = talk
            .b()
            .listener()
            .on_receive_async(move |message| {
                let (tell, gate) = (tell.clone(), gate.lock().unwrap().take());
                async move {
                    tell.send(*message).unwrap();
                    match gate {
                        Some(gate) => gate.await.map_err(|error| error.to_string()),
                        None => Err("no gate".to_owned()),
                    }
                }
            })
            .await
            .unwrap();
        talk.a().send_all([1, 2]).await.unwrap();
        assert_eq!(heard.recv(), Ok(1));
        assert_eq!(waiting_for_b(&talk).await, (1, 1));
        go.send(()).unwrap();
        assert_eq!(heard.recv(), Ok(2));
        subscription.close().await.unwrap();
        assert_eq!(waiting_for_b(&talk).await, (0, 0));
    });
}

#[test]
fn callbacks_run_as_tasks_on_the_runtime_of_who_subscribes() {
    let (_broker, manager) = connected();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let talk = create::<u32>(&manager).await;
        let (tell, mut heard) = tokio::sync::mpsc::channel(1);
        let subscription = talk.b().listener().on_receive_async(move |number| {
            let tell = tell.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                tell.send((*number, std::thread::current().id())).await
            }
        });
        let subscription = subscription.await.unwrap();
        talk.a().send(7).await.unwrap();
        assert_eq!(heard.recv().await, Some((7, std::thread::current().id())));
        subscription.close().await.unwrap();
    });
}

/// A runtime that stops in the middle of a callback has not done what the message asks for.
#[test]
fn a_message_whose_callback_is_cut_off_goes_to_the_successor_marked() {
    let (_broker, manager) = connected();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let talk = block_on(create::<u32>(&manager));
    let (tell, heard) = told();
    let subscription = runtime.block_on(talk.b().listener().on_receive_async(move |number| {
        tell.send(*number).unwrap();
        std::future::pending::<()>()
    }));
    block_on(talk.a().send(7)).unwrap();
    assert_eq!(heard.recv(), Ok(7));
    drop(runtime);
    block_on(async {
        assert!(matches!(subscription.unwrap().wait().await, Err(Error::Lost(_))));
        let again = talk.b().receive_message().await.unwrap();
        assert!(*again == 7 && again.is_redelivered());
    });
}

#[test]
fn a_subscription_ends_by_itself_with_the_channel_or_the_session() {
    let (broker, manager) = connected();
    let there = connect(&broker);
    block_on(async {
        let talk = create::<u32>(&manager).await;
        let (tell, heard) = told();
        let subscription = talk.b().on_receive(|_| true, move |number| tell.send(**number)).await.unwrap();
        talk.a().send(1).await.unwrap();
        talk.a().close().await.unwrap();
        subscription.wait().await.unwrap();
        assert_eq!(heard.iter().collect::<Vec<_>>(), [1], "what was sent before was handled, and the callback is gone");

        let next: Channel<u32> = there.channel("next").create().await.unwrap();
        let subscription = next.b().on_receive(|_| true, |_| ()).await.unwrap();
        manager.objects().delete("next").await.unwrap();
        let error = subscription.wait().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Gone { .. })), "{error}");

        let last: Channel<u32> = there.channel("last").create().await.unwrap();
        let subscription = last.b().on_receive(|_| true, |_| ()).await.unwrap();
        broker.lose_session(there.session_id());
        assert!(is_lost(subscription.wait().await));
    });
}

#[test]
fn questions_asked_at_the_same_time_get_their_own_answers() {
    let (broker, manager) = connected();
    let there = connect(&broker);
    block_on(async {
        let (a, b) = (create::<u64>(&manager).await.a(), other::<u64>(&there).await.b());
        let server = b.listener().on_receive_async(async |question| question.reply(*question * 10).await).await.unwrap();
        let answers = join_all((0..50).map(|number| a.ask(number, Wait::Forever))).await;
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(*answer.unwrap(), 10 * number as u64);
        }
        assert_eq!(*a.clone().ask(7, Duration::from_secs(3600)).await.unwrap(), 70);
        let stats = other::<u64>(&there).await.stats().await.unwrap();
        assert_eq!((stats.a.active, stats.a.passive), (0, 0), "inboxes are no receivers of others' messages");
        server.close().await.unwrap();
    });
}

#[test]
fn a_question_that_nobody_hears_fails_at_once_and_one_that_nobody_answers_in_time() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        let a = talk.a();
        for _ in 0..2 {
            assert_eq!(a.ask(1, Wait::Forever).await.unwrap_err().fault(), Some(&Fault::NoResponders {}));
        }
        let mut b = talk.b();
        assert!(b.try_receive().await.is_err(), "attached from now on");
        let error = a.ask(2, Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::TimedOut { .. })), "{error}");
        let question = b.receive_message().await.unwrap();
        assert!(*question == 2 && question.expects_answer());
        let error = question.reply(3).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::NoSuchReceiver { .. })), "who asked waits no longer: {error}");
    });
}

#[test]
fn many_answers_come_in_order_and_end_with_the_last() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        let (a, mut b) = (talk.a(), talk.b());
        assert!(b.try_receive().await.is_err(), "attached from now on");
        let mut answers: Answers<u32> = a.ask_many(3).await.unwrap();
        let question = b.receive_message().await.unwrap();
        let replies = question.replies().unwrap();
        replies.send_all(0..2).await.unwrap();
        replies.send_with(Message::new(2).header("kind", "x"), Wait::Never).await.unwrap();
        replies.finish().await.unwrap();
        let numbers: Vec<u32> = answers.stream().map_ok(|answer| *answer).try_collect().await.unwrap();
        assert_eq!(numbers, [0, 1, 2]);
        assert!(answers.next().await.unwrap().is_none(), "and stay ended");

        let given_up = a.ask_many(4).await.unwrap();
        drop(given_up);
        let question = b.receive_message().await.unwrap();
        let error = question.replies().unwrap().send(1).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::NoSuchReceiver { .. })), "{error}");
    });
}

#[test]
fn an_answer_to_an_earlier_question_is_not_taken_for_one_to_the_next() {
    let (_broker, manager) = connected();
    block_on(async {
        let talk = create::<u32>(&manager).await;
        let (a, mut b) = (talk.a(), talk.b());
        assert!(b.try_receive().await.is_err(), "attached from now on");
        let mut first: Answers<u32> = a.ask_many(1).await.unwrap();
        let question = b.receive_message().await.unwrap();
        question.reply(10).await.unwrap();
        assert_eq!(*first.next().await.unwrap().unwrap(), 10);
        let mut second: Answers<u32> = a.ask_many(2).await.unwrap();
        question.reply(11).await.unwrap();
        b.receive_message().await.unwrap().reply(20).await.unwrap();
        assert_eq!(*second.next().await.unwrap().unwrap(), 20, "from the same inbox");
    });
}

#[test]
fn an_end_is_handed_on_as_text_and_is_no_other_channels_end() {
    let (broker, manager) = connected();
    let there = connect(&broker);
    block_on(async {
        let talk: Channel<u32> = manager.channel("team/talk").create().await.unwrap();
        let text = talk.b().uri().to_string();
        let uri: EndUri = text.parse().unwrap();
        assert_eq!((uri.name(), uri.side(), uri.epoch(), uri.address()), ("team/talk", Side::B, talk.epoch(), broker.address()));
        let mut end: End<u32> = there.end(&uri).await.unwrap();
        talk.a().send(7).await.unwrap();
        assert_eq!((end.receive().await.unwrap(), end.side()), (7, Side::B));

        manager.objects().delete("team/talk").await.unwrap();
        let error = there.end::<u32>(&uri).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::NoSuchObject { .. })), "{error}");
        manager.channel::<u32>("team/talk").create().await.unwrap();
        let error = there.end::<u32>(&uri).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Gone { .. })), "{error}");
        let error: Error = "bursar:channel/talk".parse::<EndUri>().unwrap_err().into();
        assert!(error.has_no_side_effects() && !error.is_retryable(), "{error}");
    });
}

#[test]
fn futures_can_be_spawned() {
    let (_broker, manager) = connected();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let talk = block_on(create::<u32>(&manager));
    let (a, mut b) = (talk.a(), talk.b());
    let server = runtime.spawn(async move {
        let mut questions = b.messages();
        let question = questions.next().await.unwrap()?;
        question.reply(*question + 1).await?;
        question.done().await
    });
    let asking = runtime.spawn(async move {
        loop {
            match a.ask_many(7).await {
                Ok(mut answers) => return answers.stream().map_ok(|answer| *answer).try_collect::<Vec<u32>>().await,
                Err(error) if error.fault() == Some(&Fault::NoResponders {}) => tokio::task::yield_now().await,
                Err(error) => return Err(error),
            }
        }
    });
    assert_eq!(block_on(asking).unwrap().unwrap(), [8]);
    block_on(server).unwrap().unwrap();
}

#[test]
fn threads_talk_as_tasks_do() {
    let (broker, manager) = connected();
    let (manager, there) = (bursar::blocking::Manager::from(manager), bursar::blocking::Manager::from(connect(&broker)));
    let talk = manager.channel::<u32>("talk").max_messages(10).max_bytes(1000).open_or_create().unwrap();
    let mut end: bursar::blocking::End<u32> = there.end(&talk.b().uri()).unwrap();
    let other = std::thread::spawn(move || {
        let numbers: Vec<u32> = end.messages().map(|message| *message.unwrap()).collect();
        assert!(is_closed(end.receive()));
        numbers
    });
    talk.a().send_all(0..100).unwrap();
    let (tell, heard) = told();
    let subscription = talk.a().listener().header("kind", "x").on_receive(move |number| tell.send(**number)).unwrap();
    let message = Message::new(7).header("kind", "x");
    there.channel::<u32>("talk").open().unwrap().b().send_with(message, Wait::Forever).unwrap();
    assert_eq!(heard.recv(), Ok(7));
    talk.a().close().unwrap();
    subscription.wait().unwrap();
    assert_eq!(other.join().unwrap(), (0..100).collect::<Vec<_>>());
}
