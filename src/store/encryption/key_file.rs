//! A master key in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::aead::KEY_BYTES;
use super::key_error::KeyError;
use super::master_key::MasterKey;
use super::wrapping_key::{TEXT_MAX, WrappingKey};
use crate::error::StoreError;

/// A master key in a separate file: 32 random bytes, as they are, as 64 hex digits, or as base64.
///
/// The file is read once. Where there are permissions, it must be open to its owner only (mode 600 or 400); elsewhere,
/// guarding it is up to you. Keep it, and a copy of it, apart from the store and its backups.
///
/// Its id comes from the key itself, so the file may be moved, or become a [`KeyVariable`](super::KeyVariable).
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
        // The permissions of the open file: the path may lead elsewhere by now.
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

    /// Makes a new key and writes it to `path` as hex, readable by its owner only. Returns it once it is durable.
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
        if let Err(error) = write(&key, file).and_then(|()| sync_folder(&path)) {
            // A part of a key would block the next attempt. If it can't be removed either, that attempt returns `Exists`.
            let _ = fs::remove_file(&path);
            return Err(unwritable(error.to_string()));
        }
        Ok(Self(key))
    }
}

impl MasterKey for KeyFile {
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

/// Returns the key whose 32 bytes are `text` itself; `None` for any other length. 32 readable characters are refused as a
/// passphrase: random bytes are all readable once in 40,000,000,000,000 keys.
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

/// Writes the key as hex, and returns when that is durable.
fn write(key: &WrappingKey, mut file: File) -> io::Result<()> {
    writeln!(file, "{}", *key.to_hex())?;
    file.sync_all()
}

/// Returns the permissions of a file that others than its owner may open; `None` for a file that only its owner may.
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

/// Creates a file that is closed to others from its first moment on.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the file's name durable, not its contents alone.
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
    use crate::store::encryption::KeyVariable;
    use crate::store::encryption::encoding;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8=";

    /// A folder that is removed with its test.
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
    fn one_key_has_one_id_in_every_spelling() {
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
    }

    #[test]
    fn text_of_32_characters_is_not_a_key() {
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
    fn a_missing_key_file_is_named() {
        let folder = Folder::new("missing");
        let error = KeyFile::read(folder.0.join("key")).unwrap_err();
        assert!(matches!(error, KeyError::Unreadable { .. }), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_open_is_refused() {
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
    fn a_generated_key_file_is_new_private_and_readable() {
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
    fn generating_a_key_overwrites_no_file() {
        let folder = Folder::new("overwrite");
        let path = folder.file("precious");
        let error = KeyFile::generate(&path).unwrap_err();
        assert_eq!(error, KeyError::Exists { path: path.clone() });
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let error = KeyFile::generate(folder.0.join("no/such/folder")).unwrap_err();
        assert!(matches!(error, KeyError::Unwritable { .. }), "{error}");
    }
}
