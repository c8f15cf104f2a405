//! What does an item weigh?
//!
//! A tank bounds weight, not count: bytes for byte items, 1 for items, or
//! whatever a closure says.
//!
//! # Knows / never knows
//! Knows items one at a time. Never knows tanks or marks.

use std::borrow::Cow;

/// 1,024, for marks: `Tank::bytes(64 * KIB)`.
pub const KIB: usize = 1024;
/// 1,048,576, for marks: `Tank::bytes(MIB)`.
pub const MIB: usize = 1024 * KIB;

/// Has a weight in bytes.
///
/// A type of your own says it in a line, or leaves it to a closure:
/// `Tank::weighed(mark, |job: &Job| job.body.len())`.
///
/// ```
/// use standpipe::{KIB, Tank, Weigh};
///
/// struct Job { body: Vec<u8>, to: String }
///
/// impl Weigh for Job {
///     fn weight(&self) -> usize { self.body.len() + self.to.len() }
/// }
///
/// let (writable, _readable) = Tank::bytes(64 * KIB).build::<Job>();
/// writable.write(Job { body: vec![0; 1000], to: "you".to_owned() }).ok();
/// assert_eq!(writable.level(), 1003);
/// ```
///
/// The weight is the payload. What a queue adds per item (the size of the
/// handle itself) is not in it: a tank of one-byte items costs more than its
/// mark says, so batch small items, or weigh them with
/// [`Tank::weighed`](crate::tank::Tank::weighed).
#[diagnostic::on_unimplemented(
    message = "a tank of bytes does not know what a `{Self}` weighs",
    note = "say it with `Tank::weighed(mark, |item: &{Self}| …)`, implement `Weigh`, or count with `Tank::items`"
)]
pub trait Weigh {
    /// Its bytes. Asked when the item goes in and when it leaves, and perhaps in
    /// between: it has to be quick and to say the same each time.
    fn weight(&self) -> usize;
}

macro_rules! weigh_by_len {
    ($($type:ty),* $(,)?) => { $(
        impl Weigh for $type {
            fn weight(&self) -> usize { self.len() }
        }
    )* };
}

weigh_by_len!(
    bytes::Bytes,
    bytes::BytesMut,
    Vec<u8>,
    Box<[u8]>,
    std::sync::Arc<[u8]>,
    &[u8],
    String,
    Box<str>,
    &str,
    Cow<'_, str>,
    Cow<'_, [u8]>,
);

/// How one tank weighs: 1 each without a call, or by a function.
pub(crate) enum Scale<T> {
    One,
    By(Box<WeighFn<T>>),
}

/// A weight function behind a pointer.
pub(crate) type WeighFn<T> = dyn Fn(&T) -> usize + Send + Sync;

impl<T> Scale<T> {
    pub(crate) fn new(weigh: Option<Box<WeighFn<T>>>) -> Self {
        weigh.map_or(Self::One, Self::By)
    }

    /// The weight of `item`.
    #[inline]
    pub(crate) fn weigh(&self, item: &T) -> usize {
        match self {
            Self::One => 1,
            Self::By(weigh) => weigh(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_items_weigh_their_payload() {
        assert_eq!(bytes::Bytes::from_static(b"four").weight(), 4);
        assert_eq!(vec![0_u8; 9].weight(), 9);
        assert_eq!(String::from("€").weight(), 3, "bytes, not characters");
        assert_eq!("".weight(), 0);
    }
}
