//! How many connections each address has, so that one can not take all of them.
//!
//! It refuses to know who a client is beyond its address: that shows only later.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// The connections of one listener. It remembers only addresses that have one, so the limit on connections bounds it.
#[derive(Default)]
pub(crate) struct Doors {
    open: Mutex<(HashMap<u128, u32>, u32)>,
}

/// One connection; dropped, it is closed.
pub(crate) struct Door {
    doors: Arc<Doors>,
    key: u128,
}

/// An address, or the network that a customer with IPv6 is commonly given (RFC 6177): all of it is one client.
fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

impl Doors {
    /// Opens one, unless the address has as many as it may, or all together have.
    pub(crate) fn open(self: &Arc<Self>, address: IpAddr, of_one: Option<u32>, of_all: Option<u32>) -> Option<Door> {
        let key = key(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_this = open.0.get(&key).copied().unwrap_or(0);
        if of_one.is_some_and(|most| of_this >= most) || of_all.is_some_and(|most| open.1 >= most) {
            return None;
        }
        open.0.insert(key, of_this + 1);
        open.1 += 1;
        Some(Door { doors: Arc::clone(self), key })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let mut open = self.doors.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.1 = open.1.saturating_sub(1);
        match open.0.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.0.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
