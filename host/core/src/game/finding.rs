//! A mistake in a file: where it is, what is wrong, and what may have been meant. The program prints it.

use std::ops::Range;
use std::sync::Arc;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is used all the same.
    Warning,
    /// The file is not used.
    Error,
}

/// One mistake at one place of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's name as it was handed in.
    pub file: Arc<str>,
    /// How bad it is.
    pub severity: Severity,
    /// The place in bytes, as `annotate-snippets` wants it.
    pub span: Range<usize>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Length in characters within that line, at least 1.
    pub length: usize,
    /// What is wrong.
    pub says: String,
    /// What would mend it, where that is known.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding at `span` of `text`. A span outside the text is moved to its end.
    pub fn new(
        file: &str,
        text: &str,
        span: Range<usize>,
        severity: Severity,
        says: impl Into<String>,
    ) -> Self {
        let start = char_boundary(text, span.start);
        let end = char_boundary(text, span.end.max(start));
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let first_line = text[start..end].lines().next().unwrap_or("");
        Self {
            file: file.into(),
            severity,
            span: start..end,
            line: before.matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            length: first_line.chars().count().max(1),
            says: says.into(),
            hint: None,
        }
    }

    /// The same with a hint.
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Whether the file cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, self.says)?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

/// The last character boundary at or before `at`.
fn char_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, span: Range<usize>, want: (usize, usize, usize)) {
        let found = Finding::new("f", text, span, Severity::Error, "wrong");
        assert_eq!((found.line, found.column, found.length), want);
    }

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        check("a = 1\nb = 22\n", 10..12, (2, 5, 2));
        check("ä = 1", 2..3, (1, 2, 1));
        check("a\nb", 0..3, (1, 1, 1));
        check("", 5..9, (1, 1, 1));
        check("ä", 1..2, (1, 1, 1));
    }
}
