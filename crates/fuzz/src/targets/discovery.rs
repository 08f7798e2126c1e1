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
    let resources = r#"[{"certname": "c", "parameters": {"a": {"b": [1, true]}}, "Address": "a"}]"#;
    [consul, docker, swarm, pod, clouds, resources].map(|text| text.as_bytes().to_vec()).to_vec()
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
