//! Tasks of containers that ECS runs, on machines of one's own or of nobody's.

use super::{
    api::{Api, Service},
    ec2,
};
use crate::{
    error::SourceError,
    json::Json,
    limits::PAGES_MAX,
    meta::{Meta, host_port},
    xml::{Xml, document},
};
use serde_json::{Value, json};
use skopos_model::Labels;
use std::collections::{BTreeMap, BTreeSet};

const ECS: Service = Service { name: "ecs", is_of_role: true };
const TARGET: &str = "AmazonEC2ContainerServiceV20141113";
/// So many are asked for at once: of services, and of all else.
const SERVICES: usize = 10;
const OTHERS: usize = 100;

/// The tasks of these clusters, or of all.
pub(super) async fn find(
    api: &mut Api,
    clusters: &[String],
    region: &str,
    port: u16,
) -> Result<Vec<Labels>, SourceError> {
    let clusters = match clusters {
        [] => list(api, "ListClusters", "clusterArns", json!({})).await?,
        some => some.to_vec(),
    };
    let mut targets = Vec::new();
    for part in clusters.chunks(OTHERS) {
        let asked = json!({"clusters": part, "include": ["TAGS"]});
        for cluster in items(call(api, "DescribeClusters", &asked).await?, "clusters") {
            let parts = Parts::ask(api, cluster).await?;
            targets.extend(parts.targets(region, port));
        }
    }
    Ok(targets)
}

async fn call(api: &mut Api, action: &str, asked: &Value) -> Result<Value, SourceError> {
    api.json(ECS, &format!("{TARGET}.{action}"), asked).await
}

/// The texts of a list that comes in pages.
async fn list(api: &mut Api, action: &str, key: &str, mut asked: Value) -> Result<Vec<String>, SourceError> {
    let mut all = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = call(api, action, &asked).await?;
        let page = Json::new(&page);
        all.extend(page.texts(key).map(str::to_owned));
        match page.text("nextToken") {
            "" => return Ok(all),
            token => asked["nextToken"] = json!(token),
        }
    }
    Err(api.endless(ECS, action).await)
}

fn items(mut answer: Value, key: &str) -> Vec<Value> {
    match answer.get_mut(key).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// What is known of a cluster.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) cluster: Value,
    pub(crate) services: Vec<Value>,
    pub(crate) tasks: Vec<Value>,
    /// The ids of machines by the ARNs under which containers run there.
    pub(crate) hosts: BTreeMap<String, String>,
    /// Machines by their ids.
    pub(crate) machines: BTreeMap<String, Machine>,
    /// Public addresses by the ids of interfaces.
    pub(crate) public: BTreeMap<String, String>,
}

/// A machine that containers run on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    kind: String,
    private_ip: String,
    public_ip: String,
    subnet: String,
    tags: Vec<(String, String)>,
}

impl Parts {
    async fn ask(api: &mut Api, cluster: Value) -> Result<Self, SourceError> {
        let arn = Json::new(&cluster).text("clusterArn").to_owned();
        let mut parts = Self { cluster, ..Self::default() };
        for arns in list(api, "ListServices", "serviceArns", json!({"cluster": arn})).await?.chunks(SERVICES)
        {
            let asked = json!({"cluster": arn, "services": arns, "include": ["TAGS"]});
            parts.services.extend(items(call(api, "DescribeServices", &asked).await?, "services"));
        }
        for arns in list(api, "ListTasks", "taskArns", json!({"cluster": arn})).await?.chunks(OTHERS) {
            let asked = json!({"cluster": arn, "tasks": arns, "include": ["TAGS"]});
            parts.tasks.extend(items(call(api, "DescribeTasks", &asked).await?, "tasks"));
        }
        let of_tasks = |key: &str| -> BTreeSet<String> {
            let texts = parts.tasks.iter().map(|task| Json::new(task).text(key));
            texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
        };
        let hosts: Vec<_> = of_tasks("containerInstanceArn").into_iter().collect();
        for arns in hosts.chunks(OTHERS) {
            let asked = json!({"cluster": arn, "containerInstances": arns});
            let found = items(call(api, "DescribeContainerInstances", &asked).await?, "containerInstances");
            let pair = |one: &Value| {
                let one = Json::new(one);
                (one.text("containerInstanceArn").to_owned(), one.text("ec2InstanceId").to_owned())
            };
            parts.hosts.extend(found.iter().map(pair));
        }
        parts.ask_machines(api).await?;
        parts.ask_interfaces(api).await?;
        Ok(parts)
    }

    async fn ask_machines(&mut self, api: &mut Api) -> Result<(), SourceError> {
        let ids: Vec<_> = self.hosts.values().filter(|id| !id.is_empty()).cloned().collect();
        for ids in ids.chunks(OTHERS) {
            for page in ec2::list(api, false, "DescribeInstances", &numbered("InstanceId", ids)).await? {
                let document = document(&page, "EC2: DescribeInstances")?;
                let reservations = Xml::root(&document).list("reservationSet");
                for machine in reservations.flat_map(|one| one.list("instancesSet")) {
                    let tags = machine.list("tagSet");
                    let tags = tags.map(|tag| (tag.text("key").to_owned(), tag.text("value").to_owned()));
                    let known = Machine {
                        kind: machine.text("instanceType").to_owned(),
                        private_ip: machine.text("privateIpAddress").to_owned(),
                        public_ip: machine.text("ipAddress").to_owned(),
                        subnet: machine.text("subnetId").to_owned(),
                        tags: tags.collect(),
                    };
                    self.machines.insert(machine.text("instanceId").to_owned(), known);
                }
            }
        }
        Ok(())
    }

    async fn ask_interfaces(&mut self, api: &mut Api) -> Result<(), SourceError> {
        let ids = self.tasks.iter().filter_map(|task| interface(Json::new(task)));
        let ids: Vec<_> = ids.map(|own| own.id.to_owned()).filter(|id| !id.is_empty()).collect();
        for ids in ids.chunks(OTHERS) {
            let pairs = numbered("NetworkInterfaceId", ids);
            for page in ec2::list(api, false, "DescribeNetworkInterfaces", &pairs).await? {
                let document = document(&page, "EC2: DescribeNetworkInterfaces")?;
                for one in Xml::root(&document).list("networkInterfaceSet") {
                    let public = one.at(&["association", "publicIp"]).as_text();
                    self.public.insert(one.text("networkInterfaceId").to_owned(), public.to_owned());
                }
            }
        }
        Ok(())
    }

    /// A target for each task that has an address.
    pub(crate) fn targets(&self, region: &str, port: u16) -> Vec<Labels> {
        self.tasks.iter().filter_map(|task| self.target(Json::new(task), region, port)).collect()
    }

    fn target(&self, task: Json<'_>, region: &str, port: u16) -> Option<Labels> {
        let (cluster, own) = (Json::new(&self.cluster), interface(task));
        let host = self.hosts.get(task.text("containerInstanceArn")).map_or("", String::as_str);
        let machine = self.machines.get(host).cloned().unwrap_or_default();
        let (ip, subnet, public, mode) = match &own {
            Some(own) => (own.ip, own.subnet, self.public.get(own.id).map_or("", String::as_str), "awsvpc"),
            None => (&*machine.private_ip, &*machine.subnet, &*machine.public_ip, "bridge"),
        };
        if ip.is_empty() {
            return None;
        }
        let mut meta = Meta::new("__meta_ecs_");
        for (label, key) in [
            ("availability_zone", "availabilityZone"),
            ("container_instance_arn", "containerInstanceArn"),
            ("desired_status", "desiredStatus"),
            ("health_status", "healthStatus"),
            ("last_status", "lastStatus"),
            ("launch_type", "launchType"),
            ("platform_family", "platformFamily"),
            ("platform_version", "platformVersion"),
            ("task_arn", "taskArn"),
            ("task_definition", "taskDefinitionArn"),
            ("task_group", "group"),
        ] {
            meta.set(label, task.text(key));
        }
        meta.set("cluster", cluster.text("clusterName"))
            .set("cluster_arn", cluster.text("clusterArn"))
            .set("ec2_instance_id", host)
            .set("ec2_instance_type", &machine.kind)
            .set("ec2_instance_private_ip", &machine.private_ip)
            .set("ec2_instance_public_ip", &machine.public_ip)
            .set("ip_address", ip)
            .set("network_mode", mode)
            .set("public_ip", public)
            .set("region", region)
            .set("subnet_id", subnet)
            .set_all("tag_cluster_", tags(cluster))
            .set_all("tag_task_", tags(task))
            .set_all("tag_ec2_", machine.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let name = task.text("group").strip_prefix("service:");
        let mut services = self.services.iter().map(Json::new);
        if let Some(service) = services.find(|one| name == Some(one.text("serviceName"))) {
            meta.set("service", service.text("serviceName"))
                .set("service_arn", service.text("serviceArn"))
                .set("service_status", service.text("status"))
                .set_all("tag_service_", tags(service));
        }
        Some(meta.address(host_port(ip, port)).build())
    }
}

fn tags(of: Json<'_>) -> impl Iterator<Item = (&str, &str)> {
    of.list("tags").map(|tag| (tag.text("key"), tag.text("value")))
}

/// A list as forms have it.
fn numbered(name: &str, values: &[String]) -> Vec<(String, String)> {
    (1..).zip(values).map(|(nth, value)| (format!("{name}.{nth}"), value.clone())).collect()
}

/// The interface of its own that a task has.
struct Interface<'a> {
    id: &'a str,
    ip: &'a str,
    subnet: &'a str,
}

fn interface(task: Json<'_>) -> Option<Interface<'_>> {
    let own = task.list("attachments").find(|one| one.text("type") == "ElasticNetworkInterface")?;
    let get = |name: &str| {
        own.list("details").find(|one| one.text("name") == name).map_or("", |one| one.text("value"))
    };
    Some(Interface { id: get("networkInterfaceId"), ip: get("privateIPv4Address"), subnet: get("subnetId") })
}
