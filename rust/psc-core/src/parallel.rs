//! The crate's own thread pool.
//!
//! A pool belongs to the process that made it: after a `fork` the child has none of its threads, so it makes a new one
//! instead of waiting for ever.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// Items that one task works on: large enough that a shared inversion costs little, small enough to balance.
pub const CHUNK_ITEMS: usize = 256;
const THREADS_MAX: usize = 1024;

static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Return the number of threads that a setting asks for: all cores when it is absent or empty.
pub fn threads_from_setting(setting: Option<&str>) -> Result<usize> {
    match setting {
        None | Some("") => Ok(std::thread::available_parallelism().map_or(1, Into::into)),
        Some(text) => match text.parse() {
            Ok(count) if (1..=THREADS_MAX).contains(&count) => Ok(count),
            _ => Err(Error::Threads { value: text.to_owned() }),
        },
    }
}

/// Run a computation on the pool, whose size `PSC_THREADS` sets when it is first used.
pub fn install<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R> {
    Ok(pool()?.install(work))
}

fn pool() -> Result<Arc<ThreadPool>> {
    let process = std::process::id();
    let mut held = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((owner, pool)) = held.as_ref()
        && *owner == process
    {
        return Ok(Arc::clone(pool));
    }
    let threads = threads_from_setting(crate::setting("PSC_THREADS").as_deref())?;
    let built = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("psc-{i}")).build();
    let pool = Arc::new(built.map_err(|_| Error::Threads { value: threads.to_string() })?);
    if let Some(inherited) = held.replace((process, Arc::clone(&pool))) {
        // Dropping a pool waits for its threads, which a forked child does not have.
        std::mem::forget(inherited);
    }
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        assert!(threads_from_setting(None).unwrap() >= 1);
        assert_eq!(threads_from_setting(Some("")), threads_from_setting(None));
        assert_eq!(threads_from_setting(Some("3")), Ok(3));
        for bad in ["0", "-1", "1025", "many", "2 "] {
            assert_eq!(threads_from_setting(Some(bad)), Err(Error::Threads { value: bad.into() }));
        }
    }
}
