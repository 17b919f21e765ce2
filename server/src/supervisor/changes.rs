//! Files that change, for processes that are restarted then: a development aid. It says when it has become quiet again, and what changed
//! meanwhile; it restarts nothing.
//!
//! A file is watched by its name, through its folder: editors write another file and rename it. A folder is watched with all that is in it.
//! A folder that was named and is itself removed and made again is watched no longer.

use bursar::processes::Watch;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// How many files are told of one change. A checkout changes thousands; nobody reads more than a few names.
const TOLD_MAX: usize = 100;

/// What editors and version control write beside the files that they are about. Nobody is to be restarted because a file was opened.
const NEVER: [&str; 8] = [".git", "*~", "*.swp", "*.swx", "4913", ".#*", "#*#", ".goutputstream-*"];

/// Stands for the number of a worker in the path of a log.
const WORKER: &str = "{worker}";

/// Watches as long as it is there.
#[derive(Debug)]
pub struct Changes {
    seen: Arc<Seen>,
    quiet: Duration,
    /// It has a thread, which ends with it.
    _watcher: RecommendedWatcher,
}

/// What was seen and not told yet.
#[derive(Debug, Default)]
struct Seen {
    /// Short sections, no waits.
    paths: Mutex<BTreeSet<PathBuf>>,
    more: Notify,
}

/// What is watched.
#[derive(Debug)]
struct Roots {
    /// Files are these themselves; folders have all below them.
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    ignore: Vec<String>,
    /// Where the process itself writes. With every line it would be restarted, and write another.
    log: Option<String>,
}

impl Changes {
    /// Watches from now on. Paths are relative to the directory. The log never counts, nor what was put aside of it: `{worker}` in its
    /// path stands for a number. An error, for people: a path that is not there, or that cannot be watched.
    pub fn watch(watch: &Watch, log: Option<&str>, directory: &Path) -> Result<Changes, String> {
        let Watch { paths, ignore, delay_ms } = watch;
        let mut roots = Roots::find(paths, ignore, directory)?;
        roots.log = log.map(|log| absolute(&directory.join(log)));
        let roots = Arc::new(roots);
        let (seen, asked) = (Arc::<Seen>::default(), roots.clone());
        let sees = seen.clone();
        let failed = |error: notify::Error| format!("changes cannot be watched: {error}");
        let mut watcher = notify::recommended_watcher(move |event| sees.take(event, &asked)).map_err(failed)?;
        roots.watch_by(&mut watcher)?;
        Ok(Changes { seen, quiet: Duration::from_millis(*delay_ms), _watcher: watcher })
    }

    /// Waits until something has changed and it has been quiet since for as long as was asked. What has changed, of much only some.
    /// Dropped meanwhile, nothing is lost.
    pub async fn next(&mut self) -> Vec<PathBuf> {
        while self.seen.paths.lock().is_empty() {
            self.seen.more.notified().await;
        }
        while timeout(self.quiet, self.seen.more.notified()).await.is_ok() {}
        std::mem::take(&mut *self.seen.paths.lock()).into_iter().collect()
    }
}

impl Seen {
    /// Called by the watcher's thread.
    fn take(&self, event: notify::Result<Event>, roots: &Roots) {
        let changed: Vec<PathBuf> = match event {
            // Something was lost: it may have been a change of any of them.
            Err(_) => roots.all(),
            Ok(event) if event.need_rescan() => roots.all(),
            Ok(event) if is_change(&event.kind) => event.paths.into_iter().filter(|path| roots.count(path)).collect(),
            Ok(_) => return,
        };
        if changed.is_empty() {
            return;
        }
        let mut paths = self.paths.lock();
        let room = TOLD_MAX.saturating_sub(paths.len());
        paths.extend(changed.into_iter().take(room));
        drop(paths);
        self.more.notify_one();
    }
}

/// Reading is none, nor is a change of rights or times. `touch` closes the file after writing nothing, which is one.
fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Modify(ModifyKind::Metadata(_)) => false,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
        EventKind::Any | EventKind::Access(_) | EventKind::Other => false,
    }
}

impl Roots {
    fn find(paths: &[String], ignore: &[String], directory: &Path) -> Result<Roots, String> {
        let mut roots = Roots { files: BTreeSet::new(), folders: BTreeSet::new(), ignore: ignore.to_vec(), log: None };
        roots.ignore.extend(NEVER.map(str::to_owned));
        for path in paths {
            let path: PathBuf = directory.join(path).components().collect();
            let metadata = path.metadata().map_err(|error| format!("{} cannot be watched: {error}", path.display()))?;
            let group = if metadata.is_dir() { &mut roots.folders } else { &mut roots.files };
            group.insert(path);
        }
        Ok(roots)
    }

    fn watch_by(&self, watcher: &mut RecommendedWatcher) -> Result<(), String> {
        let parents: BTreeSet<&Path> = self.files.iter().filter_map(|file| file.parent()).collect();
        // Whole folders last: the later wish for a folder is what counts.
        let parents = parents.into_iter().map(|parent| (parent, RecursiveMode::NonRecursive));
        let folders = self.folders.iter().map(|folder| (folder.as_path(), RecursiveMode::Recursive));
        for (path, mode) in parents.chain(folders) {
            watcher.watch(path, mode).map_err(|error| format!("{} cannot be watched: {error}", path.display()))?;
        }
        Ok(())
    }

    fn all(&self) -> Vec<PathBuf> {
        self.files.iter().chain(&self.folders).cloned().collect()
    }

    /// Whether a change of this is one. What was named itself always counts, unless it is the log.
    fn count(&self, path: &Path) -> bool {
        if self.log.as_ref().is_some_and(|log| is_log(log, &absolute(path))) {
            return false;
        }
        self.files.contains(path)
            || self.folders.iter().filter_map(|folder| path.strip_prefix(folder).ok()).any(|below| !self.is_ignored(below))
    }

    /// Whether it, or a folder that it is in, has a name that does not count.
    fn is_ignored(&self, below: &Path) -> bool {
        let names = || below.iter().map(|name| name.to_string_lossy());
        self.ignore.iter().any(|pattern| names().any(|name| matches(pattern, &name)))
    }
}

/// Comparable with others, where it can be known.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// Whether this is the log of a worker, or one that was put aside.
fn is_log(log: &str, path: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let before_rotation = path.rsplit_once('.').filter(|(_, number)| is_number(number)).map(|(path, _)| path);
    [Some(path), before_rotation].into_iter().flatten().any(|path| is_log_of_worker(log, path))
}

fn is_log_of_worker(log: &str, path: &str) -> bool {
    let Some((start, _)) = log.split_once(WORKER) else { return log == path };
    let Some(rest) = path.strip_prefix(start) else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && log.replace(WORKER, &rest[..digits]) == path
}

/// A star stands for any characters, or none; everything else for itself.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        // The first place where it fits leaves most for the others.
        let Some((_, after)) = name.split_once(piece) else { return false };
        name = after;
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, future::Future};

    /// More than anything here takes: who waits so long waits in vain.
    const IN_VAIN: Duration = Duration::from_secs(30);

    fn watching(paths: &[&str], ignore: &[&str], directory: &Path) -> Changes {
        Changes::watch(&watch_of(paths, ignore), None, directory).unwrap()
    }

    fn watch_of(paths: &[&str], ignore: &[&str]) -> Watch {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Watch { paths: own(paths), ignore: own(ignore), delay_ms: 20 }
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        timeout(IN_VAIN, future).await.expect("it waits in vain")
    }

    /// Until this has changed. What was told until then.
    async fn until(changes: &mut Changes, path: &Path) -> BTreeSet<PathBuf> {
        let mut told = BTreeSet::new();
        while !told.contains(path) {
            told.extend(soon(changes.next()).await);
        }
        told
    }

    fn paths<const N: usize>(paths: [&PathBuf; N]) -> BTreeSet<PathBuf> {
        paths.into_iter().cloned().collect()
    }

    #[tokio::test]
    async fn a_change_below_a_folder_is_told_and_what_does_not_count_is_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("src/deep/.git")).unwrap();
        fs::create_dir_all(folder.path().join("src/cache")).unwrap();
        let mut changes = watching(&["src"], &["*.pyc", "cache"], folder.path());
        let path = |name: &str| folder.path().join("src").join(name);
        for name in ["a.pyc", "cache/b.py", "deep/.git/index", "deep/.c.py.swp", "c.py~", "../other.py"] {
            fs::write(path(name), "1").unwrap();
        }
        fs::write(path("deep/c.py"), "1").unwrap();
        assert_eq!(until(&mut changes, &path("deep/c.py")).await, paths([&path("deep/c.py")]));
        fs::remove_file(path("deep/c.py")).unwrap();
        assert_eq!(until(&mut changes, &path("deep/c.py")).await, paths([&path("deep/c.py")]));
    }

    #[tokio::test]
    async fn a_file_is_watched_by_its_name_whoever_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("app.py"), "1").unwrap();
        let mut changes = watching(&["app.py"], &["*.py"], folder.path());
        for _ in 0..3 {
            fs::write(path("other.py"), "1").unwrap();
            fs::write(path("new"), "2").unwrap();
            fs::rename(path("new"), path("app.py")).unwrap();
            assert_eq!(until(&mut changes, &path("app.py")).await, paths([&path("app.py")]));
        }
    }

    #[tokio::test]
    async fn what_is_made_later_in_a_new_folder_is_seen_also_where_a_file_of_that_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("app.py"), "1").unwrap();
        let mut changes = watching(&[".", "app.py"], &[], folder.path());
        fs::create_dir(path("new")).unwrap();
        until(&mut changes, &path("new")).await;
        fs::write(path("new/b.py"), "1").unwrap();
        until(&mut changes, &path("new/b.py")).await;
    }

    #[test]
    fn its_own_log_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut roots = Roots::find(&[".".into()], &[], folder.path()).unwrap();
        let counted = |roots: &Roots, name: &str| roots.count(&folder.path().join(name));
        roots.log = Some(absolute(&folder.path().join("./web.log")));
        let names = ["web.log", "web.log.1", "web.log.12", "web.log.old", "web.log.", "app.py"];
        assert_eq!(names.map(|name| counted(&roots, name)), [false, false, false, true, true, true]);
        roots.log = Some(absolute(&folder.path().join("logs/{worker}/web-{worker}.log")));
        let names = ["logs/1/web-1.log", "logs/1/web-1.log.2", "logs/10/web-10.log", "logs/1/web-2.log", "logs/a/web-a.log"];
        assert_eq!(names.map(|name| counted(&roots, name)), [false, false, false, true, true]);
    }

    #[test]
    fn reading_is_no_change_and_a_loss_is_one() {
        let seen = Seen::default();
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots::find(&[".".into()], &[], folder.path()).unwrap();
        let event = |kind| Ok(Event::new(kind).add_path(folder.path().join("a")));
        seen.take(event(EventKind::Access(AccessKind::Close(AccessMode::Read))), &roots);
        seen.take(event(EventKind::Modify(ModifyKind::Metadata(notify::event::MetadataKind::Any))), &roots);
        assert!(seen.paths.lock().is_empty());
        seen.take(Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)), &roots);
        assert_eq!(std::mem::take(&mut *seen.paths.lock()), roots.folders);
        for number in 0..2 * TOLD_MAX {
            seen.take(
                Ok(Event::new(EventKind::Create(notify::event::CreateKind::File))
                    .add_path(folder.path().join(number.to_string()))),
                &roots,
            );
        }
        assert_eq!(seen.paths.lock().len(), TOLD_MAX);
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let problem = Changes::watch(&watch_of(&["no/such"], &[]), None, folder.path()).unwrap_err();
        let path = folder.path().join("no/such");
        assert!(problem.starts_with(&format!("{} cannot be watched: No such file", path.display())), "{problem}");
    }

    #[test]
    fn a_star_is_any_characters() {
        for (pattern, name, is_match) in [
            ("*.pyc", "a.pyc", true),
            ("*.pyc", ".pyc", true),
            ("*.pyc", "a.py", false),
            ("target", "target", true),
            ("target", "target2", false),
            ("a*", "a", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("a*a", "a", false),
            ("*ab*ab*", "xab-ab", true),
            ("*ab*ab", "xab", false),
            ("*", "anything", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
    }
}
