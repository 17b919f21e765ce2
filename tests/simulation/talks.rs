//! Channels and topics, simulated like the other kinds: clients attach, send, receive, settle, take back, lose answers and die.
//!
//! C1, with every delivery: a receiver gets positions in order, each once, and what is repeated says so; a subscription sees every
//! position that it wants, or is told how many it missed. At the end: whatever was acknowledged to its sender was done by a
//! receiver, or is still there for the next; and what an active receiver had is not over because a passive one beside it was done with
//! it.

use super::{
    object,
    stage::{self, CLIENTS, Line, Stage, with_seeds},
};
use bursar_proto::v1::{self, Match, ObjectRef, Value, answer::Reply, call::Command, channel, registry::options::Kind, topic};
use bursar_server::objects::kind::Departure;
use std::collections::{BTreeMap, BTreeSet};

const CHANNEL: &str = "talk";
const TOPICS: [(&str, topic::Overload); 4] = [
    ("block", topic::Overload::Block),
    ("oldest", topic::Overload::DropOldest),
    ("newest", topic::Overload::DropNewest),
    ("disconnect", topic::Overload::Disconnect),
];
const GROUP: &str = "workers";

/// As a fault's number says it.
const TIMED_OUT: u32 = 20;
const CANCELLED: u32 = 21;
const LAGGED: u32 = 182;
const NO_SUCH_RECEIVER: u32 = 183;
const NO_ROOM: u32 = 184;

#[test]
fn talks() {
    let (outcomes, figure) = with_seeds("talks", |seed, steps| {
        let mut simulation = Simulation::new(seed);
        for step in 0..steps {
            simulation.step();
            simulation.stage.check();
            if step % 64 == 63 {
                simulation.rest();
            }
        }
        simulation.finish()
    });
    let mut seen = Seen::default();
    outcomes.iter().for_each(|more| seen.add(more));
    println!("{figure}, {seen:?}, violations 0");
    let Seen { sent, received, redelivered, published, delivered, missed } = seen;
    let all = [sent, received, redelivered, published, delivered, missed];
    assert!(all.iter().all(|count| *count > 0), "what never happens is not tested: {seen:?}");
}

/// What happened, so that a simulation in which nothing happens does not pass.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    sent: u64,
    received: u64,
    redelivered: u64,
    published: u64,
    delivered: u64,
    missed: u64,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.sent += other.sent;
        self.received += other.received;
        self.redelivered += other.redelivered;
        self.published += other.published;
        self.delivered += other.delivered;
        self.missed += other.missed;
    }
}

/// At which step a call was made.
type Asked = u64;

type Pending = stage::Pending<Asked>;

/// A receiver of one end, as its client knows it.
struct Receiver {
    id: u64,
    end: i32,
    mode: channel::Mode,
    /// Messages with the header `kind` of this value only.
    wants: Option<&'static str>,
    /// The step in which its client learned of it.
    since: u64,
    /// The last that was given to it for the first time.
    last: u64,
    got: BTreeSet<u64>,
    /// Given, and not said to be done.
    open: Vec<u64>,
}

struct Subscription {
    id: u64,
    topic: usize,
    subject: Option<&'static str>,
    is_group: bool,
    /// The position up to which everything that it wants was delivered or told as missed.
    upto: u64,
    /// Since `upto`: missed, by its own word.
    missed: u64,
    open: Vec<u64>,
}

struct Client {
    line: Line<Asked>,
    receivers: Vec<Receiver>,
    subscriptions: Vec<Subscription>,
}

/// One direction of the channel, by the end that receives.
#[derive(Default)]
struct Direction {
    /// What senders were told to be taken: position to (number, kind), and the step in which it was sent.
    sent: BTreeMap<u64, ((u64, &'static str), u64)>,
    /// Positions that an active receiver was given.
    given: BTreeSet<u64>,
    /// Positions that somebody said to be done: an active receiver, or a passive one that may have got it in the place of one.
    done: BTreeSet<u64>,
    /// Positions that a passive receiver said to be done which was there before they were sent.
    done_beside: BTreeSet<u64>,
}

impl Direction {
    fn finish(&mut self, receiver: &Receiver, positions: &[u64]) {
        let was_there = |position: &&u64| self.sent.get(position).is_some_and(|(_, asked)| *asked > receiver.since);
        let is_beside = |position: &&u64| receiver.mode == channel::Mode::Passive && was_there(position);
        let (beside, done): (Vec<&u64>, Vec<&u64>) = positions.iter().partition(is_beside);
        self.done.extend(done);
        self.done_beside.extend(beside);
    }

    /// Whether it may be nowhere any more.
    fn is_over(&self, position: u64) -> bool {
        self.done.contains(&position) || (self.done_beside.contains(&position) && !self.given.contains(&position))
    }
}

struct Simulation {
    random: fastrand::Rng,
    stage: Stage,
    clients: Vec<Client>,
    /// All receivers of the channel are active, stay, and take nothing back: then nothing goes back to its place after a later message
    /// was given to another.
    is_calm: bool,
    number: u64,
    now: u64,
    directions: [Direction; 2],
    /// By topic: the subject of every position that a publisher was told.
    published: [BTreeMap<u64, &'static str>; 4],
    /// By topic: positions that the group was given for the first time.
    grouped: [BTreeSet<u64>; 4],
    seen: Seen,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let channel = (CHANNEL, Kind::Channel(channel::Options { max_messages: 8, max_bytes: 150 }));
        let topics = TOPICS.map(|(name, overload)| {
            let options = topic::Options {
                overload: overload.into(),
                buffer_messages: 4,
                buffer_bytes: 120,
                keep_messages: 6,
                keep_bytes: 200,
            };
            (name, Kind::Topic(options))
        });
        let mut simulation = Simulation {
            random: fastrand::Rng::with_seed(seed),
            stage: Stage::new([channel].into_iter().chain(topics)),
            clients: vec![],
            is_calm: seed.is_multiple_of(4),
            number: 0,
            now: 0,
            directions: Default::default(),
            published: Default::default(),
            grouped: Default::default(),
            seen: Seen::default(),
        };
        for _ in 0..CLIENTS {
            let client = simulation.new_client();
            simulation.clients.push(client);
        }
        simulation
    }

    fn new_client(&mut self) -> Client {
        Client { line: self.stage.connect(), receivers: vec![], subscriptions: vec![] }
    }

    fn step(&mut self) {
        self.now += 1;
        let at = self.random.usize(..CLIENTS);
        match self.random.u32(..100) {
            0..16 => self.send(at),
            16..34 => self.receive(at),
            34..37 => self.attach(at),
            37..39 if !self.is_calm => self.detach(at),
            39..50 => self.publish(at),
            50..64 => self.next(at),
            64..67 => self.subscribe(at),
            67 => self.unsubscribe(at),
            68..86 => self.read(at, false),
            86..89 => self.pass_time(),
            89..92 => self.cancel(at),
            92..94 => self.read(at, true),
            94..96 => self.reconnect(at),
            96..98 => self.settle(at),
            98 if !self.is_calm => self.die(at),
            99 if !self.is_calm => self.fall_silent(at),
            _ => {}
        }
    }

    fn call(&mut self, at: usize, command: Command) {
        self.stage.call(&mut self.clients[at].line, command, self.now);
    }

    fn is_busy(&self, at: usize) -> bool {
        self.clients[at].line.pending.len() > 4
    }

    fn wait_ms(&mut self) -> i64 {
        *self.random.choice([0, 0, 1, 30, -1]).as_ref().unwrap()
    }

    /// A value that says its number, its kind, and is of some length.
    fn value(&mut self) -> (Value, &'static str) {
        self.number += 1;
        let kind = if self.random.bool() { "x" } else { "y" };
        let data = format!("{:08}{kind}{}", self.number, "-".repeat(self.random.usize(..40)));
        (Value { data: data.into(), codec: 0 }, kind)
    }

    fn send(&mut self, at: usize) {
        if self.is_busy(at) {
            return;
        }
        let message = |(value, kind): (Value, &str)| channel::Message {
            value: Some(value),
            headers: [("kind".to_owned(), kind.to_owned())].into(),
            ..Default::default()
        };
        let messages = (0..self.random.usize(1..4)).map(|_| message(self.value())).collect();
        let (wait_ms, from) = (self.wait_ms(), self.random.i32(0..2));
        let request =
            channel::SendRequest { object: object(CHANNEL), wait_ms, from, messages, must_be_heard: self.random.u8(..9) == 0 };
        self.call(at, channel_command(channel::command::Verb::Send(request)));
    }

    fn attach(&mut self, at: usize) {
        if self.is_busy(at) || self.clients[at].receivers.len() > 2 {
            return;
        }
        let mode = if !self.is_calm && self.random.u8(..3) == 0 { channel::Mode::Passive } else { channel::Mode::Active };
        let wants = (mode == channel::Mode::Passive && self.random.bool()).then(|| ("kind".to_owned(), "x".to_owned()));
        let request = channel::AttachRequest {
            object: object(CHANNEL),
            end: self.random.i32(0..2),
            mode: mode.into(),
            r#match: Some(Match { headers: wants.into_iter().collect() }),
        };
        self.call(at, channel_command(channel::command::Verb::Attach(request)));
    }

    fn any_receiver(&mut self, at: usize) -> Option<usize> {
        let receivers = &self.clients[at].receivers;
        (!receivers.is_empty()).then(|| self.random.usize(..receivers.len()))
    }

    /// Of what a receiver has, some: done.
    fn some_done(random: &mut fastrand::Rng, open: &mut Vec<u64>) -> Vec<u64> {
        let (done, left) = open.drain(..).partition(|_| random.u8(..4) != 0);
        *open = left;
        done
    }

    fn receive(&mut self, at: usize) {
        let Some(place) = self.any_receiver(at) else { return };
        let (id, is_asking) = {
            let client = &self.clients[at];
            let id = client.receivers[place].id;
            // One call at a time, so that what it is given is in the order of asking.
            let asks = |pending: &Pending| matches!(&pending.command, Command::Channel(channel::Command { verb: Some(channel::command::Verb::Receive(request)) }) if request.receiver == id);
            (id, client.line.pending.values().any(asks))
        };
        if is_asking {
            return;
        }
        let (wait_ms, max) = (self.wait_ms(), self.random.u32(0..4));
        let receiver = &mut self.clients[at].receivers[place];
        let done = Simulation::some_done(&mut self.random, &mut receiver.open);
        self.directions[receiver.end as usize].finish(receiver, &done);
        let request = channel::ReceiveRequest { object: object(CHANNEL), wait_ms, receiver: id, max, done };
        self.call(at, channel_command(channel::command::Verb::Receive(request)));
    }

    fn settle(&mut self, at: usize) {
        if let Some(place) = self.any_receiver(at) {
            let receiver = &mut self.clients[at].receivers[place];
            let positions = Simulation::some_done(&mut self.random, &mut receiver.open);
            self.directions[receiver.end as usize].finish(receiver, &positions);
            let request = channel::DoneRequest { object: object(CHANNEL), receiver: receiver.id, positions };
            self.call(at, channel_command(channel::command::Verb::Done(request)));
        }
        let client = &mut self.clients[at];
        let member = client.subscriptions.iter_mut().find(|subscription| !subscription.open.is_empty());
        if let Some(subscription) = member {
            let (name, id) = (TOPICS[subscription.topic].0, subscription.id);
            let positions = Simulation::some_done(&mut self.random, &mut subscription.open);
            let request = topic::DoneRequest { object: object(name), subscription: id, positions };
            self.call(at, topic_command(topic::command::Verb::Done(request)));
        }
    }

    fn detach(&mut self, at: usize) {
        let Some(place) = self.any_receiver(at) else { return };
        let mut receiver = self.clients[at].receivers.swap_remove(place);
        self.check_passive(&receiver);
        let done = Simulation::some_done(&mut self.random, &mut receiver.open);
        self.directions[receiver.end as usize].finish(&receiver, &done);
        let request = channel::DetachRequest { object: object(CHANNEL), receiver: receiver.id, done };
        self.call(at, channel_command(channel::command::Verb::Detach(request)));
    }

    /// C1: a passive receiver has seen everything that it wants and that was sent since it is there, up to the last that it saw.
    fn check_passive(&self, receiver: &Receiver) {
        let (Some(last), channel::Mode::Passive) = (receiver.got.last(), receiver.mode) else { return };
        let sent = self.directions[receiver.end as usize].sent.range(..=last);
        for (position, ((_, kind), _)) in sent.filter(|(_, (_, sent))| *sent > receiver.since) {
            let is_wanted = receiver.wants.is_none_or(|wants| wants == *kind);
            let was_seen = receiver.got.contains(position);
            assert!(was_seen || !is_wanted, "C1: passive receiver {} did not get {position}", receiver.id);
        }
    }

    fn publish(&mut self, at: usize) {
        if self.is_busy(at) {
            return;
        }
        let (subject, count) = (*self.random.choice(["a.x", "a.y", "b"]).as_ref().unwrap(), self.random.usize(1..4));
        let message =
            |(value, _): (Value, &str)| topic::Message { subject: subject.into(), value: Some(value), ..Default::default() };
        let messages = (0..count).map(|_| message(self.value())).collect();
        let (topic, wait_ms) = (self.random.usize(..TOPICS.len()), self.wait_ms());
        let request = topic::PublishRequest { object: object(TOPICS[topic].0), wait_ms, messages, must_be_heard: false };
        self.call(at, topic_command(topic::command::Verb::Publish(request)));
    }

    fn subscribe(&mut self, at: usize) {
        if self.is_busy(at) || self.clients[at].subscriptions.len() > 3 {
            return;
        }
        let topic = self.random.usize(..TOPICS.len());
        let is_group = self.random.u8(..4) == 0;
        let subjects = if is_group || self.random.bool() { vec![] } else { vec!["a.*".to_owned()] };
        let replay = (!is_group && self.random.u8(..4) == 0).then_some(topic::subscribe_request::Replay::After(0));
        let request = topic::SubscribeRequest {
            object: object(TOPICS[topic].0),
            subjects,
            group: if is_group { GROUP.into() } else { String::new() },
            replay,
            ..Default::default()
        };
        self.call(at, topic_command(topic::command::Verb::Subscribe(request)));
    }

    fn any_subscription(&mut self, at: usize) -> Option<usize> {
        let subscriptions = &self.clients[at].subscriptions;
        (!subscriptions.is_empty()).then(|| self.random.usize(..subscriptions.len()))
    }

    fn next(&mut self, at: usize) {
        let Some(place) = self.any_subscription(at) else { return };
        let (wait_ms, max) = (self.wait_ms(), self.random.u32(0..4));
        let client = &mut self.clients[at];
        let (id, topic) = (client.subscriptions[place].id, client.subscriptions[place].topic);
        let asks = |pending: &Pending| matches!(&pending.command, Command::Topic(topic::Command { verb: Some(topic::command::Verb::Next(request)) }) if request.subscription == id && request.object == object(TOPICS[topic].0));
        if client.line.pending.values().any(asks) {
            return;
        }
        let done = Simulation::some_done(&mut self.random, &mut client.subscriptions[place].open);
        let request = topic::NextRequest { object: object(TOPICS[topic].0), wait_ms, subscription: id, max, done };
        self.call(at, topic_command(topic::command::Verb::Next(request)));
    }

    fn unsubscribe(&mut self, at: usize) {
        let Some(place) = self.any_subscription(at) else { return };
        let subscription = self.clients[at].subscriptions.swap_remove(place);
        let object = object(TOPICS[subscription.topic].0);
        let request = topic::UnsubscribeRequest { object, subscription: subscription.id, done: subscription.open };
        self.call(at, topic_command(topic::command::Verb::Unsubscribe(request)));
    }

    fn read(&mut self, at: usize, is_lost: bool) {
        while let Some(entries) = self.clients[at].line.receive() {
            for entry in entries {
                if let Some((pending, reply)) = self.clients[at].line.take(entry, is_lost) {
                    self.answered(at, reply, pending);
                }
            }
        }
        let line = &mut self.clients[at].line;
        if is_lost {
            return self.stage.reconnect(line);
        }
        if self.random.bool() {
            line.acknowledge();
        }
    }

    fn answered(&mut self, at: usize, reply: Reply, pending: Pending) {
        match (reply, &pending.command) {
            (Reply::Fault(fault), _) => self.refused(at, &fault, &pending.command),
            (Reply::Channel(reply), Command::Channel(command)) => {
                let (reply, asked) = (reply.verb.unwrap(), command.verb.as_ref().unwrap());
                self.channel_replied(at, reply, asked, &pending);
            }
            (Reply::Topic(reply), Command::Topic(command)) => {
                let (reply, asked) = (reply.verb.unwrap(), command.verb.as_ref().unwrap());
                self.topic_replied(at, reply, asked, pending.is_cancelled);
            }
            (reply, command) => panic!("{command:?} was answered {reply:?}"),
        }
    }

    fn refused(&mut self, at: usize, fault: &v1::Fault, command: &Command) {
        use {channel::command::Verb as C, topic::command::Verb as T};
        let allowed: &[u32] = match command {
            Command::Channel(channel::Command { verb: Some(C::Send(request)) }) if request.must_be_heard => {
                &[TIMED_OUT, NO_ROOM, CANCELLED, 181]
            }
            Command::Channel(channel::Command { verb: Some(C::Send(_)) }) => &[TIMED_OUT, NO_ROOM, CANCELLED],
            // A call that was under way when its receiver was detached.
            Command::Channel(channel::Command { verb: Some(C::Receive(_)) }) => &[TIMED_OUT, CANCELLED, NO_SUCH_RECEIVER],
            Command::Topic(topic::Command { verb: Some(T::Publish(_)) }) => &[TIMED_OUT, NO_ROOM, CANCELLED],
            Command::Topic(topic::Command { verb: Some(T::Next(_)) }) => &[TIMED_OUT, CANCELLED, LAGGED, NO_SUCH_RECEIVER],
            // One that was disconnected, and does not know yet.
            Command::Topic(topic::Command { verb: Some(T::Done(_) | T::Unsubscribe(_)) }) => &[LAGGED, NO_SUCH_RECEIVER],
            _ => &[],
        };
        assert!(allowed.contains(&fault.number), "{}: {command:?}", fault.message);
        if fault.number == LAGGED {
            self.seen.missed += 1;
            let (name, id) = match command {
                Command::Topic(topic::Command { verb: Some(T::Next(request)) }) => (&request.object, request.subscription),
                Command::Topic(topic::Command { verb: Some(T::Done(request)) }) => (&request.object, request.subscription),
                _ => return,
            };
            let is_other = |subscription: &Subscription| subscription.id != id || object(TOPICS[subscription.topic].0) != *name;
            self.clients[at].subscriptions.retain(is_other);
        }
    }

    fn channel_replied(&mut self, at: usize, reply: channel::reply::Verb, asked: &channel::command::Verb, pending: &Pending) {
        use channel::{command::Verb as Asked, reply::Verb};
        match (reply, asked) {
            (Verb::Attach(reply), Asked::Attach(request)) => {
                let mode = channel::Mode::try_from(request.mode).unwrap();
                let wants = request.r#match.as_ref().is_some_and(|wanted| !wanted.headers.is_empty()).then_some("x");
                let (id, end) = (reply.receiver, request.end);
                self.clients[at].receivers.push(Receiver {
                    id,
                    end,
                    mode,
                    wants,
                    since: self.now,
                    last: 0,
                    got: BTreeSet::new(),
                    open: vec![],
                });
            }
            (Verb::Send(reply), Asked::Send(request)) => {
                let positions = &reply.positions;
                assert!(!positions.is_empty() && positions.is_sorted() && positions.len() <= request.messages.len());
                let direction = &mut self.directions[1 - request.from as usize];
                for (position, message) in positions.iter().zip(&request.messages) {
                    let told = direction.sent.insert(*position, (numbered(message.value.as_ref()), pending.note));
                    assert_eq!(told, None, "position {position} was told twice");
                    self.seen.sent += 1;
                }
            }
            // What was given in an answer to a cancelled call is taken back.
            (Verb::Receive(_), Asked::Receive(_)) if pending.is_cancelled => {}
            (Verb::Receive(reply), Asked::Receive(request)) => self.received(at, request.receiver, reply.messages),
            (Verb::Detach(_), Asked::Detach(_)) | (Verb::Done(_), Asked::Done(_)) => {}
            (reply, asked) => panic!("{asked:?} was answered {reply:?}"),
        }
    }

    fn received(&mut self, at: usize, id: u64, messages: Vec<channel::Delivered>) {
        let positions: Vec<u64> = messages.iter().map(|message| message.position).collect();
        assert!(!positions.is_empty() && positions.is_sorted_by(|before, after| before < after), "C1: {positions:?}");
        // Detached meanwhile: what it was given waits for others again.
        let Some(receiver) = self.clients[at].receivers.iter_mut().find(|receiver| receiver.id == id) else { return };
        let direction = &mut self.directions[receiver.end as usize];
        for message in messages {
            let channel::Delivered { position, value, headers, redelivered, .. } = message;
            let said = numbered(value.as_ref());
            assert_eq!(headers.get("kind").map(String::as_str), Some(said.1), "C1: headers of another message");
            if let Some(sent) = direction.sent.get(&position) {
                assert_eq!(sent.0, said, "C1: another message stands at {position}");
            }
            assert!(receiver.wants.is_none_or(|wants| wants == said.1), "C1: {position} is not wanted");
            assert!(!receiver.open.contains(&position), "C1: {position} was given twice to {id}");
            if receiver.mode == channel::Mode::Active {
                let is_first = direction.given.insert(position);
                assert!(is_first || redelivered, "C1: {position} was given a second time, and does not say so");
            }
            self.seen.received += 1;
            if redelivered {
                self.seen.redelivered += 1;
            } else {
                assert!(receiver.last < position || !self.is_calm, "C1: {id} got {position} after {}", receiver.last);
                receiver.last = position;
            }
            receiver.got.insert(position);
            receiver.open.push(position);
        }
    }

    fn topic_replied(&mut self, at: usize, reply: topic::reply::Verb, asked: &topic::command::Verb, is_cancelled: bool) {
        use topic::{command::Verb as Asked, reply::Verb};
        match (reply, asked) {
            (Verb::Publish(reply), Asked::Publish(request)) => {
                let (taken, topic) = (u64::from(reply.taken), topic_of(&request.object));
                assert!(taken > 0 && reply.taken as usize <= request.messages.len());
                for (position, message) in (reply.position + 1 - taken..).zip(&request.messages[..taken as usize]) {
                    let subject = ["a.x", "a.y", "b"].into_iter().find(|subject| *subject == message.subject).unwrap();
                    assert_eq!(self.published[topic].insert(position, subject), None, "position {position} was told twice");
                    self.seen.published += 1;
                }
            }
            (Verb::Subscribe(reply), Asked::Subscribe(request)) => {
                let upto = if request.replay.is_some() { 0 } else { reply.position };
                let topic = topic_of(&request.object);
                let (subject, is_group) = (request.subjects.first().map(|_| "a."), !request.group.is_empty());
                let (id, open) = (reply.subscription, vec![]);
                let subscription = Subscription { id, topic, subject, is_group, upto, missed: 0, open };
                self.clients[at].subscriptions.push(subscription);
            }
            (Verb::Next(_), Asked::Next(_)) if is_cancelled => {}
            (Verb::Next(reply), Asked::Next(request)) => self.delivered(at, topic_of(&request.object), request, reply),
            (Verb::Done(_), Asked::Done(_)) | (Verb::Unsubscribe(_), Asked::Unsubscribe(_)) => {}
            (reply, asked) => panic!("{asked:?} was answered {reply:?}"),
        }
    }

    fn delivered(&mut self, at: usize, topic: usize, request: &topic::NextRequest, reply: topic::NextReply) {
        let published = &self.published[topic];
        let its = |subscription: &&mut Subscription| subscription.topic == topic && subscription.id == request.subscription;
        let Some(subscription) = self.clients[at].subscriptions.iter_mut().find(its) else { return };
        assert!(!reply.messages.is_empty() || reply.missed > 0, "an answer that says nothing");
        let missed_behind = reply.missed;
        for message in reply.delivered() {
            let topic::Delivered { position, subject, redelivered, missed, .. } = message.unwrap();
            self.seen.delivered += 1;
            self.seen.missed += missed;
            if let Some(known) = published.get(&position) {
                assert_eq!(*known, subject, "C1: another message stands at {position}");
            }
            assert!(subscription.subject.is_none_or(|wanted| subject.starts_with(wanted)), "C1: {subject} is not wanted");
            if subscription.is_group {
                let is_first = self.grouped[topic].insert(position);
                assert!(is_first || redelivered, "C1: {position} was given twice to the group, and does not say so");
                subscription.open.push(position);
                continue;
            }
            assert!(!redelivered && position > subscription.upto, "C1: {position} after {}", subscription.upto);
            subscription.missed += missed;
            check_gap(published, subscription, position);
            (subscription.upto, subscription.missed) = (position, 0);
        }
        self.seen.missed += missed_behind;
        subscription.missed += missed_behind;
    }

    fn cancel(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let sequences: Vec<u64> = client.line.pending.keys().copied().collect();
        let Some(sequence) = self.random.choice(&sequences).copied() else { return };
        let pending = &client.line.pending[&sequence];
        if !can_be_cancelled(&pending.command, !self.is_calm) || pending.lost_answer.is_some() || pending.is_cancelled {
            return;
        }
        client.line.cancel(sequence);
    }

    fn reconnect(&mut self, at: usize) {
        self.stage.reconnect(&mut self.clients[at].line);
    }

    fn die(&mut self, at: usize) {
        let fresh = self.new_client();
        let dead = std::mem::replace(&mut self.clients[at], fresh);
        dead.receivers.iter().for_each(|receiver| self.check_passive(receiver));
        let how = if self.random.bool() { Departure::Lost } else { Departure::Closed };
        self.stage.end(&dead.line, how);
    }

    fn fall_silent(&mut self, at: usize) {
        let fresh = self.new_client();
        let silent = std::mem::replace(&mut self.clients[at], fresh);
        silent.receivers.iter().for_each(|receiver| self.check_passive(receiver));
        self.stage.outlast(self.clients.iter().map(|client| &client.line));
        self.stage.wake();
    }

    fn pass_time(&mut self) {
        self.stage.advance(self.random.u64(0..40), self.clients.iter().map(|client| &client.line));
        self.stage.wake();
    }

    fn rest(&mut self) {
        self.stage.wake();
        (0..CLIENTS).for_each(|at| self.read(at, false));
    }

    /// Everybody dies. Whoever comes after gets everything that was acknowledged to its sender and that nobody was done with.
    fn finish(mut self) -> Seen {
        self.rest();
        (0..CLIENTS).for_each(|at| self.die(at));
        self.stage.wake();
        for host in &self.stage.hosts {
            let (waiting, _) = host.figures();
            assert_eq!(waiting, 0, "{}: the dead still wait", host.name());
        }
        for end in 0..2 {
            let mode = channel::Mode::Active.into();
            let request = channel::AttachRequest { object: object(CHANNEL), end, mode, r#match: None };
            self.call(0, channel_command(channel::command::Verb::Attach(request)));
            self.read(0, false);
            let receiver = self.clients[0].receivers.last().expect("it was attached");
            let request =
                channel::ReceiveRequest { object: object(CHANNEL), receiver: receiver.id, max: 10_000, ..Default::default() };
            self.call(0, channel_command(channel::command::Verb::Receive(request)));
            self.read(0, false);
            let left: BTreeSet<u64> = self.clients[0].receivers.last().unwrap().open.iter().copied().collect();
            let direction = &self.directions[end as usize];
            let lost = direction.sent.keys().find(|position| !direction.is_over(**position) && !left.contains(position));
            assert_eq!(lost, None, "C1: what was acknowledged to its sender is nowhere");
        }
        self.stage.check();
        self.seen
    }
}

/// C1: between two deliveries lies exactly what was told as missed, as far as publishers know what lies there.
fn check_gap(published: &BTreeMap<u64, &'static str>, subscription: &Subscription, position: u64) {
    let between = subscription.upto + 1..position;
    let known: Vec<&&str> = published.range(between.clone()).map(|(_, subject)| subject).collect();
    if known.len() as u64 != between.end - between.start {
        return;
    }
    let wanted = |subject: &&&&str| subscription.subject.is_none_or(|wanted| subject.starts_with(wanted));
    let skipped = known.iter().filter(wanted).count() as u64;
    // What was not kept for a replay counts whether it was wanted or not.
    let is_replay = subscription.upto == 0;
    let is_told = if is_replay { skipped <= subscription.missed } else { skipped == subscription.missed };
    assert!(is_told, "C1: {skipped} messages are missing before {position}, and {} were told", subscription.missed);
}

/// The number and the kind that a value says.
fn numbered(value: Option<&Value>) -> (u64, &'static str) {
    let text = std::str::from_utf8(&value.expect("a message has a value").data).unwrap();
    let kind = if text.as_bytes()[8] == b'x' { "x" } else { "y" };
    (text[..8].parse().unwrap(), kind)
}

fn topic_of(object: &Option<ObjectRef>) -> usize {
    let name = &object.as_ref().unwrap().name;
    TOPICS.iter().position(|(topic, _)| topic == name).unwrap()
}

fn can_be_cancelled(command: &Command, receives: bool) -> bool {
    use {channel::command::Verb as C, topic::command::Verb as T};
    match command {
        Command::Channel(channel::Command { verb: Some(C::Receive(_)) }) => receives,
        Command::Topic(topic::Command { verb: Some(T::Next(_)) }) => true,
        _ => false,
    }
}

fn channel_command(verb: channel::command::Verb) -> Command {
    Command::Channel(channel::Command { verb: Some(verb) })
}

fn topic_command(verb: topic::command::Verb) -> Command {
    Command::Topic(topic::Command { verb: Some(verb) })
}
