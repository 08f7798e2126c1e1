//! What a source may cost: bounds that hold for all of them. Counts nothing itself.

use std::time::Duration;

/// The most bytes of an answer, or of a file with targets.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The most targets of one entry of a configuration.
pub const SOURCE_TARGETS_MAX: usize = 200_000;
/// The most pages of one list that comes in several.
pub const PAGES_MAX: usize = 10_000;
/// The most bytes of an answer of ZooKeeper.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// The most elements and texts of an answer in XML.
pub const XML_NODES_MAX: u32 = 4_000_000;
/// How long an answer may take that nothing is waited for.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
