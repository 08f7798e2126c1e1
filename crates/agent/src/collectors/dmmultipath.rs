//! `dmmultipath`: block devices that are reached on several paths, and the state of each path, from
//! `/sys/block`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists, names_in},
    table::{self, Column, Table},
};

const SECTOR_BYTES: f64 = 512.0;

const DEVICES: &[Column] = &[
    table::gauge("node_dmmultipath_device_active", "Whether the device is in use, not suspended."),
    table::gauge("node_dmmultipath_device_paths", "Paths to the device."),
    table::gauge("node_dmmultipath_device_paths_active", "Paths to the device that work."),
    table::gauge("node_dmmultipath_device_paths_failed", "Paths to the device that do not work."),
    table::gauge("node_dmmultipath_device_size_bytes", "The size of the device."),
];
const INFO: &[Column] = &[table::gauge("node_dmmultipath_device_info", "What the device is; always 1.")];
const PATHS: &[Column] =
    &[table::gauge("node_dmmultipath_path_state", "The state of each path, as a label; always 1.")];

/// The collector.
#[derive(Debug)]
pub(crate) struct DmMultipath {
    file: File,
    devices: Table,
    info: Table,
    paths: Table,
}

impl DmMultipath {
    pub(crate) fn new() -> Self {
        Self {
            file: File::default(),
            devices: Table::new(&["device", "sysfs_name"], DEVICES),
            info: Table::new(&["device", "sysfs_name", "uuid"], INFO),
            paths: Table::new(&["device", "path", "state"], PATHS),
        }
    }

    fn text(&mut self, context: &Context<'_>, name: &str) -> Result<String, CollectError> {
        self.file.read(context.paths, Root::Sys, format_args!("block/{name}"))?;
        Ok(scan::text(self.file.data().trim_ascii()).into_owned())
    }

    fn number(&mut self, context: &Context<'_>, name: &str) -> Result<u64, CollectError> {
        self.file.read(context.paths, Root::Sys, format_args!("block/{name}"))?;
        scan::number(self.file.data().trim_ascii()).ok_or_else(|| self.file.malformed("a number is expected"))
    }

    fn read(&mut self, block: &str, uuid: &str, context: &Context<'_>) -> Result<(), CollectError> {
        let device = self.text(context, &format!("{block}/dm/name"))?;
        let is_suspended = self.number(context, &format!("{block}/dm/suspended"))? == 1;
        let sectors = self.number(context, &format!("{block}/size"))?;
        let (mut all, mut active) = (0_u32, 0_u32);
        for path in names_in(context.paths, Root::Sys, &format!("block/{block}/slaves"))? {
            let state = self.text(context, &format!("{path}/device/state"))?;
            all += 1;
            // Disks of SCSI are "running", those of NVMe are "live".
            active += u32::from(matches!(state.as_str(), "running" | "live"));
            self.paths.row(&[&device, &path, &state])[0] = Some(1.0);
        }
        let values = [
            f64::from(u8::from(!is_suspended)),
            f64::from(all),
            f64::from(active),
            f64::from(all - active),
            sectors as f64 * SECTOR_BYTES,
        ];
        self.devices.row(&[&device, block]).copy_from_slice(&values.map(Some));
        self.info.row(&[&device, block, uuid])[0] = Some(1.0);
        Ok(())
    }
}

impl Collector for DmMultipath {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, "block") {
            return Err(CollectError::NoData("there are no block devices".into()));
        }
        [&mut self.devices, &mut self.info, &mut self.paths].into_iter().for_each(Table::clear);
        for block in names_in(context.paths, Root::Sys, "block")? {
            if !block.starts_with("dm-") {
                continue;
            }
            let uuid = self.file.value(context.paths, Root::Sys, format_args!("block/{block}/dm/uuid"));
            let Some(uuid) = uuid.filter(|uuid| uuid.starts_with(b"mpath-")) else { continue };
            let uuid = scan::text(uuid).into_owned();
            self.read(&block, &uuid, context)?;
        }
        self.devices.write(&mut context.out);
        self.info.write(&mut context.out);
        self.paths.write(&mut context.out);
        Ok(())
    }
}
