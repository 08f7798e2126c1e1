//! `GroupingKey`: the labels that the path of a push has: `/metrics/job/a/instance@base64/Yg`. Knows no
//! escapes of URLs.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use skopos_model::{Labels, LabelsBuilder, name::is_classic_label_name};

/// What a label's name ends with when its value is base64.
const BASE64: &str = "@base64";
const JOB: &str = "job";
const JOB_BASE64: &str = "job@base64";

/// The labels of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupingKey(Labels);

/// Why a path has no grouping key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `job` and something behind it: nothing is there.
    #[error("there is no group {0:?}: a path is /metrics/job/JOB/LABEL/VALUE, or begins with job@base64")]
    NotJob(String),
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
    /// That of the path behind `/metrics/`, whose escapes are decoded. A slash behind the job alone says
    /// nothing.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let mut parts = path.split('/');
        let (job_name, job) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if ![JOB, JOB_BASE64].contains(&job_name) || job.is_empty() {
            return Err(PathError::NotJob(path.to_owned()));
        }
        let (_, job) = decoded(job_name, job)?;
        if job.is_empty() {
            return Err(PathError::NoJob);
        }
        let rest: Vec<&str> = parts.collect();
        let (pairs, odd) = if rest == [""] { (&[][..], &[][..]) } else { rest.as_chunks::<2>() };
        if !odd.is_empty() {
            return Err(PathError::Odd(rest.join("/")));
        }
        let mut labels = LabelsBuilder::default();
        for [name, value] in pairs {
            let (name, value) = decoded(name, value)?;
            if !is_classic_label_name(name) || name.starts_with("__") {
                return Err(PathError::Name(name.to_owned()));
            }
            labels.set(name, &value);
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
        let key = |path: &str| GroupingKey::parse(path).map(|key| key.labels().to_string());
        assert_eq!(key("job/a"), Ok(r#"{job="a"}"#.into()));
        assert_eq!(key("job/a/x/y/job/b"), Ok(r#"{job="a", x="y"}"#.into()));
        assert_eq!(key("job@base64/YS9i/x@base64/="), Ok(r#"{job="a/b"}"#.into()));
        assert_eq!(key("job@base64/YQ==/x@base64/4pyT"), Ok("{job=\"a\", x=\"✓\"}".into()));
        assert_eq!(key("job/a/"), Ok(r#"{job="a"}"#.into()));
        assert_eq!(key("job/a/x/"), Ok(r#"{job="a"}"#.into()));
        for (path, error) in [
            ("job@base64/=", PathError::NoJob),
            ("job", PathError::NotJob("job".into())),
            ("job/", PathError::NotJob("job/".into())),
            ("jobx/a", PathError::NotJob("jobx/a".into())),
            ("Job/a", PathError::NotJob("Job/a".into())),
            ("jobx@base64/YQ", PathError::NotJob("jobx@base64/YQ".into())),
            ("x/y/job/a", PathError::NotJob("x/y/job/a".into())),
            ("job/a/x", PathError::Odd("x".into())),
            ("job/a/x/y/", PathError::Odd("x/y/".into())),
            ("job/a/x-y/z", PathError::Name("x-y".into())),
            ("job/a/__x/z", PathError::Name("__x".into())),
            ("job/a/x@base64/%", PathError::Value("%".into())),
        ] {
            assert_eq!(key(path), Err(error), "{path}");
        }
    }
}
