//! Scenarios through the generated clients: one rpc for each call, one connection for each session, which is what such a session is.

use super::{
    remote::{Errand, Seat, Transport},
    script::{Call, Outcome, Part, quote},
    wire,
};
use bursar_proto::{
    Fault,
    authkey::{self, Transcript},
    v1::{
        self, answer::Reply, array::array_client::ArrayClient, auth_client::AuthClient, barrier::barrier_client::BarrierClient,
        call::Command, channel::channel_client::ChannelClient, condition::condition_client::ConditionClient,
        counter::counter_client::CounterClient, event::event_client::EventClient, kv::kv_client::KvClient,
        latch::latch_client::LatchClient, list::list_client::ListClient, lock::lock_client::LockClient,
        object::object_client::ObjectClient, queue::queue_client::QueueClient, registry::registry_client::RegistryClient,
        rwlock::rwlock_client::RwlockClient, semaphore::semaphore_client::SemaphoreClient, topic::topic_client::TopicClient,
        txn::txn_client::TxnClient,
    },
};
use bursar_server::testing::TestBroker;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use prost::Message;
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::net::TcpStream;
use tonic::{Request, Status, body::Body, metadata::MetadataValue};

/// One session of the script.
pub struct Unary {
    channel: Channel,
    credential: Vec<u8>,
    session_id: u64,
    /// By name: the epochs of the objects that it has open.
    handles: Mutex<BTreeMap<String, u64>>,
    /// To end the connection, whatever is under way on it.
    socket: std::net::TcpStream,
}

/// HTTP/2 on one connection, as generated clients want it.
#[derive(Clone)]
struct Channel(http2::SendRequest<Body>);

impl tower_service::Service<http::Request<Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

fn origin() -> http::Uri {
    http::Uri::from_static("http://bursar")
}

/// Proves the key; gives what every later rpc carries.
async fn shake_hands(channel: &Channel, broker: &TestBroker) -> Vec<u8> {
    let mut client = AuthClient::with_origin(channel.clone(), origin());
    let (key, client_nonce) = (broker.authkey(), authkey::random::<{ authkey::NONCE_BYTES }>());
    let (key_id, binding) = (key.id().to_owned(), "none".to_owned());
    let hello = v1::HelloRequest { version: authkey::VERSION, key_id, client_nonce: client_nonce.to_vec().into(), binding };
    let hello = client.hello(hello).await.expect("the broker answers").into_inner();
    let transcript = Transcript {
        key_id: key.id(),
        client_nonce: &client_nonce,
        server_nonce: &hello.server_nonce,
        handshake_id: &hello.handshake_id,
        server_id: &hello.server_id,
        boot_epoch: hello.boot_epoch,
        binding: "none",
        binding_data: &[],
    };
    let hash = transcript.hash();
    let client_proof = key.client_proof(&hash).to_vec().into();
    client.prove(v1::ProveRequest { handshake_id: hello.handshake_id.clone(), client_proof }).await.expect("the key is right");
    [&hello.handshake_id[..], &key.token(&hash)].concat()
}

impl Seat for Unary {
    const NAME: &'static str = "unary";
    const HAS: &'static [&'static str] = &["raw"];

    async fn take(_transport: Transport, broker: &TestBroker) -> Unary {
        let address = broker.tcp_address().trim_start_matches("tcp://");
        let socket = std::net::TcpStream::connect(address).expect("the broker listens");
        let own_address = socket.local_addr().expect("it is connected").to_string();
        socket.set_nodelay(true).expect("TCP can do that");
        socket.set_nonblocking(true).expect("a socket can do that");
        let stream = TcpStream::from_std(socket.try_clone().expect("a descriptor is left")).expect("it does not block");
        let handshake = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("the broker speaks HTTP/2");
        // It ends with the socket; the calls on it see how.
        tokio::spawn(async move { drop(connection.await) });
        let channel = Channel(sender);
        let credential = shake_hands(&channel, broker).await;
        let mut unary = Unary { channel, credential, session_id: 0, handles: Mutex::default(), socket };
        unary.session_id = unary.session_at(&own_address).await;
        unary
    }

    fn session_id(&self) -> u64 {
        self.session_id
    }

    async fn perform(self: Arc<Unary>, errand: Errand) -> Outcome {
        let Errand { call, letters, number: _ } = errand;
        let letter = |session: u64| letters.get(&session).cloned().unwrap_or_else(|| session.to_string());
        match self.ask(&call).await {
            Ok(reply) => wire::outcome(&call.verb, reply, &letter),
            Err(Trouble::Fault(fault)) => wire::fault(&fault),
            Err(Trouble::Lost) => Outcome::word("lost"),
            Err(Trouble::Mistake(mistake)) => Part::of(["mistake".into(), quote(&mistake)]).into(),
        }
    }

    async fn leave(&self, _broker: &TestBroker) {
        self.socket.shutdown(std::net::Shutdown::Both).expect("it is connected");
    }
}

/// Why there is no reply.
enum Trouble {
    Fault(Fault),
    /// The connection is gone.
    Lost,
    /// Of the script: this driver cannot do that.
    Mistake(String),
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Trouble {
        match v1::Fault::decode(status.details()) {
            Ok(fault) if fault.number != 0 => Trouble::Fault(fault.into()),
            _ => Trouble::Lost,
        }
    }
}

/// Sends a command as the rpc of its verb.
macro_rules! rpc {
    ($self:ident $client:ident $kind:ident $module:ident $command:ident: $($variant:ident $method:ident),* $(,)?) => {{
        let mut client = $client::with_origin($self.channel.clone(), origin());
        match $command.verb.expect("a command has a verb") {
            $( v1::$module::command::Verb::$variant(request) => {
                let reply = client.$method($self.request(request)).await?.into_inner();
                Reply::$kind(v1::$module::Reply { verb: Some(v1::$module::reply::Verb::$variant(reply)) })
            } )*
        }
    }};
}

impl Unary {
    async fn ask(&self, call: &Call) -> Result<Reply, Trouble> {
        let epoch = if wire::is_for_names(call) { 0 } else { self.handle(&call.object).await? };
        let reply = self.send(wire::command(call, epoch).map_err(Trouble::Mistake)?).await?;
        if let Some(epoch) = wire::epoch(&reply) {
            self.handles.lock().insert(call.object.clone(), epoch);
        }
        Ok(reply)
    }

    async fn handle(&self, name: &str) -> Result<u64, Trouble> {
        let known = self.handles.lock().get(name).copied();
        if let Some(epoch) = known {
            return Ok(epoch);
        }
        let reply = self.send(wire::open_as_it_is(name)).await?;
        let epoch = wire::epoch(&reply).expect("opening is answered with an epoch");
        self.handles.lock().insert(name.to_owned(), epoch);
        Ok(epoch)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert_bin("bursar-session-bin", MetadataValue::from_bytes(&self.credential));
        request
    }

    async fn send(&self, command: Command) -> Result<Reply, Trouble> {
        Ok(match command {
            Command::Registry(command) => rpc!(self RegistryClient Registry registry command:
                Open open, List list, Describe describe, Delete delete, Status status, Waits waits, Close close),
            Command::Queue(command) => rpc!(self QueueClient Queue queue command:
                Put put, Get get, Done done, Start start, Return r#return, Park park, Unpark unpark, Discard discard, Parked parked,
                Join join, Close close, Stats stats, Peek peek, Purge purge, Pause pause, Cancel cancel, Cancelling cancelling),
            Command::Kv(command) => rpc!(self KvClient Kv kv command:
                Get get, Put put, SetDefault set_default, Delete delete, Contains contains, Len len, Scan scan, Clear clear,
                Incr incr, Expire expire, Next next),
            Command::Lock(command) => rpc!(self LockClient Lock lock command: Acquire acquire, Release release),
            Command::Rwlock(command) => {
                rpc!(self RwlockClient Rwlock rwlock command: Acquire acquire, Release release, Downgrade downgrade)
            }
            Command::Semaphore(command) => {
                rpc!(self SemaphoreClient Semaphore semaphore command: Acquire acquire, Release release, Add add)
            }
            Command::Event(command) => rpc!(self EventClient Event event command: Set set, Clear clear, Get get, Wait wait),
            Command::Latch(command) => rpc!(self LatchClient Latch latch command: CountDown count_down, Get get, Wait wait),
            Command::Condition(command) => {
                rpc!(self ConditionClient Condition condition command: Acquire acquire, Release release, Wait wait, Notify notify)
            }
            Command::Barrier(command) => {
                rpc!(self BarrierClient Barrier barrier command: Wait wait, Abort abort, Reset reset, Get get)
            }
            Command::Counter(command) => {
                rpc!(self CounterClient Counter counter command: Get get, Add add, Set set, CompareAndSet compare_and_set)
            }
            Command::List(command) => {
                rpc!(self ListClient List list command: Get get, Read read, Set set, Replace replace, Extend extend, Insert insert, Pop pop, Delete delete, Remove remove, Index index, Count count, Reverse reverse, Len len)
            }
            Command::Array(command) => rpc!(self ArrayClient Array array command: Get get, Set set, Add add),
            Command::Channel(command) => {
                rpc!(self ChannelClient Channel channel command:
                    Attach attach, Detach detach, Send send, Receive receive, Done done, Close close, Stats stats)
            }
            Command::Topic(command) => {
                rpc!(self TopicClient Topic topic command:
                    Publish publish, Answer answer, Subscribe subscribe, Unsubscribe unsubscribe, Next next, Done done,
                    DeleteGroup delete_group, Stats stats)
            }
            Command::Object(command) => {
                rpc!(self ObjectClient Object object command:
                    Provide provide, Withdraw withdraw, Take take, Give give, Yield r#yield, Invoke invoke, Next next,
                    Abandon abandon, Describe describe)
            }
            Command::Txn(command) => rpc!(self TxnClient Txn txn command: Execute execute),
        })
    }

    /// The session of the connection from this address: its first rpc begins it.
    async fn session_at(&self, address: &str) -> u64 {
        let mut client = RegistryClient::with_origin(self.channel.clone(), origin());
        let status = client.status(self.request(v1::registry::StatusRequest {})).await.expect("the broker answers").into_inner();
        let own = status.sessions.iter().find(|session| session.peer.ends_with(address));
        own.unwrap_or_else(|| panic!("no session of {address} among {:?}", status.sessions)).id
    }
}
