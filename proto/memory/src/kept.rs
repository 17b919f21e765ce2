//! Descriptors that are used for memory: counted, so that the rest of a program never runs out of them for it.

use rustix::process::{Resource, getrlimit};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

/// One of so many descriptors that a process may have.
const ONE_OF: u64 = 4;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A descriptor that counts as long as it is here.
#[derive(Debug)]
pub(crate) struct Kept {
    descriptor: OwnedFd,
    _counted: Counted,
}

impl Kept {
    /// An error: there is no room for more, and this one is closed.
    pub fn new(descriptor: OwnedFd) -> io::Result<Kept> {
        let max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / ONE_OF;
        let counted = Counted::new();
        match COUNT.load(Ordering::Relaxed) <= max {
            true => Ok(Kept { descriptor, _counted: counted }),
            false => Err(io::Error::other(format!("{max} descriptors are used for memory: there is no room for more"))),
        }
    }

    /// For another use.
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[derive(Debug)]
struct Counted(());

impl Counted {
    fn new() -> Counted {
        COUNT.fetch_add(1, Ordering::Relaxed);
        Counted(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}
