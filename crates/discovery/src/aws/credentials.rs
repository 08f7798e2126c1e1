//! `Credentials`: who asks AWS, found in the order in which its own programs look: the configuration, the
//! environment, a profile, a token of a cluster, the container, the machine. Keys that end are found again.

use super::{
    metadata::{self, Machine},
    profile::{Profile, profiles},
    sign::Keys,
    sts,
};
use crate::{error::SourceError, files::read_secret, http::Http, variables::Variables};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use skopos_base::{fs::SharedFs, secret::Secret};
use std::{collections::BTreeMap, path::Path};

/// Keys are not used in the last minutes before they end.
const BEFORE_END: SignedDuration = SignedDuration::from_mins(5);
/// So many profiles may stand for one another.
const PROFILES_MAX: usize = 5;

/// What a configuration says of who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub(crate) region: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: Secret<String>,
    pub(crate) profile: String,
    pub(crate) role_arn: String,
}

/// See above.
#[derive(Debug)]
pub(crate) struct Credentials {
    access: Access,
    variables: Variables,
    fs: SharedFs,
    /// Asks for tokens of roles, as the configuration says.
    http: Http,
    machine: Machine,
    kept: Option<Keys>,
}

impl Credentials {
    pub(crate) fn new(
        access: Access,
        variables: &Variables,
        fs: &SharedFs,
        http: &Http,
    ) -> Result<Self, SourceError> {
        let machine = Machine::new(variables, fs)?;
        let (variables, fs, http) = (variables.clone(), SharedFs::clone(fs), http.clone());
        Ok(Self { access, variables, fs, http, machine, kept: None })
    }

    /// The region that the configuration names, or else the environment, the profile, the machine.
    pub(crate) async fn region(&mut self) -> Result<String, SourceError> {
        if self.access.region.is_empty() {
            let of_variables = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter();
            let mut found = of_variables.filter_map(|name| self.variables.get(name)).next();
            if found.is_none() {
                found = self.profiles()?.get(&self.profile_name()).and_then(|p| p.get("region").cloned());
            }
            self.access.region = match found {
                Some(region) => region,
                None => self.machine.region().await?,
            };
        }
        Ok(self.access.region.clone())
    }

    /// The keys of now.
    pub(crate) async fn keys(&mut self) -> Result<Keys, SourceError> {
        let is_good = |keys: &Keys| keys.until.is_none_or(|until| Timestamp::now() + BEFORE_END < until);
        if let Some(keys) = self.kept.as_ref().filter(|keys| is_good(keys)) {
            return Ok(keys.clone());
        }
        let mut keys = self.find().await?;
        if !self.access.role_arn.is_empty() {
            keys = self.of_role(&keys, &self.access.role_arn.clone()).await?;
        }
        self.kept = Some(keys.clone());
        Ok(keys)
    }

    /// Finds other keys the next time: these were refused.
    pub(crate) fn forget(&mut self) {
        self.kept = None;
    }

    async fn find(&mut self) -> Result<Keys, SourceError> {
        let Access { access_key, secret_key, profile, .. } = &self.access;
        if !access_key.is_empty() && !secret_key.expose().is_empty() {
            return Ok(fixed(access_key.clone(), secret_key.clone(), None));
        }
        let variables = self.variables.clone();
        let get = |name: &str| variables.get(name);
        if profile.is_empty()
            && let (Some(id), Some(secret)) = (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"))
        {
            return Ok(fixed(id, Secret::new(secret), get("AWS_SESSION_TOKEN")));
        }
        let name = self.profile_name();
        if let Some(keys) = self.of_profile(&name).await? {
            return Ok(keys);
        }
        if !self.access.profile.is_empty() {
            return Err(SourceError::Setup(format!("AWS: there are no keys in a profile {name:?}")));
        }
        if let (Some(file), Some(role)) = (get("AWS_WEB_IDENTITY_TOKEN_FILE"), get("AWS_ROLE_ARN")) {
            let session = get("AWS_ROLE_SESSION_NAME");
            let token = read_secret(&*self.fs, Path::new(&file))?;
            let region = self.region().await?;
            return sts::of_token(&self.http, &self.variables, &region, &role, session, &token).await;
        }
        match metadata::of_container(&self.variables, &self.fs).await? {
            Some(keys) => Ok(keys),
            None => self.machine.keys().await,
        }
    }

    fn profile_name(&self) -> String {
        let own = Some(self.access.profile.clone()).filter(|name| !name.is_empty());
        own.or_else(|| self.variables.get("AWS_PROFILE")).unwrap_or_else(|| "default".to_owned())
    }

    /// Both files, those of keys before the other one.
    fn profiles(&self) -> Result<BTreeMap<String, Profile>, SourceError> {
        let mut all = BTreeMap::<String, Profile>::new();
        for (variable, below) in
            [("AWS_CONFIG_FILE", ".aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")]
        {
            let Some(path) = self.variables.file(variable, below) else { continue };
            for (name, profile) in profiles(&*self.fs, &path)? {
                all.entry(name).or_default().extend(profile);
            }
        }
        Ok(all)
    }

    /// The keys of a profile, by way of those that it takes its role from.
    async fn of_profile(&mut self, name: &str) -> Result<Option<Keys>, SourceError> {
        let all = self.profiles()?;
        let (mut name, mut roles) = (name.to_owned(), Vec::new());
        for _ in 0..PROFILES_MAX {
            let Some(profile) = all.get(&name) else { return Ok(None) };
            let get = |key: &str| profile.get(key).filter(|value| !value.is_empty()).cloned();
            if let Some(role) = get("role_arn") {
                roles.push(role);
                match get("source_profile") {
                    Some(source) if source != name => {
                        name = source;
                        continue;
                    }
                    _ => {}
                }
            }
            let (Some(id), Some(secret)) = (get("aws_access_key_id"), get("aws_secret_access_key")) else {
                return match ["credential_process", "sso_session", "sso_start_url"]
                    .iter()
                    .find_map(|k| get(k))
                {
                    None => Ok(None),
                    Some(_) => Err(SourceError::Setup(format!(
                        "AWS: the profile {name:?} has its keys from a program or a sign-on, which is not \
                         asked: write `aws_access_key_id` and `aws_secret_access_key`"
                    ))),
                };
            };
            let mut keys = fixed(id, Secret::new(secret), get("aws_session_token"));
            for role in roles.iter().rev() {
                keys = self.of_role(&keys, role).await?;
            }
            return Ok(Some(keys));
        }
        Err(SourceError::Setup(format!("AWS: more than {PROFILES_MAX} profiles stand for one another")))
    }

    async fn of_role(&mut self, keys: &Keys, role: &str) -> Result<Keys, SourceError> {
        let region = self.region().await?;
        sts::of_role(&self.http, &self.variables, &region, keys, role).await
    }
}

/// Keys that do not end.
fn fixed(id: String, secret: Secret<String>, token: Option<String>) -> Keys {
    Keys { id, secret, token: token.map(Secret::new), until: None }
}

/// Keys as containers and machines tell them.
pub(crate) fn of_answer(answer: &Value) -> Option<Keys> {
    let text = |key: &str| answer.get(key)?.as_str().map(str::to_owned);
    Some(Keys {
        id: text("AccessKeyId")?,
        secret: Secret::new(text("SecretAccessKey")?),
        token: text("Token").map(Secret::new),
        until: text("Expiration").and_then(|at| at.parse().ok()),
    })
}
