//! Keys for a while, of the service that gives them for a role. Keeps none.

use super::{
    api::endpoint_of,
    sign::{Asked, Keys, Scope, sign},
};
use crate::{
    error::SourceError,
    http::{Answer, Http, form, send},
    variables::Variables,
    xml::{Xml, document},
};
use jiff::Timestamp;
use reqwest::Url;
use skopos_base::secret::Secret;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const VERSION: (&str, &str) = ("Version", "2011-06-15");
/// What a session is called when nobody says so.
const SESSION: &str = "skopos";

/// The keys of a role that other keys may take.
pub(crate) async fn of_role(
    http: &Http,
    variables: &Variables,
    region: &str,
    keys: &Keys,
    role: &str,
) -> Result<Keys, SourceError> {
    let url = endpoint_of("sts", region, variables)?;
    let body = form(&[("Action", "AssumeRole"), VERSION, ("RoleArn", role), ("RoleSessionName", SESSION)]);
    let headers = [("content-type", FORM.to_owned())];
    let asked = Asked { method: "POST", url: &url, headers: &headers, body: &body };
    let signed = sign(keys, Scope { region, service: "sts" }, Timestamp::now(), asked);
    let mut request = http.post(&url, FORM, body.clone()).await?;
    for (name, value) in signed {
        request = request.header(name, value);
    }
    keys_of(&send(request).await?.ok()?, &url, "AssumeRoleResult")
}

/// The keys of a role that a token may take.
pub(crate) async fn of_token(
    http: &Http,
    variables: &Variables,
    region: &str,
    role: &str,
    session: Option<String>,
    token: &Secret<String>,
) -> Result<Keys, SourceError> {
    let url = endpoint_of("sts", region, variables)?;
    let body = form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        VERSION,
        ("RoleArn", role),
        ("RoleSessionName", session.as_deref().unwrap_or(SESSION)),
        ("WebIdentityToken", token.expose()),
    ]);
    let answer = send(http.post(&url, FORM, body).await?).await?.ok()?;
    keys_of(&answer, &url, "AssumeRoleWithWebIdentityResult")
}

fn keys_of(answer: &Answer, url: &Url, result: &str) -> Result<Keys, SourceError> {
    let text = String::from_utf8_lossy(&answer.body);
    let document = document(&text, url.as_str())?;
    let keys = Xml::root(&document).at(&[result, "Credentials"]);
    if keys.text("AccessKeyId").is_empty() {
        return Err(SourceError::content(url.as_str(), &"there are no keys in it"));
    }
    Ok(Keys {
        id: keys.text("AccessKeyId").to_owned(),
        secret: Secret::new(keys.text("SecretAccessKey").to_owned()),
        token: Some(Secret::new(keys.text("SessionToken").to_owned())),
        until: keys.text("Expiration").parse().ok(),
    })
}
