//! A session whose bytes to the broker are counted.

use bursar::{BoxIo, Manager, blocking::block_on};
use bursar_server::testing::TestBroker;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// How many bytes the client has sent.
#[derive(Clone, Default)]
pub struct Sent(Arc<AtomicU64>);

impl Sent {
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub fn counted(broker: &TestBroker) -> (Manager, Sent) {
    let (sent, memory) = (Sent::default(), broker.connector());
    let count = sent.clone();
    let connector = move || {
        let (memory, sent) = (memory.clone(), count.clone());
        async move { Ok(Box::new(Counted { io: memory.connect().await?, sent }) as BoxIo) }
    };
    let manager = block_on(Manager::builder().connector(connector).authkey(broker.authkey()).connect()).unwrap();
    (manager, sent)
}

struct Counted {
    io: DuplexStream,
    sent: Sent,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.sent.0.fetch_add(count as u64, Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
