//! `ftagent record`: the packets of one server from now on, from the running agent into a file.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use ftagent_api::server::RECORD_SECONDS_MAX;
use ftagent_api::server::RecordQuery;

use super::Places;
use super::print;
use crate::exit::Exit;
use crate::exit::Outcome;

/// What to record.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server: its uuid or the beginning of it, its name, or ADDRESS:PORT of one of its ports
    server: String,
    /// For how long, such as 60s or 10m
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = super::print::seconds)]
    seconds: u64,
    /// The file to write (pcapng, opens in Wireshark)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace addresses by others that share the same prefixes, and cut payload that may be a player's
    #[arg(long)]
    anonymise: bool,
}

/// Records until the time is over or somebody presses Ctrl-C. The file is whole either way.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    let seconds = args.seconds.clamp(1, RECORD_SECONDS_MAX);
    let query = RecordQuery { server: args.server.clone(), seconds, anonymise: args.anonymise };
    let mut file: Option<WholeBlocks> = None;
    let mut failed = None;
    super::status::ask(places, async |client| {
        // The file is made once the agent has agreed.
        let mut each = |piece: &[u8]| {
            let made = match &mut file {
                Some(file) => file.write(piece),
                None => WholeBlocks::create(&args.output).and_then(|made| file.insert(made).write(piece)),
            };
            failed = made.err();
            failed.is_none()
        };
        tokio::select! {
            done = client.record(&query, &mut each) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let packets = file.map_or(0, |file| file.packets);
    print::say(&format!("{} packets in {}", print::count(packets), args.output.display()));
    Ok(Exit::Fine)
}

/// Writes a pcapng file block by block, so that it ends between two blocks wherever the stream is cut.
pub(crate) struct WholeBlocks {
    path: PathBuf,
    file: File,
    rest: Vec<u8>,
    packets: u64,
}

/// The type of a packet's block.
const PACKET: u32 = 6;
/// No block of ours is larger.
const BLOCK_BYTES_MAX: usize = 1 << 20;

impl WholeBlocks {
    fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { path: path.to_path_buf(), file: create(path)?, rest: Vec::new(), packets: 0 })
    }

    fn write(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        self.rest.extend_from_slice(piece);
        let mut whole = 0;
        while let Some(header) = self.rest.get(whole..).and_then(|rest| rest.first_chunk::<8>()) {
            let kind = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
            let bytes = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            anyhow::ensure!((12..=BLOCK_BYTES_MAX).contains(&bytes), "the agent sent no capture file");
            if self.rest.len() - whole < bytes {
                break;
            }
            self.packets += u64::from(kind == PACKET);
            whole += bytes;
        }
        let failed = || format!("failed to write {}", self.path.display());
        self.file.write_all(&self.rest[..whole]).with_context(failed)?;
        self.rest.drain(..whole);
        Ok(())
    }
}

/// Makes a file that only its owner can read.
pub(super) fn create(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    made.with_context(|| format!("failed to make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ftagent_capture::CaptureFile;
    use ftagent_capture::Ended;
    use ftagent_capture::write::Bounds;
    use ftagent_capture::write::PcapngWriter;
    use ftagent_core::frame::Frame;
    use ftagent_core::frame::Link;
    use ftagent_core::frame::Passage;
    use ftagent_core::time::Instant;

    #[test]
    fn a_stream_that_is_cut_anywhere_leaves_a_whole_file() {
        let bounds = Bounds { packets_max: 10, bytes_max: 10_000 };
        let mut pcap = PcapngWriter::new(Vec::new(), "cut me", bounds).expect("memory");
        let (at, link, bytes) = (Instant::START, Link::RawIp, &[0x45; 30][..]);
        let frame = Frame { at, link, passage: Passage::Ingress, bytes, wire_bytes: 30, sample_rate: 1 };
        for _ in 0..3 {
            assert!(pcap.frame(&frame, "x").expect("memory"));
        }
        let stream = pcap.into_inner();
        let dir = tempfile::tempdir().expect("a temporary directory");
        for cut in 0..=stream.len() {
            let path = dir.path().join("cut.pcapng");
            let mut file = WholeBlocks::create(&path).expect("writable");
            for piece in stream[..cut].chunks(7) {
                file.write(piece).expect("writable");
            }
            if std::fs::metadata(&path).expect("it is there").len() > 0 {
                let mut read = CaptureFile::open(&path).expect("a capture");
                while read.next_frame().is_some() {}
                assert_eq!(
                    (read.ended(), read.frames()),
                    (Some(&Ended::Clean), file.packets),
                    "cut at {cut}"
                );
            }
        }
        let mut file = WholeBlocks::create(&dir.path().join("no")).expect("writable");
        assert!(file.write(b"HTTP/1.1").is_err());
    }
}
