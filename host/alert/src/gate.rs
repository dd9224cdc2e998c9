//! What is worth telling: incidents that are severe enough, their changes not too often, and always their end.

use std::collections::BTreeMap;

use ftagent_core::incident::Family;
use ftagent_core::incident::Incident;
use ftagent_core::incident::Severity;
use ftagent_core::time::Instant;
use serde::Deserialize;
use serde::Serialize;

use crate::limits;
use crate::notice::What;

/// What receivers were told of an incident that is not over. Written down, so that it ends for them even if we end
/// first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) severity: Severity,
    pub(crate) family: Family,
    /// Notices so far.
    pub(crate) notices: u32,
    /// Everything that the last notice said, for the one that says that we lost sight of it.
    pub(crate) last: Incident,
    #[serde(skip)]
    told_at: Instant,
}

/// The gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    severity_min: Severity,
    change_ms: u64,
    known: BTreeMap<u64, Known>,
}

impl Gate {
    pub(crate) const fn new(severity_min: Severity, change_ms: u64) -> Self {
        Self { severity_min, change_ms, known: BTreeMap::new() }
    }

    /// Whether to tell of this, as what, and as which notice of the incident.
    pub(crate) fn judge(&mut self, now: Instant, what: What, incident: &Incident) -> Option<(What, u32)> {
        let what = self.worth(now, what, incident)?;
        let notices = self.known.get(&incident.id).map_or(0, |known| known.notices) + 1;
        if what == What::Closed {
            self.known.remove(&incident.id);
        } else {
            let last = Incident { pps_by_second: Vec::new(), top_sources: Vec::new(), ..incident.clone() };
            let (severity, family) = (incident.severity, incident.family);
            self.known.insert(incident.id, Known { severity, family, notices, last, told_at: now });
            if self.known.len() > limits::OPEN_INCIDENTS {
                self.known.pop_first();
            }
        }
        Some((what, notices))
    }

    fn worth(&self, now: Instant, what: What, incident: &Incident) -> Option<What> {
        let severe = incident.severity >= self.severity_min;
        match (self.known.get(&incident.id), what) {
            (Some(_), What::Closed) => Some(What::Closed),
            (None, What::Opened | What::Changed) => severe.then_some(What::Opened),
            (None, What::Closed) => severe.then_some(What::Closed),
            (Some(_), What::Opened) => None,
            (Some(known), What::Changed) => {
                let worse = incident.severity > known.severity || incident.family != known.family;
                let due = now.millis_since(known.told_at) >= self.change_ms;
                (worse || due).then_some(What::Changed)
            }
        }
    }

    /// The receivers will hear of it no more.
    pub(crate) fn forget(&mut self, id: u64) {
        self.known.remove(&id);
    }

    /// Incidents that receivers were told of and that are not over.
    pub(crate) const fn known(&self) -> &BTreeMap<u64, Known> {
        &self.known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(id: u64, severity: Severity) -> Incident {
        Incident { id, severity, ..Incident::default() }
    }

    /// Feeds changes at milliseconds; what passes is told as `what number`.
    fn check(severity_min: Severity, fed: &[(u64, What, Severity)], told: &[&str]) {
        let mut gate = Gate::new(severity_min, 30_000);
        let mut passed = Vec::new();
        for (at_ms, what, severity) in fed {
            let judged = gate.judge(Instant::from_millis(*at_ms), *what, &incident(7, *severity));
            passed.extend(judged.map(|(what, number)| format!("{at_ms} {what:?} {number}")));
        }
        assert_eq!(passed, told);
    }

    use Severity::High;
    use Severity::Low;
    use What::Changed;
    use What::Closed;
    use What::Opened;

    #[test]
    fn l01_opened_changed_closed_each_once_and_changes_not_too_often() {
        let fed = [
            (0, Opened, Low),
            (0, Opened, Low),
            (1_000, Changed, Low),
            (2_000, Changed, High),
            (3_000, Changed, High),
            (32_000, Changed, High),
            (33_000, Closed, High),
        ];
        check(Low, &fed, &["0 Opened 1", "2000 Changed 2", "32000 Changed 3", "33000 Closed 4"]);
    }

    #[test]
    fn l05_what_is_learnt_late_is_opened_then_and_ends() {
        check(High, &[(0, Opened, Low), (1, Changed, High), (2, Closed, Low)], &["1 Opened 1", "2 Closed 2"]);
        check(Low, &[(5, Closed, Low)], &["5 Closed 1"]);
        check(High, &[(0, Opened, Low), (1, Changed, Low), (2, Closed, Low)], &[]);
    }

    #[test]
    fn open_incidents_are_bounded() {
        let mut gate = Gate::new(Low, 30_000);
        for id in 0..2_000 {
            gate.judge(Instant::START, Opened, &incident(id, Low));
        }
        assert_eq!(gate.known().len(), limits::OPEN_INCIDENTS);
        assert_eq!(gate.judge(Instant::START, Closed, &incident(0, Low)), Some((Closed, 1)));
    }
}
