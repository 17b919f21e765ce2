//! A TCP proxy in this process, between a client and the broker: it can stop forwarding without closing anything, as a dead network
//! does, and it can lose replies.

use crate::harness::Broker;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

/// A proxy, as long as it lives.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    target: String,
    is_frozen: watch::Sender<bool>,
    /// A connection is cut when about this many bytes of replies have passed; 0: never.
    replies_max: AtomicU64,
    cuts: AtomicU64,
}

impl Proxy {
    pub async fn start(broker: &Broker) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: broker.tcp()["tcp://".len()..].to_owned(),
            is_frozen: watch::Sender::new(false),
            replies_max: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        let accepting = shared.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(accepting.clone(), client));
            }
        });
        Proxy { address, shared, _tasks: tasks }
    }

    pub fn address(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// From now on nothing passes, in either direction, and nothing closes.
    pub fn freeze(&self) {
        self.shared.is_frozen.send_replace(true);
    }

    /// Every connection is cut within the reply that brings it over a random number of bytes, at most this; 0 stops that.
    pub fn lose_replies_after(&self, bytes: u64) {
        self.shared.replies_max.store(bytes, Ordering::Relaxed);
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

async fn forward(shared: Arc<Shared>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(&shared.target).await else { return };
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // Whichever ends first ends both.
    tokio::select! {
        _ = pump(&shared, from_client, to_server, false) => {}
        _ = pump(&shared, from_server, to_client, true) => {}
    }
}

async fn pump(shared: &Shared, mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, are_replies: bool) -> io::Result<()> {
    let mut frozen = shared.is_frozen.subscribe();
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0;
    let share = fastrand::f64();
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let _ = frozen.wait_for(|is_frozen| !is_frozen).await;
        passed += count as u64;
        let replies_max = shared.replies_max.load(Ordering::Relaxed);
        if are_replies && replies_max > 0 && passed as f64 > replies_max as f64 * share {
            shared.cuts.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
    }
}
