//! `drm`: graphics cards of the driver amdgpu, from `/sys/class/drm`.

use super::{
    class::{Class, Column, text_of},
    names::cleaned,
};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, names_in, target_of},
};
use skopos_model::MetricType;

const FOLDER: &str = "class/drm";

const COLUMNS: &[Column] = &[
    Column::gauge("gpu_busy_percent", "node_drm_gpu_busy_percent", "How busy the card is, in percent."),
    Column::gauge(
        "mem_info_gtt_total",
        "node_drm_memory_gtt_size_bytes",
        "The size of the card's window on the machine's memory.",
    ),
    Column::gauge(
        "mem_info_gtt_used",
        "node_drm_memory_gtt_used_bytes",
        "What is in use of the card's window on the machine's memory.",
    ),
    Column::gauge(
        "mem_info_vis_vram_total",
        "node_drm_memory_vis_vram_size_bytes",
        "The size of the card's memory that the machine sees.",
    ),
    Column::gauge(
        "mem_info_vis_vram_used",
        "node_drm_memory_vis_vram_used_bytes",
        "What is in use of the card's memory that the machine sees.",
    ),
    Column::gauge("mem_info_vram_total", "node_drm_memory_vram_size_bytes", "The size of the card's memory."),
    Column::gauge(
        "mem_info_vram_used",
        "node_drm_memory_vram_used_bytes",
        "What is in use of the card's memory.",
    ),
];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Drm {
    class: Class,
    file: File,
}

impl Collector for Drm {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let mut cards = names_in(context.paths, Root::Sys, FOLDER)?;
        cards.retain(|name| is_card(name) && self.is_amd(context, name));
        self.class
            .read(context, [FOLDER, "device/"], COLUMNS, |name| cards.iter().any(|card| card == name))?;
        self.class.write(COLUMNS, "card", context);
        let mut texts = Vec::new();
        for card in &cards {
            let names = ["mem_info_vram_vendor", "power_dpm_force_performance_level", "unique_id"];
            let mut text =
                |name| text_of(&mut self.file, context, format_args!("{FOLDER}/{card}/device/{name}"));
            texts.push((chip(context, card), names.map(&mut text)));
        }
        let help = "What is known of each card; always 1.";
        let mut family = context.out.family("node_drm_card_info", MetricType::Gauge, help);
        for (card, (chip, [memory_vendor, level, id])) in cards.iter().zip(&texts) {
            let mut labels = vec![
                ("card", card.as_str()),
                ("chip", chip),
                ("memory_vendor", memory_vendor),
                ("power_performance_level", level),
                ("unique_id", id),
                ("vendor", "amd"),
            ];
            labels.retain(|(name, text)| *name != "chip" || !text.is_empty());
            family.sample(&labels, 1.0);
        }
        Ok(())
    }
}

impl Drm {
    fn is_amd(&mut self, context: &Context<'_>, card: &str) -> bool {
        let path = format_args!("{FOLDER}/{card}/device/uevent");
        let uevent = self.file.value(context.paths, Root::Sys, path).unwrap_or_default();
        scan::lines(uevent).any(|line| line == b"DRIVER=amdgpu")
    }
}

/// The connectors of `card0` are called `card0-DP-1` and so on.
fn is_card(name: &str) -> bool {
    name.strip_prefix("card").is_some_and(|number| scan::number(number.as_bytes()).is_some())
}

/// The device that the card is, and what that is plugged into: the last two names of its path.
fn chip(context: &Context<'_>, card: &str) -> String {
    let path = target_of(context.paths, Root::Sys, &format!("{FOLDER}/{card}/device")).unwrap_or_default();
    let mut names = path.rsplit('/').map(cleaned);
    let (device, parent) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    match (device.is_empty(), parent.is_empty()) {
        (true, _) => String::new(),
        (false, true) => device,
        (false, false) => format!("{parent}_{device}"),
    }
}
