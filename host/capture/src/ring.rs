//! One packet socket with its memory-mapped TPACKET_V3 ring.
//!
//! The kernel fills blocks of the ring in turn and hands each over by setting its status word; we hand it
//! back the same way. Between the two nobody but us writes or reads the block, which is what makes the
//! slices here sound. A block is handed back by [`Ring::advance`], which takes the ring mutably, so no slice
//! of it can be alive then. Facts: `Documentation/networking/packet_mmap.rst`, `linux/if_packet.h`.
#![allow(
    unsafe_code,
    reason = "packet sockets and their shared memory have no safe interface in the standard library"
)]

use std::io;
use std::mem::offset_of;
use std::mem::size_of;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;

use crate::bpf::Instruction;

/// Where a block's header keeps the word that says whose it is, and what it holds.
const STATUS_AT: usize =
    offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);
const PACKETS_AT: usize =
    offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, num_pkts);
const FIRST_AT: usize =
    offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt);

/// What a ring is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// A power of two and a multiple of the page size.
    pub(crate) block_bytes: u32,
    pub(crate) blocks: u32,
    /// A block is handed over after so long even if it is not full.
    pub(crate) retire_ms: u32,
}

/// A failed system call and what it was for.
pub(crate) type Failed = (&'static str, io::Error);

/// One frame in the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) wire_bytes: u32,
}

/// What the kernel counted since it was last asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) dropped: u64,
    pub(crate) freezes: u64,
}

/// The frame that is next in the block we hold.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// Where its header stands in the block.
    at: usize,
    /// Frames left in the block, this one included.
    left: u32,
    nanos: u64,
}

/// A packet socket and its ring.
#[derive(Debug)]
pub(crate) struct Ring {
    socket: OwnedFd,
    map: NonNull<u8>,
    shape: Shape,
    /// The block that is ours or will be next.
    block: u32,
    cursor: Option<Cursor>,
    /// Blocks given back unread because their contents contradicted themselves.
    damaged: u64,
}

// SAFETY: the mapping belongs to the ring alone, is only reached through it, and is not tied to a thread.
// JUSTIFICATION: a capture is opened by one thread and read by the shard's.
unsafe impl Send for Ring {}

impl Ring {
    /// Opens a ring on the interface of this index. `cooked`: without the link header.
    ///
    /// The order matters: protocol 0, version, filter, ring, and only then bound to all protocols. A
    /// socket opened for all protocols hears every interface, unfiltered, until its filter is attached.
    pub(crate) fn open(
        interface_index: u32,
        cooked: bool,
        program: &[Instruction],
        shape: Shape,
    ) -> Result<Self, Failed> {
        let kind = if cooked { SockType::Datagram } else { SockType::Raw };
        let socket = nix::sys::socket::socket(AddressFamily::Packet, kind, SockFlag::SOCK_CLOEXEC, None)
            .map_err(|error| ("open a packet socket", error.into()))?;
        set_option(
            &socket,
            libc::SOL_PACKET,
            libc::PACKET_VERSION,
            &(libc::tpacket_versions::TPACKET_V3 as i32),
        )
        .map_err(|error| ("choose TPACKET_V3", error))?;
        attach(&socket, program).map_err(|error| ("attach the filter", error))?;
        let request = libc::tpacket_req3 {
            tp_block_size: shape.block_bytes,
            tp_block_nr: shape.blocks,
            // Only divides the block for the kernel's arithmetic; V3 packs frames of any length.
            tp_frame_size: 2_048,
            tp_frame_nr: shape.block_bytes / 2_048 * shape.blocks,
            tp_retire_blk_tov: shape.retire_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
            .map_err(|error| ("make the ring", error))?;
        let map = map(&socket, shape).map_err(|error| ("map the ring", error))?;
        let ring = Self { socket, map, shape, block: 0, cursor: None, damaged: 0 };
        bind(&ring.socket, interface_index).map_err(|error| ("bind the packet socket", error))?;
        Ok(ring)
    }

    /// Replaces the filter in one step: every packet meets the old one or the new one.
    pub(crate) fn attach(&self, program: &[Instruction]) -> io::Result<()> {
        attach(&self.socket, program)
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Blocks given back half read since the last call.
    pub(crate) fn take_damaged(&mut self) -> u64 {
        std::mem::take(&mut self.damaged)
    }

    /// When the next frame was captured, in nanoseconds of the real-time clock; takes over the next block if
    /// the kernel handed one over.
    pub(crate) fn head_nanos(&mut self) -> Option<u64> {
        if self.cursor.is_none() && self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0 {
            let block = self.block();
            let first = (word(block, FIRST_AT) as usize, word(block, PACKETS_AT));
            self.move_to(first.0, first.1);
        }
        self.cursor.map(|cursor| cursor.nanos)
    }

    /// The frame that [`Ring::head_nanos`] spoke of.
    pub(crate) fn slot(&self) -> Option<Slot<'_>> {
        let header = self.cursor?.at;
        let block = self.block();
        let mac = usize::from(half(block, header + offset_of!(libc::tpacket3_hdr, tp_mac)));
        let captured = word(block, header + offset_of!(libc::tpacket3_hdr, tp_snaplen)) as usize;
        let wire_bytes = word(block, header + offset_of!(libc::tpacket3_hdr, tp_len));
        let bytes = block.get(header + mac..)?.get(..captured)?;
        Some(Slot { bytes, wire_bytes })
    }

    /// Passes over the head; the last frame of a block gives the block back.
    pub(crate) fn advance(&mut self) {
        let Some(cursor) = self.cursor else { return };
        let step = word(self.block(), cursor.at + offset_of!(libc::tpacket3_hdr, tp_next_offset)) as usize;
        // The last frame of a block may say 0; `left` ends the walk, never the offset.
        self.move_to(cursor.at.saturating_add(step), cursor.left - 1);
    }

    /// What was lost since the last call. Reading resets the kernel's counters, hence one reader, by `&mut`.
    pub(crate) fn statistics(&mut self) -> io::Result<Statistics> {
        let mut counted = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        get_option(&self.socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut counted)?;
        Ok(Statistics { dropped: counted.tp_drops.into(), freezes: counted.tp_freeze_q_cnt.into() })
    }

    /// The socket's pending error, once: the interface went down or away.
    pub(crate) fn error(&self) -> Option<io::Error> {
        let mut code = 0_i32;
        match get_option(&self.socket, libc::SOL_SOCKET, libc::SO_ERROR, &mut code) {
            Ok(()) if code == 0 => None,
            Ok(()) => Some(io::Error::from_raw_os_error(code)),
            Err(error) => Some(error),
        }
    }

    /// Puts the cursor on a frame's header, or gives the block back when there is none.
    fn move_to(&mut self, at: usize, left: u32) {
        let block_bytes = self.shape.block_bytes as usize;
        let fits = at.checked_add(size_of::<libc::tpacket3_hdr>()).is_some_and(|end| end <= block_bytes);
        if left > 0 && fits {
            let block = self.block();
            let seconds = word(block, at + offset_of!(libc::tpacket3_hdr, tp_sec));
            let nanos = word(block, at + offset_of!(libc::tpacket3_hdr, tp_nsec));
            let nanos = u64::from(seconds) * 1_000_000_000 + u64::from(nanos);
            self.cursor = Some(Cursor { at, left, nanos });
            return;
        }
        self.damaged += u64::from(left > 0);
        self.cursor = None;
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.block = (self.block + 1) % self.shape.blocks;
    }

    /// The block we hold. Only called while its status says that it is ours.
    fn block(&self) -> &[u8] {
        let offset = self.block as usize * self.shape.block_bytes as usize;
        // SAFETY: `block < blocks`, so the range lies in the mapping, which lives as long as `self`. The status
        // word was read as TP_STATUS_USER with Acquire by `head_nanos` before any call, so the kernel has
        // finished writing and will not write again until `move_to` stores TP_STATUS_KERNEL, which takes
        // `&mut self` and thus ends every slice first.
        // JUSTIFICATION: frames are read where the kernel put them; copying each would double the cost.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(offset), self.shape.block_bytes as usize) }
    }

    fn status(&self) -> &AtomicU32 {
        let offset = self.block as usize * self.shape.block_bytes as usize + STATUS_AT;
        // SAFETY: the word lies in the mapping, is aligned to four bytes (blocks are aligned to pages and
        // STATUS_AT is 8), and is shared with the kernel, which is why it is atomic.
        // JUSTIFICATION: this word is the whole protocol between the kernel and us.
        unsafe { AtomicU32::from_ptr(self.map.as_ptr().add(offset).cast()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and nothing borrows from `self` any more.
        // JUSTIFICATION: there is no safe owner of a mapping in the standard library.
        unsafe { libc::munmap(self.map.as_ptr().cast(), map_bytes(self.shape)) };
    }
}

fn map_bytes(shape: Shape) -> usize {
    shape.block_bytes as usize * shape.blocks as usize
}

fn map(socket: &OwnedFd, shape: Shape) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    // JUSTIFICATION: the ring is shared memory.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            map_bytes(shape),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            socket.as_raw_fd(),
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(address.cast()).ok_or_else(|| io::Error::other("the kernel mapped the ring at address 0"))
}

fn bind(socket: &OwnedFd, interface_index: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: interface_index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer and the length describe `address`, which outlives the call.
    // JUSTIFICATION: no safe constructor of link-layer addresses exists in nix.
    let done = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn attach(socket: &OwnedFd, program: &[Instruction]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|step| libc::sock_filter { code: step.code, jt: step.jump_true, jf: step.jump_false, k: step.k })
        .collect();
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::other("the filter is too long"))?;
    // The kernel copies the program before the call returns.
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

fn set_option<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`; callers pass the type that the option takes, and
    // what a `sock_fprog` points to lives until the call returns.
    // JUSTIFICATION: nix knows none of these options.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn get_option<T>(socket: &OwnedFd, level: i32, name: i32, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as u32;
    // SAFETY: the pointer and the length describe `value`; callers pass plain integers of the option's layout,
    // for which all bit patterns are valid.
    // JUSTIFICATION: nix knows none of these options.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, std::ptr::from_mut(value).cast(), &raw mut length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A field of the kernel's, in the machine's byte order; 0 past the end of the block.
fn word(block: &[u8], at: usize) -> u32 {
    block.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn half(block: &[u8], at: usize) -> u16 {
    block.get(at..).and_then(|rest| rest.first_chunk::<2>()).map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}
