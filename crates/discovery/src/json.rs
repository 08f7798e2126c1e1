//! `Json`: an answer that is read as far as it goes. What is not there, or is of another kind, reads as
//! nothing, as most servers leave out what they have no value for, or write `null`.

use serde_json::Value;
use std::borrow::Cow;

/// A part of an answer, or nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a>(Option<&'a Value>);

impl<'a> Json<'a> {
    /// A whole answer.
    pub(crate) fn new(value: &'a Value) -> Self {
        Self(Some(value))
    }

    /// What stands below a name.
    pub(crate) fn get(self, key: &str) -> Self {
        Self(self.0.and_then(|value| value.get(key)).filter(|value| !value.is_null()))
    }

    /// What stands below names, from the outside in.
    pub(crate) fn at(self, path: &[&str]) -> Self {
        path.iter().fold(self, |part, key| part.get(key))
    }

    /// What stands below some names alone, as a value of its own.
    pub(crate) fn picked(self, keys: &[&str]) -> Value {
        let pick = |key: &&str| Some(((*key).to_owned(), self.get(key).0?.clone()));
        Value::Object(keys.iter().filter_map(pick).collect())
    }

    /// Whether anything stands there.
    pub(crate) fn is_there(self) -> bool {
        self.0.is_some()
    }

    /// A text; empty where there is none.
    pub(crate) fn as_text(self) -> &'a str {
        self.0.and_then(Value::as_str).unwrap_or_default()
    }

    /// The text below a name.
    pub(crate) fn text(self, key: &str) -> &'a str {
        self.get(key).as_text()
    }

    /// A text, a number or a truth as it is written; empty where there is none of them.
    pub(crate) fn as_written(self) -> Cow<'a, str> {
        match self.0 {
            Some(Value::String(text)) => Cow::Borrowed(text),
            Some(other @ (Value::Number(_) | Value::Bool(_))) => Cow::Owned(other.to_string()),
            _ => Cow::Borrowed(""),
        }
    }

    /// The same below a name.
    pub(crate) fn written(self, key: &str) -> Cow<'a, str> {
        self.get(key).as_written()
    }

    /// A number below a name; zero where there is none.
    pub(crate) fn number(self, key: &str) -> i64 {
        self.get(key).0.and_then(Value::as_i64).unwrap_or(0)
    }

    /// A truth below a name, where there is one.
    pub(crate) fn truth(self, key: &str) -> Option<bool> {
        self.get(key).0.and_then(Value::as_bool)
    }

    /// Whether a truth stands below a name.
    pub(crate) fn is(self, key: &str) -> bool {
        self.truth(key) == Some(true)
    }

    /// The parts of a list.
    pub(crate) fn items(self) -> impl ExactSizeIterator<Item = Self> + Clone {
        let items = self.0.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        items.iter().map(|value| Self(Some(value).filter(|value| !value.is_null())))
    }

    /// The parts of the list below a name.
    pub(crate) fn list(self, key: &str) -> impl ExactSizeIterator<Item = Self> + Clone {
        self.get(key).items()
    }

    /// The texts of the list below a name.
    pub(crate) fn texts(self, key: &str) -> impl ExactSizeIterator<Item = &'a str> + Clone {
        self.list(key).map(Self::as_text)
    }

    /// The names below this one, with what stands below each.
    pub(crate) fn entries(self) -> impl Iterator<Item = (&'a str, Self)> {
        let all = self.0.and_then(Value::as_object).into_iter().flatten();
        all.map(|(key, value)| (key.as_str(), Self(Some(value).filter(|value| !value.is_null()))))
    }

    /// The names below `key`, each with its text.
    pub(crate) fn pairs(self, key: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.get(key).entries().map(|(name, value)| (name, value.as_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_reads_as_nothing() {
        let value = serde_json::json!({
            "a": {"b": "text", "n": 7, "no": null, "yes": true, "l": ["x", null, 3]}, "m": {"k": "v"},
        });
        let json = Json::new(&value);
        let a = json.get("a");
        assert_eq!((json.at(&["a", "b"]).as_text(), a.number("n"), a.is("yes")), ("text", 7, true));
        assert_eq!((a.written("n").as_ref(), a.written("b").as_ref(), a.text("n")), ("7", "text", ""));
        assert_eq!(a.texts("l").collect::<Vec<_>>(), ["x", "", ""]);
        assert_eq!(json.pairs("m").collect::<Vec<_>>(), [("k", "v")]);
        assert!(!a.get("no").is_there() && a.truth("b").is_none() && a.list("b").len() == 0);
        assert_eq!(json.at(&["x", "y", "z"]).entries().count(), 0);
    }
}
