//! From an address to a connection that both ends have proved themselves on: socket, HTTP/2, handshake.
//!
//! What travels on it afterwards is the session's business. There is no TLS yet; its place is between socket and HTTP/2, and its
//! certificate hash is the binding's data.

use crate::{Error, Result, quiet::QuietStream};
use bursar_proto::{
    Address, AuthKey, Fault,
    authkey::{self, Transcript},
    limits,
    v1::{self, auth_client::AuthClient, sessions_client::SessionsClient},
};
use http::Uri;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use std::{
    fmt, io,
    os::unix::fs::MetadataExt,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use tonic::{Status, body::Body, metadata::MetadataValue};
use tower_service::Service;

/// Half-open peers are found within the sum of both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A few of the largest frames may be on their way; the sum over all streams is a little more than one connection can use.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Of HTTP/2, not of the session: a whole one of the session's in one piece wakes this process once, sixteen of the default size
/// wake it sixteen times.
const DATA_FRAME_BYTES_MAX: u32 = 512 << 10;

/// A byte stream to a broker.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<I: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for I {}

/// A byte stream of any make.
pub type BoxIo = Box<dyn Io>;

/// Makes byte streams to one broker, for transports that have no [`Address`]; a new one is asked for after each lost connection.
///
/// It is polled on the session's own thread, inside a tokio runtime with timers and I/O. Every closure of the right shape is one:
///
/// ```no_run
/// use bursar::{AuthKey, BoxIo, Manager};
///
/// # async fn run() -> Result<(), bursar::Error> {
/// let connector = || async {
///     let stream = tokio::net::TcpStream::connect("127.0.0.1:7878").await?;
///     Ok(Box::new(stream) as BoxIo)
/// };
/// let manager = Manager::builder().connector(connector).authkey(AuthKey::from_file("key")?).connect().await?;
/// # Ok(())
/// # }
/// ```
pub trait Connector: Send + Sync + 'static {
    /// One new byte stream.
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + '_>>;
}

impl<C, F> Connector for C
where
    C: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<BoxIo>> + Send + 'static,
{
    fn connect(&self) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + '_>> {
        Box::pin(self())
    }
}

/// Where the broker is.
#[derive(Clone)]
pub(crate) enum Target {
    Address(Address),
    Connector(Arc<dyn Connector>),
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(formatter),
            Target::Connector(_) => formatter.write_str("the broker behind the connector"),
        }
    }
}

impl Target {
    /// How the handshake is tied to the channel.
    fn binding(&self) -> &'static str {
        match self {
            Target::Address(Address::Unix(_)) => "unix",
            Target::Address(Address::Tcp { .. }) | Target::Connector(_) => "none",
        }
    }

    async fn open(&self) -> Result<BoxIo> {
        match self {
            Target::Address(Address::Unix(path)) => {
                check_directory(path)?;
                let stream = UnixStream::connect(path).await.and_then(QuietStream::new);
                Ok(Box::new(stream.map_err(|source| self.unreachable(source))?))
            }
            Target::Address(Address::Tcp { host, port }) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|source| self.unreachable(source))?;
                stream.set_nodelay(true).map_err(|source| self.unreachable(source))?;
                Ok(Box::new(stream))
            }
            Target::Connector(connector) => connector.connect().await.map_err(|source| self.unreachable(source)),
        }
    }

    pub fn unreachable(&self, source: io::Error) -> Error {
        Error::Unreachable { address: self.to_string(), source }
    }

    /// The connection was made, and ended before both ends had proved themselves. A broker does so without a word when too many
    /// others have proved nothing yet.
    fn turned_away(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.unreachable(io::Error::new(io::ErrorKind::ConnectionAborted, why))
    }

    pub fn timed_out(&self, after: Duration) -> Error {
        self.unreachable(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {after:?}")))
    }
}

/// Whoever may write to the directory may replace the socket. In a sticky one (`/tmp`) only the socket's owner may.
fn check_directory(socket: &Path) -> Result<()> {
    let directory = socket.parent().expect("the path of a Unix address is absolute and names a file");
    // A directory that cannot be seen is reported by the attempt to connect.
    let Ok(metadata) = directory.metadata() else { return Ok(()) };
    let (mode, owner, user) = (metadata.mode() & 0o7777, metadata.uid(), rustix::process::geteuid().as_raw());
    let problem = match () {
        _ if mode & 0o1000 != 0 => return Ok(()),
        _ if mode & 0o002 != 0 => {
            format!("everybody can write there (mode {mode:o}): run `chmod o-w` on it, or use another directory")
        }
        _ if owner != user && owner != 0 => format!("it belongs to user {owner}, not to this user ({user}) or root"),
        _ => return Ok(()),
    };
    Err(Error::UnsafeDirectory { path: directory.into(), problem })
}

/// A task that ends with its owner.
pub(crate) struct Owned(JoinHandle<()>);

impl Owned {
    pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Owned {
        Owned(tokio::spawn(task))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// HTTP/2 on one byte stream, as generated clients want it.
#[derive(Clone)]
pub(crate) struct Channel(http2::SendRequest<Body>);

impl Service<http::Request<Body>> for Channel {
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

/// A connection; nothing is proved yet.
pub(crate) struct Connection {
    channel: Channel,
    target: Target,
    _driver: Owned,
}

/// What every later rpc on the connection carries.
pub(crate) struct Credential {
    handshake_id: bytes::Bytes,
    token: [u8; 32],
    pub expires_in: Duration,
}

impl Credential {
    /// The value of the metadata entry `bursar-session-bin`.
    pub fn attach<T>(&self, request: &mut tonic::Request<T>) {
        let value = MetadataValue::from_bytes(&[&self.handshake_id[..], &self.token].concat());
        request.metadata_mut().insert_bin("bursar-session-bin", value);
    }
}

/// Proves keys on one connection, again and again where the credential is to be renewed.
#[derive(Clone)]
pub(crate) struct Prover {
    client: AuthClient<Channel>,
    target: Target,
    authkey: AuthKey,
}

impl Connection {
    pub async fn open(target: &Target) -> Result<Connection> {
        let io = target.open().await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(DATA_FRAME_BYTES_MAX)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| target.turned_away(error))?;
        let driver = Owned::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(Connection { channel: Channel(sender), target: target.clone(), _driver: driver })
    }

    pub fn prover(&self, authkey: &AuthKey) -> Prover {
        let client = AuthClient::with_origin(self.channel.clone(), origin())
            .max_decoding_message_size(limits::AUTH_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(limits::AUTH_MESSAGE_BYTES_MAX);
        Prover { client, target: self.target.clone(), authkey: authkey.clone() }
    }

    pub fn sessions(&self) -> SessionsClient<Channel> {
        SessionsClient::with_origin(self.channel.clone(), origin())
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
    }
}

/// Only the path of a request means anything to a broker.
fn origin() -> Uri {
    Uri::from_static("http://bursar")
}

impl Prover {
    /// Proves the key to the broker, then has the broker prove it; nothing else is sent on the connection before.
    pub async fn shake_hands(&mut self) -> Result<Credential> {
        let binding = self.target.binding();
        let client_nonce = authkey::random::<{ authkey::NONCE_BYTES }>();
        let hello = v1::HelloRequest {
            version: authkey::VERSION,
            key_id: self.authkey.id().to_owned(),
            client_nonce: client_nonce.to_vec().into(),
            binding: binding.to_owned(),
        };
        let hello = self.client.hello(hello).await.map_err(|status| self.refused(&status))?.into_inner();
        let transcript = Transcript {
            key_id: self.authkey.id(),
            client_nonce: &client_nonce,
            server_nonce: &hello.server_nonce,
            handshake_id: &hello.handshake_id,
            server_id: &hello.server_id,
            boot_epoch: hello.boot_epoch,
            binding,
            binding_data: &[],
        };
        let hash = transcript.hash();
        let client_proof = self.authkey.client_proof(&hash);
        let prove = v1::ProveRequest { handshake_id: hello.handshake_id.clone(), client_proof: client_proof.to_vec().into() };
        let prove = self.client.prove(prove).await.map_err(|status| self.refused(&status))?.into_inner();
        if !self.authkey.verify_server(&hash, &client_proof, &prove.server_proof) {
            return Err(Error::BrokerNotGenuine { address: self.target.to_string() });
        }
        Ok(Credential {
            handshake_id: hello.handshake_id,
            token: self.authkey.token(&hash),
            expires_in: Duration::from_millis(prove.expires_in_ms),
        })
    }

    fn refused(&self, status: &Status) -> Error {
        match fault_of(status) {
            Some(Fault::WrongKey {}) => {
                Error::WrongKey { address: self.target.to_string(), key_id: self.authkey.id().to_owned() }
            }
            Some(fault) => Error::refused(fault, "connect", ""),
            None => self.target.turned_away(describe(status)),
        }
    }
}

/// Whether another attempt may be luckier: the broker has turned away one that had proved nothing yet, or not accepted it.
pub(crate) fn was_turned_away(error: &Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, WouldBlock};
    matches!(error, Error::Unreachable { source, .. } if matches!(source.kind(), ConnectionAborted | WouldBlock))
}

/// The fault in a refused rpc; None: it comes from the transport.
pub(crate) fn fault_of(status: &Status) -> Option<Fault> {
    let fault = v1::Fault::decode(status.details()).ok()?;
    (fault.number != 0).then(|| fault.into())
}

/// A transport's error in one line, down to its cause.
pub(crate) fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
