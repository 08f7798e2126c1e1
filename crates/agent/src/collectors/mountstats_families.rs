//! The families of `mountstats`, by the places of their numbers in the kernel's lines.

use skopos_model::MetricType::{self, Counter, Gauge};

/// A number of a line and its family.
#[derive(Debug)]
pub(crate) struct Family {
    /// The number's place in its line.
    pub(crate) field: usize,
    /// The family.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: MetricType,
    /// What the number is divided by.
    pub(crate) divisor: f64,
    /// The help text.
    pub(crate) help: &'static str,
}

/// The numbers of an operation.
pub(crate) const OPERATION_FIELDS: usize = 9;
/// The numbers of a transport.
pub(crate) const TRANSPORT_FIELDS: usize = 13;

const MILLISECONDS: f64 = 1000.0;

macro_rules! families {
    ($($field:literal $kind:ident $name:literal / $divisor:expr, $help:literal;)+) => {
        &[$(Family {
            field: $field,
            name: concat!("node_mountstats_nfs_", $name),
            kind: $kind,
            divisor: $divisor,
            help: $help,
        }),+]
    };
}

pub(crate) const BYTES: &[Family] = families! {
    2 Counter "direct_read_bytes_total" / 1.0, "Bytes that programs read past the cache.";
    3 Counter "direct_write_bytes_total" / 1.0, "Bytes that programs wrote past the cache.";
    0 Counter "read_bytes_total" / 1.0, "Bytes that programs read.";
    6 Counter "read_pages_total" / 1.0, "Pages read through mapped files.";
    4 Counter "total_read_bytes_total" / 1.0, "Bytes read from the server.";
    5 Counter "total_write_bytes_total" / 1.0, "Bytes written to the server.";
    1 Counter "write_bytes_total" / 1.0, "Bytes that programs wrote.";
    7 Counter "write_pages_total" / 1.0, "Pages written through mapped files.";
};

pub(crate) const EVENTS: &[Family] = families! {
    3 Counter "event_attribute_invalidate_total" / 1.0, "Cached attributes of inodes dropped.";
    2 Counter "event_data_invalidate_total" / 1.0, "Cached data of inodes dropped.";
    1 Counter "event_dnode_revalidate_total" / 1.0, "Cached names checked against the server.";
    0 Counter "event_inode_revalidate_total" / 1.0, "Cached attributes of inodes checked against the server.";
    24 Counter "event_jukebox_delay_total" / 1.0, "Requests that the server asked to send later.";
    25 Counter "event_pnfs_read_total" / 1.0, "Reads of parallel NFS.";
    26 Counter "event_pnfs_write_total" / 1.0, "Writes of parallel NFS.";
    22 Counter "event_short_read_total" / 1.0, "Reads that gave less than was asked for.";
    23 Counter "event_short_write_total" / 1.0, "Writes that took less than was given.";
    21 Counter "event_silly_rename_total" / 1.0, "Files removed that were still open.";
    19 Counter "event_truncation_total" / 1.0, "Files cut.";
    6 Counter "event_vfs_access_total" / 1.0, "Permissions checked.";
    17 Counter "event_vfs_file_release_total" / 1.0, "Files closed for good.";
    14 Counter "event_vfs_flush_total" / 1.0, "Files flushed.";
    15 Counter "event_vfs_fsync_total" / 1.0, "Files and directories synchronised.";
    12 Counter "event_vfs_getdents_total" / 1.0, "Directories listed.";
    16 Counter "event_vfs_lock_total" / 1.0, "Locks on files tried.";
    5 Counter "event_vfs_lookup_total" / 1.0, "Names looked up in directories.";
    4 Counter "event_vfs_open_total" / 1.0, "Files opened.";
    8 Counter "event_vfs_read_page_total" / 1.0, "Pages read.";
    9 Counter "event_vfs_read_pages_total" / 1.0, "Groups of pages read.";
    13 Counter "event_vfs_setattr_total" / 1.0, "Attributes set.";
    7 Counter "event_vfs_update_page_total" / 1.0, "Pages changed.";
    10 Counter "event_vfs_write_page_total" / 1.0, "Pages written.";
    11 Counter "event_vfs_write_pages_total" / 1.0, "Groups of pages written.";
    20 Counter "event_write_extension_total" / 1.0, "Files that grew by writing.";
};

pub(crate) const OPERATIONS: &[Family] = families! {
    8 Counter "operations_errors_total" / 1.0, "Requests that failed.";
    2 Counter "operations_major_timeouts_total" / 1.0, "Requests that had a major timeout.";
    5 Counter "operations_queue_time_seconds_total" / MILLISECONDS, "Seconds that requests waited.";
    4 Counter "operations_received_bytes_total" / 1.0, "Bytes received, headers among them.";
    7 Counter "operations_request_time_seconds_total" / MILLISECONDS, "Seconds from request to end.";
    0 Counter "operations_requests_total" / 1.0, "Requests.";
    6 Counter "operations_response_time_seconds_total" / MILLISECONDS, "Seconds from sending to the reply.";
    3 Counter "operations_sent_bytes_total" / 1.0, "Bytes sent, headers among them.";
    1 Counter "operations_transmissions_total" / 1.0, "Requests sent, repetitions among them.";
};

pub(crate) const TRANSPORTS: &[Family] = families! {
    9 Counter "transport_backlog_queue_total" / 1.0, "The length of the backlog, summed.";
    7 Counter "transport_bad_transaction_ids_total" / 1.0, "Replies to requests that were not made.";
    1 Counter "transport_bind_total" / 1.0, "Connections begun anew.";
    2 Counter "transport_connect_total" / 1.0, "Connections made to the server.";
    4 Gauge "transport_idle_time_seconds" / 1.0, "How long nothing was sent or received.";
    10 Gauge "transport_maximum_rpc_slots" / 1.0, "The most requests that were under way at a time.";
    12 Counter "transport_pending_queue_total" / 1.0, "The replies that were waited for, summed.";
    6 Counter "transport_receives_total" / 1.0, "Replies received.";
    11 Counter "transport_sending_queue_total" / 1.0, "The length of the queue to send, summed.";
    5 Counter "transport_sends_total" / 1.0, "Requests sent.";
};
