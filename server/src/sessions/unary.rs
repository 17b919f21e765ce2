//! One rpc per verb, for any gRPC client without the stream.
//!
//! A connection has one implicit session for its unary calls: what they hold is given back when the connection closes. A call whose
//! client hangs up is cancelled; what it was about to receive is taken back.

use super::{session::Session, table::Table};
use crate::{
    faults,
    objects::{
        core::CallId,
        door::Routed,
        host::{Hosted, Inbox, Ticket},
        kind::SessionId,
    },
    transport::Connection,
};
use bursar_proto::{
    Fault, Wait, limits,
    v1::{
        answer,
        array::{self, array_server::Array},
        barrier::{self, barrier_server::Barrier},
        call,
        channel::{self, channel_server::Channel},
        condition::{self, condition_server::Condition},
        counter::{self, counter_server::Counter},
        event::{self, event_server::Event},
        kv::{self, kv_server::Kv},
        latch::{self, latch_server::Latch},
        list::{self, list_server::List},
        lock::{self, lock_server::Lock},
        object::{self, object_server::Object},
        queue::{self, queue_server::Queue},
        registry::{self, registry_server::Registry},
        rwlock::{self, rwlock_server::Rwlock},
        semaphore::{self, semaphore_server::Semaphore},
        topic::{self, topic_server::Topic},
        txn::{self, txn_server::Txn},
    },
};
use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

/// All unary services.
#[derive(Clone)]
pub struct Unary {
    /// All sessions.
    pub table: Arc<Table>,
}

/// One call under way. Dropped with the handler's future, which tonic drops when its client hangs up.
struct UnaryCall {
    id: CallId,
    /// `None`: it is for several objects, and gives nothing that could be taken back.
    host: Option<Weak<dyn Hosted>>,
    inbox: Arc<OneAnswer>,
    answer: oneshot::Receiver<Result<answer::Reply, Fault>>,
    is_over: bool,
}

struct OneAnswer {
    session: Arc<Session>,
    host: Option<Weak<dyn Hosted>>,
    /// Taken by the answer or by the end of the call, whichever comes first; the answer is sent under this lock.
    sender: Mutex<Option<oneshot::Sender<Result<answer::Reply, Fault>>>>,
}

impl Inbox for OneAnswer {
    fn deliver(&self, _sequence: u64, result: Result<answer::Reply, Fault>) {
        let mut sender = self.sender.lock();
        let unsent = match sender.take() {
            Some(sender) => sender.send(result).err(),
            None => Some(result),
        };
        drop(sender);
        // The call is gone, so that what its answer gave is taken back.
        if let (Some(Ok(reply)), Some(host)) = (unsent, self.host.as_ref().and_then(Weak::upgrade)) {
            host.unheard(self.session.id, reply);
        }
    }

    fn has_ended(&self) -> bool {
        self.session.has_ended()
    }
}

impl Drop for UnaryCall {
    fn drop(&mut self) {
        let Some(host) = self.host.as_ref().and_then(Weak::upgrade).filter(|_| !self.is_over) else { return };
        if host.cancel(self.id) {
            return;
        }
        // From here on nothing can be delivered any more; what was delivered before is taken back.
        self.inbox.sender.lock().take();
        if let Ok(Ok(reply)) = self.answer.try_recv() {
            host.unheard(self.id.session, reply);
        }
    }
}

impl UnaryCall {
    fn new(connection: &Connection, session: Arc<Session>, host: Option<&Arc<dyn Hosted>>) -> (UnaryCall, Ticket) {
        let id = CallId { session: session.id, sequence: connection.next_sequence() };
        let (sender, answer) = oneshot::channel();
        let host = host.map(Arc::downgrade);
        let inbox = Arc::new(OneAnswer { session, host: host.clone(), sender: Mutex::new(Some(sender)) });
        let ticket = Ticket { call: id, inbox: inbox.clone() };
        (UnaryCall { id, host, inbox, answer, is_over: false }, ticket)
    }

    async fn answer(&mut self) -> Result<answer::Reply, Fault> {
        let result = (&mut self.answer).await;
        self.is_over = true;
        result.unwrap_or_else(|_| Err(Fault::SessionEnded { reason: "the object stopped".into() }))
    }
}

impl Unary {
    async fn call(&self, connection: &Arc<Connection>, command: call::Command) -> Result<answer::Reply, Fault> {
        let session = connection.implicit_session(|| self.table.open_unary(connection))?;
        match self.table.door.route(Some(command))? {
            Routed::Names(verb) => self.table.name(&session, verb),
            Routed::Object(host, command, wait, fence) => {
                session.touch(&host);
                let (mut call, ticket) = UnaryCall::new(connection, session, Some(&host));
                self.table.door.call(&*host, ticket, command, wait, fence);
                let reply = call.answer().await?;
                fitting(&*host, call.id.session, reply)
            }
            Routed::Several(transaction) => {
                transaction.hosts().iter().for_each(|host| session.touch(host));
                let (mut call, ticket) = UnaryCall::new(connection, session, None);
                self.table.door.execute(transaction, ticket);
                call.answer().await
            }
        }
    }

    /// Makes the command, and takes the reply of the same verb.
    async fn verb<T, R>(
        &self,
        request: Request<T>,
        command: impl FnOnce(T) -> call::Command,
        reply: impl FnOnce(answer::Reply) -> Option<R>,
    ) -> Result<Response<R>, Status> {
        let connection = connection_of(&request);
        match self.call(&connection, command(request.into_inner())).await {
            Ok(answer) => Ok(Response::new(reply(answer).expect("a verb is answered with its own reply"))),
            Err(fault) => Err(faults::status(&fault)),
        }
    }
}

/// A reply that no unary message can carry would never arrive: what it gave is taken back, and the caller is told.
fn fitting(host: &dyn Hosted, caller: SessionId, reply: answer::Reply) -> Result<answer::Reply, Fault> {
    use kv::reply::Verb::{Delete, Put};
    use list::reply::Verb::Pop;
    let limit = limits::MESSAGE_BYTES_MAX;
    let size = reply.encoded_len();
    // What these have done stays done: no fault may say otherwise, and the transport's own error does not.
    let has_changed = matches!(
        &reply,
        answer::Reply::Kv(kv::Reply { verb: Some(Put(_) | Delete(_)) }) | answer::Reply::List(list::Reply { verb: Some(Pop(_)) })
    );
    if size <= limit || has_changed {
        return Ok(reply);
    }
    if let answer::Reply::Object(object::Reply { verb: Some(object::reply::Verb::Invoke(_)) }) = &reply {
        return Err(Fault::ResultTooLarge { size: size as u64, limit: limit as u64 });
    }
    host.unheard(caller, reply);
    let what = "the reply, which a unary call must carry in one message (the session stream does not),".into();
    Err(Fault::TooLarge { what, size: size as u64, limit: limit as u64 })
}

fn connection_of<T>(request: &Request<T>) -> Arc<Connection> {
    request.extensions().get::<Arc<Connection>>().cloned().expect("the gate adds the connection")
}

macro_rules! verbs {
    ($module:ident $kind:ident { $($rest:tt)* }: $($method:ident $variant:ident $request:ident $reply:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl $kind for Unary {
            $(
                async fn $method(
                    &self,
                    request: Request<$module::$request>,
                ) -> Result<Response<$module::$reply>, Status> {
                    let command = |request| call::Command::$kind($module::Command {
                        verb: Some($module::command::Verb::$variant(request)),
                    });
                    self.verb(request, command, |reply| match reply {
                        answer::Reply::$kind($module::Reply { verb: Some($module::reply::Verb::$variant(reply)) }) => Some(reply),
                        _ => None,
                    })
                    .await
                }
            )*
            $($rest)*
        }
    };
}

verbs!(registry Registry {}:
    open Open OpenRequest OpenReply,
    list List ListRequest ListReply,
    describe Describe DescribeRequest DescribeReply,
    delete Delete DeleteRequest DeleteReply,
    status Status StatusRequest StatusReply,
    waits Waits WaitsRequest WaitsReply,
    close Close CloseRequest CloseReply,
);

verbs!(queue Queue {}:
    put Put PutRequest PutReply,
    get Get GetRequest GetReply,
    start Start StartRequest StartReply,
    done Done DoneRequest DoneReply,
    r#return Return ReturnRequest ReturnReply,
    park Park ParkRequest ParkReply,
    unpark Unpark UnparkRequest UnparkReply,
    discard Discard DiscardRequest DiscardReply,
    parked Parked ParkedRequest ParkedReply,
    join Join JoinRequest JoinReply,
    close Close CloseRequest CloseReply,
    stats Stats StatsRequest StatsReply,
    peek Peek PeekRequest PeekReply,
    purge Purge PurgeRequest PurgeReply,
    pause Pause PauseRequest PauseReply,
    cancel Cancel CancelRequest CancelReply,
    cancelling Cancelling CancellingRequest CancellingReply,
);

verbs!(kv Kv {
        type WatchStream = BoxStream<'static, Result<kv::NextReply, Status>>;

        async fn watch(&self, request: Request<kv::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
            let connection = connection_of(&request);
            let watch = Watch { unary: self.clone(), connection, request: request.into_inner(), known: Default::default() };
            Ok(Response::new(watch.stream()))
        }
    }:
    get Get GetRequest GetReply,
    put Put PutRequest PutReply,
    set_default SetDefault SetDefaultRequest SetDefaultReply,
    delete Delete DeleteRequest DeleteReply,
    contains Contains ContainsRequest ContainsReply,
    len Len LenRequest LenReply,
    scan Scan ScanRequest ScanReply,
    clear Clear ClearRequest ClearReply,
    incr Incr IncrRequest IncrReply,
    expire Expire ExpireRequest ExpireReply,
    next Next NextRequest NextReply,
);

verbs!(lock Lock {}:
    acquire Acquire AcquireRequest AcquireReply,
    release Release ReleaseRequest ReleaseReply,
);

verbs!(rwlock Rwlock {}:
    acquire Acquire AcquireRequest AcquireReply,
    release Release ReleaseRequest ReleaseReply,
    downgrade Downgrade DowngradeRequest DowngradeReply,
);

verbs!(semaphore Semaphore {}:
    acquire Acquire AcquireRequest AcquireReply,
    release Release ReleaseRequest ReleaseReply,
    add Add AddRequest AddReply,
);

verbs!(event Event {}:
    set Set SetRequest SetReply,
    clear Clear ClearRequest ClearReply,
    get Get GetRequest GetReply,
    wait Wait WaitRequest WaitReply,
);

verbs!(latch Latch {}:
    count_down CountDown CountDownRequest CountDownReply,
    get Get GetRequest GetReply,
    wait Wait WaitRequest WaitReply,
);

verbs!(condition Condition {}:
    acquire Acquire AcquireRequest AcquireReply,
    release Release ReleaseRequest ReleaseReply,
    wait Wait WaitRequest WaitReply,
    notify Notify NotifyRequest NotifyReply,
);

verbs!(barrier Barrier {}:
    wait Wait WaitRequest WaitReply,
    abort Abort AbortRequest AbortReply,
    reset Reset ResetRequest ResetReply,
    get Get GetRequest GetReply,
);

verbs!(counter Counter {}:
    get Get GetRequest GetReply,
    add Add AddRequest AddReply,
    set Set SetRequest SetReply,
    compare_and_set CompareAndSet CompareAndSetRequest CompareAndSetReply,
);

verbs!(list List {}:
    get Get GetRequest GetReply,
    read Read ReadRequest ReadReply,
    set Set SetRequest SetReply,
    replace Replace ReplaceRequest ReplaceReply,
    extend Extend ExtendRequest ExtendReply,
    insert Insert InsertRequest InsertReply,
    pop Pop PopRequest PopReply,
    delete Delete DeleteRequest DeleteReply,
    remove Remove RemoveRequest RemoveReply,
    index Index IndexRequest IndexReply,
    count Count CountRequest CountReply,
    reverse Reverse ReverseRequest ReverseReply,
    len Len LenRequest LenReply,
);

verbs!(array Array {}:
    get Get GetRequest GetReply,
    set Set SetRequest SetReply,
    add Add AddRequest AddReply,
);

verbs!(channel Channel {}:
    attach Attach AttachRequest AttachReply,
    detach Detach DetachRequest DetachReply,
    send Send SendRequest SendReply,
    receive Receive ReceiveRequest ReceiveReply,
    done Done DoneRequest DoneReply,
    close Close CloseRequest CloseReply,
    stats Stats StatsRequest StatsReply,
);

verbs!(topic Topic {}:
    publish Publish PublishRequest PublishReply,
    answer Answer AnswerRequest AnswerReply,
    subscribe Subscribe SubscribeRequest SubscribeReply,
    unsubscribe Unsubscribe UnsubscribeRequest UnsubscribeReply,
    next Next NextRequest NextReply,
    done Done DoneRequest DoneReply,
    delete_group DeleteGroup DeleteGroupRequest DeleteGroupReply,
    stats Stats StatsRequest StatsReply,
);

verbs!(object Object {}:
    provide Provide ProvideRequest ProvideReply,
    withdraw Withdraw WithdrawRequest WithdrawReply,
    take Take TakeRequest TakeReply,
    give Give GiveRequest GiveReply,
    r#yield Yield YieldRequest YieldReply,
    invoke Invoke InvokeRequest InvokeReply,
    next Next NextRequest NextReply,
    abandon Abandon AbandonRequest AbandonReply,
    describe Describe DescribeRequest DescribeReply,
);

verbs!(txn Txn {}:
    execute Execute ExecuteRequest ExecuteReply,
);

/// `Next` in a loop, with the map read afresh where events are missing.
struct Watch {
    unary: Unary,
    connection: Arc<Connection>,
    request: kv::WatchRequest,
    /// Keys that the last reading of the map showed newer than the events that are still to come.
    known: std::collections::HashMap<String, u64>,
}

impl Watch {
    fn stream(self) -> BoxStream<'static, Result<kv::NextReply, Status>> {
        let start = match self.request.after {
            Some(after) => Step::Next { after },
            None => Step::Reset,
        };
        stream::unfold(Some((self, start)), |state| async move {
            let (mut watch, step) = state?;
            match watch.step(step).await {
                Ok((reply, step)) => Some((Ok(reply), Some((watch, step)))),
                Err(fault) => Some((Err(faults::status(&fault)), None)),
            }
        })
        .boxed()
    }

    async fn step(&mut self, mut step: Step) -> Result<(kv::NextReply, Step), Fault> {
        loop {
            step = match step {
                Step::Next { after } => {
                    let reply = self.next(after, Wait::Forever).await?;
                    let after = reply.upto;
                    match (reply.reset, reply.events.is_empty()) {
                        (true, _) => Step::Reset,
                        (false, true) => Step::Next { after },
                        (false, false) => return Ok((reply, Step::Next { after })),
                    }
                }
                // What happened while the map was read is there: nothing is waited for, or a quiet map would never be synced.
                Step::CatchUp { after, target } => {
                    let mut reply = self.next(after, Wait::Never).await?;
                    if reply.reset {
                        Step::Reset
                    } else {
                        let known = &self.known;
                        reply.events.retain(|event| known.get(&event.key).is_none_or(|shown| event.revision > *shown));
                        let after = reply.upto;
                        reply.synced = after >= target;
                        let next = if reply.synced { self.followed(after) } else { Step::CatchUp { after, target } };
                        return Ok((reply, next));
                    }
                }
                Step::Reset => {
                    self.known.clear();
                    let upto = self.revision().await?;
                    let reply = kv::NextReply { events: vec![], upto, reset: true, synced: false };
                    return Ok((reply, Step::Scan { after_key: String::new(), upto }));
                }
                Step::Scan { after_key, upto } => {
                    let scanned = self.scan(after_key).await?;
                    let last = scanned.entries.last().map(|entry| entry.key.clone());
                    let target = scanned.revision;
                    let events: Vec<_> = scanned.entries.into_iter().map(|entry| self.shown(entry, upto)).collect();
                    let next = match last.filter(|_| scanned.more) {
                        Some(after_key) => Step::Scan { after_key, upto },
                        None if target > upto => Step::CatchUp { after: upto, target },
                        None => self.followed(upto),
                    };
                    let synced = matches!(next, Step::Next { .. });
                    return Ok((kv::NextReply { events, upto, reset: false, synced }, next));
                }
            }
        }
    }

    /// The map is told up to here: no event is still to come that it showed already.
    fn followed(&mut self, after: u64) -> Step {
        self.known.clear();
        Step::Next { after }
    }

    fn shown(&mut self, entry: kv::Entry, upto: u64) -> kv::Event {
        let revision = entry.modify_revision;
        if revision > upto {
            self.known.insert(entry.key.clone(), revision);
        }
        kv::Event { revision, key: entry.key.clone(), entry: Some(entry), cause: "put".into() }
    }

    async fn ask(&self, verb: kv::command::Verb) -> Result<kv::reply::Verb, Fault> {
        let reply = self.unary.call(&self.connection, call::Command::Kv(kv::Command { verb: Some(verb) })).await?;
        match reply {
            answer::Reply::Kv(kv::Reply { verb: Some(verb) }) => Ok(verb),
            _ => unreachable!("a kv answers as a kv"),
        }
    }

    async fn next(&self, after: u64, wait: Wait) -> Result<kv::NextReply, Fault> {
        let (object, prefix) = (self.request.object.clone(), self.request.prefix.clone());
        let request = kv::NextRequest { object, wait_ms: wait.to_ms(), prefix, after, limit: 0 };
        match self.ask(kv::command::Verb::Next(request)).await? {
            kv::reply::Verb::Next(reply) => Ok(reply),
            _ => unreachable!("Next is answered with its own reply"),
        }
    }

    async fn revision(&self) -> Result<u64, Fault> {
        let (object, prefix) = (self.request.object.clone(), self.request.prefix.clone());
        match self.ask(kv::command::Verb::Len(kv::LenRequest { object, prefix })).await? {
            kv::reply::Verb::Len(reply) => Ok(reply.revision),
            _ => unreachable!("Len is answered with its own reply"),
        }
    }

    async fn scan(&self, after: String) -> Result<kv::ScanReply, Fault> {
        let (object, prefix) = (self.request.object.clone(), self.request.prefix.clone());
        let request = kv::ScanRequest { object, prefix, after, limit: 0, keys_only: false };
        match self.ask(kv::command::Verb::Scan(request)).await? {
            kv::reply::Verb::Scan(reply) => Ok(reply),
            _ => unreachable!("Scan is answered with its own reply"),
        }
    }
}

enum Step {
    Next { after: u64 },
    Reset,
    Scan { after_key: String, upto: u64 },
    CatchUp { after: u64, target: u64 },
}
