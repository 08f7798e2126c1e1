//! Splits a query into tokens. Knows no keywords: which words are keywords depends on where they
//! stand, so the parser decides. Allocates nothing.

use crate::ast::Span;

/// What a token is; its text is that of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword: letters, digits, `_` and `:`.
    Word,
    /// A number, not yet checked.
    Number,
    /// A number with units, not yet checked.
    Duration,
    /// A string with its quotes, whole but with escapes not yet checked.
    String,
    /// An operator or bracket.
    Punct(Punct),
    /// Nothing more.
    End,
}

/// Operators and brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Punct {
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    /// Only between `[` and `]`; elsewhere a colon is part of a name.
    Colon,
    At,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    /// `=`
    Assign,
    /// `==`
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `=~`
    RegexMatch,
    /// `!~`
    RegexNotMatch,
    /// `</`
    TrimUpper,
    /// `>/`
    TrimLower,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// Why no token can be read, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LexError {
    pub(crate) span: Span,
    pub(crate) message: String,
}

/// Hands out the tokens of a text one by one. The text is shorter than 4 GiB. A clone goes on from the
/// same place.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    /// Between `[` and `]`, where a colon stands for itself.
    pub(crate) in_brackets: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, pos: 0, in_brackets: false }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.pos + ahead).copied()
    }

    fn span_from(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.pos as u32 }
    }

    /// The next token; `End` again and again behind the last.
    pub(crate) fn next(&mut self) -> Result<Token, LexError> {
        self.skip_blank();
        let start = self.pos;
        let kind = match self.byte(0) {
            None => Kind::End,
            Some(b':') if self.in_brackets => self.punct(Punct::Colon, 1),
            Some(b) if b == b':' || is_word_start(b) => {
                let in_brackets = self.in_brackets;
                self.skip_while(|b| is_word_byte(b) || (b == b':' && !in_brackets));
                Kind::Word
            }
            Some(b) if b.is_ascii_digit() => self.number_or_duration()?,
            Some(b'.') if self.byte(1).is_some_and(|b| b.is_ascii_digit()) => self.number_or_duration()?,
            Some(quote @ (b'"' | b'\'' | b'`')) => self.string(quote)?,
            Some(b) => self.operator(b)?,
        };
        Ok(Token { kind, span: self.span_from(start) })
    }

    fn skip_blank(&mut self) {
        while let Some(b) = self.byte(0) {
            match b {
                b' ' | b'\t' | b'\n' | b'\r' => self.pos += 1,
                b'#' => self.skip_while(|b| b != b'\n' && b != b'\r'),
                _ => return,
            }
        }
    }

    fn skip_while(&mut self, keep: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.pos..];
        self.pos += rest.iter().position(|b| !keep(*b)).unwrap_or(rest.len());
    }

    fn punct(&mut self, punct: Punct, len: usize) -> Kind {
        self.pos += len;
        Kind::Punct(punct)
    }

    fn operator(&mut self, first: u8) -> Result<Kind, LexError> {
        let (punct, len) = match (first, self.byte(1)) {
            (b'(', _) => (Punct::LeftParen, 1),
            (b')', _) => (Punct::RightParen, 1),
            (b'{', _) => (Punct::LeftBrace, 1),
            (b'}', _) => (Punct::RightBrace, 1),
            (b'[', _) => (Punct::LeftBracket, 1),
            (b']', _) => (Punct::RightBracket, 1),
            (b',', _) => (Punct::Comma, 1),
            (b'@', _) => (Punct::At, 1),
            (b'+', _) => (Punct::Add, 1),
            (b'-', _) => (Punct::Sub, 1),
            (b'*', _) => (Punct::Mul, 1),
            (b'/', _) => (Punct::Div, 1),
            (b'%', _) => (Punct::Mod, 1),
            (b'^', _) => (Punct::Pow, 1),
            (b'=', Some(b'=')) => (Punct::Equal, 2),
            (b'=', Some(b'~')) => (Punct::RegexMatch, 2),
            (b'=', _) => (Punct::Assign, 1),
            (b'!', Some(b'=')) => (Punct::NotEqual, 2),
            (b'!', Some(b'~')) => (Punct::RegexNotMatch, 2),
            (b'<', Some(b'/')) => (Punct::TrimUpper, 2),
            (b'>', Some(b'/')) => (Punct::TrimLower, 2),
            (b'<', Some(b'=')) => (Punct::LessEqual, 2),
            (b'<', _) => (Punct::Less, 1),
            (b'>', Some(b'=')) => (Punct::GreaterEqual, 2),
            (b'>', _) => (Punct::Greater, 1),
            _ => return Err(self.unexpected_character()),
        };
        Ok(self.punct(punct, len))
    }

    fn unexpected_character(&mut self) -> LexError {
        let start = self.pos;
        let c = self.text[start..].chars().next().unwrap_or('\0');
        self.pos += c.len_utf8();
        LexError { span: self.span_from(start), message: format!("unexpected character {c:?}") }
    }

    /// Takes all that may belong to a number or duration; whether it is one is seen when it is read.
    fn number_or_duration(&mut self) -> Result<Kind, LexError> {
        let start = self.pos;
        self.skip_while(|b| is_word_byte(b) || b == b'.');
        let text = &self.text.as_bytes()[start..self.pos];
        let hex = matches!(text, [b'0', b'x' | b'X', ..]);
        if !hex && matches!(text.last(), Some(b'e' | b'E')) && matches!(self.byte(0), Some(b'+' | b'-')) {
            self.pos += 1;
            self.skip_while(|b| is_word_byte(b) || b == b'.');
            return Ok(Kind::Number);
        }
        let has_unit = text.iter().any(|b| matches!(b, b's' | b'm' | b'h' | b'd' | b'w' | b'y'));
        Ok(if has_unit && !hex { Kind::Duration } else { Kind::Number })
    }

    fn string(&mut self, quote: u8) -> Result<Kind, LexError> {
        let start = self.pos;
        self.pos += 1;
        loop {
            match self.byte(0) {
                Some(b) if b == quote => {
                    self.pos += 1;
                    return Ok(Kind::String);
                }
                Some(b'\\') if quote != b'`' && self.byte(1).is_some_and(|b| b != b'\n') => self.pos += 2,
                Some(b'\n') if quote != b'`' => break,
                Some(_) => self.pos += 1,
                None => break,
            }
        }
        let quote = char::from(quote);
        let message = format!("unterminated string: expected a closing {quote}");
        Err(LexError { span: self.span_from(start), message })
    }
}

fn is_word_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

fn is_word_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}
