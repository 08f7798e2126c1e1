//! Targets and scrape loops: from an HTTP body to a committed batch.
//!
//! Modules, in the way of a sample:
//! - `config`: what the file says; `pool`: what follows from it, by its rules for labels; `target`: one thing
//!   to scrape; `target_url`: where it is, as it is shown and asked.
//! - `manager`: starts, keeps and stops one scraper per target as the configuration changes.
//! - `scraper`: the life of one target; `pace`: when it is scraped.
//! - `fetch`: the body, over HTTP or from a source in this process, within limits; `body`: what it is by its
//!   head; `gunzip`: decompresses it;
//!   `room`: the memory of all bodies; `clients`: how targets are spoken to.
//! - `line`: the kept connection to a target that speaks plain HTTP/1.1; `chunked`: bodies in its chunks.
//! - `ingest`: parse, append, mark what vanished, commit; in it `lines` and `families`: what bodies of both
//!   kinds come to; `series_text`: series of families as text; `custom_buckets`: classic histograms as native
//!   ones; `cache`: series known from the scrape before;
//!   `series_labels`: the labels under which they are stored; `report`: `up` and its companions.
//! - `metadata`: what targets say of their metrics.
//! - `failure_log`: the files to which scrapes that fail are logged.
//! - `status`: how the last scrape of each target went, and counts over all; `pools`: counts of jobs.
//!
//! What always holds:
//! - One scrape is one batch: samples, staleness markers and report are committed together.
//! - A body with an error in it is not stored at all, nor does it make a series; its target is down and says
//!   line and column.
//! - What one target sends or leaves out concerns no other: every scraper is a task of its own, bodies are
//!   bounded each and all together.
//! - Only `fetch`, `scraper` and `manager` are async.
//!
//! When you change what is stored of a scrape, look at `report` (the counts) and at `docs/configuration.md`.

pub mod body;
mod cache;
mod chunked;
mod clients;
pub mod config;
mod custom_buckets;
mod failure_log;
pub mod fetch;
mod gunzip;
pub mod ingest;
mod line;
pub mod manager;
pub mod metadata;
mod pace;
pub mod pool;
pub mod pools;
mod report;
mod room;
pub mod scraper;
mod series_labels;
mod series_text;
pub mod status;
pub mod target;
mod target_url;
