//! Part of `perf`: the events that can be counted, the names of their flags and metrics.

use crate::perf_events::{Access, Cache, Event};

/// An event, what a flag calls it, and its metric.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its name in the flags.
    pub(crate) name: &'static str,
    /// Its metric.
    pub(crate) metric: &'static str,
    /// The metric's help text.
    pub(crate) help: &'static str,
    /// The event.
    pub(crate) event: Event,
}

macro_rules! columns {
    ($($name:literal, $metric:literal, $help:literal, $event:expr;)+) => {
        &[$(Column {
            name: $name,
            metric: concat!("node_perf_", $metric, "_total"),
            help: $help,
            event: $event,
        }),+]
    };
}

/// What the processor counts.
pub(crate) const HARDWARE: &[Column] = columns! {
    "CpuCycles", "cpucycles", "Cycles of each CPU.", Event::hardware(0);
    "CpuInstr", "instructions", "Instructions of each CPU.", Event::hardware(1);
    "CacheRef", "cache_refs", "Uses of the cache by each CPU.", Event::hardware(2);
    "CacheMisses", "cache_misses", "Uses of the cache by each CPU that missed.", Event::hardware(3);
    "BranchInstr", "branch_instructions", "Branches of each CPU.", Event::hardware(4);
    "BranchMisses", "branch_misses", "Branches of each CPU that were predicted wrongly.", Event::hardware(5);
    "StalledCyclesFrontend", "stalled_cycles_frontend", "Cycles in which each CPU lacked instructions.",
        Event::hardware(7);
    "StalledCyclesBackend", "stalled_cycles_backend", "Cycles in which each CPU lacked data or units.",
        Event::hardware(8);
    "RefCpuCycles", "ref_cpucycles", "Cycles of each CPU, at a frequency that does not change.",
        Event::hardware(9);
};

/// What the kernel counts.
pub(crate) const SOFTWARE: &[Column] = columns! {
    "PageFault", "page_faults", "Page faults on each CPU.", Event::software(2);
    "ContextSwitch", "context_switches", "Context switches on each CPU.", Event::software(3);
    "CpuMigration", "cpu_migrations", "Processes that came to each CPU from another.", Event::software(4);
    "MinorFault", "minor_faults", "Page faults on each CPU that needed no I/O.", Event::software(5);
    "MajorFault", "major_faults", "Page faults on each CPU that needed I/O.", Event::software(6);
};

/// What the processor counts of its caches.
pub(crate) const CACHE: &[Column] = columns! {
    "L1DataReadHit", "cache_l1d_read_hits", "Reads of the first cache of data.",
        Event::cache(Cache::L1Data, Access::Read);
    "L1DataReadMiss", "cache_l1d_read_misses", "Reads of the first cache of data that missed.",
        Event::cache(Cache::L1Data, Access::ReadMiss);
    "L1DataWriteHit", "cache_l1d_write_hits", "Writes to the first cache of data.",
        Event::cache(Cache::L1Data, Access::Write);
    "L1InstrReadMiss", "cache_l1_instr_read_misses", "Reads of the first cache of instructions that missed.",
        Event::cache(Cache::L1Instructions, Access::ReadMiss);
    "InstrTLBReadHit", "cache_tlb_instr_read_hits", "Look-ups of addresses of instructions.",
        Event::cache(Cache::InstructionTlb, Access::Read);
    "InstrTLBReadMiss", "cache_tlb_instr_read_misses", "Look-ups of addresses of instructions that missed.",
        Event::cache(Cache::InstructionTlb, Access::ReadMiss);
    "DataTLBReadHit", "cache_tlb_data_read_hits", "Look-ups of addresses to read from.",
        Event::cache(Cache::DataTlb, Access::Read);
    "DataTLBReadMiss", "cache_tlb_data_read_misses", "Look-ups of addresses to read from that missed.",
        Event::cache(Cache::DataTlb, Access::ReadMiss);
    "DataTLBWriteHit", "cache_tlb_data_write_hits", "Look-ups of addresses to write to.",
        Event::cache(Cache::DataTlb, Access::Write);
    "DataTLBWriteMiss", "cache_tlb_data_write_misses", "Look-ups of addresses to write to that missed.",
        Event::cache(Cache::DataTlb, Access::WriteMiss);
    "LLReadHit", "cache_ll_read_hits", "Reads of the last cache.",
        Event::cache(Cache::LastLevel, Access::Read);
    "LLReadMiss", "cache_ll_read_misses", "Reads of the last cache that missed.",
        Event::cache(Cache::LastLevel, Access::ReadMiss);
    "LLWriteHit", "cache_ll_write_hits", "Writes to the last cache.",
        Event::cache(Cache::LastLevel, Access::Write);
    "LLWriteMiss", "cache_ll_write_misses", "Writes to the last cache that missed.",
        Event::cache(Cache::LastLevel, Access::WriteMiss);
    "BPUReadHit", "cache_bpu_read_hits", "Look-ups of predictions.",
        Event::cache(Cache::Branches, Access::Read);
    "BPUReadMiss", "cache_bpu_read_misses", "Look-ups of predictions that missed.",
        Event::cache(Cache::Branches, Access::ReadMiss);
};
