//! The size of a value's JSON, without writing the JSON.
//!
//! Admission must know the size of a typed payload to keep its limits. This `Serializer` only adds up lengths. The simpler
//! way, `serde_json::to_writer` into a sink that counts bytes, was measured and costs too much: for a payload of a `u64` and
//! two `String`s of 16 and 64 bytes, a payload takes 1,130 instructions in place of 550 to make, of about 3,300 for the whole
//! event (callgrind, `benches/runtime.rs`, in memory). That is 17 % end to end, and 5 % is the limit.

use std::fmt::Write as _;

use serde::ser::{self, Serialize};

/// Longest text of a floating-point number in JSON: sign, 17 digits, point, `e-308`.
const FLOAT_MAX: usize = 24;

/// Returns the size of `value` as JSON, in bytes: exact, but for floating-point numbers an upper bound.
///
/// # Errors
/// When `value` can't be written as JSON.
pub(crate) fn json_size<T: Serialize + ?Sized>(value: &T) -> Result<usize, serde_json::Error> {
    let mut measure = Measure(0);
    value.serialize(&mut measure)?;
    Ok(measure.0)
}

/// Bytes so far.
struct Measure(usize);

type Measured = Result<(), serde_json::Error>;

impl Measure {
    #[inline]
    fn add(&mut self, bytes: usize) -> Measured {
        self.0 += bytes;
        Ok(())
    }

    fn compound(
        &mut self,
        opening: usize,
        closing: usize,
    ) -> Result<Compound<'_>, serde_json::Error> {
        self.0 += opening;
        Ok(Compound {
            measure: self,
            empty: true,
            closing,
        })
    }
}

/// The length of a text that is being written, quotes included.
struct Text(usize);

impl std::fmt::Write for Text {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        self.0 += quoted(piece) - 2;
        Ok(())
    }
}

/// An array or object that is being measured.
struct Compound<'a> {
    measure: &'a mut Measure,
    empty: bool,
    closing: usize,
}

impl Compound<'_> {
    /// The comma before all elements but the first.
    #[inline]
    fn comma(&mut self) {
        self.measure.0 += usize::from(!std::mem::replace(&mut self.empty, false));
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Measured {
        self.comma();
        value.serialize(&mut *self.measure)
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Measured {
        self.comma();
        self.measure.0 += quoted(key) + 1;
        value.serialize(&mut *self.measure)
    }

    fn close(self) -> Measured {
        self.measure.add(self.closing)
    }
}

#[inline]
fn digits(value: u64) -> usize {
    // Bytes and other small numbers are what long arrays are made of.
    if value < 1_000 {
        return 1 + usize::from(value > 9) + usize::from(value > 99);
    }
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[inline]
fn quoted(text: &str) -> usize {
    let escapes: usize = text
        .bytes()
        .map(|byte| usize::from(ESCAPES[usize::from(byte)]))
        .sum();
    text.len() + escapes + 2
}

/// Bytes that JSON's escaping adds to each byte of text.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = 5;
        byte += 1;
    }
    let short = b"\"\\\n\r\t\x08\x0c";
    let mut index = 0;
    while index < short.len() {
        escapes[short[index] as usize] = 1;
        index += 1;
    }
    escapes
};

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

impl<'a> ser::Serializer for &'a mut Measure {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

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
        self.add(
            2 + commas
                + value
                    .iter()
                    .map(|&byte| digits(u64::from(byte)))
                    .sum::<usize>(),
        )
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

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Measured {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Measured {
        self.0 += quoted(variant) + 3;
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>, Self::Error> {
        self.compound(1, 1)
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'a>, Self::Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Compound<'a>, Self::Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Self::Error> {
        self.compound(quoted(variant) + 3, 2)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>, Self::Error> {
        self.compound(1, 1)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Compound<'a>, Self::Error> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Self::Error> {
        self.compound(quoted(variant) + 3, 2)
    }

    /// Most sequences are long and of small things: their lengths add up in a register, not behind a pointer.
    #[inline]
    fn collect_seq<I>(self, elements: I) -> Measured
    where
        I: IntoIterator<Item: Serialize>,
    {
        let (mut elements_total, mut inner) = (0_usize, Measure(0));
        for element in elements {
            element.serialize(&mut inner)?;
            elements_total += 1;
        }
        self.add(2 + elements_total.saturating_sub(1) + inner.0)
    }

    /// Counted as it is written: a text may be long.
    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Measured {
        let mut text = Text(2);
        write!(text, "{value}").map_err(|_| ser::Error::custom("a Display failed"))?;
        self.add(text.0)
    }
}

macro_rules! measure_elements {
    ($($trait:ident: $method:ident;)*) => {$(
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = serde_json::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Measured { self.element(value) }

            fn end(self) -> Measured { self.close() }
        }
    )*};
}

measure_elements! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Measured {
        self.comma();
        // serde_json writes numbers and booleans as quoted keys and refuses the rest; its own rule decides.
        let key = serde_json::to_value(std::iter::once((key, ())).collect::<KeyProbe<_>>())?;
        let key = key
            .as_object()
            .and_then(|map| map.keys().next())
            .map_or(2, |key| quoted(key));
        self.measure.add(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Measured {
        self.measure.0 += 1;
        value.serialize(&mut *self.measure)
    }

    fn end(self) -> Measured {
        self.close()
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
    ($($trait:ident),*) => {$(
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = serde_json::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Measured {
                self.field(key, value)
            }

            fn end(self) -> Measured { self.close() }
        }
    )*};
}

measure_fields!(SerializeStruct, SerializeStructVariant);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::json_size;

    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(u8),
        Tuple(i16, String),
        Struct {
            deep: Vec<Option<u64>>,
            empty: [u8; 0],
        },
    }

    #[derive(Serialize)]
    struct All {
        text: String,
        shapes: Vec<Shape>,
        map: BTreeMap<i32, (bool, char)>,
        unit: (),
        none: Option<u8>,
    }

    /// Floats aside, which are bounded from above.
    #[test]
    fn the_size_is_that_of_the_json() {
        let value = All {
            text: "a \"quoted\" \\ line\n\u{1} und ö".to_owned(),
            shapes: vec![
                Shape::Unit,
                Shape::Newtype(255),
                Shape::Tuple(-32_768, String::new()),
                Shape::Struct {
                    deep: vec![
                        None,
                        Some(0),
                        Some(9),
                        Some(10),
                        Some(999),
                        Some(1_000),
                        Some(u64::MAX),
                    ],
                    empty: [],
                },
            ],
            map: BTreeMap::from([(-1, (true, '"')), (10, (false, 'x'))]),
            unit: (),
            none: None,
        };
        assert_eq!(
            json_size(&value).unwrap(),
            serde_json::to_string(&value).unwrap().len()
        );
        assert!(
            json_size(&[0.1, -1e300, f64::NAN]).unwrap()
                >= serde_json::to_string(&[0.1, -1e300, f64::NAN])
                    .unwrap()
                    .len()
        );
    }

    #[test]
    fn a_value_that_is_not_json_is_an_error() {
        assert!(json_size(&BTreeMap::from([(vec![1], 1)])).is_err());
    }
}
