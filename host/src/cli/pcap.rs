//! `ftagent incidents pcap N`: the packets of an incident, as they are or fit to be given away.

use std::io::BufWriter;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use ftagent_capture::Anonymiser;
use ftagent_capture::CaptureFile;
use ftagent_capture::write::Bounds;
use ftagent_capture::write::PcapngWriter;
use ftagent_core::frame::Frame;

use super::Places;
use super::print;
use super::record::create;
use crate::agent::recorder;
use crate::config;
use crate::exit::Exit;
use crate::exit::Failure;
use crate::exit::Outcome;

/// Which packets.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The incident's number
    id: u64,
    /// Replace addresses by others that share the same prefixes, and cut payload but for what was hostile
    #[arg(long)]
    share: bool,
    /// The file to write [default: incident-N.pcapng, with --share incident-N-share.pcapng]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes the packets that were kept of an incident. Works without a running agent.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    let config = config::load(places)?;
    let Some(kept) = recorder::find(&config, args.id) else {
        let error = anyhow::anyhow!("no packets of incident {} are kept", args.id);
        let hint = "packets are kept with `pcap = \"heads\"` or \"full\" in `[forensics]`, for its `days`";
        return Err(Failure::new(Exit::Usage, error).hint(hint));
    };
    let name = if args.share {
        format!("incident-{}-share.pcapng", args.id)
    } else {
        format!("incident-{}.pcapng", args.id)
    };
    let output = args.output.clone().unwrap_or_else(|| name.into());
    let mut file = CaptureFile::open(&kept)?;
    let anonymiser = args.share.then(|| recorder::anonymiser(&config.state_dir)).transpose()?;
    let packets = copy(&mut file, anonymiser.as_ref(), args.id, &output)?;
    print::say(&format!("{} packets in {}", print::count(packets), output.display()));
    if let Some(ended) = file.ended().filter(|ended| **ended != ftagent_capture::Ended::Clean) {
        print::say(&format!("warning: {ended}"));
    }
    Ok(Exit::Fine)
}

/// Writes it anew, packet by packet: so also a file that is still being written gives a whole one.
fn copy(
    file: &mut CaptureFile,
    anonymiser: Option<&Anonymiser>,
    id: u64,
    output: &std::path::Path,
) -> anyhow::Result<u64> {
    let failed = || format!("failed to write {}", output.display());
    let mut writer: Option<PcapngWriter<_>> = None;
    let mut open = Some(BufWriter::new(create(output)?));
    let (mut line, mut bytes, mut packets) = (Vec::new(), Vec::new(), 0);
    while let Some(frame) = file.next_frame() {
        let Frame { at, link, wire_bytes, sample_rate, .. } = frame;
        bytes.clear();
        bytes.extend_from_slice(frame.bytes);
        let whole = Frame { at, link, passage: file.direction(), bytes: &bytes, wire_bytes, sample_rate };
        let shown = match anonymiser {
            None => whole,
            Some(anonymiser)
                if anonymiser.frame(&whole, recorder::shareable_bytes(file.comment()), &mut line) =>
            {
                Frame { bytes: &line, ..whole }
            }
            Some(_) => continue,
        };
        if let Some(sink) = open.take() {
            let says = match anonymiser {
                None => file.section_comment().to_owned(),
                Some(_) => format!("ftagent incident {id}, addresses replaced, payload cut"),
            };
            let bounds = Bounds { packets_max: u64::MAX, bytes_max: u64::MAX };
            writer = Some(PcapngWriter::new(sink, &says, bounds).with_context(failed)?);
        }
        let Some(writer) = &mut writer else { continue };
        packets += u64::from(writer.frame(&shown, file.comment()).with_context(failed)?);
    }
    match writer {
        Some(mut writer) => writer.sink().flush().with_context(failed)?,
        None => anyhow::bail!("nothing was kept of it yet"),
    }
    Ok(packets)
}
