//! Tests of the local driver. Those that need root run real containers; without root they say so and do nothing.

mod faults;
mod faulty;
mod fixture;
mod images;
mod isolation;
mod lifecycle;
mod limits;
mod servers;
mod state;
mod zones;
