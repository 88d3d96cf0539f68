//! The resource policies that were parsed lately.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::function::configuration::Permissions;
use crate::http::error::ApiError;
use crate::policy::ResourcePolicy;

/// Parsed policies that are kept.
const CACHED_MAX: usize = 1_024;

/// Parsed policies by their revision, each with its text: a program may change the text alone, or give one function's policy
/// to another.
#[derive(Default)]
pub(super) struct PolicyCache(Mutex<HashMap<Uuid, (String, Arc<ResourcePolicy>)>>);

impl PolicyCache {
    /// Returns the parsed policy.
    ///
    /// # Errors
    /// When the text is not a policy: it can't allow anything, and might deny.
    pub(super) fn get(&self, permissions: &Permissions) -> Result<Arc<ResourcePolicy>, ApiError> {
        if let Some((text, known)) = self.0.lock().get(&permissions.revision)
            && *text == permissions.policy
        {
            return Ok(known.clone());
        }
        let policy: ResourcePolicy = permissions.policy.parse().map_err(|error| {
            ApiError::access_denied(format!("the function's policy can't be read: {error}"))
        })?;
        let policy = Arc::new(policy);
        let mut all = self.0.lock();
        if all.len() >= CACHED_MAX {
            all.clear();
        }
        let text = permissions.policy.clone();
        all.insert(permissions.revision, (text, policy.clone()));
        Ok(policy)
    }
}
