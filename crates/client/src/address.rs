//! Addresses as log lines, errors and pages may say them. Knows no configuration, and asks nobody.

use reqwest::Url;

/// An address without what may be secret in it: who we are, and a query.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These cannot fail for an address that has a host; one without has no password either.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

/// The same of a text that should be an address and is none: what stands before its last `@`, but for a
/// scheme, may be a name and a password, whatever characters they have.
pub fn masked(text: &str) -> String {
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.chars().all(of_scheme) => (format!("{scheme}://"), rest),
        _ => (String::new(), text),
    };
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("<secret>@", rest));
    let query = rest.find(['?', '#']).unwrap_or(rest.len());
    format!("{scheme}{user}{}", &rest[..query])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let shown_as = |text: &str| shown(&Url::parse(text).unwrap());
        assert_eq!(shown_as("http://u:p@h:1/a/?k=v#f"), "http://h:1/a/");
        assert_eq!(shown_as("unix:/run/x?k=v"), "unix:/run/x");
    }

    #[test]
    fn texts_that_are_no_addresses_are_shown_without_secrets() {
        for (text, expected) in [
            ("ftp://u:SECRET@h/", "ftp://<secret>@h/"),
            ("http://u:SE/CR@E?T@h:x/a?token=SECRET", "http://<secret>@h:x/a"),
            ("u:SECRET@http://h", "<secret>@http://h"),
            ("SECRET@h", "<secret>@h"),
            ("h:1/path#SECRET", "h:1/path"),
            ("://h", "://h"),
            ("", ""),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }
}
