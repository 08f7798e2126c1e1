//! What a configuration may say, and what is said of one that may not.

use skopos_discovery::DiscoveryConfigs;

fn read(text: &str) -> Result<DiscoveryConfigs, String> {
    serde_saphyr::from_str(text).map_err(|e| e.to_string())
}

#[test]
fn defaults_are_those_of_prometheus() {
    let text = "
file_sd_configs: [{files: [a.json]}]
http_sd_configs: [{url: 'http://h/x'}]
dns_sd_configs: [{names: [a], type: aaaa, port: 1}, {names: [b]}]
consul_sd_configs: [{}]
docker_sd_configs: [{host: 'unix:///x'}]
dockerswarm_sd_configs: [{host: 'tcp://h:1', role: tasks}]
aws_sd_configs: [{role: msk, region: r}]
ec2_sd_configs: [{}]
azure_sd_configs: [{subscription_id: s, authentication_method: ManagedIdentity}]
gce_sd_configs: [{project: p, zone: z}]
marathon_sd_configs: [{servers: ['http://h']}]
nerve_sd_configs: [{servers: [h], paths: [/p]}]
stackit_sd_configs: [{}]
";
    let configs = read(text).unwrap();
    let minutes = |of: skopos_model::DurationMs| of.to_string();
    assert_eq!(minutes(configs.file_sd_configs[0].refresh_interval), "5m");
    assert_eq!(minutes(configs.http_sd_configs[0].own.refresh_interval), "1m");
    assert!(configs.http_sd_configs[0].client.follow_redirects);
    assert_eq!(minutes(configs.dns_sd_configs[1].refresh_interval), "30s");
    let consul = &configs.consul_sd_configs[0].own;
    assert_eq!((consul.server.as_str(), consul.tag_separator.as_str()), ("localhost:8500", ","));
    assert!(consul.allow_stale);
    let docker = &configs.docker_sd_configs[0].own;
    assert_eq!((docker.port, docker.host_networking_host.as_str()), (80, "localhost"));
    assert!(docker.match_first_network);
    let ec2 = &configs.ec2_sd_configs[0].own;
    assert_eq!((ec2.port, minutes(ec2.refresh_interval).as_str()), (80, "1m"));
    assert_eq!(minutes(configs.azure_sd_configs[0].own.refresh_interval), "5m");
    assert_eq!(configs.gce_sd_configs[0].tag_separator, ",");
    assert_eq!(minutes(configs.marathon_sd_configs[0].own.refresh_interval), "30s");
    assert_eq!(minutes(configs.nerve_sd_configs[0].timeout), "10s");
    assert_eq!(configs.stackit_sd_configs[0].own.region, "eu01");
    let written = serde_saphyr::to_string(&configs).unwrap();
    assert_eq!(read(&written).unwrap(), configs, "{written}");
}

#[test]
fn what_prometheus_refuses_is_refused_with_its_place() {
    for (text, line, said) in [
        ("file_sd_configs:\n- {}", 2, "`files` is missing"),
        ("file_sd_configs:\n- {files: [a.txt]}", 2, "\"a.txt\" cannot be used"),
        ("file_sd_configs:\n- {files: ['*/a.yml']}", 2, "cannot be used"),
        ("file_sd_configs:\n- files: [a.yml]\n  refresh: 1s", 3, "unknown field `refresh`"),
        ("http_sd_configs:\n- {}", 2, "`url` is missing"),
        ("http_sd_configs:\n- url: 'ftp://h'", 2, "the scheme must be http or https"),
        ("http_sd_configs:\n- url: 'http://'", 2, "is no address"),
        ("http_sd_configs:\n- url: 'http://h'\n  follow_redirects: 7", 3, "bool"),
        ("http_sd_configs:\n- url: 'http://h'\n  odd: 7", 3, "unknown field `odd`"),
        ("dns_sd_configs:\n- {}", 2, "`names` is missing"),
        ("dns_sd_configs:\n- {names: [a], type: A}", 2, "`port` is missing"),
        ("dns_sd_configs:\n- {names: [a], type: TXT}", 2, "\"TXT\" cannot be looked up"),
        ("consul_sd_configs:\n- {username: a, basic_auth: {username: b}}", 2, "not both"),
        ("consul_sd_configs:\n- {token: a, authorization: {credentials: b}}", 2, "at most one"),
        ("http_sd_configs:\n- {url: 'http://h', basic_auth: {}, bearer_token: x}", 2, "at most one"),
        ("consul_sd_configs:\n- {server: ' '}", 2, "`server` is empty"),
        ("docker_sd_configs:\n- {}", 2, "`host` is missing"),
        ("dockerswarm_sd_configs:\n- {host: 'unix:///x', role: pods}", 2, "unknown variant `pods`"),
        ("dockerswarm_sd_configs:\n- {host: 'unix:///x'}", 2, "role"),
        ("aws_sd_configs:\n- {region: r}", 2, "`role` is missing"),
        ("aws_sd_configs:\n- {role: ecs, filters: [{name: a, values: [b]}]}", 2, "for the role ec2 alone"),
        ("ec2_sd_configs:\n- filters: [{name: a}]", 2, "has no values"),
        ("lightsail_sd_configs:\n- region: r\n  filters: []", 3, "unknown field `filters`"),
        ("azure_sd_configs:\n- {subscription_id: s}", 2, "`tenant_id` is missing"),
        (
            "azure_sd_configs:\n- {subscription_id: s, authentication_method: SDK, environment: x}",
            2,
            "`environment` \"x\" is unknown",
        ),
        ("gce_sd_configs:\n- {project: p}", 2, "`zone` is missing"),
        ("openstack_sd_configs:\n- {role: instance}", 2, "`region` is missing"),
        ("openstack_sd_configs:\n- {region: r}", 2, "role"),
        ("ovhcloud_sd_configs:\n- {service: vps, application_key: k}", 2, "`application_secret` is missing"),
        ("marathon_sd_configs:\n- {}", 2, "`servers` is missing"),
        ("marathon_sd_configs:\n- {servers: ['http://h'], auth_token: a, bearer_token: b}", 2, "at most one"),
        ("nerve_sd_configs:\n- {servers: [a]}", 2, "`paths` is missing"),
        ("serverset_sd_configs:\n- {servers: [a], paths: [b]}", 2, "must begin with /"),
        ("stackit_sd_configs:\n- {region: ''}", 2, "`endpoint` or `region`"),
        ("uyuni_sd_configs:\n- {server: 'http://h', username: a}", 2, "`password` is missing"),
        ("gopher_sd_configs: []", 1, "unknown field `gopher_sd_configs`"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(said), "{text}\n{error}");
        assert!(error.contains(&format!("line {line}")), "{text}\n{error}");
    }
}
