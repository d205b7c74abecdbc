//! What the web server serves, out of what export holds.

use super::now_s;
use crate::export::Board;
use crate::export::Format;
use crate::export::Scrape;
use crate::web;

/// The board as the web server sees it.
pub(super) struct Served(pub(super) Board);

impl web::Scrape for Served {
    fn scrape(&self, accept: Option<&str>, gzip: bool) -> web::Scraped {
        let format = format(accept);
        // Results that nobody renewed are gone at once, whatever the passes do.
        self.0.expire(now_s());
        let Scrape { content_type, gzip, parts } = self.0.scrape(format, gzip);
        web::Scraped { content_type, gzip, parts }
    }
}

/// Prometheus names both, with weights; whoever names neither gets the text that all can read.
fn format(accept: Option<&str>) -> Format {
    let offers = [("text/plain", "0.0.4"), ("application/openmetrics-text", "1.0.0")];
    match web::best(accept, &offers) {
        Some(1) => Format::OpenMetrics,
        _ => Format::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_that_is_preferred() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;q=0.2,*/*;q=0.1";
        let open = [
            prometheus,
            "application/openmetrics-text",
            "text/plain;q=0.5, application/openmetrics-text",
        ];
        for accept in open {
            assert_eq!(format(Some(accept)), Format::OpenMetrics, "{accept}");
        }
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let text =
            ["", "*/*", browser, "application/openmetrics-text;q=0, text/plain", "text/plain;q=x"];
        for accept in text {
            assert_eq!(format(Some(accept)), Format::Text, "{accept}");
        }
        let second = "text/plain;q=0.6,application/openmetrics-text;q=0.5";
        assert_eq!(format(Some(second)), Format::Text);
    }
}
