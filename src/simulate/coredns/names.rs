//! What is asked for, as numbers: a name that is asked more than once has a place in a table.
//!
//! Owns: the names of the fault lab's clients, how long questions and answers are, and how long answers may be kept.
//! Does not own: how often each kind is asked (`scenario`).

use crate::math::dice;
use crate::math::random::Random;
use crate::scenario::world::Kind;

/// Services of the cluster, in namespaces of ten.
const SERVICES: usize = 160;
const EXTERNAL: usize = 240;
const MISSING: usize = 25;
/// Names of the zone that a scenario adds.
const APPS: usize = 30;
/// What pods in Kubernetes try before a name as it stands: `ndots:5` and three search domains.
const SEARCH: [&str; 3] = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"];

/// The place of what is asked once.
pub(super) const ONCE: u32 = u32::MAX;

/// Types that are asked for, in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    A,
    Aaaa,
    Any,
    Ptr,
    Srv,
    Txt,
}

impl Type {
    pub(super) const ALL: [&str; 6] = ["A", "AAAA", "ANY", "PTR", "SRV", "TXT"];

    /// As in a message.
    fn number(self) -> u32 {
        match self {
            Type::A => 1,
            Type::Ptr => 12,
            Type::Txt => 16,
            Type::Aaaa => 28,
            Type::Srv => 33,
            Type::Any => 255,
        }
    }
}

/// What a question is usually answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usual {
    /// Records.
    Records,
    /// The name is there, but nothing of this type.
    NoData,
    /// There is no such name.
    Missing,
}

/// One question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Question {
    /// In the table; [`ONCE`] for a name that nobody asks for again.
    pub(super) place: u32,
    pub(super) rtype: Type,
    /// Whether an upstream server is asked; else CoreDNS has the zone.
    pub(super) forwarded: bool,
    pub(super) usual: Usual,
    /// How long the usual answer may be kept, in seconds.
    pub(super) ttl_s: u8,
    /// The question's length; a failure's is [`Question::bare_bytes`].
    pub(super) asked_bytes: u16,
    /// The usual answer's length, as CoreDNS counts it: without EDNS, and nothing compressed.
    pub(super) answer_bytes: u16,
    /// That of an answer that denies the name.
    pub(super) denied_bytes: u16,
    /// That of an answer without records.
    pub(super) bare_bytes: u16,
}

/// A message's header, and type and class of its question.
const FRAME: usize = 12 + 4;
/// Type, class, TTL and length of a record.
const RECORD: usize = 10;
/// The EDNS record of a question.
const EDNS: usize = 11;

/// A name in a message: a byte for each label's length, and one for the end.
fn wire(name: &str) -> usize {
    name.len() + 2
}

/// All questions that are asked more than once, by kind.
#[derive(Debug)]
pub(super) struct Names {
    questions: Vec<Question>,
    external: usize,
    search: usize,
    ptr: usize,
    srv: usize,
    any: usize,
    txt: usize,
    missing: usize,
    new_zone: usize,
}

impl Names {
    pub(super) fn new() -> Names {
        let addresses = [Type::A, Type::Aaaa];
        let mut all = Vec::new();
        let both = |f: &dyn Fn(Type) -> Question| addresses.map(f);
        (0..SERVICES).for_each(|i| all.extend(both(&|rtype| service(i, rtype))));
        let external = all.len();
        (0..EXTERNAL).for_each(|i| all.extend(both(&|rtype| outside(&host(i), rtype))));
        let search = all.len();
        for domain in SEARCH {
            let name = |i| format!("{}.{domain}", host(i));
            (0..EXTERNAL).for_each(|i| all.extend(both(&|rtype| denied(&name(i), rtype))));
        }
        let ptr = all.len();
        all.extend((0..SERVICES).map(reverse));
        let srv = all.len();
        all.extend((0..SERVICES).map(ports));
        let any = all.len();
        all.extend((0..EXTERNAL).map(|i| outside(&host(i), Type::Any)));
        let txt = all.len();
        all.extend((0..EXTERNAL).map(|i| outside(&host(i), Type::Txt)));
        let missing = all.len();
        for i in 0..MISSING {
            let name = format!("nx-check-{i}.example.org");
            all.extend(both(&|rtype| outside(&name, rtype)));
        }
        let new_zone = all.len();
        (0..APPS).for_each(|i| all.extend(both(&|rtype| app(i, rtype))));
        all.iter_mut().enumerate().for_each(|(place, question)| question.place = place as u32);
        Names { questions: all, external, search, ptr, srv, any, txt, missing, new_zone }
    }

    /// How many have a place.
    pub(super) fn len(&self) -> usize {
        self.questions.len()
    }

    /// A question of this kind.
    pub(super) fn draw(&self, kind: Kind, random: &mut Random) -> Question {
        // glibc asks for both at once; every third pod has no IPv6.
        let address = usize::from(random.unit() < 0.4);
        let place = match kind {
            Kind::Internal => 2 * dice::popular(random, SERVICES) + address,
            Kind::External => self.external + 2 * dice::popular(random, EXTERNAL) + address,
            Kind::Search => {
                let name = dice::popular(random, EXTERNAL);
                match random.below(SEARCH.len() + 1) {
                    domain if domain < SEARCH.len() => {
                        self.search + 2 * (domain * EXTERNAL + name) + address
                    }
                    _ => self.external + 2 * name + address,
                }
            }
            Kind::Ptr => self.ptr + dice::popular(random, SERVICES),
            Kind::Srv => self.srv + dice::popular(random, SERVICES),
            Kind::Any => self.any + dice::popular(random, EXTERNAL),
            Kind::Txt => self.txt + dice::popular(random, EXTERNAL),
            Kind::Missing => self.missing + 2 * random.below(MISSING) + address,
            Kind::NewZone => self.new_zone + 2 * random.below(APPS) + address,
            Kind::Random | Kind::Unique => return once(kind, address, random),
        };
        self.questions[place]
    }
}

fn host(i: usize) -> String {
    format!("host-{i}.example.com")
}

fn question(name: &str, rtype: Type, usual: Usual) -> Question {
    let bare = FRAME + wire(name);
    let edns = if matches!(rtype, Type::Any | Type::Txt) { EDNS } else { 0 };
    Question {
        place: ONCE,
        rtype,
        forwarded: true,
        usual,
        ttl_s: 30,
        asked_bytes: (bare + edns) as u16,
        answer_bytes: bare as u16,
        denied_bytes: bare as u16,
        bare_bytes: bare as u16,
    }
}

/// A name outside, as the lab's upstream servers answer it: none that begins with `nx` exists.
fn outside(name: &str, rtype: Type) -> Question {
    let usual = if name.starts_with("nx") { Usual::Missing } else { Usual::Records };
    let mut question = question(name, rtype, usual);
    let record = |data: usize| wire(name) + RECORD + data;
    let (two, long, text) = (2 * record(4), record(16), 3 * record(251));
    let soa = record(22);
    let bare = usize::from(question.bare_bytes);
    let records = match (usual, rtype) {
        (Usual::Missing | Usual::NoData, _) => soa,
        (_, Type::A) => two,
        (_, Type::Aaaa) => long,
        (_, Type::Txt) => text,
        (_, Type::Any) => two + long + text,
        (_, Type::Ptr | Type::Srv) => soa,
    };
    question.answer_bytes = (bare + records) as u16;
    question.denied_bytes = (bare + soa) as u16;
    // 5 to 20 seconds by the bytes of the question: a cache that holds everything would hide every fault.
    let labels: u32 = name.split('.').map(|label| label.len() as u32).sum();
    let letters: u32 = name.bytes().filter(|byte| *byte != b'.').map(u32::from).sum();
    question.ttl_s = (5 + (labels + letters + rtype.number() + 1) % 16) as u8;
    question
}

/// What the file plugin says to a name of the cluster's zone: records, the zone's name server, addresses of targets.
fn inside(name: &str, rtype: Type, records: usize, origin: &str, server: &str) -> Question {
    let usual = if records == 0 { Usual::Missing } else { Usual::Records };
    let mut question = question(name, rtype, usual);
    let ns = wire(origin) + RECORD + wire(server);
    let soa = ns + wire(&format!("hostmaster.{origin}")) + 20;
    let bare = usize::from(question.bare_bytes);
    question.forwarded = false;
    question.denied_bytes = (bare + soa) as u16;
    question.answer_bytes =
        if records == 0 { question.denied_bytes } else { (bare + records + ns) as u16 };
    question
}

const ORIGIN: &str = "cluster.local";
const SERVER: &str = "ns.cluster.local";

fn service_name(i: usize) -> String {
    format!("svc-{i}.ns-{}.svc.{ORIGIN}", i % 10)
}

fn service(i: usize, rtype: Type) -> Question {
    let name = service_name(i);
    let data = if rtype == Type::A { 4 } else { 16 };
    let mut question = inside(&name, rtype, wire(&name) + RECORD + data, ORIGIN, SERVER);
    if rtype == Type::Aaaa && i.is_multiple_of(3) {
        question.usual = Usual::NoData;
        question.answer_bytes = question.denied_bytes;
    }
    question
}

fn ports(i: usize) -> Question {
    let target = wire(&service_name(i));
    let name = format!("_http._tcp.{}", service_name(i));
    let addresses = if i.is_multiple_of(3) { 4 + RECORD } else { 4 + 16 + 2 * RECORD + target };
    let records = wire(&name) + RECORD + 6 + target + target + addresses;
    inside(&name, Type::Srv, records, ORIGIN, SERVER)
}

fn reverse(i: usize) -> Question {
    let origin = "96.10.in-addr.arpa";
    let name = format!("{}.{}.{origin}", i % 250, i / 250);
    let records = wire(&name) + RECORD + wire(&service_name(i));
    inside(&name, Type::Ptr, records, origin, SERVER)
}

fn denied(name: &str, rtype: Type) -> Question {
    inside(name, rtype, 0, ORIGIN, SERVER)
}

fn app(i: usize, rtype: Type) -> Question {
    let name = format!("app-{i}.corp.internal");
    let records = wire(&name) + RECORD + 4;
    let mut question = inside(&name, rtype, records, "corp.internal", "ns.corp.internal");
    if rtype == Type::Aaaa {
        question.usual = Usual::NoData;
        question.answer_bytes = question.denied_bytes;
    }
    question
}

/// A name that nobody asked for before.
fn once(kind: Kind, address: usize, random: &mut Random) -> Question {
    let name = if kind == Kind::Random { "nx0123456789ab" } else { "u0123456789ab" };
    let rtype = [Type::A, Type::Aaaa][address];
    let mut question = outside_once(name, rtype);
    question.ttl_s = 5 + random.below(16) as u8;
    question
}

fn outside_once(label: &str, rtype: Type) -> Question {
    let name = wire(label) + "example.net".len() + 1;
    let (bare, record) = (FRAME + name, name + RECORD);
    let missing = label.starts_with("nx");
    let records = if rtype == Type::A { 2 * (record + 4) } else { record + 16 };
    let records = if missing { record + 22 } else { records };
    Question {
        place: ONCE,
        rtype,
        forwarded: true,
        usual: if missing { Usual::Missing } else { Usual::Records },
        ttl_s: 5,
        asked_bytes: bare as u16,
        answer_bytes: (bare + records) as u16,
        denied_bytes: (bare + record + 22) as u16,
        bare_bytes: bare as u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Questions and answers of a CoreDNS 1.15 with the lab's zones, as its histograms counted them.
    #[test]
    fn lengths_are_those_of_a_real_server() {
        let bytes = |question: Question| (question.asked_bytes, question.answer_bytes);
        let mut nodata = service(0, Type::Aaaa);
        assert_eq!(bytes(service(0, Type::A)), (46, 133));
        assert_eq!((bytes(nodata), nodata.usual), ((46, 135), Usual::NoData));
        nodata = service(1, Type::Aaaa);
        assert_eq!(nodata.usual, Usual::Records);
        assert_eq!(bytes(ports(0)), (57, 231));
        assert_eq!(bytes(denied("host-1.example.com.svc.cluster.local", Type::A)), (54, 143));
        let outside = |rtype| bytes(outside("host-1.example.com", rtype));
        let told = [Type::A, Type::Aaaa, Type::Txt, Type::Any].map(outside);
        assert_eq!(told, [(36, 104), (36, 82), (47, 879), (47, 993)]);
        assert_eq!(bytes(super::outside("nx-check-1.example.org", Type::A)), (40, 96));
    }

    #[test]
    fn every_kind_has_its_places() {
        let (names, mut random) = (Names::new(), Random::new(3));
        for (_, kind) in Kind::MIX {
            for _ in 0..200 {
                let question = names.draw(kind, &mut random);
                let once = matches!(kind, Kind::Random | Kind::Unique);
                assert_eq!(question.place == ONCE, once, "{kind:?}");
                let local = matches!(kind, Kind::Internal | Kind::Ptr | Kind::Srv);
                assert!(!local || !question.forwarded, "{kind:?}");
                assert!((5..=30).contains(&question.ttl_s) && question.answer_bytes > 40);
            }
        }
        let new = names.draw(Kind::NewZone, &mut random);
        assert!(!new.forwarded && (new.place as usize) < names.len());
    }
}
