//! DNS messages, as far as the lab needs them (RFC 1035, section 4; EDNS: RFC 6891).
//!
//! Owns: how a question and a reply are written, and what a reader needs of either.

/// Record types that are asked for.
pub(crate) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const ANY: u16 = 255;
}

/// Response codes that are sent or counted.
pub(crate) mod rcode {
    pub(crate) const NOERROR: u16 = 0;
    pub(crate) const SERVFAIL: u16 = 2;
    pub(crate) const NXDOMAIN: u16 = 3;
    pub(crate) const REFUSED: u16 = 5;
}

const TRUNCATED: u16 = 0x0200;
/// A response; recursion desired and available.
const RESPONSE: u16 = 0x8180;
const HEADER: usize = 12;
/// The size that EDNS offers: what fits everywhere, by the flag day of 2020.
const EDNS_BYTES: u16 = 1232;

/// A query for one name, in the Internet's class. With `edns` the asker takes long answers over UDP.
pub(crate) fn query(id: u16, name: &str, rtype: u16, edns: bool) -> Vec<u8> {
    let mut message = Vec::with_capacity(name.len() + 32);
    for word in [id, 0x0100, 1, 0, 0, u16::from(edns)] {
        message.extend(word.to_be_bytes());
    }
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len().min(63) as u8);
        message.extend(label.bytes().take(63));
    }
    message.push(0);
    message.extend(rtype.to_be_bytes());
    message.extend([0, 1]);
    if edns {
        message.extend([0, 0, 41]);
        message.extend(EDNS_BYTES.to_be_bytes());
        message.extend([0; 6]);
    }
    message
}

/// The same question with another id.
pub(crate) fn asked_again(message: &[u8], id: u16) -> Option<Vec<u8>> {
    let question = question(message)?;
    let mut again = Vec::with_capacity(HEADER + question.len());
    for word in [id, 0x0100, 1, 0, 0, 0] {
        again.extend(word.to_be_bytes());
    }
    again.extend(question);
    Some(again)
}

/// The only question of a message: name, type, class.
pub(crate) fn question(message: &[u8]) -> Option<&[u8]> {
    let mut end = HEADER;
    while *message.get(end)? != 0 {
        end += 1 + usize::from(message[end]);
    }
    message.get(HEADER..end + 5)
}

/// The type that a question asks for.
pub(crate) fn asked_type(question: &[u8]) -> u16 {
    match question {
        [.., high, low, _, _] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

/// The response code of a message, and whether it was cut short.
pub(crate) fn outcome(message: &[u8]) -> Option<(u16, bool)> {
    let flags = u16::from_be_bytes([*message.get(2)?, *message.get(3)?]);
    Some((flags & 0xF, flags & TRUNCATED != 0))
}

/// What a server says to a question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reply {
    pub(crate) rcode: u16,
    pub(crate) truncated: bool,
    pub(crate) ttl_s: u32,
    /// Over TCP, where length is no matter.
    pub(crate) long: bool,
}

/// The reply to a query; `None` where that is none.
pub(crate) fn reply(query: &[u8], how: Reply) -> Option<Vec<u8>> {
    let question = question(query)?;
    let mut records = Vec::new();
    let mut n_answers = 0;
    if how.rcode == rcode::NOERROR && !how.truncated {
        for (rtype, data) in data(asked_type(question)) {
            record(&mut records, rtype, how.ttl_s, &data);
            n_answers += 1;
        }
    }
    // Without a SOA nobody may remember that something is not there (RFC 2308).
    let denial = n_answers == 0 && matches!(how.rcode, rcode::NOERROR | rcode::NXDOMAIN);
    let denial = denial && !how.truncated;
    if denial {
        let mut soa = vec![0, 0];
        for number in [1, 7200, 1800, 86_400, how.ttl_s] {
            soa.extend(number.to_be_bytes());
        }
        record(&mut records, 6, how.ttl_s, &soa);
    }
    // What was asked without EDNS takes 512 bytes over UDP.
    let fits = how.long || HEADER + question.len() + records.len() <= room(query);
    let truncated = how.truncated || !fits;
    let mut message = query[..2].to_vec();
    let flags = RESPONSE | how.rcode | if truncated { TRUNCATED } else { 0 };
    let (answers, authority) = if truncated { (0, 0) } else { (n_answers, u16::from(denial)) };
    for word in [flags, 1, answers, authority, 0] {
        message.extend(word.to_be_bytes());
    }
    message.extend(question);
    if !truncated {
        message.extend(records);
    }
    Some(message)
}

fn room(query: &[u8]) -> usize {
    let edns = query.get(10..12).is_some_and(|count| count != [0, 0]);
    if edns { usize::from(EDNS_BYTES) } else { 512 }
}

/// What every name holds. TXT is long, as a mail policy or a tunnel's answer is.
fn data(rtype: u16) -> Vec<(u16, Vec<u8>)> {
    let text = || [vec![250], vec![b'x'; 250]].concat();
    let address = |last| (rtype::A, vec![192, 0, 2, last]);
    let long_address = || (rtype::AAAA, [vec![0x20, 1, 0xd, 0xb8], vec![0; 11], vec![1]].concat());
    match rtype {
        rtype::A => vec![address(1), address(2)],
        rtype::AAAA => vec![long_address()],
        rtype::PTR => vec![(rtype::PTR, b"\x04host\x07example\x03com\x00".to_vec())],
        rtype::TXT => vec![(rtype::TXT, text()), (rtype::TXT, text()), (rtype::TXT, text())],
        rtype::ANY => {
            let texts = [(rtype::TXT, text()), (rtype::TXT, text()), (rtype::TXT, text())];
            [vec![address(1), address(2), long_address()], texts.to_vec()].concat()
        }
        _ => Vec::new(),
    }
}

/// One record of the question's name.
fn record(records: &mut Vec<u8>, rtype: u16, ttl_s: u32, data: &[u8]) {
    records.extend([0xC0, HEADER as u8]);
    records.extend(rtype.to_be_bytes());
    records.extend([0, 1]);
    records.extend(ttl_s.to_be_bytes());
    records.extend((data.len() as u16).to_be_bytes());
    records.extend(data);
}

#[test]
fn a_reply_repeats_the_question_and_keeps_to_the_room() {
    let plain = Reply { rcode: rcode::NOERROR, truncated: false, ttl_s: 7, long: false };
    let asked = query(9, "a.example.com.", rtype::A, false);
    let told = reply(&asked, plain).unwrap();
    assert_eq!(question(&told), question(&asked));
    assert_eq!((told[0], told[1], told[7]), (0, 9, 2), "id and answers");
    assert_eq!(outcome(&told), Some((rcode::NOERROR, false)));
    let missing = reply(&asked, Reply { rcode: rcode::NXDOMAIN, ..plain }).unwrap();
    assert_eq!((missing[7], missing[9]), (0, 1), "a SOA");
    let long = query(9, "a.example.com.", rtype::ANY, false);
    assert_eq!(outcome(&reply(&long, plain).unwrap()), Some((rcode::NOERROR, true)));
    let over_tcp = reply(&long, Reply { long: true, ..plain }).unwrap();
    assert_eq!(outcome(&over_tcp), Some((rcode::NOERROR, false)));
    let offered = query(9, "a.example.com.", rtype::ANY, true);
    assert_eq!(outcome(&reply(&offered, plain).unwrap()), Some((rcode::NOERROR, false)));
    assert_eq!(reply(&asked[..15], plain), None);
    assert_eq!(asked_again(&asked, 3).unwrap()[1], 3);
}
