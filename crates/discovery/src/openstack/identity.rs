//! Who asks OpenStack, and where its services are: version 3 of the API of identity. Keeps no session.

use super::OpenStackConfig;
use crate::{
    error::SourceError,
    http::{Http, below, parse_url, send},
    json::Json,
    token::Token,
    variables::Variables,
};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Url, header::HeaderValue};
use serde_json::{Value, json};
use skopos_base::secret::Secret;

/// How long a session holds that does not say so.
const SESSION: SignedDuration = SignedDuration::from_mins(5);

/// Who asks.
#[derive(Debug)]
pub(super) struct Login {
    url: Url,
    /// What is told, with its secrets.
    body: Secret<String>,
}

/// What one is given, for a while.
#[derive(Debug)]
pub(super) struct Session {
    token: Token,
    catalog: Value,
}

/// The parts of a login, as the configuration or the environment says them.
#[derive(Default)]
struct Parts {
    endpoint: String,
    username: String,
    userid: String,
    password: String,
    project_name: String,
    project_id: String,
    domain_name: String,
    domain_id: String,
    application_name: String,
    application_id: String,
    application_secret: String,
}

impl Parts {
    fn of_config(config: &OpenStackConfig) -> Self {
        Self {
            endpoint: config.identity_endpoint.clone(),
            username: config.username.clone(),
            userid: config.userid.clone(),
            password: config.password.expose().clone(),
            project_name: config.project_name.clone(),
            project_id: config.project_id.clone(),
            domain_name: config.domain_name.clone(),
            domain_id: config.domain_id.clone(),
            application_name: config.application_credential_name.clone(),
            application_id: config.application_credential_id.clone(),
            application_secret: config.application_credential_secret.expose().clone(),
        }
    }

    fn of_variables(variables: &Variables) -> Self {
        let get = |names: &[&str]| names.iter().find_map(|name| variables.get(name)).unwrap_or_default();
        Self {
            endpoint: get(&["OS_AUTH_URL"]),
            username: get(&["OS_USERNAME"]),
            userid: get(&["OS_USERID", "OS_USER_ID"]),
            password: get(&["OS_PASSWORD"]),
            project_name: get(&["OS_PROJECT_NAME", "OS_TENANT_NAME"]),
            project_id: get(&["OS_PROJECT_ID", "OS_TENANT_ID"]),
            domain_name: get(&["OS_DOMAIN_NAME", "OS_USER_DOMAIN_NAME"]),
            domain_id: get(&["OS_DOMAIN_ID", "OS_USER_DOMAIN_ID"]),
            application_name: get(&["OS_APPLICATION_CREDENTIAL_NAME"]),
            application_id: get(&["OS_APPLICATION_CREDENTIAL_ID"]),
            application_secret: get(&["OS_APPLICATION_CREDENTIAL_SECRET"]),
        }
    }

    fn domain(&self) -> Value {
        if self.domain_id.is_empty() {
            json!({"name": self.domain_name})
        } else {
            json!({"id": self.domain_id})
        }
    }

    fn user(&self) -> Value {
        if self.userid.is_empty() {
            json!({"name": self.username, "domain": self.domain()})
        } else {
            json!({"id": self.userid})
        }
    }

    fn body(&self) -> Value {
        if !self.application_secret.is_empty() {
            let mut own = json!({"secret": self.application_secret});
            if self.application_id.is_empty() {
                own["name"] = json!(self.application_name);
                own["user"] = self.user();
            } else {
                own["id"] = json!(self.application_id);
            }
            let identity = json!({"methods": ["application_credential"], "application_credential": own});
            return json!({"auth": {"identity": identity}});
        }
        let mut user = self.user();
        user["password"] = json!(self.password);
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let mut auth = json!({"identity": identity});
        if !self.project_id.is_empty() {
            auth["scope"] = json!({"project": {"id": self.project_id}});
        } else if !self.project_name.is_empty() {
            auth["scope"] = json!({"project": {"name": self.project_name, "domain": self.domain()}});
        } else if !self.domain_id.is_empty() || !self.domain_name.is_empty() {
            auth["scope"] = json!({"domain": self.domain()});
        }
        json!({"auth": auth})
    }
}

impl Login {
    pub(super) fn new(config: &OpenStackConfig, variables: &Variables) -> Result<Self, SourceError> {
        let parts = match config.identity_endpoint.as_str() {
            "" => Parts::of_variables(variables),
            _ => Parts::of_config(config),
        };
        if parts.endpoint.is_empty() {
            let missing = "openstack_sd_configs: write `identity_endpoint` or set OS_AUTH_URL";
            return Err(SourceError::Setup(missing.to_owned()));
        }
        let base = parse_url(&parts.endpoint).map_err(SourceError::Setup)?;
        let is_versioned = base.path().trim_end_matches('/').ends_with("/v3");
        let url = below(&base, if is_versioned { "auth/tokens" } else { "v3/auth/tokens" });
        Ok(Self { url, body: Secret::new(parts.body().to_string()) })
    }

    /// Asks for a session.
    pub(super) async fn open(&self, http: &Http) -> Result<Session, SourceError> {
        let request = http.post(&self.url, "application/json", self.body.expose().clone()).await?;
        let answer = send(request).await?.ok()?;
        let text = answer.header("x-subject-token").to_owned();
        let answer = answer.json()?;
        let own = Json::new(&answer).get("token");
        let until = own.text("expires_at").parse().unwrap_or_else(|_| Timestamp::now() + SESSION);
        Ok(Session { token: Token::until(&text, until), catalog: answer["token"]["catalog"].clone() })
    }
}

impl Session {
    pub(super) fn is_good(&self) -> bool {
        self.token.is_good()
    }

    /// The value of the header that shows the session.
    pub(super) fn token(&self) -> Result<HeaderValue, SourceError> {
        let value = HeaderValue::from_str(self.token.text.expose());
        let mut value = value.map_err(|_| SourceError::Setup("OpenStack: the token is none".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Where the first service of these kinds is, in a region, for those who may ask there.
    pub(super) fn endpoint(&self, kinds: &[&str], region: &str, who: &str) -> Result<Url, SourceError> {
        let services = Json::new(&self.catalog).items().filter(|one| kinds.contains(&one.text("type")));
        let mut endpoints = services.flat_map(|service| service.list("endpoints"));
        let found = endpoints.find(|one| {
            let place = one.get("region_id");
            let place = if place.is_there() { place.as_text() } else { one.text("region") };
            one.text("interface") == who && place == region
        });
        let missing = || {
            let kinds = kinds.join(" or ");
            SourceError::Setup(format!("OpenStack: there is no {who} service {kinds} in region {region:?}"))
        };
        parse_url(found.ok_or_else(missing)?.text("url")).map_err(SourceError::Setup)
    }
}
