//! Whether players come through an attack: what they sent, as the samples tell, against what the kernel let through in
//! lanes.
//!
//! What must stay true: it says nothing where all passed in their lanes. It is an estimate: samples that are lost and
//! others who have lanes make it smaller, and what passed without its lane makes it larger.

/// Since an attack on one service began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Escort {
    sent: u64,
    lane: u64,
    dropped: u64,
    /// Sent since the kernel's counters were last read.
    sent_now: u64,
}

impl Escort {
    /// A player's packet was sampled, which stands for so many.
    pub(crate) fn sends(&mut self, weight: u32) {
        self.sent_now += u64::from(weight);
    }

    /// The kernel's counters were read: so many packets passed in lanes and were dropped since the last time.
    pub(crate) fn counted(&mut self, lane: u64, dropped: u64) {
        self.sent += std::mem::take(&mut self.sent_now);
        self.lane += lane;
        self.dropped += dropped;
    }

    /// Players' packets that were dropped, about.
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.lane).min(self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent: u32, lane: u64, dropped: u64) -> u64 {
        let mut escort = Escort::default();
        escort.sends(sent);
        escort.counted(lane, dropped);
        escort.lost()
    }

    #[test]
    fn only_what_was_sent_did_not_pass_and_was_dropped_is_lost() {
        assert_eq!(check(100, 60, 1_000), 40);
        assert_eq!(check(100, 100, 1_000), 0, "all passed");
        assert_eq!(check(100, 300, 1_000), 0, "others have lanes too");
        assert_eq!(check(100, 60, 0), 0, "nothing was dropped");
        assert_eq!(check(100, 0, 7), 7);
    }
}
