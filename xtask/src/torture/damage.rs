//! Damage of every kind at random places of every kind of file, one and two at a time.
//!
//! The start comes, invents nothing, tells of everything that is gone, and the second start finds what the first did.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::harness::{
    Directory, REMOTE_WRITE, Random, configure, count, metric, missing, post, shown, start, write_request,
};
use super::orders::Orders;

const FLAGS: [&str; 5] = [
    "--web.enable-remote-write-receiver",
    "--storage.tsdb.min-block-duration=1m",
    "--storage.tsdb.max-block-duration=1m",
    "--storage.tsdb.samples-per-chunk=20",
    "--storage.tsdb.retention.time=30d",
];
const END_MS: i64 = 1_700_000_000_000;

pub fn run(orders: &Orders) -> Result<()> {
    let dir = Directory::new("damage")?;
    configure(&dir.0, "")?;
    let whole = dir.0.join("whole");
    {
        let server = start(orders, &dir.0, &FLAGS)?;
        for second in 0..600i64 {
            let at = END_MS - 600_000 + second * 1000;
            let mut samples: Vec<_> = (0..10).map(|n| (n.to_string(), at, second as f64)).collect();
            if second % 9 == 8 {
                samples = vec![("3".to_owned(), at - 20_000 + 1, second as f64)];
            }
            let status = post(server.port, "/api/v1/write", REMOTE_WRITE, &write_request(&samples));
            ensure!(status == Some(204), "{status:?}");
        }
        server.signal("KILL")?;
    }
    copy(&dir.0.join("data"), &whole)?;
    let mut random = Random(orders.seed);
    let (mut damages, mut told, mut lost_all) = (0u64, 0u64, 0usize);
    let begin = Instant::now();
    let mut before = None;
    while begin.elapsed() < orders.time || damages < 4 {
        let data = dir.0.join("data");
        let _ = std::fs::remove_dir_all(&data);
        copy(&whole, &data)?;
        let mut done = Vec::new();
        // The first time nothing is damaged.
        if before.is_some() {
            for _ in 0..=random.below(2) {
                done.push(one(&data, &mut random)?);
                damages += 1;
            }
        }
        let server = start(orders, &dir.0, &FLAGS).with_context(|| format!("{done:?}"))?;
        let found =
            shown(server.port, END_MS as f64 / 1000.0, 2).with_context(|| format!("no answer: {done:?}"))?;
        let noted = metric(server.port, "ferula_tsdb_damage_total");
        server.signal("KILL")?;
        drop(server);
        let Some(whole) = &before else {
            ensure!(count(&found) > 5_000 && noted == 0.0, "{} samples, {noted} damages", count(&found));
            before = Some(found);
            continue;
        };
        let lost = missing(whole, &found);
        ensure!(missing(&found, whole) == 0, "samples from nowhere after {done:?}");
        ensure!(lost == 0 || noted > 0.0, "{lost} samples are gone in silence after {done:?}");
        let server = start(orders, &dir.0, &FLAGS).with_context(|| format!("second start: {done:?}"))?;
        let again = shown(server.port, END_MS as f64 / 1000.0, 2)
            .with_context(|| format!("second start: {done:?}"))?;
        let later = missing(&found, &again);
        ensure!(later == 0, "{later} more samples are gone at the second start after {done:?}");
        (told, lost_all) = (told + u64::from(noted > 0.0), lost_all + lost);
    }
    println!("{damages} damages, {told} starts that told of some, {lost_all} samples lost, none in silence");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status()?;
    ensure!(status.success(), "copying {}", from.display());
    Ok(())
}

fn files(dir: &Path, all: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, all)?;
        } else {
            all.push(path);
        }
    }
    Ok(())
}

/// Damages a file in one way; returns what was done. A chunk that is damaged inside of a block is an error of the query that
/// reads it, so bits are flipped elsewhere only.
fn one(data: &Path, random: &mut Random) -> Result<String> {
    let mut all = Vec::new();
    files(data, &mut all)?;
    all.sort();
    let of_block = |path: &Path| path.components().any(|part| part.as_os_str().len() == 26);
    let other = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        ["queries.active", "lock", "index", "meta.json"].contains(&name)
            || of_block(path) && path.parent().is_some_and(|dir| dir.ends_with("chunks"))
    };
    all.retain(|path| !other(path));
    ensure!(!all.is_empty(), "nothing to damage");
    let path = all[random.below(all.len() as u64) as usize].clone();
    let mut bytes = std::fs::read(&path)?;
    let at = random.below(bytes.len() as u64) as usize;
    let what = match random.below(7) {
        0 => {
            std::fs::remove_file(&path)?;
            return Ok(format!("{} removed", path.display()));
        }
        1 => {
            bytes.clear();
            "emptied"
        }
        2 => {
            bytes.truncate(at);
            "cut"
        }
        3 => {
            bytes.fill(0);
            "zeroed"
        }
        4 => {
            let end = bytes.len().min(at + 4096);
            bytes[at..end].fill(0);
            "4 KiB zeroed"
        }
        5 => {
            let other = &all[random.below(all.len() as u64) as usize];
            let same_kind = other.parent() == path.parent() && *other != path;
            if same_kind {
                let others = std::fs::read(other)?;
                std::fs::write(other, &bytes)?;
                bytes = others;
                "exchanged with another"
            } else {
                bytes.truncate(at);
                "cut"
            }
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
            "a bit flipped"
        }
    };
    std::fs::write(&path, bytes)?;
    Ok(format!("{} {what} at {at}", path.display()))
}
