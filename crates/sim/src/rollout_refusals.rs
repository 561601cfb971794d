//! Transitions that do not begin: a truth table, a row a reason, in the order in which they are found.

mod tests;
