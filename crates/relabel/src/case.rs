//! Upper and lower case as Go has them: a character becomes one character, where Unicode's full mapping may
//! make several of it.

/// In lower case.
pub(crate) fn lower(text: &str) -> String {
    // The one whose full mapping is two.
    text.chars().map(|c| if c == 'İ' { 'i' } else { only(c.to_lowercase(), c) }).collect()
}

/// In upper case.
pub(crate) fn upper(text: &str) -> String {
    text.chars().map(|c| only(c.to_uppercase(), titled(c))).collect()
}

/// The one character of a mapping; `otherwise` where there are several.
fn only(mut mapped: impl Iterator<Item = char>, otherwise: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => otherwise,
    }
}

/// The letters of polytonic Greek with an iota below have a single one for their upper case, with the iota
/// beside; others whose upper case are several letters have none.
fn titled(c: char) -> char {
    let further = match c as u32 {
        0x1F80..=0x1F87 | 0x1F90..=0x1F97 | 0x1FA0..=0x1FA7 => 8,
        0x1FB3 | 0x1FC3 | 0x1FF3 => 9,
        _ => 0,
    };
    char::from_u32(c as u32 + further).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_stays_one() {
        for (text, in_lower, in_upper) in [
            ("Abc-9", "abc-9", "ABC-9"),
            ("Straße", "straße", "STRAßE"),
            ("İı", "iı", "İI"),
            ("ÄÖ√ßŉ", "äö√ßŉ", "ÄÖ√ßŉ"),
            ("ᾀᾳΣς", "ᾀᾳσς", "ᾈᾼΣΣ"),
            ("ǆ", "ǆ", "Ǆ"),
        ] {
            assert_eq!((lower(text).as_str(), upper(text).as_str()), (in_lower, in_upper), "{text}");
        }
    }
}
