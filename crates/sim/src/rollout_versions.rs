//! Versions side by side on the simulated host: which stay, when one goes, and that nobody's version goes under him.

mod tests;
