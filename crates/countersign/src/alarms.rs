//! Telling people of alarms: who is told, in which form, and until when.
//!
//! It refuses to know what raises an alarm. What was not told yet is in a file of the process that tells it
//! ([`outbox`]), so a crash between raising and telling loses none.

pub mod message;
pub mod outbox;
pub mod post;
pub mod receiver;
pub mod sender;
