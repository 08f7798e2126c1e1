//! `bonding`: how many links each bond is made of, and how many of them are up, from `/sys/class/net`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
    table::{self, Column, Table},
};

const COLUMNS: &[Column] = &[
    table::gauge("node_bonding_active", "Links of each bond that are up."),
    table::gauge("node_bonding_slaves", "Links that each bond is made of."),
];

/// The collector.
#[derive(Debug)]
pub(crate) struct Bonding {
    file: File,
    table: Table,
}

impl Bonding {
    pub(crate) fn new() -> Self {
        Self { file: File::default(), table: Table::new(&["master"], COLUMNS) }
    }

    /// The names in a file of `/sys/class/net`.
    fn names(&mut self, context: &Context<'_>, name: &str) -> Result<Vec<String>, CollectError> {
        self.file.read(context.paths, Root::Sys, format_args!("class/net/{name}"))?;
        let names = scan::fields(self.file.data()).map(|name| scan::text(name).into_owned());
        let names: Vec<String> = names.collect();
        if names.iter().any(|name| name.contains('/')) {
            return Err(self.file.malformed("a name of a device has no slash"));
        }
        Ok(names)
    }

    fn is_up(&mut self, context: &Context<'_>, master: &str, link: &str) -> Result<bool, CollectError> {
        // Kernels before 3.18 call the folder otherwise.
        for start in ["lower", "slave"] {
            let name = format_args!("class/net/{master}/{start}_{link}/bonding_slave/mii_status");
            if self.file.read_if_exists(context.paths, Root::Sys, name)? {
                return Ok(self.file.data().trim_ascii() == b"up");
            }
        }
        Err(self.file.malformed("a link of a bond has no state"))
    }
}

impl Collector for Bonding {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.table.clear();
        let masters = self.names(context, "bonding_masters").map_err(|error| match error.is_missing() {
            true => CollectError::NoData("the kernel has no bonds".into()),
            false => error,
        })?;
        for master in masters {
            let links = self.names(context, &format!("{master}/bonding/slaves"))?;
            let mut active = 0;
            for link in &links {
                active += usize::from(self.is_up(context, &master, link)?);
            }
            self.table.row(&[&master]).copy_from_slice(&[Some(active as f64), Some(links.len() as f64)]);
        }
        self.table.write(&mut context.out);
        Ok(())
    }
}
