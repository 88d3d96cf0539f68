//! The functions of a runtime, by name and by number.
//!
//! A name is known from registration to unregistration. A number is known until the function has no events left: so long,
//! the request id of an event leads to it. Numbers are reused, since a request id has room for few. The registry doesn't
//! know the supervisors.

use std::collections::{HashMap, HashSet};
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
    /// The present name of a function by each of its former names. Locked before `names`.
    current_names: RwLock<HashMap<FunctionName, FunctionName>>,
    /// Locked before `numbers` where both are.
    names: DashMap<FunctionName, Arc<Mailbox>, FxBuildHasher>,
    numbers: RwLock<Numbers>,
}

#[derive(Default)]
struct Numbers {
    mailboxes: Vec<Option<Arc<Mailbox>>>,
    /// Numbers of `mailboxes` that no function has.
    free: Vec<u32>,
}

/// Why a function can't be registered.
#[derive(Debug)]
pub(crate) enum NotRegistered {
    NameTaken,
    /// The name is a former name of this function.
    NameOf(FunctionName),
    /// The first, one of its former names, is the name or a former name of the second.
    FormerTaken(FunctionName, FunctionName),
    NumbersMax,
}

impl Registry {
    /// Registers the mailbox that `make` returns for the function's number, under the function's name and former names.
    pub(crate) fn register(
        &self,
        name: FunctionName,
        former: &[FunctionName],
        make: impl FnOnce(u32) -> Arc<Mailbox>,
    ) -> Result<(), NotRegistered> {
        let mut current_names = self.current_names.write();
        if let Some(owner) = current_names.get(&name) {
            return Err(NotRegistered::NameOf(owner.clone()));
        }
        for before in former {
            let taken = self.names.contains_key(before).then_some(before);
            let owner = current_names.get(before).filter(|&owner| *owner != name);
            if let Some(other) = taken.or(owner) {
                return Err(NotRegistered::FormerTaken(before.clone(), other.clone()));
            }
        }
        let Entry::Vacant(vacant) = self.names.entry(name.clone()) else {
            return Err(NotRegistered::NameTaken);
        };
        let mut numbers = self.numbers.write();
        let number = numbers.take().ok_or(NotRegistered::NumbersMax)?;
        let mailbox = make(number);
        numbers.mailboxes[number as usize] = Some(mailbox.clone());
        vacant.insert(mailbox);
        let former = former.iter().cloned();
        current_names.extend(former.map(|before| (before, name.clone())));
        Ok(())
    }

    /// Declares the former names of a function before it is registered.
    pub(crate) fn declare_former(&self, former: &[FunctionName], name: &FunctionName) {
        let mut current_names = self.current_names.write();
        current_names.extend(former.iter().map(|before| (before.clone(), name.clone())));
    }

    /// Returns the present name of the function that has, or had, this name.
    pub(crate) fn current_name(&self, name: FunctionName) -> FunctionName {
        let current = self.current_names.read().get(&name).cloned();
        current.unwrap_or(name)
    }

    /// Makes the name unknown, and returns the function's mailbox. Its number stays known until `forget`.
    pub(crate) fn unregister(&self, name: &str) -> Option<Arc<Mailbox>> {
        let (_, mailbox) = self.names.remove(name)?;
        if !mailbox.function.former.is_empty() {
            self.current_names
                .write()
                .retain(|_, current| current.as_str() != name);
        }
        Some(mailbox)
    }

    /// Frees the number for another function.
    pub(crate) fn forget(&self, number: u32) {
        self.numbers.write().give_back(number);
    }

    /// Returns the mailbox, locked in the registry: the name can't be taken away meanwhile. To be dropped soon.
    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<Ref<'_, FunctionName, Arc<Mailbox>>> {
        self.names.get(name)
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.names.contains_key(name)
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

    /// Returns every function in the order of their numbers, those included that are being removed.
    pub(crate) fn all(&self) -> Vec<Arc<Mailbox>> {
        let numbers = self.numbers.read();
        numbers.mailboxes.iter().flatten().cloned().collect()
    }

    /// Returns the functions that can be invoked, in the order of their numbers.
    pub(crate) fn registered(&self) -> Vec<Arc<Mailbox>> {
        let mut mailboxes = self.all();
        mailboxes.retain(|mailbox| {
            self.names
                .get(mailbox.name())
                .is_some_and(|known| Arc::ptr_eq(&known, mailbox))
        });
        mailboxes
    }

    /// Returns those of `waiting`, functions with events in the store, that are not registered.
    pub(crate) fn without_function(
        &self,
        mut waiting: Vec<(FunctionName, u64)>,
    ) -> Vec<(FunctionName, u64)> {
        waiting.retain(|(function, _)| {
            let current = self.current_name(function.clone());
            !self.knows(current.as_str())
        });
        if !waiting.is_empty() {
            // A function that is being removed has no name any more, but still has its events.
            let mailboxes = self.all();
            let names: HashSet<_> = mailboxes.iter().map(|mailbox| mailbox.name()).collect();
            waiting.retain(|(function, _)| !names.contains(function));
        }
        waiting
    }
}

impl Numbers {
    /// Returns a number that no function has, unless there is none left.
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
