//! R19: one subscriber among a thousand does not read. The others do not wait for it, the broker keeps no more for it than was agreed,
//! and it is told how many it missed. A publisher waits for it under one overload policy, and under no other.

use super::talker::{Talker, Word};
use crate::{
    attacks::measure::{mib, ms, peak_memory, percentile},
    harness::{Broker, PATIENCE, eventually, figure},
};
use bursar::{
    Fault, Manager, Topic, Wait, blocking,
    proto::limits,
    topic::{Event, Overload, Subscriber},
};
use rustix::process::Signal;
use std::{
    iter,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

const CONNECTIONS: usize = 20;
/// Subscriptions of each connection.
const EACH: usize = 50;
/// Turns with the stuck one, and as many without.
const TURNS: usize = 4;
/// Messages of a turn, each of which all the others have before the next one.
const MESSAGES: usize = 5;
/// Who do not read while there is a flood. What they have before them is in memory once.
const SILENT: usize = 50;
/// What is kept for a subscriber who does not read, and for who comes later.
const BUFFER_MESSAGES: u64 = 100;
const BUFFER_BYTES: u64 = 1 << 20;
/// What nobody reads: far more than that.
const FLOOD_MESSAGES: u64 = 4096;
const FLOOD_MESSAGE_BYTES: usize = 16 << 10;
/// What the broker may need more for the flood: what is kept, what waits for those who do not read and for the stopped one, the last
/// answer to that; a request as it comes and as it is read; and what an allocator does not give back. A quarter of the flood.
const GROWTH_MAX: u64 = 4 * BUFFER_BYTES + 2 * limits::MESSAGE_BYTES_MAX as u64 + (4 << 20);
/// The longest there is: nobody is to be taken for dead here.
const TTL: Duration = Duration::from_secs(300);

/// The thousand.
struct Audience {
    /// When the message was published that they are to have next.
    published: Arc<Mutex<Instant>>,
    /// How long each of them waited for it.
    heard: mpsc::UnboundedReceiver<Duration>,
    _listening: JoinSet<()>,
}

impl Audience {
    async fn of(broker: &Broker) -> Audience {
        let published = Arc::new(Mutex::new(Instant::now()));
        let (tell, heard) = mpsc::unbounded_channel();
        let mut listening = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
            let news: Topic<String> = manager.topic("news").open().await.unwrap();
            for _ in 0..EACH {
                let mut subscriber = news.subscribe().subject("said.>").start().await.unwrap();
                let (published, tell) = (published.clone(), tell.clone());
                listening.spawn(async move {
                    while let Event::Message(_) = subscriber.next().await.expect("a subscription that lives") {
                        let elapsed = published.lock().unwrap().elapsed();
                        let _ = tell.send(elapsed); // at the end nobody wants to know
                    }
                    panic!("who reads misses nothing");
                });
            }
        }
        Audience { published, heard, _listening: listening }
    }

    /// How long each of them waited for each message of one turn.
    async fn turn(&mut self, news: &Topic<String>) -> Vec<Duration> {
        let mut times = vec![];
        for _ in 0..MESSAGES {
            *self.published.lock().unwrap() = Instant::now();
            news.publish("said.once", String::new()).await.unwrap();
            for _ in 0..CONNECTIONS * EACH {
                times.push(timeout(PATIENCE, self.heard.recv()).await.expect("everybody has it").expect("everybody lives"));
            }
        }
        times
    }
}

/// Checks what one subscriber is told: after each position comes the next one, or the number of those that are missed.
struct Reader {
    position: u64,
    missed: u64,
}

impl Reader {
    /// What a talker says, up to the last position of its topic.
    fn read_all(&mut self, talker: &Talker, last: u64) -> Vec<Word> {
        let words = iter::from_fn(|| {
            let word = (self.position < last).then(|| talker.word().expect("it goes on"))?;
            self.read(word);
            Some(word)
        });
        words.collect()
    }

    fn read(&mut self, word: Word) {
        match word {
            Word::At(position) => {
                assert_eq!(position, self.position + 1, "C1: gap-free, or an explicit gap");
                self.position = position;
            }
            Word::Missed(count) | Word::Ended(count) => {
                self.position += count;
                self.missed += count;
            }
            other => panic!("no word of a follower: {other}"),
        }
    }
}

async fn create(manager: &Manager) -> Topic<String> {
    let builder = manager.topic("news").overload(Overload::DropOldest);
    let builder = builder.buffer_messages(BUFFER_MESSAGES).buffer_bytes(BUFFER_BYTES);
    builder.keep_messages(BUFFER_MESSAGES).keep_bytes(BUFFER_BYTES).create().await.unwrap()
}

/// Publishes so many that whoever does not read misses a third of them, with an answer under way and a buffer that is full.
async fn overload(news: &Topic<String>) {
    news.publish_all((0..3 * BUFFER_MESSAGES).map(|_| ("small", String::new()))).await.unwrap();
}

/// Publishes what is more than anybody keeps; how many bytes of memory the broker took for it.
async fn flood(broker: &Broker, news: &Topic<String>) -> u64 {
    let before = peak_memory(broker.pid());
    let text = "x".repeat(FLOOD_MESSAGE_BYTES);
    news.publish_all((0..FLOOD_MESSAGES).map(|_| ("flood", &text))).await.unwrap();
    peak_memory(broker.pid()) - before
}

async fn next_of(subscriber: &mut Subscriber<String>) -> Word {
    match subscriber.next_within(PATIENCE).await.unwrap() {
        Event::Message(received) => Word::At(received.position()),
        Event::Lagged { missed } => Word::Missed(missed),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r19_a_stuck_subscriber_is_told_what_it_missed_and_nobody_else_waits() {
    let broker = Broker::start();
    let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let news = create(&manager).await;
    let mut audience = Audience::of(&broker).await;
    let stopped = Talker::start(&broker, broker.tcp(), "follow news", TTL);
    let Some(Word::At(began)) = stopped.word() else { panic!("it says where it begins") };
    let mut of_stopped = Reader { position: began, missed: 0 };

    let (mut without, mut with) = (vec![], vec![]);
    for _ in 0..TURNS {
        stopped.signal(Signal::CONT);
        of_stopped.read_all(&stopped, news.stats().await.unwrap().position);
        without.extend(audience.turn(&news).await);
        stopped.stop();
        overload(&news).await;
        with.extend(audience.turn(&news).await);
    }
    assert!(news.stats().await.unwrap().missed > TURNS as u64 * BUFFER_MESSAGES, "each time it was overloaded");

    let mut silent = vec![];
    for _ in 0..SILENT {
        let subscriber = news.subscribe().start().await.unwrap();
        silent.push((Reader { position: subscriber.began_at(), missed: 0 }, subscriber));
    }
    let growth = flood(&broker, &news).await;
    assert!(growth <= GROWTH_MAX, "the broker has grown by {} for those who do not read", mib(growth));

    let stats = news.stats().await.unwrap();
    assert_eq!(stats.subscription_count, (1 + SILENT + CONNECTIONS * EACH) as u64);
    for (reader, subscriber) in &mut silent {
        while reader.position < stats.position {
            reader.read(next_of(subscriber).await);
        }
        assert!(reader.missed >= FLOOD_MESSAGES - BUFFER_MESSAGES, "no more is kept than was agreed");
    }
    stopped.signal(Signal::CONT);
    of_stopped.read_all(&stopped, stats.position);
    let missed = of_stopped.missed + silent.iter().map(|(reader, _)| reader.missed).sum::<u64>();
    assert_eq!(missed, stats.missed, "each knows what it missed, and nobody else missed anything");

    let (without, with) = (percentile(&without, 99), percentile(&with, 99));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    figure(
        "R19",
        format!(
            "delivery to {} subscriptions p99 {} without, {} with a stuck one ({ratio:.2} x); the broker grew by {} for a flood of {}; \
             missed {}, all told",
            CONNECTIONS * EACH,
            ms(without),
            ms(with),
            mib(growth),
            mib(FLOOD_MESSAGES * FLOOD_MESSAGE_BYTES as u64),
            missed,
        ),
    );
}

/// What follows is about a topic of this many messages for each subscription; one who is stopped, and one who reads everything at once.
const ROOM: u64 = 8;
/// Far more than that.
const PUBLISHED: u64 = 20 * ROOM;

struct Two {
    manager: blocking::Manager,
    news: blocking::Topic<u64>,
    stopped: Talker,
    reading: blocking::Subscriber<u64>,
}

impl Two {
    fn new(broker: &Broker, overload: Overload) -> Two {
        let manager = blocking::Manager::connect(broker.tcp(), broker.authkey()).unwrap();
        let name = format!("{overload:?}");
        let news = manager.topic(&name).overload(overload).buffer_messages(ROOM).create().unwrap();
        let stopped = Talker::start(broker, &broker.unix(), &format!("follow {name}"), TTL);
        assert_eq!(stopped.word(), Some(Word::At(0)));
        stopped.stop();
        let reading = news.subscribe().start().unwrap();
        Two { manager, news, stopped, reading }
    }

    /// Without waiting; and whoever reads has it.
    fn publish(&mut self, number: u64) -> bursar::Result<()> {
        self.news.publish_within("said", number, Wait::Never)?;
        self.read(number);
        Ok(())
    }

    fn read(&mut self, number: u64) {
        let received = self.reading.next_within(PATIENCE).unwrap().message().expect("who reads misses nothing");
        assert_eq!((*received, received.position()), (number, number));
    }

    /// Until there is no room; how many have been published then.
    fn fill(&mut self, mut published: u64) -> u64 {
        loop {
            match self.publish(published + 1) {
                Ok(()) => published += 1,
                Err(error) => {
                    assert!(matches!(error.fault(), Some(Fault::NoRoom { .. })), "{error}");
                    return published;
                }
            }
        }
    }

    /// While one more is published, which has to wait, this happens.
    fn publish_while(&mut self, number: u64, happens: impl FnOnce(&Talker)) {
        thread::scope(|scope| {
            let publishing = scope.spawn(|| self.news.publish("said", number).unwrap());
            let waits = || self.manager.objects().waits_of(self.news.name()).unwrap().waits;
            eventually("the publisher waits", || waits().iter().any(|wait| wait.what == "for room to publish"));
            happens(&self.stopped);
            publishing.join().unwrap();
        });
        self.read(number);
    }
}

#[test]
fn a_publisher_waits_for_a_stopped_subscriber_under_no_policy_that_drops_or_disconnects() {
    let broker = Broker::start();
    let subscriptions = [Overload::DropOldest, Overload::DropNewest, Overload::Disconnect].map(|overload| {
        let mut two = Two::new(&broker, overload);
        (1..=PUBLISHED).for_each(|number| two.publish(number).unwrap());
        two.stopped.signal(Signal::CONT);
        let mut reader = Reader { position: 0, missed: 0 };
        let words = reader.read_all(&two.stopped, PUBLISHED);
        assert!(reader.missed >= PUBLISHED - 2 * ROOM, "{overload:?}: no more is kept than was agreed: {words:?}");
        match (overload, words.first(), words.last()) {
            (Overload::DropOldest, _, Some(Word::At(PUBLISHED))) => {}
            (Overload::DropNewest, Some(Word::At(1)), Some(Word::Missed(_))) => {}
            (Overload::Disconnect, _, Some(Word::Ended(_))) => assert_eq!(two.stopped.word(), None),
            _ => panic!("{overload:?}: {words:?}"),
        }
        two.news.stats().unwrap().subscription_count
    });
    assert_eq!(subscriptions, [2, 2, 1]);
}

#[test]
fn a_publisher_waits_for_a_stopped_subscriber_where_the_policy_is_to_block_until_it_goes_on_or_dies() {
    let broker = Broker::start();
    let mut two = Two::new(&broker, Overload::Block);
    let published = two.fill(0);
    assert!((ROOM..=2 * ROOM).contains(&published), "{published} for a buffer of {ROOM}");
    two.publish_while(published + 1, |stopped| stopped.signal(Signal::CONT));
    let mut reader = Reader { position: 0, missed: 0 };
    reader.read_all(&two.stopped, published + 1);
    assert_eq!(reader.missed, 0, "where publishers wait, nobody misses anything");

    two.stopped.stop();
    let published = two.fill(published + 1);
    two.publish_while(published + 1, |stopped| stopped.signal(Signal::KILL));
    assert_eq!(two.news.stats().unwrap().position, published + 1);
}
