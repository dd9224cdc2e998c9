//! A keyed hash for our tables: fast, and not to be steered by who chooses addresses and ports.
//!
//! Folded multiplication over 64-bit words. Not cryptographic; a set holds a bounded number of places, so even
//! a collision costs a few comparisons and a stranger's memory, never time.

/// The two secrets of an engine's tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashKey {
    a: u64,
    b: u64,
}

/// Multiplies to 128 bits and folds the halves.
const fn fold(x: u64, y: u64) -> u64 {
    let wide = (x as u128).wrapping_mul(y as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

impl HashKey {
    /// Secrets from one number; odd digits of pi and e keep a zero seed from degenerating.
    pub(crate) const fn new(seed: u64) -> Self {
        let a = fold(seed ^ 0x243f_6a88_85a3_08d3, 0x9e37_79b9_7f4a_7c15);
        let b = fold(seed ^ 0xb7e1_5162_8aed_2a6b, 0x13198a2e_03707345);
        Self { a, b }
    }

    /// The hash of these words.
    pub(crate) fn hash<const N: usize>(self, words: [u64; N]) -> u64 {
        let mut sum = self.a;
        let mut at = 0;
        while at < N {
            let next = if at + 1 < N { words[at + 1] } else { 0x4528_21e6_38d0_1377 };
            sum = fold(words[at] ^ sum, next ^ self.b).wrapping_add(sum.rotate_left(23));
            at += 2;
        }
        fold(sum, self.b | 1)
    }
}

/// A key of one of our tables.
pub(crate) trait Key: Copy + Eq {
    /// Its hash under the secrets.
    fn hash(&self, key: HashKey) -> u64;
}
