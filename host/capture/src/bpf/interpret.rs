//! Runs a classic BPF program the way the kernel does, and refuses what its checker refuses. Tests only.

use super::*;

/// The ancillary field that says which way a packet goes (SKF_AD_OFF + SKF_AD_PKTTYPE).
const PACKET_TYPE: u32 = 0xffff_f004;

/// Panics where the kernel's checker would refuse the program.
pub(crate) fn verify(program: &[Instruction]) {
    assert!(!program.is_empty() && program.len() <= INSTRUCTIONS_MAX, "{} instructions", program.len());
    for (at, instruction) in program.iter().enumerate() {
        let reach = match instruction.code {
            JUMP => instruction.k as usize,
            IF_EQUAL | IF_AT_LEAST | IF_ANY_BIT | IF_ABOVE_X => {
                usize::from(instruction.jump_true.max(instruction.jump_false))
            }
            RETURN => continue,
            _ => 0,
        };
        assert!(at + 1 + reach < program.len(), "instruction {at} leaves the program");
    }
    assert_eq!(program[program.len() - 1].code, RETURN);
}

/// What the program returns for a packet; a load past the end returns 0, as in the kernel.
pub(crate) fn run(program: &[Instruction], packet_type: u32, packet: &[u8]) -> u32 {
    let load = |at: u32, bytes: usize| -> Option<u32> {
        let from = at as usize;
        let part = packet.get(from..from.checked_add(bytes)?)?;
        Some(part.iter().fold(0, |value, byte| (value << 8) | u32::from(*byte)))
    };
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
    loop {
        let Instruction { code, jump_true, jump_false, k } = program[at];
        at += 1;
        let branch = |holds: bool| usize::from(if holds { jump_true } else { jump_false });
        let loaded = match code {
            LOAD_BYTE if k == PACKET_TYPE => Some(packet_type),
            LOAD_BYTE => load(k, 1),
            LOAD_HALF => load(k, 2),
            LOAD_BYTE_AT_X => load(x.wrapping_add(k), 1),
            LOAD_HALF_AT_X => load(x.wrapping_add(k), 2),
            LOAD_WORD_AT_X => load(x.wrapping_add(k), 4),
            _ => Some(a),
        };
        let Some(loaded) = loaded else { return 0 };
        a = loaded;
        match code {
            LOAD_LENGTH => a = packet.len() as u32,
            SET_X => x = k,
            AND => a &= k,
            SHIFT_LEFT => a <<= k,
            ADD => a = a.wrapping_add(k),
            SUBTRACT => a = a.wrapping_sub(k),
            ADD_X => a = a.wrapping_add(x),
            A_TO_X => x = a,
            X_TO_A => a = x,
            JUMP => at += k as usize,
            IF_EQUAL => at += branch(a == k),
            IF_AT_LEAST => at += branch(a >= k),
            IF_ANY_BIT => at += branch(a & k != 0),
            IF_ABOVE_X => at += branch(a > x),
            RETURN => return k,
            LOAD_BYTE | LOAD_HALF | LOAD_BYTE_AT_X | LOAD_HALF_AT_X | LOAD_WORD_AT_X => {}
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}
