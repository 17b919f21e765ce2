//! A client of the bare contract, as anybody could write it: HTTP/2 on a socket, the handshake, any rpc by its path, the session
//! stream frame by frame. It repairs nothing, and it can vanish without a word.

use crate::harness::{Broker, PATIENCE};
use bursar_proto::{
    AuthKey, Fault,
    authkey::{self, Transcript},
    frame,
    v1::{self, call, channel, client_entry, kv, queue, registry, server_entry, topic},
};
use bytes::Bytes;
use http::{Uri, uri::PathAndQuery};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::TokioIo;
use prost::Message;
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Request, Status, Streaming,
    body::Body,
    client::Grpc,
    metadata::{Binary, MetadataValue},
};
use tonic_prost::ProstCodec;

/// The metadata entry that carries a credential.
pub type Credential = MetadataValue<Binary>;

/// One connection.
pub struct Wire {
    pub requests: http2::SendRequest<Body>,
    pub credential: Option<Credential>,
    tasks: Tasks,
}

/// Everything that drives a connection, to be ended in one moment.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut tasks = self.0.lock().unwrap();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            future.await;
        });
    }
}

impl Drop for Wire {
    /// The socket closes at once, whatever is under way.
    fn drop(&mut self) {
        self.tasks.0.lock().unwrap().abort_all();
    }
}

/// A handshake that is half done.
pub struct Greeting {
    pub hello: v1::HelloRequest,
    pub reply: v1::HelloReply,
}

impl Greeting {
    pub fn transcript(&self) -> [u8; 32] {
        let transcript = Transcript {
            key_id: &self.hello.key_id,
            client_nonce: &self.hello.client_nonce,
            server_nonce: &self.reply.server_nonce,
            handshake_id: &self.reply.handshake_id,
            server_id: &self.reply.server_id,
            boot_epoch: self.reply.boot_epoch,
            binding: &self.hello.binding,
            binding_data: &[],
        };
        transcript.hash()
    }

    pub fn prove(&self, key: &AuthKey) -> v1::ProveRequest {
        self.prove_with(&key.client_proof(&self.transcript()))
    }

    pub fn prove_with(&self, proof: &[u8]) -> v1::ProveRequest {
        v1::ProveRequest { handshake_id: self.reply.handshake_id.clone(), client_proof: proof.to_vec().into() }
    }

    pub fn credential(&self, key: &AuthKey) -> Vec<u8> {
        [&self.reply.handshake_id[..], &key.token(&self.transcript())].concat()
    }
}

/// A right `Hello`.
pub fn hello(key_id: &str) -> v1::HelloRequest {
    v1::HelloRequest {
        version: authkey::VERSION,
        key_id: key_id.into(),
        client_nonce: authkey::random::<32>().to_vec().into(),
        binding: "none".into(),
    }
}

impl Wire {
    pub async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Wire {
        let tasks = Tasks::default();
        let (requests, connection) = http2::handshake(tasks.clone(), TokioIo::new(io)).await.unwrap();
        hyper::rt::Executor::execute(&tasks, async move {
            let _ = connection.await;
        });
        Wire { requests, credential: None, tasks }
    }

    /// Connected, and nothing proved.
    pub async fn stranger(broker: &Broker) -> Wire {
        Wire::over(UnixStream::connect(broker.socket()).await.unwrap()).await
    }

    /// As [`Wire::stranger`], by TCP.
    pub async fn stranger_by_tcp(broker: &Broker) -> Wire {
        let stream = TcpStream::connect(&broker.tcp()["tcp://".len()..]).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire::over(stream).await
    }

    /// Connected, and the broker's key proved.
    pub async fn proven(broker: &Broker) -> Wire {
        let mut wire = Wire::stranger(broker).await;
        wire.shake_hands(&broker.authkey()).await;
        wire
    }

    /// As [`Wire::proven`], by TCP: the broker sees no process behind it.
    pub async fn proven_by_tcp(broker: &Broker) -> Wire {
        let mut wire = Wire::stranger_by_tcp(broker).await;
        wire.shake_hands(&broker.authkey()).await;
        wire
    }

    pub async fn greet(&self, hello: v1::HelloRequest) -> Result<Greeting, Status> {
        let reply = self.unary("/bursar.v1.Auth/Hello", hello.clone()).await?;
        Ok(Greeting { hello, reply })
    }

    pub async fn prove(&self, request: v1::ProveRequest) -> Result<v1::ProveReply, Status> {
        self.unary("/bursar.v1.Auth/Prove", request).await
    }

    pub async fn shake_hands(&mut self, key: &AuthKey) {
        let greeting = self.greet(hello(key.id())).await.unwrap();
        self.prove(greeting.prove(key)).await.unwrap();
        self.credential = Some(Credential::from_bytes(&greeting.credential(key)));
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(credential) = &self.credential {
            request.metadata_mut().insert_bin("bursar-session-bin", credential.clone());
        }
        request
    }

    /// One rpc. Dropping the future resets its stream.
    pub async fn unary<T, R>(&self, path: &'static str, message: T) -> Result<R, Status>
    where
        T: Message + 'static,
        R: Message + Default + 'static,
    {
        let mut grpc = Grpc::with_origin(Channel(self.requests.clone()), origin());
        let path = PathAndQuery::from_static(path);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        grpc.unary(self.request(message), path, ProstCodec::default()).await.map(|reply| reply.into_inner())
    }

    /// The session stream.
    pub async fn session(&self, open: v1::Open) -> Result<Stream, Status> {
        let (to, frames) = mpsc::unbounded_channel();
        let first = v1::ClientEntry { sequence: 0, entry: Some(client_entry::Entry::Open(open)) };
        to.send(frame::ClientFrame { entries: vec![first.encode_to_vec().into()], heard: vec![] }).unwrap();
        let mut grpc = Grpc::with_origin(Channel(self.requests.clone()), origin());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static("/bursar.v1.Sessions/Session");
        let request = self.request(UnboundedReceiverStream::new(frames));
        let from = grpc.streaming(request, path, ProstCodec::default()).await?.into_inner();
        let mut stream = Stream {
            to,
            from,
            opened: v1::Opened::default(),
            answers: BTreeMap::new(),
            ended: None,
            is_leaving: false,
            part_bytes: 0,
        };
        while stream.opened.session_id == 0 && stream.ended.is_none() {
            stream.read().await.map_err(Status::unavailable)?;
        }
        Ok(stream)
    }

    /// A new session.
    pub async fn new_session(&self) -> Stream {
        self.session(v1::Open { label: "attack".into(), ..v1::Open::default() }).await.unwrap()
    }
}

/// The session stream of one connection.
pub struct Stream {
    to: mpsc::UnboundedSender<frame::ClientFrame>,
    from: Streaming<frame::ServerFrame>,
    pub opened: v1::Opened,
    /// Encoded entries as they came.
    pub answers: BTreeMap<u64, Bytes>,
    pub ended: Option<Fault>,
    /// The broker said that it is about to stop.
    pub is_leaving: bool,
    /// Bytes of answers that came in parts; they are only counted.
    pub part_bytes: u64,
}

impl Stream {
    pub fn entry(&self, sequence: u64, entry: client_entry::Entry) {
        let entry = v1::ClientEntry { sequence, entry: Some(entry) };
        // Who has been cut off may not know yet.
        let _ = self.to.send(frame::ClientFrame { entries: vec![entry.encode_to_vec().into()], heard: vec![] });
    }

    /// Many calls in one frame.
    pub fn calls(&self, calls: impl IntoIterator<Item = (u64, call::Command)>) {
        let encode = |(sequence, command)| {
            let call = client_entry::Entry::Call(v1::Call { command: Some(command) });
            v1::ClientEntry { sequence, entry: Some(call) }.encode_to_vec().into()
        };
        let _ = self.to.send(frame::ClientFrame { entries: calls.into_iter().map(encode).collect(), heard: vec![] });
    }

    pub fn call(&self, sequence: u64, command: call::Command) {
        self.entry(sequence, client_entry::Entry::Call(v1::Call { command: Some(command) }));
    }

    /// The answer to a call, as it came.
    pub async fn answer_bytes(&mut self, sequence: u64) -> Bytes {
        loop {
            if let Some(answer) = self.answers.remove(&sequence) {
                return answer;
            }
            timeout(PATIENCE, self.read()).await.expect("an answer comes").unwrap();
        }
    }

    pub async fn answer(&mut self, sequence: u64) -> v1::answer::Reply {
        reply_in(&self.answer_bytes(sequence).await)
    }

    /// Calls, and waits for the answer.
    pub async fn ask(&mut self, sequence: u64, command: call::Command) -> v1::answer::Reply {
        self.call(sequence, command);
        self.answer(sequence).await
    }

    /// What is needed to resume, with the answers to these calls unheard.
    pub fn resumption(&self, unheard: &[u64]) -> v1::Open {
        v1::Open {
            session_id: self.opened.session_id,
            token: self.opened.token.clone(),
            epoch: self.opened.epoch,
            unheard: unheard.iter().map(|sequence| v1::Range { first: *sequence, count: 1 }).collect(),
            ..v1::Open::default()
        }
    }

    /// Reads one frame; the error says how the stream ended.
    pub async fn read(&mut self) -> Result<(), String> {
        if let Some(fault) = &self.ended {
            return Err(format!("the session stream had ended: {fault}"));
        }
        let frame = self.from.message().await.map_err(|status| status.to_string())?;
        for bytes in frame.ok_or("the broker ended the stream")?.entries {
            let entry = v1::ServerEntry::decode(bytes.clone()).unwrap();
            match entry.entry {
                Some(server_entry::Entry::Opened(opened)) => self.opened = opened,
                Some(server_entry::Entry::Answer(_)) => drop(self.answers.insert(entry.sequence, bytes)),
                Some(server_entry::Entry::Ended(fault)) => self.ended = Some(fault.into()),
                Some(server_entry::Entry::GoingAway(_)) => self.is_leaving = true,
                Some(server_entry::Entry::Part(part)) => self.part_bytes += part.data.len() as u64,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads until the stream is over, and says why.
    pub async fn end(&mut self) -> String {
        loop {
            if let Err(why) = timeout(PATIENCE, self.read()).await.expect("the stream ends") {
                return why;
            }
        }
    }
}

/// The reply in an encoded answer.
pub fn reply_in(entry: &[u8]) -> v1::answer::Reply {
    match v1::ServerEntry::decode(entry).unwrap().entry {
        Some(server_entry::Entry::Answer(v1::Answer { reply: Some(reply) })) => reply,
        other => panic!("expected an answer, got {other:?}"),
    }
}

pub fn queue_command(verb: queue::command::Verb) -> call::Command {
    call::Command::Queue(queue::Command { verb: Some(verb) })
}

pub fn kv_command(verb: kv::command::Verb) -> call::Command {
    call::Command::Kv(kv::Command { verb: Some(verb) })
}

pub fn channel_command(verb: channel::command::Verb) -> call::Command {
    call::Command::Channel(channel::Command { verb: Some(verb) })
}

pub fn topic_command(verb: topic::command::Verb) -> call::Command {
    call::Command::Topic(topic::Command { verb: Some(verb) })
}

pub fn registry_command(verb: registry::command::Verb) -> call::Command {
    call::Command::Registry(registry::Command { verb: Some(verb) })
}

/// The object of this name, whatever its epoch.
pub fn object(name: &str) -> Option<v1::ObjectRef> {
    Some(v1::ObjectRef { name: name.into(), epoch: 0 })
}

/// The fault in a refused unary call.
pub fn fault_of(status: &Status) -> Option<Fault> {
    let fault = v1::Fault::decode(status.details()).ok()?;
    (fault.number != 0).then(|| fault.into())
}

/// Every rpc of the contract, as `/package.Service/Method`.
pub fn rpcs() -> Vec<String> {
    let files = FileSet::decode(bursar_proto::DESCRIPTORS).unwrap().files;
    let services = files.iter().flat_map(|file| file.services.iter().map(move |service| (&file.package, service)));
    let paths = services.flat_map(|(package, service)| {
        service.methods.iter().map(move |method| format!("/{package}.{}/{}", service.name, method.name))
    });
    paths.collect()
}

/// `google.protobuf.FileDescriptorSet`, as far as it is needed here.
#[derive(Clone, PartialEq, Message)]
struct FileSet {
    #[prost(message, repeated, tag = "1")]
    files: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    services: Vec<Service>,
}

#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<Method>,
}

#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
}

/// Only the path of a request means anything to a broker.
pub fn origin() -> Uri {
    Uri::from_static("http://bursar")
}

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
