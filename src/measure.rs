//! How long a value's JSON would be, without writing it.
//!
//! A `Serializer` that only adds up lengths: admission must know a typed payload's size to keep its
//! promise about limits, and formatting the payload just to count it would cost several times more.

use serde::ser::{self, Serialize};

/// Longest text of a floating-point number in JSON: sign, 17 digits, point, `e-308`.
const FLOAT_MAX: usize = 24;

pub(crate) fn json_size<T: Serialize + ?Sized>(value: &T) -> Result<usize, serde_json::Error> {
    let mut measure = Measure { size: 0, first: true };
    value.serialize(&mut measure)?;
    Ok(measure.size)
}

struct Measure {
    size: usize,
    /// No element of the innermost open array or object was counted yet, so no comma either.
    first: bool,
}

type Measured = Result<(), serde_json::Error>;

impl Measure {
    fn add(&mut self, bytes: usize) -> Measured {
        self.size += bytes;
        Ok(())
    }

    fn open(&mut self, bytes: usize) {
        self.size += bytes;
        self.first = true;
    }

    fn close(&mut self, bytes: usize) -> Measured {
        self.first = false;
        self.add(bytes)
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.size += 1;
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Measured {
        self.comma();
        value.serialize(&mut *self)?;
        self.first = false;
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Measured {
        self.comma();
        self.size += quoted(key) + 1;
        value.serialize(&mut *self)?;
        self.first = false;
        Ok(())
    }
}

fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn quoted(text: &str) -> usize {
    let escapes: usize = text.bytes().map(escape_cost).sum();
    text.len() + escapes + 2
}

/// Bytes that JSON's escaping adds to one byte of text.
fn escape_cost(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..=0x1f => 5,
        _ => 0,
    }
}

macro_rules! measure_unsigned {
    ($($method:ident: $type:ty),*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Measured { self.add(digits(u64::from(value))) }
    )*};
}

macro_rules! measure_signed {
    ($($method:ident: $type:ty),*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Measured {
            self.add(usize::from(value < 0) + digits(u64::from(value.unsigned_abs())))
        }
    )*};
}

impl ser::Serializer for &mut Measure {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    measure_unsigned!(serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);
    measure_signed!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64);

    fn serialize_bool(self, value: bool) -> Measured {
        self.add(if value { 4 } else { 5 })
    }

    fn serialize_i128(self, value: i128) -> Measured {
        self.add(value.to_string().len())
    }

    fn serialize_u128(self, value: u128) -> Measured {
        self.add(value.to_string().len())
    }

    fn serialize_f32(self, value: f32) -> Measured {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Measured {
        self.add(if value.is_finite() { FLOAT_MAX } else { 4 })
    }

    fn serialize_char(self, value: char) -> Measured {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Measured {
        self.add(quoted(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Measured {
        let commas = value.len().saturating_sub(1);
        self.add(2 + commas + value.iter().map(|&byte| digits(u64::from(byte))).sum::<usize>())
    }

    fn serialize_none(self) -> Measured {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Measured {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Measured {
        self.add(4)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Measured {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Measured {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Measured {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Measured {
        self.size += quoted(variant) + 3;
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Self::Error> {
        self.open(1);
        Ok(self)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self, Self::Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self, Self::Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Self::Error> {
        self.open(quoted(variant) + 3);
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Self::Error> {
        self.open(1);
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Self, Self::Error> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Self::Error> {
        self.open(quoted(variant) + 3);
        Ok(self)
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Measured {
        self.serialize_str(&value.to_string())
    }
}

macro_rules! measure_elements {
    ($($trait:ident: $method:ident, closing $closing:literal;)*) => {$(
        impl ser::$trait for &mut Measure {
            type Ok = ();
            type Error = serde_json::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Measured { self.element(value) }

            fn end(self) -> Measured { self.close($closing) }
        }
    )*};
}

measure_elements! {
    SerializeSeq: serialize_element, closing 1;
    SerializeTuple: serialize_element, closing 1;
    SerializeTupleStruct: serialize_field, closing 1;
    SerializeTupleVariant: serialize_field, closing 2;
}

impl ser::SerializeMap for &mut Measure {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Measured {
        self.comma();
        // serde_json writes numbers and booleans as quoted keys and refuses the rest; its own rule decides.
        let key = serde_json::to_value(std::iter::once((key, ())).collect::<KeyProbe<_>>())?;
        let key = key.as_object().and_then(|map| map.keys().next()).map_or(2, |key| quoted(key));
        self.add(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Measured {
        self.size += 1;
        value.serialize(&mut **self)?;
        self.first = false;
        Ok(())
    }

    fn end(self) -> Measured {
        self.close(1)
    }
}

/// A map of one key, so that serde_json itself judges the key.
struct KeyProbe<K>(Option<K>);

impl<K> FromIterator<(K, ())> for KeyProbe<K> {
    fn from_iter<I: IntoIterator<Item = (K, ())>>(entries: I) -> Self {
        Self(entries.into_iter().next().map(|(key, ())| key))
    }
}

impl<K: Serialize> Serialize for KeyProbe<K> {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|key| (key, ())))
    }
}

macro_rules! measure_fields {
    ($($trait:ident closing $closing:literal),*) => {$(
        impl ser::$trait for &mut Measure {
            type Ok = ();
            type Error = serde_json::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Measured {
                self.field(key, value)
            }

            fn end(self) -> Measured { self.close($closing) }
        }
    )*};
}

measure_fields!(SerializeStruct closing 1, SerializeStructVariant closing 2);
