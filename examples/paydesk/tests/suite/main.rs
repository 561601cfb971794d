//! Everything that is tested on the source: the rules of money by themselves, the books on a file, and the whole
//! desk as three processes on loopback.

mod amount;
mod books;
mod desk;
mod fixture;
mod order;
