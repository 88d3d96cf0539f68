//! The data keys of a store: the newest seals, the older ones still open what they sealed. They lie wrapped by the master
//! key in the store's file `keys`, which the store reads and writes; here is what stands in it.
//!
//! ```text
//! redrive keys 2 3a5f…           version, and a checksum of the rest
//! { "master": "key-90c4…",       the master key that is wanted
//!   "since": 1,                  the first segment of the log that is sealed
//!   "keys": [ { "number": 1, "created_at": …, "wrapped": "…", "check": "…" } ] }
//! ```
//!
//! The checksum tells damage from a wrong master key. It is no signature: that nobody else made the keys is the master
//! key's own promise, and each `check` ties a number, and where the sealing began, to its key.

use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{DataKey, KEY_BYTES, MasterKey, encoding, fingerprint, secret};
use crate::error::{StoreError, StoreErrorKind};

/// A store's data keys, of which there is always one to seal with. It doesn't change: a rotation makes another one, and that
/// must be durable before it takes the place of this one, or what it seals is lost with the power.
pub(crate) struct Keyring {
    /// The id of the one master key that wrapped them all.
    master: String,
    /// The first segment of the log that is sealed.
    since: u32,
    /// Numbers ascend, and the current one is above them.
    older: Vec<Entry>,
    current: Entry,
}

#[derive(Clone)]
struct Entry {
    number: u32,
    created_at: SystemTime,
    key: Arc<DataKey>,
    wrapped: Vec<u8>,
}

impl Keyring {
    /// A keyring with one new data key, for what is sealed from segment `since` of the log on.
    pub(crate) fn create(
        master: &dyn MasterKey,
        since: u32,
        now: SystemTime,
    ) -> Result<Self, KeyringError> {
        Ok(Self {
            master: master.id(),
            since,
            older: Vec::new(),
            current: Entry::create(1, master, now)?,
        })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub(crate) fn load(bytes: &[u8], master: &dyn MasterKey) -> Result<Self, KeyringError> {
        let sheet = Sheet::read(bytes)?;
        require(&sheet.master, master)?;
        let since = sheet.since;
        let entries = sheet.keys.into_iter();
        let entries = entries.map(|row| row.unwrap_with(master, since));
        let mut older: Vec<Entry> = entries.collect::<Result<_, _>>()?;
        let current = older.pop().ok_or_else(|| damaged("there is none"))?;
        Ok(Self {
            master: sheet.master,
            since,
            older,
            current,
        })
    }

    /// Is this the master key that is wanted? What can't be read is wrapped by none.
    pub(crate) fn is_wrapped_by(bytes: &[u8], master: &dyn MasterKey) -> bool {
        Sheet::read(bytes).is_ok_and(|sheet| sheet.master == master.id())
    }

    /// What the store keeps.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        Sheet {
            master: self.master.clone(),
            since: self.since,
            keys: self
                .ascending()
                .map(|entry| Row::new(entry, self.since))
                .collect(),
        }
        .write()
    }

    /// The data key to seal with, and its number, which must be kept beside what it seals.
    pub(crate) fn current(&self) -> (u32, &DataKey) {
        (self.current.number, &self.current.key)
    }

    /// The data key to open with.
    pub(crate) fn get(&self, number: u32) -> Option<&DataKey> {
        let mut descending = iter::once(&self.current).chain(self.older.iter().rev());
        let entry = descending.find(|entry| entry.number == number)?;
        Some(&entry.key)
    }

    /// This keyring under another master key. Every data key is wrapped anew; what they sealed stays as it is.
    ///
    /// The data keys are the same: if the old master key is known to others, rotate the data key too. Whoever has the old
    /// file as well still reads what was sealed until then.
    pub(crate) fn rotate_master(&self, new: &dyn MasterKey) -> Result<Self, KeyringError> {
        let rewrap = |entry: &Entry| {
            Ok(Entry {
                wrapped: wrap(new, entry.number, &entry.key)?,
                ..entry.clone()
            })
        };
        Ok(Self {
            master: new.id(),
            since: self.since,
            older: self.older.iter().map(rewrap).collect::<Result<_, _>>()?,
            current: rewrap(&self.current)?,
        })
    }

    /// This keyring with a new data key for what is sealed from now on.
    pub(crate) fn rotate_data_key(
        &self,
        master: &dyn MasterKey,
        now: SystemTime,
    ) -> Result<Self, KeyringError> {
        require(&self.master, master)?;
        let number = self.current.number.checked_add(1);
        Ok(Self {
            master: self.master.clone(),
            since: self.since,
            older: self.ascending().cloned().collect(),
            current: Entry::create(number.ok_or(KeyringError::Full)?, master, now)?,
        })
    }

    /// What tells it from others: it stays the same whatever is rotated.
    pub(crate) fn id(&self) -> u64 {
        let first = self.older.first().unwrap_or(&self.current);
        id_of(&check(first.number, self.since, &first.key))
    }

    /// The first segment of the log that is sealed.
    pub(crate) fn since(&self) -> u32 {
        self.since
    }

    /// The id and the first sealed segment, as a file of keys says that nobody vouches for.
    pub(crate) fn claimed(bytes: &[u8]) -> Result<(u64, u32), KeyringError> {
        let sheet = Sheet::read(bytes)?;
        let first = sheet.keys.first().ok_or_else(|| damaged("there is none"))?;
        Ok((id_of(&first.check), sheet.since))
    }

    /// A file of keys with these contents, as anyone can write it.
    #[cfg(test)]
    pub(crate) fn forged(rest: &str) -> Vec<u8> {
        with_head(rest).into_bytes()
    }

    fn ascending(&self) -> impl Iterator<Item = &Entry> {
        self.older.iter().chain([&self.current])
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.ascending().count();
        write!(f, "Keyring({count} keys, wrapped by `{}`)", self.master)
    }
}

/// Why there is no keyring, or it did not change.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    /// Give the store the master key that is wanted. To change it, open the store with the old one and rotate.
    #[error("the store's keys are wrapped by master key `{wanted}`, and `{given}` was given")]
    WrongMaster { wanted: String, given: String },
    /// See what the system says. Nothing has changed.
    #[error("no data key could be made: {0}")]
    NotGenerated(StoreError),
    /// See what the master key says. Nothing has changed.
    #[error("master key `{master}` refused data key {number}: {source}")]
    Refused {
        master: String,
        number: u32,
        source: StoreError,
    },
    /// Correct the `MasterKey`: what it unwraps isn't what it wrapped, or it is another one by the same id.
    #[error("master key `{master}` unwraps data key {number} to something else")]
    Mistaken { master: String, number: u32 },
    /// Restore the file from a backup. Without it, what was sealed is lost.
    #[error("the store's keys are damaged: {problem}")]
    Damaged { problem: String },
    /// Open the store with the version of the crate that wrote it, or a later one.
    #[error("the store's keys are of version {version}, and only {VERSION} is known")]
    UnknownVersion { version: u32 },
    /// Start a new store. This one had 4,294,967,295 data keys.
    #[error("there is no number left for another data key")]
    Full,
}

impl From<KeyringError> for StoreError {
    fn from(error: KeyringError) -> Self {
        let kind = match &error {
            KeyringError::Damaged { .. } => StoreErrorKind::Damaged,
            KeyringError::UnknownVersion { .. } => StoreErrorKind::Version,
            _ => StoreErrorKind::Key,
        };
        Self::of(kind, error.to_string())
    }
}

fn damaged(problem: impl fmt::Display) -> KeyringError {
    KeyringError::Damaged {
        problem: problem.to_string(),
    }
}

fn require(wanted: &str, master: &dyn MasterKey) -> Result<(), KeyringError> {
    match master.id() {
        given if given == wanted => Ok(()),
        given => Err(KeyringError::WrongMaster {
            wanted: wanted.to_owned(),
            given,
        }),
    }
}

impl Entry {
    fn create(number: u32, master: &dyn MasterKey, now: SystemTime) -> Result<Self, KeyringError> {
        let key = DataKey::generate().map_err(KeyringError::NotGenerated)?;
        Ok(Self {
            number,
            created_at: now,
            wrapped: wrap(master, number, &key)?,
            key: key.into(),
        })
    }
}

/// Wraps `key`, and unwraps it to see. A master key that can't do both is found now, while nothing is sealed yet, and not
/// when the store is next opened.
fn wrap(master: &dyn MasterKey, number: u32, key: &DataKey) -> Result<Vec<u8>, KeyringError> {
    let wrapped = master
        .wrap(&key.bytes)
        .map_err(|source| refused(master, number, source))?;
    let unwrapped = unwrap(master, number, &wrapped)?;
    if unwrapped.bytes != key.bytes {
        return Err(mistaken(master, number));
    }
    Ok(wrapped)
}

fn unwrap(master: &dyn MasterKey, number: u32, wrapped: &[u8]) -> Result<DataKey, KeyringError> {
    let unwrapped = master
        .unwrap_key(wrapped)
        .map_err(|source| refused(master, number, source))?;
    Ok(DataKey {
        bytes: secret(&unwrapped),
    })
}

fn refused(master: &dyn MasterKey, number: u32, source: StoreError) -> KeyringError {
    KeyringError::Refused {
        master: master.id(),
        number,
        source,
    }
}

fn mistaken(master: &dyn MasterKey, number: u32) -> KeyringError {
    KeyringError::Mistaken {
        master: master.id(),
        number,
    }
}

const MAGIC: &str = "redrive keys";
const VERSION: u32 = 2;
/// Everyone's key: a fingerprint with it is a checksum.
const NO_KEY: [u8; KEY_BYTES] = [0; KEY_BYTES];

/// What is written of a keyring.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    master: String,
    since: u32,
    keys: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    number: u32,
    /// Milliseconds since 1970.
    created_at: u64,
    /// Hex.
    wrapped: String,
    /// The data key's fingerprint for its number, and for where the sealing began.
    check: String,
}

impl Sheet {
    fn write(&self) -> Vec<u8> {
        let rest = serde_json::to_string_pretty(self).expect("text and numbers can be JSON");
        with_head(&rest).into_bytes()
    }

    fn read(bytes: &[u8]) -> Result<Self, KeyringError> {
        let text = std::str::from_utf8(bytes).map_err(damaged)?;
        let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
        let Some(checksum) = head.strip_prefix(&format!("{MAGIC} {VERSION} ")) else {
            return Err(foreign(head));
        };
        if checksum != fingerprint(&NO_KEY, rest.as_bytes()) {
            return Err(damaged("their checksum differs"));
        }
        let sheet: Self = serde_json::from_str(rest).map_err(damaged)?;
        if !sheet.keys.is_sorted_by(|a, b| a.number < b.number) {
            return Err(damaged("their numbers don't ascend"));
        }
        Ok(sheet)
    }
}

fn with_head(rest: &str) -> String {
    let checksum = fingerprint(&NO_KEY, rest.as_bytes());
    format!("{MAGIC} {VERSION} {checksum}\n{rest}")
}

/// Why a file that begins with `head` isn't one of this version.
fn foreign(head: &str) -> KeyringError {
    let mut words = head.strip_prefix(MAGIC).unwrap_or("").split_whitespace();
    match words.next().and_then(|word| word.parse().ok()) {
        Some(version) if version != VERSION => KeyringError::UnknownVersion { version },
        _ => damaged(format_args!("they don't begin with `{MAGIC} {VERSION}`")),
    }
}

impl Row {
    fn new(entry: &Entry, since: u32) -> Self {
        let age = entry.created_at.duration_since(SystemTime::UNIX_EPOCH);
        let created_at = age.map_or(0, |age| age.as_millis().try_into().unwrap_or(u64::MAX));
        Self {
            number: entry.number,
            created_at,
            wrapped: encoding::to_hex(&entry.wrapped),
            check: check(entry.number, since, &entry.key),
        }
    }

    fn unwrap_with(self, master: &dyn MasterKey, since: u32) -> Result<Entry, KeyringError> {
        let number = self.number;
        let wrapped = encoding::from_hex(self.wrapped.as_bytes())
            .ok_or_else(|| damaged(format_args!("data key {number} isn't hex")))?;
        let created_at = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(self.created_at))
            .ok_or_else(|| damaged(format_args!("data key {number} is of no known time")))?;
        let key = unwrap(master, number, &wrapped)?;
        if self.check != check(number, since, &key) {
            return Err(mistaken(master, number));
        }
        Ok(Entry {
            number,
            created_at,
            key: key.into(),
            wrapped: wrapped.to_vec(),
        })
    }
}

/// A data key has one number all its life, and one keyring, so its fingerprint is made for one label only.
fn check(number: u32, since: u32, key: &DataKey) -> String {
    let label = format!("redrive: data key {number}, since segment {since}");
    fingerprint(&key.bytes, label.as_bytes())
}

/// The first half of a check, or as much of it as is hex.
fn id_of(check: &str) -> u64 {
    let half = check.get(..16).unwrap_or_default();
    u64::from_str_radix(half, 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::encryption::{KeyVariable, Zeroizing};

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    /// A KMS of one's own: it wraps by XOR, and does as it is told.
    struct Kms {
        id: &'static str,
        mask: u8,
        fault: Fault,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Fault {
        None,
        RefusesToWrap,
        RefusesToUnwrap,
        UnwrapsToZeroes,
    }

    const KMS: Kms = Kms {
        id: "arn:aws:kms:eu-central-1:1:key/\"a b\"\n",
        mask: 0x5a,
        fault: Fault::None,
    };
    const OTHER: Kms = Kms {
        id: "other",
        mask: 0xa5,
        ..KMS
    };

    impl MasterKey for Kms {
        fn id(&self) -> String {
            self.id.into()
        }

        fn wrap(&self, data_key: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
            if self.fault == Fault::RefusesToWrap {
                return Err(StoreError::new("the KMS is away"));
            }
            Ok(data_key.iter().map(|byte| byte ^ self.mask).collect())
        }

        fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, StoreError> {
            if self.fault == Fault::RefusesToUnwrap {
                return Err(StoreError::new("the KMS is away"));
            }
            let mut key: [u8; 32] = wrapped
                .try_into()
                .map_err(|_| StoreError::new("wrong length"))?;
            key.iter_mut().for_each(|byte| *byte ^= self.mask);
            if self.fault == Fault::UnwrapsToZeroes {
                key = [0; 32];
            }
            Ok(Zeroizing::new(key))
        }
    }

    fn seconds(seconds: u64) -> SystemTime {
        NOW + Duration::from_secs(seconds)
    }

    /// Three data keys.
    fn keyring() -> Keyring {
        let mut keyring = Keyring::create(&KMS, 1, seconds(1)).unwrap();
        for second in [2, 3] {
            keyring = keyring.rotate_data_key(&KMS, seconds(second)).unwrap();
        }
        keyring
    }

    fn load(bytes: &[u8]) -> Result<Keyring, KeyringError> {
        Keyring::load(bytes, &KMS)
    }

    fn sealed(keyring: &Keyring) -> (u32, Vec<u8>) {
        let (number, key) = keyring.current();
        (number, key.seal(b"event", b"secret").unwrap())
    }

    fn opens(keyring: &Keyring, (number, sealed): &(u32, Vec<u8>)) -> bool {
        let key = keyring.get(*number).unwrap();
        key.open(b"event", sealed).as_deref() == Ok(b"secret")
    }

    fn rest(keyring: &Keyring) -> String {
        let text = String::from_utf8(keyring.to_bytes()).unwrap();
        text.split_once('\n').unwrap().1.to_owned()
    }

    #[test]
    fn what_is_written_is_read() {
        let keyring = keyring();
        let again = load(&keyring.to_bytes()).unwrap();
        assert_eq!(again.to_bytes(), keyring.to_bytes());
        assert_eq!(again.current().0, 3);
        assert_eq!(again.current.created_at, seconds(3));
        assert!(opens(&again, &sealed(&keyring)));
    }

    #[test]
    fn a_new_data_key_seals_from_now_on_and_the_old_ones_still_open() {
        let keyring = Keyring::create(&KMS, 1, NOW).unwrap();
        let old = sealed(&keyring);
        let keyring = keyring.rotate_data_key(&KMS, seconds(1)).unwrap();
        let new = sealed(&keyring);
        assert_eq!((old.0, new.0), (1, 2));
        let again = load(&keyring.to_bytes()).unwrap();
        for keyring in [&keyring, &again] {
            assert!(opens(keyring, &old) && opens(keyring, &new));
            assert!(!opens(keyring, &(1, new.1.clone())));
            assert!(keyring.get(0).is_none() && keyring.get(3).is_none());
        }
    }

    #[test]
    fn a_new_master_key_opens_what_was_sealed_under_the_old_one() {
        let keyring = keyring();
        let before = sealed(&keyring);
        let keyring = keyring.rotate_master(&OTHER).unwrap();
        assert!(opens(&keyring, &before));
        let bytes = keyring.to_bytes();
        let again = Keyring::load(&bytes, &OTHER).unwrap();
        assert!(opens(&again, &before) && again.get(1).is_some());
        assert!(matches!(
            load(&bytes),
            Err(KeyringError::WrongMaster { .. })
        ));
        keyring.rotate_data_key(&OTHER, NOW).unwrap();
    }

    #[test]
    fn a_wrong_master_key_is_named_with_the_one_that_is_wanted() {
        let [one, two] = ["0", "1"].map(|digit| {
            let value = Some(digit.repeat(64).into());
            KeyVariable::from_value("KEY".into(), value).unwrap()
        });
        let keyring = Keyring::create(&one, 1, NOW).unwrap();
        let expected = format!(
            "the store's keys are wrapped by master key `{}`, and `{}` was given",
            one.id(),
            two.id()
        );
        let error = Keyring::load(&keyring.to_bytes(), &two).unwrap_err();
        assert_eq!(StoreError::from(error).to_string(), expected);
        let error = keyring.rotate_data_key(&two, NOW).unwrap_err();
        assert_eq!(error.to_string(), expected);
        Keyring::load(&keyring.to_bytes(), &one).unwrap();
    }

    #[test]
    fn another_key_of_the_same_id_is_found_out() {
        let impostor = Kms { mask: 1, ..KMS };
        let error = Keyring::load(&keyring().to_bytes(), &impostor).unwrap_err();
        assert!(
            matches!(error, KeyringError::Mistaken { number: 1, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_master_key_that_can_not_both_wrap_and_unwrap_is_not_relied_on() {
        let keyring = keyring();
        for fault in [
            Fault::RefusesToWrap,
            Fault::RefusesToUnwrap,
            Fault::UnwrapsToZeroes,
        ] {
            let master = Kms { fault, ..KMS };
            assert!(Keyring::create(&master, 1, NOW).is_err());
            assert!(keyring.rotate_data_key(&master, NOW).is_err());
            assert!(keyring.rotate_master(&master).is_err());
        }
    }

    #[test]
    fn the_last_number_is_the_last() {
        let mut keyring = keyring();
        keyring.current.number = u32::MAX;
        let error = keyring.rotate_data_key(&KMS, NOW).unwrap_err();
        assert!(matches!(error, KeyringError::Full), "{error}");
    }

    #[test]
    fn each_flipped_bit_is_refused() {
        let bytes = keyring().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(load(&damaged).is_err(), "{bit}");
        }
    }

    #[test]
    fn a_part_is_refused() {
        let bytes = keyring().to_bytes();
        for length in 0..bytes.len() {
            assert!(load(&bytes[..length]).is_err(), "{length}");
        }
        assert!(load(&[&bytes[..], b"\n"].concat()).is_err());
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let text = String::from_utf8(keyring().to_bytes()).unwrap();
        let error = load(text.replacen("keys 2", "keys 12", 1).as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the store's keys are of version 12, and only 2 is known"
        );
        for head in [
            "keys 02", "keys +2", "keys  2", "keys one", "keys", "Keys 1",
        ] {
            let error = load(text.replacen("keys 2", head, 1).as_bytes()).unwrap_err();
            assert!(matches!(error, KeyringError::Damaged { .. }), "{head}");
        }
    }

    /// What no checksum finds: somebody wrote it so.
    #[test]
    fn contents_that_make_no_sense_are_refused() {
        let rest = rest(&keyring());
        let sheet = || serde_json::from_str::<Sheet>(&rest).unwrap();
        let refused = |sheet: &Sheet| load(&sheet.write()).unwrap_err();

        let mut empty = sheet();
        empty.keys.clear();
        assert!(matches!(refused(&empty), KeyringError::Damaged { .. }));

        let mut twice = sheet();
        twice.keys[0].number = 2;
        assert!(matches!(refused(&twice), KeyringError::Damaged { .. }));

        let mut renumbered = sheet();
        renumbered.keys[2].number = 4;
        assert!(matches!(
            refused(&renumbered),
            KeyringError::Mistaken { number: 4, .. }
        ));

        let mut swapped = sheet();
        let wrapped = std::mem::take(&mut swapped.keys[0].wrapped);
        swapped.keys[0].wrapped = std::mem::replace(&mut swapped.keys[1].wrapped, wrapped);
        assert!(matches!(
            refused(&swapped),
            KeyringError::Mistaken { number: 1, .. }
        ));

        for wrapped in ["", "0", "zz", "00"] {
            let mut odd = sheet();
            odd.keys[1].wrapped = wrapped.into();
            refused(&odd);
        }
        for rest in ["", "{}", "[]", "null", "{\"master\":\"x\",\"keys\":0}"] {
            let error = load(with_head(rest).as_bytes()).unwrap_err();
            assert!(matches!(error, KeyringError::Damaged { .. }), "{rest}");
        }
    }

    #[test]
    fn times_out_of_range_do_no_harm() {
        let mut keyring = keyring();
        keyring.current.created_at = NOW - Duration::from_secs(1);
        let again = load(&keyring.to_bytes()).unwrap();
        assert_eq!(again.current.created_at, NOW);
        let mut sheet: Sheet = serde_json::from_str(&rest(&keyring)).unwrap();
        sheet.keys[2].created_at = u64::MAX;
        // Whether the system knows that time is its own affair.
        let _ = load(&sheet.write());
    }

    #[test]
    fn debug_shows_no_key() {
        let keyring = Keyring::create(&OTHER, 1, NOW).unwrap();
        let keyring = keyring.rotate_data_key(&OTHER, NOW).unwrap();
        assert_eq!(
            format!("{keyring:?}"),
            "Keyring(2 keys, wrapped by `other`)"
        );
    }

    fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
        prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 1..8)
    }

    /// Overwrites, inserts and removes bytes.
    fn damaged_by(mut bytes: Vec<u8>, damage: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
        for (at, kind, byte) in damage {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = *byte,
                1 => bytes.insert(at, *byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_damage_is_an_error(damage in damage()) {
            let bytes = keyring().to_bytes();
            let damaged = damaged_by(bytes.clone(), &damage);
            prop_assert!(damaged == bytes || load(&damaged).is_err());
        }

        #[test]
        fn no_bytes_are_a_keyring_by_chance(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(load(&bytes).is_err());
        }

        /// Damage that the checksum can't see reaches what lies behind it. Whatever is read then has its own keys.
        #[test]
        fn damage_behind_the_checksum_never_changes_a_key(damage in damage()) {
            let keyring = keyring();
            let damaged = damaged_by(rest(&keyring).into_bytes(), &damage);
            if let Ok(rest) = std::str::from_utf8(&damaged)
                && let Ok(read) = load(with_head(rest).as_bytes())
            {
                for entry in read.ascending() {
                    prop_assert!(keyring.get(entry.number).is_some_and(|key| key.bytes == entry.key.bytes));
                }
            }
        }
    }
}
