//! What is asked for: the names of a cluster, of the world outside, and of neither.
//!
//! Owns: zone files and the questions of each kind. Does not own: how often each is asked (`load`).

use std::fmt::Write as _;

use portent::math::dice;
use portent::math::random::Random;
use portent::scenario::world::Kind;

use super::wire::rtype;

/// Services of the cluster, in namespaces of ten.
pub(crate) const SERVICES: usize = 160;
const EXTERNAL: usize = 240;
/// What pods in Kubernetes try before a name as it stands: `ndots:5` and three search domains.
const SEARCH: [&str; 3] = ["shop.svc.cluster.local.", "svc.cluster.local.", "cluster.local."];

/// A name, its type, and whether the asker speaks EDNS.
pub(crate) fn question(kind: Kind, random: &mut Random) -> (String, u16, bool) {
    // glibc asks for both at once; every third pod has no IPv6.
    let address = if random.unit() < 0.4 { rtype::AAAA } else { rtype::A };
    match kind {
        Kind::Internal => (service(dice::popular(random, SERVICES)), address, false),
        Kind::External => (external(random), address, false),
        Kind::Search => {
            let name = external(random);
            let name = match SEARCH.get(random.below(SEARCH.len() + 1)) {
                Some(domain) => name + domain,
                None => name,
            };
            (name, address, false)
        }
        Kind::Ptr => {
            let i = dice::popular(random, SERVICES);
            (format!("{}.0.96.10.in-addr.arpa.", host(i)), rtype::PTR, false)
        }
        Kind::Srv => {
            let name = format!("_http._tcp.{}", service(dice::popular(random, SERVICES)));
            (name, rtype::SRV, false)
        }
        Kind::Random => {
            (format!("nx{:012x}.example.net.", random.next_u64() >> 16), address, false)
        }
        Kind::Unique => (format!("u{:012x}.example.net.", random.next_u64() >> 16), address, false),
        Kind::Any => (external(random), rtype::ANY, true),
        Kind::Txt => (external(random), rtype::TXT, true),
        Kind::Missing => (format!("nx-check-{}.example.org.", random.below(25)), address, false),
        Kind::NewZone => (format!("app-{}.corp.internal.", random.below(APPS)), address, false),
    }
}

/// Names of the zone that a scenario adds.
const APPS: usize = 30;

fn service(i: usize) -> String {
    format!("svc-{i}.ns-{}.svc.cluster.local.", i % 10)
}

/// A service's address in the cluster, of those that people may choose.
pub(crate) fn address(i: usize) -> String {
    format!("10.96.0.{}", host(i))
}

fn host(i: usize) -> usize {
    10 + i
}

fn external(random: &mut Random) -> String {
    format!("host-{}.example.com.", dice::popular(random, EXTERNAL))
}

const SOA: &str = "@ IN SOA ns hostmaster 1 7200 1800 86400 5\n@ IN NS ns\nns IN A 10.96.0.10\n";

/// The cluster's own zone.
pub(crate) fn cluster_zone() -> String {
    let mut zone = format!("$ORIGIN cluster.local.\n$TTL 30\n{SOA}");
    for i in 0..SERVICES {
        let name = format!("svc-{i}.ns-{}.svc", i % 10);
        let _ = writeln!(zone, "{name} IN A {}", address(i));
        if i % 3 > 0 {
            let _ = writeln!(zone, "{name} IN AAAA fd00::{i:x}");
        }
        let _ = writeln!(zone, "_http._tcp.{name} IN SRV 0 100 80 {name}");
    }
    zone
}

/// The services' addresses.
pub(crate) fn reverse_zone() -> String {
    let soa =
        "@ IN SOA ns.cluster.local. hostmaster 1 7200 1800 86400 5\n@ IN NS ns.cluster.local.\n";
    let mut zone = format!("$ORIGIN 96.10.in-addr.arpa.\n$TTL 30\n{soa}");
    for i in 0..SERVICES {
        let _ = writeln!(zone, "{}.0 IN PTR {}", host(i), service(i));
    }
    zone
}

/// A zone that is new.
pub(crate) fn new_zone() -> String {
    let mut zone = format!("$ORIGIN corp.internal.\n$TTL 30\n{SOA}");
    for i in 0..APPS {
        let _ = writeln!(zone, "app-{i} IN A 10.97.0.{i}");
    }
    zone
}

#[test]
fn each_kind_asks_within_the_zones_that_there_are() {
    let mut random = Random::new(4);
    let zone = cluster_zone();
    for _ in 0..200 {
        let (name, rtype, edns) = question(Kind::Internal, &mut random);
        let owner = name.strip_suffix(".cluster.local.").unwrap();
        assert!(zone.contains(&format!("\n{owner} IN A ")), "{name}");
        assert!(!edns && [rtype::A, rtype::AAAA].contains(&rtype));
        let (name, ..) = question(Kind::Ptr, &mut random);
        let owner = name.strip_suffix(".96.10.in-addr.arpa.").unwrap();
        assert!(reverse_zone().contains(&format!("\n{owner} IN PTR ")), "{name}");
        let (name, ..) = question(Kind::NewZone, &mut random);
        let owner = name.strip_suffix(".corp.internal.").unwrap();
        assert!(new_zone().contains(&format!("\n{owner} IN A ")), "{name}");
    }
    let (one, ..) = question(Kind::Random, &mut random);
    let (other, ..) = question(Kind::Random, &mut random);
    assert!(one.starts_with("nx") && one != other);
}
