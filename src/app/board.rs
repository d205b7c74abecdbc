//! What the web server serves, out of what export holds.

use crate::export::Board;
use crate::export::Format;
use crate::web;

/// The board as the web server sees it.
pub(super) struct Served(pub(super) Board);

impl web::Scrape for Served {
    fn scrape(&self, accept: Option<&str>, gzip: bool) -> web::Scraped {
        let formats = [Format::Text, Format::OpenMetrics];
        let offered = formats.map(|format| format.content_type());
        let format = formats[web::best(accept, &offered)];
        web::Scraped {
            content_type: format.content_type(),
            body: self.0.scrape(format, gzip),
            gzip,
        }
    }
}
