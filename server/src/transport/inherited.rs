//! Sockets that listen already when the program starts: socket activation, as systemd does it. Whoever has made them removes them.
//!
//! `LISTEN_FDS` of them stand at the descriptors from 3 on, and are meant for the process `LISTEN_PID`; `LISTEN_FDNAMES` names them.

use super::listen::{BindError, Listener, check_reach};
use bursar_proto::Address;
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use std::{
    env, io,
    net::{SocketAddr, TcpListener},
    os::{fd::AsFd, unix::net::UnixListener},
    path::PathBuf,
};

/// Where they begin.
const FIRST: usize = 3;

/// A socket that listens. It is not passed on to other programs.
#[derive(Debug)]
pub struct Inherited {
    descriptor: usize,
    address: Address,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener, SocketAddr),
}

impl Inherited {
    /// Takes all that this process was given; a second time there are none. Changes the environment, so no other thread may run yet. An
    /// error: one is neither a Unix socket with a path nor TCP.
    pub fn take() -> Result<Vec<Inherited>, BindError> {
        // A parent's own may still stand in the environment.
        if env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
            return Ok(Vec::new());
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut given = ListenFd::from_env();
        let mut all = Vec::with_capacity(given.len());
        for at in 0..given.len() {
            let descriptor = FIRST + at;
            let inherited =
                Inherited::of(&mut given, at).map_err(|error| BindError::Inherited { descriptor, problem: error.to_string() })?;
            let name = names.split(':').nth(at).unwrap_or_default();
            tracing::debug!(descriptor, name, address = %inherited.address, "inherited");
            all.push(inherited);
        }
        Ok(all)
    }

    fn of(given: &mut ListenFd, at: usize) -> io::Result<Inherited> {
        let descriptor = FIRST + at;
        if let Ok(Some(listener)) = given.take_unix_listener(at) {
            check_listens(&listener)?;
            let address = listener.local_addr()?;
            let path =
                address.as_pathname().ok_or_else(|| io::Error::other("a Unix socket without a path has no address here"))?;
            let socket = Socket::Unix(listener, path.to_owned());
            return Ok(Inherited { descriptor, address: Address::Unix(path.to_owned()), socket });
        }
        let other = |_| io::Error::other("it is neither a Unix stream socket nor TCP");
        let listener = given.take_tcp_listener(at).map_err(other)?.expect("each is taken once");
        check_listens(&listener)?;
        let bound = listener.local_addr()?;
        let address = Address::Tcp { host: bound.ip().to_string(), port: bound.port() };
        Ok(Inherited { descriptor, address, socket: Socket::Tcp(listener, bound) })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it listens where one was told to.
    pub fn is_for(&self, address: &Address) -> bool {
        match (&self.socket, address) {
            (Socket::Unix(_, path), Address::Unix(wanted)) => path == wanted,
            (Socket::Tcp(_, bound), Address::Tcp { host, port }) => {
                let is_host = host.parse() == Ok(bound.ip()) || host == "localhost" && bound.ip().is_loopback();
                is_host && *port == bound.port()
            }
            _ => false,
        }
    }

    /// As [`Listener::bind`] has it. Within a runtime.
    pub fn listen(self, insecure_tcp: bool) -> Result<Listener, BindError> {
        let Inherited { descriptor, address, socket } = self;
        let failed = |error: io::Error| BindError::Inherited { descriptor, problem: error.to_string() };
        match socket {
            Socket::Unix(listener, path) => {
                listener.set_nonblocking(true).map_err(failed)?;
                let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
                Ok(Listener::Unix { listener, path, lock: None })
            }
            Socket::Tcp(listener, bound) => {
                check_reach(&address, bound, insecure_tcp)?;
                listener.set_nonblocking(true).map_err(failed)?;
                tokio::net::TcpListener::from_std(listener).map(Listener::Tcp).map_err(failed)
            }
        }
    }
}

fn check_listens(socket: impl AsFd) -> io::Result<()> {
    match socket_acceptconn(socket)? {
        true => Ok(()),
        false => Err(io::Error::other("it is a socket that does not listen")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str) -> Inherited {
        let listener = TcpListener::bind(address).unwrap();
        let bound = listener.local_addr().unwrap();
        let address = Address::Tcp { host: bound.ip().to_string(), port: bound.port() };
        Inherited { descriptor: 3, address, socket: Socket::Tcp(listener, bound) }
    }

    #[tokio::test]
    async fn tcp_beyond_loopback_needs_the_flag_also_if_somebody_else_has_bound_it() {
        assert!(matches!(tcp("0.0.0.0:0").listen(false), Err(BindError::InsecureTcp { .. })));
        assert!(tcp("0.0.0.0:0").listen(true).is_ok());
        assert!(tcp("127.0.0.1:0").listen(false).is_ok());
    }

    #[test]
    fn an_address_is_known_by_whatever_name_it_was_configured() {
        let inherited = tcp("127.0.0.1:0");
        let Address::Tcp { port, .. } = *inherited.address() else { panic!("it is TCP") };
        let is_for = |host: &str, port| inherited.is_for(&Address::Tcp { host: host.into(), port });
        assert!(is_for("127.0.0.1", port) && is_for("localhost", port));
        assert!(!is_for("127.0.0.2", port) && !is_for("localhost", port ^ 1) && !is_for("127.0.0.1", 0));
        assert!(!inherited.is_for(&Address::Unix("/run/bursar.sock".into())));
    }

    #[test]
    fn a_socket_that_does_not_listen_is_refused() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(check_listens(&one).is_err());
        assert!(check_listens(TcpListener::bind("127.0.0.1:0").unwrap()).is_ok());
    }
}
