//! `dmi`: what the machine's firmware says of it, from `/sys/class/dmi/id`. It is read once, since it stays
//! as it is until the machine starts anew. Serial numbers are there only for a reader that may see them.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;

/// The labels; each is the name of a file, but the last one.
const LABELS: [&str; 20] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
    "system_vendor",
];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Dmi {
    found: Option<Vec<(&'static str, String)>>,
}

fn read(context: &Context<'_>) -> Vec<(&'static str, String)> {
    let mut file = File::default();
    let mut found = Vec::new();
    for label in LABELS {
        let name = if label == "system_vendor" { "sys_vendor" } else { label };
        if let Some(text) = file.value(context.paths, Root::Sys, format_args!("class/dmi/id/{name}")) {
            found.push((label, scan::text(text).into_owned()));
        }
    }
    found
}

impl Collector for Dmi {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let found = self.found.get_or_insert_with(|| read(context));
        if found.is_empty() {
            return Err(CollectError::NoData("the firmware says nothing of the machine".into()));
        }
        let labels: Vec<(&str, &str)> = found.iter().map(|(label, text)| (*label, text.as_str())).collect();
        let help = "The machine, as its firmware describes it; always 1.";
        context.out.family("node_dmi_info", MetricType::Gauge, help).sample(&labels, 1.0);
        Ok(())
    }
}
