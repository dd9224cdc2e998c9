//! A TOML table from which keys are taken one by one. A wrong type or a missing key is noted and a harmless
//! value goes on in its place, so that the rest is still checked; keys that nobody took are unknown.

use std::collections::HashSet;
use std::ops::Range;
use std::ops::RangeInclusive;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use super::fault::Faults;
use crate::limits;

pub(super) struct Table<'d, 'i> {
    entries: &'d DeTable<'i>,
    span: Range<usize>,
    /// What faults call it.
    what: &'static str,
    known: HashSet<&'static str>,
}

impl<'d, 'i> Table<'d, 'i> {
    pub(super) fn new(entries: &'d DeTable<'i>, span: Range<usize>, what: &'static str) -> Self {
        Self { entries, span, what, known: HashSet::new() }
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Where the value of `key` stands, or the table if it has none.
    pub(super) fn span_of(&self, key: &str) -> Range<usize> {
        self.entries.get(key).map_or(self.span(), Spanned::span)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self, faults: &mut Faults<'_>) {
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if !self.known.contains(name) {
                faults.note(key.span(), format!("`{name}` is no key of {}", self.what));
            }
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'i>>> {
        self.known.insert(key);
        self.entries.get(key)
    }

    fn needed(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<&'d Spanned<DeValue<'i>>> {
        let value = self.value(key);
        if value.is_none() {
            faults.note(self.span(), format!("`{key}` is missing in {}", self.what));
        }
        value
    }

    fn text(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<&'d str> {
        let value = self.needed(key, faults)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            faults.note(value.span(), format!("`{key}` must be a string, not {}", kind(value)));
        }
        text
    }

    /// A kebab-case name that must be there; empty if it is not.
    pub(super) fn name(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Arc<str> {
        let Some(text) = self.text(key, faults) else { return Arc::from("") };
        if !is_kebab(text) {
            faults.note(
                self.span_of(key),
                format!("`{key}` must be kebab-case: a-z, 0-9 and single hyphens, beginning with a letter"),
            );
        } else if text.len() > limits::NAME_BYTES {
            faults.note(self.span_of(key), format!("`{key}` has at most {} letters", limits::NAME_BYTES));
        }
        Arc::from(text)
    }

    /// A text that must be there and must not be empty.
    pub(super) fn sentence(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Arc<str> {
        let Some(text) = self.text(key, faults) else { return Arc::from("") };
        check_sentence(key, text, self.span_of(key), faults);
        Arc::from(text)
    }

    /// A list of texts, empty if it is not there.
    pub(super) fn sentences(
        &mut self,
        key: &'static str,
        most: usize,
        faults: &mut Faults<'_>,
    ) -> Vec<Arc<str>> {
        let mut texts = Vec::new();
        for item in self.array(key, most, faults) {
            match item.get_ref().as_str() {
                Some(text) => {
                    check_sentence(key, text, item.span(), faults);
                    texts.push(Arc::from(text));
                }
                None => {
                    faults.note(item.span(), format!("`{key}` is a list of strings, not of {}", kind(item)))
                }
            }
        }
        texts
    }

    pub(super) fn switch(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<bool> {
        let value = self.value(key)?;
        let switch = value.get_ref().as_bool();
        if switch.is_none() {
            faults.note(value.span(), format!("`{key}` must be true or false, not {}", kind(value)));
        }
        switch
    }

    pub(super) fn number<N>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<N>,
        faults: &mut Faults<'_>,
    ) -> Option<N>
    where
        N: Copy + Into<u64> + TryFrom<i64>,
    {
        let value = self.value(key)?;
        let Some(written) = value.get_ref().as_integer() else {
            faults.note(value.span(), format!("`{key}` must be a number, not {}", kind(value)));
            return None;
        };
        let (least, most): (u64, u64) = ((*range.start()).into(), (*range.end()).into());
        let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
        let fits =
            number.filter(|number| u64::try_from(*number).is_ok_and(|it| (least..=most).contains(&it)));
        let number = fits.and_then(|number| N::try_from(number).ok());
        if number.is_none() {
            faults.note(value.span(), format!("`{key}` must be from {least} to {most}"));
        }
        number
    }

    /// A number that must be there; its least value if it is not.
    pub(super) fn needed_number<N>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<N>,
        faults: &mut Faults<'_>,
    ) -> N
    where
        N: Copy + Into<u64> + TryFrom<i64>,
    {
        self.needed(key, faults);
        let least = *range.start();
        self.number(key, range, faults).unwrap_or(least)
    }

    /// One of a few words that must be there.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        faults: &mut Faults<'_>,
    ) -> Option<T> {
        let text = self.text(key, faults)?;
        let chosen = words.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            faults.note(self.span_of(key), format!("`{key}` must be one of {}", words.join(", ")));
        }
        chosen
    }

    /// Pairs of hexadecimal digits, blanks allowed, 1 to [`limits::COMPARED_BYTES`] bytes.
    pub(super) fn hex(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<Vec<u8>> {
        let text = self.text(key, faults)?;
        let bytes = hex_bytes(text);
        match &bytes {
            None => faults.note(self.span_of(key), format!("`{key}` must be pairs of hexadecimal digits")),
            Some(bytes) if !(1..=limits::COMPARED_BYTES).contains(&bytes.len()) => {
                faults.note(self.span_of(key), format!("`{key}` has 1 to {} bytes", limits::COMPARED_BYTES));
            }
            Some(_) => {}
        }
        bytes
    }

    pub(super) fn table(&mut self, key: &'static str, faults: &mut Faults<'_>) -> Option<Table<'d, 'i>> {
        let value = self.value(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            faults.note(value.span(), format!("`{key}` must be a table, not {}", kind(value)));
        }
        Some(Table::new(table?, value.span(), key))
    }

    /// A list of tables, empty if it is not there.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        most: usize,
        faults: &mut Faults<'_>,
    ) -> Vec<Table<'d, 'i>> {
        let mut tables = Vec::new();
        for item in self.array(key, most, faults) {
            match item.get_ref().as_table() {
                Some(table) => tables.push(Table::new(table, item.span(), key)),
                None => {
                    faults.note(item.span(), format!("`{key}` is a list of tables, not of {}", kind(item)))
                }
            }
        }
        tables
    }

    fn array(
        &mut self,
        key: &'static str,
        most: usize,
        faults: &mut Faults<'_>,
    ) -> impl Iterator<Item = &'d Spanned<DeValue<'i>>> + use<'d, 'i> {
        let value = self.value(key);
        let array = value.and_then(|value| value.get_ref().as_array());
        match (value, array) {
            (Some(value), None) => {
                faults.note(value.span(), format!("`{key}` must be a list, not {}", kind(value)))
            }
            (Some(value), Some(array)) if array.len() > most => {
                faults.note(
                    value.span(),
                    format!("`{key}` has {} entries, at most {most} are allowed", array.len()),
                );
            }
            _ => {}
        }
        array.into_iter().flat_map(|array| array.iter()).take(most)
    }
}

fn check_sentence(key: &str, text: &str, at: Range<usize>, faults: &mut Faults<'_>) {
    if text.trim().is_empty() {
        faults.note(at, format!("`{key}` is empty"));
    } else if text.len() > limits::SENTENCE_BYTES {
        faults.note(at, format!("`{key}` has at most {} bytes", limits::SENTENCE_BYTES));
    } else if text.chars().any(char::is_control) {
        // These texts are printed on terminals.
        faults.note(at, format!("`{key}` has control characters"));
    }
}

fn is_kebab(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|letter| *letter != ' ')
        .map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn kind(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
