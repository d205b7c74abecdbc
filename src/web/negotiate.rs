//! `Accept` and `Accept-Encoding`: what a client would rather have (RFC 9110 §12.5).
//!
//! Owns: the reading of q-values. Does not own: what there is to choose from.

/// The best of `offers` (media types without parameters, best first) for this `Accept` header;
/// the first without a header, `None` if the header excludes all.
///
/// `version` is a parameter that some clients add: a range that names another version than an
/// offer's (`""` for any) does not mean that offer.
pub fn best(accept: Option<&str>, offers: &[(&str, &str)]) -> Option<usize> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return (!offers.is_empty()).then_some(0);
    };
    let ranges: Vec<Range> = accept.split(',').filter_map(Range::read).collect();
    let mut best: Option<(usize, f64)> = None;
    for (i, (media, version)) in offers.iter().enumerate() {
        let fitting = ranges.iter().filter_map(|r| Some((r.specificity(media, version)?, r.q)));
        // The most specific range decides; of equally specific ones, the kindest.
        let decisive = fitting.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        if let Some((_, q)) = decisive
            && q > 0.0
            && best.is_none_or(|(_, known)| q > known)
        {
            best = Some((i, q));
        }
    }
    best.map(|(i, _)| i)
}

/// Whether this `Accept-Encoding` header takes gzip.
pub(super) fn accepts_gzip(header: Option<&str>) -> bool {
    let ranges: Vec<Range> =
        header.unwrap_or_default().split(',').filter_map(Range::read).collect();
    let q = |name: &str| ranges.iter().find(|r| r.name.eq_ignore_ascii_case(name)).map(|r| r.q);
    q("gzip").or_else(|| q("x-gzip")).or_else(|| q("*")).is_some_and(|q| q > 0.0)
}

/// One element of such a header.
#[derive(Debug)]
struct Range<'a> {
    name: &'a str,
    version: Option<&'a str>,
    q: f64,
}

impl Range<'_> {
    fn read(text: &str) -> Option<Range<'_>> {
        let mut parts = text.split(';').map(str::trim);
        let mut range =
            Range { name: parts.next().filter(|n| !n.is_empty())?, version: None, q: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "q" | "Q" => range.q = value.parse().ok().filter(|q| (0.0..=1.0).contains(q))?,
                "version" => range.version = Some(value),
                _ => {}
            }
        }
        Some(range)
    }

    /// How closely this range describes an offer; `None` if it does not.
    fn specificity(&self, media: &str, version: &str) -> Option<u8> {
        let kind = media.split_once('/')?.0;
        if self.name == "*/*" {
            return Some(0);
        }
        if let Some(range) = self.name.strip_suffix("/*") {
            return range.eq_ignore_ascii_case(kind).then_some(1);
        }
        let same_version = |asked: &str| version.is_empty() || asked == version;
        let fits = self.name.eq_ignore_ascii_case(media) && self.version.is_none_or(same_version);
        fits.then_some(if self.version.is_some() { 3 } else { 2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERS: [(&str, &str); 2] =
        [("text/plain", "0.0.4"), ("application/openmetrics-text", "1.0.0")];

    #[test]
    fn the_highest_q_wins() {
        // What Prometheus 2 and 3 send.
        let v2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                  version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let v3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/\
                  openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;\
                  q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, chosen) in [
            (v2, Some(1)),
            (v3, Some(1)),
            ("*/*", Some(0)),
            ("", Some(0)),
            ("text/*;q=0.1, application/openmetrics-text;q=0.2", Some(1)),
            ("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;q=0.5", Some(0)),
            ("application/openmetrics-text;q=0,*/*", Some(0)),
            ("application/openmetrics-text; version=2.0.0", None),
            ("text/html,*/*;q=0.8", Some(0)),
            ("image/png", None),
            ("text/plain;q=0", None),
            ("APPLICATION/OpenMetrics-Text", Some(1)),
            (";;,q=,*/*;q=x", None),
        ] {
            assert_eq!(best(Some(accept), &OFFERS), chosen, "{accept}");
        }
        assert_eq!(best(None, &OFFERS), Some(0));
    }

    #[test]
    fn gzip_is_taken_only_if_offered() {
        for yes in ["gzip", "deflate, gzip;q=0.5", "*", "GZIP", "x-gzip", "gzip ; q=1"] {
            assert!(accepts_gzip(Some(yes)), "{yes}");
        }
        for no in ["", "deflate", "gzip;q=0", "gzip;q=0, *", "identity", "*;q=0"] {
            assert!(!accepts_gzip(Some(no)), "{no}");
        }
        assert!(!accepts_gzip(None));
    }
}
