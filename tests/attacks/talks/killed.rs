//! Senders and receivers are killed at any moment and replaced, by sockets of all kinds and over a network that cuts. Nothing
//! acknowledged is lost, nothing comes twice without being marked, and who stays sees everything once and in order.

use super::talker::{LABEL, PAUSE, Said, Talker, Word};
use crate::{
    attacks::proxy::Proxy,
    harness::{Broker, PATIENCE, eventually, figure},
};
use bursar::{
    Fault,
    blocking::{Channel, Manager, Received, Subscriber, Topic, TopicEvent},
    proto::v1::registry::SessionInfo,
    topic::{Overload, SubscriptionStats},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{self, Runtime},
    time::timeout,
};

/// Of each of the two who receive at a time.
const KILLS: usize = 8;
/// It has said fewer than these, and goes on, when it is killed.
const WORDS: usize = 40;
/// So few that senders wait for receivers, and are killed in that too.
const ROOM: u64 = 64;
/// Not reached: what comes back earlier does so for another reason.
const TTL_LONG: Duration = Duration::from_secs(300);
/// Of those behind the proxy, whose end nobody sees.
const TTL_SHORT: Duration = Duration::from_millis(500);
/// The network cuts a connection within this many bytes of replies.
const CUT_AFTER: u64 = 3000;

/// A broker, and three ways to it, the last one through a network that cuts.
struct Place {
    broker: Broker,
    proxy: Proxy,
    /// By the last way.
    manager_behind_cuts: Manager,
    ways: [(String, Duration); 3],
    runtime: Runtime,
}

impl Place {
    fn new() -> Place {
        let broker = Broker::start();
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let proxy = runtime.block_on(Proxy::start(&broker));
        let ways = [(broker.unix(), TTL_LONG), (broker.tcp().to_owned(), TTL_LONG), (proxy.address(), TTL_SHORT)];
        let manager_behind_cuts = Manager::connect(proxy.address(), broker.authkey()).unwrap();
        proxy.lose_replies_after(CUT_AFTER);
        Place { broker, proxy, manager_behind_cuts, ways, runtime }
    }

    fn manager(&self) -> Manager {
        Manager::connect(self.broker.unix(), self.broker.authkey()).unwrap()
    }

    /// One talker, from its start to its death; or until this is so, and it has nothing to say.
    fn live_and_die(&self, nth: usize, what: &str, is_over: impl Fn() -> bool) -> Vec<Word> {
        let (way, ttl) = &self.ways[nth % self.ways.len()];
        let mut talker = Talker::start(&self.broker, way, what, *ttl);
        let mut words: Vec<Word> = (0..fastrand::usize(1..WORDS)).map_while(|_| talker.word_unless(&is_over)).collect();
        assert!(!talker.has_ended() || *ttl == TTL_SHORT, "only who is cut off loses its session");
        words.extend(talker.kill());
        words
    }

    /// Two who receive are killed and replaced, and so is one who sends, as long as they live.
    fn kill_again_and_again(&self, send: &str, receive: &str) -> Vec<Word> {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let is_over = || is_over.load(Ordering::Relaxed);
                let lives = (0..).take_while(|_| !is_over());
                lives.flat_map(|sender| self.live_and_die(sender, &format!("{send} {sender}"), is_over)).collect::<Vec<_>>()
            });
            let receivers = [0, 1].map(|first| {
                let lives = (first..).take(KILLS);
                scope.spawn(move || lives.flat_map(|nth| self.live_and_die(nth, receive, || false)).collect::<Vec<_>>())
            });
            let received = receivers.map(|receiver| receiver.join());
            is_over.store(true, Ordering::Relaxed);
            received.into_iter().flat_map(Result::unwrap).chain(sending.join().unwrap()).collect()
        })
    }

    /// From then on nothing that the killed had asked for is done any more.
    fn until_the_killed_are_gone(&self, manager: &Manager) {
        let is_killed = |session: &SessionInfo| session.label == LABEL;
        eventually("the sessions of the killed end", || !manager.status().unwrap().sessions.iter().any(is_killed));
    }
}

/// What there is, until it says that nothing is left.
fn receive_all(mut receive: impl FnMut() -> Option<Word>, is_over: impl Fn() -> bool) -> Vec<Word> {
    let (start, mut words) = (Instant::now(), vec![]);
    loop {
        assert!(start.elapsed() < PATIENCE, "it never ends");
        match receive() {
            Some(word) => words.push(word),
            None if is_over() => return words,
            None => {}
        }
    }
}

fn hear(received: &Received<Said>) -> Word {
    received.done().unwrap();
    Word::got(received)
}

fn or_nothing<T>(result: bursar::Result<T>) -> Option<T> {
    match result {
        Err(error) if matches!(error.fault(), Some(Fault::TimedOut { .. })) => None,
        result => Some(result.unwrap()),
    }
}

fn hear_next(subscriber: &mut Subscriber<Said>) -> Option<Word> {
    Some(match or_nothing(subscriber.next_within(PAUSE))? {
        TopicEvent::Message(received) => hear(&received),
        TopicEvent::Lagged { missed } => Word::Missed(missed),
    })
}

fn acknowledged(words: &[Word]) -> BTreeSet<Said> {
    let sent = |word: &Word| if let Word::Sent(said) = word { Some(*said) } else { None };
    words.iter().filter_map(sent).collect()
}

/// Of those who shared the messages: everything acknowledged was received, and once without the mark at most. Says how many messages
/// they received, and how many deliveries were marked.
fn assert_shared(words: &[Word]) -> (usize, usize) {
    let mut deliveries: BTreeMap<Said, Vec<bool>> = BTreeMap::new();
    for word in words {
        match word {
            Word::Got { said, again, .. } => deliveries.entry(*said).or_default().push(*again),
            Word::Sent(_) => {}
            other => panic!("nothing is dropped here: {other}"),
        }
    }
    let acknowledged = acknowledged(words);
    assert!(acknowledged.len() > KILLS, "they did talk");
    let lost: Vec<_> = acknowledged.iter().filter(|said| !deliveries.contains_key(said)).collect();
    assert!(lost.is_empty(), "acknowledged and never received: {lost:?}");
    for (said, marks) in &deliveries {
        assert!(marks.iter().filter(|again| !**again).count() <= 1, "{said:?} came twice without a mark");
    }
    let marked = deliveries.values().flatten().filter(|again| **again).count();
    assert!(marked > 0, "somebody was killed with a message in hand");
    (deliveries.len(), marked)
}

/// Of the one who stayed: what each sender said, all of it, once and in order.
fn assert_stayed(words: &[Word], acknowledged: &BTreeSet<Said>) {
    let (mut next, mut last) = (BTreeMap::<u32, u32>::new(), 0);
    for word in words {
        let Word::Got { said: (sender, number), position, again: false } = *word else {
            panic!("nobody else had it, and nothing is dropped: {word}")
        };
        let expected = next.entry(sender).or_default();
        assert_eq!(number, *expected, "of sender {sender}");
        assert!(position > last, "{position} after {last}");
        (*expected, last) = (number + 1, position);
    }
    let is_missing = |(sender, number): &&Said| next.get(sender).is_none_or(|next| number >= next);
    let lost: Vec<_> = acknowledged.iter().filter(is_missing).collect();
    assert!(lost.is_empty(), "acknowledged and never received: {lost:?}");
}

#[test]
fn a_channel_loses_nothing_when_senders_and_receivers_are_killed() {
    let place = Place::new();
    let manager = place.manager();
    let talk: Channel<Said> = manager.channel("talk").max_messages(ROOM).create().unwrap();
    let mut words = place.kill_again_and_again("send talk a", "receive talk b");
    place.until_the_killed_are_gone(&manager);
    let mut successor = talk.b();
    let is_settled = || {
        let end = talk.stats().unwrap().b;
        end.waiting + end.given == 0
    };
    words.extend(receive_all(|| or_nothing(successor.receive_message_within(PAUSE)).as_ref().map(hear), is_settled));
    let (received, marked) = assert_shared(&words);
    let end = talk.stats().unwrap().b;
    assert_eq!(end.received, received as u64, "whoever was done with a message had received it");
    let (sent, cuts) = (acknowledged(&words).len(), place.proxy.cuts());
    figure(
        "R04",
        format!(
            "channel: receivers killed {}, connections cut {cuts}, acknowledged {sent}, lost 0, redelivered {marked}, unmarked 0",
            2 * KILLS
        ),
    );
}

#[test]
fn a_receiver_that_stays_sees_a_channel_once_and_in_order() {
    let place = Place::new();
    let manager = &place.manager_behind_cuts;
    let talk: Channel<Said> = manager.channel("talk").max_messages(ROOM).create().unwrap();
    let is_over = AtomicBool::new(false);
    let (sent, stayed) = thread::scope(|scope| {
        let staying = scope.spawn(|| {
            let mut end = talk.as_async().b();
            // It waits for a while, or goes away in the middle of whatever is under way and comes again.
            let receive = || {
                let (pause, patience) =
                    if fastrand::bool() { (PAUSE, PATIENCE) } else { (PATIENCE, PAUSE.mul_f64(fastrand::f64())) };
                let received = async { timeout(patience, end.receive_message_within(pause)).await.ok() };
                place.runtime.block_on(received).and_then(or_nothing).map(|received| hear(&received.into()))
            };
            let is_over = || {
                let end = talk.stats().unwrap().b;
                is_over.load(Ordering::Relaxed) && end.waiting + end.given == 0
            };
            receive_all(receive, is_over)
        });
        let lives = (0..2 * KILLS).map(|sender| place.live_and_die(sender, &format!("send talk a {sender}"), || false));
        let sent: Vec<Word> = lives.flatten().collect();
        place.until_the_killed_are_gone(manager);
        is_over.store(true, Ordering::Relaxed);
        (acknowledged(&sent), staying.join().unwrap())
    });
    assert!(sent.len() > KILLS, "they did talk");
    assert_stayed(&stayed, &sent);
    let (sent, cuts) = (sent.len(), place.proxy.cuts());
    assert!(cuts > 0, "the network did cut");
    figure(
        "R06",
        format!("channel: senders killed {}, connections cut {cuts}, acknowledged {sent}, lost 0, doubled 0", 2 * KILLS),
    );
}

/// How many messages some subscriptions have before them, or, as a group, in hand.
fn left_of(topic: &Topic<Said>, of: impl Fn(&SubscriptionStats) -> bool) -> u64 {
    let subscriptions = topic.stats().unwrap().subscriptions;
    let left = |one: &SubscriptionStats| if one.group.is_empty() { one.buffered } else { one.buffered + one.given };
    subscriptions.iter().filter(|one| of(one)).map(left).sum()
}

#[test]
fn a_group_loses_nothing_when_publishers_and_members_are_killed() {
    let place = Place::new();
    let manager = place.manager();
    let news: Topic<Said> = manager.topic("news").overload(Overload::Block).buffer_messages(ROOM).create().unwrap();
    drop(news.subscribe().group("workers").start().unwrap()); // the group begins, and stays
    let followed: Topic<Said> = place.manager_behind_cuts.topic("news").open().unwrap();
    let mut follower = followed.subscribe().start().unwrap();
    let is_over = AtomicBool::new(false);
    let (words, stayed) = thread::scope(|scope| {
        let staying = scope.spawn(|| {
            let is_read = || left_of(&followed, |one| one.group.is_empty()) == 0;
            receive_all(|| hear_next(&mut follower), || is_over.load(Ordering::Relaxed) && is_read())
        });
        let mut words = place.kill_again_and_again("publish news", "share news workers");
        place.until_the_killed_are_gone(&manager);
        let mut successor = news.subscribe().group("workers").start().unwrap();
        let is_settled = || left_of(&news, |one| !one.group.is_empty()) == 0;
        words.extend(receive_all(|| hear_next(&mut successor), is_settled));
        is_over.store(true, Ordering::Relaxed);
        (words, staying.join().unwrap())
    });
    let sent = acknowledged(&words);
    let (received, marked) = assert_shared(&words);
    assert_stayed(&stayed, &sent);
    assert_eq!(stayed.len(), received, "the group and who followed by itself received the same");
    assert_eq!(news.stats().unwrap().position, received as u64);
    let (sent, cuts) = (sent.len(), place.proxy.cuts());
    assert!(cuts > 0, "the network did cut");
    figure(
        "R04",
        format!(
            "group: members killed {}, connections cut {cuts}, acknowledged {sent}, lost 0, redelivered {marked}, unmarked 0",
            2 * KILLS
        ),
    );
}
