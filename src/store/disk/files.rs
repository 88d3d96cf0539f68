//! The folder and its files, as far as the store needs them: a seam, so that tests can own the disk.
//!
//! Nothing here is cached or retried. Each method is one call of the operating system.

use std::any::Any;
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of files.
pub(crate) trait Files: Send + Sync + 'static {
    /// Where it is, for messages.
    fn path(&self, name: &str) -> String;
    /// Keeps every other process out until the guard is dropped or the process dies, also if the file `name`, which is there
    /// for people to see, is removed; `None` if one is in.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file, to read and to write; a `fresh` one must not be there yet.
    fn open(&self, name: &str, fresh: bool) -> io::Result<Arc<dyn File>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes durable which files there are.
    fn sync(&self) -> io::Result<()>;
}

/// An open file.
pub(crate) trait File: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// On an error, part of it may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

impl dyn File + '_ {
    /// Reads as much of `buffer` as there is.
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

/// A folder of the machine's.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// How its files are opened.
    options: OpenOptions,
}

impl Folder {
    /// Makes the folder if it isn't there.
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let fresh: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        make_private(&path)?;
        // A folder that was made is durable when the one that it lies in is.
        for parent in fresh.into_iter().filter_map(Path::parent) {
            sync_folder(parent)?;
        }
        let mut options = private();
        options.read(true).write(true);
        Ok(Self { path, options })
    }

    /// A folder that is there, for looking at it.
    pub(crate) fn to_read(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        options.read(true);
        Self {
            path: path.to_owned(),
            options,
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
        // The folder itself too: the file may be removed by somebody who takes it for a leftover. Some file systems, such as
        // NFS, can't lock a folder; there the file is all there is.
        let folder = match cfg!(unix) {
            true => Some(fs::File::open(&self.path)?),
            false => None,
        };
        if let Some(Err(TryLockError::WouldBlock)) = folder.as_ref().map(fs::File::try_lock) {
            return Ok(None);
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Some(Box::new((folder, file))))
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
        Ok(Arc::new(options.open(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }
}

/// Files that are made are their owner's alone, as far as the system knows owners.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the folder, its owner's alone, if it isn't there.
fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    // Elsewhere a folder can't be opened, and names are durable with the file.
    if cfg!(unix) {
        fs::File::open(path)?.sync_all()?;
    }
    Ok(())
}

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, buffer, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = std::os::windows::fs::FileExt::seek_write(self, bytes, offset)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            (offset, bytes) = (offset + written as u64, &bytes[written..]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fs::File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
