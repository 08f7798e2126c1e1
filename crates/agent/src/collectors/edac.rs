//! `edac`: errors of the memory that were corrected, and those that were not, from
//! `/sys/devices/system/edac/mc`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, names_in},
    table::{self, Column, Table},
};

const FOLDER: &str = "devices/system/edac/mc";

const CONTROLLERS: &[Column] = &[
    table::counter("node_edac_correctable_errors_total", "Errors that each controller corrected."),
    table::counter("node_edac_uncorrectable_errors_total", "Errors that each controller could not correct."),
];
const ROWS: &[Column] = &[
    table::counter("node_edac_csrow_correctable_errors_total", "Errors corrected in each row of chips."),
    table::counter(
        "node_edac_csrow_uncorrectable_errors_total",
        "Errors not corrected in each row of chips.",
    ),
];
const CHANNELS: &[Column] = &[
    table::counter("node_edac_channel_correctable_errors_total", "Errors corrected on each channel."),
    table::counter("node_edac_channel_uncorrectable_errors_total", "Errors not corrected on each channel."),
];
const MODULES: &[Column] = &[
    table::counter("node_edac_dimm_correctable_errors_total", "Errors corrected in each module."),
    table::counter("node_edac_dimm_uncorrectable_errors_total", "Errors not corrected in each module."),
];

/// The collector.
#[derive(Debug)]
pub(crate) struct Edac {
    file: File,
    controllers: Table,
    rows: Table,
    channels: Table,
    modules: Table,
}

impl Edac {
    pub(crate) fn new() -> Self {
        Self {
            file: File::default(),
            controllers: Table::new(&["controller"], CONTROLLERS),
            rows: Table::new(&["controller", "csrow"], ROWS),
            channels: Table::new(&["channel", "controller", "csrow", "dimm_label"], CHANNELS),
            modules: Table::new(&["controller", "dimm"], MODULES),
        }
    }

    /// The counters of errors that were corrected and of those that were not.
    fn pair(&mut self, context: &Context<'_>, names: [String; 2]) -> [Option<f64>; 2] {
        names.map(|name| {
            let number = self.file.number(context.paths, Root::Sys, format_args!("{FOLDER}/{name}"));
            number.map(|number| number as f64)
        })
    }

    fn read(&mut self, name: &str, number: &str, context: &Context<'_>) -> Result<(), CollectError> {
        let counts = |what: &str| ["ce", "ue"].map(|kind| format!("{name}/{kind}_{what}"));
        let all = self.pair(context, counts("count"));
        self.controllers.row(&[number]).copy_from_slice(&all);
        let unknown = self.pair(context, counts("noinfo_count"));
        self.rows.row(&[number, "unknown"]).copy_from_slice(&unknown);
        for entry in names_in(context.paths, Root::Sys, &format!("{FOLDER}/{name}"))? {
            if let Some(row) = numbered(&entry, "csrow") {
                let of_row = self.pair(context, ["ce", "ue"].map(|k| format!("{name}/{entry}/{k}_count")));
                self.rows.row(&[number, row]).copy_from_slice(&of_row);
                self.read_channels(&format!("{name}/{entry}"), [number, row], context)?;
            } else if let Some(module) = numbered(&entry, "dimm") {
                let names = ["ce", "ue"].map(|kind| format!("{name}/{entry}/dimm_{kind}_count"));
                let of_module = self.pair(context, names);
                self.modules.row(&[number, module]).copy_from_slice(&of_module);
            }
        }
        Ok(())
    }

    fn read_channels(
        &mut self,
        folder: &str,
        [controller, row]: [&str; 2],
        context: &Context<'_>,
    ) -> Result<(), CollectError> {
        for entry in names_in(context.paths, Root::Sys, &format!("{FOLDER}/{folder}"))? {
            let Some(start) = entry.strip_suffix("_ce_count") else { continue };
            let Some(channel) = numbered(start, "ch") else { continue };
            let name = format_args!("{FOLDER}/{folder}/{start}_dimm_label");
            let label = self.file.value(context.paths, Root::Sys, name).map(scan::text);
            let label = label.map_or_else(|| "unknown".to_owned(), |label| spaced(&label));
            let counts =
                self.pair(context, ["ce", "ue"].map(|kind| format!("{folder}/{start}_{kind}_count")));
            self.channels.row(&[channel, controller, row, &label]).copy_from_slice(&counts);
        }
        Ok(())
    }
}

/// The number in `name`, which is `start` and a number.
fn numbered<'a>(name: &'a str, start: &str) -> Option<&'a str> {
    name.strip_prefix(start).filter(|number| scan::number(number.as_bytes()).is_some())
}

/// The kernel's label of a module, as the reference shows it: `mc0_csrow0_channel1` for
/// `mc#0csrow#0channel#1`.
fn spaced(label: &str) -> String {
    label.replace('#', "").replace("csrow", "_csrow").replace("channel", "_channel")
}

impl Collector for Edac {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        [&mut self.controllers, &mut self.rows, &mut self.channels, &mut self.modules]
            .into_iter()
            .for_each(Table::clear);
        for name in names_in(context.paths, Root::Sys, FOLDER)? {
            if let Some(number) = numbered(&name, "mc") {
                self.read(&name, number, context)?;
            }
        }
        for table in [&mut self.controllers, &mut self.rows, &mut self.channels, &mut self.modules] {
            table.write(&mut context.out);
        }
        Ok(())
    }
}
