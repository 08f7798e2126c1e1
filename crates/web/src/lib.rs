//! HTTP servers of every role: listening, bounded connections, TLS, authentication. Knows no route and
//! no handler; whoever serves says what a request needs.
//!
//! Modules:
//! - `config`: `WebConfig`, the file of `--web.config.file`: shape and checks.
//! - `tls`: TLS settings from a checked configuration; `client_certificate`: who may connect.
//! - `password`: verdicts on passwords, computed rarely and beside the reactor; `token`: bearer tokens.
//! - `rate`: how often requests may come.
//! - `protection`: `Protection`, all of it as in force now, exchanged as a whole when its files change.
//! - `guard`: the layer in front of all routes that asks `Protection`.
//! - `serve`: listening and serving; `places`: how many connections there may be, and which gives way to a
//!   new one; `heads`: clients that are slow to ask are cut off; `progress`: those that take next to nothing
//!   of an answer; `answers`: how much of answers waits for clients, and which of them gives way; `activity`:
//!   which requests are under way, and connections of HTTP/2 without any are ended; `sent`: how the body of a
//!   request comes; `pace`: how fast a client moves anything, and what that is worth when others want its
//!   place; `request_line`: characters that clients leave as they are in addresses.
//! - `process`: what the system says of the process that serves, on whatever page.
//!
//! The way of a request: `serve` accepts → TLS handshake → HTTP → `guard` (rate, credentials, scope) →
//! the router → `guard` adds headers.
//!
//! What always holds:
//! - A file that cannot be used changes nothing: what was in force stays so, and the log says why.
//! - A server that began with TLS never serves without it; a wrong password takes as long as a wrong name.
//! - Nothing is held for a client without a bound in number and time.
//!
//! When you add a key to the file: a field in `config`, its check in `WebConfig::check`, a line in
//! `docs/configuration.md`.

mod activity;
pub mod answers;
mod client_certificate;
pub mod config;
mod guard;
mod heads;
mod pace;
mod password;
mod places;
pub mod process;
mod progress;
mod protection;
mod rate;
mod request_line;
mod sent;
pub mod serve;
mod tls;
mod token;

pub use config::{Scope, WebConfig};
pub use guard::{Guard, guard};
pub use protection::{Loader, Protection, WebError};
