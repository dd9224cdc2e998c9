//! The incident log: JSON lines in segments, appended to and never changed. Bounded in bytes and in records; the
//! oldest segment is dropped. A last line that was torn by a crash costs itself and nothing else.
//!
//! An incident has many records: the last one counts.

use std::collections::BTreeMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use ftagent_api::views::IncidentView;
use serde::Deserialize;
use serde::Serialize;

use super::file;
use crate::limits;

/// Version of a record's form. Fields may come at any time; a record of a newer form is skipped and counted.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'i> {
    version: u32,
    incident: &'i IncidentView,
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    incident: IncidentView,
}

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// The last record of each incident, by id.
    pub(crate) incidents: BTreeMap<u64, IncidentView>,
    /// Lines that cannot be read.
    pub(crate) unreadable: u64,
}

/// The end that is written to. There is one for each state folder, because there is one agent.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    /// The open segment with its size, once something was written.
    segment: Option<Segment>,
    segment_bytes_max: u64,
}

#[derive(Debug)]
struct Segment {
    file: File,
    bytes: u64,
    records: u64,
}

impl Log {
    /// A log in this state folder. Nothing is opened yet.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { folder: folder(state_dir), segment: None, segment_bytes_max: limits::LOG_SEGMENT_BYTES }
    }

    /// Appends a record. After an error nothing of it is in the file, or a torn line that the next one ends.
    pub(crate) fn append(&mut self, incident: &IncidentView) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(&Written { version: VERSION, incident })?;
        line.push(b'\n');
        let result = self.try_append(&line);
        if result.is_err() {
            // Opened anew next time, which finds out where the file really ends.
            self.segment = None;
        }
        result
    }

    fn try_append(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let full = |segment: &Segment| {
            segment.bytes >= self.segment_bytes_max || segment.records >= limits::LOG_SEGMENT_RECORDS
        };
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.open()?,
        };
        if full(&segment) {
            self.rotate()?;
            segment = self.open()?;
        }
        let path = segment_path(&self.folder, 0);
        let written = segment.file.write_all(line).and_then(|()| segment.file.sync_data());
        written.with_context(|| format!("failed to write {}", path.display()))?;
        segment.bytes += line.len() as u64;
        segment.records += 1;
        self.segment = Some(segment);
        Ok(())
    }

    fn open(&self) -> anyhow::Result<Segment> {
        file::private_folder(&self.folder)
            .with_context(|| format!("failed to make {}", self.folder.display()))?;
        let path = segment_path(&self.folder, 0);
        let open = || -> std::io::Result<Segment> {
            let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path)?;
            let mut bytes = file.metadata()?.len();
            if bytes > 0 {
                let mut last = [0];
                file.read_exact_at(&mut last, bytes - 1)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                    bytes += 1;
                }
            }
            let records = BufReader::new(&file).split(b'\n').take_while(Result::is_ok).count() as u64;
            Ok(Segment { file, bytes, records })
        };
        open().with_context(|| format!("failed to open {}", path.display()))
    }

    /// Every segment becomes one older; the oldest is dropped.
    fn rotate(&self) -> anyhow::Result<()> {
        for age in (0..limits::LOG_SEGMENTS - 1).rev() {
            let (from, to) = (segment_path(&self.folder, age), segment_path(&self.folder, age + 1));
            match std::fs::rename(&from, &to) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("failed to rename {}", from.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads the whole log of a state folder; without one there are no incidents.
pub(crate) fn read(state_dir: &Path) -> std::io::Result<Past> {
    let mut past = Past::default();
    for age in (0..limits::LOG_SEGMENTS).rev() {
        match File::open(segment_path(&folder(state_dir), age)) {
            Ok(file) => read_segment(file, &mut past)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(past)
}

fn read_segment(file: File, past: &mut Past) -> std::io::Result<()> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = limits::LOG_RECORD_BYTES as u64;
        if reader.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        match serde_json::from_slice::<Read>(&line) {
            Ok(Read { version: VERSION, incident }) => {
                past.incidents.insert(incident.id, incident);
            }
            _ => past.unreadable += u64::from(!line.trim_ascii().is_empty()),
        }
    }
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("incidents")
}

/// Segment 0 is the one that is written to.
fn segment_path(folder: &Path, age: u32) -> PathBuf {
    folder.join(match age {
        0 => "log.jsonl".to_owned(),
        age => format!("log.{age}.jsonl"),
    })
}

#[cfg(test)]
mod tests {
    use ftagent_api::views::IncidentState;

    use super::*;

    fn incident(id: u64, state: IncidentState) -> IncidentView {
        IncidentView { id, state, says: "a flood".to_owned(), ..IncidentView::default() }
    }

    fn ids(past: &Past) -> Vec<u64> {
        past.incidents.keys().copied().collect()
    }

    #[test]
    fn the_last_record_of_an_incident_counts() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(read(dir.path()).expect("no log is no fault"), Past::default());
        let mut log = Log::new(dir.path());
        for (id, state) in [(1, IncidentState::Open), (2, IncidentState::Open), (1, IncidentState::Closed)] {
            log.append(&incident(id, state)).expect("writable");
        }
        let past = read(dir.path()).expect("readable");
        assert_eq!((ids(&past), past.unreadable), (vec![1, 2], 0));
        assert_eq!(past.incidents[&1], incident(1, IncidentState::Closed));
        assert_eq!(past.incidents[&2].state, IncidentState::Open);
    }

    #[test]
    fn a_torn_last_line_costs_only_itself() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Log::new(dir.path()).append(&incident(1, IncidentState::Closed)).expect("writable");
        let path = segment_path(&folder(dir.path()), 0);
        let whole = std::fs::read(&path).expect("it was written");
        for cut in [1, 9, whole.len() - 2] {
            std::fs::write(&path, [&whole[..], &whole[..cut]].concat()).expect("writable");
            let past = read(dir.path()).expect("readable");
            assert_eq!((ids(&past), past.unreadable), (vec![1], 1), "cut at {cut}");
            Log::new(dir.path()).append(&incident(2, IncidentState::Open)).expect("writable");
            let past = read(dir.path()).expect("readable");
            assert_eq!((ids(&past), past.unreadable), (vec![1, 2], 1), "cut at {cut}");
        }
    }

    #[test]
    fn records_of_newer_forms_and_other_texts_are_skipped_and_counted() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = segment_path(&folder(dir.path()), 0);
        file::private_folder(&folder(dir.path())).expect("writable");
        let long = vec![b'x'; limits::LOG_RECORD_BYTES + 10];
        let odd =
            [&b"{\"version\":99,\"incident\":{\"id\":7}}\nhello\n\xff\xfe\n"[..], &long, b"\n"].concat();
        let odd = [&odd[..], b"{\"version\":1,\"incident\":{\"id\":3,\"of_tomorrow\":1}}\n"].concat();
        std::fs::write(&path, odd).expect("writable");
        let past = read(dir.path()).expect("readable");
        assert_eq!(ids(&past), [3]);
        assert!(past.unreadable >= 4, "{}", past.unreadable);
    }

    #[test]
    fn the_oldest_segment_is_dropped() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut log = Log { segment_bytes_max: 2_000, ..Log::new(dir.path()) };
        for id in 1..=200 {
            log.append(&incident(id, IncidentState::Closed)).expect("writable");
        }
        let past = read(dir.path()).expect("readable");
        assert_eq!(past.incidents.keys().next_back(), Some(&200));
        assert!(!past.incidents.contains_key(&1), "it was in the oldest segment");
        let files: Vec<_> = std::fs::read_dir(folder(dir.path())).expect("a folder").flatten().collect();
        assert_eq!(files.len(), limits::LOG_SEGMENTS as usize);
        let bytes: u64 = files.iter().map(|file| file.metadata().expect("it is there").len()).sum();
        assert!(bytes <= u64::from(limits::LOG_SEGMENTS) * 4_000, "{bytes}");
    }
}
