//! A thread that follows a watch for as long as its owner lives: what callbacks and mirrors stand on.
//!
//! It is a thread and no task, because handles work on any executor and on none, and because a callback may block. It is not the
//! session's thread: a callback that hangs delays nothing but what its own subscription hears.
//!
//! ```text
//!   following ── owner dropped, after the event under way ──► over
//!       └─────── an error that is not a value's: object deleted, session lost ──► over, with the error
//! ```

use super::watch::{Told, Watch};
use crate::{Error, Payload, Result, blocking::block_on};
use futures_util::future::{Either, select};
use std::{convert::Infallible, pin::pin, sync::Arc, thread};
use tokio::{
    runtime,
    sync::{oneshot, watch},
};

/// What becomes of what a watch tells.
pub(super) trait Listener: Send + 'static {
    async fn hear(&mut self, told: Told);

    /// Everything up to this revision was heard, or everything of a map that is not synced yet.
    fn heard_upto(&mut self, revision: u64);
}

/// The owner's end. The thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    /// Never used: its being dropped is what the thread sees. `None`: the thread is being waited for.
    owner: Option<oneshot::Sender<Infallible>>,
    /// Why it ended; its sender is gone once it has.
    error: watch::Receiver<Option<Arc<Error>>>,
}

impl Follower {
    /// Inside a tokio runtime the thread enters that, so that an async callback can use its timers and sockets.
    pub fn start<V: Payload + 'static>(watch: Watch<V>, listener: impl Listener) -> Result<Follower> {
        let (owner, owned) = oneshot::channel();
        let (told, error) = watch::channel(None);
        let runtime = runtime::Handle::try_current().ok();
        let run = move || {
            let _entered = runtime.as_ref().map(runtime::Handle::enter);
            if let Err(error) = block_on(follow(watch, listener, owned)) {
                told.send_replace(Some(Arc::new(error)));
            }
        };
        thread::Builder::new().name("bursar-follower".to_owned()).spawn(run).map_err(Error::Thread)?;
        Ok(Follower { owner: Some(owner), error })
    }

    pub fn error(&self) -> Option<Arc<Error>> {
        self.error.borrow().clone()
    }

    pub fn is_over(&self) -> bool {
        self.error.has_changed().is_err()
    }

    /// Waits until the thread is done with everything.
    pub async fn ended(&self) -> Option<Arc<Error>> {
        let mut error = self.error.clone();
        while error.changed().await.is_ok() {}
        error.borrow().clone()
    }

    pub async fn close(mut self) -> Option<Arc<Error>> {
        self.owner.take();
        self.ended().await
    }
}

async fn follow<V: Payload>(
    mut watch: Watch<V>,
    mut listener: impl Listener,
    mut owned: oneshot::Receiver<Infallible>,
) -> Result<()> {
    loop {
        match select(&mut owned, pin!(watch.ask())).await {
            Either::Left(_) => return Ok(()),
            Either::Right((answered, _)) => answered?,
        }
        while let Some(told) = watch.pop() {
            if let Err(oneshot::error::TryRecvError::Closed) = owned.try_recv() {
                return Ok(());
            }
            listener.hear(told).await;
        }
        if let Some(revision) = watch.upto() {
            listener.heard_upto(revision);
        }
    }
}
