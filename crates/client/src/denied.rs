//! `DeniedAddresses`: where a connection may not lead. Asked once a name has become an address, so that no
//! name and no redirect leads there. Opens no connection.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Where providers of machines tell whoever asks what the machine is, and its credentials.
const METADATA: [(IpAddr, u8); 8] = [
    (v4(169, 254, 169, 254), 32),
    (v4(169, 254, 170, 2), 32),
    (v4(169, 254, 170, 23), 32),
    (v4(100, 100, 100, 200), 32),
    (v4(168, 63, 129, 16), 32),
    (v4(192, 0, 0, 192), 32),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]), 128),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]), 128),
];
/// What reaches no further than the next machine.
const LINK_LOCAL: [(IpAddr, u8); 2] = [(v4(169, 254, 0, 0), 16), (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10)];
/// This machine, under any of its names.
const LOOPBACK: [(IpAddr, u8); 4] = [
    (v4(127, 0, 0, 0), 8),
    (v4(0, 0, 0, 0), 8),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
];
/// Names of services of metadata: a proxy may be asked for them.
const METADATA_NAMES: [&str; 4] =
    ["metadata", "metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(parts: [u16; 8]) -> IpAddr {
    let [a, b, c, d, e, f, g, h] = parts;
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h))
}

/// See above. Nothing is denied unless it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeniedAddresses {
    networks: Vec<(IpAddr, u8)>,
    names: &'static [&'static str],
    /// As it was written, for whoever is refused.
    written: String,
}

/// Why a connection is not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is denied to this target: {written}")]
pub struct Denied {
    host: String,
    written: String,
}

impl FromStr for DeniedAddresses {
    type Err = String;

    /// `metadata`, `link-local`, `loopback`, addresses, and networks as `10.0.0.0/8`, with commas between.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut denied = Self { written: text.to_owned(), ..Self::default() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part {
                "metadata" => {
                    denied.networks.extend(METADATA);
                    denied.names = &METADATA_NAMES;
                }
                "link-local" => denied.networks.extend(LINK_LOCAL),
                "loopback" => denied.networks.extend(LOOPBACK),
                other => denied.networks.push(network(other)?),
            }
        }
        Ok(denied)
    }
}

impl fmt::Display for DeniedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || {
        let known = "metadata, link-local, loopback, an address, or a network as 10.0.0.0/8";
        format!("{text:?} cannot be denied: write {known}")
    };
    let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| wrong()))?;
    if bits > most { Err(wrong()) } else { Ok((ip, bits)) }
}

/// Whether the address is in the network, both of the same kind.
fn is_in(ip: IpAddr, (network, bits): (IpAddr, u8)) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (u32::from(ip) ^ u32::from(network)) & mask == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            (u128::from(ip) ^ u128::from(network)) & mask == 0
        }
        _ => false,
    }
}

impl DeniedAddresses {
    /// Whether every address is allowed.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether a connection may lead there. Addresses of IPv4 in the clothes of IPv6 are what they are.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self, ip: IpAddr) -> Result<(), Denied> {
        let canonical = ip.to_canonical();
        if self.networks.iter().any(|network| is_in(canonical, *network)) {
            return Err(self.refusal(ip.to_string()));
        }
        Ok(())
    }

    /// The same of what an address of HTTP has as its host, as far as that says where it leads.
    ///
    /// # Errors
    /// When it may not.
    pub fn check_host(&self, host: &str) -> Result<(), Denied> {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        if self.names.iter().any(|name| host.eq_ignore_ascii_case(name)) {
            return Err(self.refusal(host.to_owned()));
        }
        host.parse().map_or(Ok(()), |ip| self.check(ip))
    }

    /// The addresses of a name that are allowed.
    ///
    /// # Errors
    /// When it has none, or the name is not known.
    pub async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let refused = |denied: Denied| io::Error::new(io::ErrorKind::PermissionDenied, denied);
        self.check_host(host).map_err(refused)?;
        let (mut allowed, mut denied) = (Vec::new(), None);
        for address in tokio::net::lookup_host((host, port)).await? {
            match self.check(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(error) => denied = Some(error),
            }
        }
        match denied {
            Some(Denied { host: ip, .. }) if allowed.is_empty() => {
                Err(refused(self.refusal(if ip == host { ip } else { format!("{host} ({ip})") })))
            }
            _ => Ok(allowed),
        }
    }

    fn refusal(&self, host: String) -> Denied {
        Denied { host, written: format!("denied are {}", self.written) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(text: &str) -> DeniedAddresses {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_denied_is_denied_in_all_its_spellings() {
        let all = denied("metadata, link-local,loopback, 10.1.0.0/16, fc00::/7");
        for ip in [
            "169.254.169.254",
            "169.254.1.1",
            "127.9.9.9",
            "0.0.0.0",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "10.1.2.3",
            "100.100.100.200",
        ] {
            assert!(all.check_host(ip).is_err(), "{ip}");
        }
        for ip in ["10.2.0.1", "1.1.1.1", "2001:db8::1", "169.253.1.1", "128.0.0.1"] {
            assert!(all.check_host(ip).is_ok(), "{ip}");
        }
        for name in ["metadata.google.internal", "METADATA.google.internal.", "metadata"] {
            assert!(all.check_host(name).is_err(), "{name}");
            assert!(denied("loopback").check_host(name).is_ok(), "{name}");
        }
        assert!(denied("0.0.0.0/0").check_host("8.8.8.8").is_err());
        assert!(denied("::/0").check_host("2001::1").is_err());
        assert!(DeniedAddresses::default().is_empty() && !denied("loopback").is_empty());
    }

    #[test]
    fn what_cannot_be_denied_is_said() {
        for text in ["10.0.0.0/33", "x", "10.0.0/8", "::/129", "loopback;metadata"] {
            let error = text.parse::<DeniedAddresses>().unwrap_err();
            assert!(error.contains("cannot be denied: write metadata"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_there_is_refused_with_the_reason() {
        let error = denied("loopback").look_up("localhost", 80).await.unwrap_err().to_string();
        assert!(error.starts_with("localhost (") && error.contains("denied are loopback"), "{error}");
        assert!(!denied("metadata").look_up("localhost", 80).await.unwrap().is_empty());
    }
}
