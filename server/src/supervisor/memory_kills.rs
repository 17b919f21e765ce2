//! Whether the kernel has killed somebody for want of memory, in the control group of a process: its own count, not a guess.
//!
//! The count is of the whole group. Workers share the group of the broker unless somebody puts them into others: then it says that one of
//! them was killed for that, and who was killed by SIGKILL without having been told to end is likely to be that one.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The count of a group, and how large it was.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryKills {
    counts: PathBuf,
    before: u64,
}

impl MemoryKills {
    /// The count as it is now, for the group of a process. None: the kernel shows none, as for the root of all groups, or the process has
    /// ended.
    pub fn of_process(pid: u32) -> Option<MemoryKills> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        candidates(&groups, &mounts).into_iter().find_map(|counts| MemoryKills::in_file(&counts))
    }

    fn in_file(counts: &Path) -> Option<MemoryKills> {
        Some(MemoryKills { before: kills(counts)?, counts: counts.to_owned() })
    }

    /// Whether the kernel has killed somebody since. False where the group is gone.
    pub fn happened(&self) -> bool {
        kills(&self.counts).is_some_and(|now| now > self.before)
    }
}

/// Both versions have a line `oom_kill N`.
fn kills(counts: &Path) -> Option<u64> {
    let text = fs::read_to_string(counts).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// Where the count may be: that of version 2 first. A host may have both, and memory in either.
fn candidates(groups: &str, mounts: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if number == "0" && controllers.is_empty() {
            found.insert(0, folder(mounts, path, |kind, _| kind == "cgroup2").map(|folder| folder.join("memory.events")));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            let is_memory = |kind: &str, options: &str| kind == "cgroup" && options.split(',').any(|option| option == "memory");
            found.push(folder(mounts, path, is_memory).map(|folder| folder.join("memory.oom_control")));
        }
    }
    found.into_iter().flatten().collect()
}

/// The folder of a group, by its path in a hierarchy that is mounted somewhere, or a part of it is.
fn folder(mounts: &str, path: &str, is_meant: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        // `36 35 98:0 ROOT POINT options optional... - kind source options`
        let (mount, file_system) = line.split_once(" - ")?;
        let (mut mount, mut file_system) = (mount.split(' ').skip(3), file_system.split(' '));
        let (root, point) = (mount.next()?, mount.next()?);
        let (kind, options) = (file_system.next()?, file_system.nth(1)?);
        let below = Path::new(path).strip_prefix(root).ok().filter(|_| is_meant(kind, options))?;
        Some(Path::new(point).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    const HYBRID: &str = "\
        31 30 0:27 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup rw\n\
        33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:7 - cgroup cgroup rw,cpu,cpuacct\n\
        34 30 0:30 / /sys/fs/cgroup/memory rw shared:8 - cgroup cgroup rw,memory";

    fn candidates_of(groups: &str, mounts: &str) -> Vec<String> {
        candidates(groups, mounts).into_iter().map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_count_is_found_in_both_versions() {
        assert_eq!(candidates_of("0::/a/b\n", UNIFIED), ["/sys/fs/cgroup/a/b/memory.events"]);
        let groups = "9:memory:/a\n4:cpu,cpuacct:/c\n0::/b\n";
        let expected = ["/sys/fs/cgroup/unified/b/memory.events", "/sys/fs/cgroup/memory/a/memory.oom_control"];
        assert_eq!(candidates_of(groups, HYBRID), expected);
        assert_eq!(candidates_of("0::/b\n", ""), [""; 0]);
    }

    #[test]
    fn a_part_of_the_hierarchy_is_enough_where_it_has_the_group() {
        let part = "30 23 0:26 /pod /groups rw - cgroup2 cgroup2 rw";
        assert_eq!(candidates_of("0::/pod/x\n", part), ["/groups/x/memory.events"]);
        assert_eq!(candidates_of("0::/other/x\n", part), [""; 0]);
    }

    #[test]
    fn only_what_grows_has_happened() {
        let folder = tempfile::tempdir().unwrap();
        let counts = folder.path().join("memory.events");
        assert_eq!(MemoryKills::in_file(&counts), None, "the root of all groups has none");
        fs::write(&counts, "low 0\nhigh 7\nmax 3\noom 5\noom_kill 2\noom_group_kill 0\n").unwrap();
        let kills = MemoryKills::in_file(&counts).unwrap();
        assert!(!kills.happened());
        fs::write(&counts, "low 0\nhigh 8\nmax 9\noom 9\noom_kill 2\noom_group_kill 0\n").unwrap();
        assert!(!kills.happened(), "nobody was killed");
        fs::write(&counts, "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n").unwrap();
        assert!(kills.happened());
        fs::remove_file(&counts).unwrap();
        assert!(!kills.happened(), "the group is gone");
    }

    #[test]
    fn a_process_that_has_ended_has_no_count() {
        assert_eq!(MemoryKills::of_process(u32::MAX), None);
        // Whether this one has depends on where it runs.
        if let Some(kills) = MemoryKills::of_process(std::process::id()) {
            assert!(kills.counts.exists());
        }
    }
}
