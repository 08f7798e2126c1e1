//! The part of rtnetlink that collectors need: ask for all links or all addresses, read the answer.
//! It never changes anything, and reads any bytes without panicking.

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// The kernel sends no larger piece of an answer to a reader that offers this much.
const PIECE_BYTES: usize = 32 << 10;
/// An answer larger than this is not taken: it is more than 10,000 links.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// The kernel answers at once or not at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

const HEADER_BYTES: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS_DUMP: u16 = 0x301;

/// What to ask the kernel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// All network links with their counters.
    Links,
    /// All addresses of all links.
    Addresses,
}

impl Request {
    const fn message_type(self) -> u16 {
        match self {
            Self::Links => 18,
            Self::Addresses => 22,
        }
    }

    /// The request's bytes: the header, then a body of zeros, which says "of any family".
    fn message(self) -> Vec<u8> {
        let body_bytes = match self {
            Self::Links => LINK_BODY_BYTES,
            Self::Addresses => ADDRESS_BODY_BYTES,
        };
        let len = HEADER_BYTES + body_bytes;
        let mut message = Vec::with_capacity(len);
        message.extend_from_slice(&(len as u32).to_ne_bytes());
        message.extend_from_slice(&self.message_type().to_ne_bytes());
        message.extend_from_slice(&FLAGS_DUMP.to_ne_bytes());
        message.resize(len, 0);
        message
    }
}

/// Asks the kernel of this network namespace; its messages stand in `answer`, the last one aside.
pub fn ask(request: Request, answer: &mut Vec<u8>) -> io::Result<()> {
    answer.clear();
    let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    net::send(&socket, &request.message(), SendFlags::empty())?;
    loop {
        let start = answer.len();
        if start > MAX_ANSWER_BYTES {
            return Err(io::Error::other(format!(
                "netlink's answer is larger than {MAX_ANSWER_BYTES} bytes"
            )));
        }
        answer.resize(start + PIECE_BYTES, 0);
        let (_, len) = net::recv(&socket, &mut answer[start..], RecvFlags::empty())?;
        answer.truncate(start + len);
        for message in messages(&answer[start..]) {
            match message.kind {
                DONE => return Ok(()),
                ERROR => {
                    let code = word(message.body, 0).map_or(0, |code| (code as i32).wrapping_neg());
                    return Err(io::Error::from_raw_os_error(code));
                }
                _ => {}
            }
        }
        if len == 0 {
            return Err(io::Error::other("netlink's answer ended early"));
        }
    }
}

/// One message of an answer.
#[derive(Clone, Copy, Debug)]
struct Message<'a> {
    kind: u16,
    body: &'a [u8],
}

/// The messages in `answer`, up to the first that is not whole.
fn messages(answer: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = answer;
    std::iter::from_fn(move || {
        let len = word(rest, 0)? as usize;
        let message = rest.get(..len).filter(|message| message.len() >= HEADER_BYTES)?;
        rest = rest.get(aligned(len)..).unwrap_or(&[]);
        Some(Message { kind: half(message, 4)?, body: &message[HEADER_BYTES..] })
    })
}

/// The attributes in `bytes`: their types and contents.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The two highest bits of a type are flags.
    const TYPE_MASK: u16 = 0x3fff;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = usize::from(half(rest, 0)?);
        let attribute = rest.get(..len).filter(|attribute| attribute.len() >= 4)?;
        rest = rest.get(aligned(len)..).unwrap_or(&[]);
        Some((half(attribute, 2)? & TYPE_MASK, &attribute[4..]))
    })
}

const fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_ne_bytes([b[0], b[1]]))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

const LINK_BODY_BYTES: usize = 16;
const LINK_NAME: u16 = 3;
const LINK_STATS_32: u16 = 7;
const LINK_STATS_64: u16 = 23;

/// A link's counters, in the order of the kernel's `rtnl_link_stats64`.
pub const LINK_COUNTERS: usize = 24;

/// A network link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: &'a [u8],
    /// What it counted; counters that this kernel does not know are zero. `None` when it tells none.
    pub counters: Option<[u64; LINK_COUNTERS]>,
}

/// The links in `answer`. Those without a name are left out.
pub fn links(answer: &[u8]) -> impl Iterator<Item = Link<'_>> {
    messages(answer).filter(|message| message.kind == NEW_LINK).filter_map(|message| {
        let (mut name, mut counters_32, mut counters_64) = (None, None, None);
        for (kind, content) in attributes(message.body.get(LINK_BODY_BYTES..)?) {
            match kind {
                LINK_NAME => name = Some(content.strip_suffix(&[0]).unwrap_or(content)),
                LINK_STATS_32 => counters_32 = Some(counters(content, 4)),
                LINK_STATS_64 => counters_64 = Some(counters(content, 8)),
                _ => {}
            }
        }
        let name = name.filter(|name| !name.is_empty())?;
        Some(Link { index: word(message.body, 4)?, name, counters: counters_64.or(counters_32) })
    })
}

fn counters(content: &[u8], bytes_each: usize) -> [u64; LINK_COUNTERS] {
    let mut counters = [0; LINK_COUNTERS];
    for (counter, bytes) in counters.iter_mut().zip(content.chunks_exact(bytes_each)) {
        let mut wide = [0; 8];
        if bytes_each == 8 {
            wide.copy_from_slice(bytes);
            *counter = u64::from_ne_bytes(wide);
        } else {
            *counter = word(bytes, 0).map_or(0, u64::from);
        }
    }
    counters
}

const ADDRESS_BODY_BYTES: usize = 8;
const ADDRESS_PEER: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link's number.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// How many bits name the network.
    pub prefix_bits: u8,
}

/// The addresses in `answer`.
pub fn addresses(answer: &[u8]) -> impl Iterator<Item = Address> {
    messages(answer).filter(|message| message.kind == NEW_ADDRESS).filter_map(|message| {
        let (mut peer, mut local) = (None, None);
        for (kind, content) in attributes(message.body.get(ADDRESS_BODY_BYTES..)?) {
            match kind {
                ADDRESS_PEER => peer = ip(content),
                ADDRESS_LOCAL => local = ip(content),
                _ => {}
            }
        }
        // On a point-to-point link the plain address is the other side's.
        let address = local.or(peer)?;
        Some(Address { link: word(message.body, 4)?, address, prefix_bits: message.body[1] })
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_kernel_names_the_loopback_link_and_its_address() {
        let mut answer = Vec::new();
        ask(Request::Links, &mut answer).unwrap();
        let lo = links(&answer).find(|link| link.name == b"lo").expect("every machine has lo").clone();
        assert!(lo.counters.is_some());
        let index = lo.index;
        ask(Request::Addresses, &mut answer).unwrap();
        let found: Vec<_> = addresses(&answer).filter(|address| address.link == index).collect();
        assert!(found.iter().any(|a| a.address.is_loopback()), "{found:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            links(&bytes).for_each(drop);
            addresses(&bytes).for_each(drop);
        }

        #[test]
        fn any_body_behind_a_right_header_is_read_without_panic(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            kind in prop_oneof![Just(NEW_LINK), Just(NEW_ADDRESS)],
        ) {
            let mut bytes = ((HEADER_BYTES + body.len()) as u32).to_ne_bytes().to_vec();
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.resize(HEADER_BYTES, 0);
            bytes.extend_from_slice(&body);
            links(&bytes).for_each(drop);
            addresses(&bytes).for_each(drop);
        }
    }
}
