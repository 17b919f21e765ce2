//! What a tree of processes uses, as `/proc` tells it now. It keeps nothing, and asks nobody but the kernel.

use std::fs;

/// Up to this size the pages of a process are counted one by one, which takes well below a millisecond for each 100 MiB. Beyond, what it
/// shares with others counts in full.
const COUNTED_BYTES_MAX: u64 = 256 << 20;

/// What a tree uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since its start, of those that have ended and were waited for, too.
    pub cpu_ms: u64,
    /// What it has in memory. What several processes share is divided among them, where that can be told.
    pub memory_bytes: u64,
    /// How many processes it has.
    pub processes: u32,
}

/// All that descends from a process, such as a worker's keeper; that one itself is not counted. A process that ends meanwhile is counted
/// or not. It reads a few files for each process, and does not wait for anybody.
pub fn of_tree(pid: u32) -> Usage {
    let own = stat(pid).unwrap_or_default();
    let mut usage = Usage { cpu_ms: own.children_ms, ..Usage::default() };
    for pid in bursar_supervisor::tree_of(pid) {
        let Some(Stat { own_ms, children_ms }) = stat(pid) else { continue };
        usage.cpu_ms += own_ms + children_ms;
        usage.memory_bytes += memory_bytes(pid);
        usage.processes += 1;
    }
    usage
}

/// The processor time of one process, and of its children that it has waited for, with theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Stat {
    own_ms: u64,
    children_ms: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&String::from_utf8_lossy(&stat), rustix::param::clock_ticks_per_second())
}

/// The second field is the command in parentheses and may itself hold anything; the 14th to 17th are times, in ticks.
fn parse_stat(stat: &str, ticks_per_second: u64) -> Option<Stat> {
    let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut both_ms = || {
        let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
        Some((user + system) * 1000 / ticks_per_second)
    };
    Some(Stat { own_ms: both_ms()?, children_ms: both_ms()? })
}

fn memory_bytes(pid: u32) -> u64 {
    let resident = read_kib(&format!("/proc/{pid}/status"), "VmRSS:").unwrap_or(0);
    if resident > COUNTED_BYTES_MAX {
        return resident;
    }
    // Those of other users may not be looked at.
    read_kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:").unwrap_or(resident)
}

/// In bytes.
fn read_kib(path: &str, field: &str) -> Option<u64> {
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Write},
        process::{Command, Stdio},
    };

    #[test]
    fn times_are_read_whatever_a_process_is_called() {
        let stat = "7 (a) R 1 (b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 1000 3 20 0 1 0 4711 99";
        assert_eq!(parse_stat(stat, 100), Some(Stat { own_ms: 2000, children_ms: 10_030 }));
        assert_eq!(parse_stat("7 (a) S 1", 100), None);
    }

    /// Two tenths of a second of work, as the kernel counts it.
    const BUSY: &str = "while read -r stat </proc/$$/stat; set -- $stat; [ ${14} -lt 20 ]; do :; done";
    /// Work that has ended and was waited for; then two processes beside this one, until there is no input any more.
    const INNER: &str = "sh -c \"$BUSY\"; cat | cat";

    #[test]
    fn a_tree_has_its_processes_and_not_the_one_above_them() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sh -c \"$INNER\"; :"]).envs([("INNER", INNER), ("BUSY", BUSY)]);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut input, mut line) = (shell.stdin.take().unwrap(), String::new());
        input.write_all(b"up\n").unwrap();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let usage = of_tree(shell.id());
        assert_eq!(usage.processes, 3);
        assert!(usage.cpu_ms >= 200, "{usage:?}");
        assert!(usage.memory_bytes > 0, "{usage:?}");
        let own = of_tree(std::process::id());
        assert!(own.processes > usage.processes && own.cpu_ms >= usage.cpu_ms, "{own:?}");
        drop(input);
        let ended = shell.id();
        shell.wait().unwrap();
        assert_eq!(of_tree(ended), Usage::default());
    }
}
