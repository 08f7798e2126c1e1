//! Part of `ethtool`: the modes of network links, by generic netlink. It reads any bytes without panicking.

use crate::netlink::{Generic, attributes, messages, word};

/// The name of the family.
pub(crate) const FAMILY: &str = "ethtool";

const GET_LINK_MODES: u8 = 4;

const HEADER: u16 = 1;
const AUTONEGOTIATION: u16 = 2;
const OURS: u16 = 3;

const DEVICE_NAME: u16 = 2;

const BITSET_BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_INDEX: u16 = 1;
const BIT_VALUE: u16 = 3;

/// Behind the header of generic netlink stand attributes.
const GENERIC_HEADER_BYTES: usize = 4;
/// Families that are not the kernel's own have numbers from here on.
const FIRST_FAMILY: u16 = 17;

/// Asks for the modes of all devices' links.
pub(crate) const fn request(family: u16) -> Generic {
    Generic { family, command: GET_LINK_MODES, about: None }
}

/// The modes of a network link: the first 32 of the kernel's `ethtool_link_mode_bit_indices`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkModes {
    /// The device.
    pub(crate) device: String,
    /// What it can do.
    pub(crate) supported: u32,
    /// What it offers to the other side.
    pub(crate) advertised: u32,
    /// Whether both sides agree by themselves.
    pub(crate) autonegotiates: bool,
}

/// The modes in `answer`. Those of a device without a name are left out.
pub(crate) fn link_modes(answer: &[u8]) -> impl Iterator<Item = LinkModes> {
    messages(answer).filter(|message| message.kind >= FIRST_FAMILY).filter_map(|message| {
        let mut modes = LinkModes::default();
        for (kind, content) in attributes(message.body.get(GENERIC_HEADER_BYTES..)?) {
            match kind {
                HEADER => modes.device = name_in(content)?,
                AUTONEGOTIATION => modes.autonegotiates = content == [1],
                OURS => read_bits(content, &mut modes),
                _ => {}
            }
        }
        (!modes.device.is_empty()).then_some(modes)
    })
}

fn name_in(header: &[u8]) -> Option<String> {
    let (_, name) = attributes(header).find(|(kind, _)| *kind == DEVICE_NAME)?;
    Some(String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned())
}

/// The bits that stand there are supported; those with a value are offered, too.
fn read_bits(bitset: &[u8], modes: &mut LinkModes) {
    let bits =
        attributes(bitset).filter(|(kind, _)| *kind == BITSET_BITS).flat_map(|(_, bits)| attributes(bits));
    for (_, bit) in bits.filter(|(kind, _)| *kind == BIT) {
        let index =
            attributes(bit).find(|(kind, _)| *kind == BIT_INDEX).and_then(|(_, index)| word(index, 0));
        let Some(flag) = index.and_then(|index| 1_u32.checked_shl(index)) else { continue };
        modes.supported |= flag;
        if attributes(bit).any(|(kind, _)| kind == BIT_VALUE) {
            modes.advertised |= flag;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_body_behind_a_right_header_is_read_without_panic(
            body in proptest::collection::vec(prop_oneof![0_u8..9, any::<u8>()], 0..300),
        ) {
            let mut bytes = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
            bytes.extend_from_slice(&28_u16.to_ne_bytes());
            bytes.resize(16, 0);
            bytes.extend_from_slice(&body);
            link_modes(&bytes).for_each(drop);
        }
    }
}
