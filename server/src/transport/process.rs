//! Seeing a process on this host exit, by its pidfd.

use bursar_proto::{process, v1};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use std::os::fd::OwnedFd;
use tokio::io::{Interest, unix::AsyncFd};

/// Sees one process exit.
#[derive(Debug)]
pub struct ProcessWatch {
    /// Which one.
    pub pid: u32,
    pidfd: AsyncFd<OwnedFd>,
}

impl ProcessWatch {
    /// The process that the kernel names as a socket's peer. `None`: it cannot be watched.
    pub fn of_peer(pid: u32) -> Option<ProcessWatch> {
        let process = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let pidfd = pidfd_open(process, PidfdFlags::empty()).ok()?;
        // Its successor is `unsafe` for the sake of types that lie about their descriptor; an `OwnedFd` does not.
        #[allow(deprecated)]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE).ok()?;
        Some(ProcessWatch { pid, pidfd })
    }

    /// The process that a client on a loopback address claims to be, if the claim is of this host and holds.
    pub fn of_claim(claim: &v1::Process) -> Option<ProcessWatch> {
        let same_host =
            !claim.boot_id.is_empty() && claim.boot_id == process::boot_id() && claim.pid_namespace == process::pid_namespace();
        if !same_host || claim.pid == std::process::id() {
            return None;
        }
        let watch = ProcessWatch::of_peer(claim.pid)?;
        // After the pidfd is there: from now on the pid cannot come to mean another process.
        (process::start_ticks(claim.pid) == Some(claim.start_ticks)).then_some(watch)
    }

    /// Waits until the process has exited; false: the watch itself failed.
    pub async fn exit(&self) -> bool {
        loop {
            let Ok(mut ready) = self.pidfd.readable().await else { return false };
            let mut fds = [PollFd::new(self.pidfd.get_ref(), PollFlags::IN)];
            let now = rustix::event::Timespec::default();
            if matches!(poll(&mut fds, Some(&now)), Ok(1..)) {
                return true;
            }
            ready.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_exit_is_seen() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let watch = ProcessWatch::of_peer(child.id()).unwrap();
        child.kill().unwrap();
        assert!(watch.exit().await);
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_claim_must_hold() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let right = v1::Process {
            pid: child.id(),
            start_ticks: process::start_ticks(child.id()).unwrap(),
            boot_id: process::boot_id(),
            pid_namespace: process::pid_namespace(),
            host: String::new(),
        };
        assert!(ProcessWatch::of_claim(&right).is_some());
        let wrong = |change: fn(&mut v1::Process)| {
            let mut claim = right.clone();
            change(&mut claim);
            ProcessWatch::of_claim(&claim).is_none()
        };
        assert!(wrong(|claim| claim.start_ticks += 1), "another process of the same pid");
        assert!(wrong(|claim| claim.boot_id = "elsewhere".into()));
        assert!(wrong(|claim| claim.pid_namespace = "pid:[1]".into()));
        assert!(wrong(|claim| claim.pid = std::process::id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
