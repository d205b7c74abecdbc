//! README's first command: a simulated cluster, scores within a minute, a fault found within five.

use std::time::Instant;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::http;
use crate::lab::portent::Portent;
use crate::lab::secs;

#[test]
fn scores_within_a_minute_and_a_fault_found_within_five() {
    let lab = Lab::heavy("demo");
    let started = Instant::now();
    let portent = Portent::demo(&lab, free_port());
    lab.until("scores of CoreDNS and of ports", secs(60), || {
        portent.score("coredns")?;
        portent.score("ports")
    });
    // Nothing has happened yet: who pages now, pages always.
    assert!(portent.score("coredns").unwrap() < 1.0);
    let page = http::get(&portent.url("/")).unwrap();
    assert_eq!(page.status, 200);
    assert!(page.body.contains("/metrics"), "{}", page.body);
    let left = secs(300).saturating_sub(started.elapsed());
    lab.until("an anomaly of CoreDNS", left, || {
        let of = [("watch", "coredns"), ("detector", "combined")];
        portent.metrics().value("portent_anomaly", &of).filter(|anomaly| *anomaly == 1.0)
    });
    portent.terminate(&lab);
}
