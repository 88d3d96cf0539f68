use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::error::StoreError;
use crate::store::encryption::keys_file::with_head;
use crate::store::encryption::{KeyVariable, Zeroizing};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// A KMS that wraps by XOR, with a chosen fault.
struct Kms {
    id: &'static str,
    mask: u8,
    fault: KmsFault,
}

#[derive(Clone, Copy, PartialEq)]
enum KmsFault {
    None,
    RefusesToWrap,
    RefusesToUnwrap,
    UnwrapsToZeroes,
}

const KMS: Kms = Kms {
    id: "arn:aws:kms:eu-central-1:1:key/\"a b\"\n",
    mask: 0x5a,
    fault: KmsFault::None,
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
        if self.fault == KmsFault::RefusesToWrap {
            return Err(StoreError::new("the KMS is away"));
        }
        Ok(data_key.iter().map(|byte| byte ^ self.mask).collect())
    }

    fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        if self.fault == KmsFault::RefusesToUnwrap {
            return Err(StoreError::new("the KMS is away"));
        }
        let mut key: [u8; 32] = wrapped
            .try_into()
            .map_err(|_| StoreError::new("wrong length"))?;
        key.iter_mut().for_each(|byte| *byte ^= self.mask);
        if self.fault == KmsFault::UnwrapsToZeroes {
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

fn encrypted(keyring: &Keyring) -> (u32, Vec<u8>) {
    let (number, key) = keyring.current();
    (number, key.encrypt(b"event", b"secret").unwrap())
}

fn decrypts(keyring: &Keyring, (number, encrypted): &(u32, Vec<u8>)) -> bool {
    let key = keyring.get(*number).unwrap();
    key.decrypt(b"event", encrypted).as_deref() == Ok(b"secret")
}

fn rest(keyring: &Keyring) -> String {
    let text = String::from_utf8(keyring.to_bytes()).unwrap();
    text.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn a_keyring_is_read_as_it_was_written() {
    let keyring = keyring();
    let again = load(&keyring.to_bytes()).unwrap();
    assert_eq!(again.to_bytes(), keyring.to_bytes());
    assert_eq!(again.current().0, 3);
    assert_eq!(again.current.created_at, seconds(3));
    assert!(decrypts(&again, &encrypted(&keyring)));
}

#[test]
fn a_new_data_key_encrypts_and_the_old_ones_still_decrypt() {
    let keyring = Keyring::create(&KMS, 1, NOW).unwrap();
    let old = encrypted(&keyring);
    let keyring = keyring.rotate_data_key(&KMS, seconds(1)).unwrap();
    let new = encrypted(&keyring);
    assert_eq!((old.0, new.0), (1, 2));
    let again = load(&keyring.to_bytes()).unwrap();
    for keyring in [&keyring, &again] {
        assert!(decrypts(keyring, &old) && decrypts(keyring, &new));
        assert!(!decrypts(keyring, &(1, new.1.clone())));
        assert!(keyring.get(0).is_none() && keyring.get(3).is_none());
    }
}

#[test]
fn a_new_master_key_keeps_the_data_keys_of_the_old_one() {
    let keyring = keyring();
    let before = encrypted(&keyring);
    let keyring = keyring.rotate_master(&OTHER).unwrap();
    assert!(decrypts(&keyring, &before));
    let bytes = keyring.to_bytes();
    let again = Keyring::load(&bytes, &OTHER).unwrap();
    assert!(decrypts(&again, &before) && again.get(1).is_some());
    assert!(matches!(
        load(&bytes),
        Err(KeyringError::WrongMaster { .. })
    ));
    keyring.rotate_data_key(&OTHER, NOW).unwrap();
}

#[test]
fn the_error_for_a_wrong_master_key_names_both_keys() {
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
fn another_master_key_with_the_same_id_is_refused() {
    let impostor = Kms { mask: 1, ..KMS };
    let error = Keyring::load(&keyring().to_bytes(), &impostor).unwrap_err();
    assert!(
        matches!(error, KeyringError::Mistaken { number: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_master_key_that_cannot_wrap_and_unwrap_is_refused() {
    let keyring = keyring();
    for fault in [
        KmsFault::RefusesToWrap,
        KmsFault::RefusesToUnwrap,
        KmsFault::UnwrapsToZeroes,
    ] {
        let master = Kms { fault, ..KMS };
        assert!(Keyring::create(&master, 1, NOW).is_err());
        assert!(keyring.rotate_data_key(&master, NOW).is_err());
        assert!(keyring.rotate_master(&master).is_err());
    }
}

#[test]
fn no_data_key_follows_the_last_number() {
    let mut keyring = keyring();
    keyring.current.number = u32::MAX;
    let error = keyring.rotate_data_key(&KMS, NOW).unwrap_err();
    assert!(matches!(error, KeyringError::Full), "{error}");
}

#[test]
fn a_file_of_keys_with_a_flipped_bit_is_refused() {
    let bytes = keyring().to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(load(&damaged).is_err(), "{bit}");
    }
}

#[test]
fn a_part_of_a_file_of_keys_is_refused() {
    let bytes = keyring().to_bytes();
    for length in 0..bytes.len() {
        assert!(load(&bytes[..length]).is_err(), "{length}");
    }
    assert!(load(&[&bytes[..], b"\n"].concat()).is_err());
}

#[test]
fn a_later_version_is_not_reported_as_damage() {
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

/// Forged contents, with a valid checksum.
#[test]
fn contradictory_contents_are_refused() {
    let rest = rest(&keyring());
    let file = || serde_json::from_str::<KeysFile>(&rest).unwrap();
    let refused = |file: &KeysFile| load(&file.write()).unwrap_err();

    let mut empty = file();
    empty.keys.clear();
    assert!(matches!(refused(&empty), KeyringError::Damaged { .. }));

    let mut twice = file();
    twice.keys[0].number = 2;
    assert!(matches!(refused(&twice), KeyringError::Damaged { .. }));

    let mut renumbered = file();
    renumbered.keys[2].number = 4;
    assert!(matches!(
        refused(&renumbered),
        KeyringError::Mistaken { number: 4, .. }
    ));

    let mut swapped = file();
    let wrapped = std::mem::take(&mut swapped.keys[0].wrapped);
    swapped.keys[0].wrapped = std::mem::replace(&mut swapped.keys[1].wrapped, wrapped);
    assert!(matches!(
        refused(&swapped),
        KeyringError::Mistaken { number: 1, .. }
    ));

    for wrapped in ["", "0", "zz", "00"] {
        let mut odd = file();
        odd.keys[1].wrapped = wrapped.into();
        refused(&odd);
    }
    for rest in ["", "{}", "[]", "null", "{\"master\":\"x\",\"keys\":0}"] {
        let error = load(with_head(rest).as_bytes()).unwrap_err();
        assert!(matches!(error, KeyringError::Damaged { .. }), "{rest}");
    }
}

#[test]
fn creation_times_out_of_range_are_clamped() {
    let mut keyring = keyring();
    keyring.current.created_at = NOW - Duration::from_secs(1);
    let again = load(&keyring.to_bytes()).unwrap();
    assert_eq!(again.current.created_at, NOW);
    let mut file: KeysFile = serde_json::from_str(&rest(&keyring)).unwrap();
    file.keys[2].created_at = u64::MAX;
    // The result depends on the range of the system's clock.
    let _ = load(&file.write());
}

#[test]
fn debug_output_of_a_keyring_hides_its_keys() {
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
    fn any_damage_to_a_file_of_keys_is_an_error(damage in damage()) {
        let bytes = keyring().to_bytes();
        let damaged = damaged_by(bytes.clone(), &damage);
        prop_assert!(damaged == bytes || load(&damaged).is_err());
    }

    #[test]
    fn random_bytes_are_not_a_keyring(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(load(&bytes).is_err());
    }

    /// Behind a valid checksum, damage reaches the parser. A key that it still reads is one of the original keys.
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
