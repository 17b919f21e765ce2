//! One call: from a request to its reply. Which bytes travel when is the outbox's business; what a verb means is the objects'.

use crate::{
    Error, Result,
    error::SessionEnded,
    session::{Reply, Session, Unsent},
};
use bursar_memory::Scattered;
use bursar_proto::{Fault, v1};
use prost::Message;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// A request of one verb, and the reply that belongs to it.
pub(crate) trait Verb {
    type Reply;
    /// `kind.verb`, for messages.
    const CALL: &'static str;
    /// The object's name; empty where the verb has none.
    fn object(&self) -> &str;
    /// As it waits to be sent.
    fn encode(self) -> Unsent;
    /// None: the reply belongs to another verb.
    fn from_reply(reply: v1::answer::Reply) -> Option<Self::Reply>;
}

macro_rules! verbs {
    ($kind:ident $module:ident: $($verb:ident $request:ident $reply:ident $call:literal $(($name:ident))?),* $(,)?) => { $(
        impl Verb for v1::$module::$request {
            type Reply = v1::$module::$reply;
            const CALL: &'static str = $call;

            fn object(&self) -> &str {
                verbs!(@object self $($name)?)
            }

            fn encode(self) -> Unsent {
                let command = v1::$module::Command { verb: Some(v1::$module::command::Verb::$verb(self)) };
                Unsent::new(&v1::Call { command: Some(v1::call::Command::$kind(command)) })
            }

            fn from_reply(reply: v1::answer::Reply) -> Option<Self::Reply> {
                match reply {
                    v1::answer::Reply::$kind(v1::$module::Reply { verb: Some(v1::$module::reply::Verb::$verb(reply)) }) => Some(reply),
                    _ => None,
                }
            }
        }
    )* };
    (@object $self:ident) => { $self.object.as_ref().map_or("", |object| &object.name) };
    (@object $self:ident name) => { &$self.name };
    (@object $self:ident none) => { "" };
}

verbs!(Registry registry: Open OpenRequest OpenReply "objects.open" (name), List ListRequest ListReply "objects.list" (none),
    Describe DescribeRequest DescribeReply "objects.describe", Delete DeleteRequest DeleteReply "objects.delete",
    Status StatusRequest StatusReply "status" (none), Waits WaitsRequest WaitsReply "objects.waits",
    Close CloseRequest CloseReply "objects.close");
verbs!(Queue queue: Put PutRequest PutReply "queue.put", Get GetRequest GetReply "queue.get", Done DoneRequest DoneReply "queue.done",
    Return ReturnRequest ReturnReply "queue.return", Park ParkRequest ParkReply "queue.park",
    Unpark UnparkRequest UnparkReply "queue.unpark", Discard DiscardRequest DiscardReply "queue.discard",
    Parked ParkedRequest ParkedReply "queue.parked", Join JoinRequest JoinReply "queue.join",
    Close CloseRequest CloseReply "queue.close", Stats StatsRequest StatsReply "queue.stats",
    Peek PeekRequest PeekReply "queue.peek", Purge PurgeRequest PurgeReply "queue.purge",
    Pause PauseRequest PauseReply "queue.pause", Cancel CancelRequest CancelReply "queue.cancel",
    Cancelling CancellingRequest CancellingReply "queue.cancelling");
verbs!(Kv kv: Get GetRequest GetReply "kv.get", Put PutRequest PutReply "kv.put",
    SetDefault SetDefaultRequest SetDefaultReply "kv.setdefault", Delete DeleteRequest DeleteReply "kv.delete",
    Contains ContainsRequest ContainsReply "kv.contains", Len LenRequest LenReply "kv.len", Scan ScanRequest ScanReply "kv.scan",
    Clear ClearRequest ClearReply "kv.clear", Incr IncrRequest IncrReply "kv.incr", Expire ExpireRequest ExpireReply "kv.expire",
    Next NextRequest NextReply "kv.watch");
verbs!(Lock lock: Acquire AcquireRequest AcquireReply "lock.acquire", Release ReleaseRequest ReleaseReply "lock.release");
verbs!(Rwlock rwlock: Acquire AcquireRequest AcquireReply "rwlock.acquire", Release ReleaseRequest ReleaseReply "rwlock.release",
    Downgrade DowngradeRequest DowngradeReply "rwlock.downgrade");
verbs!(Semaphore semaphore: Acquire AcquireRequest AcquireReply "semaphore.acquire",
    Release ReleaseRequest ReleaseReply "semaphore.release", Add AddRequest AddReply "semaphore.add");
verbs!(Condition condition: Acquire AcquireRequest AcquireReply "condition.acquire",
    Release ReleaseRequest ReleaseReply "condition.release", Wait WaitRequest WaitReply "condition.wait",
    Notify NotifyRequest NotifyReply "condition.notify");
verbs!(Event event: Set SetRequest SetReply "event.set", Clear ClearRequest ClearReply "event.clear",
    Get GetRequest GetReply "event.get", Wait WaitRequest WaitReply "event.wait");
verbs!(Latch latch: CountDown CountDownRequest CountDownReply "latch.count_down", Get GetRequest GetReply "latch.get",
    Wait WaitRequest WaitReply "latch.wait");
verbs!(Barrier barrier: Wait WaitRequest WaitReply "barrier.wait", Abort AbortRequest AbortReply "barrier.abort",
    Reset ResetRequest ResetReply "barrier.reset", Get GetRequest GetReply "barrier.get");
verbs!(Counter counter: Get GetRequest GetReply "counter.get", Add AddRequest AddReply "counter.add",
    Set SetRequest SetReply "counter.set", CompareAndSet CompareAndSetRequest CompareAndSetReply "counter.compare_and_set");
verbs!(List list: Get GetRequest GetReply "list.get", Read ReadRequest ReadReply "list.read", Set SetRequest SetReply "list.set",
    Replace ReplaceRequest ReplaceReply "list.replace", Extend ExtendRequest ExtendReply "list.extend",
    Insert InsertRequest InsertReply "list.insert", Pop PopRequest PopReply "list.pop",
    Delete DeleteRequest DeleteReply "list.delete", Remove RemoveRequest RemoveReply "list.remove",
    Index IndexRequest IndexReply "list.index", Count CountRequest CountReply "list.count",
    Reverse ReverseRequest ReverseReply "list.reverse", Len LenRequest LenReply "list.len");
verbs!(Array array: Get GetRequest GetReply "array.get", Set SetRequest SetReply "array.set",
    Add AddRequest AddReply "array.add");
verbs!(Channel channel: Attach AttachRequest AttachReply "channel.attach", Detach DetachRequest DetachReply "channel.detach",
    Send SendRequest SendReply "channel.send", Receive ReceiveRequest ReceiveReply "channel.receive",
    Done DoneRequest DoneReply "channel.done", Close CloseRequest CloseReply "channel.close",
    Stats StatsRequest StatsReply "channel.stats");
verbs!(Topic topic: Publish PublishRequest PublishReply "topic.publish", Answer AnswerRequest AnswerReply "topic.answer",
    Subscribe SubscribeRequest SubscribeReply "topic.subscribe",
    Unsubscribe UnsubscribeRequest UnsubscribeReply "topic.unsubscribe", Next NextRequest NextReply "topic.next",
    Done DoneRequest DoneReply "topic.done", DeleteGroup DeleteGroupRequest DeleteGroupReply "topic.delete_group",
    Stats StatsRequest StatsReply "topic.stats");
verbs!(Object object: Provide ProvideRequest ProvideReply "object.provide",
    Withdraw WithdrawRequest WithdrawReply "object.withdraw", Take TakeRequest TakeReply "object.take",
    Give GiveRequest GiveReply "object.give", Yield YieldRequest YieldReply "object.yield",
    Invoke InvokeRequest InvokeReply "object.invoke", Next NextRequest NextReply "object.next",
    Abandon AbandonRequest AbandonReply "object.abandon", Describe DescribeRequest DescribeReply "object.describe");
verbs!(Txn txn: Execute ExecuteRequest ExecuteReply "txn.execute" (none));

/// Waits for the reply. Dropping the future takes the call back, and whatever its reply would have given.
pub(crate) async fn call<V: Verb>(session: &Arc<Session>, request: V) -> Result<V::Reply> {
    exchange(session, request, Dropped::TakesBack).await
}

/// As [`call`], and once it is polled it is made: dropping the future leaves only its reply unseen. For what must happen exactly once,
/// such as giving back one level of a lock.
pub(crate) async fn settle<V: Verb>(session: &Arc<Session>, request: V) -> Result<V::Reply> {
    exchange(session, request, Dropped::Stands).await
}

/// What becomes of a call whose future is dropped.
#[derive(Clone, Copy)]
enum Dropped {
    TakesBack,
    Stands,
}

async fn exchange<V: Verb>(session: &Arc<Session>, request: V, dropped: Dropped) -> Result<V::Reply> {
    let object = request.object().to_owned();
    let bytes = Waiting::new(session, request.encode(), dropped)?.await?;
    let answer = v1::Answer::decode(bytes).map_err(|error| Error::protocol(format!("{}: {error}", V::CALL)))?;
    match answer.reply {
        Some(v1::answer::Reply::Fault(fault)) => match Fault::from(fault) {
            // The call came as the session ended: the same as when the session had known.
            Fault::SessionEnded { reason } => Err(SessionEnded { reason, may_have_happened: true }.into()),
            fault => Err(Error::refused(fault, V::CALL, object)),
        },
        Some(reply) => V::from_reply(reply).ok_or_else(|| Error::protocol(format!("{}: the reply of another verb", V::CALL))),
        None => Err(Error::protocol(format!("{}: an empty answer", V::CALL))),
    }
}

/// Sends a request whose reply nobody needs. Nothing happens when the session is over: then there is nothing to give back either.
pub(crate) fn tell<V: Verb>(session: &Arc<Session>, request: V) {
    session.tell(request.encode());
}

/// A call that is not answered yet.
struct Waiting {
    session: Arc<Session>,
    sequence: u64,
    receiver: oneshot::Receiver<Reply>,
    taken: bool,
    dropped: Dropped,
}

impl Waiting {
    fn new(session: &Arc<Session>, entry: Unsent, dropped: Dropped) -> Result<Waiting> {
        let (sender, receiver) = oneshot::channel();
        let sequence = session.send(entry, sender)?;
        Ok(Waiting { session: session.clone(), sequence, receiver, taken: false, dropped })
    }
}

impl Future for Waiting {
    type Output = Result<Scattered, SessionEnded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(reply) = Pin::new(&mut self.receiver).poll(context) else {
            return Poll::Pending;
        };
        self.taken = true;
        let reply = reply.expect("the session answers every call before it lets go of it");
        if reply.is_ok() {
            self.session.heard(self.sequence);
        }
        Poll::Ready(reply)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        match self.dropped {
            _ if self.taken => {}
            Dropped::TakesBack => self.session.cancel(self.sequence),
            Dropped::Stands => self.session.forget(self.sequence),
        }
    }
}
