//! `ProtoError`: what is wrong with bytes from outside. Every variant is the sender's fault.

/// Why bytes are not what they should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum ProtoError {
    /// Snappy cannot unpack them.
    #[error("the body is not compressed by snappy: {0}")]
    Snappy(String),
    /// They say that they unpack to more than may be.
    #[error("the body unpacks to {bytes} bytes, more than {max} are not read")]
    TooLong {
        /// What they unpack to.
        bytes: usize,
        /// What may be.
        max: usize,
    },
    /// They are no message.
    #[error("the body is no {message}: {reason}")]
    Message {
        /// Which message they should be.
        message: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A matcher that cannot be.
    #[error("a matcher is not valid: {0}")]
    Matcher(String),
    /// A frame of a stream is cut off or damaged.
    #[error("a frame at byte {offset} of the stream is {wrong}")]
    Frame {
        /// Where the frame begins.
        offset: usize,
        /// What is wrong with it.
        wrong: &'static str,
    },
}
