//! The functions' configurations as the store keeps them: one JSON document.

use std::collections::BTreeMap;

use super::StoreLink;
use crate::error::{StoreError, StoreErrorKind};
use crate::function::configuration::Configuration;

impl StoreLink {
    /// Returns the configurations in the store, by function name. None without a store.
    pub(crate) async fn configurations(
        &self,
    ) -> Result<BTreeMap<String, Configuration>, StoreError> {
        let Some(link) = &self.link else {
            return Ok(BTreeMap::new());
        };
        let kept = link.ask(|store, reply| store.configured(reply)).await?;
        let Some(document) = kept else {
            return Ok(BTreeMap::new());
        };
        serde_json::from_str(&document).map_err(|error| {
            let message = format!(
                "the functions' configuration can't be read: {error}; it was written by another version of redrive, or by hand"
            );
            StoreError::of(StoreErrorKind::Damaged, message)
        })
    }

    /// Replaces the configurations in the store; durable when it returns. Does nothing without a store.
    pub(crate) async fn keep_configurations(
        &self,
        all: &BTreeMap<String, Configuration>,
    ) -> Result<(), StoreError> {
        let Some(link) = &self.link else {
            return Ok(());
        };
        let document =
            serde_json::to_string(all).map_err(|error| StoreError::new(error.to_string()))?;
        link.ask(|store, reply| store.configure(document, reply))
            .await
    }
}
