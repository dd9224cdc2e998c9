//! What is wrong with a manifest, and where.

use std::fmt;
use std::ops::Range;

use crate::limits;

/// One fault of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, for people.
    pub says: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.says)
    }
}

/// The faults found so far in one text.
pub(super) struct Faults<'t> {
    text: &'t str,
    found: Vec<(usize, Fault)>,
}

impl<'t> Faults<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Notes that something is wrong at these bytes of the text.
    pub(super) fn note(&mut self, at: Range<usize>, says: impl Into<String>) {
        if self.found.len() >= limits::MANIFEST_FAULTS {
            return;
        }
        let start = at.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.found.push((start, Fault { line, column, says: says.into() }));
    }

    /// All of them, in the order of the text.
    pub(super) fn take(mut self) -> Vec<Fault> {
        self.found.sort_by_key(|(start, _)| *start);
        self.found.into_iter().map(|(_, fault)| fault).collect()
    }
}
