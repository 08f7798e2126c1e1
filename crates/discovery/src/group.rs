//! `TargetGroup`: targets that were found together, with the labels that they share.

use skopos_model::{Labels, LabelsBuilder};

/// The label that says where a target is.
pub const ADDRESS: &str = "__address__";

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TargetGroup {
    /// What tells this group from the others of its source.
    pub source: String,
    /// The labels of each target, its address among them.
    pub targets: Vec<Labels>,
    /// What all of them have, as far as their own do not say otherwise.
    pub labels: Labels,
}

impl TargetGroup {
    /// Each target with the labels of the group.
    pub fn all_labels(&self) -> impl Iterator<Item = Labels> {
        self.targets.iter().map(|own| {
            let mut builder = LabelsBuilder::from_labels(&self.labels);
            builder.extend(own);
            builder.build()
        })
    }
}
