//! The application's own key, under which the data keys lie wrapped: the seam for a KMS, and two that need none.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{DataKey, KEY_BYTES, Secret, Zeroizing, encoding, fingerprint, open, seal, secret};
use crate::error::StoreError;

/// The key that wraps a store's data keys. Implement it to keep that key in a KMS or an HSM; [`KeyFile`] and
/// [`KeyVariable`] are at hand.
///
/// A store calls it when it is opened and when a key is rotated, never for an event. It may block, on the network too:
/// the store waits for it.
pub trait MasterKey: Send + Sync + 'static {
    /// A name that isn't secret, such as the ARN of a KMS key. It is stored beside the wrapped keys, so that an error can
    /// say which key is wanted. It must stay the same for as long as the key is the same, and differ from that of every
    /// other key.
    fn id(&self) -> String;

    /// Encrypts a data key. The result is stored, for [`unwrap_key`](Self::unwrap_key) at every start; that is tried at
    /// once, before anything is sealed.
    ///
    /// # Errors
    /// When the key can't be used now. Nothing has changed then.
    fn wrap(&self, data_key: &[u8; 32]) -> Result<Vec<u8>, StoreError>;

    /// Decrypts what [`wrap`](Self::wrap) returned, perhaps years ago.
    ///
    /// # Errors
    /// When the key can't be used now, or `wrapped` isn't its work. The store isn't opened then.
    fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, StoreError>;
}

/// A master key in a file of its own: 32 random bytes, as they are, as 64 hex digits, or as base64.
///
/// The file is read once. Where there are permissions, it must be open to its owner only (mode 600 or 400); elsewhere,
/// guarding it is up to you. Keep it, and a copy of it, apart from the store and its backups.
///
/// Its id comes from the key itself, so the file may be moved, or become a [`KeyVariable`].
///
/// ```
/// use redrive::store::encryption::{KeyFile, MasterKey};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("redrive-key-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("master.key");
/// let made = KeyFile::generate(&path)?; // once, by hand; it never overwrites
/// let read = KeyFile::read(&path)?; // at every start
/// assert_eq!(made.id(), read.id());
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct KeyFile(WrappingKey);

impl KeyFile {
    /// Reads the key. Digits may end with a newline.
    ///
    /// # Errors
    /// When the file can't be read, is open to others than its owner, or holds no key.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        let unreadable = |error: io::Error| KeyError::Unreadable {
            path: path.clone(),
            problem: error.to_string(),
        };
        let file = File::open(&path).map_err(unreadable)?;
        // Of the open file: a path may lead elsewhere by now.
        if let Some(mode) = exposed(&file.metadata().map_err(unreadable)?) {
            return Err(KeyError::Exposed { path, mode });
        }
        let mut text = Zeroizing::new(Vec::with_capacity(TEXT_MAX + 1));
        file.take(TEXT_MAX as u64 + 1)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        let key = raw(&text).unwrap_or_else(|| WrappingKey::from_text(&text));
        key.map(Self).map_err(|problem| KeyError::Malformed {
            place: format!("key file `{}`", path.display()),
            problem,
        })
    }

    /// Makes a new key and keeps it at `path` as hex, readable by its owner only. Returns when it is durable.
    ///
    /// # Errors
    /// When there is a file at `path`, which stays as it is, or when none can be written there.
    pub fn generate(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        let unwritable = |problem: String| KeyError::Unwritable {
            path: path.clone(),
            problem,
        };
        let key = WrappingKey::generate().map_err(|error| unwritable(error.to_string()))?;
        let file = create(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.clone() },
            _ => unwritable(error.to_string()),
        })?;
        if let Err(error) = key.keep(file).and_then(|()| sync_folder(&path)) {
            // A part of a key would be in the way of the next attempt. If it can't be removed either, `Exists` says so.
            let _ = fs::remove_file(&path);
            return Err(unwritable(error.to_string()));
        }
        Ok(Self(key))
    }
}

/// A master key in an environment variable, as 64 hex digits or as base64.
///
/// Child processes inherit the environment, and some tools log it: prefer a [`KeyFile`] where there is a choice. Its id
/// comes from the key itself, so the variable may be renamed, or become a file.
#[derive(Debug)]
pub struct KeyVariable(WrappingKey);

impl KeyVariable {
    /// Reads the key. Its digits may end with a newline.
    ///
    /// # Errors
    /// When the variable isn't set, or holds no key.
    pub fn read(name: impl Into<String>) -> Result<Self, KeyError> {
        let name = name.into();
        let value = std::env::var_os(&name);
        Self::from_value(name, value)
    }

    pub(super) fn from_value(name: String, value: Option<OsString>) -> Result<Self, KeyError> {
        let Some(value) = value else {
            return Err(KeyError::Unset { name });
        };
        let text = Zeroizing::new(value.into_encoded_bytes());
        let key = WrappingKey::from_text(&text);
        key.map(Self).map_err(|problem| KeyError::Malformed {
            place: format!("environment variable `{name}`"),
            problem,
        })
    }
}

macro_rules! wraps_by_itself {
    ($($type:ty),*) => {$(
        impl MasterKey for $type {
            fn id(&self) -> String {
                self.0.id()
            }

            fn wrap(&self, data_key: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
                self.0.wrap(data_key)
            }

            fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, StoreError> {
                self.0.unwrap_key(wrapped)
            }
        }
    )*};
}

wraps_by_itself!(KeyFile, KeyVariable);

/// Why there is no master key. Nothing of a key's text is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Correct the path, or make the file its reader's own. For a new store, make a key with [`KeyFile::generate`].
    #[error("key file `{}` can't be read: {problem}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// Close the file to others. If they may have read it, change the master key and the data key.
    #[error("key file `{0}` is open to others than its owner (mode {mode:03o}): run `chmod 600 {0}`", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Put the key there as it was made. If it is lost, so is what it sealed.
    #[error("{place} holds no key: {problem}")]
    Malformed {
        /// The file or the variable.
        place: String,
        /// What is there instead.
        problem: String,
    },
    /// Set the variable, or correct its name.
    #[error("environment variable `{name}` is not set")]
    Unset {
        /// The variable.
        name: String,
    },
    /// Use the key that is there, or another path.
    #[error("key file `{}` exists and is not overwritten", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Make room, or correct the path.
    #[error("key file `{}` can't be written: {problem}", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
}

/// What the wrapped data keys are sealed for.
const WRAPPED: &[u8] = b"redrive: wrapped data key";
/// The only label a master key's fingerprint is ever made for.
const NAMED: &[u8] = b"redrive: master key";
/// 64 hex digits and a line's end.
const TEXT_MAX: usize = 66;

/// A master key that this process holds: it wraps by itself.
struct WrappingKey(Secret);

impl WrappingKey {
    fn generate() -> Result<Self, StoreError> {
        DataKey::generate().map(|key| Self(key.bytes))
    }

    /// Hex or base64.
    fn from_text(text: &[u8]) -> Result<Self, String> {
        let line = text.strip_suffix(b"\n").unwrap_or(text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let key = match line.len() {
            64 => encoding::from_hex(line),
            43 | 44 => encoding::from_base64(line),
            _ => None,
        };
        key.and_then(|key| Self::from_bytes(&key)).ok_or_else(|| {
            let length = match text.len() {
                0..=TEXT_MAX => format!("its {} bytes", text.len()),
                _ => format!("its more than {TEXT_MAX} bytes"),
            };
            format!("{length} are neither 64 hex digits nor base64 of {KEY_BYTES} bytes")
        })
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(secret(bytes)))
    }

    /// Writes it as hex, and returns when that is durable.
    fn keep(&self, mut file: File) -> io::Result<()> {
        let text = Zeroizing::new(encoding::to_hex(self.0.as_slice()));
        writeln!(file, "{}", *text)?;
        file.sync_all()
    }

    fn id(&self) -> String {
        format!("key-{:.16}", fingerprint(&self.0, NAMED))
    }

    fn wrap(&self, data_key: &[u8; KEY_BYTES]) -> Result<Vec<u8>, StoreError> {
        seal(&self.0, WRAPPED, data_key)
    }

    fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, StoreError> {
        let opened = open(&self.0, WRAPPED, wrapped).map(Zeroizing::new);
        let opened = opened.map_err(|broken| StoreError::new(broken.to_string()))?;
        if opened.len() != KEY_BYTES {
            let bytes = opened.len();
            return Err(StoreError::new(format!(
                "{bytes} bytes were wrapped, and a data key has {KEY_BYTES}"
            )));
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(&opened);
        Ok(key)
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

/// The key whose bytes are `text` itself, if it has as many. A passphrase of just that length is no random key: bytes at
/// random all look like text once in 40,000,000,000,000 times.
fn raw(text: &[u8]) -> Option<Result<WrappingKey, String>> {
    let key = WrappingKey::from_bytes(text)?;
    let written = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    Some(if text.iter().all(written) {
        Err(format!(
            "its {KEY_BYTES} bytes are text, and a key as it is would be random bytes"
        ))
    } else {
        Ok(key)
    })
}

/// The permissions of a file that others than its owner may open.
#[cfg(unix)]
fn exposed(file: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn exposed(_: &fs::Metadata) -> Option<u32> {
    None
}

/// A new file, closed to others from its first moment on.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// So that the file's name survives a power cut, not its contents alone.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8=";

    /// A folder that goes with its test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("redrive-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, text: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.join("key");
            let _ = fs::remove_file(&path);
            create(&path).unwrap().write_all(text.as_ref()).unwrap();
            path
        }

        fn read(&self, text: impl AsRef<[u8]>) -> Result<KeyFile, KeyError> {
            KeyFile::read(self.file(text))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn variable(value: &str) -> Result<KeyVariable, KeyError> {
        KeyVariable::from_value("REDRIVE_KEY".into(), Some(value.into()))
    }

    #[test]
    fn one_key_has_one_id_however_it_is_written() {
        let folder = Folder::new("one-key");
        let raw = encoding::from_hex(HEX.as_bytes()).unwrap();
        let id = folder.read(&*raw).unwrap().id();
        for text in [
            HEX.to_owned(),
            HEX.to_uppercase(),
            format!("{HEX}\n"),
            format!("{HEX}\r\n"),
            BASE64.to_owned(),
            format!("{BASE64}\n"),
            BASE64.trim_end_matches('=').to_owned(),
        ] {
            assert_eq!(folder.read(&text).unwrap().id(), id, "{text:?}");
            assert_eq!(variable(&text).unwrap().id(), id, "{text:?}");
        }
        let another = HEX.replace("ff", "fe");
        assert_ne!(variable(&another).unwrap().id(), id);
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused() {
        let folder = Folder::new("length");
        for bytes in [0, 1, 16, 31, 33, 48, 64, 66, 67, 5_000] {
            let error = folder.read(vec![0xff; bytes]).unwrap_err().to_string();
            assert!(error.contains("holds no key: its "), "{error}");
        }
        for text in [
            "",
            &HEX[1..],
            &format!("{HEX}0"),
            &format!("{HEX}\n\n"),
            &format!(" {HEX}"),
            &HEX.replace("ff", "fg"),
            &BASE64[1..],
            &BASE64.replace("8=", "9="),
            "correct horse battery staple",
        ] {
            assert!(folder.read(text).is_err(), "{text:?}");
            assert!(variable(text).is_err(), "{text:?}");
        }
        assert_eq!(
            variable("secret").unwrap_err().to_string(),
            "environment variable `REDRIVE_KEY` holds no key: \
             its 6 bytes are neither 64 hex digits nor base64 of 32 bytes"
        );
    }

    #[test]
    fn text_of_32_characters_is_no_key() {
        let folder = Folder::new("text");
        for text in [
            &HEX[..32],
            "correct horse battery staples ..",
            &"0\n".repeat(16),
        ] {
            let error = folder.read(text).unwrap_err().to_string();
            assert!(error.contains("its 32 bytes are text"), "{error}");
        }
    }

    #[test]
    fn a_missing_key_is_named() {
        let folder = Folder::new("missing");
        let error = KeyFile::read(folder.0.join("key")).unwrap_err();
        assert!(matches!(error, KeyError::Unreadable { .. }), "{error}");
        let error = KeyVariable::read("REDRIVE_NO_SUCH_VARIABLE").unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable `REDRIVE_NO_SUCH_VARIABLE` is not set"
        );
        let error = KeyVariable::read("PATH").unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_open_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("exposed");
        let path = folder.file(HEX);
        let read_as = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            KeyFile::read(&path)
        };
        for mode in [0o600, 0o400, 0o700] {
            read_as(mode).unwrap();
        }
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777] {
            let error = read_as(mode).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "key file `{0}` is open to others than its owner (mode {mode:o}): run `chmod 600 {0}`",
                    path.display()
                )
            );
        }
    }

    #[test]
    fn a_generated_key_is_new_its_owners_alone_and_readable() {
        let folder = Folder::new("generate");
        let [one, two] = ["one", "two"].map(|name| folder.0.join(name));
        let made = KeyFile::generate(&one).unwrap();
        assert_eq!(KeyFile::read(&one).unwrap().id(), made.id());
        assert_ne!(KeyFile::generate(&two).unwrap().id(), made.id());
        let text = fs::read_to_string(&one).unwrap();
        assert_eq!(text.len(), 65);
        assert!(variable(&text).is_ok_and(|variable| variable.id() == made.id()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&one).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);
        }
    }

    #[test]
    fn generating_overwrites_nothing() {
        let folder = Folder::new("overwrite");
        let path = folder.file("precious");
        let error = KeyFile::generate(&path).unwrap_err();
        assert_eq!(error, KeyError::Exists { path: path.clone() });
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let error = KeyFile::generate(folder.0.join("no/such/folder")).unwrap_err();
        assert!(matches!(error, KeyError::Unwritable { .. }), "{error}");
    }

    #[test]
    fn a_wrapped_key_unwraps_under_its_own_master_key_only() {
        let [master, other] = [HEX.to_owned(), HEX.replace("ff", "fe")];
        let [master, other] = [master, other].map(|text| variable(&text).unwrap());
        let wrapped = master.wrap(&[7; 32]).unwrap();
        assert_eq!(*master.unwrap_key(&wrapped).unwrap(), [7; 32]);
        assert!(other.unwrap_key(&wrapped).is_err());
        for bit in 0..wrapped.len() * 8 {
            let mut damaged = wrapped.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(master.unwrap_key(&damaged).is_err(), "{bit}");
        }
        let short = seal(&(master.0).0, WRAPPED, &[7; 31]).unwrap();
        assert!(master.unwrap_key(&short).is_err());
    }

    #[test]
    fn debug_shows_no_key() {
        let variable = variable(HEX).unwrap();
        let shown = format!("{variable:?}");
        assert_eq!(shown, format!("KeyVariable({})", variable.id()));
        assert!(!shown.contains("0c0d") && !shown.contains("12, 13"));
    }
}
