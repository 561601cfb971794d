//! Takes choices out of the fuzzer's bytes: where they end, everything is zero, so that every input means something.

/// A reader of choices.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// From the beginning.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left to choose.
    pub const fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below this one, which is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Eight bytes as a number.
    pub fn number(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A 32-byte hash.
    pub fn hash(&mut self) -> model::Digest {
        model::Digest::from_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// As many bytes as the next two say, or as are left.
    pub fn slice(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes([self.byte(), self.byte()])).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }
}
