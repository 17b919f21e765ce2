//! Who this process is, so that a broker on the same host can see it end.

use crate::v1;

/// This process, as `Open.process` says it. Fields that the system does not show are empty.
pub fn this_process() -> v1::Process {
    let pid = std::process::id();
    v1::Process {
        pid,
        start_ticks: start_ticks(pid).unwrap_or(0),
        boot_id: boot_id(),
        pid_namespace: pid_namespace(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    }
}

/// When a process started, in clock ticks after boot: field 22 of `/proc/PID/stat`. None: there is no such process.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may itself hold anything: fields are counted after the last ')'.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Tells this boot of this machine from every other; empty where the system does not say.
pub fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The namespace in which this process's pids have their meaning; empty where the system does not say.
pub fn pid_namespace() -> String {
    std::fs::read_link("/proc/self/ns/pid").map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}
