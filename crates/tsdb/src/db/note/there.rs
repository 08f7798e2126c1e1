//! `There`: the blocks that a directory has, as far as notes speak of them: those that can be read, and those
//! that the system only refuses to read at the moment, whose samples are not gone. What is damaged is no part
//! of it.

use crate::block::BlockMeta;

/// See above.
#[derive(Clone, Debug, Default)]
pub(crate) struct There {
    metas: Vec<BlockMeta>,
    /// Of a block nothing is known but that it is there: it may have anything.
    unknown: bool,
}

impl There {
    /// Adds a block; nothing of it may be known.
    pub(crate) fn add(&mut self, meta: Option<BlockMeta>) {
        self.unknown |= meta.is_none();
        self.metas.extend(meta);
    }

    /// With these.
    #[must_use]
    pub(crate) fn and(mut self, metas: impl IntoIterator<Item = BlockMeta>) -> Self {
        self.metas.extend(metas);
        self
    }

    /// Those of which something is known.
    pub(super) fn known(&self) -> &[BlockMeta] {
        &self.metas
    }

    /// Whether there is a block that may have anything.
    pub(super) fn may_have_anything(&self) -> bool {
        self.unknown
    }
}
