//! Fetches pages over HTTP.
//!
//! The client is `ferula-http-client`'s; here is what a scrape requests and how the page is read. A body is read
//! completely, decompressed completely, and bounded twice: by the job's `body_size_limit` (or a default), and by the
//! memory for all pages together ([`PageMemory`]).
//!
//! Always true: a page is decompressed on a thread for blocking work, unless its result is below [`SMALL_PAGE_BYTES`], which takes
//! a tenth of a millisecond, less than what a way to another thread and back costs all threads;
//! the size that a page claims determines how much memory is reserved for it, but neither where it is decompressed nor
//! how large it may become.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ferula_http_client::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue,
};
use ferula_http_client::{HttpClient, Method, Request, RequestError, Response, StatusCode};
use ferula_runtime::clock::Sleep;
use tokio::sync::Semaphore;

use crate::body_pieces::BodyPieces;
use crate::fetch::{Fetch, FetchError, Fetching, Page};
use crate::options::JobOptions;
use crate::packing::Packing;
use crate::page_buffers::{PageBuffers, SMALL_PAGE_BYTES};
use crate::page_memory::{PageMemory, PageShare};
use crate::target::Target;
use crate::unpack_error::UnpackError;

/// The `User-Agent` of requests: the version whose behaviour this is.
pub const USER_AGENT_TEXT: &str = "Prometheus/3.14.0";

/// The size limit of pages for jobs without a limit.
pub const DEFAULT_BODY_BYTES_MAX: u64 = 256 << 20;

/// State shared by the fetches of all jobs.
#[derive(Clone, Debug)]
pub struct PageReading {
    pub memory: PageMemory,
    buffers: PageBuffers,
    /// Limits how many pages are decompressed at the same time.
    inflating: Arc<Semaphore>,
}

impl PageReading {
    /// Creates it with this memory for pages.
    pub fn new(memory: PageMemory) -> Self {
        let parallel = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        PageReading { memory, buffers: PageBuffers::default(), inflating: Arc::new(Semaphore::new(parallel)) }
    }
}

/// Fetches the page of one target.
pub struct HttpFetch {
    client: HttpClient,
    reading: PageReading,
    /// The request to send each time, or why it is invalid.
    request: Result<Request, Arc<RequestError>>,
    url: String,
    body_bytes_limit: u64,
    /// zstd was offered.
    with_zstd: bool,
}

impl HttpFetch {
    /// Creates the fetcher for a target of a job.
    pub(crate) fn new(client: HttpClient, reading: PageReading, target: &Target, job: &JobOptions) -> Self {
        let request = Request::new(Method::GET, &target.url).map_err(Arc::new).map(|request| {
            let request = request.headers(headers(target, job));
            match target.unix_socket() {
                Some(path) => request.over_unix_socket(Arc::from(Path::new(path))),
                None => request,
            }
        });
        HttpFetch {
            client,
            reading,
            request,
            url: target.url.clone(),
            body_bytes_limit: job.body_bytes_limit,
            with_zstd: job.compression && job.features.zstd,
        }
    }

    async fn get(&self, mut deadline: Sleep) -> Result<Page, FetchError> {
        let request = match &self.request {
            Ok(request) => request.clone(),
            Err(error) => return Err(FetchError::Request(error.clone())),
        };
        let response = tokio::select! {
            response = self.client.send(request) => response.map_err(FetchError::from)?,
            () = &mut deadline => return Err(RequestError::deadline(&Method::GET, &self.url).into()),
        };
        tokio::select! {
            page = self.page(response) => page,
            () = &mut deadline => Err(FetchError::BodyDeadline),
        }
    }

    async fn page(&self, response: Response) -> Result<Page, FetchError> {
        if response.status() != StatusCode::OK {
            let status = response.status_text().to_owned();
            // The body is useless, but reading it keeps the connection.
            response.drain().await;
            return Err(FetchError::Status(status));
        }
        let content_type = response.header_text(&CONTENT_TYPE);
        let packing = Packing::of_answer(&response.header_text(&CONTENT_ENCODING), self.with_zstd);
        let (body, share) = self.body(response).await?;
        let (body, mut share) = match packing {
            Some(packing) => self.unpacked(packing, body, share).await?,
            None => (body, share),
        };
        PageMemory::shrink(&mut share, body.len());
        Ok(Page { body, content_type, share: Some(share) })
    }

    /// Reads the body as it arrives.
    async fn body(&self, mut response: Response) -> Result<(Bytes, PageShare), FetchError> {
        let limit = self.limit();
        let memory = &self.reading.memory;
        let stated = response.header_text(&CONTENT_LENGTH).parse::<u64>().ok();
        if stated.is_some_and(|stated| stated >= limit.bytes) {
            return Err(limit.error);
        }
        // If the length is known, memory is reserved before anything is read, so nothing is held while waiting for it.
        let mut share = match stated.and_then(|stated| usize::try_from(stated).ok()) {
            Some(stated) => memory.share(stated, None).await,
            None => memory.larger_room(None, limit.usize()).await,
        };
        let reserved =
            stated.and_then(|stated| usize::try_from(stated).ok()).map(|stated| stated.min(share.bytes()));
        let mut body = BodyPieces::new(reserved);
        while let Some(chunk) = response.chunk().await? {
            let length = body.bytes() + chunk.len();
            // Compressed bytes may not exceed the limit either, because the page would be even larger.
            if length as u64 >= limit.bytes {
                return Err(limit.error);
            }
            while length > share.bytes() {
                let before = share.bytes();
                share = memory.larger_room(Some(share), limit.usize()).await;
                if share.bytes() <= before {
                    // The last class: this page already has all that pages may take.
                    return Err(FetchError::NoMemory(before));
                }
            }
            body.push(chunk);
        }
        Ok((body.joined(), share))
    }

    /// Decompresses a page. If its share is too small, it waits for a larger one and is decompressed
    /// again: a thread that waited for memory would block others.
    async fn unpacked(
        &self,
        packing: Packing,
        body: Bytes,
        mut share: PageShare,
    ) -> Result<(Bytes, PageShare), FetchError> {
        let limit = self.limit();
        let most = SMALL_PAGE_BYTES.min(limit.usize());
        if let Some(plain) = packing.unpack_small(&body, most, &self.reading.buffers) {
            return Ok((plain, share));
        }
        let expected = packing.expected_bytes(&body).min(limit.usize());
        share = self.reading.memory.share(body.len() + expected, Some(share)).await;
        loop {
            let slot = self.reading.inflating.clone().acquire_owned().await;
            let slot = slot.expect("this semaphore is never closed");
            let (compressed, room) = (body.clone(), share.bytes().saturating_sub(body.len()));
            let most = limit.usize();
            // The share and the slot are held until the work ends, even if nothing waits for it any more.
            let work = tokio::task::spawn_blocking(move || {
                let inflated = packing.unpack(&compressed, room, most);
                drop(slot);
                (inflated, share)
            });
            let (inflated, held) = work.await.map_err(|error| FetchError::Internal(error.to_string()))?;
            share = held;
            match inflated {
                Ok(plain) => return Ok((plain.into(), share)),
                Err(UnpackError::NoRoom) => {
                    let before = share.bytes();
                    share = self.reading.memory.larger_room(Some(share), limit.usize()).await;
                    if share.bytes() <= before {
                        return Err(FetchError::NoMemory(before));
                    }
                }
                Err(UnpackError::TooLarge) => return Err(limit.error),
                Err(error) => return Err(FetchError::Unpack(error)),
            }
        }
    }

    fn limit(&self) -> Limit {
        match self.body_bytes_limit {
            0 => Limit {
                bytes: DEFAULT_BODY_BYTES_MAX,
                error: FetchError::DefaultBodySizeLimit(DEFAULT_BODY_BYTES_MAX),
            },
            bytes => Limit { bytes, error: FetchError::BodySizeLimit },
        }
    }
}

fn headers(target: &Target, job: &JobOptions) -> HeaderMap {
    let text = |text: &str| HeaderValue::from_str(text).expect("built from fixed texts and numbers");
    let timeout = ferula_go::float::format_f(target.timeout.as_secs_f64());
    HeaderMap::from_iter([
        (ACCEPT, text(&job.accept)),
        (ACCEPT_ENCODING, HeaderValue::from_static(Packing::offered(job.compression, job.features.zstd))),
        (HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), text(&timeout)),
    ])
}

/// The size that a page must stay below, and the error if it does not.
struct Limit {
    bytes: u64,
    error: FetchError,
}

impl Limit {
    fn usize(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }
}

impl Fetch for HttpFetch {
    fn fetch(&self, deadline: Sleep) -> Fetching<'_> {
        Box::pin(self.get(deadline))
    }
}

#[cfg(test)]
mod tests;
