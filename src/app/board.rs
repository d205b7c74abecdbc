//! What the web server serves, out of what export holds.

use super::now_s;
use crate::export::Board;
use crate::export::Format;
use crate::web;

/// The board as the web server sees it.
pub(super) struct Served(pub(super) Board);

impl web::Scrape for Served {
    fn scrape(&self, accept: Option<&str>, gzip: bool) -> web::Scraped {
        let offers = [("text/plain", "0.0.4"), ("application/openmetrics-text", "1.0.0")];
        // Prometheus names both, with weights; whoever names neither gets the text that all can read.
        let format = match web::best(accept, &offers) {
            Some(1) => Format::OpenMetrics,
            _ => Format::Text,
        };
        // Results that nobody renewed are gone at once, whatever the passes do.
        self.0.expire(now_s());
        let scrape = self.0.scrape(format, gzip);
        let (content_type, gzip) = (scrape.content_type, scrape.gzip);
        web::Scraped { content_type, gzip, body: scrape.into_bytes().into() }
    }
}
