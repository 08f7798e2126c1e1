//! Brokers and controllers of Kafka, as MSK runs it.

use super::{
    api::{Api, Service},
    sign::encoded,
};
use crate::{
    error::SourceError,
    json::Json,
    limits::PAGES_MAX,
    meta::{Meta, host_port},
};
use serde_json::Value;
use skopos_model::Labels;

const KAFKA: Service = Service { name: "kafka", is_of_role: true };

/// The nodes of these clusters, or of all.
pub(super) async fn find(api: &mut Api, clusters: &[String], port: u16) -> Result<Vec<Labels>, SourceError> {
    let mut found = Vec::new();
    if clusters.is_empty() {
        let pages = list(api, "api/v2/clusters", &[("clusterTypeFilter", "PROVISIONED")]).await?;
        found.extend(pages.iter().flat_map(|page| page["clusterInfoList"].as_array()).flatten().cloned());
    }
    for arn in clusters {
        let answer = api.get(KAFKA, &format!("api/v2/clusters/{}", encoded(arn)), &[]).await?;
        found.push(answer["clusterInfo"].clone());
    }
    let mut targets = Vec::new();
    for cluster in &found {
        let cluster = Json::new(cluster);
        let path = format!("v1/clusters/{}/nodes", encoded(cluster.text("clusterArn")));
        for page in list(api, &path, &[]).await? {
            targets.extend(targets_of(cluster, Json::new(&page), port));
        }
    }
    Ok(targets)
}

/// The pages of a list.
async fn list(api: &mut Api, path: &str, own: &[(&str, &str)]) -> Result<Vec<Value>, SourceError> {
    let (mut pages, mut next) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let mut pairs = own.to_vec();
        pairs.push(("maxResults", "100"));
        if !next.is_empty() {
            pairs.push(("nextToken", &next));
        }
        let page = api.get(KAFKA, path, &pairs).await?;
        let token = Json::new(&page).text("nextToken").to_owned();
        pages.push(page);
        if token.is_empty() {
            return Ok(pages);
        }
        next = token;
    }
    Err(api.endless(KAFKA, path).await)
}

/// A target for each address of each node of a page.
pub(crate) fn targets_of(cluster: Json<'_>, page: Json<'_>, port: u16) -> Vec<Labels> {
    let mut targets = Vec::new();
    for node in page.list("nodeInfoList") {
        let (broker, controller) = (node.get("brokerNodeInfo"), node.get("controllerNodeInfo"));
        let mut meta = of_cluster(cluster);
        meta.set("node_arn", node.text("nodeARN"))
            .set("node_added_time", node.text("addedToClusterTime"))
            .set("node_instance_type", node.text("instanceType"));
        let (endpoints, index) = if broker.is_there() {
            let id = broker.written("brokerId");
            let watched = cluster.at(&["provisioned", "openMonitoring", "prometheus", "nodeExporter"]);
            meta.set("node_type", "BROKER")
                .set("node_attached_eni", broker.text("attachedENIId"))
                .set("broker_id", id.split('.').next().unwrap_or_default())
                .set("broker_client_subnet", broker.text("clientSubnet"))
                .set("broker_client_vpc_ip", broker.text("clientVpcIpAddress"))
                .set("broker_node_exporter_enabled", watched.is("enabledInBroker").to_string());
            (broker.texts("endpoints"), "broker_endpoint_index")
        } else if controller.is_there() {
            meta.set("node_type", "CONTROLLER");
            (controller.texts("endpoints"), "controller_endpoint_index")
        } else {
            continue;
        };
        for (nth, endpoint) in endpoints.enumerate() {
            let mut own = meta.clone();
            targets.push(own.set(index, nth.to_string()).address(host_port(endpoint, port)).build());
        }
    }
    targets
}

fn of_cluster(cluster: Json<'_>) -> Meta {
    let mut meta = Meta::new("__meta_msk_");
    let own = cluster.get("provisioned");
    let (software, exporter) =
        (own.get("currentBrokerSoftwareInfo"), own.at(&["openMonitoring", "prometheus", "jmxExporter"]));
    meta.set("cluster_name", cluster.text("clusterName"))
        .set("cluster_arn", cluster.text("clusterArn"))
        .set("cluster_state", cluster.text("state"))
        .set("cluster_type", cluster.text("clusterType"))
        .set("cluster_version", cluster.text("currentVersion"))
        .set("cluster_jmx_exporter_enabled", exporter.is("enabledInBroker").to_string())
        .set("cluster_configuration_arn", software.text("configurationArn"))
        .set("cluster_configuration_revision", software.written("configurationRevision"))
        .set("cluster_kafka_version", software.text("kafkaVersion"))
        .set_all("cluster_tag_", cluster.pairs("tags"));
    meta
}
