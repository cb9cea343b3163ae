//! Loopback addresses of its own for every cluster, so that tests run side by side.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};

static NEXT: AtomicU8 = AtomicU8::new(1);

/// A /24 of 127.0.0.0/8: by process, and by cluster within the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    second: u8,
    third: u8,
}

impl Network {
    /// A network no other cluster of this process has.
    pub(crate) fn unused() -> Self {
        let process = std::process::id();
        let second = 64 + u8::try_from(process / 12 % 160).unwrap();
        let third = u8::try_from(process % 12).unwrap() * 20 + NEXT.fetch_add(1, Ordering::SeqCst);
        Self { second, third }
    }

    /// The address of host `n`.
    pub(crate) fn host(self, n: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.second, self.third, n)
    }
}
