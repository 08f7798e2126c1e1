//! What runs at AWS.

use crate::{
    beside::{Ours, joined, same_as_prometheus},
    made_up::{Reply, Request, Server},
};
use serde_json::{Value, json};
use skopos_discovery::Variables;
use std::fs;

pub(crate) fn ec2(request: &Request) -> Reply {
    let proof = request.header("authorization");
    assert!(proof.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{proof}");
    let body = &request.body;
    if body.contains("Action=DescribeAvailabilityZones") {
        return xml(
            "DescribeAvailabilityZones",
            "<availabilityZoneInfo><item><zoneName>eu-west-2a</zoneName><zoneId>euw2-az2</zoneId></item>\
             </availabilityZoneInfo>",
        );
    }
    if body.contains("Action=DescribeNetworkInterfaces") {
        return xml(
            "DescribeNetworkInterfaces",
            "<networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId><association>\
             <publicIp>52.0.0.1</publicIp></association></item></networkInterfaceSet>",
        );
    }
    assert!(body.contains("Action=DescribeInstances") && body.contains("Version=2016-11-15"), "{body}");
    if body.contains("InstanceId.1=i-1") {
        return xml("DescribeInstances", &reservation(&plain_machine("i-1")));
    }
    assert!(body.contains("Filter.1.Name=tag%3Aa&Filter.1.Value.1=x&Filter.1.Value.2=y"), "{body}");
    if body.contains("NextToken=more") {
        return xml("DescribeInstances", &reservation(&plain_machine("i-2")));
    }
    let more = "<nextToken>more</nextToken>";
    xml("DescribeInstances", &format!("{}{more}", reservation(&full_machine())))
}

fn xml(action: &str, inside: &str) -> Reply {
    let space = "http://ec2.amazonaws.com/doc/2016-11-15/";
    Reply::text(
        "text/xml;charset=UTF-8",
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{space}\">\
            <requestId>r</requestId>{inside}</{action}Response>"
        ),
    )
}

fn reservation(machines: &str) -> String {
    format!(
        "<reservationSet><item><reservationId>r-1</reservationId><ownerId>0815</ownerId>\
         <instancesSet>{machines}</instancesSet></item></reservationSet>"
    )
}

fn plain_machine(id: &str) -> String {
    format!(
        "<item><instanceId>{id}</instanceId><imageId>ami-2</imageId><instanceState><code>16</code>\
         <name>running</name></instanceState><instanceType>t3.nano</instanceType>\
         <placement><availabilityZone>eu-west-2b</availabilityZone></placement>\
         <privateIpAddress>10.0.0.9</privateIpAddress><subnetId>subnet-9</subnetId>\
         <tagSet><item><key>kind</key><value>plain</value></item></tagSet></item>\
         <item><instanceId>i-none</instanceId><imageId>ami-2</imageId><instanceState><name>terminated</name>\
         </instanceState><instanceType>t3.nano</instanceType>\
         <placement><availabilityZone>eu-west-2b</availabilityZone></placement></item>"
    )
}

fn full_machine() -> String {
    let interface = |place: u32, subnet: &str, addresses: &str| {
        format!(
            "<item><subnetId>{subnet}</subnetId><attachment><deviceIndex>{place}</deviceIndex></attachment>\
             <ipv6AddressesSet>{addresses}</ipv6AddressesSet></item>"
        )
    };
    let address = |text: &str, is_first: bool| {
        format!("<item><ipv6Address>{text}</ipv6Address><isPrimaryIpv6>{is_first}</isPrimaryIpv6></item>")
    };
    let interfaces = [
        interface(0, "subnet-1", &address("2001::1", false)),
        interface(1, "subnet-2", &[address("2001::2", true), address("2001::3", false)].concat()),
        interface(3, "subnet-1", &address("2001::4", true)),
    ];
    format!(
        "<item><instanceId>i-0</instanceId><imageId>ami-1</imageId><instanceState><code>16</code>\
         <name>running</name></instanceState><instanceType>m5.large</instanceType>\
         <instanceLifecycle>spot</instanceLifecycle><architecture>arm64</architecture>\
         <platform>windows</platform>\
         <placement><availabilityZone>eu-west-2a</availabilityZone></placement>\
         <privateDnsName>ip-10-0-0-1.internal</privateDnsName><dnsName>ec2-1.example</dnsName>\
         <privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>3.4.5.6</ipAddress>\
         <subnetId>subnet-1</subnetId>\
         <vpcId>vpc-1</vpcId><networkInterfaceSet>{}</networkInterfaceSet>\
         <tagSet><item><key>Name</key><value>a &amp; b</value></item><item><key>k:8-s</key>\
         <value>1</value></item>\
         </tagSet></item>",
        interfaces.concat()
    )
}

pub(crate) fn lightsail(request: &Request) -> Reply {
    assert_eq!(request.header("x-amz-target"), "Lightsail_20161128.GetInstances");
    Reply::text(
        "application/x-amz-json-1.1",
        json!({"instances": [
            {
                "name": "one", "blueprintId": "ubuntu", "bundleId": "nano_2_0", "supportCode": "1/i-1",
                "location": {"availabilityZone": "eu-west-2a", "regionName": "eu-west-2"},
                "state": {"code": 16, "name": "running"}, "privateIpAddress": "172.26.0.1",
                "publicIpAddress": "3.4.5.7", "ipv6Addresses": ["2001::9", "2001::a"],
                "tags": [{"key": "my-key", "value": "v"}, {"key": "alone"}],
            },
            {
                "name": "two", "blueprintId": "u", "bundleId": "n", "supportCode": "s",
                "location": {"availabilityZone": "eu-west-2b"}, "state": {"name": "stopped"},
                "privateIpAddress": "172.26.0.2",
            },
            {
                "name": "none", "blueprintId": "u", "bundleId": "n", "supportCode": "s",
                "location": {"availabilityZone": "eu-west-2b"}, "state": {"name": "pending"},
            },
        ]}),
    )
}

const KEYS: &str = "region: eu-west-2\n  access_key: AKID\n  secret_key: hush\n  port: 9100\n  endpoint: ";

#[test]
fn machines_are_the_targets_that_prometheus_finds() {
    let (machines, light) = (Server::new(ec2), Server::new(lightsail));
    let filters = "\n  filters: [{name: 'tag:a', values: [x, 'y']}]";
    let of_ec2 = format!("ec2_sd_configs:\n- {KEYS}'{}'{filters}", machines.url());
    let of_lightsail = format!("lightsail_sd_configs:\n- {KEYS}'{}'", light.url());
    same_as_prometheus(&[("ec2", &of_ec2, 2), ("lightsail", &of_lightsail, 2)]);
    let same = Ours::start(&format!("aws_sd_configs:\n- role: ec2\n  {KEYS}'{}'{filters}", machines.url()));
    let region = |target: &String| target.contains(r#"__meta_ec2_region="eu-west-2""#);
    assert!(same.wait_for_count(2).iter().all(region));
}

fn ecs(request: &Request) -> Reply {
    let asked: Value = serde_json::from_str(&request.body).unwrap();
    let action = request.header("x-amz-target").strip_prefix("AmazonEC2ContainerServiceV20141113.").unwrap();
    let attachment = json!([{"type": "ElasticNetworkInterface", "details": [
        {"name": "subnetId", "value": "subnet-1"}, {"name": "networkInterfaceId", "value": "eni-1"},
        {"name": "privateIPv4Address", "value": "10.0.0.1"},
    ]}]);
    Reply::json(match action {
        "ListClusters" => json!({"clusterArns": ["arn:c"]}),
        "DescribeClusters" => json!({"clusters": [
            {"clusterArn": "arn:c", "clusterName": "c", "tags": [{"key": "e-nv", "value": "p"}]},
        ]}),
        "ListServices" => json!({"serviceArns": ["arn:s"]}),
        "DescribeServices" => json!({"services": [
            {"serviceArn": "arn:s", "serviceName": "web", "status": "ACTIVE", "clusterArn": "arn:c"},
        ]}),
        "ListTasks" if asked.get("nextToken").is_none() => json!({"taskArns": ["arn:1"], "nextToken": "n"}),
        "ListTasks" => json!({"taskArns": ["arn:2", "arn:3"]}),
        "DescribeTasks" => json!({"tasks": [
            {
                "taskArn": "arn:1", "taskDefinitionArn": "arn:d", "group": "service:web",
                    "launchType": "FARGATE",
                "desiredStatus": "RUNNING", "lastStatus": "RUNNING", "healthStatus": "HEALTHY",
                "availabilityZone": "eu-west-2a", "platformFamily": "Linux", "platformVersion": "1.4.0",
                "attachments": attachment, "tags": [{"key": "v", "value": "1"}],
            },
            {"taskArn": "arn:2", "group": "family:f", "launchType": "EC2", "containerInstanceArn": "arn:i"},
            {"taskArn": "arn:3", "group": "family:f", "launchType": "EC2"},
        ]}),
        "DescribeContainerInstances" => json!({"containerInstances": [
            {"containerInstanceArn": "arn:i", "ec2InstanceId": "i-1"},
        ]}),
        _ => return Reply::status(404),
    })
}

#[test]
fn tasks_are_found_on_machines_of_nobody_and_of_ones_own() {
    let (tasks, machines) = (Server::new(ecs), Server::new(ec2));
    let variables = Variables::of([("AWS_ENDPOINT_URL_EC2", machines.url().as_str())]);
    let config = format!("aws_sd_configs:\n- role: ecs\n  {KEYS}'{}'", tasks.url());
    let ours = Ours::start_with(&config, variables);
    let shared = r#"__meta_ecs_cluster="c", __meta_ecs_cluster_arn="arn:c""#;
    let one = joined(&format!(
        r#"{{__address__="10.0.0.1:9100", __meta_ecs_availability_zone="eu-west-2a",
        {shared}, __meta_ecs_desired_status="RUNNING", __meta_ecs_health_status="HEALTHY",
        __meta_ecs_ip_address="10.0.0.1", __meta_ecs_last_status="RUNNING",
        __meta_ecs_launch_type="FARGATE", __meta_ecs_network_mode="awsvpc",
        __meta_ecs_platform_family="Linux", __meta_ecs_platform_version="1.4.0",
        __meta_ecs_public_ip="52.0.0.1", __meta_ecs_region="eu-west-2", __meta_ecs_service="web",
        __meta_ecs_service_arn="arn:s", __meta_ecs_service_status="ACTIVE",
        __meta_ecs_subnet_id="subnet-1", __meta_ecs_tag_cluster_e_nv="p", __meta_ecs_tag_task_v="1",
        __meta_ecs_task_arn="arn:1", __meta_ecs_task_definition="arn:d",
        __meta_ecs_task_group="service:web"}}"#
    ));
    let two = joined(&format!(
        r#"{{__address__="10.0.0.9:9100", {shared},
        __meta_ecs_container_instance_arn="arn:i", __meta_ecs_ec2_instance_id="i-1",
        __meta_ecs_ec2_instance_private_ip="10.0.0.9", __meta_ecs_ec2_instance_type="t3.nano",
        __meta_ecs_ip_address="10.0.0.9", __meta_ecs_launch_type="EC2", __meta_ecs_network_mode="bridge",
        __meta_ecs_region="eu-west-2", __meta_ecs_subnet_id="subnet-9", __meta_ecs_tag_cluster_e_nv="p",
        __meta_ecs_tag_ec2_kind="plain", __meta_ecs_task_arn="arn:2", __meta_ecs_task_group="family:f"}}"#
    ));
    ours.wait_for(&[one, two]);
}

fn kafka(request: &Request) -> Reply {
    let cluster = json!({
        "clusterArn": "arn:k/c", "clusterName": "k", "state": "ACTIVE", "clusterType": "PROVISIONED",
        "currentVersion": "K1", "tags": {"t": "v"}, "provisioned": {
            "currentBrokerSoftwareInfo": {
                "configurationArn": "arn:conf", "configurationRevision": 2, "kafkaVersion": "3.6.0",
            },
            "openMonitoring": {"prometheus": {
                "jmxExporter": {"enabledInBroker": true}, "nodeExporter": {"enabledInBroker": false},
            }},
        },
    });
    let nodes = json!([
        {
            "nodeARN": "arn:n1", "addedToClusterTime": "2024", "instanceType": "m5.large", "brokerNodeInfo": {
                "attachedENIId": "eni-1", "brokerId": 1.0, "clientSubnet": "subnet-1",
                "clientVpcIpAddress": "10.0.0.1", "endpoints": ["b-1.k", "b-1-2.k"],
            },
        },
        {"nodeARN": "arn:n2", "controllerNodeInfo": {"endpoints": ["c-1.k"]}},
        {"nodeARN": "arn:n3"},
    ]);
    Reply::json(match request.path.as_str() {
        "/api/v2/clusters" if request.query.contains("nextToken=n") => json!({"clusterInfoList": [cluster]}),
        "/api/v2/clusters" => json!({"clusterInfoList": [], "nextToken": "n"}),
        "/api/v2/clusters/arn%3Ak%2Fc" => json!({"clusterInfo": cluster}),
        "/v1/clusters/arn%3Ak%2Fc/nodes" => json!({"nodeInfoList": nodes}),
        _ => return Reply::status(404),
    })
}

#[test]
fn nodes_of_kafka_are_found_in_all_clusters_or_in_those_that_are_named() {
    let server = Server::new(kafka);
    let cluster = joined(
        r#"__meta_msk_cluster_arn="arn:k/c",
        __meta_msk_cluster_configuration_arn="arn:conf", __meta_msk_cluster_configuration_revision="2",
        __meta_msk_cluster_jmx_exporter_enabled="true", __meta_msk_cluster_kafka_version="3.6.0",
        __meta_msk_cluster_name="k", __meta_msk_cluster_state="ACTIVE", __meta_msk_cluster_tag_t="v",
        __meta_msk_cluster_type="PROVISIONED", __meta_msk_cluster_version="K1""#,
    );
    let broker = |nth: u32, host: &str| {
        joined(&format!(
            r#"{{__address__="{host}:9100", __meta_msk_broker_client_subnet="subnet-1",
        __meta_msk_broker_client_vpc_ip="10.0.0.1", __meta_msk_broker_endpoint_index="{nth}",
        __meta_msk_broker_id="1", __meta_msk_broker_node_exporter_enabled="false", {cluster},
        __meta_msk_node_added_time="2024", __meta_msk_node_arn="arn:n1",
        __meta_msk_node_attached_eni="eni-1", __meta_msk_node_instance_type="m5.large",
        __meta_msk_node_type="BROKER"}}"#
        ))
    };
    let controller = joined(&format!(
        r#"{{__address__="c-1.k:9100", {cluster},
        __meta_msk_controller_endpoint_index="0", __meta_msk_node_arn="arn:n2",
        __meta_msk_node_type="CONTROLLER"}}"#
    ));
    for clusters in ["", "\n  clusters: ['arn:k/c']"] {
        let config = format!("aws_sd_configs:\n- role: msk\n  {KEYS}'{}'{clusters}", server.url());
        let expected = [broker(0, "b-1.k"), broker(1, "b-1-2.k"), controller.clone()];
        Ours::start(&config).wait_for(&expected);
    }
}

/// Answers as the machine and the service of tokens do, and as Lightsail does to those who have its keys.
fn machine(request: &Request) -> Reply {
    match request.path.as_str() {
        "/latest/api/token" => Reply::text("text/plain", "t"),
        path if path.starts_with("/latest/") => {
            assert_eq!(request.header("x-aws-ec2-metadata-token"), "t");
            match path {
                "/latest/meta-data/placement/region" => Reply::text("text/plain", "eu-west-2"),
                "/latest/meta-data/iam/security-credentials/" => Reply::text("text/plain", "role"),
                _ => Reply::json(json!({
                    "AccessKeyId": "OFMACHINE", "SecretAccessKey": "s", "Token": "tok",
                    "Expiration": "2999-01-01T00:00:00Z",
                })),
            }
        }
        "/container" => {
            assert_eq!(request.header("authorization"), "let me");
            Reply::json(json!({"AccessKeyId": "OFCONTAINER", "SecretAccessKey": "s"}))
        }
        _ if request.body.contains("Action=AssumeRole") => {
            let web = if request.body.contains("WebIdentity") { "WithWebIdentity" } else { "" };
            assert_eq!(request.body.contains("WebIdentityToken=jwt"), !web.is_empty());
            Reply::text(
                "text/xml",
                format!(
                    "<AssumeRole{web}Response xmlns=\"x\"><AssumeRole{web}Result><Credentials>\
                    <AccessKeyId>OFROLE\
                 </AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>tok</SessionToken>\
                 <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRole{web}Result>\
                 </AssumeRole{web}Response>"
                ),
            )
        }
        _ => {
            let who = request
                .header("authorization")
                .split_once("Credential=")
                .unwrap()
                .1
                .split('/')
                .next()
                .unwrap();
            Reply::json(json!({"instances": [{"name": who, "privateIpAddress": "10.0.0.1"}]}))
        }
    }
}

/// Variables with their values.
type Pairs = Vec<(&'static str, String)>;

#[test]
fn who_asks_is_found_where_programs_of_aws_look() {
    let server = Server::new(machine);
    let url = server.url();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("credentials"), "[default]\naws_access_key_id=OFDEFAULT\naws_secret_access_key=s\n")
        .unwrap();
    let more = "[profile taken]\nrole_arn=arn:r\nsource_profile=default\n[profile bare]\nregion=x\n";
    fs::write(path("config"), more).unwrap();
    fs::write(path("token"), "jwt\n").unwrap();
    let (credentials, config, token) = (path("credentials"), path("config"), path("token"));
    let container = format!("{url}/container");
    let files = [("AWS_SHARED_CREDENTIALS_FILE", &*credentials), ("AWS_CONFIG_FILE", &*config)];
    let of_variables = [("AWS_ACCESS_KEY_ID", "OFVARIABLES"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", &*token), ("AWS_ROLE_ARN", "arn:r")];
    let of_container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*container),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let me"),
    ];
    let all =
        |own: &[&[(&'static str, &str)]]| own.concat().iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    let cases: [(&str, Pairs, &str); 9] = [
        ("access_key: OFCONFIG\n  secret_key: s", all(&[&of_variables]), "OFCONFIG"),
        ("", all(&[&of_variables, &files]), "OFVARIABLES"),
        ("", all(&[&files, &web]), "OFDEFAULT"),
        ("profile: default", all(&[&of_variables, &files]), "OFDEFAULT"),
        ("profile: taken", all(&[&files]), "OFROLE"),
        ("", all(&[&web, &of_container]), "OFROLE"),
        ("", all(&[&of_container]), "OFCONTAINER"),
        ("", Vec::new(), "OFMACHINE"),
        ("role_arn: 'arn:r'", Vec::new(), "OFROLE"),
    ];
    for (keys, mut variables, who) in cases {
        for name in ["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_STS"] {
            variables.push((name, url.clone()));
        }
        let variables = Variables::of(variables.iter().map(|(name, value)| (*name, value.as_str())));
        let config = format!("lightsail_sd_configs:\n- endpoint: '{url}'\n  {keys}");
        let found = Ours::start_with(&config, variables).wait_for_count(1);
        let name = format!(r#"__meta_lightsail_instance_name="{who}""#);
        assert!(found[0].contains(&name) && found[0].contains(r#"_region="eu-west-2""#), "{who}: {found:?}");
    }
}
