//! Ports and addresses that nobody on this machine uses: the usual ones if they are free, so that what is printed looks
//! like the documents, others if not, so that two demos can run beside each other.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::fault::{Because as _, Fault, Kind};

/// Where everything of one demo listens.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// The package registry.
    pub registry: SocketAddr,
    /// The page that the world sees.
    pub public: SocketAddr,
    /// `front`.
    pub front: SocketAddr,
    /// The witness.
    pub witness: SocketAddr,
    /// The first two bytes of the fabric; the tester's is the next.
    pub fabric: [u8; 2],
}

/// As `examples/paydesk` names it.
pub const REGISTRY_PORT: u16 = 8790;
/// As `examples/paydesk` names it.
pub const PUBLIC_PORT: u16 = 8088;
const FRONT_PORT: u16 = 7070;
const WITNESS_PORT: u16 = 7075;
/// The first fabric that is tried is 10.77; two a demo.
const FIRST_FABRIC: u8 = 77;
/// Forty demos beside each other are more than a machine can bear.
const FABRICS: u8 = 40;

impl Places {
    /// Finds them. Nothing is kept: who takes one in the next second makes a start fail with a clear error.
    pub fn find() -> Result<Self, Fault> {
        // All are held until all are found, so that none is given twice.
        let held = [REGISTRY_PORT, PUBLIC_PORT, FRONT_PORT, WITNESS_PORT].map(free);
        let mut found = Vec::with_capacity(held.len());
        for listener in &held {
            let address = listener
                .as_ref()
                .map_err(|e| Fault::new(Kind::Unavailable, format!("no free port on loopback: {e}")))?
                .local_addr()
                .because(Kind::Unavailable, "a port has no number")?;
            found.push(address);
        }
        let [registry, public, front, witness] = found.as_slice() else {
            return Err(Fault::new(Kind::Internal, "a port was not asked for"));
        };
        Ok(Self { registry: *registry, public: *public, front: *front, witness: *witness, fabric: fabric()? })
    }
}

fn free(preferred: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, preferred)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

/// Two neighbouring networks `10.n.0.0/16` that no route of this machine leads into.
fn fabric() -> Result<[u8; 2], Fault> {
    let routes = std::fs::read_to_string("/proc/net/route").because(Kind::Unavailable, "the routes can not be read")?;
    let mut candidates = (0..FABRICS).map(|n| FIRST_FABRIC + 2 * n);
    candidates
        .find(|n| [*n, n + 1].iter().all(|n| !leads_into(&routes, [10, *n])))
        .map(|n| [10, n])
        .ok_or_else(|| Fault::new(Kind::Unavailable, "no free network for the containers between 10.77 and 10.156"))
}

/// Whether a route of this table (`/proc/net/route`, proc(5): hexadecimal, least byte first) overlaps `a.b.0.0/16`.
/// The default route overlaps everything and does not count.
fn leads_into(routes: &str, [a, b]: [u8; 2]) -> bool {
    let ours = u32::from(Ipv4Addr::new(a, b, 0, 0));
    routes.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace();
        let number = |text: Option<&str>| text.and_then(|t| u32::from_str_radix(t, 16).ok()).map(u32::swap_bytes);
        let (destination, mask) = (number(fields.nth(1)), number(fields.nth(5)));
        match (destination, mask) {
            (Some(destination), Some(mask)) if mask != 0 => {
                let shorter = mask & 0xffff_0000;
                destination & shorter == ours & shorter
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests;
