//! `Access`: which API is asked, and as whom: as the configuration says, as a file of `kubectl` says, or as
//! the cluster tells those who run in it. Asks nothing itself.

use super::{KubernetesConfig, exec::Exec, kubeconfig};
use crate::{
    error::SourceError,
    http::{Http, parse_url},
    meta::host_port,
};
use reqwest::{RequestBuilder, Url, header::AUTHORIZATION};
use skopos_base::{
    fs::{Fs, SharedFs, read_all},
    secret::Secret,
};
use skopos_client::{HttpConfig, config::Authorization};
use std::{
    env,
    path::{Path, PathBuf},
};

/// Where the cluster tells those who run in it who they are.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// See above.
#[derive(Debug)]
pub(super) struct Access {
    http: Http,
    pub(super) url: Url,
    namespace: Option<String>,
    /// Tells who we are, where nothing else does.
    exec: Option<Exec>,
}

impl Access {
    pub(super) fn new(
        config: &KubernetesConfig,
        client: &HttpConfig,
        fs: &SharedFs,
    ) -> Result<Self, SourceError> {
        let mut exec = None;
        let (address, client, namespace) = if !config.api_server.is_empty() {
            (config.api_server.clone(), client.clone(), None)
        } else if !config.kubeconfig_file.is_empty() {
            let path = Path::new(&config.kubeconfig_file);
            let found = kubeconfig::parse(&read(&**fs, path)?, path)?;
            exec = found.program.map(Exec::new);
            (found.address, found.client, None)
        } else {
            let account = Path::new(ACCOUNT);
            let host = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
            let place = host("KUBERNETES_SERVICE_HOST").zip(host("KUBERNETES_SERVICE_PORT"));
            within(account, place, &**fs)?
        };
        let url = parse_url(&address).map_err(SourceError::Setup)?;
        Ok(Self { http: Http::new(&client, fs)?, url, namespace, exec })
    }

    /// A request that is yet to be sent, by somebody who is known.
    pub(super) async fn get(&self, url: &Url) -> Result<RequestBuilder, SourceError> {
        let request = self.http.get(url).await?;
        match &self.exec {
            Some(exec) => Ok(request.header(AUTHORIZATION, exec.authorization().await?)),
            None => Ok(request),
        }
    }

    /// What came of a request: whom the API does not know is told anew the next time.
    pub(super) async fn answered<T>(&self, result: Result<T, SourceError>) -> Result<T, SourceError> {
        if let (Err(SourceError::Status { status: 401, .. }), Some(exec)) = (&result, &self.exec) {
            exec.forget().await;
        }
        result
    }

    /// The namespace that we run in.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

/// As the cluster tells those who run in it: address, credentials, namespace.
fn within(
    account: &Path,
    place: Option<(String, String)>,
    fs: &dyn Fs,
) -> Result<(String, HttpConfig, Option<String>), SourceError> {
    let Some((host, port)) = place else {
        let reason = "kubernetes_sd_configs: nothing says where the API is, and this is no pod of a cluster: \
                      set `api_server` or `kubeconfig_file`";
        return Err(SourceError::Setup(reason.to_owned()));
    };
    let file = |name: &str| -> PathBuf { account.join(name) };
    let mut client = HttpConfig {
        authorization: Some(Authorization::bearer(Secret::default(), Some(file("token")))),
        ..HttpConfig::default()
    };
    client.tls_config.ca_file = Some(file("ca.crt"));
    let namespace = read(fs, &file("namespace")).ok().map(|text| text.trim().to_owned());
    Ok((format!("https://{}", host_port(&host, port)), client, namespace))
}

fn read(fs: &dyn Fs, path: &Path) -> Result<String, SourceError> {
    let bytes = read_all(fs, path).map_err(|source| SourceError::File { path: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|e| SourceError::content(path.to_string_lossy(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_by_its_cluster() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("namespace"), "mine\n").unwrap();
        let place = Some(("fd00::1".to_owned(), "443".to_owned()));
        let (address, client, namespace) = within(folder.path(), place, &skopos_base::real::RealFs).unwrap();
        assert_eq!((address.as_str(), namespace.as_deref()), ("https://[fd00::1]:443", Some("mine")));
        let authorization = client.authorization.unwrap();
        assert_eq!(authorization.credentials_file, Some(folder.path().join("token")));
        assert_eq!(client.tls_config.ca_file, Some(folder.path().join("ca.crt")));
        let error = within(folder.path(), None, &skopos_base::real::RealFs).unwrap_err();
        assert!(error.to_string().contains("api_server"));
    }
}
