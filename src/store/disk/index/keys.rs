//! Keys with a record in the log: deduplication keys, and the remembered results of idempotency keys, each until it expires.
//!
//! The index knows where their records lie, so that compaction can move them.

use super::functions::Functions;
use super::segment_table::{DeduplicationKey, ExecutionKey, Tables};
use crate::base::expiring_map::ExpiringMap;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::store::disk::frame::FramePlace;

/// The approximate length of a key's record without the key.
const KEY_OVERHEAD: usize = 64;

#[derive(Debug, Default)]
pub(in crate::store::disk) struct RecordedKeys {
    deduplication: ExpiringMap<DeduplicationKey, KeyRecord<RequestId>, u64>,
    executions: ExpiringMap<ExecutionKey, KeyRecord<()>, u64>,
}

/// A value, and the record that holds it.
#[derive(Debug)]
struct KeyRecord<V> {
    value: V,
    place: FramePlace,
    bytes: u32,
}

/// A deduplication key whose record can be moved.
pub(in crate::store::disk) struct MovableKey {
    pub(in crate::store::disk) function: FunctionName,
    pub(in crate::store::disk) key: Box<str>,
    pub(in crate::store::disk) first: RequestId,
    pub(in crate::store::disk) until: u64,
}

impl RecordedKeys {
    /// Returns the event that has the deduplication key, under one of the function's names.
    pub(in crate::store::disk) fn holder(
        &self,
        functions: &Functions,
        function: u32,
        key: &str,
        now: u64,
    ) -> Option<RequestId> {
        // A borrowed pair can't be looked up without an allocation; only events with a key pay for it.
        functions.names_of(function).find_map(|name| {
            let (kept, until) = self.deduplication.get(&(name, key.into()))?;
            (until > now).then_some(kept.value)
        })
    }

    /// Inserts a deduplication key, or moves it. Returns whether it is new.
    pub(super) fn insert(
        &mut self,
        tables: &mut Tables,
        key: DeduplicationKey,
        first: RequestId,
        until: u64,
        place: FramePlace,
    ) -> bool {
        let bytes = (KEY_OVERHEAD + key.1.len()) as u32;
        let recorded = KeyRecord {
            value: first,
            place,
            bytes,
        };
        let before = self.deduplication.insert(key.clone(), recorded, until);
        let is_new = before.is_none();
        replace(tables, before, place, bytes);
        if let Some(table) = tables.segment(place.segment) {
            table.keys.push(key);
        }
        is_new
    }

    /// Inserts the result of a run, or moves it.
    pub(super) fn insert_execution(
        &mut self,
        tables: &mut Tables,
        key: ExecutionKey,
        until: u64,
        place: FramePlace,
        bytes: u32,
    ) {
        let recorded = KeyRecord {
            value: (),
            place,
            bytes,
        };
        let before = self.executions.insert(key, recorded, until);
        replace(tables, before, place, bytes);
        if let Some(table) = tables.segment(place.segment) {
            table.executions.push(key);
        }
    }

    /// Removes the expired keys and results.
    pub(super) fn expire(&mut self, tables: &mut Tables, functions: &mut Functions, now: u64) {
        while let Some(((function, _), gone)) = self.deduplication.expire(now) {
            functions.get_mut(function).keys -= 1;
            tables.discount(gone.place, gone.bytes);
        }
        while let Some((_, gone)) = self.executions.expire(now) {
            tables.discount(gone.place, gone.bytes);
        }
    }

    /// Returns up to `limit` deduplication keys whose record lies in this closed segment.
    pub(in crate::store::disk) fn movable(
        &self,
        tables: &Tables,
        functions: &Functions,
        segment: u32,
        limit: usize,
    ) -> Vec<MovableKey> {
        let Some(table) = tables.closed(segment) else {
            return Vec::new();
        };
        let here = table.keys.iter().filter_map(|key| {
            let (kept, until) = self.deduplication.get(key)?;
            (kept.place.segment == table.number).then(|| MovableKey {
                function: functions.name(key.0).clone(),
                key: key.1.clone(),
                first: kept.value,
                until,
            })
        });
        here.take(limit).collect()
    }

    /// Returns the places of up to `limit` results whose record lies in this closed segment.
    pub(in crate::store::disk) fn movable_executions(
        &self,
        tables: &Tables,
        segment: u32,
        limit: usize,
    ) -> Vec<FramePlace> {
        let Some(table) = tables.closed(segment) else {
            return Vec::new();
        };
        let places = table
            .executions
            .iter()
            .filter_map(|key| Some(self.executions.get(key)?.0.place));
        places
            .filter(|place| place.segment == table.number)
            .take(limit)
            .collect()
    }

    /// Returns the places of all remembered results, in the order of the log.
    pub(in crate::store::disk) fn executions(&self) -> Vec<FramePlace> {
        let mut places: Vec<_> = self.executions.values().map(|kept| kept.place).collect();
        places.sort_unstable();
        places
    }
}

/// Counts the record at `place` instead of the one before.
fn replace<V>(tables: &mut Tables, before: Option<KeyRecord<V>>, place: FramePlace, bytes: u32) {
    if let Some(before) = before {
        tables.discount(before.place, before.bytes);
        tables.supersede(place.segment, before.place.segment);
    }
    tables.count(place, bytes);
}
