//! Lookups at a server of names that is made up for them.

use super::*;
use hickory_resolver::{
    config::NameServerConfig,
    proto::{
        op::{Message, ResponseCode},
        rr::{Name, Record, rdata},
    },
};
use std::{net::UdpSocket, str::FromStr as _, thread};

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

fn answers(asked: &Name, of: Type) -> Result<Vec<RData>, ResponseCode> {
    let target = |port| RData::SRV(rdata::SRV::new(1, 2, port, name("h1.example.")));
    Ok(match (asked.to_ascii().as_str(), of) {
        ("_http._tcp.example.", Type::SRV) => vec![target(9100), target(9200)],
        ("v4.example.", Type::A) => vec![RData::A(rdata::A::new(10, 0, 0, 1))],
        ("v6.example.", Type::AAAA) => vec![RData::AAAA("fd00::1".parse().unwrap())],
        ("example.", Type::MX) => vec![RData::MX(rdata::MX::new(1, name("mail.example.")))],
        ("example.", Type::NS) => vec![RData::NS(rdata::NS(name("ns.example.")))],
        ("broken.example.", _) => return Err(ResponseCode::ServFail),
        ("empty.example.", _) => Vec::new(),
        _ => return Err(ResponseCode::NXDomain),
    })
}

/// Answers until the test process ends.
fn server() -> ResolverConfig {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
            answer.queries = question.queries.clone();
            let query = &question.queries[0];
            match answers(query.name(), query.query_type()) {
                Ok(all) => {
                    let record = |data| Record::from_rdata(query.name().clone(), 60, data);
                    answer.answers = all.into_iter().map(record).collect();
                }
                Err(code) => answer.metadata.response_code = code,
            }
            socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
        }
    });
    let mut server = NameServerConfig::udp("127.0.0.1".parse().unwrap());
    server.connections.iter_mut().for_each(|connection| connection.port = port);
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

fn source(names: &[&str], record_type: RecordType, port: u16, servers: &ResolverConfig) -> DnsSource {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    DnsSource {
        config: DnsConfig { names, refresh_interval: half_a_minute(), record_type, port },
        servers: Some(servers.clone()),
        known: BTreeMap::new(),
        trouble: None,
        stats: Arc::default(),
    }
}

#[tokio::test]
async fn records_become_targets() {
    let servers = server();
    let srv = |port: u16| {
        let target = format!(r#"srv_record_port="{port}", __meta_dns_srv_record_target="h1.example.""#);
        (format!("h1.example:{port}"), format!(r#", __meta_dns_{target}"#))
    };
    let plain = |address: &str| (address.to_owned(), String::new());
    let mx = (r#"mail.example:80"#.to_owned(), r#"__meta_dns_mx_record_target="mail.example.", "#.to_owned());
    let ns = (r#"ns.example:80"#.to_owned(), r#", __meta_dns_ns_record_target="ns.example.""#.to_owned());
    for (asked, record_type, expected) in [
        ("_http._tcp.example.", RecordType::Srv, vec![srv(9100), srv(9200)]),
        ("v4.example.", RecordType::A, vec![plain("10.0.0.1:80")]),
        ("v6.example.", RecordType::Aaaa, vec![plain("[fd00::1]:80")]),
        ("example.", RecordType::Mx, vec![mx]),
        ("example.", RecordType::Ns, vec![ns]),
        ("empty.example.", RecordType::A, vec![]),
        ("unknown.example.", RecordType::Srv, vec![]),
    ] {
        let mut source = source(&[asked], record_type, 80, &servers);
        let groups = source.refresh().await.unwrap();
        assert!(source.trouble().is_none(), "{asked}");
        let found: Vec<_> = groups[0].all_labels().map(|labels| labels.to_string()).collect();
        let whole = expected.iter().map(|(address, more)| {
            let (before, behind) =
                if more.starts_with(',') { ("", more.as_str()) } else { (more.as_str(), "") };
            format!(r#"{{__address__="{address}", {before}__meta_dns_name="{asked}"{behind}}}"#)
        });
        assert_eq!(found, whole.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_keeps_its_targets() {
    let mut source = source(&["v4.example.", "broken.example."], RecordType::A, 80, &server());
    let known = TargetGroup { source: "broken.example.".to_owned(), ..TargetGroup::default() };
    source.known.insert(known.source.clone(), known.clone());
    let groups = source.refresh().await.unwrap();
    assert_eq!(groups.len(), 2);
    assert!(groups.contains(&known));
    assert!(source.trouble().unwrap().to_string().contains("broken.example."));
    assert_eq!(source.stats.value("prometheus_sd_dns_lookups_total", &[]), Some(2.0));
    assert_eq!(source.stats.value("prometheus_sd_dns_lookup_failures_total", &[]), Some(1.0));
}
