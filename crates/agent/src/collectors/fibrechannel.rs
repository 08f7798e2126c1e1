//! `fibrechannel`: adapters of Fibre Channel, from `/sys/class/fc_host`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists, names_in},
    table::{self, Column, Table},
};

const FOLDER: &str = "class/fc_host";

/// The files of `statistics`, and their families, in the same order.
const FILES: [&str; 14] = [
    "dumped_frames",
    "error_frames",
    "fcp_packet_aborts",
    "invalid_crc_count",
    "invalid_tx_word_count",
    "link_failure_count",
    "loss_of_signal_count",
    "loss_of_sync_count",
    "nos_count",
    "rx_frames",
    "rx_words",
    "seconds_since_last_reset",
    "tx_frames",
    "tx_words",
];
const COLUMNS: &[Column] = &[
    table::counter("node_fibrechannel_dumped_frames_total", "Frames thrown away."),
    table::counter("node_fibrechannel_error_frames_total", "Frames with errors."),
    table::counter("node_fibrechannel_fcp_packet_aborts_total", "Packets given up."),
    table::counter("node_fibrechannel_invalid_crc_total", "Frames whose checksum was wrong."),
    table::counter("node_fibrechannel_invalid_tx_words_total", "Words sent that were wrong."),
    table::counter("node_fibrechannel_link_failure_total", "How often the link failed."),
    table::counter("node_fibrechannel_loss_of_signal_total", "How often the signal was lost."),
    table::counter("node_fibrechannel_loss_of_sync_total", "How often synchronisation was lost."),
    table::counter("node_fibrechannel_nos_total", "How often the other side said that it was not ready."),
    table::counter("node_fibrechannel_rx_frames_total", "Frames received."),
    table::counter("node_fibrechannel_rx_words_total", "Words received."),
    table::counter("node_fibrechannel_seconds_since_last_reset_total", "Seconds since the counters' reset."),
    table::counter("node_fibrechannel_tx_frames_total", "Frames sent."),
    table::counter("node_fibrechannel_tx_words_total", "Words sent."),
];

const LABELS: &[&str] = &[
    "dev_loss_tmo",
    "fabric_name",
    "fc_host",
    "port_id",
    "port_name",
    "port_state",
    "port_type",
    "speed",
    "supported_classes",
    "supported_speeds",
    "symbolic_name",
];
const INFO: &[Column] = &[table::gauge("node_fibrechannel_info", "What each adapter is; always 1.")];

/// The collector.
#[derive(Debug)]
pub(crate) struct FibreChannel {
    file: File,
    info: Table,
    table: Table,
}

impl FibreChannel {
    pub(crate) fn new() -> Self {
        let (info, table) = (Table::new(LABELS, INFO), Table::new(&["fc_host"], COLUMNS));
        Self { file: File::default(), info, table }
    }

    fn read(&mut self, host: &str, context: &Context<'_>) {
        let mut labels: Vec<String> = Vec::with_capacity(LABELS.len());
        for label in LABELS {
            let name = format_args!("{FOLDER}/{host}/{label}");
            let text = match *label {
                "fc_host" => host.into(),
                _ => scan::text(self.file.value(context.paths, Root::Sys, name).unwrap_or_default()),
            };
            let is_hexadecimal = matches!(*label, "fabric_name" | "port_id" | "port_name");
            labels.push(if is_hexadecimal { text.trim_start_matches("0x") } else { &text }.to_owned());
        }
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        self.info.row(&labels)[0] = Some(1.0);
        let row = self.table.row(&[host]);
        for (value, name) in row.iter_mut().zip(FILES) {
            let path = format_args!("{FOLDER}/{host}/statistics/{name}");
            *value = self.file.value(context.paths, Root::Sys, path).and_then(counter);
        }
    }
}

/// A counter; all bits set says that the adapter has none.
fn counter(text: &[u8]) -> Option<f64> {
    match text.strip_prefix(b"0x") {
        Some(digits) => scan::hexadecimal(digits),
        None => scan::number(text),
    }
    .filter(|value| *value != u64::MAX)
    .map(|value| value as f64)
}

impl Collector for FibreChannel {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("there is no adapter of Fibre Channel".into()));
        }
        self.info.clear();
        self.table.clear();
        for host in names_in(context.paths, Root::Sys, FOLDER)? {
            self.read(&host, context);
        }
        self.info.write(&mut context.out);
        self.table.write(&mut context.out);
        Ok(())
    }
}
