//! Answers and files of discovery, as servers and people write them.

pub(super) fn list_seeds() -> Vec<Vec<u8>> {
    let json = r#"[{"targets": ["a:1", "[::1]:2"], "labels": {"x": "y", "e": ""}}, {"targets": null}]"#;
    let yaml = "- targets: ['a:1', b]\n  labels: {x: '1', &k y: *k}\n- targets:\n";
    [json, yaml].map(|text| text.as_bytes().to_vec()).to_vec()
}

pub(super) fn answer_seeds() -> Vec<Vec<u8>> {
    let consul = r#"[{"Node": {"Node": "n", "Address": "a", "Meta": {"k.v": "1"}}, "Service": {"Port": 1,
        "Tags": ["t"]}, "Checks": [{"CheckID": "c", "Status": "passing"}]}]"#;
    let docker = r#"[{"Id": "c", "Names": ["/n"], "Labels": {"a.b": "c"}, "HostConfig": {"NetworkMode":
        "container:c"}, "NetworkSettings": {"Networks": {}}, "Ports": [{"Type": "tcp", "PrivatePort": 1}]},
        {"Id": "d", "Names": ["/d"], "NetworkSettings": {"Networks": {"x": {"NetworkID": "c"}}}}]"#;
    let swarm = r#"[{"ID": "s", "ServiceID": "s", "NodeID": "s", "Spec": {"Mode": {"Global": {}}}, "Endpoint":
        {"VirtualIPs": [{"NetworkID": "n", "Addr": "10.0.0.1/24"}], "Ports": [{"Protocol": "tcp",
        "PublishedPort": 1}]}, "NetworksAttachments": [{"Network": {"ID": "n"}, "Addresses":
        ["10.0.0.2/8"]}]}]"#;
    let pod = r#"[{"metadata": {"name": "p", "namespace": "d", "labels": {"a/b": "c"}}, "spec": {"nodeName":
        "p", "containers": [{"name": "c", "ports": [{"containerPort": 1}]}], "rules": [{"host": "h"}]},
        "status": {"podIP": "1.1.1.1", "addresses": [{"type": "Hostname", "address": "h"}]}, "subsets":
        [{"addresses": [{"ip": "1.1.1.1", "targetRef": {"kind": "Pod", "name": "p", "namespace": "d"}}],
        "ports": [{"port": 1}]}], "endpoints": [{"addresses": ["1.1.1.1"], "targetRef": {"kind": "Pod",
        "name": "p", "namespace": "d"}}], "ports": [{"port": 2}]}]"#;
    let clouds = r#"{"servers": [{"id": 1, "private_net": [{"network": 1, "ip": "i"}], "public_ips": [{
        "family":
        "inet", "address": "a"}], "ips": [{"version": "IPv4", "address": "a"}]}], "networks": [{"id": 1,
        "name":
        "n"}], "droplets": [{"networks": {"v4": [{"type": "public", "ip_address": "a"}]}}], "data": [{"ipv4":
        ["a"], "address": "a", "ipv6": "a/1", "route_target": "a"}], "instances": [{"id": "v"}], "items":
        [{"id": "s", "entities": {"nics": {"items": [{"properties": {"ips": ["a"]}}]}}}], "containers":
        [{"vm_uuid": "u"}], "cns": [{"server_uuid": "u"}], "applications": {"application": {"name": "A",
        "instance": {"hostName": "h", "port": {"$": 1}}}}, "resources": [{"mesh": "m", "targets":
        [{"address": "a"}]}]}"#;
    let further = r#"{"items": [{"id": "1", "networkInterfaces": [{"name": "nic-0", "networkIP": "10.0.0.1"}],
        "tags":
        {"items": ["a"]}, "nics": [{"networkName": "n", "ipv4": "i"}]}],
            "instances": [{"privateIpAddress": "i",
        "tags": [{"key": "k", "value": "v"}]}], "nodeInfoList": [{"brokerNodeInfo": {"endpoints": ["b"],
            "brokerId":
        1.0}}], "tasks": [{"group": "service:s", "attachments": [{"type": "ElasticNetworkInterface",
            "details":
        [{"name": "privateIPv4Address", "value": "i"}]}]}], "services": [{"serviceName": "s"}], "hypervisors":
        [{"id": 1}], "ports": [{"id": "p", "device_id": "s"}], "floatingips": [{"port_id": "p",
            "fixed_ip_address":
        "i", "floating_ip_address": "f"}], "servers": [{"id": "s", "flavor": {"id": "m"}, "addresses": {"n":
        [{"addr": "i"}]}}], "loadbalancers": [{"id": "l", "vip_address": "i"}], "listeners": [{"protocol":
        "PROMETHEUS", "loadbalancers": [{"id": "l"}]}], "apps": [{"id": "a", "tasks": [{"ports": [1]}],
        "portDefinitions": [{"labels": {"x": "y"}}]}], "ips": ["::1/32", "1.1.1.1"], "model": {"datacenter":
        ["d"]}}"#;
    let resources = r#"[{"certname": "c", "parameters": {"a": {"b": [1, true]}}, "Address": "a"}]"#;
    [consul, docker, swarm, pod, clouds, further, resources].map(|text| text.as_bytes().to_vec()).to_vec()
}

pub(super) fn kubeconfig_seeds() -> Vec<Vec<u8>> {
    let text = r#"
current-context: m
contexts: [{name: m, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'https://h:6443', certificate-authority-data: cGVt}}]
users: [{name: u, user: {token: hush}}]
"#;
    let with_files = r#"
current-context: m
contexts: [{name: m, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'https://h', certificate-authority: ca.pem}}]
users: [{name: u, user: {client-certificate: c.pem, client-key: k.pem}}]
"#;
    [text, with_files].map(|text| text.as_bytes().to_vec()).to_vec()
}

pub(super) fn xml_seeds() -> Vec<Vec<u8>> {
    let machines = "<R xmlns='x'><reservationSet><item><ownerId>o</ownerId><instancesSet><item>\
        <privateIpAddress>\
        10.0.0.1</privateIpAddress><vpcId>v</vpcId><placement><availabilityZone>z</availabilityZone>\
        </placement>\
        <networkInterfaceSet><item><subnetId>s</subnetId><attachment><deviceIndex>2</deviceIndex>\
        </attachment>\
        <ipv6AddressesSet><item><ipv6Address>::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item>\
        </ipv6AddressesSet></item></networkInterfaceSet><tagSet><item><key>k</key><value>v</value></item>\
        </tagSet>\
        </item></instancesSet></item></reservationSet></R>";
    let exporters = "<methodResponse><params><param><value><array><data><value><struct><member>\
        <name>system_id</name>\
        <value><i4>1</i4></value></member><member><name>tls_enabled</name><value><boolean>1</boolean></value>\
        </member><member><name>path</name><value>/m</value></member></struct></value></data></array></value>\
        </param></params></methodResponse>";
    [machines, exporters].map(|text| text.as_bytes().to_vec()).to_vec()
}

pub(super) fn member_seeds() -> Vec<Vec<u8>> {
    let nerve = br#"{"host": "h", "port": 1, "name": "n"}"#.to_vec();
    let set = br#"{"serviceEndpoint": {"host": "h", "port": 1}, "additionalEndpoints": {"a-b": {"port": 2}},
        "status": "ALIVE", "shard": 1}"#;
    let names = [&2_i32.to_be_bytes()[..], &1_i32.to_be_bytes(), b"a", &2_i32.to_be_bytes(), b"bc"].concat();
    let head = [&1_i32.to_be_bytes()[..], &2_i64.to_be_bytes(), &0_i32.to_be_bytes()].concat();
    let data = [&head[..], &3_i32.to_be_bytes(), b"abc"].concat();
    vec![nerve, set.to_vec(), names, data]
}

pub(super) fn account_seeds() -> Vec<Vec<u8>> {
    let service =
        r#"{"type": "service_account", "client_email": "a@b", "private_key_id": "k", "private_key": "p"}"#;
    let user = r#"{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}"#;
    let profiles =
        "# note\n[default]\naws_access_key_id = K\n[profile x]\nrole_arn=a\nsource_profile=default\n";
    [service, user, profiles].map(|text| text.as_bytes().to_vec()).to_vec()
}
