//! Reads TOML tables key by key and collects every mistake instead of stopping at the first.
//!
//! Whoever asks for a key makes it known; what nobody asked for is a mistake, with the nearest known name as hint.

use std::cell::RefCell;
use std::ops::Range;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ftagent_core::game::Finding;
use ftagent_core::game::Severity;
use ftagent_core::game::nearest;
use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

/// All mistakes of one file.
#[derive(Debug)]
pub(crate) struct Findings<'t> {
    file: &'t str,
    text: &'t str,
    found: RefCell<Vec<Finding>>,
}

impl<'t> Findings<'t> {
    pub(crate) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, found: RefCell::default() }
    }

    pub(crate) fn add(&self, at: Range<usize>, wrong: impl Into<String>, hint: Option<String>) {
        let finding = Finding::new(self.file, self.text, at, Severity::Error, wrong).with_hint(hint);
        self.found.borrow_mut().push(finding);
    }

    /// In the order in which they stand in the file.
    pub(crate) fn into_sorted(self) -> Vec<Finding> {
        let mut findings = self.found.into_inner();
        findings.sort_by_key(|finding| finding.span.start);
        findings
    }
}

/// One table while it is read.
pub(crate) struct Table<'t, 'f> {
    table: &'t DeTable<'t>,
    known: Vec<&'static str>,
    findings: &'f Findings<'f>,
}

impl<'t, 'f> Table<'t, 'f> {
    pub(crate) fn new(table: &'t DeTable<'t>, findings: &'f Findings<'f>) -> Self {
        Self { table, known: Vec::new(), findings }
    }

    /// The value of `key`, if it is there.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// A string that `T` can be made from; `kind` says what it should be.
    pub(crate) fn parsed<T: FromStr>(&mut self, key: &'static str, kind: &str) -> Option<T> {
        let value = self.value(key)?;
        let parsed = value.get_ref().as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            self.findings.add(value.span(), format!("`{key}` is not {kind}"), None);
        }
        parsed
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let value = self.value(key)?;
        let word = value.get_ref().as_str().unwrap_or("");
        let found = choices.iter().find(|(name, _)| *name == word).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            let hint =
                nearest(word, choices.iter().map(|(name, _)| *name)).map(|n| format!("did you mean `{n}`?"));
            self.findings.add(value.span(), format!("`{key}` is one of {}", names.join(", ")), hint);
        }
        found
    }

    /// A whole number within bounds.
    pub(crate) fn number<N: TryFrom<i64> + Copy>(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<i64>,
    ) -> Option<N> {
        let value = self.value(key)?;
        let number =
            value.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        let fits = number.filter(|n| bounds.contains(n)).and_then(|n| N::try_from(n).ok());
        if fits.is_none() {
            let wrong = format!("`{key}` is a whole number from {} to {}", bounds.start(), bounds.end());
            self.findings.add(value.span(), wrong, None);
        }
        fits
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.findings.add(value.span(), format!("`{key}` is `true` or `false`"), None);
        }
        flag
    }

    /// A list of strings that `T` can be made from.
    pub(crate) fn list<T: FromStr>(&mut self, key: &'static str, kind: &str) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.findings.add(value.span(), format!("`{key}` is a list"), None);
            return None;
        };
        let mut parsed = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str().and_then(|text| text.parse().ok()) {
                Some(good) => parsed.push(good),
                None => self.findings.add(item.span(), format!("this is not {kind}"), None),
            }
        }
        Some(parsed)
    }

    /// A table below this one.
    pub(crate) fn table(&mut self, key: &'static str) -> Option<Table<'t, 'f>> {
        let value = self.value(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.findings.add(value.span(), format!("`{key}` is a table: write `[{key}]`"), None);
        }
        Some(Table::new(table?, self.findings))
    }

    /// Tables below this one, one for each name that the operator chose.
    pub(crate) fn named_tables(&mut self, key: &'static str) -> Vec<(String, Table<'t, 'f>)> {
        let Some(named) = self.table(key) else { return Vec::new() };
        let mut tables = Vec::new();
        for (name, value) in named.table.iter() {
            match value.get_ref().as_table() {
                Some(table) => tables.push((name.get_ref().to_string(), Table::new(table, self.findings))),
                None => {
                    self.findings.add(value.span(), format!("`{key}.{}` is a table", name.get_ref()), None)
                }
            }
        }
        tables
    }

    /// A list of tables, each with its place.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<(Range<usize>, Table<'t, 'f>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.findings.add(value.span(), format!("`{key}` is a list of tables: write `[[{key}]]`"), None);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_table() {
                Some(table) => tables.push((item.span(), Table::new(table, self.findings))),
                None => self.findings.add(
                    item.span(),
                    format!("`{key}` is a list of tables: write `[[{key}]]`"),
                    None,
                ),
            }
        }
        tables
    }

    /// Says which keys nobody asked for.
    pub(crate) fn finish(self) {
        for key in self.table.keys().filter(|key| !self.known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let hint =
                nearest(name, self.known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            self.findings.add(key.span(), format!("there is no setting `{name}` here"), hint);
        }
    }
}
