//! `TopRequest`: what a request for the processes that use most asks for, by the parameters of its address.
//! Knows no HTTP, and reads no process.

use super::top::TopBy;

/// How many processes are answered unless the request says it.
const DEFAULT_LIMIT: usize = 10;
/// The most that a request may ask for.
const MAX_LIMIT: usize = 1000;

/// See above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopRequest {
    /// What to sort by.
    pub by: TopBy,
    /// How many processes.
    pub limit: usize,
}

impl Default for TopRequest {
    fn default() -> Self {
        Self { by: TopBy::default(), limit: DEFAULT_LIMIT }
    }
}

/// A parameter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopRequestError {
    /// Nothing to sort by.
    #[error("by={0}: must be cpu, memory or io")]
    By(String),
    /// No number of processes.
    #[error("limit={0}: must be from 1 to {MAX_LIMIT}")]
    Limit(String),
}

impl TopRequest {
    /// The request of these parameters, names and values; those that it does not know it passes over.
    ///
    /// # Errors
    /// When a value is none that can be asked for.
    pub fn of<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, TopRequestError> {
        let mut request = Self::default();
        for (name, value) in parameters {
            match name {
                "by" => {
                    request.by = TopBy::parse(value).ok_or_else(|| TopRequestError::By(value.to_owned()))?;
                }
                "limit" => {
                    let number = value.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number));
                    request.limit = number.ok_or_else(|| TopRequestError::Limit(value.to_owned()))?;
                }
                _ => {}
            }
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_a_request_or_are_refused() {
        let of = |pairs: &[(&'static str, &'static str)]| TopRequest::of(pairs.iter().copied());
        assert_eq!(of(&[]), Ok(TopRequest { by: TopBy::Cpu, limit: 10 }));
        let asked = [("by", "io"), ("limit", "3"), ("x", "y")];
        assert_eq!(of(&asked), Ok(TopRequest { by: TopBy::Io, limit: 3 }));
        for (name, value, message) in [
            ("by", "size", "by=size: must be cpu, memory or io"),
            ("limit", "0", "limit=0: must be from 1 to 1000"),
            ("limit", "1001", "limit=1001: must be from 1 to 1000"),
            ("limit", "", "limit=: must be from 1 to 1000"),
        ] {
            assert_eq!(of(&[(name, value)]).map_err(|e| e.to_string()), Err(message.to_owned()));
        }
    }
}
