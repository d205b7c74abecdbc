//! The web configuration file as it is now.
//!
//! Owns: reading it again for each connection and request, as all Prometheus exporters do, so that
//! certificates and users change without a reload.
//! Does not own: its keys (`config`).
//!
//! A bad file is an error at the start. Later it is logged, and the last good one stays: files are
//! seen half-written, and a certificate without its key must not end the service. For the same
//! reason no re-read turns TLS or sign-in off: an emptied file would open the door. That takes a
//! restart.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use sha2::Digest;
use sha2::Sha256;
use tokio::task;
use tokio_rustls::rustls::ServerConfig;

use crate::web::WebError;
use crate::web::config::WebConfig;
use crate::web::tls;

/// Reads and decodes a web configuration file.
pub type Loader = Arc<dyn Fn(&Path) -> Result<WebConfig, String> + Send + Sync>;

/// A good configuration, ready for use.
#[derive(Default)]
pub(super) struct Current {
    pub(super) config: WebConfig,
    /// `None`: plain HTTP.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// Reads and checks everything: the file and the files that it names.
fn load(path: &Path, loader: &Loader) -> Result<Current, Vec<String>> {
    let config = loader(path).map_err(|problem| vec![problem])?;
    let config = config.in_folder(path.parent().unwrap_or(Path::new("")));
    let mut problems = config.problems();
    let http2 = config.http_server_config.http2;
    let tls = config.tls_server_config.as_ref().map(|tls| tls::server_config(tls, http2));
    match tls.transpose() {
        Ok(tls) if problems.is_empty() => Ok(Current { config, tls: tls.map(Arc::new) }),
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.push(problem);
            Err(problems)
        }
    }
}

/// The file, and what it last held.
#[derive(Clone)]
pub(super) struct Live(Option<Arc<File>>);

struct File {
    path: PathBuf,
    loader: Loader,
    last: Mutex<Last>,
}

struct Last {
    /// Of the file and the files that it names, read before they were loaded.
    fingerprint: [u8; 32],
    current: Arc<Current>,
}

impl Live {
    /// Reads the file for the first time; without one, everything is open.
    pub(super) fn new(file: Option<(PathBuf, Loader)>) -> Result<Live, WebError> {
        let Some((path, loader)) = file else { return Ok(Live(None)) };
        match load(&path, &loader) {
            Ok(current) => {
                let last = Last { fingerprint: [0; 32], current: Arc::new(current) };
                Ok(Live(Some(Arc::new(File { path, loader, last: Mutex::new(last) }))))
            }
            Err(problems) => Err(WebError::Config { path, problems }),
        }
    }

    /// What holds now.
    pub(super) async fn current(&self) -> Arc<Current> {
        let Some(file) = self.0.clone() else { return Arc::default() };
        let again = Arc::clone(&file);
        match task::spawn_blocking(move || again.read_again()).await {
            Ok(current) => current,
            // The runtime is going down.
            Err(_) => Arc::clone(&file.last.lock().unwrap_or_else(PoisonError::into_inner).current),
        }
    }
}

impl File {
    fn read_again(&self) -> Arc<Current> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = self.fingerprint(&last.current.config);
        if fingerprint != last.fingerprint {
            // Once for each content, so that a bad file does not fill the log.
            last.fingerprint = fingerprint;
            match load(&self.path, &self.loader).and_then(|new| not_opened(&last.current, new)) {
                Ok(new) => last.current = Arc::new(new),
                Err(problems) => tracing::error!(
                    path = %self.path.display(),
                    problems = problems.join("; "),
                    "bad web configuration file, the last good one stays"
                ),
            }
        }
        Arc::clone(&last.current)
    }

    fn fingerprint(&self, config: &WebConfig) -> [u8; 32] {
        let mut hash = Sha256::new();
        for path in config.files().iter().chain([&self.path]) {
            // A missing file counts as an empty one.
            let bytes = fs::read(path).unwrap_or_default();
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        }
        hash.finalize().into()
    }
}

/// `new`, unless it lets in who had to stay out before.
fn not_opened(old: &Current, new: Current) -> Result<Current, Vec<String>> {
    let mut problems = Vec::new();
    if old.tls.is_some() && new.tls.is_none() {
        problems.push("tls_server_config: gone; to turn TLS off, restart".to_string());
    }
    if !old.config.basic_auth_users.is_empty() && new.config.basic_auth_users.is_empty() {
        problems.push("basic_auth_users: gone; to let everybody in, restart".to_string());
    }
    if problems.is_empty() { Ok(new) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loader() -> Loader {
        Arc::new(|path: &Path| {
            let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
            serde_yaml::from_str(&text).map_err(|error| error.to_string())
        })
    }

    #[tokio::test]
    async fn what_the_file_holds_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        let hash = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze";
        let put = |text: &str| fs::write(&path, text).unwrap();
        put(&format!("basic_auth_users: {{alice: {hash}}}"));
        let live = Live::new(Some((path.clone(), loader()))).unwrap();
        let users = async || {
            live.current().await.config.basic_auth_users.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(users().await, ["alice"]);
        put(&format!("basic_auth_users: {{bob: {hash}}}"));
        assert_eq!(users().await, ["bob"]);
        for bad in ["", "basic_auth_users: {carol: plain}", "{"] {
            put(bad);
            assert_eq!(users().await, ["bob"], "the last good one stays after {bad:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(users().await, ["bob"]);
    }

    #[test]
    fn a_bad_file_at_the_start_is_an_error_with_its_path() {
        let error = Live::new(Some(("/no/web.yml".into(), loader()))).err().unwrap().to_string();
        assert_eq!(error, "/no/web.yml: No such file or directory (os error 2)");
    }
}
