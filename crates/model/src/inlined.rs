//! Parts whose keys stand among those of whatever has them: in a file, `basic_auth` is a key of a job, not of
//! a section of it. Reads each value as what it is, so that errors name its place. Knows no format.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

/// A part whose keys stand among others.
pub trait Inlined: Default {
    /// Its keys; `key` is what knows all of them where several parts are one.
    const KEYS: &'static [&'static str];

    /// The key of this name, if it is one of its own.
    fn key(name: &str) -> Option<&'static str> {
        Self::KEYS.iter().find(|key| **key == name).copied()
    }

    /// Reads the value of one of its keys.
    ///
    /// # Errors
    /// Those of the value.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Two parts side by side.
impl<A: Inlined, B: Inlined> Inlined for (A, B) {
    const KEYS: &'static [&'static str] = &[];

    fn key(name: &str) -> Option<&'static str> {
        A::key(name).or_else(|| B::key(name))
    }

    fn take<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        if A::key(key).is_some() { self.0.take(key, map) } else { self.1.take(key, map) }
    }
}

/// What has such a part. `has_inlined!` makes it readable.
pub trait HasInlined: Sized {
    /// The part.
    type Part: Inlined;

    /// Reads all keys but those of the part.
    ///
    /// # Errors
    /// Those of the keys, and unknown ones.
    fn own<'de, D: Deserializer<'de>>(d: D) -> Result<Self, D::Error>;

    /// Takes the part.
    fn set(&mut self, part: Self::Part);
}

/// Makes a struct readable whose field, or two fields, have keys that stand among its own. The struct derives
/// `Deserialize` with `#[serde(remote = "Self")]`, and each such field has
/// `#[serde(flatten, skip_deserializing)]`.
#[macro_export]
macro_rules! has_inlined {
    ($struct:ty, $field:ident: $part:ty) => {
        $crate::has_inlined!(@ $struct, $part, |this, part| this.$field = part);
    };
    ($struct:ty, $first:ident: $part:ty, $second:ident: $other:ty) => {
        $crate::has_inlined!(@ $struct, ($part, $other), |this, parts| {
            (this.$first, this.$second) = parts;
        });
    };
    (@ $struct:ty, $part:ty, |$this:ident, $value:ident| $set:expr) => {
        impl $crate::inlined::HasInlined for $struct {
            type Part = $part;

            fn own<'de, D: ::serde::Deserializer<'de>>(d: D) -> ::std::result::Result<Self, D::Error> {
                Self::deserialize(d)
            }

            fn set(&mut self, $value: $part) {
                let $this = self;
                $set;
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $struct {
            fn deserialize<D: ::serde::Deserializer<'de>>(d: D) -> ::std::result::Result<Self, D::Error> {
                $crate::inlined::deserialize(d)
            }
        }

        impl ::serde::Serialize for $struct {
            fn serialize<S: ::serde::Serializer>(&self, s: S) -> ::std::result::Result<S::Ok, S::Error> {
                Self::serialize(self, s)
            }
        }
    };
}

/// Reads what has such a part, with it.
///
/// # Errors
/// Those of its keys, and unknown ones.
pub fn deserialize<'de, T: HasInlined, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    d.deserialize_map(Whole(PhantomData))
}

/// The value of a key of a part; one without a value means the same as no key.
///
/// # Errors
/// Those of the value.
pub fn value<'de, T: Deserialize<'de> + Default, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

struct Whole<T>(PhantomData<T>);

impl<'de, T: HasInlined> Visitor<'de> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let mut part = T::Part::default();
        let mut whole = T::own(MapAccessDeserializer::new(Others { map, part: &mut part }))?;
        whole.set(part);
        Ok(whole)
    }
}

/// The keys that are not the part's.
struct Others<'a, A, P> {
    map: A,
    part: &'a mut P,
}

impl<'de, A: MapAccess<'de>, P: Inlined> MapAccess<'de> for Others<'_, A, P> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let mut seed = seed;
        loop {
            match self.map.next_key_seed(KeySeed { seed, own: P::key })? {
                None => return Ok(None),
                Some(Key::Other(key)) => return Ok(Some(key)),
                Some(Key::OfPart(key, back)) => {
                    self.part.take(key, &mut self.map)?;
                    seed = back;
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Reads a key by `seed` unless it is one that `own` knows: inside, where errors get their place.
struct KeySeed<K> {
    seed: K,
    own: fn(&str) -> Option<&'static str>,
}

enum Key<V, K> {
    OfPart(&'static str, K),
    Other(V),
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for KeySeed<K> {
    type Value = Key<K::Value, K>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_identifier(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for KeySeed<K> {
    type Value = Key<K::Value, K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match (self.own)(text) {
            Some(key) => Ok(Key::OfPart(key, self.seed)),
            None => self.seed.deserialize(text.into_deserializer()).map(Key::Other),
        }
    }
}
