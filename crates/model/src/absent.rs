//! Keys of a file that have no value. Knows no format.

use serde::{Deserialize, Deserializer};

/// A key without a value (`params:`) means the same as no key.
///
/// # Errors
/// Those of the value.
pub fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}
