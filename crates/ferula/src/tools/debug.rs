//! `ferula debug …`: collects a server's diagnostic data into `debug.tar.gz`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use ferula_http_client::Method;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::args::{Args, Argument, Command, ValueKind, argument, group};
use super::http::Server;

const ARCHIVE: &str = "debug.tar.gz";
/// Profiles take half a minute.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The size limit of an unpacked profile.
const PROFILE_BYTES_MAX: u64 = 1 << 30;

/// Path on the server, name in the archive.
type ArchivedPage = (&'static str, &'static str);

const PROFILES: [ArchivedPage; 7] = [
    ("/debug/pprof/profile?seconds=30", "cpu.pb"),
    ("/debug/pprof/block", "block.pb"),
    ("/debug/pprof/goroutine", "goroutine.pb"),
    ("/debug/pprof/heap", "heap.pb"),
    ("/debug/pprof/mutex", "mutex.pb"),
    ("/debug/pprof/threadcreate", "threadcreate.pb"),
    (TRACE, "trace.pb"),
];
/// Not compressed, unlike the others.
const TRACE: &str = "/debug/pprof/trace?seconds=30";
const METRICS: [ArchivedPage; 1] = [("/metrics", "metrics.txt")];

const SERVER: Argument = argument("server", ValueKind::Text, "The server to collect from.").required();

/// `debug`
pub const COMMAND: Command = group(
    "debug",
    "Collect a server's diagnostic data into debug.tar.gz.",
    &[
        Command::new("pprof", "Collect the profiles of a Prometheus server.", |args| run(args, &PROFILES))
            .arguments(&[SERVER]),
        Command::new("metrics", "Collect the metrics of a server.", |args| run(args, &METRICS))
            .arguments(&[SERVER]),
        Command::new("all", "Collect profiles and metrics.", |args| {
            run(args, &[&PROFILES[..], &METRICS].concat())
        })
        .arguments(&[SERVER]),
    ],
);

fn run(args: &Args, parts: &[ArchivedPage]) -> ExitCode {
    match collect(args, parts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error completing debug command: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn collect(args: &Args, parts: &[ArchivedPage]) -> Result<()> {
    let address = args.required(SERVER);
    let server = Server::new(args, address, &BTreeMap::new())?;
    let mut entries = Vec::new();
    for (path, name) in parts {
        let shown = format!("{address}{path}");
        println!("collecting: {shown}");
        let (path_only, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = server.at(path_only);
        url.set_raw_query(query);
        let answer = server
            .call(Method::GET, &url, &[], Vec::new(), TIMEOUT)
            .context("error executing HTTP request")?;
        let body = if path.starts_with("/debug/pprof") && *path != TRACE {
            unpacked(&answer.body).context("error post-processing HTTP response body: not a profile")?
        } else {
            answer.body
        };
        entries.push((name, body));
    }
    // An archive exists only once there is something to put into it.
    let file =
        std::fs::File::create(ARCHIVE).with_context(|| format!("error creating archive \"{ARCHIVE}\""))?;
    let mut archive = GzEncoder::new(file, Compression::default());
    for (name, body) in entries {
        write_entry(&mut archive, name, &body).context("error writing into the archive")?;
    }
    // Two empty blocks end an archive.
    archive.write_all(&[0; 2 * BLOCK_BYTES]).context("error closing archive writer")?;
    archive.finish().context("error closing archive writer")?;
    println!("Compiling debug information complete, all files written in \"{ARCHIVE}\".");
    Ok(())
}

fn unpacked(profile: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    GzDecoder::new(profile).take(PROFILE_BYTES_MAX).read_to_end(&mut out)?;
    Ok(out)
}

/// An archive consists of blocks of this size.
const BLOCK_BYTES: usize = 512;

/// One file of a tar archive, in the `ustar` form.
fn write_entry(out: &mut impl Write, name: &str, body: &[u8]) -> std::io::Result<()> {
    let mut header = [0u8; BLOCK_BYTES];
    let size = format!("{:011o}", body.len());
    let fields: [(usize, &[u8]); 8] = [
        (0, name.as_bytes()),
        (100, b"0000666\0"),
        (108, b"0000000\0"),
        (116, b"0000000\0"),
        (124, size.as_bytes()),
        (136, b"00000000000\0"),
        (156, b"0"),
        (257, b"ustar\x0000"),
    ];
    for (at, bytes) in fields {
        header[at..at + bytes.len()].copy_from_slice(bytes);
    }
    // The checksum counts its own field as spaces.
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.write_all(&header)?;
    out.write_all(body)?;
    out.write_all(&vec![0; body.len().next_multiple_of(BLOCK_BYTES) - body.len()])
}
