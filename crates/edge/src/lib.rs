//! The edge: Countersign's reverse proxy.
//!
//! It carries HTTP and plain TCP to components by the [`RouteTable`](model::route::RouteTable) that it is given, holds
//! requests while an exclusive component hands over, sends each client to one of two versions that are compared, and counts
//! what happens to each version. It knows addresses, weights and serials; it refuses to know releases, verdicts and the
//! log, and it holds no key but those of the certificates that the table names.
//!
//! Invariants, by the name that the code repeats:
//! - `generation-grows`: a table older than the one in force changes nothing ([`Edge::apply`]).
//! - `all-or-nothing`: a table that cannot be carried out whole (address taken, certificate unreadable) changes nothing.
//! - `counted-before-sent`: a request is in flight on a version before anything of it is sent there, so that a version of
//!   weight 0 with none in flight is never sent anything again.
//! - `counted-once`: a request of a comparison counts in the tick in which it ended, for the version that it was sent to
//!   first, and nowhere else; what can not be told for a whole tick is not told.
//! - `sent-at-most-once`: a request that may have been acted on is not sent again, unless its method is idempotent.
//!
//! A crash of the edge cuts the requests in flight and loses the counts. The table is the caller's to keep
//! ([`EdgeConfig::keeper`]) and to give back at the next start.

mod answer;
mod client;
mod clients;
mod compare;
mod connection;
mod control;
mod counts;
mod edge;
mod exposition;
mod files;
mod forward;
mod headers;
mod hold;
mod identity;
mod instance;
mod lease;
mod limits;
mod listener;
mod metrics;
mod read;
mod recent;
mod refusal;
mod session;
mod surge;
mod table;
mod tcp;
mod ticks;
mod timed;
mod timer;
mod tls;
mod token;
mod tunnel;
mod upload;

pub use client::{BlockingEdgeClient, ClientError, EdgeClient};
pub use control::{ControlConfig, Health};
pub use edge::{Applied, ApplyError, Edge, EdgeConfig, Finished, Keeper, StartError};
pub use limits::Limits;
pub use table::TableError;
pub use tls::TlsError;
pub use token::TokenKeysError;
