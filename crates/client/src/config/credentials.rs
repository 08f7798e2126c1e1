//! Who we are: a name with a password, or the value of the header `Authorization`.

use super::{HttpConfigError, is_empty};
use crate::secret_text::SecretText;
use serde::{Deserialize, Serialize};
use skopos_base::secret::Secret;
use skopos_model::null_is_default;
use std::path::PathBuf;

/// A name and a password; either may stand in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BasicAuth {
    /// The name.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The file of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_file: Option<PathBuf>,
    /// The password.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_empty")]
    pub password: Secret<String>,
    /// The file of the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl BasicAuth {
    pub(super) fn check(&self) -> Result<(), HttpConfigError> {
        if !self.username.is_empty() && self.username_file.is_some() {
            return Err(HttpConfigError::AtMostOne("basic_auth's `username` and `username_file`"));
        }
        if !is_empty(&self.password) && self.password_file.is_some() {
            return Err(HttpConfigError::AtMostOne("basic_auth's `password` and `password_file`"));
        }
        Ok(())
    }

    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.username_file.iter_mut().chain(&mut self.password_file)
    }

    pub(crate) fn password(&self) -> SecretText<'_> {
        SecretText::of(&self.password, self.password_file.as_deref())
    }
}

/// The value of the header `Authorization`: a type and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// `Bearer`, in most places.
    #[serde(rename = "type", default = "bearer")]
    pub kind: String,
    /// The secret.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_empty")]
    pub credentials: Secret<String>,
    /// The file of the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
}

fn bearer() -> String {
    "Bearer".to_owned()
}

impl Authorization {
    /// A bearer token, which stands here or in a file.
    pub fn bearer(credentials: Secret<String>, credentials_file: Option<PathBuf>) -> Self {
        Self { kind: bearer(), credentials, credentials_file }
    }

    pub(super) fn check(&self) -> Result<(), HttpConfigError> {
        if !is_empty(&self.credentials) && self.credentials_file.is_some() {
            return Err(HttpConfigError::AtMostOne("authorization's `credentials` and `credentials_file`"));
        }
        if self.kind.trim().eq_ignore_ascii_case("basic") {
            return Err(HttpConfigError::BasicAuthorization);
        }
        Ok(())
    }

    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.credentials_file.iter_mut()
    }

    pub(crate) fn credentials(&self) -> SecretText<'_> {
        SecretText::of(&self.credentials, self.credentials_file.as_deref())
    }
}
