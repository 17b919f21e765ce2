//! A file that what workers write goes to, rotated by size. One thread writes; who offers never waits.

use rustix::{fs::OFlags, io::Errno};
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

/// How many pieces may wait for the disk, of 64 KiB at most: 4 MiB for each file, and some milliseconds of a stalled disk.
const WAITING_MAX: usize = 64;

/// When a file is put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// When it has so many bytes, or would with the next piece.
    pub bytes: u64,
    /// How many old ones are kept, as `name.1` (the youngest), `name.2` ...
    pub kept: u32,
}

/// A file that is written in the background. Dropped, what was taken is written before, and waited for.
#[derive(Debug)]
pub struct LogFile {
    line: Option<SyncSender<Vec<u8>>>,
    dropped: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

impl LogFile {
    /// Opens it to write behind what it has. An error: also if it is a symbolic link, or anything else than a regular file.
    pub fn open(path: impl Into<PathBuf>, rotation: Rotation) -> io::Result<LogFile> {
        let file = Rotated::open(path.into(), rotation)?;
        let (line, pieces) = sync_channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = dropped.clone();
        let writer = thread::Builder::new().name("bursar-log".into()).spawn(move || file.write_all(&pieces, &counted))?;
        Ok(LogFile { line: Some(line), dropped, writer: Some(writer) })
    }

    /// Takes the bytes, or drops and counts them where the disk does not keep up. Never waits.
    pub fn offer(&self, bytes: &[u8]) {
        let line = self.line.as_ref().expect("only its end takes it");
        if line.try_send(bytes.to_vec()).is_err() {
            self.dropped.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }

    /// How many bytes are missing in the file, because there was no room, or because they could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.line = None;
        if let Some(writer) = self.writer.take() {
            // A panic there was reported there.
            let _ = writer.join();
        }
    }
}

impl Default for Rotation {
    /// Enough to look at what happened today, little enough to forget about.
    fn default() -> Rotation {
        Rotation { bytes: 10 << 20, kept: 5 }
    }
}

struct Rotated {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    bytes: u64,
}

impl Rotated {
    fn open(path: PathBuf, rotation: Rotation) -> io::Result<Rotated> {
        let file = open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Rotated { path, rotation, file, bytes })
    }

    fn write_all(mut self, pieces: &Receiver<Vec<u8>>, dropped: &AtomicU64) {
        for piece in pieces {
            if let Err(error) = self.write(&piece) {
                // The disk may be full; the next piece may find room. Who looks sees the count.
                dropped.fetch_add(piece.len() as u64, Ordering::Relaxed);
                tracing::debug!(path = %self.path.display(), %error, "output was not written");
            }
        }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + piece.len() as u64 > self.rotation.bytes {
            self.rotate()?;
        }
        self.file.write_all(piece)?;
        self.bytes += piece.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let Rotation { kept, .. } = self.rotation;
        for number in (1..kept).rev() {
            ignore_missing(fs::rename(aside(&self.path, number), aside(&self.path, number + 1)))?;
        }
        if kept == 0 {
            self.file.set_len(0)?;
        } else {
            ignore_missing(fs::rename(&self.path, aside(&self.path, 1)))?;
            self.file = open(&self.path)?;
        }
        self.bytes = 0;
        Ok(())
    }
}

/// Whoever may write in the folder must not lead this program, which may be root, to another file, nor make it wait at a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = File::options().create(true).append(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => io::Error::other("it is a symbolic link, expected a regular file"),
        Some(Errno::NXIO) => not_regular(),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::other("it is no regular file")
}

fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_aside_before_it_grows_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.log");
        let mut file = Rotated::open(path.clone(), Rotation { bytes: 10, kept: 2 }).unwrap();
        for piece in ["one", "two", "three", "four", "a long piece alone", "six"] {
            file.write(piece.as_bytes()).unwrap();
        }
        let read = |number| fs::read_to_string(if number == 0 { path.clone() } else { aside(&path, number) });
        assert_eq!([0, 1, 2].map(|number| read(number).unwrap()), ["six", "a long piece alone", "threefour"]);
        assert!(read(3).is_err(), "two are kept");
        drop(file);
        let mut file = Rotated::open(path.clone(), Rotation { bytes: 10, kept: 0 }).unwrap();
        file.write(b"seven").unwrap();
        assert_eq!(read(0).unwrap(), "sixseven", "what it had is kept");
        file.write(b"eight").unwrap();
        assert_eq!(read(0).unwrap(), "eight");
    }

    #[test]
    fn links_and_pipes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink(path("target"), path("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let refused = |name: &str| open(&path(name)).unwrap_err().to_string();
        assert!(refused("link").contains("symbolic link"));
        assert!(!path("target").exists());
        assert!(refused("pipe").contains("no regular file"), "nobody reads it");
        let _reader = File::options().read(true).write(true).open(path("pipe")).unwrap();
        assert!(refused("pipe").contains("no regular file"), "somebody reads it");
    }

    #[test]
    fn what_was_taken_is_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.log");
        let file = LogFile::open(&path, Rotation::default()).unwrap();
        (0..50).for_each(|_| file.offer(b"line\n"));
        assert_eq!(file.dropped(), 0);
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "line\n".repeat(50));
    }

    #[test]
    fn who_offers_to_a_disk_that_stands_still_does_not_wait_and_what_is_dropped_is_counted() {
        let (line, held) = sync_channel(WAITING_MAX);
        let file = LogFile { line: Some(line), dropped: Arc::default(), writer: None };
        (0..WAITING_MAX + 3).for_each(|_| file.offer(b"line\n"));
        assert_eq!(file.dropped(), 15);
        assert_eq!(held.try_iter().count(), WAITING_MAX);
    }
}
