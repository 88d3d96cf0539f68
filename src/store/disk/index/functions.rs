//! The functions of the store: each has a number and a [`FunctionIndex`], and may have former names.

use std::collections::HashMap;

use rustc_hash::FxHashMap;

use super::function_index::FunctionIndex;
use crate::event::function_name::FunctionName;

#[derive(Debug, Default)]
pub(in crate::store::disk) struct Functions {
    /// By number.
    all: Vec<FunctionIndex>,
    numbers: HashMap<FunctionName, u32>,
    /// From the number of a former name to that of the function that has it now.
    renamed_to: FxHashMap<u32, u32>,
}

impl Functions {
    /// Returns the function's number; a new one gets one.
    pub(in crate::store::disk) fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let (number, name) = (self.all.len() as u32, FunctionName::new(name));
        self.numbers.insert(name.clone(), number);
        self.all.push(FunctionIndex::new(name));
        number
    }

    /// Returns the function's number, if it has one.
    pub(super) fn find(&self, name: &FunctionName) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(super) fn count(&self) -> u32 {
        self.all.len() as u32
    }

    pub(in crate::store::disk) fn name(&self, function: u32) -> &FunctionName {
        &self.get(function).name
    }

    pub(super) fn get(&self, function: u32) -> &FunctionIndex {
        &self.all[function as usize]
    }

    pub(super) fn get_mut(&mut self, function: u32) -> &mut FunctionIndex {
        &mut self.all[function as usize]
    }

    /// Returns the function, and those of its former names.
    pub(super) fn names_of(&self, function: u32) -> impl Iterator<Item = u32> {
        let former = &self.get(function).former;
        std::iter::once(function).chain(former.iter().copied())
    }

    /// Gives the events and keys under the name `former` to `function`.
    pub(in crate::store::disk) fn rename(
        &mut self,
        former: &FunctionName,
        function: &FunctionName,
    ) {
        let former = self.number(former.as_str());
        let function = self.number(function.as_str());
        self.undo_rename(former);
        self.undo_rename(function);
        self.renamed_to.insert(former, function);
        self.get_mut(function).former.push(former);
    }

    /// Gives the name `former` its events and keys back.
    pub(super) fn undo_rename(&mut self, former: u32) {
        if let Some(function) = self.renamed_to.remove(&former) {
            let former_names = &mut self.get_mut(function).former;
            former_names.retain(|&other| other != former);
        }
    }

    /// Returns the functions with events in the overflow, and how many.
    pub(in crate::store::disk) fn waiting(&self) -> impl Iterator<Item = (&FunctionName, u64)> {
        let all = self.all.iter().map(|function| {
            let overflow = function.overflow();
            (&function.name, overflow.ready + overflow.delayed)
        });
        all.filter(|&(_, events)| events > 0)
    }
}
