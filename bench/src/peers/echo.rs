//! A bare tokio server on a Unix socket that sends back what it gets, in this program's other role: the floor under every round trip.

use crate::{
    peer::{Kind, Outcome, Peer, p50},
    server::{Server, this_program},
};
use std::path::PathBuf;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

/// The first argument that makes this program the server; the second is the path of its socket.
pub const ROLE: &str = "echo";

/// The server: one connection after the other.
pub fn serve() -> Outcome {
    let path = std::env::args_os().nth(2).ok_or("expected the path of a socket")?;
    runtime()?.block_on(async {
        let listener = UnixListener::bind(path)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..count]).await?;
            }
        }
    })
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

pub struct Echo {
    _server: Server,
    path: PathBuf,
    payload: usize,
}

impl Echo {
    pub fn start(payload: usize) -> Outcome<Echo> {
        let mut server = Server::start(|directory| {
            let mut command = this_program(ROLE)?;
            command.arg(directory.join("socket"));
            Ok(command)
        })?;
        let path = server.path("socket");
        server.wait_until(|| std::os::unix::net::UnixStream::connect(&path).ok())?;
        Ok(Echo { _server: server, path, payload })
    }
}

impl Peer for Echo {
    fn kind(&self) -> Kind {
        Kind::Echo
    }

    fn put_p50(&mut self, count: usize) -> Outcome<f64> {
        let runtime = runtime()?;
        let mut stream = runtime.block_on(UnixStream::connect(&self.path))?;
        let mut item = vec![b'x'; self.payload];
        p50(count, || {
            runtime.block_on(async {
                stream.write_all(&item).await?;
                stream.read_exact(&mut item).await?;
                Ok(())
            })
        })
    }
}
