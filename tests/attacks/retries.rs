//! R06: the reply is lost and the call is sent again, for every verb that changes something: one effect, the identical answer.

use super::{
    proxy::Proxy,
    wire::{Stream, Wire, channel_command, kv_command, object, queue_command, registry_command, reply_in, rpcs, topic_command},
};
use crate::harness::{Broker, PATIENCE, figure};
use bursar::{
    Kv, Manager, Queue, Serving,
    proto::v1::{
        self, answer::Reply, array, barrier, call, channel, condition, counter, event, kv, latch, list, lock, object, queue,
        registry, rwlock, semaphore, topic, txn,
    },
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::timeout;

/// A verb that changes something: the name of its rpc, and the command for an object of a name.
struct Case {
    rpc: &'static str,
    /// For an object of this name, of which the session was granted this token.
    command: fn(&str, u64) -> call::Command,
}

macro_rules! cases {
    ($service:literal $make:ident $module:ident: $($verb:ident $request:ident { $($fields:tt)* }),* $(,)?) => {
        [$( Case {
            rpc: concat!("/bursar.v1.", $service, "/", stringify!($verb)),
            command: |name, _| $make($module::command::Verb::$verb($module::$request {
                object: object(name),
                $($fields)*
            })),
        } ),*]
    };
    ($kind:ident $module:ident $token:ident: $($verb:ident $request:ident { $($fields:tt)* }),* $(,)?) => {
        [$( Case {
            rpc: concat!("/bursar.v1.", stringify!($module), ".", stringify!($kind), "/", stringify!($verb)),
            command: |name, $token| {
                // Not every verb needs it.
                let _ = $token;
                let request = $module::$request { object: object(name), $($fields)* };
                call::Command::$kind($module::Command { verb: Some($module::command::Verb::$verb(request)) })
            },
        } ),*]
    };
}

mod served;

/// A queue as [`prepare`] leaves it has item 1 leased under lease 1 (buffered), item 2 ready, item 3 parked.
fn queue_cases() -> Vec<Case> {
    cases!("queue.Queue" queue_command queue:
        Put PutRequest { fence: None, wait_ms: 0, items: vec![queue::Item { data: "new".into(), ..Default::default() }] },
        Get GetRequest { wait_ms: 0, max: 2, buffered: false },
        Start StartRequest { leases: vec![1] },
        Done DoneRequest { fence: None, leases: vec![1], oldest: 0 },
        Done DoneRequest { fence: None, leases: vec![], oldest: 1 },
        Return ReturnRequest { fence: None, leases: vec![1], reason: queue::Reason::Released as i32, delay_ms: None, why: String::new() },
        Return ReturnRequest { fence: None, leases: vec![1], reason: queue::Reason::Failed as i32, delay_ms: Some(3_600_000), why: "bad".into() },
        Park ParkRequest { fence: None, leases: vec![1], ids: vec![], why: "odd".into() },
        Park ParkRequest { fence: None, leases: vec![], ids: vec![2], why: "odd".into() },
        Unpark UnparkRequest { ids: vec![] },
        Discard DiscardRequest { ids: vec![] },
        Close CloseRequest { immediate: false },
        Close CloseRequest { immediate: true },
        Purge PurgeRequest {},
        Pause PauseRequest { resume: false },
        Cancel CancelRequest { wait_ms: 0, id: 1, lease: 0, then: queue::Then::Park as i32, why: "odd".into(), force: true },
        Cancel CancelRequest { wait_ms: 0, id: 2, lease: 0, then: queue::Then::Park as i32, why: "odd".into(), force: false },
    )
    .into()
}

/// A store as [`prepare`] leaves it has the key `n` with the number 41, and `t` with a ttl.
fn kv_cases() -> Vec<Case> {
    cases!("kv.Kv" kv_command kv:
        Get GetRequest { key: "t".into(), touch: true },
        Put PutRequest { fence: None, key: "n".into(), value: value("1"), condition: None, ttl_ms: 0, keep_ttl: false, bind: true },
        SetDefault SetDefaultRequest { fence: None, key: "new".into(), value: value("1"), ttl_ms: 0, bind: false },
        Delete DeleteRequest { fence: None, key: "n".into(), condition: None },
        Clear ClearRequest { fence: None, prefix: String::new() },
        Incr IncrRequest { fence: None, key: "n".into(), by: 1 },
        Incr IncrRequest { fence: None, key: "new".into(), by: -1 },
        Expire ExpireRequest { fence: None, key: "t".into(), ttl_ms: 0 },
    )
    .into()
}

/// Objects as [`prepare`] leaves them: what can be held is held, under the token.
fn cases_of_holders() -> Vec<Case> {
    let mut cases: Vec<Case> = vec![];
    cases.extend(cases!(Lock lock token: Acquire AcquireRequest { wait_ms: 0, owner: 0 }, Release ReleaseRequest { token }));
    cases.extend(cases!(Rwlock rwlock token: Acquire AcquireRequest { wait_ms: 0, owner: 0, write: false },
        Release ReleaseRequest { token }, Downgrade DowngradeRequest { token }));
    cases.extend(cases!(Semaphore semaphore token: Acquire AcquireRequest { wait_ms: 0, count: 2, consume: false },
        Acquire AcquireRequest { wait_ms: 0, count: 1, consume: true }, Release ReleaseRequest { token }, Add AddRequest { count: 3 }));
    cases.extend(cases!(Condition condition token: Release ReleaseRequest { token }, Wait WaitRequest { token, wait_ms: 1 },
        Notify NotifyRequest { token, count: 0, all: true }));
    // As if it were free: the session holds the one of this name, and the case is of another owner.
    cases.push(Case {
        rpc: "/bursar.v1.condition.Condition/Acquire",
        command: |name, _| {
            let request = condition::AcquireRequest { object: object(&format!("{name}-free")), wait_ms: 0, owner: 0 };
            call::Command::Condition(condition::Command { verb: Some(condition::command::Verb::Acquire(request)) })
        },
    });
    cases
}

fn cases_of_signals_and_values() -> Vec<Case> {
    let mut cases: Vec<Case> = vec![];
    cases.extend(cases!(Event event _token: Set SetRequest {}, Clear ClearRequest {}));
    cases.extend(cases!(Latch latch _token: CountDown CountDownRequest { by: 2 }));
    cases.extend(cases!(Barrier barrier _token: Wait WaitRequest { wait_ms: 0 }, Abort AbortRequest {}, Reset ResetRequest {}));
    cases.extend(cases!(Counter counter _token: Add AddRequest { by: 7 }, Set SetRequest { value: -7 },
        CompareAndSet CompareAndSetRequest { expected: 0, value: 1 }));
    cases.extend(cases!(List list _token: Set SetRequest { index: 0, value: value("9"), if_revision: None },
        Replace ReplaceRequest { slice: None, values: vec![value("9").unwrap()], if_revision: None },
        Extend ExtendRequest { values: vec![value("3").unwrap()] }, Insert InsertRequest { index: 1, value: value("3") },
        Pop PopRequest { index: None }, Delete DeleteRequest { slice: None, if_revision: None },
        Remove RemoveRequest { value: value("1") }, Reverse ReverseRequest {}));
    cases.extend(cases!(Array array _token: Set SetRequest { slice: None, numbers: numbers(&[4, 5, 6]) },
        Add AddRequest { index: 0, by: numbers(&[1]) }));
    cases
}

/// A channel as [`prepare`] leaves it has receiver 3 at end B, which has message 1, while message 2 waits; inbox 4 at end A.
fn channel_cases() -> Vec<Case> {
    cases!(Channel channel _token:
        Attach AttachRequest { end: B, mode: channel::Mode::Active.into(), r#match: None },
        Attach AttachRequest { end: A, mode: channel::Mode::Passive.into(), r#match: None },
        Detach DetachRequest { receiver: 3, done: vec![1] },
        Detach DetachRequest { receiver: 3, done: vec![] },
        Send SendRequest { wait_ms: 0, from: A, messages: vec![said("3", None), said("4", None)], must_be_heard: true },
        Send SendRequest { wait_ms: 0, from: B, messages: vec![said("an answer", Some(4))], must_be_heard: false },
        Receive ReceiveRequest { wait_ms: 0, receiver: 3, max: 2, done: vec![1] },
        Receive ReceiveRequest { wait_ms: 0, receiver: 3, max: 2, done: vec![] },
        Done DoneRequest { receiver: 3, positions: vec![1, 2] },
        Close CloseRequest { end: A },
        Close CloseRequest { end: B })
    .into()
}

const A: i32 = channel::End::A as i32;
const B: i32 = channel::End::B as i32;

fn said(text: &'static str, inbox: Option<u64>) -> channel::Message {
    let answer_to = inbox.map(|inbox| v1::AnswerTo { inbox, correlation: 1, last: true });
    channel::Message { value: value(text), answer_to, ..Default::default() }
}

/// A topic as [`prepare`] leaves it has the subscriptions 1, 2 (of a group) and 3 (an inbox), and two messages, of which 2 has the first.
fn topic_cases() -> Vec<Case> {
    cases!(Topic topic _token:
        Publish PublishRequest { wait_ms: 0, messages: vec![news("3"), news("4")], must_be_heard: true },
        Answer AnswerRequest { wait_ms: 0, to: Some(v1::AnswerTo { inbox: 3, correlation: 1, last: true }), value: value("5"), headers: Default::default() },
        Subscribe SubscribeRequest { replay: Some(topic::subscribe_request::Replay::After(0)), ..Default::default() },
        Subscribe SubscribeRequest { group: GROUP.into(), ..Default::default() },
        Subscribe SubscribeRequest { inbox: true, ..Default::default() },
        Unsubscribe UnsubscribeRequest { subscription: 1, done: vec![] },
        Unsubscribe UnsubscribeRequest { subscription: 2, done: vec![1] },
        Next NextRequest { wait_ms: 0, subscription: 1, max: 1, done: vec![] },
        Next NextRequest { wait_ms: 0, subscription: 2, max: 2, done: vec![1] },
        Done DoneRequest { subscription: 2, positions: vec![1] },
        DeleteGroup DeleteGroupRequest { group: GROUP.into() })
    .into()
}

const GROUP: &str = "workers";

fn news(text: &'static str) -> topic::Message {
    topic::Message { subject: "a.b".into(), value: value(text), ..Default::default() }
}

fn numbers(values: &[i64]) -> Option<array::Numbers> {
    let integers = array::Integers { values: values.to_vec() };
    Some(array::Numbers { numbers: Some(array::numbers::Numbers::Integers(integers)) })
}

/// A counter and a queue change together.
fn txn_cases() -> Vec<Case> {
    let command = |name: &str, _| {
        let add = counter::AddRequest { object: object(name), by: 7 };
        let add = counter::Command { verb: Some(counter::command::Verb::Add(add)) };
        let step = txn::Step { command: Some(txn::step::Command::Counter(add)) };
        let request = txn::ExecuteRequest { then: vec![step.clone(), step], ..Default::default() };
        call::Command::Txn(txn::Command { verb: Some(txn::command::Verb::Execute(request)) })
    };
    vec![Case { rpc: "/bursar.v1.txn.Txn/Execute", command }]
}

fn registry_cases() -> Vec<Case> {
    let create = |name: &str, _| {
        registry_command(registry::command::Verb::Open(registry::OpenRequest {
            name: format!("{name}-created"),
            mode: registry::Mode::Create as i32,
            options: Some(queue_options()),
            ephemeral: false,
        }))
    };
    let delete =
        |name: &str, _| registry_command(registry::command::Verb::Delete(registry::DeleteRequest { object: object(name) }));
    let close = |name: &str, _| registry_command(registry::command::Verb::Close(registry::CloseRequest { object: object(name) }));
    vec![
        Case { rpc: "/bursar.v1.registry.Registry/Open", command: create },
        Case { rpc: "/bursar.v1.registry.Registry/Delete", command: delete },
        Case { rpc: CLOSE, command: close },
    ]
}

/// For an ephemeral object, which goes with it.
const CLOSE: &str = "/bursar.v1.registry.Registry/Close";

/// Rpcs that change nothing, or are the session itself.
const READS: &[&str] = &[
    "/bursar.v1.queue.Queue/Parked",
    "/bursar.v1.queue.Queue/Join",
    "/bursar.v1.queue.Queue/Stats",
    "/bursar.v1.queue.Queue/Peek",
    "/bursar.v1.queue.Queue/Cancelling",
    "/bursar.v1.event.Event/Get",
    "/bursar.v1.event.Event/Wait",
    "/bursar.v1.latch.Latch/Get",
    "/bursar.v1.latch.Latch/Wait",
    "/bursar.v1.barrier.Barrier/Get",
    "/bursar.v1.counter.Counter/Get",
    "/bursar.v1.list.List/Get",
    "/bursar.v1.list.List/Read",
    "/bursar.v1.list.List/Index",
    "/bursar.v1.list.List/Count",
    "/bursar.v1.list.List/Len",
    "/bursar.v1.array.Array/Get",
    "/bursar.v1.channel.Channel/Stats",
    "/bursar.v1.topic.Topic/Stats",
    "/bursar.v1.object.Object/Describe",
    "/bursar.v1.kv.Kv/Contains",
    "/bursar.v1.kv.Kv/Len",
    "/bursar.v1.kv.Kv/Scan",
    "/bursar.v1.kv.Kv/Next",
    "/bursar.v1.kv.Kv/Watch",
    "/bursar.v1.registry.Registry/List",
    "/bursar.v1.registry.Registry/Describe",
    "/bursar.v1.registry.Registry/Status",
    "/bursar.v1.registry.Registry/Waits",
    "/bursar.v1.Auth/Hello",
    "/bursar.v1.Auth/Prove",
    "/bursar.v1.Sessions/Session",
];

fn value(text: &'static str) -> Option<v1::Value> {
    Some(v1::Value { data: text.into(), codec: v1::Codec::Json as u32 })
}

fn queue_options() -> registry::Options {
    registry::Options { kind: Some(registry::options::Kind::Queue(queue::Options::default())) }
}

/// The options of the object that a case is for.
fn options_for(rpc: &str) -> registry::Options {
    use registry::options::Kind;
    let kind = match rpc.split('.').nth(2).expect("the name of a service") {
        "kv" => Kind::Kv(kv::Options::default()),
        "lock" => Kind::Lock(lock::Options { reentrant: true, ..Default::default() }),
        "rwlock" => Kind::Rwlock(rwlock::Options::default()),
        "semaphore" => Kind::Semaphore(semaphore::Options { permits: 5, ..Default::default() }),
        "condition" => Kind::Condition(condition::Options::default()),
        "event" => Kind::Event(event::Options::default()),
        "latch" => Kind::Latch(latch::Options { count: 3 }),
        "barrier" => Kind::Barrier(barrier::Options { parties: 1 }),
        "counter" | "txn" => Kind::Counter(counter::Options::default()),
        "list" => Kind::List(list::Options::default()),
        "channel" => Kind::Channel(channel::Options::default()),
        "object" => Kind::Object(object::Options::default()),
        "topic" => {
            Kind::Topic(topic::Options { overload: topic::Overload::DropOldest.into(), buffer_messages: 2, ..Default::default() })
        }
        "array" => Kind::Array(array::Options { r#type: array::Type::I32.into(), length: 3 }),
        _ => Kind::Queue(queue::Options::default()),
    };
    registry::Options { kind: Some(kind) }
}

/// What is done with that object first.
fn first_commands(rpc: &str, name: &str) -> Vec<call::Command> {
    use {channel::command::Verb as C, kv::command::Verb as K, queue::command::Verb as Q, topic::command::Verb as T};
    let (object, owner) = (object(name), 0);
    match rpc.split('.').nth(2).expect("the name of a service") {
        "kv" => {
            let put = |key: &str, ttl_ms| {
                let (object, key) = (object.clone(), key.into());
                kv_command(K::Put(kv::PutRequest { object, key, value: value("41"), ttl_ms, ..Default::default() }))
            };
            vec![put("n", 0), put("t", 3_600_000)]
        }
        "lock" => {
            let verb = lock::command::Verb::Acquire(lock::AcquireRequest { object, wait_ms: 0, owner });
            vec![call::Command::Lock(lock::Command { verb: Some(verb) })]
        }
        // To be read by the same owner again it must be read, to be downgraded it must be written.
        "rwlock" => {
            let write = rpc.ends_with("Downgrade");
            let verb = rwlock::command::Verb::Acquire(rwlock::AcquireRequest { object, wait_ms: 0, owner, write });
            vec![call::Command::Rwlock(rwlock::Command { verb: Some(verb) })]
        }
        "semaphore" => {
            let request = semaphore::AcquireRequest { object, wait_ms: 0, count: 2, consume: false };
            vec![call::Command::Semaphore(semaphore::Command { verb: Some(semaphore::command::Verb::Acquire(request)) })]
        }
        "condition" => {
            let free =
                registry::OpenRequest { name: format!("{name}-free"), options: Some(options_for(rpc)), ..Default::default() };
            let verb = condition::command::Verb::Acquire(condition::AcquireRequest { object, wait_ms: 0, owner });
            vec![
                registry_command(registry::command::Verb::Open(free)),
                call::Command::Condition(condition::Command { verb: Some(verb) }),
            ]
        }
        "list" => {
            let values = ["1", "2"].map(|text| value(text).unwrap()).into();
            let verb = list::command::Verb::Extend(list::ExtendRequest { object, values });
            vec![call::Command::List(list::Command { verb: Some(verb) })]
        }
        "channel" => {
            let attach = |end, mode: channel::Mode| {
                channel_command(C::Attach(channel::AttachRequest {
                    object: object.clone(),
                    end,
                    mode: mode.into(),
                    r#match: None,
                }))
            };
            let messages = vec![said("1", None), said("2", None)];
            let send = channel::SendRequest { object: object.clone(), from: A, messages, ..Default::default() };
            let receive = channel::ReceiveRequest { object: object.clone(), receiver: 3, ..Default::default() };
            vec![
                attach(B, channel::Mode::Active),
                attach(A, channel::Mode::Inbox),
                channel_command(C::Send(send)),
                channel_command(C::Receive(receive)),
            ]
        }
        "topic" => {
            let subscribe = |group: &str, inbox| {
                let (object, group) = (object.clone(), group.into());
                topic_command(T::Subscribe(topic::SubscribeRequest { object, group, inbox, ..Default::default() }))
            };
            let messages = vec![news("1"), news("2")];
            let publish = topic::PublishRequest { object: object.clone(), messages, ..Default::default() };
            let next = topic::NextRequest { object: object.clone(), subscription: 2, ..Default::default() };
            vec![
                subscribe("", false),
                subscribe(GROUP, false),
                subscribe("", true),
                topic_command(T::Publish(publish)),
                topic_command(T::Next(next)),
            ]
        }
        "queue" => {
            let items = ["a", "b", "c"].map(|data| queue::Item { data: data.into(), ..Default::default() });
            let park =
                queue::ParkRequest { fence: None, object: object.clone(), leases: vec![], ids: vec![3], why: "aside".into() };
            vec![
                queue_command(Q::Put(queue::PutRequest { fence: None, object: object.clone(), wait_ms: 0, items: items.into() })),
                queue_command(Q::Get(queue::GetRequest { object, wait_ms: 0, max: 1, buffered: true })),
                queue_command(Q::Park(park)),
            ]
        }
        _ => vec![],
    }
}

/// Makes an object of the kind that a case is for; the session has used the sequences below the first number that is returned. The
/// second is the token that it was granted, or 0.
async fn prepare(session: &mut Stream, observer: &mut Observer, rpc: &str, name: &str) -> (u64, u64) {
    let (options, ephemeral) = (Some(options_for(rpc)), rpc == CLOSE);
    let open = registry::OpenRequest { name: name.into(), options, ephemeral, ..Default::default() };
    let mut commands = vec![registry_command(registry::command::Verb::Open(open))];
    commands.extend(first_commands(rpc, name));
    let (mut next, mut token) = (1, 0);
    for command in commands {
        let reply = session.ask(next, command).await;
        assert!(!matches!(reply, Reply::Fault(_)), "{reply:?}");
        token = granted(&reply).unwrap_or(token);
        next += 1;
    }
    if rpc.starts_with("/bursar.v1.object.") {
        served::prepare(session, observer, &mut next, rpc, name).await;
    }
    (next, token)
}

fn granted(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Lock(lock::Reply { verb: Some(lock::reply::Verb::Acquire(reply)) }) => Some(reply.token),
        Reply::Rwlock(rwlock::Reply { verb: Some(rwlock::reply::Verb::Acquire(reply)) }) => Some(reply.token),
        Reply::Semaphore(semaphore::Reply { verb: Some(semaphore::reply::Verb::Acquire(reply)) }) => Some(reply.token),
        Reply::Condition(condition::Reply { verb: Some(condition::reply::Verb::Acquire(reply)) }) => Some(reply.token),
        _ => None,
    }
}

/// What two replies and two objects of the same history have in common: all but moments and epochs.
async fn state(observer: &mut Observer, rpc: &str, name: &str) -> String {
    use {kv::command::Verb as K, queue::command::Verb as Q, registry::command::Verb as R};
    let object = || object(name);
    let mut commands = vec![registry_command(R::List(registry::ListRequest { prefix: name.into(), ..Default::default() }))];
    match rpc.split('.').nth(2).expect("the name of a service") {
        "kv" => commands.push(kv_command(K::Scan(kv::ScanRequest { object: object(), ..Default::default() }))),
        "queue" => commands.extend([
            queue_command(Q::Stats(queue::StatsRequest { object: object() })),
            queue_command(Q::Peek(queue::PeekRequest { object: object(), limit: 100 })),
            queue_command(Q::Parked(queue::ParkedRequest { object: object(), ..Default::default() })),
        ]),
        "event" => {
            let verb = event::command::Verb::Get(event::GetRequest { object: object() });
            commands.push(call::Command::Event(event::Command { verb: Some(verb) }));
        }
        "latch" => {
            let verb = latch::command::Verb::Get(latch::GetRequest { object: object() });
            commands.push(call::Command::Latch(latch::Command { verb: Some(verb) }));
        }
        "barrier" => {
            let verb = barrier::command::Verb::Get(barrier::GetRequest { object: object() });
            commands.push(call::Command::Barrier(barrier::Command { verb: Some(verb) }));
        }
        "counter" | "txn" => {
            let verb = counter::command::Verb::Get(counter::GetRequest { object: object() });
            commands.push(call::Command::Counter(counter::Command { verb: Some(verb) }));
        }
        "list" => {
            let verb = list::command::Verb::Read(list::ReadRequest { object: object(), ..Default::default() });
            commands.push(call::Command::List(list::Command { verb: Some(verb) }));
        }
        "array" => {
            let verb = array::command::Verb::Get(array::GetRequest { object: object(), slice: None });
            commands.push(call::Command::Array(array::Command { verb: Some(verb) }));
        }
        "channel" => commands.extend([
            channel_command(channel::command::Verb::Stats(channel::StatsRequest { object: object() })),
            registry_command(R::Waits(registry::WaitsRequest { object: object() })),
        ]),
        "object" => commands.push(served::describe(name)),
        "topic" => commands.push(topic_command(topic::command::Verb::Stats(topic::StatsRequest { object: object() }))),
        // Locks and permits: who holds what.
        _ => commands.push(registry_command(R::Waits(registry::WaitsRequest { object: object() }))),
    }
    let mut text = String::new();
    for command in commands {
        text += &comparable(&observer.ask(command).await, name);
    }
    text
}

/// Who looks at what has become of the objects, and is the other side of those that need one.
struct Observer {
    manager: Manager,
    session: Stream,
    /// Sequences that were used.
    asked: u64,
    /// What it serves, as long as the test runs.
    served: Vec<Serving>,
}

impl Observer {
    fn tell(&mut self, command: call::Command) {
        self.asked += 1;
        self.session.call(self.asked, command);
    }

    async fn ask(&mut self, command: call::Command) -> Reply {
        self.asked += 1;
        self.session.ask(self.asked, command).await
    }

    async fn serve(&mut self, name: &str) {
        let serving = self.manager.serve(name, Arc::new(served::Often::default())).start().await.unwrap();
        self.served.push(serving);
    }
}

/// Debug text without moments, epochs, the broker's own numbers of sessions, and the object's name.
fn comparable(reply: &Reply, name: &str) -> String {
    let volatile = [
        "put_ms",
        "sent_ms",
        "published_ms",
        "oldest_ms",
        "parked_ms",
        "at_ms",
        "created_ms",
        "epoch",
        "session",
        "ttl_left_ms",
        "old_epoch",
        "token",
        "since_ms",
    ];
    let mut reply = reply.clone();
    if let Reply::Registry(registry::Reply { verb: Some(registry::reply::Verb::List(list)) }) = &mut reply {
        // In no order; for queues the reply to Stats has the same.
        list.objects.iter_mut().for_each(|object| object.figures.clear());
    }
    if let Reply::Registry(registry::Reply { verb: Some(registry::reply::Verb::Waits(waits)) }) = &mut reply {
        // Every session says something else of itself.
        waits.waits.iter_mut().for_each(|wait| wait.who = None);
        waits.holdings.iter_mut().for_each(|holding| holding.who = None);
    }
    let mut text = format!("{reply:?}");
    if let Reply::Topic(topic::Reply { verb: Some(topic::reply::Verb::Next(next)) }) = reply {
        // They travel as they were encoded.
        let (missed, subscription) = (next.missed, next.subscription);
        let delivered: Vec<_> = next.delivered().map(Result::unwrap).collect();
        text = format!("Next {{ messages: {delivered:?}, missed: {missed}, subscription: {subscription} }}");
    }
    text = text.replace(name, "NAME");
    for field in volatile {
        let label = format!("{field}: ");
        let mut parts = text.split(&label).map(str::to_owned).collect::<Vec<_>>();
        for part in &mut parts[1..] {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            part.replace_range(..digits, "_");
        }
        text = parts.join(&label);
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r06_a_lost_reply_and_a_retry_are_one_effect() {
    let broker = Broker::start();
    let cases: Vec<Case> = [
        queue_cases(),
        kv_cases(),
        cases_of_holders(),
        cases_of_signals_and_values(),
        channel_cases(),
        topic_cases(),
        served::cases(),
        txn_cases(),
        registry_cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let covered: BTreeSet<String> = cases.iter().map(|case| case.rpc).chain(READS.iter().copied()).map(str::to_owned).collect();
    assert_eq!(covered, rpcs().into_iter().collect(), "every verb of the contract is a case here, or known to change nothing");

    let observer_wire = Wire::proven(&broker).await;
    let manager = Manager::connect(broker.unix(), broker.authkey()).await.unwrap();
    let mut observer = Observer { manager, session: observer_wire.new_session().await, asked: 0, served: vec![] };
    let mut retries = 0;
    for (n, case) in cases.iter().enumerate() {
        let control_name = format!("control-{n}");
        let control_wire = Wire::proven_by_tcp(&broker).await;
        let mut control = control_wire.new_session().await;
        let (sequence, token) = prepare(&mut control, &mut observer, case.rpc, &control_name).await;
        let reply = comparable(&control.ask(sequence, (case.command)(&control_name, token)).await, &control_name);
        assert!(!reply.starts_with("Fault"), "{}: {reply}", case.rpc);
        let effect = state(&mut observer, case.rpc, &control_name).await;

        for attempt in 0..6 {
            let name = format!("lost-{n}-{attempt}");
            let mut wire = Wire::proven_by_tcp(&broker).await;
            let mut session = wire.new_session().await;
            let (sequence, token) = prepare(&mut session, &mut observer, case.rpc, &name).await;
            let command = (case.command)(&name, token);
            session.call(sequence, command.clone());
            // Either the reply was on this side already, or the connection is cut at some point on the way there and back.
            let mut came = None;
            if attempt == 0 {
                came = Some(session.answer_bytes(sequence).await);
            } else {
                for _ in 0..fastrand::u32(0..100) {
                    tokio::task::yield_now().await;
                }
            }
            for _ in 0..2 {
                let resumption = session.resumption(&[sequence]);
                drop(wire);
                wire = Wire::proven_by_tcp(&broker).await;
                session = wire.session(resumption).await.unwrap();
                assert!(session.opened.resumed);
                session.call(sequence, command.clone());
                let again = session.answer_bytes(sequence).await;
                assert_eq!(comparable(&reply_in(&again), &name), reply, "{}: the answer of one execution", case.rpc);
                assert_eq!(came.get_or_insert(again.clone()), &again, "{}: the identical answer", case.rpc);
                retries += 1;
            }
            let what = state(&mut observer, case.rpc, &name).await;
            assert_eq!(what, effect, "{}: one effect", case.rpc);
        }
    }
    figure("R06", format!("verbs {}, retries {retries}, double effects 0, differing answers 0", covered.len() - READS.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r06_a_waiting_get_survives_its_connections() {
    let broker = Broker::start();
    let wire = Wire::proven_by_tcp(&broker).await;
    let mut producer = wire.new_session().await;
    let open = registry::OpenRequest { name: "jobs".into(), options: Some(queue_options()), ..Default::default() };
    producer.ask(1, registry_command(registry::command::Verb::Open(open))).await;
    let get =
        queue_command(queue::command::Verb::Get(queue::GetRequest { object: object("jobs"), wait_ms: -1, ..Default::default() }));
    let mut consumer_wire = Wire::proven_by_tcp(&broker).await;
    let mut consumer = consumer_wire.new_session().await;
    for sequence in 1..=20 {
        for _ in 0..3 {
            consumer.call(sequence, get.clone());
            let resumption = consumer.resumption(&[sequence]);
            drop(consumer_wire);
            consumer_wire = Wire::proven_by_tcp(&broker).await;
            consumer = consumer_wire.session(resumption).await.unwrap();
        }
        consumer.call(sequence, get.clone());
        let items = vec![queue::Item { data: vec![sequence as u8].into(), ..Default::default() }];
        let put = queue::PutRequest { fence: None, object: object("jobs"), wait_ms: 0, items };
        producer.ask(1 + sequence, queue_command(queue::command::Verb::Put(put))).await;
        let Reply::Queue(queue::Reply { verb: Some(queue::reply::Verb::Get(reply)) }) = consumer.answer(sequence).await else {
            panic!("a get is answered with items");
        };
        let got: Vec<_> = reply.items.iter().map(|item| (item.data.to_vec(), item.attempt)).collect();
        assert_eq!(got, [(vec![sequence as u8], 1)], "each get has its one item, however often it was sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r06_the_sdk_counts_right_over_a_network_that_loses_replies() {
    const CALLS: i64 = 400;
    let broker = Broker::start();
    let proxy = Proxy::start(&broker).await;
    let manager = Manager::connect(proxy.address(), broker.authkey()).await.unwrap();
    let kv: Kv<i64> = manager.kv("settings").create().await.unwrap();
    let queue: Queue<i64> = manager.queue("jobs").create().await.unwrap();
    proxy.lose_replies_after(6000);
    let work = async {
        for n in 1..=CALLS {
            assert_eq!(kv.incr("n", 1).await.unwrap(), n, "no call counted twice");
            queue.put(n).await.unwrap();
            let lease = queue.get().await.unwrap();
            assert_eq!((*lease, lease.attempt()), (n, 1), "no item twice, none left out");
            lease.done().await.unwrap();
        }
    };
    timeout(PATIENCE, work).await.expect("the work ends");
    proxy.lose_replies_after(0);
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.put, stats.done, stats.unfinished), (CALLS as u64, CALLS as u64, 0));
    assert!(proxy.cuts() > 0, "the network did lose replies");
    figure("R06", format!("calls of the SDK {}, connections cut {}, double effects 0", 4 * CALLS, proxy.cuts()));
}
