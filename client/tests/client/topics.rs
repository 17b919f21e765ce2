//! Topics: subjects and filters, replay, groups, who is too slow, and questions to many.

use super::{connect, connected, sent::counted};
use bursar::{
    Error, Fault, Manager, Message, Payload, Raw, Result, Topic, Wait,
    blocking::block_on,
    topic::{Event, Overload, Subscriber},
};
use futures_util::{StreamExt, TryStreamExt, future::join_all};
use std::{sync::mpsc::sync_channel, time::Duration};

async fn create<T: Payload>(manager: &Manager) -> Topic<T> {
    manager.topic("news").overload(Overload::DropOldest).create().await.unwrap()
}

async fn other<T: Payload>(manager: &Manager) -> Topic<T> {
    manager.topic("news").open().await.unwrap()
}

async fn next<T: Payload>(subscriber: &mut Subscriber<T>) -> T {
    subscriber.next().await.unwrap().message().expect("a message").into_value()
}

async fn is_empty<T: Payload + std::fmt::Debug>(subscriber: &mut Subscriber<T>) -> bool {
    let error = subscriber.next_within(Wait::Never).await.unwrap_err();
    matches!(error.fault(), Some(Fault::TimedOut { .. }))
}

#[test]
fn a_subscriber_gets_what_it_asked_for_by_subject() {
    let (broker, manager) = connected();
    let there = connect(&broker);
    block_on(async {
        let (news, follows) = (create::<u32>(&manager).await, other::<u32>(&there).await);
        let mut one_word = follows.subscribe().subject("a.*").start().await.unwrap();
        let mut many_words = follows.subscribe().subject("a.>").subject("z").start().await.unwrap();
        let mut all = follows.subscribe().start().await.unwrap();
        let published = news.publish("a.b", 1).await.unwrap();
        assert_eq!((published.position, published.receivers), (1, 3));
        assert_eq!(news.publish("a.b.c", &2).await.unwrap().receivers, 2);
        assert_eq!(news.publish("z", 3).await.unwrap().receivers, 2);
        assert_eq!(news.publish("other", 4).await.unwrap().receivers, 1);
        assert_eq!(next(&mut one_word).await, 1);
        assert!(is_empty(&mut one_word).await);
        assert_eq!([next(&mut many_words).await, next(&mut many_words).await, next(&mut many_words).await], [1, 2, 3]);
        let message = all.next().await.unwrap().message().unwrap();
        assert_eq!((message.subject(), message.position(), message.session()), ("a.b", 1, manager.session_id()));
        for wrong in ["", "a..b", "a b", "a.*"] {
            let error = news.publish(wrong, 1).await.unwrap_err();
            assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{wrong:?}: {error}");
        }
        let error = follows.subscribe().subject("a.>.b").start().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::BadArgument { .. })), "{error}");
    });
}

#[test]
fn headers_choose_at_the_broker_and_closures_here() {
    let (_broker, manager) = connected();
    block_on(async {
        let news = create::<u32>(&manager).await;
        let mut subscriber = news.subscribe().header("kind", "x").filter(|number| *number > 1).start().await.unwrap();
        let with = |number, kind: &str| news.publish_with("a", Message::new(number).header("kind", kind), Wait::Never);
        assert_eq!(with(5, "y").await.unwrap().receivers, 0);
        for number in 1..=2 {
            assert_eq!(with(number, "x").await.unwrap().receivers, 1);
        }
        assert_eq!(next(&mut subscriber).await, 2);
        assert!(is_empty(&mut subscriber).await);
        let unheard = Message::new(1).header("kind", "y").must_be_heard();
        let error = news.publish_with("a", unheard, Wait::Never).await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::NoResponders {}));
    });
}

#[test]
fn the_last_are_replayed_or_those_after_a_position() {
    let (_broker, manager) = connected();
    block_on(async {
        let news: Topic<u32> =
            manager.topic("news").overload(Overload::DropOldest).keep_messages(3).keep_bytes(1000).create().await.unwrap();
        assert_eq!(news.publish_all::<&str, u32>([]).await.unwrap(), None);
        let last = news.publish_all((1..=5).map(|number| ("a", number))).await.unwrap().unwrap();
        assert_eq!(last.position, 5);
        let mut last_two = news.subscribe().last(2).start().await.unwrap();
        assert_eq!((last_two.began_at(), next(&mut last_two).await, next(&mut last_two).await), (5, 4, 5));
        let mut after_three = news.subscribe().after(3).start().await.unwrap();
        assert_eq!([next(&mut after_three).await, next(&mut after_three).await], [4, 5]);
        let mut after_none = news.subscribe().after(0).start().await.unwrap();
        assert!(matches!(after_none.next().await.unwrap(), Event::Lagged { missed: 2 }), "not kept any more");
        assert_eq!(next(&mut after_none).await, 3);
        let mut from_now = news.subscribe().start().await.unwrap();
        assert!(is_empty(&mut from_now).await);
        assert_eq!(news.stats().await.unwrap().first_kept, Some(3));
    });
}

async fn overloaded(manager: &Manager, overload: Overload) -> (Topic<u32>, Subscriber<u32>) {
    let name = format!("{overload:?}");
    let news: Topic<u32> = manager.topic(&name).overload(overload).buffer_messages(2).create().await.unwrap();
    let subscriber = news.subscribe().start().await.unwrap();
    (news, subscriber)
}

#[test]
fn a_slow_subscriber_is_told_in_its_place_what_it_missed() {
    let (_broker, manager) = connected();
    block_on(async {
        let five = || (1..=5).map(|number| ("a", number));
        let (news, mut oldest) = overloaded(&manager, Overload::DropOldest).await;
        news.publish_all(five()).await.unwrap();
        assert!(matches!(oldest.next().await.unwrap(), Event::Lagged { missed: 3 }));
        assert_eq!([next(&mut oldest).await, next(&mut oldest).await], [4, 5]);
        let stats = news.stats().await.unwrap();
        assert_eq!((stats.missed, stats.subscriptions[0].missed), (3, 3));

        let (news, mut newest) = overloaded(&manager, Overload::DropNewest).await;
        news.publish_all(five()).await.unwrap();
        assert_eq!([next(&mut newest).await, next(&mut newest).await], [1, 2]);
        assert!(matches!(newest.next().await.unwrap(), Event::Lagged { missed: 3 }));

        let (news, mut ended) = overloaded(&manager, Overload::Disconnect).await;
        news.publish_all(five()).await.unwrap();
        let error = ended.next().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Lagged { .. })), "{error}");
    });
}

#[test]
fn a_publisher_waits_where_the_topic_says_so() {
    let (_broker, manager) = connected();
    block_on(async {
        let (news, mut subscriber) = overloaded(&manager, Overload::Block).await;
        news.publish_all([("a", 1), ("a", 2)]).await.unwrap();
        let error = news.publish_within("a", 3, Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::NoRoom { .. })), "{error}");
        let publishing = async { news.publish_all((3..=1000).map(|number| ("a", number))).await.unwrap().unwrap() };
        let reading = async {
            for number in 1..=1000 {
                assert_eq!(next(&mut subscriber).await, number);
            }
        };
        let (last, ()) = futures_util::join!(publishing, reading);
        assert_eq!(last.position, 1000);
    });
}

#[test]
fn concurrent_publishing_keeps_its_order_and_the_stream_gives_it() {
    let (_broker, manager) = connected();
    block_on(async {
        let news = create::<u32>(&manager).await;
        let mut subscriber = news.subscribe().start().await.unwrap();
        join_all((0..500).map(|number| news.publish("a", number))).await.into_iter().collect::<Result<Vec<_>>>().unwrap();
        let events = subscriber.events().take(500).map_ok(|event| event.message().unwrap().into_value());
        assert_eq!(events.try_collect::<Vec<u32>>().await.unwrap(), (0..500).collect::<Vec<_>>());
    });
}

#[test]
fn of_a_group_one_gets_each_message_and_none_is_lost_with_a_member() {
    let (broker, manager) = connected();
    let lost = connect(&broker);
    block_on(async {
        let news = create::<u32>(&manager).await;
        let mut one = news.subscribe().subject("a.>").group("workers").start().await.unwrap();
        let mut two = other::<u32>(&lost).await.subscribe().subject("a.>").group("workers").start().await.unwrap();
        let published = news.publish_all((1..=4).map(|number| ("a.b", number))).await.unwrap().unwrap();
        assert_eq!(published.receivers, 1);
        assert_eq!((next(&mut one).await, next(&mut two).await), (1, 2));
        let stats = news.stats().await.unwrap();
        let group = &stats.subscriptions[0];
        assert_eq!((group.group.as_str(), group.members, group.buffered, group.given), ("workers", 2, 2, 2));
        broker.lose_session(lost.session_id());
        let again = one.next().await.unwrap().message().unwrap();
        assert!(*again == 2 && again.is_redelivered(), "in its place");
        again.done().await.unwrap();
        assert_eq!(next(&mut one).await, 3);
        drop(one);
        let mut three = news.subscribe().subject("a.>").group("workers").start().await.unwrap();
        let last = three.next().await.unwrap().message().unwrap();
        assert!(*last == 4 && !last.is_redelivered(), "3 was done with when its member was dropped");
        let error = news.subscribe().group("workers").start().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Mismatch { .. })), "{error}");
        assert!(news.delete_group("workers").await.unwrap() && !news.delete_group("workers").await.unwrap());
        let error = three.next().await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::NoSuchReceiver { .. })), "{error}");
    });
}

#[test]
fn a_member_holds_what_it_fetched_ahead_and_gives_back_what_it_was_not_asked_for() {
    let (_broker, manager) = connected();
    block_on(async {
        let news = create::<u32>(&manager).await;
        let mut ahead = news.subscribe().group("workers").prefetch(3).start().await.unwrap();
        news.publish_all((1..=4).map(|number| ("a", number))).await.unwrap();
        assert_eq!([next(&mut ahead).await, next(&mut ahead).await], [1, 2]);
        assert_eq!(news.stats().await.unwrap().subscriptions[0].given, 3);
        let mut other = news.subscribe().group("workers").start().await.unwrap();
        assert_eq!(next(&mut other).await, 4);
        drop(ahead);
        assert_eq!(next(&mut other).await, 3);
        assert!(is_empty(&mut other).await);
    });
}

#[test]
fn a_message_of_another_type_is_an_error_and_in_nobodys_way() {
    let (_broker, manager) = connected();
    block_on(async {
        let news = create::<String>(&manager).await;
        let raw: Topic<Raw> = manager.raw_topic("news").open().await.unwrap();
        let mut subscriber = news.subscribe().start().await.unwrap();
        raw.publish("a", Raw::from("no text of anybody")).await.unwrap();
        news.publish("a", "hello".to_owned()).await.unwrap();
        let mut events = subscriber.events();
        assert!(matches!(events.next().await, Some(Err(Error::Codec { .. }))));
        let event = events.next().await.expect("the stream goes on").unwrap();
        assert_eq!(event.message().unwrap().as_str(), "hello");
    });
}

#[test]
fn callbacks_follow_a_topic_and_are_told_what_was_missed() {
    let (_broker, manager) = connected();
    block_on(async {
        let news: Topic<u32> = manager.topic("news").overload(Overload::DropOldest).keep_messages(2).create().await.unwrap();
        news.publish_all((1..=5).map(|number| ("a", number))).await.unwrap();
        let (tell, heard) = sync_channel(10);
        let lagged = tell.clone();
        let subscription = news
            .subscribe()
            .filter(|number| *number != 4)
            .after(0)
            .on_lagged(move |missed| lagged.send(format!("missed {missed}")).unwrap())
            .on_receive(move |number| tell.send(number.to_string()));
        let subscription = subscription.await.unwrap();
        assert_eq!([heard.recv().unwrap(), heard.recv().unwrap()], ["missed 3", "5"]);
        news.publish("a", 6).await.unwrap();
        assert_eq!(heard.recv().unwrap(), "6");
        assert_eq!((subscription.missed(), subscription.failures()), (3, 0));
        subscription.close().await.unwrap();
        assert_eq!(news.publish("a", 7).await.unwrap().receivers, 0);
    });
}

#[test]
fn a_question_is_answered_by_everybody_who_gets_it() {
    let (broker, manager) = connected();
    let there = connect(&broker);
    block_on(async {
        let (news, serves) = (create::<u32>(&manager).await, other::<u32>(&there).await);
        let error = news.ask("sum", 1, Wait::Forever).await.unwrap_err();
        assert_eq!(error.fault(), Some(&Fault::NoResponders {}));
        let one = serves.subscribe().subject("sum").on_receive_async(async |question| question.reply(*question + 1).await);
        let one = one.await.unwrap();
        assert_eq!(*news.ask("sum", 1, Wait::Forever).await.unwrap(), 2);
        let two = serves.subscribe().on_receive_async(async |question| {
            let replies = question.replies()?;
            replies.send_all([10, 11]).await?;
            replies.finish().await
        });
        let two = two.await.unwrap();
        let mut answers = news.ask_many("sum", 1).await.unwrap();
        let mut numbers: Vec<u32> = answers.stream().map_ok(|answer| *answer).try_collect().await.unwrap();
        numbers.sort_unstable();
        assert_eq!(numbers, [2, 10, 11], "it ended by itself, when both had said their last");
        one.close().await.unwrap();
        two.close().await.unwrap();
        let mut silent = serves.subscribe().start().await.unwrap();
        let error = news.ask("sum", 1, Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::TimedOut { .. })), "{error}");
        let question = silent.next().await.unwrap().message().unwrap();
        news.stats().await.expect("its session has said before this that it waits no longer");
        let error = question.reply(1).await.unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::NoSuchReceiver { .. })), "{error}");
    });
}

/// The last answer may be among those that were dropped: who is not told would wait for ever.
#[test]
fn answers_that_were_dropped_are_told_in_their_place() {
    let (_broker, manager) = connected();
    block_on(async {
        for (overload, expected) in [(Overload::DropOldest, [0, 3, 4]), (Overload::DropNewest, [1, 2, 0])] {
            let (news, mut subscriber) = overloaded(&manager, overload).await;
            let mut answers = news.ask_many("sum", 1).await.unwrap();
            let question = subscriber.next().await.unwrap().message().unwrap();
            let replies = question.replies().unwrap();
            replies.send_all([1, 2, 3, 4]).await.unwrap();
            for number in expected {
                match answers.next().await {
                    Ok(answer) => assert_eq!(answer.map(|answer| *answer), Some(number)),
                    Err(error) => assert_eq!((error.fault(), number), (Some(&Fault::Lagged { missed: 2 }), 0)),
                }
            }
        }
    });
}

#[test]
fn what_waits_for_room_is_not_carried_again_and_again() {
    const COUNT: usize = 500;
    let (broker, manager) = connected();
    let (there, sent) = counted(&broker);
    block_on(async {
        let news: Topic<Vec<u8>> = manager.topic("news").overload(Overload::Block).buffer_messages(2).create().await.unwrap();
        let mut subscriber = news.subscribe().start().await.unwrap();
        let publishes = other::<Vec<u8>>(&there).await;
        let before = sent.bytes();
        let publishing = async { publishes.publish_all(vec![("a", vec![7; 1000]); COUNT]).await.unwrap() };
        let reading = async {
            for _ in 0..COUNT {
                next(&mut subscriber).await;
            }
        };
        futures_util::join!(publishing, reading);
        let carried = (sent.bytes() - before) / 1000;
        assert!(carried < 6 * COUNT as u64, "{carried} were carried for {COUNT}");
    });
}

#[test]
fn threads_publish_and_subscribe_as_tasks_do() {
    let (_broker, manager) = connected();
    let manager = bursar::blocking::Manager::from(manager);
    let news = manager.topic::<u32>("news").overload(Overload::Block).buffer_messages(10).open_or_create().unwrap();
    let mut subscriber = news.subscribe().subject("a.*").start().unwrap();
    let reading = std::thread::spawn(move || -> Vec<u32> {
        let numbers = subscriber.by_ref().map(|event| event.unwrap().message().unwrap().into_value());
        numbers.take_while(|number| *number < 99).collect()
    });
    news.publish_all((0..100).map(|number| ("a.b", number))).unwrap();
    assert_eq!(reading.join().unwrap(), (0..99).collect::<Vec<_>>());
    let (tell, heard) = sync_channel(1);
    let subscription = news.subscribe().group("workers").on_receive(move |number| tell.send(**number)).unwrap();
    assert_eq!(news.publish("b", 7).unwrap().receivers, 1);
    assert_eq!(heard.recv(), Ok(7));
    subscription.close().unwrap();
    assert_eq!(news.stats().unwrap().subscriptions.len(), 1, "the group stays");
    assert!(news.delete_group("workers").unwrap());
}
