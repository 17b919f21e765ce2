//! Listening sockets. The one place that knows how a stream of bytes comes to be; TLS would wrap it here.

use super::Peer;
use bursar_proto::Address;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::{TcpListener, UnixListener, UnixStream},
    sync::mpsc,
};

/// The kernel's line of connections that are not accepted yet: many clients may come back at once.
const BACKLOG: u32 = 1024;

/// A stream of bytes, whatever carries it.
pub trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for T {}
/// A stream of bytes from a peer.
pub type Stream = Box<dyn Bytestream>;

/// What was accepted, before it is known what is spoken on it.
pub enum Accepted {
    /// A Unix socket: HTTP/2, or a side socket.
    Unix(UnixStream),
    /// HTTP/2.
    Other(Stream),
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BindError {
    #[error("cannot listen on {address}: {source}")]
    Io { address: Address, source: io::Error },
    #[error("cannot listen on {address}: another broker is listening there (its lock is {lock})", lock = lock.display())]
    InUse { address: Address, lock: PathBuf },
    #[error("cannot listen on {address}: {path} exists and is not a socket", path = path.display())]
    NotASocket { address: Address, path: PathBuf },
    #[error(
        "cannot listen on {address}: its directory can be written by others (mode {mode:o}); use a directory of your own, or set the sticky bit"
    )]
    ExposedDirectory { address: Address, mode: u32 },
    #[error(
        "cannot listen on {address}: beyond loopback, plain TCP lets a relay in between read and change everything; \
         listen on loopback and tunnel, or accept it with --insecure-tcp"
    )]
    InsecureTcp { address: Address },
    #[error("the inherited descriptor {descriptor} cannot be listened on: {problem}")]
    Inherited { descriptor: usize, problem: String },
}

/// A bound address.
#[derive(Debug)]
pub enum Listener {
    /// Unix socket.
    Unix {
        /// The socket.
        listener: UnixListener,
        /// Where it is.
        path: PathBuf,
        /// The lock beside a socket that was bound here, with mode 0600: it says that its broker lives. None: the socket was inherited,
        /// and is its maker's to remove.
        lock: Option<File>,
    },
    /// TCP.
    Tcp(TcpListener),
    /// Streams within this process.
    Memory(mpsc::Receiver<DuplexStream>),
}

impl Listener {
    /// Binds an address.
    pub async fn bind(address: &Address, insecure_tcp: bool) -> Result<Listener, BindError> {
        match address {
            Address::Unix(path) => bind_unix(address, path),
            Address::Tcp { host, port } => bind_tcp(address, host, *port, insecure_tcp).await,
        }
    }

    /// The address with the port that the system chose.
    pub fn address(&self) -> Option<Address> {
        match self {
            Listener::Unix { path, .. } => Some(Address::Unix(path.clone())),
            Listener::Tcp(listener) => {
                let address = listener.local_addr().ok()?;
                Some(Address::Tcp { host: address.ip().to_string(), port: address.port() })
            }
            Listener::Memory(_) => None,
        }
    }

    /// The next connection.
    pub(super) async fn accept(&mut self) -> io::Result<(Accepted, Peer)> {
        match self {
            Listener::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let credentials = stream.peer_cred()?;
                let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
                Ok((Accepted::Unix(stream), Peer::Unix { pid, uid: credentials.uid() }))
            }
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Accepted::Other(Box::new(stream)), Peer::Tcp(address)))
            }
            Listener::Memory(streams) => match streams.recv().await {
                Some(stream) => Ok((Accepted::Other(Box::new(stream)), Peer::Memory)),
                None => std::future::pending().await,
            },
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix { path, lock: Some(_), .. } = self {
            // Under the lock, which is let go after this.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_unix(address: &Address, path: &Path) -> Result<Listener, BindError> {
    let failed = |source| BindError::Io { address: address.clone(), source };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let metadata = std::fs::metadata(directory).map_err(failed)?;
    let mode = metadata.mode();
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(BindError::ExposedDirectory { address: address.clone(), mode: mode & 0o7777 });
    }
    let lock_path = beside(path, "lock");
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let mut options = File::options();
    let lock = options.create(true).truncate(false).write(true).mode(0o600).custom_flags(no_follow);
    let lock = lock.open(&lock_path).map_err(failed)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(BindError::InUse { address: address.clone(), lock: lock_path });
    }
    clear_stale(address, path, &lock_path)?;
    // Private before it listens and before it gets its name: nobody can connect in between.
    let hidden = beside(path, &format!("{}.new", std::process::id()));
    let _ = std::fs::remove_file(&hidden);
    let socket = bind_and_listen(&hidden).map_err(failed)?;
    std::fs::rename(&hidden, path).map_err(failed)?;
    let listener = UnixListener::from_std(socket).map_err(failed)?;
    Ok(Listener::Unix { listener, path: path.to_owned(), lock: Some(lock) })
}

/// The same name with one more extension.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn bind_and_listen(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listen(&socket, BACKLOG as i32)?;
    Ok(socket.into())
}

/// A socket file that nobody listens on goes; a file that is no socket, or a broker that answers, stays.
fn clear_stale(address: &Address, path: &Path, lock: &Path) -> Result<(), BindError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BindError::Io { address: address.clone(), source }),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(BindError::NotASocket { address: address.clone(), path: path.to_owned() })
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            // Somebody listens without our lock: not one of us, or its lock file was deleted.
            Err(BindError::InUse { address: address.clone(), lock: lock.to_owned() })
        }
        Ok(_) => std::fs::remove_file(path).map_err(|source| BindError::Io { address: address.clone(), source }),
    }
}

async fn bind_tcp(address: &Address, host: &str, port: u16, insecure_tcp: bool) -> Result<Listener, BindError> {
    let failed = |source| BindError::Io { address: address.clone(), source };
    let candidates: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect();
    let candidate = *candidates.first().ok_or_else(|| failed(io::Error::other("the host has no address")))?;
    check_reach(address, candidate, insecure_tcp)?;
    let socket = match candidate {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
    }
    .map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(candidate).map_err(failed)?;
    socket.listen(BACKLOG).map(Listener::Tcp).map_err(failed)
}

/// Beyond loopback only if that was said.
pub(super) fn check_reach(address: &Address, socket: SocketAddr, insecure_tcp: bool) -> Result<(), BindError> {
    match insecure_tcp || socket.ip().to_canonical().is_loopback() {
        true => Ok(()),
        false => Err(BindError::InsecureTcp { address: address.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(directory: &tempfile::TempDir) -> (PathBuf, Address) {
        let path = directory.path().join("bursar.sock");
        (path.clone(), Address::Unix(path))
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (path, address) = address(&directory);
        drop(bind_and_listen(&path).unwrap()); // as a killed broker leaves it
        let listener = Listener::bind(&address, false).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(Listener::bind(&address, false).await, Err(BindError::InUse { .. })));
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok(), "the live one still listens");
        drop(listener);
        assert!(!path.exists());
        let stranger = bind_and_listen(&path).unwrap(); // listens without our lock
        assert!(matches!(Listener::bind(&address, false).await, Err(BindError::InUse { .. })));
        drop(stranger);
        assert!(Listener::bind(&address, false).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (path, address) = address(&directory);
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::bind(&address, false).await, Err(BindError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_directory_that_others_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (_, address) = address(&directory);
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Listener::bind(&address, false).await, Err(BindError::ExposedDirectory { .. })));
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(Listener::bind(&address, false).await.is_ok());
    }

    #[tokio::test]
    async fn tcp_beyond_loopback_needs_the_flag() {
        let everywhere = "tcp://0.0.0.0:0".parse().unwrap();
        assert!(matches!(Listener::bind(&everywhere, false).await, Err(BindError::InsecureTcp { .. })));
        let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        assert!(matches!(listener.address(), Some(Address::Tcp { port: 1.., .. })));
    }
}
