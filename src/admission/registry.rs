//! The functions of a runtime, by name and by number.
//!
//! A name is known from registration to unregistration, a number until the function is wound up as well: an id leads to
//! its event that long. Numbers are reused, since an id has room for few. Who looks after a function is not known here.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use dashmap::mapref::one::Ref;
use parking_lot::RwLock;
use rustc_hash::FxBuildHasher;

use crate::event::function_name::FunctionName;
use crate::event::request_id::FUNCTIONS_MAX;
use crate::mailbox::Mailbox;

#[derive(Default)]
pub(crate) struct Registry {
    /// Which function had a name before. Locked before `names`.
    heirs: RwLock<HashMap<FunctionName, FunctionName>>,
    /// Locked before `numbers` where both are.
    names: DashMap<FunctionName, Arc<Mailbox>, FxBuildHasher>,
    numbers: RwLock<Numbers>,
}

#[derive(Default)]
struct Numbers {
    mailboxes: Vec<Option<Arc<Mailbox>>>,
    /// Numbers of `mailboxes` that nobody has.
    free: Vec<u32>,
}

/// Why a function got no place.
#[derive(Debug)]
pub(crate) enum Unregistered {
    NameTaken,
    /// The name was that of this function.
    NameOf(FunctionName),
    /// One of its former names is taken by this function, or was that of it.
    FormerTaken(FunctionName, FunctionName),
    NumbersMax,
}

impl Registry {
    /// Makes known what `make` makes of the number that it gets, and whose the former names are.
    pub(crate) fn register(
        &self,
        name: FunctionName,
        former: &[FunctionName],
        make: impl FnOnce(u32) -> Arc<Mailbox>,
    ) -> Result<(), Unregistered> {
        let mut heirs = self.heirs.write();
        if let Some(heir) = heirs.get(&name) {
            return Err(Unregistered::NameOf(heir.clone()));
        }
        for before in former {
            let taken = self.names.contains_key(before).then_some(before);
            let heir = heirs.get(before).filter(|&heir| *heir != name);
            if let Some(other) = taken.or(heir) {
                return Err(Unregistered::FormerTaken(before.clone(), other.clone()));
            }
        }
        let Entry::Vacant(vacant) = self.names.entry(name.clone()) else {
            return Err(Unregistered::NameTaken);
        };
        let mut numbers = self.numbers.write();
        let number = numbers.take().ok_or(Unregistered::NumbersMax)?;
        let mailbox = make(number);
        numbers.mailboxes[number as usize] = Some(mailbox.clone());
        vacant.insert(mailbox);
        let former = former.iter().cloned();
        heirs.extend(former.map(|before| (before, name.clone())));
        Ok(())
    }

    /// Says whose former names these are, before the function is registered.
    pub(crate) fn rename(&self, former: &[FunctionName], name: &FunctionName) {
        let mut heirs = self.heirs.write();
        heirs.extend(former.iter().map(|before| (before.clone(), name.clone())));
    }

    /// The function that had this name before, if one had.
    pub(crate) fn heir(&self, name: &str) -> Option<FunctionName> {
        self.heirs.read().get(name).cloned()
    }

    /// Makes the name unknown; its number stays known until `forget`.
    pub(crate) fn unregister(&self, name: &str) -> Option<Arc<Mailbox>> {
        let (_, mailbox) = self.names.remove(name)?;
        if !mailbox.function.former.is_empty() {
            self.heirs.write().retain(|_, heir| heir.as_str() != name);
        }
        Some(mailbox)
    }

    /// Frees the number for another function.
    pub(crate) fn forget(&self, number: u32) {
        self.numbers.write().give_back(number);
    }

    /// Lets the mailbox be used while its name can't be taken away; for a moment only.
    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<Ref<'_, FunctionName, Arc<Mailbox>>> {
        self.names.get(name)
    }

    #[inline]
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Mailbox>> {
        self.names.get(name).map(|mailbox| mailbox.clone())
    }

    #[inline]
    pub(crate) fn numbered(&self, number: u32) -> Option<Arc<Mailbox>> {
        let numbers = self.numbers.read();
        numbers.mailboxes.get(number as usize).cloned().flatten()
    }

    /// Every function, those that are being removed included, in the order of their numbers.
    pub(crate) fn all(&self) -> Vec<Arc<Mailbox>> {
        let numbers = self.numbers.read();
        numbers.mailboxes.iter().flatten().cloned().collect()
    }

    /// The functions that are known by name, in the order of their numbers.
    pub(crate) fn registered(&self) -> Vec<Arc<Mailbox>> {
        let mut mailboxes = self.all();
        mailboxes.retain(|mailbox| {
            self.names
                .get(mailbox.name())
                .is_some_and(|known| Arc::ptr_eq(&known, mailbox))
        });
        mailboxes
    }
}

impl Numbers {
    /// A number that nobody has, unless there is none left.
    fn take(&mut self) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            return Some(number);
        }
        let number = u32::try_from(self.mailboxes.len()).ok()?;
        (number < FUNCTIONS_MAX).then(|| {
            self.mailboxes.push(None);
            number
        })
    }

    fn give_back(&mut self, number: u32) {
        let place = self.mailboxes.get_mut(number as usize);
        if place.is_some_and(|place| place.take().is_some()) {
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::function::Function;
    use crate::function::context::Event;

    fn register(registry: &Registry, name: &str) -> u32 {
        let function = Function::new(name, async |_: Event<()>| Ok::<_, std::fmt::Error>(()));
        let mut given = None;
        let make = |number| {
            given = Some(number);
            Arc::new(Mailbox::new(function, number, Clock::real()))
        };
        let name = FunctionName::new(name);
        registry.register(name, &[], make).unwrap();
        given.unwrap()
    }

    #[test]
    fn every_freed_number_is_given_to_another_function() {
        let registry = Registry::default();
        for name in ["a", "b", "c", "d"] {
            register(&registry, name);
        }
        for (name, number) in [("a", 0), ("c", 2)] {
            registry.unregister(name).unwrap();
            registry.forget(number);
        }
        let mut reused = [register(&registry, "e"), register(&registry, "f")];
        reused.sort_unstable();
        assert_eq!(reused, [0, 2]);
        assert_eq!(register(&registry, "g"), 4);
    }

    #[test]
    fn a_number_is_kept_until_it_is_forgotten() {
        let registry = Registry::default();
        register(&registry, "a");
        registry.unregister("a").unwrap();
        assert_eq!(register(&registry, "a"), 1);
        assert!(registry.numbered(0).is_some());
    }

    #[test]
    fn a_number_forgotten_twice_is_given_once() {
        let registry = Registry::default();
        register(&registry, "a");
        registry.forget(0);
        registry.forget(0);
        assert_eq!(register(&registry, "b"), 0);
        assert_eq!(register(&registry, "c"), 1);
    }
}
