//! A class of devices below sysfs: each device a folder, each file in it one number, each file's name a
//! family. It owns no names: the collectors have tables of them.

use crate::{
    collector::Context,
    error::CollectError,
    scan,
    source::{File, Root, exists, names_in},
};
use skopos_model::MetricType;

/// A file of a device and its family.
#[derive(Debug)]
pub(crate) struct Column {
    /// The file's name in the device's folder.
    pub(crate) file: &'static str,
    /// The family.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: MetricType,
    /// What the file's number is divided by.
    pub(crate) divisor: f64,
    /// The help text.
    pub(crate) help: &'static str,
}

impl Column {
    /// A gauge of the number as it stands in the file.
    pub(crate) const fn gauge(file: &'static str, name: &'static str, help: &'static str) -> Self {
        Self { file, name, kind: MetricType::Gauge, divisor: 1.0, help }
    }
}

/// The devices of a class and their numbers, in buffers that are used again and again.
#[derive(Debug, Default)]
pub(crate) struct Class {
    file: File,
    devices: Vec<String>,
    /// As many for each device as there are columns.
    values: Vec<Option<f64>>,
}

impl Class {
    /// Reads the devices in `folder` that `admits` wants, by what stands in their folders below `part`.
    /// `false` when the machine has no such class. A file that is missing or refuses to be read gives
    /// no value; one that holds no number is an error.
    pub(crate) fn read(
        &mut self,
        context: &Context<'_>,
        [folder, part]: [&str; 2],
        columns: &[Column],
        admits: impl Fn(&str) -> bool,
    ) -> Result<bool, CollectError> {
        self.values.clear();
        self.devices = names_in(context.paths, Root::Sys, folder)?;
        self.devices.retain(|device| admits(device));
        for device in &self.devices {
            for column in columns {
                let path = format_args!("{folder}/{device}/{part}{}", column.file);
                let value = match self.file.value(context.paths, Root::Sys, path).map(scan::signed) {
                    None => None,
                    Some(Some(value)) => Some(value as f64 / column.divisor),
                    Some(None) => return Err(self.file.malformed("a number is expected")),
                };
                self.values.push(value);
            }
        }
        Ok(!self.devices.is_empty() || exists(context.paths, Root::Sys, folder))
    }

    /// Writes the families of the columns, with the device's name as the label `label`.
    pub(crate) fn write(&self, columns: &[Column], label: &str, context: &mut Context<'_>) {
        for (i, column) in columns.iter().enumerate() {
            let mut family = context.out.family(column.name, column.kind, column.help);
            for (device, values) in self.devices.iter().zip(self.values.chunks(columns.len())) {
                if let Some(value) = values[i] {
                    family.sample(&[(label, device)], value);
                }
            }
        }
    }

    /// The devices that were read.
    pub(crate) fn devices(&self) -> &[String] {
        &self.devices
    }
}

/// The text in the file `name` below sysfs, without white space around it; empty when there is none.
pub(crate) fn text_of(file: &mut File, context: &Context<'_>, name: std::fmt::Arguments<'_>) -> String {
    file.value(context.paths, Root::Sys, name).map(|text| scan::text(text).into_owned()).unwrap_or_default()
}
