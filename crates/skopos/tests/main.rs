//! Tests from end to end: the built binary as a process, beside real peers and misbehaving targets. Every
//! server listens on loopback and ends with its test.
//!
//! - `support`: asking a server, and what its answers say
//! - `agent`, `agent_as_nobody`: this machine's page, and what of it an ordinary user may see
//! - `agent_push`: this machine's metrics sent to a Prometheus that is away for a while
//! - `kill_nine`: what a crash at any moment leaves
//! - `peers`: the same bodies and queries to Debian's Prometheus and to ours
//! - `differential`: made-up expressions to Prometheus and to ours, over the same blocks
//! - `limits`: bounds on what targets may bring, in a running server
//! - `replay`: what is answered while a large log is read
//! - `retention`: what a running server no longer keeps
//! - `hostile_targets`, `slow_targets`: what bad targets do to themselves, to others and to memory
//! - `flapping`: a target that fails in all ways, beside Prometheus 3
//! - `reload_under_load`: thousands of targets while the configuration changes
//! - `floods`, `slow_bodies`: requests in masses from strangers, and bodies that come byte by byte
//! - `long_bodies`: bodies of very many lines, and series that are ever new
//! - `tsdb_tool`: what the command line does with data directories, beside promtool
//! - `tsdb_tool_rules`: recording rules filled in by it, beside promtool
//! - `tool_connection`: how the command line gets through to servers of TLS, and what it does not print
//! - `query_tool`: the command line asks servers and writes queries, beside promtool
//! - `api`: status codes and shapes of every endpoint
//! - `api_beside`: odd requests of every endpoint, beside both releases of Prometheus
//! - `api_state`: exemplars, trees of queries, and what the server says of itself
//! - `federate`: pages for other servers, as text and in protocol buffers, beside Prometheus 3
//! - `remote_read`: other servers read our samples, beside Prometheus
//! - `otlp`: metrics of OpenTelemetry
//! - `push_text`: Influx, Graphite, StatsD, JSON lines, CSV and text, beside VictoriaMetrics
//! - `pushgateway`: groups that jobs leave, beside the Pushgateway
//! - `remote_write`: other servers push samples to us, beside Prometheus
//! - `search`, `streaming`: names by what somebody typed; answers that go out while they are written
//! - `clients`: programs written for Prometheus
//! - `trees`: `parse_query` and `format_query`, beside Prometheus 3
//! - `type_labels`: types and units as labels, beside Prometheus 3
//! - `relabel`: made-up rules for labels, beside Prometheus 3
//! - `replicas`: two servers of one configuration scrape at the same slots
//! - `scrape_protocols`: what becomes of bodies of every format, beside Prometheus 3
//! - `scrape_access`: how targets are spoken to, beside Prometheus 3; `secured`: a server with TLS
//! - `query_ranks`: which queries run, and which took longest
//! - `query_stats`: what a query says of itself afterwards
//! - `running_queries`: what is said of a query that runs, and when the server died meanwhile
//! - `control`: deletion, snapshots, reload and quit over HTTP; prefixes and other hosts' pages
//! - `own_metrics`: names of what the server says of itself, beside Prometheus 3
//! - `exporters`: real exporters and servers are scraped, beside Prometheus
//! - `own_machine`: the server reads the machine that it runs on, and tells its processes
//! - `documented`: every flag is in the documentation
//! - `config_and_signals`: files, flags, signals, ports and locks
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]
#![expect(clippy::print_stdout, reason = "random tests print their seed")]

mod agent;
mod agent_as_nobody;
mod agent_push;
mod api;
mod api_beside;
mod api_state;
mod auto_reload;
mod check_tool;
mod clients;
mod config_and_signals;
mod control;
mod denied;
mod differential;
mod discovery;
mod documented;
mod exporters;
mod federate;
mod flapping;
mod floods;
mod hostile_targets;
mod kill_nine;
mod limits;
mod long_bodies;
mod names;
mod otlp;
mod own_machine;
mod own_metrics;
mod peers;
mod push_text;
mod pushgateway;
mod query_ranks;
mod query_stats;
mod query_tool;
mod relabel;
mod reload_under_load;
mod remote_read;
mod remote_read_from;
mod remote_write;
mod remote_write_out;
mod replay;
mod replicas;
mod retention;
mod running_queries;
mod scrape_access;
mod scrape_protocols;
mod search;
mod secured;
mod slow_bodies;
mod slow_targets;
mod streaming;
mod support;
mod tool_connection;
mod trees;
mod tsdb_tool;
mod tsdb_tool_rules;
mod type_labels;
