//! The head of a TCP stream as the host keeps it: contiguous from the first byte, retransmissions merged.

use std::collections::BTreeMap;

/// The head of one client's stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamHead {
    wanted: usize,
    bytes: Vec<u8>,
    early: BTreeMap<usize, Vec<u8>>,
    gap: bool,
}

impl StreamHead {
    pub(crate) fn new(wanted: u16) -> Self {
        Self { wanted: usize::from(wanted), ..Self::default() }
    }

    /// Takes in the captured part of a segment that was `len` bytes long.
    pub(crate) fn take(&mut self, offset: usize, captured: &[u8], len: usize) {
        if captured.len() < len && offset + captured.len() < self.wanted {
            // What was cut away may be sent again, but nobody promises it.
            self.gap = true;
        }
        self.early.insert(offset, captured.to_vec());
        while let Some((&offset, _)) = self.early.range(..=self.bytes.len()).next() {
            let Some(segment) = self.early.remove(&offset) else { break };
            let new = segment.get(self.bytes.len() - offset..).unwrap_or_default();
            self.bytes.extend_from_slice(new);
        }
        self.bytes.truncate(self.wanted);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.bytes.len() >= self.wanted
    }

    pub(crate) fn has_gap(&self) -> bool {
        !self.is_complete() && (self.gap || !self.early.is_empty())
    }
}
