//! What flows: bytes or numbered items, and their sums.

use bytes::Bytes;

/// An item of the streams under test.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) data: Data,
    /// The write it came by, counted by the script.
    pub(crate) write: Option<usize>,
}

/// What is in a chunk.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// Weighs its length in a tank of bytes.
    Bytes(Bytes),
    /// Weighs 1 in a tank of items.
    Item(u64),
}

impl Chunk {
    pub(crate) const fn new(data: Data) -> Self {
        Self { data, write: None }
    }

    /// A chunk that a transform or an `unshift` makes up.
    pub(crate) fn made_up(items: bool, v: u64) -> Self {
        Self::new(if items { Data::Item(v) } else { Data::Bytes(vec![low(v); len(v)].into()) })
    }

    /// No bytes at all: a tank would hold it, a readable half of Node does not.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(&self.data, Data::Bytes(bytes) if bytes.is_empty())
    }

    /// Its number in traces: the length, or the item itself.
    pub(crate) fn v(&self) -> u64 {
        match &self.data {
            Data::Bytes(bytes) => count(bytes.len()),
            Data::Item(v) => *v,
        }
    }
}

/// The chunks of one producer, its bytes numbered through.
#[derive(Debug, Default)]
pub(crate) struct Maker {
    next_byte: u64,
}

impl Maker {
    pub(crate) fn make(&mut self, items: bool, v: u64) -> Chunk {
        if items {
            return Chunk::new(Data::Item(v));
        }
        let end = self.next_byte.saturating_add(v);
        let bytes: Vec<u8> = (self.next_byte..end).map(low).collect();
        self.next_byte = end;
        Chunk::new(Data::Bytes(bytes.into()))
    }
}

/// Chunks that arrived somewhere: how many, how heavy, which.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) count: u64,
    pub(crate) total: u64,
    hash: u32,
}

impl Default for Arrived {
    fn default() -> Self {
        Self { count: 0, total: 0, hash: 0x811c_9dc5 } // the offset of FNV-1a
    }
}

impl Arrived {
    /// Adds what came together; it counts as one.
    pub(crate) fn add<'a>(&mut self, parts: impl IntoIterator<Item = &'a Data>) {
        self.count = self.count.saturating_add(1);
        for part in parts {
            match part {
                Data::Bytes(bytes) => {
                    self.total = self.total.saturating_add(count(bytes.len()));
                    self.mix(bytes);
                }
                Data::Item(v) => {
                    self.total = self.total.saturating_add(1);
                    let [a, b, c, d, ..] = v.to_le_bytes();
                    self.mix(&[a, b, c, d]);
                }
            }
        }
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    pub(crate) fn sum(&self) -> String {
        format!("{:08x}", self.hash)
    }
}

/// The low 8 bits.
pub(crate) fn low(v: u64) -> u8 {
    let [low, ..] = v.to_le_bytes();
    low
}

/// A count as traces have it.
pub(crate) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A size as Rust has it.
pub(crate) fn len(v: u64) -> usize {
    usize::try_from(v).unwrap_or(usize::MAX)
}

/// Numbers, joined by commas.
pub(crate) fn list<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> String {
    chunks.into_iter().map(|chunk| chunk.v().to_string()).collect::<Vec<_>>().join(",")
}
