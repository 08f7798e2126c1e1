//! `DiscoveryConfigs`: the keys of all kinds, as Prometheus spells them. Reads no file, finds no target.

use crate::{
    aws::{AwsConfig, Ec2Config, LightsailConfig},
    azure::AzureConfig,
    client::WithClient,
    cloud::{
        DigitalOceanConfig, EurekaConfig, HetznerConfig, IonosConfig, KumaConfig, LinodeConfig,
        MarathonConfig, NomadConfig, OvhCloudConfig, PuppetDbConfig, ScalewayConfig, StackitConfig,
        TritonConfig, UyuniConfig, VultrConfig,
    },
    consul::ConsulConfig,
    dns::DnsConfig,
    error::SourceError,
    file::FileConfig,
    gce::GceConfig,
    http_sd::HttpSdConfig,
    kubernetes::KubernetesConfig,
    moby::{DockerConfig, DockerSwarmConfig},
    openstack::OpenStackConfig,
    source::Sink,
    zookeeper::{NerveConfig, ServersetConfig},
};
use serde::{Deserialize, Deserializer, Serialize, de::MapAccess};
use skopos_model::inlined::Inlined;
use std::{path::Path, pin::Pin};

/// What a source does from when it is started until it is dropped.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A kind of source as a file has it.
pub(crate) trait Kind {
    /// What its targets and metrics call it.
    const NAME: &'static str;

    /// What is wrong with it that its shape alone does not say.
    fn check(&mut self) -> Result<(), String>;

    /// Lets it find targets, for the job of `sink`.
    fn start(&self, sink: Sink) -> Result<Task, SourceError>;

    /// Paths of files that it names stand below `folder`, but for those from the root on.
    fn set_folder(&mut self, _folder: &Path) {}
}

macro_rules! kinds {
    ($($key:ident: $config:ty, $about:literal;)*) => {
        /// All kinds of sources but the targets that are written in the file itself.
        #[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct DiscoveryConfigs {
            $(
                #[doc = $about]
                #[serde(deserialize_with = "checked", skip_serializing_if = "Vec::is_empty")]
                pub $key: Vec<$config>,
            )*
        }

        impl Inlined for DiscoveryConfigs {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];

            fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                match key {
                    $(stringify!($key) => self.$key = map.next_value::<Checked<$config>>()?.0,)*
                    _ => {}
                }
                Ok(())
            }
        }

        impl DiscoveryConfigs {
            /// Whether there is none.
            pub fn is_empty(&self) -> bool {
                true $(&& self.$key.is_empty())*
            }

            /// Paths of files stand below `folder`, but for those from the root on.
            pub fn set_folder(&mut self, folder: &Path) {
                $(self.$key.iter_mut().for_each(|kind| kind.set_folder(folder));)*
            }

            /// Lets every source find targets. `sink` gives each a place for them.
            pub(crate) fn start(&self, sink: impl Fn(&'static str) -> Sink) -> Vec<Result<Task, Sink>> {
                let mut tasks = Vec::new();
                $(tasks.extend(self.$key.iter().map(|kind| start(kind, &sink)));)*
                tasks
            }
        }
    };
}

kinds! {
    aws_sd_configs: WithClient<AwsConfig>, "What runs at AWS.";
    azure_sd_configs: WithClient<AzureConfig>, "Machines of Azure.";
    consul_sd_configs: WithClient<ConsulConfig>, "Services that Consul knows.";
    digitalocean_sd_configs: WithClient<DigitalOceanConfig>, "Droplets of DigitalOcean.";
    dns_sd_configs: DnsConfig, "Hosts that DNS lists.";
    docker_sd_configs: WithClient<DockerConfig>, "Containers of an engine.";
    dockerswarm_sd_configs: WithClient<DockerSwarmConfig>, "What a swarm of engines runs.";
    ec2_sd_configs: WithClient<Ec2Config>, "Machines of EC2.";
    eureka_sd_configs: WithClient<EurekaConfig>, "Applications that Eureka knows.";
    file_sd_configs: FileConfig, "Files that list targets.";
    gce_sd_configs: GceConfig, "Machines of Google's cloud.";
    hetzner_sd_configs: WithClient<HetznerConfig>, "Servers of Hetzner.";
    http_sd_configs: WithClient<HttpSdConfig>, "Servers that list targets.";
    ionos_sd_configs: WithClient<IonosConfig>, "Servers of IONOS.";
    kubernetes_sd_configs: WithClient<KubernetesConfig>, "Objects of a cluster of Kubernetes.";
    kuma_sd_configs: WithClient<KumaConfig>, "What Kuma assigns.";
    lightsail_sd_configs: WithClient<LightsailConfig>, "Machines of Lightsail.";
    linode_sd_configs: WithClient<LinodeConfig>, "Machines of Linode.";
    marathon_sd_configs: WithClient<MarathonConfig>, "Applications that Marathon runs.";
    nerve_sd_configs: NerveConfig, "Members that Nerve keeps in ZooKeeper.";
    nomad_sd_configs: WithClient<NomadConfig>, "Services that Nomad knows.";
    openstack_sd_configs: OpenStackConfig, "What OpenStack runs.";
    ovhcloud_sd_configs: OvhCloudConfig, "Machines of OVHcloud.";
    puppetdb_sd_configs: WithClient<PuppetDbConfig>, "Resources that PuppetDB knows.";
    scaleway_sd_configs: WithClient<ScalewayConfig>, "Machines of Scaleway.";
    serverset_sd_configs: ServersetConfig, "Members of server sets in ZooKeeper.";
    stackit_sd_configs: WithClient<StackitConfig>, "What STACKIT runs.";
    triton_sd_configs: WithClient<TritonConfig>, "Containers of Triton.";
    uyuni_sd_configs: WithClient<UyuniConfig>, "Exporters that Uyuni looks after.";
    vultr_sd_configs: WithClient<VultrConfig>, "Machines of Vultr.";
}

/// What cannot be started says so.
fn start<K: Kind>(kind: &K, sink: &impl Fn(&'static str) -> Sink) -> Result<Task, Sink> {
    let sink = sink(K::NAME);
    kind.start(sink.clone()).map_err(|error| {
        sink.failed(&error);
        sink
    })
}

/// A list whose entries are sound.
struct Checked<T>(Vec<T>);

impl<'de, T: Kind + Deserialize<'de>> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        checked(d).map(Self)
    }
}

fn checked<'de, D: Deserializer<'de>, T: Kind + Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    let entries = Option::<Vec<Entry<T>>>::deserialize(d)?.unwrap_or_default();
    Ok(entries.into_iter().map(|entry| entry.0).collect())
}

/// An entry that is checked where it stands, so that the error has its place.
struct Entry<T>(T);

impl<'de, T: Kind + Deserialize<'de>> Deserialize<'de> for Entry<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut entry = T::deserialize(d)?;
        entry.check().map_err(serde::de::Error::custom)?;
        Ok(Self(entry))
    }
}
