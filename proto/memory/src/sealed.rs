//! Memory that nobody can change any more. Written once, by whoever made it; read by everybody who was given its descriptor.

use crate::{SHARED_BYTES_MIN, kept::Kept};
use bytes::Bytes;
use memmap2::Mmap;
use parking_lot::Mutex;
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create},
    io::Errno,
};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Arc, LazyLock, Weak},
};

/// Neither content nor size can ever change again.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

/// Memory that is mapped at once; more is copied. A process may have 65,530 mappings unless its kernel is told otherwise, and its heap needs
/// some of them.
const MAPPED_MAX: usize = 30_000;

/// Smaller writes are gathered to so many bytes.
const WRITTEN_BYTES: usize = 64 << 10;

/// Sealed memory of this process, by the address at which it is mapped: so that whoever has its bytes can hand it on.
static KNOWN: LazyLock<Mutex<HashMap<usize, Weak<Sealed>>>> = LazyLock::new(Mutex::default);

/// Sealed memory, mapped.
#[derive(Debug)]
pub struct Sealed {
    descriptor: Option<Kept>,
    map: Mmap,
}

impl Sealed {
    /// Copies these bytes into new memory. An error: the kernel gives none or does not know sealing, or so many descriptors are used for
    /// memory already that others would miss them.
    pub fn new(data: &[u8]) -> io::Result<Arc<Sealed>> {
        Sealed::fill(create()?, |memory| memory.write_all(data))
    }

    fn fill(descriptor: Kept, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Arc<Sealed>> {
        let mut file = BufWriter::with_capacity(WRITTEN_BYTES, File::from(descriptor.as_fd().try_clone_to_owned()?));
        write(&mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        fcntl_add_seals(&file, SEALS)?;
        let bytes = usize::try_from(fstat(&file)?.st_size).map_err(io::Error::other)?;
        let map = map(&file, bytes)?;
        Ok(Sealed::known(Some(descriptor), map))
    }

    /// Opens what somebody handed over. An error: it is no memory, or not sealed, or empty, or larger than `bytes_max`.
    pub fn open(descriptor: OwnedFd, bytes_max: u64) -> io::Result<Arc<Sealed>> {
        let unfit = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, problem);
        let seals = fcntl_get_seals(&descriptor).map_err(|_| unfit("a descriptor that is no memory"))?;
        if !seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW) {
            return Err(unfit("memory that is not sealed"));
        }
        let size = u64::try_from(fstat(&descriptor)?.st_size).unwrap_or(0);
        match usize::try_from(size) {
            Ok(bytes) if (1..=bytes_max).contains(&size) => {
                let map = map(&descriptor, bytes)?;
                Ok(Sealed::known(Kept::new(descriptor).ok(), map))
            }
            _ => Err(unfit(&format!("memory of {size} bytes, expected 1 to {bytes_max}"))),
        }
    }

    fn known(descriptor: Option<Kept>, map: Mmap) -> Arc<Sealed> {
        let sealed = Arc::new(Sealed { descriptor, map });
        KNOWN.lock().insert(sealed.address(), Arc::downgrade(&sealed));
        sealed
    }

    /// The memory that these bytes are; not where they are only a part of it, or lie elsewhere.
    pub fn of(bytes: &Bytes) -> Option<Arc<Sealed>> {
        let sealed = KNOWN.lock().get(&(bytes.as_ptr() as usize))?.upgrade()?;
        (sealed.map.len() == bytes.len() && sealed.descriptor.is_some()).then_some(sealed)
    }

    /// Its bytes. They keep it, and are not copied as long as not too much is mapped.
    pub fn bytes(self: &Arc<Sealed>) -> Bytes {
        match KNOWN.lock().len() <= MAPPED_MAX {
            true => Bytes::from_owner(Owner(self.clone())),
            false => Bytes::copy_from_slice(&self.map),
        }
    }

    /// For whoever is to have it, too; not where this process keeps none.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(Kept::as_fd)
    }

    fn address(&self) -> usize {
        self.map.as_ptr() as usize
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        // Before it is unmapped: until then nothing else has this address.
        KNOWN.lock().remove(&self.address());
    }
}

/// `file` is sealed memory.
fn map(file: &impl AsFd, bytes: usize) -> io::Result<Mmap> {
    // SAFETY: a mapped file must not change while it is mapped. The seals against writing, growing and shrinking make sure of that,
    // and no seal can be taken back: see fcntl(2), File Sealing.
    unsafe { memmap2::MmapOptions::new().len(bytes).map(file.as_fd().as_raw_fd()) }
}

struct Owner(Arc<Sealed>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.map
    }
}

/// What `write` writes, once, where it stays: in sealed memory if it is large and that can be, else in the heap. An error: what `write`
/// says, or the memory is used up.
pub fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Bytes> {
    let Ok(memory) = create() else {
        let mut heap = Vec::new();
        write(&mut heap)?;
        return Ok(heap.into());
    };
    let sealed = Sealed::fill(memory, write)?;
    Ok(if sealed.map.len() < SHARED_BYTES_MIN { Bytes::copy_from_slice(&sealed.map) } else { sealed.bytes() })
}

/// Not to be executed, where the kernel knows that: hardened systems refuse all other memory.
fn create() -> io::Result<Kept> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("bursar", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => Kept::new(memfd_create("bursar", flags)?),
        created => Kept::new(created?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;

    fn reopened(sealed: &Sealed) -> OwnedFd {
        sealed.descriptor().unwrap().try_clone_to_owned().unwrap()
    }

    #[test]
    fn what_was_written_is_read_by_whoever_opens_it_and_outlives_its_maker() {
        let made = Sealed::new(b"a value").unwrap();
        let opened = Sealed::open(reopened(&made), 7).unwrap();
        drop(made);
        let bytes = opened.bytes();
        drop(opened);
        assert_eq!(&bytes[..], b"a value");
        assert!(Sealed::of(&bytes).is_some(), "whoever has its bytes can hand it on");
        assert!(Sealed::of(&bytes.slice(1..)).is_none(), "a part of it is not it");
    }

    #[test]
    fn what_is_written_bit_by_bit_is_in_memory_at_once_if_it_is_large() {
        let numbers =
            |count: u32| written(move |memory| (0..count).try_for_each(|number| memory.write_all(&number.to_be_bytes())));
        let large = numbers(100_000).unwrap();
        assert_eq!((large.len(), &large[4 * 99_999..]), (400_000, &99_999_u32.to_be_bytes()[..]));
        assert!(Sealed::of(&large).is_some());
        let small = numbers(10).unwrap();
        assert_eq!((small.len(), Sealed::of(&small).is_some()), (40, false));
        assert_eq!(numbers(0).unwrap(), Bytes::new());
        assert_eq!(written(|_| Err(io::Error::other("no more"))).unwrap_err().to_string(), "no more");
    }

    #[test]
    fn what_nobody_has_any_more_is_not_known() {
        let sealed = Sealed::new(b"gone").unwrap();
        let (address, gone) = (sealed.address(), Arc::downgrade(&sealed));
        drop(sealed);
        // As soon as it is unmapped, its address may be given to what another thread maps.
        assert!(!KNOWN.lock().get(&address).is_some_and(|known| known.ptr_eq(&gone)));
        assert!(Sealed::of(&Bytes::from_static(b"elsewhere")).is_none());
    }

    #[test]
    fn nobody_can_change_it() {
        let sealed = Sealed::new(b"kept").unwrap();
        let mut file = File::from(reopened(&sealed));
        assert!(file.write_all(b"lost").is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(5).is_err());
        assert_eq!(&sealed.bytes()[..], b"kept");
    }

    #[test]
    fn what_could_change_under_its_reader_is_refused() {
        let problem = |descriptor: OwnedFd| Sealed::open(descriptor, 100).unwrap_err().to_string();
        let unsealed = create().unwrap().into_descriptor();
        File::from(unsealed.try_clone().unwrap()).write_all(b"changing").unwrap();
        assert_eq!(problem(unsealed.try_clone().unwrap()), "memory that is not sealed");
        fcntl_add_seals(&unsealed, SealFlags::GROW | SealFlags::WRITE).unwrap();
        assert_eq!(problem(unsealed), "memory that is not sealed");
        assert_eq!(problem(File::open("/dev/zero").unwrap().into()), "a descriptor that is no memory");
        assert_eq!(problem(reopened(&Sealed::new(&[0; 101]).unwrap())), "memory of 101 bytes, expected 1 to 100");
    }
}
