//! `infiniband`: adapters of InfiniBand and RoCE and their ports, from `/sys/class/infiniband`.

use super::infiniband_columns::{COLUMNS, COUNTERS, PHYSICAL_STATE, RATE, STATE};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    filter::Filter,
    scan,
    source::{File, Root, exists, names_in},
    table::{self, Column, Table},
};

const FOLDER: &str = "class/infiniband";
const BYTES_PER_GIGABIT: f64 = 125e6;

const INFO: &[Column] = &[table::gauge("node_infiniband_info", "What each adapter is; always 1.")];

/// The collector.
#[derive(Debug)]
pub(crate) struct InfiniBand {
    devices: Filter,
    file: File,
    info: Table,
    ports: Table,
}

impl InfiniBand {
    pub(crate) fn new(devices: &Filter) -> Self {
        Self {
            devices: devices.clone(),
            file: File::default(),
            info: Table::new(&["board_id", "device", "firmware_version", "hca_type"], INFO),
            ports: Table::new(&["device", "port"], COLUMNS),
        }
    }

    fn device(&mut self, device: &str, context: &Context<'_>) -> Result<(), CollectError> {
        let texts = ["board_id", "fw_ver", "hca_type"].map(|name| {
            let value = self.file.value(context.paths, Root::Sys, format_args!("{FOLDER}/{device}/{name}"));
            scan::text(value.unwrap_or_default()).into_owned()
        });
        self.info.row(&[&texts[0], device, &texts[1], &texts[2]])[0] = Some(1.0);
        for port in names_in(context.paths, Root::Sys, &format!("{FOLDER}/{device}/ports"))? {
            self.port(device, &port, context)?;
        }
        Ok(())
    }

    fn port(&mut self, device: &str, port: &str, context: &Context<'_>) -> Result<(), CollectError> {
        let row = self.ports.row(&[device, port]);
        for (column, name, parse) in [
            (STATE, "state", state as fn(&[u8]) -> _),
            (PHYSICAL_STATE, "phys_state", state),
            (RATE, "rate", rate),
        ] {
            self.file.read(
                context.paths,
                Root::Sys,
                format_args!("{FOLDER}/{device}/ports/{port}/{name}"),
            )?;
            let value = parse(self.file.data().trim_ascii());
            row[column] = Some(value.ok_or_else(|| self.file.malformed("it says nothing of the port"))?);
        }
        for (value, counter) in row.iter_mut().zip(COUNTERS) {
            let path = format_args!("{FOLDER}/{device}/ports/{port}/{}", counter.file);
            // What an adapter does not count is not there, or says so.
            let number = self.file.number(context.paths, Root::Sys, path);
            *value = number.map(|number| number as f64 * counter.factor);
        }
        Ok(())
    }
}

/// The number in `4: ACTIVE`.
fn state(text: &[u8]) -> Option<f64> {
    scan::split_at(text, b':').and_then(|(number, _)| scan::number(number)).map(|number| number as f64)
}

/// Bytes a second of `100 Gb/sec (4X EDR)`.
fn rate(text: &[u8]) -> Option<f64> {
    let mut fields = scan::fields(text);
    let gigabits = scan::decimal(fields.next()?)?;
    fields.next().map(|_unit| gigabits * BYTES_PER_GIGABIT)
}

impl Collector for InfiniBand {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("there is no adapter of InfiniBand".into()));
        }
        self.info.clear();
        self.ports.clear();
        for device in names_in(context.paths, Root::Sys, FOLDER)? {
            if self.devices.admits(device.as_bytes()) {
                self.device(&device, context)?;
            }
        }
        self.info.write(&mut context.out);
        self.ports.write(&mut context.out);
        Ok(())
    }
}
