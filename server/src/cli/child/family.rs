//! The processes of a command: who is in its process group, and who descends from this program, which starts nothing but the
//! command. It tells who is there and signals them; when that is to be is not its matter.
//!
//! The command's own process has to be unreaped all the while: only then is its id, which is the group's too, nobody else's.

use bursar_supervisor::tree::{self, Process};
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group, set_child_subreaper};
use std::{io, time::Duration};

/// How often one looks who is left. They are not this program's children, and nobody tells when they end.
const LOOK: Duration = Duration::from_millis(20);

pub struct Family {
    leader: Pid,
}

impl Family {
    /// From here on nobody escapes by the end of a parent: who is orphaned becomes this program's child.
    pub fn of(leader: Pid) -> Family {
        // Linux has it since 3.4. Without it, the members of the group are found still.
        let _ = set_child_subreaper(Some(getpid()));
        Family { leader }
    }

    /// To everybody, once each. Who is gone already, or belongs to another user, is not told.
    pub fn signal(&self, signal: Signal) {
        // The kernel signals a group as a whole: nobody is born meanwhile who would be missed.
        let _ = kill_process_group(self.leader, signal);
        let leader = self.leader.as_raw_pid();
        for process in self.members().unwrap_or_default().iter().filter(|process| process.group != leader) {
            process.signal(signal);
        }
    }

    /// Until nobody is left. Where the system does not show its processes, somebody may always be.
    pub async fn gone(&self) {
        while self.members().map_or(true, |members| !members.is_empty()) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Kills everybody, also those who are born meanwhile. Who belongs to another user is waited for.
    pub async fn kill(&self) {
        loop {
            self.signal(Signal::KILL);
            let _ = kill_process(self.leader, Signal::KILL);
            if self.members().map_or(true, |members| members.is_empty()) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn members(&self) -> io::Result<Vec<Process>> {
        tree::members(self.leader, getpid())
    }
}
