//! `GroupingKey`: the labels that the path of a push has: `/metrics/job/a/instance@base64/Yg`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use skopos_model::{Labels, LabelsBuilder, name::is_classic_label_name};

/// What a label's name ends with when its value is base64.
const BASE64: &str = "@base64";
const JOB: &str = "job";

/// The labels of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupingKey(Labels);

/// Why a path has no grouping key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not name a job.
    #[error("job name is required")]
    NoJob,
    /// A name without a value.
    #[error("odd number of components in label string {0:?}")]
    Odd(String),
    /// A name that no label may have.
    #[error("improper label name {0:?}")]
    Name(String),
    /// A value that is not base64, or not UTF-8.
    #[error("invalid base64 encoding in label value {0:?}")]
    Value(String),
}

impl GroupingKey {
    /// That of the path behind `/metrics/`, in parts that are decoded already.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(parts: &[String]) -> Result<Self, PathError> {
        let (pairs, rest) = parts.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(PathError::Odd(parts.join("/")));
        }
        let [[job_name, job], pairs @ ..] = pairs else { return Err(PathError::NoJob) };
        let mut labels = LabelsBuilder::default();
        for [name, value] in pairs {
            let (name, value) = decoded(name, value)?;
            if !is_classic_label_name(name) || name.starts_with("__") {
                return Err(PathError::Name(name.to_owned()));
            }
            labels.set(name, &value);
        }
        let (_, job) = decoded(job_name, job)?;
        if job.is_empty() {
            return Err(PathError::NoJob);
        }
        labels.set(JOB, &job);
        Ok(Self(labels.build()))
    }

    /// The labels; one that is empty is left out.
    pub fn labels(&self) -> &Labels {
        &self.0
    }
}

fn decoded<'a>(name: &'a str, value: &str) -> Result<(&'a str, String), PathError> {
    let Some(name) = name.strip_suffix(BASE64) else { return Ok((name, value.to_owned())) };
    let wrong = || PathError::Value(value.to_owned());
    let bytes = URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).map_err(|_| wrong())?;
    Ok((name, String::from_utf8(bytes).map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_labels() {
        let key = |path: &str| {
            let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
            GroupingKey::parse(&parts).map(|key| key.labels().to_string())
        };
        assert_eq!(key("job/a"), Ok(r#"{job="a"}"#.into()));
        assert_eq!(key("job/a/x/y/job/b"), Ok(r#"{job="a", x="y"}"#.into()));
        assert_eq!(key("job@base64/YS9i/x@base64/="), Ok(r#"{job="a/b"}"#.into()));
        assert_eq!(key("job@base64/YQ==/x@base64/4pyT"), Ok("{job=\"a\", x=\"✓\"}".into()));
        for (path, error) in [
            ("job/", PathError::NoJob),
            ("job@base64/=", PathError::NoJob),
            ("job", PathError::Odd("job".into())),
            ("job/a/x", PathError::Odd("job/a/x".into())),
            ("job/a/x-y/z", PathError::Name("x-y".into())),
            ("job/a/__x/z", PathError::Name("__x".into())),
            ("job/a/x@base64/%", PathError::Value("%".into())),
        ] {
            assert_eq!(key(path), Err(error), "{path}");
        }
    }
}
