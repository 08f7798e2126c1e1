//! Which names a collector shows: an expression that admits, or one that excludes, or neither.

use crate::error::OptionsError;
use regex::bytes::Regex;

/// Two expressions of which at most one is given. Expressions match anywhere in a name unless they
/// are anchored.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Option<Regex>,
    exclude: Option<Regex>,
}

/// A flag and its value; an empty value is as good as none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag<'a> {
    /// The flag's name, without dashes.
    pub(crate) name: &'static str,
    /// What was given.
    pub(crate) value: Option<&'a str>,
}

impl<'a> Flag<'a> {
    fn given(self) -> Option<&'a str> {
        self.value.filter(|value| !value.is_empty())
    }
}

impl Filter {
    /// The filter of the two flags. `older` is the former name of `exclude`. Without any of them
    /// `default_exclude` holds; an `exclude` that is given but empty excludes nothing.
    pub(crate) fn new(
        include: Flag<'_>,
        exclude: Flag<'_>,
        older: Flag<'_>,
        default_exclude: &str,
    ) -> Result<Self, OptionsError> {
        if older.given().is_some() && exclude.value.is_some() {
            return Err(OptionsError::Exclusive(older.name, exclude.name));
        }
        if let Some(value) = older.given() {
            let (old, new) = (older.name, exclude.name);
            tracing::warn!("--{old} is deprecated; use --{new}");
            return Self::new(
                include,
                Flag { value: Some(value), ..exclude },
                Flag { value: None, ..older },
                "",
            );
        }
        if exclude.given().is_some() && include.given().is_some() {
            return Err(OptionsError::Exclusive(exclude.name, include.name));
        }
        let default = (include.given().is_none() && exclude.value.is_none()).then_some(default_exclude);
        let excluded = Flag { value: exclude.value.or(default), ..exclude };
        Ok(Self { include: expression(include)?, exclude: expression(excluded)? })
    }

    /// The filter of two flags that may be given both: what `include` admits and `exclude` does not take
    /// out again. A flag that is empty says nothing.
    pub(crate) fn of_both(include: Flag<'_>, exclude: Flag<'_>) -> Result<Self, OptionsError> {
        Ok(Self { include: expression(include)?, exclude: expression(exclude)? })
    }

    /// Whether `name` is shown.
    pub fn admits(&self, name: &[u8]) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(name))
            && self.exclude.as_ref().is_none_or(|exclude| !exclude.is_match(name))
    }
}

/// The flag's value as an expression.
pub(crate) fn expression(flag: Flag<'_>) -> Result<Option<Regex>, OptionsError> {
    let Some(value) = flag.given() else { return Ok(None) };
    Regex::new(value).map(Some).map_err(|error| OptionsError::Regex {
        flag: flag.name,
        value: value.to_owned(),
        error: Box::new(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(
        include: Option<&str>,
        exclude: Option<&str>,
        older: Option<&str>,
    ) -> Result<Filter, OptionsError> {
        let flag = |name, value| Flag { name, value };
        Filter::new(flag("in", include), flag("ex", exclude), flag("old", older), "^lo$")
    }

    #[test]
    fn what_is_admitted() {
        for (include, exclude, older, admitted) in [
            (None, None, None, [true, false]),
            (Some("eth"), None, None, [true, false]),
            (Some("lo"), None, None, [false, true]),
            (None, Some("eth"), None, [false, true]),
            (None, Some(""), None, [true, true]),
            (None, None, Some("eth"), [false, true]),
            (Some("lo"), Some(""), None, [false, true]),
        ] {
            let filter = filter(include, exclude, older).unwrap();
            assert_eq!(
                ["eth0", "lo"].map(|name| filter.admits(name.as_bytes())),
                admitted,
                "{include:?} {exclude:?}"
            );
        }
    }

    #[test]
    fn what_contradicts_itself_is_an_error() {
        for (include, exclude, older, message) in [
            (Some("a"), Some("b"), None, "--ex and --in are mutually exclusive; give one of them"),
            (None, Some("a"), Some("b"), "--old and --ex are mutually exclusive; give one of them"),
            (Some("a"), None, Some("b"), "--ex and --in are mutually exclusive; give one of them"),
        ] {
            assert_eq!(filter(include, exclude, older).unwrap_err().to_string(), message);
        }
        let error = filter(None, Some("("), None).unwrap_err();
        assert!(error.to_string().starts_with("--ex=(: not a regular expression: "), "{error}");
    }
}
