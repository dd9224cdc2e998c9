//! One conversation of a client with a service, and the bounded table of them.

pub(crate) mod tcp;

use crate::hash::HashKey;
use crate::hash::Key;
use crate::limits;
use crate::manifest::Class;
use crate::service::Transport;
use crate::standing::Standing;
use crate::table::Hold;
use crate::table::Ref;
use crate::table::Settled;
use crate::table::Tenant;
use crate::time::Instant;
use crate::wire::Address;
use tcp::TcpState;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub(crate) struct FlowKey {
    pub(crate) client: Address,
    pub(crate) server: Address,
    pub(crate) client_port: u16,
    pub(crate) server_port: u16,
    pub(crate) transport: Transport,
}

impl Key for FlowKey {
    fn hash(&self, key: HashKey) -> u64 {
        let ports = u64::from(self.client_port) << 32
            | u64::from(self.server_port) << 16
            | u64::from(self.transport.number());
        key.hash([self.client.low, self.client.high, self.server.low, self.server.high, ports])
    }
}

/// A proven flow that has been silent for so long makes room for a stranger.
const IDLE_MS: u64 = 60_000;
/// An ICMP error comes for one of so many packets that the server sent last.
const REFUSED_LATE: u32 = 64;
/// The server "sent with no client packet just before" if there was none for so long.
const JUST_BEFORE_MS: u64 = 20;

/// A reason and how often it was given: the index of the plugin's reason, or of the host's behind `HOST_REASON`.
pub(crate) type ReasonCounts = [(u16, u32); limits::REASONS_KEPT];

/// Counts one more of `reason`; false if there was no room for it.
pub(crate) fn count_reason(counts: &mut ReasonCounts, reason: u16) -> bool {
    for (kept, count) in counts.iter_mut() {
        if *kept == reason || *count == 0 {
            *kept = reason;
            *count = count.saturating_add(1);
            return true;
        }
    }
    false
}

/// Opinions by judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Judged genuine.
    pub genuine: u32,
    /// Judged hostile.
    pub hostile: u32,
    /// Not judged.
    pub unknown: u32,
}

impl Tally {
    /// All of them.
    pub fn sum(&self) -> u32 {
        self.genuine.saturating_add(self.hostile).saturating_add(self.unknown)
    }
}

/// What was done about a flow; later ones are harder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Let through.
    #[default]
    Pass,
    /// Let through, with hostile packets seen.
    Watch,
    /// Shared the strangers' limit.
    Limit,
    /// Dropped by its shape or by a lease.
    Drop,
}

impl Verdict {
    /// Lower case, as people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Watch => "watch",
            Self::Limit => "limit",
            Self::Drop => "drop",
        }
    }
}

/// Everything known of one flow. What each packet needs stands first, beside the key, in three cache lines.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Flow {
    pub(crate) note: u64,
    pub(crate) client_seen: Instant,
    pub(crate) began: Instant,
    pub(crate) source: Ref,
    pub(crate) from_client: u32,
    pub(crate) from_server: u32,
    pub(crate) site: u32,
    /// The plugin that wrote the note.
    pub(crate) tag: u32,
    pub(crate) batch: u32,
    /// The second in which the client was last seen, its packets in it, and its usual rate.
    client_second: u32,
    pub(crate) tally: Tally,
    pub(crate) standing: Settled<Standing>,
    /// Stream head slot + 1; 0 for none.
    pub(crate) head: u32,
    pub(crate) row: u16,
    pub(crate) transport: Transport,
    pub(crate) first_seen: bool,
    pub(crate) both_ways: bool,
    pub(crate) head_done: bool,
    pub(crate) echoed: bool,
    pub(crate) in_lanes: bool,
    /// It proved itself in an attack of real clients, and has shown no more since.
    pub(crate) came_with_bots: bool,
    /// It was counted in this second among those who are served.
    pub(crate) served: bool,
    /// Another connection began on these ports, and the plugin has not been told yet.
    pub(crate) begun_again: bool,
    /// As what its source and service count it among those who are present.
    pub(crate) counted: Standing,
    pub(crate) verdict: Verdict,
    pub(crate) play_seconds: u8,
    /// The same, but only those in peace.
    pub(crate) peaceful_play_seconds: u8,
    /// It was proven and then sent something hostile; its source knows.
    pub(crate) turned_hostile: bool,
    pub(crate) unasked_seconds: u8,
    pub(crate) client_seconds: u8,
    in_second: u32,
    pub(crate) usual_pps: u32,
    pub(crate) tcp: TcpState,
    play_second: u32,
    unasked_second: u32,
    /// Of the server's packets, those that ICMP errors came for or are too old for one.
    refused: u32,
    pub(crate) reasons: ReasonCounts,
}

/// Seconds since the start, for counting different ones; never 0.
pub(crate) fn second_of(at: Instant) -> u32 {
    (at.as_micros() / 1_000_000) as u32 + 1
}

impl Flow {
    pub(crate) fn new(site: u32, source: Ref, transport: Transport, at: Instant, epoch: u32) -> Self {
        Self {
            note: 0,
            began: at,
            client_seen: Instant::START,
            from_client: 0,
            from_server: 0,
            site,
            source,
            standing: Settled::new(Standing::Stranger, epoch),
            tcp: TcpState::default(),
            tag: 0,
            head: 0,
            batch: 0,
            row: 0,
            transport,
            first_seen: false,
            both_ways: false,
            head_done: false,
            echoed: false,
            in_lanes: false,
            came_with_bots: false,
            served: false,
            counted: Standing::Stranger,
            begun_again: false,
            verdict: Verdict::Pass,
            play_seconds: 0,
            peaceful_play_seconds: 0,
            turned_hostile: false,
            unasked_seconds: 0,
            client_seconds: 0,
            play_second: 0,
            unasked_second: 0,
            refused: 0,
            client_second: 0,
            in_second: 0,
            usual_pps: 0,
            tally: Tally::default(),
            reasons: ReasonCounts::default(),
        }
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.transport == Transport::Tcp
    }

    /// Packets of the client in this second so far.
    pub(crate) fn in_second(&self) -> u32 {
        self.in_second
    }

    /// The contract's `state` bits.
    pub(crate) fn state(&self) -> u8 {
        u8::from(self.first_seen) | u8::from(self.both_ways) << 1 | u8::from(self.tcp.handshake_done()) << 2
    }

    /// A packet of the client, standing for `weight`. Learns its usual rate unless `under_attack`.
    pub(crate) fn client_packet(&mut self, at: Instant, weight: u32, under_attack: bool) {
        self.from_client = self.from_client.saturating_add(1);
        self.both_ways |= self.from_server > 0;
        self.client_seen = self.client_seen.max(at);
        let second = second_of(at);
        if second != self.client_second {
            self.client_seconds = self.client_seconds.saturating_add(1);
            if !under_attack {
                self.usual_pps += self.in_second.saturating_sub(self.usual_pps).div_ceil(4);
                self.usual_pps -= self.usual_pps.saturating_sub(self.in_second) / 16;
            }
            self.client_second = second;
            self.in_second = 0;
            self.served = false;
        }
        self.in_second = self.in_second.saturating_add(weight);
    }

    /// A packet of the server. What it sends during an attack settles nobody.
    pub(crate) fn server_packet(&mut self, at: Instant, under_attack: bool) {
        self.from_server = self.from_server.saturating_add(1);
        self.both_ways |= self.from_client > 0;
        let second = second_of(at);
        let unasked = at.millis_since(self.client_seen) >= JUST_BEFORE_MS;
        if unasked && !under_attack && self.from_client > 0 && second != self.unasked_second {
            self.unasked_second = second;
            self.unasked_seconds = self.unasked_seconds.saturating_add(1);
        }
    }

    /// An ICMP error says that a packet of the server did not arrive. Whether there was one for it: who closes its socket
    /// refuses what the server still sends, once a packet.
    pub(crate) fn refuses(&mut self) -> bool {
        self.refused = self.refused.saturating_add(1).max(self.from_server.saturating_sub(REFUSED_LATE));
        self.refused <= self.from_server
    }

    /// A genuine packet of this class.
    pub(crate) fn played(&mut self, at: Instant, class: Class, under_attack: bool) {
        let second = second_of(at);
        if crate::standing::is_play(class) && second != self.play_second {
            self.play_second = second;
            self.play_seconds = self.play_seconds.saturating_add(1);
            if !under_attack {
                self.peaceful_play_seconds = self.peaceful_play_seconds.saturating_add(1);
            }
        }
    }

    /// Another connection begins on the same ports: nothing of the old one counts.
    pub(crate) fn begin_again(&mut self, at: Instant, epoch: u32) {
        let mut fresh = Self::new(self.site, self.source, self.transport, at, epoch);
        fresh.tcp = self.tcp;
        fresh.tag = self.tag;
        fresh.standing = self.standing;
        fresh.standing.set(Standing::Stranger, epoch);
        fresh.first_seen = true;
        fresh.tally = self.tally;
        fresh.reasons = self.reasons;
        (fresh.in_lanes, fresh.counted) = (self.in_lanes, self.counted);
        (fresh.batch, fresh.row, fresh.begun_again) = (self.batch, self.row, true);
        fresh.head = self.head;
        *self = fresh;
    }

    /// Most of what it sent was hostile.
    pub(crate) fn mostly_hostile(&self) -> bool {
        self.tally.hostile >= 8 && self.tally.hostile > self.tally.sum() / 2
    }
}

/// What a flow that made room leaves behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowLeft {
    pub(crate) head: u32,
    pub(crate) source: Ref,
    pub(crate) counted: Standing,
}

impl Tenant for Flow {
    type Left = FlowLeft;

    fn hold(&self, epoch: u32, now: Instant) -> Hold {
        let proven = self.standing.before(epoch) > Standing::Stranger;
        if proven && now.millis_since(self.client_seen) < IDLE_MS { Hold::Fast } else { Hold::Loose }
    }

    fn left(&self) -> FlowLeft {
        FlowLeft { head: self.head, source: self.source, counted: self.counted }
    }

    fn read(&self) -> u32 {
        self.site ^ self.in_second
    }

    fn read_rest(&self) -> u32 {
        self.reasons[limits::REASONS_KEPT - 1].1
    }
}
