//! `split`: reads one mapping into two structs, key by key, where the file composes what stands beside each
//! other in the program. Errors keep their places, and a key that neither knows is one.

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, IntoDeserializer, MapAccess, Visitor,
        value::{MapAccessDeserializer, StringDeserializer},
    },
};
use std::{fmt, marker::PhantomData};

/// The struct whose keys stand among those of another.
pub trait Keys {
    /// Reads the value of `key` if it is one of its own; says whether it is.
    ///
    /// # Errors
    /// Those of the value.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads the keys that are `keys`' own into it, and the others into what is returned.
///
/// # Errors
/// Those of the values, and a key that is nobody's.
pub fn split<'de, D: Deserializer<'de>, K: Keys, T: Deserialize<'de>>(
    d: D,
    keys: &mut K,
) -> Result<T, D::Error> {
    d.deserialize_map(Both { keys, own: PhantomData })
}

struct Both<'a, K, T> {
    keys: &'a mut K,
    own: PhantomData<T>,
}

impl<'de, K: Keys, T: Deserialize<'de>> Visitor<'de> for Both<'_, K, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(Rest { map, keys: self.keys }))
    }
}

/// What is left of a mapping.
struct Rest<'a, A, K> {
    map: A,
    keys: &'a mut K,
}

impl<'de, A: MapAccess<'de>, K: Keys> MapAccess<'de> for Rest<'_, A, K> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if !self.keys.take(&key, &mut self.map)? {
                let key: StringDeserializer<A::Error> = key.into_deserializer();
                return seed.deserialize(key).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
