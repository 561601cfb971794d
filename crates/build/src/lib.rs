//! The `build` room.
