//! Free ports of the loopback interface. Never reserves one: somebody else may take it before it is used.

use std::net::{Ipv4Addr, TcpListener};

/// A TCP port on which nobody listens on 127.0.0.1 at this moment.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port can be bound");
    listener.local_addr().expect("invariant: a bound socket has an address").port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_can_be_listened_on() {
        TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
    }
}
