//! A disk that is full, and one that becomes read-only, on a file system of its own. Needs the right to mount one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Orders;
use super::harness::{Directory, REMOTE_WRITE, configure, count, missing, post, shown, start, write_request};
use crate::peer::get;

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
    let server = start(orders, &dir.0, &["--web.enable-remote-write-receiver"])?;
    let mut second = 0;
    let mut write = |expected: bool| -> Result<bool> {
        second += 1;
        let samples: Vec<_> =
            (0..10).map(|n| (n.to_string(), NOW_MS + second * 1000, second as f64)).collect();
        let status = post(server.port, "/api/v1/write", REMOTE_WRITE, &write_request(&samples));
        ensure!(status.is_some(), "the server is gone");
        let taken = status == Some(204);
        ensure!(!expected || taken, "a write was refused with {status:?}");
        Ok(taken)
    };
    let all = |what: &str| {
        let found = shown(server.port, NOW_MS as f64 / 1000.0 + 1000.0, 1);
        found.ok_or_else(|| anyhow::anyhow!("no answer while {what}"))
    };
    for _ in 0..50 {
        write(true)?;
    }
    let kept = all("all is well")?;
    ensure!(count(&kept) == 500, "{} samples", count(&kept));
    let ballast = data.join("ballast");
    let refuse = |make: &dyn Fn() -> bool,
                  end: &dyn Fn() -> bool,
                  what: &str,
                  write: &mut dyn FnMut(bool) -> Result<bool>|
     -> Result<()> {
        ensure!(make(), "the disk cannot be made {what}");
        let refused = (0..20_000).try_fold(0, |refused, _| -> Result<i32> {
            Ok(if refused >= 5 || write(false)? { refused } else { refused + 1 })
        })?;
        ensure!(refused >= 5, "writes went on though the disk was {what}");
        ensure!(missing(&kept, &all(what)?) == 0, "reading lost samples while the disk was {what}");
        ensure!(get(server.port, "/-/healthy").is_ok_and(|(status, _)| status == 200), "not healthy: {what}");
        ensure!(end(), "the disk cannot be made well again");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !write(false)? {
            ensure!(Instant::now() < deadline, "no write was taken again after the disk was {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    };
    let fill = || {
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", "status=none"])
            .arg(format!("of={}", ballast.display()))
            .status();
        true
    };
    refuse(&fill, &|| std::fs::remove_file(&ballast).is_ok(), "full", &mut write)?;
    let kept_after = all("well again")?;
    server.signal("KILL")?;
    drop(server);
    let server = start(orders, &dir.0, &["--web.enable-remote-write-receiver"])?;
    let found = shown(server.port, NOW_MS as f64 / 1000.0 + 1000.0, 1).unwrap_or_default();
    ensure!(missing(&kept_after, &found) == 0, "a kill after the full disk lost samples");
    println!(
        "a full disk: writes refused, reads and health answered, writes taken again by themselves, {} samples after a kill",
        count(&found)
    );
    Ok(())
}
