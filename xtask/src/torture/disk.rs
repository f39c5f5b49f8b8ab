//! A disk that is full for a time, on a file system of its own. Needs the right to mount one.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::harness::{
    Directory, REMOTE_WRITE, ShownSamples, configure, count, missing, post, shown, start, write_request,
};
use super::orders::Orders;
use crate::peer::{Process, get};

const NOW_MS: i64 = 1_700_000_000_000;

/// A small file system in memory, unmounted at the end.
struct Mount<'a>(&'a Path);

impl Mount<'_> {
    fn command(&self, args: &[&str]) -> bool {
        Command::new("mount").args(args).arg(self.0).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// A server on the small file system, and how many seconds of samples it was sent.
struct DiskTrial<'a> {
    orders: &'a Orders,
    dir: &'a Path,
    server: Process,
    seconds: i64,
}

impl DiskTrial<'_> {
    /// Sends one sample for each of ten series. Returns whether they were taken.
    fn write(&mut self) -> Result<bool> {
        self.seconds += 1;
        let time = NOW_MS + self.seconds * 1000;
        let samples: Vec<_> = (0..10).map(|n| (n.to_string(), time, self.seconds as f64)).collect();
        let status = post(self.server.port, "/api/v1/write", REMOTE_WRITE, &write_request(&samples));
        ensure!(status.is_some(), "the server is gone");
        Ok(status == Some(204))
    }

    /// All samples that the server has.
    fn shown(&self, when: &str) -> Result<ShownSamples> {
        let found = shown(self.server.port, NOW_MS as f64 / 1000.0 + 1000.0, 1);
        found.with_context(|| format!("no answer {when}"))
    }

    /// Writes until the full disk refuses, and checks that what was stored can still be read.
    fn fill_up(&mut self, kept: &ShownSamples) -> Result<()> {
        let mut refused = 0;
        for _ in 0..20_000 {
            refused += i32::from(!self.write()?);
            if refused == 5 {
                break;
            }
        }
        ensure!(refused == 5, "writes continued though the disk was full");
        ensure!(missing(kept, &self.shown("while the disk is full")?) == 0, "reading lost samples");
        let is_healthy = get(self.server.port, "/-/healthy").is_ok_and(|(status, _)| status == 200);
        ensure!(is_healthy, "not healthy while the disk is full");
        Ok(())
    }

    /// Waits until a write is taken again.
    fn recover(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.write()? {
            ensure!(Instant::now() < deadline, "no write was taken again after there was room");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn kill_and_start(&mut self) -> Result<()> {
        self.server.signal("KILL")?;
        self.server = serve(self.orders, self.dir)?;
        Ok(())
    }
}

fn serve(orders: &Orders, dir: &Path) -> Result<Process> {
    start(orders, dir, &["--web.enable-remote-write-receiver"])
}

pub fn run(orders: &Orders) -> Result<()> {
    let dir = Directory::new("disk")?;
    configure(&dir.0, "")?;
    let data = dir.0.join("data");
    std::fs::create_dir_all(&data)?;
    let mount = Mount(&data);
    if !mount.command(&["-t", "tmpfs", "-o", "size=24m", "torture"]) {
        println!("LEFT OUT: no file system can be mounted here");
        return Ok(());
    }
    let mut trial = DiskTrial { orders, dir: &dir.0, server: serve(orders, &dir.0)?, seconds: 0 };
    for _ in 0..50 {
        ensure!(trial.write()?, "a write was refused while there was room");
    }
    let kept = trial.shown("while there is room")?;
    ensure!(count(&kept) == 500, "{} samples", count(&kept));
    let ballast = data.join("ballast");
    fill(&ballast)?;
    trial.fill_up(&kept)?;
    std::fs::remove_file(&ballast)?;
    trial.recover()?;
    let kept = trial.shown("when there is room again")?;
    trial.kill_and_start()?;
    let found = trial.shown("after a kill")?;
    ensure!(missing(&kept, &found) == 0, "a kill after the full disk lost samples");
    println!(
        "a full disk: writes refused, reads and health answered, writes taken again by themselves, {} samples after a kill",
        count(&found)
    );
    Ok(())
}

/// Fills the file system with a file of zeros.
fn fill(ballast: &Path) -> Result<()> {
    let mut file = File::create(ballast)?;
    while file.write_all(&[0; 64 << 10]).is_ok() {}
    Ok(())
}
