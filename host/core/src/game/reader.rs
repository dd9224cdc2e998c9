//! Reads typed values out of a TOML table and notes every mistake with its place, instead of stopping at the first.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use super::finding::Finding;
use super::finding::Severity;
use super::name::nearest;

/// A value and where it stands.
pub(super) type At<T> = (T, Range<usize>);

/// The text of one file and what was found wrong with it.
pub(super) struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    pub(super) findings: Vec<Finding>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, findings: Vec::new() }
    }

    pub(super) fn error(&mut self, span: Range<usize>, says: impl Into<String>, hint: Option<String>) {
        let found = Finding::new(self.file, self.text, span, Severity::Error, says);
        self.findings.push(found.with_hint(hint));
    }

    pub(super) fn warning(&mut self, span: Range<usize>, says: impl Into<String>, hint: Option<String>) {
        let found = Finding::new(self.file, self.text, span, Severity::Warning, says);
        self.findings.push(found.with_hint(hint));
    }

    /// Reports each key of `table` that is not in `known`.
    pub(super) fn known_keys(&mut self, table: &DeTable<'_>, known: &[&str], place: &str) {
        for key in table.keys() {
            let word = key.get_ref().as_ref();
            if !known.contains(&word) {
                let hint = match nearest(word, known.iter().copied()) {
                    Some(close) => format!("did you mean `{close}`?"),
                    None => format!("keys here: {}", known.join(", ")),
                };
                self.error(key.span(), format!("`{word}` is no key of {place}"), Some(hint));
            }
        }
    }

    pub(super) fn string(&mut self, table: &DeTable<'_>, key: &str) -> Option<At<String>> {
        let value = table.get(key)?;
        self.text_of(key, value)
    }

    fn text_of(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        match value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => {
                self.error(value.span(), format!("`{key}` is empty"), None);
                None
            }
            DeValue::String(text) => Some((text.trim().to_owned(), value.span())),
            other => {
                self.wrong_kind(key, "a text in quotes", other, value.span());
                None
            }
        }
    }

    pub(super) fn strings(&mut self, table: &DeTable<'_>, key: &str) -> Vec<At<String>> {
        let Some(value) = table.get(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| self.text_of(key, item)).collect(),
            other => {
                self.wrong_kind(key, "a list of texts, as in [\"a\", \"b\"]", other, value.span());
                Vec::new()
            }
        }
    }

    pub(super) fn integer(&mut self, table: &DeTable<'_>, key: &str) -> Option<At<i64>> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => Some((number, value.span())),
                Err(_) => {
                    self.error(value.span(), format!("`{key}` is too large a number"), None);
                    None
                }
            },
            other => {
                self.wrong_kind(key, "a whole number", other, value.span());
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, table: &DeTable<'_>, key: &str) -> Option<bool> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(*yes),
            other => {
                self.wrong_kind(key, "`true` or `false`", other, value.span());
                None
            }
        }
    }

    /// The table under `key`, e.g. `[match]`.
    pub(super) fn table<'d>(&mut self, table: &'d DeTable<'_>, key: &str) -> Option<&'d DeTable<'d>> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            other => {
                self.wrong_kind(key, &format!("a table, written [{key}]"), other, value.span());
                None
            }
        }
    }

    /// The tables under `key`, e.g. `[[ports]]`, each with its place.
    pub(super) fn tables<'d>(&mut self, table: &'d DeTable<'_>, key: &str) -> Vec<At<&'d DeTable<'d>>> {
        let Some(value) = table.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_kind(
                key,
                &format!("a list of tables, written [[{key}]]"),
                value.get_ref(),
                value.span(),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(inner) => tables.push((inner, item.span())),
                other => self.wrong_kind(key, &format!("a table, written [[{key}]]"), other, item.span()),
            }
        }
        tables
    }

    fn wrong_kind(&mut self, key: &str, wanted: &str, got: &DeValue<'_>, span: Range<usize>) {
        let got = match got {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "`true` or `false`",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(span, format!("`{key}` is {got}, but must be {wanted}"), None);
    }
}
