//! `Login`: who asks Azure, proved by a secret, by a token of a cluster, or by what the machine is.

use crate::{
    azure::{AzureConfig, AzureMethod},
    error::SourceError,
    files::read_secret,
    http::{Http, asking, below, encoded, form, parse_url, send},
    json::Json,
    token::Token,
    variables::Variables,
};
use reqwest::Url;
use skopos_base::{fs::SharedFs, secret::Secret};
use skopos_client::HttpConfig;
use std::path::PathBuf;

const MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// One of Azure's clouds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cloud {
    pub(crate) resources: &'static str,
    login: &'static str,
}

impl Cloud {
    /// The one of this name, in any case.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let (resources, login) = match name.to_ascii_uppercase().as_str() {
            "AZURECLOUD" | "AZUREPUBLICCLOUD" | "AZUREGERMANCLOUD" => {
                ("https://management.azure.com", "https://login.microsoftonline.com")
            }
            "AZURECHINACLOUD" => ("https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"),
            "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => {
                ("https://management.usgovcloudapi.net", "https://login.microsoftonline.us")
            }
            _ => {
                let known = "AzurePublicCloud, AzureChinaCloud or AzureUSGovernment";
                return Err(format!("`environment` {name:?} is unknown: write {known}"));
            }
        };
        Ok(Self { resources, login })
    }
}

/// See above.
#[derive(Debug)]
pub(crate) struct Login {
    cloud: Cloud,
    how: How,
    fs: SharedFs,
    kept: Option<Token>,
}

#[derive(Debug)]
enum How {
    /// By a secret.
    Secret { url: Url, client: String, secret: Secret<String> },
    /// By a token of a cluster, which stands in a file.
    Workload { url: Url, client: String, file: PathBuf },
    /// By what the machine is; `client` says as which of its identities.
    Machine { url: Url, client: String, http: Http },
}

impl Login {
    pub(crate) fn new(
        config: &AzureConfig,
        cloud: Cloud,
        variables: &Variables,
        fs: &SharedFs,
    ) -> Result<Self, SourceError> {
        let own = |text: &str, name: &str| match text {
            "" => variables.get(name).unwrap_or_default(),
            text => text.to_owned(),
        };
        let tenant = own(&config.tenant_id, "AZURE_TENANT_ID");
        let client = own(&config.client_id, "AZURE_CLIENT_ID");
        let authority = variables.get("AZURE_AUTHORITY_HOST").unwrap_or_else(|| cloud.login.to_owned());
        let base = parse_url(&authority).map_err(SourceError::Setup)?;
        let url = below(&base, &format!("{}/oauth2/v2.0/token", encoded(&tenant)));
        let file = variables.get("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from);
        let of_variables = variables.get("AZURE_CLIENT_SECRET").map(Secret::new);
        let how = match (config.authentication_method, config.client_secret.clone().or(of_variables), file) {
            (AzureMethod::OAuth, Some(secret), _) | (AzureMethod::Sdk, Some(secret), _) => {
                How::Secret { url, client, secret }
            }
            (AzureMethod::WorkloadIdentity | AzureMethod::Sdk, _, Some(file)) => {
                How::Workload { url, client, file }
            }
            (AzureMethod::WorkloadIdentity, _, None) => {
                let missing = "azure_sd_configs: AZURE_FEDERATED_TOKEN_FILE is not set";
                return Err(SourceError::Setup(missing.to_owned()));
            }
            _ => {
                let url = parse_url(MACHINE).map_err(SourceError::Setup)?;
                let http = Http::new(&HttpConfig::default(), fs)?;
                How::Machine { url, client: config.client_id.clone(), http }
            }
        };
        Ok(Self { cloud, how, fs: SharedFs::clone(fs), kept: None })
    }

    /// The value of the header `Authorization` of now.
    pub(crate) async fn token(&mut self, http: &Http) -> Result<String, SourceError> {
        if let Some(token) = self.kept.as_ref().filter(|token| token.is_good()) {
            return Ok(token.bearer());
        }
        let scope = format!("{}/.default", self.cloud.resources);
        let shared = |client: &str| {
            let pairs = [("grant_type", "client_credentials"), ("client_id", client), ("scope", &scope)];
            form(&pairs)
        };
        let kind = "application/x-www-form-urlencoded";
        let (request, from) = match &self.how {
            How::Secret { url, client, secret } => {
                let body = format!("{}&{}", shared(client), form(&[("client_secret", secret.expose())]));
                (http.post(url, kind, body).await?, url)
            }
            How::Workload { url, client, file } => {
                let token = read_secret(&*self.fs, file)?;
                let own = [("client_assertion_type", ASSERTION), ("client_assertion", token.expose())];
                let body = format!("{}&{}", shared(client), form(&own));
                (http.post(url, kind, body).await?, url)
            }
            How::Machine { url, client, http } => {
                let resource = format!("{}/", self.cloud.resources);
                let pairs = [("api-version", "2018-02-01"), ("resource", &resource), ("client_id", client)];
                let asked = asking(url, pairs.into_iter().filter(|(_, value)| !value.is_empty()));
                (http.get(&asked).await?.header("Metadata", "true"), url)
            }
        };
        let answer = send(request).await?.json()?;
        let missing = || SourceError::content(from.as_str(), &"there is no token in it");
        let token = Token::of_answer(Json::new(&answer)).ok_or_else(missing)?;
        Ok(self.kept.insert(token).bearer())
    }
}
