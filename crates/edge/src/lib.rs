//! The `edge` room.
