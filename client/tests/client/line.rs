//! A line to a broker that can be cut, muted and closed for new connections.

use bursar::{BoxIo, Connector};
use bursar_server::{broker::MemoryConnector, testing::TestBroker};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split},
    sync::{Notify, watch},
};

#[derive(Clone)]
pub struct Line {
    broker: watch::Sender<MemoryConnector>,
    cut: Arc<Notify>,
    is_closed: Arc<AtomicBool>,
    /// How many connections were made.
    made: Arc<AtomicU64>,
    /// Nothing passes from the broker to the client on the connections up to this one.
    muted: watch::Sender<u64>,
}

impl Line {
    pub fn new(broker: &TestBroker) -> Line {
        Line {
            broker: watch::Sender::new(broker.connector()),
            cut: Arc::default(),
            is_closed: Arc::default(),
            made: Arc::default(),
            muted: watch::Sender::new(0),
        }
    }

    /// The connection breaks; new ones can be made.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// The connection breaks, and new ones lead to another broker.
    pub fn cut_over_to(&self, broker: MemoryConnector) {
        self.broker.send_replace(broker);
        self.cut();
    }

    /// The connection breaks, and no new one can be made.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// New connections can be made again.
    pub fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
    }

    /// What the broker says does not arrive any more; on new connections it does.
    pub fn mute(&self) {
        self.muted.send_replace(self.made.load(Ordering::SeqCst));
    }

    /// What the broker said meanwhile arrives, and what it says.
    pub fn unmute(&self) {
        self.muted.send_replace(0);
    }

    pub fn connector(&self) -> impl Connector + use<> {
        let line = self.clone();
        move || {
            let line = line.clone();
            async move { line.connect().await }
        }
    }

    async fn connect(self) -> io::Result<BoxIo> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        }
        let broker = self.broker.borrow().clone();
        let broker = broker.connect().await?;
        let (client, near) = duplex(64 << 10);
        let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::spawn(self.carry(number, near, broker));
        Ok(Box::new(client))
    }

    async fn carry(self, number: u64, near: DuplexStream, broker: DuplexStream) {
        let (mut from_client, to_client) = split(near);
        let (from_broker, mut to_broker) = split(broker);
        let mut muted = self.muted.subscribe();
        // Registered before the first byte passes, so that no cut is missed.
        let cut = self.cut.notified();
        tokio::select! {
            _ = tokio::io::copy(&mut from_client, &mut to_broker) => {}
            _ = carry_unless_muted(number, from_broker, to_client, &mut muted) => {}
            () = cut => {}
        }
    }
}

async fn carry_unless_muted(
    number: u64,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    muted: &mut watch::Receiver<u64>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let bytes = from.read(&mut buffer).await?;
        if bytes == 0 || muted.wait_for(|muted| *muted < number).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..bytes]).await?;
    }
}
