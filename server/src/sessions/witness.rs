//! Who knows more of the processes from which sessions come than their sockets tell: a supervisor, if the broker has one.

use futures_util::future::BoxFuture;

/// Knows some processes: those that it has started, and all that descend from them.
pub trait Witness: Send + Sync + 'static {
    /// To which run of its workers this process belongs. Asked when a session opens, while the process is there; looks into `/proc`.
    fn run_of(&self, pid: u32) -> Option<u64>;

    /// How it came that this process of that run has ended, in words: `worker resize/2 (pid 4711) was killed by SIGSEGV; its last
    /// words: ...`. Asked when the process is seen to have ended; ready as soon as it is known. None: nothing is known.
    ///
    /// What comes first, up to a semicolon, is the cause. Of what is longer than 1 KiB the middle is left out.
    fn testimony(&self, run: u64, pid: u32) -> BoxFuture<'static, Option<String>>;

    /// A session that came from this run has ended, and what it held then was given back: `2 items of jobs`.
    fn returned(&self, run: u64, what: Vec<String>);
}
