//! A small assembler for the kernel's classic BPF: forward jumps by label, of any distance.
//!
//! Conditional jumps reach 255 instructions at most, so each is written as a test that steps over an
//! unconditional jump, which reaches everywhere. Instruction codes: `linux/filter.h`,
//! `Documentation/networking/filter.rst`.

#[cfg(test)]
pub(crate) mod interpret;

/// One instruction, laid out as the kernel's `sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jump_true: u8,
    pub(crate) jump_false: u8,
    pub(crate) k: u32,
}

/// BPF_MAXINSNS: the kernel refuses longer programs.
pub(crate) const INSTRUCTIONS_MAX: usize = 4_096;

pub(crate) const LOAD_BYTE_AT_X: u16 = 0x50;
pub(crate) const LOAD_HALF_AT_X: u16 = 0x48;
pub(crate) const LOAD_WORD_AT_X: u16 = 0x40;
pub(crate) const LOAD_HALF: u16 = 0x28;
pub(crate) const LOAD_BYTE: u16 = 0x30;
pub(crate) const LOAD_LENGTH: u16 = 0x80;
pub(crate) const SET_X: u16 = 0x01;
pub(crate) const AND: u16 = 0x54;
pub(crate) const SHIFT_LEFT: u16 = 0x64;
pub(crate) const ADD: u16 = 0x04;
pub(crate) const SUBTRACT: u16 = 0x14;
pub(crate) const ADD_X: u16 = 0x0c;
pub(crate) const A_TO_X: u16 = 0x07;
pub(crate) const X_TO_A: u16 = 0x87;
pub(crate) const RETURN: u16 = 0x06;
pub(crate) const JUMP: u16 = 0x05;
pub(crate) const IF_EQUAL: u16 = 0x15;
pub(crate) const IF_AT_LEAST: u16 = 0x35;
pub(crate) const IF_ANY_BIT: u16 = 0x45;
pub(crate) const IF_ABOVE_X: u16 = 0x2d;

/// A place in the program that is jumped to before it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// A program that is being written.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    code: Vec<Instruction>,
    /// Where each label stands; `None` until it is placed.
    labels: Vec<Option<usize>>,
    /// Unconditional jumps and the labels they go to.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label stands here.
    pub(crate) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    pub(crate) fn emit(&mut self, code: u16, k: u32) {
        self.code.push(Instruction { code, jump_true: 0, jump_false: 0, k });
    }

    pub(crate) fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(JUMP, 0);
    }

    /// Goes to the label if the test holds.
    pub(crate) fn jump_if(&mut self, test: u16, k: u32, to: Label) {
        self.code.push(Instruction { code: test, jump_true: 0, jump_false: 1, k });
        self.jump(to);
    }

    /// Goes to the label if the test fails.
    pub(crate) fn jump_unless(&mut self, test: u16, k: u32, to: Label) {
        self.code.push(Instruction { code: test, jump_true: 1, jump_false: 0, k });
        self.jump(to);
    }

    /// The finished program.
    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        for (from, label) in self.jumps {
            let to = self.labels[label.0].expect("every label is placed by the one who asked for it");
            assert!(to > from, "classic BPF only jumps forward");
            self.code[from].k = (to - from - 1) as u32;
        }
        assert!(self.code.len() <= INSTRUCTIONS_MAX, "the plan's limits keep a program under the kernel's");
        self.code
    }
}
