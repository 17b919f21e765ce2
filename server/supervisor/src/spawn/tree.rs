//! The processes of this host, as `/proc` shows them: who descends from whom. Signals are sent by pidfd, so that a number that was given
//! to another process meanwhile harms nobody.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::{collections::HashSet, fs, io};

/// A process that has not ended. One whose first thread has ended, while others run on, has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: i32,
    /// The number of its parent.
    pub parent: i32,
    /// The number of its process group.
    pub group: i32,
    /// When it started. With its number it is one process, since the boot.
    born: u64,
}

/// Everybody below a process is killed; the count of those who were told. Who is born meanwhile is not among them.
pub(super) fn kill_descendants(ancestor: Pid) -> usize {
    below(ancestor.as_raw_pid()).iter().filter(|process| process.signal(Signal::KILL)).count()
}

/// Those below a process who are in a process group.
pub(super) fn below_in_group(ancestor: Pid, group: Pid) -> Vec<Process> {
    below(ancestor.as_raw_pid()).into_iter().filter(|process| process.group == group.as_raw_pid()).collect()
}

fn below(ancestor: i32) -> Vec<Process> {
    if shows_children(ancestor) { tree_below(ancestor) } else { descendants(&living().unwrap_or_default(), ancestor) }
}

/// Everybody in a process group, and everybody below a process. An error: the system does not show its processes.
pub fn members(group: Pid, ancestor: Pid) -> io::Result<Vec<Process>> {
    Ok(members_among(&living()?, group.as_raw_pid(), ancestor.as_raw_pid()))
}

fn members_among(processes: &[Process], group: i32, ancestor: i32) -> Vec<Process> {
    let below = descendants(processes, ancestor);
    processes.iter().copied().filter(|process| process.group == group || below.contains(process)).collect()
}

/// Most kernels show the children of each thread. Then a tree costs what it has, and not what the host has: hundreds may be killed at
/// once.
fn shows_children(process: i32) -> bool {
    fs::exists(format!("/proc/{process}/task/{process}/children")).unwrap_or(false)
}

/// As [`descendants`]. One whose sister ends just now may be left out: who kills looks again.
fn tree_below(ancestor: i32) -> Vec<Process> {
    let (mut seen, mut parents) = (HashSet::from([ancestor]), vec![ancestor]);
    while let Some(parent) = parents.pop() {
        // Who was orphaned meanwhile is seen twice, and is there once.
        parents.extend(children(parent).into_iter().filter(|child| seen.insert(*child)));
    }
    seen.remove(&ancestor);
    seen.into_iter().filter_map(find).collect()
}

fn children(process: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// The numbers of everybody below a process, in no order: below a keeper, that is the tree of its worker. One that ends or is born
/// meanwhile may be left out, and a number may be somebody else's when it is used. So this is for who looks, not for who kills.
pub fn tree_of(ancestor: u32) -> Vec<u32> {
    below(ancestor as i32).into_iter().map(|process| process.id as u32).collect()
}

/// Those who carry this entry in their environment are killed, and told of. It is inherited by everybody below who does not remove it.
pub(super) fn kill_marked(entry: &str) -> Vec<Process> {
    let is_marked = |process: &Process| {
        let environment = fs::read(format!("/proc/{}/environ", process.id)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes())
    };
    living().unwrap_or_default().into_iter().filter(is_marked).filter(|process| process.signal(Signal::KILL)).collect()
}

impl Process {
    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        find(self.id).is_some_and(|now| now.born == self.born)
    }

    /// Whether it was there to be told, and this program may tell it.
    pub fn signal(&self, signal: Signal) -> bool {
        let Some(number) = Pid::from_raw(self.id) else { return false };
        let Ok(handle) = pidfd_open(number, PidfdFlags::empty()) else { return false };
        // From here on the handle is for this one; and it is the one that was meant.
        self.is_alive() && pidfd_send_signal(handle, signal).is_ok()
    }
}

/// All who descend from a process, in no order.
fn descendants(processes: &[Process], ancestor: i32) -> Vec<Process> {
    let mut below = HashSet::from([ancestor]);
    loop {
        let before = below.len();
        let found: Vec<i32> =
            processes.iter().filter(|process| below.contains(&process.parent)).map(|process| process.id).collect();
        below.extend(found);
        if below.len() == before {
            break;
        }
    }
    below.remove(&ancestor);
    processes.iter().copied().filter(|process| below.contains(&process.id)).collect()
}

/// An error: the system does not show its processes.
fn living() -> io::Result<Vec<Process>> {
    let ids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    // One that ends meanwhile is not there.
    Ok(ids.filter_map(find).collect())
}

/// None: it has ended.
pub(super) fn find(id: i32) -> Option<Process> {
    parse(id, &fs::read(format!("/proc/{id}/stat")).ok()?)
}

/// None: it has ended, and only its parent has not taken notice yet.
fn parse(id: i32, stat: &[u8]) -> Option<Process> {
    let text = String::from_utf8_lossy(stat);
    let fields: Vec<&str> = fields(&text)?.collect();
    let (parent, group) = (fields.get(1)?.parse().ok()?, fields.get(2)?.parse().ok()?);
    // The 20th of all counts its threads. One whose first thread has ended looks like one that has ended; but others run on.
    let threads: u32 = fields.get(17)?.parse().ok()?;
    let has_ended = matches!(*fields.first()?, "Z" | "X") && threads <= 1;
    (!has_ended).then_some(Process { id, parent, group, born: born(stat)? })
}

/// The 22nd field of all.
fn born(stat: &[u8]) -> Option<u64> {
    fields(&String::from_utf8_lossy(stat))?.nth(19)?.parse().ok()
}

/// From the third field on. The second is the command in parentheses and may itself hold anything.
fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpid;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat = b"7 (a) Z 1 (\xff) S 5 6 6 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99";
        assert_eq!(parse(7, stat), Some(Process { id: 7, parent: 5, group: 6, born: 4711 }));
    }

    #[test]
    fn who_has_ended_is_not_there_but_who_has_threads_left_is() {
        let stat = |threads| format!("7 (sh) Z 5 6 6 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 4711 99");
        assert_eq!(parse(7, stat(1).as_bytes()), None);
        assert_eq!(parse(7, stat(2).as_bytes()), Some(Process { id: 7, parent: 5, group: 6, born: 4711 }));
    }

    #[test]
    fn descendants_are_found_in_any_order() {
        let process = |id, parent| Process { id, parent, group: id, born: 0 };
        let all = [process(12, 30), process(30, 20), process(20, 10), process(10, 1), process(40, 1)];
        assert_eq!(descendants(&all, 10), all[..3]);
    }

    #[test]
    fn members_are_the_group_and_the_descendants() {
        let process = |id, parent, group| Process { id, parent, group, born: 0 };
        let program = process(10, 2, 10);
        // A command in its group, a grandchild that is listed before its parent, an orphan of the group; and strangers.
        let family = [process(30, 20, 20), process(12, 30, 12), process(20, 10, 20), process(13, 1, 20)];
        let processes = [&family[..], &[program, process(40, 2, 40), process(2, 1, 2)]].concat();
        assert_eq!(members_among(&processes, 20, 10), family);
    }

    #[test]
    fn a_tree_shows_its_children_or_is_found_among_all() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let (me, id) = (getpid().as_raw_pid(), child.id() as i32);
        let has_it = |found: Vec<Process>| found.iter().any(|process| process.id == id && process.parent == me);
        assert!(has_it(descendants(&living().unwrap(), me)));
        assert!(!shows_children(me) || has_it(tree_below(me)));
        assert!(tree_of(me as u32).contains(&(id as u32)));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn this_process_is_among_the_living() {
        assert!(living().unwrap().iter().any(|process| process.id == getpid().as_raw_pid()));
    }
}
