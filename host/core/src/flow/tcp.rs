//! What both ends of a TCP connection have shown. Only what the server sent (egress, which nobody outside can
//! forge) makes an acknowledgement worth anything.

use crate::wire::Tcp;
use crate::wire::tcp_flag;

const SYN_SEEN: u8 = 1;
const SYN_ACK_SEEN: u8 = 2;
const HANDSHAKE: u8 = 4;
const SERVER_SENT: u8 = 8;
const CHALLENGE: u8 = 16;
const CLOSED: u8 = 32;
const LEFT: u8 = 64;

/// A reset of the client tells how far it had heard the server, which is at most so far back; whoever forges one does not know.
const RESET_WINDOW: u32 = 1 << 20;

/// The state of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TcpState {
    client_first: u32,
    server_first: u32,
    /// Behind the last byte that the server sent.
    server_next: u32,
    /// Behind a byte that the server sent and that the client has not acknowledged yet.
    challenge: u32,
    acknowledged_second: u32,
    /// How far the server had heard the client when it last spoke.
    heard: u32,
    acknowledged_seconds: u8,
    rounds: u8,
    flags: u8,
}

/// Whether `a` is at or behind `b` in a sequence space that wraps.
const fn reaches(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

impl TcpState {
    /// The host saw the client's SYN.
    pub(crate) fn syn_seen(&self) -> bool {
        self.flags & SYN_SEEN != 0
    }

    /// The client acknowledged the server's SYN-ACK.
    pub(crate) fn handshake_done(&self) -> bool {
        self.flags & HANDSHAKE != 0
    }

    /// The server has ended the connection.
    pub(crate) fn closed(&self) -> bool {
        self.flags & CLOSED != 0
    }

    /// Nobody is there any more: the server has ended the connection, or the client has reset it and not spoken since.
    pub(crate) fn gone(&self) -> bool {
        self.flags & (CLOSED | LEFT) != 0
    }

    /// In so many different seconds the client acknowledged bytes that the server had sent.
    pub(crate) fn acknowledged_seconds(&self) -> u8 {
        self.acknowledged_seconds
    }

    /// The kernel has seen more of this connection than we ask for: its client has long acknowledged what the server
    /// sent.
    pub(crate) fn adopt(&mut self) {
        self.acknowledged_seconds = u8::MAX;
    }

    /// How often the server said something after it had heard something new of the client. What a limit drops on the way
    /// is never heard, and nobody but the client can go on with a talk.
    pub(crate) fn rounds(&self) -> u8 {
        self.rounds
    }

    /// Position in the client's stream; 0 where its SYN was not seen.
    pub(crate) fn offset(&self, tcp: &Tcp) -> u32 {
        if !self.syn_seen() || tcp.flags & tcp_flag::SYN != 0 {
            return 0;
        }
        tcp.sequence.wrapping_sub(self.client_first)
    }

    /// A packet of the client. True if it begins a new connection on a port that was used before.
    pub(crate) fn client_packet(&mut self, tcp: &Tcp, second: u32) -> bool {
        if tcp.flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN {
            return self.opens(tcp);
        }
        if tcp.flags & tcp_flag::RST != 0 {
            let heard = self.server_next.wrapping_sub(tcp.acknowledgement) <= RESET_WINDOW;
            let leaves = self.flags & SERVER_SENT != 0 && tcp.flags & tcp_flag::ACK != 0 && heard;
            self.flags |= if leaves { LEFT } else { 0 };
            return false;
        }
        self.flags &= !LEFT;
        if tcp.flags & tcp_flag::ACK != 0 {
            self.acknowledges(tcp.acknowledgement, second);
        }
        false
    }

    fn opens(&mut self, tcp: &Tcp) -> bool {
        let again = self.flags & CLOSED != 0;
        if again {
            *self = Self::default();
        }
        // A forged SYN must not disturb a connection that stands.
        if !self.handshake_done() {
            self.client_first = tcp.sequence.wrapping_add(1);
            self.flags |= SYN_SEEN;
        }
        again
    }

    fn acknowledges(&mut self, acknowledgement: u32, second: u32) {
        let sent = reaches(self.server_next, acknowledgement);
        if self.flags & (SYN_ACK_SEEN | HANDSHAKE) == SYN_ACK_SEEN
            && sent
            && acknowledgement != self.server_first
            && reaches(acknowledgement, self.server_first)
        {
            self.flags |= HANDSHAKE;
        }
        if self.flags & CHALLENGE != 0 && sent && reaches(acknowledgement, self.challenge) {
            self.flags &= !CHALLENGE;
            if second != self.acknowledged_second {
                self.acknowledged_second = second;
                self.acknowledged_seconds = self.acknowledged_seconds.saturating_add(1);
            }
        }
    }

    /// A packet of the server.
    pub(crate) fn server_packet(&mut self, tcp: &Tcp, payload_bytes: u32) {
        if tcp.flags & tcp_flag::RST != 0 {
            self.flags |= CLOSED;
            return;
        }
        if tcp.flags & tcp_flag::SYN != 0 {
            self.server_first = tcp.sequence;
            self.server_next = tcp.sequence.wrapping_add(1);
            self.flags |= SYN_ACK_SEEN | SERVER_SENT;
            return;
        }
        let end = tcp.sequence.wrapping_add(payload_bytes);
        if self.flags & SERVER_SENT == 0 || reaches(end, self.server_next) {
            self.server_next = end;
            self.flags |= SERVER_SENT;
        }
        if payload_bytes > 0 && self.flags & CHALLENGE == 0 {
            self.challenge = end;
            self.flags |= CHALLENGE;
        }
        if payload_bytes > 0 && tcp.acknowledgement != self.heard {
            // Of a talk whose beginning was not seen the first words count for nothing.
            self.rounds = self.rounds.saturating_add(u8::from(self.syn_seen()));
            self.heard = tcp.acknowledgement;
        }
        if tcp.flags & tcp_flag::FIN != 0 {
            self.server_next = self.server_next.wrapping_add(1);
            self.flags |= CLOSED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RST: u8 = tcp_flag::RST;
    const ACK: u8 = tcp_flag::ACK;

    fn segment(flags: u8, sequence: u32, acknowledgement: u32) -> Tcp {
        Tcp { flags, sequence, acknowledgement, ..Tcp::default() }
    }

    #[test]
    fn who_resets_its_connection_is_gone_until_it_speaks_again() {
        // A reset, and whether it is believed: it must know what the server sent.
        for (reset, believed) in [
            (segment(RST | ACK, 101, 901), true),
            (segment(RST | ACK, 101, 951), true),
            (segment(RST | ACK, 101, 952), false),
            (segment(RST | ACK, 101, 0x7000_0000), false),
            (segment(RST, 101, 0), false),
        ] {
            let mut state = TcpState::default();
            state.client_packet(&segment(tcp_flag::SYN, 100, 0), 1);
            state.server_packet(&segment(tcp_flag::SYN | ACK, 900, 101), 0);
            state.client_packet(&segment(ACK, 101, 901), 1);
            state.server_packet(&segment(ACK, 901, 101), 50);
            state.client_packet(&reset, 1);
            assert_eq!(state.gone(), believed, "{reset:?}");
            assert!(!state.closed(), "only the server ends it");
            state.client_packet(&segment(ACK, 101, 951), 1);
            assert!(!state.gone(), "{reset:?}");
        }
    }
}
