//! Runs programs that print credentials, as named in kubeconfig files and AWS profiles.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// Why a program's output cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("cannot start {program}: {}", crate::error::io_text(.error))]
    Start { program: String, error: std::io::Error },
    /// `message` is the first line of its error output.
    #[error("{program} failed with {status}: {message}")]
    Failed { program: String, status: String, message: String },
    #[error("{program} printed more than {bytes_max} bytes")]
    TooLarge { program: String, bytes_max: usize },
    #[error("{program} did not finish within {}s", .after.as_secs())]
    Timeout { program: String, after: Duration },
}

/// Runs a program to its end and returns its output. A program that takes too long or prints too much is
/// killed.
///
/// # Errors
/// It cannot be started, fails, or exceeds a bound.
pub async fn output(
    mut command: Command,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Vec<u8>, ProgramError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let read_error = |error| ProgramError::Start { program: program.clone(), error };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(read_error)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let (printed, message) = tokio::try_join!(read(stdout, bytes_max), read(stderr, bytes_max))?;
        Ok::<_, std::io::Error>((printed, message, child.wait().await?))
    };
    let ended = tokio::time::timeout(timeout, run).await;
    let ended = ended.map_err(|_| ProgramError::Timeout { program: program.clone(), after: timeout })?;
    let (printed, message, status) = ended.map_err(read_error)?;
    if printed.len() > bytes_max {
        return Err(ProgramError::TooLarge { program, bytes_max });
    }
    if !status.success() {
        let message = String::from_utf8_lossy(&message);
        let message = message.lines().next().unwrap_or_default().to_owned();
        return Err(ProgramError::Failed { program, status: status.to_string(), message });
    }
    Ok(printed)
}

/// Reads to the end, or one byte beyond the limit. The pipe is then closed, which ends a program that prints
/// without end.
async fn read(pipe: Option<impl AsyncRead + Unpin>, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(bytes_max as u64 + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, timeout: Duration) -> Result<String, String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let printed = output(command, 1000, timeout).await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    #[tokio::test]
    async fn what_a_program_prints_is_bounded_in_size_and_time() {
        let long = Duration::from_secs(30);
        assert_eq!(shell("echo out; echo err >&2", long).await, Ok("out\n".to_owned()));
        let failed = shell("echo first >&2; echo second >&2; exit 3", long).await;
        assert_eq!(failed, Err("/bin/sh failed with exit status: 3: first".to_owned()));
        assert_eq!(
            shell("while :; do echo y; done", long).await,
            Err("/bin/sh printed more than 1000 bytes".to_owned())
        );
        let slow = shell("while :; do :; done", Duration::from_millis(50)).await;
        assert_eq!(slow, Err("/bin/sh did not finish within 0s".to_owned()));
        let missing = output(Command::new("/proc/nowhere/program"), 10, long).await;
        let missing = missing.expect_err("there is none").to_string();
        assert_eq!(missing, "cannot start /proc/nowhere/program: no such file or directory");
    }
}
