//! A master key in an environment variable.

use std::ffi::OsString;

use zeroize::Zeroizing;

use super::key_error::KeyError;
use super::master_key::MasterKey;
use super::wrapping_key::WrappingKey;
use crate::error::StoreError;

/// A master key in an environment variable, as 64 hex digits or as base64.
///
/// Child processes inherit the environment, and some tools log it: prefer a [`KeyFile`](super::KeyFile) where there is a
/// choice. Its id comes from the key itself, so the variable may be renamed, or become a file.
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

impl MasterKey for KeyVariable {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_unset_or_holds_no_key_is_refused() {
        let error = KeyVariable::read("REDRIVE_NO_SUCH_VARIABLE").unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable `REDRIVE_NO_SUCH_VARIABLE` is not set"
        );
        let error = KeyVariable::read("PATH").unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
        let error = KeyVariable::from_value("REDRIVE_KEY".into(), Some("secret".into()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "environment variable `REDRIVE_KEY` holds no key: \
             its 6 bytes are neither 64 hex digits nor base64 of 32 bytes"
        );
    }

    #[test]
    fn debug_output_of_a_key_variable_shows_its_id_only() {
        let digits = "0c0d".repeat(16);
        let variable = KeyVariable::from_value("KEY".into(), Some(digits.into())).unwrap();
        let shown = format!("{variable:?}");
        assert_eq!(shown, format!("KeyVariable({})", variable.id()));
        assert!(!shown.contains("0c0d") && !shown.contains("12, 13"));
    }
}
