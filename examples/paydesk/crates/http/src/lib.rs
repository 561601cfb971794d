//! HTTP/1.1 between the parts of the pay desk and to the outside: a server with a fixed number of threads,
//! a client for peers, and what a process is told at its start. Knows nothing of money.

mod message;
mod peers;
mod server;
mod settings;
mod wire;

pub use message::{Request, Response, field, json_text};
pub use peers::{Answer, Outcome, Peers};
pub use server::serve;
pub use settings::{Settings, SettingsError};
