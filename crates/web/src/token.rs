//! Bearer tokens: which scopes a token has. Keeps digests only.

use crate::config::{Scope, TokenConfig};
use ring::digest;
use skopos_base::secret::Secret;

type Digest = [u8; 32];

/// The tokens in force.
#[derive(Default)]
pub(crate) struct Tokens(Vec<Token>);

struct Token {
    digest: Digest,
    scopes: Vec<Scope>,
}

impl Tokens {
    /// The tokens of the file; `read` reads a token's own file. One without a character is refused: whoever
    /// sends nothing would have it. A file that is being written anew is empty for a moment.
    pub(crate) fn load(
        configs: &[TokenConfig],
        read: impl Fn(&TokenConfig) -> Result<Secret<String>, String>,
    ) -> Result<Self, String> {
        let token = |config: &TokenConfig| {
            let digest = match digest_of_hex(&config.sha256) {
                Some(digest) => digest,
                None => digest_of(read(config)?.expose().trim()),
            };
            if digest == digest_of("") {
                let (name, file) = (&config.name, config.token_file.display());
                let place = if config.sha256.is_empty() { format!("{file}") } else { "sha256".to_owned() };
                return Err(format!("the token {name:?} is empty ({place}): write one"));
            }
            Ok(Token { digest, scopes: config.scopes.clone() })
        };
        configs.iter().map(token).collect::<Result<_, String>>().map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What `token` may do; none when nobody knows it. Takes as long whatever the answer is.
    pub(crate) fn scopes(&self, token: &str) -> Option<&[Scope]> {
        let given = digest_of(token);
        let mut found = None;
        for token in &self.0 {
            if same(&token.digest, &given) {
                found = Some(token.scopes.as_slice());
            }
        }
        found
    }
}

/// Compares without leaving early.
fn same(a: &Digest, b: &Digest) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn digest_of(token: &str) -> Digest {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("invariant: SHA-256 has 32 bytes")
}

/// The digest written as 64 hexadecimal digits.
pub(crate) fn digest_of_hex(hex: &str) -> Option<Digest> {
    let mut out = [0; 32];
    if hex.len() != 2 * out.len() || !hex.is_ascii() {
        return None;
    }
    for (byte, digits) in out.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_scopes_of_its_digest_or_file() {
        let config = |sha256: &str, scopes: &[Scope]| TokenConfig {
            name: "t".into(),
            scopes: scopes.to_vec(),
            sha256: sha256.into(),
            token_file: "f".into(),
        };
        // SHA-256 of "abc", from FIPS 180-2.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let configs = [config(abc, &[Scope::Read]), config("", &[Scope::Write])];
        let read = |_: &TokenConfig| Ok(Secret::new("from the file\n".to_owned()));
        let tokens = Tokens::load(&configs, read).unwrap();
        assert_eq!(tokens.scopes("abc"), Some(&[Scope::Read][..]));
        assert_eq!(tokens.scopes("from the file"), Some(&[Scope::Write][..]));
        assert_eq!((tokens.scopes("abd"), tokens.scopes("")), (None, None));
    }

    #[test]
    fn an_empty_token_is_none() {
        // SHA-256 of nothing.
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (sha256, file) in [(nothing, "abc"), ("", ""), ("", " \n")] {
            let config = TokenConfig {
                name: "t".into(),
                scopes: vec![Scope::Admin],
                sha256: sha256.into(),
                token_file: "f".into(),
            };
            let loaded = Tokens::load(&[config], |_| Ok(Secret::new(file.to_owned())));
            let error = loaded.err().expect("refused");
            assert!(error.contains("the token \"t\" is empty"), "{error}");
        }
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        assert_eq!(digest_of_hex(&"0f".repeat(32)), Some([15; 32]));
        for wrong in ["", "0f", &"0g".repeat(32), &"+f".repeat(32), &"ü".repeat(32)] {
            assert_eq!(digest_of_hex(wrong), None, "{wrong}");
        }
    }
}
