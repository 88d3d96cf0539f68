//! The names under which a function can be invoked: `$LATEST`, its versions, and its aliases.
//!
//! All of them run the handler that is registered: a version is a number that the program gives to its own build,
//! so that callers, records and settings can distinguish builds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::event::meta::LATEST;

/// A function's versions and aliases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    published: BTreeSet<u64>,
    aliases: BTreeMap<String, Alias>,
}

/// A name for a version, or for two of them with a weight.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Alias {
    /// Its name.
    pub name: String,
    /// The version that it stands for.
    pub version: u64,
    /// Another version that it stands for at times, and how often, from 0 to 1 (NAM-15).
    pub second: Option<(u64, f64)>,
}

/// NAM-14
const ALIAS_MAX: usize = 128;

impl Versions {
    pub(crate) const fn new() -> Self {
        Self {
            published: BTreeSet::new(),
            aliases: BTreeMap::new(),
        }
    }

    pub(crate) fn publish(&mut self, version: u64) {
        self.published.insert(version);
    }

    pub(crate) fn alias(&mut self, alias: Alias) {
        self.aliases.insert(alias.name.clone(), alias);
    }

    /// The published versions, in order.
    pub(crate) fn published(&self) -> impl Iterator<Item = u64> + '_ {
        self.published.iter().copied()
    }

    pub(crate) fn aliases(&self) -> impl Iterator<Item = &Alias> {
        self.aliases.values()
    }

    /// Returns whether the function can be invoked under this qualifier.
    pub(crate) fn knows(&self, qualifier: &str) -> bool {
        self.version(qualifier, 0.0).is_some()
    }

    /// Returns the version that `qualifier` stands for; `chance`, from 0 to 1, chooses between two (NAM-15).
    pub(crate) fn version(&self, qualifier: &str, chance: f64) -> Option<Arc<str>> {
        if qualifier == LATEST {
            return Some(LATEST.into());
        }
        if let Some(alias) = self.aliases.get(qualifier) {
            let version = match alias.second {
                Some((second, weight)) if chance < weight => second,
                _ => alias.version,
            };
            return Some(version.to_string().into());
        }
        let number: u64 = qualifier.parse().ok()?;
        // As it is written: `007` and `+7` do not name version 7.
        let text = number.to_string();
        (text == qualifier && self.published.contains(&number)).then(|| text.into())
    }

    /// Returns the faults, each with its setting.
    pub(crate) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.published.contains(&0) {
            let problem = "is 0: versions are counted from 1".to_owned();
            faults.push(("version", problem));
        }
        for alias in self.aliases.values() {
            faults.extend(self.fault(alias).map(|problem| ("alias", problem)));
        }
        faults
    }

    fn fault(&self, alias: &Alias) -> Option<String> {
        let Alias {
            name,
            version,
            second,
        } = alias;
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > ALIAS_MAX || !name.chars().all(legal) {
            return Some(format!(
                "is {name:?}: use 1 to {ALIAS_MAX} letters, digits, `-` and `_`"
            ));
        }
        if name.chars().all(|c| c.is_ascii_digit()) {
            return Some(format!(
                "is {name:?}: a name of digits alone would be a version"
            ));
        }
        let targets = [Some(*version), second.map(|(version, _)| version)];
        let missing = |version: &u64| !self.published.contains(version);
        if let Some(version) = targets.into_iter().flatten().find(missing) {
            return Some(format!(
                "{name:?} stands for version {version}, which the function doesn't have: add `.version({version})`"
            ));
        }
        let (_, weight) = (*second)?;
        (!(0.0..=1.0).contains(&weight))
            .then(|| format!("{name:?} has a weight of {weight}: use 0 to 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions() -> Versions {
        let mut versions = Versions::default();
        versions.publish(1);
        versions.publish(2);
        versions.alias(Alias {
            name: "live".to_owned(),
            version: 1,
            second: Some((2, 0.25)),
        });
        versions
    }

    /// NAM-10, NAM-13, NAM-15
    #[test]
    fn a_qualifier_stands_for_a_version_or_for_none() {
        let versions = versions();
        let version = |qualifier, chance| versions.version(qualifier, chance);
        assert_eq!(version("$LATEST", 0.5).as_deref(), Some("$LATEST"));
        assert_eq!(version("2", 0.5).as_deref(), Some("2"));
        assert_eq!(version("live", 0.2).as_deref(), Some("2"));
        assert_eq!(version("live", 0.25).as_deref(), Some("1"));
        for unknown in ["3", "02", "+2", "$latest", "Live", ""] {
            assert_eq!(version(unknown, 0.5), None, "{unknown}");
        }
    }

    /// NAM-14
    #[test]
    fn every_faulty_alias_is_named() {
        let mut versions = versions();
        let (longest, long) = ("a".repeat(128), "a".repeat(129));
        for name in [&*longest, "1a", "-", "_", "A-z_9"] {
            let (name, second) = (name.to_owned(), None);
            versions.alias(Alias {
                name,
                version: 1,
                second,
            });
        }
        assert!(versions.faults().is_empty());
        for (name, version, second) in [
            ("", 1, None),
            (&long, 1, None),
            ("ä", 1, None),
            ("a.b", 1, None),
            ("12", 1, None),
            ("a b", 1, None),
            ("gone", 9, None),
            ("half", 1, Some((8, 0.5))),
            ("more", 1, Some((2, 1.5))),
        ] {
            versions.alias(Alias {
                name: name.to_owned(),
                version,
                second,
            });
        }
        let faults = versions.faults();
        assert_eq!(faults.len(), 9, "{faults:?}");
        assert!(faults.iter().all(|(field, _)| *field == "alias"));
    }
}
