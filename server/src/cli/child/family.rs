//! The processes of a command: who is in its process group, and who descends from this program, which starts nothing but the
//! command. It tells who is there and signals them; when that is to be is not its matter.
//!
//! The command's own process has to be unreaped all the while: only then is its id, which is the group's too, nobody else's.

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group, set_child_subreaper};
use std::{collections::HashSet, fs, io, time::Duration};

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
        let others = self.members().unwrap_or_default().into_iter().filter(|process| process.group != leader);
        for id in others.filter_map(|process| Pid::from_raw(process.id)) {
            let _ = kill_process(id, signal);
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
        Ok(members(living()?, self.leader.as_raw_pid(), getpid().as_raw_pid()))
    }
}

/// A process, as `/proc/PID/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    id: i32,
    parent: i32,
    group: i32,
}

/// Those in the group and the descendants of `ancestor`.
fn members(processes: Vec<Process>, group: i32, ancestor: i32) -> Vec<Process> {
    let mut descend = HashSet::from([ancestor]);
    loop {
        let before = descend.len();
        let found: Vec<i32> =
            processes.iter().filter(|process| descend.contains(&process.parent)).map(|process| process.id).collect();
        descend.extend(found);
        if descend.len() == before {
            break;
        }
    }
    descend.remove(&ancestor);
    processes.into_iter().filter(|process| process.group == group || descend.contains(&process.id)).collect()
}

/// Every process that has not ended.
fn living() -> io::Result<Vec<Process>> {
    let ids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    // One that ends meanwhile is not there.
    Ok(ids.filter_map(|id| process(id, &fs::read(format!("/proc/{id}/stat")).ok()?)).collect())
}

/// None: it has ended, and only its parent has not taken notice yet.
fn process(id: i32, stat: &[u8]) -> Option<Process> {
    let stat = String::from_utf8_lossy(stat);
    // The second field is the command in parentheses and may itself hold anything: fields are counted after the last ')'.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    let process = Process { id, parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? };
    (!ended).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let seen = process(7, b"7 (a) Z 1 (\xff) S 5 6 6 0 -1");
        assert_eq!(seen, Some(Process { id: 7, parent: 5, group: 6 }));
        assert_eq!(process(7, b"7 (sh) Z 5 6 6 0 -1"), None, "it has ended");
    }

    #[test]
    fn members_are_the_group_and_the_descendants() {
        let process = |id, parent, group| Process { id, parent, group };
        let bursar = process(10, 2, 10);
        // The command in its group, a grandchild that is listed before its parent, an orphan of the group; and a stranger.
        let family = [process(30, 20, 20), process(12, 30, 12), process(20, 10, 20), process(13, 1, 20)];
        let processes = [&family[..], &[bursar, process(40, 2, 40), process(2, 1, 2)]].concat();
        assert_eq!(members(processes, 20, 10), family);
    }

    #[test]
    fn this_process_is_among_the_living() {
        let me = getpid().as_raw_pid();
        assert!(living().unwrap().iter().any(|process| process.id == me));
    }
}
