//! Where connections lead: to the address of a server whose certificate has another name (`server_name`),
//! about which the handshake is; and to one of a server's addresses after the other.

use crate::denied::DeniedAddresses;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderValue,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A server by its address, under another name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Renamed {
    host: String,
    port: u16,
}

impl Renamed {
    /// The server of `url`, if its certificate is to have another name than the address does.
    ///
    /// # Errors
    /// When the name is an address: a certificate cannot be asked for in the place of another by that.
    pub(crate) fn of(url: &Url, name: &str) -> Result<Option<Self>, String> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if name.is_empty() || url.scheme() != "https" || host.eq_ignore_ascii_case(name) {
            return Ok(None);
        }
        if name.parse::<IpAddr>().is_ok() {
            return Err("tls_config: server_name: an address cannot be asked for in the place of another: \
                        write a name"
                .to_owned());
        }
        Ok(Some(Self { host: host.to_owned(), port: url.port_or_known_default().unwrap_or(443) }))
    }

    /// `url` with the other name, and the header `Host` that it has nevertheless.
    pub(crate) fn rename(url: &Url, name: &str) -> Result<(Url, HeaderValue), String> {
        let mut renamed = url.clone();
        let wrong = |e: &dyn std::fmt::Display| format!("tls_config: server_name: {name:?} is no name: {e}");
        renamed.set_host(Some(name)).map_err(|e| wrong(&e))?;
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok((renamed, HeaderValue::from_str(&authority).map_err(|e| wrong(&e))?))
    }
}

/// Whatever name is asked for, this server has it, unless it may not be asked.
pub(crate) struct Always(pub(crate) Arc<Renamed>, pub(crate) DeniedAddresses);

impl Resolve for Always {
    fn resolve(&self, _name: Name) -> Resolving {
        let (server, denied) = (Arc::clone(&self.0), self.1.clone());
        Box::pin(async move {
            let found = denied.look_up(&server.host, server.port).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Names lead where they may.
pub(crate) struct Allowed(pub(crate) DeniedAddresses);

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let denied = self.0.clone();
        Box::pin(async move {
            // The port is put in by whoever asks.
            let found = denied.look_up(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Each connection leads to the next of a name's addresses.
#[derive(Default)]
pub(crate) struct InTurn(Arc<AtomicUsize>);

impl Resolve for InTurn {
    fn resolve(&self, name: Name) -> Resolving {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            // The port is set by who asks.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(in_turn(found.collect(), turn).into_iter()) as Addrs)
        })
    }
}

/// The addresses, sorted, so that the one whose turn it is comes first.
fn in_turn(mut addresses: Vec<SocketAddr>, turn: usize) -> Vec<SocketAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    let first = turn.checked_rem(addresses.len()).unwrap_or(0);
    addresses.rotate_left(first);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_turn() {
        let all = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = all(&["10.0.0.2:0", "10.0.0.1:0", "10.0.0.2:0"]);
        let first: Vec<_> = (0..3).map(|turn| in_turn(found.clone(), turn)[0].to_string()).collect();
        assert_eq!(first, ["10.0.0.1:0", "10.0.0.2:0", "10.0.0.1:0"]);
        assert_eq!(in_turn(found, 1), all(&["10.0.0.2:0", "10.0.0.1:0"]));
        assert_eq!(in_turn(Vec::new(), 7), []);
    }
}
