//! A promised number and what was measured.

use serde::Serialize;

/// Which side of the target is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    AtMost,
    AtLeast,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// Which measurement it belongs to: what can be asked for by name.
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    /// None where nothing was promised and the figure explains another.
    pub(crate) target: Option<f64>,
    pub(crate) bound: Bound,
    /// The median, where there were several samples.
    pub(crate) measured: f64,
    /// The best sample: nearer to what an undisturbed machine does.
    pub(crate) best: Option<f64>,
    pub(crate) met: Option<bool>,
    /// What to know about it.
    pub(crate) note: String,
}

impl Figure {
    /// A figure without a target.
    pub(crate) fn new(
        group: &'static str,
        name: impl Into<String>,
        unit: &'static str,
        measured: f64,
    ) -> Self {
        Self {
            group,
            name: name.into(),
            unit,
            target: None,
            bound: Bound::AtMost,
            measured,
            best: None,
            met: None,
            note: String::new(),
        }
    }

    pub(crate) fn at_most(self, target: f64) -> Self {
        Self { target: Some(target), bound: Bound::AtMost, met: Some(self.measured <= target), ..self }
    }

    pub(crate) fn at_least(self, target: f64) -> Self {
        Self { target: Some(target), bound: Bound::AtLeast, met: Some(self.measured >= target), ..self }
    }

    pub(crate) fn best(self, best: f64) -> Self {
        Self { best: Some(best), ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// The table for people.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text = format!(
        "{:<52} {:>10} {:>10} {:<12} {:>12}  {}\n",
        "figure", "measured", "best", "unit", "target", "met"
    );
    for figure in figures {
        let sign = if figure.bound == Bound::AtMost { "<=" } else { ">=" };
        let target = figure.target.map_or_else(String::new, |target| format!("{sign} {}", number(target)));
        let met = match figure.met {
            None => "",
            Some(true) => "yes",
            Some(false) => "NO",
        };
        let best = figure.best.map_or_else(String::new, number);
        let name = format!("{}: {}", figure.group, figure.name);
        text += &format!(
            "{name:<52} {:>10} {best:>10} {:<12} {target:>12}  {met}\n",
            number(figure.measured),
            figure.unit
        );
        if !figure.note.is_empty() {
            text += &format!("    {}\n", figure.note);
        }
    }
    text
}

fn number(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value:.2}") }
}
