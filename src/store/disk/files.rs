//! The folder and its files, behind a trait: tests put a simulated disk in its place.
//!
//! Nothing here is cached or retried. Each method is one call of the operating system.

use std::any::Any;
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of files.
pub(crate) trait Files: Send + Sync + 'static {
    /// Returns the path of a file, for messages.
    fn path(&self, name: &str) -> String;
    /// Locks the folder against other processes until the returned guard is dropped or the process dies, even if the file
    /// `name`, which shows the lock to people, is removed. Returns `None` while another process has the lock.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
    /// Returns the names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file for reads and writes; a `fresh` one must not exist yet.
    fn open(&self, name: &str, fresh: bool) -> io::Result<Arc<dyn File>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names of the files durable.
    fn sync(&self) -> io::Result<()>;
    /// Returns the maximum length of a file (`ulimit -f`).
    fn file_max(&self) -> u64 {
        u64::MAX
    }
}

/// An open file.
pub(crate) trait File: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes `bytes`. After an error, a part of them may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes all writes durable.
    fn sync(&self) -> io::Result<()>;
}

/// Returns whether the machine lacks descriptors or memory, so that the call did nothing and may succeed later.
pub(crate) fn is_short(error: &io::Error) -> bool {
    #[cfg(unix)]
    if matches!(
        rustix::io::Errno::from_io_error(error),
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOBUFS)
    ) {
        return true;
    }
    matches!(
        error.kind(),
        io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Returns whether the disk, or the process's share of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

impl dyn File + '_ {
    /// Fills `buffer`, or reads up to the end of the file. Returns the number of bytes.
    pub(crate) fn read_full(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.read_at(offset + read as u64, &mut buffer[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

/// A folder of the file system.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The options for opening its files.
    options: OpenOptions,
    /// The folder itself, held open so that it can be synced when no descriptor is left.
    itself: Option<Arc<fs::File>>,
}

impl Folder {
    /// Opens the folder, and makes it if it doesn't exist.
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let fresh: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        make_private(&path)?;
        // The name of a new folder is durable once its parent is synced.
        for parent in fresh.into_iter().filter_map(Path::parent) {
            sync_folder(parent)?;
        }
        let mut options = private();
        options.read(true).write(true);
        let itself = open_folder(&path)?.map(Arc::new);
        Ok(Self {
            path,
            options,
            itself,
        })
    }

    /// Opens an existing folder for reading only.
    pub(crate) fn to_read(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        options.read(true);
        Self {
            path: path.to_owned(),
            options,
            itself: None,
        }
    }
}

impl Files for Folder {
    fn path(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut options = private();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(self.path.join(name))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The folder is locked too, because a person may remove the file as a leftover. Some file systems, such as NFS, can't
        // lock a folder; there the file is the only lock.
        let folder = self.itself.clone();
        if let Some(Err(TryLockError::WouldBlock)) = folder.as_ref().map(|folder| folder.try_lock())
        {
            return Ok(None);
        }
        Ok(Some(Box::new(Locked {
            folder,
            _file: file,
        })))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| {
            let name = entry?.file_name();
            Ok(name.to_string_lossy().into_owned())
        });
        names.collect()
    }

    fn open(&self, name: &str, fresh: bool) -> io::Result<Arc<dyn File>> {
        let mut options = self.options.clone();
        options.create_new(fresh);
        let file = options.open(self.path.join(name))?;
        let unasked = file_max().min(UNASKED_MAX);
        Ok(Arc::new(Handle { file, unasked }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        match &self.itself {
            Some(folder) => folder.sync_all(),
            None => Ok(()),
        }
    }

    fn file_max(&self) -> u64 {
        file_max()
    }
}

/// Opens the folder itself; `None` outside Unix, where names are durable with their files.
fn open_folder(path: &Path) -> io::Result<Option<fs::File>> {
    match cfg!(unix) {
        true => fs::File::open(path).map(Some),
        false => Ok(None),
    }
}

/// The lock of a folder, held until it is dropped.
struct Locked {
    folder: Option<Arc<fs::File>>,
    _file: fs::File,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // The descriptor stays open for later syncs.
        if let Some(folder) = &self.folder {
            let _ = folder.unlock(); // if this fails, the end of the process unlocks it
        }
    }
}

/// Returns options that make new files private to their owner, where the system knows owners.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the folder if it doesn't exist, private to its owner.
fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match open_folder(path)? {
        Some(folder) => folder.sync_all(),
        None => Ok(()),
    }
}

/// Returns the maximum length of the process's files.
fn file_max() -> u64 {
    #[cfg(unix)]
    let max = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    #[cfg(not(unix))]
    let max = None;
    max.unwrap_or(u64::MAX)
}

/// Writes up to this length don't ask for the limit, because short files are written often.
const UNASKED_MAX: u64 = 64 << 10;

/// An open file of the file system.
struct Handle {
    file: fs::File,
    /// The length up to which a write need not ask for the limit.
    unasked: u64,
}

impl Handle {
    /// Refuses a write beyond the limit, which would end the process by SIGXFSZ.
    fn check(&self, end: u64) -> io::Result<()> {
        if end <= self.unasked {
            return Ok(());
        }
        match file_max() {
            max if end > max => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("a file of this process may have {max} bytes (`ulimit -f`)"),
            )),
            _ => Ok(()),
        }
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check(offset + bytes.len() as u64)?;
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = std::os::windows::fs::FileExt::seek_write(&self.file, bytes, offset)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            (offset, bytes) = (offset + written as u64, &bytes[written..]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
