//! A file with a token, of limited size.

use tokio::io::AsyncReadExt;

use crate::refresh::RefreshError;

/// A token of an identity provider is smaller.
pub(super) const TOKEN_BYTES_MAX: usize = 1 << 20;

pub(super) async fn token_file(file: &str) -> Result<Vec<u8>, RefreshError> {
    let failed = |error: std::io::Error| {
        RefreshError::Answer(format!("external_account: failed to open credential file {file:?}: {error}"))
    };
    let mut bytes = Vec::new();
    let opened = tokio::fs::File::open(file).await.map_err(failed)?;
    opened.take(TOKEN_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() > TOKEN_BYTES_MAX {
        return Err(failed(std::io::Error::other("it is too large for a token")));
    }
    Ok(bytes)
}
