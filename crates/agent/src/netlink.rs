//! The part of netlink that collectors need: ask for one of the kernel's tables, read the answer. It
//! never changes anything, and reads any bytes without panicking.

use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{
        self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice,
        netlink as protocols, sockopt,
    },
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
    time::Duration,
};

/// The kernel sends no larger piece of an answer to a reader that offers this much.
const PIECE_BYTES: usize = 32 << 10;
/// An answer larger than this is not taken: it is more than 10,000 links.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// The kernel answers at once or not at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

const HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEAD_BYTES: usize = 4;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const NEW_NEIGHBOUR: u16 = 28;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS_DUMP: u16 = 0x301;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const FLAGS_ONE: u16 = 0x005;

/// The type of the requests that ask which number a generic family has.
const CONTROL: u16 = 16;
/// `CTRL_CMD_GETFAMILY`.
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `SOCK_DIAG_BY_FAMILY`.
const SOCKETS: u16 = 20;
const TCP: u8 = 6;
/// A bit for each state of a TCP socket.
const ALL_TCP_STATES: u32 = 0xfff;

/// What to ask the kernel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// All network links with their counters.
    Links,
    /// All addresses of all links.
    Addresses,
    /// All routes of all tables.
    Routes,
    /// All neighbours that are known.
    Neighbours,
    /// All queueing disciplines of all links.
    Qdiscs,
    /// All TCP sockets of one family of addresses.
    TcpSockets(IpVersion),
    /// The number of a family of generic netlink, by its name.
    Family(&'static str),
    /// A table of a family of generic netlink.
    Generic(Generic),
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A question to a family of generic netlink whose answer is a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generic {
    /// The family's number.
    pub family: u16,
    /// The command.
    pub command: u8,
    /// The type and number of the attribute that chooses what is told, if any.
    pub about: Option<(u16, u32)>,
}

impl Request {
    const fn message_type(self) -> u16 {
        match self {
            Self::Links => 18,
            Self::Addresses => 22,
            Self::Qdiscs => 38,
            Self::TcpSockets(_) => SOCKETS,
            Self::Family(_) => CONTROL,
            Self::Generic(generic) => generic.family,
            Self::Routes => 26,
            Self::Neighbours => 30,
        }
    }

    /// The part of the kernel that answers; nothing says routing.
    const fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Links | Self::Addresses | Self::Neighbours | Self::Qdiscs | Self::Routes => None,
            Self::TcpSockets(_) => Some(protocols::SOCK_DIAG),
            Self::Family(_) | Self::Generic(_) => Some(protocols::GENERIC),
        }
    }

    /// What stands behind the header. Zeros say "of any family".
    fn body(self) -> Vec<u8> {
        match self {
            Self::Links => vec![0; LINK_BODY_BYTES],
            Self::Addresses => vec![0; ADDRESS_BODY_BYTES],
            Self::Routes => vec![0; ROUTE_BODY_BYTES],
            Self::Neighbours => vec![0; NEIGHBOUR_BODY_BYTES],
            Self::Qdiscs => vec![0; QDISC_BODY_BYTES],
            Self::TcpSockets(version) => {
                let family = match version {
                    IpVersion::V4 => AddressFamily::INET,
                    IpVersion::V6 => AddressFamily::INET6,
                };
                let mut body = vec![family.as_raw() as u8, TCP, 0, 0];
                body.extend_from_slice(&ALL_TCP_STATES.to_ne_bytes());
                body.resize(SOCKET_REQUEST_BYTES, 0);
                body
            }
            Self::Family(name) => {
                let mut body = vec![GET_FAMILY, 1, 0, 0];
                push_attribute(&mut body, FAMILY_NAME, &[name.as_bytes(), &[0]].concat());
                body
            }
            Self::Generic(Generic { command, about, .. }) => {
                let mut body = vec![command, 1, 0, 0];
                if let Some((kind, number)) = about {
                    push_attribute(&mut body, kind, &number.to_ne_bytes());
                }
                body
            }
        }
    }

    /// The request's bytes: the header, then the body.
    fn message(self) -> Vec<u8> {
        let body = self.body();
        let flags = if matches!(self, Self::Family(_)) { FLAGS_ONE } else { FLAGS_DUMP };
        message(self.message_type(), flags, &body)
    }
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let len = HEADER_BYTES + body.len();
    let mut message = Vec::with_capacity(len);
    message.extend_from_slice(&(len as u32).to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&flags.to_ne_bytes());
    message.resize(HEADER_BYTES, 0);
    message.extend_from_slice(body);
    message
}

/// A command with one attribute to a family of generic netlink, which is to say whether it obeys.
pub(crate) fn generic_message(family: u16, command: u8, (kind, content): (u16, &[u8])) -> Vec<u8> {
    let mut body = vec![command, 1, 0, 0];
    push_attribute(&mut body, kind, content);
    message(family, FLAGS_ONE, &body)
}

/// Asks the kernel of this network namespace; its messages stand in `answer`, the last one aside.
pub fn ask(request: Request, answer: &mut Vec<u8>) -> io::Result<()> {
    answer.clear();
    let socket = send(request)?;
    loop {
        let told = answer.len();
        if told > MAX_ANSWER_BYTES {
            let text = format!("netlink's answer is larger than {MAX_ANSWER_BYTES} bytes");
            return Err(io::Error::other(text));
        }
        receive(&socket, answer)?;
        if is_last(&answer[told..])? {
            return Ok(());
        }
    }
}

/// As `ask`, but hands on each piece of the answer, which holds whole messages, in `piece`: a table can
/// be larger than what one wants to hold.
pub fn ask_in_pieces(
    request: Request,
    piece: &mut Vec<u8>,
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let socket = send(request)?;
    loop {
        piece.clear();
        receive(&socket, piece)?;
        let last = is_last(piece)?;
        each(piece)?;
        if last {
            return Ok(());
        }
    }
}

/// Sends the request over a socket of its own.
fn send(request: Request) -> io::Result<OwnedFd> {
    let socket =
        net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, request.protocol())?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    net::send(&socket, &request.message(), SendFlags::empty())?;
    Ok(socket)
}

/// Puts one piece of the answer behind what stands in `answer`.
fn receive(socket: &OwnedFd, answer: &mut Vec<u8>) -> io::Result<()> {
    answer.reserve(PIECE_BYTES);
    net::recv(socket, spare_capacity(answer), RecvFlags::empty())?;
    Ok(())
}

/// Whether a piece of an answer is the last one.
pub(crate) fn is_last(piece: &[u8]) -> io::Result<bool> {
    let end = messages(piece).find(|message| matches!(message.kind, DONE | ERROR));
    match end {
        // An error of none, or of nothing, says that all was told.
        Some(end) => match word(end.body, 0).unwrap_or(0) as i32 {
            code if code < 0 => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
            _ => Ok(true),
        },
        None if piece.is_empty() => Err(io::Error::other("netlink's answer ended early")),
        None => Ok(false),
    }
}

/// The names of links; none of one that there is not.
pub fn link_names(indexes: &[u32]) -> io::Result<Vec<Option<String>>> {
    // Any socket will do.
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let name = |index: &u32| match netdevice::index_to_name(&socket, *index) {
        Ok(name) => Ok(Some(name)),
        Err(Errno::NODEV) => Ok(None),
        Err(error) => Err(error.into()),
    };
    indexes.iter().map(name).collect()
}

/// One message of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// Its type.
    pub(crate) kind: u16,
    /// What stands behind its header.
    pub(crate) body: &'a [u8],
}

/// The messages in `answer`, up to the first that is not whole.
pub(crate) fn messages(answer: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = answer;
    std::iter::from_fn(move || {
        let len = word(rest, 0)? as usize;
        let message = rest.get(..len).filter(|message| message.len() >= HEADER_BYTES)?;
        rest = rest.get(aligned(len)..).unwrap_or(&[]);
        Some(Message { kind: half(message, 4)?, body: &message[HEADER_BYTES..] })
    })
}

/// The messages of a type in `answer`.
fn messages_of(answer: &[u8], kind: u16) -> impl Iterator<Item = Message<'_>> {
    messages(answer).filter(move |message| message.kind == kind)
}

/// The attributes in `bytes`: their types and contents.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    raw_attributes(bytes).map(|(kind, whole)| (kind, &whole[ATTRIBUTE_HEAD_BYTES..]))
}

/// The attributes in `bytes`: their types, and all of them, heads too.
fn raw_attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The two highest bits of a type are flags.
    const TYPE_MASK: u16 = 0x3fff;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = usize::from(half(rest, 0)?);
        let attribute = rest.get(..len).filter(|attribute| attribute.len() >= ATTRIBUTE_HEAD_BYTES)?;
        rest = rest.get(aligned(len)..).unwrap_or(&[]);
        Some((half(attribute, 2)? & TYPE_MASK, attribute))
    })
}

const fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// The two bytes at `at`, as a number.
pub(crate) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_ne_bytes([b[0], b[1]]))
}

/// The four bytes at `at`, as a number.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

/// The eight bytes at `at`, as a number.
pub(crate) fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Appends an attribute to a message's body.
pub(crate) fn push_attribute(body: &mut Vec<u8>, kind: u16, content: &[u8]) {
    body.extend_from_slice(&(4 + content.len() as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(content);
    body.resize(aligned(body.len()), 0);
}

/// The family's number, in the answer to `Request::Family`.
pub fn family_number(answer: &[u8]) -> Option<u16> {
    messages_of(answer, CONTROL).find_map(|message| {
        let mut found = attributes(message.body.get(4..)?).filter(|(kind, _)| *kind == FAMILY_ID);
        found.find_map(|(_, content)| half(content, 0))
    })
}

/// The length of a queueing discipline's body, without its attributes.
pub(crate) const QDISC_BODY_BYTES: usize = 20;
const SOCKET_REQUEST_BYTES: usize = 56;

const LINK_BODY_BYTES: usize = 16;
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_STATS_32: u16 = 7;
const LINK_MODE: u16 = 17;
const LINK_KIND: u16 = 18;
const LINK_STATS_64: u16 = 23;
const LINK_PROTOCOLS: u16 = 26;
const LINK_CARRIER: u16 = 33;

/// A link's counters, in the order of the kernel's `rtnl_link_stats64`.
pub const LINK_COUNTERS: usize = 24;

/// A network link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: &'a [u8],
    /// What it is set to and does, as `SIOCGIFFLAGS` says it.
    pub flags: u32,
    /// Whether it has a carrier; 0 if not.
    pub carrier: Option<u8>,
    /// How the link is managed; 0 for the kernel's way.
    pub mode: Option<u8>,
    /// Its hardware address; nothing of one that has none.
    pub address: &'a [u8],
    /// What it counted; counters that this kernel does not know are zero. `None` when it tells none.
    pub counters: Option<[u64; LINK_COUNTERS]>,
    /// All that the kernel says of it.
    message: &'a [u8],
}

impl<'a> Link<'a> {
    /// What the kernel says of it, in pieces, but for what it counts, what its kind of link says, and
    /// protocols.
    pub(crate) fn state(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (head, rest) = self.message.split_at_checked(LINK_BODY_BYTES).unwrap_or_default();
        let is_moving = |kind| [LINK_STATS_32, LINK_STATS_64, LINK_KIND, LINK_PROTOCOLS].contains(&kind);
        let attributes = raw_attributes(rest).filter(move |(kind, _)| !is_moving(*kind));
        std::iter::once(head).chain(attributes.map(|(_, whole)| whole))
    }
}

/// The links in `answer`. Those without a name are left out.
pub fn links(answer: &[u8]) -> impl Iterator<Item = Link<'_>> {
    messages_of(answer, NEW_LINK).filter_map(|message| {
        let (mut name, mut counters_32, mut counters_64) = (None, None, None);
        let (mut carrier, mut mode, mut address) = (None, None, &[][..]);
        for (kind, content) in attributes(message.body.get(LINK_BODY_BYTES..)?) {
            match kind {
                LINK_ADDRESS => address = content,
                LINK_NAME => name = Some(content.strip_suffix(&[0]).unwrap_or(content)),
                LINK_MODE => mode = content.first().copied(),
                LINK_CARRIER => carrier = content.first().copied(),
                LINK_STATS_32 => counters_32 = Some(counters(content, 4)),
                LINK_STATS_64 => counters_64 = Some(counters(content, 8)),
                _ => {}
            }
        }
        let name = name.filter(|name| !name.is_empty())?;
        let (index, flags) = (word(message.body, 4)?, word(message.body, 8)?);
        let counters = counters_64.or(counters_32);
        Some(Link { index, name, flags, carrier, mode, address, counters, message: message.body })
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
    messages_of(answer, NEW_ADDRESS).filter_map(|message| {
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

const ROUTE_BODY_BYTES: usize = 12;
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_LINK: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_PRIORITY: u16 = 6;
const ROUTE_SOURCE: u16 = 7;
const ROUTE_HOPS: u16 = 9;
const HOP_BYTES: usize = 8;

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Its type, such as 1 for one to a machine or a network.
    pub kind: u8,
    /// The number of who made it.
    pub protocol: u8,
    /// Where it leads; `None` for anywhere.
    pub destination: Option<IpAddr>,
    /// How many bits of the destination count.
    pub prefix_bits: u8,
    /// The address that packets are sent from, when the route says so.
    pub source: Option<IpAddr>,
    /// The next machine on the way.
    pub gateway: Option<IpAddr>,
    /// The number of the link that it goes through; 0 when it has hops.
    pub link: u32,
    /// Its priority; a lower one is preferred.
    pub priority: u32,
    /// The ways that it is spread over.
    pub hops: Vec<Hop>,
}

/// One of several ways of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The link's number.
    pub link: u32,
    /// The next machine on the way.
    pub gateway: Option<IpAddr>,
    /// Its share.
    pub weight: u32,
}

/// The routes in `answer`.
pub fn routes(answer: &[u8]) -> impl Iterator<Item = Route> {
    messages_of(answer, NEW_ROUTE).filter_map(|message| {
        let attributes_bytes = message.body.get(ROUTE_BODY_BYTES..)?;
        let mut route = Route {
            kind: message.body[7],
            protocol: message.body[5],
            prefix_bits: message.body[1],
            ..Route::default()
        };
        for (kind, content) in attributes(attributes_bytes) {
            match kind {
                ROUTE_DESTINATION => route.destination = ip(content),
                ROUTE_LINK => route.link = word(content, 0).unwrap_or(0),
                ROUTE_GATEWAY => route.gateway = ip(content),
                ROUTE_PRIORITY => route.priority = word(content, 0).unwrap_or(0),
                ROUTE_SOURCE => route.source = ip(content),
                ROUTE_HOPS => route.hops = hops(content).collect(),
                _ => {}
            }
        }
        Some(route)
    })
}

fn hops(bytes: &[u8]) -> impl Iterator<Item = Hop> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = usize::from(half(rest, 0)?);
        let hop = rest.get(..len).filter(|hop| hop.len() >= HOP_BYTES)?;
        rest = rest.get(aligned(len)..).unwrap_or(&[]);
        let mut found = attributes(&hop[HOP_BYTES..]);
        let gateway = found.find_map(|(kind, content)| (kind == ROUTE_GATEWAY).then(|| ip(content))?);
        Some(Hop { link: word(hop, 4)?, gateway, weight: u32::from(hop[3]) + 1 })
    })
}

const NEIGHBOUR_BODY_BYTES: usize = 12;
/// `NUD_NOARP`.
const STATE_NO_ARP: u16 = 0x40;
/// `AF_INET`.
const FAMILY_V4: u8 = 2;

/// The numbers of the links of all IPv4 neighbours in `answer`, as `/proc/net/arp` shows them: without those
/// that are never asked for.
pub fn arp_neighbours(answer: &[u8]) -> impl Iterator<Item = u32> {
    messages_of(answer, NEW_NEIGHBOUR).filter_map(|message| {
        let is_arp = message.body.first() == Some(&FAMILY_V4) && half(message.body, 8)? & STATE_NO_ARP == 0;
        word(message.body, 4).filter(|_| is_arp)
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
        assert_eq!(link_names(&[index, u32::MAX]).unwrap(), [Some("lo".to_owned()), None]);
        ask(Request::Addresses, &mut answer).unwrap();
        let found: Vec<_> = addresses(&answer).filter(|address| address.link == index).collect();
        assert!(found.iter().any(|a| a.address.is_loopback()), "{found:?}");
    }

    #[test]
    fn the_kernel_names_its_families() {
        let mut answer = Vec::new();
        ask(Request::Family("nlctrl"), &mut answer).unwrap();
        assert_eq!(family_number(&answer), Some(CONTROL));
        let error = ask(Request::Family("no such family"), &mut answer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }

    #[test]
    fn an_answer_can_be_taken_in_pieces() {
        let (mut whole, mut pieces, mut piece) = (Vec::new(), Vec::new(), Vec::new());
        ask(Request::Addresses, &mut whole).unwrap();
        ask_in_pieces(Request::Addresses, &mut piece, &mut |piece| {
            pieces.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        assert_eq!(addresses(&whole).collect::<Vec<_>>(), addresses(&pieces).collect::<Vec<_>>());
        let refused = ask_in_pieces(Request::Links, &mut piece, &mut |_| Err(io::Error::other("enough")));
        assert_eq!(refused.unwrap_err().to_string(), "enough");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            links(&bytes).for_each(drop);
            addresses(&bytes).for_each(drop);
            family_number(&bytes);
            routes(&bytes).for_each(drop);
            arp_neighbours(&bytes).for_each(drop);
        }

        #[test]
        fn any_body_behind_a_right_header_is_read_without_panic(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            kind in prop_oneof![
                Just(NEW_LINK),
                Just(NEW_ADDRESS),
                Just(NEW_ROUTE),
                Just(NEW_NEIGHBOUR),
                Just(CONTROL),
            ],
        ) {
            let mut bytes = ((HEADER_BYTES + body.len()) as u32).to_ne_bytes().to_vec();
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.resize(HEADER_BYTES, 0);
            bytes.extend_from_slice(&body);
            links(&bytes).for_each(drop);
            addresses(&bytes).for_each(drop);
            family_number(&bytes);
            routes(&bytes).for_each(drop);
            arp_neighbours(&bytes).for_each(drop);
        }
    }
}
