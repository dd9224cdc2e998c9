//! A packet on its way into a file, and what its comment says.
//!
//! The comment is `judgement reason standing verdict read=N for=M`: the first four words as they were when the packet
//! was judged, the payload bytes that the plugin read, and how many packets this one stands for. What is not known is `-`.

use std::sync::Arc;

use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::time::Instant;

/// The packet.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(super) at: Instant,
    pub(super) link: Link,
    pub(super) passage: Passage,
    pub(super) wire_bytes: u32,
    pub(super) bytes: Box<[u8]>,
    pub(super) says: Says,
}

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Says {
    /// `genuine`, `hostile`, `unknown`, `reply`, or `-`.
    pub(crate) judgement: &'static str,
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) standing: &'static str,
    pub(crate) verdict: &'static str,
    pub(crate) read_bytes: u16,
    pub(crate) stands_for: u32,
}

impl Kept {
    /// As a frame with another time.
    pub(super) fn frame(&self, at: Instant) -> Frame<'_> {
        Frame {
            at,
            link: self.link,
            passage: self.passage,
            bytes: &self.bytes,
            wire_bytes: self.wire_bytes,
            sample_rate: self.says.stands_for.max(1),
        }
    }
}

impl Says {
    /// Payload bytes that may be given away: what the plugin read, and only of hostile packets; the rest may be a
    /// player's.
    pub(crate) fn shareable_bytes(&self) -> usize {
        if self.judgement == "hostile" { usize::from(self.read_bytes) } else { 0 }
    }
}

impl std::fmt::Display for Says {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = self.reason.as_deref().unwrap_or("-");
        let Self { judgement, standing, verdict, read_bytes, stands_for, .. } = self;
        write!(f, "{judgement} {reason} {standing} {verdict} read={read_bytes} for={stands_for}")
    }
}

/// The same of a comment that was read back. What is no comment of ours lets nothing be given away.
pub(crate) fn shareable_bytes(comment: &str) -> usize {
    let mut words = comment.split(' ');
    if words.next() != Some("hostile") {
        return 0;
    }
    words.find_map(|word| word.strip_prefix("read=")).and_then(|read| read.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_comment_says_is_read_back() {
        for (judgement, bytes) in [("hostile", 24), ("genuine", 0), ("unknown", 0), ("reply", 0)] {
            let reason = (judgement == "hostile").then(|| "toy/impossible".into());
            let (standing, verdict) = ("stranger", "limit");
            let says = Says { judgement, reason, standing, verdict, read_bytes: 24, stands_for: 3 };
            assert_eq!((says.shareable_bytes(), shareable_bytes(&says.to_string())), (bytes, bytes));
        }
        let says = Says { judgement: "-", standing: "-", verdict: "-", stands_for: 1, ..Says::default() };
        assert_eq!(says.to_string(), "- - - - read=0 for=1");
        for nonsense in ["", "hostile", "hostile read=x", "hostile read=-1", "read=9"] {
            assert_eq!(shareable_bytes(nonsense), 0, "{nonsense:?}");
        }
    }
}
