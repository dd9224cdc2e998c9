//! The first bytes of clients' TCP streams: contiguous, growing, retransmissions merged, gaps known.
//!
//! All heads together have one bound. Streams whose handshake was not completed may use half of it, so that
//! forged segments cannot take the room of real ones.

use crate::limits;

/// A piece that waits behind a gap: from, to.
type Piece = (u16, u16);

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Contiguous bytes from the start.
    bytes: u16,
    waiting: [Piece; limits::HEAD_PIECES],
}

/// What came of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grown {
    /// Contiguous bytes by now.
    pub(crate) bytes: u16,
    /// Bytes are missing behind them.
    pub(crate) gap: bool,
    /// A piece had to be forgotten.
    pub(crate) forgot: bool,
}

/// All heads of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Heads {
    heads: Vec<Head>,
    free: Vec<u32>,
    memory: Vec<u8>,
    most: usize,
}

impl Heads {
    /// Room for `bytes` in all.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { heads: Vec::new(), free: Vec::new(), memory: Vec::new(), most: bytes / limits::HEAD_BYTES }
    }

    /// A place for one more head: its slot + 1, or 0 if there is none.
    pub(crate) fn open(&mut self, proven: bool) -> u32 {
        let used = self.heads.len() - self.free.len();
        if used >= if proven { self.most } else { self.most / 2 } {
            return 0;
        }
        if let Some(slot) = self.free.pop() {
            self.heads[slot as usize] = Head::default();
            return slot + 1;
        }
        self.heads.push(Head::default());
        self.memory.resize(self.heads.len() * limits::HEAD_BYTES, 0);
        self.heads.len() as u32
    }

    /// Gives a place back.
    pub(crate) fn close(&mut self, head: u32) {
        if let Some(slot) = head.checked_sub(1) {
            self.free.push(slot);
        }
    }

    /// The contiguous bytes of a head.
    pub(crate) fn bytes(&self, head: u32) -> &[u8] {
        let Some(slot) = head.checked_sub(1) else { return &[] };
        let from = slot as usize * limits::HEAD_BYTES;
        &self.memory[from..from + usize::from(self.heads[slot as usize].bytes)]
    }

    /// Lays a segment into a head of at most `want` bytes. What the capture cut off is missing.
    pub(crate) fn lay(&mut self, head: u32, offset: u32, payload: &[u8], want: u16) -> Grown {
        let Some(slot) = head.checked_sub(1) else { return Grown::default() };
        let want = want.min(limits::HEAD_BYTES as u16);
        let head = &mut self.heads[slot as usize];
        let mut forgot = false;
        if offset < u32::from(want) && !payload.is_empty() {
            let from = offset as usize;
            let to = (from + payload.len()).min(usize::from(want));
            // Bytes that are already part of the head stay: who came first has it, as in TCP itself.
            let new = from.max(usize::from(head.bytes));
            forgot = !head.join((from as u16, to as u16));
            if !forgot && new < to {
                let at = slot as usize * limits::HEAD_BYTES;
                self.memory[at + new..at + to].copy_from_slice(&payload[new - from..to - from]);
            }
        }
        let gap = forgot || head.waiting.iter().any(|piece| piece.0 < piece.1);
        Grown { bytes: head.bytes, gap, forgot }
    }
}

impl Head {
    /// Notes that a piece is there; false if it must be forgotten.
    fn join(&mut self, mut piece: Piece) -> bool {
        if piece.0 > self.bytes {
            for other in &mut self.waiting {
                if other.0 < other.1 && piece.0 <= other.1 && other.0 <= piece.1 {
                    piece = (piece.0.min(other.0), piece.1.max(other.1));
                    *other = (0, 0);
                }
            }
            let Some(room) = self.waiting.iter_mut().find(|other| other.0 >= other.1) else { return false };
            *room = piece;
            return true;
        }
        self.bytes = self.bytes.max(piece.1);
        // A piece that now touches the head belongs to it, and may bring the next one within reach.
        while let Some(next) = self.waiting.iter_mut().find(|p| p.0 < p.1 && p.0 <= self.bytes) {
            self.bytes = self.bytes.max(next.1);
            *next = (0, 0);
        }
        true
    }
}
